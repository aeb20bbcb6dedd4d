/* SPDX-License-Identifier: Apache-2.0 */
/* Things gRPC core does that surprise; each cost somebody an afternoon. */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/child.h"
#include "base/test.h"
#include "google/protobuf/empty.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/channel.h"
#include "rpc/methods.h"
#include "rpc/pump.h"
#include "rpc/server.h"

struct bench {
    struct jmp_loop *loop;
    struct jmp_queue *queue;
    struct jmp_server *server;
    struct jmp_channel *channel;
    struct jmp_timer patience, later;
    struct jmp_rpc *rpc;
    struct jmp_pump *pump;
    struct jmp_io io;
    enum jmp_code code;
    char text[256];
    size_t size, sent;
    unsigned tries;
    bool headers;
};

static struct bench *bench;

static void out_of_patience(struct jmp_timer *timer) { jmp_loop_exit(timer->loop, -ETIMEDOUT); }

static int run(uint64_t usec)
{
    int r;

    assert_int_equal(jmp_timer_start(bench->loop, &bench->patience, usec, out_of_patience), 0);
    jmp_loop_resume(bench->loop);
    r = jmp_queue_run(bench->queue);
    jmp_timer_stop(&bench->patience);
    return r;
}

static void finish(void) { jmp_loop_exit(bench->loop, 0); }

static void on_later(struct jmp_timer *timer)
{
    Jumpstarter__V1__GetStatusResponse answer = JUMPSTARTER__V1__GET_STATUS_RESPONSE__INIT;

    jmp_rpc_reply(bench->rpc, &answer.base);
}

/* Answers from a timer that is armed inside a handler of gRPC's queue. */
static void get_status(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    bench->rpc = rpc;
    jmp_timer_start(bench->loop, &bench->later, 30 * JMP_USEC_PER_MSEC, on_later);
}

static void driver_call(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    const Jumpstarter__V1__DriverCallRequest *call = (const Jumpstarter__V1__DriverCallRequest *)request;

    jmp_rpc_finish(rpc, JMP_NOT_FOUND, "%zu bytes, x-empty is \"%s\"", strlen(call->method),
                   jmp_rpc_metadata(rpc, "x-empty", NULL) ?: "absent");
}

static char kilobytes[64 * 1024 + 1];

static void flood(struct jmp_rpc *rpc, bool ok, void *user)
{
    Jumpstarter__V1__LogStreamResponse line = JUMPSTARTER__V1__LOG_STREAM_RESPONSE__INIT;

    if (!ok)
        return;
    line.message = kilobytes;
    if (jmp_rpc_send(rpc, &line.base) == 0)
        bench->sent += sizeof(kilobytes);
}

static const struct jmp_rpc_events flood_events = { .sent = flood };

static void log_stream(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    jmp_rpc_listen(rpc, &flood_events, NULL);
    flood(rpc, true, NULL);
}

static void stream(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    bench->io.fd = pair[0];   /* a device that says nothing */
    assert_int_equal(jmp_pump_serve(rpc, pair[1], NULL, NULL, &bench->pump), 0);
}

/* Frees the server that it is a handler of: whatever of it is called after this would use what is gone. */
static void get_report(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    bench->tries++;
    bench->server = jmp_server_free(bench->server);
}

static const struct jmp_handler handlers[] = {
    { &jmp_exporter_get_report, get_report },
    { &jmp_exporter_get_status, get_status },
    { &jmp_exporter_driver_call, driver_call },
    { &jmp_exporter_log_stream, log_stream },
    { &jmp_router_stream, stream },
    {},
};

static void start_server(const char *address, unsigned keepalive, unsigned *retport)
{
    const struct jmp_server_options options = { .handlers = handlers,
                                                .keepalive_time = keepalive,
                                                .keepalive_timeout = keepalive };

    assert_int_equal(jmp_server_new(bench->queue, &options, &bench->server), 0);
    assert_int_equal(jmp_server_listen(bench->server, address, NULL, NULL, retport, NULL), 0);
    assert_int_equal(jmp_server_start(bench->server), 0);
}

static void start(bool server)
{
    struct jmp_channel_options options = { .plaintext = true };
    char endpoint[64];
    unsigned port;

    bench = calloc(1, sizeof(*bench));
    assert_non_null(bench);
    bench->io.fd = -EBADF;
    memset(kilobytes, 'x', sizeof(kilobytes) - 1);
    assert_int_equal(jmp_loop_new(&bench->loop), 0);
    assert_int_equal(jmp_queue_new(bench->loop, &bench->queue), 0);
    if (!server)
        return;
    start_server("127.0.0.1:0", 1, &port);
    snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", port);
    options.endpoint = endpoint;
    assert_int_equal(jmp_channel_new(bench->queue, &options, &bench->channel, NULL), 0);
}

