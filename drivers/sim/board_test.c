/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/limits.h"
#include "base/test.h"
#include "drivers/sim/board.h"

#define BOOT (2 * JMP_USEC_PER_SEC)
#define START UINT64_C(5000000000)     /* some time after the host's own start */
#define PROMPT "root@bench:~# "

struct bench {
    struct jmp_sim_settings settings;
    struct jmp_sim_board *board;
    uint64_t now;
    size_t length;
    char text[256 * 1024];   /* all it said since bench_forget() */
};

static struct bench *bench_new(const char *password)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    bench->settings = (struct jmp_sim_settings){ .hostname = "bench", .password = password, .boot = BOOT };
    /* 2001-02-03 04:05:06 UTC at START */
    bench->settings.realtime = INT64_C(981173106000000) - (int64_t)START;
    bench->now = START;
    assert_int_equal(jmp_sim_board_new(&bench->settings, &bench->board), 0);
    return bench;
}

static void bench_free(struct bench *bench)
{
    jmp_sim_board_free(bench->board);
    free(bench);
}

JMP_DEFINE_CLEANUP(struct bench *, bench_free)

static void bench_forget(struct bench *bench)
{
    bench->length = 0;
    bench->text[0] = '\0';
}

static void bench_fetch(struct bench *bench)
{
    const char *data;
    size_t size;

    while ((size = jmp_sim_board_output(bench->board, &data)) > 0) {
        if (size > sizeof(bench->text) - 1 - bench->length)
            size = sizeof(bench->text) - 1 - bench->length;
        assert_true(size > 0);
        memcpy(bench->text + bench->length, data, size);
        bench->length += size;
        bench->text[bench->length] = '\0';
        jmp_sim_board_fetched(bench->board, size);
    }
}

/* As long as it has something to say, but not past @until. */
static void bench_run(struct bench *bench, uint64_t until)
{
    for (;;) {
        size_t before = bench->length;
        uint64_t due = jmp_sim_board_run(bench->board, bench->now);

        bench_fetch(bench);
        if (bench->length > before)
            continue;
        if (due > until || due == JMP_USEC_INFINITY)
            break;
        bench->now = due;
    }
    if (until != JMP_USEC_INFINITY)
        bench->now = until;
}

static void bench_type(struct bench *bench, const char *text)
{
    size_t size = strlen(text);

    while (size > 0) {
        size_t taken = jmp_sim_board_input(bench->board, text, size, bench->now);

        text += taken;
        size -= taken;
        bench_fetch(bench);
    }
    bench_run(bench, JMP_USEC_INFINITY);
}

static void bench_boot(struct bench *bench)
{
    jmp_sim_board_power(bench->board, true, bench->now);
    bench_run(bench, JMP_USEC_INFINITY);
    bench_forget(bench);
}

static void bench_login(struct bench *bench)
{
    bench_boot(bench);
    bench_type(bench, "root\n");
    assert_non_null(strstr(bench->text, PROMPT));
    bench_forget(bench);
}

static void bench_expect(const struct bench *bench, const char *needle)
{
    if (!strstr(bench->text, needle))
        fail_msg("expected \"%s\" in:\n%s", needle, bench->text);
}

static void bench_expect_not(const struct bench *bench, const char *needle)
{
    if (strstr(bench->text, needle))
        fail_msg("unexpected \"%s\" in:\n%s", needle, bench->text);
}

JMP_TEST(a_board_without_power_is_silent_and_deaf)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);

    bench_type(bench, "root\nhelp\n");
    assert_int_equal(bench->length, 0);
    assert_true(jmp_sim_board_run(bench->board, bench->now) == JMP_USEC_INFINITY);

    /* Switched off in the middle of a word it says no more of it. */
    jmp_sim_board_power(bench->board, true, bench->now);
    jmp_sim_board_run(bench->board, bench->now + BOOT / 2);
    jmp_sim_board_power(bench->board, false, bench->now + BOOT / 2);
    bench_run(bench, bench->now + 10 * BOOT);
    assert_int_equal(bench->length, 0);
}

