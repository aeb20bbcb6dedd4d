/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/value.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "google/protobuf/struct.pb-c.h"

/* Whole numbers up to here are exact as doubles. */
#define EXACT_MAX 9007199254740992.0   /* 2^53 */

static int read_value(const Google__Protobuf__Value *value, struct jmp_tree *tree, unsigned depth,
                      struct jmp_node **ret);

static struct jmp_node *find_member(struct jmp_node *map, const char *key)
{
    for (struct jmp_node *child = map->first; child; child = child->next) {
        if (strcmp(child->key, key) == 0)
            return child;
    }
    return NULL;
}

static int read_struct(const Google__Protobuf__Struct *fields, struct jmp_tree *tree, unsigned depth,
                       struct jmp_node **ret)
{
    struct jmp_node *map = jmp_node_new(tree, JMP_NODE_MAP), *value, *old;
    int r;

    if (!map)
        return -ENOMEM;
    for (size_t i = 0; fields && i < fields->n_fields; i++) {
        const Google__Protobuf__Struct__FieldsEntry *entry = fields->fields[i];

        r = read_value(entry->value, tree, depth + 1, &value);
        if (r < 0)
            return r;
        /* The last of a doubled key counts. Looking back is quadratic, so only small maps may have doubled keys. */
        old = fields->n_fields <= 1024 ? find_member(map, entry->key) : NULL;
        if (old) {
            struct jmp_node *next = old->next;
            const char *key = old->key;

            *old = *value;
            old->next = next;
            old->key = key;
            continue;
        }
        value->key = jmp_tree_strdup(tree, entry->key, strlen(entry->key));
        if (!value->key)
            return -ENOMEM;
        jmp_node_append(map, value);
    }
    *ret = map;
    return 0;
}

static int read_list(const Google__Protobuf__ListValue *values, struct jmp_tree *tree, unsigned depth,
                     struct jmp_node **ret)
{
    struct jmp_node *list = jmp_node_new(tree, JMP_NODE_LIST), *value;
    int r;

    if (!list)
        return -ENOMEM;
    for (size_t i = 0; values && i < values->n_values; i++) {
        r = read_value(values->values[i], tree, depth + 1, &value);
        if (r < 0)
            return r;
        jmp_node_append(list, value);
    }
    *ret = list;
    return 0;
}

static int read_value(const Google__Protobuf__Value *value, struct jmp_tree *tree, unsigned depth,
                      struct jmp_node **ret)
{
    struct jmp_node *node;

    if (depth > JMP_NESTING_MAX)
        return -ELOOP;
    if (value && value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
        return read_struct(value->struct_value, tree, depth, ret);
    if (value && value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE)
        return read_list(value->list_value, tree, depth, ret);

    node = jmp_node_new(tree, JMP_NODE_NULL);
    if (!node)
        return -ENOMEM;
    switch (value ? value->kind_case : GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        node->kind = JMP_NODE_BOOL;
        node->boolean = value->bool_value;
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        node->kind = JMP_NODE_NUMBER;
        node->number = value->number_value;
        node->whole = isfinite(node->number) && fabs(node->number) <= EXACT_MAX && floor(node->number) == node->number;
        if (node->whole)
            node->integer = (int64_t)node->number;
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        node->kind = JMP_NODE_STRING;
        node->string = jmp_tree_strdup(tree, value->string_value, strlen(value->string_value));
        if (!node->string)
            return -ENOMEM;
        break;
    default:
        break;
    }
    *ret = node;
    return 0;
}

int jmp_value_to_node(const Google__Protobuf__Value *value, struct jmp_tree *tree, struct jmp_node **ret)
{
    return read_value(value, tree, 0, ret);
}

static int write_value(const struct jmp_node *node, struct jmp_tree *tree, unsigned depth,
                       Google__Protobuf__Value **ret);

static int write_struct(const struct jmp_node *map, struct jmp_tree *tree, unsigned depth,
                        Google__Protobuf__Struct **ret)
{
    Google__Protobuf__Struct *fields = jmp_tree_alloc(tree, sizeof(*fields));
    size_t i = 0;
    int r;

    if (!fields)
        return -ENOMEM;
    google__protobuf__struct__init(fields);
    fields->fields = jmp_tree_alloc(tree, (map->count + 1) * sizeof(*fields->fields));
    if (!fields->fields)
        return -ENOMEM;
    JMP_NODE_EACH(child, map) {
        Google__Protobuf__Struct__FieldsEntry *entry = jmp_tree_alloc(tree, sizeof(*entry));

        if (!entry)
            return -ENOMEM;
        google__protobuf__struct__fields_entry__init(entry);
        entry->key = (char *)jmp_tree_strdup(tree, child->key, strlen(child->key));
        if (!entry->key)
            return -ENOMEM;
        r = write_value(child, tree, depth + 1, &entry->value);
        if (r < 0)
            return r;
        fields->fields[i++] = entry;
    }
    fields->n_fields = i;
    *ret = fields;
    return 0;
}

static int write_list(const struct jmp_node *list, struct jmp_tree *tree, unsigned depth,
                      Google__Protobuf__ListValue **ret)
{
    Google__Protobuf__ListValue *values = jmp_tree_alloc(tree, sizeof(*values));
    size_t i = 0;
    int r;

    if (!values)
        return -ENOMEM;
    google__protobuf__list_value__init(values);
    values->values = jmp_tree_alloc(tree, (list->count + 1) * sizeof(*values->values));
    if (!values->values)
        return -ENOMEM;
    JMP_NODE_EACH(child, list) {
        r = write_value(child, tree, depth + 1, &values->values[i]);
        if (r < 0)
            return r;
        i++;
    }
    values->n_values = i;
    *ret = values;
    return 0;
}

static int write_value(const struct jmp_node *node, struct jmp_tree *tree, unsigned depth,
                       Google__Protobuf__Value **ret)
{
    Google__Protobuf__Value *value = jmp_tree_alloc(tree, sizeof(*value));
    int r = 0;

    if (!value)
        return -ENOMEM;
    if (depth > JMP_NESTING_MAX)
        return -ELOOP;
    google__protobuf__value__init(value);
    value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
    switch (node ? node->kind : JMP_NODE_NULL) {
    case JMP_NODE_NULL:
        break;
    case JMP_NODE_BOOL:
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        value->bool_value = node->boolean;
        break;
    case JMP_NODE_NUMBER:
        if (!isfinite(node->number))
            break;
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        value->number_value = node->number;
        break;
    case JMP_NODE_STRING:
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        value->string_value = (char *)jmp_tree_strdup(tree, node->string, strlen(node->string));
        if (!value->string_value)
            return -ENOMEM;
        break;
    case JMP_NODE_LIST:
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        r = write_list(node, tree, depth, &value->list_value);
        break;
    case JMP_NODE_MAP:
        value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        r = write_struct(node, tree, depth, &value->struct_value);
        break;
    }
    if (r < 0)
        return r;
    *ret = value;
    return 0;
}

int jmp_value_from_node(const struct jmp_node *node, struct jmp_tree *tree, Google__Protobuf__Value **ret)
{
    return write_value(node, tree, 0, ret);
}
