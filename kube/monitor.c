/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/monitor.h"

#include <string.h>

#include "kube/watch.h"

struct member {
    struct member *next;
    char *name;
    struct jmp_liveness liveness;
};

struct jmp_monitor {
    struct jmp_kube *kube;
    struct jmp_kube_watch *watch;
    struct jmp_timer timer;
    struct member *members;
    void (*changed)(const char *name, bool live, void *user);
    void *user;
};

void jmp_liveness_see(struct jmp_liveness *liveness, uint64_t now, int64_t renewed)
{
    /* A clock may have been set back: any change is a sign of life. */
    if (liveness->seen && liveness->renewed == renewed)
        return;
    liveness->renewal_seen = liveness->seen;
    liveness->seen = true;
    liveness->renewed = renewed;
    liveness->seen_at = now;
}

bool jmp_liveness_judge(struct jmp_liveness *liveness, uint64_t now)
{
    bool live = liveness->seen_at + (liveness->renewal_seen ? JMP_MONITOR_GRACE : JMP_MONITOR_FIRST_GRACE) >= now;
    bool news = !liveness->told || live != liveness->live;

    liveness->told = true;
    liveness->live = live;
    return news;
}

static void judge(struct jmp_monitor *monitor, struct member *member)
{
    if (jmp_liveness_judge(&member->liveness, jmp_now()))
        monitor->changed(member->name, member->liveness.live, monitor->user);
}

static void on_timer(struct jmp_timer *timer)
{
    struct jmp_monitor *monitor = CONTAINER_OF(timer, struct jmp_monitor, timer);

    for (struct member *member = monitor->members; member; member = member->next)
        judge(monitor, member);
    jmp_timer_start(jmp_kube_loop(monitor->kube), timer, JMP_MONITOR_INTERVAL, on_timer);
}

static struct member **find(struct jmp_monitor *monitor, const char *name)
{
    struct member **at = &monitor->members;

    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static void on_changed(const char *name, json_t *object, void *user)
{
    struct jmp_monitor *monitor = user;
    struct member **at = find(monitor, name);
    struct jmp_kube_record record;

    if (jmp_kube_record_read(object, &record, NULL) < 0)
        record = (struct jmp_kube_record){ .renewed = JMP_KUBE_NO_TIME };
    if (!*at) {
        struct member *member = calloc(1, sizeof(*member));

        if (member)
            member->name = strdup(name);
        if (!member || !member->name) {
            /* It will be there with its next beat. */
            free(member);
            return;
        }
        *at = member;
    }
    jmp_liveness_see(&(*at)->liveness, jmp_now(), record.renewed);
    judge(monitor, *at);
}

static void on_gone(const char *name, void *user)
{
    struct jmp_monitor *monitor = user;
    struct member **at = find(monitor, name), *member = *at;

    if (!member)
        return;
    *at = member->next;
    if (member->liveness.live)
        monitor->changed(member->name, false, monitor->user);
    free(member->name);
    free(member);
}

static void on_synced(void *user) {}

static const struct jmp_kube_watch_events events = { .changed = on_changed, .gone = on_gone, .synced = on_synced };

int jmp_monitor_new(struct jmp_kube *kube, const char *namespace_, const char *selector,
                    void (*changed)(const char *name, bool live, void *user), void *user, struct jmp_monitor **ret)
{
    struct jmp_monitor *monitor = calloc(1, sizeof(*monitor));
    _cleanup_free_ char *path = jmp_kube_path(JMP_KUBE_COORDINATION_GROUP, JMP_KUBE_COORDINATION_VERSION, namespace_,
                                              JMP_KUBE_COORDINATION_PLURAL, NULL);
    int r = monitor && path ? 0 : -ENOMEM;

    if (r == 0) {
        monitor->kube = kube;
        monitor->changed = changed;
        monitor->user = user;
        r = jmp_kube_watch_new(kube, path, selector, NULL, &events, monitor, &monitor->watch);
    }
    if (r == 0)
        r = jmp_timer_start(jmp_kube_loop(kube), &monitor->timer, JMP_MONITOR_INTERVAL, on_timer);
    if (r < 0) {
        jmp_monitor_free(monitor);
        return r;
    }
    *ret = monitor;
    return 0;
}

struct jmp_monitor *jmp_monitor_free(struct jmp_monitor *monitor)
{
    if (!monitor)
        return NULL;

    jmp_kube_watch_free(monitor->watch);
    jmp_timer_close(&monitor->timer);
    while (monitor->members) {
        struct member *member = monitor->members;

        monitor->members = member->next;
        free(member->name);
        free(member);
    }
    free(monitor);
    return NULL;
}
