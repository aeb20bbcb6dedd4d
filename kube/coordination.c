/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/coordination.h"

#include <string.h>

#include "kube/when.h"

static int copy(const char *text, const char *member, char *ret, size_t size, struct jmp_error *reterr)
{
    if (!text)
        return 0;
    if (strlen(text) >= size) {
        jmp_error_set(reterr, -EINVAL, "expected a shorter string");
        jmp_error_at(reterr, NULL, 0, 0, member);
        return -EINVAL;
    }
    strcpy(ret, text);
    return 0;
}

int jmp_kube_record_read(const json_t *lease, struct jmp_kube_record *ret, struct jmp_error *reterr)
{
    const json_t *value = json_object_get(lease, "spec");
    struct jmp_kube_coordination_spec spec = { 0 };
    struct jmp_kube_record record = { 0 };
    int r;

    r = jmp_kube_fields_read(jmp_kube_coordination_fields, &spec, json_is_null(value) ? NULL : value, "spec", NULL,
                             reterr);
    if (r == 0)
        r = copy(spec.holder, "spec.holderIdentity", record.holder, sizeof(record.holder), reterr);
    if (r == 0)
        r = copy(spec.strategy, "spec.strategy", record.strategy, sizeof(record.strategy), reterr);
    if (r == 0)
        r = copy(spec.preferred_holder, "spec.preferredHolder", record.preferred_holder,
                 sizeof(record.preferred_holder), reterr);
    if (r < 0)
        return r;

    record.duration = spec.duration;
    record.transitions = spec.transitions;
    record.acquired = spec.acquired.usec;
    record.renewed = spec.renewed.usec;
    *ret = record;
    return 0;
}

static json_t *time_json(int64_t usec)
{
    char text[JMP_KUBE_TIME_SIZE];

    jmp_kube_microtime_print(usec, text);
    return json_string(text);
}

int jmp_kube_record_write(json_t *lease, const struct jmp_kube_record *record)
{
    json_t *spec = json_object_get(lease, "spec");
    int r = 0;

    if (!json_is_object(spec)) {
        spec = json_object();
        r = json_object_set_new(lease, "spec", spec);
    }
    /* A member set to no JSON value, for want of memory, is an error of jansson's as well. */
    if (r == 0)
        r = json_object_set_new(spec, "holderIdentity", json_string(record->holder));
    if (r == 0 && record->duration > 0)
        r = json_object_set_new(spec, "leaseDurationSeconds", json_integer(record->duration));
    if (r == 0)
        r = json_object_set_new(spec, "leaseTransitions", json_integer(record->transitions));
    if (r == 0 && record->acquired != JMP_KUBE_NO_TIME)
        r = json_object_set_new(spec, "acquireTime", time_json(record->acquired));
    if (r == 0 && record->renewed != JMP_KUBE_NO_TIME)
        r = json_object_set_new(spec, "renewTime", time_json(record->renewed));
    return r == 0 ? 0 : -ENOMEM;
}

json_t *jmp_kube_lease_new(const char *namespace_, const char *name, const struct jmp_kube_record *record)
{
    json_t *lease = json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion",
                              JMP_KUBE_COORDINATION_GROUP "/" JMP_KUBE_COORDINATION_VERSION, "kind", "Lease",
                              "metadata", "name", name, "namespace", namespace_);

    if (lease && jmp_kube_record_write(lease, record) < 0) {
        json_decref(lease);
        return NULL;
    }
    return lease;
}

bool jmp_kube_record_equal(const struct jmp_kube_record *a, const struct jmp_kube_record *b)
{
    return strcmp(a->holder, b->holder) == 0 && a->duration == b->duration && a->transitions == b->transitions &&
           a->acquired == b->acquired && a->renewed == b->renewed && strcmp(a->strategy, b->strategy) == 0 &&
           strcmp(a->preferred_holder, b->preferred_holder) == 0;
}
