/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/lease.h"

#include <string.h>

#include "base/test.h"

#define AT(seconds) ((INT64_C(1800000000) + (seconds)) * JMP_SECOND)
#define SECONDS(n) ((n) * JMP_NSEC_PER_SECOND)

JMP_TEST(times_are_made_consistent)
{
    static const struct {
        const char *name;
        int64_t begin, end, duration, want_begin, want_end, want_duration;
        const char *error;
    } cases[] = {
        { "duration", 0, 0, SECONDS(60), 0, 0, SECONDS(60), NULL },
        { "a fraction of a second", 0, 0, 1500000000, 0, 0, 1500000000, NULL },
        { "begin and duration", AT(5), 0, SECONDS(60), AT(5), 0, SECONDS(60), NULL },
        { "begin and end", AT(5), AT(65), 0, AT(5), AT(65), SECONDS(60), NULL },
        { "end and duration", 0, AT(65), SECONDS(60), AT(5), AT(65), SECONDS(60), NULL },
        { "all three, in agreement", AT(5), AT(65), SECONDS(60), AT(5), AT(65), SECONDS(60), NULL },
        { "all three, duration to be filled in", AT(5), AT(65), -1, AT(5), AT(65), SECONDS(60), NULL },
        { "all three, in conflict", AT(5), AT(65), SECONDS(61), 0, 0, 0,
          "duration conflicts with begin_time and end_time" },
        { "times are cut to seconds", AT(5) + 999999, AT(65) + 1, 0, AT(5), AT(65), SECONDS(60), NULL },
        { "end before begin", AT(65), AT(5), 0, 0, 0, 0, "duration must be positive, got -60s" },
        { "end at begin", AT(5), AT(5), 0, 0, 0, 0, "duration must be positive, got 0s" },
        { "nothing", 0, 0, 0, 0, 0, 0, "duration is required (must specify Duration, or both BeginTime and EndTime)" },
        { "only begin", AT(5), 0, 0, 0, 0, 0, "duration is required" },
        { "only end", 0, AT(5), 0, 0, 0, 0, "duration is required" },
        { "negative", 0, 0, -SECONDS(5), 0, 0, 0, "duration must be positive, got -5s" },
        { "for ever", 0, 0, INT64_MAX, 0, 0, 0, "100 years" },
    };

    print_message("%zu rows\n", ELEMENTSOF(cases));
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        int64_t begin = cases[i].begin, end = cases[i].end, duration = cases[i].duration;
        struct jmp_error error = JMP_ERROR_INIT;
        int r = jmp_lease_resolve_times(&begin, &end, &duration, &error);

        print_message("%s: %s\n", cases[i].name, error.text);
        assert_int_equal(r, cases[i].error ? -EINVAL : 0);
        if (cases[i].error) {
            assert_non_null(strstr(error.text, cases[i].error));
        } else {
            assert_true(begin == cases[i].want_begin);
            assert_true(end == cases[i].want_end);
            assert_true(duration == cases[i].want_duration);
        }
    }
}

JMP_TEST(a_lease_expires_at_its_end_else_after_its_duration)
{
    static const struct {
        int64_t begin, end, duration, began, expiry;
    } cases[] = {
        { 0, 0, SECONDS(60), AT(10), AT(70) },
        { AT(5), 0, SECONDS(60), AT(10), AT(65) },
        { AT(5), AT(65), SECONDS(60), AT(10), AT(65) },
        { 0, 0, 0, AT(10), AT(10) },
    };

    print_message("%zu rows\n", ELEMENTSOF(cases));
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_lease lease = {
            .begin = cases[i].begin, .end = cases[i].end, .duration = cases[i].duration, .began = cases[i].began
        };

        assert_true(jmp_lease_expiry(&lease) == cases[i].expiry);
    }
}

