/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exporter_service.h"

#include <string.h>
#include <time.h>

#include "agent/call.h"
#include "agent/metrics.h"
#include "agent/report_service.h"
#include "base/uuid.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/value.h"

/* How much of a wrong uuid is repeated to whoever sent it. */
#define ECHO_MAX 64

typedef Jumpstarter__V1__DriverCallRequest CallRequest;
typedef Jumpstarter__V1__StreamingDriverCallRequest ItemsRequest;

/*
 * Devices and operations.
 */

struct jmp_device *jmp_service_find(struct jmp_session *session, struct jmp_rpc *rpc, const char *text)
{
    struct jmp_device *device;
    char uuid[JMP_UUID_SIZE];

    /* The texts are those of stock exporters, whose clients show them. */
    if (!jmp_uuid_parse(text, uuid)) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "Unexpected <class 'ValueError'>: badly formed hexadecimal UUID string");
        return NULL;
    }
    device = jmp_devices_find(jmp_session_devices(session), uuid);
    if (!device)
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "Unexpected <class 'KeyError'>: UUID('%s')", uuid);
    return device;
}

void jmp_service_call_failed(struct jmp_rpc *rpc, int error, const char *text)
{
    /* Before the driver is asked -ENOENT means the method; a file that a driver misses is another matter. */
    jmp_rpc_finish(rpc, jmp_code_from_errno(error), "%s", text && *text ? text : strerror(error < 0 ? -error : error));
}

static const char *error_type(int error)
{
    switch (jmp_code_from_errno(error)) {
    case JMP_UNIMPLEMENTED: return "not_implemented";
    case JMP_INVALID_ARGUMENT: return "validation_error";
    case JMP_DEADLINE_EXCEEDED: return "timeout";
    case JMP_UNAVAILABLE: return "connection_error";
    case JMP_INTERNAL: return "device_error";
    default: return "internal_error";
    }
}

uint64_t jmp_service_log_operation(struct jmp_logstream *logs, const struct jmp_device *device, const char *method,
                                   enum jmp_operation_step step, uint64_t began, int error, const char *text)
{
    static const struct {
        const char *message, *result;
        enum jmp_log_level level;
    } steps[] = {
        [JMP_OPERATION_STARTED] = { "Operation started", NULL, JMP_LOG_INFO },
        [JMP_OPERATION_COMPLETED] = { "Operation completed", "success", JMP_LOG_INFO },
        [JMP_OPERATION_FAILED] = { "Operation failed", "failure", JMP_LOG_WARNING },
    };
    const struct jmp_log_fields fields = {
        .source = JMP_LOG_DRIVER, .driver = jmp_device_path(device), .driver_type = jmp_device_kind(device),
        .operation = method, .result = steps[step].result, .error_type = error ? error_type(error) : NULL,
    };
    static struct jmp_log_rate rate;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    jmp_logstream_push(logs, &(struct jmp_log_record){
        .level = steps[step].level, .fields = &fields, .message = steps[step].message,
        .realtime = (uint64_t)now.tv_sec * JMP_USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000,
    });
    /* A client may fail as often as it likes. */
    if (step == JMP_OPERATION_FAILED && error != -ECANCELED && jmp_log_may(&rate))
        jmp_log(JMP_LOG_WARNING, &fields, "%s: %s", method, text);
    if (step == JMP_OPERATION_STARTED)
        return jmp_now();
    jmp_metrics_operation(fields.driver_type, method, fields.error_type, began ? jmp_now() - began : 0);
    return 0;
}

/*
 * DriverCall and StreamingDriverCall.
 */

struct driver_call {
    struct jmp_rpc *rpc;             /* NULL once closed */
    struct jmp_call *call;           /* NULL before it is started and once it is done */
    struct jmp_waiter waiter;
    struct jmp_session *session;     /* as long as the rpc is there */
    struct jmp_logstream *logs;
    struct jmp_device *device;
    struct jmp_tree *tree;           /* of the arguments, NULL without any */
    const struct jmp_node *args;
    bool items;
    bool ended;                      /* the answer is on its way */
    uint64_t began;
    char method[];
};

