/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/oidc.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "base/uuid.h"
#include "ctl/callback.h"
#include "ctl/claims.h"
#include "kube/http.h"

#define TIMEOUT (30 * JMP_USEC_PER_SEC)
#define LOGIN_TIMEOUT (600 * JMP_USEC_PER_SEC)
#define ANSWER_MAX (256u * 1024)
#define TOKEN_MAX (16u * 1024) /* it goes into a header of each call */

static void forget(char **secret)
{
    if (*secret)
        explicit_bzero(*secret, strlen(*secret));
    free(*secret);
    *secret = NULL;
}

/* One request after the other, with everything that has to be there for it. */
struct provider {
    const struct jmp_oidc *oidc;
    struct jmp_loop *loop;
    struct jmp_http *http;
    struct jmp_tree *tree; /* of the answers */
    char *ca;              /* of $SSL_CERT_FILE */
    int signal;
    bool answered;
    const char *url; /* that is asked */
    struct jmp_error error;
    const struct jmp_node *answer;
};

static void on_signal(int signal, void *user)
{
    struct provider *provider = user;

    provider->signal = signal;
    jmp_loop_exit(provider->loop, 0);
}

/* Refusals have a word of the standard and perhaps a sentence; nothing else of an answer is repeated. */
static void refuse(struct provider *provider, const struct jmp_http_answer *answer)
{
    const char *word = jmp_node_string(jmp_node_get(provider->answer, "error"));
    const char *text = jmp_node_string(jmp_node_get(provider->answer, "error_description"));

    if (!word)
        jmp_error_set(&provider->error, -EPROTO, "%s answers with status %u", provider->url, answer->status);
    else
        jmp_error_set(&provider->error, -EACCES, "the identity provider refuses: %.100s%s%.200s", word,
                      text ? ": " : "", text ?: "");
}

static void on_answer(const struct jmp_http_answer *answer, void *user)
{
    struct provider *provider = user;
    bool is_map = false;
    int r;

    provider->answered = true;
    provider->answer = NULL;
    jmp_loop_exit(provider->loop, 0);
    if (answer->error < 0) {
        jmp_error_set(&provider->error, answer->error, "%s: %s", provider->url, answer->text);
        if (strstr(answer->text, "certificate"))
            jmp_error_hint(&provider->error, "SSL_CERT_FILE=FILE names the authority of its certificate");
        return;
    }
    if (answer->length <= ANSWER_MAX) {
        r = jmp_json_parse(answer->body, answer->length, provider->tree, &provider->answer, NULL);
        is_map = r == 0 && provider->answer->kind == JMP_NODE_MAP;
    }
    if (!is_map)
        provider->answer = NULL;
    if (answer->status < 200 || answer->status > 299)
        refuse(provider, answer);
    else if (!is_map)
        jmp_error_set(&provider->error, -EPROTO, "%s does not answer with a JSON object", provider->url);
}

/* @body: a form, or NULL to get */
static int ask(struct provider *provider, const char *url, const char *body, struct jmp_error *reterr)
{
    static const char *const headers[] = { "Accept: application/json",
                                           "Content-Type: application/x-www-form-urlencoded", NULL };
    const struct jmp_http_request request = {
        .method = body ? "POST" : "GET",
        .url = url,
        .headers = headers,
        .body = body,
        .length = body ? strlen(body) : 0,
        .timeout = TIMEOUT,
    };
    struct jmp_http_transfer *transfer;
    int r;

    provider->url = url;
    provider->answered = false;
    provider->error = JMP_ERROR_INIT;
    r = jmp_http_start(provider->http, &request, on_answer, provider, &transfer);
    if (r < 0)
        return jmp_error_set(reterr, r, r == -EINVAL ? "\"%s\" is no URL of an identity provider" : "%s: %m", url);
    jmp_loop_run(provider->loop);
    if (!provider->answered) {
        jmp_http_cancel(transfer);
        return jmp_error_set(reterr, -ECANCELED, "interrupted");
    }
    jmp_loop_resume(provider->loop);
    if (provider->error.error < 0 && reterr)
        *reterr = provider->error;
    return provider->error.error;
}

static bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* A provider behind TLS cannot send us to one without. */
static bool is_trusted(const char *endpoint, const char *issuer)
{
    return endpoint &&
           (starts_with(endpoint, "https://") || (starts_with(endpoint, "http://") && starts_with(issuer, "http://")));
}

