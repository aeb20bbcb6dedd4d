/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of all four kinds over real sockets, both ends in one process. */
#include <string.h>
#include <sys/socket.h>

#include "base/test.h"
#include "google/protobuf/empty.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/channel.h"
#include "rpc/methods.h"
#include "rpc/pump.h"
#include "rpc/server.h"

/* One bench: a server with handlers, a channel to it, and what a test notes down. */
struct bench {
    struct jmp_loop *loop;
    struct jmp_queue *queue;
    struct jmp_server *server;
    struct jmp_channel *channel;
    struct jmp_timer deadline;

    unsigned messages, sent, closed, wanted;
    enum jmp_code code;
    char text[4096];
    struct jmp_rpc *server_rpc;      /* held by tests that answer later */
    bool server_closed;
    enum jmp_code server_code;
    struct jmp_pump *client_pump, *server_pump;
    int echo_fd;
    unsigned pumps_closed;
    unsigned items;
    bool together;                   /* items may be sent together */
};

static struct bench *current;

static void too_late(struct jmp_timer *timer)
{
    jmp_loop_exit(timer->loop, -ETIMEDOUT);
}

/* Runs the loop until a handler says that the test has what it wants; a test that waits in vain fails. */
static void run(struct bench *bench)
{
    jmp_timer_start(bench->loop, &bench->deadline, 10 * JMP_USEC_PER_SEC, too_late);
    assert_int_equal(jmp_queue_run(bench->queue), 0);
}

/* The loop cannot be left and entered again by exit alone: tests step it by hand. */
static void finish(struct bench *bench) { jmp_loop_exit(bench->loop, 0); }

static void server_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct bench *bench = user;

    bench->server_closed = true;
    bench->server_code = status->code;
    bench->server_rpc = NULL;
    if (bench->wanted == 'S')
        finish(bench);
}

static void item_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct bench *bench = user;
    Jumpstarter__V1__LogStreamResponse item = JUMPSTARTER__V1__LOG_STREAM_RESPONSE__INIT;

    if (!ok)
        return;
    if (bench->items == 0) {
        jmp_rpc_finish(rpc, JMP_NOT_FOUND, "that was all: \xc3\xa9 100%%");
        return;
    }
    bench->items--;
    item.message = (char *)"line";
    assert_int_equal(bench->together ? jmp_rpc_send_more(rpc, &item.base) : jmp_rpc_send(rpc, &item.base), 0);
}

static const struct jmp_rpc_events stream_events = { .sent = item_sent, .closed = server_closed };

static void get_status(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    Jumpstarter__V1__GetStatusResponse answer = JUMPSTARTER__V1__GET_STATUS_RESPONSE__INIT;

    answer.status = JUMPSTARTER__V1__EXPORTER_STATUS__EXPORTER_STATUS_LEASE_READY;
    answer.status_version = 7;
    answer._message_case = JUMPSTARTER__V1__GET_STATUS_RESPONSE___MESSAGE_MESSAGE;
    answer.message = (char *)(jmp_rpc_metadata(rpc, "x-test", NULL) ?: "none");
    if (strcmp(answer.message, "authority") == 0)
        answer.message = (char *)jmp_rpc_authority(rpc);
    jmp_rpc_reply(rpc, &answer.base);
}

static void log_stream(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    struct bench *bench = current;

    jmp_rpc_listen(rpc, &stream_events, bench);
    bench->server_rpc = rpc;
    if (bench->items > 0)
        item_sent(rpc, true, bench);
}

static void driver_call(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    const Jumpstarter__V1__DriverCallRequest *call = (const Jumpstarter__V1__DriverCallRequest *)request;

    if (strcmp(call->method, "hang") == 0) {
        static const struct jmp_rpc_events events = { .closed = server_closed };

        current->server_rpc = rpc;
        jmp_rpc_listen(rpc, &events, current);
        if (current->wanted == 'H')
            finish(current);
    } else if (strcmp(call->method, "long") == 0) {
        char details[5000];

        memset(details, '%', sizeof(details));
        details[sizeof(details) - 1] = '\0';
        jmp_rpc_finish(rpc, JMP_INTERNAL, "%s", details);
    } else {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "%s", call->method);
    }
}

