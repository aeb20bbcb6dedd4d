/* SPDX-License-Identifier: Apache-2.0 */
/* Takes part in an election: does what kube/elect.h says. */
#pragma once

#include "kube/elect.h"
#include "kube/kube.h"

struct jmp_elector;

struct jmp_elector_events {
    /** we lead until @deadline (jmp_now()), unless it is renewed; called again with a later one at each renewal */
    void (*leads)(uint64_t deadline, void *user);
    /** no longer: end the work, then call jmp_elector_rest(). Before the lease's duration is over it must have
     * ended. */
    void (*stop)(void *user);
    /** another holds the Lease now, or we do; "" when nobody does */
    void (*leader)(const char *identity, void *user);
};

/**
 * jmp_elector_new() - stand by for a Lease
 * @events:  on the loop; never from within a function of this object
 *
 * Return: 0, -EINVAL (jmp_elect_check()), -ENOMEM.
 */
int jmp_elector_new(struct jmp_kube *kube, const char *namespace_, const char *name, const char *identity,
                    const struct jmp_elect_timing *timing, const struct jmp_elector_events *events, void *user,
                    struct jmp_elector **ret, struct jmp_error *reterr);
/** jmp_elector_rest() - the work that stop() asked for has ended: we may be elected again */
void jmp_elector_rest(struct jmp_elector *elector);
/**
 * jmp_elector_release() - leave, once the work has ended: the Lease is given back if it is still ours
 * @done:  on the loop, at most 10 s later, also when the server could not be told; the elector may then be freed
 */
void jmp_elector_release(struct jmp_elector *elector, void (*done)(void *user), void *user);
struct jmp_elector *jmp_elector_free(struct jmp_elector *elector);   /* does not release */
JMP_DEFINE_CLEANUP(struct jmp_elector *, jmp_elector_free)
/** jmp_elector_fence() - (uid, transitions) of our time as leader, for those who must tell us from a successor; ""
 * before */
const char *jmp_elector_fence(const struct jmp_elector *elector);
