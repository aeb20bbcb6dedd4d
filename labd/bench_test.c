/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/bench_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "jumpstarter/client/v1/client.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/codec.h"

#define PATIENCE (10 * JMP_USEC_PER_SEC)

static void too_late(struct jmp_timer *timer)
{
    jmp_loop_exit(timer->loop, -ETIMEDOUT);
}

/* One turn: until anything happened to a call. */
static void turn(struct bench *bench)
{
    jmp_loop_resume(bench->loop);
    assert_int_equal(jmp_queue_run(bench->queue), 0);
}

static void set_deadline(struct bench *bench)
{
    assert_int_equal(jmp_timer_start(bench->loop, &bench->deadline, PATIENCE, too_late), 0);
}

static void serve(struct bench *bench)
{
    const struct jmp_channel_options options = { .endpoint = bench->endpoint, .plaintext = true };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_server_options server = { .handlers = jmp_labd_handlers };
    unsigned port;

    assert_int_equal(jmp_lab_open(bench->directory, NULL, bench->loop, &bench->lab, &error), 0);
    server.user = bench->lab;
    assert_int_equal(jmp_server_new(bench->queue, &server, &bench->server), 0);
    assert_int_equal(jmp_server_listen(bench->server, "127.0.0.1:0", NULL, NULL, &port, &error), 0);
    snprintf(bench->endpoint, sizeof(bench->endpoint), "127.0.0.1:%u", port);
    bench->lab->fallback = strdup(bench->endpoint);
    assert_non_null(bench->lab->fallback);
    assert_int_equal(jmp_lab_start(bench->lab, &error), 0);
    assert_int_equal(jmp_server_start(bench->server), 0);
    assert_int_equal(jmp_channel_new(bench->queue, &options, &bench->channel, &error), 0);
}

static void stop(struct bench *bench)
{
    bench->channel = jmp_channel_free(bench->channel);
    bench->server = jmp_server_free(bench->server);
    bench->lab = jmp_lab_free(bench->lab);
}

struct bench *bench_new(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    jmp_log_open("labd-test", JMP_LOG_CRITICAL, JMP_LOG_TEXT);
    snprintf(bench->directory, sizeof(bench->directory), "/tmp/labd-bench-XXXXXX");
    assert_non_null(mkdtemp(bench->directory));
    assert_int_equal(jmp_loop_new(&bench->loop), 0);
    assert_int_equal(jmp_queue_new(bench->loop, &bench->queue), 0);
    serve(bench);
    return bench;
}

void bench_remove(const char *path)
{
    DIR *directory = opendir(path);

    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    assert_int_equal(rmdir(path), 0);
}

void bench_free(struct bench *bench)
{
    stop(bench);
    jmp_timer_close(&bench->deadline);
    jmp_queue_free(bench->queue);
    jmp_loop_free(bench->loop);
    for (unsigned i = 0; i < bench->answer_count; i++)
        jmp_codec_free(bench->answers[i]);

    bench_remove(bench->directory);
    free(bench);
}

void bench_restart(struct bench *bench)
{
    stop(bench);
    serve(bench);
}

static void give_token(struct bench *bench, bool is_client, struct caller *ret)
{
    _cleanup_free_ char *token = NULL;

    assert_int_equal(jmp_lab_sign(bench->lab, is_client ? "client" : "exporter", ret->name, ret->uid, NULL, &token), 0);
    snprintf(ret->bearer, sizeof(ret->bearer), "Bearer %s", token);
    ret->headers[0] = (struct jmp_metadata){ "authorization", ret->bearer };
    ret->headers[1] = (struct jmp_metadata){ "jumpstarter-kind", is_client ? "Client" : "Exporter" };
    ret->headers[2] = (struct jmp_metadata){ "jumpstarter-namespace", "default" };
    ret->headers[3] = (struct jmp_metadata){ "jumpstarter-name", ret->name };
    ret->headers[4] = (struct jmp_metadata){ 0 };
}

void bench_client(struct bench *bench, const char *name, struct caller *ret)
{
    struct jmp_client client = { .created = jmp_wall_now() };

    *ret = (struct caller){ 0 };
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    jmp_uuid_random(ret->uid);
    client.name = ret->name;
    memcpy(client.uid, ret->uid, sizeof(client.uid));
    assert_int_equal(jmp_store_add_client(bench->lab->store, &client), 0);
    give_token(bench, true, ret);
}