JMP_TEST(it_boots_in_the_time_it_was_given)
{
    static const char *const stations[] = { "SimLoader", "Linux version", "Hostname set to <bench>", "[  OK  ] ",
                                            "bench login: " };
    static const uint64_t times[] = { 0, JMP_USEC_PER_SEC, BOOT, 60 * JMP_USEC_PER_SEC };

    for (size_t i = 0; i < ELEMENTSOF(times); i++) {
        _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);
        const char *at;

        jmp_sim_board_free(bench->board);
        bench->settings.boot = times[i];
        assert_int_equal(jmp_sim_board_new(&bench->settings, &bench->board), 0);
        jmp_sim_board_power(bench->board, true, bench->now);
        if (times[i] > 0) {
            bench_run(bench, START + times[i] - 1);
            bench_expect_not(bench, "login:");
        }
        bench_run(bench, START + times[i]);
        at = bench->text;
        for (size_t j = 0; j < ELEMENTSOF(stations); j++) {
            at = strstr(at, stations[j]);
            if (!at)
                fail_msg("no \"%s\" in its place in:\n%s", stations[j], bench->text);
        }
        assert_string_equal(at, "bench login: ");
        bench_expect_not(bench, "@");
    }
}

JMP_TEST(every_line_ends_with_cr_lf)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);

    jmp_sim_board_power(bench->board, true, bench->now);
    bench_run(bench, JMP_USEC_INFINITY);
    bench_type(bench, "root\nhelp\n");
    for (size_t i = 1; i < bench->length; i++)
        if (bench->text[i] == '\n')
            assert_int_equal(bench->text[i - 1], '\r');
}

JMP_TEST(login_asks_for_what_is_configured)
{
    static const struct { const char *password, *typed; bool in; } cases[] = {
        { NULL, "root\n", true },
        { NULL, "root\r\n", true },
        { NULL, "\n\nroot\n", true },
        { NULL, "rood\b\b\bo\x7foot\n", true },
        { NULL, "wrong\025root\n", true },
        { NULL, "joe\nanything\n", false },
        { "secret", "root\nsecret\n", true },
        { "secret", "root\rsecret\r", true },
        { "secret", "root\nSecret\n", false },
        { "secret", "root\n\n", false },
        { "secret", "joe\nsecret\n", false },
        { "secret", "root\nwrong\nroot\nsecret\n", true },
        { "secret", "root\nsecreX\x7ft\n", true },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(bench_freep) struct bench *bench = bench_new(cases[i].password);

        bench_boot(bench);
        bench_type(bench, cases[i].typed);
        if (cases[i].in)
            bench_expect(bench, PROMPT);
        else
            bench_expect(bench, "Login incorrect");
        if (!cases[i].in)
            bench_expect_not(bench, PROMPT);
        bench_expect_not(bench, "secret");
    }
}

JMP_TEST(each_command_answers)
{
    static const struct { const char *typed, *expected; } cases[] = {
        { "help", "poweroff  " },
        { "uname", "\r\nLinux\r\n" },
        { "uname -a", "\r\nLinux bench 6.6.0-sim #1 SMP aarch64 GNU/Linux\r\n" },
        { "uname -r", "\r\n6.6.0-sim\r\n" },
        { "uname -x", "usage: uname" },
        { "cat /proc/version", "Linux version 6.6.0-sim" },
        { "cat /etc/os-release", "ID=simlinux\r\n" },
        { "cat notes.txt /etc/hostname", "broken.\r\nbench\r\n" },
        { "cat /nowhere", "cat: /nowhere: No such file or directory" },
        { "cat /etc", "cat: /etc: Is a directory" },
        { "cat", "usage: cat" },
        { "ls", "\r\nnotes.txt\r\n" },
        { "ls /", "\r\netc  proc  root\r\n" },
        { "ls -l /etc/", "\r\nhostname  os-release\r\n" },
        { "ls /nowhere", "ls: /nowhere: No such file or directory" },
        { "echo a  b 'c  d' \"e f\"g", "\r\na b c  d e fg\r\n" },
        { "echo -n x", "\r\nx" PROMPT },
        { "echo 'open", "cannot be understood" },
        { "date", "\r\nSat Feb  3 04:05:08 UTC 2001\r\n" },
        { "uptime", " up 0 min" },
        { "cat /proc/uptime", "\r\n1.56 " },
        { "free", "498112" },
        { "whoami", "\r\nroot\r\n" },
        { "id", "uid=0(root)" },
        { "hostname", "\r\nbench\r\n" },
        { "pwd", "\r\n/root\r\n" },
        { "seq 3", "\r\n1\r\n2\r\n3\r\n" PROMPT },
        { "seq 5 -2 1", "\r\n5\r\n3\r\n1\r\n" PROMPT },
        { "seq 3 2", "seq 3 2\r\n" PROMPT },
        { "seq 1 0 2", "must not be 0" },
        { "seq x", "not a whole number" },
        { "seq 99999999999999999999", "not a whole number" },
        { "sleep 2", "sleep 2\r\n" PROMPT },
        { "sleep -1", "not a number of seconds" },
        { "dmesg", "[    0.000000] Linux version" },
        { "frobnicate --now", "sh: frobnicate: command not found" },
        { "", "\r\n" PROMPT },
        { "   ", "\r\n" PROMPT },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);

        bench_login(bench);
        bench_type(bench, cases[i].typed);
        bench_type(bench, "\n");
        bench_expect(bench, cases[i].expected);
        /* Whatever happened, the next command can be typed. */
        assert_true(bench->length >= strlen(PROMPT));
        assert_string_equal(bench->text + bench->length - strlen(PROMPT), PROMPT);
    }
}

