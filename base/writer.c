/* SPDX-License-Identifier: Apache-2.0 */
#include "base/writer.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"

struct jmp_writer {
    struct jmp_tree *tree;
    struct jmp_node *root;
    struct jmp_node *open[JMP_NESTING_MAX];
    unsigned depth;
    const char *key;   /* of the value to come; owned by the tree */
    int error;         /* the first one */
};

int jmp_writer_new(struct jmp_tree *tree, struct jmp_writer **ret)
{
    struct jmp_writer *writer = calloc(1, sizeof(*writer));

    if (!writer)
        return -ENOMEM;

    writer->tree = tree;
    *ret = writer;
    return 0;
}

struct jmp_writer *jmp_writer_free(struct jmp_writer *writer)
{
    free(writer);
    return NULL;
}

static void fail(struct jmp_writer *writer, int error)
{
    if (writer->error == 0)
        writer->error = error;
}

static struct jmp_node *container(const struct jmp_writer *writer)
{
    return writer->depth > 0 ? writer->open[writer->depth - 1] : NULL;
}

/* A copy of @text that the tree owns, or NULL with the error kept. */
static const char *own(struct jmp_writer *writer, const char *text)
{
    size_t length = strlen(text);
    const char *copy;

    if (!jmp_text_is_utf8(text, length)) {
        fail(writer, -EILSEQ);
        return NULL;
    }

    copy = jmp_tree_strdup(writer->tree, text, length);
    if (!copy)
        fail(writer, -ENOMEM);
    return copy;
}

/* Puts @node where the next value belongs; NULL means that there was no memory for it. */
static bool place(struct jmp_writer *writer, struct jmp_node *node)
{
    struct jmp_node *parent = container(writer);

    if (!node) {
        fail(writer, -ENOMEM);
        return false;
    }
    if (parent ? (parent->kind == JMP_NODE_MAP) != (writer->key != NULL) : writer->root != NULL)
        fail(writer, -EINVAL);
    if (writer->error < 0)
        return false;

    if (parent) {
        node->key = TAKE_PTR(writer->key);
        jmp_node_append(parent, node);
    } else {
        writer->root = node;
    }
    return true;
}

static struct jmp_node *value(struct jmp_writer *writer, enum jmp_node_kind kind)
{
    struct jmp_node *node;

    if (writer->error < 0)
        return NULL;

    node = jmp_node_new(writer->tree, kind);
    return place(writer, node) ? node : NULL;
}

void jmp_writer_key(struct jmp_writer *writer, const char *key)
{
    struct jmp_node *parent = container(writer);

    if (writer->error < 0)
        return;

    if (!parent || parent->kind != JMP_NODE_MAP || writer->key || !key) {
        fail(writer, -EINVAL);
        return;
    }
    writer->key = own(writer, key);
}

void jmp_writer_null(struct jmp_writer *writer)
{
    value(writer, JMP_NODE_NULL);
}

void jmp_writer_bool(struct jmp_writer *writer, bool boolean)
{
    struct jmp_node *node = value(writer, JMP_NODE_BOOL);

    if (node)
        node->boolean = boolean;
}

void jmp_writer_number(struct jmp_writer *writer, double number)
{
    struct jmp_node *node;

    if (!isfinite(number)) {
        jmp_writer_null(writer);
        return;
    }

    node = value(writer, JMP_NODE_NUMBER);
    if (!node)
        return;
    node->number = number;
    node->whole = number == trunc(number) && fabs(number) <= 9007199254740992.0;   /* 2^53: exact as double */
    node->integer = node->whole ? (int64_t)number : 0;
}

void jmp_writer_integer(struct jmp_writer *writer, int64_t integer)
{
    struct jmp_node *node = value(writer, JMP_NODE_NUMBER);

    if (!node)
        return;
    node->whole = true;
    node->integer = integer;
    node->number = (double)integer;
}

void jmp_writer_string(struct jmp_writer *writer, const char *string)
{
    struct jmp_node *node;
    const char *copy;

    if (!string) {
        jmp_writer_null(writer);
        return;
    }
    if (writer->error < 0)
        return;

    copy = own(writer, string);
    if (!copy)
        return;
    node = value(writer, JMP_NODE_STRING);
    if (node)
        node->string = copy;
}

/* Levels below @node, itself included; never looks deeper than one level too many. */
static unsigned height(const struct jmp_node *node, unsigned limit)
{
    unsigned highest = 0;

    if (limit == 0 || (node->kind != JMP_NODE_LIST && node->kind != JMP_NODE_MAP))
        return 0;

    JMP_NODE_EACH(child, node) {
        unsigned h = height(child, limit - 1);

        if (h > highest)
            highest = h;
    }
    return highest + 1;
}

void jmp_writer_node(struct jmp_writer *writer, const struct jmp_node *node)
{
    if (!node) {
        jmp_writer_null(writer);
        return;
    }
    if (writer->error < 0)
        return;

    if (writer->depth + height(node, JMP_NESTING_MAX + 1) > JMP_NESTING_MAX) {
        fail(writer, -E2BIG);
        return;
    }
    place(writer, jmp_node_copy(writer->tree, node));
}

static void begin(struct jmp_writer *writer, enum jmp_node_kind kind)
{
    struct jmp_node *node = value(writer, kind);

    if (!node)
        return;
    if (writer->depth == ELEMENTSOF(writer->open)) {
        fail(writer, -E2BIG);
        return;
    }
    writer->open[writer->depth++] = node;
}

static void end(struct jmp_writer *writer, enum jmp_node_kind kind)
{
    const struct jmp_node *node = container(writer), *twice;
    int r;

    if (writer->error < 0)
        return;
    if (!node || node->kind != kind || writer->key) {
        fail(writer, -EINVAL);
        return;
    }

    if (kind == JMP_NODE_MAP) {
        r = jmp_node_find_double(node, &twice);
        if (r != 0)
            fail(writer, r < 0 ? r : -EINVAL);
    }
    writer->depth--;
}

void jmp_writer_begin_map(struct jmp_writer *writer)
{
    begin(writer, JMP_NODE_MAP);
}

void jmp_writer_end_map(struct jmp_writer *writer)
{
    end(writer, JMP_NODE_MAP);
}

void jmp_writer_begin_list(struct jmp_writer *writer)
{
    begin(writer, JMP_NODE_LIST);
}

void jmp_writer_end_list(struct jmp_writer *writer)
{
    end(writer, JMP_NODE_LIST);
}

int jmp_writer_finish(struct jmp_writer *writer, const struct jmp_node **ret)
{
    int r;

    if (writer->depth > 0 || writer->key)
        fail(writer, -EINVAL);
    if (!writer->root)
        jmp_writer_null(writer);

    r = writer->error;
    if (r == 0)
        *ret = writer->root;

    *writer = (struct jmp_writer){ .tree = writer->tree };
    return r;
}
