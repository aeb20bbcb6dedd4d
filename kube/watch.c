/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/watch.h"

#include <string.h>
#include <sys/random.h>

#include "base/backoff.h"
#include "kube/event.h"

#define FIRST_WAIT (800 * JMP_USEC_PER_MSEC)
#define LONGEST_WAIT (30 * JMP_USEC_PER_SEC)
#define GOOD_RUN (120 * JMP_USEC_PER_SEC)      /* after which a failure is the first again */
#define SHORTEST_WATCH 300u                    /* seconds that the server is asked to keep it open, at least */
#define SILENCE_MORE 30u                       /* seconds */

struct jmp_kube_watch {
    struct jmp_kube *kube;
    char *path, *query;
    const struct jmp_kube_watch_events *events;
    void *user;

    json_t *versions;               /* name to resourceVersion, of all that was told */
    char *version;                  /* where a watch begins; NULL: a list is needed */
    struct jmp_kube_request *request;
    struct jmp_timer timer;
    struct jmp_backoff backoff;
    uint64_t began;
    struct jmp_kube_status problem; /* of an ERROR event; its reason is OK while there is none */
};

static const char *meta(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(json_object_get(object, "metadata"), key));
}

static void begin(struct jmp_kube_watch *watch);

static void on_timer(struct jmp_timer *timer) { begin(CONTAINER_OF(timer, struct jmp_kube_watch, timer)); }

static void begin_after(struct jmp_kube_watch *watch, uint64_t usec)
{
    /* Once started, a timer needs no memory. */
    jmp_timer_start(jmp_kube_loop(watch->kube), &watch->timer, usec, on_timer);
}

static void forget_version(struct jmp_kube_watch *watch)
{
    free(watch->version);
    watch->version = NULL;
}

static void fail(struct jmp_kube_watch *watch, const struct jmp_kube_status *status)
{
    uint64_t delay;

    if (watch->events->failing)
        watch->events->failing(status, watch->user);
    if (jmp_now() - watch->began > GOOD_RUN)
        watch->backoff.failures = 0;
    delay = jmp_backoff_next(&watch->backoff);
    if (status->retry_after * JMP_USEC_PER_SEC > delay)
        delay = status->retry_after * JMP_USEC_PER_SEC;
    begin_after(watch, delay);
}

static int set_version(struct jmp_kube_watch *watch, const char *version)
{
    char *copy = version && *version ? strdup(version) : NULL;

    if (!copy)
        return version && *version ? -ENOMEM : 0;
    free(watch->version);
    watch->version = copy;
    return 0;
}

static int tell(struct jmp_kube_watch *watch, json_t *object)
{
    const char *name = meta(object, "name"), *version = meta(object, "resourceVersion");
    const char *known = name ? json_string_value(json_object_get(watch->versions, name)) : NULL;

    if (!name)
        return 0;
    if (known && version && strcmp(known, version) == 0)
        return 0;
    if (json_object_set_new(watch->versions, name, json_string(version ?: "")) < 0)
        return -ENOMEM;
    watch->events->changed(name, object, watch->user);
    return 0;
}

static void tell_gone(struct jmp_kube_watch *watch, const char *name)
{
    if (name && json_object_get(watch->versions, name)) {
        watch->events->gone(name, watch->user);
        json_object_del(watch->versions, name);
    }
}

/* What was told before and is in the list no more. */
static int tell_missing(struct jmp_kube_watch *watch, const json_t *items)
{
    json_t *present = json_object(), *value, *item;
    void *next;
    const char *key;
    size_t i;

    if (!present)
        return -ENOMEM;
    json_array_foreach(items, i, item)
        if (meta(item, "name") && json_object_set_new(present, meta(item, "name"), json_true()) < 0) {
            json_decref(present);
            return -ENOMEM;
        }
    json_object_foreach_safe(watch->versions, next, key, value)
        if (!json_object_get(present, key)) {
            watch->events->gone(key, watch->user);
            json_object_del(watch->versions, key);
        }
    json_decref(present);
    return 0;
}

static void on_list(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    const struct jmp_kube_status no_memory = { .reason = JMP_KUBE_FAILED, .error = -ENOMEM };
    struct jmp_kube_watch *watch = user;
    json_t *items = json_object_get(answer, "items"), *item;
    int r = 0;
    size_t i;

    watch->request = NULL;
    if (status->reason != JMP_KUBE_OK) {
        fail(watch, status);
        return;
    }
    r = tell_missing(watch, items);
    json_array_foreach(items, i, item)
        if (r == 0)
            r = tell(watch, item);
    if (r == 0)
        r = set_version(watch, meta(answer, "resourceVersion"));
    if (r < 0) {
        fail(watch, &no_memory);
        return;
    }
    watch->events->synced(watch->user);
    begin_after(watch, 0);
}

