/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/field.h"

#include <string.h>

#include "kube/when.h"

#define PATH_SIZE 256

static int wrong(const char *path, const char *expected, struct jmp_error *reterr)
{
    jmp_error_set(reterr, -EINVAL, "expected %s", expected);
    jmp_error_at(reterr, NULL, 0, 0, path);
    return -EINVAL;
}

static int read_time(struct jmp_kube_time *ret, const json_t *value, const char *path, struct jmp_error *reterr)
{
    *ret = (struct jmp_kube_time){ .usec = JMP_KUBE_NO_TIME };
    if (!value)
        return 0;
    if (!json_is_string(value) || jmp_kube_time_parse(json_string_value(value), &ret->usec) < 0)
        return wrong(path, "a time", reterr);
    ret->text = json_string_value(value);
    return 0;
}

static int read_texts(const json_t *value, json_type type, const char *path, const json_t **ret,
                      struct jmp_error *reterr)
{
    const char *expected = type == JSON_OBJECT ? "a map of strings" : "a list of strings", *key;
    json_t *item;
    size_t i;

    if (json_typeof(value) != type)
        return wrong(path, expected, reterr);
    json_object_foreach((json_t *)value, key, item)
        if (!json_is_string(item))
            return wrong(path, expected, reterr);
    json_array_foreach(value, i, item)
        if (!json_is_string(item))
            return wrong(path, expected, reterr);
    *ret = value;
    return 0;
}

static int read_number(const struct jmp_kube_field *field, void *ret, const json_t *value, const char *path,
                       struct jmp_error *reterr)
{
    json_int_t number = value ? json_integer_value(value) : field->preset;

    if (value && !json_is_integer(value))
        return wrong(path, "a whole number", reterr);
    if (field->type == JMP_KUBE_INT64) {
        *(int64_t *)ret = number;
        return 0;
    }
    if (number < INT32_MIN || number > INT32_MAX)
        return wrong(path, "a smaller number", reterr);
    *(int32_t *)ret = (int32_t)number;
    return 0;
}

static int read_many(const struct jmp_kube_field *field, char *object, const json_t *value, const char *path,
                     struct jmp_tree *tree, struct jmp_error *reterr)
{
    size_t count = json_array_size(value);
    char *items;

    if (!json_is_array(value))
        return wrong(path, "a list", reterr);
    items = count > 0 ? jmp_tree_alloc(tree, count * field->size) : NULL;
    if (count > 0 && !items)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    for (size_t i = 0; i < count; i++) {
        char inner[PATH_SIZE];
        int r;

        snprintf(inner, sizeof(inner), "%.200s[%zu]", path, i);
        r = jmp_kube_fields_read(field->fields, items + i * field->size, json_array_get(value, i), inner, tree, reterr);
        if (r < 0)
            return r;
    }
    *(void **)(object + field->offset) = items;
    *(size_t *)(object + field->count) = count;
    return 0;
}

static int read_struct(const struct jmp_kube_field *field, void *at, const json_t *value, const char *path,
                       struct jmp_tree *tree, struct jmp_error *reterr)
{
    if (field->type == JMP_KUBE_ONE) {
        if (!value)
            return 0;
        *(void **)at = jmp_tree_alloc(tree, field->size);
        if (!*(void **)at)
            return jmp_error_set(reterr, -ENOMEM, "%m");
        at = *(void **)at;
    }
    return jmp_kube_fields_read(field->fields, at, value, path, tree, reterr);
}

static int read_field(const struct jmp_kube_field *field, char *object, const json_t *value, const char *path,
                      struct jmp_tree *tree, struct jmp_error *reterr)
{
    void *at = object + field->offset;

    switch (field->type) {
    case JMP_KUBE_TEXT:
        if (value && !json_is_string(value))
            return wrong(path, "a string", reterr);
        *(const char **)at = json_string_value(value);
        return 0;
    case JMP_KUBE_FLAG:
        if (value && !json_is_boolean(value))
            return wrong(path, "true or false", reterr);
        *(bool *)at = value ? json_is_true(value) : field->preset != 0;
        return 0;
    case JMP_KUBE_INT32:
    case JMP_KUBE_INT64:
        return read_number(field, at, value, path, reterr);
    case JMP_KUBE_TIME:
        return read_time(at, value, path, reterr);
    case JMP_KUBE_ANY:
        *(const json_t **)at = value;
        return 0;
    case JMP_KUBE_TEXT_MAP:
        return value ? read_texts(value, JSON_OBJECT, path, at, reterr) : 0;
    case JMP_KUBE_TEXT_LIST:
        return value ? read_texts(value, JSON_ARRAY, path, at, reterr) : 0;
    case JMP_KUBE_INSIDE:
    case JMP_KUBE_ONE:
        return read_struct(field, at, value, path, tree, reterr);
    case JMP_KUBE_MANY:
        return value ? read_many(field, object, value, path, tree, reterr) : 0;
    }
    return -EINVAL;
}

int jmp_kube_fields_read(const struct jmp_kube_field *fields, void *object, const json_t *map, const char *path,
                         struct jmp_tree *tree, struct jmp_error *reterr)
{
    if (map && !json_is_object(map))
        return wrong(path, "a map", reterr);
    for (const struct jmp_kube_field *field = fields; field->key; field++) {
        const json_t *value = json_object_get(map, field->key);
        char inner[PATH_SIZE];
        int r;

        if (json_is_null(value))
            value = NULL;
        snprintf(inner, sizeof(inner), "%s%s%s", path, *path ? "." : "", field->key);
        if (!value && field->required) {
            jmp_error_set(reterr, -EINVAL, "it is missing");
            jmp_error_at(reterr, NULL, 0, 0, inner);
            return -EINVAL;
        }
        r = read_field(field, object, value, inner, tree, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}
