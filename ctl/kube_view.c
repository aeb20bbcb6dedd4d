/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of Kubernetes as "jmp admin" shows them: a view with the stock names and order, not the raw object. */
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "ctl/kube.h"
#include "kube/coordination.h"
#include "kube/when.h"

static const json_t *at(const json_t *object, const char *key, const char *inner)
{
    return json_object_get(json_object_get(object, key), inner);
}

static const char *text_at(const json_t *object, const char *key, const char *inner)
{
    return json_string_value(at(object, key, inner));
}

/*
 * Documents.
 */

static void put_json(struct jmp_writer *writer, const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;

    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        jmp_writer_begin_map(writer);
        json_object_foreach((json_t *)value, key, item) {
            jmp_writer_key(writer, key);
            put_json(writer, item);
        }
        jmp_writer_end_map(writer);
        break;
    case JSON_ARRAY:
        jmp_writer_begin_list(writer);
        json_array_foreach(value, i, item)
            put_json(writer, item);
        jmp_writer_end_list(writer);
        break;
    case JSON_STRING: jmp_writer_string(writer, json_string_value(value)); break;
    case JSON_INTEGER: jmp_writer_integer(writer, json_integer_value(value)); break;
    case JSON_REAL: jmp_writer_number(writer, json_real_value(value)); break;
    case JSON_TRUE: jmp_writer_bool(writer, true); break;
    case JSON_FALSE: jmp_writer_bool(writer, false); break;
    case JSON_NULL: jmp_writer_null(writer); break;
    }
}

static void put(struct jmp_writer *writer, const char *key, const json_t *value)
{
    jmp_writer_key(writer, key);
    put_json(writer, value);
}

/* Left out when it is not there, where put() would write null. */
static void put_set(struct jmp_writer *writer, const char *key, const json_t *value)
{
    if (value && !json_is_null(value))
        put(writer, key, value);
}

static bool begin_map(struct jmp_writer *writer, const char *key, const json_t *value)
{
    jmp_writer_key(writer, key);
    if (!json_is_object(value)) {
        jmp_writer_null(writer);
        return false;
    }
    jmp_writer_begin_map(writer);
    return true;
}

static void put_reference(struct jmp_writer *writer, const char *key, const json_t *reference)
{
    if (!begin_map(writer, key, reference))
        return;
    put_set(writer, "name", json_object_get(reference, "name"));
    jmp_writer_end_map(writer);
}

static void put_metadata(struct jmp_writer *writer, const json_t *object, bool managed)
{
    static const char *const keys[] = { "creationTimestamp", "generation", "managedFields", "name", "namespace",
                                        "resourceVersion", "uid" };
    const json_t *metadata = json_object_get(object, "metadata");

    if (!begin_map(writer, "metadata", metadata))
        return;
    for (size_t i = 0; i < ELEMENTSOF(keys); i++)
        if (managed || strcmp(keys[i], "managedFields") != 0)
            put_set(writer, keys[i], json_object_get(metadata, keys[i]));
    jmp_writer_end_map(writer);
}

static void put_client(struct jmp_writer *writer, const json_t *client)
{
    const json_t *status = json_object_get(client, "status");

    put_metadata(writer, client, false);
    if (!begin_map(writer, "status", status))
        return;
    put_reference(writer, "credential", json_object_get(status, "credential"));
    put(writer, "endpoint", json_object_get(status, "endpoint"));
    jmp_writer_end_map(writer);
}

static void put_exporter(struct jmp_writer *writer, const json_t *exporter)
{
    const json_t *status = json_object_get(exporter, "status");
    json_t *device;
    size_t i;

    put_metadata(writer, exporter, false);
    if (!begin_map(writer, "status", status))
        return;
    put_reference(writer, "credential", json_object_get(status, "credential"));
    jmp_writer_key(writer, "devices");
    jmp_writer_begin_list(writer);
    json_array_foreach(json_object_get(status, "devices"), i, device) {
        jmp_writer_begin_map(writer);
        put(writer, "labels", json_object_get(device, "labels"));
        put(writer, "uuid", json_object_get(device, "uuid"));
        jmp_writer_end_map(writer);
    }
    jmp_writer_end_list(writer);
    put(writer, "endpoint", json_object_get(status, "endpoint"));
    put(writer, "exporterStatus", json_object_get(status, "exporterStatus"));
    put(writer, "statusMessage", json_object_get(status, "statusMessage"));
    jmp_writer_end_map(writer);
}

