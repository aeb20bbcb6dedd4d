/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/kube.h"

#include <string.h>

#include "base/backoff.h"
#include "base/log.h"
#include "kube/credential.h"
#include "kube/event.h"
#include "kube/http.h"

#define TIMEOUT (30 * JMP_USEC_PER_SEC)
#define RESENDS_MAX 10u             /* asked for by the server */
#define LOST_MAX 3u                 /* connections lost under a GET */
#define HEADERS_MAX 48u
#define PAGE "500"

struct jmp_kube {
    struct jmp_loop *loop;
    struct jmp_kube_access *access;
    struct jmp_kube_credential *credential;
    struct jmp_http *http;
    struct jmp_kube_request *requests;
    bool fetching;
    char *last_certificate;         /* what the connections were made with */
};

struct jmp_kube_request {
    struct jmp_kube_request *next, **link;
    struct jmp_kube *kube;
    char *method, *path, *body, *content_type;
    uint64_t timeout, silence;
    int (*line)(const char *text, size_t length, void *user);
    jmp_kube_done_fn done;
    void *user;

    struct jmp_http_transfer *transfer;
    struct jmp_timer timer;         /* until it is sent again */
    struct jmp_backoff backoff;
    unsigned resends, lost;
    bool waiting, asked;            /* for a credential; that was waited for once */
    bool refused;                   /* a fresh credential was already tried */
    struct jmp_http_body lines;     /* of a stream */

    /* A list. */
    bool is_list, whole;
    char *collection, *query;
    json_t *items;
};

static void request_free(struct jmp_kube_request *request)
{
    *request->link = request->next;
    if (request->next)
        request->next->link = request->link;
    if (request->transfer)
        jmp_http_cancel(request->transfer);
    jmp_timer_close(&request->timer);
    json_decref(request->items);
    free(request->collection);
    free(request->query);
    free(request->method);
    free(request->path);
    if (request->body)
        explicit_bzero(request->body, strlen(request->body));
    free(request->body);
    free(request->content_type);
    jmp_http_body_clear(&request->lines);
    free(request);
}

static void conclude(struct jmp_kube_request *request, const struct jmp_kube_status *status, json_t *answer)
{
    request->done(status, answer, request->user);
    request_free(request);
}

static void fail(struct jmp_kube_request *request, int error, const char *text)
{
    struct jmp_kube_status status = { .reason = JMP_KUBE_FAILED, .error = error };

    snprintf(status.message, sizeof(status.message), "%s", text);
    conclude(request, &status, NULL);
}

static void send_it(struct jmp_kube_request *request);

static void on_resend(struct jmp_timer *timer) { send_it(CONTAINER_OF(timer, struct jmp_kube_request, timer)); }

/* Returns whether the request will be sent again. */
static bool resend_after(struct jmp_kube_request *request, uint64_t usec)
{
    return jmp_timer_start(request->kube->loop, &request->timer, usec, on_resend) == 0;
}

static bool resend(struct jmp_kube_request *request, const struct jmp_http_answer *answer)
{
    if (answer->error < 0)
        return strcmp(request->method, "GET") == 0 && !request->line && request->lost++ < LOST_MAX &&
               answer->error != -EPROTO && answer->error != -E2BIG && answer->error != -ETIMEDOUT &&
               resend_after(request, jmp_backoff_next(&request->backoff));
    if (answer->status == 401 && !request->refused && jmp_kube_credential_refuse(request->kube->credential)) {
        request->refused = true;
        request->asked = false;
        return resend_after(request, 0);
    }
    if ((answer->status == 429 || answer->status >= 500) && answer->has_retry_after && request->resends++ < RESENDS_MAX)
        return resend_after(request, answer->retry_after * JMP_USEC_PER_SEC);
    return false;
}

/*
 * Lists.
 */

static int list_page(struct jmp_kube_request *request, const char *continue_);

static void complete_items(const json_t *list)
{
    const char *kind = json_string_value(json_object_get(list, "kind"));
    json_t *version = json_object_get(list, "apiVersion"), *item;
    size_t length = kind ? strlen(kind) : 0, i;

    if (length <= 4 || strcmp(kind + length - 4, "List") != 0)
        return;
    json_array_foreach(json_object_get(list, "items"), i, item) {
        if (!json_object_get(item, "apiVersion"))
            json_object_set(item, "apiVersion", version);
        if (!json_object_get(item, "kind"))
            json_object_set_new(item, "kind", json_stringn(kind, length - 4));
    }
}

