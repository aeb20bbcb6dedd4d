/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lab_double_test.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/test.h"
#include "client/tree.h"
#include "jumpstarter/client/v1/client.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/frame.h"
#include "rpc/methods.h"
#include "rpc/pump.h"
#include "rpc/server.h"
#include "rpc/value.h"

static const unsigned always_ready[] = { JMP_STATUS_LEASE_READY, 0 };

static enum lab_step next_step(struct lab *lab)
{
    enum lab_step step = lab->steps[0];

    if (lab->steps[1] != LAB_SILENT)
        lab->steps++;
    return step;
}

static void answer_lease(struct lab *lab, struct jmp_rpc *rpc, enum lab_step step)
{
    static const struct {
        const char *type, *status, *reason, *message;
    } conditions[] = {
        [LAB_PENDING] = { "Pending", "True", "NotAvailable", "all boards are leased" },
        [LAB_READY] = { "Ready", "True", "Ready", "exporter acquired" },
        [LAB_UNSATISFIABLE] = { "Unsatisfiable", "True", "NoAccess", "no board has these labels" },
        [LAB_INVALID] = { "Invalid", "True", "InvalidSelector", "the selector is empty" },
        [LAB_RELEASED] = { "Ready", "False", "Released", "" },
        [LAB_NO_EXPORTER] = { "Unsatisfiable", "True", "NoExporter", "none is online" },
        [LAB_GONE] = { 0 },
    };
    Jumpstarter__Client__V1__Lease lease = JUMPSTARTER__CLIENT__V1__LEASE__INIT;
    Jumpstarter__V1__Condition condition = JUMPSTARTER__V1__CONDITION__INIT, *list[] = { &condition };
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Timestamp begin = GOOGLE__PROTOBUF__TIMESTAMP__INIT;

    lease.name = (char *)"namespaces/default/leases/the-lease";
    lease.selector = (char *)"board=x";
    lease._client_case = JUMPSTARTER__CLIENT__V1__LEASE___CLIENT_CLIENT;
    lease.client = (char *)lab->owner;
    if (step != LAB_SILENT) {
        condition._type_case = JUMPSTARTER__V1__CONDITION___TYPE_TYPE;
        condition.type = (char *)conditions[step].type;
        condition._status_case = JUMPSTARTER__V1__CONDITION___STATUS_STATUS;
        condition.status = (char *)conditions[step].status;
        condition._reason_case = JUMPSTARTER__V1__CONDITION___REASON_REASON;
        condition.reason = (char *)conditions[step].reason;
        condition._message_case = JUMPSTARTER__V1__CONDITION___MESSAGE_MESSAGE;
        condition.message = (char *)conditions[step].message;
        lease.conditions = list;
        lease.n_conditions = 1;
    }
    if (lab->duration > 0) {
        duration.seconds = lab->duration / 1000000;
        duration.nanos = (int32_t)(lab->duration % 1000000) * 1000;
        lease._duration_case = JUMPSTARTER__CLIENT__V1__LEASE___DURATION_DURATION;
        lease.duration = &duration;
        begin.seconds = time(NULL);
        lease._effective_begin_time_case = JUMPSTARTER__CLIENT__V1__LEASE___EFFECTIVE_BEGIN_TIME_EFFECTIVE_BEGIN_TIME;
        lease.effective_begin_time = &begin;
    }
    if (step == LAB_READY) {
        lease._exporter_case = JUMPSTARTER__CLIENT__V1__LEASE___EXPORTER_EXPORTER;
        lease.exporter = (char *)"namespaces/default/exporters/board-1";
    }
    jmp_rpc_reply(rpc, &lease.base);
}

static void on_late_create(struct jmp_timer *timer)
{
    struct lab *lab = CONTAINER_OF(timer, struct lab, timer);

    answer_lease(lab, lab->held, LAB_SILENT);
    lab->held = NULL;
}

static void create_lease(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    struct lab *lab = user;

    /* Each lease begins with an exporter that is ready, but the first, which may have more to tell. */
    if (lab->creates++ > 0)
        lab->statuses = always_ready;
    if (lab->hold_create) {
        lab->held = rpc;
        jmp_timer_start(jmp_client_loop(lab->client), &lab->timer, 50 * JMP_USEC_PER_MSEC, on_late_create);
        jmp_client_interrupt(lab->client);
        return;
    }
    answer_lease(lab, rpc, LAB_SILENT);
}

