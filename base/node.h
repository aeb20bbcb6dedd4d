/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document in memory: what YAML, JSON and protobuf Values have in common. Configuration, driver arguments
 * and driver results all travel as nodes. A tree owns its nodes and strings and has a budget; a node knows
 * where it stood in its file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

enum jmp_node_kind {
    JMP_NODE_NULL,
    JMP_NODE_BOOL,
    JMP_NODE_NUMBER,
    JMP_NODE_STRING,
    JMP_NODE_LIST,
    JMP_NODE_MAP,
};

struct jmp_node {
    enum jmp_node_kind kind;
    unsigned line, column;      /* from 1; 0 when not from a file */
    const char *key;            /* in a map; otherwise NULL */
    unsigned key_line, key_column;   /* where the key stood; 0 when not from a file */
    struct jmp_node *first, *last, *next;
    size_t count;               /* of children */
    bool boolean;
    bool whole;                 /* a number that was written as, and fits into, @integer */
    bool plain;                 /* YAML: unquoted; @string is then the text as written, whatever the kind */
    int64_t integer;
    double number;              /* set for every number, also whole ones */
    const char *string;         /* never NULL for strings; contains no NUL byte */
};

struct jmp_tree;

/**
 * jmp_tree_new() - an empty tree
 * @budget:  bytes it may take in all, 0: 16 MiB
 * @ret:     free with jmp_tree_free()
 *
 * Return: 0 or -ENOMEM.
 */
int jmp_tree_new(size_t budget, struct jmp_tree **ret);
struct jmp_tree *jmp_tree_free(struct jmp_tree *tree);   /* always NULL; accepts NULL */
JMP_DEFINE_CLEANUP(struct jmp_tree *, jmp_tree_free)

/** jmp_tree_alloc() - zeroed memory that lives as long as the tree; NULL once the budget is spent (-ENOMEM) */
void *jmp_tree_alloc(struct jmp_tree *tree, size_t size);
/** jmp_tree_strdup() - a copy of @length bytes and a NUL; NULL as above */
const char *jmp_tree_strdup(struct jmp_tree *tree, const char *text, size_t length);
const struct jmp_node *jmp_tree_root(const struct jmp_tree *tree);   /* NULL until set */
void jmp_tree_set_root(struct jmp_tree *tree, struct jmp_node *root);

/** jmp_node_new() - a node of @kind with zero value, not yet in any list; NULL: -ENOMEM */
struct jmp_node *jmp_node_new(struct jmp_tree *tree, enum jmp_node_kind kind);
/** jmp_node_append() - @child becomes the last child of a list or map; a map's child carries its key */
void jmp_node_append(struct jmp_node *parent, struct jmp_node *child);
/** jmp_node_copy() - a deep copy of @node in @tree, without its key; NULL: -ENOMEM */
struct jmp_node *jmp_node_copy(struct jmp_tree *tree, const struct jmp_node *node);

/** jmp_node_get() - the member of a map, or NULL; @map may be NULL or of another kind */
const struct jmp_node *jmp_node_get(const struct jmp_node *map, const char *key);
/** jmp_node_at() - the @index-th child of a list, or NULL */
const struct jmp_node *jmp_node_at(const struct jmp_node *list, size_t index);
/** jmp_node_string() - the string of a string node, otherwise NULL; @node may be NULL */
const char *jmp_node_string(const struct jmp_node *node);
bool jmp_node_is_null(const struct jmp_node *node);      /* also true for NULL */
/** jmp_node_equal() - same kinds and values; the order of a map's members does not matter, null equals absent */
bool jmp_node_equal(const struct jmp_node *a, const struct jmp_node *b);
/** jmp_node_find_double() - the first member of a map whose key was there before. Return: 1 with @ret set, 0: all keys
 * differ, -ENOMEM. Takes n log n, so it may be asked about maps from outside. */
int jmp_node_find_double(const struct jmp_node *map, const struct jmp_node **ret);
const char *jmp_node_kind_name(const struct jmp_node *node);   /* "a whole number", "a map", ... for messages */

#define JMP_NODE_EACH(child, parent) \
    for (const struct jmp_node *child = (parent) ? (parent)->first : NULL; child; child = child->next)