static void stop(void)
{
    jmp_timer_close(&bench->patience);
    jmp_timer_close(&bench->later);
    jmp_pump_free(bench->pump);
    jmp_channel_free(bench->channel);
    jmp_server_free(bench->server);
    jmp_queue_free(bench->queue);
    jmp_loop_free(bench->loop);
    jmp_close(bench->io.fd);
    free(bench);
}

static void done(const struct jmp_status *status, const ProtobufCMessage *response, void *user)
{
    bench->code = status->code;
    snprintf(bench->text, sizeof(bench->text), "%s", status->text);
    finish();
}

static void call(const ProtobufCMessage *request, const struct jmp_metadata *metadata)
{
    assert_int_equal(jmp_channel_unary(bench->channel, &jmp_exporter_driver_call, metadata, 10 * JMP_USEC_PER_SEC,
                                       request, done, NULL, NULL),
                     0);
    assert_int_equal(run(10 * JMP_USEC_PER_SEC), 0);
}

JMP_TEST(a_timer_armed_by_a_handler_of_grpc_fires)
{
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;

    start(true);
    assert_int_equal(jmp_channel_unary(bench->channel, &jmp_exporter_get_status, NULL, 5 * JMP_USEC_PER_SEC,
                                       &request.base, done, NULL, NULL),
                     0);
    assert_int_equal(run(5 * JMP_USEC_PER_SEC), 0);
    assert_int_equal(bench->code, JMP_OK);
    stop();
}

JMP_TEST(four_mebibytes_pass_and_one_byte_more_does_not)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;
    _cleanup_free_ char *text = malloc(JMP_MESSAGE_MAX);
    size_t length = JMP_MESSAGE_MAX - 5;   /* key and length of the field */

    assert_non_null(text);
    memset(text, 'x', length);
    text[length] = '\0';
    request.method = text;
    start(true);
    assert_int_equal(protobuf_c_message_get_packed_size(&request.base), JMP_MESSAGE_MAX);
    call(&request.base, NULL);
    assert_int_equal(bench->code, JMP_NOT_FOUND);
    request.uuid = (char *)"x";
    assert_int_equal(jmp_channel_unary(bench->channel, &jmp_exporter_driver_call, NULL, JMP_USEC_INFINITY,
                                       &request.base, done, NULL, NULL),
                     -EMSGSIZE);
    stop();
}

JMP_TEST(an_empty_value_of_metadata_arrives_as_such)
{
    const struct jmp_metadata empty[] = { { "x-empty", "" }, {} };
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;

    start(true);
    call(&request.base, empty);
    assert_string_equal(bench->text, "0 bytes, x-empty is \"\"");
    call(&request.base, NULL);
    assert_string_equal(bench->text, "0 bytes, x-empty is \"absent\"");
    stop();
}

static void note_headers(struct jmp_rpc *rpc, void *user)
{
    bench->headers = true;
    finish();
}

static const struct jmp_rpc_events headers_events = { .headers = note_headers };

JMP_TEST(headers_of_a_silent_stream_come_at_once)
{
    struct jmp_rpc *rpc;

    start(true);
    assert_int_equal(jmp_channel_call(bench->channel, &jmp_router_stream, NULL, JMP_USEC_INFINITY, NULL,
                                      &headers_events, NULL, &rpc),
                     0);
    assert_int_equal(run(5 * JMP_USEC_PER_SEC), 0);
    assert_true(bench->headers);
    jmp_rpc_cancel(rpc);
    stop();
}

JMP_TEST(a_reader_that_never_reads_stops_the_writer)
{
    Google__Protobuf__Empty request = GOOGLE__PROTOBUF__EMPTY__INIT;
    struct jmp_rpc *rpc;
    size_t before;

    start(true);
    assert_int_equal(jmp_channel_call(bench->channel, &jmp_exporter_log_stream, NULL, JMP_USEC_INFINITY, &request.base,
                                      NULL, NULL, &rpc),
                     0);
    /* Until the windows are full; then nothing more is accepted, however long one waits. */
    do {
        before = bench->sent;
        assert_int_equal(run(300 * JMP_USEC_PER_MSEC), -ETIMEDOUT);
    } while (bench->sent != before);
    assert_true(bench->sent > 0);
    assert_true(bench->sent < 32 << 20);
    jmp_rpc_cancel(rpc);
    stop();
}