static void echo_pump_closed(struct jmp_pump *pump, const struct jmp_status *status, void *user)
{
    struct bench *bench = user;

    bench->server_pump = jmp_pump_free(pump);
    bench->server_closed = true;
    bench->server_code = status->code;
    if (bench->wanted == 'S')
        finish(bench);
}

static const struct jmp_pump_events echo_events = { .closed = echo_pump_closed };

static void stream(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    assert_null(request);
    jmp_pump_serve(rpc, TAKE_FD(current->echo_fd), &echo_events, current, &current->server_pump);
}

static const struct jmp_handler handlers[] = {
    { &jmp_exporter_get_status, get_status },
    { &jmp_exporter_log_stream, log_stream },
    { &jmp_exporter_driver_call, driver_call },
    { &jmp_router_stream, stream },
    {},
};

static void bench_stop(struct bench *bench)
{
    jmp_timer_close(&bench->deadline);
    jmp_pump_free(bench->client_pump);
    jmp_pump_free(bench->server_pump);
    jmp_channel_free(bench->channel);
    jmp_server_free(bench->server);
    jmp_queue_free(bench->queue);
    jmp_loop_free(bench->loop);
    jmp_close(bench->echo_fd);
    *bench = (struct bench){ .echo_fd = -EBADF };
}

static void bench_start(struct bench *bench, bool (*admit)(struct jmp_rpc *, void *))
{
    const struct jmp_server_options options = { .handlers = handlers, .admit = admit };
    struct jmp_channel_options channel = { .plaintext = true };
    struct jmp_error error = JMP_ERROR_INIT;
    char endpoint[64];
    unsigned port;

    *bench = (struct bench){ .echo_fd = -EBADF };
    current = bench;
    assert_int_equal(jmp_loop_new(&bench->loop), 0);
    assert_int_equal(jmp_queue_new(bench->loop, &bench->queue), 0);
    assert_int_equal(jmp_server_new(bench->queue, &options, &bench->server), 0);
    assert_int_equal(jmp_server_listen(bench->server, "127.0.0.1:0", NULL, NULL, &port, &error), 0);
    assert_int_equal(jmp_server_start(bench->server), 0);
    snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", port);
    channel.endpoint = endpoint;
    assert_int_equal(jmp_channel_new(bench->queue, &channel, &bench->channel, &error), 0);
}

static void note(struct bench *bench, const struct jmp_status *status)
{
    bench->closed++;
    bench->code = status->code;
    snprintf(bench->text, sizeof(bench->text), "%s", status->text);
    if (bench->wanted == 'C')
        finish(bench);
}

static void status_done(const struct jmp_status *status, const ProtobufCMessage *response, void *user)
{
    struct bench *bench = user;

    if (response) {
        const Jumpstarter__V1__GetStatusResponse *answer = (const Jumpstarter__V1__GetStatusResponse *)response;

        assert_int_equal(answer->status_version, 7);
        bench->messages++;
        note(bench, &(struct jmp_status){ .code = status->code, .text = answer->message });
    } else {
        note(bench, status);
    }
}

static void unary(struct bench *bench, const struct jmp_method_info *method, const ProtobufCMessage *request,
                  const struct jmp_metadata *metadata, uint64_t timeout, struct jmp_rpc **ret)
{
    bench->wanted = 'C';
    assert_int_equal(jmp_channel_unary(bench->channel, method, metadata, timeout, request, status_done, bench, ret), 0);
}

JMP_TEST(a_unary_call_brings_an_answer_and_metadata)
{
    const struct jmp_metadata metadata[] = { { "x-test", "value" }, {} };
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;
    struct bench bench;

    bench_start(&bench, NULL);
    unary(&bench, &jmp_exporter_get_status, &request.base, metadata, 5 * JMP_USEC_PER_SEC, NULL);
    run(&bench);
    assert_int_equal(bench.code, JMP_OK);
    assert_int_equal(bench.messages, 1);
    assert_string_equal(bench.text, "value");
    bench_stop(&bench);
}