static void get_lease(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    struct lab *lab = user;
    enum lab_step step = next_step(lab);

    lab->gets++;
    if (step == LAB_DOWN)
        jmp_rpc_finish(rpc, JMP_UNAVAILABLE, "down for a moment");
    else if (step == LAB_GONE)
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "leases.jumpstarter.dev \"the-lease\" not found");
    else
        answer_lease(lab, rpc, step);
}

static void delete_lease(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__Client__V1__DeleteLeaseRequest *request = (const void *)message;
    Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;

    assert_string_equal(request->name, "namespaces/default/leases/the-lease");
    ((struct lab *)user)->deletes++;
    jmp_rpc_reply(rpc, &empty.base);
}

static void rotate_token(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__Client__V1__RotateTokenRequest *request = (const void *)message;
    Jumpstarter__Client__V1__RotateTokenResponse response = JUMPSTARTER__CLIENT__V1__ROTATE_TOKEN_RESPONSE__INIT;
    Google__Protobuf__Timestamp expiry = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    struct lab *lab = user;

    assert_string_equal(request->parent, "namespaces/default");
    if (!lab->new_token) {
        jmp_rpc_finish(rpc, JMP_INTERNAL, "failed to get credential secret: gone");
        return;
    }
    expiry.seconds = 1900000000;
    response.token = (char *)lab->new_token;
    response.expiry = &expiry;
    jmp_rpc_reply(rpc, &response.base);
}

/* Three pages of two. */
static void list_exporters(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__Client__V1__ListExportersRequest *request = (const void *)message;
    Jumpstarter__Client__V1__ListExportersResponse response = JUMPSTARTER__CLIENT__V1__LIST_EXPORTERS_RESPONSE__INIT;
    Jumpstarter__Client__V1__Exporter exporters[2], *list[] = { &exporters[0], &exporters[1] };
    Jumpstarter__Client__V1__Exporter__LabelsEntry labels[2], *entries[] = { &labels[0], &labels[1] };
    unsigned page = *request->page_token ? (unsigned)(request->page_token[0] - '0') : 0;
    char names[2][64], next[2] = { (char)('1' + page), 0 };

    ((struct lab *)user)->page_size = (unsigned)request->page_size;
    assert_string_equal(request->parent, "namespaces/default");
    assert_string_equal(jmp_rpc_metadata(rpc, "authorization", NULL), "Bearer secret");
    assert_string_equal(jmp_rpc_metadata(rpc, "jumpstarter-kind", NULL), "Client");
    assert_string_equal(jmp_rpc_metadata(rpc, "jumpstarter-name", NULL), "ann");
    for (unsigned i = 0; i < 2; i++) {
        jumpstarter__client__v1__exporter__init(&exporters[i]);
        snprintf(names[i], sizeof(names[i]), "namespaces/default/exporters/board-%u", page * 2 + i);
        exporters[i].name = names[i];
        jumpstarter__client__v1__exporter__labels_entry__init(&labels[i]);
        labels[i].key = (char *)(i ? "a" : "b");
        labels[i].value = (char *)"1";
    }
    exporters[0].labels = entries;
    exporters[0].n_labels = 2;
    response.exporters = list;
    response.n_exporters = 2;
    response.next_page_token = page < 2 ? next : (char *)"";
    jmp_rpc_reply(rpc, &response.base);
}

static void get_exporter(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    Jumpstarter__Client__V1__Exporter exporter = JUMPSTARTER__CLIENT__V1__EXPORTER__INIT;
    Jumpstarter__Client__V1__Exporter__LabelsEntry label =
        JUMPSTARTER__CLIENT__V1__EXPORTER__LABELS_ENTRY__INIT, *entries[] = { &label };

    exporter.name = (char *)"namespaces/default/exporters/board-1";
    label.key = (char *)"board";
    label.value = (char *)"x";
    exporter.labels = entries;
    exporter.n_labels = 1;
    jmp_rpc_reply(rpc, &exporter.base);
}

