/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report_service.h"

#include <string.h>

#include "base/json.h"
#include "base/writer.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"

#define CONTEXT_MAX 64u   /* entries; stock clients set eight at most */

typedef Jumpstarter__V1__DriverInstanceReport Report;
typedef Jumpstarter__V1__DriverInstanceReport__LabelsEntry Label;
typedef Jumpstarter__V1__DriverInstanceReport__MethodsDescriptionEntry Method;

struct builder {
    struct jmp_tree *tree;
    Report **reports;
    size_t count, room;
};

static int count_report(const struct jmp_device_report *device, void *user)
{
    ++*(size_t *)user;
    return 0;
}

static int add_label(struct jmp_tree *tree, Report *report, const char *key, const char *value)
{
    Label *label = jmp_tree_alloc(tree, sizeof(*label));

    if (!label)
        return -ENOMEM;
    jumpstarter__v1__driver_instance_report__labels_entry__init(label);
    label->key = (char *)key;
    label->value = (char *)value;
    report->labels[report->n_labels++] = label;
    return 0;
}

static int add_labels(struct jmp_tree *tree, Report *report, const struct jmp_device_report *device)
{
    size_t count = (device->labels ? device->labels->count : 0) + 2;
    int r;

    report->labels = jmp_tree_alloc(tree, count * sizeof(*report->labels));
    if (!report->labels)
        return -ENOMEM;

    JMP_NODE_EACH(node, device->labels) {
        const char *value = jmp_node_string(node);

        /* The two of the protocol are not for users to set: clients would find the wrong driver. */
        if (!value || strcmp(node->key, JMP_LABEL_CLIENT) == 0 || strcmp(node->key, JMP_LABEL_NAME) == 0)
            continue;
        r = add_label(tree, report, node->key, value);
        if (r < 0)
            return r;
    }
    r = add_label(tree, report, JMP_LABEL_CLIENT, device->client);
    if (r < 0)
        return r;
    return device->name ? add_label(tree, report, JMP_LABEL_NAME, device->name) : 0;
}

static int add_methods(struct jmp_tree *tree, Report *report, const struct jmp_node *methods)
{
    if (!methods || methods->count == 0)
        return 0;
    report->methods_description = jmp_tree_alloc(tree, methods->count * sizeof(*report->methods_description));
    if (!report->methods_description)
        return -ENOMEM;

    JMP_NODE_EACH(node, methods) {
        Method *method = jmp_tree_alloc(tree, sizeof(*method));

        if (!method)
            return -ENOMEM;
        jumpstarter__v1__driver_instance_report__methods_description_entry__init(method);
        method->key = (char *)node->key;
        method->value = (char *)(jmp_node_string(node) ?: "");
        report->methods_description[report->n_methods_description++] = method;
    }
    return 0;
}

static int add_report(const struct jmp_device_report *device, void *user)
{
    struct builder *builder = user;
    Report *report;
    int r;

    if (builder->count == builder->room)
        return -EINVAL;   /* the tree grew between two walks: not on one loop */
    report = jmp_tree_alloc(builder->tree, sizeof(*report));
    if (!report)
        return -ENOMEM;

    jumpstarter__v1__driver_instance_report__init(report);
    report->uuid = (char *)device->uuid;
    if (device->parent_uuid) {
        report->_parent_uuid_case = JUMPSTARTER__V1__DRIVER_INSTANCE_REPORT___PARENT_UUID_PARENT_UUID;
        report->parent_uuid = (char *)device->parent_uuid;
    }
    if (device->description && *device->description) {
        report->_description_case = JUMPSTARTER__V1__DRIVER_INSTANCE_REPORT___DESCRIPTION_DESCRIPTION;
        report->description = (char *)device->description;
    }
    r = add_labels(builder->tree, report, device);
    if (r < 0)
        return r;
    r = add_methods(builder->tree, report, device->methods_description);
    if (r < 0)
        return r;

    builder->reports[builder->count++] = report;
    return 0;
}

int jmp_report_build(const struct jmp_devices *devices, struct jmp_tree *tree, Report ***ret, size_t *retcount)
{
    struct builder builder = { .tree = tree };
    int r;

    jmp_devices_report(devices, count_report, &builder.room);
    builder.reports = jmp_tree_alloc(tree, (builder.room ?: 1) * sizeof(Report *));
    if (!builder.reports)
        return -ENOMEM;
    r = jmp_devices_report(devices, add_report, &builder);
    if (r < 0)
        return r;

    *ret = builder.reports;
    *retcount = builder.count;
    return 0;
}

int jmp_context_print(const Jumpstarter__V1__StatusResponse *response, char **ret)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    const struct jmp_node *map;
    int r;

    if (response->n_context > CONTEXT_MAX)
        return -E2BIG;
    r = jmp_tree_new(0, &tree);
    if (r == 0)
        r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return r;
    jmp_writer_begin_map(writer);
    for (size_t i = 0; i < response->n_context; i++) {
        jmp_writer_key(writer, response->context[i]->key);
        jmp_writer_string(writer, response->context[i]->value);
    }
    jmp_writer_end_map(writer);
    r = jmp_writer_finish(writer, &map);
    return r < 0 ? r : jmp_json_print(map, 0, ret);
}
