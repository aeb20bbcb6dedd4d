/* SPDX-License-Identifier: Apache-2.0 */
#include "base/node.h"

#include <string.h>

#include "base/json.h"
#include "base/test.h"

static const struct jmp_node *parse(struct jmp_tree *tree, const char *text)
{
    const struct jmp_node *node = NULL;

    assert_int_equal(jmp_json_parse(text, strlen(text), tree, &node, NULL), 0);
    return node;
}

JMP_TEST(a_tree_keeps_to_its_budget)
{
    static const size_t sizes[] = { 1, 16, 100, 5000, 70000 };

    for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        size_t taken = 0;
        char *memory;

        assert_int_equal(jmp_tree_new(100000, &tree), 0);
        while ((memory = jmp_tree_alloc(tree, sizes[i]))) {
            for (size_t n = 0; n < sizes[i]; n++)
                assert_int_equal(memory[n], 0);
            memset(memory, 0xaa, sizes[i]);
            assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
            taken += sizes[i];
            assert_true(taken <= 100000);
        }
        assert_true(taken > 0);
        assert_null(jmp_tree_alloc(tree, SIZE_MAX));
        assert_null(jmp_tree_strdup(tree, "", SIZE_MAX));
    }
}

JMP_TEST(strings_are_copied_with_an_end)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_string_equal(jmp_tree_strdup(tree, "abcdef", 3), "abc");
    assert_string_equal(jmp_tree_strdup(tree, NULL, 0), "");
    assert_null(jmp_tree_root(tree));
}

JMP_TEST(nodes_are_found_by_key_and_index)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *root;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    root = parse(tree, "{\"a\": [1, \"two\", null], \"b\": true}");

    assert_string_equal(jmp_node_string(jmp_node_at(jmp_node_get(root, "a"), 1)), "two");
    assert_null(jmp_node_at(jmp_node_get(root, "a"), 3));
    assert_null(jmp_node_get(root, "c"));
    assert_null(jmp_node_get(NULL, "a"));
    assert_null(jmp_node_get(jmp_node_get(root, "a"), "a"));
    assert_null(jmp_node_at(root, 0));
    assert_null(jmp_node_at(NULL, 0));
    assert_null(jmp_node_string(root));
    assert_null(jmp_node_string(NULL));
    assert_true(jmp_node_is_null(NULL));
    assert_true(jmp_node_is_null(jmp_node_at(jmp_node_get(root, "a"), 2)));
    assert_false(jmp_node_is_null(root));
}

JMP_TEST(equality_looks_at_values_alone)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } cases[] = {
        { "null", "null", true },
        { "null", "false", false },
        { "1", "1", true },
        { "1", "1.0", true },
        { "1", "1.5", false },
        { "9007199254740993", "9007199254740992", false },
        { "1", "\"1\"", false },
        { "\"a\"", "\"a\"", true },
        { "\"a\"", "\"b\"", false },
        { "true", "false", false },
        { "[1,2]", "[1,2]", true },
        { "[1,2]", "[2,1]", false },
        { "[1]", "[1,1]", false },
        { "[]", "{}", false },
        { "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true },
        { "{\"a\":1,\"b\":2,\"c\":3}", "{\"c\":3,\"a\":1,\"b\":2}", true },
        { "{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false },
        { "{\"a\":1}", "{\"a\":2}", false },
        { "{\"a\":[{\"b\":null}]}", "{\"a\":[{\"b\":null}]}", true },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        const struct jmp_node *a, *b;

        assert_int_equal(jmp_tree_new(0, &tree), 0);
        a = parse(tree, cases[i].a);
        b = parse(tree, cases[i].b);
        assert_int_equal(jmp_node_equal(a, b), cases[i].equal);
        assert_int_equal(jmp_node_equal(b, a), cases[i].equal);
        assert_true(jmp_node_equal(a, a));
    }
    assert_true(jmp_node_equal(NULL, NULL));
}

JMP_TEST(a_copy_is_equal_and_its_own)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *from = NULL, *to = NULL;
    const struct jmp_node *original;
    struct jmp_node *copy;
    _cleanup_free_ char *text = NULL;

    assert_int_equal(jmp_tree_new(0, &from), 0);
    assert_int_equal(jmp_tree_new(0, &to), 0);
    original = parse(from, "{\"a\": [1, {\"b\": \"c\"}, 1.5], \"d\": null, \"e\": true}");
    copy = jmp_node_copy(to, original);
    assert_non_null(copy);
    assert_true(jmp_node_equal(original, copy));

    from = jmp_tree_free(from);
    assert_int_equal(jmp_json_print(copy, 0, &text), 0);
    assert_string_equal(text, "{\"a\":[1,{\"b\":\"c\"},1.5],\"d\":null,\"e\":true}");
}

