/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/device.h"

#include <string.h>
#include <unistd.h>

#include "agent/device_bench.h"
#include "agent/hotplug.h"

#define PART "{\"type\":\"part\",\"config\":{\"label\":\"x\"}}"

JMP_TEST(every_wrong_tree_is_refused_with_its_place)
{
    static const struct {
        const char *json, *path, *text, *hint;
    } cases[] = {
        { "{\"a\":{\"type\":\"prat\"}}", "export.a", "there is no driver of type 'prat'", "did you mean part?" },
        { "{\"a\":{\"type\":\"part\"}}", "export.a.config.label", NULL, NULL },
        { "{\"a\":{\"type\":\"part\",\"config\":{\"label\":\"x\",\"strat\":1}}}", "export.a.config.strat", NULL, NULL },
        { "{\"a\":{\"type\":\"part\",\"config\":{\"label\":\"x\",\"start\":1001}}}", "export.a", "start is beyond 1000",
          NULL },
        { "{\"a\":{\"type\":\"plain\",\"config\":{\"x\":1}}}", "export.a.config", "driver plain has no option 'x'",
          NULL },
        { "{\"a\":{\"type\":\"plain\",\"config\":{\"uuid\":\"nope\"}}}", "export.a", "uuid must be a UUID", NULL },
        { "{\"a\":{\"ref\":\"b.c\"},\"b\":{\"children\":{}}}", "export.a", "ref 'b.c' leads to no device", NULL },
        { "{\"a\":{\"ref\":\"\"}}", "export.a", "ref '' leads to no device", NULL },
        { "{\"a\":{\"ref\":\"b.\"},\"b\":{\"children\":{}}}", "export.a", "ref 'b.' leads to no device", NULL },
        { "{\"a\":{\"ref\":\"a\"}}", "export.a", "ref 'a' leads back to itself", NULL },
        { "{\"a\":{\"ref\":\"b\"},\"b\":{\"ref\":\"a\"}}", "export.a", "ref 'b' leads back to itself", NULL },
        { "{\"g\":{\"children\":{\"a\":{\"ref\":\"g\"}}}}", "export.g.a",
          "ref 'g' leads to a device that contains the ref itself, or to far too many", NULL },
        { "{\"f\":{\"type\":\"family\",\"children\":{\"son\":" PART "}}}", "f.son",
          "driver family brings its own child 'son' along", NULL },
        { "{\"f\":{\"type\":\"family\",\"config\":{\"son\":3}}}", "export.f.son", "expected a map of options", NULL },
        { "{\"f\":{\"type\":\"family\",\"config\":{\"uncle\":{}}}}", "export.f.config",
          "driver family has no option 'uncle'", NULL },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(bench_freep) struct bench *bench = NULL;
        const struct jmp_error *error;

        assert_int_equal(bench_try(cases[i].json, &bench), -EINVAL);
        assert_null(bench->devices);
        assert_non_null(bench->problems.first);
        error = &bench->problems.first->error;
        if (strncmp(error->path, cases[i].path, strlen(cases[i].path)) != 0)
            fail_msg("row %zu: path %s, text %s", i, error->path, error->text);
        if (cases[i].text && strncmp(error->text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("row %zu: %s", i, error->text);
        if (cases[i].hint)
            assert_string_equal(error->hint, cases[i].hint);
        assert_string_equal(error->file, "bench.yaml");
        assert_true(error->line > 0);
    }
}

JMP_TEST(all_problems_are_named_at_once)
{
    _cleanup_(bench_freep) struct bench *bench = NULL;

    assert_int_equal(bench_try("{\"a\":{\"type\":\"x\"},\"b\":{\"type\":\"part\"},\"c\":{\"ref\":\"d\"}}", &bench),
                     -EINVAL);
    assert_int_equal(bench->problems.errors, 3);
}

struct lines {
    char text[4096];
    const struct jmp_device_report *seen;
    unsigned count;
};

static int add_line(const struct jmp_device_report *report, void *user)
{
    struct lines *lines = user;
    size_t used = strlen(lines->text);

    lines->count++;
    assert_int_equal(strlen(report->uuid), 36);
    snprintf(lines->text + used, sizeof(lines->text) - used, "%s<%.4s:%s\n", report->name ? report->name : "-",
             report->parent_uuid ? report->parent_uuid : "none", report->client);
    return 0;
}

JMP_TEST(the_report_walks_parents_first_and_repeats_what_refs_lead_to)
{
    static const char json[] = "{\"early\":{\"ref\":\"group.two\"},"
                               "\"group\":{\"children\":{\"one\":" PART ",\"two\":{\"children\":{\"deep\":" PART "}}}},"
                               "\"through\":{\"ref\":\"early.deep\"}}";
    _cleanup_(bench_freep) struct bench *bench = bench_new(json), *again = bench_new(json);
    struct lines lines = { 0 }, same = { 0 };
    char expected[1024], *at = expected;
    struct jmp_device *root = jmp_devices_find_path(bench->devices, ""),
                      *two = jmp_devices_find_path(bench->devices, "group.two");
    struct jmp_device *group = jmp_devices_find_path(bench->devices, "group");

    assert_int_equal(jmp_devices_report(bench->devices, add_line, &lines), 0);
    at += sprintf(at, "-<none:test.CompositeClient\n");
    at += sprintf(at, "early<%.4s:test.CompositeClient\n", jmp_device_uuid(root));
    at += sprintf(at, "deep<%.4s:test.PartClient\n", jmp_device_uuid(two));
    at += sprintf(at, "group<%.4s:test.CompositeClient\n", jmp_device_uuid(root));
    at += sprintf(at, "one<%.4s:test.PartClient\n", jmp_device_uuid(group));
    at += sprintf(at, "two<%.4s:test.CompositeClient\n", jmp_device_uuid(group));
    at += sprintf(at, "deep<%.4s:test.PartClient\n", jmp_device_uuid(two));
    at += sprintf(at, "through<%.4s:test.PartClient\n", jmp_device_uuid(root));
    assert_string_equal(lines.text, expected);

    /* Stable: a second agent with the same configuration says the same. */
    assert_int_equal(jmp_devices_report(again->devices, add_line, &same), 0);
    assert_string_equal(same.text, lines.text);

    assert_ptr_equal(jmp_devices_find_path(bench->devices, "early"), two);
    assert_ptr_equal(jmp_devices_find(bench->devices, jmp_device_uuid(two)), two);
    assert_null(jmp_devices_find(bench->devices, "00000000-0000-0000-0000-000000000000"));
    assert_null(jmp_devices_find_path(bench->devices, "nowhere"));
    assert_string_equal(jmp_device_path(two), "group.two");
}

static int keep_part(const struct jmp_device_report *report, void *user)
{
    if (!report->name || strcmp(report->name, "part") != 0)
        return 0;
    assert_string_equal(report->description, "a thing");
    assert_string_equal(jmp_node_string(jmp_node_get(report->methods_description, "get")), "the value");
    assert_string_equal(jmp_node_string(jmp_node_get(report->methods_description, "set-value")), "put it there");
    assert_string_equal(jmp_node_string(jmp_node_get(report->labels, "site")), "cellar");
    assert_string_equal(report->uuid, "01234567-89ab-cdef-0123-456789abcdef");
    return 5;
}

JMP_TEST(a_report_has_words_labels_and_a_uuid_from_the_configuration)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(
        "{\"part\":{\"type\":\"test.Part\",\"description\":\"a thing\","
        "\"methods_description\":{\"set-value\":\"put it there\"},"
        "\"config\":{\"label\":\"x\",\"labels\":{\"site\":\"cellar\"},\"log_level\":\"INFO\","
        "\"uuid\":\"01234567-89AB-cdef-0123-456789abcdef\"}}}");

    assert_int_equal(jmp_devices_report(bench->devices, keep_part, NULL), 5);
    assert_string_equal(jmp_device_kind(jmp_devices_find_path(bench->devices, "part")), "other");
}

JMP_TEST(a_missing_device_is_greyed_out_alone_and_comes_back)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new("{\"part\":" PART ",\"plain\":{\"type\":\"plain\"}}");
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    atomic_store(&bench_world.present, false);
    bench_start(bench);
    assert_string_equal(jmp_device_missing(jmp_devices_find_path(bench->devices, "part")),
                        "part is not available: nothing is plugged in");
    bench_until_closed(bench, 1);   /* close follows a failed open too */
    bench_answer(bench, "part", "get", NULL, &outcome);
    assert_int_equal(outcome.error, -ENODEV);
    assert_string_equal(outcome.text, "part is not available: nothing is plugged in");
    bench_answer(bench, "plain", "get", NULL, &outcome);
    assert_int_equal(outcome.error, 0);

    atomic_store(&bench_world.present, true);
    bench_until_missing(bench, "part", false);
    bench_answer(bench, "part", "get", NULL, &outcome);
    assert_string_equal(outcome.result, "7");
}

