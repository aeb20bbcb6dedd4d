/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/pump.h"

#include <string.h>
#include <sys/socket.h>

#include "rpc/frame.h"
#include "rpc/internal.h"
#include "rpc/methods.h"

/* How long a stream may linger when both directions have ended but the call has not. */
#define LINGER (5 * JMP_USEC_PER_SEC)

struct jmp_pump {
    struct jmp_rpc *rpc;               /* NULL once it is closed */
    struct jmp_loop *loop;
    const struct jmp_pump_events *events;
    void *user;
    bool is_server, is_socket, is_datagram;

    int fd;
    struct jmp_io io;
    struct jmp_timer linger;

    /* Descriptor to peer. */
    bool sending;                      /* a message is in flight: nothing is read meanwhile */
    bool early;                        /* more came during it: not watched until all that is there has been read */
    bool more;                         /* the last read may have left something */
    /* Behind what a read gives comes the far side's end, or what follows an urgent byte: no more news of it. */
    bool behind;
    bool eof, goaway_due, goaway_sent;
    int read_error;

    /* Peer to descriptor: a frame that the descriptor has not taken yet. */
    grpc_slice held;
    const char *rest;
    size_t rest_length;
    bool peer_ended, write_broken;

    bool closing;
    struct jmp_pump_stats stats;
};

/*
 * One thread, one buffer: what is read is packed before anything else is read. What a message costs does not depend on
 * its size, so a disk's transfer by USB/IP and a piece of an image fit into one.
 */
static char chunk[JMP_FRAME_MAX];

static void watch(struct jmp_pump *pump)
{
    uint32_t events = 0;

    if (pump->fd < 0)
        return;
    /*
     * A console's bytes come one by one, and watching is changed for none of them; those of a bulk transfer are always
     * there already, and none of them wakes the loop.
     */
    if (!pump->eof && !(pump->sending && pump->early))
        events |= EPOLLIN | EPOLLPRI | EPOLLRDHUP;
    if (pump->rest_length > 0)
        events |= EPOLLOUT;
    if (events)
        jmp_io_set(&pump->io, events | EPOLLET);
    else
        jmp_io_pause(&pump->io);
}

static void on_linger(struct jmp_timer *timer)
{
    struct jmp_pump *pump = CONTAINER_OF(timer, struct jmp_pump, linger);

    if (pump->rpc)
        jmp_rpc_cancel(pump->rpc);
}

/* Both directions have ended: the server says so with a status, the client waits for it, not for ever. */
static void maybe_finish(struct jmp_pump *pump)
{
    /* A client whose descriptor neither gives nor takes any more has nobody to stay for, whatever the peer still
     * says. */
    bool ended = pump->peer_ended || (pump->write_broken && !pump->is_server);

    if (!pump->rpc || pump->closing || !pump->goaway_sent || !ended || pump->sending)
        return;
    pump->closing = true;
    if (pump->is_server) {
        if (pump->read_error)
            jmp_rpc_finish(pump->rpc, JMP_UNAVAILABLE, "the device's stream broke: %s", strerror(-pump->read_error));
        else
            jmp_rpc_finish(pump->rpc, JMP_OK, "%s", "");
    }
    if (jmp_timer_start(pump->loop, &pump->linger, LINGER, on_linger) < 0)
        jmp_rpc_cancel(pump->rpc);
}

static bool send_frame(struct jmp_pump *pump, enum jmp_frame_type type, size_t length)
{
    struct jmp_buffer *buffer;

    if (!pump->rpc)
        return false;
    buffer = jmp_frame_encode(type, chunk, length);
    if (!buffer) {
        jmp_rpc_cancel(pump->rpc);
        return false;
    }
    if (jmp_rpc_send_buffer(pump->rpc, buffer) < 0)
        return false;
    pump->sending = true;
    return true;
}

static void say_goaway(struct jmp_pump *pump)
{
    pump->goaway_due = true;
    if (pump->sending || pump->goaway_sent || !pump->rpc)
        return;
    pump->goaway_sent = true;
    if (send_frame(pump, JMP_FRAME_GOAWAY, 0) && !pump->is_server)
        jmp_rpc_half_close(pump->rpc);
    maybe_finish(pump);
}

static void end_of_input(struct jmp_pump *pump, int error)
{
    if (pump->eof)
        return;
    pump->eof = true;
    pump->read_error = error;
    say_goaway(pump);
}

