/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hearing.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define ASKERS_MAX 64u     /* who comes when so many wait is answered at once */

struct jmp_hearing {
    struct jmp_loop *loop;
    uint64_t limit;
    bool failed;
    uint64_t position;     /* of the log, if @failed: up to here it says why */
    uint64_t given;        /* when somebody was last given all of that; 0: nobody was yet */
    struct jmp_hearer *hearers;
    struct jmp_asker *askers;
    unsigned waiting;
    struct jmp_timer timer;
};

int jmp_hearing_new(struct jmp_loop *loop, uint64_t limit, struct jmp_hearing **ret)
{
    struct jmp_hearing *hearing = calloc(1, sizeof(*hearing));

    if (!hearing)
        return -ENOMEM;

    hearing->loop = loop;
    hearing->limit = limit;
    *ret = hearing;
    return 0;
}

struct jmp_hearing *jmp_hearing_free(struct jmp_hearing *hearing)
{
    if (hearing)
        jmp_timer_close(&hearing->timer);
    free(hearing);
    return NULL;
}

/* When @asker may have its answer, if nothing happens until then. */
static uint64_t due(const struct jmp_hearing *hearing, const struct jmp_asker *asker)
{
    uint64_t shown = hearing->given + hearing->limit / 3;

    if (!hearing->failed)
        return 0;
    for (const struct jmp_hearer *hearer = hearing->hearers; hearer; hearer = hearer->next)
        if (hearer->position < hearing->position)
            return asker->until;
    return hearing->given && shown < asker->until ? shown : asker->until;
}

static void answer(struct jmp_timer *timer);

static void schedule(struct jmp_hearing *hearing)
{
    uint64_t first = JMP_USEC_INFINITY, now = jmp_now();

    for (const struct jmp_asker *asker = hearing->askers; asker; asker = asker->next)
        if (due(hearing, asker) < first)
            first = due(hearing, asker);
    if (first != JMP_USEC_INFINITY)
        first = first > now ? first - now : 0;
    /* Without a timer nobody would ever be answered. */
    if (jmp_timer_start(hearing->loop, &hearing->timer, first, answer) < 0)
        jmp_hearing_over(hearing);
}

static void answer(struct jmp_timer *timer)
{
    struct jmp_hearing *hearing = CONTAINER_OF(timer, struct jmp_hearing, timer);
    struct jmp_asker *asker, *next;
    uint64_t now = jmp_now();

    for (asker = hearing->askers; asker; asker = next) {
        next = asker->next;
        if (due(hearing, asker) > now)
            continue;
        jmp_asker_leave(asker);
        asker->go(asker);
    }
    schedule(hearing);
}

static void note(struct jmp_hearing *hearing, const struct jmp_hearer *hearer)
{
    if (hearing->failed && hearer->position >= hearing->position)
        hearing->given = jmp_now();
}

void jmp_hearing_failed(struct jmp_hearing *hearing, uint64_t position)
{
    if (hearing->failed)
        return;   /* said once more: the reason is the same */

    hearing->failed = true;
    hearing->position = position;
    hearing->given = 0;
    for (const struct jmp_hearer *hearer = hearing->hearers; hearer; hearer = hearer->next)
        note(hearing, hearer);
}

void jmp_hearing_over(struct jmp_hearing *hearing)
{
    hearing->failed = false;
    while (hearing->askers) {
        struct jmp_asker *asker = hearing->askers;

        jmp_asker_leave(asker);
        asker->go(asker);
    }
}

void jmp_hearer_join(struct jmp_hearer *hearer, struct jmp_hearing *hearing, uint64_t position)
{
    *hearer = (struct jmp_hearer){ .hearing = hearing, .position = position, .next = hearing->hearers,
                                   .link = &hearing->hearers };
    if (hearer->next)
        hearer->next->link = &hearer->next;
    hearing->hearers = hearer;
    note(hearing, hearer);
    schedule(hearing);
}

void jmp_hearer_given(struct jmp_hearer *hearer, uint64_t position)
{
    struct jmp_hearing *hearing = hearer->hearing;

    if (!hearing)
        return;
    if (hearer->position < hearing->position) {
        hearer->position = position;
        note(hearing, hearer);
        schedule(hearing);
    } else {
        hearer->position = position;
    }
}

void jmp_hearer_leave(struct jmp_hearer *hearer)
{
    struct jmp_hearing *hearing = hearer->hearing;

    if (!hearing)
        return;
    *hearer->link = hearer->next;
    if (hearer->next)
        hearer->next->link = hearer->link;
    *hearer = (struct jmp_hearer){ 0 };
    schedule(hearing);
}

bool jmp_hearing_ask(struct jmp_hearing *hearing, struct jmp_asker *asker, uint64_t deadline)
{
    uint64_t now = jmp_now(), half = deadline > now ? (deadline - now) / 2 : 0;

    asker->until = now + (half < hearing->limit ? half : hearing->limit);
    if (due(hearing, asker) <= now || hearing->waiting >= ASKERS_MAX)
        return true;

    asker->hearing = hearing;
    asker->next = hearing->askers;
    asker->link = &hearing->askers;
    if (asker->next)
        asker->next->link = &asker->next;
    hearing->askers = asker;
    hearing->waiting++;
    schedule(hearing);
    return false;
}

void jmp_asker_leave(struct jmp_asker *asker)
{
    struct jmp_hearing *hearing = asker->hearing;

    if (!hearing)
        return;
    *asker->link = asker->next;
    if (asker->next)
        asker->next->link = asker->link;
    hearing->waiting--;
    asker->hearing = NULL;
    asker->next = NULL;
    asker->link = NULL;
}
