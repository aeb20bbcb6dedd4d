/* SPDX-License-Identifier: Apache-2.0 */
/* Names of things in messages, "namespaces/NS/leases/NAME", and back. */
#pragma once

#include "base/error.h"

#define JMP_IDENT_NAME_MAX 253u /* of a namespace or a name, as in Kubernetes */
#define JMP_IDENT_MAX (2 * (JMP_IDENT_NAME_MAX + 1) + 32)

struct jmp_ident {
    char namespace_[JMP_IDENT_NAME_MAX + 1];
    char name[JMP_IDENT_NAME_MAX + 1]; /* "" for a namespace */
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