JMP_TEST(the_status_of_a_command_can_be_asked_for)
{
    static const struct { const char *typed, *status; } cases[] = {
        { "true", "0" }, { "false", "1" }, { "nothing", "127" }, { "cat", "2" }, { "cat /x", "1" }, { "seq 2", "0" },
        { "yes\n\x03", "130" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);
        char expected[32];

        bench_login(bench);
        /* Not through bench_type(): "yes" would never let it return. */
        jmp_sim_board_input(bench->board, cases[i].typed, strlen(cases[i].typed), bench->now);
        bench_type(bench, "\n");
        bench_forget(bench);
        bench_type(bench, "echo =$?= '$?'\n");
        snprintf(expected, sizeof(expected), "=%s= $?", cases[i].status);
        bench_expect(bench, expected);
    }
}

JMP_TEST(typing_is_shown_as_a_terminal_would)
{
    static const struct { const char *typed, *shown; } cases[] = {
        { "abc", "abc" },
        { "ab\x7f" "c", "ab\b \bc" },
        { "\x7f\x7f", "" },
        { "\xc3\xa4\x7f", "\xc3\xa4\b \b" },              /* one letter of two bytes */
        { "a\x1b[A\x1b[3~\x1bOPb", "ab" },                /* arrow, delete and F1 */
        { "\t\x01\x0c", "" },
        { "abc\x03", "abc^C\r\n" PROMPT },
        { "abc\x15", "abc\b \b\b \b\b \b" },
        { "abc\x04", "abc" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);

        bench_login(bench);
        bench_type(bench, cases[i].typed);
        assert_string_equal(bench->text, cases[i].shown);
    }
}

JMP_TEST(a_line_has_an_end)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);
    char *long_line = calloc(1, 100001);

    assert_non_null(long_line);
    memset(long_line, 'x', 100000);
    bench_login(bench);
    bench_type(bench, long_line);
    bench_forget(bench);
    bench_type(bench, "\n");
    bench_expect(bench, ": command not found");
    bench_type(bench, "echo still $?\n");
    bench_expect(bench, "still 127");
    free(long_line);
}

JMP_TEST(logging_out_leads_to_the_login)
{
    static const char *const ways[] = { "exit\n", "logout\n", "\x04" };

    for (size_t i = 0; i < ELEMENTSOF(ways); i++) {
        _cleanup_(bench_freep) struct bench *bench = bench_new("secret");

        bench_boot(bench);
        bench_type(bench, "root\nsecret\n");
        bench_forget(bench);
        bench_type(bench, ways[i]);
        bench_expect(bench, "bench login: ");
        bench_type(bench, "whoami\n");
        bench_expect(bench, "Password: ");
    }
}

JMP_TEST(bulk_output_arrives_whole_however_it_is_fetched)
{
    enum { LAST = 30000 };
    static const size_t pieces[] = { 1, 7, 4096, SIZE_MAX };
    const char *command = "seq 30000\n";

    for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
        _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);
        char line[16], *at;

        bench_login(bench);
        assert_int_equal(jmp_sim_board_input(bench->board, command, strlen(command), bench->now), strlen(command));
        for (;;) {
            const char *data;
            size_t size;

            jmp_sim_board_run(bench->board, bench->now);
            size = jmp_sim_board_output(bench->board, &data);
            if (size == 0)
                break;
            size = size < pieces[i] ? size : pieces[i];
            assert_true(bench->length + size < sizeof(bench->text));
            memcpy(bench->text + bench->length, data, size);
            bench->length += size;
            jmp_sim_board_fetched(bench->board, size);
        }
        at = bench->text + strlen("seq 30000\r\n");
        for (int n = 1; n <= LAST; n++) {
            int length = snprintf(line, sizeof(line), "%d\r\n", n);

            assert_memory_equal(at, line, (size_t)length);
            at += length;
        }
        assert_string_equal(at, PROMPT);
    }
}

