/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that are held, and ones that are dropped in the middle of something. */
#include "bench.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <grpc/slice.h>

void run_hold(void)
{
    char rest[64], uuid[64];

    for (unsigned i = 0; i < opt.concurrency; i++) {
        struct connection connection = connect_peer(i);

        if (!find_driver(connection.channel, opt.driver, uuid))
            die("no report");
    }
    printf("{\"mode\": \"hold\", \"count\": %u}\n", opt.concurrency);
    fflush(stdout);
    while (read(STDIN_FILENO, rest, sizeof(rest)) > 0)
        ;
}

/* A bidi stream that is never looked after: what it sends is not read, what it holds is dropped with the connection. */
static void drop_stream(grpc_channel *channel, const char *uuid, unsigned messages)
{
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    grpc_call *call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
                                               grpc_slice_from_static_string(STREAM_PATH), NULL,
                                               gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    gpr_timespec limit = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(50, GPR_TIMESPAN));
    struct headers headers = { 0 };
    grpc_metadata_array initial, trailing;
    grpc_slice details = grpc_empty_slice();
    grpc_byte_buffer *message;
    grpc_status_code status;
    grpc_op ops[3] = { { 0 } };
    char request[160], *data = must_alloc(4096);
    int sending = 0;

    snprintf(request, sizeof(request), "{\"kind\":\"driver\",\"uuid\":\"%s\",\"method\":\"connect\"}", uuid);
    headers_add(&headers, "request", request);
    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    message = frame_data(data, 4096);
    free(data);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = headers.count;
    ops[0].data.send_initial_metadata.metadata = headers.items;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &initial;
    ops[2].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[2].data.recv_status_on_client.trailing_metadata = &trailing;
    ops[2].data.recv_status_on_client.status = &status;
    ops[2].data.recv_status_on_client.status_details = &details;
    if (grpc_call_start_batch(call, ops, 3, ops, NULL) != GRPC_CALL_OK)
        die("a stream cannot be opened");
    while (messages-- > 0) {
        grpc_byte_buffer *copy = grpc_byte_buffer_copy(message);
        grpc_op op = { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = copy };
        bool started = grpc_call_start_batch(call, &op, 1, &sending, NULL) == GRPC_CALL_OK;

        grpc_byte_buffer_destroy(copy);
        if (!started)
            break;
        sending = 1;
        if (grpc_completion_queue_pluck(queue, &sending, limit, NULL).type != GRPC_OP_COMPLETE)
            break;
        sending = 0;
    }
    grpc_call_cancel(call, NULL);
    if (sending)
        pluck(queue, &sending);
    pluck(queue, ops);
    grpc_call_unref(call);
    grpc_byte_buffer_destroy(message);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_slice_unref(details);
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
}

void run_drop(void)
{
    unsigned stages[5] = { 0 }, seed = opt.seed;
    char uuid[64] = "";

    for (unsigned i = 0; i < opt.count; i++) {
        struct connection connection = connect_peer(i);
        unsigned stage = (unsigned)rand_r(&seed) % 5, pause = (unsigned)rand_r(&seed) % 3000;
        bool abruptly = rand_r(&seed) & 1;

        stages[stage]++;
        if (stage >= 1 && !find_driver(connection.channel, opt.driver, uuid))
            die("connection %u was not served", i);
        if (stage >= 2)
            drop_stream(connection.channel, uuid, stage == 4 ? 1000 : stage == 3 ? (unsigned)rand_r(&seed) % 20 : 0);
        if (stage == 0)   /* anywhere in connection set-up */
            poll(NULL, 0, (int)(pause / 1000));
        disconnect_peer(&connection, abruptly);
    }
    printf(
        "{\"mode\": \"drop\", \"count\": %u, \"seed\": %u, \"silent\": %u, \"reported\": %u, \"opened\": %u, "
        "\"some\": %u, "
        "\"flooded\": %u}\n",
        opt.count, opt.seed, stages[0], stages[1], stages[2], stages[3], stages[4]);
}
