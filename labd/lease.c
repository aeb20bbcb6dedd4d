/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/lease.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "labd/selector.h"

const char *jmp_exporter_status_name(unsigned status)
{
    static const char *const names[] = {
        "Unspecified",
        "Offline",
        "Available",
        "BeforeLeaseHook",
        "LeaseReady",
        "AfterLeaseHook",
        "BeforeLeaseHookFailed",
        "AfterLeaseHookFailed",
    };

    return status < ELEMENTSOF(names) ? names[status] : names[0];
}

const char *jmp_condition_name(enum jmp_condition_type type)
{
    static const char *const names[] = { "Pending", "Ready", "Unsatisfiable", "Invalid" };

    return names[type];
}

int64_t jmp_wall_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * JMP_SECOND + now.tv_nsec / 1000;
}

void jmp_client_clear(struct jmp_client *client)
{
    free(client->name);
    jmp_labels_clear(&client->labels);
    *client = (struct jmp_client){ 0 };
}

void jmp_exporter_clear(struct jmp_exporter *exporter)
{
    free(exporter->name);
    free(exporter->message);
    jmp_labels_clear(&exporter->labels);
    *exporter = (struct jmp_exporter){ 0 };
}

void jmp_lease_clear(struct jmp_lease *lease)
{
    free(lease->name);
    free(lease->client);
    free(lease->selector);
    free(lease->wanted);
    free(lease->exporter);
    jmp_labels_clear(&lease->tags);
    jmp_labels_clear(&lease->context);
    jmp_labels_clear(&lease->holder);
    *lease = (struct jmp_lease){ 0 };
}

void jmp_lease_set_condition(struct jmp_lease *lease, enum jmp_condition_type type, bool status, const char *reason,
                             int64_t now, const char *fmt, ...)
{
    struct jmp_condition *condition = NULL;
    va_list args;

    for (size_t i = 0; i < lease->condition_count && !condition; i++)
        if (lease->conditions[i].type == type)
            condition = &lease->conditions[i];
    if (!condition) {
        condition = &lease->conditions[lease->condition_count++];
        *condition = (struct jmp_condition){ .type = type, .status = !status };
    }

    if (condition->status != status)
        condition->changed = now;
    condition->status = status;
    snprintf(condition->reason, sizeof(condition->reason), "%s", reason);
    va_start(args, fmt);
    vsnprintf(condition->message, sizeof(condition->message), fmt, args);
    va_end(args);
}

int jmp_lease_assign(struct jmp_lease *lease, const struct jmp_exporter *exporter, int64_t now)
{
    char *name = strdup(exporter->name);

    if (!name)
        return -ENOMEM;

    free(lease->exporter);
    lease->exporter = name;
    memcpy(lease->exporter_uid, exporter->uid, sizeof(lease->exporter_uid));
    lease->began = now;
    jmp_lease_set_condition(lease, JMP_READY, true, "Ready", now, "an exporter has been acquired for the client");
    return 0;
}

void jmp_lease_finish(struct jmp_lease *lease, enum jmp_lease_end how, int64_t now)
{
    lease->ended = true;
    lease->finished = now;
    if (how == JMP_LEASE_RELEASED)
        jmp_lease_set_condition(lease, JMP_READY, false, "Released", now, "the lease was released");
    else if (how == JMP_LEASE_EXPIRED)
        jmp_lease_set_condition(lease, JMP_READY, false, "Expired", now, "the lease has expired");
}

int64_t jmp_lease_expiry(const struct jmp_lease *lease)
{
    if (lease->end)
        return lease->end;

    return (lease->begin ? lease->begin : lease->began) + lease->duration / 1000;
}

static int64_t to_seconds(int64_t time)
{
    return time / JMP_SECOND * JMP_SECOND;
}