static void on_held_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct lab *lab = user;

    lab->held = NULL;
    lab->held_cancelled = true;
    lab->dials_cancelled++;
    jmp_client_wake(lab->client);
}

static void hold(struct lab *lab, struct jmp_rpc *rpc)
{
    static const struct jmp_rpc_events events = { .closed = on_held_closed };

    lab->held = rpc;
    jmp_rpc_listen(rpc, &events, lab);
    jmp_client_wake(lab->client);
}

static void dial(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    Jumpstarter__V1__DialResponse response = JUMPSTARTER__V1__DIAL_RESPONSE__INIT;
    struct lab *lab = user;

    lab->dials++;
    if (lab->hold_dial) {
        hold(lab, rpc);
        return;
    }
    if (lab->dials <= lab->refused_dials) {
        jmp_rpc_finish(rpc, lab->dial_code, "%s", lab->dial_text);
        return;
    }
    response.router_endpoint = lab->local ? lab->local_endpoint : lab->endpoint;
    response.router_token = (char *)"router-token";
    jmp_rpc_reply(rpc, &response.base);
}

static void on_tunnel_closed(struct jmp_pump *pump, const struct jmp_status *status, void *user)
{
    jmp_pump_free(pump);
}

static void tunnel(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    static const struct jmp_pump_events events = { .closed = on_tunnel_closed };
    struct jmp_pump *pump;
    struct lab *lab = user;
    int pair[2];

    assert_string_equal(jmp_rpc_metadata(rpc, "authorization", NULL), "Bearer router-token");
    assert_null(jmp_rpc_metadata(rpc, "jumpstarter-name", NULL));
    lab->tunnels++;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(jmp_server_adopt(lab->exporter, pair[0]), 0);
    assert_int_equal(jmp_pump_serve(rpc, pair[1], &events, lab, &pump), 0);
}

/*
 * The exporter
 */

static void get_report(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    Jumpstarter__V1__GetReportResponse response = JUMPSTARTER__V1__GET_REPORT_RESPONSE__INIT;
    Jumpstarter__V1__DriverInstanceReport reports[3], *list[] = { &reports[0], &reports[1], &reports[2] };
    Jumpstarter__V1__DriverInstanceReport__LabelsEntry labels[6], *entries[6];
    static const char *const uuids[] = { "00000000-0000-4000-8000-000000000001", LAB_POWER, LAB_ECHO };
    static const char *const words[] = { "", "power", "echo" };
    static const char *const classes[] = { "jumpstarter_driver_composite.client.CompositeClient",
                                           "jumpstarter_driver_power.client.PowerClient",
                                           "jumpstarter_driver_network.client.NetworkClient" };

    for (unsigned i = 0; i < 6; i++) {
        jumpstarter__v1__driver_instance_report__labels_entry__init(&labels[i]);
        labels[i].key = (char *)(i % 2 ? JMP_LABEL_NAME : JMP_LABEL_CLIENT);
        labels[i].value = (char *)(i % 2 ? words[i / 2] : classes[i / 2]);
        entries[i] = &labels[i];
    }
    for (unsigned i = 0; i < 3; i++) {
        jumpstarter__v1__driver_instance_report__init(&reports[i]);
        reports[i].uuid = (char *)uuids[i];
        reports[i].labels = &entries[i * 2];
        reports[i].n_labels = i > 0 ? 2 : 1;
        if (i > 0) {
            reports[i]._parent_uuid_case = JUMPSTARTER__V1__DRIVER_INSTANCE_REPORT___PARENT_UUID_PARENT_UUID;
            reports[i].parent_uuid = (char *)uuids[0];
        }
    }
    response.uuid = (char *)uuids[0];
    response.motd = (char *)"be kind\n";
    response.reports = list;
    response.n_reports = 3;
    jmp_rpc_reply(rpc, &response.base);
}

static void driver_call(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__DriverCallRequest *request = (const void *)message;
    Jumpstarter__V1__DriverCallResponse response = JUMPSTARTER__V1__DRIVER_CALL_RESPONSE__INIT;
    struct lab *lab = user;

    lab->calls++;
    if (strcmp(request->method, "hang") == 0) {
        hold(lab, rpc);
        return;
    }
    if (strcmp(request->method, "fail") == 0) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "the voltage is too high");
        return;
    }
    response.result = request->n_args > 0 ? request->args[0] : NULL;
    jmp_rpc_reply(rpc, &response.base);
}