static void put_conditions(struct jmp_writer *writer, const json_t *conditions)
{
    static const char *const keys[] = {
        "lastTransitionTime", "message", "observedGeneration", "reason", "status", "type"
    };
    json_t *condition;
    size_t i;

    jmp_writer_key(writer, "conditions");
    jmp_writer_begin_list(writer);
    json_array_foreach(conditions, i, condition) {
        jmp_writer_begin_map(writer);
        for (size_t k = 0; k < ELEMENTSOF(keys); k++)
            put_set(writer, keys[k], json_object_get(condition, keys[k]));
        jmp_writer_end_map(writer);
    }
    jmp_writer_end_list(writer);
}

static void put_lease(struct jmp_writer *writer, const json_t *lease)
{
    const json_t *spec = json_object_get(lease, "spec"), *status = json_object_get(lease, "status");
    const json_t *labels = json_object_get(json_object_get(spec, "selector"), "matchLabels");

    put_metadata(writer, lease, true);
    jmp_writer_key(writer, "spec");
    jmp_writer_begin_map(writer);
    put_reference(writer, "client", json_object_get(spec, "clientRef"));
    put(writer, "duration", json_object_get(spec, "duration"));
    jmp_writer_key(writer, "selector");
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "matchLabels");
    if (json_is_object(labels)) {
        put_json(writer, labels);
    } else {
        jmp_writer_begin_map(writer);
        jmp_writer_end_map(writer);
    }
    jmp_writer_end_map(writer);
    jmp_writer_end_map(writer);

    jmp_writer_key(writer, "status");
    jmp_writer_begin_map(writer);
    put(writer, "beginTime", json_object_get(status, "beginTime"));
    put_conditions(writer, json_object_get(status, "conditions"));
    put(writer, "endTime", json_object_get(status, "endTime"));
    jmp_writer_key(writer, "ended");
    jmp_writer_bool(writer, json_is_true(json_object_get(status, "ended")));
    put_reference(writer, "exporter", json_object_get(status, "exporterRef"));
    jmp_writer_end_map(writer);
}

static void put_object(struct jmp_writer *writer, enum jmp_kube_kind kind, const json_t *object)
{
    static void (*const put_kind[])(struct jmp_writer *writer, const json_t *object) = {
        [JMP_KUBE_CLIENT] = put_client, [JMP_KUBE_EXPORTER] = put_exporter, [JMP_KUBE_LEASE] = put_lease,
    };

    if (kind == JMP_KUBE_COORDINATION_LEASE) {
        put_json(writer, object);
        return;
    }
    jmp_writer_begin_map(writer);
    put(writer, "apiVersion", json_object_get(object, "apiVersion"));
    put(writer, "kind", json_object_get(object, "kind"));
    put_kind[kind](writer, object);
    jmp_writer_end_map(writer);
}

/*
 * Tables.
 */

static void age_of(const struct jmp_kube_view *view, const json_t *object, char ret[static JMP_KUBE_AGE_SIZE])
{
    const char *created = text_at(object, "metadata", "creationTimestamp");
    int64_t usec;

    *ret = '\0';
    if (!created || jmp_kube_time_parse(created, &usec) < 0)
        return;
    if (view->kind == JMP_KUBE_COORDINATION_LEASE)
        jmp_kube_lease_age_print(view->now - usec / (int64_t)JMP_USEC_PER_SEC, ret);
    else
        jmp_kube_age_print(view->now - usec / (int64_t)JMP_USEC_PER_SEC, ret);
}

/* "k:v,k:v"; @none when there are none */
static int join_labels(const json_t *labels, const char *none, char **ret)
{
    size_t length = 0;
    FILE *stream = open_memstream(ret, &length);
    const char *key;
    json_t *value;
    bool first = true;

    if (!stream)
        return -ENOMEM;
    json_object_foreach((json_t *)labels, key, value) {
        fprintf(stream, "%s%s:%s", first ? "" : ",", key, json_string_value(value) ?: "");
        first = false;
    }
    if (first)
        fputs(none, stream);
    return fclose(stream) == 0 && *ret ? 0 : -ENOMEM;
}

static int client_row(struct jmp_table *table, const struct jmp_kube_view *view, const json_t *client)
{
    jmp_table_cell(table, text_at(client, "metadata", "name") ?: "");
    jmp_table_cell(table, text_at(client, "status", "endpoint") ?: "");
    return 0;
}

