/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "rpc/internal.h"

#define SHUTDOWN_LIMIT 1000 /* milliseconds; it takes a few, but for a peer that does not read */

struct jmp_queue {
    struct jmp_loop *loop;
    grpc_completion_queue *cq;
    unsigned held;

    /*
     * The public C API has one way to post to a completion queue: an empty batch, which completes at once. It goes on
     * a call that is never started, of a channel that cannot connect.
     */
    grpc_channel *lame;
    grpc_call *doorbell;
    struct jmp_tag posted, ready;

    pthread_t watcher;                 /* waits for news of the loop's descriptor, nothing else */
    bool watching;
    int watchfd, stopfd;
    atomic_bool told;                  /* of news at which the loop has not looked yet */
    struct jmp_timer log_timer;
};

grpc_completion_queue *jmp_queue_cq(struct jmp_queue *queue) { return queue->cq; }
struct jmp_loop *jmp_queue_loop(struct jmp_queue *queue) { return queue->loop; }
void jmp_queue_hold(struct jmp_queue *queue) { queue->held++; }
void jmp_queue_drop(struct jmp_queue *queue) { queue->held--; }

static void ring(struct jmp_queue *queue, struct jmp_tag *tag)
{
    grpc_call_start_batch(queue->doorbell, NULL, 0, tag, NULL);
}

static void on_posted(struct jmp_tag *tag, bool ok)
{
    struct jmp_queue *queue = CONTAINER_OF(tag, struct jmp_queue, posted);

    jmp_loop_dispatch(queue->loop, false);
}

static void on_ready(struct jmp_tag *tag, bool ok)
{
    struct jmp_queue *queue = CONTAINER_OF(tag, struct jmp_queue, ready);

    /* Before the look: what comes during it is news again. */
    atomic_store(&queue->told, false);
    jmp_loop_dispatch(queue->loop, true);
}

static void wake(void *user)
{
    struct jmp_queue *queue = user;

    ring(queue, &queue->posted);
}

static void *watch(void *user)
{
    struct jmp_queue *queue = user;
    struct epoll_event event;

    pthread_setname_np(pthread_self(), "loop-watcher");
    for (;;) {
        int n = epoll_wait(queue->watchfd, &event, 1, -1);

        if (n < 0 && errno != EINTR)
            return NULL;
        if (n <= 0)
            continue;
        if (event.data.fd == queue->stopfd)
            return NULL;
        if (!atomic_exchange(&queue->told, true))
            ring(queue, &queue->ready);
    }
}

/*
 * News only: the watcher then need not wait until the loop has looked, which would wake it once more for each event.
 * The loop is busy until it has looked at all there is, so what it has not seen then is still to come.
 */
static int watch_start(struct jmp_queue *queue)
{
    const int loopfd = sd_event_get_fd(jmp_loop_event(queue->loop));
    struct epoll_event loop = { .events = EPOLLIN | EPOLLET, .data.fd = loopfd };
    struct epoll_event stop = { .events = EPOLLIN };
    int r;

    queue->watchfd = epoll_create1(EPOLL_CLOEXEC);
    queue->stopfd = eventfd(0, EFD_CLOEXEC);
    stop.data.fd = queue->stopfd;
    if (queue->watchfd < 0 || queue->stopfd < 0 || epoll_ctl(queue->watchfd, EPOLL_CTL_ADD, queue->stopfd, &stop) < 0 ||
        epoll_ctl(queue->watchfd, EPOLL_CTL_ADD, loopfd, &loop) < 0)
        return -errno;
    r = -pthread_create(&queue->watcher, NULL, watch, queue);
    queue->watching = r == 0;
    return r;
}

