/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a program whose peer did not read for a while. A test program of its own: what is left behind ends with
 * it. */
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/limits.h"
#include "base/test.h"
#include "rpc/channel.h"
#include "rpc/frame.h"
#include "rpc/methods.h"

#define PIECE (2u * 1024 * 1024) /* more than a socket holds */
#define STUCK (64 * 1024)        /* so much of it has come: the rest has no room */

/* SETTINGS with an initial window of 2^31-1 bytes, and the same for the connection. */
static const unsigned char hello[] = { 0,    0, 6, 4, 0, 0, 0, 0, 0, 0, 4,    0x7f, 0xff, 0xff,
                                       0xff, 0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0,    0 };

struct peer {
    struct jmp_loop *loop;
    struct jmp_io listener;
    struct jmp_timer look;
    int fd;
};

/* Bytes that are not read would be news again and again, so they are looked for. */
static void on_look(struct jmp_timer *timer)
{
    struct peer *peer = CONTAINER_OF(timer, struct peer, look);
    int waiting = 0;

    assert_int_equal(ioctl(peer->fd, FIONREAD, &waiting), 0);
    if (waiting > STUCK)
        jmp_loop_exit(peer->loop, 0);
    else
        jmp_timer_start(peer->loop, timer, 5 * JMP_USEC_PER_MSEC, on_look);
}

static void on_connection(struct jmp_io *io, uint32_t revents)
{
    struct peer *peer = CONTAINER_OF(io, struct peer, listener);

    peer->fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(peer->fd >= 0);
    assert_int_equal(write(peer->fd, hello, sizeof(hello)), sizeof(hello));
    on_look(&peer->look);
}

/* To the end, now that nobody has anything to say any more. */
static void *read_all(void *user)
{
    static char bytes[65536];
    int fd = *(int *)user;

    while (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, -1) > 0 && read(fd, bytes, sizeof(bytes)) > 0)
        ;
    return NULL;
}

static void on_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user) { *(bool *)user = true; }
static void on_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    static char piece[PIECE];
    struct jmp_buffer *buffer = ok ? jmp_frame_encode(JMP_FRAME_DATA, piece, sizeof(piece)) : NULL;

    if (buffer)
        assert_int_equal(jmp_rpc_send_buffer(rpc, buffer), 0);
}

static void too_late(struct jmp_timer *timer) { jmp_loop_exit(timer->loop, -ETIMEDOUT); }

JMP_TEST(a_peer_that_does_not_read_does_not_hold_up_the_end)
{
    static const struct jmp_rpc_events events = { .sent = on_sent, .closed = on_closed };
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/tmp/jmp-shutdown-XXXXXX" };
    char endpoint[sizeof(address.sun_path) + 8];
    struct jmp_channel_options options = { .endpoint = endpoint, .plaintext = true };
    struct jmp_timer deadline = { 0 };
    struct peer peer = { 0 };
    struct jmp_queue *queue;
    struct jmp_channel *channel;
    struct jmp_rpc *rpc;
    pthread_t reader;
    bool closed = false;
    uint64_t began;
    int listener;

    assert_non_null(mkdtemp(address.sun_path));
    strcat(address.sun_path, "/s");
    snprintf(endpoint, sizeof(endpoint), "unix:%s", address.sun_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);

    assert_int_equal(jmp_loop_new(&peer.loop), 0);
    assert_int_equal(jmp_queue_new(peer.loop, &queue), 0);
    assert_int_equal(jmp_io_start(peer.loop, &peer.listener, listener, EPOLLIN, on_connection), 0);
    assert_int_equal(jmp_channel_new(queue, &options, &channel, NULL), 0);
    assert_int_equal(
        jmp_channel_call(channel, &jmp_router_stream, NULL, JMP_USEC_INFINITY, NULL, &events, &closed, &rpc), 0);
    jmp_timer_start(peer.loop, &deadline, 30 * JMP_USEC_PER_SEC, too_late);
    assert_int_equal(jmp_queue_run(queue), 0);

    began = jmp_now();
    assert_int_equal(pthread_create(&reader, NULL, read_all, &peer.fd), 0);
    jmp_rpc_cancel(rpc);
    jmp_channel_free(channel);
    jmp_queue_free(queue);
    assert_in_range(jmp_now() - began, 0, 9 * JMP_USEC_PER_SEC); /* gRPC alone would, often, take ten */
    assert_true(closed);

    assert_int_equal(pthread_join(reader, NULL), 0);
    jmp_timer_close(&deadline);
    jmp_timer_close(&peer.look);
    jmp_io_close(&peer.listener);
    close(peer.fd);
    close(listener);
    jmp_loop_free(peer.loop);
    unlink(address.sun_path);
    *strrchr(address.sun_path, '/') = '\0';
    rmdir(address.sun_path);
}
