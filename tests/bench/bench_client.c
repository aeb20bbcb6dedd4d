/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load on an exporter, written straight on gRPC core, so that one generator serves every peer: ours, the stock exporter
 * and bare-server. One measurement a run; its result is one line of JSON on stdout.
 *
 *   bench-client MODE WHERE [OPTION]...
 *
 * Modes:
 *   unary        DriverCall "on" of --driver, --concurrency at once
 *   items        StreamingDriverCall "read" of --driver
 *   echo         one message of --size there and back on an open stream of --driver
 *   flood        messages of --size there and back on an open stream, as many as flow control allows
 *   sink         messages of --size to --driver, counted where they arrive: at --accept or --raw
 *   source       bytes written in pieces of --size at --accept or --raw, counted in the client
 *   consoles     as many streams as --raw descriptors, drivers console0...: each board writes --rate bytes a second
 *   hold         --concurrency connections, each with one call made, until stdin ends
 *   drop         --count connections, each dropped at a random point (--seed)
 *
 * Where: --target HOST:PORT|unix:PATH; or through a router --router HOST:PORT --token T; or asking a controller for
 * both, --controller HOST:PORT --lease NAME --header KEY=VALUE... . --ca FILE: TLS towards router and controller.
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "jumpstarter/v1/jumpstarter.pb-c.h"

#define SLOTS_MAX 256
#define SAMPLES_MAX (4u * 1000 * 1000)
#define PIDS_MAX 16
#define SECOND UINT64_C(1000000000)

static struct {
    const char *mode, *target, *router, *token, *controller, *lease, *ca, *driver;
    struct headers headers;
    unsigned concurrency, count, seed, rate, size, interval_us;
    double seconds, warm_up;
    int pids[PIDS_MAX];
    size_t pid_count;
    int accept_fd, raw[SLOTS_MAX];
    size_t raw_count;
} opt = { .driver = "power", .concurrency = 1, .count = 100, .seed = 1, .rate = 11500, .size = 1, .interval_us = 2000,
          .seconds = 2, .warm_up = 0.3, .accept_fd = -1 };

static grpc_completion_queue *cq;

/* ---- connections ---- */

struct connection {
    grpc_channel *channel, *router;
    struct tunnel *tunnel;
};

static void pluck(grpc_completion_queue *queue, void *tag)
{
    gpr_timespec limit = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(40, GPR_TIMESPAN));

    if (grpc_completion_queue_pluck(queue, tag, limit, NULL).type != GRPC_OP_COMPLETE)
        die("gRPC has not given a call back within 40 s");
}

static bool unary_blocking(grpc_channel *channel, const char *path, const struct headers *headers,
                           const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type, double limit,
                           ProtobufCMessage **ret)
{
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    gpr_timespec deadline = gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_micros((int64_t)(limit * 1e6), GPR_TIMESPAN));
    grpc_call *call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, grpc_slice_from_copied_string(path),
                                               NULL, deadline, NULL);
    grpc_byte_buffer *out = pack_message(request), *in = NULL;
    grpc_metadata_array initial, trailing;
    grpc_status_code status = GRPC_STATUS_UNKNOWN;
    grpc_slice details = grpc_empty_slice();
    grpc_op ops[6] = { { 0 } };
    char *text;
    bool ok;

    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (headers) {
        ops[0].data.send_initial_metadata.count = headers->count;
        ops[0].data.send_initial_metadata.metadata = (grpc_metadata *)headers->items;
    }
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = out;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &in;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &trailing;
    ops[5].data.recv_status_on_client.status = &status;
    ops[5].data.recv_status_on_client.status_details = &details;
    if (grpc_call_start_batch(call, ops, 6, ops, NULL) != GRPC_CALL_OK)
        die("%s: the call cannot be started", path);
    pluck(queue, ops);

    ok = status == GRPC_STATUS_OK && in;
    *ret = ok ? unpack_message(type, in) : NULL;
    if (!ok) {
        text = grpc_slice_to_c_string(details);
        fprintf(stderr, "%s: status %d: %s\n", path, status, text);
        gpr_free(text);
    }
    grpc_slice_unref(details);
    grpc_byte_buffer_destroy(in);
    grpc_byte_buffer_destroy(out);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_call_unref(call);
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
    return ok && *ret;
}