static int on_line(const char *text, size_t length, void *user)
{
    struct jmp_kube_watch *watch = user;
    json_t *object;
    int r = jmp_kube_event_read(text, length, &object);

    if (r == JMP_KUBE_EVENT_ERROR) {
        _cleanup_free_ char *body = json_dumps(object, JSON_COMPACT);

        jmp_kube_status_read(0, false, body ?: "", body ? strlen(body) : 0, &watch->problem);
        r = -ESTALE;
    } else if (r >= 0) {
        if (r == JMP_KUBE_EVENT_GONE)
            tell_gone(watch, meta(object, "name"));
        r = r == JMP_KUBE_EVENT_CHANGED ? tell(watch, object) : 0;
        /* Each event moves the place to go on from, bookmarks do nothing else. */
        if (r == 0)
            r = set_version(watch, meta(object, "resourceVersion"));
    }
    json_decref(object);
    return r;
}

static bool is_too_old(const struct jmp_kube_status *status)
{
    return status->reason == JMP_KUBE_GONE || status->reason == JMP_KUBE_EXPIRED || status->code == 410;
}

static void on_end(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_kube_watch *watch = user;
    const struct jmp_kube_status problem = watch->problem.reason != JMP_KUBE_OK ? watch->problem : *status;

    watch->request = NULL;
    watch->problem = (struct jmp_kube_status){ .reason = JMP_KUBE_OK };
    if (is_too_old(&problem)) {
        forget_version(watch);
    } else if (problem.reason != JMP_KUBE_OK) {
        fail(watch, &problem);
        return;
    }
    /* At once, but a server that ends every watch as soon as it has begun is not asked for ever at full speed. */
    begin_after(watch, jmp_now() - watch->began > JMP_USEC_PER_SEC ? 0 : jmp_backoff_next(&watch->backoff));
}

static int begin_watch(struct jmp_kube_watch *watch)
{
    _cleanup_free_ char *path = NULL;
    uint16_t number = 0;
    unsigned seconds;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
        number = 0;
    seconds = SHORTEST_WATCH + number % SHORTEST_WATCH;
    if (asprintf(&path, "%s?watch=1&resourceVersion=%s&allowWatchBookmarks=true&timeoutSeconds=%u%s%s", watch->path,
                 watch->version, seconds, *watch->query ? "&" : "", watch->query) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    return jmp_kube_stream(watch->kube, path, (seconds + SILENCE_MORE) * JMP_USEC_PER_SEC, on_line, on_end, watch,
                           &watch->request);
}

static void begin(struct jmp_kube_watch *watch)
{
    const struct jmp_kube_status no_memory = { .reason = JMP_KUBE_FAILED, .error = -ENOMEM };
    int r;

    watch->began = jmp_now();
    if (watch->version)
        r = begin_watch(watch);
    else
        r = jmp_kube_list(watch->kube, watch->path, watch->query, on_list, watch, &watch->request);
    if (r < 0)
        fail(watch, &no_memory);
}

int jmp_kube_watch_new(struct jmp_kube *kube, const char *path, const char *selector, const char *field,
                       const struct jmp_kube_watch_events *events, void *user, struct jmp_kube_watch **ret)
{
    _cleanup_(jmp_kube_watch_freep) struct jmp_kube_watch *watch = calloc(1, sizeof(*watch));
    int r;

    if (!watch)
        return -ENOMEM;
    watch->kube = kube;
    watch->events = events;
    watch->user = user;
    watch->backoff = (struct jmp_backoff){ .base = FIRST_WAIT, .cap = LONGEST_WAIT };
    watch->versions = json_object();
    watch->path = strdup(path);
    watch->query = jmp_kube_query(selector, field);
    if (!watch->versions || !watch->path || !watch->query)
        return -ENOMEM;
    r = jmp_timer_start(jmp_kube_loop(kube), &watch->timer, 0, on_timer);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(watch);
    return 0;
}

struct jmp_kube_watch *jmp_kube_watch_free(struct jmp_kube_watch *watch)
{
    if (!watch)
        return NULL;

    if (watch->request)
        jmp_kube_cancel(watch->request);
    jmp_timer_close(&watch->timer);
    json_decref(watch->versions);
    free(watch->version);
    free(watch->path);
    free(watch->query);
    free(watch);
    return NULL;
}
