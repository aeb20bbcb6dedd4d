/* SPDX-License-Identifier: Apache-2.0 */
/* JSON objects as structs: a row says where a member goes and what it must be, so that all are read, and refused,
 * alike. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/node.h"

#define JMP_KUBE_NO_TIME INT64_MIN

/* RFC 3339. Custom resources keep what they were sent, so the text is worth having. */
struct jmp_kube_time {
    const char *text;          /* NULL: absent */
    int64_t usec;              /* since 1970; JMP_KUBE_NO_TIME: absent */
};

enum jmp_kube_type {
    JMP_KUBE_TEXT,             /* const char *, NULL: absent */
    JMP_KUBE_FLAG,             /* bool */
    JMP_KUBE_INT32,            /* int32_t */
    JMP_KUBE_INT64,            /* int64_t */
    JMP_KUBE_TIME,             /* struct jmp_kube_time */
    JMP_KUBE_ANY,              /* const json_t *, whatever it is; NULL: absent */
    JMP_KUBE_TEXT_MAP,         /* const json_t *, an object of strings */
    JMP_KUBE_TEXT_LIST,        /* const json_t *, an array of strings */
    JMP_KUBE_INSIDE,           /* a struct, zero when absent */
    JMP_KUBE_ONE,              /* a pointer to a struct, NULL when absent */
    JMP_KUBE_MANY,             /* a pointer to an array of structs, and a size_t for its length */
};

struct jmp_kube_field {
    const char *key;
    enum jmp_kube_type type;
    size_t offset, count;                     /* of the member, and of a list's length */
    const struct jmp_kube_field *fields;      /* of a struct; ends with a row without a key */
    size_t size;                              /* of one struct */
    bool required;
    int64_t preset;                           /* of a flag or number that is absent */
};

/**
 * jmp_kube_fields_read() - fill a struct
 * @object:  zeroed; strings and JSON values in it are borrowed from @map
 * @path:    of @map, "" at the top, for messages
 * @tree:    owns what ONE and MANY point to; NULL where there are none
 *
 * Null is absent, unknown members do not matter.
 *
 * Return: 0, -EINVAL with the member's path for one of another type or one that must be there, -ENOMEM.
 */
int jmp_kube_fields_read(const struct jmp_kube_field *fields, void *object, const json_t *map, const char *path,
                         struct jmp_tree *tree, struct jmp_error *reterr);
