/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a tunnel works, not how fast: client, router and exporter in one process, and all that may be counted is. Nothing
 * here looks at a clock; for most of it there is none, for the linker puts our timers in the place of the loop's.
 */
#include "labd/bench_test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/frame.h"
#include "rpc/pump.h"

#define AT_ONCE_MAX 64u
#define IN_FLIGHT_MAX (512u << 20)
#define PATIENCE (20 * JMP_USEC_PER_SEC) /* without any progress */

int __real_jmp_timer_start(struct jmp_loop *loop, struct jmp_timer *timer, uint64_t usec,
                           void (*run)(struct jmp_timer *timer));
int __wrap_jmp_timer_start(struct jmp_loop *loop, struct jmp_timer *timer, uint64_t usec,
                           void (*run)(struct jmp_timer *timer));

static bool no_clock;

int __wrap_jmp_timer_start(struct jmp_loop *loop, struct jmp_timer *timer, uint64_t usec,
                           void (*run)(struct jmp_timer *timer))
{
    int r = __real_jmp_timer_start(loop, timer, no_clock ? JMP_USEC_INFINITY : usec, run);

    timer->running |= no_clock; /* for ever */
    return r;
}

static atomic_uint packets;

/* All that gRPC writes to a socket passes here. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    packets++;
    return syscall(SYS_sendmsg, fd, message, flags);
}

/* A tunnel: what is written to one of its ends comes out of the other. */
struct tunnel {
    struct bench *bench;
    struct jmp_pump *near_pump, *far_pump;
    struct jmp_timer patience, hope;

    struct jmp_server *exporter;
    struct jmp_channel *channel;
    char address[sizeof(((struct sockaddr_un *)0)->sun_path) + sizeof("unix:")];

    unsigned at_once, left, answered; /* calls */
    bool together;                    /* none is answered before all that may be are there */
    struct jmp_rpc *waiting[AT_ONCE_MAX];
    unsigned n_waiting;
};

static void out_of_patience(struct jmp_timer *timer) { jmp_loop_exit(timer->loop, -ETIMEDOUT); }

static void be_patient(struct tunnel *tunnel)
{
    assert_int_equal(__real_jmp_timer_start(tunnel->bench->loop, &tunnel->patience, PATIENCE, out_of_patience), 0);
}

/* Until a handler has what the test wants; after so long without being_patient() the test fails. */
static void run(struct tunnel *tunnel)
{
    be_patient(tunnel);
    jmp_loop_resume(tunnel->bench->loop);
    assert_int_equal(jmp_queue_run(tunnel->bench->queue), 0);
}

/* A token of the one tunnel of a bench. */
static void sign(struct bench *bench, char *ret, size_t size)
{
    int64_t now = jmp_wall_now() / JMP_SECOND;
    _cleanup_free_ char *token = NULL;

    assert_int_equal(jmp_token_sign(&bench->lab->stream_key, &jmp_token_stream, "tunnel", now, now + 600, &token), 0);
    assert_in_range(snprintf(ret, size, "Bearer %s", token), 1, size - 1);
}

static void dial(struct bench *bench, int fd, struct jmp_pump **ret)
{
    char bearer[JMP_TOKEN_MAX];
    const struct jmp_metadata headers[] = { { "authorization", bearer }, { 0 } };

    sign(bench, bearer, sizeof(bearer));
    assert_int_equal(jmp_pump_dial(bench->channel, headers, fd, NULL, NULL, ret), 0);
}

/* A pump at one end, and at the other a call that shows each message. */
static void dial_one(struct bench *bench, int fd, struct jmp_pump **retpump, struct call *retfar)
{
    char bearer[JMP_TOKEN_MAX];
    const struct jmp_metadata headers[] = { { "authorization", bearer }, { 0 } };

    sign(bench, bearer, sizeof(bearer));
    dial(bench, fd, retpump);
    bench_start_raw(bench, bench->channel, headers, &jmp_router_stream, NULL, retfar);
}

static void tunnel_free(struct tunnel *tunnel)
{
    no_clock = false;
    jmp_timer_close(&tunnel->patience);
    jmp_timer_close(&tunnel->hope);
    jmp_channel_free(tunnel->channel);
    jmp_server_free(tunnel->exporter);
    jmp_pump_free(tunnel->near_pump);
    jmp_pump_free(tunnel->far_pump);
    bench_free(tunnel->bench);
}

static void answer(struct tunnel *tunnel, struct jmp_rpc *rpc)
{
    Jumpstarter__V1__GetStatusResponse response = JUMPSTARTER__V1__GET_STATUS_RESPONSE__INIT;

    assert_int_equal(jmp_rpc_reply(rpc, &response.base), 0);
}

static void on_get_status(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    struct tunnel *tunnel = user;

    if (!tunnel->together) {
        answer(tunnel, rpc);
        return;
    }
    tunnel->waiting[tunnel->n_waiting++] = rpc;
    if (tunnel->n_waiting < tunnel->at_once)
        return;
    tunnel->n_waiting = 0;
    for (unsigned i = 0; i < tunnel->at_once; i++)
        answer(tunnel, tunnel->waiting[i]);
}

