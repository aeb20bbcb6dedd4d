/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/elect.h"

#include <string.h>

#include "base/test.h"

#define SEC JMP_USEC_PER_SEC

static const struct jmp_elect_timing timing = { 15 * SEC, 10 * SEC, 2 * SEC };

static struct jmp_kube_record record_of(const char *holder, int32_t duration, int32_t transitions)
{
    struct jmp_kube_record record = { .duration = duration, .transitions = transitions, .acquired = 5, .renewed = 6 };

    snprintf(record.holder, sizeof(record.holder), "%s", holder);
    return record;
}

JMP_TEST(timings_that_cannot_work_are_refused)
{
    static const struct {
        struct jmp_elect_timing timing;
        const char *identity, *words;
    } rows[] = {
        { { 10 * SEC, 10 * SEC, 2 * SEC }, "a", "longer than the renew deadline" },
        { { 15 * SEC, 2 * SEC, 2 * SEC }, "a", "1.2 retry periods" },
        { { 3 * SEC / 2, SEC, SEC / 2 }, "a", "whole seconds" },
        { { 15 * SEC, 10 * SEC, 0 }, "a", "more than 0" },
        { { 15 * SEC, 10 * SEC, 2 * SEC }, "", "empty" },
    };
    struct jmp_error error = JMP_ERROR_INIT;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        error = JMP_ERROR_INIT;
        assert_int_equal(jmp_elect_check(&rows[i].timing, rows[i].identity, &error), -EINVAL);
        assert_non_null(strstr(error.text, rows[i].words));
    }
    assert_int_equal(jmp_elect_check(&timing, "a", &error), 0);
}

JMP_TEST(a_missing_lease_is_made_and_a_lost_race_is_no_hurry)
{
    struct jmp_elect elect;
    struct jmp_elect_step step;

    jmp_elect_init(&elect, &timing, "a");
    step = jmp_elect_tick(&elect, 100, 7);
    assert_int_equal(step.what, JMP_ELECT_GET);
    step = jmp_elect_seen(&elect, 110, 7, 0, NULL);
    assert_int_equal(step.what, JMP_ELECT_CREATE);
    assert_string_equal(step.record.holder, "a");
    assert_int_equal(step.record.duration, 15);
    assert_int_equal(step.record.transitions, 0);
    assert_int_equal(step.record.acquired, 7);
    assert_int_equal(step.record.renewed, 7);
    step = jmp_elect_conflict(&elect, 120);
    assert_int_equal(step.what, JMP_ELECT_WAIT);
    assert_int_equal(step.at, 120 + 2 * SEC);
    assert_false(elect.leading);
}

JMP_TEST(a_free_lease_is_taken_at_the_first_look)
{
    const struct jmp_kube_record free_one = record_of("", 30, 4);
    struct jmp_elect elect;
    struct jmp_elect_step step;

    jmp_elect_init(&elect, &timing, "a");
    step = jmp_elect_seen(&elect, 100, 9, 0, &free_one);
    assert_int_equal(step.what, JMP_ELECT_PUT);
    assert_int_equal(step.record.transitions, 5);
    assert_int_equal(step.record.acquired, 9);
    step = jmp_elect_written(&elect, 200, &step.record);
    assert_true(elect.leading);
    assert_int_equal(jmp_elect_deadline(&elect), 100 + 10 * SEC);
    for (int64_t wall = 10; wall < 20; wall++) {
        step = jmp_elect_tick(&elect, 300, wall);
        assert_int_equal(step.what, JMP_ELECT_PUT);
        assert_int_equal(step.record.acquired, 9);
        assert_int_equal(step.record.transitions, 5);
        assert_int_equal(step.record.renewed, wall);
        step = jmp_elect_written(&elect, 310, &step.record);
        assert_int_equal(step.what, JMP_ELECT_WAIT);
    }
}

JMP_TEST(a_record_is_live_for_its_own_duration_after_it_changed_before_our_eyes)
{
    static const int64_t renewed[] = { -3600 * (int64_t)SEC, 3600 * (int64_t)SEC, 0 };

    for (size_t i = 0; i < ELEMENTSOF(renewed); i++) {
        struct jmp_kube_record record = record_of("other", i == 2 ? 60 : 15, 0);
        uint64_t now = 1000 * SEC, first = now;
        struct jmp_elect elect;
        struct jmp_elect_step step;

        record.renewed = renewed[i];
        jmp_elect_init(&elect, &timing, "a");
        step = jmp_elect_seen(&elect, now, 0, 0.5, &record);
        while (step.what == JMP_ELECT_WAIT) {
            now = step.at;
            step = jmp_elect_seen(&elect, now, 0, 0.5, &record);
        }
        assert_int_equal(step.what, JMP_ELECT_PUT);
        assert_true(now - first >= (uint64_t)record.duration * SEC);
        assert_true(now - first <= (uint64_t)(record.duration + 5) * SEC);
    }
}