JMP_TEST(a_server_knows_by_what_name_it_was_called)
{
    const struct jmp_metadata metadata[] = { { "x-test", "authority" }, {} };
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;
    struct bench bench;

    bench_start(&bench, NULL);
    unary(&bench, &jmp_exporter_get_status, &request.base, metadata, 5 * JMP_USEC_PER_SEC, NULL);
    run(&bench);
    assert_string_equal(bench.text, jmp_channel_endpoint(bench.channel));
    bench_stop(&bench);
}

JMP_TEST(an_error_brings_its_code_and_text)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;
    struct bench bench;

    bench_start(&bench, NULL);
    request.method = (char *)"caf\xc3\xa9 100% \x01";
    unary(&bench, &jmp_exporter_driver_call, &request.base, NULL, JMP_USEC_INFINITY, NULL);
    run(&bench);
    assert_int_equal(bench.code, JMP_UNKNOWN);
    assert_string_equal(bench.text, "caf\xc3\xa9 100% \x01");
    bench_stop(&bench);
}

JMP_TEST(long_details_are_cut_so_that_they_arrive)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;
    struct bench bench;

    bench_start(&bench, NULL);
    request.method = (char *)"long";
    unary(&bench, &jmp_exporter_driver_call, &request.base, NULL, JMP_USEC_INFINITY, NULL);
    run(&bench);
    assert_int_equal(bench.code, JMP_INTERNAL);
    assert_int_equal(strlen(bench.text), JMP_DETAILS_MAX);
    bench_stop(&bench);
}

JMP_TEST(an_unknown_method_is_unimplemented)
{
    Jumpstarter__V1__ResetRequest request = JUMPSTARTER__V1__RESET_REQUEST__INIT;
    struct bench bench;

    bench_start(&bench, NULL);
    unary(&bench, &jmp_exporter_reset, &request.base, NULL, JMP_USEC_INFINITY, NULL);
    run(&bench);
    assert_int_equal(bench.code, JMP_UNIMPLEMENTED);
    assert_string_equal(bench.text, "Method not found!");
    bench_stop(&bench);
}

JMP_TEST(a_deadline_ends_both_ends)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;
    struct bench bench;

    bench_start(&bench, NULL);
    request.method = (char *)"hang";
    /* Long enough for the call to come to the server, even on a busy machine under a sanitizer. */
    unary(&bench, &jmp_exporter_driver_call, &request.base, NULL, JMP_USEC_PER_SEC, NULL);
    bench.wanted = 'S';
    run(&bench);
    assert_true(bench.server_closed);
    assert_int_equal(bench.server_code, JMP_CANCELLED);
    bench_stop(&bench);
}

JMP_TEST(a_deadline_is_told_to_the_client)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;
    struct bench bench;

    bench_start(&bench, NULL);
    request.method = (char *)"hang";
    unary(&bench, &jmp_exporter_driver_call, &request.base, NULL, 100 * JMP_USEC_PER_MSEC, NULL);
    run(&bench);
    assert_int_equal(bench.code, JMP_DEADLINE_EXCEEDED);
    bench_stop(&bench);
}

JMP_TEST(a_server_may_cancel)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;
    struct bench bench;

    bench_start(&bench, NULL);
    request.method = (char *)"hang";
    unary(&bench, &jmp_exporter_driver_call, &request.base, NULL, JMP_USEC_INFINITY, NULL);
    bench.wanted = 'H';
    run(&bench);
    jmp_rpc_cancel(bench.server_rpc);
    bench.wanted = 'C';
    jmp_loop_resume(bench.loop);
    run(&bench);
    assert_int_equal(bench.code, JMP_CANCELLED);
    bench_stop(&bench);
}

JMP_TEST(freeing_a_server_ends_its_calls_at_once)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;
    struct bench bench;

    bench_start(&bench, NULL);
    request.method = (char *)"hang";
    unary(&bench, &jmp_exporter_driver_call, &request.base, NULL, JMP_USEC_INFINITY, NULL);
    bench.wanted = 'H';
    run(&bench);
    assert_non_null(bench.server_rpc);
    bench.server = jmp_server_free(bench.server);
    assert_true(bench.server_closed);
    bench_stop(&bench);
    assert_null(current->server);
}

