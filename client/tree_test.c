/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/test.h"
#include "client/tree.h"

struct row {
    const char *uuid, *parent, *name, *class;
};

static void labels(struct jmp_driver_tree *tree, struct jmp_driver_ref *ref, const struct row *row)
{
    ref->labels.items = jmp_tree_alloc(tree->memory, 2 * sizeof(*ref->labels.items));
    assert_non_null(ref->labels.items);
    if (row->class)
        ref->labels.items[ref->labels.count++] = (struct jmp_pair){ JMP_LABEL_CLIENT, row->class };
    if (row->name)
        ref->labels.items[ref->labels.count++] = (struct jmp_pair){ JMP_LABEL_NAME, row->name };
}

static struct jmp_driver_tree *tree_of(const struct row *rows)
{
    struct jmp_driver_tree *tree;

    assert_int_equal(jmp_driver_tree_new(&tree), 0);
    for (; rows->uuid; rows++) {
        struct jmp_driver_ref *ref = jmp_driver_tree_add(tree);

        assert_non_null(ref);
        ref->uuid = rows->uuid;
        ref->parent_uuid = rows->parent;
        labels(tree, ref, rows);
    }
    return tree;
}

/* Children come before their parents on purpose: only stock exporters promise an order. */
static const struct row bench[] = {
    { "4", "2", "power", "jumpstarter_driver_power.client.PowerClient" },
    { "1", "", NULL, "jumpstarter_driver_composite.client.CompositeClient" },
    { "2", "1", "board", "jumpstarter_driver_composite.client.CompositeClient" },
    { "3", "1", "serial", "jumpstarter_driver_pyserial.client.PySerialClient" },
    { "5", "2", "v1.2", "jumpstarter_driver_power.client.PowerClient" },
    { "6", "1", "board.v1", NULL },
    {},
};

JMP_TEST(drivers_are_found_by_words_and_by_dots)
{
    static const struct {
        const char *words[4], *uuid;
        unsigned used;
    } cases[] = {
        { { "serial" }, "3", 1 },
        { { "board", "power", "on" }, "4", 2 },
        { { "board.power", "on" }, "4", 1 },
        { { "board", "v1.2" }, "5", 2 },
        { { "board.v1.2" }, "5", 1 },
        { { "board.v1" }, "6", 1 },
        { { "board", "on" }, "2", 1 },
    };
    _cleanup_(jmp_driver_tree_freep) struct jmp_driver_tree *tree = tree_of(bench);

    assert_int_equal(jmp_driver_tree_link(tree, NULL), 0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_driver_ref *ref = NULL;
        unsigned used = 0;

        assert_int_equal(jmp_driver_tree_find(tree, (char *const *)cases[i].words, &ref, &used, NULL), 0);
        assert_string_equal(ref->uuid, cases[i].uuid);
        assert_int_equal(used, cases[i].used);
    }
}

JMP_TEST(a_wrong_name_is_answered_by_the_nearest_or_by_all)
{
    _cleanup_(jmp_driver_tree_freep) struct jmp_driver_tree *tree = tree_of(bench);
    struct jmp_driver_ref *ref = NULL;
    struct jmp_error error = { 0 };
    unsigned used;

    assert_int_equal(jmp_driver_tree_link(tree, NULL), 0);
    assert_int_equal(jmp_driver_tree_find(tree, (char *[]){ (char *)"seriel", NULL }, &ref, &used, &error), -ENOENT);
    assert_non_null(strstr(error.hint, "did you mean serial?"));
    assert_int_equal(jmp_driver_tree_find(tree, (char *[]){ (char *)"zzzzzzzz", NULL }, &ref, &used, &error), -ENOENT);
    assert_non_null(strstr(error.hint, "board.power"));
    assert_null(ref);
}

JMP_TEST(the_order_of_the_report_is_kept)
{
    static const char *const expected[] = { "board", "board.power", "board.v1.2", "serial", "board.v1" };
    _cleanup_(jmp_driver_tree_freep) struct jmp_driver_tree *tree = tree_of(bench);
    size_t n = 0;

    assert_int_equal(jmp_driver_tree_link(tree, NULL), 0);
    for (struct jmp_driver_ref *ref = tree->root->first; ref; ref = jmp_driver_ref_next(tree->root, ref)) {
        assert_true(n < ELEMENTSOF(expected));
        assert_string_equal(ref->path, expected[n++]);
    }
    assert_int_equal(n, ELEMENTSOF(expected));
}

JMP_TEST(reports_that_are_no_tree_do_no_harm)
{
    static const struct row no_root[] = { { "1", "2", "a", NULL }, { "2", "1", "b", NULL }, {} };
    static const struct row ring[] = {
        { "1", "", NULL, NULL }, { "2", "3", "a", NULL }, { "3", "2", "b", NULL },
        { "4", "4", "c", NULL }, { "5", "9", "d", NULL }, {},
    };
    static const struct row nothing[] = { {} };
    _cleanup_(jmp_driver_tree_freep) struct jmp_driver_tree *a = tree_of(no_root), *b = tree_of(ring),
                                                            *c = tree_of(nothing);

    assert_int_equal(jmp_driver_tree_link(a, NULL), -EBADMSG);
    assert_int_equal(jmp_driver_tree_link(b, NULL), 0);
    assert_null(b->root->first);
    assert_int_equal(jmp_driver_tree_link(c, NULL), -EBADMSG);
}

JMP_TEST(too_many_levels_are_refused)
{
    struct jmp_driver_tree *tree;
    struct jmp_error error = { 0 };

    assert_int_equal(jmp_driver_tree_new(&tree), 0);
    for (unsigned i = 0; i < 400; i++) {
        struct jmp_driver_ref *ref = jmp_driver_tree_add(tree);
        char uuid[16], parent[16];

        snprintf(uuid, sizeof(uuid), "u%u", i);
        snprintf(parent, sizeof(parent), "u%u", i - 1);
        ref->uuid = jmp_tree_strdup(tree->memory, uuid, strlen(uuid));
        ref->parent_uuid = i ? jmp_tree_strdup(tree->memory, parent, strlen(parent)) : "";
    }
    assert_int_equal(jmp_driver_tree_link(tree, &error), -EBADMSG);
    assert_non_null(strstr(error.text, "nested"));
    jmp_driver_tree_free(tree);
}

JMP_TEST(a_tree_survives_any_failed_allocation)
{
    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_(jmp_driver_tree_freep) struct jmp_driver_tree *tree = NULL;
        struct jmp_driver_ref *ref;
        int r;

        r = jmp_driver_tree_new(&tree);
        for (const struct row *row = bench; row->uuid && r >= 0; row++) {
            ref = jmp_driver_tree_add(tree);
            r = ref && (ref->labels.items = jmp_tree_alloc(tree->memory, 2 * sizeof(*ref->labels.items))) ? 0 : -ENOMEM;
            if (r < 0)
                break;
            ref->uuid = row->uuid;
            ref->parent_uuid = row->parent;
            if (row->class)
                ref->labels.items[ref->labels.count++] = (struct jmp_pair){ JMP_LABEL_CLIENT, row->class };
            if (row->name)
                ref->labels.items[ref->labels.count++] = (struct jmp_pair){ JMP_LABEL_NAME, row->name };
        }
        if (r >= 0)
            r = jmp_driver_tree_link(tree, NULL);
        assert_true(r == -ENOMEM || (r == 0 && jmp_driver_ref_child(tree->root, "serial")));
    }
}
