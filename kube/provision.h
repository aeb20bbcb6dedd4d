/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients and exporters as their administrators see them: to make one, to read what it logs in with, to give it another
 * token. Each takes several requests, one after the other, all on the event loop.
 */
#pragma once

#include "kube/kube.h"
#include "kube/objects.h"

#define JMP_PROVISION_POLLS 10u                          /* for what the controller makes, */
#define JMP_PROVISION_INTERVAL JMP_USEC_PER_SEC          /* this often */
#define JMP_PROVISION_CA_MAP "jumpstarter-service-ca-cert"

struct jmp_provision;   /* what is under way */

/* What came of it; borrowed. */
struct jmp_provisioned {
    json_t *object;     /* the client or exporter; NULL after jmp_provision_rotate() */
    const char *token;  /* secret; NULL after jmp_provision_create() */
    const char
        *ca; /* PEM of the controller's authority, "" where the cluster has none of its own; NULL: not asked for */
};

/* Once, on the loop; @error is NULL when it went well, else @result is. */
typedef void (*jmp_provision_done_fn)(const struct jmp_error *error, const struct jmp_provisioned *result, void *user);

/**
 * jmp_provision_create() - make an object and wait until the controller has given it credentials
 * @kind:      JMP_KUBE_CLIENT or JMP_KUBE_EXPORTER
 * @labels:    map of strings, or NULL
 * @username:  who logs in as this one, at the identity provider; or NULL
 * @ret:       may be NULL; good until @done or jmp_provision_cancel()
 *
 * Without credentials after 10 looks, one a second, it fails with -ETIMEDOUT and the object stays.
 *
 * Return: 0, -ENOMEM; then @done is not called.
 */
int jmp_provision_create(struct jmp_kube *kube, enum jmp_kube_kind kind, const char *namespace_, const char *name,
                         const json_t *labels, const char *username, jmp_provision_done_fn done, void *user,
                         struct jmp_provision **ret);

/**
 * jmp_provision_login() - what a configuration needs: the object, its token and the authority of the controller
 * @object:  of that name, if it was read already; NULL: it is read first
 *
 * An object without credentials and a Secret without a token are -ENOENT; a missing map of the authority is no error.
 */
int jmp_provision_login(struct jmp_kube *kube, enum jmp_kube_kind kind, const char *namespace_, const char *name,
                        json_t *object, jmp_provision_done_fn done, void *user, struct jmp_provision **ret);

/**
 * jmp_provision_rotate() - delete a client's Secret and wait until the controller has made another
 *
 * The old one may be read for a while after it was deleted, so it has to be another by its uid. Fails with -ETIMEDOUT
 * after 10 looks. Tokens given out before stay good.
 */
int jmp_provision_rotate(struct jmp_kube *kube, const char *namespace_, const char *name, jmp_provision_done_fn done,
                         void *user, struct jmp_provision **ret);

/** jmp_provision_cancel() - @done will not be called; what was asked of the server may happen all the same */
void jmp_provision_cancel(struct jmp_provision *provision);
