/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/stream_service.h"

#include <string.h>

#include "agent/call.h"
#include "agent/exporter_service.h"
#include "agent/metrics.h"
#include "agent/resource.h"
#include "agent/session.h"
#include "base/json.h"
#include "base/log.h"
#include "base/uuid.h"
#include "rpc/frame.h"
#include "rpc/pump.h"

#define REQUEST_HEADER "request"
#define REQUEST_MAX 4096u
#define REQUEST_MEMORY (64u * 1024)
/* After the client has gone a driver reads what is left, up to its end of file; then it is told to stop. What fits into
 * the sockets on the way to a serial port takes nearly so long at 115200 baud. */
#define DRAIN_LIMIT (20 * JMP_USEC_PER_SEC)

struct stream {
    struct jmp_rpc *rpc;             /* until the pump has it, and while there is none */
    struct jmp_call *call;           /* while the driver's side runs */
    struct jmp_pump *pump;
    struct jmp_waiter waiter;
    struct jmp_session *session;     /* as long as the rpc is there */
    struct jmp_logstream *logs;
    struct jmp_loop *loop;
    struct jmp_device *device;
    struct jmp_timer drain;
    uint64_t began;
    bool resource;
    char encoding[16];               /* of a resource, "" for none */
    char method[];
};

static void drop(struct stream *s)
{
    if (s->rpc || s->call || s->pump)
        return;
    jmp_timer_close(&s->drain);
    free(s);
}

static void on_drain(struct jmp_timer *timer)
{
    struct stream *s = CONTAINER_OF(timer, struct stream, drain);

    if (s->call)
        jmp_call_cancel(s->call);
}

static void pump_closed(struct jmp_pump *pump, const struct jmp_status *status, void *user)
{
    static struct jmp_log_rate broken;
    struct jmp_pump_stats stats;
    struct stream *s = user;

    jmp_pump_stats(pump, &stats);
    jmp_metrics_bytes(jmp_device_kind(s->device), stats.bytes_in, stats.bytes_out);
    /* To stock clients a stream that broke looks like one that has ended: the log is where they learn of it. */
    if (stats.error && jmp_log_may(&broken))
        jmp_log(JMP_LOG_WARNING, FIELDS(.source = JMP_LOG_DRIVER, .driver = jmp_device_path(s->device),
                                        .driver_type = jmp_device_kind(s->device), .operation = s->method,
                                        .error = stats.error), "%s: the device broke it off: %m", s->method);
    s->pump = jmp_pump_free(pump);
    s->session = NULL;
    if (s->call && jmp_timer_start(s->loop, &s->drain, DRAIN_LIMIT, on_drain) < 0)
        jmp_call_cancel(s->call);
    drop(s);
}

static const struct jmp_pump_events pump_events = { .closed = pump_closed };

static void refused_message(struct jmp_rpc *rpc, struct jmp_buffer *buffer, void *user) { jmp_buffer_free(buffer); }

/*
 * Nobody answers behind the device: headers, GOAWAY, OK. An error status would leave the local connection of a stock
 * client's port forwarding hanging open; the reason goes to the log, which the client can read.
 */
static void refuse(struct jmp_rpc *rpc)
{
    static const struct jmp_rpc_events events = { .buffer = refused_message };
    struct jmp_buffer *goaway = jmp_frame_encode(JMP_FRAME_GOAWAY, NULL, 0);

    jmp_rpc_listen(rpc, &events, NULL);
    jmp_rpc_send_headers(rpc, NULL);
    if (goaway)
        jmp_rpc_send_buffer(rpc, goaway);
    jmp_rpc_finish(rpc, JMP_OK, "%s", "");
}

/* A device that is missing is an error with its words: a person at a console has to see them. */
static void fail(struct stream *s, int error, const char *text)
{
    struct jmp_rpc *rpc = TAKE_PTR(s->rpc);

    jmp_rpc_listen(rpc, NULL, NULL);
    jmp_service_call_failed(rpc, error, text);
    drop(s);
}

static void start_failed(struct stream *s, int error, const char *text)
{
    struct jmp_rpc *rpc = s->rpc;

    if (error != -ENOENT) {
        fail(s, error, text);
        return;
    }
    s->rpc = NULL;
    jmp_rpc_listen(rpc, NULL, NULL);
    jmp_rpc_finish(rpc, JMP_NOT_FOUND, "%s", text);
    drop(s);
}

