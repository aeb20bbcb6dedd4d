/* SPDX-License-Identifier: Apache-2.0 */
#include "base/node.h"

#include <string.h>

#define BUDGET_DEFAULT (16u * 1024 * 1024)
#define CHUNK_SIZE (16u * 1024)
#define ALIGNMENT _Alignof(max_align_t)

struct chunk {
    struct chunk *next;
    size_t used, size;
    max_align_t data[];
};

struct jmp_tree {
    struct chunk *chunks;   /* the first one is being filled */
    size_t budget;          /* bytes left */
    size_t next_size;       /* a small document costs little, a large one few chunks */
    struct jmp_node *root;
};

int jmp_tree_new(size_t budget, struct jmp_tree **ret)
{
    struct jmp_tree *tree = calloc(1, sizeof(*tree));

    if (!tree)
        return -ENOMEM;

    tree->budget = budget ? budget : BUDGET_DEFAULT;
    tree->next_size = 1024;
    *ret = tree;
    return 0;
}

struct jmp_tree *jmp_tree_free(struct jmp_tree *tree)
{
    struct chunk *next;

    if (!tree)
        return NULL;

    for (struct chunk *chunk = tree->chunks; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(tree);
    return NULL;
}

static struct chunk *chunk_new(size_t size)
{
    struct chunk *chunk = calloc(1, sizeof(*chunk) + size);

    if (chunk)
        chunk->size = size;
    return chunk;
}

void *jmp_tree_alloc(struct jmp_tree *tree, size_t size)
{
    struct chunk *chunk = tree->chunks;
    void *memory;

    if (size > tree->budget || size > SIZE_MAX / 2)
        return NULL;
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (size > tree->budget)
        return NULL;

    if (size > CHUNK_SIZE / 4) {
        /* Large pieces get a chunk of their own, behind the one being filled. */
        struct chunk *own = chunk_new(size);

        if (!own)
            return NULL;
        own->used = size;
        if (chunk) {
            own->next = chunk->next;
            chunk->next = own;
        } else {
            tree->chunks = own;
        }
        tree->budget -= size;
        return own->data;
    }

    if (!chunk || chunk->size - chunk->used < size) {
        size_t capacity = tree->next_size > size ? tree->next_size : size;

        chunk = chunk_new(capacity);
        if (!chunk)
            return NULL;
        chunk->next = tree->chunks;
        tree->chunks = chunk;
        if (tree->next_size < CHUNK_SIZE)
            tree->next_size *= 2;
    }

    memory = (char *)chunk->data + chunk->used;
    chunk->used += size;
    tree->budget -= size;
    return memory;
}

const char *jmp_tree_strdup(struct jmp_tree *tree, const char *text, size_t length)
{
    char *copy;

    if (length == SIZE_MAX)
        return NULL;

    copy = jmp_tree_alloc(tree, length + 1);
    if (copy && length > 0)
        memcpy(copy, text, length);
    return copy;
}

const struct jmp_node *jmp_tree_root(const struct jmp_tree *tree)
{
    return tree->root;
}

void jmp_tree_set_root(struct jmp_tree *tree, struct jmp_node *root)
{
    tree->root = root;
}

struct jmp_node *jmp_node_new(struct jmp_tree *tree, enum jmp_node_kind kind)
{
    struct jmp_node *node = jmp_tree_alloc(tree, sizeof(*node));

    if (!node)
        return NULL;