static void drop(struct driver_call *c)
{
    if (c->rpc || c->call)
        return;
    jmp_tree_free(c->tree);
    free(c);
}

static void answer(struct driver_call *c, const struct jmp_node *result)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    Jumpstarter__V1__DriverCallResponse response = JUMPSTARTER__V1__DRIVER_CALL_RESPONSE__INIT;
    Google__Protobuf__Value null = GOOGLE__PROTOBUF__VALUE__INIT;
    char uuid[JMP_UUID_SIZE];

    jmp_uuid_random(uuid);
    response.uuid = uuid;
    null.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
    response.result = &null;
    if (!jmp_node_is_null(result) &&
        (jmp_tree_new(0, &tree) < 0 || jmp_value_from_node(result, tree, &response.result) < 0)) {
        jmp_rpc_finish(c->rpc, JMP_RESOURCE_EXHAUSTED, "no memory for the answer of %s", c->method);
        return;
    }
    jmp_rpc_reply(c->rpc, &response.base);
}

static int send_item(struct driver_call *c, const struct jmp_node *value, bool more)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    Jumpstarter__V1__StreamingDriverCallResponse response = JUMPSTARTER__V1__STREAMING_DRIVER_CALL_RESPONSE__INIT;
    char uuid[JMP_UUID_SIZE];
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return r;
    r = jmp_value_from_node(value, tree, &response.result);
    if (r < 0)
        return r;
    jmp_uuid_random(uuid);
    response.uuid = uuid;
    return more ? jmp_rpc_send_more(c->rpc, &response.base) : jmp_rpc_send(c->rpc, &response.base);
}

/* The next one is asked for once this one is on its way, in on_sent(). */
static void on_item(struct jmp_call *call, const struct jmp_node *value, bool more, void *user)
{
    struct driver_call *c = user;
    int r;

    if (!c->rpc || c->ended)
        return;   /* cancelled already */
    r = send_item(c, value, more);
    if (r == 0)
        return;
    if (r != -EPIPE)
        jmp_rpc_finish(c->rpc, JMP_RESOURCE_EXHAUSTED, "an item of %s is too large", c->method);
    c->ended = true;
    jmp_call_cancel(call);
}

static void finish(struct driver_call *c, int error, const char *text)
{
    c->ended = true;
    if (error)
        jmp_service_call_failed(c->rpc, error, text);
    else
        jmp_rpc_finish(c->rpc, JMP_OK, "%s", "");
}

static void on_done(struct jmp_call *call, int error, const char *text, const struct jmp_node *result, void *user)
{
    struct driver_call *c = user;

    c->call = NULL;
    jmp_service_log_operation(c->logs, c->device, c->method, error ? JMP_OPERATION_FAILED : JMP_OPERATION_COMPLETED,
                              c->began, error, text);
    if (!c->rpc || c->ended) {
        drop(c);
    } else if (error || c->items) {
        finish(c, error, text);
    } else {
        c->ended = true;
        answer(c, result);
    }
}

static const struct jmp_call_events call_events = { .item = on_item, .done = on_done };

static void on_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct driver_call *c = user;

    if (ok && c->call)
        jmp_call_more(c->call);
}

static void on_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct driver_call *c = user;

    jmp_session_leave(&c->waiter);
    c->rpc = NULL;
    c->session = NULL;
    if (c->call)
        jmp_call_cancel(c->call);
    drop(c);
}

static const struct jmp_rpc_events rpc_events = { .sent = on_sent, .closed = on_closed };

static void start(struct driver_call *c)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    r = jmp_call_start(c->device, c->method, c->items ? JMP_CALL_ITEMS : JMP_CALL_UNARY, c->args, &call_events, c,
                       &c->call, &error);
    if (r == 0) {
        c->began = jmp_service_log_operation(c->logs, c->device, c->method, JMP_OPERATION_STARTED, 0, 0, NULL);
        return;
    }

    c->ended = true;
    if (r == -ENOENT) {
        jmp_rpc_finish(c->rpc, JMP_NOT_FOUND, "%s", error.text);
        return;
    }
    jmp_service_log_operation(c->logs, c->device, c->method, JMP_OPERATION_FAILED, 0, r, error.text);
    jmp_service_call_failed(c->rpc, r, error.text);
}