static bool nobody(struct jmp_rpc *rpc, void *user)
{
    jmp_rpc_finish(rpc, JMP_UNAUTHENTICATED, "invalid or missing passphrase");
    return false;
}

JMP_TEST(a_call_that_is_not_admitted_reaches_no_handler)
{
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;
    struct bench bench;

    bench_start(&bench, nobody);
    unary(&bench, &jmp_exporter_get_status, &request.base, NULL, JMP_USEC_INFINITY, NULL);
    run(&bench);
    assert_int_equal(bench.code, JMP_UNAUTHENTICATED);
    assert_int_equal(bench.messages, 0);
    bench_stop(&bench);
}

JMP_TEST(illegal_metadata_is_refused_before_it_kills_the_call)
{
    const struct jmp_metadata upper[] = { { "X-Test", "value" }, {} }, line[] = { { "x-test", "a\nb" }, {} };
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;
    struct bench bench;

    bench_start(&bench, NULL);
    assert_int_equal(jmp_channel_unary(bench.channel, &jmp_exporter_get_status, upper, JMP_USEC_INFINITY, &request.base,
                                       status_done, &bench, NULL),
                     -EINVAL);
    assert_int_equal(jmp_channel_unary(bench.channel, &jmp_exporter_get_status, line, JMP_USEC_INFINITY, &request.base,
                                       status_done, &bench, NULL),
                     -EINVAL);
    unary(&bench, &jmp_exporter_get_status, &request.base, NULL, JMP_USEC_INFINITY, NULL);
    run(&bench);
    assert_int_equal(bench.code, JMP_OK);
    assert_int_equal(bench.closed, 1);
    bench_stop(&bench);
}

static void next_item(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    struct bench *bench = user;

    if (!message)
        return;
    bench->messages++;
    jmp_rpc_receive(rpc);
}

static void client_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    note(user, status);
}

static const struct jmp_rpc_events reader = { .message = next_item, .closed = client_closed };

static void read_items(bool together)
{
    Google__Protobuf__Empty request = GOOGLE__PROTOBUF__EMPTY__INIT;
    struct bench bench;
    struct jmp_rpc *rpc;

    bench_start(&bench, NULL);
    bench.together = together;
    bench.items = 500;
    bench.wanted = 'C';
    assert_int_equal(jmp_channel_call(bench.channel, &jmp_exporter_log_stream, NULL, JMP_USEC_INFINITY, &request.base,
                                      &reader, &bench, &rpc),
                     0);
    assert_int_equal(jmp_rpc_receive(rpc), 0);
    assert_int_equal(jmp_rpc_receive(rpc), -EALREADY);
    run(&bench);
    assert_int_equal(bench.messages, 500);
    assert_int_equal(bench.code, JMP_NOT_FOUND);
    assert_string_equal(bench.text, "that was all: \xc3\xa9 100%");
    bench_stop(&bench);
}

JMP_TEST(all_items_come_before_the_status) { read_items(false); }
JMP_TEST(items_sent_together_come_before_the_status) { read_items(true); }

static void failing(const struct jmp_status *status, const ProtobufCMessage *response, void *user)
{
    note(user, status);
}

JMP_TEST(nobody_there_is_unavailable_at_once)
{
    const struct { const char *endpoint; bool plaintext; } rows[] = {
        { "unix:/nonexistent/socket", true },
        { "127.0.0.1:1", true },
        { "127.0.0.1:1", false },
    };
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_channel_options options = { .endpoint = rows[i].endpoint, .plaintext = rows[i].plaintext };
        struct bench bench = { .echo_fd = -EBADF, .wanted = 'C' };

        assert_int_equal(jmp_loop_new(&bench.loop), 0);
        assert_int_equal(jmp_queue_new(bench.loop, &bench.queue), 0);
        assert_int_equal(jmp_channel_new(bench.queue, &options, &bench.channel, NULL), 0);
        assert_int_equal(jmp_channel_unary(bench.channel, &jmp_exporter_get_status, NULL, JMP_USEC_INFINITY,
                                           &request.base, failing, &bench, NULL),
                         0);
        run(&bench);
        assert_int_equal(bench.code, JMP_UNAVAILABLE);
        assert_true(strlen(bench.text) > 0);
        bench_stop(&bench);
    }
}