static int exporter_row(struct jmp_table *table, const struct jmp_kube_view *view, const json_t *exporter)
{
    const json_t *devices = at(exporter, "status", "devices");
    const char *name = text_at(exporter, "metadata", "name") ?: "";
    const char *status = text_at(exporter, "status", "exporterStatus") ?: "Unknown";
    const char *endpoint = text_at(exporter, "status", "endpoint") ?: "";
    char age[JMP_KUBE_AGE_SIZE], count[24];
    json_t *device;
    size_t i;

    age_of(view, exporter, age);
    if (!view->devices) {
        snprintf(count, sizeof(count), "%zu", json_array_size(devices));
        jmp_table_cell(table, name);
        jmp_table_cell(table, status);
        jmp_table_cell(table, endpoint);
        jmp_table_cell(table, count);
        jmp_table_cell(table, age);
        return 0;
    }
    json_array_foreach(devices, i, device) {
        _cleanup_free_ char *labels = NULL;

        if (join_labels(json_object_get(device, "labels"), "", &labels) < 0)
            return -ENOMEM;
        jmp_table_cell(table, name);
        jmp_table_cell(table, status);
        jmp_table_cell(table, endpoint);
        jmp_table_cell(table, age);
        jmp_table_cell(table, labels);
        jmp_table_cell(table, json_string_value(json_object_get(device, "uuid")) ?: "");
    }
    return 0;
}

/* The last condition says where a lease is. */
static const char *reason_of(const json_t *lease)
{
    const json_t *conditions = at(lease, "status", "conditions");
    const json_t *last = json_array_get(conditions, json_array_size(conditions) - 1);
    const char *reason = json_string_value(json_object_get(last, "reason"));
    const char *status = json_string_value(json_object_get(last, "status"));
    bool is_true = status && strcmp(status, "True") == 0;

    if (!last || !reason)
        return "Unknown";
    if (strcmp(reason, "Ready") == 0)
        return is_true ? "Ready" : "Waiting";
    if (strcmp(reason, "Expired") == 0)
        return is_true ? "Expired" : "Complete";
    return reason;
}

static int lease_row(struct jmp_table *table, const struct jmp_kube_view *view, const json_t *lease)
{
    const json_t *spec = json_object_get(lease, "spec");
    _cleanup_free_ char *selector = NULL;
    char age[JMP_KUBE_AGE_SIZE];

    if (join_labels(json_object_get(json_object_get(spec, "selector"), "matchLabels"), "*", &selector) < 0)
        return -ENOMEM;
    age_of(view, lease, age);
    jmp_table_cell(table, text_at(lease, "metadata", "name") ?: "");
    jmp_table_cell(table, text_at(spec, "clientRef", "name") ?: "");
    jmp_table_cell(table, selector);
    jmp_table_cell(table, text_at(json_object_get(lease, "status"), "exporterRef", "name") ?: "");
    jmp_table_cell(table, text_at(lease, "spec", "duration") ?: "");
    jmp_table_cell(table, json_is_true(at(lease, "status", "ended")) ? "Ended" : "InProgress");
    jmp_table_cell(table, reason_of(lease));
    jmp_table_cell(table, text_at(lease, "status", "beginTime") ?: "");
    jmp_table_cell(table, text_at(lease, "status", "endTime") ?: "");
    jmp_table_cell(table, age);
    return 0;
}

static int coordination_row(struct jmp_table *table, const struct jmp_kube_view *view, const json_t *lease)
{
    char age[JMP_KUBE_AGE_SIZE];

    age_of(view, lease, age);
    jmp_table_cell(table, text_at(lease, "metadata", "name") ?: "");
    jmp_table_cell(table, text_at(lease, "spec", "holderIdentity") ?: "");
    jmp_table_cell(table, age);
    return 0;
}

static int new_table(const struct jmp_kube_view *view, struct jmp_table **ret)
{
    static const char *const heads[][12] = {
        [JMP_KUBE_CLIENT] = { "NAME", "ENDPOINT", NULL },
        [JMP_KUBE_EXPORTER] = { "NAME", "STATUS", "ENDPOINT", "DEVICES", "AGE", NULL },
        [JMP_KUBE_LEASE] = { "NAME", "CLIENT", "SELECTOR", "EXPORTER", "DURATION", "STATUS", "REASON", "BEGIN", "END",
                             "AGE", NULL },
        [JMP_KUBE_COORDINATION_LEASE] = { "NAME", "HOLDER", "AGE", NULL },
    };
    static const char *const device_heads[] = { "NAME", "STATUS", "ENDPOINT", "AGE", "LABELS", "UUID", NULL };

    return jmp_table_new(view->kind == JMP_KUBE_EXPORTER && view->devices ? device_heads : heads[view->kind], ret);
}