static void go(struct jmp_waiter *waiter, bool admitted)
{
    struct driver_call *c = CONTAINER_OF(waiter, struct driver_call, waiter);

    if (admitted) {
        start(c);
    } else {
        c->ended = true;
        jmp_session_refuse(c->session, c->rpc);
    }
}

static int read_args(struct driver_call *c, Google__Protobuf__Value **args, size_t count)
{
    struct jmp_node *list, *value;
    int r;

    if (count == 0)
        return 0;
    r = jmp_tree_new(0, &c->tree);
    if (r < 0)
        return r;
    list = jmp_node_new(c->tree, JMP_NODE_LIST);
    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        r = jmp_value_to_node(args[i], c->tree, &value);
        if (r < 0)
            return r;
        jmp_node_append(list, value);
    }
    c->args = list;
    return 0;
}

static void begin(struct jmp_rpc *rpc, struct jmp_door *door, const char *uuid, const char *method,
                  Google__Protobuf__Value **args, size_t count, bool items)
{
    struct jmp_device *device = jmp_service_find(door->session, rpc, uuid);
    struct driver_call *c;
    int r;

    if (!device)
        return;
    /* No driver has a method of such a name; a longer one is not worth keeping. */
    if (strlen(method) > 255) {
        jmp_rpc_finish(rpc, JMP_NOT_FOUND, "method %.*s... not found on driver", ECHO_MAX, method);
        return;
    }
    c = calloc(1, sizeof(*c) + strlen(method) + 1);
    if (!c) {
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "no memory for a call");
        return;
    }
    strcpy(c->method, method);
    c->session = door->session;
    c->logs = jmp_session_logs(door->session);
    c->device = device;
    c->items = items;
    c->waiter.go = go;
    r = read_args(c, args, count);
    if (r < 0) {
        jmp_rpc_finish(rpc, r == -ENOMEM ? JMP_RESOURCE_EXHAUSTED : JMP_INVALID_ARGUMENT,
                       "the arguments of %s cannot be read: %s", method, strerror(-r));
        drop(c);
        return;
    }
    c->rpc = rpc;
    jmp_rpc_listen(rpc, &rpc_events, c);

    switch (jmp_session_pass(door, &c->waiter)) {
    case JMP_GATE_OPEN:
        start(c);
        break;
    case JMP_GATE_REFUSE:
        go(&c->waiter, false);
        break;
    case JMP_GATE_HOLD:
        break;
    }
}

void jmp_service_driver_call(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const CallRequest *request = (const CallRequest *)message;

    begin(rpc, user, request->uuid, request->method, request->args, request->n_args, false);
}

void jmp_service_streaming_driver_call(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const ItemsRequest *request = (const ItemsRequest *)message;

    begin(rpc, user, request->uuid, request->method, request->args, request->n_args, true);
}

/*
 * LogStream.
 */

struct log_call {
    struct jmp_rpc *rpc;
    struct jmp_log_reader reader;
    struct jmp_hearer hearer;
    bool sending;
};

#define FIELDS_MAX 4

static void add_field(Jumpstarter__V1__LogStreamResponse *response,
                      Jumpstarter__V1__LogStreamResponse__StructuredFieldsEntry *entries, const char *key,
                      const char *value)
{
    Jumpstarter__V1__LogStreamResponse__StructuredFieldsEntry *entry = &entries[response->n_structured_fields];

    if (!value)
        return;
    jumpstarter__v1__log_stream_response__structured_fields_entry__init(entry);
    entry->key = (char *)key;
    entry->value = (char *)value;
    response->structured_fields[response->n_structured_fields++] = entry;
}