JMP_TEST(news_from_udev_make_it_tried_at_once)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new("{\"part\":" PART "}");

    atomic_store(&bench_world.present, false);
    jmp_devices_set_limits(bench->devices, &(struct jmp_limits){ .open = JMP_USEC_PER_SEC, .reset = JMP_USEC_PER_SEC,
                           .give_up = JMP_USEC_PER_SEC, .retry = 3600 * JMP_USEC_PER_SEC });
    bench_start(bench);
    atomic_store(&bench_world.present, true);
    jmp_devices_retry(bench->devices);
    bench_until_missing(bench, "part", false);
}

JMP_TEST(enodev_from_a_call_closes_and_reopens)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new("{\"part\":" PART "}");
    _cleanup_outcome_ struct outcome waiting = OUTCOME, outcome = OUTCOME;

    bench_start(bench);
    bench_answer(bench, "part", "set_value", "[99]", &outcome);
    bench_call(bench, "part", "wait", JMP_CALL_UNARY, NULL, &waiting);
    bench_answer(bench, "part", "fail", "[19,\"pulled out\"]", &outcome);
    assert_int_equal(outcome.error, -ENODEV);
    assert_string_equal(outcome.text, "pulled out");
    assert_non_null(jmp_device_missing(jmp_devices_find_path(bench->devices, "part")));
    bench_until(bench, &waiting.done);
    assert_int_equal(waiting.error, -ENODEV);
    assert_string_equal(waiting.text, "part is not available: pulled out");

    bench_until_missing(bench, "part", false);
    assert_int_equal(atomic_load(&bench_world.open_count), 2);
    assert_int_equal(atomic_load(&bench_world.close_count), 1);
    bench_answer(bench, "part", "get", NULL, &outcome);
    assert_string_equal(outcome.result, "7");   /* self is new, too */
}

