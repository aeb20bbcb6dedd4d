/* SPDX-License-Identifier: Apache-2.0 */
/* The serial driver on pseudo-terminals: the test holds the master, which is the board's end of the cable. */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"
#include "drivers/serial/speed.h"
#include "drivers/serial/tty.h"

struct cable {
    char directory[32];
    char link[48];      /* what the driver is told; a link, as udev makes them */
    int board;          /* master; -EBADF while unplugged */
};

static void cable_plug(struct cable *cable)
{
    cable->board = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    assert_true(cable->board >= 0);
    assert_int_equal(grantpt(cable->board), 0);
    assert_int_equal(unlockpt(cable->board), 0);
    assert_int_equal(symlink(ptsname(cable->board), cable->link), 0);
}

static void cable_unplug(struct cable *cable)
{
    unlink(cable->link);
    cable->board = jmp_close(cable->board);
}

static struct cable cable_new(void)
{
    struct cable cable = { .directory = "/tmp/jmp-serial-XXXXXX", .board = -EBADF };

    assert_non_null(mkdtemp(cable.directory));
    snprintf(cable.link, sizeof(cable.link), "%s/port", cable.directory);
    return cable;
}

static void cable_done(struct cable *cable)
{
    cable_unplug(cable);
    rmdir(cable->directory);
}

static struct device *serial_new(const struct cable *cable, const char *more)
{
    char config[256];

    snprintf(config, sizeof(config), "{\"url\": \"%s\"%s}", cable->link, more);
    return device_new(&jmp_serial_class, config);
}

static struct termios modes_of(const struct cable *cable)
{
    struct termios modes;

    assert_int_equal(tcgetattr(cable->board, &modes), 0);   /* the master shows the slave's */
    return modes;
}

static uint32_t mix(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 24;
}

struct half {
    pthread_t thread;
    int fd;
    size_t size;
    uint32_t seed, sum;
};

static uint32_t fold(uint32_t sum, const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static void *send_half(void *data)
{
    struct half *half = data;
    unsigned char block[512];

    for (size_t done = 0; done < half->size; done += sizeof(block)) {
        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = (unsigned char)mix(&half->seed);
        half->sum = fold(half->sum, block, sizeof(block));
        fd_write_all(half->fd, block, sizeof(block));
    }
    return NULL;
}

static void *take_half(void *data)
{
    struct half *half = data;
    unsigned char block[512];

    for (size_t done = 0; done < half->size; done += sizeof(block)) {
        fd_read_all(half->fd, block, sizeof(block));
        half->sum = fold(half->sum, block, sizeof(block));
    }
    return NULL;
}

JMP_TEST(every_byte_arrives_both_ways_at_once)
{
    enum { SIZE = 2 * 1024 * 1024 };
    struct cable cable = cable_new();
    _cleanup_(device_freep) struct device *device = NULL;
    _cleanup_close_ int fd = -EBADF;
    struct half halves[4];

    cable_plug(&cable);
    device = serial_new(&cable, "");
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_stream(device, "connect", &fd), 0);

    halves[0] = (struct half){ .fd = fd, .size = SIZE, .seed = 1 };
    halves[1] = (struct half){ .fd = cable.board, .size = SIZE };
    halves[2] = (struct half){ .fd = cable.board, .size = SIZE, .seed = 2 };
    halves[3] = (struct half){ .fd = fd, .size = SIZE };
    for (size_t i = 0; i < ELEMENTSOF(halves); i++)
        assert_int_equal(pthread_create(&halves[i].thread, NULL, i % 2 ? take_half : send_half, &halves[i]), 0);
    for (size_t i = 0; i < ELEMENTSOF(halves); i++)
        pthread_join(halves[i].thread, NULL);
    assert_int_equal(halves[0].sum, halves[1].sum);
    assert_int_equal(halves[2].sum, halves[3].sum);
    assert_int_not_equal(halves[0].sum, halves[2].sum);

    cable_done(&cable);
}

