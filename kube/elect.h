/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leader election, as a pure function of what was seen and when: no I/O, no clock, no memory. kube/elector.c does what
 * it says; a model in elect_test.c runs many of them against each other.
 *
 * Times of others are never compared with ours: a record counts as live for its own duration after it last changed
 * before our eyes. The leader stops earlier, a renew deadline after it began its last good renewal, so that clocks may
 * differ in rate by lease duration to renew deadline. All times are microseconds of one clock that counts suspension,
 * jmp_now().
 */
#pragma once

#include <stdbool.h>

#include "kube/coordination.h"

struct jmp_elect_timing {
    uint64_t lease_duration;    /* 15 s: whole seconds, more than @renew_deadline */
    uint64_t renew_deadline;    /* 10 s: more than 1.2 times @retry_period */
    uint64_t retry_period;      /* 2 s */
};

#define JMP_ELECT_TIMING \
    ((struct jmp_elect_timing){ 15 * JMP_USEC_PER_SEC, 10 * JMP_USEC_PER_SEC, 2 * JMP_USEC_PER_SEC })

/** jmp_elect_check() - 0, or -EINVAL with what is wrong about timing or identity */
int jmp_elect_check(const struct jmp_elect_timing *timing, const char *identity, struct jmp_error *reterr);

/* What is to be done next. */
enum jmp_elect_do {
    JMP_ELECT_WAIT,      /* until @at */
    JMP_ELECT_GET,       /* then jmp_elect_seen() or jmp_elect_failed() */
    JMP_ELECT_CREATE,    /* @record, then jmp_elect_written(), jmp_elect_conflict() or jmp_elect_failed() */
    JMP_ELECT_PUT,       /* @record into the object seen or written last; the same */
};

struct jmp_elect_step {
    enum jmp_elect_do what;
    uint64_t at;
    struct jmp_kube_record record;
};

struct jmp_elect {
    struct jmp_elect_timing timing;
    char identity[JMP_KUBE_HOLDER_MAX + 1];
    bool leading;
    uint64_t renewed_at;            /* when the last good renewal began */
    bool seen;
    struct jmp_kube_record record;  /* as it was last */
    uint64_t changed_at;            /* when it last changed before our eyes */
    uint64_t tried_at;              /* when what is being tried began */
};

/** jmp_elect_init() - a standby that has seen nothing */
void jmp_elect_init(struct jmp_elect *elect, const struct jmp_elect_timing *timing, const char *identity);

/** jmp_elect_tick() - the time of a WAIT has come
 * @wall:  microseconds since 1970, for the record */
struct jmp_elect_step jmp_elect_tick(struct jmp_elect *elect, uint64_t now, int64_t wall);
/** jmp_elect_seen() - a GET was answered; @record NULL: there is no such Lease; @random: 0 to 1, spreads standbys */
struct jmp_elect_step jmp_elect_seen(struct jmp_elect *elect, uint64_t now, int64_t wall, double random,
                                     const struct jmp_kube_record *record);
/** jmp_elect_written() - a CREATE or PUT is done; @record: as it was written */
struct jmp_elect_step jmp_elect_written(struct jmp_elect *elect, uint64_t now, const struct jmp_kube_record *record);
/** jmp_elect_conflict() - somebody else wrote first */
struct jmp_elect_step jmp_elect_conflict(struct jmp_elect *elect, uint64_t now);
/** jmp_elect_failed() - no answer, or another refusal */
struct jmp_elect_step jmp_elect_failed(struct jmp_elect *elect, uint64_t now, double random);

/** jmp_elect_deadline() - until when the work may run: at this moment it must have been stopped; 0: not leading */
uint64_t jmp_elect_deadline(const struct jmp_elect *elect);
/** jmp_elect_step_down() - the work has ended: the deadline came, or it was stopped on purpose */
void jmp_elect_step_down(struct jmp_elect *elect);
/** jmp_elect_release() - what to write so that others need not wait, after a fresh look (@record) and once the work has
 * ended.
 * Return: whether it is still ours to give. */
bool jmp_elect_release(const struct jmp_elect *elect, int64_t wall, const struct jmp_kube_record *record,
                       struct jmp_kube_record *ret);
