/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the device core have in common: a few drivers that do odd things on demand, a tree from JSON, and
 * calls that are waited for with a deadline.
 */
#pragma once

#include <stdatomic.h>

#include "agent/call.h"
#include "agent/core.h"
#include "agent/device.h"
#include "base/test.h"

#define BENCH_DEADLINE (20 * JMP_USEC_PER_SEC)   /* generous: sanitizers on a busy machine */

/* The world outside, as the test drivers see it. */
struct bench_world {
    atomic_bool present;          /* "part" opens, else -ENODEV */
    atomic_int open_count, close_count, reset_count, inside;
    atomic_bool released;         /* lets part.stuck and part.deaf go on */
    atomic_bool stuck_open;       /* part's open does not return */
    atomic_bool stuck_close;      /* part's close does not, until released */
    atomic_int reset_error;
    atomic_int park;              /* what part's open parks as "thing", or 0 */
    atomic_int inherited;         /* what it was handed as "thing", or 0 */
    atomic_int board;             /* the far end of the newest console port, or -1 */
    atomic_uint pace;
    char image[1 << 20];          /* what flasher wrote last, or what it reads out */
    atomic_size_t image_size;     /* to be read out: more than there is comes again and again */
    atomic_int image_complete;    /* jmp_call_complete() of the last upload */
};
extern struct bench_world bench_world;
int bench_counted(void);          /* an eventfd: one of the counts of bench_world has changed */
extern unsigned bench_fault;      /* the allocation that fails in the next bench_call(), 0: none */

struct bench {
    struct jmp_loop *loop;
    struct jmp_tree *tree;
    struct jmp_exporter_config config;
    struct jmp_problems problems;
    struct jmp_devices *devices;
};

/** bench_new() - a tree from the JSON of an "export" map; not started. Drivers may take as long as a test: on a busy
 * machine nobody is given up by chance. */
struct bench *bench_new(const char *json);
/** bench_try() - the same, for trees that are wrong: what jmp_devices_new() says */
int bench_try(const char *json, struct bench **ret);
struct bench *bench_free(struct bench *bench);
JMP_DEFINE_CLEANUP(struct bench *, bench_free)
/** bench_hurry() - for who wants to see drivers given up: open 0.3 s, reset 1 s, to return once cancelled 0.2 s */
void bench_hurry(struct bench *bench);
void bench_start(struct bench *bench);
/** bench_until() - run the loop until *flag */
void bench_until(struct bench *bench, const bool *flag);
void bench_until_missing(struct bench *bench, const char *path, bool missing);
void bench_until_closed(struct bench *bench, int count);
/** bench_await() - sleep, without the loop, until @what of bench_world has grown to @least */
void bench_await(const atomic_int *what, int least);
/** bench_done() - for done() of the device functions: user is a bool */
void bench_done(void *user);

struct outcome {
    struct jmp_call *call;        /* while it runs */
    bool done, item, stream;
    bool more_by_hand;            /* else each item is followed by jmp_call_more() */
    unsigned items;
    int error, fd;
    char text[512];
    char *result;                 /* JSON: the answer, or the newest item */
};

void outcome_clear(struct outcome *outcome);
#define _cleanup_outcome_ _cleanup_(outcome_clear)
#define OUTCOME ((struct outcome){ .fd = -EBADF })

/** bench_call() - start; a refusal is an outcome too */
void bench_call(struct bench *bench, const char *path, const char *method, enum jmp_call_kind kind, const char *args,
                struct outcome *outcome);
/** bench_answer() - call and wait for the answer */
void bench_answer(struct bench *bench, const char *path, const char *method, const char *args, struct outcome *outcome);
/** bench_read() - exactly @size bytes from a non-blocking descriptor, running the loop meanwhile */
void bench_read(struct bench *bench, int fd, void *data, size_t size);
/** bench_read_end() - the rest until end of file; returns its size */
size_t bench_read_end(struct bench *bench, int fd, char *data, size_t size);
void bench_write(struct bench *bench, int fd, const void *data, size_t size);
