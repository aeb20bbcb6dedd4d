/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door between gRPC and the loop. The main thread sits in gRPC's completion queue, because the thread that waits
 * there is the only one that moves bytes; a helper thread watches the loop's descriptor and wakes the queue, which then
 * runs the loop. Every callback of rpc/ comes on the main thread. (docs/architecture.md, "One loop")
 */
#pragma once

#include "base/loop.h"

struct jmp_queue;

/** jmp_queue_new() - initialise gRPC and take over @loop (borrowed; run it by jmp_queue_run() from now on) */
int jmp_queue_new(struct jmp_loop *loop, struct jmp_queue **ret);
/** jmp_queue_run() - until jmp_loop_exit(); returns its code. May be called again. */
int jmp_queue_run(struct jmp_queue *queue);
/** jmp_queue_free() - wait (a few milliseconds: everything was cancelled; at most five seconds) until all calls are
 * gone, and shut gRPC down, for which it waits one second. Free servers, channels and pumps first. */
struct jmp_queue *jmp_queue_free(struct jmp_queue *queue);
JMP_DEFINE_CLEANUP(struct jmp_queue *, jmp_queue_free)
struct jmp_loop *jmp_queue_loop(struct jmp_queue *queue);