/* Returns whether there is a page more; the answer of the last one has all items. */
static bool next_page(struct jmp_kube_request *request, json_t *answer)
{
    const char *more = json_string_value(json_object_get(json_object_get(answer, "metadata"), "continue"));
    json_t *items = json_object_get(answer, "items");

    complete_items(answer);
    if (json_is_array(items))
        json_array_extend(request->items, items);
    if (more && *more && list_page(request, more) == 0) {
        send_it(request);
        return true;
    }
    json_object_set(answer, "items", request->items);
    return false;
}

static bool restart_list(struct jmp_kube_request *request)
{
    if (request->whole || json_array_size(request->items) == 0)
        return false;
    request->whole = true;
    json_array_clear(request->items);
    if (list_page(request, NULL) < 0)
        return false;
    send_it(request);
    return true;
}

static void on_answer(const struct jmp_http_answer *answer, void *user)
{
    struct jmp_kube_request *request = user;
    struct jmp_kube_status status = { .reason = JMP_KUBE_OK };
    json_t *object = NULL;

    request->transfer = NULL;
    if (answer->warning)
        jmp_log(JMP_LOG_WARNING, FIELDS(.endpoint = request->kube->access->server), "%s", answer->warning);
    if ((answer->error < 0 || answer->status / 100 != 2) && resend(request, answer))
        return;
    if (answer->error < 0) {
        fail(request, answer->error, answer->text);
        return;
    }

    status.code = answer->status;
    if (answer->status / 100 != 2) {
        jmp_kube_status_read(answer->status, strcmp(request->method, "POST") == 0, answer->body, answer->length,
                             &status);
        if (answer->has_retry_after && status.retry_after == 0)
            status.retry_after = answer->retry_after;
        if (answer->status == 410 && request->is_list && restart_list(request))
            return;
    } else if (!request->line && answer->length > 0) {
        json_error_t error;

        object = json_loadb(answer->body, answer->length, JSON_REJECT_DUPLICATES, &error);
        if (!object) {
            fail(request, -EPROTO, "the answer is not JSON, or was cut short");
            return;
        }
        if (request->is_list && next_page(request, object)) {
            json_decref(object);
            return;
        }
    }
    conclude(request, &status, object);
    json_decref(object);
}

static int on_chunk(const char *bytes, size_t length, void *user)
{
    struct jmp_kube_request *request = user;

    return jmp_kube_lines_feed(&request->lines, bytes, length, request->line, request->user);
}

/*
 * Sending.
 */

static void on_fetched(const struct jmp_error *error, void *user)
{
    struct jmp_kube *kube = user;
    struct jmp_kube_request *request = kube->requests;

    kube->fetching = false;
    /* Those that wait now; whoever asks meanwhile does not wait. */
    while (request) {
        if (!request->waiting) {
            request = request->next;
            continue;
        }
        request->waiting = false;
        if (error)
            fail(request, error->error, error->text);
        else if (!resend_after(request, 0))
            fail(request, -ENOMEM, strerror(ENOMEM));
        request = kube->requests;
    }
}

static int add_header(char *(*headers)[HEADERS_MAX], const char *name, const char *value)
{
    size_t i = 0;

    while ((*headers)[i])
        i++;
    if (i == HEADERS_MAX - 1)
        return -E2BIG;
    /* A line break in a value would begin a header of the value's own. */
    if (strpbrk(value, "\r\n"))
        return -EINVAL;
    if (asprintf(&(*headers)[i], "%s: %s", name, value) < 0) {
        (*headers)[i] = NULL;
        return -ENOMEM;
    }
    return 0;
}

static void free_headers(char *(*headers)[HEADERS_MAX])
{
    for (size_t i = 0; (*headers)[i]; i++) {
        explicit_bzero((*headers)[i], strlen((*headers)[i]));
        free((*headers)[i]);
    }
}

static int make_headers(const struct jmp_kube_request *request, const char *token, char *(*ret)[HEADERS_MAX])
{
    const struct jmp_kube_access *access = request->kube->access;
    _cleanup_free_ char *bearer = NULL;
    int r;

    r = add_header(ret, "Accept", "application/json");
    if (r == 0 && request->body)
        r = add_header(ret, "Content-Type", request->content_type ?: "application/json");
    if (r == 0 && token) {
        if (asprintf(&bearer, "Bearer %s", token) < 0)
            bearer = NULL;
        r = bearer ? add_header(ret, "Authorization", bearer) : -ENOMEM;
    }
    if (r == 0 && access->as)
        r = add_header(ret, "Impersonate-User", access->as);
    if (r == 0 && access->as_uid)
        r = add_header(ret, "Impersonate-Uid", access->as_uid);
    if (access->as_groups)
        for (const struct jmp_node *group = access->as_groups->first; r == 0 && group; group = group->next)
            r = add_header(ret, "Impersonate-Group", group->string);
    if (bearer)
        explicit_bzero(bearer, strlen(bearer));
    return r;
}

