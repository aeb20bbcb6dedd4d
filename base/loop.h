/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop: one thread runs everything, on sd-event. All objects below belong to that thread; jmp_loop_post() is the
 * only function that others may call. With gRPC, rpc/queue.h runs this loop inside the completion queue.
 *
 * Always use these wrappers instead of sd_event_add_*(): they mark the loop dirty, so that a timer armed by a gRPC
 * handler is seen by the kernel before the thread blocks again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/limits.h"

struct jmp_loop;

/** jmp_loop_new() - for the calling thread, which is the one that runs it */
int jmp_loop_new(struct jmp_loop **ret);
struct jmp_loop *jmp_loop_free(struct jmp_loop *loop);   /* posts that have not run are dropped */
JMP_DEFINE_CLEANUP(struct jmp_loop *, jmp_loop_free)

/** jmp_loop_run() - without gRPC: until jmp_loop_exit(); returns its code. With gRPC use jmp_queue_run(). */
int jmp_loop_run(struct jmp_loop *loop);
void jmp_loop_exit(struct jmp_loop *loop, int code);
/** jmp_loop_resume() - forget an exit, so that the loop can be run again: for programs that wait for one thing after
 * another */
void jmp_loop_resume(struct jmp_loop *loop);
sd_event *jmp_loop_event(struct jmp_loop *loop);
uint64_t jmp_now(void);   /* CLOCK_BOOTTIME in microseconds */

/*
 * Work for the loop. The caller owns the struct, which may stand in a larger one; posting it again before it ran does
 * nothing. run() is called once, on the loop, and may post it again or free it.
 */
struct jmp_post {
    struct jmp_post *next;
    void (*run)(struct jmp_post *post);
    bool queued;
};

/** jmp_loop_post() - from any thread, never fails, never blocks for long. From the loop's own thread: "after this
 * handler". */
void jmp_loop_post(struct jmp_loop *loop, struct jmp_post *post);
/** jmp_loop_unpost() - take it back, on the loop only; afterwards the struct may be freed */
void jmp_loop_unpost(struct jmp_loop *loop, struct jmp_post *post);

/*
 * A timer that fires once. Zeroed memory is a stopped timer.
 */
struct jmp_timer {
    sd_event_source *source;
    struct jmp_loop *loop;
    void (*run)(struct jmp_timer *timer);
    bool running;
};

/** jmp_timer_start() - (re)start; @usec from now, JMP_USEC_INFINITY stops. Return: 0 or -ENOMEM. */
int jmp_timer_start(struct jmp_loop *loop, struct jmp_timer *timer, uint64_t usec,
                    void (*run)(struct jmp_timer *timer));
void jmp_timer_stop(struct jmp_timer *timer);    /* keeps its memory for the next start */
void jmp_timer_close(struct jmp_timer *timer);   /* stops and frees; the struct is zeroed */

/*
 * A watched descriptor. Zeroed memory watches nothing.
 */
struct jmp_io {
    sd_event_source *source;
    struct jmp_loop *loop;
    void (*run)(struct jmp_io *io, uint32_t revents);
    uint32_t events;
    bool paused;
    int fd;
};

/** jmp_io_start() - watch @fd (not owned) for @events (EPOLLIN, EPOLLOUT; 0: only errors are reported; EPOLLET: news
 * only, the state itself when it is set or resumed).
 * Return: 0, -ENOMEM, or what epoll_ctl says: -EPERM for regular files. */
int jmp_io_start(struct jmp_loop *loop, struct jmp_io *io, int fd, uint32_t events,
                 void (*run)(struct jmp_io *io, uint32_t revents));
/** jmp_io_set() - change @events, and watch again after jmp_io_pause() */
void jmp_io_set(struct jmp_io *io, uint32_t events);
void jmp_io_pause(struct jmp_io *io);    /* nothing is reported, not even hang-up, until jmp_io_set() */
void jmp_io_close(struct jmp_io *io);    /* the struct is zeroed, the descriptor stays open */

/** jmp_loop_signal() - call @run on the loop for @signal, which is blocked in this thread; call before other threads
 * start. @user goes to run(). A signal comes before all else that is ready: Ctrl-C reaches us and our child at once,
 * and the child may have died of it before this loop looks; that it was a Ctrl-C has to be known first. One that comes
 * again and again takes its turn with the rest, until the loop has been idle. */
int jmp_loop_signal(struct jmp_loop *loop, int signal, void (*run)(int signal, void *user), void *user);

/*
 * For rpc/queue.c: how to run this loop from another one.
 */
void jmp_loop_set_waker(struct jmp_loop *loop, void (*wake)(void *user), void *user);   /* NULL: an eventfd */
/** jmp_loop_dispatch() - run posts and, with @sources or when one was changed, ready sources, without blocking and not
 * without end; returns false after jmp_loop_exit() */
bool jmp_loop_dispatch(struct jmp_loop *loop, bool sources);
/** jmp_loop_is_busy() - the last dispatch has left something: the next must come before anybody blocks */
bool jmp_loop_is_busy(const struct jmp_loop *loop);
int jmp_loop_exit_code(const struct jmp_loop *loop);