JMP_TEST(an_own_record_is_kept_after_a_restart)
{
    const struct jmp_kube_record mine = record_of("a", 15, 3);
    struct jmp_elect elect;
    struct jmp_elect_step step;

    jmp_elect_init(&elect, &timing, "a");
    step = jmp_elect_seen(&elect, 100, 9, 0, &mine);
    assert_int_equal(step.what, JMP_ELECT_PUT);
    assert_int_equal(step.record.transitions, 3);
    assert_int_equal(step.record.acquired, 5);
}

JMP_TEST(a_leader_that_another_is_preferred_to_steps_down)
{
    struct jmp_kube_record record = record_of("a", 15, 3);
    struct jmp_elect elect;
    struct jmp_elect_step step;

    jmp_elect_init(&elect, &timing, "a");
    step = jmp_elect_seen(&elect, 100, 9, 0, &record);
    jmp_elect_written(&elect, 110, &step.record);
    assert_true(elect.leading);
    step = jmp_elect_conflict(&elect, 120);
    assert_int_equal(step.what, JMP_ELECT_GET);
    strcpy(record.strategy, "OldestEmulationVersion");
    strcpy(record.preferred_holder, "b");
    step = jmp_elect_seen(&elect, 130, 9, 0, &record);
    assert_int_equal(step.what, JMP_ELECT_WAIT);
    assert_false(elect.leading);
}

JMP_TEST(a_leader_stops_at_once_when_it_sees_another)
{
    struct jmp_kube_record record = record_of("a", 15, 3);
    struct jmp_elect elect;
    struct jmp_elect_step step;

    jmp_elect_init(&elect, &timing, "a");
    step = jmp_elect_seen(&elect, 100, 9, 0, &record);
    jmp_elect_written(&elect, 110, &step.record);
    record = record_of("b", 15, 4);
    step = jmp_elect_seen(&elect, 130, 9, 0, &record);
    assert_int_equal(step.what, JMP_ELECT_WAIT);
    assert_int_equal(jmp_elect_deadline(&elect), 0);
}

JMP_TEST(an_answer_after_the_deadline_is_no_leave_to_go_on)
{
    struct jmp_kube_record record = record_of("a", 15, 3);
    struct jmp_elect elect;
    struct jmp_elect_step step;

    jmp_elect_init(&elect, &timing, "a");
    step = jmp_elect_seen(&elect, 0, 9, 0, &record);
    step = jmp_elect_written(&elect, 10 * SEC, &step.record);
    assert_int_equal(step.what, JMP_ELECT_GET);
    assert_false(elect.leading);
}

JMP_TEST(a_lease_is_given_back_only_by_its_holder)
{
    struct jmp_kube_record mine = record_of("a", 15, 3), others = record_of("b", 15, 3), freed;
    struct jmp_elect elect;

    jmp_elect_init(&elect, &timing, "a");
    assert_false(jmp_elect_release(&elect, 8, &others, &freed));
    assert_true(jmp_elect_release(&elect, 8, &mine, &freed));
    assert_string_equal(freed.holder, "");
    assert_int_equal(freed.duration, 1);
    assert_int_equal(freed.transitions, 3);
    assert_int_equal(freed.renewed, 8);
}

/*
 * A model: some electors, one server, and a world in which clocks run at different rates, messages are late, lost or
 * come after they were given up, and processes stop for a while. Work ends by itself at the deadline, as a guard sees
 * to it.
 */
enum { ELECTORS = 3, MODEL_SECONDS = 240 };

struct actor {
    struct jmp_elect elect;
    double rate, offset;            /* local = offset + rate * true */
    enum { TO_TICK, TO_REACH, TO_RETURN, TO_GIVE_UP } phase;
    double at;                      /* true seconds of the next event */
    double gives_up;                /* when the request will be abandoned */
    struct jmp_elect_step step;     /* what is under way */
    bool ok, conflict, exists;      /* the answer that is coming */
    struct jmp_kube_record answer;
    unsigned answer_version, version;
    double acting_until;            /* true seconds */
    double paused_until;
};

struct world {
    uint64_t random;
    bool exists;
    struct jmp_kube_record record;
    unsigned version;
    struct actor actors[ELECTORS];
    unsigned turns;                 /* a leader began */
};

static double roll(struct world *world)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (double)(world->random >> 11) / 9007199254740992.0;
}

static uint64_t local(const struct actor *actor, double now)
{
    return (uint64_t)((actor->offset + actor->rate * now) * 1e6);
}

static double true_time(const struct actor *actor, uint64_t usec)
{
    return ((double)usec / 1e6 - actor->offset) / actor->rate;
}

