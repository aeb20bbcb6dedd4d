/* SPDX-License-Identifier: Apache-2.0 */
/* Who is alive: heartbeats, judged by when they changed before our eyes and never by what they say. */
#pragma once

#include "kube/coordination.h"
#include "kube/kube.h"

#define JMP_MONITOR_GRACE (50 * JMP_USEC_PER_SEC)        /* a renewal was seen */
#define JMP_MONITOR_FIRST_GRACE (60 * JMP_USEC_PER_SEC)  /* none was seen yet */
#define JMP_MONITOR_INTERVAL (5 * JMP_USEC_PER_SEC)

/*
 * The judgement of one heartbeat, pure. Zeroed memory has seen nothing.
 */
struct jmp_liveness {
    int64_t renewed;        /* as its Lease says; only whether it changes counts, either way */
    uint64_t seen_at;       /* jmp_now() of the first sight or the last change */
    bool seen, renewal_seen, told, live;
};

/** jmp_liveness_see() - a version of the Lease */
void jmp_liveness_see(struct jmp_liveness *liveness, uint64_t now, int64_t renewed);
/** jmp_liveness_judge() - whether it is alive at @now. Return: whether that is news. */
bool jmp_liveness_judge(struct jmp_liveness *liveness, uint64_t now);

struct jmp_monitor;

/**
 * jmp_monitor_new() - watch the Leases of a namespace
 * @selector:  label selector, or NULL
 * @changed:   on the loop, once for each change, first when something is known; a Lease that is deleted counts as stale
 */
int jmp_monitor_new(struct jmp_kube *kube, const char *namespace_, const char *selector,
                    void (*changed)(const char *name, bool live, void *user), void *user, struct jmp_monitor **ret);
struct jmp_monitor *jmp_monitor_free(struct jmp_monitor *monitor);