/* Where tokens are given out, and people log in; @retlogin may be NULL. */
static int discover(struct provider *provider, const char **rettoken, const char **retlogin, struct jmp_error *reterr)
{
    const char *issuer = provider->oidc->issuer, *said;
    size_t length = strlen(issuer);
    _cleanup_free_ char *url = NULL;
    int r;

    while (length > 0 && issuer[length - 1] == '/')
        length--;
    if (asprintf(&url, "%.*s/.well-known/openid-configuration", (int)length, issuer) < 0) {
        url = NULL;
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    r = ask(provider, url, NULL, reterr);
    if (r < 0)
        return r;
    said = jmp_node_string(jmp_node_get(provider->answer, "issuer"));
    if (!said || strncmp(said, issuer, length) != 0 || strspn(said + length, "/") != strlen(said + length))
        return jmp_error_set(reterr, -EPROTO, "%s is of another issuer, \"%.200s\"", url, said ?: "");
    *rettoken = jmp_node_string(jmp_node_get(provider->answer, "token_endpoint"));
    if (!is_trusted(*rettoken, issuer))
        return jmp_error_set(reterr, -EPROTO, "%s names no token endpoint that can be trusted", url);
    if (!retlogin)
        return 0;
    *retlogin = jmp_node_string(jmp_node_get(provider->answer, "authorization_endpoint"));
    if (!is_trusted(*retlogin, issuer))
        return jmp_error_set(reterr, -EPROTO, "%s names no authorization endpoint that can be trusted", url);
    return 0;
}

/* "NAME=VALUE", which may be a secret. Return: false: no memory. */
static bool put_field(FILE *stream, const char *head, const char *name, const char *value)
{
    char *escaped = jmp_http_escape(value);
    bool done = escaped;

    if (done)
        fprintf(stream, "%s%s=%s", head, name, escaped);
    forget(&escaped);
    return done;
}

/* free() @ret after explicit_bzero() */
static int print_form(const struct jmp_oidc *oidc, const struct jmp_oidc_field *fields, char **ret)
{
    size_t size;
    FILE *stream = open_memstream(ret, &size);
    bool done;

    if (!stream)
        return -ENOMEM;
    done = put_field(stream, "", "client_id", oidc->client_id);
    for (; done && fields->name; fields++)
        done = put_field(stream, "&", fields->name, fields->value);
    return fclose(stream) == 0 && done ? 0 : -ENOMEM;
}

/* What may go into a header and a file. */
static bool is_token(const char *text)
{
    if (!text || !*text || strlen(text) > TOKEN_MAX)
        return false;
    for (; *text; text++)
        if (!isgraph((unsigned char)*text))
            return false;
    return true;
}

static int take_tokens(struct provider *provider, struct jmp_oidc_tokens *ret, struct jmp_error *reterr)
{
    const char *access = jmp_node_string(jmp_node_get(provider->answer, "access_token"));
    const char *refresh = jmp_node_string(jmp_node_get(provider->answer, "refresh_token"));
    struct jmp_oidc_tokens tokens = { 0 };

    if (!is_token(access) || (refresh && !is_token(refresh)))
        return jmp_error_set(reterr, -EPROTO, "%s gives no token that can be used", provider->url);
    tokens.access = strdup(access);
    tokens.refresh = refresh ? strdup(refresh) : NULL;
    if (!tokens.access || (refresh && !tokens.refresh)) {
        jmp_oidc_clear(&tokens);
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    *ret = tokens;
    return 0;
}

static int open_provider(struct provider *provider, struct jmp_error *reterr)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    const char *file = getenv("SSL_CERT_FILE");
    size_t length;
    int r;

    if (file && *file) {
        r = jmp_file_read(file, JMP_CONFIG_MAX, &provider->ca, &length, reterr);
        if (r < 0)
            return r;
    }
    r = jmp_tree_new(0, &provider->tree);
    if (r == 0)
        r = jmp_loop_new(&provider->loop);
    for (size_t i = 0; r == 0 && i < ELEMENTSOF(signals); i++)
        r = jmp_loop_signal(provider->loop, signals[i], on_signal, provider);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_http_new(provider->loop, &provider->http, reterr);
    if (r == 0)
        jmp_http_set_peer(provider->http,
                          &(const struct jmp_http_peer){ .ca = provider->ca, .insecure = provider->oidc->insecure });
    return r;
}

static void close_provider(struct provider *provider)
{
    jmp_http_free(provider->http);
    jmp_loop_free(provider->loop);
    jmp_tree_free(provider->tree);
    free(provider->ca);
}

/* @endpoint: where tokens are given out */
static int ask_for_tokens(struct provider *provider, const char *endpoint, const struct jmp_oidc_field *fields,
                          struct jmp_oidc_tokens *ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *form = NULL;
    int r;

    if (print_form(provider->oidc, fields, &form) < 0)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    r = ask(provider, endpoint, form, reterr);
    if (r == 0)
        r = take_tokens(provider, ret, reterr);
    explicit_bzero(form, strlen(form));
    return r;
}

int jmp_oidc_grant(const struct jmp_oidc *oidc, const struct jmp_oidc_field *fields, struct jmp_oidc_tokens *ret,
                   struct jmp_error *reterr)
{
    struct provider provider = { .oidc = oidc };
    const char *endpoint = NULL;
    int r;

    r = open_provider(&provider, reterr);
    if (r == 0)
        r = discover(&provider, &endpoint, NULL, reterr);
    if (r == 0)
        r = ask_for_tokens(&provider, endpoint, fields, ret, reterr);
    close_provider(&provider);
    return r;
}

int jmp_oidc_fetch(const char *url, bool insecure, struct jmp_tree *tree, const struct jmp_node **ret,
                   struct jmp_error *reterr)
{
    const struct jmp_oidc oidc = { .insecure = insecure };
    struct provider provider = { .oidc = &oidc };
    int r;

    r = open_provider(&provider, reterr);
    if (r == 0)
        r = ask(&provider, url, NULL, reterr);
    if (r == 0 && !(*ret = jmp_node_copy(tree, provider.answer)))
        r = jmp_error_set(reterr, -ENOMEM, "%m");
    close_provider(&provider);
    return r;
}

/* Who hears the code on its way cannot use it: it is good only for whoever knows @verifier, of which the link has the
 * hash. */
#define VERIFIER_SIZE (2 * JMP_UUID_SIZE)

static int make_challenge(char verifier[VERIFIER_SIZE], char **ret)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    jmp_uuid_random(verifier);
    verifier[JMP_UUID_SIZE - 1] = '.';
    jmp_uuid_random(verifier + JMP_UUID_SIZE);
    if (EVP_Digest(verifier, strlen(verifier), hash, &length, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    *ret = jmp_base64_encode((char *)hash, length);
    if (!*ret)
        return -ENOMEM;
    for (char *c = *ret; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c == '=' ? '\0' : *c;
    return 0;
}

static int print_link(const struct jmp_oidc *oidc, const char *endpoint, const struct jmp_oidc_field *fields,
                      struct jmp_error *reterr)
{
    _cleanup_free_ char *query = NULL;

    if (print_form(oidc, fields, &query) < 0)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    fputs("Please open the URL in browser:  ", stderr);
    jmp_text_put(stderr, endpoint);
    fprintf(stderr, "%c%s\n", strchr(endpoint, '?') ? '&' : '?', query);
    return 0;
}

/* The link, and the code that comes back. */
static int ask_person(const struct jmp_oidc *oidc, const char *endpoint, struct jmp_callback *callback,
                      const char *redirect, bool offline, char verifier[VERIFIER_SIZE], char **ret,
                      struct jmp_error *reterr)
{
    _cleanup_free_ char *challenge = NULL;
    char state[JMP_UUID_SIZE];
    int r;

    jmp_uuid_random(state);
    if (make_challenge(verifier, &challenge) < 0)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    r = print_link(
        oidc, endpoint,
        (const struct jmp_oidc_field[]){ { "response_type", "code" },
                                         { "redirect_uri", redirect },
                                         { "scope", offline ? JMP_OIDC_SCOPES " offline_access" : JMP_OIDC_SCOPES },
                                         { "state", state },
                                         { "code_challenge", challenge },
                                         { "code_challenge_method", "S256" },
                                         { 0 } },
        reterr);
    return r < 0 ? r : jmp_callback_wait(callback, state, LOGIN_TIMEOUT, ret, reterr);
}

int jmp_oidc_browser(const struct jmp_oidc *oidc, unsigned port, bool offline, struct jmp_oidc_tokens *ret,
                     struct jmp_error *reterr)
{
    struct provider provider = { .oidc = oidc };
    struct jmp_callback callback = JMP_CALLBACK_INIT;
    const char *token_endpoint = NULL, *login_endpoint = NULL;
    char verifier[VERIFIER_SIZE], redirect[64], *code = NULL;
    int r;

    r = open_provider(&provider, reterr);
    if (r == 0)
        r = discover(&provider, &token_endpoint, &login_endpoint, reterr);
    if (r == 0)
        r = jmp_callback_open(&callback, port, reterr);
    snprintf(redirect, sizeof(redirect), "http://localhost:%u/callback", callback.port);
    if (r == 0)
        r = ask_person(oidc, login_endpoint, &callback, redirect, offline, verifier, &code, reterr);
    if (r == 0)
        r = ask_for_tokens(&provider, token_endpoint,
                           (const struct jmp_oidc_field[]){ { "grant_type", "authorization_code" },
                                                            { "code", code },
                                                            { "redirect_uri", redirect },
                                                            { "code_verifier", verifier },
                                                            { 0 } },
                           ret, reterr);
    forget(&code);
    explicit_bzero(verifier, sizeof(verifier));
    jmp_callback_close(&callback);
    close_provider(&provider);
    return r;
}

void jmp_oidc_clear(struct jmp_oidc_tokens *tokens)
{
    forget(&tokens->access);
    forget(&tokens->refresh);
}

int jmp_oidc_issuer(const char *token, char **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *claims;
    const char *issuer;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_claims_read(token, tree, &claims, reterr);
    if (r < 0)
        return r;
    issuer = jmp_node_string(jmp_node_get(claims, "iss"));
    if (!issuer || !*issuer)
        return jmp_error_set(reterr, -EINVAL, "it does not say who gave it");
    *ret = strdup(issuer);
    return *ret ? 0 : jmp_error_set(reterr, -ENOMEM, "%m");
}
