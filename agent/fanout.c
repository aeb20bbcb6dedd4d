/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fanout.h"

#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

#include "agent/core.h"
#include "base/log.h"
#include "base/ring.h"

#define PORT_READ (16u * 1024)      /* bytes of one read of the port */
#define PORT_BUSY 2048u             /* a read of so many means that more is waiting: a tty gives 4 KiB at most */
#define INPUT_MAX (16u * 1024)      /* bytes of all viewers together on their way to the port */
#define VIEWER_BURST (256u * 1024)  /* bytes to one viewer before the others have their turn */
#define LOSS_LOG_EVERY (10 * JMP_USEC_PER_SEC)

/*
 * A port that can wait (a pseudo-terminal, a simulated board, flow control) is left to wait while every viewer is far
 * behind, so that a bulk transfer loses nothing. Only for so long as one of them gets on: viewers that stand still stop
 * no board.
 */
#define HOLD_BEHIND (JMP_CONSOLE_RING / 4)
#define HOLD_LIMIT (500 * JMP_USEC_PER_MSEC)

struct jmp_viewer {
    struct jmp_viewer *next;        /* newest first */
    struct jmp_fanout *fanout;
    struct jmp_call *call;
    struct jmp_io io;
    int fd;
    uint64_t position;              /* in the ring */
    uint64_t end;                   /* UINT64_MAX, or where an orderly end comes */
    bool input_done;                /* it will send no more; it still gets output */
    bool output_done;               /* it has gone; what it has sent is still taken */
    bool blocked;                   /* its socket is full */
    char notice[64];                /* to be said before it goes on; "" */
    size_t notice_sent;
    uint64_t lost, lost_logged;     /* bytes; jmp_now() */
};

struct jmp_fanout {
    struct jmp_device *device;
    struct jmp_gate *gate;
    struct jmp_fanout *gate_next;
    bool gated;
    struct jmp_io io;
    int fd;                         /* the port, or negative */
    struct jmp_ring *ring;
    struct jmp_viewer *viewers;
    unsigned n_viewers;
    bool replay;                    /* the next viewer begins with the oldest byte */
    char input[INPUT_MAX];          /* to the port */
    size_t input_first, input_end;
    bool port_full;                 /* the port takes no more for now */
    uint64_t pause;                 /* microseconds between bytes to the port, 0: none */
    struct jmp_timer pacer;
    bool patient;                   /* the port can be left to wait without losing anything */
    bool held;                      /* the port is not read, until a viewer has caught up */
    /* Some viewer has got something since .hold was started, or since they all stood still. */
    bool progress;
    struct jmp_timer hold;
};

static void fanout_update(struct jmp_fanout *fanout);
static void port_read(struct jmp_fanout *fanout);
static void on_viewer(struct jmp_io *io, uint32_t revents);
static void hold_check(struct jmp_fanout *fanout);

