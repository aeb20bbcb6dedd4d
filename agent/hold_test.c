/* SPDX-License-Identifier: Apache-2.0 */
/* Consoles whose viewers are slower than the board. */
#include <string.h>
#include <sys/socket.h>

#include "agent/device_bench.h"

#define CONSOLE "{\"console\": {\"type\": \"console\"}}"
#define BLOCK 4096u

/* What the board says: a pattern that tells where in it one is */
static void fill(char *block, unsigned number)
{
    for (unsigned i = 0; i < BLOCK; i += 8)
        memcpy(block + i,
               (char[8]){ (char)('a' + number % 26), (char)('a' + number / 26 % 26), (char)('0' + i / 512), 'x', 'y',
                          'z', '\r', '\n' },
               8);
}

static int connect_viewer(struct bench *bench, struct outcome *outcome)
{
    bench_call(bench, "console", "connect", JMP_CALL_STREAM, NULL, outcome);
    bench_until(bench, &outcome->stream);
    return outcome->fd;
}

/* One round of the loop that does not wait */
static void turn_loop(struct bench *bench)
{
    jmp_loop_dispatch(bench->loop, true);
}

static size_t write_what_fits(int fd, const char *data, size_t size)
{
    ssize_t n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

    return n > 0 ? (size_t)n : 0;
}

JMP_TEST(a_lone_slow_viewer_gets_all_of_what_can_wait)
{
    enum { BLOCKS = 2048 };   /* eight times the ring */
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome viewer = OUTCOME;
    char block[BLOCK], seen[BLOCK], expected[BLOCK];
    unsigned written = 0, got = 0;
    size_t part = 0;
    int fd;

    bench_start(bench);
    fd = connect_viewer(bench, &viewer);
    while (got < BLOCKS) {
        /* The board as fast as it can, the viewer a block at a time */
        for (size_t n = 1; written < BLOCKS && n > 0;) {
            fill(block, written);
            n = write_what_fits(bench_world.board, block + part, BLOCK - part);
            part += n;
            if (part == BLOCK) {
                part = 0;
                written++;
            }
            turn_loop(bench);
        }
        bench_read(bench, fd, seen, BLOCK);
        fill(expected, got++);
        assert_memory_equal(seen, expected, BLOCK);
    }
}

JMP_TEST(a_viewer_that_stands_still_stops_no_board)
{
    enum { SIZE = 8 * 1024 * 1024 };
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome viewer = OUTCOME;
    static char block[BLOCK];
    _cleanup_free_ char *text = calloc(1, 4 * 1024 * 1024);
    uint64_t begin = jmp_now();
    size_t used = 0;
    int fd;

    assert_non_null(text);
    bench_start(bench);
    fd = connect_viewer(bench, &viewer);
    memset(block, 'b', sizeof(block));
    for (size_t sent = 0; sent < SIZE; sent += BLOCK)
        bench_write(bench, bench_world.board, block, BLOCK);
    assert_true(jmp_now() - begin < 10 * JMP_USEC_PER_SEC);

    /* What it missed it is told, and then it goes on. */
    bench_write(bench, bench_world.board, "END", 3);
    while (used < 3 || memcmp(text + used - 3, "END", 3) != 0) {
        ssize_t n = read(fd, text + used, 4 * 1024 * 1024 - used);

        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        assert_true(jmp_now() - begin < 20 * JMP_USEC_PER_SEC);
        if (n > 0)
            used += (size_t)n;
        turn_loop(bench);
    }
    assert_non_null(memmem(text, used, " bytes lost]", strlen(" bytes lost]")));
}

JMP_TEST(a_viewer_that_keeps_up_waits_for_no_other)
{
    enum { SIZE = 8 * 1024 * 1024 };
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome still = OUTCOME, quick = OUTCOME;
    char block[BLOCK], seen[BLOCK];
    uint64_t begin;
    int fd;

    bench_start(bench);
    connect_viewer(bench, &still);
    fd = connect_viewer(bench, &quick);
    begin = jmp_now();
    for (unsigned i = 0; i < SIZE / BLOCK; i++) {
        fill(block, i);
        bench_write(bench, bench_world.board, block, BLOCK);
        bench_read(bench, fd, seen, BLOCK);
        assert_memory_equal(seen, block, BLOCK);
    }
    assert_true(jmp_now() - begin < 10 * JMP_USEC_PER_SEC);
}

JMP_TEST(a_board_goes_on_when_the_viewer_it_waited_for_leaves)
{
    enum { SIZE = 4 * 1024 * 1024 };
    _cleanup_(bench_freep) struct bench *bench = bench_new(CONSOLE);
    _cleanup_outcome_ struct outcome first = OUTCOME, second = OUTCOME;
    char block[BLOCK] = { 0 }, seen[3];
    size_t n;
    int fd;

    bench_start(bench);
    connect_viewer(bench, &first);
    memset(block, 'b', sizeof(block));
    /* Until it has to wait */
    do {
        n = write_what_fits(bench_world.board, block, BLOCK);
        turn_loop(bench);
    } while (n > 0);
    first.fd = jmp_close(first.fd);
    for (size_t sent = 0; sent < SIZE; sent += BLOCK)
        bench_write(bench, bench_world.board, block, BLOCK);
    bench_until(bench, &first.done);
    fd = connect_viewer(bench, &second);
    bench_write(bench, bench_world.board, "new", 3);
    do
        bench_read(bench, fd, seen, 1);
    while (seen[0] == 'b');
    assert_int_equal(seen[0], 'n');
}
