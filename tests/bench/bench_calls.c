/* SPDX-License-Identifier: Apache-2.0 */
/* DriverCall and StreamingDriverCall, so many at once. */
#include "bench.h"

#include <grpc/slice.h>

#include "jumpstarter/v1/jumpstarter.pb-c.h"

struct slot {
    grpc_channel *channel;
    grpc_byte_buffer *request, *in;
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    uint64_t started;
    bool stream;
    unsigned pending;   /* batches that end with the call */
    struct tag finished, received;
};

static void slot_start(struct slot *slot);

/* The status and, of a stream, the end of its items come in any order; the next call begins after both. */
static void slot_ended(struct slot *slot)
{
    if (--slot->pending > 0)
        return;
    grpc_slice_unref(slot->details);
    grpc_metadata_array_destroy(&slot->initial);
    grpc_metadata_array_destroy(&slot->trailing);
    grpc_call_unref(slot->call);
    slot_start(slot);
}

static void slot_finished(void *user, bool ok)
{
    struct slot *slot = user;

    if (slot->status != GRPC_STATUS_OK) {
        char *text = grpc_slice_to_c_string(slot->details);

        die("a call failed with status %d: %s", slot->status, text);
    }
    if (!slot->stream) {
        measure_one(now_ns() - slot->started, 0);
        grpc_byte_buffer_destroy(slot->in);
    }
    slot_ended(slot);
}

static void slot_item(void *user, bool ok)
{
    struct slot *slot = user;
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &slot->in };

    if (!slot->in) {
        slot_ended(slot);
        return;
    }
    measure_one(now_ns() - slot->started, 0);
    grpc_byte_buffer_destroy(slot->in);
    slot->in = NULL;
    if (grpc_call_start_batch(slot->call, &op, 1, &slot->received, NULL) != GRPC_CALL_OK)
        die("a message cannot be asked for");
}

static void slot_start(struct slot *slot)
{
    const char *path = slot->stream ? EXPORTER_PATH("StreamingDriverCall") : EXPORTER_PATH("DriverCall");
    grpc_op ops[6] = { { 0 } }, *op = ops,
            receive = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &slot->in };
    grpc_byte_buffer *message;

    slot->in = NULL;
    slot->pending = slot->stream ? 2 : 1;
    slot->finished = (struct tag){ slot_finished, slot };
    slot->received = (struct tag){ slot_item, slot };
    grpc_metadata_array_init(&slot->initial);
    grpc_metadata_array_init(&slot->trailing);
    slot->details = grpc_empty_slice();
    slot->started = now_ns();
    slot->call =
        grpc_channel_create_call(slot->channel, NULL, GRPC_PROPAGATE_DEFAULTS, cq, grpc_slice_from_static_string(path),
                                 NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    op++->op = GRPC_OP_SEND_INITIAL_METADATA;
    message = grpc_byte_buffer_copy(slot->request);
    op->data.send_message.send_message = message;
    op++->op = GRPC_OP_SEND_MESSAGE;
    op++->op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    op->data.recv_initial_metadata.recv_initial_metadata = &slot->initial;
    op++->op = GRPC_OP_RECV_INITIAL_METADATA;
    op->data.recv_status_on_client.trailing_metadata = &slot->trailing;
    op->data.recv_status_on_client.status = &slot->status;
    op->data.recv_status_on_client.status_details = &slot->details;
    op++->op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    if (!slot->stream)
        *op++ = receive;
    if (grpc_call_start_batch(slot->call, ops, (size_t)(op - ops), &slot->finished, NULL) != GRPC_CALL_OK)
        die("a call cannot be started");
    grpc_byte_buffer_destroy(message);
    if (slot->stream && grpc_call_start_batch(slot->call, &receive, 1, &slot->received, NULL) != GRPC_CALL_OK)
        die("a message cannot be asked for");
}

static grpc_byte_buffer *call_request(const char *uuid, const char *method)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;

    request.uuid = (char *)uuid;
    request.method = (char *)method;
    return pack_message(&request.base);   /* the streaming request looks the same on the wire */
}

void run_calls(bool stream)
{
    struct connection connection = connect_peer(0);
    char uuid[64];

    if (opt.concurrency > SLOTS_MAX)
        die("at most %d calls at once", SLOTS_MAX);
    if (!find_driver(connection.channel, opt.driver, uuid))
        die("no report");
    measure_start();
    for (unsigned i = 0; i < opt.concurrency; i++) {
        struct slot *slot = must_alloc(sizeof(*slot));

        slot->channel = connection.channel;
        slot->stream = stream;
        slot->request = call_request(uuid, stream ? "read" : "on");
        slot_start(slot);
    }
    run_queue(measure_on);
    measure_print("");
}