static void on_stream(struct jmp_call *call, int fd, void *user)
{
    struct stream *s = user;
    struct jmp_rpc *rpc = TAKE_PTR(s->rpc);
    int r;

    if (!rpc) {
        jmp_close(fd);   /* the client has gone meanwhile */
        return;
    }
    r = jmp_pump_serve(rpc, fd, &pump_events, s, &s->pump);
    if (r < 0) {
        jmp_log(JMP_LOG_ERROR, FIELDS(.driver = jmp_device_path(s->device), .error = r), "%s: no stream: %m",
                s->method);
        jmp_rpc_listen(rpc, NULL, NULL);
        if (s->call)
            jmp_call_cancel(s->call);
    }
}

static void on_done(struct jmp_call *call, int error, const char *text, const struct jmp_node *result, void *user)
{
    struct stream *s = user;

    s->call = NULL;
    jmp_service_log_operation(s->logs, s->device, s->method, error ? JMP_OPERATION_FAILED : JMP_OPERATION_COMPLETED,
                              s->began, error, text);
    if (s->rpc && error == -ENODEV) {
        fail(s, error, text);
        return;
    }
    if (s->rpc)
        refuse(TAKE_PTR(s->rpc));
    drop(s);
}

static const struct jmp_call_events call_events = { .stream = on_stream, .done = on_done };

static void on_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct stream *s = user;

    jmp_session_leave(&s->waiter);
    s->rpc = NULL;
    s->session = NULL;
    if (s->call)
        jmp_call_cancel(s->call);
    drop(s);
}

static const struct jmp_rpc_events rpc_events = { .closed = on_closed };

static void start_driver(struct stream *s)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    /* Headers, for which clients wait before they send or read anything, leave as soon as the device is open. */
    r = jmp_call_start(s->device, s->method, JMP_CALL_STREAM, NULL, &call_events, s, &s->call, &error);
    if (r == 0) {
        s->began = jmp_service_log_operation(s->logs, s->device, s->method, JMP_OPERATION_STARTED, 0, 0, NULL);
        return;
    }
    if (r != -ENOENT)
        jmp_service_log_operation(s->logs, s->device, s->method, JMP_OPERATION_FAILED, 0, r, error.text);
    start_failed(s, r, error.text);
}

/* For exporters that are short of power rather than of network: clients then compress and decompress by themselves. */
static bool compression_is_off(void)
{
    const char *setting = getenv("JMP_DISABLE_COMPRESSION");

    return setting && strcmp(setting, "1") == 0;
}

static void start_resource(struct stream *s)
{
    char handle[160], quoted[24], uuid[JMP_UUID_SIZE];
    struct jmp_metadata headers[3] = { { "resource", handle } };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_rpc *rpc;
    int fd, r;

    if (compression_is_off())
        *s->encoding = '\0';
    r = jmp_resource_open(s->device, *s->encoding ? s->encoding : NULL, uuid, &fd, &error);
    if (r == -EINVAL && *s->encoding) {
        /* Neither accepted nor in the handle: the client converts by itself and sends plain bytes. */
        jmp_log(JMP_LOG_WARNING, FIELDS(.source = JMP_LOG_DRIVER, .driver = jmp_device_path(s->device)),
                "%s; plain bytes are expected instead", error.text);
        *s->encoding = '\0';
        r = jmp_resource_open(s->device, NULL, uuid, &fd, &error);
    }
    if (r < 0) {
        fail(s, r, error.text);
        return;
    }

    /* The encoding was accepted, so it is one of a few plain words. */
    snprintf(quoted, sizeof(quoted), *s->encoding ? "\"%s\"" : "null", s->encoding);
    snprintf(handle, sizeof(handle), "{\"kind\":\"client_stream\",\"uuid\":\"%s\",\"x_jmp_content_encoding\":%s}", uuid,
             quoted);
    if (*s->encoding)
        headers[1] = (struct jmp_metadata){ "x_jmp_accept_encoding", s->encoding };
    rpc = TAKE_PTR(s->rpc);
    r = jmp_rpc_send_headers(rpc, headers);
    if (r < 0) {
        jmp_close(fd);
        jmp_rpc_listen(rpc, NULL, NULL);
        jmp_rpc_finish(rpc, JMP_INTERNAL, "no headers: %s", strerror(-r));
        drop(s);
        return;
    }
    r = jmp_pump_serve(rpc, fd, &pump_events, s, &s->pump);
    if (r < 0) {
        jmp_rpc_listen(rpc, NULL, NULL);
        drop(s);
    }
}

