/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/session_bench.h"

#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "config/exporter_config.h"
#include "drivers/driver.h"
#include "drivers/registry.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "jumpstarter/v1/router.pb-c.h"
#include "rpc/frame.h"

/*
 * Drivers.
 */

struct trouble { int unused; };

/* Fails with the errno it is given; 0: succeeds, and returns nothing. */
static int trouble_fail(void *self, struct jmp_call *call)
{
    int error = (int)jmp_call_number(call, "error");

    return error ? jmp_call_fail(call, -error, "words about %d", error) : 0;
}

static int trouble_items(void *self, struct jmp_call *call)
{
    int error = (int)jmp_call_number(call, "error"), r;

    for (int i = 0; i < 3; i++) {
        jmp_writer_integer(jmp_call_reply(call), i);
        r = jmp_call_emit(call);
        if (r < 0)
            return r;
    }
    return error ? jmp_call_fail(call, -error, "words about %d", error) : 0;
}

static int trouble_wait(void *self, struct jmp_call *call)
{
    return jmp_call_wait(call, -1, 0, JMP_USEC_INFINITY);
}

static int trouble_say(void *self, struct jmp_call *call)
{
    jmp_call_log(call, JMP_LOG_WARNING, "said by a driver");
    return 0;
}

static int trouble_refuse(void *self, struct jmp_call *call, int *ret)
{
    return jmp_call_fail(call, -ECONNREFUSED, "nobody is there");
}

static const struct jmp_method trouble_methods[] = {
    { .name = "fail", .args = { { "error", JMP_NUMBER } }, .call = trouble_fail },
    { .name = "items", .args = { { "error", JMP_NUMBER } }, .items = trouble_items },
    { .name = "wait", .call = trouble_wait },
    { .name = "say", .call = trouble_say },
    { .name = "refuse", .open = trouble_refuse },
    {}
};

static const struct jmp_driver_class trouble_class = {
    JMP_DRIVER_HEAD, .name = "trouble", .kind = "other", .client = "test.Trouble", .size = sizeof(struct trouble),
    .methods = trouble_methods,
};

static int echo_serve(void *self, struct jmp_call *call, int fd)
{
    char buffer[4096];
    ssize_t n, sent;

    for (;;) {
        int r = jmp_call_wait(call, fd, POLLIN, JMP_USEC_INFINITY);

        if (r < 0)
            return r;
        n = read(fd, buffer, sizeof(buffer));
        if (n <= 0)
            return 0;
        for (ssize_t at = 0; at < n; at += sent) {
            r = jmp_call_wait(call, fd, POLLOUT, JMP_USEC_INFINITY);
            if (r < 0)
                return r;
            sent = write(fd, buffer + at, (size_t)(n - at));
            if (sent < 0)
                return -errno;
        }
    }
}

static const struct jmp_method echo_methods[] = { { .name = "connect", .serve = echo_serve }, {} };

static const struct jmp_driver_class echo_class = {
    JMP_DRIVER_HEAD, .name = "echo", .kind = "network", .client = "test.Echo", .size = sizeof(struct trouble),
    .methods = echo_methods,
};

static int gone_open(void *self, struct jmp_call *call) { return jmp_call_fail(call, -ENODEV, "it is unplugged"); }

static const struct jmp_driver_class gone_class = {
    JMP_DRIVER_HEAD, .name = "gone", .kind = "serial", .client = "test.Gone", .size = sizeof(struct trouble),
    .methods = echo_methods, .open = gone_open,
};

static const struct jmp_driver_class composite_class = {
    JMP_DRIVER_HEAD, .name = "composite", .kind = "composite", .python_type = "test.Composite", .client = "test.Group",
    .size = sizeof(struct trouble),
};

const struct jmp_driver_class *const jmp_builtin_drivers[] = {
    &composite_class, &trouble_class, &echo_class, &gone_class, NULL,
};

static const char yaml[] =
    "apiVersion: jumpstarter.dev/v1alpha1\n"
    "kind: ExporterConfig\n"
    "metadata: {name: bench, namespace: lab}\n"
    "description: all of it\n"
    "export:\n"
    "  trouble: {type: trouble, description: odd, methods_description: {fail: fails}, config: {labels: {a: b}}}\n"
    "  echo: {type: echo}\n"
    "  gone: {type: gone}\n"
    "  group: {children: {inner: {type: trouble}}}\n";

/*
 * The bench.
 */

static void too_late(struct jmp_timer *timer) { jmp_loop_exit(timer->loop, -ETIMEDOUT); }

