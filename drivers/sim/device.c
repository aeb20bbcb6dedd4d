/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A board for demos and tests without hardware: a power switch and a console, wired to the machine of board.c. The
 * board lives on a thread of its own, because it goes on while nobody calls; a lock stands between that thread and the
 * two children's calls.
 */
#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "base/limits.h"
#include "drivers/families.h"
#include "drivers/sim/board.h"

#define INPUT_SIZE 4096u
#define LINE_STEP (10 * JMP_USEC_PER_MSEC)   /* a slow line is served so often */

/* What belongs to an open board. */
struct wiring {
    pthread_mutex_t lock;        /* of all below but @thread and @wake */
    pthread_t thread;
    int wake;                    /* eventfd */
    bool stop;
    struct jmp_sim_board *board;
    int console;                 /* the board's end of the cable, -EBADF: nothing is plugged in */
    char input[INPUT_SIZE];      /* read, but not yet taken by the board */
    size_t input_begin, input_end;
    uint64_t rate;               /* bytes a second that the board can send, 0: no limit */
    uint64_t line_free;          /* when the last byte is out */
};

struct sim_device {
    const char *hostname;
    double boot_seconds;
    const char *password;
    const char *banner;
    unsigned baudrate;
    struct wiring *wiring;       /* NULL while closed */
};

static const struct jmp_option sim_options[] = {
    { JMP_FIELD(struct sim_device, hostname), .preset = "simboard", .value_name = "NAME",
      .help = "host name in prompts and messages" },
    { JMP_FIELD(struct sim_device, boot_seconds), .preset = "1.5", .min = 0, .max = 3600, .value_name = "SECONDS",
      .help = "time from power to the login prompt" },
    { JMP_FIELD(struct sim_device, password), .nullable = true, .secret = true, .value_name = "TEXT",
      .help = "password of root; without it none is asked for" },
    { JMP_FIELD(struct sim_device, banner), .nullable = true, .value_name = "TEXT",
      .help = "text above the login prompt" },
    { JMP_FIELD(struct sim_device, baudrate), .preset = "0", .max = 100000000, .value_name = "BAUD",
      .help = "speed at which the console talks; 0: as fast as it is read" },
    {}
};

static int sim_check(const void *self, struct jmp_error *reterr)
{
    const struct sim_device *device = self;
    size_t length = strlen(device->hostname);

    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)device->hostname[i]) && device->hostname[i] != '-')
            return jmp_error_set(reterr, -EINVAL, "hostname: \"%s\" may have letters, digits and \"-\" only",
                                 device->hostname);
    if (length < 1 || length > 63)
        return jmp_error_set(reterr, -EINVAL, "hostname: has to have 1 to 63 characters, not %zu", length);
    if (device->banner && strlen(device->banner) > 2048)
        return jmp_error_set(reterr, -EINVAL, "banner: is longer than 2048 bytes");

    return 0;
}

/* The board's thread */

