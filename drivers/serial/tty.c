/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/serial/tty.h"

#include <fcntl.h>
#include <libserialport.h>
#include <limits.h>
#include <linux/serial.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "drivers/serial/speed.h"

#define SPEED_TOLERANCE 0.03   /* a receiver samples the tenth bit still inside it up to about this error */

struct jmp_tty {
    char *path;             /* as configured, links and all */
    struct sp_port *port;   /* NULL: a terminal that libserialport does not take */
    int fd;                 /* owned here only without @port */
};

static int port_errno(enum sp_return r)
{
    switch (r) {
    case SP_OK:
        return 0;
    case SP_ERR_MEM:
        return -ENOMEM;
    case SP_ERR_SUPP:
        return -EOPNOTSUPP;
    case SP_ERR_FAIL:
        return errno > 0 ? -errno : -EIO;
    default:
        return -EINVAL;
    }
}

static int open_error(const char *path, int error, struct jmp_error *reterr)
{
    switch (error) {
    case -ENOENT:
    case -ENXIO:
    case -ENODEV:
    case -ENOTDIR:
        jmp_error_set(reterr, -ENODEV, "there is no serial port %s", path);
        jmp_error_hint(reterr,
                       "is it plugged in? /dev/serial/by-path/... names a port by the socket it is plugged into");
        return -ENODEV;
    case -EACCES:
    case -EPERM:
        jmp_error_set(reterr, -EACCES, "no permission to open %s", path);
        jmp_error_hint(reterr, "the user of the exporter has to be in the port's group, usually dialout");
        return -EACCES;
    case -EBUSY:
        jmp_error_set(reterr, -EBUSY, "%s is in use by another program", path);
        jmp_error_hint(reterr, "fuser -v %s shows which", path);
        return -EBUSY;
    default:
        return jmp_error_set(reterr, error, "%s cannot be opened: %m", path);
    }
}