JMP_TEST(conditions_keep_their_place_and_remember_when_they_flipped)
{
    struct jmp_lease lease = { 0 };

    jmp_lease_set_condition(&lease, JMP_PENDING, true, "Offline", AT(1), "a");
    jmp_lease_set_condition(&lease, JMP_READY, true, "Ready", AT(2), "b");
    jmp_lease_set_condition(&lease, JMP_PENDING, true, "NotAvailable", AT(3), "%s", "c");
    assert_int_equal(lease.condition_count, 2);
    assert_int_equal(lease.conditions[0].type, JMP_PENDING);
    assert_string_equal(lease.conditions[0].reason, "NotAvailable");
    assert_string_equal(lease.conditions[0].message, "c");
    assert_true(lease.conditions[0].changed == AT(1));

    jmp_lease_finish(&lease, JMP_LEASE_EXPIRED, AT(4));
    assert_int_equal(lease.condition_count, 2);
    assert_false(lease.conditions[1].status);
    assert_string_equal(lease.conditions[1].reason, "Expired");
    assert_true(lease.conditions[1].changed == AT(4));
    assert_true(lease.ended && lease.finished == AT(4));
}

JMP_TEST(tags_and_contexts_are_checked)
{
    static const struct {
        int (*check)(const struct jmp_labels *labels, struct jmp_error *reterr);
        const char *json, *words;      /* NULL: they are good */
    } cases[] = {
        { jmp_lease_check_tags, "{}" },
        { jmp_lease_check_tags, "{\"job\":\"42\",\"empty\":\"\"}" },
        { jmp_lease_check_tags, "{\"jumpstarter.dev/x\":\"1\"}", "reserved" },
        { jmp_lease_check_tags, "{\"metadata.jumpstarter.dev/x\":\"1\"}", "reserved" },
        { jmp_lease_check_tags, "{\"example.com/x\":\"1\"}", "slash" },
        { jmp_lease_check_tags, "{\"-x\":\"1\"}", "not a label name" },
        { jmp_lease_check_tags, "{\"x\":\"a b\"}", "not a label value" },
        { jmp_lease_check_tags,
          "{\"a\":\"\",\"b\":\"\",\"c\":\"\",\"d\":\"\",\"e\":\"\","
          "\"f\":\"\",\"g\":\"\",\"h\":\"\",\"i\":\"\",\"j\":\"\"}" },
        { jmp_lease_check_tags,
          "{\"a\":\"\",\"b\":\"\",\"c\":\"\",\"d\":\"\",\"e\":\"\","
          "\"f\":\"\",\"g\":\"\",\"h\":\"\",\"i\":\"\",\"j\":\"\","
          "\"k\":\"\"}",
          "too many tags: 11 exceeds maximum of 10" },
        { jmp_lease_check_context, "{\"any thing\":\"with / and = \"}" },
        { jmp_lease_check_context, "{\"01234567890123456789012345678901\":\"x\"}" },
        { jmp_lease_check_context, "{\"012345678901234567890123456789012\":\"x\"}", "32 characters" },
        { jmp_lease_check_context, "{\"x\":\"01234567890123456789012345678901234567890123456789012345678901234\"}",
          "64 characters" },
        { jmp_lease_check_context,
          "{\"a\":\"\",\"b\":\"\",\"c\":\"\",\"d\":\"\",\"e\":\"\","
          "\"f\":\"\",\"g\":\"\",\"h\":\"\",\"i\":\"\"}",
          "at most 8" },
    };

    print_message("%zu rows\n", ELEMENTSOF(cases));
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_labels_clear) struct jmp_labels labels = { 0 };
        struct jmp_error error = JMP_ERROR_INIT;

        assert_int_equal(jmp_labels_parse(&labels, cases[i].json), 0);
        assert_int_equal(cases[i].check(&labels, &error), cases[i].words ? -EINVAL : 0);
        if (cases[i].words && !strstr(error.text, cases[i].words))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].json, error.text, cases[i].words);
    }
}

JMP_TEST(leases_are_found_by_equalities_and_tags)
{
    _cleanup_(jmp_labels_clear) struct jmp_labels labels = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = {
        .selector = strdup("a=1,b in (x),metadata.jumpstarter.dev/job=7"),
    };

    assert_int_equal(jmp_labels_set(&lease.tags, "team", "red"), 0);
    assert_int_equal(jmp_lease_labels(&lease, &labels), 0);
    assert_int_equal(labels.count, 2);
    assert_string_equal(jmp_labels_get(&labels, "a"), "1");
    assert_string_equal(jmp_labels_get(&labels, "metadata.jumpstarter.dev/team"), "red");
}
