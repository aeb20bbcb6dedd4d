/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

/* How much is done in one go before the loop looks at everything anew: nobody has it for himself. */
#define POSTS_MAX 256u
#define SOURCES_MAX 32u
#define ROUNDS_MAX 8u
/* How often a signal comes first while the loop has not been idle. */
#define SIGNALS_FIRST 8u

struct loop_signal {
    struct loop_signal *next;
    struct jmp_loop *loop;
    unsigned runs;                    /* since the loop was idle */
    void (*run)(int signal, void *user);
    void *user;
    sd_event_source *source;
};

struct jmp_loop {
    sd_event *event;
    sd_event_source *wakeup;
    int wakefd;
    void (*wake)(void *user);
    void *wake_user;
    bool dirty, exiting;
    bool busy;                        /* the last dispatch has left something */
    int code;
    struct loop_signal *signals;
    bool signalled;                   /* since it was idle */
    pthread_t owner;                  /* looks for posts by itself before it blocks */

    pthread_mutex_t lock;             /* guards the queue of posts, nothing else */
    struct jmp_post *first, *last;
    bool woken;                       /* a wake-up is on its way */
};

uint64_t jmp_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * JMP_USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

static void wake_eventfd(struct jmp_loop *loop)
{
    uint64_t one = 1;

    /* Can only fail when the counter is full, and then the loop wakes up anyway. */
    if (write(loop->wakefd, &one, sizeof(one)) < 0)
        return;
}

static int on_wakeup(sd_event_source *source, int fd, uint32_t revents, void *user)
{
    uint64_t count;

    /* The posts themselves run in jmp_loop_dispatch() or run_posts(); an empty counter is no news. */
    if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return -errno;
    return 0;
}

int jmp_loop_new(struct jmp_loop **ret)
{
    _cleanup_(jmp_loop_freep) struct jmp_loop *loop = calloc(1, sizeof(*loop));
    int r;

    if (!loop)
        return -ENOMEM;
    loop->wakefd = -EBADF;
    loop->owner = pthread_self();
    pthread_mutex_init(&loop->lock, NULL);

    r = sd_event_new(&loop->event);
    if (r < 0)
        return r;
    loop->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wakefd < 0)
        return -errno;
    r = sd_event_add_io(loop->event, &loop->wakeup, loop->wakefd, EPOLLIN, on_wakeup, loop);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(loop);
    return 0;
}

struct jmp_loop *jmp_loop_free(struct jmp_loop *loop)
{
    struct loop_signal *signal;

    if (!loop)
        return NULL;
    while ((signal = loop->signals)) {
        loop->signals = signal->next;
        sd_event_source_disable_unref(signal->source);
        free(signal);
    }
    sd_event_source_disable_unref(loop->wakeup);
    sd_event_unref(loop->event);
    jmp_close(loop->wakefd);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
    return NULL;
}

sd_event *jmp_loop_event(struct jmp_loop *loop) { return loop->event; }
int jmp_loop_exit_code(const struct jmp_loop *loop) { return loop->code; }

void jmp_loop_set_waker(struct jmp_loop *loop, void (*wake)(void *user), void *user)
{
    pthread_mutex_lock(&loop->lock);
    loop->wake = wake;
    loop->wake_user = user;
    loop->woken = false;
    pthread_mutex_unlock(&loop->lock);
}

void jmp_loop_post(struct jmp_loop *loop, struct jmp_post *post)
{
    pthread_mutex_lock(&loop->lock);
    if (!post->queued) {
        post->queued = true;
        post->next = NULL;
        if (loop->last)
            loop->last->next = post;
        else
            loop->first = post;
        loop->last = post;
    }
    if (!loop->woken && !pthread_equal(loop->owner, pthread_self())) {
        loop->woken = true;
        /* Under the lock: a waker that was just replaced is never called again. */
        if (loop->wake)
            loop->wake(loop->wake_user);
        else
            wake_eventfd(loop);
    }
    pthread_mutex_unlock(&loop->lock);
}

void jmp_loop_unpost(struct jmp_loop *loop, struct jmp_post *post)
{
    struct jmp_post *previous = NULL;

    pthread_mutex_lock(&loop->lock);
    for (struct jmp_post *p = loop->first; p; previous = p, p = p->next) {
        if (p != post)
            continue;
        if (previous)
            previous->next = p->next;
        else
            loop->first = p->next;
        if (loop->last == p)
            loop->last = previous;
        break;
    }
    post->queued = false;
    post->next = NULL;
    pthread_mutex_unlock(&loop->lock);
}

static struct jmp_post *take_post(struct jmp_loop *loop)
{
    struct jmp_post *post;

    pthread_mutex_lock(&loop->lock);
    loop->woken = false;
    post = loop->first;
    if (post) {
        loop->first = post->next;
        if (!loop->first)
            loop->last = NULL;
        post->next = NULL;
        post->queued = false;
    }
    pthread_mutex_unlock(&loop->lock);
    return post;
}

static void run_posts(struct jmp_loop *loop)
{
    struct jmp_post *post;

    for (unsigned n = 0; n < POSTS_MAX && !loop->exiting && (post = take_post(loop)); n++)
        post->run(post);
}

static bool has_posts(struct jmp_loop *loop)
{
    bool any;

    pthread_mutex_lock(&loop->lock);
    any = loop->first;
    pthread_mutex_unlock(&loop->lock);
    return any;
}

static void set_first(struct loop_signal *entry, bool first)
{
    /* Without a descriptor for it all stays as it is. */
    (void)sd_event_source_set_priority(entry->source, first ? SD_EVENT_PRIORITY_IMPORTANT : SD_EVENT_PRIORITY_NORMAL);
}