int jmp_queue_new(struct jmp_loop *loop, struct jmp_queue **ret)
{
    struct jmp_queue *queue;
    sigset_t all, old;
    int r;

    queue = calloc(1, sizeof(*queue));
    if (!queue)
        return -ENOMEM;
    queue->watchfd = queue->stopfd = -EBADF;

    /* The system's resolver knows nsswitch and mDNS; c-ares does not. */
    setenv("GRPC_DNS_RESOLVER", "native", 0);
    /* What gRPC has to say about a failed call is in the call's status. */
    setenv("GRPC_VERBOSITY", "NONE", 0);

    queue->loop = loop;
    queue->posted.run = on_posted;
    queue->ready.run = on_ready;

    /* Signals are for the loop's thread; gRPC's own threads inherit an empty ear. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    grpc_init();
    queue->cq = grpc_completion_queue_create_for_next(NULL);
    queue->lame = grpc_lame_client_channel_create("doorbell", GRPC_STATUS_UNAVAILABLE, "not a peer");
    queue->doorbell = grpc_channel_create_call(queue->lame, NULL, GRPC_PROPAGATE_DEFAULTS, queue->cq,
                                               grpc_slice_from_static_string("/doorbell"), NULL,
                                               gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    r = watch_start(queue);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r < 0) {
        jmp_queue_free(queue);
        return r;
    }
    jmp_loop_set_waker(loop, wake, queue);

    *ret = queue;
    return 0;
}

static bool next(struct jmp_queue *queue, gpr_timespec deadline)
{
    grpc_event event = grpc_completion_queue_next(queue->cq, deadline, NULL);
    struct jmp_tag *tag = event.tag;

    if (event.type != GRPC_OP_COMPLETE)
        return false;
    tag->run(tag, event.success);
    return true;
}

/* For how long what drivers say may be gathered. */
#define LOG_GATHER (20 * JMP_USEC_PER_MSEC)

static void on_log_timer(struct jmp_timer *timer) { jmp_log_flush(); }

/* A timer for what was logged since the last look; arming it takes another round of the loop, in which more may be
 * logged. */
static bool gather_log(struct jmp_queue *queue)
{
    bool running = true;

    while (running && jmp_log_is_gathered() && !queue->log_timer.running) {
        if (jmp_timer_start(queue->loop, &queue->log_timer, LOG_GATHER, on_log_timer) < 0)
            jmp_log_flush();
        running = jmp_loop_dispatch(queue->loop, false);
    }
    return running;
}

int jmp_queue_run(struct jmp_queue *queue)
{
    bool running = jmp_loop_dispatch(queue->loop, true);

    jmp_log_gather(true);
    while (running) {
        next(queue,
             jmp_loop_is_busy(queue->loop) ? gpr_inf_past(GPR_CLOCK_MONOTONIC) : gpr_inf_future(GPR_CLOCK_MONOTONIC));
        running = jmp_loop_dispatch(queue->loop, false) && gather_log(queue);
    }
    jmp_log_gather(false);
    jmp_timer_close(&queue->log_timer);
    return jmp_loop_exit_code(queue->loop);
}

static void *shut_down(void *user)
{
    int told = *(int *)user;

    free(user);
    grpc_shutdown_blocking();
    eventfd_write(told, 1);
    return NULL;
}

/*
 * After a connection that was closed while its peer did not read, a thread of gRPC's waits ten seconds for room that
 * nobody needs any more. Who waits for us need not wait for that: the thread then ends by itself, or with the process.
 */
static void end_grpc(void)
{
    int *told = malloc(sizeof(*told)), fd = eventfd(0, EFD_CLOEXEC);
    struct pollfd ended = { .fd = fd, .events = POLLIN };
    pthread_t thread;

    if (told)
        *told = fd;
    if (!told || fd < 0 || pthread_create(&thread, NULL, shut_down, told) != 0) {
        free(told);
        jmp_close(fd);
        grpc_shutdown_blocking();
        return;
    }
    if (poll(&ended, 1, SHUTDOWN_LIMIT) > 0) {
        pthread_join(thread, NULL);
        jmp_close(fd);
    } else {
        pthread_detach(thread); /* @fd is still to be written to */
    }
}

struct jmp_queue *jmp_queue_free(struct jmp_queue *queue)
{
    gpr_timespec deadline;

    if (!queue)
        return NULL;

    jmp_loop_set_waker(queue->loop, NULL, NULL);
    if (queue->watching) {
        uint64_t one = 1;

        while (write(queue->stopfd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
        pthread_join(queue->watcher, NULL);
    }

    /* Everything was cancelled, so this takes a moment; the limit is for what a broken peer might do. */
    deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(5, GPR_TIMESPAN));
    while (queue->held > 0 && next(queue, deadline))
        ;
    grpc_call_unref(queue->doorbell);
    grpc_channel_destroy(queue->lame);
    grpc_completion_queue_shutdown(queue->cq);
    for (;;) {
        grpc_event event = grpc_completion_queue_next(queue->cq, deadline, NULL);

        if (event.type != GRPC_OP_COMPLETE)
            break;
        if (event.tag != &queue->posted && event.tag != &queue->ready)
            ((struct jmp_tag *)event.tag)->run(event.tag, event.success);
    }
    grpc_completion_queue_destroy(queue->cq);
    end_grpc();

    jmp_close(queue->watchfd);
    jmp_close(queue->stopfd);
    free(queue);
    return NULL;
}
