/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed tokens: JSON Web Tokens with HMAC-SHA-256, and the keys that sign them. Whoever reads a key file can be
 * anybody in this lab, so it is readable by its owner alone, and a token is never logged.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/uuid.h"

#define JMP_KEY_SIZE 32u
#define JMP_TOKEN_MAX 4096u                 /* bytes of a token */
#define JMP_SUBJECT_MAX 640u                /* kind, namespace, name and uid with their colons */

#define JMP_TOKEN_LIFETIME (INT64_C(365) * 24 * 3600)   /* of clients and exporters, seconds */
#define JMP_STREAM_TOKEN_LIFETIME (INT64_C(30) * 60)

struct jmp_key {
    unsigned char bytes[JMP_KEY_SIZE];
};

/** jmp_key_load() - read a key file, and make it first if there is none
 * Return: 0, -EBADMSG (not a key file), -EACCES and other errno, all with words. */
int jmp_key_load(const char *path, struct jmp_key *ret, struct jmp_error *reterr);
void jmp_key_clear(struct jmp_key *key);

/* What the two kinds of tokens have in common. Strings are borrowed. Times in seconds since 1970. */
struct jmp_token_kind {
    const char *issuer, *audience;
};

extern const struct jmp_token_kind jmp_token_identity;   /* of clients and exporters */
extern const struct jmp_token_kind jmp_token_stream;     /* of one router stream; docs/protocol.md, "Dial" */

/** jmp_token_sign() - @not_before is written for stream tokens only; free() @ret */
int jmp_token_sign(const struct jmp_key *key, const struct jmp_token_kind *kind, const char *subject, int64_t now,
                   int64_t expires, char **ret);

struct jmp_token {
    char subject[JMP_SUBJECT_MAX];
    int64_t expires;
};

/**
 * jmp_token_verify() - is this one of ours, for this purpose, and still good?
 *
 * The signature is compared in constant time and looked at before anything else but the issuer, which says whether it
 * is meant to be one of ours at all.
 *
 * Return: 0, -EBADMSG (not a token of ours), -EKEYREJECTED (signature, audience), -EKEYEXPIRED, -ENOMEM; words for the
 * peer in @reterr.
 */
int jmp_token_verify(const struct jmp_key *key, const struct jmp_token_kind *kind, const char *token, int64_t now,
                     struct jmp_token *ret, struct jmp_error *reterr);
