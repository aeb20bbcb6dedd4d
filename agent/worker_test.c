/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/worker.h"

#include <poll.h>
#include <stdatomic.h>

#include "base/limits.h"
#include "base/loop.h"
#include "base/test.h"

struct work {
    struct jmp_job job;
    atomic_bool *go;
    atomic_int *ran;
};

static void work_run(struct jmp_job *job)
{
    struct work *work = CONTAINER_OF(job, struct work, job);

    while (work->go && !atomic_load(work->go))
        poll(NULL, 0, 1);
    atomic_fetch_add(work->ran, 1);
}

static void wait_for(atomic_int *ran, int count)
{
    uint64_t deadline = jmp_now() + 20 * JMP_USEC_PER_SEC;

    while (atomic_load(ran) < count) {
        assert_true(jmp_now() < deadline);
        poll(NULL, 0, 1);
    }
}

JMP_TEST(every_job_runs_once_and_all_at_the_same_time)
{
    struct jmp_workers *workers;
    struct work work[100];
    atomic_bool go = false;
    atomic_int ran = 0;

    assert_int_equal(jmp_workers_new(JMP_USEC_PER_SEC, &workers), 0);
    for (size_t i = 0; i < ELEMENTSOF(work); i++) {
        work[i] = (struct work){ .job.run = work_run, .go = &go, .ran = &ran };
        assert_int_equal(jmp_workers_run(workers, &work[i].job), 0);
    }
    /* If they waited for each other, none would ever be let go. */
    atomic_store(&go, true);
    wait_for(&ran, 100);
    assert_int_equal(jmp_workers_stop(workers, jmp_now() + 10 * JMP_USEC_PER_SEC), 0);
    assert_int_equal(atomic_load(&ran), 100);
}

JMP_TEST(threads_come_and_go)
{
    struct jmp_workers *workers;
    atomic_int ran = 0;

    assert_int_equal(jmp_workers_new(0, &workers), 0);   /* each thread ends as soon as it is idle */
    for (int i = 0; i < 200; i++) {
        struct work work = { .job.run = work_run, .ran = &ran };

        assert_int_equal(jmp_workers_run(workers, &work.job), 0);
        wait_for(&ran, i + 1);
    }
    assert_int_equal(jmp_workers_stop(workers, jmp_now() + 10 * JMP_USEC_PER_SEC), 0);
}

JMP_TEST(a_stuck_thread_is_left_behind_and_cleans_up_later)
{
    struct jmp_workers *workers;
    atomic_bool go = false;
    atomic_int ran = 0;
    struct work work = { .job.run = work_run, .go = &go, .ran = &ran };

    assert_int_equal(jmp_workers_new(JMP_USEC_PER_SEC, &workers), 0);
    assert_int_equal(jmp_workers_run(workers, &work.job), 0);
    assert_int_equal(jmp_workers_stop(workers, jmp_now() + 20 * JMP_USEC_PER_MSEC), 1);
    atomic_store(&go, true);
    wait_for(&ran, 1);
}
