/* SPDX-License-Identifier: Apache-2.0 */
/* The console of a DUT Link board, on a pseudo-terminal: the rest needs a board, and the lab has one. */
#include <asm/termbits.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"

static struct device *board_new(const char *console, const char *more)
{
    char config[256];

    snprintf(config, sizeof(config), "{\"storage_device\": \"/dev/null\", \"alternate_console\": \"%s\"%s}", console,
             more);
    return device_new(&jmp_dutlink_class, config);
}

JMP_TEST(the_console_of_a_dutlink_is_a_serial_port_like_any_other)
{
    _cleanup_close_ int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    _cleanup_(device_freep) struct device *board = NULL, *console = NULL;
    _cleanup_close_ int stream = -EBADF;
    char text[8] = "";
    struct termios2 modes;
    unsigned newest;

    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    board = board_new(ptsname(terminal), ", \"baudrate\": 9600");
    console = device_child(board, "console", NULL);
    assert_int_equal(device_open(console), 0);
    assert_int_equal(device_stream(console, "connect", &stream), 0);
    assert_int_equal(ioctl(terminal, TCGETS2, &modes), 0);
    assert_int_equal(modes.c_ospeed, 9600);
    fd_write_all(terminal, "hello", 5);
    fd_read_all(stream, text, 5);
    fd_write_all(stream, "board", 5);
    fd_read_all(terminal, text, 5);
    assert_string_equal(text, "board");

    assert_int_equal(device_call(console, "set_dtr", "[true]"), -ENOTTY); /* a terminal has no such line */
    assert_int_equal(device_call(console, "close", NULL), 0);
    assert_int_equal(device_hangups(console, &newest), 1);
}

JMP_TEST(an_alternate_console_that_is_not_there_is_said_so)
{
    _cleanup_(device_freep) struct device *board = board_new("/dev/serial/by-path/nothing", "");
    _cleanup_(device_freep) struct device *console = device_child(board, "console", NULL);

    assert_int_equal(device_open(console), -ENODEV);
    assert_non_null(strstr(device_error(console), "/dev/serial/by-path/nothing"));
    assert_non_null(
        strstr(device_problem(&jmp_dutlink_class, "{\"storage_device\": \"x\", \"baudrate\": 0}"), "baudrate"));
}
