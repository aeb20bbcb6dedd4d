/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/collect.h"

#include <string.h>
#include <time.h>

#include "base/log.h"
#include "kube/coordination.h"

#define INTERVAL (3600 * JMP_USEC_PER_SEC)
#define AFTER_FAILURE (60 * JMP_USEC_PER_SEC)

struct jmp_collector {
    struct jmp_kube *kube;
    char *collection, *namespace_, *query;
    struct jmp_kube_request *request;
    struct jmp_timer timer;
    json_t *names;          /* of those that seem expired, still to be looked at again */
};

bool jmp_kube_is_expired(const json_t *lease, int64_t wall)
{
    struct jmp_kube_record record;

    if (jmp_kube_record_read(lease, &record, NULL) < 0)
        return false;
    if (record.renewed == JMP_KUBE_NO_TIME || record.duration <= 0)
        return true;
    return record.renewed + record.duration * (int64_t)JMP_USEC_PER_SEC < wall;
}

static int64_t wall_clock(void) { return (int64_t)time(NULL) * (int64_t)JMP_USEC_PER_SEC; }

static void on_timer(struct jmp_timer *timer);
static void look_again(struct jmp_collector *collector);

static void rest(struct jmp_collector *collector, uint64_t usec)
{
    jmp_timer_start(jmp_kube_loop(collector->kube), &collector->timer, usec, on_timer);
}

static int send_call(struct jmp_collector *collector, const char *method, const char *name, const json_t *body,
                     jmp_kube_done_fn done)
{
    _cleanup_free_ char *path = jmp_kube_path(JMP_KUBE_COORDINATION_GROUP, JMP_KUBE_COORDINATION_VERSION,
                                              collector->namespace_, JMP_KUBE_COORDINATION_PLURAL, name);
    const struct jmp_kube_call call = { .method = method, .path = path, .body = body };

    return path ? jmp_kube_request(collector->kube, &call, done, collector, &collector->request) : -ENOMEM;
}

static void on_deleted(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_collector *collector = user;
    struct jmp_error error = JMP_ERROR_INIT;

    collector->request = NULL;
    /* Gone already, or renewed meanwhile: both are well. */
    if (status->reason != JMP_KUBE_OK && status->reason != JMP_KUBE_NOT_FOUND && status->reason != JMP_KUBE_CONFLICT) {
        jmp_kube_status_error(status, &error);
        jmp_log(JMP_LOG_WARNING, FIELDS(.error = error.error), "an expired Lease stays: %s", error.text);
    }
    look_again(collector);
}

static void on_second_look(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_collector *collector = user;
    const json_t *metadata = json_object_get(answer, "metadata");
    json_t *body = NULL;
    int r = -EAGAIN;

    collector->request = NULL;
    if (status->reason == JMP_KUBE_OK && jmp_kube_is_expired(answer, wall_clock())) {
        body = json_pack("{s:s, s:s, s:{s:O, s:O}}", "apiVersion", "v1", "kind", "DeleteOptions", "preconditions",
                         "uid", json_object_get(metadata, "uid"), "resourceVersion",
                         json_object_get(metadata, "resourceVersion"));
        if (body)
            r = send_call(collector, "DELETE", json_string_value(json_object_get(metadata, "name")) ?: "", body,
                          on_deleted);
        json_decref(body);
    }
    if (r < 0)
        look_again(collector);
}

static void look_again(struct jmp_collector *collector)
{
    size_t count = json_array_size(collector->names);
    json_t *name;

    if (count == 0) {
        rest(collector, INTERVAL);
        return;
    }
    name = json_incref(json_array_get(collector->names, count - 1));
    json_array_remove(collector->names, count - 1);
    if (send_call(collector, "GET", json_string_value(name), NULL, on_second_look) < 0)
        rest(collector, AFTER_FAILURE);
    json_decref(name);
}

static void on_list(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_collector *collector = user;
    json_t *item;
    size_t i;

    collector->request = NULL;
    if (status->reason != JMP_KUBE_OK) {
        rest(collector, AFTER_FAILURE);
        return;
    }
    json_array_clear(collector->names);
    json_array_foreach(json_object_get(answer, "items"), i, item) {
        json_t *name = json_object_get(json_object_get(item, "metadata"), "name");

        if (json_is_string(name) && jmp_kube_is_expired(item, wall_clock()))
            json_array_append(collector->names, name);
    }
    look_again(collector);
}

static void on_timer(struct jmp_timer *timer)
{
    struct jmp_collector *collector = CONTAINER_OF(timer, struct jmp_collector, timer);

    if (jmp_kube_list(collector->kube, collector->collection, collector->query, on_list, collector,
                      &collector->request) < 0)
        rest(collector, AFTER_FAILURE);
}

int jmp_collector_new(struct jmp_kube *kube, const char *namespace_, const char *label, struct jmp_collector **ret)
{
    struct jmp_collector *collector = calloc(1, sizeof(*collector));
    int r = collector ? 0 : -ENOMEM;

    if (r == 0) {
        collector->kube = kube;
        collector->namespace_ = strdup(namespace_);
        collector->collection = jmp_kube_path(JMP_KUBE_COORDINATION_GROUP, JMP_KUBE_COORDINATION_VERSION, namespace_,
                                              JMP_KUBE_COORDINATION_PLURAL, NULL);
        collector->query = jmp_kube_query(label, NULL);
        collector->names = json_array();
        if (!collector->namespace_ || !collector->collection || !collector->query || !collector->names)
            r = -ENOMEM;
    }
    if (r == 0)
        r = jmp_timer_start(jmp_kube_loop(kube), &collector->timer, 0, on_timer);
    if (r < 0) {
        jmp_collector_free(collector);
        return r;
    }
    *ret = collector;
    return 0;
}

struct jmp_collector *jmp_collector_free(struct jmp_collector *collector)
{
    if (!collector)
        return NULL;

    if (collector->request)
        jmp_kube_cancel(collector->request);
    jmp_timer_close(&collector->timer);
    json_decref(collector->names);
    free(collector->namespace_);
    free(collector->collection);
    free(collector->query);
    free(collector);
    return NULL;
}
