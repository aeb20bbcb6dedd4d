/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"

#define FAST "{\"boot_seconds\": 0.1}"

struct parts {
    struct device *board, *power, *serial;
    int fd;
};

static struct parts parts_new(const char *config)
{
    struct parts parts = { .fd = -EBADF };

    parts.board = device_new(&jmp_sim_board_class, config);
    assert_int_equal(device_open(parts.board), 0);
    parts.power = device_child(parts.board, "power", NULL);
    parts.serial = device_child(parts.board, "serial", NULL);
    assert_int_equal(device_open(parts.power), 0);
    assert_int_equal(device_open(parts.serial), 0);
    assert_int_equal(device_stream(parts.serial, "connect", &parts.fd), 0);
    return parts;
}

static void parts_done(struct parts *parts)
{
    jmp_close(parts->fd);
    device_free(parts->serial);
    device_free(parts->power);
    device_free(parts->board);
}

static void say(struct parts *parts, const char *text)
{
    fd_write_all(parts->fd, text, strlen(text));
}

static double reading(struct parts *parts, const char *key)
{
    const struct jmp_node *node;

    assert_int_equal(device_call(parts->power, "read", NULL), 0);
    assert_int_equal(device_result(parts->power)->count, 1);
    node = jmp_node_get(device_result(parts->power)->first, key);
    assert_non_null(node);
    assert_int_equal(node->kind, JMP_NODE_NUMBER);
    return node->number;
}

JMP_TEST(a_session_on_the_board)
{
    struct parts parts = parts_new(FAST);
    char text[65536];

    assert_true(fd_is_silent(parts.fd, 50));
    assert_true(reading(&parts, "voltage") == 0);
    assert_int_equal(device_call(parts.power, "on", NULL), 0);
    fd_read_until(parts.fd, "simboard login: ", text, sizeof(text));
    assert_non_null(strstr(text, "Linux version"));
    assert_true(reading(&parts, "voltage") > 4.5);
    assert_true(reading(&parts, "current") > 0.05);

    say(&parts, "root\n");
    fd_read_until(parts.fd, "root@simboard:~# ", text, sizeof(text));
    say(&parts, "uname -a\n");
    fd_read_until(parts.fd, "GNU/Linux\r\n", text, sizeof(text));

    assert_int_equal(device_call(parts.power, "off", NULL), 0);
    /* What was on its way may still come; then silence. */
    while (!fd_is_silent(parts.fd, 50))
        assert_true(read(parts.fd, text, sizeof(text)) > 0);
    say(&parts, "whoami\n");
    assert_true(fd_is_silent(parts.fd, 50));
    assert_string_equal(device_log(parts.power), "power on\npower off\n");
    parts_done(&parts);
}

JMP_TEST(a_new_cable_replaces_the_old_one)
{
    struct parts parts = parts_new(FAST);
    int old = parts.fd;
    char text[65536];

    assert_int_equal(device_stream(parts.serial, "connect", &parts.fd), 0);
    fd_expect_end(old);
    close(old);
    assert_int_equal(device_call(parts.power, "on", NULL), 0);
    fd_read_until(parts.fd, "login: ", text, sizeof(text));

    /* Without any the board goes on alone, and is there for the next. */
    close(parts.fd);
    assert_int_equal(device_call(parts.power, "off", NULL), 0);
    assert_int_equal(device_call(parts.power, "on", NULL), 0);
    assert_int_equal(device_stream(parts.serial, "connect", &parts.fd), 0);
    say(&parts, "\n");
    fd_read_until(parts.fd, "login: ", text, sizeof(text));
    parts_done(&parts);
}

JMP_TEST(megabytes_come_whole_through_the_cable)
{
    enum { LAST = 200000 };
    struct parts parts = parts_new(FAST);
    char text[65536], line[16];

    assert_int_equal(device_call(parts.power, "on", NULL), 0);
    fd_read_until(parts.fd, "login: ", text, sizeof(text));
    say(&parts, "root\n");
    fd_read_until(parts.fd, "~# ", text, sizeof(text));
    say(&parts, "seq 200000\n");
    fd_read_all(parts.fd, text, strlen("seq 200000\r\n"));
    for (int n = 1; n <= LAST; n++) {
        int length = snprintf(line, sizeof(line), "%d\r\n", n);

        fd_read_all(parts.fd, text, (size_t)length);
        assert_memory_equal(text, line, (size_t)length);
    }
    fd_read_until(parts.fd, "~# ", text, sizeof(text));
    parts_done(&parts);
}

JMP_TEST(a_slow_line_is_slow)
{
    /* 9600 baud: 960 bytes a second */
    struct parts parts = parts_new("{\"boot_seconds\": 0, \"baudrate\": 9600}");
    char text[1024];
    uint64_t begin;

    assert_int_equal(device_call(parts.power, "on", NULL), 0);
    fd_read_all(parts.fd, text, 96);
    begin = jmp_now();
    fd_read_all(parts.fd, text, 288);
    assert_true(jmp_now() - begin >= 250 * JMP_USEC_PER_MSEC);
    assert_true(jmp_now() - begin < 3 * JMP_USEC_PER_SEC);
    parts_done(&parts);
}

JMP_TEST(parts_without_their_board_say_so)
{
    struct device *board = device_new(&jmp_sim_board_class, NULL);
    struct device *power = device_child(board, "power", NULL), *serial = device_child(board, "serial", NULL);
    int fd = -EBADF;

    assert_int_equal(device_call(power, "on", NULL), -ENODEV);
    assert_int_equal(device_call(power, "read", NULL), -ENODEV);
    assert_int_equal(device_stream(serial, "connect", &fd), -ENODEV);
    assert_non_null(strstr(device_error(serial), "board"));
    device_free(serial);
    device_free(power);
    device_free(board);
}

JMP_TEST(sim_board_options_are_checked)
{
    static const struct { const char *config, *word; } cases[] = {
        { "{\"hostname\": \"\"}", "hostname" },
        { "{\"hostname\": \"a b\"}", "a b" },
        { "{\"hostname\": \"0123456789012345678901234567890123456789012345678901234567890123\"}", "63" },
        { "{\"boot_seconds\": -1}", "boot_seconds" },
        { "{\"boot_secs\": 1}", "boot_secs" },
        { "{\"baudrate\": \"fast\"}", "baudrate" },
        { "{\"password\": 5}", "password" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *problem = device_problem(&jmp_sim_board_class, cases[i].config);

        if (!problem || !strstr(problem, cases[i].word))
            fail_msg("%s: \"%s\"", cases[i].config, problem ? problem : "no problem");
    }
}

JMP_TEST(any_allocation_may_fail)
{
    _cleanup_(device_freep) struct device *board = device_new(&jmp_sim_board_class, NULL);
    bool failed = false;

    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        int r = device_open(board);

        assert_true(r == 0 || r == -ENOMEM);
        failed = failed || r < 0;
        device_close(board);
    }
    jmp_fault_disarm();
    assert_true(failed);
}
