/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/call.h"

#include <string.h>
#include <sys/socket.h>

#include "agent/device_bench.h"

#define ONE_PART "{\"part\":{\"type\":\"part\",\"config\":{\"label\":\"x\"}}}"

JMP_TEST(every_refusal_says_what_is_wrong)
{
    static const struct {
        const char *method;
        enum jmp_call_kind kind;
        const char *args;
        int error;
        const char *text;
    } cases[] = {
        { "nothing", JMP_CALL_UNARY, NULL, -ENOENT, "method nothing not found on driver" },
        { "count", JMP_CALL_UNARY, "[1]", -ENOENT, "method count missing marker marker_drivercall" },
        { "get", JMP_CALL_ITEMS, NULL, -ENOENT, "method get missing marker marker_streamingdrivercall" },
        { "get", JMP_CALL_STREAM, NULL, -ENOENT, "method get missing marker marker_streamcall" },
        { "get", JMP_CALL_UNARY, "[1]", -E2BIG, "get() takes 0 arguments, but 1 were given" },
        { "set_value", JMP_CALL_UNARY, "[]", -E2BIG, "set_value() misses its argument 'value'" },
        { "set_value", JMP_CALL_UNARY, NULL, -E2BIG, "set_value() misses its argument 'value'" },
        { "set_value", JMP_CALL_UNARY, "[1,2]", -E2BIG, "set_value() takes 1 argument, but 2 were given" },
        { "set_value", JMP_CALL_UNARY, "[null]", -EINVAL, "argument 'value' of set_value() must be a whole number" },
        { "set_value", JMP_CALL_UNARY, "[1.5]", -EINVAL, "argument 'value' of set_value() must be a whole number" },
        { "set_value", JMP_CALL_UNARY, "[-1]", -EINVAL, "argument 'value' of set_value() must be a whole number" },
        { "set_value", JMP_CALL_UNARY, "[5e9]", -EINVAL, "argument 'value' of set_value() must be a whole number" },
        { "set_value", JMP_CALL_UNARY, "[\"1\"]", -EINVAL, "argument 'value' of set_value() must be a whole number" },
        { "echo", JMP_CALL_UNARY, "[true]", -EINVAL, "argument 'number' of echo() must be a number" },
        { "echo", JMP_CALL_UNARY, "[1,1]", -EINVAL, "argument 'flag' of echo() must be true or false" },
        { "echo", JMP_CALL_UNARY, "[1,true,[]]", -EINVAL, "argument 'text' of echo() must be a string" },
    };
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);

    bench_start(bench);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_outcome_ struct outcome outcome = OUTCOME;

        bench_call(bench, "part", cases[i].method, cases[i].kind, cases[i].args, &outcome);
        assert_true(outcome.done);
        assert_int_equal(outcome.error, cases[i].error);
        if (strncmp(outcome.text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("row %zu: %s", i, outcome.text);
    }
}

JMP_TEST(arguments_and_answers_travel)
{
    static const struct {
        const char *method, *args, *result;
    } cases[] = {
        { "get", NULL, "7" },
        { "set_value", "[12.0]", "null" },
        { "get", "[]", "12" },
        { "echo", "[1.5]", "[1.5,false,null]" },
        { "echo", "[1.5,null,null,null]", "[1.5,false,null]" },
        { "echo", "[-2,true,\"ä\",{\"a\":[1,null]}]", "[-2,true,\"ä\",{\"a\":[1,null]}]" },
        { "wait_fd", "[true]", "1" },
        { "quick", NULL, "true" },
    };
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    bench_start(bench);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        bench_answer(bench, "part", cases[i].method, cases[i].args, &outcome);
        assert_int_equal(outcome.error, 0);
        assert_string_equal(outcome.result, cases[i].result);
    }
}

JMP_TEST(errors_keep_number_and_words)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    bench_start(bench);
    bench_answer(bench, "part", "fail", "[5,\"the relay sticks\"]", &outcome);
    assert_int_equal(outcome.error, -5);
    assert_string_equal(outcome.text, "the relay sticks");
    bench_answer(bench, "part", "fail", "[5]", &outcome);
    assert_int_equal(outcome.error, -5);
    assert_string_equal(outcome.text, "fail: Input/output error");
    bench_answer(bench, "part", "garbage", NULL, &outcome);
    assert_int_equal(outcome.error, -EINVAL);
    assert_string_equal(outcome.text, "the answer of garbage() cannot be sent: it is not UTF-8");
    bench_answer(bench, "part", "wait_fd", "[false]", &outcome);
    assert_int_equal(outcome.error, -ETIMEDOUT);
}