JMP_TEST(what_is_no_endpoint_is_said_so)
{
    const char *const rows[] = { "",           "host",     "host:", "host:0",
                                 "host:65536", "host:x",   ":80",   "https://host:443",
                                 "a b:1",      "host:80/x" };
    struct bench bench;

    bench_start(&bench, NULL);
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_channel_options options = { .endpoint = rows[i], .plaintext = true };
        struct jmp_error error = JMP_ERROR_INIT;
        struct jmp_channel *channel = NULL;

        assert_int_equal(jmp_channel_new(bench.queue, &options, &channel, &error), -EINVAL);
        assert_non_null(strstr(error.text, "is not an endpoint"));
        assert_non_null(strstr(error.hint, "HOST:PORT"));
    }
    bench_stop(&bench);
}

JMP_TEST(a_certificate_authority_that_is_none_is_said_so)
{
    struct jmp_channel_options options = { .endpoint = "localhost:1", .ca = "-----BEGIN CERTIFICATE-----\nnonsense\n" };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_channel *channel = NULL;
    struct bench bench;

    bench_start(&bench, NULL);
    assert_int_equal(jmp_channel_new(bench.queue, &options, &channel, &error), -EINVAL);
    assert_non_null(strstr(error.text, "no certificate"));
    bench_stop(&bench);
}

/*
 * Pumps: a test holds one end of two socketpairs, the other ends are joined by a stream.
 */
static void client_pump_closed(struct jmp_pump *pump, const struct jmp_status *status, void *user)
{
    struct bench *bench = user;

    bench->client_pump = jmp_pump_free(pump);
    note(bench, status);
}

static const struct jmp_pump_events client_events = { .closed = client_pump_closed };

static void join(struct bench *bench, int type, int *retnear, int *retfar)
{
    int client[2], server[2];

    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, client), 0);
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, server), 0);
    *retnear = client[0];
    *retfar = server[0];
    bench->echo_fd = server[1];
    assert_int_equal(jmp_pump_dial(bench->channel, NULL, client[1], &client_events, bench, &bench->client_pump), 0);
}

struct mover {
    struct jmp_io io;
    struct bench *bench;
    size_t left;
    unsigned sum;
    bool done, hung_up;
    unsigned char next;
};

static void feed(struct jmp_io *io, uint32_t revents)
{
    struct mover *mover = CONTAINER_OF(io, struct mover, io);
    unsigned char data[8192];
    ssize_t n;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(mover->next + i * 7);
    n = write(io->fd, data, mover->left < sizeof(data) ? mover->left : sizeof(data));
    if (n < 0)
        return;
    for (ssize_t i = 0; i < n; i++)
        mover->sum = mover->sum * 31 + data[i];
    mover->next = (unsigned char)(mover->next + n * 7);
    mover->left -= (size_t)n;
    if (mover->left == 0) {
        shutdown(io->fd, SHUT_WR);
        jmp_io_pause(io);
    }
}

static void drink(struct jmp_io *io, uint32_t revents)
{
    struct mover *mover = CONTAINER_OF(io, struct mover, io);
    unsigned char data[8192];
    ssize_t n = read(io->fd, data, sizeof(data));

    if (n < 0)
        return;
    if (n == 0) {
        mover->done = true;
        jmp_io_pause(io);
        shutdown(io->fd, SHUT_WR);   /* both directions have ended now */
        return;
    }
    mover->left += (size_t)n;
    for (ssize_t i = 0; i < n; i++)
        mover->sum = mover->sum * 31 + data[i];
}