static int put_row(struct jmp_table *table, const struct jmp_kube_view *view, const json_t *object)
{
    static int (*const rows[])(struct jmp_table *table, const struct jmp_kube_view *view, const json_t *object) = {
        [JMP_KUBE_CLIENT] = client_row, [JMP_KUBE_EXPORTER] = exporter_row, [JMP_KUBE_LEASE] = lease_row,
        [JMP_KUBE_COORDINATION_LEASE] = coordination_row,
    };

    return rows[view->kind](table, view, object);
}

/*
 * Printing.
 */

static int print_document(FILE *stream, const struct jmp_kube_view *view, const json_t *object, const json_t *list,
                          struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    const struct jmp_node *node;
    json_t *item;
    size_t i;
    int r;

    r = jmp_tree_new(256 * 1024 * 1024, &tree);
    if (r == 0)
        r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    if (object) {
        put_object(writer, view->kind, object);
    } else {
        jmp_writer_begin_map(writer);
        put(writer, "apiVersion", json_object_get(list, "apiVersion"));
        jmp_writer_key(writer, "items");
        jmp_writer_begin_list(writer);
        json_array_foreach(json_object_get(list, "items"), i, item)
            put_object(writer, view->kind, item);
        jmp_writer_end_list(writer);
        put(writer, "kind", json_object_get(list, "kind"));
        jmp_writer_end_map(writer);
    }
    r = jmp_writer_finish(writer, &node);
    if (r < 0)
        return jmp_error_set(reterr, r, "the answer cannot be shown: %m");
    return jmp_output_document(stream, view->output, node, reterr);
}

static int print_name(FILE *stream, const struct jmp_kube_view *view, const json_t *object)
{
    const struct jmp_kube_kind_name *name = jmp_kube_kind_name(view->kind);

    fprintf(stream, "%s.%s/", name->singular, name->group);
    jmp_text_put(stream, text_at(object, "metadata", "name") ?: "");
    fputc('\n', stream);
    return 0;
}

int jmp_kube_print_object(FILE *stream, const struct jmp_kube_view *view, json_t *object, struct jmp_error *reterr)
{
    _cleanup_(jmp_kube_object_freep) struct jmp_kube_object *typed = NULL;
    _cleanup_(jmp_table_freep) struct jmp_table *table = NULL;
    int r;

    /* What is shown has the types it should have. */
    r = jmp_kube_object_read(view->kind, object, &typed, reterr);
    if (r < 0)
        return r;
    if (view->output == JMP_OUTPUT_NAME || view->output == JMP_OUTPUT_PATH)
        return print_name(stream, view, object);
    if (view->output != JMP_OUTPUT_TABLE)
        return print_document(stream, view, object, NULL, reterr);
    r = new_table(view, &table);
    if (r == 0)
        r = put_row(table, view, object);
    if (r == 0)
        r = jmp_table_print(stream, table);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
}

int jmp_kube_print_list(FILE *stream, const struct jmp_kube_view *view, json_t *list, struct jmp_error *reterr)
{
    _cleanup_(jmp_kube_objects_freep) struct jmp_kube_objects *typed = NULL;
    _cleanup_(jmp_table_freep) struct jmp_table *table = NULL;
    json_t *item;
    size_t i;
    int r;

    r = jmp_kube_objects_read(view->kind, list, &typed, reterr);
    if (r < 0)
        return r;
    if (view->output == JMP_OUTPUT_JSON || view->output == JMP_OUTPUT_YAML)
        return print_document(stream, view, NULL, list, reterr);
    if (view->output != JMP_OUTPUT_TABLE) {
        json_array_foreach(json_object_get(list, "items"), i, item)
            print_name(stream, view, item);
        return 0;
    }
    r = new_table(view, &table);
    json_array_foreach(json_object_get(list, "items"), i, item)
        if (r == 0)
            r = put_row(table, view, item);
    if (r == 0 && jmp_table_is_empty(table))
        fprintf(stream, "No resources found in %s namespace.\n", view->namespace_);
    else if (r == 0)
        r = jmp_table_print(stream, table);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
}