void bench_exporter(struct bench *bench, const char *name, const char *labels, struct caller *ret)
{
    struct jmp_exporter exporter = { .enabled = true, .created = jmp_wall_now(), .message = (char *)"Never seen" };
    _cleanup_free_ char *copy = strdup(labels);
    char *rest = NULL;

    assert_non_null(copy);
    for (char *item = strtok_r(copy, ",", &rest); item; item = strtok_r(NULL, ",", &rest))
        assert_int_equal(jmp_label_parse(&exporter.labels, item, NULL), 0);
    *ret = (struct caller){ 0 };
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    jmp_uuid_random(ret->uid);
    exporter.name = ret->name;
    memcpy(exporter.uid, ret->uid, sizeof(exporter.uid));
    assert_int_equal(jmp_store_add_exporter(bench->lab->store, &exporter), 0);
    jmp_labels_clear(&exporter.labels);
    give_token(bench, false, ret);
}

/* A message outlives its callback. */
static const ProtobufCMessage *keep(struct bench *bench, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    _cleanup_free_ uint8_t *packed = malloc(size + 1);
    struct jmp_error error = JMP_ERROR_INIT;

    assert_non_null(packed);
    assert_true(bench->answer_count < ANSWERS_MAX);
    protobuf_c_message_pack(message, packed);
    assert_int_equal(jmp_codec_unpack(message->descriptor, packed, size, &bench->answers[bench->answer_count], &error),
                     0);
    return bench->answers[bench->answer_count++];
}

static void on_message(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    struct call *call = user;

    if (message) {
        call->message = keep(call->bench, message);
        call->count++;
        if (call->method->response_stream)
            jmp_rpc_receive(rpc);
    }
    jmp_loop_exit(call->bench->loop, 0);
}

static void on_buffer(struct jmp_rpc *rpc, struct jmp_buffer *buffer, void *user)
{
    struct call *call = user;

    if (buffer) {
        call->frame_length = jmp_buffer_length(buffer);
        assert_true(call->frame_length <= sizeof(call->frame));
        assert_int_equal(jmp_buffer_copy(buffer, call->frame, call->frame_length), 0);
        jmp_buffer_free(buffer);
        call->count++;
        jmp_rpc_receive(rpc);
    }
    jmp_loop_exit(call->bench->loop, 0);
}

static void on_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct call *call = user;

    call->sent++;
    jmp_loop_exit(call->bench->loop, 0);
}

static void on_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct call *call = user;

    call->closed = true;
    call->rpc = NULL;
    call->code = status->code;
    snprintf(call->text, sizeof(call->text), "%s", status->text);
    jmp_loop_exit(call->bench->loop, 0);
}

static const struct jmp_rpc_events message_events = { .message = on_message, .sent = on_sent, .closed = on_closed };
static const struct jmp_rpc_events buffer_events = { .buffer = on_buffer, .sent = on_sent, .closed = on_closed };

void bench_wait_sent(struct call *call, unsigned sent)
{
    set_deadline(call->bench);
    while (!call->closed && call->sent < sent)
        turn(call->bench);
    assert_true(call->closed || call->sent == sent);
}

void bench_start_raw(struct bench *bench, struct jmp_channel *channel, const struct jmp_metadata *headers,
                     const struct jmp_method_info *method, const ProtobufCMessage *request, struct call *ret)
{
    *ret = (struct call){ .bench = bench, .method = method };
    assert_int_equal(jmp_channel_call(channel, method, headers, 60 * JMP_USEC_PER_SEC, request,
                                      method->response ? &message_events : &buffer_events, ret, &ret->rpc), 0);
    if (method->response_stream)
        assert_int_equal(jmp_rpc_receive(ret->rpc), 0);
    if (method->request_stream)
        bench_wait_sent(ret, 1);   /* the headers; only then may a message follow */
}

void bench_start(struct bench *bench, const struct caller *who, const struct jmp_method_info *method,
                 const ProtobufCMessage *request, struct call *ret)
{
    bench_start_raw(bench, bench->channel, who ? who->headers : NULL, method, request, ret);
}

void bench_wait(struct call *call)
{
    set_deadline(call->bench);
    while (!call->closed)
        turn(call->bench);
}

void bench_wait_count(struct call *call, unsigned count)
{
    set_deadline(call->bench);
    while (!call->closed && call->count < count)
        turn(call->bench);
    assert_int_equal(call->count, count);
}

void bench_cancel(struct call *call)
{
    if (call->rpc)
        jmp_rpc_cancel(call->rpc);
    bench_wait(call);
}

const ProtobufCMessage *bench_ask(struct bench *bench, const struct caller *who, const struct jmp_method_info *method,
                                  const ProtobufCMessage *request)
{
    struct call call;

    bench_start(bench, who, method, request, &call);
    bench_wait(&call);
    assert_string_equal(call.text, "");
    assert_int_equal(call.code, JMP_OK);
    assert_non_null(call.message);
    return call.message;
}