JMP_TEST(a_copy_survives_any_failed_allocation)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *from = NULL;
    const struct jmp_node *original;
    unsigned failures = 0;

    assert_int_equal(jmp_tree_new(0, &from), 0);
    original = parse(from, "{\"a\": [1, {\"b\": \"c\"}, 1.5], \"d\": \"e\"}");

    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *to = NULL;
        int r = jmp_tree_new(0, &to);

        assert_true(r == 0 ? to != NULL : r == -ENOMEM && !to);
        if (r < 0 || !jmp_node_copy(to, original))
            failures++;
    }
    assert_true(failures >= 2);

    /* The budget ends at each possible place, too. */
    for (size_t budget = 1; budget < 1500; budget += 16) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *to = NULL;
        struct jmp_node *copy;

        assert_int_equal(jmp_tree_new(budget, &to), 0);
        copy = jmp_node_copy(to, original);
        assert_true(!copy || jmp_node_equal(copy, original));
    }
}

JMP_TEST(doubled_keys_are_found_in_small_and_large_maps)
{
    static const size_t sizes[] = { 1, 2, 8, 9, 1000 };

    for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        const struct jmp_node *twice = NULL;
        struct jmp_node *map, *first = NULL, *second = NULL;

        assert_int_equal(jmp_tree_new(0, &tree), 0);
        map = jmp_node_new(tree, JMP_NODE_MAP);
        for (size_t n = 0; n < sizes[i]; n++) {
            struct jmp_node *child = jmp_node_new(tree, JMP_NODE_NULL);
            char key[16];

            snprintf(key, sizeof(key), "%zu", n * 7919 % 1009);
            child->key = jmp_tree_strdup(tree, key, strlen(key));
            jmp_node_append(map, child);
            if (n == 0)
                first = child;
        }
        assert_int_equal(jmp_node_find_double(map, &twice), 0);
        assert_null(twice);

        for (unsigned n = 0; n < 2; n++) {
            struct jmp_node *child = jmp_node_new(tree, JMP_NODE_NULL);

            assert_true(child && first);
            if (child && first)   /* said twice for the analyser, to which an assertion may return */
                child->key = first->key;
            jmp_node_append(map, child);
            if (n == 0)
                second = child;
        }
        assert_int_equal(jmp_node_find_double(map, &twice), 1);
        assert_ptr_equal(twice, second);   /* the first one to be too many */
    }
}

JMP_TEST(kinds_have_names_for_messages)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_string_equal(jmp_node_kind_name(parse(tree, "1")), "a whole number");
    assert_string_equal(jmp_node_kind_name(parse(tree, "1.5")), "a number");
    assert_string_equal(jmp_node_kind_name(parse(tree, "{}")), "a map");
    assert_string_equal(jmp_node_kind_name(parse(tree, "[]")), "a list");
    assert_string_equal(jmp_node_kind_name(parse(tree, "\"\"")), "a string");
    assert_string_equal(jmp_node_kind_name(parse(tree, "true")), "a boolean");
    assert_string_equal(jmp_node_kind_name(parse(tree, "null")), "nothing (null)");
    assert_string_equal(jmp_node_kind_name(NULL), "nothing");
}
