/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An opened driver, and what its threads share. A device makes a new instance each time it opens; a call holds on to
 * the one it began with. So a driver that never returns keeps its memory for ever while the device goes on with
 * another.
 *
 * One lock guards everything that threads and the loop both touch: the turns, the flags of calls, the counters. It is
 * only held for a few instructions, never around driver code.
 */
#pragma once

#include <pthread.h>

#include "agent/keep.h"
#include "agent/worker.h"
#include "base/loop.h"
#include "drivers/driver.h"

#define JMP_SHARED_MAX 4u   /* shared streams of one device */

struct jmp_device;

struct jmp_core {
    pthread_mutex_t lock;
    pthread_cond_t idle;          /* @busy has become 0 */
    unsigned refs;                /* the tree and each instance */
    unsigned busy;                /* jobs on their way or at work */
    struct jmp_loop *loop;        /* NULL once the tree is gone: nothing is posted any more */
    struct jmp_workers *workers;  /* the tree's, loop only */
    struct jmp_keep *keep;        /* NULL: descriptors are not kept; set before any device opens */
};

int jmp_core_new(struct jmp_loop *loop, struct jmp_core **ret);
struct jmp_core *jmp_core_unref(struct jmp_core *core);   /* from any thread, without the lock */

/** jmp_core_run() - a counted job; its run() must end with jmp_core_job_done(). On the loop. Return: 0 or -EAGAIN. */
int jmp_core_run(struct jmp_core *core, struct jmp_job *job);
void jmp_core_job_done(struct jmp_core *core);
/** jmp_core_wait_idle() - block until no job is left, or @deadline; true: none is left */
bool jmp_core_wait_idle(struct jmp_core *core, uint64_t deadline);

/* One place in the queue for a device's turn; a call has one. All under the lock. */
struct jmp_turn {
    struct jmp_turn *next;
    pthread_cond_t wake;
    bool granted;
};

struct jmp_instance {
    struct jmp_core *core;
    struct jmp_instance *parent;  /* of a driver's own child: kept open by it */
    const struct jmp_driver_class *driver;
    void *self;
    char *path;                   /* of the device, for log lines after the device has gone */

    /* under the lock */
    unsigned refs;
    bool open_called;             /* close() is owed */
    bool dead;                    /* no call may begin any more */
    bool taken;                   /* the turn */
    struct jmp_turn *first, *last;
    bool closed;                  /* close() has returned; only the loop may free it now */
    struct jmp_device *device;    /* who wants to hear of the end; NULL: nobody, the last one frees it */

    struct jmp_job job;
    struct jmp_post post;
    double pace[JMP_SHARED_MAX];  /* written while opening, read by the loop afterwards */
    int shared[JMP_SHARED_MAX];   /* the same; the loop takes them */
    bool private[JMP_SHARED_MAX]; /* the same; not shared after all */
    bool inherited;               /* the same; it goes on with what an earlier process parked */
};

/**
 * jmp_instance_new() - memory for one opening of a device
 * @template:  the options as read, copied into self
 * @parent:    or NULL; a reference is taken
 * @closed:    called on the loop once close() has returned, unless jmp_instance_disown() came first; frees it with
 *             jmp_instance_free()
 */
int jmp_instance_new(struct jmp_core *core, const struct jmp_driver_class *driver, const void *template,
                     const char *path, struct jmp_instance *parent, struct jmp_device *device,
                     void (*closed)(struct jmp_post *post), struct jmp_instance **ret);
struct jmp_instance *jmp_instance_ref(struct jmp_instance *instance);
/** jmp_instance_unref() - the last one closes it, here when @may_block, else on a thread */
void jmp_instance_unref(struct jmp_instance *instance, bool may_block);
/** jmp_instance_kill() - no further call begins; those that wait for their first turn are woken */
void jmp_instance_kill(struct jmp_instance *instance);
/** jmp_instance_disown() - nobody waits for its end any more; true: it has ended already and was freed. On the loop. */
bool jmp_instance_disown(struct jmp_instance *instance);
void jmp_instance_free(struct jmp_instance *instance);

void jmp_turn_init(struct jmp_turn *turn);
void jmp_turn_destroy(struct jmp_turn *turn);
/** jmp_turn_queue() - stand in line, first come first served */
void jmp_turn_queue(struct jmp_instance *instance, struct jmp_turn *turn);
/** jmp_turn_wait() - until it is ours; the lock is given away meanwhile
 * @cancelled:  a first turn is not waited for, nor kept, once this is set or the instance is dead; NULL: in the middle
 *              of driver code, which has to have it
 * Return: 0, -ECANCELED, -ENODEV. */
int jmp_turn_wait(struct jmp_instance *instance, struct jmp_turn *turn, const bool *cancelled);
/** jmp_turn_leave() - out of the line, or give back what came already */
void jmp_turn_leave(struct jmp_instance *instance, struct jmp_turn *turn);
bool jmp_turn_try(struct jmp_instance *instance);
void jmp_turn_give(struct jmp_instance *instance);
