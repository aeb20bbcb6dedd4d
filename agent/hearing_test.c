/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hearing.h"

#include "base/test.h"

#define LIMIT (60 * JMP_USEC_PER_SEC)    /* never over in a test */
#define SHORT (30 * JMP_USEC_PER_MSEC)

struct client {
    struct jmp_asker asker;
    struct jmp_loop *loop;
    uint64_t answered;    /* jmp_now() */
};

struct world {
    struct jmp_loop *loop;
    struct jmp_hearing *hearing;
    struct client client;
};

static void go(struct jmp_asker *asker)
{
    struct client *client = CONTAINER_OF(asker, struct client, asker);

    client->answered = jmp_now();
    jmp_loop_exit(client->loop, 0);
}

static void world_open(struct world *w, uint64_t limit)
{
    *w = (struct world){ .client.asker.go = go };
    assert_int_equal(jmp_loop_new(&w->loop), 0);
    w->client.loop = w->loop;
    assert_int_equal(jmp_hearing_new(w->loop, limit, &w->hearing), 0);
}

static void world_close(struct world *w)
{
    jmp_asker_leave(&w->client.asker);
    w->hearing = jmp_hearing_free(w->hearing);
    w->loop = jmp_loop_free(w->loop);
}

static bool ask(struct world *w) { return jmp_hearing_ask(w->hearing, &w->client.asker, JMP_USEC_INFINITY); }

/* All that is due now, which nothing is that has to wait for a time of its own. */
static void settle(struct world *w)
{
    for (unsigned i = 0; i < 10; i++)
        jmp_loop_dispatch(w->loop, true);
}

JMP_TEST(nobody_waits_for_good_news)
{
    struct world w;

    world_open(&w, LIMIT);
    assert_true(ask(&w));
    jmp_hearing_failed(w.hearing, 3);
    jmp_hearing_over(w.hearing);
    assert_true(ask(&w));
    world_close(&w);
}

JMP_TEST(with_no_limit_nobody_waits)
{
    struct world w;

    world_open(&w, 0);
    jmp_hearing_failed(w.hearing, 3);
    assert_true(ask(&w));
    world_close(&w);
}

JMP_TEST(a_failure_is_told_some_time_after_the_last_reader_was_given_the_reason)
{
    static const uint64_t limits[] = { LIMIT, 3 * SHORT };

    for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
        struct jmp_hearer quick, slow;
        struct world w;
        uint64_t given;

        world_open(&w, limits[i]);
        jmp_hearer_join(&quick, w.hearing, 1);
        jmp_hearer_join(&slow, w.hearing, 0);
        jmp_hearing_failed(w.hearing, 3);
        jmp_hearer_given(&quick, 3);
        jmp_hearer_given(&slow, 2);
        assert_false(ask(&w));
        given = jmp_now();
        jmp_hearer_given(&slow, 3);
        if (limits[i] == LIMIT) {
            settle(&w);
            assert_int_equal(w.client.answered, 0);   /* a third of the limit is still to come */
        } else {
            assert_int_equal(jmp_loop_run(w.loop), 0);
            assert_true(w.client.answered >= given + SHORT);
        }
        jmp_hearer_leave(&quick);
        jmp_hearer_leave(&slow);
        world_close(&w);
    }
}

JMP_TEST(a_failure_is_not_told_while_one_reader_has_not_been_given_the_reason)
{
    struct jmp_hearer quick, slow;
    struct world w;

    world_open(&w, 2 * SHORT);
    jmp_hearer_join(&quick, w.hearing, 3);
    jmp_hearer_join(&slow, w.hearing, 0);
    jmp_hearing_failed(w.hearing, 3);
    assert_false(ask(&w));
    jmp_hearer_given(&slow, 2);
    assert_int_equal(jmp_loop_run(w.loop), 0);
    assert_true(w.client.answered >= w.client.asker.until);   /* by the limit alone */
    jmp_hearer_leave(&quick);
    jmp_hearer_leave(&slow);
    world_close(&w);
}

JMP_TEST(a_reader_that_was_given_the_reason_before_the_failure_counts)
{
    struct jmp_hearer reader;
    struct world w;

    world_open(&w, 3 * SHORT);
    jmp_hearer_join(&reader, w.hearing, 0);
    jmp_hearer_given(&reader, 3);
    jmp_hearing_failed(w.hearing, 3);
    jmp_hearer_leave(&reader);    /* and it may leave */
    assert_false(ask(&w));
    assert_int_equal(jmp_loop_run(w.loop), 0);
    assert_true(w.client.answered > 0);
    world_close(&w);
}

JMP_TEST(without_readers_or_with_one_that_does_not_read_the_limit_ends_the_wait)
{
    struct jmp_hearer reader = { 0 };
    struct world w;

    for (unsigned stuck = 0; stuck < 2; stuck++) {
        uint64_t asked = jmp_now();

        world_open(&w, SHORT);
        jmp_hearing_failed(w.hearing, 3);
        if (stuck)
            jmp_hearer_join(&reader, w.hearing, 0);
        assert_false(ask(&w));
        assert_int_equal(jmp_loop_run(w.loop), 0);
        assert_true(w.client.answered >= asked + SHORT);
        jmp_hearer_leave(&reader);
        world_close(&w);
    }
}

JMP_TEST(who_has_little_time_waits_for_half_of_it)
{
    struct world w;
    uint64_t asked = jmp_now();

    world_open(&w, LIMIT);
    jmp_hearing_failed(w.hearing, 3);
    assert_true(jmp_hearing_ask(w.hearing, &w.client.asker, 1));
    assert_false(jmp_hearing_ask(w.hearing, &w.client.asker, asked + 2 * SHORT));
    assert_int_equal(jmp_loop_run(w.loop), 0);
    assert_true(w.client.answered > 0);
    world_close(&w);
}

JMP_TEST(whoever_waits_is_answered_when_the_failure_is_over)
{
    struct world w;

    world_open(&w, LIMIT);
    jmp_hearing_failed(w.hearing, 3);
    assert_false(ask(&w));
    jmp_hearing_over(w.hearing);
    assert_true(w.client.answered > 0);
    world_close(&w);
}

JMP_TEST(who_has_gone_is_not_answered_and_only_so_many_wait)
{
    struct jmp_asker crowd[64] = { 0 };
    struct world w;

    world_open(&w, LIMIT);
    jmp_hearing_failed(w.hearing, 3);
    for (size_t i = 0; i < ELEMENTSOF(crowd); i++)
        assert_false(jmp_hearing_ask(w.hearing, &crowd[i], JMP_USEC_INFINITY));
    assert_true(ask(&w));
    jmp_asker_leave(&crowd[5]);
    assert_false(ask(&w));
    jmp_asker_leave(&w.client.asker);
    for (size_t i = 0; i < ELEMENTSOF(crowd); i++)
        jmp_asker_leave(&crowd[i]);
    jmp_hearing_over(w.hearing);
    assert_int_equal(w.client.answered, 0);
    world_close(&w);
}
