/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody has the loop for himself: whatever one thing does without end, the others go on. */
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/test.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/channel.h"
#include "rpc/methods.h"
#include "rpc/server.h"

struct bench {
    struct jmp_loop *loop;
    struct jmp_queue *queue;
    struct jmp_server *server;
    struct jmp_channel *channel;
    struct jmp_timer patience;
    struct sockaddr_in address;
    unsigned calls, left;

    struct jmp_io io; /* what one thing does without end */
    struct jmp_post post;
    unsigned long runs;
};

static void out_of_patience(struct jmp_timer *timer) { jmp_loop_exit(timer->loop, -ETIMEDOUT); }

static void be_patient(struct bench *bench)
{
    assert_int_equal(jmp_timer_start(bench->loop, &bench->patience, 20 * JMP_USEC_PER_SEC, out_of_patience), 0);
}

static void run(struct bench *bench)
{
    be_patient(bench);
    jmp_loop_resume(bench->loop);
    assert_int_equal(jmp_queue_run(bench->queue), 0);
}

static void on_get_status(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    Jumpstarter__V1__GetStatusResponse answer = JUMPSTARTER__V1__GET_STATUS_RESPONSE__INIT;

    assert_int_equal(jmp_rpc_reply(rpc, &answer.base), 0);
}

static const struct jmp_handler handlers[] = { { &jmp_exporter_get_status, on_get_status }, {} };

static struct bench *bench_new(void)
{
    const struct jmp_server_options options = { .handlers = handlers };
    struct bench *bench = calloc(1, sizeof(*bench));
    struct jmp_channel_options channel = { .plaintext = true };
    char endpoint[64];
    unsigned port;

    assert_non_null(bench);
    assert_int_equal(jmp_loop_new(&bench->loop), 0);
    assert_int_equal(jmp_queue_new(bench->loop, &bench->queue), 0);
    assert_int_equal(jmp_server_new(bench->queue, &options, &bench->server), 0);
    assert_int_equal(jmp_server_listen(bench->server, "127.0.0.1:0", NULL, NULL, &port, NULL), 0);
    assert_int_equal(jmp_server_start(bench->server), 0);
    bench->address = (struct sockaddr_in){ .sin_family = AF_INET,
                                           .sin_port = htons((uint16_t)port),
                                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", port);
    channel.endpoint = endpoint;
    assert_int_equal(jmp_channel_new(bench->queue, &channel, &bench->channel, NULL), 0);
    return bench;
}

static void bench_free(struct bench *bench)
{
    jmp_io_close(&bench->io);
    jmp_timer_close(&bench->patience);
    jmp_channel_free(bench->channel);
    jmp_server_free(bench->server);
    jmp_queue_free(bench->queue);
    jmp_loop_free(bench->loop);
    free(bench);
}

static void call(struct bench *bench);

static void on_answer(const struct jmp_status *status, const ProtobufCMessage *response, void *user)
{
    struct bench *bench = user;

    assert_string_equal(status->text, "");
    assert_int_equal(status->code, JMP_OK);
    bench->calls++;
    if (--bench->left > 0)
        call(bench);
    else
        jmp_loop_exit(bench->loop, 0);
}

static void call(struct bench *bench)
{
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;

    assert_int_equal(jmp_channel_unary(bench->channel, &jmp_exporter_get_status, NULL, JMP_USEC_INFINITY, &request.base,
                                       on_answer, bench, NULL),
                     0);
}

/* One after the other: each takes the loop some turns. */
static void make_calls(struct bench *bench)
{
    bench->left = 5;
    call(bench);
    run(bench);
    assert_int_equal(bench->calls, 5);
}

static void count_io(struct jmp_io *io, uint32_t revents) { CONTAINER_OF(io, struct bench, io)->runs++; }

/* A hook that writes as fast as it can, for one. */
JMP_TEST(a_descriptor_that_is_always_ready_stops_no_call)
{
    struct bench *bench = bench_new();
    _cleanup_close_ int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

    assert_int_equal(jmp_io_start(bench->loop, &bench->io, fd, EPOLLIN, count_io), 0);
    make_calls(bench);
    assert_true(bench->runs > bench->calls);
    bench_free(bench);
}

static void post_again(struct jmp_post *post)
{
    struct bench *bench = CONTAINER_OF(post, struct bench, post);

    bench->runs++;
    jmp_loop_post(bench->loop, post);
}

JMP_TEST(a_post_that_posts_itself_again_stops_no_call)
{
    struct bench *bench = bench_new();

    bench->post.run = post_again;
    jmp_loop_post(bench->loop, &bench->post);
    make_calls(bench);
    assert_true(bench->runs > bench->calls);
    jmp_loop_unpost(bench->loop, &bench->post);
    bench_free(bench);
}

static void refused(struct jmp_io *io, uint32_t revents) { jmp_loop_exit(io->loop, 0); }

/* Whoever comes then is sent away at once, and whoever comes later is served. */
JMP_TEST(a_server_without_descriptors_serves_again_when_there_are_some)
{
    struct bench *bench = bench_new();
    _cleanup_close_ int stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit limit, few;
    int first, last;

    assert_true(stranger >= 0);
    be_patient(bench);   /* the first timer takes a descriptor */
    first = last = fcntl(stranger, F_DUPFD_CLOEXEC, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = (struct rlimit){ .rlim_cur = (rlim_t)first + 16, .rlim_max = limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int fd = first; fd >= 0; fd = fcntl(stranger, F_DUPFD_CLOEXEC, first))
        last = fd;

    assert_int_equal(connect(stranger, (const struct sockaddr *)&bench->address, sizeof(bench->address)), 0);
    assert_int_equal(jmp_io_start(bench->loop, &bench->io, stranger, EPOLLIN, refused), 0);
    run(bench);
    assert_true(read(stranger, &(char){ 0 }, 1) <= 0);
    jmp_io_close(&bench->io);

    for (int fd = first; fd <= last; fd++)
        close(fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    make_calls(bench);
    bench_free(bench);
}