static int send_record(struct log_call *c, const struct jmp_log_record *record)
{
    static const Jumpstarter__V1__LogSource sources[] = {
        [JMP_LOG_SYSTEM] = JUMPSTARTER__V1__LOG_SOURCE__LOG_SOURCE_SYSTEM,
        [JMP_LOG_DRIVER] = JUMPSTARTER__V1__LOG_SOURCE__LOG_SOURCE_DRIVER,
        [JMP_LOG_BEFORE_LEASE] = JUMPSTARTER__V1__LOG_SOURCE__LOG_SOURCE_BEFORE_LEASE_HOOK,
        [JMP_LOG_AFTER_LEASE] = JUMPSTARTER__V1__LOG_SOURCE__LOG_SOURCE_AFTER_LEASE_HOOK,
    };
    Jumpstarter__V1__LogStreamResponse__StructuredFieldsEntry entries[FIELDS_MAX], *places[FIELDS_MAX];
    Jumpstarter__V1__LogStreamResponse response = JUMPSTARTER__V1__LOG_STREAM_RESPONSE__INIT;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    const struct jmp_log_fields *fields = record->fields;

    /* In capitals: stock clients know no other spelling, and read the stream again and again when they meet one. */
    response.severity = (char *)jmp_log_level_name(record->level);
    response.message = (char *)record->message;
    response._source_case = JUMPSTARTER__V1__LOG_STREAM_RESPONSE___SOURCE_SOURCE;
    response.source = sources[fields->source];
    if (fields->driver_type) {
        response._driver_type_case = JUMPSTARTER__V1__LOG_STREAM_RESPONSE___DRIVER_TYPE_DRIVER_TYPE;
        response.driver_type = (char *)fields->driver_type;
    }
    if (fields->operation) {
        response._operation_case = JUMPSTARTER__V1__LOG_STREAM_RESPONSE___OPERATION_OPERATION;
        response.operation = (char *)fields->operation;
    }
    time.seconds = (int64_t)(record->realtime / JMP_USEC_PER_SEC);
    time.nanos = (int32_t)(record->realtime % JMP_USEC_PER_SEC) * 1000;
    response._timestamp_case = JUMPSTARTER__V1__LOG_STREAM_RESPONSE___TIMESTAMP_TIMESTAMP;
    response.timestamp = &time;
    response.structured_fields = places;
    add_field(&response, entries, "result", fields->result);
    add_field(&response, entries, "error_type", fields->error_type);
    add_field(&response, entries, "driver", fields->driver && *fields->driver ? fields->driver : NULL);

    return jmp_rpc_send(c->rpc, &response.base);
}

static int send_lost(struct log_call *c, uint64_t lost, uint64_t realtime)
{
    char text[96];

    snprintf(text, sizeof(text), "%llu log records were lost here: the reader was too slow", (unsigned long long)lost);
    return send_record(c, &(struct jmp_log_record){ .level = JMP_LOG_WARNING, .message = text, .realtime = realtime,
                                                    .fields = FIELDS(.source = JMP_LOG_SYSTEM) });
}

static void send_next(struct jmp_log_reader *reader)
{
    struct log_call *c = CONTAINER_OF(reader, struct log_call, reader);
    const struct jmp_log_record *record;
    uint64_t lost;
    int r;

    if (c->sending)
        return;
    record = jmp_log_reader_next(reader, &lost);
    if (!record)
        return;   /* what was lost at the very end is told with the next record */

    if (lost > 0) {
        /* The loss first; the record is read again after it. */
        reader->position--;
        r = send_lost(c, lost, record->realtime);
    } else {
        r = send_record(c, record);
    }
    if (r < 0 && r != -EPIPE)
        jmp_rpc_finish(c->rpc, JMP_RESOURCE_EXHAUSTED, "no memory for a log record");
    c->sending = r == 0;
}

static void log_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct log_call *c = user;

    c->sending = false;
    if (!ok)
        return;
    jmp_hearer_given(&c->hearer, c->reader.position);
    send_next(&c->reader);
}

static void log_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct log_call *c = user;

    jmp_log_reader_close(&c->reader);
    jmp_hearer_leave(&c->hearer);
    free(c);
}

static const struct jmp_rpc_events log_events = { .sent = log_sent, .closed = log_closed };