/* Until a message is in flight, or nothing is left: only what comes then is news. */
static void read_some(struct jmp_pump *pump)
{
    while (!pump->sending && !pump->eof && pump->fd >= 0) {
        ssize_t n = read(pump->fd, chunk, sizeof(chunk));

        if (n > 0 || (n == 0 && pump->is_datagram)) {
            pump->stats.bytes_out += (uint64_t)n;
            /* A stream socket gives all it has. */
            pump->more = !pump->is_socket || pump->is_datagram || (size_t)n == sizeof(chunk);
            if (!pump->more)
                pump->early = false;
            if (!send_frame(pump, JMP_FRAME_DATA, (size_t)n))
                return;   /* the call is ending */
        } else if (n == 0 || errno == EIO || errno == ECONNRESET) {
            /* A tty that is gone says EIO; a reset is an end as well. */
            pump->stats.error = n == 0 ? 0 : -errno;
            end_of_input(pump, 0);
        } else if (errno == EAGAIN) {
            pump->early = pump->more = false;
            return;
        } else if (errno != EINTR && !(pump->is_datagram && errno == ECONNREFUSED)) {
            pump->stats.error = -errno;
            end_of_input(pump, -errno);
        }
    }
}

static void drop_held(struct jmp_pump *pump)
{
    grpc_slice_unref(pump->held);
    pump->held = grpc_empty_slice();
    pump->rest_length = 0;
}

/* Writes what is held. When all of it is gone, or can never go, the next frame is asked for. */
static void write_some(struct jmp_pump *pump)
{
    while (pump->rest_length > 0) {
        ssize_t n = pump->write_broken ? (ssize_t)pump->rest_length : write(pump->fd, pump->rest, pump->rest_length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            watch(pump);
            return;
        }
        if (n < 0 && pump->is_datagram && (errno == EMSGSIZE || errno == ECONNREFUSED || errno == ENOBUFS))
            n = (ssize_t)pump->rest_length;   /* lost, as datagrams are */
        if (n < 0) {
            /* The descriptor takes no more. What still comes is read and dropped, so that the peer is not stuck. */
            pump->write_broken = true;
            maybe_finish(pump);
            continue;
        }
        pump->rest += n;
        pump->rest_length -= pump->is_datagram ? pump->rest_length : (size_t)n;
    }
    drop_held(pump);
    if (pump->rpc && !pump->peer_ended)
        jmp_rpc_receive(pump->rpc);
}

static void on_io(struct jmp_io *io, uint32_t revents)
{
    struct jmp_pump *pump = CONTAINER_OF(io, struct jmp_pump, io);

    if (revents & (EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
        pump->behind = true;
    if (revents & (EPOLLOUT | EPOLLERR | EPOLLHUP) && pump->rest_length > 0)
        write_some(pump);
    if (revents & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        pump->early = pump->sending;
        read_some(pump);
    }
    watch(pump);
}

static void peer_has_ended(struct jmp_pump *pump)
{
    if (pump->peer_ended)
        return;
    pump->peer_ended = true;
    if (pump->is_socket && pump->fd >= 0)
        shutdown(pump->fd, SHUT_WR);
    maybe_finish(pump);
}

static void on_buffer(struct jmp_rpc *rpc, struct jmp_buffer *buffer, void *user)
{
    struct jmp_pump *pump = user;
    const void *payload;
    unsigned type;
    size_t length;

    if (!buffer) {
        /* Not so when the call was cancelled: what was cut short must not look like a whole, closed() follows. */
        if (!pump->is_server || !__atomic_load_n(&rpc->cancelled, __ATOMIC_ACQUIRE))
            peer_has_ended(pump);
        return;
    }
    if (!jmp_buffer_flatten((grpc_byte_buffer *)buffer, &pump->held) ||
        jmp_frame_decode(GRPC_SLICE_START_PTR(pump->held), GRPC_SLICE_LENGTH(pump->held), &type, &payload, &length) <
            0) {
        jmp_buffer_free(buffer);
        drop_held(pump);
        if (pump->is_server)
            jmp_rpc_finish(rpc, JMP_INTERNAL, "a frame is malformed");
        else
            jmp_rpc_cancel(rpc);
        return;
    }
    jmp_buffer_free(buffer);

    if (type == JMP_FRAME_GOAWAY) {
        drop_held(pump);
        peer_has_ended(pump);
        /* The half-close behind it, or a cancel, is still to be heard. */
        jmp_rpc_receive(rpc);
        return;
    }
    if (type != JMP_FRAME_DATA || pump->peer_ended)
        length = 0;   /* other types are no data */
    pump->stats.bytes_in += length;
    pump->stats.peer_seen |= length > 0;
    pump->rest = payload;
    pump->rest_length = length;
    write_some(pump);
}

static void on_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct jmp_pump *pump = user;

    pump->sending = false;
    if (!ok)
        return;
    if (pump->goaway_due && !pump->goaway_sent)
        say_goaway(pump);
    maybe_finish(pump);
    /* In bulk transfers the next bytes are there already. */
    if (pump->early || pump->more || pump->behind)
        read_some(pump);
    watch(pump);
}

static void close_fd(struct jmp_pump *pump)
{
    jmp_io_close(&pump->io);
    pump->fd = jmp_close(pump->fd);
    jmp_timer_close(&pump->linger);
    drop_held(pump);
}

static void on_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct jmp_pump *pump = user;

    pump->rpc = NULL;
    close_fd(pump);
    if (pump->events && pump->events->closed)
        pump->events->closed(pump, status, pump->user);
}

