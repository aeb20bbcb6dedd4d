/* SPDX-License-Identifier: Apache-2.0 */
#include "client/session_client.h"

#include <string.h>

#include "base/json.h"
#include "base/writer.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/methods.h"
#include "rpc/value.h"

#define STATUS_TIMEOUT (5 * JMP_USEC_PER_SEC)
#define LOG_TRIES 10u

struct logs {
    struct jmp_session_client *session;   /* NULL: nobody listens any more */
    void (*line)(const struct jmp_log_line *line, void *user);
    void *user;
    struct jmp_rpc *rpc;
    struct jmp_timer retry;
    unsigned failures;
};

struct jmp_session_client {
    struct jmp_client *client;
    struct jmp_multipath *paths;
    char *passphrase;
    struct logs *logs;
};

int jmp_session_client_new(struct jmp_client *client, const struct jmp_session_options *options,
                           struct jmp_session_client **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = calloc(1, sizeof(*session));
    int r;

    if (!session)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    session->client = client;
    if (options->passphrase) {
        session->passphrase = strdup(options->passphrase);
        if (!session->passphrase)
            return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    r = jmp_multipath_new(client, options->paths, options->n_paths, &session->paths, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(session);
    return 0;
}

static void logs_free(struct logs *logs)
{
    jmp_timer_close(&logs->retry);
    logs->session = NULL;
    if (logs->rpc)
        jmp_rpc_cancel(logs->rpc);   /* freed by its closed() */
    else
        free(logs);
}

struct jmp_session_client *jmp_session_client_free(struct jmp_session_client *session)
{
    if (!session)
        return NULL;
    if (session->logs)
        logs_free(session->logs);
    jmp_multipath_free(session->paths);
    if (session->passphrase)
        explicit_bzero(session->passphrase, strlen(session->passphrase));
    free(session->passphrase);
    free(session);
    return NULL;
}

struct jmp_client *jmp_session_client_base(struct jmp_session_client *session) { return session->client; }

struct jmp_channel *jmp_session_client_channel(struct jmp_session_client *session)
{
    return jmp_multipath_channel(session->paths);
}

void jmp_session_client_metadata(const struct jmp_session_client *session, const char *key, const char *value,
                                 struct jmp_metadata *ret)
{
    if (session->passphrase)
        *ret++ = (struct jmp_metadata){ "x-jumpstarter-passphrase", session->passphrase };
    if (key)
        *ret++ = (struct jmp_metadata){ key, value };
    *ret = (struct jmp_metadata){ 0 };
}

static int call(struct jmp_session_client *session, const struct jmp_method_info *method, uint64_t timeout,
                const ProtobufCMessage *request, int (*take)(const ProtobufCMessage *, void *, struct jmp_error *),
                void *user, struct jmp_error *reterr)
{
    struct jmp_metadata metadata[4];
    enum jmp_code code = JMP_OK;
    int r;

    jmp_session_client_metadata(session, NULL, NULL, metadata);
    r = jmp_client_call(session->client, jmp_session_client_channel(session), method, metadata, timeout, request, take,
                        user, &code, reterr);
    if (r < 0 && code == JMP_UNAUTHENTICATED)
        jmp_error_hint(reterr, "--passphrase-file or JMP_GRPC_PASSPHRASE gives the passphrase of a direct exporter");
    if (r < 0 && code == JMP_DEADLINE_EXCEEDED && timeout != JMP_USEC_INFINITY)
        jmp_error_set(reterr, r, "the exporter did not answer within %llu s",
                      (unsigned long long)(timeout / JMP_USEC_PER_SEC));
    return r;
}

/*
 * GetReport
 */

/* protoc-c gives every map<string, string> entry this shape. */
struct entry {
    ProtobufCMessage base;
    char *key, *value;
};

static int copy_pairs(struct jmp_tree *tree, void *entries, size_t count, struct jmp_pairs *ret)
{
    struct entry *const *from = entries;
    struct jmp_pairs pairs = { 0 };

    if (count > 0) {
        pairs.items = jmp_tree_alloc(tree, count * sizeof(*pairs.items));
        if (!pairs.items)
            return -ENOMEM;
    }
    for (; pairs.count < count; pairs.count++) {
        const char *key = jmp_tree_strdup(tree, from[pairs.count]->key, strlen(from[pairs.count]->key));
        const char *value = jmp_tree_strdup(tree, from[pairs.count]->value, strlen(from[pairs.count]->value));

        if (!key || !value)
            return -ENOMEM;
        pairs.items[pairs.count] = (struct jmp_pair){ key, value };
    }
    jmp_pairs_sort(&pairs);
    *ret = pairs;
    return 0;
}

static int copy_text(struct jmp_tree *tree, const char *text, const char **ret)
{
    *ret = jmp_tree_strdup(tree, text ? text : "", text ? strlen(text) : 0);
    return *ret ? 0 : -ENOMEM;
}

static int take_report(const ProtobufCMessage *message, void *user, struct jmp_error *reterr)
{
    const Jumpstarter__V1__GetReportResponse *response = (const void *)message;
    struct jmp_driver_tree *tree = user;
    int r;

    r = copy_text(tree->memory, response->uuid, &tree->uuid);
    if (r >= 0)
        r = copy_text(tree->memory, response->motd, &tree->motd);
    if (r >= 0)
        r = copy_pairs(tree->memory, response->labels, response->n_labels, &tree->labels);
    for (size_t i = 0; i < response->n_reports && r >= 0; i++) {
        const Jumpstarter__V1__DriverInstanceReport *from = response->reports[i];
        struct jmp_driver_ref *ref = jmp_driver_tree_add(tree);

        if (!ref)
            return -ENOMEM;
        r = copy_text(tree->memory, from->uuid, &ref->uuid);
        if (r >= 0)
            r = copy_text(tree->memory, from->_parent_uuid_case ? from->parent_uuid : NULL, &ref->parent_uuid);
        if (r >= 0)
            r = copy_text(tree->memory, from->_description_case ? from->description : NULL, &ref->description);
        if (r >= 0)
            r = copy_pairs(tree->memory, from->labels, from->n_labels, &ref->labels);
        if (r >= 0)
            r = copy_pairs(tree->memory, from->methods_description, from->n_methods_description, &ref->methods);
    }
    return r;
}

int jmp_session_client_report(struct jmp_session_client *session, uint64_t timeout, struct jmp_driver_tree **ret,
                              struct jmp_error *reterr)
{
    Google__Protobuf__Empty request = GOOGLE__PROTOBUF__EMPTY__INIT;
    _cleanup_(jmp_driver_tree_freep) struct jmp_driver_tree *tree = NULL;
    int r;

    r = jmp_driver_tree_new(&tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = call(session, &jmp_exporter_get_report, timeout, &request.base, take_report, tree, reterr);
    if (r < 0)
        return r;
    r = jmp_driver_tree_link(tree, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(tree);
    return 0;
}

/*
 * GetStatus, EndSession
 */

static int take_status(const ProtobufCMessage *message, void *user, struct jmp_error *reterr)
{
    const Jumpstarter__V1__GetStatusResponse *response = (const void *)message;
    struct jmp_session_status *status = user;

    status->status = (unsigned)response->status;
    snprintf(status->message, sizeof(status->message), "%s", response->_message_case ? response->message : "");
    return 0;
}

int jmp_session_client_status(struct jmp_session_client *session, struct jmp_session_status *ret,
                              struct jmp_error *reterr)
{
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;

    return call(session, &jmp_exporter_get_status, STATUS_TIMEOUT, &request.base, take_status, ret, reterr);
}

static int take_end(const ProtobufCMessage *message, void *user, struct jmp_error *reterr)
{
    *(bool *)user = ((const Jumpstarter__V1__EndSessionResponse *)message)->success;
    return 0;
}

int jmp_session_client_end(struct jmp_session_client *session, struct jmp_error *reterr)
{
    Jumpstarter__V1__EndSessionRequest request = JUMPSTARTER__V1__END_SESSION_REQUEST__INIT;
    bool success = false;
    int r;

    r = call(session, &jmp_exporter_end_session, STATUS_TIMEOUT, &request.base, take_end, &success, reterr);
    return r < 0 ? r : success;
}

/*
 * Driver calls
 */

static int to_values(const struct jmp_node *args, struct jmp_tree *tree, size_t *retcount,
                     Google__Protobuf__Value ***ret)
{
    Google__Protobuf__Value **values;
    size_t n = 0;
    int r;

    values = jmp_tree_alloc(tree, ((args ? args->count : 0) + 1) * sizeof(Google__Protobuf__Value *));
    if (!values)
        return -ENOMEM;
    JMP_NODE_EACH(arg, args) {
        r = jmp_value_from_node(arg, tree, &values[n++]);
        if (r < 0)
            return r;
    }
    *retcount = n;
    *ret = values;
    return 0;
}

struct answer {
    struct jmp_tree *tree;
    const struct jmp_node **ret;
};

static int take_answer(const ProtobufCMessage *message, void *user, struct jmp_error *reterr)
{
    const Jumpstarter__V1__DriverCallResponse *response = (const void *)message;
    struct answer *answer = user;
    struct jmp_node *node;
    int r;

    if (!answer->ret)
        return 0;
    r = jmp_value_to_node(response->result, answer->tree, &node);
    if (r >= 0)
        *answer->ret = node;
    return r;
}

int jmp_session_client_call(struct jmp_session_client *session, const char *uuid, const char *method,
                            const struct jmp_node *args, struct jmp_tree *tree, const struct jmp_node **ret,
                            struct jmp_error *reterr)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;
    struct answer answer = { .tree = tree, .ret = ret };
    int r;

    r = to_values(args, tree, &request.n_args, &request.args);
    if (r < 0)
        return jmp_error_set(reterr, r, "the arguments cannot be sent: %m");
    request.uuid = (char *)uuid;
    request.method = (char *)method;
    return call(session, &jmp_exporter_driver_call, JMP_USEC_INFINITY, &request.base, take_answer, &answer, reterr);
}

struct items {
    struct jmp_client *client;
    int (*item)(const struct jmp_node *item, void *user);
    void *user;
    struct jmp_error error;
    int result;
    bool done;
};

static void on_item(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__StreamingDriverCallResponse *response = (const void *)message;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct items *items = user;
    struct jmp_node *node;
    int r;

    if (!response)
        return;
    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = jmp_value_to_node(response->result, tree, &node);
    if (r >= 0)
        r = items->item(node, items->user);
    if (r < 0) {
        if (items->result == 0)
            items->result = jmp_error_set(&items->error, r, "%m");
        jmp_rpc_cancel(rpc);
        return;
    }
    jmp_rpc_receive(rpc);
}

static void on_items_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct items *items = user;

    if (items->result == 0 && status->code != JMP_OK)
        items->result = jmp_client_refuse(&items->error, status);
    items->done = true;
    jmp_client_wake(items->client);
}

int jmp_session_client_items(struct jmp_session_client *session, const char *uuid, const char *method,
                             const struct jmp_node *args, int (*item)(const struct jmp_node *item, void *user),
                             void *user, struct jmp_error *reterr)
{
    static const struct jmp_rpc_events events = { .message = on_item, .closed = on_items_closed };
    Jumpstarter__V1__StreamingDriverCallRequest request = JUMPSTARTER__V1__STREAMING_DRIVER_CALL_REQUEST__INIT;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct items items = { .client = session->client, .item = item, .user = user };
    struct jmp_metadata metadata[4];
    struct jmp_rpc *rpc = NULL;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = to_values(args, tree, &request.n_args, &request.args);
    if (r < 0)
        return jmp_error_set(reterr, r, "the arguments cannot be sent: %m");
    request.uuid = (char *)uuid;
    request.method = (char *)method;
    jmp_session_client_metadata(session, NULL, NULL, metadata);
    r = jmp_channel_call(jmp_session_client_channel(session), &jmp_exporter_streaming_driver_call, metadata,
                         JMP_USEC_INFINITY, &request.base, &events, &items, &rpc);
    if (r < 0)
        return jmp_error_set(reterr, r, "the call cannot be made: %m");
    jmp_rpc_receive(rpc);

    r = jmp_client_wait(session->client, &items.done, JMP_USEC_INFINITY);
    if (r < 0) {
        if (items.result == 0)
            items.result = jmp_error_set(&items.error, r, r == -ECANCELED ? "interrupted" : "%m");
        jmp_rpc_cancel(rpc);
        while (!items.done)
            jmp_client_settle(session->client, &items.done, JMP_USEC_INFINITY);
    }
    if (items.result < 0 && reterr)
        *reterr = items.error;
    return items.result;
}

int jmp_session_client_open(struct jmp_session_client *session, const char *uuid, const char *method, int fd,
                            const struct jmp_pump_events *events, void *user, struct jmp_pump **ret,
                            struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    _cleanup_close_ int taken = fd;
    _cleanup_free_ char *json = NULL;
    const struct jmp_node *node;
    struct jmp_metadata metadata[4];
    int r;

    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "kind");
    jmp_writer_string(writer, "driver");
    jmp_writer_key(writer, "uuid");
    jmp_writer_string(writer, uuid);
    jmp_writer_key(writer, "method");
    jmp_writer_string(writer, method);
    jmp_writer_end_map(writer);
    r = jmp_writer_finish(writer, &node);
    if (r >= 0)
        r = jmp_json_print(node, 0, &json);
    if (r < 0)
        return jmp_error_set(reterr, r, "the stream %s cannot be asked for: %m", method);

    jmp_session_client_metadata(session, "request", json, metadata);
    r = jmp_pump_dial(jmp_session_client_channel(session), metadata, TAKE_FD(taken), events, user, ret);
    return r < 0 ? jmp_error_set(reterr, r, "the stream %s cannot be opened: %m", method) : 0;
}

/*
 * LogStream
 */

static void start_logs(struct logs *logs);

static void on_log_retry(struct jmp_timer *timer) { start_logs(CONTAINER_OF(timer, struct logs, retry)); }

static void on_log(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__LogStreamResponse *response = (const void *)message;
    struct logs *logs = user;

    if (!response || !logs->session)
        return;
    logs->failures = 0;
    logs->line(&(const struct jmp_log_line){ .severity = *response->severity ? response->severity : "INFO",
                                             .message = response->message,
                                             .origin = response->_source_case ? (unsigned)response->source
                                                                              : JMP_ORIGIN_UNKNOWN },
               logs->user);
    jmp_rpc_receive(rpc);
}

static void again(struct logs *logs)
{
    uint64_t pause = (100 * JMP_USEC_PER_MSEC) << (logs->failures < 5 ? logs->failures : 5);

    if (++logs->failures > LOG_TRIES)
        return;
    if (pause > 2 * JMP_USEC_PER_SEC)
        pause = 2 * JMP_USEC_PER_SEC;
    jmp_timer_start(jmp_client_loop(logs->session->client), &logs->retry, pause, on_log_retry);
}

static void on_logs_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct logs *logs = user;

    logs->rpc = NULL;
    if (!logs->session) {
        free(logs);
        return;
    }
    if (status->code != JMP_CANCELLED && status->code != JMP_UNIMPLEMENTED && status->code != JMP_UNAUTHENTICATED)
        again(logs);
}

static void start_logs(struct logs *logs)
{
    static const struct jmp_rpc_events events = { .message = on_log, .closed = on_logs_closed };
    Google__Protobuf__Empty request = GOOGLE__PROTOBUF__EMPTY__INIT;
    struct jmp_metadata metadata[4];
    int r;

    jmp_session_client_metadata(logs->session, NULL, NULL, metadata);
    r = jmp_channel_call(jmp_session_client_channel(logs->session), &jmp_exporter_log_stream, metadata,
                         JMP_USEC_INFINITY, &request.base, &events, logs, &logs->rpc);
    if (r < 0) {
        again(logs);
        return;
    }
    jmp_rpc_receive(logs->rpc);
}

int jmp_session_client_logs(struct jmp_session_client *session,
                            void (*line)(const struct jmp_log_line *line, void *user), void *user)
{
    struct logs *logs;

    if (session->logs)
        return -EALREADY;
    logs = calloc(1, sizeof(*logs));
    if (!logs)
        return -ENOMEM;
    *logs = (struct logs){ .session = session, .line = line, .user = user };
    session->logs = logs;
    start_logs(logs);
    return 0;
}