void jmp_service_log_stream(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const struct jmp_door *door = user;
    struct log_call *c = calloc(1, sizeof(*c));

    if (!c) {
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "no memory for a log reader");
        return;
    }
    c->rpc = rpc;
    jmp_rpc_listen(rpc, &log_events, c);
    jmp_rpc_send_headers(rpc, NULL);
    jmp_log_reader_open(&c->reader, jmp_session_logs(door->session), jmp_session_log_start(door->session), send_next);
    if (!door->trusted)
        jmp_hearer_join(&c->hearer, jmp_session_hearing(door->session), c->reader.position);
    send_next(&c->reader);
}

/*
 * The short ones.
 */

void jmp_service_get_report(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    Jumpstarter__V1__GetReportResponse response = JUMPSTARTER__V1__GET_REPORT_RESPONSE__INIT;
    Jumpstarter__V1__GetReportResponse__LabelsEntry label = JUMPSTARTER__V1__GET_REPORT_RESPONSE__LABELS_ENTRY__INIT;
    Jumpstarter__V1__GetReportResponse__LabelsEntry *labels[] = { &label };
    struct jmp_session *session = ((struct jmp_door *)user)->session;

    if (jmp_tree_new(0, &tree) < 0 ||
        jmp_report_build(jmp_session_devices(session), tree, &response.reports, &response.n_reports) < 0) {
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "no memory for the report");
        return;
    }
    label.key = (char *)JMP_LABEL_NAME;
    label.value = (char *)jmp_session_name(session);
    response.labels = labels;
    response.n_labels = ELEMENTSOF(labels);
    response.uuid = (char *)jmp_session_uuid(session);
    response.motd = (char *)jmp_session_motd(session);
    jmp_rpc_reply(rpc, &response.base);
}

static void answer_status(struct jmp_rpc *rpc, const struct jmp_session *session)
{
    Jumpstarter__V1__GetStatusResponse response = JUMPSTARTER__V1__GET_STATUS_RESPONSE__INIT;
    const struct jmp_status_line *line = jmp_session_status(session);

    response.status = (Jumpstarter__V1__ExporterStatus)line->value;
    response._message_case = JUMPSTARTER__V1__GET_STATUS_RESPONSE___MESSAGE_MESSAGE;
    response.message = (char *)line->message;
    response.status_version = line->version;
    if (line->has_previous) {
        response._previous_status_case = JUMPSTARTER__V1__GET_STATUS_RESPONSE___PREVIOUS_STATUS_PREVIOUS_STATUS;
        response.previous_status = (Jumpstarter__V1__ExporterStatus)line->previous;
    }
    jmp_rpc_reply(rpc, &response.base);
}

struct status_call {
    struct jmp_rpc *rpc;
    struct jmp_asker asker;
    const struct jmp_session *session;
};

static void go_status(struct jmp_asker *asker)
{
    struct status_call *c = CONTAINER_OF(asker, struct status_call, asker);

    answer_status(c->rpc, c->session);
}

static void status_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct status_call *c = user;

    jmp_asker_leave(&c->asker);
    free(c);
}

static const struct jmp_rpc_events status_events = { .closed = status_closed };

void jmp_service_get_status(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const struct jmp_door *door = user;
    struct status_call *c = NULL;

    if (!door->trusted && jmp_exporter_status_is_failure(jmp_session_status(door->session)->value))
        c = calloc(1, sizeof(*c));
    if (!c) {
        answer_status(rpc, door->session);
        return;
    }
    *c = (struct status_call){ .rpc = rpc, .session = door->session, .asker.go = go_status };
    jmp_rpc_listen(rpc, &status_events, c);
    if (jmp_hearing_ask(jmp_session_hearing(door->session), &c->asker, jmp_rpc_deadline(rpc)))
        go_status(&c->asker);
}

void jmp_service_end_session(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    Jumpstarter__V1__EndSessionResponse response = JUMPSTARTER__V1__END_SESSION_RESPONSE__INIT;
    const char *text = "";

    response.success = jmp_session_end(((struct jmp_door *)user)->session, &text);
    response._message_case = JUMPSTARTER__V1__END_SESSION_RESPONSE___MESSAGE_MESSAGE;
    response.message = (char *)text;
    jmp_rpc_reply(rpc, &response.base);
}

void jmp_service_reset(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    jmp_rpc_finish(rpc, JMP_UNIMPLEMENTED, "Method not implemented!");
}
