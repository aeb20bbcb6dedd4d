/* SPDX-License-Identifier: Apache-2.0 */
/* From a wish to a lease that holds a board. */
#pragma once

#include "client/controller_client.h"

struct jmp_acquisition;

struct jmp_acquire_options {
    const char *name;                        /* a lease that is there already; NULL: make one */
    const struct jmp_lease_request *request; /* how to make it */
    uint64_t timeout;                        /* microseconds to wait for the board */
    /* What the waiting is for, whenever that changes; may be NULL. */
    void (*progress)(const char *words, void *user);
    void *user;
};

/**
 * jmp_acquire() - make a lease, or take one that is there, and wait until it holds an exporter
 * @ret:  jmp_acquisition_free(), before that jmp_acquisition_release()
 *
 * The lease is asked for at once, then after 50 ms and doubling to one second: a lab that has a free board answers the
 * first or second time. A controller that cannot be reached is asked again, until the time is up. What was made is
 * deleted again when this fails.
 *
 * Return: 0, -ETIMEDOUT, -ECANCELED, -ENOENT (no such lease), -EACCES (someone else's), -EBUSY (cannot be satisfied, or
 * over), and what jmp_client_call() returns; always with words.
 */
int jmp_acquire(struct jmp_controller_client *controller, const struct jmp_acquire_options *options,
                struct jmp_acquisition **ret, struct jmp_error *reterr);
const struct jmp_lease *jmp_acquisition_lease(const struct jmp_acquisition *acquisition);
/** jmp_acquisition_refresh() - look at the lease again; waits */
int jmp_acquisition_refresh(struct jmp_acquisition *acquisition, struct jmp_error *reterr);
bool jmp_acquisition_is_own(const struct jmp_acquisition *acquisition);   /* made by us, not found */
/** jmp_acquisition_release() - delete the lease if it is our own; once. Not to be interrupted, at most @timeout
 * microseconds. */
int jmp_acquisition_release(struct jmp_acquisition *acquisition, uint64_t timeout, struct jmp_error *reterr);
/** jmp_acquisition_keep() - it has ended or belongs to somebody else by now: there is nothing to delete */
void jmp_acquisition_keep(struct jmp_acquisition *acquisition);
struct jmp_acquisition *jmp_acquisition_free(struct jmp_acquisition *acquisition);
JMP_DEFINE_CLEANUP(struct jmp_acquisition *, jmp_acquisition_free)

enum jmp_acquire_verdict { JMP_LEASE_WAITING, JMP_LEASE_HELD, JMP_LEASE_REFUSED, JMP_LEASE_AGAIN };

/** jmp_acquire_judge() - what the conditions of a lease mean; @words (of at least 512 bytes) says why it waits or is
 * refused. AGAIN: an old controller has no exporter online just now, and wants to be asked by a new lease. */
enum jmp_acquire_verdict jmp_acquire_judge(const struct jmp_lease *lease, char *words, size_t size);