static void begin_step(struct world *world, struct actor *actor, double now, struct jmp_elect_step step)
{
    uint64_t deadline = jmp_elect_deadline(&actor->elect);

    actor->acting_until = deadline > 0 ? true_time(actor, deadline) : 0;
    for (unsigned i = 0; i < ELECTORS; i++) {
        const struct actor *other = &world->actors[i];

        if (other != actor && actor->acting_until > now && other->acting_until > now)
            fail_msg("two act at %f", now);
    }
    actor->step = step;
    if (step.what == JMP_ELECT_WAIT) {
        actor->phase = TO_TICK;
        actor->at = true_time(actor, step.at);
        return;
    }
    actor->gives_up = now + 5;
    /* A message may be lost, late, or so late that nobody waits any more; then it still arrives. */
    actor->phase = roll(world) < 0.1 ? TO_GIVE_UP : TO_REACH;
    actor->at = actor->phase == TO_GIVE_UP ? actor->gives_up : now + roll(world) * roll(world) * 4;
}

static void reach_server(struct world *world, struct actor *actor, double now)
{
    actor->conflict = false;
    actor->ok = true;
    if (actor->step.what == JMP_ELECT_CREATE) {
        actor->conflict = world->exists;
    } else if (actor->step.what == JMP_ELECT_PUT) {
        actor->conflict = !world->exists || actor->version != world->version;
    }
    if (actor->step.what != JMP_ELECT_GET && !actor->conflict) {
        world->exists = true;
        world->record = actor->step.record;
        world->version++;
    }
    actor->exists = world->exists;
    actor->answer = world->record;
    actor->answer_version = world->version;
    actor->phase = roll(world) < 0.1 ? TO_GIVE_UP : TO_RETURN;
    actor->at = now + roll(world) * roll(world) * 4;
    if (actor->phase == TO_GIVE_UP || actor->at > actor->gives_up) {
        actor->phase = TO_GIVE_UP;
        actor->at = actor->gives_up > now ? actor->gives_up : now;
    }
}

static void act(struct world *world, struct actor *actor, double now)
{
    uint64_t clock = local(actor, now);

    /* Whoever runs again after its deadline notices before it does anything else. */
    if (actor->elect.leading && jmp_elect_deadline(&actor->elect) <= clock)
        jmp_elect_step_down(&actor->elect);

    switch (actor->phase) {
    case TO_TICK:
        begin_step(world, actor, now, jmp_elect_tick(&actor->elect, clock, (int64_t)(now * 1e6)));
        break;
    case TO_REACH:
        reach_server(world, actor, now);
        break;
    case TO_GIVE_UP:
        begin_step(world, actor, now, jmp_elect_failed(&actor->elect, clock, roll(world)));
        break;
    case TO_RETURN:
        if (actor->conflict) {
            begin_step(world, actor, now, jmp_elect_conflict(&actor->elect, clock));
        } else if (actor->step.what == JMP_ELECT_GET) {
            actor->version = actor->answer_version;
            begin_step(world, actor, now, jmp_elect_seen(&actor->elect, clock, (int64_t)(now * 1e6), roll(world),
                                                         actor->exists ? &actor->answer : NULL));
        } else {
            bool led = actor->elect.leading;

            actor->version = actor->answer_version;
            begin_step(world, actor, now, jmp_elect_written(&actor->elect, clock, &actor->step.record));
            world->turns += !led && actor->elect.leading;
        }
        break;
    }
}

static unsigned run_model(uint64_t seed)
{
    struct world world = { .random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1 };

    for (unsigned i = 0; i < ELECTORS; i++) {
        struct actor *actor = &world.actors[i];
        const char identity[] = { (char)('a' + i), '\0' };

        jmp_elect_init(&actor->elect, &timing, identity);
        actor->rate = 0.85 + roll(&world) * 0.35;
        actor->offset = roll(&world) * 1000;
        actor->at = roll(&world) * 3;
    }
    for (;;) {
        struct actor *next = &world.actors[0];
        double now;

        for (unsigned i = 1; i < ELECTORS; i++)
            if (world.actors[i].at < next->at)
                next = &world.actors[i];
        now = next->at;
        if (now > MODEL_SECONDS)
            break;
        /* A process that is stopped does nothing, but what it sent goes on. */
        if (now < next->paused_until && next->phase != TO_REACH) {
            next->at = next->paused_until;
            continue;
        }
        if (roll(&world) < 0.01) {
            next->paused_until = now + roll(&world) * 40;
            continue;
        }
        act(&world, next, now);
    }
    return world.turns;
}

JMP_TEST(never_do_two_act_at_once_in_any_of_10000_worlds)
{
    unsigned turns = 0, worlds_led = 0;

    for (uint64_t seed = 1; seed <= 10000; seed++) {
        unsigned n = run_model(seed);

        turns += n;
        worlds_led += n > 0;
    }
    print_message("10000 worlds, %u changes of leader\n", turns);
    /* Electors that never lead would be safe, too. */
    assert_int_equal(worlds_led, 10000);
    assert_true(turns > 20000);
}