JMP_TEST(a_driver_whose_open_hangs_delays_nobody_for_long)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new("{\"part\":" PART ",\"plain\":{\"type\":\"plain\"}}");
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    atomic_store(&bench_world.stuck_open, true);
    bench_hurry(bench);
    bench_start(bench);
    assert_string_equal(jmp_device_missing(jmp_devices_find_path(bench->devices, "part")),
                        "part is not available: it did not open within 0.3 s");
    bench_answer(bench, "plain", "get", NULL, &outcome);
    assert_int_equal(outcome.error, 0);
    atomic_store(&bench_world.stuck_open, false);
    atomic_store(&bench_world.released, true);
    bench_until_missing(bench, "part", false);
}

JMP_TEST(reset_reaches_every_open_device)
{
    _cleanup_(bench_freep) struct bench *bench =
        bench_new("{\"one\":" PART ",\"two\":" PART ",\"plain\":{\"type\":\"plain\"},\"ref\":{\"ref\":\"one\"}}");
    _cleanup_outcome_ struct outcome outcome = OUTCOME;
    bool done = false;

    bench_start(bench);
    bench_answer(bench, "one", "set_value", "[99]", &outcome);
    assert_int_equal(jmp_devices_reset(bench->devices, bench_done, &done), 0);
    assert_int_equal(jmp_devices_reset(bench->devices, bench_done, &done), -EBUSY);
    bench_until(bench, &done);
    assert_int_equal(atomic_load(&bench_world.reset_count), 2);
    bench_answer(bench, "one", "get", NULL, &outcome);
    assert_string_equal(outcome.result, "7");
}

