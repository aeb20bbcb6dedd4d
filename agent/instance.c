/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance.h"

#include <string.h>
#include <time.h>

#define WORKER_IDLE (10 * JMP_USEC_PER_SEC)

int jmp_core_new(struct jmp_loop *loop, struct jmp_core **ret)
{
    _cleanup_free_ struct jmp_core *core = calloc(1, sizeof(*core));
    pthread_condattr_t attr;
    int r;

    if (!core)
        return -ENOMEM;
    r = jmp_workers_new(WORKER_IDLE, &core->workers);
    if (r < 0)
        return r;

    pthread_mutex_init(&core->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&core->idle, &attr);
    pthread_condattr_destroy(&attr);
    core->loop = loop;
    core->refs = 1;

    *ret = TAKE_PTR(core);
    return 0;
}

struct jmp_core *jmp_core_unref(struct jmp_core *core)
{
    bool last;

    if (!core)
        return NULL;
    pthread_mutex_lock(&core->lock);
    last = --core->refs == 0;
    pthread_mutex_unlock(&core->lock);
    if (last) {
        jmp_keep_free(core->keep);
        pthread_cond_destroy(&core->idle);
        pthread_mutex_destroy(&core->lock);
        free(core);
    }
    return NULL;
}

int jmp_core_run(struct jmp_core *core, struct jmp_job *job)
{
    int r;

    /* A running job keeps the core: its last words are spoken to it. */
    pthread_mutex_lock(&core->lock);
    core->busy++;
    core->refs++;
    pthread_mutex_unlock(&core->lock);

    r = jmp_workers_run(core->workers, job);
    if (r < 0)
        jmp_core_job_done(core);
    return r;
}

void jmp_core_job_done(struct jmp_core *core)
{
    pthread_mutex_lock(&core->lock);
    if (--core->busy == 0)
        pthread_cond_broadcast(&core->idle);
    pthread_mutex_unlock(&core->lock);
    jmp_core_unref(core);
}

bool jmp_core_wait_idle(struct jmp_core *core, uint64_t deadline)
{
    struct timespec until;
    uint64_t now = jmp_now(), wait = deadline > now ? deadline - now : 0;
    bool idle;
    int r = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait / JMP_USEC_PER_SEC);
    until.tv_nsec += (long)(wait % JMP_USEC_PER_SEC) * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }

    pthread_mutex_lock(&core->lock);
    while (core->busy > 0 && r == 0)
        r = pthread_cond_timedwait(&core->idle, &core->lock, &until);
    idle = core->busy == 0;
    pthread_mutex_unlock(&core->lock);
    return idle;
}

static void instance_close_job(struct jmp_job *job);

int jmp_instance_new(struct jmp_core *core, const struct jmp_driver_class *driver, const void *template,
                     const char *path, struct jmp_instance *parent, struct jmp_device *device,
                     void (*closed)(struct jmp_post *post), struct jmp_instance **ret)
{
    struct jmp_instance *instance = calloc(1, sizeof(*instance));

    if (!instance)
        return -ENOMEM;
    instance->self = calloc(1, driver->size > 0 ? driver->size : 1);
    instance->path = strdup(path);
    if (!instance->self || !instance->path) {
        free(instance->self);
        free(instance->path);
        free(instance);
        return -ENOMEM;
    }
    if (driver->size > 0)
        memcpy(instance->self, template, driver->size);
    for (unsigned i = 0; i < JMP_SHARED_MAX; i++)
        instance->shared[i] = -EBADF;
    instance->driver = driver;
    instance->core = core;
    instance->device = device;
    instance->refs = 1;
    instance->job.run = instance_close_job;
    instance->post.run = closed;

    pthread_mutex_lock(&core->lock);
    core->refs++;
    if (parent) {
        parent->refs++;
        instance->parent = parent;
    }
    pthread_mutex_unlock(&core->lock);

    *ret = instance;
    return 0;
}

struct jmp_instance *jmp_instance_ref(struct jmp_instance *instance)
{
    pthread_mutex_lock(&instance->core->lock);
    instance->refs++;
    pthread_mutex_unlock(&instance->core->lock);
    return instance;
}

void jmp_instance_free(struct jmp_instance *instance)
{
    for (unsigned i = 0; i < JMP_SHARED_MAX; i++)
        jmp_close(instance->shared[i]);
    jmp_core_unref(instance->core);
    free(instance->self);
    free(instance->path);
    free(instance);
}

