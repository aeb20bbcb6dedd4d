/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/test.h"

JMP_TEST(json_goes_in_and_comes_out)
{
    static const struct {
        const char *in, *out;   /* NULL: the same */
    } cases[] = {
        { "null", NULL },
        { "true", NULL },
        { " false\n", "false" },
        { "0", NULL },
        { "-9223372036854775808", NULL },
        { "9223372036854775807", NULL },
        { "1.0", "1" },
        { "0.1", NULL },
        { "-0", "0" },
        { "-0.0", NULL },
        { "1e3", "1000" },
        { "1e300", "1e+300" },
        { "123456789.123", NULL },
        { "0.30000000000000004", NULL },
        { "-1.5e-7", "-1.5e-07" },
        { "\"\"", NULL },
        { "\"a\\\"b\\\\c\\nd\\te\\rf\\bg\\fh\\u0001\"", NULL },
        { "\"\\/\\u00e4\\ud83d\\ude00\"", "\"/\xc3\xa4\xf0\x9f\x98\x80\"" },
        { "\"\\u007f\"", NULL },
        { "[]", NULL },
        { "{}", NULL },
        { "[1,[2,[3]],{}]", NULL },
        { "{\"b\":1,\"a\":{\"c\":null},\"\":[]}", NULL },
        { "[\"[{,\",\"\\\"[\"]", NULL },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        const struct jmp_node *node = NULL;
        _cleanup_free_ char *text = NULL;

        assert_int_equal(jmp_tree_new(0, &tree), 0);
        assert_int_equal(jmp_json_parse(cases[i].in, strlen(cases[i].in), tree, &node, NULL), 0);
        assert_int_equal(jmp_json_print(node, 0, &text), 0);
        assert_string_equal(text, cases[i].out ? cases[i].out : cases[i].in);
    }
}

JMP_TEST(indented_json_is_for_people)
{
    static const char in[] = "{\"a\":[1,{\"b\":2}],\"c\":{},\"d\":[]}";
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *node = NULL;
    _cleanup_free_ char *text = NULL;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_json_parse(in, strlen(in), tree, &node, NULL), 0);
    assert_int_equal(jmp_json_print(node, 2, &text), 0);
    assert_string_equal(text,
                        "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}");
}

JMP_TEST(what_json_does_not_have_is_null)
{
    static const double numbers[] = { NAN, INFINITY, -INFINITY };

    for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
        struct jmp_node node = { .kind = JMP_NODE_NUMBER, .number = numbers[i] };
        _cleanup_free_ char *text = NULL;

        assert_int_equal(jmp_json_print(&node, 0, &text), 0);
        assert_string_equal(text, "null");
    }
}

JMP_TEST(bad_json_is_refused_with_its_place)
{
    static const struct {
        const char *text;
        size_t length;   /* 0: strlen */
        int error;
        unsigned line;
    } cases[] = {
        { "", 0, -EINVAL, 1 },
        { "{", 0, -EINVAL, 1 },
        { "[1,\n2,\n]", 0, -EINVAL, 3 },
        { "{\"a\":1,\n\"a\":2}", 0, -EINVAL, 2 },
        { "1 2", 0, -EINVAL, 1 },
        { "[1] x", 0, -EINVAL, 1 },
        { "nul", 0, -EINVAL, 1 },
        { "01", 0, -EINVAL, 1 },
        { "NaN", 0, -EINVAL, 1 },
        { "'a'", 0, -EINVAL, 1 },
        { "\"a\nb\"", 0, -EINVAL, 1 },
        { "\"\\u0000\"", 0, -EINVAL, 1 },
        { "{\"\\u0000\":1}", 0, -EINVAL, 1 },
        { "\"a\0b\"", 5, -EINVAL, 1 },
        { "1\0", 2, -EINVAL, 1 },
        { "\"\xff\"", 0, -EINVAL, 1 },
        { "\"\\ud800\"", 0, -EINVAL, 1 },
        { "9223372036854775808", 0, -EINVAL, 1 },
        { "1e999", 0, -EINVAL, 1 },
        { "[}", 0, -EINVAL, 1 },
        { "]]]]", 0, -EINVAL, 1 },
        { "\"\\", 0, -EINVAL, 1 },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        const struct jmp_node *node = NULL;
        struct jmp_error error = JMP_ERROR_INIT;
        size_t length = cases[i].length ? cases[i].length : strlen(cases[i].text);

        assert_int_equal(jmp_tree_new(0, &tree), 0);
        assert_int_equal(jmp_json_parse(cases[i].text, length, tree, &node, &error), cases[i].error);
        assert_null(node);
        assert_int_equal(error.error, cases[i].error);
        assert_int_equal(error.line, cases[i].line);
        assert_true(error.column > 0);
    }
}