static void wake(struct wiring *wiring)
{
    const uint64_t one = 1;

    /* It cannot fail other than by being woken already. */
    while (write(wiring->wake, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void console_unplug(struct wiring *wiring)
{
    wiring->console = jmp_close(wiring->console);
    wiring->input_begin = wiring->input_end = 0;
}

/* What was typed goes into the board, as much as it takes. */
static void console_read(struct wiring *wiring, uint64_t now)
{
    for (;;) {
        ssize_t n;

        if (wiring->input_begin < wiring->input_end)
            wiring->input_begin += jmp_sim_board_input(wiring->board, wiring->input + wiring->input_begin,
                                                       wiring->input_end - wiring->input_begin, now);
        if (wiring->input_begin < wiring->input_end || wiring->console < 0)
            return;

        wiring->input_begin = wiring->input_end = 0;
        n = recv(wiring->console, wiring->input, INPUT_SIZE, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            console_unplug(wiring);
            return;
        }
        wiring->input_end = (size_t)n;
    }
}

/* How many bytes the line can carry now: the board has a line of its own speed, and loses nothing by waiting for it. */
static size_t line_allows(struct wiring *wiring, size_t size, uint64_t now)
{
    uint64_t bytes;

    if (wiring->rate == 0)
        return size;
    if (wiring->line_free + LINE_STEP < now)
        wiring->line_free = now - LINE_STEP;
    if (wiring->line_free > now)
        return 0;

    bytes = (now - wiring->line_free) * wiring->rate / JMP_USEC_PER_SEC;
    return bytes < size ? (size_t)bytes : size;
}

/*
 * What the board says goes out. Without a cable it is lost, as on any serial port.
 *
 * Return: when to go on, JMP_USEC_INFINITY: not before the console can be written, or when there is more.
 */
static uint64_t console_write(struct wiring *wiring, uint64_t now, bool *retblocked)
{
    uint64_t again = JMP_USEC_INFINITY;
    const char *data;
    size_t size;

    *retblocked = false;
    while ((size = jmp_sim_board_output(wiring->board, &data)) > 0) {
        ssize_t n;

        size = line_allows(wiring, size, now);
        if (size == 0)
            return now + LINE_STEP;

        n = wiring->console < 0 ? (ssize_t)size : send(wiring->console, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            *retblocked = true;
            return JMP_USEC_INFINITY;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            console_unplug(wiring);
            continue;
        }

        jmp_sim_board_fetched(wiring->board, (size_t)n);
        if (wiring->rate > 0)
            wiring->line_free += (uint64_t)n * JMP_USEC_PER_SEC / wiring->rate;
        /* It may have waited for this room. Talking to nobody need not be fast. */
        again = wiring->console < 0 ? now + LINE_STEP : now;
    }

    return again;
}

/* One round, under the lock: returns when the next is due, and what to wait for on the console. */
static uint64_t board_turn(struct wiring *wiring, short *retevents)
{
    uint64_t now = jmp_now(), due, again;
    bool blocked;

    console_read(wiring, now);
    due = jmp_sim_board_run(wiring->board, now);
    again = console_write(wiring, now, &blocked);
    *retevents = blocked ? POLLOUT : 0;
    if (wiring->input_begin == wiring->input_end)
        *retevents |= POLLIN;
    return due < again ? due : again;
}

static struct timespec timespec_of(uint64_t usec)
{
    return (struct timespec){ .tv_sec = (time_t)(usec / JMP_USEC_PER_SEC),
                              .tv_nsec = (long)(usec % JMP_USEC_PER_SEC * 1000) };
}

static void *board_thread(void *data)
{
    struct wiring *wiring = data;

    for (;;) {
        struct pollfd fds[2] = { { .fd = wiring->wake, .events = POLLIN } };
        struct timespec limit;
        uint64_t due, now, count;
        short events = 0;

        pthread_mutex_lock(&wiring->lock);
        if (wiring->stop) {
            pthread_mutex_unlock(&wiring->lock);
            return NULL;
        }
        due = board_turn(wiring, &events);
        /* Without events a hang-up would still be reported, over and over. */
        fds[1] = (struct pollfd){ .fd = events ? wiring->console : -1, .events = events };
        pthread_mutex_unlock(&wiring->lock);

        now = jmp_now();
        limit = timespec_of(due > now ? due - now : 0);
        if (ppoll(fds, 2, due == JMP_USEC_INFINITY ? NULL : &limit, NULL) > 0 && fds[0].revents)
            while (read(wiring->wake, &count, sizeof(count)) < 0 && errno == EINTR)
                ;
    }
}

/* Life */

static void sim_close(void *self)
{
    struct sim_device *device = self;
    struct wiring *wiring = device->wiring;

    device->wiring = NULL;
    if (!wiring)
        return;

    if (wiring->thread) {
        pthread_mutex_lock(&wiring->lock);
        wiring->stop = true;
        pthread_mutex_unlock(&wiring->lock);
        wake(wiring);
        pthread_join(wiring->thread, NULL);
    }
    console_unplug(wiring);
    jmp_close(wiring->wake);
    jmp_sim_board_free(wiring->board);
    pthread_mutex_destroy(&wiring->lock);
    free(wiring);
}

static int thread_start(struct wiring *wiring)
{
    sigset_t all, before;
    pthread_t thread;
    int r;

    /* Signals belong to the loop's thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&thread, NULL, board_thread, wiring);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r < 0)
        return r;

    pthread_setname_np(thread, "sim-board");   /* for top and gdb */
    wiring->thread = thread;
    return 0;
}

static int sim_open(void *self, struct jmp_call *call)
{
    struct sim_device *device = self;
    struct jmp_sim_settings settings = {
        .hostname = device->hostname, .password = device->password, .banner = device->banner,
        .boot = (uint64_t)(device->boot_seconds * (double)JMP_USEC_PER_SEC),
    };
    struct wiring *wiring;
    struct timespec wall;
    int r;

    wiring = device->wiring = calloc(1, sizeof(*wiring));
    if (!wiring)
        return -ENOMEM;

    pthread_mutex_init(&wiring->lock, NULL);
    wiring->console = -EBADF;
    wiring->rate = (device->baudrate + 9) / 10;   /* a byte has a start and a stop bit */
    wiring->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wiring->wake < 0)
        return jmp_call_fail(call, -errno, "the simulated board cannot be built: %m");

    clock_gettime(CLOCK_REALTIME, &wall);
    settings.realtime = (int64_t)wall.tv_sec * (int64_t)JMP_USEC_PER_SEC + wall.tv_nsec / 1000 - (int64_t)jmp_now();
    r = jmp_sim_board_new(&settings, &wiring->board);
    if (r < 0)
        return r;

    r = thread_start(wiring);
    if (r < 0)
        return jmp_call_fail(call, r, "the simulated board cannot be started: %m");

    return 0;
}

/* The children */

static struct wiring *wiring_of(struct jmp_call *call)
{
    struct sim_device *device = jmp_call_parent(call);

    return device ? device->wiring : NULL;
}

static int not_there(struct jmp_call *call)
{
    return jmp_call_fail(call, -ENODEV, "this is a part of a simulated board, and the board is not there");
}

static int sim_power(struct jmp_call *call, bool on)
{
    struct wiring *wiring = wiring_of(call);

    if (!wiring)
        return not_there(call);

    pthread_mutex_lock(&wiring->lock);
    jmp_sim_board_power(wiring->board, on, jmp_now());
    pthread_mutex_unlock(&wiring->lock);
    wake(wiring);
    jmp_call_log(call, JMP_LOG_INFO, "power %s", on ? "on" : "off");
    return 0;
}

static int sim_power_on(void *self, struct jmp_call *call) { return sim_power(call, true); }
static int sim_power_off(void *self, struct jmp_call *call) { return sim_power(call, false); }

static int sim_power_read(void *self, struct jmp_call *call)
{
    struct wiring *wiring = wiring_of(call);
    struct jmp_writer *reply = jmp_call_reply(call);
    double voltage, current;

    if (!wiring)
        return not_there(call);

    pthread_mutex_lock(&wiring->lock);
    jmp_sim_board_measure(wiring->board, jmp_now(), &voltage, &current);
    pthread_mutex_unlock(&wiring->lock);

    jmp_writer_begin_map(reply);
    jmp_writer_key(reply, "voltage");
    jmp_writer_number(reply, voltage);
    jmp_writer_key(reply, "current");
    jmp_writer_number(reply, current);
    jmp_writer_end_map(reply);
    return jmp_call_emit(call);
}

static int sim_connect(void *self, struct jmp_call *call, int *ret)
{
    struct wiring *wiring = wiring_of(call);
    int pair[2];

    if (!wiring)
        return not_there(call);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return jmp_call_fail(call, -errno, "no cable for the simulated board: %m");

    /* A board has one socket for the cable: the old one is pulled out. */
    pthread_mutex_lock(&wiring->lock);
    console_unplug(wiring);
    wiring->console = pair[0];
    pthread_mutex_unlock(&wiring->lock);
    wake(wiring);
    *ret = pair[1];
    return 0;
}

static int sim_hang_up(void *self, struct jmp_call *call)
{
    jmp_call_hangup(call, 1);
    return 0;
}

static int sim_set_line(void *self, struct jmp_call *call)
{
    /* The board does not look at these lines. */
    return 0;
}

static const struct jmp_method power_methods[] = {
    { .name = "on", .call = sim_power_on, .quick = true },
    { .name = "off", .call = sim_power_off, .quick = true },
    { .name = "read", .items = sim_power_read, .quick = true },
    {}
};

static const struct jmp_driver_class power_class = {
    JMP_DRIVER_HEAD, .name = "sim-board-power", .kind = "power",
    .client = "jumpstarter_driver_power.client.PowerClient",
    .help = "the supply of a simulated board",
    .methods = power_methods,
};

static const struct jmp_method serial_methods[] = {
    { .name = "connect", .open = sim_connect, .shared = true },
    { .name = "close", .call = sim_hang_up },
    { .name = "set_dtr", .args = { { "state", JMP_BOOL } }, .call = sim_set_line, .quick = true },
    { .name = "set_rts", .args = { { "state", JMP_BOOL } }, .call = sim_set_line, .quick = true },
    {}
};

static const struct jmp_driver_class serial_class = {
    JMP_DRIVER_HEAD, .name = "sim-board-serial", .kind = "serial",
    .client = "jumpstarter_driver_pyserial.client.PySerialClient",
    .help = "the console of a simulated board",
    .methods = serial_methods,
};

static const struct jmp_child sim_children[] = {
    { "power", &power_class },
    { "serial", &serial_class },
    {}
};

const struct jmp_driver_class jmp_sim_board_class = {
    JMP_DRIVER_HEAD, .name = "sim-board", .kind = "composite", .size = sizeof(struct sim_device),
    .python_type = "SimBoard",
    .client = "jumpstarter_driver_composite.client.CompositeClient",
    .help = "a simulated board: power switch and console with boot log, login and a shell",
    .options = sim_options, .children = sim_children,
    .open = sim_open, .close = sim_close, .check = sim_check,
};