/* @target: @path without links, because libserialport looks its last part up in sysfs. 1: not for libserialport. */
static int open_library(struct jmp_tty *tty, const char *target)
{
    int r;

    if (sp_get_port_by_name(target, &tty->port) != SP_OK) {
        tty->port = NULL;
        return 1;
    }

    r = port_errno(sp_open(tty->port, SP_MODE_READ_WRITE));
    if (r < 0) {
        sp_free_port(tty->port);
        tty->port = NULL;
        return r == -ENOTTY ? 1 : r;
    }

    r = port_errno(sp_get_port_handle(tty->port, &tty->fd));
    if (r < 0)
        return r;

    /* The library opens without O_CLOEXEC. */
    return fcntl(tty->fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static int open_port(struct jmp_tty *tty, const char *target)
{
    int r;

    r = open_library(tty, target);
    if (r <= 0)
        return r;

    tty->fd = open(target, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    return tty->fd < 0 ? -errno : 0;
}

/*
 * TIOCEXCL keeps everybody out but root, the lock those who ask for it: other agents, picocom, agetty.
 */
static int claim(struct jmp_tty *tty)
{
    if (flock(tty->fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    if (ioctl(tty->fd, TIOCEXCL) < 0)
        return -errno;
    return 0;
}

static int set_modes(struct jmp_tty *tty, bool hupcl)
{
    struct termios modes;

    if (tcgetattr(tty->fd, &modes) < 0)
        return -errno;

    cfmakeraw(&modes);
    modes.c_iflag &= ~(tcflag_t)(IXOFF | IXANY | INPCK | IGNPAR);
    modes.c_cflag &= ~(tcflag_t)(CSTOPB | PARENB | CRTSCTS | HUPCL);
    modes.c_cflag |= CLOCAL | CREAD;
    if (hupcl)
        modes.c_cflag |= HUPCL;
    /* With VMIN 0 an idle port would read as end of file. */
    modes.c_cc[VMIN] = 1;
    modes.c_cc[VTIME] = 0;
    return tcsetattr(tty->fd, TCSANOW, &modes) < 0 ? -errno : 0;
}

static int set_speed(struct jmp_tty *tty, unsigned baudrate, struct jmp_error *reterr)
{
    unsigned speed = 0;
    double off;
    int r;

    r = tty->port ? port_errno(sp_set_baudrate(tty->port, (int)baudrate)) : jmp_speed_set(tty->fd, baudrate);
    if (r < 0)
        return jmp_error_set(reterr, r, "%s cannot be set to %u baud: %m", tty->path, baudrate);

    r = jmp_speed_get(tty->fd, &speed);
    if (r < 0)
        return jmp_error_set(reterr, r, "the speed of %s cannot be read back: %m", tty->path);

    off = (double)speed / baudrate - 1;
    if (off > SPEED_TOLERANCE || off < -SPEED_TOLERANCE)
        return jmp_error_set(reterr, -EINVAL, "%s cannot run at %u baud, the nearest it has is %u", tty->path, baudrate,
                             speed);
    return 0;
}

static int tty_new(const char *path, struct jmp_tty **ret)
{
    _cleanup_(jmp_tty_closep) struct jmp_tty *tty = calloc(1, sizeof(*tty));

    if (!tty)
        return -ENOMEM;
    tty->fd = -EBADF;
    tty->path = strdup(path);
    if (!tty->path)
        return -ENOMEM;

    *ret = TAKE_PTR(tty);
    return 0;
}

static int set_up(struct jmp_tty *tty, unsigned baudrate, bool hupcl, struct jmp_error *reterr)
{
    int r;

    r = claim(tty);
    if (r < 0)
        return open_error(tty->path, r, reterr);

    r = set_modes(tty, hupcl);
    if (r < 0)
        return jmp_error_set(reterr, r, "%s cannot be set up: %m", tty->path);

    return set_speed(tty, baudrate, reterr);
}

int jmp_tty_open(const char *path, unsigned baudrate, bool hupcl, struct jmp_tty **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_tty_closep) struct jmp_tty *tty = NULL;
    _cleanup_free_ char *target = NULL;
    struct stat status;
    int r;

    r = tty_new(path, &tty);
    if (r < 0)
        return r;

    target = realpath(path, NULL);
    if (!target || stat(target, &status) < 0)
        return open_error(path, -errno, reterr);
    if (!S_ISCHR(status.st_mode))
        return jmp_error_set(reterr, -ENOTTY, "%s is not a serial port", path);

    r = open_port(tty, target);
    if (r < 0)
        return open_error(path, r, reterr);
    if (!isatty(tty->fd))
        return jmp_error_set(reterr, -ENOTTY, "%s is not a serial port", path);

    r = set_up(tty, baudrate, hupcl, reterr);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(tty);
    return 0;
}

int jmp_tty_adopt(int fd, const char *path, unsigned baudrate, bool hupcl, struct jmp_tty **ret,
                  struct jmp_error *reterr)
{
    _cleanup_(jmp_tty_closep) struct jmp_tty *tty = NULL;
    int r;

    r = tty_new(path, &tty);
    if (r < 0) {
        jmp_close(fd);
        return r;
    }
    /* Set up by hand from here on: libserialport takes no open ports, and to reopen this one would raise its lines. */
    tty->fd = fd;
    if (!isatty(fd) || !jmp_tty_is_alive(tty))
        return jmp_error_set(reterr, -ENODEV, "%s is not the port that was kept open", path);

    r = set_up(tty, baudrate, hupcl, reterr);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(tty);
    return 0;
}

struct jmp_tty *jmp_tty_close(struct jmp_tty *tty)
{
    if (!tty)
        return NULL;

    if (tty->fd >= 0) {
        /* Closing would wait for the last byte to be sent, which takes minutes at low speeds. */
        tcflush(tty->fd, TCOFLUSH);
        /* The mark stays with a tty that somebody else holds open, the other side of a pseudo-terminal for one, and
         * then nobody but root could open it again, not even we. */
        ioctl(tty->fd, TIOCNXCL);
    }
    if (tty->port) {
        sp_close(tty->port);
        sp_free_port(tty->port);
    } else {
        jmp_close(tty->fd);
    }
    free(tty->path);
    free(tty);
    return NULL;
}

int jmp_tty_fd(const struct jmp_tty *tty)
{
    return tty->fd;
}

bool jmp_tty_is_alive(const struct jmp_tty *tty)
{
    struct pollfd pollfd = { .fd = tty->fd, .events = POLLIN };
    struct stat ours, now;

    if (poll(&pollfd, 1, 0) < 0 || (pollfd.revents & (POLLHUP | POLLERR | POLLNVAL)))
        return false;

    return fstat(tty->fd, &ours) == 0 && stat(tty->path, &now) == 0 && ours.st_rdev == now.st_rdev &&
           ours.st_ino == now.st_ino && ours.st_dev == now.st_dev;
}

void jmp_tty_drop_input(struct jmp_tty *tty)
{
    tcflush(tty->fd, TCIFLUSH);
}

static int line_errno(int error)
{
    switch (error) {
    case 0:
        return 0;
    case -ENOTTY:
    case -EINVAL:
    case -EOPNOTSUPP:
        return -ENOTTY;
    case -EIO:
    case -ENXIO:
    case -ENODEV:
        return -ENODEV;
    default:
        return error;
    }
}

static int set_line(struct jmp_tty *tty, int line, bool on)
{
    return ioctl(tty->fd, on ? TIOCMBIS : TIOCMBIC, &line) < 0 ? -errno : 0;
}

int jmp_tty_set_dtr(struct jmp_tty *tty, bool on)
{
    if (!tty->port)
        return line_errno(set_line(tty, TIOCM_DTR, on));
    return line_errno(port_errno(sp_set_dtr(tty->port, on ? SP_DTR_ON : SP_DTR_OFF)));
}

int jmp_tty_set_rts(struct jmp_tty *tty, bool on)
{
    if (!tty->port)
        return line_errno(set_line(tty, TIOCM_RTS, on));
    return line_errno(port_errno(sp_set_rts(tty->port, on ? SP_RTS_ON : SP_RTS_OFF)));
}

int jmp_tty_set_break(int fd, bool on)
{
    return line_errno(ioctl(fd, on ? TIOCSBRK : TIOCCBRK) < 0 ? -errno : 0);
}

int jmp_tty_lower_latency(struct jmp_tty *tty)
{
    struct serial_struct settings;
    char timer[64];
    struct stat status;

    if (fstat(tty->fd, &status) < 0)
        return -errno;
    snprintf(timer, sizeof(timer), "/sys/dev/char/%u:%u/device/latency_timer", major(status.st_rdev),
             minor(status.st_rdev));
    if (access(timer, F_OK) < 0)
        return 0;

    /* The file is root's, this flag anybody's who has the port. */
    if (ioctl(tty->fd, TIOCGSERIAL, &settings) < 0)
        return -errno;
    settings.flags |= ASYNC_LOW_LATENCY;
    return ioctl(tty->fd, TIOCSSERIAL, &settings) < 0 ? -errno : 0;
}