/* Asks the controller for a tunnel to the lease's exporter. */
static void dial(char **endpoint, char **token)
{
    Jumpstarter__V1__DialRequest request = JUMPSTARTER__V1__DIAL_REQUEST__INIT;
    static grpc_channel *controller;
    ProtobufCMessage *message;
    Jumpstarter__V1__DialResponse *response;

    if (!controller)
        controller = open_channel(opt.controller, opt.ca);
    request.lease_name = (char *)opt.lease;
    if (!unary_blocking(controller, "/jumpstarter.v1.ControllerService/Dial", &opt.headers, &request.base,
                        &jumpstarter__v1__dial_response__descriptor, 10, &message))
        die("Dial failed");
    response = (Jumpstarter__V1__DialResponse *)message;
    *endpoint = strdup(response->router_endpoint);
    *token = strdup(response->router_token);
    protobuf_c_message_free_unpacked(message, NULL);
}

static struct connection connect_peer(unsigned number)
{
    struct connection connection = { 0 };
    char *endpoint = NULL, *token = NULL;
    int pair[2];

    if (opt.target) {
        connection.channel = open_channel(opt.target, NULL);
        return connection;
    }
    if (opt.controller) {
        dial(&endpoint, &token);
    } else {
        endpoint = strdup(opt.router);
        if (asprintf(&token, "%s%u", opt.token, number) < 0)
            die("out of memory");
    }
    socket_pair(pair);
    connection.router = open_channel(endpoint, opt.ca);
    connection.tunnel = tunnel_open(connection.router, token, pair[0]);
    connection.channel = channel_from_fd(pair[1]);
    free(endpoint);
    free(token);
    return connection;
}

static void disconnect_peer(struct connection *connection, bool abruptly)
{
    if (connection->tunnel && abruptly)
        tunnel_cancel(connection->tunnel);
    grpc_channel_destroy(connection->channel);
    if (connection->router)
        grpc_channel_destroy(connection->router);
}

/* The uuid of the driver named; @uuid has room for 64 characters. False: the call failed. */
static bool find_driver(grpc_channel *channel, const char *name, char *uuid)
{
    Google__Protobuf__Empty request = GOOGLE__PROTOBUF__EMPTY__INIT;
    Jumpstarter__V1__GetReportResponse *response;
    ProtobufCMessage *message;
    bool found = false;

    if (!unary_blocking(channel, EXPORTER_PATH("GetReport"), NULL, &request.base,
                        &jumpstarter__v1__get_report_response__descriptor, 20, &message))
        return false;
    response = (Jumpstarter__V1__GetReportResponse *)message;
    for (size_t i = 0; i < response->n_reports && !found; i++) {
        const Jumpstarter__V1__DriverInstanceReport *report = response->reports[i];

        for (size_t l = 0; l < report->n_labels; l++)
            if (!strcmp(report->labels[l]->key, "jumpstarter.dev/name") && !strcmp(report->labels[l]->value, name)) {
                snprintf(uuid, 64, "%s", report->uuid);
                found = true;
            }
    }
    protobuf_c_message_free_unpacked(message, NULL);
    if (!found)
        die("the exporter has no driver \"%s\"", name);
    return true;
}

/* ---- measuring ---- */

static uint64_t measure_from, measure_to;     /* now_ns(); set by measure_start() */
static uint64_t cpu_from, done_count, done_bytes;
static uint32_t *samples;
static size_t sample_count;
static bool measuring;

static void measure_start(void)
{
    samples = must_alloc(SAMPLES_MAX * sizeof(*samples));
    measure_from = now_ns() + (uint64_t)(opt.warm_up * 1e9);
    measure_to = measure_from + (uint64_t)(opt.seconds * 1e9);
}

