/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of an identity provider (OpenID Connect, OAuth 2.0): asked for at its token endpoint, which it tells in its
 * discovery document. Where the controller trusts such a provider, its access tokens are what clients show.
 */
#pragma once

#include "base/error.h"
#include "base/node.h"

#define JMP_OIDC_SCOPES "openid profile"
#define JMP_OIDC_CLIENT_ID "jumpstarter-cli" /* as which stock and native clients are known to providers */

struct jmp_oidc {
    const char *issuer; /* https://HOST[/PATH]; http:// only if it says so itself */
    const char *client_id;
    bool insecure; /* do not check its certificate */
};

/* Secrets; jmp_oidc_clear() */
struct jmp_oidc_tokens {
    char *access, *refresh; /* @refresh: NULL: none was given */
};

struct jmp_oidc_field {
    const char *name, *value;
};

/**
 * jmp_oidc_grant() - ask for tokens; waits, at most a minute, and listens to signals meanwhile
 * @fields:  the form of the grant but for client_id, up to a NULL name; never logged
 *
 * The authorities of certificates are those of the system, or of $SSL_CERT_FILE. No redirection is followed.
 *
 * Return: 0, -EACCES: the provider refuses, with its words; -ECANCELED after a signal, others as of jmp_http_start(),
 * with words in which no secret is.
 */
int jmp_oidc_grant(const struct jmp_oidc *oidc, const struct jmp_oidc_field *fields, struct jmp_oidc_tokens *ret,
                   struct jmp_error *reterr);
/**
 * jmp_oidc_browser() - log in with a browser: prints a link on standard error and waits until it was followed, at most
 * ten minutes
 * @port:     of this machine, where the browser is sent afterwards; 0: any
 * @offline:  ask for a refresh token
 *
 * Return: as jmp_oidc_grant(), and -ETIMEDOUT.
 */
int jmp_oidc_browser(const struct jmp_oidc *oidc, unsigned port, bool offline, struct jmp_oidc_tokens *ret,
                     struct jmp_error *reterr);
/** jmp_oidc_fetch() - a JSON object from @url, in @tree; as jmp_oidc_grant() asks */
int jmp_oidc_fetch(const char *url, bool insecure, struct jmp_tree *tree, const struct jmp_node **ret,
                   struct jmp_error *reterr);
void jmp_oidc_clear(struct jmp_oidc_tokens *tokens);

/** jmp_oidc_issuer() - who a token says it comes from; free() @ret. Return: 0, -EINVAL with words: it does not say. */
int jmp_oidc_issuer(const char *token, char **ret, struct jmp_error *reterr);