JMP_TEST(a_failed_reset_greys_out)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new("{\"part\":" PART "}");
    bool done = false;

    bench_start(bench);
    atomic_store(&bench_world.reset_error, -EIO);
    assert_int_equal(jmp_devices_reset(bench->devices, bench_done, &done), 0);
    bench_until(bench, &done);
    assert_string_equal(jmp_device_missing(jmp_devices_find_path(bench->devices, "part")),
                        "part is not available: it could not be reset: reset: Input/output error");
    bench_until_missing(bench, "part", false);
}

JMP_TEST(the_end_of_a_lease_ends_all_that_it_opened)
{
    _cleanup_(bench_freep) struct bench *bench =
        bench_new("{\"part\":" PART ",\"console\":{\"type\":\"console\"},\"flasher\":{\"type\":\"flasher\"}}");
    _cleanup_outcome_ struct outcome waiting = OUTCOME, served = OUTCOME, viewing = OUTCOME, items = OUTCOME;
    char uuid[37], data[16];
    bool done = false;
    int fd;

    bench_start(bench);
    items.more_by_hand = true;
    bench_call(bench, "part", "wait", JMP_CALL_UNARY, NULL, &waiting);
    bench_call(bench, "part", "mirror", JMP_CALL_STREAM, NULL, &served);
    bench_call(bench, "part", "count", JMP_CALL_ITEMS, "[0]", &items);
    bench_call(bench, "console", "connect", JMP_CALL_STREAM, NULL, &viewing);
    assert_int_equal(jmp_resource_open(jmp_devices_find_path(bench->devices, "flasher"), NULL, uuid, &fd, NULL), 0);
    bench_until(bench, &served.stream);
    bench_until(bench, &viewing.stream);

    assert_int_equal(jmp_devices_end_lease(bench->devices, bench_done, &done), 0);
    bench_until(bench, &done);
    assert_true(waiting.done && served.done && viewing.done && items.done);
    assert_int_equal(waiting.error, -ECANCELED);
    assert_int_equal(viewing.error, -ECANCELED);
    assert_int_equal(bench_read_end(bench, fd, data, sizeof(data)), 0);
    assert_int_equal(bench_read_end(bench, viewing.fd, data, sizeof(data)), 0);
    jmp_close(fd);

    /* The devices themselves stay open. */
    assert_int_equal(atomic_load(&bench_world.close_count), 0);
    done = false;
    assert_int_equal(jmp_devices_end_lease(bench->devices, bench_done, &done), 0);
    bench_until(bench, &done);
}

/* Of a kernel that does not give a transfer back, for example. */
JMP_TEST(a_stream_whose_server_does_not_return_holds_up_nobody)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new("{\"part\":" PART "}");
    _cleanup_outcome_ struct outcome stream = OUTCOME, answer = OUTCOME;
    bool ended = false;
    char data[16];

    bench_hurry(bench);
    bench_start(bench);
    bench_call(bench, "part", "deaf", JMP_CALL_STREAM, NULL, &stream);
    bench_until(bench, &stream.stream);
    bench_await(&bench_world.inside, 1);
    assert_int_equal(jmp_devices_end_lease(bench->devices, bench_done, &ended), 0);
    assert_int_equal(bench_read_end(bench, stream.fd, data, sizeof(data)), 0);
    bench_until(bench, &ended);
    assert_int_equal(stream.error, -ETIMEDOUT);

    bench_until_missing(bench, "part", false);
    bench_answer(bench, "part", "get", NULL, &answer);
    assert_int_equal(answer.error, 0);
    assert_int_equal(atomic_load(&bench_world.close_count), 0);
    atomic_store(&bench_world.released, true);
    bench_await(&bench_world.close_count, 1);
}

JMP_TEST(children_of_a_driver_live_inside_its_life)
{
    _cleanup_(bench_freep) struct bench *bench =
        bench_new("{\"home\":{\"type\":\"family\",\"config\":{\"son\":{\"toy\":\"train\"}}}}");
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    atomic_store(&bench_world.present, false);
    bench_start(bench);
    bench_answer(bench, "home.son", "ask", NULL, &outcome);
    assert_int_equal(outcome.error, -ENODEV);

    atomic_store(&bench_world.present, true);
    bench_until_missing(bench, "home.son", false);
    bench_until_missing(bench, "home.daughter", false);
    bench_answer(bench, "home.son", "ask", NULL, &outcome);
    assert_string_equal(outcome.result, "[\"train\",42]");
    bench_answer(bench, "home.daughter", "ask", NULL, &outcome);
    assert_string_equal(outcome.result, "[\"ball\",42]");

    bench_answer(bench, "home", "leave", NULL, &outcome);
    assert_int_equal(outcome.error, -ENODEV);
    assert_non_null(jmp_device_missing(jmp_devices_find_path(bench->devices, "home.son")));
    bench_until_missing(bench, "home.son", false);
}