/* Another certificate than before is for new connections only. */
static int use_certificate(struct jmp_kube *kube, const struct jmp_kube_identity *identity)
{
    const struct jmp_kube_access *access = kube->access;
    struct jmp_http_peer peer = {
        .ca = access->ca, .insecure = access->insecure, .server_name = access->tls_server_name, .proxy = access->proxy,
        .certificate = identity->certificate, .key = identity->key, .username = access->username,
        .password = access->password,
    };
    char *copy;

    if (kube->last_certificate && strcmp(kube->last_certificate, identity->certificate ?: "") == 0)
        return 0;
    copy = strdup(identity->certificate ?: "");
    if (!copy)
        return -ENOMEM;
    free(kube->last_certificate);
    kube->last_certificate = copy;
    jmp_http_set_peer(kube->http, &peer);
    return 0;
}

static int start_transfer(struct jmp_kube_request *request, const struct jmp_kube_identity *identity)
{
    _cleanup_(free_headers) char *headers[HEADERS_MAX] = { NULL };
    _cleanup_free_ char *url = NULL;
    struct jmp_http_request http = {
        .method = request->method, .headers = (const char *const *)headers, .body = request->body,
        .length = request->body ? strlen(request->body) : 0, .timeout = request->timeout, .silence = request->silence,
        .chunk = request->line ? on_chunk : NULL,
    };
    int r;

    r = use_certificate(request->kube, identity);
    if (r == 0)
        r = make_headers(request, identity->token, &headers);
    if (r < 0)
        return r;
    if (asprintf(&url, "%s%s", request->kube->access->server, request->path) < 0) {
        url = NULL;
        return -ENOMEM;
    }
    http.url = url;
    jmp_http_body_clear(&request->lines);
    return jmp_http_start(request->kube->http, &http, on_answer, request, &request->transfer);
}

static void send_it(struct jmp_kube_request *request)
{
    struct jmp_kube *kube = request->kube;
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_kube_identity identity;
    int r;

    r = jmp_kube_credential_get(kube->credential, &identity, &error);
    if (r == -EAGAIN && request->asked) {
        r = jmp_error_set(&error, -EKEYEXPIRED, "%s gave a credential that has expired already",
                          kube->access->exec->command);
    } else if (r == -EAGAIN) {
        r = kube->fetching ? 0 : jmp_kube_credential_fetch(kube->credential, on_fetched, kube, &error);
        kube->fetching = r == 0;
        request->waiting = request->asked = r == 0;
    } else if (r == 0) {
        r = start_transfer(request, &identity);
    }
    if (r < 0)
        fail(request, r, error.error < 0 ? error.text : strerror(-r));
}

static int request_new(struct jmp_kube *kube, const struct jmp_kube_call *call, jmp_kube_done_fn done, void *user,
                       struct jmp_kube_request **ret)
{
    struct jmp_kube_request *request = calloc(1, sizeof(*request));

    if (!request)
        return -ENOMEM;
    request->kube = kube;
    request->method = strdup(call->method);
    request->path = strdup(call->path);
    request->body = call->body ? json_dumps(call->body, JSON_COMPACT) : NULL;
    request->content_type = call->content_type ? strdup(call->content_type) : NULL;
    request->timeout = call->timeout ?: TIMEOUT;
    request->done = done;
    request->user = user;
    request->next = kube->requests;
    if (request->next)
        request->next->link = &request->next;
    request->link = &kube->requests;
    kube->requests = request;
    if (!request->method || !request->path || (call->body && !request->body) ||
        (call->content_type && !request->content_type)) {
        request_free(request);
        return -ENOMEM;
    }
    *ret = request;
    return 0;
}

/* From the loop, so that done() is never called from within the function that asks. */
static int launch(struct jmp_kube_request *request, struct jmp_kube_request **ret)
{
    if (!resend_after(request, 0)) {
        request_free(request);
        return -ENOMEM;
    }
    if (ret)
        *ret = request;
    return 0;
}

