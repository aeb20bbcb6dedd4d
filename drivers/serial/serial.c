/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of a board. The port is opened once and stays open, across a restart of the agent too: the core reads it
 * for all viewers, and DTR and RTS are set on the open port, so that nothing but their setting changes them.
 */
#include "drivers/serial.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/limits.h"
#include "base/log.h"
#include "drivers/families.h"
#include "drivers/serial/speed.h"
#include "drivers/serial/tty.h"
#include "drivers/touch.h"

#define LOOP "loop://"
#define KEPT "port"
#define BREAK_PRESET 0.25      /* seconds, as pyserial's */
#define BREAK_MAX 10.0

static const struct jmp_option serial_options[] = {
    { JMP_FIELD(struct jmp_serial, url), .value_name = "PATH",
      .help = "device of the port, best by its place (/dev/serial/by-path/...), or loop:// for a plain echo" },
    { .key = "usb_port", JMP_FIELD_AS(struct jmp_serial, match.usb_port), .value_name = "PLACE",
      .help = "instead of url: the socket on the hubs, such as 1-1.2, or 1-1.2:1.0 for one interface of an adapter" },
    { .key = "usb_id", JMP_FIELD_AS(struct jmp_serial, match.usb_id), .value_name = "VID:PID[:SERIAL]",
      .help = "instead of url: the adapter itself, wherever it is plugged in" },
    { .key = "udev", JMP_FIELD_AS(struct jmp_serial, match.udev), .value_name = "PROPERTIES",
      .help = "instead of url: udev's properties of the port, a map of patterns; all that is given has to fit" },
    { JMP_FIELD(struct jmp_serial, baudrate), .preset = "115200", .min = 1, .max = 100000000, .value_name = "BAUD",
      .help = "speed, 8N1 without flow control; any that the port can do" },
    { JMP_FIELD(struct jmp_serial, check_present), .preset = "true",
      .help = "for stock files; with either value a missing port disables this driver alone, until it appears" },
    { JMP_FIELD(struct jmp_serial, cps), .nullable = true, .min = 0, .max = 1e6, .value_name = "N",
      .help = "send at most so many characters a second, for boards that drop input; null or 0: no limit" },
    { JMP_FIELD(struct jmp_serial, disable_hupcl), .preset = "false",
      .help = "leave DTR alone when the port is closed, for boards that it resets" },
    { JMP_FIELD(struct jmp_serial, low_latency), .preset = "true",
      .help = "have an FTDI adapter hand on what it receives after 1 ms instead of 16" },
    {}
};

static bool is_loop(const struct jmp_serial *serial)
{
    return serial->url && strcmp(serial->url, LOOP) == 0;
}

/* What the port is called now; the last name when it is away. */
static const char *port_name(const struct jmp_serial *serial)
{
    return serial->url ? serial->url : serial->found ? serial->found : "the port";
}

static int serial_check(const void *self, struct jmp_error *reterr)
{
    const struct jmp_serial *serial = self;
    bool described = jmp_serial_match_is_set(&serial->match);

    if (serial->url && described)
        return jmp_error_set(reterr, -EINVAL, "url names a port already: usb_port, usb_id and udev come instead");
    if (!serial->url && !described) {
        jmp_error_set(reterr, -EINVAL, "url is missing, or one of usb_port, usb_id and udev");
        jmp_error_hint(reterr, "url: /dev/serial/by-path/... or usb_port: 1-1.2 name a port by its socket");
        return -EINVAL;
    }
    if (described)
        return jmp_serial_match_check(&serial->match, reterr);
    if (is_loop(serial) || serial->url[0] == '/')
        return 0;

    jmp_error_set(reterr, -EINVAL, "url: \"%s\" is neither the path of a device nor " LOOP, serial->url);
    if (strncmp(serial->url, "socket://", strlen("socket://")) == 0)
        jmp_error_hint(reterr, "a TCP port is the business of the driver \"tcp\"");
    else
        jmp_error_hint(reterr, "paths are written in full, such as /dev/serial/by-path/...");
    return -EINVAL;
}

/* Where the port is now, for port_name() */
static int serial_locate(struct jmp_serial *serial, struct jmp_error *reterr)
{
    if (serial->url)
        return 0;

    free(serial->found);
    serial->found = NULL;
    return jmp_serial_find(&serial->match, &serial->found, reterr);
}