static void on_item_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    Jumpstarter__V1__StreamingDriverCallResponse response = JUMPSTARTER__V1__STREAMING_DRIVER_CALL_RESPONSE__INIT;
    Google__Protobuf__Value value = GOOGLE__PROTOBUF__VALUE__INIT;
    uintptr_t left = (uintptr_t)jmp_rpc_user(rpc);
    static const struct jmp_rpc_events events = { .sent = on_item_sent };

    if (!ok)
        return;
    if (left == 0) {
        jmp_rpc_finish(rpc, JMP_OK, "%s", "");
        return;
    }
    value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    value.number_value = (double)left;
    response.result = &value;
    jmp_rpc_listen(rpc, &events, (void *)(left - 1));
    jmp_rpc_send(rpc, &response.base);
}

static void streaming_driver_call(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    static const struct jmp_rpc_events events = { .sent = on_item_sent };
    const Jumpstarter__V1__StreamingDriverCallRequest *request = (const void *)message;

    if (strcmp(request->method, "count") != 0) {
        jmp_rpc_finish(rpc, JMP_NOT_FOUND, "method %s not found on driver", request->method);
        return;
    }
    jmp_rpc_listen(rpc, &events, (void *)3);
    on_item_sent(rpc, true, (void *)3);
}

static void on_log_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    Jumpstarter__V1__LogStreamResponse line = JUMPSTARTER__V1__LOG_STREAM_RESPONSE__INIT;
    static const struct jmp_rpc_events silent = { 0 };

    if (!ok)
        return;
    line.severity = (char *)"INFO";
    line.message = (char *)"second";
    line._source_case = JUMPSTARTER__V1__LOG_STREAM_RESPONSE___SOURCE_SOURCE;
    line.source = JUMPSTARTER__V1__LOG_SOURCE__LOG_SOURCE_BEFORE_LEASE_HOOK;
    jmp_rpc_listen(rpc, &silent, user);
    jmp_rpc_send(rpc, &line.base);
}

static void log_stream(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    static const struct jmp_rpc_events events = { .sent = on_log_sent };
    Jumpstarter__V1__LogStreamResponse line = JUMPSTARTER__V1__LOG_STREAM_RESPONSE__INIT;

    jmp_rpc_listen(rpc, &events, user);
    line.message = (char *)"first";
    jmp_rpc_send(rpc, &line.base);
}

static void get_status(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    Jumpstarter__V1__GetStatusResponse response = JUMPSTARTER__V1__GET_STATUS_RESPONSE__INIT;
    struct lab *lab = user;

    response.status = (Jumpstarter__V1__ExporterStatus)lab->statuses[0];
    if (lab->statuses[1])
        lab->statuses++;
    response._message_case = JUMPSTARTER__V1__GET_STATUS_RESPONSE___MESSAGE_MESSAGE;
    response.message = (char *)"as told";
    jmp_rpc_reply(rpc, &response.base);
}

static void end_session(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    Jumpstarter__V1__EndSessionResponse response = JUMPSTARTER__V1__END_SESSION_RESPONSE__INIT;
    struct lab *lab = user;

    response.success = lab->ends++ == 0 || lab->ends <= lab->creates;
    if (lab->ending)
        lab->statuses = lab->ending;
    jmp_rpc_reply(rpc, &response.base);
}

/*
 * Streams of the exporter: "echo" by a socketpair whose other end we read ourselves would need a loop of its own;
 * frames go straight back.
 */

static void on_echo(struct jmp_rpc *rpc, struct jmp_buffer *buffer, void *user)
{
    if (buffer)
        jmp_rpc_send_buffer(rpc, buffer);
    else
        jmp_rpc_finish(rpc, JMP_OK, "%s", "");
}

static void on_echo_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    if (ok)
        jmp_rpc_receive(rpc);
}

/* What a console does: it talks, whoever has stopped talking to it. */
static void on_chatter_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    if (ok)
        jmp_rpc_send_buffer(rpc, jmp_frame_encode(JMP_FRAME_DATA, "and another thing\n", 18));
}

