/* SPDX-License-Identifier: Apache-2.0 */
/* Many serial ports that speak at the pace of a UART: who gets each byte, and when. */
#include "bench.h"

#include <fcntl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STAMPS 4096   /* of one console, between writing and arriving; more would be eight seconds */

struct board {
    int fd;
    uint64_t written, arrived, refused, wrong;
    uint64_t stamp_end[STAMPS], stamp_time[STAMPS];
    size_t stamp_head, stamp_tail;   /* head: the feeder's, tail: the receiver's; atomic */
};

static struct board *boards;
static bool feeding = true, fed;   /* asked for; has ended: nothing is written any more */

/* Byte number n of a console: no period that a lost kilobyte would hide. */
static uint8_t pattern(uint64_t n)
{
    return (uint8_t)((n * UINT64_C(0x9E3779B97F4A7C15)) >> 56);
}

static void *feed(void *arg)
{
    double each = (double)opt.rate * opt.interval_us / 1e6, owed = 0;
    uint64_t next = now_ns();
    uint8_t data[4096];

    while (__atomic_load_n(&feeding, __ATOMIC_RELAXED)) {
        struct timespec until = { .tv_sec = (time_t)(next / SECOND), .tv_nsec = (long)(next % SECOND) };
        size_t size;

        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        next += opt.interval_us * 1000u;
        owed += each;
        size = (size_t)owed;
        owed -= (double)size;
        if (size > sizeof(data))
            die("more than %zu bytes at once", sizeof(data));
        for (size_t i = 0; i < opt.raw_count; i++) {
            struct board *board = &boards[i];
            size_t head = board->stamp_head;
            ssize_t n;

            for (size_t b = 0; b < size; b++)
                data[b] = pattern(board->written + b);
            if (head - __atomic_load_n(&board->stamp_tail, __ATOMIC_ACQUIRE) < STAMPS) {
                board->stamp_end[head % STAMPS] = board->written + size;
                board->stamp_time[head % STAMPS] = now_ns();
                __atomic_store_n(&board->stamp_head, head + 1, __ATOMIC_RELEASE);
            }
            n = write(board->fd, data, size);
            /* A UART does not wait: what a full port does not take is lost before the exporter could see it. */
            if (n != (ssize_t)size)
                die("console %zu took %zd of %zu bytes: the exporter does not read it", i, n, size);
            board->written += size;
        }
    }
    __atomic_store_n(&fed, true, __ATOMIC_RELEASE);
    return NULL;
}

static void console_arrived(struct stream *stream, const uint8_t *data, size_t size)
{
    struct board *board = stream->board;
    uint64_t now = now_ns();
    size_t tail = board->stamp_tail;

    for (size_t i = 0; i < size; i++)
        if (data[i] != pattern(board->arrived + i))
            board->wrong++;
    board->arrived += size;
    while (tail != __atomic_load_n(&board->stamp_head, __ATOMIC_ACQUIRE) &&
           board->stamp_end[tail % STAMPS] <= board->arrived) {
        measure_one(now - board->stamp_time[tail % STAMPS], 0);
        tail++;
    }
    __atomic_store_n(&board->stamp_tail, tail, __ATOMIC_RELEASE);
    if (measuring)
        done_bytes += size;
}

static uint64_t drain_until;

static bool draining(void)
{
    bool missing = !__atomic_load_n(&fed, __ATOMIC_ACQUIRE);

    for (size_t i = 0; i < opt.raw_count; i++)
        missing |= boards[i].arrived < boards[i].written;
    return missing && now_ns() < drain_until;
}

void run_consoles(void)
{
    struct connection connection = connect_peer(0);
    uint64_t lost = 0, wrong = 0;
    char more[128];

    boards = must_alloc(opt.raw_count * sizeof(*boards));
    for (size_t i = 0; i < opt.raw_count; i++) {
        struct stream *stream;
        char name[32], uuid[64];

        snprintf(name, sizeof(name), "console%zu", i);
        if (!find_driver(connection.channel, name, uuid))
            die("no report");
        stream = stream_open(connection.channel, uuid);
        boards[i].fd = opt.raw[i];
        if (fcntl(opt.raw[i], F_SETFL, O_NONBLOCK) < 0)
            die("fcntl: %s", strerror(errno));
        stream->board = &boards[i];
        stream->arrived = console_arrived;
        stream_receive(stream);
    }
    measure_start();
    start_thread(feed, NULL);
    run_queue(measure_on);

    __atomic_store_n(&feeding, false, __ATOMIC_RELAXED);
    {   /* CPU and rates of the time in which all boards spoke; what is under way then may still arrive. */
        char *text = NULL;
        size_t length = 0;
        FILE *real = stdout, *memory = open_memstream(&text, &length);

        if (!memory)
            die("out of memory");
        stdout = memory;
        measure_print("%");
        fclose(memory);
        stdout = real;
        drain_until = now_ns() + 2 * SECOND;
        run_queue(draining);
        for (size_t i = 0; i < opt.raw_count; i++) {
            lost += boards[i].written - boards[i].arrived;
            wrong += boards[i].wrong;
        }
        snprintf(more, sizeof(more), ", \"lost\": %" PRIu64 ", \"wrong\": %" PRIu64, lost, wrong);
        printf("%.*s%s}\n", (int)(strchr(text, '%') - text), text, more);
        free(text);
    }
}
