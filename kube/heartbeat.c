/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/heartbeat.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/backoff.h"

#define TRIES_AT_ONCE 5u
#define FIRST_WAIT (200 * JMP_USEC_PER_MSEC)
#define LONGEST_WAIT (7 * JMP_USEC_PER_SEC)

struct jmp_heartbeat {
    struct jmp_kube *kube;
    char *namespace_, *name, *holder, *path, *collection;
    json_t *labels;
    uint32_t duration;
    uint64_t interval;
    void (*failing)(const struct jmp_kube_status *status, unsigned failures, void *user);
    void *user;

    json_t *object;              /* what was read or written last; NULL: to be looked for */
    struct jmp_kube_request *request;
    struct jmp_timer timer;
    struct jmp_backoff backoff;
    unsigned failures, beats;
};

static int send_call(struct jmp_heartbeat *heartbeat, const char *method, const char *path, const json_t *body,
                     jmp_kube_done_fn done)
{
    const struct jmp_kube_call call = { .method = method, .path = path, .body = body, .timeout = heartbeat->interval };

    return jmp_kube_request(heartbeat->kube, &call, done, heartbeat, &heartbeat->request);
}

static void on_timer(struct jmp_timer *timer);

static void beat_after(struct jmp_heartbeat *heartbeat, uint64_t usec)
{
    /* A timer that was started once needs no memory to be started again; the first start is checked. */
    jmp_timer_start(jmp_kube_loop(heartbeat->kube), &heartbeat->timer, usec, on_timer);
}

static struct jmp_kube_record make_record(const struct jmp_heartbeat *heartbeat)
{
    struct jmp_kube_record record = { .duration = (int32_t)heartbeat->duration, .acquired = JMP_KUBE_NO_TIME };
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(record.holder, sizeof(record.holder), "%s", heartbeat->holder);
    record.renewed = (int64_t)now.tv_sec * (int64_t)JMP_USEC_PER_SEC + now.tv_nsec / 1000;
    return record;
}

static void succeed(struct jmp_heartbeat *heartbeat, json_t *object)
{
    uint16_t number = 0;

    json_decref(heartbeat->object);
    heartbeat->object = json_incref(object);
    heartbeat->failures = 0;
    heartbeat->backoff.failures = 0;
    heartbeat->beats++;
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
        number = 0;
    beat_after(heartbeat, heartbeat->interval + heartbeat->interval / 25 * number / UINT16_MAX);
}

static void fail(struct jmp_heartbeat *heartbeat, const struct jmp_kube_status *status)
{
    heartbeat->failures++;
    if (heartbeat->failures >= 2 && heartbeat->failing)
        heartbeat->failing(status, heartbeat->failures, heartbeat->user);
    /* A beat is tried a few times at once; after that, and while the Lease is looked for, not faster than is good. */
    if (heartbeat->object && heartbeat->failures < TRIES_AT_ONCE) {
        if (status->reason == JMP_KUBE_CONFLICT) {
            json_decref(heartbeat->object);
            heartbeat->object = NULL;
        }
        beat_after(heartbeat, 0);
        return;
    }
    json_decref(heartbeat->object);
    heartbeat->object = NULL;
    beat_after(heartbeat, jmp_backoff_next(&heartbeat->backoff));
}

static void on_written(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_heartbeat *heartbeat = user;

    heartbeat->request = NULL;
    if (status->reason == JMP_KUBE_OK && answer)
        succeed(heartbeat, answer);
    else
        fail(heartbeat, status);
}

static void beat(struct jmp_heartbeat *heartbeat)
{
    const struct jmp_kube_status no_memory = { .reason = JMP_KUBE_FAILED, .error = -ENOMEM };
    struct jmp_kube_record record = make_record(heartbeat), old;
    json_t *body = json_deep_copy(heartbeat->object);
    int r = body ? 0 : -ENOMEM;

    if (r == 0 && jmp_kube_record_read(body, &old, NULL) == 0)
        record.transitions = old.transitions;
    if (r == 0)
        r = jmp_kube_record_write(body, &record);
    if (r == 0)
        r = send_call(heartbeat, "PUT", heartbeat->path, body, on_written);
    json_decref(body);
    if (r < 0)
        fail(heartbeat, &no_memory);
}