static void be_idle(struct jmp_loop *loop)
{
    if (!loop->signalled)
        return;
    loop->signalled = false;
    for (struct loop_signal *entry = loop->signals; entry; entry = entry->next) {
        if (entry->runs >= SIGNALS_FIRST)
            set_first(entry, true);
        entry->runs = 0;
    }
}

static void run_sources(struct jmp_loop *loop)
{
    loop->dirty = false;
    for (unsigned n = 0; n < SOURCES_MAX && !loop->exiting; n++) {
        int r = sd_event_run(loop->event, 0);

        if (r < 0 && r != -EINTR)
            jmp_loop_exit(loop, r);
        if (r == 0)
            be_idle(loop);
        if (r <= 0)
            return;
    }
    loop->dirty = true;
}

bool jmp_loop_dispatch(struct jmp_loop *loop, bool sources)
{
    unsigned rounds = 0;

    do {
        run_posts(loop);
        if (sources || loop->dirty)
            run_sources(loop);
        sources = false;
        loop->busy = has_posts(loop) || loop->dirty;
    } while (!loop->exiting && loop->busy && ++rounds < ROUNDS_MAX);
    return !loop->exiting;
}

bool jmp_loop_is_busy(const struct jmp_loop *loop) { return loop->busy; }

int jmp_loop_run(struct jmp_loop *loop)
{
    while (jmp_loop_dispatch(loop, true)) {
        int r = sd_event_run(loop->event, loop->busy ? 0 : UINT64_MAX);

        if (r < 0 && r != -EINTR)
            return r;
    }
    return loop->code;
}

void jmp_loop_exit(struct jmp_loop *loop, int code)
{
    loop->exiting = true;
    loop->code = code;
    loop->dirty = true;
}

void jmp_loop_resume(struct jmp_loop *loop)
{
    loop->exiting = false;
    loop->code = 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
    struct jmp_timer *timer = user;

    timer->running = false;
    timer->run(timer);
    return 0;
}

int jmp_timer_start(struct jmp_loop *loop, struct jmp_timer *timer, uint64_t usec, void (*run)(struct jmp_timer *timer))
{
    uint64_t now = jmp_now();
    int r;

    timer->loop = loop;
    timer->run = run;
    if (usec >= UINT64_MAX - now) {
        jmp_timer_stop(timer);
        return 0;
    }
    loop->dirty = true;
    if (!timer->source) {
        /* 1 ms of accuracy: consoles are paced in milliseconds, everything else does not mind. */
        r = sd_event_add_time(loop->event, &timer->source, CLOCK_BOOTTIME, now + usec, 1000, on_timer, timer);
        if (r < 0)
            return r;
    } else {
        r = sd_event_source_set_time(timer->source, now + usec);
        if (r < 0)
            return r;
        r = sd_event_source_set_enabled(timer->source, SD_EVENT_ONESHOT);
        if (r < 0)
            return r;
    }
    timer->running = true;
    return 0;
}

void jmp_timer_stop(struct jmp_timer *timer)
{
    timer->running = false;
    if (timer->source)
        sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
}

void jmp_timer_close(struct jmp_timer *timer)
{
    sd_event_source_disable_unref(timer->source);
    *timer = (struct jmp_timer){ 0 };
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *user)
{
    struct jmp_io *io = user;

    io->run(io, revents);
    return 0;
}

int jmp_io_start(struct jmp_loop *loop, struct jmp_io *io, int fd, uint32_t events,
                 void (*run)(struct jmp_io *io, uint32_t revents))
{
    int r;

    io->loop = loop;
    io->run = run;
    io->fd = fd;
    io->events = events;
    r = sd_event_add_io(loop->event, &io->source, fd, events, on_io, io);
    if (r < 0) {
        *io = (struct jmp_io){ 0 };
        return r;
    }
    loop->dirty = true;
    return 0;
}

void jmp_io_set(struct jmp_io *io, uint32_t events)
{
    if (!io->source || (io->events == events && !io->paused))
        return;
    io->paused = false;
    io->loop->dirty = true;
    if (io->events != events) {
        io->events = events;
        sd_event_source_set_io_events(io->source, events);
    }
    sd_event_source_set_enabled(io->source, SD_EVENT_ON);
}

void jmp_io_pause(struct jmp_io *io)
{
    if (!io->source || io->paused)
        return;
    io->paused = true;
    sd_event_source_set_enabled(io->source, SD_EVENT_OFF);
}

void jmp_io_close(struct jmp_io *io)
{
    sd_event_source_disable_unref(io->source);
    *io = (struct jmp_io){ 0 };
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *user)
{
    struct loop_signal *entry = user;

    entry->loop->signalled = true;
    if (++entry->runs == SIGNALS_FIRST)
        set_first(entry, false);
    entry->run((int)info->ssi_signo, entry->user);
    return 0;
}

int jmp_loop_signal(struct jmp_loop *loop, int signal, void (*run)(int signal, void *user), void *user)
{
    _cleanup_free_ struct loop_signal *entry = calloc(1, sizeof(*entry));
    sigset_t mask;
    int r;

    if (!entry)
        return -ENOMEM;
    entry->loop = loop;
    entry->run = run;
    entry->user = user;
    sigemptyset(&mask);
    sigaddset(&mask, signal);
    r = pthread_sigmask(SIG_BLOCK, &mask, NULL);
    if (r != 0)
        return -r;
    r = sd_event_add_signal(loop->event, &entry->source, signal, on_signal, entry);
    if (r >= 0)
        r = sd_event_source_set_priority(entry->source, SD_EVENT_PRIORITY_IMPORTANT);
    if (r < 0) {
        sd_event_source_unref(entry->source);
        return r;
    }
    entry->next = loop->signals;
    loop->signals = TAKE_PTR(entry);
    return 0;
}
