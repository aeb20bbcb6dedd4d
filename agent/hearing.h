/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a hook failed is in the log, and a client leaves at the first status which says that it failed. So that status is
 * not told to anybody before those who read the log have had the time to show it. Belongs to the loop.
 */
#pragma once

#include "base/loop.h"

struct jmp_hearing;

/** jmp_hearing_new()
 * @limit:  microseconds that somebody may be kept waiting for the status; a third of it is left to readers that have
 *          been given everything. 0: nobody waits.
 * Return: 0, -ENOMEM. */
int jmp_hearing_new(struct jmp_loop *loop, uint64_t limit, struct jmp_hearing **ret);
struct jmp_hearing *jmp_hearing_free(struct jmp_hearing *hearing);   /* everybody has left */

/** jmp_hearing_failed() - the status says now that something failed; why stands in the log before @position */
void jmp_hearing_failed(struct jmp_hearing *hearing, uint64_t position);
/** jmp_hearing_over() - the status says something else */
void jmp_hearing_over(struct jmp_hearing *hearing);

/* Somebody who reads the log. */
struct jmp_hearer {
    struct jmp_hearer *next, **link;
    struct jmp_hearing *hearing;     /* or NULL: not one of its */
    uint64_t position;
};

/** jmp_hearer_join() - has been given the log up to @position, and will be given the rest */
void jmp_hearer_join(struct jmp_hearer *hearer, struct jmp_hearing *hearing, uint64_t position);
void jmp_hearer_given(struct jmp_hearer *hearer, uint64_t position);
void jmp_hearer_leave(struct jmp_hearer *hearer);   /* also of a zeroed one */

/* Somebody who asks for the status. */
struct jmp_asker {
    struct jmp_asker *next, **link;
    struct jmp_hearing *hearing;     /* while it waits */
    uint64_t until;
    /* The answer may be given now. May free the asker. */
    void (*go)(struct jmp_asker *asker);
};

/** jmp_hearing_ask() - @deadline: jmp_now() time of the call's; whoever has little time is not kept waiting for all of
 * it.
 * Return: true, answer at once; false, @asker->go() is called later, on the loop. */
bool jmp_hearing_ask(struct jmp_hearing *hearing, struct jmp_asker *asker, uint64_t deadline);
void jmp_asker_leave(struct jmp_asker *asker);      /* harmless when it does not wait */