JMP_TEST(any_speed_is_set_standard_or_not)
{
    static const unsigned speeds[] = { 50, 9600, 31250, 74880, 115200, 250000, 921600, 1843200, 3000000 };
    struct cable cable = cable_new();

    cable_plug(&cable);
    for (size_t i = 0; i < ELEMENTSOF(speeds); i++) {
        _cleanup_(device_freep) struct device *device = NULL;
        unsigned speed = 0;
        char more[32];

        snprintf(more, sizeof(more), ", \"baudrate\": %u", speeds[i]);
        device = serial_new(&cable, more);
        assert_int_equal(device_open(device), 0);
        assert_int_equal(jmp_speed_get(cable.board, &speed), 0);
        assert_int_equal(speed, speeds[i]);
    }
    cable_done(&cable);
}

JMP_TEST(the_port_is_raw_and_an_idle_one_is_not_at_its_end)
{
    struct cable cable = cable_new();
    _cleanup_(device_freep) struct device *device = NULL;
    _cleanup_close_ int fd = -EBADF;
    struct termios modes;
    char all[256], seen[256];

    cable_plug(&cable);
    device = serial_new(&cable, "");
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_stream(device, "connect", &fd), 0);
    modes = modes_of(&cable);
    assert_int_equal(modes.c_lflag & (ECHO | ICANON | ISIG | IEXTEN), 0);
    assert_int_equal(modes.c_iflag & (IXON | IXOFF | ICRNL | INLCR | ISTRIP), 0);
    assert_int_equal(modes.c_oflag & OPOST, 0);
    assert_int_equal(modes.c_cflag & (CSIZE | PARENB | CSTOPB), CS8);
    assert_true(modes.c_cflag & CLOCAL);

    assert_int_equal(read(fd, all, sizeof(all)), -1);
    assert_int_equal(errno, EAGAIN);

    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)i;
    fd_write_all(fd, all, sizeof(all));
    fd_read_all(cable.board, seen, sizeof(seen));
    assert_memory_equal(seen, all, sizeof(all));
    fd_write_all(cable.board, all, sizeof(all));
    fd_read_all(fd, seen, sizeof(seen));
    assert_memory_equal(seen, all, sizeof(all));
    cable_done(&cable);
}

JMP_TEST(hupcl_is_as_configured)
{
    static const struct { const char *more; bool set; } cases[] = {
        { "", true },
        { ", \"disable_hupcl\": true", false },
        { ", \"disable_hupcl\": false", true },
    };
    struct cable cable = cable_new();

    cable_plug(&cable);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(device_freep) struct device *device = serial_new(&cable, cases[i].more);

        assert_int_equal(device_open(device), 0);
        assert_int_equal(!!(modes_of(&cable).c_cflag & HUPCL), cases[i].set);
    }
    cable_done(&cable);
}

JMP_TEST(a_port_has_one_owner)
{
    struct cable cable = cable_new();
    _cleanup_(device_freep) struct device *first = NULL, *second = NULL;
    _cleanup_close_ int fd = -EBADF;

    cable_plug(&cable);
    first = serial_new(&cable, "");
    second = serial_new(&cable, "");
    assert_int_equal(device_open(first), 0);
    assert_int_equal(device_open(second), -EBUSY);
    assert_non_null(strstr(device_error(second), cable.link));

    /* Once the owner has gone the port is free again. */
    device_close(first);
    assert_int_equal(device_open(second), 0);
    assert_int_equal(device_stream(second, "connect", &fd), 0);
    cable_done(&cable);
}

JMP_TEST(a_port_that_vanished_is_opened_again)
{
    struct cable cable = cable_new();
    _cleanup_(device_freep) struct device *device = NULL;
    char text[64];
    int fd = -EBADF;

    cable_plug(&cable);
    device = serial_new(&cable, "");
    assert_int_equal(device_open(device), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(device_stream(device, "connect", &fd), 0);
        fd_write_all(cable.board, "hello", 5);
        fd_read_until(fd, "hello", text, sizeof(text));

        cable_unplug(&cable);
        fd_expect_end(fd);
        fd = jmp_close(fd);
        assert_int_equal(device_stream(device, "connect", &fd), -ENODEV);
        assert_non_null(strstr(device_error(device), cable.link));
        assert_non_null(strstr(device_error(device), "by-path"));
        assert_int_equal(device_call(device, "set_dtr", "[true]"), -ENODEV);

        cable_plug(&cable);
    }
    cable_done(&cable);
}

