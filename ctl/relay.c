/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/relay.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* What a pipe that is ready for writing takes without blocking: PIPE_BUF. */
#define WRITE_MOST 4096u
#define CLOSE_TIMEOUT (300 * JMP_USEC_PER_MSEC)

/* A descriptor of ours: watched, or always ready because it is a file. */
struct end {
    struct jmp_io io;
    int fd;
    bool file;
};

struct relay {
    struct jmp_client *client;
    const struct jmp_relay_options *options;
    struct jmp_pump *pump;
    int sock;
    struct jmp_io io;                    /* of sock */
    struct end in, out;

    char up[16384], down[65536];         /* input not yet sent; output not yet written */
    size_t up_at, up_length, down_at, down_length;
    uint64_t taken;                      /* bytes of input, all */
    bool in_ended, half_closed, sock_ended, pump_closed, done;
    bool input_over;                     /* nothing will be sent any more, whatever the reason */
    enum jmp_relay_end end;
    struct jmp_error error;
    struct jmp_pump_stats stats;
};

static void finish(struct relay *relay, enum jmp_relay_end end)
{
    if (relay->done)
        return;
    relay->done = relay->input_over = true;
    relay->end = end;
    jmp_client_wake(relay->client);
}

static void watch_end(struct end *end, bool wanted, uint32_t events)
{
    if (end->file || end->fd < 0)
        return;
    if (wanted)
        jmp_io_set(&end->io, events);
    else
        jmp_io_pause(&end->io);
}

static void watch(struct relay *relay)
{
    uint32_t events = 0;

    if (relay->done) {
        /* What is ready for ever would keep the loop from everything else. */
        watch_end(&relay->in, false, 0);
        watch_end(&relay->out, false, 0);
        jmp_io_pause(&relay->io);
        return;
    }
    watch_end(&relay->in, !relay->in_ended && relay->up_length == 0, EPOLLIN);
    watch_end(&relay->out, relay->down_length > 0, EPOLLOUT);
    /* A file as input is read whenever there is room for it. */
    if (relay->up_length > 0 || (relay->in.file && !relay->in_ended))
        events |= EPOLLOUT;
    if (relay->down_length == 0 && !relay->sock_ended)
        events |= EPOLLIN;
    if (events)
        jmp_io_set(&relay->io, events);
    else
        jmp_io_pause(&relay->io);
}

static void end_input(struct relay *relay)
{
    relay->in_ended = true;
    if (relay->up_length == 0 && !relay->half_closed) {
        relay->half_closed = relay->input_over = true;
        shutdown(relay->sock, SHUT_WR);
        jmp_client_wake(relay->client);
    }
}

static void send_up(struct relay *relay)
{
    while (relay->up_length > 0) {
        ssize_t n = send(relay->sock, relay->up + relay->up_at, relay->up_length, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            /* The stream has ended: reading from it will say how. */
            relay->up_length = 0;
            relay->in_ended = true;
            return;
        }
        relay->up_at += (size_t)n;
        relay->up_length -= (size_t)n;
    }
    if (relay->in_ended)
        end_input(relay);
}

static void read_in(struct relay *relay)
{
    ssize_t n;

    if (relay->in_ended || relay->up_length > 0)
        return;
    n = read(relay->in.fd, relay->up, sizeof(relay->up));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        /* EIO: the terminal is gone. */
        end_input(relay);
        return;
    }
    relay->up_at = 0;
    relay->up_length = (size_t)n;
    if (relay->options->look && !relay->options->look(relay->up, &relay->up_length, relay->options->user)) {
        finish(relay, JMP_RELAY_STOPPED);
        return;
    }
    relay->taken += relay->up_length;
    send_up(relay);
}

static void write_down(struct relay *relay)
{
    while (relay->down_length > 0) {
        size_t length = relay->down_length;
        ssize_t n;

        if (relay->out.fd < 0) {
            relay->down_length = 0;
            break;
        }
        if (!relay->out.file && length > WRITE_MOST)
            length = WRITE_MOST;
        n = write(relay->out.fd, relay->down + relay->down_at, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            if (errno != EPIPE && errno != EIO)
                jmp_error_set(&relay->error, -errno, "the output cannot be written: %m");
            finish(relay, JMP_RELAY_OUTPUT_GONE);
            return;
        }
        relay->down_at += (size_t)n;
        relay->down_length -= (size_t)n;
        /* Whether a pipe or terminal takes more without blocking has to be asked again. */
        if (!relay->out.file)
            return;
    }
}

static void read_sock(struct relay *relay)
{
    ssize_t n;

    if (relay->sock_ended || relay->down_length > 0)
        return;
    n = recv(relay->sock, relay->down, sizeof(relay->down), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        relay->sock_ended = true;
        return;
    }
    relay->down_at = 0;
    relay->down_length = (size_t)n;
    if (relay->out.file || relay->out.fd < 0)
        write_down(relay);
}

