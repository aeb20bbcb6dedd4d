/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/provision.h"

#include <string.h>

#include "base/base64.h"

#define TOKEN_MAX 65536u

struct jmp_provision {
    struct jmp_kube *kube;
    enum jmp_kube_kind kind;
    char *namespace_, *name;
    jmp_provision_done_fn done;
    void *user;

    struct jmp_kube_request *request;
    struct jmp_timer timer; /* until the next look */
    unsigned looks;
    json_t *object;
    char *secret_name, *old_uid, *token;
};

static void provision_free(struct jmp_provision *provision)
{
    if (provision->request)
        jmp_kube_cancel(provision->request);
    jmp_timer_close(&provision->timer);
    json_decref(provision->object);
    if (provision->token)
        explicit_bzero(provision->token, strlen(provision->token));
    free(provision->token);
    free(provision->old_uid);
    free(provision->secret_name);
    free(provision->name);
    free(provision->namespace_);
    free(provision);
}

static void conclude(struct jmp_provision *provision, const struct jmp_error *error,
                     const struct jmp_provisioned *result)
{
    provision->done(error, result, provision->user);
    provision_free(provision);
}

static void fail(struct jmp_provision *provision, int error, const char *fmt, ...) JMP_PRINTF(3, 4);

static void fail(struct jmp_provision *provision, int error, const char *fmt, ...)
{
    struct jmp_error words = JMP_ERROR_INIT;
    char text[sizeof(words.text)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    jmp_error_set(&words, error, "%s", text);
    conclude(provision, &words, NULL);
}

static void fail_status(struct jmp_provision *provision, const struct jmp_kube_status *status)
{
    struct jmp_error error = JMP_ERROR_INIT;

    jmp_kube_status_error(status, &error);
    conclude(provision, &error, NULL);
}

/* "Client", "exporter": as words at the beginning and in the middle of a sentence. */
static const char *kind_of(const struct jmp_provision *provision)
{
    return jmp_kube_kind_name(provision->kind)->kind;
}
static const char *noun_of(const struct jmp_provision *provision)
{
    return jmp_kube_kind_name(provision->kind)->singular;
}

static const char *member(const json_t *object, const char *outer, const char *inner)
{
    return json_string_value(json_object_get(json_object_get(object, outer), inner));
}

/*
 * Requests. One is under way at a time, so that its end is the only thing that can happen.
 */

static int ask(struct jmp_provision *provision, const char *method, char *path, const json_t *body,
               jmp_kube_done_fn done)
{
    const struct jmp_kube_call call = { .method = method, .path = path, .body = body };
    int r = path ? jmp_kube_request(provision->kube, &call, done, provision, &provision->request) : -ENOMEM;

    free(path);
    return r;
}

static int ask_object(struct jmp_provision *provision, jmp_kube_done_fn done)
{
    const struct jmp_kube_kind_name *kind = jmp_kube_kind_name(provision->kind);

    return ask(provision, "GET",
               jmp_kube_path(kind->group, kind->version, provision->namespace_, kind->plural, provision->name), NULL,
               done);
}

static int ask_secret(struct jmp_provision *provision, const char *method, jmp_kube_done_fn done)
{
    return ask(provision, method, jmp_kube_path("", "v1", provision->namespace_, "secrets", provision->secret_name),
               NULL, done);
}

/* The next step, from within the end of the one before. */
static void go_on(struct jmp_provision *provision, int r)
{
    if (r < 0)
        fail(provision, r, "%s", strerror(-r));
}

/* After a look in vain. */
static void look_again(struct jmp_provision *provision, void (*look)(struct jmp_timer *timer), const char *what)
{
    if (++provision->looks < JMP_PROVISION_POLLS)
        go_on(provision,
              jmp_timer_start(jmp_kube_loop(provision->kube), &provision->timer, JMP_PROVISION_INTERVAL, look));
    else
        fail(provision, -ETIMEDOUT, "Timeout waiting for %s", what);
}

static int provision_new(struct jmp_kube *kube, enum jmp_kube_kind kind, const char *namespace_, const char *name,
                         jmp_provision_done_fn done, void *user, struct jmp_provision **ret)
{
    struct jmp_provision *provision = calloc(1, sizeof(*provision));

    if (!provision)
        return -ENOMEM;
    *provision = (struct jmp_provision){ .kube = kube, .kind = kind, .done = done, .user = user };
    provision->namespace_ = strdup(namespace_);
    provision->name = strdup(name);
    if (!provision->namespace_ || !provision->name) {
        provision_free(provision);
        return -ENOMEM;
    }
    *ret = provision;
    return 0;
}

/* The first step has been taken, or not. */
static int provision_begun(struct jmp_provision *provision, int r, struct jmp_provision **ret)
{
    if (r < 0)
        provision_free(provision);
    else if (ret)
        *ret = provision;
    return r;
}

void jmp_provision_cancel(struct jmp_provision *provision)
{
    provision_free(provision);
}

/*
 * Create.
 */

static void look_for_credential(struct jmp_timer *timer);

static void on_looked(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_provision *provision = user;
    char what[32];

    provision->request = NULL;
    if (status->reason != JMP_KUBE_OK) {
        fail_status(provision, status);
    } else if (json_object_get(json_object_get(answer, "status"), "credential")) {
        conclude(provision, NULL, &(struct jmp_provisioned){ .object = answer });
    } else {
        snprintf(what, sizeof(what), "%s credentials", noun_of(provision));
        look_again(provision, look_for_credential, what);
    }
}

static void look_for_credential(struct jmp_timer *timer)
{
    struct jmp_provision *provision = CONTAINER_OF(timer, struct jmp_provision, timer);

    go_on(provision, ask_object(provision, on_looked));
}

static void on_created(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_provision *provision = user;

    provision->request = NULL;
    if (status->reason != JMP_KUBE_OK)
        fail_status(provision, status);
    else
        look_for_credential(&provision->timer);
}

int jmp_provision_create(struct jmp_kube *kube, enum jmp_kube_kind kind, const char *namespace_, const char *name,
                         const json_t *labels, const char *username, jmp_provision_done_fn done, void *user,
                         struct jmp_provision **ret)
{
    const struct jmp_kube_kind_name *names = jmp_kube_kind_name(kind);
    json_t *body =
        json_pack("{s:s, s:s, s:{s:s, s:O*}, s:{s:s*}}", "apiVersion", JMP_KUBE_GROUP "/" JMP_KUBE_VERSION, "kind",
                  names->kind, "metadata", "name", name, "labels", labels, "spec", "username", username);
    struct jmp_provision *provision = NULL;
    int r = body ? provision_new(kube, kind, namespace_, name, done, user, &provision) : -ENOMEM;

    if (r == 0)
        r = provision_begun(provision,
                            ask(provision, "POST",
                                jmp_kube_path(names->group, names->version, namespace_, names->plural, NULL), body,
                                on_created),
                            ret);
    json_decref(body);
    return r;
}

/*
 * Login.
 */

static int decode_token(const json_t *secret, char **ret)
{
    const char *encoded = member(secret, "data", "token");
    _cleanup_free_ char *token = NULL;
    ssize_t n;

    if (!encoded || !*encoded || strlen(encoded) > TOKEN_MAX)
        return -ENOENT;
    token = malloc(strlen(encoded) + 1);
    if (!token)
        return -ENOMEM;
    n = jmp_base64_decode(encoded, token);
    if (n <= 0)
        return -EINVAL;
    token[n] = '\0';
    *ret = TAKE_PTR(token);
    return 0;
}

static void fail_token(struct jmp_provision *provision, int r)
{
    if (r == -ENOENT)
        fail(provision, r, "Secret '%s' has no token", provision->secret_name);
    else if (r == -EINVAL)
        fail(provision, r, "the token of Secret '%s' is not base64", provision->secret_name);
    else
        go_on(provision, r);
}

static void on_authority(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_provision *provision = user;

    provision->request = NULL;
    if (status->reason != JMP_KUBE_OK && status->reason != JMP_KUBE_NOT_FOUND) {
        fail_status(provision, status);
        return;
    }
    conclude(provision, NULL,
             &(struct jmp_provisioned){ .object = provision->object,
                                        .token = provision->token,
                                        .ca = member(answer, "data", "ca.crt") ?: "" });
}

static void on_secret(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_provision *provision = user;
    int r;

    provision->request = NULL;
    if (status->reason != JMP_KUBE_OK) {
        fail_status(provision, status);
        return;
    }
    r = decode_token(answer, &provision->token);
    if (r < 0)
        fail_token(provision, r);
    else
        go_on(provision,
              ask(provision, "GET", jmp_kube_path("", "v1", provision->namespace_, "configmaps", JMP_PROVISION_CA_MAP),
                  NULL, on_authority));
}

/* 0 with @secret_name set, -EINVAL or -ENOENT with words. */
static int find_secret(struct jmp_provision *provision, json_t *json, struct jmp_error *reterr)
{
    _cleanup_(jmp_kube_object_freep) struct jmp_kube_object *object = NULL;
    const char *name;
    int r;

    r = jmp_kube_object_read(provision->kind, json, &object, reterr);
    if (r < 0)
        return r;
    name = member(json_object_get(json, "status"), "credential", "name");
    if (!name)
        return jmp_error_set(reterr, -ENOENT, "%s '%s' has no credential secret", kind_of(provision), provision->name);
    provision->secret_name = strdup(name);
    return provision->secret_name ? 0 : jmp_error_set(reterr, -ENOMEM, "%m");
}

static void on_object(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_provision *provision = user;
    struct jmp_error error = JMP_ERROR_INIT;

    provision->request = NULL;
    if (status->reason != JMP_KUBE_OK) {
        fail_status(provision, status);
        return;
    }
    provision->object = json_incref(answer);
    if (find_secret(provision, answer, &error) < 0)
        conclude(provision, &error, NULL);
    else
        go_on(provision, ask_secret(provision, "GET", on_secret));
}

static void on_object_at_hand(struct jmp_timer *timer)
{
    struct jmp_provision *provision = CONTAINER_OF(timer, struct jmp_provision, timer);
    json_t *object = TAKE_PTR(provision->object);

    on_object(&(struct jmp_kube_status){ .reason = JMP_KUBE_OK }, object, provision);
    json_decref(object);
}

int jmp_provision_login(struct jmp_kube *kube, enum jmp_kube_kind kind, const char *namespace_, const char *name,
                        json_t *object, jmp_provision_done_fn done, void *user, struct jmp_provision **ret)
{
    struct jmp_provision *provision = NULL;
    int r = provision_new(kube, kind, namespace_, name, done, user, &provision);

    if (r < 0)
        return r;
    provision->object = json_incref(object);
    return provision_begun(provision,
                           object ? jmp_timer_start(jmp_kube_loop(kube), &provision->timer, 0, on_object_at_hand)
                                  : ask_object(provision, on_object),
                           ret);
}

/*
 * Rotate.
 */

static void look_for_secret(struct jmp_timer *timer);

static void on_new_secret(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_provision *provision = user;
    int r;

    provision->request = NULL;
    if (status->reason != JMP_KUBE_OK && status->reason != JMP_KUBE_NOT_FOUND) {
        fail_status(provision, status);
        return;
    }
    if (!member(answer, "data", "token") || strcmp(member(answer, "metadata", "uid") ?: "", provision->old_uid) == 0) {
        look_again(provision, look_for_secret, "token regeneration");
        return;
    }
    r = decode_token(answer, &provision->token);
    if (r < 0)
        fail_token(provision, r);
    else
        conclude(provision, NULL, &(struct jmp_provisioned){ .token = provision->token });
}

static void look_for_secret(struct jmp_timer *timer)
{
    struct jmp_provision *provision = CONTAINER_OF(timer, struct jmp_provision, timer);

    go_on(provision, ask_secret(provision, "GET", on_new_secret));
}

static void on_deleted(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_provision *provision = user;

    provision->request = NULL;
    if (status->reason != JMP_KUBE_OK && status->reason != JMP_KUBE_NOT_FOUND)
        fail_status(provision, status);
    else
        look_for_secret(&provision->timer);
}

static void on_old_secret(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_provision *provision = user;

    provision->request = NULL;
    if (status->reason != JMP_KUBE_OK && status->reason != JMP_KUBE_NOT_FOUND) {
        fail_status(provision, status);
        return;
    }
    provision->old_uid = strdup(member(answer, "metadata", "uid") ?: "");
    go_on(provision, provision->old_uid ? ask_secret(provision, "DELETE", on_deleted) : -ENOMEM);
}

static void on_rotated(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_provision *provision = user;
    struct jmp_error error = JMP_ERROR_INIT;

    provision->request = NULL;
    if (status->reason != JMP_KUBE_OK)
        fail_status(provision, status);
    else if (find_secret(provision, answer, &error) < 0)
        conclude(provision, &error, NULL);
    else
        go_on(provision, ask_secret(provision, "GET", on_old_secret));
}

int jmp_provision_rotate(struct jmp_kube *kube, const char *namespace_, const char *name, jmp_provision_done_fn done,
                         void *user, struct jmp_provision **ret)
{
    struct jmp_provision *provision = NULL;
    int r = provision_new(kube, JMP_KUBE_CLIENT, namespace_, name, done, user, &provision);

    return r < 0 ? r : provision_begun(provision, ask_object(provision, on_rotated), ret);
}
