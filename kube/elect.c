/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/elect.h"

#include <string.h>

#define JITTER 1.2

int jmp_elect_check(const struct jmp_elect_timing *timing, const char *identity, struct jmp_error *reterr)
{
    if (!*identity)
        return jmp_error_set(reterr, -EINVAL, "the identity is empty");
    if (strlen(identity) > JMP_KUBE_HOLDER_MAX)
        return jmp_error_set(reterr, -EINVAL, "the identity is longer than %u bytes", JMP_KUBE_HOLDER_MAX);
    if (timing->lease_duration == 0 || timing->renew_deadline == 0 || timing->retry_period == 0)
        return jmp_error_set(reterr, -EINVAL, "lease duration, renew deadline and retry period must be more than 0");
    if (timing->lease_duration % JMP_USEC_PER_SEC != 0 || timing->lease_duration / JMP_USEC_PER_SEC > INT32_MAX)
        return jmp_error_set(reterr, -EINVAL, "the lease duration must be whole seconds");
    if (timing->lease_duration <= timing->renew_deadline)
        return jmp_error_set(reterr, -EINVAL, "the lease duration must be longer than the renew deadline");
    if ((double)timing->renew_deadline <= JITTER * (double)timing->retry_period)
        return jmp_error_set(reterr, -EINVAL, "the renew deadline must be longer than 1.2 retry periods");
    return 0;
}

void jmp_elect_init(struct jmp_elect *elect, const struct jmp_elect_timing *timing, const char *identity)
{
    *elect = (struct jmp_elect){ .timing = *timing };
    snprintf(elect->identity, sizeof(elect->identity), "%s", identity);
}

uint64_t jmp_elect_deadline(const struct jmp_elect *elect)
{
    return elect->leading ? elect->renewed_at + elect->timing.renew_deadline : 0;
}

void jmp_elect_step_down(struct jmp_elect *elect) { elect->leading = false; }

static struct jmp_elect_step wait_until(uint64_t at)
{
    return (struct jmp_elect_step){ .what = JMP_ELECT_WAIT, .at = at };
}

/* Standbys come at different times, so that they do not all write at once. */
static struct jmp_elect_step wait_some(const struct jmp_elect *elect, uint64_t now, double random)
{
    double more = elect->leading ? 0 : random * JITTER;

    return wait_until(now + (uint64_t)((1 + more) * (double)elect->timing.retry_period));
}

static bool is_mine(const struct jmp_elect *elect) { return strcmp(elect->record.holder, elect->identity) == 0; }

/* Its holder asked for somebody else's sake to let go, which only coordinated election does. */
static bool is_wanted_by_another(const struct jmp_elect *elect)
{
    return *elect->record.strategy && *elect->record.preferred_holder &&
           strcmp(elect->record.preferred_holder, elect->identity) != 0;
}

static struct jmp_elect_step write_record(struct jmp_elect *elect, enum jmp_elect_do what, uint64_t now, int64_t wall)
{
    struct jmp_elect_step step = { .what = what, .record = elect->record };

    if (what == JMP_ELECT_CREATE)
        step.record = (struct jmp_kube_record){ 0 };
    if (what == JMP_ELECT_CREATE || !is_mine(elect)) {
        step.record.acquired = wall;
        step.record.transitions += what == JMP_ELECT_PUT;
    }
    memcpy(step.record.holder, elect->identity, sizeof(step.record.holder));
    step.record.duration = (int32_t)(elect->timing.lease_duration / JMP_USEC_PER_SEC);
    step.record.renewed = wall;
    elect->tried_at = now;
    return step;
}

static void observe(struct jmp_elect *elect, uint64_t now, const struct jmp_kube_record *record)
{
    if (!elect->seen || !jmp_kube_record_equal(&elect->record, record))
        elect->changed_at = now;
    elect->record = *record;
    elect->seen = true;
}

struct jmp_elect_step jmp_elect_tick(struct jmp_elect *elect, uint64_t now, int64_t wall)
{
    /* The leader knows what it wrote last; should that be wrong, the write conflicts and it looks. */
    if (elect->leading && elect->seen)
        return write_record(elect, JMP_ELECT_PUT, now, wall);
    elect->tried_at = now;
    return (struct jmp_elect_step){ .what = JMP_ELECT_GET };
}

struct jmp_elect_step jmp_elect_seen(struct jmp_elect *elect, uint64_t now, int64_t wall, double random,
                                     const struct jmp_kube_record *record)
{
    if (!record) {
        elect->seen = false;
        return write_record(elect, JMP_ELECT_CREATE, now, wall);
    }
    observe(elect, now, record);
    if (is_mine(elect)) {
        if (is_wanted_by_another(elect)) {
            elect->leading = false;
            return wait_some(elect, now, random);
        }
        return write_record(elect, JMP_ELECT_PUT, now, wall);
    }

    elect->leading = false;
    if (*elect->record.holder && elect->changed_at + (uint64_t)elect->record.duration * JMP_USEC_PER_SEC > now)
        return wait_some(elect, now, random);
    return write_record(elect, JMP_ELECT_PUT, now, wall);
}

struct jmp_elect_step jmp_elect_written(struct jmp_elect *elect, uint64_t now, const struct jmp_kube_record *record)
{
    observe(elect, now, record);
    /* An answer that comes after the deadline is no leave to go on: it is looked at first. */
    if (elect->tried_at + elect->timing.renew_deadline <= now)
        return (struct jmp_elect_step){ .what = JMP_ELECT_GET };
    elect->leading = true;
    elect->renewed_at = elect->tried_at;
    if (is_wanted_by_another(elect))
        elect->leading = false;
    return wait_until(now + elect->timing.retry_period);
}

struct jmp_elect_step jmp_elect_conflict(struct jmp_elect *elect, uint64_t now)
{
    /* The leader looks at once who it was; a standby lost a race and takes its time. */
    if (elect->leading)
        return (struct jmp_elect_step){ .what = JMP_ELECT_GET };
    return wait_until(now + elect->timing.retry_period);
}

struct jmp_elect_step jmp_elect_failed(struct jmp_elect *elect, uint64_t now, double random)
{
    return wait_some(elect, now, random);
}

bool jmp_elect_release(const struct jmp_elect *elect, int64_t wall, const struct jmp_kube_record *record,
                       struct jmp_kube_record *ret)
{
    if (strcmp(record->holder, elect->identity) != 0)
        return false;

    *ret = *record;
    *ret->holder = '\0';
    ret->duration = 1;
    ret->acquired = ret->renewed = wall;
    return true;
}
