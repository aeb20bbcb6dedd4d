/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/test.h"

struct counter {
    struct jmp_post post;
    struct jmp_timer timer;
    struct jmp_io io;
    struct jmp_loop *loop;
    unsigned runs, wanted;
};

static void count_post(struct jmp_post *post)
{
    struct counter *counter = CONTAINER_OF(post, struct counter, post);

    if (++counter->runs == counter->wanted)
        jmp_loop_exit(counter->loop, 7);
    else
        jmp_loop_post(counter->loop, post);
}

JMP_TEST(a_post_may_post_itself_again)
{
    struct counter counter = { .post.run = count_post, .wanted = 1000 };

    assert_int_equal(jmp_loop_new(&counter.loop), 0);
    jmp_loop_post(counter.loop, &counter.post);
    assert_int_equal(jmp_loop_run(counter.loop), 7);
    assert_int_equal(counter.runs, 1000);
    jmp_loop_free(counter.loop);
}

static void count_only(struct jmp_post *post)
{
    CONTAINER_OF(post, struct counter, post)->runs++;
}

static void stop(struct jmp_timer *timer) { jmp_loop_exit(timer->loop, 0); }

JMP_TEST(posting_twice_runs_once_and_unposting_not_at_all)
{
    struct counter once = { .post.run = count_only }, never = { .post.run = count_only },
                   last = { .post.run = count_only };
    struct jmp_timer timer = { 0 };
    struct jmp_loop *loop;

    assert_int_equal(jmp_loop_new(&loop), 0);
    jmp_loop_post(loop, &once.post);
    jmp_loop_post(loop, &never.post);
    jmp_loop_post(loop, &once.post);
    jmp_loop_unpost(loop, &never.post);
    jmp_loop_post(loop, &last.post);
    assert_int_equal(jmp_timer_start(loop, &timer, 1000, stop), 0);
    assert_int_equal(jmp_loop_run(loop), 0);
    assert_int_equal(once.runs, 1);
    assert_int_equal(never.runs, 0);
    assert_int_equal(last.runs, 1);
    jmp_timer_close(&timer);
    jmp_loop_free(loop);
}

struct shared {
    struct jmp_post post;
    struct jmp_loop *loop;
    unsigned *left;
};

static void one_less(struct jmp_post *post)
{
    struct shared *shared = CONTAINER_OF(post, struct shared, post);

    if (--*shared->left == 0)
        jmp_loop_exit(shared->loop, 0);
}

static void *send_all(void *user)
{
    struct shared *posts = user;

    for (unsigned i = 0; i < 1000; i++)
        jmp_loop_post(posts[i].loop, &posts[i].post);
    return NULL;
}

JMP_TEST(no_post_of_another_thread_is_lost)
{
    static struct shared posts[4][1000];
    pthread_t threads[4];
    struct jmp_loop *loop;
    unsigned left = 4000;

    assert_int_equal(jmp_loop_new(&loop), 0);
    for (unsigned t = 0; t < 4; t++) {
        for (unsigned i = 0; i < 1000; i++)
            posts[t][i] = (struct shared){ .post.run = one_less, .loop = loop, .left = &left };
        assert_int_equal(pthread_create(&threads[t], NULL, send_all, posts[t]), 0);
    }
    assert_int_equal(jmp_loop_run(loop), 0);
    assert_int_equal(left, 0);
    for (unsigned t = 0; t < 4; t++)
        pthread_join(threads[t], NULL);
    jmp_loop_free(loop);
}

static void never(struct jmp_timer *timer) { fail_msg("a stopped timer fired"); }

