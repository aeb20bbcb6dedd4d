/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/labels.h"

#include <jansson.h>
#include <string.h>

/* Where @key is, or would be. */
static size_t position(const struct jmp_labels *labels, const char *key, bool *found)
{
    size_t low = 0, high = labels->count;

    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(labels->items[middle].key, key);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }

    return low;
}

int jmp_labels_set(struct jmp_labels *labels, const char *key, const char *value)
{
    _cleanup_free_ char *key_copy = NULL, *value_copy = strdup(value);
    struct jmp_label *items;
    bool found;
    size_t at;

    if (!value_copy)
        return -ENOMEM;

    at = position(labels, key, &found);
    if (found) {
        free(labels->items[at].value);
        labels->items[at].value = TAKE_PTR(value_copy);
        return 0;
    }

    if (labels->count >= JMP_LABELS_MAX)
        return -E2BIG;
    key_copy = strdup(key);
    if (!key_copy)
        return -ENOMEM;
    items = realloc(labels->items, (labels->count + 1) * sizeof(*items));
    if (!items)
        return -ENOMEM;

    memmove(items + at + 1, items + at, (labels->count - at) * sizeof(*items));
    items[at] = (struct jmp_label){ TAKE_PTR(key_copy), TAKE_PTR(value_copy) };
    labels->items = items;
    labels->count++;
    return 0;
}

const char *jmp_labels_get(const struct jmp_labels *labels, const char *key)
{
    bool found;
    size_t at = position(labels, key, &found);

    return found ? labels->items[at].value : NULL;
}

void jmp_labels_remove(struct jmp_labels *labels, const char *prefix)
{
    size_t kept = 0;

    for (size_t i = 0; i < labels->count; i++) {
        if (strncmp(labels->items[i].key, prefix, strlen(prefix)) == 0) {
            free(labels->items[i].key);
            free(labels->items[i].value);
        } else {
            labels->items[kept++] = labels->items[i];
        }
    }
    labels->count = kept;
}

int jmp_labels_copy(struct jmp_labels *labels, const struct jmp_labels *from)
{
    for (size_t i = 0; i < from->count; i++) {
        int r = jmp_labels_set(labels, from->items[i].key, from->items[i].value);

        if (r < 0)
            return r;
    }

    return 0;
}

void jmp_labels_clear(struct jmp_labels *labels)
{
    for (size_t i = 0; i < labels->count; i++) {
        free(labels->items[i].key);
        free(labels->items[i].value);
    }
    free(labels->items);
    *labels = (struct jmp_labels){ 0 };
}

static void json_unref(json_t **json)
{
    json_decref(*json);
}

int jmp_labels_print(const struct jmp_labels *labels, char **ret)
{
    _cleanup_(json_unref) json_t *object = json_object();
    char *text;

    if (!object)
        return -ENOMEM;

    for (size_t i = 0; i < labels->count; i++)
        if (json_object_set_new(object, labels->items[i].key, json_string(labels->items[i].value)) < 0)
            return -ENOMEM;

    text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return -ENOMEM;

    *ret = text;
    return 0;
}

int jmp_labels_parse(struct jmp_labels *labels, const char *json)
{
    _cleanup_(json_unref) json_t *object = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        return -EBADMSG;

    json_object_foreach(object, key, value) {
        int r;

        if (!json_is_string(value))
            return -EBADMSG;
        r = jmp_labels_set(labels, key, json_string_value(value));
        if (r < 0)
            return r;
    }

    return 0;
}

/* ctype.h asks the locale; labels do not. */
static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

bool jmp_label_name_valid(const char *text, size_t length)
{
    if (length == 0 || length > JMP_LABEL_NAME_MAX || !is_alnum(text[0]) || !is_alnum(text[length - 1]))
        return false;

    for (size_t i = 0; i < length; i++)
        if (!is_alnum(text[i]) && text[i] != '-' && text[i] != '_' && text[i] != '.')
            return false;

    return true;
}

bool jmp_subdomain_valid(const char *text, size_t length)
{
    if (length == 0 || length > JMP_LABEL_PREFIX_MAX)
        return false;

    for (size_t i = 0; i < length; i++) {
        bool first = i == 0 || text[i - 1] == '.', last = i + 1 == length || text[i + 1] == '.';

        if (is_lower_or_digit(text[i]))
            continue;
        if (text[i] == '-' && !first && !last)
            continue;
        if (text[i] == '.' && !first && i + 1 < length && is_lower_or_digit(text[i - 1]))
            continue;
        return false;
    }

    return true;
}

bool jmp_label_key_valid(const char *key)
{
    const char *slash = strchr(key, '/');

    if (!slash)
        return jmp_label_name_valid(key, strlen(key));

    return jmp_subdomain_valid(key, (size_t)(slash - key)) && jmp_label_name_valid(slash + 1, strlen(slash + 1));
}

bool jmp_label_value_valid(const char *value)
{
    return *value == '\0' || jmp_label_name_valid(value, strlen(value));
}

int jmp_label_parse(struct jmp_labels *labels, const char *text, struct jmp_error *reterr)
{
    const char *equals = strchr(text, '=');
    _cleanup_free_ char *key = NULL;
    int r;

    if (!equals) {
        r = jmp_error_set(reterr, -EINVAL, "label \"%s\" has no value", text);
        jmp_error_hint(reterr, "write it as key=value, for instance board=rpi4");
        return r;
    }

    key = strndup(text, (size_t)(equals - text));
    if (!key)
        return -ENOMEM;
    if (!jmp_label_key_valid(key) || !jmp_label_value_valid(equals + 1)) {
        r = jmp_error_set(reterr, -EINVAL, "\"%s\" is not a label", text);
        jmp_error_hint(
            reterr,
            "letters, digits, '-', '_' and '.', at most %u of them, beginning and ending with a letter or digit; "
            "a key may have a prefix such as example.com/",
            JMP_LABEL_NAME_MAX);
        return r;
    }

    r = jmp_labels_set(labels, key, equals + 1);
    if (r == -E2BIG)
        return jmp_error_set(reterr, r, "more than %u labels", JMP_LABELS_MAX);

    return r;
}
