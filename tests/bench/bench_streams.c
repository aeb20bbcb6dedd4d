/* SPDX-License-Identifier: Apache-2.0 */
/* Byte streams to and from a driver, and the board at its other end. */
#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <grpc/slice.h>

static void stream_opened(void *user, bool ok)
{
    struct stream *stream = user;

    stream->ready = ok;
}

static void stream_finished(void *user, bool ok)
{
    struct stream *stream = user;
    char *text = grpc_slice_to_c_string(stream->details);

    die("a stream ended with status %d: %s", stream->status, text);
}

static void stream_sent(void *user, bool ok)
{
    struct stream *stream = user;

    if (ok && stream->accepted)
        stream->accepted(stream);
}

void stream_receive(struct stream *stream)
{
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &stream->in };

    if (grpc_call_start_batch(stream->call, &op, 1, &stream->received, NULL) != GRPC_CALL_OK)
        die("a message cannot be asked for");
}

static void stream_received(void *user, bool ok)
{
    struct stream *stream = user;
    const uint8_t *payload;
    grpc_slice flat;
    size_t size;

    if (!ok || !stream->in)
        return;
    if (!frame_parse(stream->in, &flat, &payload, &size))
        die("the exporter ended a stream");
    grpc_byte_buffer_destroy(stream->in);
    stream->in = NULL;
    stream->arrived(stream, payload, size);
    grpc_slice_unref(flat);
    stream_receive(stream);
}

void stream_send(struct stream *stream)
{
    grpc_byte_buffer *message = grpc_byte_buffer_copy(stream->message);   /* gRPC empties what it sends */
    grpc_op op = { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message };

    if (grpc_call_start_batch(stream->call, &op, 1, &stream->sent, NULL) != GRPC_CALL_OK)
        die("a message cannot be sent");
    grpc_byte_buffer_destroy(message);
}

struct stream *stream_open(grpc_channel *channel, const char *uuid)
{
    struct stream *stream = must_alloc(sizeof(*stream));
    struct headers headers = { 0 };
    grpc_op ops[3] = { { 0 } };
    char request[160];
    uint64_t limit = now_ns() + 20 * SECOND;

    snprintf(request, sizeof(request), "{\"kind\":\"driver\",\"uuid\":\"%s\",\"method\":\"connect\"}", uuid);
    headers_add(&headers, "request", request);
    stream->opened = (struct tag){ stream_opened, stream };
    stream->finished = (struct tag){ stream_finished, stream };
    stream->received = (struct tag){ stream_received, stream };
    stream->sent = (struct tag){ stream_sent, stream };
    grpc_metadata_array_init(&stream->initial);
    grpc_metadata_array_init(&stream->trailing);
    stream->call =
        grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, cq, grpc_slice_from_static_string(STREAM_PATH),
                                 NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = headers.count;
    ops[0].data.send_initial_metadata.metadata = headers.items;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
    ops[2].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[2].data.recv_status_on_client.trailing_metadata = &stream->trailing;
    ops[2].data.recv_status_on_client.status = &stream->status;
    ops[2].data.recv_status_on_client.status_details = &stream->details;
    if (grpc_call_start_batch(stream->call, ops, 2, &stream->opened, NULL) != GRPC_CALL_OK ||
        grpc_call_start_batch(stream->call, &ops[2], 1, &stream->finished, NULL) != GRPC_CALL_OK)
        die("a stream cannot be opened");
    while (!stream->ready) {
        grpc_event event = grpc_completion_queue_next(cq, gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                                                       gpr_time_from_millis(100, GPR_TIMESPAN)), NULL);
        struct tag *tag = event.tag;

        if (event.type == GRPC_OP_COMPLETE)
            tag->done(tag->user, event.success);
        if (now_ns() > limit)
            die("the exporter did not open the stream within 20 s");
    }
    return stream;
}

static struct stream *open_driver(void)
{
    struct connection connection = connect_peer(0);
    char uuid[64];

    if (!find_driver(connection.channel, opt.driver, uuid))
        die("no report");
    return stream_open(connection.channel, uuid);
}

static void fill_message(struct stream *stream)
{
    char *data = must_alloc(opt.size);

    memset(data, 'x', opt.size);
    stream->message = frame_data(data, opt.size);
    free(data);
}

