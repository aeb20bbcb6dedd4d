/* SPDX-License-Identifier: Apache-2.0 */
/* What a token says of itself, if it is a JSON Web Token; only who signed it could say whether that is true. */
#pragma once

#include "base/error.h"
#include "base/node.h"

/** jmp_claims_read() - the claims, a map in @tree. Return: 0, -EINVAL with words: it is no such token; -ENOMEM. */
int jmp_claims_read(const char *token, struct jmp_tree *tree, const struct jmp_node **ret, struct jmp_error *reterr);
/** jmp_claims_time() - seconds since 1970 under @key. Return: false: there are none, or none before the year 10000. */
bool jmp_claims_time(const struct jmp_node *claims, const char *key, int64_t *ret);
