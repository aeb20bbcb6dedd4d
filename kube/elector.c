/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/elector.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"

#define RELEASE_TIMEOUT (5 * JMP_USEC_PER_SEC)

struct jmp_elector {
    struct jmp_kube *kube;
    char *namespace_, *name, *path, *collection;
    struct jmp_elect elect;
    const struct jmp_elector_events *events;
    void *user;

    json_t *object;                 /* the Lease as it was seen or written last */
    struct jmp_elect_step step;     /* what is under way */
    struct jmp_kube_request *request;
    struct jmp_timer timer;         /* of WAIT */
    struct jmp_timer deadline;      /* the work must have been stopped */
    bool working;                   /* leads() was called, and stop() not yet answered */
    bool stopping;                  /* stop() was called */
    bool failing;                   /* it was said that the server does not answer */
    char leader[JMP_KUBE_HOLDER_MAX + 1];
    bool leader_known;
    char fence[128];

    void (*released)(void *user);
    void *released_user;
};

static int64_t wall_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * (int64_t)JMP_USEC_PER_SEC + now.tv_nsec / 1000;
}

static double roll(void)
{
    uint32_t number = 0;

    /* Without random numbers everybody waits equally long, which is slower but as right. */
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
        return 0.5;
    return number / (double)UINT32_MAX;
}

static void do_step(struct jmp_elector *elector, struct jmp_elect_step step);

static void stop_work(struct jmp_elector *elector)
{
    jmp_elect_step_down(&elector->elect);
    jmp_timer_stop(&elector->deadline);
    if (!elector->working || elector->stopping)
        return;
    elector->stopping = true;
    elector->events->stop(elector->user);
}

static void on_deadline(struct jmp_timer *timer)
{
    struct jmp_elector *elector = CONTAINER_OF(timer, struct jmp_elector, deadline);

    jmp_log(JMP_LOG_WARNING, FIELDS(.endpoint = jmp_kube_access(elector->kube)->server),
            "Lease %s could not be renewed in time: no longer its holder", elector->name);
    stop_work(elector);
}

/* What became of us by the last answer. */
static void settle(struct jmp_elector *elector)
{
    uint64_t deadline = jmp_elect_deadline(&elector->elect), now = jmp_now();

    if (elector->elect.seen && (!elector->leader_known || strcmp(elector->leader, elector->elect.record.holder) != 0)) {
        elector->leader_known = true;
        strcpy(elector->leader, elector->elect.record.holder);
        elector->events->leader(elector->leader, elector->user);
    }
    if (deadline == 0 || elector->stopping || deadline <= now ||
        jmp_timer_start(jmp_kube_loop(elector->kube), &elector->deadline, deadline - now, on_deadline) < 0) {
        stop_work(elector);
        return;
    }
    if (!elector->working)
        snprintf(elector->fence, sizeof(elector->fence), "%s/%d",
                 json_string_value(json_object_get(json_object_get(elector->object, "metadata"), "uid")) ?: "",
                 elector->elect.record.transitions);
    elector->working = true;
    elector->events->leads(deadline, elector->user);
}

static void on_timer(struct jmp_timer *timer)
{
    struct jmp_elector *elector = CONTAINER_OF(timer, struct jmp_elector, timer);

    /* While the work is still being ended we must not lead again. */
    if (elector->stopping)
        do_step(elector, (struct jmp_elect_step){ .what = JMP_ELECT_WAIT,
                                                  .at = jmp_now() + elector->elect.timing.retry_period });
    else
        do_step(elector, jmp_elect_tick(&elector->elect, jmp_now(), wall_clock()));
}

static void tell_failure(struct jmp_elector *elector, const struct jmp_kube_status *status)
{
    struct jmp_error error = JMP_ERROR_INIT;

    if (elector->failing)
        return;
    elector->failing = true;
    jmp_kube_status_error(status, &error);
    jmp_log(JMP_LOG_WARNING, FIELDS(.error = error.error), "Lease %s: %s", elector->name, error.text);
}

static void keep(struct jmp_elector *elector, json_t *object)
{
    json_decref(elector->object);
    elector->object = json_incref(object);
}

static void on_answer(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_elector *elector = user;
    struct jmp_kube_record record;
    struct jmp_elect_step step;
    uint64_t now = jmp_now();

    elector->request = NULL;
    /* Whoever was stopped for longer than the deadline must not act on what comes now. */
    if (elector->elect.leading && jmp_elect_deadline(&elector->elect) <= now)
        stop_work(elector);

    if (status->reason == JMP_KUBE_OK && answer && jmp_kube_record_read(answer, &record, NULL) == 0) {
        elector->failing = false;
        keep(elector, answer);
        step = elector->step.what == JMP_ELECT_GET ? jmp_elect_seen(&elector->elect, now, wall_clock(), roll(), &record)
                                                   : jmp_elect_written(&elector->elect, now, &record);
    } else if (status->reason == JMP_KUBE_NOT_FOUND && elector->step.what == JMP_ELECT_GET) {
        step = jmp_elect_seen(&elector->elect, now, wall_clock(), roll(), NULL);
    } else if (status->reason == JMP_KUBE_CONFLICT || status->reason == JMP_KUBE_ALREADY_EXISTS) {
        step = jmp_elect_conflict(&elector->elect, now);
    } else {
        tell_failure(elector, status);
        /* What was written is not known: the next look tells. */
        step = jmp_elect_failed(&elector->elect, now, roll());
    }
    do_step(elector, step);
    settle(elector);
}