/* @count times @unit between the two ends. */
static int parse_repeated(const char *start, const char *unit, size_t count, const char *end, struct jmp_error *error)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *node = NULL;
    _cleanup_free_ char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    int r;

    assert_non_null(stream);
    fputs(start, stream);
    for (size_t i = 0; i < count; i++)
        fputs(unit, stream);
    fputs(end, stream);
    fclose(stream);

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    r = jmp_json_parse(text, length, tree, &node, error);
    assert_true((r == 0) == (node != NULL));
    return r;
}

JMP_TEST(hostile_sizes_are_refused_before_they_cost)
{
    struct jmp_error error = JMP_ERROR_INIT;

    assert_int_equal(parse_repeated("\"", "aaaaaaaaaaaaaaaa", JMP_CONFIG_MAX / 16, "\"", &error), -E2BIG);
    assert_int_equal(parse_repeated("", "[", JMP_NESTING_MAX + 1, "", &error), -E2BIG);
    assert_int_equal(error.column, JMP_NESTING_MAX + 1);
    assert_int_equal(parse_repeated("", "{\"a\":", 100000, "", &error), -E2BIG);
    assert_int_equal(parse_repeated("[", "[],", JMP_NODES_MAX, "[]]", &error), -E2BIG);
    assert_int_equal(parse_repeated("[", "1,", JMP_NODES_MAX, "1]", &error), -E2BIG);
    assert_int_equal(parse_repeated("[", "1,", JMP_NODES_MAX - 10, "1]", &error), 0);
    assert_int_equal(parse_repeated("\"", "[{,", 300000, "\"", &error), 0);
}

JMP_TEST(a_spent_budget_is_missing_memory)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *node = NULL;
    struct jmp_error error = JMP_ERROR_INIT;

    assert_int_equal(jmp_tree_new(300, &tree), 0);
    assert_int_equal(jmp_json_parse("[1,2,3,4,5,6]", 13, tree, &node, &error), -ENOMEM);
    assert_int_equal(error.error, -ENOMEM);
    assert_null(node);
}

/* Through the linker's wrapper: the library's own calls would not pass it. */
static void *allocate(size_t size)
{
    return malloc(size);
}

JMP_TEST(json_survives_any_failed_allocation)
{
    static const char text[] = "{\"a\":[1,2.5,\"three\",null,true],\"b\":{\"c\":\"d\"}}";
    unsigned failures = 0;

    json_set_alloc_funcs(allocate, free);
    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        const struct jmp_node *node = NULL;
        _cleanup_free_ char *out = NULL;
        int r = jmp_tree_new(0, &tree);

        if (r == 0)
            r = jmp_json_parse(text, strlen(text), tree, &node, NULL);
        if (r == 0)
            r = jmp_json_print(node, 0, &out);
        assert_true(r == 0 ? strcmp(out, text) == 0 : (r == -ENOMEM || r == -EINVAL) && !out);
        failures += r < 0;
    }
    json_set_alloc_funcs(malloc, free);
    assert_true(failures > 10);
}