JMP_TEST(another_device_under_the_same_path_is_noticed)
{
    struct cable cable = cable_new();
    _cleanup_(device_freep) struct device *device = NULL;
    _cleanup_close_ int old = -EBADF, fd = -EBADF, again = -EBADF, kept = -EBADF;
    char text[64];

    cable_plug(&cable);
    device = serial_new(&cable, "");
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_stream(device, "connect", &old), 0);
    kept = cable.board;   /* the old board stays alive, its name goes to a new one */
    unlink(cable.link);
    cable_plug(&cable);
    assert_int_equal(device_stream(device, "connect", &fd), 0);
    fd_write_all(cable.board, "new", 3);
    fd_read_until(fd, "new", text, sizeof(text));
    /* And without such a change the port stays open as it is. */
    assert_int_equal(device_stream(device, "connect", &again), 0);
    fd_write_all(cable.board, "same", 4);
    fd_read_until(again, "same", text, sizeof(text));
    cable_done(&cable);
}

JMP_TEST(a_missing_port_stops_only_those_who_check)
{
    struct cable cable = cable_new();
    _cleanup_(device_freep) struct device *strict = serial_new(&cable, "");
    _cleanup_(device_freep) struct device *patient = serial_new(&cable, ", \"check_present\": false");
    _cleanup_close_ int fd = -EBADF;
    int none = -EBADF;

    assert_int_equal(device_open(strict), -ENODEV);
    assert_non_null(strstr(device_error(strict), cable.link));
    assert_int_equal(device_open(patient), 0);
    assert_int_equal(device_stream(patient, "connect", &none), -ENODEV);
    cable_plug(&cable);
    assert_int_equal(device_stream(patient, "connect", &fd), 0);
    cable_done(&cable);
}

JMP_TEST(what_is_no_port_is_refused)
{
    char name[] = "/tmp/jmp-file-XXXXXX";
    int file = mkstemp(name);
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_tty *tty = NULL;

    assert_true(file >= 0);
    assert_int_equal(jmp_tty_open(name, 9600, true, &tty, &error), -ENOTTY);
    assert_non_null(strstr(error.text, name));
    assert_int_equal(jmp_tty_open("/dev/null", 9600, true, &tty, &error), -ENOTTY);
    assert_int_equal(jmp_tty_open("/tmp", 9600, true, &tty, &error), -ENOTTY);
    assert_null(tty);
    close(file);
    unlink(name);
}

JMP_TEST(lines_that_do_not_exist_are_an_error_and_the_stream_goes_on)
{
    struct cable cable = cable_new();
    _cleanup_(device_freep) struct device *device = NULL;
    _cleanup_close_ int fd = -EBADF;
    char text[64];

    cable_plug(&cable);
    device = serial_new(&cable, "");
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_stream(device, "connect", &fd), 0);
    assert_int_equal(device_call(device, "set_dtr", "[true]"), -ENOTTY);
    assert_non_null(strstr(device_error(device), "no DTR line"));
    assert_int_equal(device_call(device, "set_rts", "[false]"), -ENOTTY);
    assert_non_null(strstr(device_error(device), "no RTS line"));
    fd_write_all(cable.board, "still here", 10);
    fd_read_until(fd, "still here", text, sizeof(text));
    cable_done(&cable);
}

JMP_TEST(a_port_that_is_described_is_missed_by_its_description)
{
    _cleanup_(device_freep) struct device *device =
        device_new(&jmp_serial_class, "{\"usb_port\": \"99-9\", \"udev\": {\"ID_MODEL\": \"*\"}}");

    assert_int_equal(device_open(device), -ENODEV);
    assert_non_null(strstr(device_error(device), "99-9"));
    assert_non_null(strstr(device_error(device), "ID_MODEL"));
}

JMP_TEST(a_break_has_a_length_that_somebody_can_wait_for)
{
    static const char *const wrong[] = { "[0]", "[-1]", "[11]" };
    struct cable cable = cable_new();
    _cleanup_(device_freep) struct device *device = NULL;

    cable_plug(&cable);
    device = serial_new(&cable, "");
    assert_int_equal(device_open(device), 0);
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        assert_int_equal(device_call(device, "send_break", wrong[i]), -EINVAL);
        assert_non_null(strstr(device_error(device), "at most"));
    }
    cable_unplug(&cable);
    assert_int_equal(device_call(device, "send_break", "[0.1]"), -ENODEV);
    cable_done(&cable);
}