JMP_TEST(a_method_that_waits_does_not_stop_one_that_answers)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome waiting = OUTCOME, outcome = OUTCOME;

    bench_start(bench);
    bench_call(bench, "part", "wait", JMP_CALL_UNARY, NULL, &waiting);
    for (unsigned i = 0; i < 10; i++) {
        bench_answer(bench, "part", "get", NULL, &outcome);
        assert_string_equal(outcome.result, "7");
        assert_false(waiting.done);
    }
    jmp_call_cancel(waiting.call);
    bench_until(bench, &waiting.done);
    assert_int_equal(waiting.error, -ECANCELED);
    assert_string_equal(waiting.text, "the wait ended: Operation canceled");
}

JMP_TEST(a_method_that_works_has_the_device_to_itself)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;
    struct outcome many[16];

    bench_start(bench);
    bench_answer(bench, "part", "set_value", "[0]", &outcome);
    for (size_t i = 0; i < ELEMENTSOF(many); i++) {
        many[i] = OUTCOME;
        bench_call(bench, "part", "increment", JMP_CALL_UNARY, NULL, &many[i]);
    }
    for (size_t i = 0; i < ELEMENTSOF(many); i++) {
        bench_until(bench, &many[i].done);
        assert_int_equal(many[i].error, 0);
        outcome_clear(&many[i]);
    }
    bench_answer(bench, "part", "get", NULL, &outcome);
    assert_string_equal(outcome.result, "1600");
}

JMP_TEST(calls_have_their_turn_in_order)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    struct outcome many[40];

    bench_start(bench);
    for (size_t i = 0; i < ELEMENTSOF(many); i += 2) {
        char args[16], expected[16];

        snprintf(args, sizeof(args), "[%zu]", i);
        snprintf(expected, sizeof(expected), "%zu", i);
        many[i] = many[i + 1] = OUTCOME;
        bench_call(bench, "part", "set_value", JMP_CALL_UNARY, args, &many[i]);
        bench_call(bench, "part", "get", JMP_CALL_UNARY, NULL, &many[i + 1]);
        if (i % 8 != 6)
            continue;
        bench_until(bench, &many[i + 1].done);
        assert_string_equal(many[i + 1].result, expected);
    }
    for (size_t i = 0; i < ELEMENTSOF(many); i++) {
        bench_until(bench, &many[i].done);
        outcome_clear(&many[i]);
    }
}

JMP_TEST(a_quick_method_waits_on_a_thread_when_the_device_is_busy)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome stuck = OUTCOME, quick = OUTCOME;

    bench_start(bench);
    bench_call(bench, "part", "stuck", JMP_CALL_UNARY, NULL, &stuck);
    while (atomic_load(&bench_world.inside) == 0)
        sd_event_run(jmp_loop_event(bench->loop), 1000);
    bench_call(bench, "part", "quick", JMP_CALL_UNARY, NULL, &quick);
    atomic_store(&bench_world.released, true);
    bench_until(bench, &quick.done);
    assert_string_equal(quick.result, "false");
    bench_until(bench, &stuck.done);
    assert_int_equal(stuck.error, 0);
}

JMP_TEST(items_come_one_by_one)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome outcome = OUTCOME, other = OUTCOME;

    bench_start(bench);
    bench_call(bench, "part", "count", JMP_CALL_ITEMS, "[1000]", &outcome);
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, 0);
    assert_int_equal(outcome.items, 1000);
    assert_string_equal(outcome.result, "999");
    outcome_clear(&outcome);

    /* More than a driver may be ahead: it waits in the middle of its work. */
    outcome.more_by_hand = true;
    bench_call(bench, "part", "count", JMP_CALL_ITEMS, "[30]", &outcome);
    for (unsigned i = 1; i <= 30; i++) {
        outcome.item = false;
        bench_until(bench, &outcome.item);
        /* Nobody has taken it: no second one comes, the end does not come, and others may use the device. */
        bench_answer(bench, "part", "get", NULL, &other);
        assert_int_equal(outcome.items, i);
        assert_false(outcome.done);
        outcome.item = false;
        jmp_call_more(outcome.call);
    }
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, 0);
}