JMP_TEST(a_timer_fires_once_and_a_stopped_one_never)
{
    struct jmp_timer stopped = { 0 }, firing = { 0 }, endless = { 0 };
    struct jmp_loop *loop;
    uint64_t start = jmp_now();

    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(jmp_timer_start(loop, &stopped, 1000, never), 0);
    assert_int_equal(jmp_timer_start(loop, &endless, JMP_USEC_INFINITY, never), 0);
    assert_int_equal(jmp_timer_start(loop, &firing, 20000, stop), 0);
    jmp_timer_stop(&stopped);
    assert_false(stopped.running);
    assert_true(firing.running);
    assert_int_equal(jmp_loop_run(loop), 0);
    assert_true(jmp_now() - start >= 20000);
    assert_false(firing.running);
    jmp_timer_close(&stopped);
    jmp_timer_close(&endless);
    jmp_timer_close(&firing);
    jmp_loop_free(loop);
}

static void on_hangup(struct jmp_io *io, uint32_t revents)
{
    struct counter *counter = CONTAINER_OF(io, struct counter, io);

    counter->runs++;
    jmp_io_pause(io);
}

JMP_TEST(a_paused_descriptor_does_not_report_its_hangup_again_and_again)
{
    struct counter counter = { 0 };
    struct jmp_timer timer = { 0 };
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(jmp_loop_new(&counter.loop), 0);
    assert_int_equal(jmp_io_start(counter.loop, &counter.io, pair[0], EPOLLIN, on_hangup), 0);
    jmp_close(pair[1]);
    assert_int_equal(jmp_timer_start(counter.loop, &timer, 20000, stop), 0);
    assert_int_equal(jmp_loop_run(counter.loop), 0);
    assert_int_equal(counter.runs, 1);
    jmp_io_close(&counter.io);
    jmp_timer_close(&timer);
    jmp_loop_free(counter.loop);
    jmp_close(pair[0]);
}

static void on_signal(int signal, void *user) { jmp_loop_exit(user, signal); }

JMP_TEST(a_signal_reaches_the_loop)
{
    struct jmp_loop *loop;

    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(jmp_loop_signal(loop, SIGUSR1, on_signal, loop), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(jmp_loop_run(loop), SIGUSR1);
    jmp_loop_free(loop);
}

struct signals {
    unsigned runs;
    bool again;
};

static void signal_again(int signal, void *user)
{
    struct signals *signals = user;

    signals->runs++;
    if (signals->again)
        kill(getpid(), signal);
}

static void stop_on_io(struct jmp_io *io, uint32_t revents) { jmp_loop_exit(io->loop, 7); }

static void late(struct jmp_timer *timer) { jmp_loop_exit(timer->loop, -ETIMEDOUT); }

/* They come first, and yet not only they; and when that is over, they come first again. */
JMP_TEST(signals_without_end_stop_nothing_else)
{
    struct signals signals = { .again = true };
    struct jmp_timer timer = { 0 };
    struct jmp_io io = { 0 };
    struct jmp_loop *loop;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(jmp_loop_signal(loop, SIGUSR1, signal_again, &signals), 0);
    assert_int_equal(jmp_io_start(loop, &io, pair[0], EPOLLIN, stop_on_io), 0);
    assert_int_equal(jmp_timer_start(loop, &timer, 20 * JMP_USEC_PER_SEC, late), 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    kill(getpid(), SIGUSR1);
    assert_int_equal(jmp_loop_run(loop), 7);
    assert_true(signals.runs > 1);

    jmp_io_pause(&io);
    signals.again = false;
    assert_int_equal(jmp_timer_start(loop, &timer, 20 * JMP_USEC_PER_MSEC, stop), 0); /* idle until then */
    jmp_loop_resume(loop);
    assert_int_equal(jmp_loop_run(loop), 0);
    signals.runs = 0;
    jmp_io_set(&io, EPOLLIN);
    kill(getpid(), SIGUSR1);
    jmp_loop_resume(loop);
    assert_int_equal(jmp_loop_run(loop), 7);
    assert_int_equal(signals.runs, 1);

    jmp_io_close(&io);
    jmp_timer_close(&timer);
    jmp_loop_free(loop);
    jmp_close(pair[0]);
    jmp_close(pair[1]);
}
