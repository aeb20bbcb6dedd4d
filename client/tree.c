/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tree.h"

#include <string.h>

#include "base/limits.h"
#include "base/option.h"

#define NAMES_MAX 256u

int jmp_driver_tree_new(struct jmp_driver_tree **ret)
{
    _cleanup_(jmp_driver_tree_freep) struct jmp_driver_tree *tree = calloc(1, sizeof(*tree));
    int r;

    if (!tree)
        return -ENOMEM;
    r = jmp_tree_new(0, &tree->memory);
    if (r < 0)
        return r;
    tree->uuid = tree->motd = "";
    *ret = TAKE_PTR(tree);
    return 0;
}

struct jmp_driver_tree *jmp_driver_tree_free(struct jmp_driver_tree *tree)
{
    if (!tree)
        return NULL;
    jmp_tree_free(tree->memory);
    free(tree->rows);
    free(tree);
    return NULL;
}

struct jmp_driver_ref *jmp_driver_tree_add(struct jmp_driver_tree *tree)
{
    struct jmp_driver_ref *ref;

    if (tree->count == tree->room) {
        size_t room = tree->room ? tree->room * 2 : 16;
        struct jmp_driver_ref *rows = reallocarray(tree->rows, room, sizeof(*rows));

        if (!rows)
            return NULL;
        tree->rows = rows;
        tree->room = room;
    }
    ref = &tree->rows[tree->count++];
    *ref = (struct jmp_driver_ref){
        .uuid = "", .parent_uuid = "", .name = "", .path = "", .client_class = "", .description = ""
    };
    return ref;
}

/* Several reports may carry one uuid (a driver shown in two places): children belong to the first. */
static int by_uuid(const void *a, const void *b)
{
    const struct jmp_driver_ref *const *x = a, *const *y = b;
    int order = strcmp((*x)->uuid, (*y)->uuid);

    return order ? order : (*x > *y) - (*x < *y);
}

static struct jmp_driver_ref *find_uuid(struct jmp_driver_ref **sorted, size_t count, const char *uuid)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(sorted[middle]->uuid, uuid) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && strcmp(sorted[low]->uuid, uuid) == 0 ? sorted[low] : NULL;
}

/* Paths from the root down; only what hangs on the root gets here, so a ring of parents does no harm. */
static int set_paths(struct jmp_driver_tree *tree, struct jmp_driver_ref *parent, unsigned depth)
{
    if (depth > JMP_NESTING_MAX)
        return -EBADMSG;
    for (struct jmp_driver_ref *child = parent->first; child; child = child->next) {
        if (*parent->path) {
            size_t size = strlen(parent->path) + strlen(child->name) + 2;
            char *path = jmp_tree_alloc(tree->memory, size);

            if (!path)
                return -ENOMEM;
            snprintf(path, size, "%s.%s", parent->path, child->name);
            child->path = path;
        } else {
            child->path = child->name;
        }
        int r = set_paths(tree, child, depth + 1);
        if (r < 0)
            return r;
    }
    return 0;
}

