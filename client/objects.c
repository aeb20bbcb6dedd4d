/* SPDX-License-Identifier: Apache-2.0 */
#include "client/objects.h"

#include <string.h>

const char *jmp_pairs_get(const struct jmp_pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->items[i].key, key) == 0)
            return pairs->items[i].value;
    }
    return NULL;
}

static bool pair_before(const struct jmp_pair *a, const struct jmp_pair *b) { return strcmp(a->key, b->key) <= 0; }

void jmp_pairs_sort(struct jmp_pairs *pairs)
{
    size_t kept = 0;

    /* Stable, because the last of equal keys has to win; and short: these are labels. */
    for (size_t i = 1; i < pairs->count; i++) {
        struct jmp_pair pair = pairs->items[i];
        size_t j = i;

        for (; j > 0 && !pair_before(&pairs->items[j - 1], &pair); j--)
            pairs->items[j] = pairs->items[j - 1];
        pairs->items[j] = pair;
    }
    for (size_t i = 0; i < pairs->count; i++) {
        if (i + 1 < pairs->count && strcmp(pairs->items[i].key, pairs->items[i + 1].key) == 0)
            continue;
        pairs->items[kept++] = pairs->items[i];
    }
    pairs->count = kept;
}

int jmp_pairs_parse(const struct jmp_node *list, const char *what, struct jmp_tree *tree, struct jmp_pairs *ret,
                    struct jmp_error *reterr)
{
    struct jmp_pairs pairs = { 0 };

    if (!list || list->count == 0) {
        *ret = pairs;
        return 0;
    }
    pairs.items = jmp_tree_alloc(tree, list->count * sizeof(*pairs.items));
    if (!pairs.items)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    JMP_NODE_EACH(node, list) {
        const char *text = jmp_node_string(node);
        const char *sign = text ? strchr(text, '=') : NULL;
        struct jmp_pair *pair = &pairs.items[pairs.count];

        if (!sign || sign == text) {
            jmp_error_set(reterr, -EINVAL, "the %s \"%s\" is not of the form KEY=VALUE", what, text ? text : "");
            return -EINVAL;
        }
        pair->key = jmp_tree_strdup(tree, text, (size_t)(sign - text));
        pair->value = jmp_tree_strdup(tree, sign + 1, strlen(sign + 1));
        if (!pair->key || !pair->value)
            return jmp_error_set(reterr, -ENOMEM, "%m");
        pairs.count++;
    }
    jmp_pairs_sort(&pairs);
    *ret = pairs;
    return 0;
}

int jmp_pairs_join(const struct jmp_pairs *pairs, char **ret)
{
    size_t size = 1;
    char *text, *end;

    for (size_t i = 0; i < pairs->count; i++)
        size += strlen(pairs->items[i].key) + strlen(pairs->items[i].value) + 2;
    end = text = malloc(size);
    if (!text)
        return -ENOMEM;
    *end = '\0';
    for (size_t i = 0; i < pairs->count; i++) {
        if (i > 0)
            *end++ = ',';
        end = stpcpy(end, pairs->items[i].key);
        *end++ = '=';
        end = stpcpy(end, pairs->items[i].value);
    }
    *ret = text;
    return 0;
}

const char *jmp_exporter_status_name(unsigned status)
{
    static const char *const names[] = {
        [JMP_STATUS_OFFLINE] = "OFFLINE",
        [JMP_STATUS_AVAILABLE] = "AVAILABLE",
        [JMP_STATUS_BEFORE_LEASE_HOOK] = "BEFORE_LEASE_HOOK",
        [JMP_STATUS_LEASE_READY] = "LEASE_READY",
        [JMP_STATUS_AFTER_LEASE_HOOK] = "AFTER_LEASE_HOOK",
        [JMP_STATUS_BEFORE_LEASE_HOOK_FAILED] = "BEFORE_LEASE_HOOK_FAILED",
        [JMP_STATUS_AFTER_LEASE_HOOK_FAILED] = "AFTER_LEASE_HOOK_FAILED",
    };

    return status < ELEMENTSOF(names) && names[status] ? names[status] : "UNKNOWN";
}

const struct jmp_condition *jmp_lease_condition(const struct jmp_lease *lease, const char *type)
{
    for (size_t i = 0; i < lease->n_conditions; i++) {
        if (strcmp(lease->conditions[i].type, type) == 0)
            return &lease->conditions[i];
    }
    return NULL;
}

bool jmp_condition_is(const struct jmp_condition *condition, const char *status)
{
    return condition && strcmp(condition->status, status) == 0;
}

int64_t jmp_lease_expiry(const struct jmp_lease *lease)
{
    int64_t begin = lease->effective_begin != JMP_TIME_NONE ? lease->effective_begin : lease->begin;
    int64_t end;

    if (lease->effective_end != JMP_TIME_NONE)
        return lease->effective_end;
    if (begin == JMP_TIME_NONE || lease->duration == JMP_TIME_NONE || lease->duration == 0)
        return JMP_TIME_NONE;
    if (__builtin_add_overflow(begin, lease->duration, &end))
        return JMP_TIME_NONE;
    return end;
}

const char *jmp_lease_state(const struct jmp_lease *lease)
{
    const struct jmp_condition *last;

    if (lease->effective_end != JMP_TIME_NONE)
        return "Ended";
    if (lease->n_conditions == 0)
        return "Unknown";
    last = &lease->conditions[lease->n_conditions - 1];
    if (strcmp(last->type, "Ready") == 0 && strcmp(last->status, "True") == 0)
        return "In-Use";
    if (strcmp(last->type, "Ready") == 0 && strcmp(last->status, "False") == 0)
        return "Waiting";
    if (strcmp(last->type, "Expired") == 0)
        return "Expired";
    return *last->reason ? last->reason : "Unknown";
}
