/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats in a time of our own: timers are kept here and run when their time has come, and requests are answered as
 * a test says. The linker puts our timers in the place of the loop's. */
#include "kube/heartbeat.h"

#include <string.h>

#include "base/test.h"

#define SECOND JMP_USEC_PER_SEC

static struct {
    uint64_t now, due;
    struct jmp_timer *timer;
    void (*run)(struct jmp_timer *timer);

    json_t *lease;         /* what the server has */
    jmp_kube_done_fn done; /* of the request that is under way */
    struct jmp_kube_status status;
    json_t *answer;

    char methods[64]; /* a letter each, in their order: P is PUT, C is POST */
    uint64_t at[64];  /* when they came */
    unsigned requests, refusals, failing;
    enum jmp_kube_reason refusal; /* of the next writes, as many as @refusals */
} world;

int __wrap_jmp_timer_start(struct jmp_loop *loop, struct jmp_timer *timer, uint64_t usec,
                           void (*run)(struct jmp_timer *timer));

int __wrap_jmp_timer_start(struct jmp_loop *loop, struct jmp_timer *timer, uint64_t usec,
                           void (*run)(struct jmp_timer *timer))
{
    assert_null(world.run); /* a heartbeat does one thing after the other */
    world.timer = timer;
    world.run = run;
    world.due = world.now + usec;
    return 0;
}

/* The server. Its functions stand in for those of kube.c. */

struct jmp_loop *jmp_kube_loop(const struct jmp_kube *kube)
{
    return NULL;
}

void jmp_kube_cancel(struct jmp_kube_request *request)
{
}

char *jmp_kube_path(const char *group, const char *version, const char *namespace_, const char *plural,
                    const char *name)
{
    return strdup(name ?: "");
}

int jmp_kube_request(struct jmp_kube *kube, const struct jmp_kube_call *call, jmp_kube_done_fn done, void *user,
                     struct jmp_kube_request **ret)
{
    bool writes = strcmp(call->method, "GET") != 0;

    assert_true(world.requests < ELEMENTSOF(world.at));
    world.at[world.requests] = world.now;
    world.methods[world.requests++] = strcmp(call->method, "POST") == 0 ? 'C' : call->method[0];
    world.done = done;
    world.status = (struct jmp_kube_status){ .reason = JMP_KUBE_OK };
    if (writes && world.refusals > 0) {
        world.refusals--;
        world.status.reason = world.refusal;
    } else if (writes) {
        json_decref(world.lease);
        world.lease = json_deep_copy(call->body);
    } else if (!world.lease) {
        world.status.reason = JMP_KUBE_NOT_FOUND;
    }
    world.answer = world.status.reason == JMP_KUBE_OK ? json_deep_copy(world.lease) : NULL;
    return 0;
}

static void on_failing(const struct jmp_kube_status *status, unsigned failures, void *user)
{
    assert_true(failures >= 2);
    world.failing++;
}

static struct jmp_heartbeat *start(void)
{
    static const struct jmp_heartbeat_options options = { .namespace_ = "farm",
                                                          .name = "bench-3",
                                                          .holder = "bench-3",
                                                          .duration = JMP_HEARTBEAT_DURATION,
                                                          .interval = JMP_HEARTBEAT_INTERVAL,
                                                          .failing = on_failing };
    struct jmp_heartbeat *heartbeat;

    json_decref(world.lease);
    memset(&world, 0, sizeof(world));
    assert_int_equal(jmp_heartbeat_new(NULL, &options, &heartbeat), 0);
    return heartbeat;
}

/* Lets time go by up to a moment, with all that comes due; each answer takes a tenth of a second. */
static void run_until(struct jmp_heartbeat *heartbeat, uint64_t end)
{
    while (world.done || world.due <= end) {
        if (world.done) {
            jmp_kube_done_fn done = world.done;
            json_t *answer = world.answer;

            world.done = NULL;
            world.now += SECOND / 10;
            done(&world.status, answer, heartbeat);
            json_decref(answer);
        } else {
            void (*run)(struct jmp_timer * timer) = world.run;

            world.run = NULL;
            world.now = world.due;
            run(world.timer);
        }
    }
    world.now = end;
}

static void stop(struct jmp_heartbeat *heartbeat)
{
    jmp_heartbeat_free(heartbeat);
    json_decref(world.lease);
    world.lease = NULL;
}

JMP_TEST(a_minute_has_a_creation_and_five_or_six_renewals)
{
    struct jmp_heartbeat *heartbeat = start();
    struct jmp_kube_record record;

    run_until(heartbeat, 60 * SECOND);
    assert_memory_equal(world.methods, "GCPPPPP", 7);
    assert_in_range(world.requests, 7, 8);
    assert_true(world.requests == 7 || world.methods[7] == 'P');
    assert_int_equal(jmp_kube_record_read(world.lease, &record, NULL), 0);
    assert_string_equal(record.holder, "bench-3");
    assert_int_equal(record.duration, 40);
    assert_true(record.renewed > 0);
    for (unsigned i = 2; i < world.requests; i++) {
        uint64_t pause = world.at[i] - world.at[i - 1] - SECOND / 10; /* from an answer to the next */

        assert_in_range(pause, 10 * SECOND, 10 * SECOND + 4 * SECOND / 10);
    }
    stop(heartbeat);
}

JMP_TEST(beats_of_many_do_not_stay_in_step)
{
    uint64_t least = UINT64_MAX, most = 0;

    for (unsigned i = 0; i < 100; i++) {
        struct jmp_heartbeat *heartbeat = start();

        run_until(heartbeat, 15 * SECOND);
        least = world.at[2] < least ? world.at[2] : least;
        most = world.at[2] > most ? world.at[2] : most;
        stop(heartbeat);
    }
    assert_true(most - least > 2 * SECOND / 10);
}

JMP_TEST(a_conflict_is_looked_at_and_a_refusal_repeated_five_times_and_then_slowly)
{
    static const struct {
        enum jmp_kube_reason refusal;
        unsigned refusals, failing;
        const char *methods; /* of the beat that goes wrong */
    } cases[] = {
        { JMP_KUBE_CONFLICT, 1, 0, "PGP" },
        { JMP_KUBE_CONFLICT, 2, 1, "PGPGP" },
        { JMP_KUBE_INTERNAL_ERROR, 1, 0, "PP" },
        { JMP_KUBE_INTERNAL_ERROR, 4, 3, "PPPPP" },
        { JMP_KUBE_INTERNAL_ERROR, 6, 5, "PPPPPGPGP" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_heartbeat *heartbeat = start();
        size_t n = strlen(cases[i].methods);

        run_until(heartbeat, 5 * SECOND);
        assert_memory_equal(world.methods, "GC", 3);
        world.refusal = cases[i].refusal;
        world.refusals = cases[i].refusals;
        run_until(heartbeat, 18 * SECOND);
        print_message("%s\n", world.methods);
        assert_string_equal(world.methods + 2, cases[i].methods);
        assert_int_equal(world.failing, cases[i].failing);
        /* At once while it is known what to write, with a pause that grows where it has to be looked for. */
        if (n > 5) {
            assert_int_equal(world.at[6] - world.at[2], 4 * SECOND / 10);
            assert_in_range(world.at[7] - world.at[6] - SECOND / 10, SECOND / 10, SECOND);
        }
        stop(heartbeat);
    }
}
