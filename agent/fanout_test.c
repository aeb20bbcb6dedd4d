/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fanout.h"

#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "agent/device_bench.h"

#define CONSOLE "{\"console\":{\"type\":\"console\"}}"

static void board_says(struct bench *bench, const void *data, size_t size)
{
    bench_write(bench, atomic_load(&bench_world.board), data, size);
}

static void board_hears(struct bench *bench, const char *text)
{
    char data[64] = "";

    assert_true(strlen(text) < sizeof(data));
    bench_read(bench, atomic_load(&bench_world.board), data, strlen(text));
    assert_memory_equal(data, text, strlen(text));
}

static void board_unplug(void)
{
    atomic_store(&bench_world.present, false);
    jmp_close(atomic_exchange(&bench_world.board, -1));
}

static void view(struct bench *bench, struct outcome *viewer)
{
    bench_call(bench, "console", "connect", JMP_CALL_STREAM, NULL, viewer);
    bench_until(bench, &viewer->stream);
}

static void viewer_expects(struct bench *bench, struct outcome *viewer, const char *text)
{
    char data[256];

    assert_true(strlen(text) < sizeof(data));
    bench_read(bench, viewer->fd, data, strlen(text));
    assert_memory_equal(data, text, strlen(text));
}

JMP_TEST(every_viewer_sees_everything_from_its_beginning_on)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome one = OUTCOME, two = OUTCOME, three = OUTCOME;

    bench_start(bench);
    view(bench, &one);
    board_says(bench, "first ", 6);
    viewer_expects(bench, &one, "first ");
    view(bench, &two);
    board_says(bench, "second ", 7);
    viewer_expects(bench, &one, "second ");
    viewer_expects(bench, &two, "second ");

    /* One leaves, the others do not notice. */
    jmp_call_cancel(one.call);
    bench_until(bench, &one.done);
    assert_int_equal(one.error, -ECANCELED);
    view(bench, &three);
    board_says(bench, "third", 5);
    viewer_expects(bench, &two, "third");
    viewer_expects(bench, &three, "third");
    assert_false(two.done);
}

/* What the board has written was taken: the loop runs until nothing of it waits any more. */
static void bench_until_read(struct bench *bench, int board)
{
    uint64_t deadline = jmp_now() + BENCH_DEADLINE;
    int waiting = 1;

    while (waiting > 0) {
        assert_true(jmp_now() < deadline);
        sd_event_run(jmp_loop_event(bench->loop), 5000);
        jmp_loop_dispatch(bench->loop, true);
        assert_int_equal(ioctl(board, TIOCOUTQ, &waiting), 0);
    }
}

JMP_TEST(after_a_restart_the_first_viewer_alone_sees_what_came_before)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome one = OUTCOME, two = OUTCOME;
    struct jmp_device *device = jmp_devices_find_path(bench->devices, "console");

    bench_start(bench);
    jmp_fanout_replay(device->fanouts[0], true);
    board_says(bench, "held ", 5);
    bench_until_read(bench, atomic_load(&bench_world.board));
    view(bench, &one);
    viewer_expects(bench, &one, "held ");
    view(bench, &two);
    board_says(bench, "new", 3);
    viewer_expects(bench, &one, "new");
    viewer_expects(bench, &two, "new");
}

JMP_TEST(what_viewers_write_reaches_the_board)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome one = OUTCOME, two = OUTCOME;

    bench_start(bench);
    view(bench, &one);
    view(bench, &two);
    bench_write(bench, one.fd, "root\n", 5);
    board_hears(bench, "root\n");
    bench_write(bench, two.fd, "ls\n", 3);
    board_hears(bench, "ls\n");
}

JMP_TEST(who_has_said_all_still_listens)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome viewer = OUTCOME;

    bench_start(bench);
    view(bench, &viewer);
    bench_write(bench, viewer.fd, "reboot\n", 7);
    assert_int_equal(shutdown(viewer.fd, SHUT_WR), 0);
    board_hears(bench, "reboot\n");
    board_says(bench, "booting", 7);
    viewer_expects(bench, &viewer, "booting");
    assert_false(viewer.done);

    viewer.fd = jmp_close(viewer.fd);
    bench_until(bench, &viewer.done);
    assert_int_equal(viewer.error, 0);
}