int jmp_driver_tree_link(struct jmp_driver_tree *tree, struct jmp_error *reterr)
{
    _cleanup_free_ struct jmp_driver_ref **sorted = calloc(tree->count + 1, sizeof(struct jmp_driver_ref *));
    int r;

    if (!sorted)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    tree->root = NULL;
    for (size_t i = 0; i < tree->count; i++) {
        struct jmp_driver_ref *ref = &tree->rows[i];
        const char *name = jmp_pairs_get(&ref->labels, JMP_LABEL_NAME);
        const char *class = jmp_pairs_get(&ref->labels, JMP_LABEL_CLIENT);

        ref->name = name ? name : "";
        ref->client_class = class ? class : "";
        ref->parent = ref->first = ref->next = NULL;
        sorted[i] = ref;
        if (!*ref->parent_uuid && !tree->root)
            tree->root = ref;
    }
    if (!tree->root)
        return jmp_error_set(reterr, -EBADMSG, "the exporter's report has no root");
    qsort(sorted, tree->count, sizeof(struct jmp_driver_ref *), by_uuid);

    /* Backwards, each in front of its elder siblings: the order of the report stays. */
    for (size_t i = tree->count; i-- > 0;) {
        struct jmp_driver_ref *ref = &tree->rows[i];
        struct jmp_driver_ref *parent = *ref->parent_uuid ? find_uuid(sorted, tree->count, ref->parent_uuid) : NULL;

        if (!parent || parent == ref || ref == tree->root)
            continue;
        ref->parent = parent;
        ref->next = parent->first;
        parent->first = ref;
    }
    tree->root->name = "";
    r = set_paths(tree, tree->root, 0);
    if (r == -EBADMSG)
        return jmp_error_set(reterr, r, "the exporter's drivers are nested deeper than %u levels", JMP_NESTING_MAX);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
}

static struct jmp_driver_ref *child_named(const struct jmp_driver_ref *ref, const char *name, size_t length)
{
    for (struct jmp_driver_ref *child = ref->first; child; child = child->next) {
        if (strlen(child->name) == length && strncmp(child->name, name, length) == 0)
            return child;
    }
    return NULL;
}

struct jmp_driver_ref *jmp_driver_ref_child(const struct jmp_driver_ref *ref, const char *name)
{
    return child_named(ref, name, strlen(name));
}

/* A name that has dots of its own comes before a path through names. */
static struct jmp_driver_ref *follow(struct jmp_driver_ref *ref, const char *word)
{
    struct jmp_driver_ref *whole = jmp_driver_ref_child(ref, word);

    if (whole)
        return whole;
    for (const char *dot = strchr(word, '.'); dot; dot = strchr(dot + 1, '.')) {
        struct jmp_driver_ref *child = child_named(ref, word, (size_t)(dot - word));
        struct jmp_driver_ref *found = child ? follow(child, dot + 1) : NULL;

        if (found)
            return found;
    }
    return NULL;
}

static int not_found(const struct jmp_driver_tree *tree, const char *word, struct jmp_error *reterr)
{
    const char *names[NAMES_MAX + 1] = { 0 }, *near;
    char list[200] = "";
    size_t n = 0, used = 0;

    for (const struct jmp_driver_ref *ref = tree->root->first; ref && n < NAMES_MAX;
         ref = jmp_driver_ref_next(tree->root, ref))
        names[n++] = ref->path;
    jmp_error_set(reterr, -ENOENT, "there is no driver \"%.100s\"", word);
    near = jmp_nearest(word, names);
    if (near) {
        jmp_error_hint(reterr, "did you mean %s?", near);
        return -ENOENT;
    }
    for (size_t i = 0; i < n && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", names[i]);
    if (n > 0)
        jmp_error_hint(reterr, "there are %s%s", list, used >= sizeof(list) ? "..." : "");
    else
        jmp_error_hint(reterr, "this exporter has no drivers");
    return -ENOENT;
}

int jmp_driver_tree_find(const struct jmp_driver_tree *tree, char *const *words, struct jmp_driver_ref **ret,
                         unsigned *retused, struct jmp_error *reterr)
{
    struct jmp_driver_ref *ref = tree->root, *next;
    unsigned used = 0;

    while (words[used] && (next = follow(ref, words[used]))) {
        ref = next;
        used++;
    }
    if (used == 0)
        return words[0] ? not_found(tree, words[0], reterr) : jmp_error_set(reterr, -ENOENT, "no driver was named");
    *ret = ref;
    *retused = used;
    return 0;
}

struct jmp_driver_ref *jmp_driver_ref_next(const struct jmp_driver_ref *top, const struct jmp_driver_ref *ref)
{
    if (ref->first)
        return ref->first;
    while (ref && ref != top && !ref->next)
        ref = ref->parent;
    return ref && ref != top ? ref->next : NULL;
}
