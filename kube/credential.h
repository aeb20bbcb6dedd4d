/* SPDX-License-Identifier: Apache-2.0 */
/* Who we are to the API server, kept fresh: a token, one in a file that others renew, or what a program says. */
#pragma once

#include "base/loop.h"
#include "kube/kubeconfig.h"

struct jmp_kube_credential;

/* Strings are NULL when there is none; good until the next call about the credential. */
struct jmp_kube_identity {
    const char *token;
    const char *certificate, *key;   /* PEM */
};

/** jmp_kube_credential_new() - @loop and @access are borrowed */
int jmp_kube_credential_new(struct jmp_loop *loop, const struct jmp_kube_access *access,
                            struct jmp_kube_credential **ret);
struct jmp_kube_credential *jmp_kube_credential_free(struct jmp_kube_credential *credential);
JMP_DEFINE_CLEANUP(struct jmp_kube_credential *, jmp_kube_credential_free)

/**
 * jmp_kube_credential_get() - the identity to use now; a token file is read again when that was 30 s ago
 *
 * Return: 0, -EAGAIN when a program has to be asked first: jmp_kube_credential_fetch(); why a file cannot be read.
 */
int jmp_kube_credential_get(struct jmp_kube_credential *credential, struct jmp_kube_identity *ret,
                            struct jmp_error *reterr);

/**
 * jmp_kube_credential_fetch() - ask the program; at most one question at a time
 * @fetched:  on the loop, once; @error is NULL when there is an identity now
 *
 * The program has 60 s, or 5 minutes where it may ask the person at the terminal.
 *
 * Return: 0 or why it cannot be started; then @fetched is not called.
 */
int jmp_kube_credential_fetch(struct jmp_kube_credential *credential,
                              void (*fetched)(const struct jmp_error *error, void *user), void *user,
                              struct jmp_error *reterr);

/** jmp_kube_credential_refuse() - the server did not take it. Return: whether another may be had, by get() or
 * fetch(). */
bool jmp_kube_credential_refuse(struct jmp_kube_credential *credential);