static void on_chatter_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct lab *lab = user;

    lab->chatter_left = true;
    jmp_client_wake(lab->client);
}

static void on_upload(struct jmp_rpc *rpc, struct jmp_buffer *taken, void *user)
{
    _cleanup_(jmp_buffer_freep) struct jmp_buffer *buffer = taken;
    struct lab *lab = user;
    static char data[512 * 1024];
    const void *payload;
    size_t length;
    unsigned type;

    if (!buffer)
        return;
    length = jmp_buffer_length(buffer);
    assert_true(length <= sizeof(data));
    assert_int_equal(jmp_buffer_copy(buffer, data, length), 0);
    assert_int_equal(jmp_frame_decode(data, length, &type, &payload, &length), 0);
    if (type == JMP_FRAME_GOAWAY) {
        lab->upload_ended = true;
        jmp_rpc_send_buffer(rpc, jmp_frame_encode(JMP_FRAME_GOAWAY, NULL, 0));
        return;
    }
    assert_true(lab->uploaded_length + length <= sizeof(lab->uploaded));
    memcpy(lab->uploaded + lab->uploaded_length, payload, length);
    lab->uploaded_length += length;
    jmp_rpc_receive(rpc);
}

static void on_upload_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct lab *lab = user;

    /* Once for the headers, once for our GOAWAY. */
    if (ok && lab->upload_ended)
        jmp_rpc_finish(rpc, JMP_ABORTED, "as stock exporters do");
}

char lab_download_byte(size_t at) { return (char)(at * 7 + at / 251); }

static void on_download_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct lab *lab = user;
    static char data[64 * 1024];
    size_t size = lab->download - lab->downloaded < sizeof(data) ? lab->download - lab->downloaded : sizeof(data);

    if (!ok)
        return;
    if (lab->downloaded > lab->download) {
        jmp_rpc_finish(rpc, JMP_ABORTED, "as stock exporters do");
        return;
    }
    for (size_t i = 0; i < size; i++)
        data[i] = lab_download_byte(lab->downloaded + i);
    lab->downloaded += size > 0 ? size : 1;
    jmp_rpc_send_buffer(rpc, jmp_frame_encode(size > 0 ? JMP_FRAME_DATA : JMP_FRAME_GOAWAY, data, size));
}

static void exporter_stream(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    static const struct jmp_rpc_events echo = { .buffer = on_echo, .sent = on_echo_sent };
    static const struct jmp_rpc_events upload = { .buffer = on_upload, .sent = on_upload_sent };
    static const struct jmp_rpc_events download = { .sent = on_download_sent };
    static const struct jmp_rpc_events chatter = { .sent = on_chatter_sent, .closed = on_chatter_closed };
    const char *request = jmp_rpc_metadata(rpc, "request", NULL);
    struct lab *lab = user;

    assert_non_null(request);
    if (lab->chatter) {
        jmp_rpc_listen(rpc, &chatter, lab);
        on_chatter_sent(rpc, true, lab);
        return;
    }
    if (strcmp(request, "{\"kind\":\"driver\",\"uuid\":\"" LAB_ECHO "\",\"method\":\"connect\"}") == 0) {
        jmp_rpc_listen(rpc, &echo, lab);
        jmp_rpc_send_headers(rpc, NULL);
        jmp_rpc_receive(rpc);
    } else if (strncmp(request, "{\"kind\":\"resource\",\"uuid\":\"" LAB_POWER "\"", 20) == 0) {
        jmp_rpc_listen(rpc, lab->download ? &download : &upload, lab);
        jmp_rpc_send_headers(rpc, lab->refuse_encoding
            ? (const struct jmp_metadata[]){ { "resource", "{\"kind\":\"client_stream\",\"uuid\":\"u\"}" }, { 0 } }
            : (const struct jmp_metadata[]){ { "resource", "{\"kind\":\"client_stream\",\"uuid\":\"u\"}" },
                                             { "x_jmp_accept_encoding", "gzip" }, { 0 } });
        if (lab->download)
            on_download_sent(rpc, true, lab);
        jmp_rpc_receive(rpc);
    } else {
        jmp_rpc_finish(rpc, JMP_NOT_FOUND, "no such stream");
    }
}

