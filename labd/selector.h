/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label selectors: requirements joined by commas, as users write them with -l.
 * "key", "!key", "key=v", "key==v", "key!=v", "key in (a,b)", "key notin (a,b)", "key>1", "key<1".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "labd/labels.h"

#define JMP_SELECTOR_MAX 4096u              /* bytes of text */
#define JMP_SELECTOR_REQUIREMENTS_MAX 64u
#define JMP_SELECTOR_VALUES_MAX 64u         /* of one requirement */

enum jmp_operator {
    JMP_EQUALS,
    JMP_NOT_EQUALS,
    JMP_IN,
    JMP_NOT_IN,
    JMP_EXISTS,
    JMP_DOES_NOT_EXIST,
    JMP_GREATER,
    JMP_LESS,
};

struct jmp_requirement {
    enum jmp_operator op;
    char *key;
    char **values;        /* sorted, each once; one for =, !=, > and <, none for the two of existence */
    size_t count;
};

/* Zeroed memory is the selector that matches everything. */
struct jmp_selector {
    struct jmp_requirement *items;
    size_t count;
};

void jmp_selector_clear(struct jmp_selector *selector);

/** jmp_selector_parse() - @text may be empty: everything matches
 * @selector: empty before; cleared on failure
 * Return: 0, -EINVAL with words, -E2BIG, -ENOMEM. */
int jmp_selector_parse(struct jmp_selector *selector, const char *text, struct jmp_error *reterr);

/** jmp_selector_add() - one requirement, checked as the parser does */
int jmp_selector_add(struct jmp_selector *selector, const char *key, enum jmp_operator op, const char *const *values,
                     size_t count, struct jmp_error *reterr);

/**
 * jmp_selector_normalize() - into the form that leases keep: equality, sets and existence, sorted by key
 *
 * Several != on one key become one "notin". Clients compare the text of the result with what they sent, so its form is
 * part of the protocol (docs/labd.md, "Selectors").
 *
 * Return: 0, -EINVAL for > and <, and for two equalities on one key that contradict, -ENOMEM.
 */
int jmp_selector_normalize(struct jmp_selector *selector, struct jmp_error *reterr);

/** jmp_selector_print() - "" for the empty selector; free() @ret */
int jmp_selector_print(const struct jmp_selector *selector, char **ret);
bool jmp_selector_matches(const struct jmp_selector *selector, const struct jmp_labels *labels);
/** jmp_selector_equalities() - add every "key=value" requirement to @labels */
int jmp_selector_equalities(const struct jmp_selector *selector, struct jmp_labels *labels);