JMP_TEST(what_was_said_before_leaving_still_arrives)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome viewer = OUTCOME;
    static char data[100000];
    char *heard = calloc(1, sizeof(data));

    assert_non_null(heard);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7 + i / 251);
    bench_start(bench);
    view(bench, &viewer);
    bench_write(bench, viewer.fd, data, sizeof(data));
    viewer.fd = jmp_close(viewer.fd);
    bench_read(bench, atomic_load(&bench_world.board), heard, sizeof(data));
    assert_memory_equal(heard, data, sizeof(data));
    bench_until(bench, &viewer.done);
    assert_int_equal(viewer.error, 0);
    free(heard);
}

/* A board that takes nothing: viewers are not read either, so they wait instead of filling the agent's memory. */
JMP_TEST(a_board_that_does_not_listen_holds_its_writers_back)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome viewer = OUTCOME;
    static char block[65536];
    size_t sent = 0, heard = 0;

    bench_start(bench);
    view(bench, &viewer);
    for (unsigned quiet = 0; quiet < 20;) {
        ssize_t n = send(viewer.fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);

        jmp_loop_dispatch(bench->loop, true);
        quiet = n > 0 ? 0 : quiet + 1;
        sent += n > 0 ? (size_t)n : 0;
        assert_true(sent < 8 * 1024 * 1024);
    }
    while (heard < sent) {
        ssize_t n = recv(atomic_load(&bench_world.board), block, sizeof(block), MSG_DONTWAIT);

        heard += n > 0 ? (size_t)n : 0;
        jmp_loop_dispatch(bench->loop, true);
    }
    assert_int_equal(heard, sent);
}

JMP_TEST(a_slow_viewer_loses_only_its_own_bytes_and_is_told)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome slow = OUTCOME, fast = OUTCOME;
    static char out[4096], in[4096];
    const size_t total = 4 * JMP_CONSOLE_RING;
    size_t got = 0, kept = 0;
    unsigned long long lost = 0;
    char *all = malloc(total + 4096), *mark;

    assert_non_null(all);
    bench_start(bench);
    view(bench, &slow);
    view(bench, &fast);
    for (size_t sent = 0; sent < total; sent += sizeof(out)) {
        for (size_t i = 0; i < sizeof(out); i++)
            out[i] = (char)('a' + (sent / sizeof(out)) % 26);
        board_says(bench, out, sizeof(out));
        bench_read(bench, fast.fd, in, sizeof(in));
        assert_memory_equal(in, out, sizeof(in));
    }
    board_says(bench, "#", 1);
    viewer_expects(bench, &fast, "#");

    /* The slow one wakes up: old bytes that its socket held, a notice, then everything from there to the end. */
    while (kept == 0 || all[got - 1] != '#') {
        bench_read(bench, slow.fd, all + got, 1);
        got++;
        kept++;
        assert_true(got < total);
    }
    all[got] = '\0';
    mark = memmem(all, got, "\r\n[jumpstarter: ", 16);
    assert_non_null(mark);
    assert_int_equal(sscanf(mark + 16, "%llu bytes lost]", &lost), 1);
    mark = strstr(mark, "lost]\r\n");
    assert_non_null(mark);
    assert_null(strstr(mark + 7, "jumpstarter"));
    kept = got - (size_t)(snprintf(NULL, 0, "\r\n[jumpstarter: %llu bytes lost]\r\n", lost));
    assert_int_equal(kept + lost, total + 1);
    free(all);
}

JMP_TEST(viewers_outlive_the_port)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome viewer = OUTCOME, late = OUTCOME;

    bench_start(bench);
    view(bench, &viewer);
    board_says(bench, "before", 6);
    viewer_expects(bench, &viewer, "before");

    board_unplug();
    bench_until_missing(bench, "console", true);
    assert_string_equal(jmp_device_missing(jmp_devices_find_path(bench->devices, "console")),
                        "console is not available: its port has gone");
    bench_call(bench, "console", "connect", JMP_CALL_STREAM, NULL, &late);
    assert_int_equal(late.error, -ENODEV);
    bench_write(bench, viewer.fd, "held", 4);

    atomic_store(&bench_world.present, true);
    bench_until_missing(bench, "console", false);
    board_hears(bench, "held");
    board_says(bench, "after", 5);
    viewer_expects(bench, &viewer, "after");
    assert_false(viewer.done);
}