JMP_TEST(quick_items_come_from_the_loop_up_to_a_limit)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    bench_start(bench);
    bench_call(bench, "part", "some", JMP_CALL_ITEMS, "[8]", &outcome);
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, 0);
    assert_int_equal(outcome.items, 8);
    assert_string_equal(outcome.result, "[7,true]");
    outcome_clear(&outcome);

    bench_call(bench, "part", "some", JMP_CALL_ITEMS, "[9]", &outcome);
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, -EDEADLK);
    assert_int_equal(outcome.items, 8);
    assert_string_equal(outcome.text, "some() is declared quick and cannot have more than 8 items");
}

JMP_TEST(endless_items_end_when_the_client_leaves)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    bench_start(bench);
    outcome.more_by_hand = true;
    bench_call(bench, "part", "count", JMP_CALL_ITEMS, "[0]", &outcome);
    bench_until(bench, &outcome.item);
    jmp_call_cancel(outcome.call);
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, -ECANCELED);
}

static void until_inside(struct bench *bench)
{
    while (atomic_load(&bench_world.inside) == 0)
        sd_event_run(jmp_loop_event(bench->loop), 1000);
}

JMP_TEST(a_committed_call_runs_to_its_end_without_its_client)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome committed = OUTCOME, outcome = OUTCOME;
    bool done = false;

    bench_start(bench);
    bench_call(bench, "part", "commit", JMP_CALL_UNARY, "[0.3]", &committed);
    until_inside(bench);
    jmp_call_cancel(committed.call);
    bench_answer(bench, "part", "get", NULL, &outcome);
    assert_false(committed.done);

    /* The lease is not over before. */
    assert_int_equal(jmp_devices_end_lease(bench->devices, bench_done, &done), 0);
    bench_until(bench, &done);
    assert_true(committed.done);
    assert_int_equal(committed.error, 0);
}

JMP_TEST(a_commitment_has_a_limit_and_yields_to_the_end_of_the_agent)
{
    struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome committed = OUTCOME, outcome = OUTCOME;
    uint64_t before;

    bench_start(bench);
    bench_answer(bench, "part", "commit", "[61]", &outcome);
    assert_int_equal(outcome.error, -EINVAL);
    assert_string_equal(outcome.text, "commit() wants to run for longer than 60 s on its own");

    bench_call(bench, "part", "commit", JMP_CALL_UNARY, "[60]", &committed);
    until_inside(bench);
    jmp_call_cancel(committed.call);
    before = jmp_now();
    bench_free(bench);
    assert_true(jmp_now() - before < 30 * JMP_USEC_PER_SEC);
    assert_true(committed.done);
    assert_int_equal(committed.error, -ECANCELED);
}

JMP_TEST(a_stream_is_a_descriptor)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;
    char data[5];

    bench_start(bench);
    bench_call(bench, "part", "pair", JMP_CALL_STREAM, NULL, &outcome);
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, 0);
    assert_true(outcome.stream);
    bench_read(bench, outcome.fd, data, sizeof(data));
    assert_memory_equal(data, "hello", 5);
}

JMP_TEST(a_driver_may_be_the_server)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome outcome = OUTCOME, other = OUTCOME;
    char data[64];

    bench_start(bench);
    bench_call(bench, "part", "mirror", JMP_CALL_STREAM, NULL, &outcome);
    bench_until(bench, &outcome.stream);
    bench_write(bench, outcome.fd, "there", 5);
    bench_read(bench, outcome.fd, data, 5);
    assert_memory_equal(data, "there", 5);
    bench_answer(bench, "part", "get", NULL, &other);   /* it runs outside the turn */
    assert_false(outcome.done);

    bench_write(bench, outcome.fd, "again", 5);
    assert_int_equal(shutdown(outcome.fd, SHUT_WR), 0);
    assert_int_equal(bench_read_end(bench, outcome.fd, data, sizeof(data)), 5);
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, 0);
}

JMP_TEST(cancelling_ends_a_server_that_blocks)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    bench_start(bench);
    bench_call(bench, "part", "mirror", JMP_CALL_STREAM, NULL, &outcome);
    bench_until(bench, &outcome.stream);
    while (atomic_load(&bench_world.inside) == 0)
        sd_event_run(jmp_loop_event(bench->loop), 1000);
    jmp_call_cancel(outcome.call);
    bench_until(bench, &outcome.done);
    assert_int_equal(atomic_load(&bench_world.inside), 0);
}