static void instance_close(struct jmp_instance *instance)
{
    struct jmp_core *core = instance->core;
    struct jmp_instance *parent;
    bool owned;

    if (instance->open_called && instance->driver->close)
        instance->driver->close(instance->self);

    /* Before the end is told: whoever hears it may open again, and the parent's turn to close comes with it. */
    parent = TAKE_PTR(instance->parent);
    if (parent)
        jmp_instance_unref(parent, true);

    pthread_mutex_lock(&core->lock);
    instance->closed = true;
    owned = instance->device && core->loop;
    if (owned)
        jmp_loop_post(core->loop, &instance->post);
    pthread_mutex_unlock(&core->lock);
    if (!owned)
        jmp_instance_free(instance);
}

static void instance_close_job(struct jmp_job *job)
{
    struct jmp_instance *instance = CONTAINER_OF(job, struct jmp_instance, job);
    struct jmp_core *core = instance->core;

    instance_close(instance);
    jmp_core_job_done(core);
}

static bool closing_may_block(const struct jmp_instance *instance)
{
    for (; instance; instance = instance->parent)
        if (instance->open_called && instance->driver->close)
            return true;
    return false;
}

void jmp_instance_unref(struct jmp_instance *instance, bool may_block)
{
    bool last;

    pthread_mutex_lock(&instance->core->lock);
    last = --instance->refs == 0;
    pthread_mutex_unlock(&instance->core->lock);
    if (!last)
        return;

    /* Without any thread to be had, a late loop is better than hardware that is never let go. */
    if (may_block || !closing_may_block(instance) || jmp_core_run(instance->core, &instance->job) < 0)
        instance_close(instance);
}

void jmp_instance_kill(struct jmp_instance *instance)
{
    pthread_mutex_lock(&instance->core->lock);
    instance->dead = true;
    for (struct jmp_turn *turn = instance->first; turn; turn = turn->next)
        pthread_cond_signal(&turn->wake);
    pthread_mutex_unlock(&instance->core->lock);
}

bool jmp_instance_disown(struct jmp_instance *instance)
{
    struct jmp_core *core = instance->core;
    bool closed;

    pthread_mutex_lock(&core->lock);
    instance->device = NULL;
    closed = instance->closed;
    if (closed)
        jmp_loop_unpost(core->loop, &instance->post);
    pthread_mutex_unlock(&core->lock);
    if (closed)
        jmp_instance_free(instance);
    return closed;
}

void jmp_turn_init(struct jmp_turn *turn)
{
    *turn = (struct jmp_turn){ 0 };
    pthread_cond_init(&turn->wake, NULL);
}

void jmp_turn_destroy(struct jmp_turn *turn) { pthread_cond_destroy(&turn->wake); }

bool jmp_turn_try(struct jmp_instance *instance)
{
    if (instance->taken || instance->first)
        return false;
    instance->taken = true;
    return true;
}

static void turn_unlink(struct jmp_instance *instance, struct jmp_turn *turn)
{
    struct jmp_turn *previous = NULL;

    for (struct jmp_turn *at = instance->first; at; previous = at, at = at->next) {
        if (at != turn)
            continue;
        if (previous)
            previous->next = at->next;
        else
            instance->first = at->next;
        if (instance->last == at)
            instance->last = previous;
        return;
    }
}

void jmp_turn_queue(struct jmp_instance *instance, struct jmp_turn *turn)
{
    turn->next = NULL;
    turn->granted = jmp_turn_try(instance);
    if (turn->granted)
        return;
    if (instance->last)
        instance->last->next = turn;
    else
        instance->first = turn;
    instance->last = turn;
}

void jmp_turn_leave(struct jmp_instance *instance, struct jmp_turn *turn)
{
    if (turn->granted)
        jmp_turn_give(instance);
    else
        turn_unlink(instance, turn);
}

int jmp_turn_wait(struct jmp_instance *instance, struct jmp_turn *turn, const bool *cancelled)
{
    while (!turn->granted && !(cancelled && (*cancelled || instance->dead)))
        pthread_cond_wait(&turn->wake, &instance->core->lock);
    if (!cancelled || (!*cancelled && !instance->dead))
        return 0;
    jmp_turn_leave(instance, turn);
    return *cancelled ? -ECANCELED : -ENODEV;
}

void jmp_turn_give(struct jmp_instance *instance)
{
    struct jmp_turn *turn = instance->first;

    if (!turn) {
        instance->taken = false;
        return;
    }
    /* Handed over, not left lying: who comes by first must not overtake who has waited. */
    instance->first = turn->next;
    if (!instance->first)
        instance->last = NULL;
    turn->granted = true;
    pthread_cond_signal(&turn->wake);
}