static const struct jmp_rpc_events pump_events = { .buffer = on_buffer, .sent = on_sent, .closed = on_closed };

static int pump_new(struct jmp_queue *queue, int taken, const struct jmp_pump_events *events, void *user,
                    struct jmp_pump **ret)
{
    _cleanup_close_ int fd = taken;
    struct jmp_pump *pump = calloc(1, sizeof(*pump));
    socklen_t length = sizeof(int);
    int type = 0, r;

    if (!pump)
        return -ENOMEM;
    pump->loop = jmp_queue_loop(queue);
    pump->events = events;
    pump->user = user;
    pump->fd = -EBADF;
    pump->held = grpc_empty_slice();
    pump->is_socket = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0;
    pump->is_datagram = pump->is_socket && type != SOCK_STREAM;
    r = jmp_io_start(pump->loop, &pump->io, fd, 0, on_io);
    if (r < 0) {
        free(pump);
        return r;
    }
    jmp_io_pause(&pump->io);
    pump->fd = TAKE_FD(fd);
    *ret = pump;
    return 0;
}

static void begin(struct jmp_pump *pump)
{
    jmp_rpc_receive(pump->rpc);
    watch(pump);
}

int jmp_pump_dial(struct jmp_channel *channel, const struct jmp_metadata *metadata, int fd,
                  const struct jmp_pump_events *events, void *user, struct jmp_pump **ret)
{
    struct jmp_pump *pump;
    int r;

    r = pump_new(jmp_channel_queue(channel), fd, events, user, &pump);
    if (r < 0)
        return r;
    r = jmp_channel_call(channel, &jmp_router_stream, metadata, JMP_USEC_INFINITY, NULL, &pump_events, pump,
                         &pump->rpc);
    if (r < 0) {
        jmp_pump_free(pump);
        return r;
    }
    /* The headers of the call are a message of their own in flight. */
    pump->sending = true;
    begin(pump);
    *ret = pump;
    return 0;
}

int jmp_pump_serve(struct jmp_rpc *rpc, int fd, const struct jmp_pump_events *events, void *user, struct jmp_pump **ret)
{
    struct jmp_pump *pump;
    int r;

    r = pump_new(rpc->queue, fd, events, user, &pump);
    if (r < 0) {
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "no stream: %s", strerror(-r));
        return r;
    }
    pump->is_server = true;
    pump->rpc = rpc;
    jmp_rpc_listen(rpc, &pump_events, pump);
    /* At once: clients wait for them before anything else. -EALREADY: the caller has sent them. */
    r = jmp_rpc_send_headers(rpc, NULL);
    if (r < 0 && r != -EALREADY && r != -EPIPE) {
        jmp_rpc_finish(rpc, JMP_INTERNAL, "no headers: %s", strerror(-r));
        jmp_rpc_listen(rpc, NULL, NULL);
        pump->rpc = NULL;
        jmp_pump_free(pump);
        return r;
    }
    begin(pump);
    *ret = pump;
    return 0;
}

struct jmp_pump *jmp_pump_free(struct jmp_pump *pump)
{
    if (!pump)
        return NULL;
    if (pump->rpc) {
        jmp_rpc_listen(pump->rpc, NULL, NULL);
        jmp_rpc_cancel(pump->rpc);
    }
    close_fd(pump);
    free(pump);
    return NULL;
}

void jmp_pump_stats(const struct jmp_pump *pump, struct jmp_pump_stats *ret)
{
    *ret = pump->stats;
    ret->ended = pump->eof || pump->fd < 0;
}
