/* SPDX-License-Identifier: Apache-2.0 */
/* What the controller knows us by: the token of the exporter's file, which may be renewed while we run. */
#pragma once

#include "base/cleanup.h"

struct jmp_token;

/**
 * jmp_token_new()
 * @token:  secret, copied
 * @file:   the exporter's configuration, copied; looked at again at each use. NULL: the token never changes.
 *
 * Return: 0, -ENOMEM.
 */
int jmp_token_new(const char *token, const char *file, struct jmp_token **ret);
/** jmp_token_free() - wiped from memory */
struct jmp_token *jmp_token_free(struct jmp_token *token);
JMP_DEFINE_CLEANUP(struct jmp_token *, jmp_token_free)

/**
 * jmp_token_bearer() - the value of an "authorization" header, with the token that is in the file now
 *
 * A file that is gone, or cannot be read, or holds no token (somebody is just writing it) leaves the old one in use and
 * is complained about once. Borrowed, until the next call.
 */
const char *jmp_token_bearer(struct jmp_token *token);