static int start_request(struct jmp_elector *elector)
{
    struct jmp_kube_call call = { .method = "GET",
                                  .path = elector->path,
                                  .timeout = elector->elect.timing.renew_deadline / 2 };
    json_t *body = NULL;
    int r;

    if (elector->step.what == JMP_ELECT_CREATE) {
        call.method = "POST";
        call.path = elector->collection;
        body = jmp_kube_lease_new(elector->namespace_, elector->name, &elector->step.record);
    } else if (elector->step.what == JMP_ELECT_PUT) {
        /* With the resourceVersion and the uid of what was seen: neither another's write nor another's Lease is
         * replaced. */
        call.method = "PUT";
        body = json_deep_copy(elector->object);
        if (body && jmp_kube_record_write(body, &elector->step.record) < 0) {
            json_decref(body);
            body = NULL;
        }
    }
    if (elector->step.what != JMP_ELECT_GET && !body)
        return -ENOMEM;
    call.body = body;
    r = jmp_kube_request(elector->kube, &call, on_answer, elector, &elector->request);
    json_decref(body);
    return r;
}

static void do_step(struct jmp_elector *elector, struct jmp_elect_step step)
{
    uint64_t now = jmp_now();

    elector->step = step;
    if (step.what != JMP_ELECT_WAIT && start_request(elector) == 0)
        return;
    if (step.what != JMP_ELECT_WAIT)
        step.at = now + elector->elect.timing.retry_period;
    /* Without even a timer nothing can be promised any more. */
    if (jmp_timer_start(jmp_kube_loop(elector->kube), &elector->timer, step.at > now ? step.at - now : 0, on_timer) < 0)
        stop_work(elector);
}

void jmp_elector_rest(struct jmp_elector *elector) { elector->working = elector->stopping = false; }

/*
 * Giving back.
 */

static void released(struct jmp_elector *elector)
{
    void (*done)(void *user) = elector->released;

    if (done)
        done(elector->released_user);
}

static void on_released(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_elector *elector = user;

    elector->request = NULL;
    if (status->reason != JMP_KUBE_OK)
        tell_failure(elector, status);
    released(elector);
}

static void on_last_look(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_elector *elector = user;
    struct jmp_kube_call call = { .method = "PUT", .path = elector->path, .body = answer, .timeout = RELEASE_TIMEOUT };
    struct jmp_kube_record record, freed;

    elector->request = NULL;
    if (status->reason != JMP_KUBE_OK)
        tell_failure(elector, status);
    if (status->reason != JMP_KUBE_OK || jmp_kube_record_read(answer, &record, NULL) < 0 ||
        !jmp_elect_release(&elector->elect, wall_clock(), &record, &freed) ||
        jmp_kube_record_write(answer, &freed) < 0 ||
        jmp_kube_request(elector->kube, &call, on_released, elector, &elector->request) < 0)
        released(elector);
}

void jmp_elector_release(struct jmp_elector *elector, void (*done)(void *user), void *user)
{
    const struct jmp_kube_call call = { .method = "GET", .path = elector->path, .timeout = RELEASE_TIMEOUT };

    elector->released = done;
    elector->released_user = user;
    jmp_elect_step_down(&elector->elect);
    jmp_timer_stop(&elector->timer);
    jmp_timer_stop(&elector->deadline);
    if (elector->request)
        jmp_kube_cancel(TAKE_PTR(elector->request));
    if (jmp_kube_request(elector->kube, &call, on_last_look, elector, &elector->request) < 0)
        released(elector);
}

const char *jmp_elector_fence(const struct jmp_elector *elector) { return elector->fence; }

int jmp_elector_new(struct jmp_kube *kube, const char *namespace_, const char *name, const char *identity,
                    const struct jmp_elect_timing *timing, const struct jmp_elector_events *events, void *user,
                    struct jmp_elector **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_elector_freep) struct jmp_elector *elector = NULL;
    int r;

    r = jmp_elect_check(timing, identity, reterr);
    if (r < 0)
        return r;
    elector = calloc(1, sizeof(*elector));
    if (!elector)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    elector->kube = kube;
    elector->events = events;
    elector->user = user;
    elector->namespace_ = strdup(namespace_);
    elector->name = strdup(name);
    elector->path = jmp_kube_path(JMP_KUBE_COORDINATION_GROUP, JMP_KUBE_COORDINATION_VERSION, namespace_,
                                  JMP_KUBE_COORDINATION_PLURAL, name);
    elector->collection = jmp_kube_path(JMP_KUBE_COORDINATION_GROUP, JMP_KUBE_COORDINATION_VERSION, namespace_,
                                        JMP_KUBE_COORDINATION_PLURAL, NULL);
    if (!elector->namespace_ || !elector->name || !elector->path || !elector->collection)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    jmp_elect_init(&elector->elect, timing, identity);
    r = jmp_timer_start(jmp_kube_loop(kube), &elector->timer, 0, on_timer);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    *ret = TAKE_PTR(elector);
    return 0;
}

struct jmp_elector *jmp_elector_free(struct jmp_elector *elector)
{
    if (!elector)
        return NULL;

    if (elector->request)
        jmp_kube_cancel(elector->request);
    jmp_timer_close(&elector->timer);
    jmp_timer_close(&elector->deadline);
    json_decref(elector->object);
    free(elector->namespace_);
    free(elector->name);
    free(elector->path);
    free(elector->collection);
    free(elector);
    return NULL;
}
