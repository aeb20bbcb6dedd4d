/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#include "base/limits.h"
#include "base/loop.h"

struct worker {
    struct worker *next;      /* in the list of idle ones, the last to fall idle first */
    pthread_cond_t wake;
    struct jmp_job *job;
};

struct jmp_workers {
    pthread_mutex_t lock;
    pthread_cond_t left;      /* a thread has ended */
    struct worker *idle;
    struct jmp_job *first, *last;   /* only while the system refuses further threads */
    unsigned threads;
    uint64_t patience;        /* microseconds */
    bool stopping, orphaned;  /* orphaned: the last thread frees it */
};

static struct timespec monotonic_in(uint64_t usec)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(usec / JMP_USEC_PER_SEC);
    at.tv_nsec += (long)(usec % JMP_USEC_PER_SEC) * 1000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

int jmp_workers_new(uint64_t idle, struct jmp_workers **ret)
{
    struct jmp_workers *workers = calloc(1, sizeof(*workers));

    if (!workers)
        return -ENOMEM;
    pthread_mutex_init(&workers->lock, NULL);
    cond_init(&workers->left);
    workers->patience = idle;
    *ret = workers;
    return 0;
}

static void workers_destroy(struct jmp_workers *workers)
{
    pthread_cond_destroy(&workers->left);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}

static struct jmp_job *take_queued(struct jmp_workers *workers)
{
    struct jmp_job *job = workers->first;

    if (job) {
        workers->first = job->next;
        if (!workers->first)
            workers->last = NULL;
    }
    return job;
}

/* Waits for the next job, with the lock held. NULL: the thread has been idle for long enough. */
static struct jmp_job *wait_for_job(struct jmp_workers *workers, struct worker *self)
{
    struct jmp_job *job = take_queued(workers);
    struct timespec until;
    int r = 0;

    if (job || workers->stopping)
        return job;

    self->next = workers->idle;
    workers->idle = self;
    until = monotonic_in(workers->patience);
    while (!self->job && !workers->stopping && r == 0)
        r = pthread_cond_timedwait(&self->wake, &workers->lock, &until);
    if (self->job)   /* who gave it took us off the list */
        return TAKE_PTR(self->job);

    for (struct worker **at = &workers->idle; *at; at = &(*at)->next)
        if (*at == self) {
            *at = self->next;
            break;
        }
    return NULL;
}

struct start {
    struct jmp_workers *workers;
    struct jmp_job *job;
};

static void *worker_main(void *user)
{
    struct start *start = user;
    struct jmp_workers *workers = start->workers;
    struct jmp_job *job = start->job;
    struct worker self = { 0 };
    bool last;

    free(start);
    cond_init(&self.wake);
    while (job) {
        job->run(job);
        pthread_mutex_lock(&workers->lock);
        job = wait_for_job(workers, &self);
        if (!job)
            break;   /* with the lock */
        pthread_mutex_unlock(&workers->lock);
    }

    workers->threads--;
    pthread_cond_broadcast(&workers->left);
    last = workers->orphaned && workers->threads == 0;
    pthread_mutex_unlock(&workers->lock);
    pthread_cond_destroy(&self.wake);
    if (last)
        workers_destroy(workers);
    return NULL;
}

static int spawn(struct jmp_workers *workers, struct jmp_job *job)
{
    _cleanup_free_ struct start *start = calloc(1, sizeof(*start));
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    int r;

    if (!start)
        return -EAGAIN;
    *start = (struct start){ workers, job };

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, JMP_WORKER_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);   /* a thread starts with its maker's mask */
    r = pthread_create(&thread, &attr, worker_main, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (r != 0)
        return -EAGAIN;

    TAKE_PTR(start);
    return 0;
}

int jmp_workers_run(struct jmp_workers *workers, struct jmp_job *job)
{
    int r = 0;

    job->next = NULL;
    pthread_mutex_lock(&workers->lock);
    if (workers->idle) {
        struct worker *worker = workers->idle;

        workers->idle = worker->next;
        worker->job = job;
        pthread_cond_signal(&worker->wake);
    } else {
        /* Counted first: the new thread may be done before pthread_create() returns here. */
        workers->threads++;
        r = spawn(workers, job);
        if (r < 0) {
            workers->threads--;
            if (workers->threads > 0) {
                if (workers->last)
                    workers->last->next = job;
                else
                    workers->first = job;
                workers->last = job;
                r = 0;
            }
        }
    }
    pthread_mutex_unlock(&workers->lock);
    return r;
}

unsigned jmp_workers_stop(struct jmp_workers *workers, uint64_t deadline)
{
    uint64_t now = jmp_now();
    struct timespec until = monotonic_in(deadline > now ? deadline - now : 0);
    unsigned left;
    int r = 0;

    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    for (struct worker *worker = workers->idle; worker; worker = worker->next)
        pthread_cond_signal(&worker->wake);
    while (workers->threads > 0 && r == 0)
        r = pthread_cond_timedwait(&workers->left, &workers->lock, &until);
    left = workers->threads;
    workers->orphaned = left > 0;
    pthread_mutex_unlock(&workers->lock);
    if (left == 0)
        workers_destroy(workers);
    return left;
}
