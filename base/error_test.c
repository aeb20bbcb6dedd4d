/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <string.h>

#include "base/test.h"
#include "base/text.h"

static void assert_prints(const struct jmp_error *error, const char *program, const char *expected)
{
    char text[2048] = "";
    FILE *stream = fmemopen(text, sizeof(text), "w");

    assert_non_null(stream);
    jmp_error_print(stream, program, error);
    fclose(stream);
    assert_string_equal(text, expected);
}

JMP_TEST(an_error_says_what_where_and_what_to_do)
{
    struct jmp_error error = JMP_ERROR_INIT;

    assert_int_equal(jmp_error_set(&error, -EINVAL, "expected a whole number, found \"%s\"", "GPIO17"), -EINVAL);
    jmp_error_at(&error, "bench3.yaml", 14, 17, "power.line");
    jmp_error_hint(&error, "gpioinfo lists the offsets of %s", "each chip");
    assert_prints(&error, "jmp-agent",
                  "jmp-agent: bench3.yaml:14:17: power.line: expected a whole number, found \"GPIO17\"\n"
                  "  hint: gpioinfo lists the offsets of each chip\n");
    assert_int_equal(error.error, -EINVAL);
}

JMP_TEST(what_is_not_known_is_not_printed)
{
    struct jmp_error error = JMP_ERROR_INIT;

    jmp_error_set(&error, -ENOENT, "no file: %m");
    assert_prints(&error, NULL, "no file: No such file or directory\n");

    jmp_error_at(&error, "a.yaml", 0, 0, NULL);
    assert_prints(&error, NULL, "a.yaml: no file: No such file or directory\n");

    jmp_error_at(&error, NULL, 3, 0, NULL);
    assert_prints(&error, NULL, "a.yaml:3: no file: No such file or directory\n");

    jmp_error_set(&error, -EINVAL, "bad");
    jmp_error_at(&error, NULL, 3, 4, NULL);
    assert_prints(&error, NULL, "line 3, column 4: bad\n");

    jmp_error_set(&error, -EACCES, "%s", "");
    assert_prints(&error, NULL, "Permission denied\n");
}

JMP_TEST(errno_survives_and_m_is_the_error_given)
{
    struct jmp_error error = JMP_ERROR_INIT;

    errno = EPIPE;
    jmp_error_set(&error, -ENOSPC, "%m");
    assert_string_equal(error.text, strerror(ENOSPC));
    assert_int_equal(errno, EPIPE);
}

JMP_TEST(nowhere_to_write_is_no_problem)
{
    struct jmp_error unset = JMP_ERROR_INIT;

    assert_int_equal(jmp_error_set(NULL, -EIO, "text"), -EIO);
    jmp_error_hint(NULL, "hint");
    jmp_error_at(NULL, "file", 1, 1, "path");
    jmp_error_prefix(NULL, "prefix");

    jmp_error_hint(&unset, "hint");
    jmp_error_prefix(&unset, "prefix");
    assert_string_equal(unset.hint, "");
    assert_string_equal(unset.text, "");
}

JMP_TEST(a_later_error_replaces_all_of_the_one_before)
{
    struct jmp_error error = JMP_ERROR_INIT;

    jmp_error_set(&error, -EINVAL, "first");
    jmp_error_at(&error, "file", 1, 2, "path");
    jmp_error_hint(&error, "hint");
    jmp_error_set(&error, -EIO, "after %s", error.text);
    assert_prints(&error, NULL, "after first\n");
}

JMP_TEST(long_texts_are_cut_between_characters)
{
    struct jmp_error error = JMP_ERROR_INIT;
    char text[3001];

    for (size_t i = 0; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    text[sizeof(text) - 1] = 0;

    jmp_error_set(&error, -EINVAL, "%s", text);
    assert_int_equal(strlen(error.text), 510);
    jmp_error_prefix(&error, "x");
    jmp_error_hint(&error, "%s", text);
    jmp_error_at(&error, text, 1, 1, text);
    assert_true(strlen(error.text) < sizeof(error.text));
    assert_true(jmp_text_is_utf8(error.text, strlen(error.text)));
    assert_true(jmp_text_is_utf8(error.hint, strlen(error.hint)));
    assert_true(jmp_text_is_utf8(error.file, strlen(error.file)));
    assert_true(jmp_text_is_utf8(error.path, strlen(error.path)));
}

JMP_TEST(prefixes_go_in_front)
{
    struct jmp_error error = JMP_ERROR_INIT;

    jmp_error_set(&error, -EIO, "no answer");
    jmp_error_prefix(&error, "hub %d", 3);
    jmp_error_prefix(&error, "bench");
    assert_string_equal(error.text, "bench: hub 3: no answer");
}

JMP_TEST(problems_are_kept_in_order_and_counted_for_ever)
{
    struct jmp_problems problems = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    unsigned kept = 0;

    for (unsigned i = 0; i < 1500; i++) {
        jmp_error_set(&error, -EINVAL, "problem %u", i);
        assert_int_equal(jmp_problems_add(&problems, i % 3 == 0, &error), 0);
    }
    assert_int_equal(problems.warnings, 500);
    assert_int_equal(problems.errors, 1000);

    for (struct jmp_problem *problem = problems.first; problem; problem = problem->next) {
        char text[32];

        snprintf(text, sizeof(text), "problem %u", kept);
        assert_string_equal(problem->error.text, text);
        assert_int_equal(problem->warning, kept % 3 == 0);
        kept++;
    }
    assert_int_equal(kept, 1000);

    jmp_problems_clear(&problems);
    assert_null(problems.first);
    assert_int_equal(problems.errors, 0);
}

JMP_TEST(problems_are_counted_without_memory)
{
    struct jmp_problems problems = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;

    jmp_error_set(&error, -EINVAL, "x");
    jmp_fault_arm(JMP_FAULT_ALLOC, 1);
    assert_int_equal(jmp_problems_add(&problems, false, &error), -ENOMEM);
    assert_int_equal(problems.errors, 1);
    assert_null(problems.first);
}

JMP_TEST(problems_are_sorted_by_their_place)
{
    static const unsigned places[][2] = { { 9, 1 }, { 0, 0 }, { 3, 7 }, { 3, 2 }, { 0, 0 }, { 3, 7 }, { 1, 1 } };
    static const unsigned sorted[] = { 0, 6, 3, 2, 5, 1, 4 };   /* the first one is not touched */
    struct jmp_problems problems = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    unsigned i = 0;

    for (; i < ELEMENTSOF(places); i++) {
        jmp_error_set(&error, -EINVAL, "%u", i);
        jmp_error_at(&error, NULL, places[i][0], places[i][1], NULL);
        assert_int_equal(jmp_problems_add(&problems, false, &error), 0);
    }
    jmp_fault_arm(JMP_FAULT_ALLOC, 1);
    jmp_problems_sort(&problems, problems.first);
    jmp_fault_disarm();
    assert_string_equal(problems.first->next->error.text, "1");

    jmp_problems_sort(&problems, problems.first);
    i = 0;
    for (struct jmp_problem *problem = problems.first; problem; problem = problem->next)
        assert_int_equal(strtoul(problem->error.text, NULL, 10), sorted[i++]);
    assert_int_equal(i, ELEMENTSOF(places));

    jmp_error_set(&error, -EINVAL, "last");
    assert_int_equal(jmp_problems_add(&problems, false, &error), 0);
    assert_string_equal(problems.last->error.text, "last");
    jmp_problems_clear(&problems);
    jmp_problems_sort(&problems, NULL);
}