JMP_TEST(a_board_that_ignores_a_touch_keeps_its_console)
{
    struct cable cable = cable_new();
    _cleanup_(device_freep) struct device *device = NULL;
    _cleanup_(device_freep) struct device *loop = device_new(&jmp_serial_class, "{\"url\": \"loop://\"}");
    _cleanup_close_ int fd = -EBADF;
    unsigned speed = 0;
    char got[6];

    cable_plug(&cable);
    device = serial_new(&cable, ", \"baudrate\": 57600");
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_stream(device, "connect", &fd), 0);
    assert_int_equal(device_call(device, "touch", NULL), 0);
    assert_int_equal(jmp_speed_get(cable.board, &speed), 0);
    assert_int_equal(speed, 57600);
    fd_write_all(cable.board, "still\n", sizeof(got));
    fd_read_all(fd, got, sizeof(got));
    assert_memory_equal(got, "still\n", sizeof(got));
    cable_done(&cable);

    assert_int_equal(device_open(loop), 0);
    assert_int_equal(device_call(loop, "touch", NULL), -EOPNOTSUPP);
}

JMP_TEST(what_came_before_anybody_listened_is_dropped)
{
    struct cable cable = cable_new();
    struct jmp_tty *tty = NULL;

    cable_plug(&cable);
    assert_int_equal(jmp_tty_open(cable.link, 115200, true, &tty, NULL), 0);
    fd_write_all(cable.board, "old", 3);
    assert_false(fd_is_silent(jmp_tty_fd(tty), 5000));
    jmp_tty_drop_input(tty);
    assert_true(fd_is_silent(jmp_tty_fd(tty), 0));
    jmp_tty_close(tty);
    cable_done(&cable);
}

JMP_TEST(pace_and_close_are_passed_to_the_core)
{
    static const struct { const char *more; double pace;
    } cases[] = {
        { "", 0 },
        { ", \"cps\": null", 0 },
        { ", \"cps\": 0", 0 },
        { ", \"cps\": 12.5", 12.5 },
        { ", \"cps\": 200", 200 },
    };
    struct cable cable = cable_new();

    cable_plug(&cable);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(device_freep) struct device *device = serial_new(&cable, cases[i].more);
        _cleanup_close_ int fd = -EBADF;
        unsigned newest = 0;

        assert_int_equal(device_open(device), 0);
        assert_int_equal(device_stream(device, "connect", &fd), 0);
        assert_true(device_pace(device) == cases[i].pace);
        assert_int_equal(device_hangups(device, &newest), 0);
        assert_int_equal(device_call(device, "close", NULL), 0);
        assert_int_equal(device_hangups(device, &newest), 1);
        assert_int_equal(newest, 1);
    }
    cable_done(&cable);
}

JMP_TEST(loop_returns_every_byte)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_serial_class, "{\"url\": \"loop://\"}");
    _cleanup_close_ int fd = -EBADF, second = -EBADF;
    char out[1000], in[1000];

    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_stream(device, "connect", &fd), 0);
    assert_true(device_is_private(device));
    assert_int_equal(device_stream(device, "connect", &second), 0);
    for (int i = 0; i < 200; i++) {
        memset(out, i, sizeof(out));
        fd_write_all(fd, out, sizeof(out));
        fd_read_all(fd, in, sizeof(in));
        assert_memory_equal(in, out, sizeof(in));
    }
    assert_int_equal(device_call(device, "set_dtr", "[true]"), 0);
    assert_int_equal(device_call(device, "set_rts", "[false]"), 0);
    assert_int_equal(device_call(device, "send_break", NULL), 0);
    assert_true(fd_is_silent(fd, 0));
    assert_true(fd_is_silent(second, 0));
}

JMP_TEST(a_port_survives_any_failed_allocation)
{
    struct cable cable = cable_new();
    unsigned failed = 0;
    int r = -ENOMEM;

    cable_plug(&cable);
    for (unsigned n = 1; r < 0; n++) {
        struct jmp_tty *tty = NULL;

        jmp_fault_arm(JMP_FAULT_ALLOC, n);
        r = jmp_tty_open(cable.link, 9600, true, &tty, NULL);
        jmp_fault_disarm();
        assert_true(r == 0 ? tty != NULL : r == -ENOMEM && !tty);
        failed += r < 0;
        jmp_tty_close(tty);
    }
    assert_true(failed > 1);
    cable_done(&cable);
}