JMP_TEST(a_close_that_hangs_holds_up_neither_lease_nor_device)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new("{\"bad\":" PART ",\"good\":" PART "}");
    _cleanup_outcome_ struct outcome running = OUTCOME, answer = OUTCOME;
    bool ended = false;

    bench_hurry(bench);
    bench_start(bench);
    assert_int_equal(bench_world.open_count, 2);
    bench_call(bench, "bad", "stuck", JMP_CALL_UNARY, NULL, &running);
    bench_await(&bench_world.inside, 1);
    atomic_store(&bench_world.stuck_close, true);

    /* The lease ends while a call does not return; the device is lost with it, and its close does not return either. */
    assert_int_equal(jmp_devices_end_lease(bench->devices, bench_done, &ended), 0);
    bench_until(bench, &ended);
    assert_int_equal(running.error, -ETIMEDOUT);
    bench_until_missing(bench, "bad", true);
    assert_non_null(jmp_device_missing(jmp_devices_find_path(bench->devices, "bad")));

    /* The neighbour answers all the time, and the device comes back with another self. */
    bench_answer(bench, "good", "get", NULL, &answer);
    assert_int_equal(answer.error, 0);
    bench_until_missing(bench, "bad", false);
    assert_int_equal(bench_world.open_count, 3);
    assert_int_equal(bench_world.close_count, 0);
    outcome_clear(&answer);
    answer = OUTCOME;
    bench_answer(bench, "bad", "get", NULL, &answer);
    assert_int_equal(answer.error, 0);

    atomic_store(&bench_world.stuck_close, false);
    atomic_store(&bench_world.released, true);
}

JMP_TEST(the_end_waits_for_nobody_for_ever)
{
    struct bench *bench = bench_new("{\"part\":" PART ",\"console\":{\"type\":\"console\"}}");
    _cleanup_outcome_ struct outcome stuck = OUTCOME, waiting = OUTCOME, viewing = OUTCOME;
    uint64_t before;

    bench_start(bench);
    bench_call(bench, "console", "connect", JMP_CALL_STREAM, NULL, &viewing);
    bench_call(bench, "part", "wait", JMP_CALL_UNARY, NULL, &waiting);
    bench_call(bench, "part", "stuck", JMP_CALL_UNARY, NULL, &stuck);
    bench_await(&bench_world.inside, 2);
    before = jmp_now();
    bench_free(bench);
    assert_true(jmp_now() - before < 2 * JMP_DEVICE_CLOSE_LIMIT);
    assert_true(stuck.done && waiting.done && viewing.done);
    assert_int_equal(stuck.error, -ECANCELED);

    /* The thread that was left behind closes its instance and touches nothing of the tree, which is gone. */
    atomic_store(&bench_world.released, true);
    bench_await(&bench_world.close_count, 1);
}

JMP_TEST(a_tree_survives_any_failed_allocation)
{
    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_(jmp_devices_freep) struct jmp_devices *devices = NULL;
        struct jmp_device_config ref = { .name = "r", .path = "r", .ref = "c", .line = 1 };
        struct jmp_device_config console = { .next = &ref, .name = "c", .path = "c", .type = "console", .line = 1 };
        struct jmp_device_config family = { .next = &console, .name = "f", .path = "f", .type = "family", .line = 1 };
        const struct jmp_exporter_config config = { .file = "x", .name = "x", .devices = &family };
        struct jmp_problems problems = { 0 };
        struct jmp_loop *loop = NULL;
        int r = jmp_loop_new(&loop);

        if (r == 0)
            r = jmp_devices_new(loop, &config, NULL, &devices, &problems);
        assert_true(r == 0 ? devices != NULL : r == -ENOMEM && !devices);
        devices = jmp_devices_free(devices);
        jmp_problems_clear(&problems);
        jmp_loop_free(loop);
    }
}