JMP_TEST(a_pump_carries_ten_megabytes_unchanged_and_both_ends_hear_the_end)
{
    _cleanup_close_ int near = -EBADF, far = -EBADF;
    struct mover in = { .left = 10 << 20 }, out = { 0 };
    struct bench bench;

    bench_start(&bench, NULL);
    join(&bench, SOCK_STREAM, &near, &far);
    assert_int_equal(jmp_io_start(bench.loop, &in.io, near, EPOLLOUT, feed), 0);
    assert_int_equal(jmp_io_start(bench.loop, &out.io, far, EPOLLIN, drink), 0);
    bench.wanted = 'C';
    run(&bench);
    assert_true(out.done);
    assert_int_equal(out.left, 10 << 20);
    assert_int_equal(in.sum, out.sum);
    assert_int_equal(bench.code, JMP_OK);
    jmp_io_close(&in.io);
    jmp_io_close(&out.io);
    bench_stop(&bench);
}

/*
 * A dialogue, a byte each time: "q" is said by the near end, "a" by the far one, each when the one before has arrived;
 * "." is a "q" with the end behind it at once.
 */
struct dialogue {
    struct jmp_io near, far;
    const char *left;
    bool over;
};

static void speak(struct dialogue *dialogue)
{
    struct jmp_io *speaker = *dialogue->left == 'a' ? &dialogue->far : &dialogue->near;

    assert_int_equal(write(speaker->fd, dialogue->left, 1), 1);
    if (*dialogue->left == '.')
        shutdown(speaker->fd, SHUT_WR);
}

static void hear(struct dialogue *dialogue, struct jmp_io *io)
{
    char byte;
    ssize_t n = read(io->fd, &byte, 1);

    if (n < 0)
        return;
    if (n == 0) {
        assert_int_equal(*dialogue->left, '\0');
        dialogue->over = true;
        jmp_io_pause(io);
        shutdown(io->fd, SHUT_WR);
        return;
    }
    assert_ptr_equal(io, byte == 'a' ? &dialogue->near : &dialogue->far);
    assert_int_equal(byte, *dialogue->left++);
    if (*dialogue->left)
        speak(dialogue);
}

static void hear_near(struct jmp_io *io, uint32_t revents) { hear(CONTAINER_OF(io, struct dialogue, near), io); }
static void hear_far(struct jmp_io *io, uint32_t revents) { hear(CONTAINER_OF(io, struct dialogue, far), io); }

JMP_TEST(whoever_speaks_next_is_heard)
{
    static const char *const rows[] = {
        ".", "q.", "qa.", "qaqaqaqaqaqaqaqaqaqaqaqaqaqa.",
        "qaqaqaqaqaqaqqqqqq.",         /* no answer any more */
        "qaqaqaqaqaqaaaaaaa.",         /* answers to nothing */
        "qaqaqaqaqaqaqqaqaqqaqaqaqaqaqaqqqaaaqaqaqaqa.",
        "aaaaaaaaqaqaqaqaqa.",
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_close_ int near = -EBADF, far = -EBADF;
        struct dialogue dialogue = { .left = rows[i] };
        struct bench bench;

        bench_start(&bench, NULL);
        join(&bench, SOCK_STREAM, &near, &far);
        assert_int_equal(jmp_io_start(bench.loop, &dialogue.near, near, EPOLLIN, hear_near), 0);
        assert_int_equal(jmp_io_start(bench.loop, &dialogue.far, far, EPOLLIN, hear_far), 0);
        speak(&dialogue);
        bench.wanted = 'C';
        run(&bench);
        assert_true(dialogue.over);
        assert_int_equal(bench.code, JMP_OK);
        jmp_io_close(&dialogue.near);
        jmp_io_close(&dialogue.far);
        bench_stop(&bench);
    }
}

static void drink_datagrams(struct jmp_io *io, uint32_t revents)
{
    struct mover *mover = CONTAINER_OF(io, struct mover, io);
    char data[65536];
    ssize_t n = read(io->fd, data, sizeof(data));

    if (n < 0)
        return;
    assert_int_equal(n, (ssize_t)(++mover->left * 100));
    if (mover->left == 9)
        finish(mover->bench);
}

