/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/coordination.h"

#include <string.h>

#include "base/text.h"
#include "kube/when.h"

static int wrong(const char *member, const char *expected, struct jmp_error *reterr)
{
    char path[64];

    snprintf(path, sizeof(path), "spec.%s", member);
    jmp_error_set(reterr, -EINVAL, "expected %s", expected);
    jmp_error_at(reterr, NULL, 0, 0, path);
    return -EINVAL;
}

static int get_string(const json_t *spec, const char *member, char *ret, size_t size, struct jmp_error *reterr)
{
    const json_t *value = json_object_get(spec, member);

    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return wrong(member, "a string", reterr);
    if (json_string_length(value) >= size)
        return wrong(member, "a shorter string", reterr);
    strcpy(ret, json_string_value(value));
    return 0;
}

static int get_number(const json_t *spec, const char *member, int32_t *ret, struct jmp_error *reterr)
{
    const json_t *value = json_object_get(spec, member);
    json_int_t number = json_integer_value(value);

    if (!value || json_is_null(value))
        return 0;
    if (!json_is_integer(value) || number < INT32_MIN || number > INT32_MAX)
        return wrong(member, "a whole number", reterr);
    *ret = (int32_t)number;
    return 0;
}

static int get_time(const json_t *spec, const char *member, int64_t *ret, struct jmp_error *reterr)
{
    const json_t *value = json_object_get(spec, member);

    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value) || jmp_kube_time_parse(json_string_value(value), ret) < 0)
        return wrong(member, "a time", reterr);
    return 0;
}

int jmp_kube_record_read(const json_t *lease, struct jmp_kube_record *ret, struct jmp_error *reterr)
{
    const json_t *spec = json_object_get(lease, "spec");
    struct jmp_kube_record record = { .acquired = JMP_KUBE_NO_TIME, .renewed = JMP_KUBE_NO_TIME };
    int r;

    if (spec && !json_is_null(spec) && !json_is_object(spec)) {
        jmp_error_set(reterr, -EINVAL, "expected a map");
        jmp_error_at(reterr, NULL, 0, 0, "spec");
        return -EINVAL;
    }
    r = get_string(spec, "holderIdentity", record.holder, sizeof(record.holder), reterr);
    if (r == 0)
        r = get_number(spec, "leaseDurationSeconds", &record.duration, reterr);
    if (r == 0)
        r = get_number(spec, "leaseTransitions", &record.transitions, reterr);
    if (r == 0)
        r = get_time(spec, "acquireTime", &record.acquired, reterr);
    if (r == 0)
        r = get_time(spec, "renewTime", &record.renewed, reterr);
    if (r == 0)
        r = get_string(spec, "strategy", record.strategy, sizeof(record.strategy), reterr);
    if (r == 0)
        r = get_string(spec, "preferredHolder", record.preferred_holder, sizeof(record.preferred_holder), reterr);
    if (r < 0)
        return r;

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
                              JMP_KUBE_COORDINATION_GROUP "/" JMP_KUBE_COORDINATION_VERSION, "kind", "Lease", "metadata",
                              "name", name, "namespace", namespace_);

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