static const struct jmp_handler handlers[] = { { &jmp_exporter_get_status, on_get_status }, {} };

static void call(struct tunnel *tunnel);

static void on_answer(const struct jmp_status *status, const ProtobufCMessage *response, void *user)
{
    struct tunnel *tunnel = user;

    assert_string_equal(status->text, "");
    assert_int_equal(status->code, JMP_OK);
    tunnel->answered++;
    be_patient(tunnel);
    if (tunnel->left > 0)
        call(tunnel);
    else if (tunnel->answered % tunnel->at_once == 0)
        jmp_loop_exit(tunnel->bench->loop, 0);
}

static void call(struct tunnel *tunnel)
{
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;

    tunnel->left--;
    assert_int_equal(jmp_channel_unary(tunnel->channel, &jmp_exporter_get_status, NULL, JMP_USEC_INFINITY,
                                       &request.base, on_answer, tunnel, NULL),
                     0);
}

/* The exporter's end is a server of gRPC, the client's end a channel of gRPC. */
static void tunnel_of_calls(struct tunnel *tunnel)
{
    const struct jmp_server_options options = { .handlers = handlers, .user = tunnel };
    struct jmp_channel_options channel = { .endpoint = tunnel->address };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int listener = -EBADF;
    int pair[2], fd;

    *tunnel = (struct tunnel){ .bench = bench_new() };
    assert_int_equal(jmp_server_new(tunnel->bench->queue, &options, &tunnel->exporter), 0);
    assert_int_equal(jmp_server_start(tunnel->exporter), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(jmp_server_adopt(tunnel->exporter, pair[0]), 0);
    dial(tunnel->bench, pair[1], &tunnel->far_pump);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/tunnel", tunnel->bench->directory);
    snprintf(tunnel->address, sizeof(tunnel->address), "unix:%s", address.sun_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(jmp_channel_new(tunnel->bench->queue, &channel, &tunnel->channel, NULL), 0);
    jmp_channel_probe(tunnel->channel);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fd >= 0);
    dial(tunnel->bench, fd, &tunnel->near_pump);
}

static void make_calls(struct tunnel *tunnel, unsigned at_once, unsigned rounds)
{
    tunnel->at_once = at_once;
    tunnel->left = at_once * rounds;
    tunnel->answered = 0;
    for (unsigned i = 0; i < at_once; i++)
        call(tunnel);
    run(tunnel);
    assert_int_equal(tunnel->answered, at_once * rounds);
}

/*
 * Each message of a tunnel is passed on because the one before has been, never because some time is over. Whoever waits
 * for a clock at each of many messages is slow and yet right, so no other test would notice.
 */
JMP_TEST(calls_through_a_tunnel_need_no_clock)
{
    struct tunnel tunnel;
    unsigned alone = 0;

    tunnel_of_calls(&tunnel);
    make_calls(&tunnel, 1, 1); /* connected */
    no_clock = true;
    for (unsigned at_once = 1; at_once <= AT_ONCE_MAX; at_once *= 8) {
        tunnel.together = true;
        make_calls(&tunnel, at_once, 4);
        packets = 0;
        tunnel.together = false;
        make_calls(&tunnel, at_once, 12);
        if (at_once == 1)
            alone = packets;
    }
    /* Those at once share messages: 3 packets for each of them, where one alone takes 8. */
    assert_true(packets / AT_ONCE_MAX < alone * 3 / 4);
    tunnel_free(&tunnel);
}

/* A tunnel between two descriptors of ours; each end has a writer or a reader. */
struct end {
    struct jmp_io io;
    struct tunnel *tunnel;
    size_t count, wanted; /* bytes */
    unsigned char next;
};

static void tunnel_of_bytes(struct tunnel *tunnel, int *retnear, int *retfar)
{
    int near[2], far[2];

    *tunnel = (struct tunnel){ .bench = bench_new() };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, near), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, far), 0);
    dial(tunnel->bench, near[1], &tunnel->near_pump);
    dial(tunnel->bench, far[1], &tunnel->far_pump);
    *retnear = near[0];
    *retfar = far[0];
}

static void advance(struct end *end, size_t n)
{
    be_patient(end->tunnel);
    if (end->count < end->wanted && end->count + n >= end->wanted)
        jmp_loop_exit(end->tunnel->bench->loop, 0);
    end->count += n;
    end->next = (unsigned char)(end->next + n * 7);
}

static void fill(struct jmp_io *io, uint32_t revents)
{
    struct end *end = CONTAINER_OF(io, struct end, io);
    unsigned char data[8192];
    ssize_t n;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(end->next + i * 7);
    n = write(io->fd, data, sizeof(data));
    if (n > 0)
        advance(end, (size_t)n);
}

static void drain(struct jmp_io *io, uint32_t revents)
{
    struct end *end = CONTAINER_OF(io, struct end, io);
    unsigned char data[8192];
    ssize_t n = read(io->fd, data, sizeof(data));

    for (ssize_t i = 0; i < n; i++)
        assert_int_equal(data[i], (unsigned char)(end->next + i * 7));
    if (n > 0)
        advance(end, (size_t)n);
}