JMP_TEST(datagrams_keep_their_boundaries)
{
    _cleanup_close_ int near = -EBADF, far = -EBADF;
    struct mover out = { 0 };
    struct bench bench;
    char data[1000] = "";

    bench_start(&bench, NULL);
    out.bench = &bench;
    join(&bench, SOCK_DGRAM, &near, &far);
    assert_int_equal(jmp_io_start(bench.loop, &out.io, far, EPOLLIN, drink_datagrams), 0);
    for (size_t i = 1; i < 10; i++)
        assert_int_equal(send(near, data, i * 100, 0), (ssize_t)(i * 100));
    run(&bench);
    jmp_io_close(&out.io);
    bench_stop(&bench);
}

static void cut(struct jmp_io *io, uint32_t revents)
{
    struct mover *mover = CONTAINER_OF(io, struct mover, io);
    char data[8192];
    ssize_t n = read(io->fd, data, sizeof(data));

    if (n < 0)
        return;
    if (n > 0) {
        mover->left += (size_t)n;
        if (mover->bench->client_pump)
            mover->bench->client_pump = jmp_pump_free(mover->bench->client_pump);
        return;
    }
    mover->done = true;
    mover->hung_up = revents & EPOLLHUP;
    jmp_io_close(io);
    if (mover->bench->server_closed)
        finish(mover->bench);
}

/* The descriptor is closed, never shut down: whoever reads from it can tell the two apart by the hang-up. */
JMP_TEST(a_stream_that_is_cut_short_is_no_orderly_end)
{
    _cleanup_close_ int near = -EBADF, far = -EBADF;
    struct mover out = { 0 };
    struct bench bench;

    bench_start(&bench, NULL);
    out.bench = &bench;
    join(&bench, SOCK_STREAM, &near, &far);
    assert_int_equal(jmp_io_start(bench.loop, &out.io, far, EPOLLIN, cut), 0);
    assert_int_equal(send(near, "half of it", 10, 0), 10);
    bench.wanted = 'X';   /* cut() ends the loop, once the far side has seen the end */
    run(&bench);
    assert_int_equal(out.left, 10);
    assert_true(out.hung_up);
    assert_int_equal(bench.server_code, JMP_CANCELLED);
    bench_stop(&bench);
}

static void settings_came(struct jmp_io *io, uint32_t revents)
{
    finish(current);
}

JMP_TEST(an_adopted_descriptor_is_served)
{
    _cleanup_close_ int far = -EBADF;
    struct bench bench;
    unsigned char settings[9];
    struct jmp_io io = { 0 };
    int pair[2];

    bench_start(&bench, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    far = pair[1];
    assert_int_equal(jmp_server_adopt(bench.server, pair[0]), 0);
    assert_int_equal(jmp_io_start(bench.loop, &io, far, EPOLLIN, settings_came), 0);
    run(&bench);
    jmp_io_close(&io);

    /* SETTINGS come before the client has said anything: a frame of type 4. */
    assert_int_equal(read(far, settings, sizeof(settings)), sizeof(settings));
    assert_int_equal(settings[3], 4);
    bench_stop(&bench);
}

JMP_TEST(a_server_that_shuts_down_adopts_nobody)
{
    _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
    struct bench bench;

    bench_start(&bench, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    jmp_server_shutdown(bench.server, 0, NULL, NULL);
    assert_int_equal(jmp_server_adopt(bench.server, TAKE_FD(pair[0])), -ESHUTDOWN);
    assert_int_equal(read(pair[1], &(char){ 0 }, 1), 0);
    bench_stop(&bench);
}

JMP_TEST(a_port_in_use_and_a_wrong_certificate_are_told)
{
    const struct jmp_server_options options = { .handlers = handlers };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_server *server = NULL;
    struct bench bench;
    char address[64];

    bench_start(&bench, NULL);
    assert_int_equal(jmp_server_new(bench.queue, &options, &server), 0);
    snprintf(address, sizeof(address), "%s", jmp_channel_endpoint(bench.channel));
    assert_int_equal(jmp_server_listen(server, address, NULL, NULL, NULL, &error), -EADDRINUSE);
    assert_int_equal(jmp_server_listen(server, "127.0.0.1:0", "no certificate", "no key", NULL, &error), -EINVAL);
    assert_non_null(strstr(error.text, "certificate is not PEM"));
    jmp_server_free(server);
    bench_stop(&bench);
}