/* The port that an earlier agent left open, with all that has come in meanwhile. */
static bool serial_inherit(struct jmp_serial *serial, struct jmp_call *call)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int fd, r;

    fd = jmp_call_kept(call, KEPT);
    if (fd < 0)
        return false;
    r = jmp_tty_adopt(fd, port_name(serial), serial->baudrate, !serial->disable_hupcl, &serial->tty, &error);
    if (r < 0) {
        jmp_call_log(call, JMP_LOG_INFO, "opened anew: %s", error.text);
        jmp_call_unkeep(call, KEPT);
        return false;
    }
    serial->read = true;
    return true;
}

static int serial_claim(struct jmp_serial *serial, struct jmp_call *call)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    serial->tty = jmp_tty_close(serial->tty);
    serial->read = false;
    r = serial_locate(serial, &error);
    if (r >= 0) {
        if (serial_inherit(serial, call))
            return 0;
        r = jmp_tty_open(port_name(serial), serial->baudrate, !serial->disable_hupcl, &serial->tty, &error);
    }
    if (r < 0 && error.error == 0)
        return r;
    if (r < 0)
        return jmp_call_fail(call, r, "%s%s%s", error.text, error.hint[0] ? "; " : "", error.hint);

    if (!serial->url)
        jmp_call_log(call, JMP_LOG_INFO, "found as %s", serial->found);
    if (serial->low_latency) {
        r = jmp_tty_lower_latency(serial->tty);
        if (r < 0)   /* it works as well, only later */
            jmp_call_log(call, JMP_LOG_WARNING, "%s keeps its latency: %s", port_name(serial), strerror(-r));
    }
    r = jmp_call_keep(call, KEPT, jmp_tty_fd(serial->tty));
    if (r < 0)
        jmp_call_log(call, JMP_LOG_WARNING, "a restart of the agent will close %s: %s", port_name(serial),
                     strerror(-r));
    return 0;
}

int jmp_serial_open(void *self, struct jmp_call *call)
{
    struct jmp_serial *serial = self;

    if (is_loop(serial) || !serial->check_present)
        return 0;

    return serial_claim(serial, call);
}

void jmp_serial_close(void *self)
{
    struct jmp_serial *serial = self;

    serial->tty = jmp_tty_close(serial->tty);
    free(serial->found);
    serial->found = NULL;
}

/* The port, opened when it is not, or no longer */
static int serial_ready(struct jmp_serial *serial, struct jmp_call *call)
{
    if (serial->tty && jmp_tty_is_alive(serial->tty))
        return 0;

    return serial_claim(serial, call);
}

/* A pipe that was opened for both directions at once gives back what it is given, and needs neither peer nor thread. */
static int loop_connect(struct jmp_call *call, int *ret)
{
    _cleanup_close_pair_ int ends[2] = { -EBADF, -EBADF };
    char path[32];
    int fd;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return jmp_call_fail(call, -errno, "no pipe for " LOOP ": %m");

    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return jmp_call_fail(call, -errno, "no pipe for " LOOP ": %s: %m", path);

    *ret = fd;
    return 0;
}