static void on_sock(struct jmp_io *io, uint32_t revents)
{
    struct relay *relay = CONTAINER_OF(io, struct relay, io);

    if (revents & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        send_up(relay);
        if (relay->in.file && !relay->done)
            read_in(relay);
    }
    if (revents & (EPOLLIN | EPOLLERR | EPOLLHUP))
        read_sock(relay);
    if (relay->sock_ended && relay->down_length == 0)
        finish(relay, JMP_RELAY_CLOSED);
    watch(relay);
}

static void on_in(struct jmp_io *io, uint32_t revents)
{
    struct relay *relay = CONTAINER_OF(io, struct relay, in.io);

    read_in(relay);
    watch(relay);
}

static void on_out(struct jmp_io *io, uint32_t revents)
{
    struct relay *relay = CONTAINER_OF(io, struct relay, out.io);

    write_down(relay);
    if (relay->sock_ended && relay->down_length == 0)
        finish(relay, JMP_RELAY_CLOSED);
    watch(relay);
}

static void on_pump_closed(struct jmp_pump *pump, const struct jmp_status *status, void *user)
{
    struct relay *relay = user;

    jmp_pump_stats(pump, &relay->stats);
    relay->pump_closed = relay->input_over = true;
    /* Stock exporters end every stream by ABORTED, after their GOAWAY. Our socket has ended by now, and says so when it
     * is drained. */
    if (status->code != JMP_OK && status->code != JMP_CANCELLED && status->code != JMP_ABORTED)
        jmp_client_refuse(&relay->error, status);
    jmp_client_wake(relay->client);
}

static int watch_fd(struct relay *relay, struct end *end, int fd, void (*run)(struct jmp_io *, uint32_t))
{
    int r;

    end->fd = fd;
    if (fd < 0)
        return 0;
    r = jmp_io_start(jmp_client_loop(relay->client), &end->io, fd, 0, run);
    if (r == -EPERM) {
        end->file = true;
        return 0;
    }
    if (r >= 0)
        jmp_io_pause(&end->io);
    return r;
}

/* Everything was handed to gRPC; a round trip on the same connection says that it has arrived there too. */
static void settle(struct relay *relay, struct jmp_session_client *session)
{
    struct jmp_session_status status;
    uint64_t deadline = jmp_now() + 30 * JMP_USEC_PER_SEC;

    while (!relay->pump_closed && !relay->done && jmp_now() < deadline) {
        jmp_pump_stats(relay->pump, &relay->stats);
        if (relay->half_closed && relay->stats.bytes_out >= relay->taken)
            break;
        if (jmp_client_pause(relay->client, 5 * JMP_USEC_PER_MSEC) < 0)
            return;
    }
    jmp_client_wait(relay->client, &relay->pump_closed, CLOSE_TIMEOUT);
    jmp_session_client_status(session, &status, NULL);
}

int jmp_relay_run(struct jmp_session_client *session, const struct jmp_relay_options *options,
                  enum jmp_relay_end *retend, struct jmp_pump_stats *retstats, struct jmp_error *reterr)
{
    static const struct jmp_pump_events events = { .closed = on_pump_closed };
    _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
    _cleanup_free_ struct relay *relay = calloc(1, sizeof(*relay));
    int r;

    if (!relay)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    relay->client = jmp_session_client_base(session);
    relay->options = options;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return jmp_error_set(reterr, -errno, "no socket: %m");
    relay->sock = pair[0];
    r = jmp_session_client_open(session, options->uuid, options->method, TAKE_FD(pair[1]), &events, relay, &relay->pump,
                                reterr);
    if (r < 0)
        return r;

    r = jmp_io_start(jmp_client_loop(relay->client), &relay->io, relay->sock, EPOLLIN, on_sock);
    if (r >= 0)
        r = watch_fd(relay, &relay->in, options->in, on_in);
    if (r >= 0)
        r = watch_fd(relay, &relay->out, options->out, on_out);
    if (r < 0) {
        jmp_error_set(reterr, r, "input and output cannot be watched: %m");
        goto out;
    }
    if (options->in < 0)
        relay->in_ended = true;
    watch(relay);

    if (options->end_with_input) {
        r = jmp_client_wait(relay->client, &relay->input_over, JMP_USEC_INFINITY);
        if (r < 0)
            goto out;
        settle(relay, session);
        if (relay->half_closed && relay->error.error == 0)
            finish(relay, JMP_RELAY_SENT);
    }
    r = jmp_client_wait(relay->client, &relay->done, JMP_USEC_INFINITY);
    if (r < 0) {
        jmp_error_set(reterr, r, "interrupted");
        goto out;
    }
    /* The socket can end before the status of the call is here. */
    if (relay->end == JMP_RELAY_CLOSED)
        jmp_client_wait(relay->client, &relay->pump_closed, CLOSE_TIMEOUT);
    if (relay->error.error < 0 && relay->end != JMP_RELAY_STOPPED) {
        if (reterr)
            *reterr = relay->error;
        r = relay->error.error;
        goto out;
    }
    *retend = relay->end;
out:
    if (!relay->pump_closed)
        jmp_pump_stats(relay->pump, &relay->stats);
    if (retstats)
        *retstats = relay->stats;
    jmp_io_close(&relay->io);
    jmp_io_close(&relay->in.io);
    jmp_io_close(&relay->out.io);
    jmp_pump_free(relay->pump);
    return r;
}
