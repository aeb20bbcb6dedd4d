/* SPDX-License-Identifier: Apache-2.0 */
/* Takes away the Leases of identities that are gone. */
#pragma once

#include "kube/kube.h"

struct jmp_collector;

/** jmp_kube_is_expired() - whether a Lease of an identity is to go at @wall, microseconds since 1970: it was not
 * renewed within its own duration, or says no time or duration. Hours may pass, so wall clocks will do. */
bool jmp_kube_is_expired(const json_t *lease, int64_t wall);

/** jmp_collector_new() - once an hour, from now on: Leases with @label that are expired, and still so at a second look,
 * are deleted unless they change meanwhile */
int jmp_collector_new(struct jmp_kube *kube, const char *namespace_, const char *label, struct jmp_collector **ret);
struct jmp_collector *jmp_collector_free(struct jmp_collector *collector);
