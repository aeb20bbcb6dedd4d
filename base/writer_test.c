/* SPDX-License-Identifier: Apache-2.0 */
#include "base/writer.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/test.h"

struct fixture {
    struct jmp_tree *tree;
    struct jmp_writer *writer;
};

static void fixture_close(struct fixture *fixture)
{
    jmp_writer_free(fixture->writer);
    jmp_tree_free(fixture->tree);
}

static void fixture_open(struct fixture *fixture)
{
    assert_int_equal(jmp_tree_new(0, &fixture->tree), 0);
    assert_int_equal(jmp_writer_new(fixture->tree, &fixture->writer), 0);
}

static void assert_wrote(struct fixture *fixture, const char *json)
{
    const struct jmp_node *node = NULL;
    _cleanup_free_ char *text = NULL;

    assert_int_equal(jmp_writer_finish(fixture->writer, &node), 0);
    assert_int_equal(jmp_json_print(node, 0, &text), 0);
    assert_string_equal(text, json);
}

JMP_TEST(what_is_written_can_be_read)
{
    _cleanup_(fixture_close) struct fixture fixture = { 0 };
    const struct jmp_node *inner;

    fixture_open(&fixture);
    jmp_writer_begin_list(fixture.writer);
    jmp_writer_integer(fixture.writer, INT64_MIN);
    jmp_writer_number(fixture.writer, 0.1);
    jmp_writer_number(fixture.writer, NAN);
    jmp_writer_number(fixture.writer, INFINITY);
    jmp_writer_string(fixture.writer, NULL);
    jmp_writer_end_list(fixture.writer);
    assert_int_equal(jmp_writer_finish(fixture.writer, &inner), 0);

    jmp_writer_begin_map(fixture.writer);
    jmp_writer_key(fixture.writer, "voltage");
    jmp_writer_number(fixture.writer, 5.0);
    jmp_writer_key(fixture.writer, "names");
    jmp_writer_begin_list(fixture.writer);
    jmp_writer_string(fixture.writer, "gr\xc3\xbc\xc3\x9f");
    jmp_writer_bool(fixture.writer, true);
    jmp_writer_end_list(fixture.writer);
    jmp_writer_key(fixture.writer, "inner");
    jmp_writer_node(fixture.writer, inner);
    jmp_writer_key(fixture.writer, "none");
    jmp_writer_node(fixture.writer, NULL);
    jmp_writer_end_map(fixture.writer);
    assert_wrote(&fixture, "{\"voltage\":5,\"names\":[\"gr\xc3\xbc\xc3\x9f\",true],"
                           "\"inner\":[-9223372036854775808,0.1,null,null,null],\"none\":null}");

    /* Empty and usable again. */
    assert_wrote(&fixture, "null");
    jmp_writer_string(fixture.writer, "again");
    assert_wrote(&fixture, "\"again\"");
}

static void two_values(struct jmp_writer *writer)
{
    jmp_writer_null(writer);
    jmp_writer_null(writer);
}

static void not_closed(struct jmp_writer *writer)
{
    jmp_writer_begin_map(writer);
}

static void closed_twice(struct jmp_writer *writer)
{
    jmp_writer_begin_list(writer);
    jmp_writer_end_list(writer);
    jmp_writer_end_list(writer);
}

static void closed_as_another(struct jmp_writer *writer)
{
    jmp_writer_begin_list(writer);
    jmp_writer_end_map(writer);
}

static void without_key(struct jmp_writer *writer)
{
    jmp_writer_begin_map(writer);
    jmp_writer_null(writer);
    jmp_writer_end_map(writer);
}

static void key_in_list(struct jmp_writer *writer)
{
    jmp_writer_begin_list(writer);
    jmp_writer_key(writer, "a");
    jmp_writer_null(writer);
    jmp_writer_end_list(writer);
}

static void key_outside(struct jmp_writer *writer)
{
    jmp_writer_key(writer, "a");
}

static void key_without_value(struct jmp_writer *writer)
{
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "a");
    jmp_writer_end_map(writer);
}

static void two_keys(struct jmp_writer *writer)
{
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "a");
    jmp_writer_key(writer, "b");
    jmp_writer_null(writer);
    jmp_writer_end_map(writer);
}

static void same_key(struct jmp_writer *writer)
{
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "a");
    jmp_writer_null(writer);
    jmp_writer_key(writer, "a");
    jmp_writer_null(writer);
    jmp_writer_end_map(writer);
}