static void out_of_hope(struct jmp_timer *timer) { jmp_loop_exit(timer->loop, 1); }

JMP_TEST(a_reader_that_pauses_lets_much_be_on_its_way_and_not_everything)
{
    _cleanup_close_ int near = -EBADF, far = -EBADF;
    struct tunnel tunnel;
    struct end in = { .tunnel = &tunnel, .wanted = 1 << 20 }, out = { .tunnel = &tunnel };
    size_t before;
    int r;

    tunnel_of_bytes(&tunnel, &near, &far);
    no_clock = true;
    assert_int_equal(jmp_io_start(tunnel.bench->loop, &in.io, near, EPOLLOUT, fill), 0);
    run(&tunnel);
    /* Until nothing more goes in. Should that look so too early, the limit is only easier to keep. */
    in.wanted = IN_FLIGHT_MAX;
    do {
        before = in.count;
        assert_int_equal(__real_jmp_timer_start(tunnel.bench->loop, &tunnel.hope, JMP_USEC_PER_SEC / 5, out_of_hope),
                         0);
        jmp_loop_resume(tunnel.bench->loop);
        r = jmp_queue_run(tunnel.bench->queue);
    } while (r > 0 && in.count != before);
    assert_int_equal(r, 1);
    jmp_io_close(&in.io);

    out.wanted = in.count;
    assert_int_equal(jmp_io_start(tunnel.bench->loop, &out.io, far, EPOLLIN, drain), 0);
    run(&tunnel);
    assert_int_equal(out.count, in.count);
    jmp_io_close(&out.io);
    tunnel_free(&tunnel);
}

static void echo(struct jmp_io *io, uint32_t revents)
{
    char byte;

    if (read(io->fd, &byte, 1) == 1)
        assert_int_equal(write(io->fd, &byte, 1), 1);
}

static void next_round(struct jmp_io *io, uint32_t revents)
{
    struct end *end = CONTAINER_OF(io, struct end, io);
    char byte;

    if (read(io->fd, &byte, 1) != 1)
        return;
    advance(end, 1);
    if (end->count < end->wanted)
        assert_int_equal(write(io->fd, &byte, 1), 1);
}

JMP_TEST(an_echo_through_a_tunnel_takes_few_packets_and_no_clock)
{
    _cleanup_close_ int near = -EBADF, far = -EBADF;
    struct tunnel tunnel;
    struct end in = { .tunnel = &tunnel, .wanted = 200 }, out = { .tunnel = &tunnel };

    tunnel_of_bytes(&tunnel, &near, &far);
    no_clock = true;
    assert_int_equal(jmp_io_start(tunnel.bench->loop, &in.io, near, EPOLLIN, next_round), 0);
    assert_int_equal(jmp_io_start(tunnel.bench->loop, &out.io, far, EPOLLIN, echo), 0);
    packets = 0;
    assert_int_equal(write(near, "x", 1), 1);
    run(&tunnel);
    assert_int_equal(in.count, in.wanted);
    assert_true(packets < in.count * 10); /* 6 of each byte: two hops each way, and what opens windows */
    jmp_io_close(&in.io);
    jmp_io_close(&out.io);
    tunnel_free(&tunnel);
}

JMP_TEST(what_is_written_in_small_pieces_travels_in_few_messages)
{
    _cleanup_close_ int near = -EBADF;
    struct bench *bench = bench_new();
    struct jmp_pump *pump;
    struct call far;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    near = pair[0];
    dial_one(bench, pair[1], &pump, &far);
    for (unsigned i = 1; i <= 3; i++) {
        /* As many as come while the loop has other things to do. */
        for (unsigned j = 0; j < 100; j++)
            assert_int_equal(write(near, "x", 1), 1);
        bench_wait_count(&far, i);
        assert_int_equal(far.frame_length, 100 + 2); /* key and length of the field */
    }
    bench_cancel(&far);
    jmp_pump_free(pump);
    bench_free(bench);
}

static void tcp_pair(int pair[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    _cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(address);

    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(pair[0], (const struct sockaddr *)&address, sizeof(address)), 0);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(pair[1] >= 0);
}

/* As telnet sends it for Ctrl-C. A read stops before the urgent byte, and of what is behind there is no more news. */
JMP_TEST(what_comes_behind_an_urgent_byte_is_read)
{
    _cleanup_close_ int near = -EBADF;
    struct bench *bench = bench_new();
    struct jmp_pump *pump;
    struct call far;
    int pair[2];

    tcp_pair(pair);
    near = pair[0];
    dial_one(bench, pair[1], &pump, &far);
    assert_int_equal(send(near, "before", 6, 0), 6);
    assert_int_equal(send(near, "!", 1, MSG_OOB), 1);
    assert_int_equal(send(near, "behind", 6, 0), 6);
    bench_wait_count(&far, 2);
    assert_int_equal(far.frame_length, 6 + 2);
    assert_memory_equal(far.frame + 2, "behind", 6);
    bench_cancel(&far);
    jmp_pump_free(pump);
    bench_free(bench);
}