JMP_TEST(serial_options_are_checked)
{
    static const struct { const char *config, *word; } cases[] = {
        { "{}", "url" },
        { "{\"url\": \"ttyUSB0\"}", "ttyUSB0" },
        { "{\"url\": \"socket://host:1\"}", "socket://" },
        { "{\"url\": \"rfc2217://host:1\"}", "loop://" },
        { "{\"url\": \"/dev/x\", \"usb_port\": \"1-1\"}", "usb_port" },
        { "{\"url\": \"/dev/x\", \"udev\": {\"ID_PATH\": \"x\"}}", "udev" },
        { "{\"usb_port\": \"ttyUSB0\"}", "ttyUSB0" },
        { "{\"usb_id\": \"0403\"}", "0403" },
        { "{\"udev\": [\"ID_PATH\"]}", "udev" },
        { "{\"url\": \"/dev/x\", \"baudrate\": 0}", "baudrate" },
        { "{\"url\": \"/dev/x\", \"baudrate\": \"9600\"}", "baudrate" },
        { "{\"url\": \"/dev/x\", \"baudrate\": 9600.5}", "baudrate" },
        { "{\"url\": \"/dev/x\", \"cps\": -1}", "cps" },
        { "{\"url\": \"/dev/x\", \"disable_hubcl\": true}", "disable_hubcl" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *problem = device_problem(&jmp_serial_class, cases[i].config);

        if (!problem || !strstr(problem, cases[i].word))
            fail_msg("%s: \"%s\"", cases[i].config, problem ? problem : "no problem");
    }
}

static bool is_hung_up(int board)
{
    struct pollfd pollfd = { .fd = board };

    assert_true(poll(&pollfd, 1, 0) >= 0);
    return pollfd.revents & POLLHUP;
}

JMP_TEST(a_restart_neither_hangs_up_nor_loses_a_byte)
{
    struct cable cable = cable_new();
    _cleanup_(device_freep) struct device *device = NULL;
    _cleanup_close_ int fd = -EBADF;
    char text[64];

    cable_plug(&cable);
    device = serial_new(&cable, "");
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_stream(device, "connect", &fd), 0);
    fd_write_all(cable.board, "one ", 4);
    fd_read_until(fd, "one ", text, sizeof(text));

    /* What nobody has read is there for whoever comes next. */
    fd_write_all(cable.board, "two ", 4);
    fd = jmp_close(fd);
    device_restart(device);
    assert_false(is_hung_up(cable.board));
    fd_write_all(cable.board, "three.", 6);
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_stream(device, "connect", &fd), 0);
    fd_read_until(fd, ".", text, sizeof(text));
    assert_string_equal(text, "two three.");
    fd_write_all(fd, "back", 4);
    fd_read_until(cable.board, "back", text, sizeof(text));
    assert_false(is_hung_up(cable.board));
    cable_done(&cable);
}

JMP_TEST(another_port_in_its_place_is_opened_anew)
{
    struct cable cable = cable_new(), other = cable_new();
    _cleanup_(device_freep) struct device *device = NULL;
    _cleanup_close_ int fd = -EBADF;
    char text[64];

    cable_plug(&cable);
    cable_plug(&other);
    device = serial_new(&cable, "");
    assert_int_equal(device_open(device), 0);
    device_restart(device);

    unlink(cable.link);
    assert_int_equal(symlink(ptsname(other.board), cable.link), 0);
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_stream(device, "connect", &fd), 0);
    fd_write_all(other.board, "here.", 5);
    fd_read_until(fd, ".", text, sizeof(text));
    assert_string_equal(text, "here.");
    assert_non_null(strstr(device_log(device), "opened anew"));
    cable_done(&other);
    cable_done(&cable);
}

JMP_TEST(a_port_that_was_unplugged_meanwhile_is_waited_for)
{
    struct cable cable = cable_new();
    _cleanup_(device_freep) struct device *device = NULL;

    cable_plug(&cable);
    device = serial_new(&cable, "");
    assert_int_equal(device_open(device), 0);
    device_restart(device);
    cable_unplug(&cable);
    assert_int_equal(device_open(device), -ENODEV);
    assert_int_equal(device_kept(device, "port"), -ENOENT);
    device_close(device);
    cable_done(&cable);
}
