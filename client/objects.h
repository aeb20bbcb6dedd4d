/* SPDX-License-Identifier: Apache-2.0 */
/* Exporters and leases as a controller describes them. Absent strings are "", absent times are JMP_TIME_NONE. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/node.h"

#define JMP_TIME_NONE INT64_MIN

/* A map of strings, in the order of its keys. */
struct jmp_pair {
    const char *key, *value;
};

struct jmp_pairs {
    struct jmp_pair *items;
    size_t count;
};

/** jmp_pairs_get() - the value of @key, or NULL */
const char *jmp_pairs_get(const struct jmp_pairs *pairs, const char *key);
/** jmp_pairs_sort() - by key; of equal keys the last stays, as in a protobuf map */
void jmp_pairs_sort(struct jmp_pairs *pairs);
/** jmp_pairs_parse() - "KEY=VALUE" strings of a command line, a list node as JMP_STRINGS gives it; -EINVAL with words
 */
int jmp_pairs_parse(const struct jmp_node *list, const char *what, struct jmp_tree *tree, struct jmp_pairs *ret,
                    struct jmp_error *reterr);
/** jmp_pairs_join() - "a=1,b=2"; free() @ret */
int jmp_pairs_join(const struct jmp_pairs *pairs, char **ret);

enum jmp_exporter_status {
    JMP_STATUS_UNSPECIFIED,
    JMP_STATUS_OFFLINE,
    JMP_STATUS_AVAILABLE,
    JMP_STATUS_BEFORE_LEASE_HOOK,
    JMP_STATUS_LEASE_READY,
    JMP_STATUS_AFTER_LEASE_HOOK,
    JMP_STATUS_BEFORE_LEASE_HOOK_FAILED,
    JMP_STATUS_AFTER_LEASE_HOOK_FAILED,
};

const char *jmp_exporter_status_name(unsigned status);   /* "LEASE_READY"; "UNKNOWN" for others */

struct jmp_exporter {
    const char *namespace_, *name;
    struct jmp_pairs labels, deprecated_labels;
    bool online, enabled;
    unsigned status;                 /* enum jmp_exporter_status, or a newer one */
    const char *status_message;
};

struct jmp_condition {
    const char *type, *status, *reason, *message;
    bool has_generation;
    int64_t generation;
    bool has_transition;
    int64_t transition_seconds;
    int32_t transition_nanos;
};

struct jmp_lease {
    const char *namespace_, *name, *selector;
    const char *client, *exporter;         /* bare names */
    const char *exporter_name;             /* asked for by name */
    struct jmp_pairs tags, context, deprecated_labels;
    int64_t duration, effective_duration;  /* microseconds, JMP_TIME_NONE */
    int64_t begin, effective_begin, end, effective_end;   /* microseconds since 1970, JMP_TIME_NONE */
    struct jmp_condition *conditions;
    size_t n_conditions;
    bool allow_disabled;
};

/** jmp_lease_condition() - the condition of this type, or NULL */
const struct jmp_condition *jmp_lease_condition(const struct jmp_lease *lease, const char *type);
bool jmp_condition_is(const struct jmp_condition *condition, const char *status);   /* false for NULL */
/** jmp_lease_expiry() - when it ends: its end, else begin and duration; JMP_TIME_NONE while nobody knows */
int64_t jmp_lease_expiry(const struct jmp_lease *lease);
/** jmp_lease_state() - in a word: Ended, Unknown, In-Use, Waiting, Expired, or the reason of its last condition */
const char *jmp_lease_state(const struct jmp_lease *lease);