static void create(struct jmp_heartbeat *heartbeat)
{
    const struct jmp_kube_status no_memory = { .reason = JMP_KUBE_FAILED, .error = -ENOMEM };
    struct jmp_kube_record record = make_record(heartbeat);
    json_t *body = jmp_kube_lease_new(heartbeat->namespace_, heartbeat->name, &record);
    int r = body ? 0 : -ENOMEM;

    if (r == 0 && heartbeat->labels)
        r = json_object_set(json_object_get(body, "metadata"), "labels", heartbeat->labels);
    if (r == 0)
        r = send_call(heartbeat, "POST", heartbeat->collection, body, on_written);
    json_decref(body);
    if (r != 0)
        fail(heartbeat, &no_memory);
}

static void on_found(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_heartbeat *heartbeat = user;

    heartbeat->request = NULL;
    if (status->reason == JMP_KUBE_NOT_FOUND) {
        create(heartbeat);
    } else if (status->reason != JMP_KUBE_OK || !answer) {
        fail(heartbeat, status);
    } else {
        heartbeat->object = json_incref(answer);
        beat(heartbeat);
    }
}

static void on_timer(struct jmp_timer *timer)
{
    struct jmp_heartbeat *heartbeat = CONTAINER_OF(timer, struct jmp_heartbeat, timer);

    if (heartbeat->object)
        beat(heartbeat);
    else if (send_call(heartbeat, "GET", heartbeat->path, NULL, on_found) < 0)
        fail(heartbeat, &(struct jmp_kube_status){ .reason = JMP_KUBE_FAILED, .error = -ENOMEM });
}

int jmp_heartbeat_new(struct jmp_kube *kube, const struct jmp_heartbeat_options *options, struct jmp_heartbeat **ret)
{
    _cleanup_(jmp_heartbeat_freep) struct jmp_heartbeat *heartbeat = calloc(1, sizeof(*heartbeat));
    int r;

    if (!heartbeat)
        return -ENOMEM;
    heartbeat->kube = kube;
    heartbeat->duration = options->duration;
    heartbeat->interval = options->interval;
    heartbeat->failing = options->failing;
    heartbeat->user = options->user;
    heartbeat->backoff = (struct jmp_backoff){ .base = FIRST_WAIT, .cap = LONGEST_WAIT };
    heartbeat->namespace_ = strdup(options->namespace_);
    heartbeat->name = strdup(options->name);
    heartbeat->holder = strdup(options->holder);
    heartbeat->labels = json_deep_copy(options->labels);
    heartbeat->path = jmp_kube_path(JMP_KUBE_COORDINATION_GROUP, JMP_KUBE_COORDINATION_VERSION, options->namespace_,
                                    JMP_KUBE_COORDINATION_PLURAL, options->name);
    heartbeat->collection = jmp_kube_path(JMP_KUBE_COORDINATION_GROUP, JMP_KUBE_COORDINATION_VERSION,
                                          options->namespace_, JMP_KUBE_COORDINATION_PLURAL, NULL);
    if (!heartbeat->namespace_ || !heartbeat->name || !heartbeat->holder || !heartbeat->path ||
        !heartbeat->collection || (options->labels && !heartbeat->labels))
        return -ENOMEM;
    r = jmp_timer_start(jmp_kube_loop(kube), &heartbeat->timer, 0, on_timer);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(heartbeat);
    return 0;
}

struct jmp_heartbeat *jmp_heartbeat_free(struct jmp_heartbeat *heartbeat)
{
    if (!heartbeat)
        return NULL;

    if (heartbeat->request)
        jmp_kube_cancel(heartbeat->request);
    jmp_timer_close(&heartbeat->timer);
    json_decref(heartbeat->object);
    json_decref(heartbeat->labels);
    free(heartbeat->namespace_);
    free(heartbeat->name);
    free(heartbeat->holder);
    free(heartbeat->path);
    free(heartbeat->collection);
    free(heartbeat);
    return NULL;
}

unsigned jmp_heartbeat_beats(const struct jmp_heartbeat *heartbeat) { return heartbeat->beats; }
