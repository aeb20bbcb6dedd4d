/* SPDX-License-Identifier: Apache-2.0 */
/* The drivers of an exporter, as its report lists them: a tree, found by dotted path. */
#pragma once

#include "client/objects.h"

#define JMP_LABEL_CLIENT "jumpstarter.dev/client"
#define JMP_LABEL_NAME "jumpstarter.dev/name"

struct jmp_driver_ref {
    const char *uuid, *parent_uuid;      /* parent: "" at the root */
    const char *name;                    /* "" at the root */
    const char *path;                    /* "board.power"; "" at the root */
    const char *client_class;            /* what a stock client would load, "" if it does not say */
    const char *description;             /* "" if none */
    struct jmp_pairs labels;
    struct jmp_pairs methods;            /* help of single commands */
    struct jmp_driver_ref *parent, *first, *next;
};

struct jmp_driver_tree {
    struct jmp_tree *memory;
    struct jmp_driver_ref *root;         /* NULL before jmp_driver_tree_link() */
    struct jmp_driver_ref *rows;         /* as reported */
    size_t count, room;
    const char *uuid, *motd;             /* of the exporter; "" */
    struct jmp_pairs labels;
};

int jmp_driver_tree_new(struct jmp_driver_tree **ret);
struct jmp_driver_tree *jmp_driver_tree_free(struct jmp_driver_tree *tree);
JMP_DEFINE_CLEANUP(struct jmp_driver_tree *, jmp_driver_tree_free)

/** jmp_driver_tree_add() - one reported driver; its strings must live in tree->memory. The row may be filled until the
 * next is added. NULL: -ENOMEM. */
struct jmp_driver_ref *jmp_driver_tree_add(struct jmp_driver_tree *tree);
/** jmp_driver_tree_link() - make a tree of the rows, in any order. Names and classes come from the labels. Rows that do
 * not hang on the root are left out. Return: 0, -EBADMSG (no root, or nested too deeply), -ENOMEM. */
int jmp_driver_tree_link(struct jmp_driver_tree *tree, struct jmp_error *reterr);

/** jmp_driver_ref_child() - the child of that name, or NULL */
struct jmp_driver_ref *jmp_driver_ref_child(const struct jmp_driver_ref *ref, const char *name);
/**
 * jmp_driver_tree_find() - follow words, each a name or a dotted path, as far as they lead
 * @words:     NULL-terminated
 * @retused:   how many words were names
 *
 * Return: 0 with the driver, -ENOENT with the nearest name and a list of those there are.
 */
int jmp_driver_tree_find(const struct jmp_driver_tree *tree, char *const *words, struct jmp_driver_ref **ret,
                         unsigned *retused, struct jmp_error *reterr);
/** jmp_driver_ref_next() - the next in depth-first order behind @ref, for listing all below @top; NULL at the end */
struct jmp_driver_ref *jmp_driver_ref_next(const struct jmp_driver_ref *top, const struct jmp_driver_ref *ref);