/* The flag is looked at after each turn of the loop. */
struct watch {
    struct jmp_timer timer;
    const bool *flag;
};

static void look(struct jmp_timer *timer)
{
    struct watch *watch = CONTAINER_OF(timer, struct watch, timer);

    if (*watch->flag)
        jmp_loop_exit(timer->loop, 0);
    else
        jmp_timer_start(timer->loop, timer, 200, look);
}

void bench_until(struct bench *bench, const bool *flag)
{
    struct watch watch = { .flag = flag };

    if (*flag)
        return;
    assert_int_equal(jmp_timer_start(bench->loop, &bench->deadline, 20 * JMP_USEC_PER_SEC, too_late), 0);
    assert_int_equal(jmp_timer_start(bench->loop, &watch.timer, 0, look), 0);
    jmp_loop_resume(bench->loop);
    assert_int_equal(jmp_queue_run(bench->queue), 0);
    jmp_timer_close(&watch.timer);
    jmp_timer_stop(&bench->deadline);
}

static void set_flag(void *user) { *(bool *)user = true; }

static bool on_end(void *user, const char **retmessage)
{
    struct bench *bench = user;

    bench->ended++;
    *retmessage = bench->has_lease ? "it ends" : "no lease";
    return bench->has_lease;
}

static struct jmp_channel *connect_to(struct bench *bench, const char *endpoint)
{
    const struct jmp_channel_options options = { .endpoint = endpoint, .plaintext = true };
    struct jmp_channel *channel;

    assert_int_equal(jmp_channel_new(bench->queue, &options, &channel, NULL), 0);
    return channel;
}

void bench_open(struct bench *bench, const char *passphrase)
{
    struct jmp_session_options options = {
        .name = "bench", .uuid = "00000000-0000-4000-8000-000000000001", .motd = "hello", .address = "127.0.0.1:0",
        .hearing = 150 * JMP_USEC_PER_MSEC, .passphrase = passphrase, .end = on_end, .user = bench,
    };
    struct jmp_problems problems = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    char endpoint[128];
    bool up = false;
    unsigned port;

    *bench = (struct bench){ .has_lease = true };
    strcpy(bench->directory, "/tmp/jmp-bench-XXXXXX");
    assert_non_null(mkdtemp(bench->directory));
    snprintf(bench->socket, sizeof(bench->socket), "%s/hook.sock", bench->directory);
    assert_int_equal(jmp_loop_new(&bench->loop), 0);
    assert_int_equal(jmp_logstream_new(bench->loop, &bench->logs), 0);
    assert_int_equal(jmp_queue_new(bench->loop, &bench->queue), 0);
    if (jmp_exporter_config_parse(yaml, strlen(yaml), "bench.yaml", &bench->config, &problems) < 0 ||
        jmp_devices_new(bench->loop, bench->config, NULL, &bench->devices, &problems) < 0)
        fail_msg("%s", problems.first ? problems.first->error.text : "no tree");
    jmp_problems_clear(&problems);
    assert_int_equal(jmp_devices_start(bench->devices, set_flag, &up), 0);
    bench_until(bench, &up);

    options.queue = bench->queue;
    options.devices = bench->devices;
    options.logs = bench->logs;
    options.hook_socket = bench->socket;
    if (jmp_session_new(&options, &bench->session, &port, &error) < 0)
        fail_msg("%s", error.text);
    snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", port);
    bench->client = connect_to(bench, endpoint);
    snprintf(endpoint, sizeof(endpoint), "unix:%s", bench->socket);
    bench->hook = connect_to(bench, endpoint);
}

void bench_close(struct bench *bench)
{
    bool done = false;

    bench->client = jmp_channel_free(bench->client);
    bench->hook = jmp_channel_free(bench->hook);
    bench->session = jmp_session_free(bench->session);
    assert_int_equal(jmp_devices_end_lease(bench->devices, set_flag, &done), 0);
    bench_until(bench, &done);
    jmp_timer_close(&bench->deadline);
    bench->devices = jmp_devices_free(bench->devices);
    bench->config = jmp_exporter_config_free(bench->config);
    bench->queue = jmp_queue_free(bench->queue);
    bench->logs = jmp_logstream_free(bench->logs);
    bench->loop = jmp_loop_free(bench->loop);
    unlink(bench->socket);
    assert_int_equal(rmdir(bench->directory), 0);
}

const char *bench_uuid(struct bench *bench, const char *path)
{
    struct jmp_device *device = jmp_devices_find_path(bench->devices, path);

    assert_non_null(device);
    return jmp_device_uuid(device);
}

/*
 * Calls.
 */

