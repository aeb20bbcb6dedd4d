/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/auth.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

void jmp_auth_log_refusal(const struct jmp_rpc *rpc, const char *what, const char *text)
{
    static struct jmp_log_rate rate;
    static unsigned left_out;

    if (!jmp_log_may(&rate)) {
        left_out++;
        return;
    }
    if (left_out > 0)
        jmp_log(JMP_LOG_WARNING, NULL, "%u more refused calls", left_out);
    left_out = 0;
    jmp_log(JMP_LOG_WARNING, FIELDS(.peer = jmp_rpc_peer(rpc)), "%s: %s", what, text);
}

void jmp_refuse(struct jmp_rpc *rpc, const struct jmp_error *error)
{
    jmp_rpc_finish(rpc, error->error == -ENOMEM ? JMP_RESOURCE_EXHAUSTED : JMP_UNKNOWN, "%s",
                   error->text[0] ? error->text : "out of memory");
}

void jmp_refuse_store(struct jmp_lab *lab, struct jmp_rpc *rpc, int error, const char *kind, const char *name)
{
    if (error == -ENOENT) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "%s.jumpstarter.dev \"%s\" not found", kind, name);
        return;
    }

    jmp_log(JMP_LOG_ERROR, FIELDS(.error = error, .operation = jmp_rpc_path(rpc)), "the database failed: %s",
            jmp_store_reason(lab->store));
    jmp_rpc_finish(rpc, JMP_INTERNAL, "the lab's database failed: %s", jmp_store_reason(lab->store));
}

static void refused(struct jmp_rpc *rpc, enum jmp_code code, const char *fmt, ...) JMP_PRINTF(3, 4);

static void refused(struct jmp_rpc *rpc, enum jmp_code code, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    jmp_auth_log_refusal(rpc, "authentication failed", text);
    jmp_rpc_finish(rpc, code, "%s", text);
}

const char *jmp_auth_bearer(struct jmp_rpc *rpc, bool strict)
{
    const char *prefix = strict ? "missing or invalid authorization: " : "";
    unsigned count;
    const char *value = jmp_rpc_metadata(rpc, "authorization", &count);

    if (count == 0)
        refused(rpc, JMP_UNAUTHENTICATED, "%smissing authorization header", prefix);
    else if (count > 1)
        refused(rpc, strict ? JMP_UNAUTHENTICATED : JMP_INVALID_ARGUMENT, "%smultiple authorization headers", prefix);
    else if (strncasecmp(value, "Bearer ", 7) != 0)
        refused(rpc, strict ? JMP_UNAUTHENTICATED : JMP_INVALID_ARGUMENT, "%smalformed authorization header", prefix);
    else
        return value + 7;

    return NULL;
}

bool jmp_auth_is_exporter(const struct jmp_rpc *rpc)
{
    unsigned count;
    const char *kind = jmp_rpc_metadata(rpc, "jumpstarter-kind", &count);

    return count == 1 && strcmp(kind, "Exporter") == 0;
}

static const char *header(struct jmp_rpc *rpc, const char *key)
{
    unsigned count;
    const char *value = jmp_rpc_metadata(rpc, key, &count);

    if (count == 1)
        return value;
    refused(rpc, JMP_INVALID_ARGUMENT, "%s metadata: %s", count == 0 ? "missing" : "multiple", key);
    return NULL;
}

/* What both kinds have in common, in the order in which stock controllers look. */
static bool identify(struct jmp_lab *lab, struct jmp_rpc *rpc, const char *wanted, struct jmp_token *token,
                     const char **retnamespace, const char **retname)
{
    struct jmp_error error = JMP_ERROR_INIT;
    const char *bearer = jmp_auth_bearer(rpc, false), *kind, *name;
    unsigned count;

    if (!bearer)
        return false;
    if (jmp_token_verify(&lab->identity_key, &jmp_token_identity, bearer, jmp_wall_now() / JMP_SECOND, token, &error) <
        0) {
        refused(rpc, JMP_UNKNOWN, "%s", error.text[0] ? error.text : "failed to authenticate token");
        return false;
    }

    *retnamespace = header(rpc, "jumpstarter-namespace");
    if (!*retnamespace)
        return false;
    kind = header(rpc, "jumpstarter-kind");
    if (!kind)
        return false;
    name = jmp_rpc_metadata(rpc, "jumpstarter-name", &count);
    if (count != 1 || !*name) {
        refused(rpc, JMP_INVALID_ARGUMENT, "resource name required for pre-existing authentication");
        return false;
    }
    if (strcmp(kind, wanted) != 0) {
        refused(rpc, JMP_INVALID_ARGUMENT, "object kind mismatch");
        return false;
    }

    *retname = name;
    return true;
}

static bool authorize(struct jmp_lab *lab, struct jmp_rpc *rpc, const char *kind, const char *namespace_,
                      const char *name, const char *uid, int r, const struct jmp_token *token)
{
    char subject[JMP_SUBJECT_MAX];

    if (r == 0 && strcmp(namespace_, lab->namespace_) != 0)
        r = -ENOENT;
    if (r == -ENOENT) {
        refused(rpc, JMP_UNKNOWN, "%s %.64s/%.253s: %ss.jumpstarter.dev \"%.253s\" not found", kind, namespace_, name,
                kind, name);
        return false;
    }
    if (r < 0) {
        jmp_refuse_store(lab, rpc, r, kind, name);
        return false;
    }

    jmp_lab_subject(lab, kind, name, uid, subject);
    if (strlen(subject) != strlen(token->subject) || CRYPTO_memcmp(subject, token->subject, strlen(subject)) != 0) {
        refused(rpc, JMP_PERMISSION_DENIED, "permission denied for %s %s/%s", kind, namespace_, name);
        return false;
    }

    return true;
}

bool jmp_auth_client(struct jmp_lab *lab, struct jmp_rpc *rpc, struct jmp_client *ret)
{
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    const char *namespace_, *name;
    struct jmp_token token;
    int r;

    if (!identify(lab, rpc, "Client", &token, &namespace_, &name))
        return false;
    r = jmp_store_get_client(lab->store, name, &client);
    if (!authorize(lab, rpc, "client", namespace_, name, client.uid, r, &token))
        return false;

    *ret = client;
    client = (struct jmp_client){ 0 };
    return true;
}

bool jmp_auth_exporter(struct jmp_lab *lab, struct jmp_rpc *rpc, struct jmp_exporter *ret)
{
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    const char *namespace_, *name;
    struct jmp_token token;
    int r;

    if (!identify(lab, rpc, "Exporter", &token, &namespace_, &name))
        return false;
    r = jmp_store_get_exporter(lab->store, name, &exporter);
    if (!authorize(lab, rpc, "exporter", namespace_, name, exporter.uid, r, &token))
        return false;

    *ret = exporter;
    exporter = (struct jmp_exporter){ 0 };
    return true;
}