static void go(struct jmp_waiter *waiter, bool admitted)
{
    struct stream *s = CONTAINER_OF(waiter, struct stream, waiter);

    if (!admitted) {
        struct jmp_session *session = s->session;
        struct jmp_rpc *rpc = TAKE_PTR(s->rpc);

        jmp_rpc_listen(rpc, NULL, NULL);
        jmp_session_refuse(session, rpc);
        drop(s);
    } else if (s->resource) {
        start_resource(s);
    } else {
        start_driver(s);
    }
}

/* What "request" asks for; strings are borrowed from the tree. */
struct wish {
    bool resource;
    const char *uuid, *method, *encoding;
};

static int read_wish(const struct jmp_rpc *rpc, struct jmp_tree *tree, struct wish *ret, struct jmp_error *reterr)
{
    const struct jmp_node *request, *encoding;
    const char *text, *kind;
    unsigned count;
    int r;

    text = jmp_rpc_metadata(rpc, REQUEST_HEADER, &count);
    if (!text)
        return jmp_error_set(reterr, -EPROTO, "the metadata \"request\" is missing");
    if (count > 1)
        return jmp_error_set(reterr, -EPROTO, "the metadata \"request\" is there %u times", count);
    if (strlen(text) > REQUEST_MAX)
        return jmp_error_set(reterr, -EPROTO, "the metadata \"request\" is longer than %u bytes", REQUEST_MAX);
    r = jmp_json_parse(text, strlen(text), tree, &request, reterr);
    if (r < 0)
        return r;
    if (request->kind != JMP_NODE_MAP)
        return jmp_error_set(reterr, -EPROTO, "it is %s, not an object", jmp_node_kind_name(request));

    kind = jmp_node_string(jmp_node_get(request, "kind"));
    if (!kind || (strcmp(kind, "driver") != 0 && strcmp(kind, "resource") != 0))
        return jmp_error_set(reterr, -EPROTO, "kind is neither \"driver\" nor \"resource\"");
    ret->resource = strcmp(kind, "resource") == 0;
    ret->uuid = jmp_node_string(jmp_node_get(request, "uuid"));
    if (!ret->uuid)
        return jmp_error_set(reterr, -EPROTO, "uuid is not a string");
    ret->method = jmp_node_string(jmp_node_get(request, "method"));
    if (!ret->resource && !ret->method)
        return jmp_error_set(reterr, -EPROTO, "method is not a string");
    encoding = jmp_node_get(request, "x_jmp_content_encoding");
    ret->encoding = jmp_node_string(encoding) ?: "";
    if (ret->resource && !jmp_node_is_null(encoding) && encoding->kind != JMP_NODE_STRING)
        return jmp_error_set(reterr, -EPROTO, "x_jmp_content_encoding is neither a string nor null");
    return 0;
}

void jmp_service_stream(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    const struct jmp_door *door = user;
    struct jmp_device *device;
    const char *method;
    struct stream *s;
    struct wish wish = { .uuid = "", .method = "", .encoding = "" };
    int r;

    r = jmp_tree_new(REQUEST_MEMORY, &tree);
    if (r == 0)
        r = read_wish(rpc, tree, &wish, &error);
    if (r < 0) {
        /* The class in the text is what stock exporters say; the words behind it are for people. */
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "Unexpected <class 'ValidationError'>: %s",
                       *error.text ? error.text : strerror(-r));
        return;
    }
    device = jmp_service_find(door->session, rpc, wish.uuid);
    if (!device)
        return;
    if (strlen(wish.encoding) >= sizeof(s->encoding)) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "unknown encoding; gzip, xz, bz2 and zstd are known");
        return;
    }

    method = wish.resource ? "resource" : wish.method;
    s = calloc(1, sizeof(*s) + strlen(method) + 1);
    if (!s) {
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "no memory for a stream");
        return;
    }
    strcpy(s->method, method);
    strcpy(s->encoding, wish.encoding);
    s->resource = wish.resource;
    s->rpc = rpc;
    s->session = door->session;
    s->logs = jmp_session_logs(door->session);
    s->loop = jmp_rpc_loop(rpc);
    s->device = device;
    s->waiter.go = go;
    jmp_rpc_listen(rpc, &rpc_events, s);

    switch (jmp_session_pass(door, &s->waiter)) {
    case JMP_GATE_OPEN:
        go(&s->waiter, true);
        break;
    case JMP_GATE_REFUSE:
        go(&s->waiter, false);
        break;
    case JMP_GATE_HOLD:
        break;
    }
}
