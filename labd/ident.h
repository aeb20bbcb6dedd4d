/* SPDX-License-Identifier: Apache-2.0 */
/* Names of things: "namespaces/NS/leases/NAME" and back, and new names for leases. */
#pragma once

#include "base/error.h"
#include "base/uuid.h"
#include "labd/labels.h"

#define JMP_IDENT_MAX (2 * (JMP_LABEL_PREFIX_MAX + 1) + 32)

struct jmp_ident {
    char namespace_[JMP_LABEL_PREFIX_MAX + 1];
    char name[JMP_LABEL_PREFIX_MAX + 1];   /* "" for a namespace */
};

/**
 * jmp_ident_parse() - take an identifier apart
 * @kind:  "exporters", "leases", "clients"; NULL: a namespace alone
 *
 * Return: 0, -EINVAL with words (for the peer, INVALID_ARGUMENT).
 */
int jmp_ident_parse(const char *text, const char *kind, struct jmp_ident *ret, struct jmp_error *reterr);

/** jmp_ident_print() - into @ret, which has room for JMP_IDENT_MAX bytes; returns @ret */
char *jmp_ident_print(char *ret, const char *namespace_, const char *kind, const char *name);

/** jmp_uuid_ordered() - a version 7 UUID: names made one after the other also sort so */
void jmp_uuid_ordered(char ret[JMP_UUID_SIZE]);
