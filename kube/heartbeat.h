/* SPDX-License-Identifier: Apache-2.0 */
/* A Lease that says "alive": of an agent, for a monitor; or of a process among its like, by a label. */
#pragma once

#include "kube/coordination.h"
#include "kube/kube.h"

#define JMP_HEARTBEAT_DURATION 40u                        /* seconds, as nodes have it */
#define JMP_HEARTBEAT_INTERVAL (10 * JMP_USEC_PER_SEC)
#define JMP_IDENTITY_DURATION 3600u                       /* seconds; collected after that */

struct jmp_heartbeat;

struct jmp_heartbeat_options {
    const char *namespace_, *name, *holder;
    uint32_t duration;              /* seconds */
    uint64_t interval;              /* microseconds; up to 4 % more */
    const json_t *labels;           /* of a Lease that is made; borrowed, may be NULL */
    /* The second failure in a row, and each after that: connections may be stale. May be NULL. */
    void (*failing)(const struct jmp_kube_status *status, unsigned failures, void *user);
    void *user;
};

/** jmp_heartbeat_new() - beat from now on, for ever; strings are copied */
int jmp_heartbeat_new(struct jmp_kube *kube, const struct jmp_heartbeat_options *options, struct jmp_heartbeat **ret);
struct jmp_heartbeat *jmp_heartbeat_free(struct jmp_heartbeat *heartbeat);
JMP_DEFINE_CLEANUP(struct jmp_heartbeat *, jmp_heartbeat_free)
unsigned jmp_heartbeat_beats(const struct jmp_heartbeat *heartbeat);   /* that were written */