JMP_TEST(ctrl_c_stops_what_never_ends_even_when_nobody_reads)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);

    bench_login(bench);
    assert_int_equal(jmp_sim_board_input(bench->board, "yes\n", 4, bench->now), 4);
    for (int i = 0; i < 100; i++)
        jmp_sim_board_run(bench->board, bench->now);
    assert_int_equal(jmp_sim_board_input(bench->board, "abc\x03", 4, bench->now), 4);
    bench_run(bench, JMP_USEC_INFINITY);
    bench_expect(bench, "y\r\ny\r\n");
    assert_string_equal(bench->text + bench->length - strlen("^C\r\n" PROMPT), "^C\r\n" PROMPT);
}

JMP_TEST(what_is_typed_during_a_command_comes_after_it)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);

    bench_login(bench);
    bench_type(bench, "sleep 1\necho one\nsleep 1\necho two\n");
    bench_expect(bench,
                 "sleep 1\r\n" PROMPT "echo one\r\none\r\n" PROMPT "sleep 1\r\n" PROMPT "echo two\r\ntwo\r\n" PROMPT);
}

JMP_TEST(what_was_typed_for_after_the_logout_is_dropped)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);

    bench_login(bench);
    bench_type(bench, "sleep 1\nexit\nroot\nwhoami\n");
    assert_string_equal(bench->text + bench->length - strlen("bench login: "), "bench login: ");
    bench_type(bench, "root\n");
    bench_expect(bench, PROMPT);
}

JMP_TEST(reboot_and_poweroff_do_what_they_say)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);
    double voltage, current;

    bench_login(bench);
    bench_type(bench, "reboot\n");
    bench_expect(bench, "Stopped the login");
    bench_expect(bench, "SimLoader");
    assert_string_equal(bench->text + bench->length - strlen("bench login: "), "bench login: ");

    bench_type(bench, "root\npoweroff\n");
    bench_expect(bench, "Power may be switched off.");
    bench_forget(bench);
    bench_type(bench, "root\n");
    assert_int_equal(bench->length, 0);
    /* It still has power, but needs little; only off and on wakes it. */
    jmp_sim_board_measure(bench->board, bench->now, &voltage, &current);
    assert_true(voltage > 4.5 && current > 0 && current < 0.1);
    jmp_sim_board_power(bench->board, true, bench->now);
    bench_run(bench, JMP_USEC_INFINITY);
    assert_int_equal(bench->length, 0);
    jmp_sim_board_power(bench->board, false, bench->now);
    jmp_sim_board_power(bench->board, true, bench->now);
    bench_run(bench, JMP_USEC_INFINITY);
    bench_expect(bench, "bench login: ");
}

JMP_TEST(the_meter_shows_what_the_board_does)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);
    double voltage = 1, current = 1, first = 0;
    bool varies = false;

    jmp_sim_board_measure(bench->board, bench->now, &voltage, &current);
    assert_true(voltage == 0 && current == 0);
    bench_boot(bench);
    for (int i = 0; i < 50; i++) {
        jmp_sim_board_measure(bench->board, bench->now, &voltage, &current);
        assert_true(voltage > 4.8 && voltage < 5.2);
        assert_true(current > 0.1 && current < 0.5);
        varies = varies || (i > 0 && current != first);
        first = current;
    }
    assert_true(varies);
    jmp_sim_board_power(bench->board, false, bench->now);
    jmp_sim_board_measure(bench->board, bench->now, &voltage, &current);
    assert_true(voltage == 0 && current == 0);
}

JMP_TEST(no_input_confuses_it)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(NULL);
    uint32_t random = 7;

    bench_login(bench);
    for (int round = 0; round < 2000; round++) {
        char bytes[64];

        for (size_t i = 0; i < sizeof(bytes); i++) {
            random = random * 1664525u + 1013904223u;
            bytes[i] = (char)(random >> 24);
        }
        assert_true(jmp_sim_board_input(bench->board, bytes, sizeof(bytes), bench->now) <= sizeof(bytes));
        jmp_sim_board_run(bench->board, bench->now += 1000);
        bench_forget(bench);
        bench_fetch(bench);
    }
    jmp_sim_board_power(bench->board, false, bench->now);
    bench_login(bench);
    bench_type(bench, "whoami\n");
    bench_expect(bench, "root\r\n" PROMPT);
}