static bool admit(struct jmp_rpc *rpc, void *user)
{
    const char *given = jmp_rpc_metadata(rpc, "x-jumpstarter-passphrase", NULL);
    struct lab *lab = user;

    if (!lab->passphrase || (given && strcmp(given, lab->passphrase) == 0))
        return true;
    jmp_rpc_finish(rpc, JMP_UNAUTHENTICATED, "invalid or missing passphrase");
    return false;
}

static const struct jmp_handler lab_handlers[] = { { &jmp_client_create_lease, create_lease },
                                                   { &jmp_client_get_lease, get_lease },
                                                   { &jmp_client_delete_lease, delete_lease },
                                                   { &jmp_client_rotate_token, rotate_token },
                                                   { &jmp_client_list_exporters, list_exporters },
                                                   { &jmp_client_get_exporter, get_exporter },
                                                   { &jmp_controller_dial, dial },
                                                   { &jmp_router_stream, tunnel },
                                                   {} };

static const struct jmp_handler exporter_handlers[] = { { &jmp_exporter_get_report, get_report },
                                                        { &jmp_exporter_driver_call, driver_call },
                                                        { &jmp_exporter_streaming_driver_call, streaming_driver_call },
                                                        { &jmp_exporter_log_stream, log_stream },
                                                        { &jmp_exporter_get_status, get_status },
                                                        { &jmp_exporter_end_session, end_session },
                                                        { &jmp_router_stream, exporter_stream },
                                                        {} };

struct lab *lab_new(void)
{
    static const enum lab_step ready[] = { LAB_READY, LAB_SILENT };
    static const unsigned available[] = { JMP_STATUS_AVAILABLE, 0 };
    struct lab *lab = calloc(1, sizeof(*lab));
    struct jmp_controller_options options = {
        .channel.plaintext = true, .namespace_ = "default", .name = "ann", .token = "secret"
    };
    struct jmp_server_options server = { .handlers = lab_handlers, .user = lab };
    struct jmp_server_options exporter = { .handlers = exporter_handlers, .user = lab, .admit = admit };
    char address[160];
    unsigned port;

    assert_non_null(lab);
    /* As every program does that has sockets whose other end may go. */
    signal(SIGPIPE, SIG_IGN);
    lab->steps = ready;
    lab->owner = "namespaces/default/clients/ann";
    lab->statuses = always_ready;
    lab->ending = available;
    strcpy(lab->directory, "/tmp/jmp-client-test-XXXXXX");
    assert_non_null(mkdtemp(lab->directory));
    assert_int_equal(jmp_client_new(&lab->client), 0);
    assert_int_equal(jmp_server_new(jmp_client_queue(lab->client), &server, &lab->server), 0);
    assert_int_equal(jmp_server_listen(lab->server, "127.0.0.1:0", NULL, NULL, &port, NULL), 0);
    snprintf(lab->local_endpoint, sizeof(lab->local_endpoint), "unix:%s/lab", lab->directory);
    assert_int_equal(jmp_server_listen(lab->server, lab->local_endpoint, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(jmp_server_start(lab->server), 0);
    snprintf(lab->endpoint, sizeof(lab->endpoint), "127.0.0.1:%u", port);

    snprintf(lab->socket, sizeof(lab->socket), "%s/exporter", lab->directory);
    snprintf(address, sizeof(address), "unix:%s", lab->socket);
    assert_int_equal(jmp_server_new(jmp_client_queue(lab->client), &exporter, &lab->exporter), 0);
    assert_int_equal(jmp_server_listen(lab->exporter, address, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(jmp_server_start(lab->exporter), 0);

    options.channel.endpoint = lab->endpoint;
    assert_int_equal(jmp_controller_client_new(lab->client, &options, &lab->controller, NULL), 0);
    return lab;
}

void lab_free(struct lab *lab)
{
    jmp_timer_close(&lab->timer);
    jmp_controller_client_free(lab->controller);
    jmp_server_free(lab->server);
    jmp_server_free(lab->exporter);
    jmp_client_free(lab->client);
    unlink(lab->socket);
    unlink(lab->local_endpoint + strlen("unix:"));
    rmdir(lab->directory);
    free(lab);
}