    node->kind = kind;
    if (kind == JMP_NODE_STRING)
        node->string = "";
    node->whole = kind == JMP_NODE_NUMBER;
    return node;
}

void jmp_node_append(struct jmp_node *parent, struct jmp_node *child)
{
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

struct jmp_node *jmp_node_copy(struct jmp_tree *tree, const struct jmp_node *node)
{
    struct jmp_node *copy = jmp_node_new(tree, node->kind);

    if (!copy)
        return NULL;

    *copy = *node;
    copy->key = NULL;
    copy->first = copy->last = copy->next = NULL;
    copy->count = 0;

    if (node->string) {
        copy->string = jmp_tree_strdup(tree, node->string, strlen(node->string));
        if (!copy->string)
            return NULL;
    }

    JMP_NODE_EACH(child, node) {
        struct jmp_node *twin = jmp_node_copy(tree, child);

        if (!twin)
            return NULL;
        if (child->key) {
            twin->key = jmp_tree_strdup(tree, child->key, strlen(child->key));
            if (!twin->key)
                return NULL;
        }
        jmp_node_append(copy, twin);
    }

    return copy;
}

const struct jmp_node *jmp_node_get(const struct jmp_node *map, const char *key)
{
    if (!map || map->kind != JMP_NODE_MAP)
        return NULL;

    JMP_NODE_EACH(child, map) {
        if (strcmp(child->key, key) == 0)
            return child;
    }
    return NULL;
}

const struct jmp_node *jmp_node_at(const struct jmp_node *list, size_t index)
{
    if (!list || list->kind != JMP_NODE_LIST)
        return NULL;

    JMP_NODE_EACH(child, list) {
        if (index-- == 0)
            return child;
    }
    return NULL;
}

const char *jmp_node_string(const struct jmp_node *node)
{
    return node && node->kind == JMP_NODE_STRING ? node->string : NULL;
}

bool jmp_node_is_null(const struct jmp_node *node)
{
    return !node || node->kind == JMP_NODE_NULL;
}

static bool maps_equal(const struct jmp_node *a, const struct jmp_node *b)
{
    const struct jmp_node *at = b->first;

    /* Each search goes on where the last one ended, so maps in the same order are compared in one pass. */
    JMP_NODE_EACH(child, a) {
        size_t tries = b->count;

        while (tries > 0 && strcmp(at->key, child->key) != 0) {
            at = at->next ? at->next : b->first;
            tries--;
        }
        if (tries == 0 || !jmp_node_equal(child, at))
            return false;
        at = at->next ? at->next : b->first;
    }
    return true;
}

bool jmp_node_equal(const struct jmp_node *a, const struct jmp_node *b)
{
    const struct jmp_node *other;

    if (jmp_node_is_null(a) || jmp_node_is_null(b))
        return jmp_node_is_null(a) && jmp_node_is_null(b);
    if (a->kind != b->kind || a->count != b->count)
        return false;

    switch (a->kind) {
    case JMP_NODE_NULL:
        return true;
    case JMP_NODE_BOOL:
        return a->boolean == b->boolean;
    case JMP_NODE_NUMBER:
        if (a->whole && b->whole)
            return a->integer == b->integer;
        return a->number == b->number;
    case JMP_NODE_STRING:
        return strcmp(a->string, b->string) == 0;
    case JMP_NODE_LIST:
        other = b->first;
        JMP_NODE_EACH(child, a) {
            if (!jmp_node_equal(child, other))
                return false;
            other = other->next;
        }
        return true;
    case JMP_NODE_MAP:
        return maps_equal(a, b);
    }
    return false;
}

const char *jmp_node_kind_name(const struct jmp_node *node)
{
    if (!node)
        return "nothing";

    switch (node->kind) {
    case JMP_NODE_NULL:
        return "nothing (null)";
    case JMP_NODE_BOOL:
        return "a boolean";
    case JMP_NODE_NUMBER:
        return node->whole ? "a whole number" : "a number";
    case JMP_NODE_STRING:
        return "a string";
    case JMP_NODE_LIST:
        return "a list";
    case JMP_NODE_MAP:
        return "a map";
    }
    return "something unknown";
}

struct entry {
    const char *key;
    size_t position;
    const struct jmp_node *node;
};

static int entry_compare(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    int r = strcmp(left->key, right->key);

    if (r != 0)
        return r;
    return left->position < right->position ? -1 : left->position > right->position;
}

int jmp_node_find_double(const struct jmp_node *map, const struct jmp_node **ret)
{
    _cleanup_free_ struct entry *entries = NULL;
    const struct jmp_node *found = NULL;
    size_t n = 0, position = SIZE_MAX;

    if (map->count <= 8) {
        JMP_NODE_EACH(child, map) {
            const struct jmp_node *known = map->first;

            while (known != child && strcmp(known->key, child->key) != 0)
                known = known->next;
            if (known != child) {
                *ret = child;
                return 1;
            }
        }
        return 0;
    }

    entries = calloc(map->count, sizeof(*entries));
    if (!entries)
        return -ENOMEM;

    JMP_NODE_EACH(child, map) {
        entries[n] = (struct entry){ .key = child->key, .position = n, .node = child };
        n++;
    }
    qsort(entries, n, sizeof(*entries), entry_compare);

    for (size_t i = 1; i < n; i++) {
        if (strcmp(entries[i - 1].key, entries[i].key) == 0 && entries[i].position < position) {
            position = entries[i].position;
            found = entries[i].node;
        }
    }
    if (!found)
        return 0;

    *ret = found;
    return 1;
}