/* True until the time is over. */
static bool measure_on(void)
{
    uint64_t now = now_ns();

    if (!measuring && now >= measure_from) {
        measuring = true;
        measure_from = now;
        measure_to = now + (uint64_t)(opt.seconds * 1e9);
        cpu_from = cpu_ns(opt.pids, opt.pid_count);
    }
    return now < measure_to;
}

static void measure_one(uint64_t latency_ns, uint64_t bytes)
{
    if (!measuring)
        return;
    done_count++;
    done_bytes += bytes;
    if (sample_count < SAMPLES_MAX && latency_ns)
        samples[sample_count++] = latency_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)latency_ns;
}

static int compare_samples(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static double percentile_us(double p)
{
    return sample_count ? samples[(size_t)(p * (double)(sample_count - 1))] / 1000.0 : 0;
}

static void measure_print(const char *more)
{
    double seconds = (double)(now_ns() - measure_from) / 1e9;
    double cpu = (double)(cpu_ns(opt.pids, opt.pid_count) - cpu_from) / 1e9;

    if (!measuring || !done_count)
        die("%s: nothing was measured", opt.mode);
    qsort(samples, sample_count, sizeof(*samples), compare_samples);
    printf("{\"mode\": \"%s\", \"seconds\": %.3f, \"count\": %" PRIu64 ", \"rate\": %.1f, \"bytes_rate\": %.0f, "
           "\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"cpu\": %.4f, \"cpu_us_each\": %.3f%s}\n",
           opt.mode, seconds, done_count, (double)done_count / seconds, (double)done_bytes / seconds, percentile_us(0.5),
           percentile_us(0.9), percentile_us(0.99), cpu / seconds, cpu * 1e6 / (double)done_count, more);
    fflush(stdout);
}

struct tag {
    void (*done)(void *user, bool ok);
    void *user;
};

/* Handles events until @until is over, or true. */
static void run_queue(bool (*more)(void))
{
    while (more()) {
        gpr_timespec deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(20, GPR_TIMESPAN));
        grpc_event event = grpc_completion_queue_next(cq, deadline, NULL);
        struct tag *tag = event.tag;

        if (event.type == GRPC_OP_COMPLETE)
            tag->done(tag->user, event.success);
    }
}

/* ---- calls ---- */

struct slot {
    grpc_channel *channel;
    grpc_byte_buffer *request, *in;
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    uint64_t started;
    bool stream;
    unsigned items;
    struct tag finished, received;
};

static void slot_start(struct slot *slot);

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
    grpc_slice_unref(slot->details);
    grpc_metadata_array_destroy(&slot->initial);
    grpc_metadata_array_destroy(&slot->trailing);
    grpc_call_unref(slot->call);
    slot_start(slot);
}

static void slot_item(void *user, bool ok)
{
    struct slot *slot = user;
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &slot->in };

    if (!slot->in)
        return;   /* the status follows */
    measure_one(now_ns() - slot->started, 0);
    grpc_byte_buffer_destroy(slot->in);
    slot->in = NULL;
    if (grpc_call_start_batch(slot->call, &op, 1, &slot->received, NULL) != GRPC_CALL_OK)
        die("a message cannot be asked for");
}

