/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads for code that may block: made when there is work and none is idle, ended after some idle seconds. A job that
 * never returns costs one thread and nothing else. All functions may be called from any thread.
 */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"

#define JMP_WORKER_STACK (512u * 1024)   /* bytes of address space; only what is touched takes memory */

struct jmp_workers;

/* The caller owns the struct, which may stand in a larger one; run() may free it. */
struct jmp_job {
    struct jmp_job *next;
    void (*run)(struct jmp_job *job);
};

/**
 * jmp_workers_new() - an empty pool
 * @idle:  microseconds after which a thread without work ends
 * @ret:   give back with jmp_workers_stop()
 */
int jmp_workers_new(uint64_t idle, struct jmp_workers **ret);

/**
 * jmp_workers_run() - run @job on a thread, in no particular order
 *
 * Signals are blocked there, SIGPIPE too. Return: 0, or -EAGAIN when the system gives no thread at all.
 */
int jmp_workers_run(struct jmp_workers *workers, struct jmp_job *job);

/**
 * jmp_workers_stop() - let idle threads end, and wait for all of them, but not beyond @deadline (jmp_now())
 *
 * Threads still at work then end by themselves when their job returns; the memory of the pool goes with the last one.
 * Return: number of threads that were left behind.
 */
unsigned jmp_workers_stop(struct jmp_workers *workers, uint64_t deadline);