int jmp_socket_end(int fd)
{
    char rest[4096];

    if (fd < 0)
        return -EBADF;
    /* A socket that is closed with unread bytes resets its peer, who then loses what it has not read yet. */
    shutdown(fd, SHUT_RDWR);
    while (recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
        continue;
    return jmp_close(fd);
}

int jmp_fanout_new(struct jmp_device *device, struct jmp_gate *gate, struct jmp_fanout **ret)
{
    struct jmp_fanout *fanout = calloc(1, sizeof(*fanout));
    int r;

    if (!fanout)
        return -ENOMEM;
    r = jmp_ring_new(JMP_CONSOLE_RING, &fanout->ring);
    if (r < 0) {
        free(fanout);
        return r;
    }
    fanout->device = device;
    fanout->gate = gate;
    fanout->fd = -EBADF;
    *ret = fanout;
    return 0;
}

static void gate_unlink(struct jmp_fanout **list, const struct jmp_fanout *fanout)
{
    for (struct jmp_fanout **at = list; *at; at = &(*at)->gate_next)
        if (*at == fanout) {
            *at = fanout->gate_next;
            break;
        }
}

static void gate_leave(struct jmp_fanout *fanout)
{
    if (!fanout->gated)
        return;
    gate_unlink(&fanout->gate->waiting, fanout);
    gate_unlink(&fanout->gate->due, fanout);
    fanout->gated = false;
}

static void on_gate(struct jmp_timer *timer)
{
    struct jmp_gate *gate = CONTAINER_OF(timer, struct jmp_gate, timer);
    struct jmp_fanout *fanout;

    /* Most ports have more by now. Looking costs less than being told, which takes the loop a round for each of
     * them. */
    gate->due = TAKE_PTR(gate->waiting);
    while ((fanout = gate->due)) {
        gate->due = fanout->gate_next;
        fanout->gated = false;
        if (fanout->held)
            fanout_update(fanout);
        else
            port_read(fanout);
    }
}

/* Without memory for the timer the port simply stays open to every read. */
static void gate_enter(struct jmp_fanout *fanout)
{
    struct jmp_gate *gate = fanout->gate;

    if (fanout->gated || gate->period == 0)
        return;
    if (!gate->timer.running && jmp_timer_start(gate->loop, &gate->timer, gate->period, on_gate) < 0)
        return;
    fanout->gated = true;
    fanout->gate_next = gate->waiting;
    gate->waiting = fanout;
}

struct jmp_fanout *jmp_fanout_free(struct jmp_fanout *fanout)
{
    if (!fanout)
        return NULL;
    while (fanout->viewers)
        jmp_viewer_free(fanout->viewers);
    jmp_fanout_detach(fanout);
    jmp_timer_close(&fanout->pacer);
    jmp_timer_close(&fanout->hold);
    jmp_ring_free(fanout->ring);
    free(fanout);
    return NULL;
}

struct jmp_viewer *jmp_viewer_free(struct jmp_viewer *viewer)
{
    struct jmp_fanout *fanout;

    if (!viewer)
        return NULL;
    fanout = viewer->fanout;
    for (struct jmp_viewer **at = &fanout->viewers; *at; at = &(*at)->next)
        if (*at == viewer) {
            *at = viewer->next;
            break;
        }
    fanout->n_viewers--;
    jmp_io_close(&viewer->io);
    jmp_socket_end(viewer->fd);
    viewer->call->viewer = NULL;
    free(viewer);
    hold_check(fanout);
    return NULL;
}

static void viewer_end(struct jmp_viewer *viewer)
{
    struct jmp_call *call = viewer->call;

    jmp_viewer_free(viewer);
    jmp_call_finish_viewer(call, 0, "");
}

static size_t input_room(const struct jmp_fanout *fanout)
{
    return INPUT_MAX - (fanout->input_end - fanout->input_first);
}

static void viewer_update(struct jmp_viewer *viewer)
{
    bool takes_input = !viewer->input_done && viewer->fanout->fd >= 0 && input_room(viewer->fanout) > 0;
    uint32_t events = (takes_input ? EPOLLIN : 0) | (viewer->blocked && !viewer->output_done ? EPOLLOUT : 0);

    /* A hang-up cannot be masked, it would be reported for ever. */
    if (viewer->output_done && !takes_input)
        jmp_io_pause(&viewer->io);
    else
        jmp_io_set(&viewer->io, events);
}

static void fanout_update(struct jmp_fanout *fanout)
{
    if (fanout->fd >= 0) {
        bool writable = fanout->port_full && fanout->input_end > fanout->input_first;
        bool readable = !fanout->gated && !fanout->held;

        if (!readable && !writable)
            jmp_io_pause(&fanout->io);
        else
            jmp_io_set(&fanout->io, (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0));
    }
    for (struct jmp_viewer *viewer = fanout->viewers; viewer; viewer = viewer->next)
        viewer_update(viewer);
}

/* Every viewer still there is far behind. */
static bool all_behind(const struct jmp_fanout *fanout)
{
    uint64_t head = jmp_ring_head(fanout->ring);
    unsigned n = 0;

    for (const struct jmp_viewer *viewer = fanout->viewers; viewer; viewer = viewer->next) {
        if (viewer->output_done || viewer->end != UINT64_MAX)
            continue;
        if (head - viewer->position < HOLD_BEHIND)
            return false;
        n++;
    }
    return n > 0;
}

static void on_hold(struct jmp_timer *timer)
{
    struct jmp_fanout *fanout = CONTAINER_OF(timer, struct jmp_fanout, hold);

    if (fanout->progress && jmp_timer_start(fanout->gate->loop, &fanout->hold, HOLD_LIMIT, on_hold) == 0) {
        fanout->progress = false;
        return;
    }
    fanout->held = false;
    fanout->progress = false;   /* not again before somebody gets on */
    fanout_update(fanout);
}

static void hold_begin(struct jmp_fanout *fanout)
{
    if (!fanout->patient || fanout->held || !fanout->progress || !all_behind(fanout))
        return;
    if (jmp_timer_start(fanout->gate->loop, &fanout->hold, HOLD_LIMIT, on_hold) < 0)
        return;
    fanout->held = true;
    fanout->progress = false;
}

static void hold_check(struct jmp_fanout *fanout)
{
    if (!fanout->held || all_behind(fanout))
        return;
    fanout->held = false;
    fanout->progress = true;
    jmp_timer_stop(&fanout->hold);
    fanout_update(fanout);
}

static void viewer_lost(struct jmp_viewer *viewer, uint64_t lost)
{
    struct jmp_device *device = viewer->fanout->device;
    uint64_t now = jmp_now();

    viewer->lost += lost;
    snprintf(viewer->notice, sizeof(viewer->notice), "\r\n[jumpstarter: %llu bytes lost]\r\n",
             (unsigned long long)lost);
    viewer->notice_sent = 0;
    if (viewer->lost_logged && now - viewer->lost_logged < LOSS_LOG_EVERY)
        return;
    viewer->lost_logged = now;
    jmp_log(JMP_LOG_WARNING,
            FIELDS(.source = JMP_LOG_DRIVER, .driver = device->path, .driver_type = device->driver->kind,
                   .operation = viewer->call->doing),
            "a viewer of %s is too slow and has lost %llu bytes so far", device->path,
            (unsigned long long)viewer->lost);
}

/* What comes next for a viewer: a notice, or bytes of the ring. */
static size_t viewer_next(struct jmp_viewer *viewer, const void **retdata)
{
    struct jmp_ring *ring = viewer->fanout->ring;
    uint64_t lost, before = viewer->position;
    size_t n;

    if (viewer->notice[viewer->notice_sent]) {
        *retdata = viewer->notice + viewer->notice_sent;
        return strlen(viewer->notice + viewer->notice_sent);
    }
    n = jmp_ring_peek(ring, &viewer->position, retdata, &lost);
    if (lost > 0) {
        /* To the middle of the ring, not to its very end: else the next few bytes push it off again, notice by
         * notice. */
        viewer->position = jmp_ring_head(ring) - (jmp_ring_head(ring) - jmp_ring_tail(ring)) / 2;
        viewer_lost(viewer, viewer->position - before);
        *retdata = viewer->notice;
        return strlen(viewer->notice);
    }
    if (viewer->end != UINT64_MAX && viewer->position + n > viewer->end)
        n = viewer->end > viewer->position ? (size_t)(viewer->end - viewer->position) : 0;
    return n;
}

static void viewer_sent(struct jmp_viewer *viewer, size_t n)
{
    if (viewer->notice[viewer->notice_sent]) {
        viewer->notice_sent += n;
        if (!viewer->notice[viewer->notice_sent]) {
            viewer->notice[0] = '\0';
            viewer->notice_sent = 0;
        }
        return;
    }
    viewer->position += n;
}

/* As much as the socket takes. False: the viewer has ended and is freed. */
static bool viewer_write(struct jmp_viewer *viewer)
{
    size_t total = 0;

    viewer->blocked = false;
    while (!viewer->output_done) {
        const void *data;
        size_t size = viewer_next(viewer, &data);
        ssize_t n;

        if (size == 0)
            break;
        if (total >= VIEWER_BURST) {
            viewer->blocked = true;   /* EPOLLOUT comes at once, after the others */
            break;
        }
        n = send(viewer->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            viewer->blocked = true;
            break;
        }
        if (n < 0) {
            viewer->output_done = true;
            break;
        }
        viewer_sent(viewer, (size_t)n);
        total += (size_t)n;
    }
    if (total > 0) {
        viewer->fanout->progress = true;
        hold_check(viewer->fanout);
    }

    if (viewer->end != UINT64_MAX && (viewer->position >= viewer->end || viewer->output_done) && !viewer->notice[0]) {
        viewer_end(viewer);
        return false;
    }
    if (viewer->output_done && (viewer->input_done || viewer->fanout->fd < 0)) {
        viewer_end(viewer);
        return false;
    }
    return true;
}

static void fanout_broadcast(struct jmp_fanout *fanout)
{
    struct jmp_viewer *next;

    for (struct jmp_viewer *viewer = fanout->viewers; viewer; viewer = next) {
        next = viewer->next;
        if (!viewer->blocked)
            viewer_write(viewer);
    }
}

static void fanout_lost(struct jmp_fanout *fanout, int error)
{
    char text[128];

    errno = -error;
    if (error < 0 && error != -EIO)
        snprintf(text, sizeof(text), "its port failed: %m");
    else
        snprintf(text, sizeof(text), "its port has gone");
    jmp_device_gone(fanout->device, text);
}

static void on_pace(struct jmp_timer *timer);

/* False: the port has gone. */
static bool port_write(struct jmp_fanout *fanout)
{
    while (fanout->fd >= 0 && fanout->input_end > fanout->input_first && !fanout->pacer.running) {
        size_t size = fanout->pause > 0 ? 1 : fanout->input_end - fanout->input_first;
        ssize_t n = write(fanout->fd, fanout->input + fanout->input_first, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            fanout->port_full = true;
            return true;
        }
        if (n < 0) {
            fanout_lost(fanout, -errno);
            return false;
        }
        fanout->input_first += (size_t)n;
        if (fanout->pause > 0 && jmp_timer_start(fanout->gate->loop, &fanout->pacer, fanout->pause, on_pace) < 0)
            fanout->pause = 0;   /* no memory for a timer: too fast is better than never */
    }
    fanout->port_full = false;
    if (fanout->input_first == fanout->input_end)
        fanout->input_first = fanout->input_end = 0;
    return true;
}

static void on_pace(struct jmp_timer *timer)
{
    struct jmp_fanout *fanout = CONTAINER_OF(timer, struct jmp_fanout, pacer);

    if (port_write(fanout))
        fanout_update(fanout);
}

static void port_read(struct jmp_fanout *fanout)
{
    char data[PORT_READ];
    ssize_t n = read(fanout->fd, data, sizeof(data));

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        fanout_update(fanout);
        return;
    }
    if (n <= 0) {
        fanout_lost(fanout, n < 0 ? -errno : 0);
        return;
    }
    /* A new viewer begins with the newest byte, so without viewers nothing has to be kept; but after a restart. */
    if (fanout->viewers || fanout->replay) {
        jmp_ring_push(fanout->ring, data, (size_t)n);
        fanout_broadcast(fanout);
        hold_begin(fanout);
    }
    if ((size_t)n < PORT_BUSY)
        gate_enter(fanout);
    fanout_update(fanout);
}