static int serial_connect(void *self, struct jmp_call *call, int *ret)
{
    struct jmp_serial *serial = self;
    int fd, r;

    jmp_call_pace(call, serial->cps);
    if (is_loop(serial)) {
        /* Everybody hears only themselves, as with the stock driver. */
        jmp_call_private(call);
        return loop_connect(call, ret);
    }

    r = serial_ready(serial, call);
    if (r < 0)
        return r;

    /* Nobody read the port since it was claimed: what lies there is as old as that and has gaps. */
    if (!serial->read)
        jmp_tty_drop_input(serial->tty);

    fd = fcntl(jmp_tty_fd(serial->tty), F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return jmp_call_fail(call, -errno, "%s cannot be handed on: %m", port_name(serial));

    serial->read = true;
    *ret = fd;
    return 0;
}

static int serial_hang_up(void *self, struct jmp_call *call)
{
    /* Stock drops the stream that was opened last. */
    jmp_call_hangup(call, 1);
    return 0;
}

static int serial_set_line(struct jmp_serial *serial, struct jmp_call *call, const char *name,
                           int (*set)(struct jmp_tty *tty, bool on))
{
    bool on = jmp_call_bool(call, "state");
    int r;

    if (is_loop(serial))
        return 0;

    r = serial_ready(serial, call);
    if (r < 0)
        return r;

    r = set(serial->tty, on);
    if (r == -ENOTTY)
        return jmp_call_fail(call, r, "%s has no %s line", port_name(serial), name);
    if (r < 0)
        return jmp_call_fail(call, r, "%s of %s cannot be set: %m", name, port_name(serial));

    jmp_call_log(call, JMP_LOG_INFO, "%s %s", name, on ? "on" : "off");
    return 0;
}

static int serial_set_dtr(void *self, struct jmp_call *call)
{
    return serial_set_line(self, call, "DTR", jmp_tty_set_dtr);
}

static int serial_set_rts(void *self, struct jmp_call *call)
{
    return serial_set_line(self, call, "RTS", jmp_tty_set_rts);
}

/* A descriptor of the port for as long as the turn is away, during which it may vanish or be closed; the caller closes
 * it. */
static int serial_hold(struct jmp_serial *serial, struct jmp_call *call)
{
    int r = serial_ready(serial, call), fd;

    if (r < 0)
        return r;
    fd = fcntl(jmp_tty_fd(serial->tty), F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? jmp_call_fail(call, -errno, "%s cannot be held: %m", port_name(serial)) : fd;
}

/* The turn is away during the break: what is typed meanwhile is not lost, and the port may vanish. */
static int serial_send_break(void *self, struct jmp_call *call)
{
    struct jmp_serial *serial = self;
    double seconds = jmp_call_has(call, "duration") ? jmp_call_number(call, "duration") : BREAK_PRESET;
    _cleanup_close_ int fd = -EBADF;
    int r, waited;

    if (!(seconds > 0 && seconds <= BREAK_MAX))
        return jmp_call_fail(call, -EINVAL, "a break lasts more than 0 and at most %g seconds", BREAK_MAX);
    if (is_loop(serial))
        return 0;

    fd = serial_hold(serial, call);
    if (fd < 0)
        return fd;

    r = jmp_tty_set_break(fd, true);
    if (r >= 0) {
        waited = jmp_call_wait(call, -1, 0, jmp_now() + (uint64_t)(seconds * (double)JMP_USEC_PER_SEC));
        r = jmp_tty_set_break(fd, false);
        if (r >= 0 && waited < 0)
            return waited;
    }
    if (r < 0)
        return jmp_call_fail(call, r, "%s cannot send a break: %m", port_name(serial));
    jmp_call_log(call, JMP_LOG_INFO, "break of %g s", seconds);
    return 0;
}

/* The console of a board that is to go into its boot loader: the port that is open for the viewers is also the one to
 * touch. */
static int serial_touch(void *self, struct jmp_call *call)
{
    struct jmp_serial *serial = self;
    _cleanup_close_ int fd = -EBADF;
    int lines = 0, r;
    bool has_lines;

    if (is_loop(serial))
        return jmp_call_fail(call, -EOPNOTSUPP, "there is no board behind " LOOP);

    fd = serial_hold(serial, call);
    if (fd < 0)
        return fd;

    has_lines = ioctl(fd, TIOCMGET, &lines) == 0;
    r = jmp_touch(call, fd, port_name(serial));
    /* Where it is still the same port its viewers go on as before; one that has gone is opened anew some day. */
    if (jmp_speed_set(fd, serial->baudrate) < 0 || (has_lines && ioctl(fd, TIOCMSET, &lines) < 0))
        jmp_call_log(call, JMP_LOG_INFO, "%s has gone, as it should", port_name(serial));
    return r;
}

const struct jmp_method jmp_serial_methods[] = {
    { .name = "connect", .open = serial_connect, .shared = true },
    { .name = "close", .call = serial_hang_up },
    { .name = "set_dtr", .args = { { "state", JMP_BOOL } }, .call = serial_set_dtr },
    { .name = "set_rts", .args = { { "state", JMP_BOOL } }, .call = serial_set_rts },
    { .name = "send_break", .args = { { "duration", JMP_NUMBER, .optional = true } }, .call = serial_send_break,
      .help = "a break of so many seconds, 0.25 without a number" },
    { .name = "touch", .call = serial_touch,
      .help = "1200 baud for a moment, which takes many boards into their boot loader" },
    {}
};

const struct jmp_driver_class jmp_serial_class = {
    JMP_DRIVER_HEAD, .name = "serial", .kind = "serial", .size = sizeof(struct jmp_serial),
    .python_type = "jumpstarter_driver_pyserial.driver.PySerial",
    .client = "jumpstarter_driver_pyserial.client.PySerialClient",
    .help = "a serial port, shared by all who look at it",
    .options = serial_options, .methods = jmp_serial_methods,
    .open = jmp_serial_open, .close = jmp_serial_close, .check = serial_check,
};