JMP_TEST(a_viewer_may_leave_while_the_port_is_away)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome viewer = OUTCOME;

    bench_start(bench);
    view(bench, &viewer);
    board_unplug();
    bench_until_missing(bench, "console", true);
    viewer.fd = jmp_close(viewer.fd);
    bench_until(bench, &viewer.done);
    assert_int_equal(viewer.error, 0);
}

JMP_TEST(a_hangup_is_an_orderly_end_for_the_newest)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome one = OUTCOME, two = OUTCOME, three = OUTCOME, drop = OUTCOME;
    char data[64];

    bench_start(bench);
    view(bench, &one);
    view(bench, &two);
    view(bench, &three);
    board_says(bench, "bye", 3);
    viewer_expects(bench, &one, "bye");
    bench_write(bench, three.fd, "unread", 6);
    bench_answer(bench, "console", "drop", "[1]", &drop);
    assert_int_equal(drop.error, 0);
    assert_int_equal(bench_read_end(bench, three.fd, data, sizeof(data)), 3);
    bench_until(bench, &three.done);
    assert_int_equal(three.error, 0);
    assert_false(one.done || two.done);

    bench_answer(bench, "console", "drop", "[]", &drop);
    bench_until(bench, &one.done);
    bench_until(bench, &two.done);
    assert_int_equal(bench_read_end(bench, two.fd, data, sizeof(data)), 3);
    assert_int_equal(bench_read_end(bench, one.fd, data, sizeof(data)), 0);

    /* With nobody there it is no error, and the port goes on. */
    bench_answer(bench, "console", "drop", "[]", &drop);
    assert_int_equal(drop.error, 0);
    outcome_clear(&one);
    view(bench, &one);
    board_says(bench, "still", 5);
    viewer_expects(bench, &one, "still");
}

JMP_TEST(a_paced_port_gets_byte_by_byte)
{
    _cleanup_(bench_freep) struct bench *bench =
        bench_new("{\"console\":{\"type\":\"console\",\"config\":{\"cps\":200}}}");
    _cleanup_outcome_ struct outcome viewer = OUTCOME;
    char byte;
    uint64_t begin;

    bench_start(bench);
    view(bench, &viewer);
    begin = jmp_now();
    bench_write(bench, viewer.fd, "0123456789", 10);
    for (unsigned i = 0; i < 10; i++) {
        bench_read(bench, atomic_load(&bench_world.board), &byte, 1);
        assert_int_equal(byte, '0' + (int)i);
        assert_true(jmp_now() - begin + JMP_USEC_PER_MSEC >= i * 5 * JMP_USEC_PER_MSEC);
    }
}

JMP_TEST(a_port_that_is_not_shared_is_opened_for_each)
{
    _cleanup_(bench_freep) struct bench *bench =
        bench_new("{\"console\":{\"type\":\"console\",\"config\":{\"alone\":true}}}");
    _cleanup_outcome_ struct outcome one = OUTCOME, two = OUTCOME;
    int first;

    bench_start(bench);
    view(bench, &one);
    bench_until(bench, &one.done);
    first = atomic_exchange(&bench_world.board, -1);
    view(bench, &two);
    bench_until(bench, &two.done);
    bench_write(bench, first, "one", 3);
    board_says(bench, "two", 3);
    viewer_expects(bench, &one, "one");
    viewer_expects(bench, &two, "two");
    jmp_close(first);
}