static void null_key(struct jmp_writer *writer)
{
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, NULL);
    jmp_writer_null(writer);
    jmp_writer_end_map(writer);
}

static void bad_string(struct jmp_writer *writer)
{
    jmp_writer_string(writer, "\xff");
    jmp_writer_null(writer);
}

static void bad_key(struct jmp_writer *writer)
{
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "\xc3");
    jmp_writer_null(writer);
    jmp_writer_end_map(writer);
}

static void too_deep(struct jmp_writer *writer)
{
    for (unsigned i = 0; i <= JMP_NESTING_MAX; i++)
        jmp_writer_begin_list(writer);
    for (unsigned i = 0; i <= JMP_NESTING_MAX; i++)
        jmp_writer_end_list(writer);
}

static void deep_enough(struct jmp_writer *writer)
{
    for (unsigned i = 0; i < JMP_NESTING_MAX; i++)
        jmp_writer_begin_list(writer);
    for (unsigned i = 0; i < JMP_NESTING_MAX; i++)
        jmp_writer_end_list(writer);
}

JMP_TEST(the_first_mistake_is_kept_until_the_end)
{
    static const struct {
        void (*write)(struct jmp_writer *writer);
        int error;
    } cases[] = {
        { two_values, -EINVAL }, { not_closed, -EINVAL },  { closed_twice, -EINVAL }, { closed_as_another, -EINVAL },
        { without_key, -EINVAL }, { key_in_list, -EINVAL }, { key_outside, -EINVAL },  { key_without_value, -EINVAL },
        { two_keys, -EINVAL },   { same_key, -EINVAL },    { null_key, -EINVAL },     { bad_string, -EILSEQ },
        { bad_key, -EILSEQ },    { too_deep, -E2BIG },     { deep_enough, 0 },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(fixture_close) struct fixture fixture = { 0 };
        const struct jmp_node *node = NULL;

        fixture_open(&fixture);
        cases[i].write(fixture.writer);
        assert_int_equal(jmp_writer_finish(fixture.writer, &node), cases[i].error);
        assert_true((node != NULL) == (cases[i].error == 0));

        jmp_writer_bool(fixture.writer, false);
        assert_wrote(&fixture, "false");
    }
}

JMP_TEST(depth_counts_through_nodes_that_are_copied)
{
    _cleanup_(fixture_close) struct fixture fixture = { 0 };
    const struct jmp_node *node = NULL;

    fixture_open(&fixture);
    deep_enough(fixture.writer);
    assert_int_equal(jmp_writer_finish(fixture.writer, &node), 0);

    jmp_writer_node(fixture.writer, node);
    assert_int_equal(jmp_writer_finish(fixture.writer, &node), 0);

    jmp_writer_begin_list(fixture.writer);
    jmp_writer_node(fixture.writer, node);
    jmp_writer_end_list(fixture.writer);
    assert_int_equal(jmp_writer_finish(fixture.writer, &node), -E2BIG);
}

JMP_TEST(missing_memory_is_told_at_the_end)
{
    for (size_t budget = 1; budget < 2000; budget += 16) {
        _cleanup_(fixture_close) struct fixture fixture = { 0 };
        const struct jmp_node *node = NULL;
        int r;

        assert_int_equal(jmp_tree_new(budget, &fixture.tree), 0);
        assert_int_equal(jmp_writer_new(fixture.tree, &fixture.writer), 0);
        jmp_writer_begin_map(fixture.writer);
        jmp_writer_key(fixture.writer, "key");
        jmp_writer_begin_list(fixture.writer);
        jmp_writer_string(fixture.writer, "value");
        jmp_writer_integer(fixture.writer, 1);
        jmp_writer_end_list(fixture.writer);
        jmp_writer_end_map(fixture.writer);
        r = jmp_writer_finish(fixture.writer, &node);
        assert_true(r == 0 ? node != NULL : r == -ENOMEM && !node);
        assert_true(r == 0 || budget < 1000);
    }
}

JMP_TEST(a_writer_needs_memory)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_writer *writer = NULL;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    jmp_fault_arm(JMP_FAULT_ALLOC, 1);
    assert_int_equal(jmp_writer_new(tree, &writer), -ENOMEM);
    assert_null(writer);
    assert_null(jmp_writer_free(NULL));
}