/* The echo may be here before gRPC says that the message is on its way; only then it takes the next one. */
static void echo_next(struct stream *stream)
{
    if (stream->sending || stream->bytes < opt.size)
        return;
    stream->bytes = 0;
    stream->sending = true;
    stream->started = now_ns();
    stream_send(stream);
}

static void echo_accepted(struct stream *stream)
{
    stream->sending = false;
    echo_next(stream);
}

static void echo_arrived(struct stream *stream, const uint8_t *data, size_t size)
{
    stream->bytes += size;
    if (stream->bytes < opt.size)
        return;
    measure_one(now_ns() - stream->started, stream->bytes);
    echo_next(stream);
}

void run_echo(void)
{
    struct stream *stream = open_driver();

    fill_message(stream);
    stream->accepted = echo_accepted;
    stream->arrived = echo_arrived;
    measure_start();
    stream_receive(stream);
    stream->bytes = opt.size;   /* as if the one before had come back */
    echo_next(stream);
    run_queue(measure_on);
    measure_print("");
}

/* Bytes under way in a flood: a queue that always has a message accepted would never get to read. */
#define FLOOD_WINDOW (256 * 1024 + 2 * opt.size)

static void flood_accepted(struct stream *stream)
{
    stream->sent_bytes += opt.size;
    stream->paused = stream->sent_bytes - stream->bytes > FLOOD_WINDOW;
    if (!stream->paused)
        stream_send(stream);
}

/* Counts in messages of --size, however they were cut on the way. */
static void flood_arrived(struct stream *stream, const uint8_t *data, size_t size)
{
    uint64_t before = stream->bytes / opt.size;

    stream->bytes += size;
    if (stream->paused && stream->sent_bytes - stream->bytes <= FLOOD_WINDOW) {
        stream->paused = false;
        stream_send(stream);
    }
    if (measuring) {
        done_count += stream->bytes / opt.size - before;
        done_bytes += size;
    }
}

void run_flood(void)
{
    struct stream *stream = open_driver();

    fill_message(stream);
    stream->arrived = flood_arrived;
    stream->accepted = flood_accepted;
    measure_start();
    stream_receive(stream);
    stream_send(stream);
    run_queue(measure_on);
    measure_print("");
}

/* ---- the board's side ---- */

static uint64_t board_bytes;   /* atomic */

static int board_end(void)
{
    int fd;

    if (opt.raw_count)
        return opt.raw[0];
    fd = accept4(opt.accept_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        die("accept: %s", strerror(errno));
    return fd;
}

static void *board_discards(void *arg)
{
    char *data = must_alloc(READ_SIZE);
    int fd = board_end();
    ssize_t n;

    for (;;) {
        n = read(fd, data, READ_SIZE);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd wait = { .fd = fd, .events = POLLIN };

            poll(&wait, 1, -1);
            continue;
        }
        if (n <= 0)
            break;
        __atomic_add_fetch(&board_bytes, (uint64_t)n, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void *board_generates(void *arg)
{
    char *data = must_alloc(opt.size);
    int fd = board_end();

    memset(data, 'x', opt.size);
    while (write_all(fd, data, opt.size))
        ;
    return NULL;
}

static void nothing_arrived(struct stream *stream, const uint8_t *data, size_t size)
{
}

void run_sink(void)
{
    struct stream *stream;
    uint64_t before = 0;

    start_thread(board_discards, NULL);
    stream = open_driver();
    fill_message(stream);
    stream->arrived = nothing_arrived;
    stream->accepted = stream_send;
    measure_start();
    stream_receive(stream);
    stream_send(stream);
    while (measure_on()) {
        grpc_event event = grpc_completion_queue_next(cq, gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                                                       gpr_time_from_millis(20, GPR_TIMESPAN)), NULL);
        struct tag *tag = event.tag;

        if (!measuring)
            before = __atomic_load_n(&board_bytes, __ATOMIC_RELAXED);
        if (event.type == GRPC_OP_COMPLETE)
            tag->done(tag->user, event.success);
    }
    done_bytes = __atomic_load_n(&board_bytes, __ATOMIC_RELAXED) - before;
    done_count = done_bytes / opt.size;
    measure_print("");
}

void run_source(void)
{
    struct stream *stream;

    start_thread(board_generates, NULL);
    stream = open_driver();
    stream->arrived = flood_arrived;
    measure_start();
    stream_receive(stream);
    run_queue(measure_on);
    measure_print("");
}