JMP_TEST(only_so_many_calls_run_at_a_time)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome last = OUTCOME;
    struct outcome many[JMP_CALLS_MAX];

    bench_start(bench);
    for (size_t i = 0; i < ELEMENTSOF(many); i++) {
        many[i] = OUTCOME;
        bench_call(bench, "part", "wait", JMP_CALL_UNARY, NULL, &many[i]);
        assert_false(many[i].done);
    }
    bench_call(bench, "part", "get", JMP_CALL_UNARY, NULL, &last);
    assert_int_equal(last.error, -EBUSY);
    for (size_t i = 0; i < ELEMENTSOF(many); i++)
        jmp_call_cancel(many[i].call);
    for (size_t i = 0; i < ELEMENTSOF(many); i++) {
        bench_until(bench, &many[i].done);
        assert_int_equal(many[i].error, -ECANCELED);
        outcome_clear(&many[i]);
    }
    bench_answer(bench, "part", "get", NULL, &last);
    assert_int_equal(last.error, 0);
}

JMP_TEST(only_so_many_run_on_all_devices_together)
{
    char json[4096], *at = json;
    struct bench *bench;
    struct outcome *many = calloc(JMP_CALLS_TOTAL + 1, sizeof(*many));

    assert_non_null(many);
    at += sprintf(at, "{");
    for (unsigned i = 0; i <= JMP_CALLS_TOTAL / 50; i++)
        at += sprintf(at, "%s\"p%u\":{\"type\":\"part\",\"config\":{\"label\":\"x\"}}", i ? "," : "", i);
    sprintf(at, "}");
    bench = bench_new(json);
    bench_start(bench);
    for (unsigned i = 0; i <= JMP_CALLS_TOTAL; i++) {
        char path[16];

        snprintf(path, sizeof(path), "p%u", i / 50);
        many[i] = OUTCOME;
        bench_call(bench, path, "wait", JMP_CALL_UNARY, NULL, &many[i]);
        assert_int_equal(many[i].error, i < JMP_CALLS_TOTAL ? 0 : -EBUSY);
    }
    bench_free(bench);
    for (unsigned i = 0; i <= JMP_CALLS_TOTAL; i++) {
        assert_true(many[i].done);
        outcome_clear(&many[i]);
    }
    free(many);
}

JMP_TEST(a_driver_that_does_not_return_is_left_behind)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);
    _cleanup_outcome_ struct outcome stuck = OUTCOME, queued = OUTCOME, outcome = OUTCOME;

    bench_hurry(bench);
    bench_start(bench);
    bench_call(bench, "part", "stuck", JMP_CALL_UNARY, NULL, &stuck);
    while (atomic_load(&bench_world.inside) == 0)
        sd_event_run(jmp_loop_event(bench->loop), 1000);
    bench_call(bench, "part", "get", JMP_CALL_UNARY, NULL, &queued);
    jmp_call_cancel(stuck.call);
    bench_until(bench, &stuck.done);
    assert_int_equal(stuck.error, -ETIMEDOUT);
    assert_string_equal(stuck.text, "stuck() did not return within 0.2 s after it was cancelled");

    /* Who waited for its turn is told why it never came. */
    bench_until(bench, &queued.done);
    assert_int_equal(queued.error, -ENODEV);
    assert_string_equal(queued.text,
                        "part is not available: stuck() did not return within 0.2 s after it was cancelled");

    /* The device comes back with another instance, while the old one is still stuck. */
    bench_until_missing(bench, "part", false);
    bench_answer(bench, "part", "get", NULL, &outcome);
    assert_string_equal(outcome.result, "7");
    assert_int_equal(atomic_load(&bench_world.inside), 1);
    assert_int_equal(atomic_load(&bench_world.close_count), 0);
    atomic_store(&bench_world.released, true);
    bench_until_closed(bench, 1);
    assert_int_equal(atomic_load(&bench_world.inside), 0);
}

JMP_TEST(a_call_survives_any_failed_allocation)
{
    unsigned failures = 0;
    _cleanup_(bench_freep) struct bench *bench = bench_new(ONE_PART);

    bench_start(bench);
    /* A fault may hit the thread, which ends as it likes: so a fixed number of them, more than any call needs. */
    for (unsigned n = 1; n < 40; n++) {
        _cleanup_outcome_ struct outcome outcome = OUTCOME;

        bench_fault = n;
        bench_call(bench, "part", "echo", JMP_CALL_UNARY, "[1,true,\"x\",[1,2,3]]", &outcome);
        bench_until(bench, &outcome.done);
        if (outcome.error != 0)
            assert_true(outcome.error == -ENOMEM || outcome.error == -EAGAIN);
        failures += outcome.error != 0;
    }
    assert_true(failures > 2);
}
