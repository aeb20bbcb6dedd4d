/* SPDX-License-Identifier: Apache-2.0 */
/* Labels, tags and contexts: small maps of strings, and the syntax that label keys and values must have. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define JMP_LABELS_MAX 64u             /* of one object */
#define JMP_LABEL_NAME_MAX 63u         /* the part of a key after its prefix, and a value */
#define JMP_LABEL_PREFIX_MAX 253u      /* a DNS subdomain */

struct jmp_label {
    char *key, *value;
};

/* Sorted by key, every key once. Zeroed memory is an empty map. */
struct jmp_labels {
    struct jmp_label *items;
    size_t count;
};

/** jmp_labels_set() - add or replace; both strings are copied. Return: 0, -ENOMEM, -E2BIG (JMP_LABELS_MAX). */
int jmp_labels_set(struct jmp_labels *labels, const char *key, const char *value);
/** jmp_labels_get() - the value of @key, or NULL */
const char *jmp_labels_get(const struct jmp_labels *labels, const char *key);
/** jmp_labels_remove() - every key that begins with @prefix */
void jmp_labels_remove(struct jmp_labels *labels, const char *prefix);
int jmp_labels_copy(struct jmp_labels *labels, const struct jmp_labels *from);
void jmp_labels_clear(struct jmp_labels *labels);

/** jmp_labels_print() - a JSON object on one line; free() @ret */
int jmp_labels_print(const struct jmp_labels *labels, char **ret);
/** jmp_labels_parse() - what jmp_labels_print() wrote; @labels must be empty. Return: 0, -EBADMSG, -E2BIG, -ENOMEM. */
int jmp_labels_parse(struct jmp_labels *labels, const char *json);

/** jmp_label_name_valid() - letters, digits, '-', '_', '.'; begins and ends with a letter or digit; 1 to 63 bytes */
bool jmp_label_name_valid(const char *text, size_t length);
/** jmp_label_key_valid() - a name, or "dns.sub.domain/name" */
bool jmp_label_key_valid(const char *key);
/** jmp_label_value_valid() - a name, or nothing */
bool jmp_label_value_valid(const char *value);
/** jmp_subdomain_valid() - lower-case letters, digits, '-' and '.' as DNS-1123 has it, 1 to 253 bytes: names of
 * objects */
bool jmp_subdomain_valid(const char *text, size_t length);

/** jmp_label_parse() - "key=value" of a command line into @labels. Return: 0, -EINVAL with words and a hint, -E2BIG,
 * -ENOMEM. */
int jmp_label_parse(struct jmp_labels *labels, const char *text, struct jmp_error *reterr);