int jmp_kube_request(struct jmp_kube *kube, const struct jmp_kube_call *call, jmp_kube_done_fn done, void *user,
                     struct jmp_kube_request **ret)
{
    struct jmp_kube_request *request;
    int r;

    r = request_new(kube, call, done, user, &request);
    return r < 0 ? r : launch(request, ret);
}

void jmp_kube_cancel(struct jmp_kube_request *request) { request_free(request); }

char *jmp_kube_path(const char *group, const char *version, const char *namespace_, const char *plural,
                    const char *name)
{
    _cleanup_free_ char *escaped_namespace = jmp_http_escape(namespace_), *escaped_name = jmp_http_escape(name ?: "");
    char *path;

    if (!escaped_namespace || !escaped_name)
        return NULL;
    if (asprintf(&path, "%s%s/%s/namespaces/%s/%s%s%s", *group ? "/apis/" : "/api", group, version, escaped_namespace,
                 plural, name ? "/" : "", escaped_name) < 0)
        return NULL;
    return path;
}

char *jmp_kube_query(const char *selector, const char *field)
{
    _cleanup_free_ char *labels = jmp_http_escape(selector ?: ""), *fields = jmp_http_escape(field ?: "");
    char *query;

    if (!labels || !fields || asprintf(&query, "%s%s%s%s%s", selector ? "labelSelector=" : "", labels,
                                       selector && field ? "&" : "", field ? "fieldSelector=" : "", fields) < 0)
        return NULL;
    return query;
}

static int list_page(struct jmp_kube_request *request, const char *continue_)
{
    _cleanup_free_ char *token = jmp_http_escape(continue_ ?: "");
    const char *query = request->query ?: "";
    char *path;

    /* A list asked for whole is one that cannot be had in pages. */
    if (!token || asprintf(&path, "%s%s%s%s%s%s%s", request->collection, request->whole && !*query ? "" : "?",
                           request->whole ? "" : "limit=" PAGE, !request->whole && *query ? "&" : "", query,
                           continue_ ? "&continue=" : "", token) < 0)
        return -ENOMEM;
    free(request->path);
    request->path = path;
    return 0;
}

int jmp_kube_list(struct jmp_kube *kube, const char *path, const char *query, jmp_kube_done_fn done, void *user,
                  struct jmp_kube_request **ret)
{
    const struct jmp_kube_call call = { .method = "GET", .path = path };
    struct jmp_kube_request *request;
    int r;

    r = request_new(kube, &call, done, user, &request);
    if (r < 0)
        return r;
    request->is_list = true;
    request->items = json_array();
    request->collection = strdup(path);
    request->query = query ? strdup(query) : NULL;
    if (!request->items || !request->collection || (query && !request->query) || list_page(request, NULL) < 0) {
        request_free(request);
        return -ENOMEM;
    }
    return launch(request, ret);
}

int jmp_kube_stream(struct jmp_kube *kube, const char *path, uint64_t silence,
                    int (*line)(const char *text, size_t length, void *user), jmp_kube_done_fn done, void *user,
                    struct jmp_kube_request **ret)
{
    const struct jmp_kube_call call = { .method = "GET", .path = path };
    struct jmp_kube_request *request;
    int r;

    r = request_new(kube, &call, done, user, &request);
    if (r < 0)
        return r;
    request->timeout = 0;
    request->silence = silence;
    request->line = line;
    return launch(request, ret);
}

const struct jmp_kube_access *jmp_kube_access(const struct jmp_kube *kube) { return kube->access; }
struct jmp_loop *jmp_kube_loop(const struct jmp_kube *kube) { return kube->loop; }

int jmp_kube_new(struct jmp_loop *loop, struct jmp_kube_access *access, struct jmp_kube **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_kube_freep) struct jmp_kube *kube = calloc(1, sizeof(*kube));
    int r;

    if (!kube) {
        jmp_kube_access_free(access);
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    kube->loop = loop;
    kube->access = access;
    r = jmp_kube_credential_new(loop, access, &kube->credential);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_http_new(loop, &kube->http, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(kube);
    return 0;
}

struct jmp_kube *jmp_kube_free(struct jmp_kube *kube)
{
    if (!kube)
        return NULL;

    while (kube->requests)
        request_free(kube->requests);
    jmp_http_free(kube->http);
    jmp_kube_credential_free(kube->credential);
    jmp_kube_access_free(kube->access);
    free(kube->last_certificate);
    free(kube);
    return NULL;
}