void assert_text(const char *text, const char *wanted)
{
    size_t length = strlen(wanted);

    if (length > 0 && wanted[length - 1] == '*' && strncmp(text, wanted, length - 1) == 0)
        return;
    assert_string_equal(text, wanted);
}

void bench_refused(struct bench *bench, const struct caller *who, const struct jmp_method_info *method,
                   const ProtobufCMessage *request, enum jmp_code code, const char *text)
{
    struct call call;

    bench_start(bench, who, method, request, &call);
    bench_wait(&call);
    if (text)
        assert_text(call.text, text);
    assert_int_equal(call.code, code);
}

void bench_settle(struct bench *bench, const struct caller *client)
{
    Jumpstarter__V1__ListLeasesRequest request = JUMPSTARTER__V1__LIST_LEASES_REQUEST__INIT;

    /* What a call causes is sent before the next call is answered, and one connection keeps the order. */
    for (unsigned i = 0; i < 2; i++)
        bench_ask(bench, client, &jmp_controller_list_leases, &request.base);
}

void bench_report(struct bench *bench, const struct caller *exporter, unsigned status)
{
    Jumpstarter__V1__ReportStatusRequest request = JUMPSTARTER__V1__REPORT_STATUS_REQUEST__INIT;

    request.status = (Jumpstarter__V1__ExporterStatus)status;
    bench_ask(bench, exporter, &jmp_controller_report_status, &request.base);
}

void bench_board(struct bench *bench, const char *name, const char *labels, struct caller *exporter,
                 struct call *status)
{
    Jumpstarter__V1__RegisterRequest request = JUMPSTARTER__V1__REGISTER_REQUEST__INIT;
    Jumpstarter__V1__DriverInstanceReport report = JUMPSTARTER__V1__DRIVER_INSTANCE_REPORT__INIT,
                                          *reports[] = { &report };
    Jumpstarter__V1__StatusRequest open = JUMPSTARTER__V1__STATUS_REQUEST__INIT;

    bench_exporter(bench, name, labels, exporter);
    report.uuid = (char *)"00000000-0000-4000-8000-000000000001";
    request.reports = reports;
    request.n_reports = 1;
    bench_ask(bench, exporter, &jmp_controller_register, &request.base);
    bench_start(bench, exporter, &jmp_controller_status, &open.base, status);
    bench_wait_count(status, 1);
    assert_false(((const Jumpstarter__V1__StatusResponse *)status->message)->leased);
    bench_report(bench, exporter, JMP_STATUS_AVAILABLE);
}

const Jumpstarter__Client__V1__Lease *bench_lease(struct bench *bench, const struct caller *client, const char *id,
                                                  const char *selector, int64_t seconds)
{
    Jumpstarter__Client__V1__CreateLeaseRequest request = JUMPSTARTER__CLIENT__V1__CREATE_LEASE_REQUEST__INIT;
    Jumpstarter__Client__V1__Lease lease = JUMPSTARTER__CLIENT__V1__LEASE__INIT;
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;

    duration.seconds = seconds;
    lease.selector = (char *)selector;
    lease._duration_case = JUMPSTARTER__CLIENT__V1__LEASE___DURATION_DURATION;
    lease.duration = &duration;
    request.parent = (char *)"namespaces/default";
    request.lease_id = (char *)id;
    request.lease = &lease;
    return (const Jumpstarter__Client__V1__Lease *)bench_ask(bench, client, &jmp_client_create_lease, &request.base);
}

const Jumpstarter__Client__V1__Lease *bench_get_lease(struct bench *bench, const struct caller *client, const char *id)
{
    Jumpstarter__Client__V1__GetLeaseRequest request = JUMPSTARTER__CLIENT__V1__GET_LEASE_REQUEST__INIT;
    char name[128];

    snprintf(name, sizeof(name), "namespaces/default/leases/%s", id);
    request.name = name;
    return (const Jumpstarter__Client__V1__Lease *)bench_ask(bench, client, &jmp_client_get_lease, &request.base);
}

const char *bench_state(const Jumpstarter__Client__V1__Lease *lease)
{
    static char state[96];
    const Jumpstarter__V1__Condition *last;

    if (lease->n_conditions == 0)
        return "";
    last = lease->conditions[lease->n_conditions - 1];
    snprintf(state, sizeof(state), "%s%s %s", strcmp(last->status, "True") == 0 ? "" : "!", last->type, last->reason);
    return state;
}
