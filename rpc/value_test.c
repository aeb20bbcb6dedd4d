/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/test.h"
#include "google/protobuf/struct.pb-c.h"
#include "rpc/value.h"

/* JSON to Value to JSON: what a driver returns is what a client gets. */
JMP_TEST(values_survive_the_way_there_and_back)
{
    static const char *const rows[] = {
        "null", "true", "false", "0", "-1", "0.5", "9007199254740992", "\"\"", "\"caf\xc3\xa9\"", "[]", "{}",
        "[1,2.5,null,[true,{}]]", "{\"voltage\":5,\"current\":2.25,\"nested\":{\"a\":[1,2,3]}}",
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        _cleanup_free_ char *text = NULL;
        const struct jmp_node *node;
        Google__Protobuf__Value *value;
        struct jmp_node *back;

        assert_int_equal(jmp_tree_new(0, &tree), 0);
        assert_int_equal(jmp_json_parse(rows[i], strlen(rows[i]), tree, &node, NULL), 0);
        assert_int_equal(jmp_value_from_node(node, tree, &value), 0);
        assert_int_equal(jmp_value_to_node(value, tree, &back), 0);
        assert_int_equal(jmp_json_print(back, 0, &text), 0);
        assert_string_equal(text, rows[i]);
    }
}

JMP_TEST(what_json_cannot_say_is_null)
{
    static const double rows[] = { NAN, INFINITY, -INFINITY };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        struct jmp_node *node;
        Google__Protobuf__Value *value;

        assert_int_equal(jmp_tree_new(0, &tree), 0);
        node = jmp_node_new(tree, JMP_NODE_NUMBER);
        node->number = rows[i];
        assert_int_equal(jmp_value_from_node(node, tree, &value), 0);
        assert_int_equal(value->kind_case, GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE);
    }
}

JMP_TEST(the_last_of_a_doubled_key_counts)
{
    Google__Protobuf__Value one = GOOGLE__PROTOBUF__VALUE__INIT, two = GOOGLE__PROTOBUF__VALUE__INIT,
                            map = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Struct__FieldsEntry a = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT, b = a;
    Google__Protobuf__Struct__FieldsEntry *entries[] = { &a, &b };
    Google__Protobuf__Struct fields = GOOGLE__PROTOBUF__STRUCT__INIT;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *text = NULL;
    struct jmp_node *node;

    one.kind_case = two.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    one.number_value = 1;
    two.number_value = 2;
    a.key = b.key = (char *)"k";
    a.value = &one;
    b.value = &two;
    fields.fields = entries;
    fields.n_fields = 2;
    map.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    map.struct_value = &fields;
    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_value_to_node(&map, tree, &node), 0);
    assert_int_equal(jmp_json_print(node, 0, &text), 0);
    assert_string_equal(text, "{\"k\":2}");
}

JMP_TEST(an_unset_value_is_null)
{
    Google__Protobuf__Value value = GOOGLE__PROTOBUF__VALUE__INIT;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_node *node;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_value_to_node(NULL, tree, &node), 0);
    assert_true(jmp_node_is_null(node));
    assert_int_equal(jmp_value_to_node(&value, tree, &node), 0);
    assert_true(jmp_node_is_null(node));
}

JMP_TEST(a_value_outlives_the_nodes_it_was_made_of)
{
    static const char text[] = "{\"key\":[\"text\",{\"deeper\":\"more\"}]}";
    _cleanup_(jmp_tree_freep) struct jmp_tree *nodes = NULL, *values = NULL;
    _cleanup_free_ char *back = NULL;
    const struct jmp_node *node;
    Google__Protobuf__Value *value;
    struct jmp_node *read;

    assert_int_equal(jmp_tree_new(0, &nodes), 0);
    assert_int_equal(jmp_tree_new(0, &values), 0);
    assert_int_equal(jmp_json_parse(text, strlen(text), nodes, &node, NULL), 0);
    assert_int_equal(jmp_value_from_node(node, values, &value), 0);
    nodes = jmp_tree_free(nodes);
    assert_int_equal(jmp_value_to_node(value, values, &read), 0);
    assert_int_equal(jmp_json_print(read, 0, &back), 0);
    assert_string_equal(back, text);
}
