/* SPDX-License-Identifier: Apache-2.0 */
/* What a lab knows: clients, exporters, leases and their conditions. No storage, no wire. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/uuid.h"
#include "labd/labels.h"

/* Wall-clock times are microseconds since 1970, 0: not set. Durations are nanoseconds, as clients send them. */
#define JMP_SECOND INT64_C(1000000)
#define JMP_NSEC_PER_SECOND INT64_C(1000000000)
#define JMP_DURATION_MAX (INT64_C(100) * 365 * 24 * 3600 * JMP_NSEC_PER_SECOND)

#define JMP_TAGS_MAX 10u
#define JMP_CONTEXT_MAX 8u
#define JMP_CONTEXT_KEY_MAX 32u
#define JMP_CONTEXT_VALUE_MAX 64u
#define JMP_STATUS_MESSAGE_MAX 1024u

#define JMP_TAG_PREFIX "metadata.jumpstarter.dev/"
#define JMP_OWN_PREFIX "jumpstarter.dev/"

/* As the protocol numbers them (docs/protocol.md, ExporterStatus). */
enum jmp_exporter_status {
    JMP_STATUS_UNSPECIFIED = 0,
    JMP_STATUS_OFFLINE = 1,
    JMP_STATUS_AVAILABLE = 2,
    JMP_STATUS_BEFORE_LEASE_HOOK = 3,
    JMP_STATUS_LEASE_READY = 4,
    JMP_STATUS_AFTER_LEASE_HOOK = 5,
    JMP_STATUS_BEFORE_LEASE_HOOK_FAILED = 6,
    JMP_STATUS_AFTER_LEASE_HOOK_FAILED = 7,
};

const char *jmp_exporter_status_name(unsigned status);   /* "LeaseReady"; numbers from the future are "Unspecified" */

struct jmp_client {
    char *name;
    char uid[JMP_UUID_SIZE];
    struct jmp_labels labels;
    int64_t created;
};

struct jmp_exporter {
    char *name;
    char uid[JMP_UUID_SIZE];
    struct jmp_labels labels;
    bool enabled, registered;
    unsigned status;            /* enum jmp_exporter_status */
    char *message;              /* never NULL once loaded */
    unsigned devices;           /* in its last report */
    int64_t seen;               /* when it was last heard of, as far as written down */
    int64_t created;
};

enum jmp_condition_type { JMP_PENDING, JMP_READY, JMP_UNSATISFIABLE, JMP_INVALID };
const char *jmp_condition_name(enum jmp_condition_type type);

struct jmp_condition {
    enum jmp_condition_type type;
    bool status;
    char reason[32];
    char message[512];
    int64_t changed;            /* when the status flipped last */
};

struct jmp_lease {
    int64_t id;                 /* the order of arrival */
    char *name;
    char *client;
    char *selector;             /* normal form, "" for none */
    char *wanted;               /* exporter asked for by name, or NULL */
    bool allow_disabled;
    int64_t duration;           /* nanoseconds, 0: none */
    int64_t begin, end;         /* as asked for */
    struct jmp_labels tags, context;
    int64_t created;
    bool release;               /* somebody wants it to end */

    bool ended;
    char *exporter;             /* assigned, and kept after the end; NULL: waiting */
    char exporter_uid[JMP_UUID_SIZE];
    int64_t began, finished;    /* effective begin and end */
    struct jmp_condition conditions[4];
    /* Of its client; filled for the scheduler only, and only when there are rules of access. */
    struct jmp_labels holder;
    size_t condition_count;     /* in order of first appearance; clients look at the last */
};

void jmp_client_clear(struct jmp_client *client);
void jmp_exporter_clear(struct jmp_exporter *exporter);
void jmp_lease_clear(struct jmp_lease *lease);

/** jmp_lease_set_condition() - a known type is updated in place, a new one is appended; the time moves only when the
 * status flips */
void jmp_lease_set_condition(struct jmp_lease *lease, enum jmp_condition_type type, bool status, const char *reason,
                             int64_t now, const char *fmt, ...) JMP_PRINTF(6, 7);

/** jmp_lease_assign() - @exporter is this lease's from now on. Return: 0, -ENOMEM. */
int jmp_lease_assign(struct jmp_lease *lease, const struct jmp_exporter *exporter, int64_t now);

enum jmp_lease_end { JMP_LEASE_RELEASED, JMP_LEASE_EXPIRED, JMP_LEASE_REFUSED };
/** jmp_lease_finish() - the end; JMP_LEASE_REFUSED keeps the condition that says why */
void jmp_lease_finish(struct jmp_lease *lease, enum jmp_lease_end how, int64_t now);

/** jmp_lease_expiry() - when a lease that began is over: its end, else begin and duration; it is over at once without
 * any of them */
int64_t jmp_lease_expiry(const struct jmp_lease *lease);

/**
 * jmp_lease_resolve_times() - what was asked for, made consistent
 * @begin, @end, @duration: 0: not given; times are cut to whole seconds, as they are stored
 *
 * Duration; begin and duration; begin and end; end and duration; or all three when they agree.
 *
 * Return: 0, -EINVAL with the words that clients know.
 */
int jmp_lease_resolve_times(int64_t *begin, int64_t *end, int64_t *duration, struct jmp_error *reterr);

/** jmp_lease_check_tags() - Return: 0, -EINVAL with words */
int jmp_lease_check_tags(const struct jmp_labels *tags, struct jmp_error *reterr);
int jmp_lease_check_context(const struct jmp_labels *context, struct jmp_error *reterr);

/** jmp_lease_labels() - the labels that lists of leases are filtered by: equalities of the selector, tags with their
 * prefix */
int jmp_lease_labels(const struct jmp_lease *lease, struct jmp_labels *ret);

int64_t jmp_wall_now(void);