static void on_port(struct jmp_io *io, uint32_t revents)
{
    struct jmp_fanout *fanout = CONTAINER_OF(io, struct jmp_fanout, io);

    if ((revents & EPOLLOUT) && !port_write(fanout))
        return;
    if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
        port_read(fanout);
    else
        fanout_update(fanout);
}

/* False: the viewer has ended. */
static bool viewer_read(struct jmp_viewer *viewer)
{
    struct jmp_fanout *fanout = viewer->fanout;
    ssize_t n;

    if (fanout->input_first > 0) {
        memmove(fanout->input, fanout->input + fanout->input_first, fanout->input_end - fanout->input_first);
        fanout->input_end -= fanout->input_first;
        fanout->input_first = 0;
    }
    /* Never with a length of 0: its answer would look like the end. */
    if (fanout->input_end >= INPUT_MAX)
        return true;
    n = recv(viewer->fd, fanout->input + fanout->input_end, INPUT_MAX - fanout->input_end, MSG_DONTWAIT);
    if (n > 0) {
        fanout->input_end += (size_t)n;
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    viewer->input_done = true;
    if (n < 0 || viewer->output_done) {
        viewer_end(viewer);
        return false;
    }
    return true;
}

static void on_viewer(struct jmp_io *io, uint32_t revents)
{
    struct jmp_viewer *viewer = CONTAINER_OF(io, struct jmp_viewer, io);
    struct jmp_fanout *fanout = viewer->fanout;

    if (revents & (EPOLLHUP | EPOLLERR))
        viewer->output_done = true;
    if ((revents & (EPOLLOUT | EPOLLHUP | EPOLLERR)) && !viewer_write(viewer))
        return;
    if ((revents & EPOLLIN) && !viewer->input_done && fanout->fd >= 0 && !viewer_read(viewer))
        viewer = NULL;
    if (port_write(fanout))
        fanout_update(fanout);
}

/* What cannot wait is a serial port without flow control: the kernel would drop bytes where nobody can count them. */
static bool port_can_wait(int fd)
{
    struct termios settings;
    int lines;

    if (tcgetattr(fd, &settings) < 0)
        return true;   /* not a tty */
    if (ioctl(fd, TIOCMGET, &lines) < 0)
        return true;   /* a pseudo-terminal: no modem lines */
    return settings.c_cflag & CRTSCTS;
}

int jmp_fanout_attach(struct jmp_fanout *fanout, int fd, double pace)
{
    int r;

    r = jmp_io_start(fanout->gate->loop, &fanout->io, fd, EPOLLIN, on_port);
    if (r < 0) {
        jmp_close(fd);
        return r;
    }
    fanout->fd = fd;
    fanout->patient = port_can_wait(fd);
    fanout->pause = pace > 0 ? (uint64_t)((double)JMP_USEC_PER_SEC / pace) : 0;
    if (pace > 0 && fanout->pause == 0)
        fanout->pause = 1;
    fanout->port_full = fanout->input_end > fanout->input_first;   /* what was left over goes first */
    fanout_update(fanout);
    return 0;
}

void jmp_fanout_detach(struct jmp_fanout *fanout)
{
    struct jmp_viewer *next;

    gate_leave(fanout);
    jmp_timer_stop(&fanout->pacer);
    jmp_timer_stop(&fanout->hold);
    fanout->held = false;
    jmp_io_close(&fanout->io);
    fanout->fd = jmp_close(fanout->fd);
    for (struct jmp_viewer *viewer = fanout->viewers; viewer; viewer = next) {
        next = viewer->next;
        if (viewer->output_done)
            viewer_end(viewer);
        else
            viewer_update(viewer);
    }
}

void jmp_fanout_replay(struct jmp_fanout *fanout, bool on) { fanout->replay = on; }

int jmp_fanout_view(struct jmp_fanout *fanout, struct jmp_call *call, struct jmp_viewer **ret, int *retfd)
{
    struct jmp_viewer *viewer;
    int pair[2], r;

    if (fanout->n_viewers >= JMP_VIEWERS_MAX)
        return -EBUSY;
    viewer = calloc(1, sizeof(*viewer));
    if (!viewer)
        return -ENOMEM;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        r = -errno;
        free(viewer);
        return r;
    }
    r = jmp_io_start(fanout->gate->loop, &viewer->io, pair[0], EPOLLIN, on_viewer);
    if (r < 0) {
        jmp_close_pairp(&pair);
        free(viewer);
        return r;
    }
    viewer->fanout = fanout;
    viewer->call = call;
    viewer->fd = pair[0];
    viewer->position = fanout->replay ? jmp_ring_tail(fanout->ring) : jmp_ring_head(fanout->ring);
    viewer->blocked = viewer->position < jmp_ring_head(fanout->ring);   /* what there is goes out as soon as it can */
    fanout->replay = false;
    viewer->end = UINT64_MAX;
    viewer->next = fanout->viewers;
    fanout->viewers = viewer;
    fanout->n_viewers++;
    viewer_update(viewer);
    hold_check(fanout);

    *ret = viewer;
    *retfd = pair[1];
    return 0;
}

void jmp_fanout_hangup(struct jmp_fanout *fanout, unsigned newest)
{
    struct jmp_viewer *next;
    unsigned n = 0;

    for (struct jmp_viewer *viewer = fanout->viewers; viewer && (newest == 0 || n < newest); viewer = next) {
        next = viewer->next;
        if (viewer->end != UINT64_MAX)
            continue;   /* on its way out already */
        n++;
        viewer->end = jmp_ring_head(fanout->ring);
        viewer->input_done = true;
        if (viewer_write(viewer))
            viewer_update(viewer);
    }
}