int jmp_lease_resolve_times(int64_t *begin, int64_t *end, int64_t *duration, struct jmp_error *reterr)
{
    int64_t b = to_seconds(*begin), e = to_seconds(*end), d = *duration;

    if (b && e) {
        int64_t between = (e - b) * 1000;

        if (d > 0 && d != between)
            return jmp_error_set(reterr, -EINVAL, "duration conflicts with begin_time and end_time");
        d = between;
    } else if (e && d > 0) {
        b = to_seconds(e - d / 1000);
    } else if (d == 0) {
        return jmp_error_set(reterr, -EINVAL,
                             "duration is required (must specify Duration, or both BeginTime and EndTime)");
    }

    if (d <= 0)
        return jmp_error_set(reterr, -EINVAL, "duration must be positive, got %" PRId64 "s", d / JMP_NSEC_PER_SECOND);
    if (d > JMP_DURATION_MAX)
        return jmp_error_set(reterr, -EINVAL, "duration must not be longer than 100 years");

    *begin = b;
    *end = e;
    *duration = d;
    return 0;
}

int jmp_lease_check_tags(const struct jmp_labels *tags, struct jmp_error *reterr)
{
    if (tags->count > JMP_TAGS_MAX)
        return jmp_error_set(reterr, -EINVAL, "too many tags: %zu exceeds maximum of %u", tags->count, JMP_TAGS_MAX);

    for (size_t i = 0; i < tags->count; i++) {
        const char *key = tags->items[i].key, *value = tags->items[i].value;

        if (strncmp(key, JMP_TAG_PREFIX, strlen(JMP_TAG_PREFIX)) == 0 ||
            strncmp(key, JMP_OWN_PREFIX, strlen(JMP_OWN_PREFIX)) == 0)
            return jmp_error_set(reterr, -EINVAL, "tag key \"%s\" uses a reserved prefix", key);
        if (strchr(key, '/'))
            return jmp_error_set(reterr, -EINVAL, "tag key \"%s\" must not contain a slash", key);
        if (!jmp_label_name_valid(key, strlen(key)))
            return jmp_error_set(reterr, -EINVAL, "tag key \"%s\" is not a label name", key);
        if (!jmp_label_value_valid(value))
            return jmp_error_set(reterr, -EINVAL, "tag value \"%s\" of \"%s\" is not a label value", value, key);
    }

    return 0;
}

int jmp_lease_check_context(const struct jmp_labels *context, struct jmp_error *reterr)
{
    if (context->count > JMP_CONTEXT_MAX)
        return jmp_error_set(reterr, -EINVAL, "spec.context: must have at most %u items", JMP_CONTEXT_MAX);

    for (size_t i = 0; i < context->count; i++) {
        if (strlen(context->items[i].key) > JMP_CONTEXT_KEY_MAX)
            return jmp_error_set(reterr, -EINVAL, "spec.context: keys must be no more than %u characters",
                                 JMP_CONTEXT_KEY_MAX);
        if (strlen(context->items[i].value) > JMP_CONTEXT_VALUE_MAX)
            return jmp_error_set(reterr, -EINVAL, "spec.context: values must be no more than %u characters",
                                 JMP_CONTEXT_VALUE_MAX);
    }

    return 0;
}

int jmp_lease_labels(const struct jmp_lease *lease, struct jmp_labels *ret)
{
    _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 };
    int r;

    r = jmp_selector_parse(&selector, lease->selector, NULL);
    if (r == 0)
        r = jmp_selector_equalities(&selector, ret);
    if (r < 0)
        return r;
    jmp_labels_remove(ret, JMP_TAG_PREFIX);   /* a selector cannot pass for a tag */

    for (size_t i = 0; i < lease->tags.count; i++) {
        char key[sizeof(JMP_TAG_PREFIX) + JMP_LABEL_NAME_MAX + 1];

        snprintf(key, sizeof(key), JMP_TAG_PREFIX "%s", lease->tags.items[i].key);
        r = jmp_labels_set(ret, key, lease->tags.items[i].value);
        if (r < 0)
            return r;
    }

    return 0;
}
