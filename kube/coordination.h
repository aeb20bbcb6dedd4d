/* SPDX-License-Identifier: Apache-2.0 */
/* Leases of coordination.k8s.io/v1: who holds what, as everybody can see. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "kube/objects.h"

#define JMP_KUBE_HOLDER_MAX 511u

/* LeaseSpec. What is absent is "", 0 or JMP_KUBE_NO_TIME. Times are what the holder's clock said: information, never
 * compared with ours. */
struct jmp_kube_record {
    char holder[JMP_KUBE_HOLDER_MAX + 1];
    int32_t duration;            /* seconds after its last renewal at which another may take it */
    int32_t transitions;         /* changes of holder */
    int64_t acquired, renewed;   /* microseconds since 1970 */
    char strategy[64], preferred_holder[JMP_KUBE_HOLDER_MAX + 1];
};

/**
 * jmp_kube_record_read() - the spec of a Lease
 * @lease:  as the server sent it; NULL members are absent ones
 *
 * Return: 0, -EINVAL with the member's path for one of another type.
 */
int jmp_kube_record_read(const json_t *lease, struct jmp_kube_record *ret, struct jmp_error *reterr);

/** jmp_kube_record_write() - set what a holder sets; labels, annotations and all members that we do not know stay.
 * -ENOMEM. */
int jmp_kube_record_write(json_t *lease, const struct jmp_kube_record *record);

/** jmp_kube_lease_new() - a Lease that was not there before; NULL: no memory */
json_t *jmp_kube_lease_new(const char *namespace_, const char *name, const struct jmp_kube_record *record);

/** jmp_kube_record_equal() - whether two views of a Lease are the same, so that nothing was renewed between them */
bool jmp_kube_record_equal(const struct jmp_kube_record *a, const struct jmp_kube_record *b);