static void keep(struct outcome *outcome, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    _cleanup_free_ uint8_t *packed = malloc(size + 1);

    assert_true(outcome->count < ELEMENTSOF(outcome->messages));
    protobuf_c_message_pack(message, packed);
    outcome->messages[outcome->count++] = protobuf_c_message_unpack(message->descriptor, NULL, size, packed);
    outcome->got = true;
}

static void on_headers(struct jmp_rpc *rpc, void *user) { ((struct outcome *)user)->headers = true; }

static void on_message(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    struct outcome *outcome = user;

    if (!message)
        return;
    keep(outcome, message);
    if (outcome->greedy)
        jmp_rpc_receive(rpc);
}

/* Frames are kept as StreamResponses, which is what they are on the wire. */
static void on_buffer(struct jmp_rpc *rpc, struct jmp_buffer *buffer, void *user)
{
    Jumpstarter__V1__StreamResponse frame = JUMPSTARTER__V1__STREAM_RESPONSE__INIT;
    struct outcome *outcome = user;
    _cleanup_free_ uint8_t *data = NULL;
    const void *payload;
    unsigned type;
    size_t length;

    if (!buffer)
        return;
    length = jmp_buffer_length(buffer);
    data = malloc(length + 1);
    assert_int_equal(jmp_buffer_copy(buffer, data, length), 0);
    jmp_buffer_free(buffer);
    assert_int_equal(jmp_frame_decode(data, length, &type, &payload, &length), 0);
    frame.frame_type = (Jumpstarter__V1__FrameType)type;
    frame.payload.data = (uint8_t *)payload;
    frame.payload.len = length;
    keep(outcome, &frame.base);
    jmp_rpc_receive(rpc);
}

static void on_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct outcome *outcome = user;

    outcome->rpc = NULL;
    outcome->closed = true;
    outcome->code = status->code;
    snprintf(outcome->text, sizeof(outcome->text), "%s", status->text);
}

void bench_start(struct bench *bench, struct jmp_channel *channel, const struct jmp_method_info *method,
                 const struct jmp_metadata *metadata, const ProtobufCMessage *request, struct outcome *outcome)
{
    static const struct jmp_rpc_events events = {
        .headers = on_headers, .message = on_message, .buffer = on_buffer, .closed = on_closed,
    };

    *outcome = (struct outcome){ .greedy = true };
    assert_int_equal(jmp_channel_call(channel, method, metadata, JMP_USEC_INFINITY, request, &events, outcome,
                                      &outcome->rpc), 0);
    if (method->response_stream)
        jmp_rpc_receive(outcome->rpc);
}

void bench_call(struct bench *bench, struct jmp_channel *channel, const struct jmp_method_info *method,
                const struct jmp_metadata *metadata, const ProtobufCMessage *request, struct outcome *outcome)
{
    bench_start(bench, channel, method, metadata, request, outcome);
    bench_until(bench, &outcome->closed);
}

void bench_driver(struct bench *bench, struct jmp_channel *channel, bool items, const char *uuid, const char *method,
                  const double *argument, struct outcome *outcome)
{
    Jumpstarter__V1__DriverCallRequest call = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;
    Jumpstarter__V1__StreamingDriverCallRequest stream = JUMPSTARTER__V1__STREAMING_DRIVER_CALL_REQUEST__INIT;
    Google__Protobuf__Value value = GOOGLE__PROTOBUF__VALUE__INIT, *args[] = { &value };

    value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    value.number_value = argument ? *argument : 0;
    call.uuid = stream.uuid = (char *)uuid;
    call.method = stream.method = (char *)method;
    call.args = stream.args = args;
    call.n_args = stream.n_args = argument ? 1 : 0;
    bench_start(bench, channel, items ? &jmp_exporter_streaming_driver_call : &jmp_exporter_driver_call, NULL,
                items ? &stream.base : &call.base, outcome);
}

void bench_stream(struct bench *bench, struct jmp_channel *channel, const char *request, struct outcome *outcome)
{
    const struct jmp_metadata metadata[] = { { "request", request }, {} };

    bench_start(bench, channel, &jmp_router_stream, request ? metadata : NULL, NULL, outcome);
}

void outcome_clear(struct outcome *outcome)
{
    /* A call that still runs must not write into what is gone. */
    if (outcome->rpc) {
        jmp_rpc_listen(outcome->rpc, NULL, NULL);
        jmp_rpc_cancel(outcome->rpc);
    }
    for (unsigned i = 0; i < outcome->count; i++)
        protobuf_c_message_free_unpacked(outcome->messages[i], NULL);
    *outcome = (struct outcome){ 0 };
}