static void until_eof(struct jmp_io *io, uint32_t revents)
{
    char data[4096];
    ssize_t n = read(io->fd, data, sizeof(data));

    if (n == 0 || (n < 0 && errno != EAGAIN))
        finish();
}

static int tunnel(void)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(jmp_server_adopt(bench->server, pair[0]), 0);
    assert_int_equal(jmp_io_start(bench->loop, &bench->io, pair[1], EPOLLIN, until_eof), 0);
    return pair[1];
}

JMP_TEST(a_tunnel_that_speaks_no_http2_is_closed)
{
    _cleanup_close_ int fd = -EBADF;

    start(true);
    fd = tunnel();
    assert_int_equal(send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, 0), 27);
    assert_int_equal(run(5 * JMP_USEC_PER_SEC), 0);
    jmp_io_close(&bench->io);
    bench->io.fd = -EBADF;
    stop();
}

JMP_TEST(a_tunnel_nobody_came_through_is_closed_by_keepalive)
{
    _cleanup_close_ int fd = -EBADF;
    uint64_t begin;

    start(true);
    begin = jmp_now();
    fd = tunnel();
    assert_int_equal(run(20 * JMP_USEC_PER_SEC), 0);
    assert_true(jmp_now() - begin >= JMP_USEC_PER_SEC);   /* not before it was asked */
    jmp_io_close(&bench->io);
    bench->io.fd = -EBADF;
    stop();
}

static void again(struct jmp_timer *timer);

static void try_done(const struct jmp_status *status, const ProtobufCMessage *response, void *user)
{
    bench->tries++;
    if (status->code != JMP_UNAVAILABLE) {
        done(status, response, user);
        return;
    }
    if (!bench->server)
        start_server(user, 1, NULL);
    jmp_timer_start(bench->loop, &bench->later, 100 * JMP_USEC_PER_MSEC, again);
}

static char address[64];

static void again(struct jmp_timer *timer)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;

    assert_int_equal(jmp_channel_unary(bench->channel, &jmp_exporter_driver_call, NULL, 5 * JMP_USEC_PER_SEC,
                                       &request.base, try_done, address, NULL),
                     0);
}

/* The channel's state sticks in a failure; calls are what finds out that the peer is back. */
JMP_TEST(a_peer_that_comes_later_is_found_by_calling_again)
{
    char directory[] = "/tmp/jmp-rpc-XXXXXX";
    struct jmp_channel_options options = { .endpoint = address };

    assert_non_null(mkdtemp(directory));
    snprintf(address, sizeof(address), "unix:%s/s", directory);
    start(false);
    assert_int_equal(jmp_channel_new(bench->queue, &options, &bench->channel, NULL), 0);
    again(NULL);
    assert_int_equal(run(20 * JMP_USEC_PER_SEC), 0);
    assert_int_equal(bench->code, JMP_NOT_FOUND);
    assert_true(bench->tries > 1);
    stop();
    rmdir(directory);
}

/*
 * Children are started while calls are answered: neither may disturb the other, and none of gRPC's descriptors may
 * reach a child.
 */
#define CHILDREN 60
#define CALLS_AT_ONCE 8

static struct {
    unsigned started, ended, answered;
    char said[256];
    int pipe[2];
    struct jmp_child *child;
} spawning;

static void spawn_next(void);

static void spawned_ended(struct jmp_child *child, void *user)
{
    ssize_t n = read(spawning.pipe[0], spawning.said, sizeof(spawning.said) - 1);

    assert_int_equal(jmp_child_code(child), 0);
    assert_true(n > 0);
    spawning.said[n] = '\0';
    /* Its own three, and the one with which it looks. */
    assert_string_equal(spawning.said, "0\n1\n2\n3\n");
    spawning.child = jmp_child_free(child);
    if (++spawning.ended < CHILDREN)
        spawn_next();
    else
        finish();
}

static void spawn_next(void)
{
    static char *const argv[] = { (char *)"ls", (char *)"/proc/self/fd", NULL };
    const struct jmp_child_options options = { .argv = argv, .out = spawning.pipe[1] };

    spawning.started++;
    assert_int_equal(jmp_child_start(bench->loop, &options, spawned_ended, NULL, &spawning.child, NULL), 0);
}

static void loaded_done(const struct jmp_status *status, const ProtobufCMessage *response, void *user)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;

    if (spawning.ended == CHILDREN)
        return;
    assert_int_equal(status->code, JMP_NOT_FOUND);
    spawning.answered++;
    assert_int_equal(jmp_channel_unary(bench->channel, &jmp_exporter_driver_call, NULL, 10 * JMP_USEC_PER_SEC,
                                       &request.base, loaded_done, NULL, NULL),
                     0);
}

