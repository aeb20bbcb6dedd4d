/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way through libserialport. It takes only ports that sysfs lists and that have modem lines; a pseudo-terminal
 * becomes such a port when it is the controlling terminal, /dev/tty, and when the ioctl() below, which stands before
 * that of the C library also for libserialport, plays its lines.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"
#include "drivers/serial/speed.h"
#include "drivers/serial/tty.h"

static int lines;                   /* TIOCM_ bits */
static unsigned lines_read;
static unsigned breaks;             /* begun, and ended */

int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    void *argument;

    va_start(ap, request);
    argument = va_arg(ap, void *);
    va_end(ap);

    switch (request) {
    case TIOCMGET:
        lines_read++;
        *(int *)argument = lines;
        return 0;
    case TIOCMBIS:
        lines |= *(int *)argument;
        return 0;
    case TIOCMBIC:
        lines &= ~*(int *)argument;
        return 0;
    case TIOCMSET:
        lines = *(int *)argument;
        return 0;
    case TIOCSBRK:
        breaks += breaks % 2 == 0;
        return 0;
    case TIOCCBRK:
        breaks += breaks % 2 == 1;
        return 0;
    default:
        return (int)syscall(SYS_ioctl, fd, request, argument);
    }
}

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
            _exit(1); \
        } \
    } while (0)

/* @run in a process whose controlling terminal is a fresh pseudo-terminal */
static void with_terminal(void (*run)(int board))
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        int board, port;

        alarm(30);
        CHECK(setsid() > 0);
        board = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
        CHECK(board >= 0 && grantpt(board) == 0 && unlockpt(board) == 0);
        port = open(ptsname(board), O_RDWR);
        CHECK(port >= 0 && ioctl(port, TIOCSCTTY, NULL) == 0);
        run(board);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void check_settings(int board)
{
    static const unsigned speeds[] = { 9600, 74880, 115200, 250000, 1500000 };

    for (size_t i = 0; i < ELEMENTSOF(speeds); i++) {
        for (int hupcl = 0; hupcl <= 1; hupcl++) {
            struct jmp_tty *tty = NULL;
            struct termios modes;
            unsigned speed = 0;

            lines_read = 0;
            CHECK(jmp_tty_open("/dev/tty", speeds[i], hupcl, &tty, NULL) == 0);
            CHECK(lines_read > 0);   /* or else the port was set up by hand */
            CHECK(jmp_speed_get(board, &speed) == 0 && speed == speeds[i]);
            CHECK(tcgetattr(board, &modes) == 0);
            CHECK(!!(modes.c_cflag & HUPCL) == hupcl);
            CHECK((modes.c_cflag & (CSIZE | PARENB | CSTOPB)) == CS8);
            CHECK(modes.c_cc[VMIN] == 1 && modes.c_cc[VTIME] == 0);
            CHECK(!(modes.c_lflag & (ICANON | ECHO | ISIG)) && !(modes.c_iflag & (IXON | ICRNL)) &&
                  !(modes.c_oflag & OPOST));
            CHECK(fcntl(jmp_tty_fd(tty), F_GETFL) & O_NONBLOCK);
            CHECK(fcntl(jmp_tty_fd(tty), F_GETFD) & FD_CLOEXEC);
            CHECK(jmp_tty_is_alive(tty));
            jmp_tty_close(tty);
        }
    }
}

JMP_TEST(libserialport_sets_what_is_asked_for)
{
    with_terminal(check_settings);
}

static void check_lines(int board)
{
    static const struct { const char *method, *args; int lines; } steps[] = {
        { "set_dtr", "[true]", TIOCM_DTR },
        { "set_rts", "[true]", TIOCM_DTR | TIOCM_RTS },
        { "set_dtr", "[false]", TIOCM_RTS },
        { "set_dtr", "[false]", TIOCM_RTS },
        { "set_rts", "[false]", 0 },
        { "set_dtr", "[true]", TIOCM_DTR },
    };
    struct device *device = device_new(&jmp_serial_class, "{\"url\": \"/dev/tty\"}");
    char text[16];
    int fd = -1;

    CHECK(device_open(device) == 0);
    CHECK(device_stream(device, "connect", &fd) == 0);
    lines = 0;
    for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
        int before = fcntl(fd, F_DUPFD, 0), after;

        CHECK(device_call(device, steps[i].method, steps[i].args) == 0);
        CHECK(lines == steps[i].lines);
        /* The stream that was open before is the one that still carries the bytes; nothing else was opened. */
        close(before);
        after = fcntl(fd, F_DUPFD, 0);
        CHECK(after == before);
        close(after);
        fd_write_all(board, "x", 1);
        fd_read_until(fd, "x", text, sizeof(text));
    }
    device_free(device);
}

JMP_TEST(lines_change_while_the_stream_stays_open)
{
    with_terminal(check_lines);
}

static void check_break(int board)
{
    struct device *device = device_new(&jmp_serial_class, "{\"url\": \"/dev/tty\"}");
    char text[16];
    int fd = -1;

    CHECK(device_open(device) == 0);
    CHECK(device_stream(device, "connect", &fd) == 0);
    for (unsigned i = 1; i <= 3; i++) {
        CHECK(device_call(device, "send_break", i % 2 ? "[0.01]" : "[0.02]") == 0);
        CHECK(breaks == 2 * i);
    }
    /* Whoever asked has gone: the break ends at once, and with the reason. */
    device_cancel(device);
    CHECK(device_call(device, "send_break", "[10]") == -ECANCELED);
    CHECK(breaks == 8);
    fd_write_all(board, "x", 1);
    fd_read_until(fd, "x", text, sizeof(text));
    device_free(device);
}

JMP_TEST(a_break_begins_and_ends)
{
    with_terminal(check_break);
}
