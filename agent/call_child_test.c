/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/device_bench.h"

#define TREE \
    "{\"direct\":{\"type\":\"caller\",\"children\":{\"next\":{\"type\":\"part\",\"config\":{\"label\":\"x\"}}}}," \
    "\"other\":{\"type\":\"caller\",\"children\":{\"next\":{\"ref\":\"thing\"}}},\"thing\":{\"type\":\"plain\"}," \
    "\"childless\":{\"type\":\"caller\"}," \
    "\"narcissus\":{\"type\":\"caller\",\"children\":{\"next\":{\"ref\":\"echo\"}}}," \
    "\"echo\":{\"type\":\"caller\",\"children\":{\"next\":{\"ref\":\"direct.next\"}}}}"

JMP_TEST(a_driver_calls_its_child_and_hears_what_it_says)
{
    static const struct {
        const char *path, *method;
        int error;
        const char *text;
    } cases[] = {
        { "direct", "get", 0, "" },
        { "other", "get", 0, "" },
        { "direct", "nothing", -ENOENT, "next: method nothing not found on driver" },
        { "direct", "set_value", -E2BIG, "next: set_value() misses its argument 'value'" },
        { "direct", "garbage", -EINVAL, "next: the answer of garbage() cannot be sent: it is not UTF-8" },
        { "childless", "get", -ENOENT, "next: there is no such child" },
        { "other", "gone", -ECONNABORTED, "next: it fell off" },
        { "narcissus", "pass", -E2BIG, "next: pass() misses its argument 'method'" },
    };
    _cleanup_(bench_freep) struct bench *bench = bench_new(TREE);

    bench_start(bench);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_outcome_ struct outcome outcome = OUTCOME;
        char args[64];

        snprintf(args, sizeof(args), "[\"%s\"]", cases[i].method);
        bench_answer(bench, cases[i].path, "pass", args, &outcome);
        if (outcome.error != cases[i].error || strcmp(outcome.text, cases[i].text) != 0)
            fail_msg("%s %s: %d %s", cases[i].path, cases[i].method, outcome.error, outcome.text);
    }
}

/* The child is gone and comes back; who called it never was. */
JMP_TEST(a_missing_child_is_not_the_end_of_its_caller)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(TREE);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    bench_start(bench);
    bench_answer(bench, "other", "pass", "[\"gone\"]", &outcome);
    assert_int_equal(outcome.error, -ECONNABORTED);
    assert_null(jmp_device_missing(jmp_devices_find_path(bench->devices, "other")));
    bench_until_missing(bench, "thing", false);
    bench_answer(bench, "other", "pass", "[\"get\"]", &outcome);
    assert_int_equal(outcome.error, 0);
}

JMP_TEST(a_driver_knows_what_its_children_can_do)
{
    static const struct {
        const char *path, *method, *result;
    } cases[] = {
        { "direct", "get", "true" }, { "other", "get", "true" },      { "direct", "count", "false" },
        { "direct", "x", "false" },  { "childless", "get", "false" },
    };
    _cleanup_(bench_freep) struct bench *bench = bench_new(TREE);

    bench_start(bench);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_outcome_ struct outcome outcome = OUTCOME;
        char args[64];

        snprintf(args, sizeof(args), "[\"%s\"]", cases[i].method);
        bench_answer(bench, cases[i].path, "knows", args, &outcome);
        assert_string_equal(outcome.result, cases[i].result);
    }
}

JMP_TEST(cancelling_reaches_the_child)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(TREE);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    bench_start(bench);
    bench_call(bench, "direct", "pass", JMP_CALL_UNARY, "[\"wait\"]", &outcome);
    while (atomic_load(&bench_world.inside) == 0)
        jmp_loop_dispatch(bench->loop, true);
    jmp_call_cancel(outcome.call);
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, -ECANCELED);
    while (atomic_load(&bench_world.inside) > 0)
        jmp_loop_dispatch(bench->loop, true);
}

JMP_TEST(a_cancelled_call_still_tidies_up)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(TREE);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    bench_start(bench);
    bench_call(bench, "direct", "tidy", JMP_CALL_UNARY, "[\"get\"]", &outcome);
    jmp_call_cancel(outcome.call);
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, -ECANCELED);
}

/* While it waits for its child the caller's turn is free. */
JMP_TEST(a_waiting_caller_serves_others)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(TREE);
    _cleanup_outcome_ struct outcome waiting = OUTCOME, other = OUTCOME;

    bench_start(bench);
    bench_call(bench, "direct", "pass", JMP_CALL_UNARY, "[\"wait\"]", &waiting);
    while (atomic_load(&bench_world.inside) == 0)
        jmp_loop_dispatch(bench->loop, true);
    bench_answer(bench, "direct", "pass", "[\"get\"]", &other);
    assert_int_equal(other.error, 0);
    assert_false(waiting.done);
    jmp_call_cancel(waiting.call);
    bench_until(bench, &waiting.done);
}

JMP_TEST(the_tree_may_end_in_the_middle_of_it)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(TREE);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    bench_start(bench);
    bench_call(bench, "direct", "pass", JMP_CALL_UNARY, "[\"wait\"]", &outcome);
    while (atomic_load(&bench_world.inside) == 0)
        jmp_loop_dispatch(bench->loop, true);
    bench->devices = jmp_devices_free(bench->devices);
    assert_true(outcome.done);
    assert_int_equal(outcome.error, -ECANCELED);
}