JMP_TEST(children_can_be_started_while_calls_are_answered)
{
    start(true);
    assert_int_equal(pipe2(spawning.pipe, O_CLOEXEC | O_NONBLOCK), 0);
    for (unsigned i = 0; i < CALLS_AT_ONCE; i++)
        loaded_done(&(struct jmp_status){ .code = JMP_NOT_FOUND, .text = "" }, NULL, NULL);
    spawn_next();
    assert_int_equal(run(60 * JMP_USEC_PER_SEC), 0);
    assert_int_equal(spawning.ended, CHILDREN);
    assert_true(spawning.answered > CALLS_AT_ONCE + CHILDREN);
    stop();
    jmp_close_pairp(&spawning.pipe);
}

#define ROUNDS 20
#define CROWD 100

static void one_less(const struct jmp_status *status, const ProtobufCMessage *response, void *user)
{
    unsigned *left = user;

    assert_int_not_equal(status->code, JMP_OK);
    if (--*left == 0)
        finish();
}

/* Those that gRPC had handed out already, too: seen when a server was freed under load. */
JMP_TEST(a_call_that_comes_as_the_server_is_freed_reaches_no_handler)
{
    Google__Protobuf__Empty request = GOOGLE__PROTOBUF__EMPTY__INIT;

    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned left = CROWD;

        start(true);
        for (unsigned j = 0; j < CROWD; j++)
            assert_int_equal(jmp_channel_unary(bench->channel, &jmp_exporter_get_report, NULL, 10 * JMP_USEC_PER_SEC,
                                               &request.base, one_less, &left, NULL),
                             0);
        assert_int_equal(run(20 * JMP_USEC_PER_SEC), 0);
        assert_int_equal(bench->tries, 1);
        stop();
    }
}

/*
 * A host that swallows packets: a listening socket whose queue is full answers no further connection.
 */
struct black_hole {
    int listener, waiting[16];
    size_t count;
};

static void black_hole_open(struct black_hole *hole, unsigned *retport)
{
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(here);
    bool full = false;

    *hole = (struct black_hole){ .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    assert_int_equal(bind(hole->listener, (struct sockaddr *)&here, sizeof(here)), 0);
    assert_int_equal(listen(hole->listener, 0), 0);
    assert_int_equal(getsockname(hole->listener, (struct sockaddr *)&here, &length), 0);
    while (!full && hole->count < ELEMENTSOF(hole->waiting)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct pollfd connecting = { .fd = fd, .events = POLLOUT };

        hole->waiting[hole->count++] = fd;
        assert_true(fd >= 0);
        if (connect(fd, (struct sockaddr *)&here, sizeof(here)) == 0)
            continue;
        assert_int_equal(errno, EINPROGRESS);
        full = poll(&connecting, 1, 200) == 0;   /* the first that gets no answer */
    }
    assert_true(full);
    *retport = ntohs(here.sin_port);
}

static void black_hole_close(struct black_hole *hole)
{
    for (size_t i = 0; i < hole->count; i++)
        close(hole->waiting[i]);
    close(hole->listener);
}

static void tick(struct jmp_timer *timer)
{
    bench->tries++;
    jmp_timer_start(bench->loop, &bench->later, 20 * JMP_USEC_PER_MSEC, tick);
}

JMP_TEST(a_host_that_swallows_packets_is_waited_for_until_the_deadline_and_stops_nothing_else)
{
    Jumpstarter__V1__DriverCallRequest request = JUMPSTARTER__V1__DRIVER_CALL_REQUEST__INIT;
    struct jmp_channel_options options = { .plaintext = true };
    struct black_hole hole;
    char endpoint[64];
    unsigned port;

    black_hole_open(&hole, &port);
    snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", port);
    options.endpoint = endpoint;
    start(false);
    assert_int_equal(jmp_channel_new(bench->queue, &options, &bench->channel, NULL), 0);
    tick(NULL);
    assert_int_equal(jmp_channel_unary(bench->channel, &jmp_exporter_driver_call, NULL, 500 * JMP_USEC_PER_MSEC,
                                       &request.base, done, NULL, NULL),
                     0);
    assert_int_equal(run(20 * JMP_USEC_PER_SEC), 0);
    assert_int_equal(bench->code, JMP_DEADLINE_EXCEEDED);
    assert_true(bench->tries > 1);
    stop();   /* with a connection that is still being tried */
    black_hole_close(&hole);
}