/* A real tty: its hang-up is EIO, it fills at 4 KiB, and it is told apart from a socket that has ended. */
JMP_TEST(a_terminal_that_is_pulled_out_comes_back)
{
    _cleanup_(bench_freep) struct bench *bench =
        bench_new("{\"console\":{\"type\":\"console\",\"config\":{\"pty\":true}}}");
    _cleanup_outcome_ struct outcome viewer = OUTCOME;
    static char out[300000], in[300000];

    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (char)(i * 31 + i / 997);
    bench_start(bench);
    view(bench, &viewer);
    for (size_t at = 0; at < sizeof(out); at += 3000) {
        board_says(bench, out + at, 3000);
        bench_read(bench, viewer.fd, in + at, 3000);
    }
    assert_memory_equal(in, out, sizeof(out));
    bench_write(bench, viewer.fd, "hi\n", 3);
    board_hears(bench, "hi\n");

    board_unplug();
    bench_until_missing(bench, "console", true);
    assert_string_equal(jmp_device_missing(jmp_devices_find_path(bench->devices, "console")),
                        "console is not available: its port has gone");
    atomic_store(&bench_world.present, true);
    bench_until_missing(bench, "console", false);
    board_says(bench, "back", 4);
    viewer_expects(bench, &viewer, "back");
}

JMP_TEST(a_viewer_survives_any_failed_allocation)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);

    bench_start(bench);
    for (unsigned n = 1; n < 12; n++) {
        _cleanup_outcome_ struct outcome viewer = OUTCOME;

        bench_fault = n;
        bench_call(bench, "console", "connect", JMP_CALL_STREAM, NULL, &viewer);
        jmp_fault_disarm();
        if (viewer.done) {
            assert_int_equal(viewer.error, -ENOMEM);
            continue;
        }
        bench_until(bench, &viewer.stream);
        board_says(bench, "x", 1);
        viewer_expects(bench, &viewer, "x");
        jmp_call_cancel(viewer.call);
        bench_until(bench, &viewer.done);
    }
}

JMP_TEST(only_so_many_watch_one_console)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome last = OUTCOME;
    struct outcome many[JMP_VIEWERS_MAX];

    bench_start(bench);
    for (size_t i = 0; i < ELEMENTSOF(many); i++) {
        many[i] = OUTCOME;
        view(bench, &many[i]);
    }
    bench_call(bench, "console", "connect", JMP_CALL_STREAM, NULL, &last);
    assert_int_equal(last.error, -EBUSY);
    board_says(bench, "all", 3);
    for (size_t i = 0; i < ELEMENTSOF(many); i++) {
        viewer_expects(bench, &many[i], "all");
        jmp_call_cancel(many[i].call);
    }
    for (size_t i = 0; i < ELEMENTSOF(many); i++) {
        bench_until(bench, &many[i].done);
        outcome_clear(&many[i]);
    }
}

/* The first byte goes out at once; those right behind it together, one message a tick, not one each. */
JMP_TEST(a_trickle_is_gathered_and_a_keystroke_is_not)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome viewer = OUTCOME;
    char data[64];
    unsigned messages = 0;
    size_t got = 0;

    bench_start(bench);
    view(bench, &viewer);
    jmp_devices_set_limits(bench->devices, &(struct jmp_limits){ .open = JMP_USEC_PER_SEC, .reset = JMP_USEC_PER_SEC,
                           .give_up = JMP_USEC_PER_SEC, .retry = JMP_USEC_PER_SEC, .gate = 200 * JMP_USEC_PER_MSEC });
    assert_int_equal(send(atomic_load(&bench_world.board), "k", 1, 0), 1);
    jmp_loop_dispatch(bench->loop, true);
    assert_int_equal(recv(viewer.fd, data, sizeof(data), MSG_DONTWAIT), 1);   /* without waiting for a tick */

    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(send(atomic_load(&bench_world.board), "x", 1, 0), 1);
        jmp_loop_dispatch(bench->loop, true);
        assert_int_equal(recv(viewer.fd, data, sizeof(data), MSG_DONTWAIT), -1);
    }
    while (got < 20) {
        ssize_t n = recv(viewer.fd, data, sizeof(data), MSG_DONTWAIT);

        if (n > 0) {
            got += (size_t)n;
            messages++;
        } else {
            sd_event_run(jmp_loop_event(bench->loop), 1000);
        }
    }
    assert_int_equal(messages, 1);
}
