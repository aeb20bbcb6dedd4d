/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of a board. The port is opened once and stays open, across a restart of the agent too: the core reads it
 * for all viewers, and DTR and RTS are set on the open port, so that nothing but their setting changes them.
 */
#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "drivers/families.h"
#include "drivers/serial/tty.h"

#define LOOP "loop://"
#define KEPT "port"

struct serial {
    const char *url;
    unsigned baudrate;
    bool check_present;
    double cps;             /* characters a second, 0: as fast as the port takes them */
    bool disable_hupcl;
    struct jmp_tty *tty;    /* NULL while closed, always for loop:// */
    bool read;              /* the core has been given the open port */
};

static const struct jmp_option serial_options[] = {
    { JMP_FIELD(struct serial, url), .required = true, .value_name = "PATH",
      .help = "device of the port, best by its place (/dev/serial/by-path/...), or loop:// for a plain echo" },
    { JMP_FIELD(struct serial, baudrate), .preset = "115200", .min = 1, .max = 100000000, .value_name = "BAUD",
      .help = "speed, 8N1 without flow control; any that the port can do" },
    { JMP_FIELD(struct serial, check_present), .preset = "true",
      .help = "for stock files; with either value a missing port disables this driver alone, until it appears" },
    { JMP_FIELD(struct serial, cps), .nullable = true, .min = 0, .max = 1e6, .value_name = "N",
      .help = "send at most so many characters a second, for boards that drop input; null or 0: no limit" },
    { JMP_FIELD(struct serial, disable_hupcl), .preset = "false",
      .help = "leave DTR alone when the port is closed, for boards that it resets" },
    {}
};

static bool is_loop(const struct serial *serial)
{
    return strcmp(serial->url, LOOP) == 0;
}

static int serial_check(const void *self, struct jmp_error *reterr)
{
    const struct serial *serial = self;

    if (is_loop(serial) || serial->url[0] == '/')
        return 0;

    jmp_error_set(reterr, -EINVAL, "url: \"%s\" is neither the path of a device nor " LOOP, serial->url);
    if (strncmp(serial->url, "socket://", strlen("socket://")) == 0)
        jmp_error_hint(reterr, "a TCP port is the business of the driver \"tcp\"");
    else
        jmp_error_hint(reterr, "paths are written in full, such as /dev/serial/by-path/...");
    return -EINVAL;
}

/* The port that an earlier agent left open, with all that has come in meanwhile. */
static bool serial_inherit(struct serial *serial, struct jmp_call *call)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int fd, r;

    fd = jmp_call_kept(call, KEPT);
    if (fd < 0)
        return false;
    r = jmp_tty_adopt(fd, serial->url, serial->baudrate, !serial->disable_hupcl, &serial->tty, &error);
    if (r < 0) {
        jmp_call_log(call, JMP_LOG_INFO, "opened anew: %s", error.text);
        jmp_call_unkeep(call, KEPT);
        return false;
    }
    serial->read = true;
    return true;
}

static int serial_claim(struct serial *serial, struct jmp_call *call)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    serial->tty = jmp_tty_close(serial->tty);
    serial->read = false;
    if (serial_inherit(serial, call))
        return 0;

    r = jmp_tty_open(serial->url, serial->baudrate, !serial->disable_hupcl, &serial->tty, &error);
    if (r < 0 && error.error == 0)
        return r;
    if (r < 0)
        return jmp_call_fail(call, r, "%s%s%s", error.text, error.hint[0] ? "; " : "", error.hint);

    r = jmp_call_keep(call, KEPT, jmp_tty_fd(serial->tty));
    if (r < 0)
        jmp_call_log(call, JMP_LOG_WARNING, "a restart of the agent will close %s: %s", serial->url, strerror(-r));
    return 0;
}

static int serial_open(void *self, struct jmp_call *call)
{
    struct serial *serial = self;

    if (is_loop(serial) || !serial->check_present)
        return 0;

    return serial_claim(serial, call);
}

static void serial_close(void *self)
{
    struct serial *serial = self;

    serial->tty = jmp_tty_close(serial->tty);
}

/* The port, opened when it is not, or no longer */
static int serial_ready(struct serial *serial, struct jmp_call *call)
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
    struct serial *serial = self;
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
        return jmp_call_fail(call, -errno, "%s cannot be handed on: %m", serial->url);

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

static int serial_set_line(struct serial *serial, struct jmp_call *call, const char *name,
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
        return jmp_call_fail(call, r, "%s has no %s line", serial->url, name);
    if (r < 0)
        return jmp_call_fail(call, r, "%s of %s cannot be set: %m", name, serial->url);

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

static const struct jmp_method serial_methods[] = {
    { .name = "connect", .open = serial_connect, .shared = true },
    { .name = "close", .call = serial_hang_up },
    { .name = "set_dtr", .args = { { "state", JMP_BOOL } }, .call = serial_set_dtr },
    { .name = "set_rts", .args = { { "state", JMP_BOOL } }, .call = serial_set_rts },
    {}
};

const struct jmp_driver_class jmp_serial_class = {
    JMP_DRIVER_HEAD, .name = "serial", .kind = "serial", .size = sizeof(struct serial),
    .python_type = "jumpstarter_driver_pyserial.driver.PySerial",
    .client = "jumpstarter_driver_pyserial.client.PySerialClient",
    .help = "a serial port, shared by all who look at it",
    .options = serial_options, .methods = serial_methods,
    .open = serial_open, .close = serial_close, .check = serial_check,
};