static void slot_start(struct slot *slot)
{
    const char *path = slot->stream ? EXPORTER_PATH("StreamingDriverCall") : EXPORTER_PATH("DriverCall");
    grpc_op ops[6] = { { 0 } }, *op = ops, receive = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &slot->in };
    grpc_byte_buffer *message;

    slot->in = NULL;
    slot->finished = (struct tag){ slot_finished, slot };
    slot->received = (struct tag){ slot_item, slot };
    grpc_metadata_array_init(&slot->initial);
    grpc_metadata_array_init(&slot->trailing);
    slot->details = grpc_empty_slice();
    slot->started = now_ns();
    slot->call = grpc_channel_create_call(slot->channel, NULL, GRPC_PROPAGATE_DEFAULTS, cq, grpc_slice_from_static_string(path),
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

static void run_calls(bool stream)
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

/* ---- streams ---- */

struct board;

struct stream {
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    grpc_byte_buffer *in, *message;
    struct tag opened, finished, received, sent;
    void (*arrived)(struct stream *stream, const uint8_t *data, size_t size);
    void (*accepted)(struct stream *stream);
    uint64_t started, bytes, sent_bytes;
    bool ready, paused;
    struct board *board;
};

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

static void stream_receive(struct stream *stream)
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

static void stream_send(struct stream *stream)
{
    grpc_byte_buffer *message = grpc_byte_buffer_copy(stream->message);   /* gRPC empties what it sends */
    grpc_op op = { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message };

    if (grpc_call_start_batch(stream->call, &op, 1, &stream->sent, NULL) != GRPC_CALL_OK)
        die("a message cannot be sent");
    grpc_byte_buffer_destroy(message);
}

/* Opens a stream and waits for the exporter's headers; @first: it need not be the first on the queue. */
static struct stream *stream_open(grpc_channel *channel, const char *uuid)
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
    stream->call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, cq, grpc_slice_from_static_string(STREAM_PATH),
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

static void echo_arrived(struct stream *stream, const uint8_t *data, size_t size)
{
    stream->bytes += size;
    if (stream->bytes < opt.size)
        return;
    measure_one(now_ns() - stream->started, stream->bytes);
    stream->bytes = 0;
    stream->started = now_ns();
    stream_send(stream);
}

static void run_echo(void)
{
    struct stream *stream = open_driver();

    fill_message(stream);
    stream->arrived = echo_arrived;
    measure_start();
    stream->started = now_ns();
    stream_receive(stream);
    stream_send(stream);
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

static void run_flood(void)
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

static void run_sink(void)
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

static void run_source(void)
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

/* ---- consoles ---- */

#define STAMPS 4096   /* of one console, between writing and arriving; more would be eight seconds */

struct board {
    int fd;
    uint64_t written, arrived, refused, wrong;
    uint64_t stamp_end[STAMPS], stamp_time[STAMPS];
    size_t stamp_head, stamp_tail;   /* head: the feeder's, tail: the receiver's; atomic */
};

static struct board *boards;
static bool feeding = true;

/* Byte number n of a console: no period that a lost kilobyte would hide. */
static uint8_t pattern(uint64_t n)
{
    return (uint8_t)((n * UINT64_C(0x9E3779B97F4A7C15)) >> 56);
}

static void *feed(void *arg)
{
    double each = (double)opt.rate * opt.interval_us / 1e6, owed = 0;
    uint64_t next = now_ns();
    uint8_t data[4096];

    while (__atomic_load_n(&feeding, __ATOMIC_RELAXED)) {
        struct timespec until = { .tv_sec = (time_t)(next / SECOND), .tv_nsec = (long)(next % SECOND) };
        size_t size;

        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        next += opt.interval_us * 1000u;
        owed += each;
        size = (size_t)owed;
        owed -= (double)size;
        if (size > sizeof(data))
            die("more than %zu bytes at once", sizeof(data));
        for (size_t i = 0; i < opt.raw_count; i++) {
            struct board *board = &boards[i];
            size_t head = board->stamp_head;
            ssize_t n;

            for (size_t b = 0; b < size; b++)
                data[b] = pattern(board->written + b);
            if (head - __atomic_load_n(&board->stamp_tail, __ATOMIC_ACQUIRE) < STAMPS) {
                board->stamp_end[head % STAMPS] = board->written + size;
                board->stamp_time[head % STAMPS] = now_ns();
                __atomic_store_n(&board->stamp_head, head + 1, __ATOMIC_RELEASE);
            }
            n = write(board->fd, data, size);
            /* A UART does not wait: what a full port does not take is lost before the exporter could see it. */
            if (n != (ssize_t)size)
                die("console %zu took %zd of %zu bytes: the exporter does not read it", i, n, size);
            board->written += size;
        }
    }
    return NULL;
}

static void console_arrived(struct stream *stream, const uint8_t *data, size_t size)
{
    struct board *board = stream->board;
    uint64_t now = now_ns();
    size_t tail = board->stamp_tail;

    for (size_t i = 0; i < size; i++)
        if (data[i] != pattern(board->arrived + i))
            board->wrong++;
    board->arrived += size;
    while (tail != __atomic_load_n(&board->stamp_head, __ATOMIC_ACQUIRE) && board->stamp_end[tail % STAMPS] <= board->arrived) {
        measure_one(now - board->stamp_time[tail % STAMPS], 0);
        tail++;
    }
    __atomic_store_n(&board->stamp_tail, tail, __ATOMIC_RELEASE);
    if (measuring)
        done_bytes += size;
}

static uint64_t drain_until;

static bool draining(void)
{
    bool missing = false;

    for (size_t i = 0; i < opt.raw_count; i++)
        missing |= boards[i].arrived < boards[i].written;
    return missing && now_ns() < drain_until;
}

static void run_consoles(void)
{
    struct connection connection = connect_peer(0);
    uint64_t lost = 0, wrong = 0;
    char more[128];

    boards = must_alloc(opt.raw_count * sizeof(*boards));
    for (size_t i = 0; i < opt.raw_count; i++) {
        struct stream *stream;
        char name[32], uuid[64];

        snprintf(name, sizeof(name), "console%zu", i);
        if (!find_driver(connection.channel, name, uuid))
            die("no report");
        stream = stream_open(connection.channel, uuid);
        boards[i].fd = opt.raw[i];
        if (fcntl(opt.raw[i], F_SETFL, O_NONBLOCK) < 0)
            die("fcntl: %s", strerror(errno));
        stream->board = &boards[i];
        stream->arrived = console_arrived;
        stream_receive(stream);
    }
    measure_start();
    start_thread(feed, NULL);
    run_queue(measure_on);

    __atomic_store_n(&feeding, false, __ATOMIC_RELAXED);
    {   /* CPU and rates of the time in which all boards spoke; what is under way then may still arrive. */
        char *text = NULL;
        size_t length = 0;
        FILE *real = stdout, *memory = open_memstream(&text, &length);

        if (!memory)
            die("out of memory");
        stdout = memory;
        measure_print("%");
        fclose(memory);
        stdout = real;
        drain_until = now_ns() + 2 * SECOND;
        run_queue(draining);
        for (size_t i = 0; i < opt.raw_count; i++) {
            lost += boards[i].written - boards[i].arrived;
            wrong += boards[i].wrong;
        }
        snprintf(more, sizeof(more), ", \"lost\": %" PRIu64 ", \"wrong\": %" PRIu64, lost, wrong);
        printf("%.*s%s}\n", (int)(strchr(text, '%') - text), text, more);
        free(text);
    }
}

/* ---- holding and dropping ---- */

static void run_hold(void)
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

static void run_drop(void)
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
    printf("{\"mode\": \"drop\", \"count\": %u, \"seed\": %u, \"silent\": %u, \"reported\": %u, \"opened\": %u, \"some\": %u, "
           "\"flooded\": %u}\n", opt.count, opt.seed, stages[0], stages[1], stages[2], stages[3], stages[4]);
}

/* ---- the command line ---- */

static void add_header(char *text)
{
    char *equals = strchr(text, '=');

    if (!equals)
        die("--header: expected KEY=VALUE, found \"%s\"", text);
    *equals = '\0';
    headers_add(&opt.headers, text, equals + 1);
}

static void parse(int argc, char **argv)
{
    enum { TARGET = 1, ROUTER, TOKEN, TOKEN_FILE, CONTROLLER, LEASE, CA, HEADER, DRIVER, CONCURRENCY, COUNT, SEED, RATE, SIZE,
           SECONDS, WARM_UP, PID, ACCEPT, RAW, INTERVAL };
    static const struct option options[] = {
        { "target", 1, NULL, TARGET }, { "router", 1, NULL, ROUTER }, { "token", 1, NULL, TOKEN },
        { "bearer-file", 1, NULL, TOKEN_FILE }, { "controller", 1, NULL, CONTROLLER }, { "lease", 1, NULL, LEASE },
        { "ca", 1, NULL, CA }, { "header", 1, NULL, HEADER }, { "driver", 1, NULL, DRIVER },
        { "concurrency", 1, NULL, CONCURRENCY }, { "count", 1, NULL, COUNT }, { "seed", 1, NULL, SEED }, { "rate", 1, NULL, RATE },
        { "size", 1, NULL, SIZE }, { "seconds", 1, NULL, SECONDS }, { "warm-up", 1, NULL, WARM_UP }, { "pid", 1, NULL, PID },
        { "accept", 1, NULL, ACCEPT }, { "raw", 1, NULL, RAW }, { "interval", 1, NULL, INTERVAL }, {}
    };
    char *bearer, *header;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case TARGET: opt.target = optarg; break;
        case ROUTER: opt.router = optarg; break;
        case TOKEN: opt.token = optarg; break;
        case TOKEN_FILE:   /* in a file, for arguments can be seen by everyone */
            read_all_of(optarg, &bearer);
            bearer[strcspn(bearer, "\n")] = '\0';
            if (asprintf(&header, "Bearer %s", bearer) < 0)
                die("out of memory");
            headers_add(&opt.headers, "authorization", header);
            break;
        case CONTROLLER: opt.controller = optarg; break;
        case LEASE: opt.lease = optarg; break;
        case CA: opt.ca = optarg; break;
        case HEADER: add_header(optarg); break;
        case DRIVER: opt.driver = optarg; break;
        case CONCURRENCY: opt.concurrency = (unsigned)atoi(optarg); break;
        case COUNT: opt.count = (unsigned)atoi(optarg); break;
        case SEED: opt.seed = (unsigned)atoi(optarg); break;
        case RATE: opt.rate = (unsigned)atoi(optarg); break;
        case SIZE: opt.size = (unsigned)atoi(optarg); break;
        case INTERVAL: opt.interval_us = (unsigned)atoi(optarg); break;
        case SECONDS: opt.seconds = atof(optarg); break;
        case WARM_UP: opt.warm_up = atof(optarg); break;
        case ACCEPT: opt.accept_fd = atoi(optarg); break;
        case PID:
            if (opt.pid_count == PIDS_MAX)
                die("at most %d processes", PIDS_MAX);
            opt.pids[opt.pid_count++] = atoi(optarg);
            break;
        case RAW:
            if (opt.raw_count == SLOTS_MAX)
                die("at most %d descriptors", SLOTS_MAX);
            opt.raw[opt.raw_count++] = atoi(optarg);
            break;
        default: exit(2);
        }
    if (optind != argc - 1)
        die("expected one mode");
    opt.mode = argv[optind];
    if (!opt.target + !(opt.router && opt.token) + !(opt.controller && opt.lease) != 2)
        die("expected one of --target, --router with --token, --controller with --lease");
    if (!opt.size || !opt.concurrency || !opt.interval_us)
        die("--size, --concurrency and --interval must be at least 1");
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    setenv("GRPC_DNS_RESOLVER", "native", 0);
    grpc_init();
    cq = grpc_completion_queue_create_for_next(NULL);

    if (!strcmp(opt.mode, "unary"))
        run_calls(false);
    else if (!strcmp(opt.mode, "items"))
        run_calls(true);
    else if (!strcmp(opt.mode, "echo"))
        run_echo();
    else if (!strcmp(opt.mode, "flood"))
        run_flood();
    else if (!strcmp(opt.mode, "sink"))
        run_sink();
    else if (!strcmp(opt.mode, "source"))
        run_source();
    else if (!strcmp(opt.mode, "consoles"))
        run_consoles();
    else if (!strcmp(opt.mode, "hold"))
        run_hold();
    else if (!strcmp(opt.mode, "drop"))
        run_drop();
    else
        die("%s: no such mode", opt.mode);
    fflush(stdout);
    _exit(0);   /* with calls under way: what is torn down orderly is measured elsewhere */
}
