/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/objects.h"

#include <string.h>

#define OBJECT_MAX (64u * 1024 * 1024)   /* of memory for one, beside its JSON; an answer has 16 MiB at most */

#define AT(s, f) .offset = offsetof(s, f)
#define STRUCT(s, table) .fields = (table), .size = sizeof(s)
#define LIST(s, f, n) .type = JMP_KUBE_MANY, .offset = offsetof(s, f), .count = offsetof(s, n)

static const struct jmp_kube_field owner_fields[] = {
    { .key = "apiVersion", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_owner, api_version) },
    { .key = "kind", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_owner, kind) },
    { .key = "name", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_owner, name) },
    { .key = "uid", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_owner, uid) },
    { .key = "controller", .type = JMP_KUBE_FLAG, AT(struct jmp_kube_owner, controller) },
    { .key = "blockOwnerDeletion", .type = JMP_KUBE_FLAG, AT(struct jmp_kube_owner, block_owner_deletion) },
    {}
};

static const struct jmp_kube_field meta_fields[] = {
    { .key = "name", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_meta, name) },
    { .key = "generateName", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_meta, generate_name) },
    { .key = "namespace", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_meta, namespace_) },
    { .key = "uid", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_meta, uid) },
    { .key = "resourceVersion", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_meta, resource_version) },
    { .key = "generation", .type = JMP_KUBE_INT64, AT(struct jmp_kube_meta, generation) },
    { .key = "creationTimestamp", .type = JMP_KUBE_TIME, AT(struct jmp_kube_meta, created) },
    { .key = "deletionTimestamp", .type = JMP_KUBE_TIME, AT(struct jmp_kube_meta, deleted) },
    { .key = "deletionGracePeriodSeconds",
      .type = JMP_KUBE_INT64,
      AT(struct jmp_kube_meta, deletion_grace_period),
      .preset = -1 },
    { .key = "labels", .type = JMP_KUBE_TEXT_MAP, AT(struct jmp_kube_meta, labels) },
    { .key = "annotations", .type = JMP_KUBE_TEXT_MAP, AT(struct jmp_kube_meta, annotations) },
    { .key = "finalizers", .type = JMP_KUBE_TEXT_LIST, AT(struct jmp_kube_meta, finalizers) },
    { .key = "managedFields", .type = JMP_KUBE_ANY, AT(struct jmp_kube_meta, managed_fields) },

    { .key = "ownerReferences",
      LIST(struct jmp_kube_meta, owners, n_owners),
      STRUCT(struct jmp_kube_owner, owner_fields) },
    {}
};

static const struct jmp_kube_field reference_fields[] = {
    { .key = "name", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_reference, name) },
    {}
};

static const struct jmp_kube_field expression_fields[] = {
    { .key = "key", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_expression, key) },
    { .key = "operator", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_expression, operator_) },
    { .key = "values", .type = JMP_KUBE_TEXT_LIST, AT(struct jmp_kube_expression, values) },
    {}
};

static const struct jmp_kube_field selector_fields[] = {
    { .key = "matchLabels", .type = JMP_KUBE_TEXT_MAP, AT(struct jmp_kube_selector, match_labels) },
    { .key = "matchExpressions", LIST(struct jmp_kube_selector, expressions, n_expressions),
      STRUCT(struct jmp_kube_expression, expression_fields) },
    {}
};

static const struct jmp_kube_field condition_fields[] = {
    { .key = "type", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_condition, type) },
    { .key = "status", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_condition, status) },
    { .key = "reason", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_condition, reason) },
    { .key = "message", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_condition, message) },
    { .key = "lastTransitionTime", .type = JMP_KUBE_TIME, AT(struct jmp_kube_condition, changed) },
    { .key = "observedGeneration", .type = JMP_KUBE_INT64, AT(struct jmp_kube_condition, observed_generation) },
    {}
};

#define OBJECT_FIELDS                                                                                                  \
    { .key = "apiVersion", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_object, api_version) },                           \
        { .key = "kind", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_object, kind) },                                    \
        { .key = "metadata", .type = JMP_KUBE_INSIDE, AT(struct jmp_kube_object, metadata), .fields = meta_fields }
#define CONDITIONS(s)                                                                                                  \
    { .key = "conditions", LIST(s, conditions, n_conditions), STRUCT(struct jmp_kube_condition, condition_fields) }
#define REFERENCE(name, s, f)                                                                                          \
    { .key = name, .type = JMP_KUBE_ONE, AT(s, f), STRUCT(struct jmp_kube_reference, reference_fields) }

static const struct jmp_kube_field client_status_fields[] = {
    CONDITIONS(struct jmp_kube_client_status),
    REFERENCE("credential", struct jmp_kube_client_status, credential),
    { .key = "endpoint", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_client_status, endpoint) },
    { .key = "tokenExpiresAt", .type = JMP_KUBE_TIME, AT(struct jmp_kube_client_status, token_expires) },
    {}
};

/* Offsets from the object's beginning, so that these rows need no name for an inner struct that has none. */
static const struct jmp_kube_field client_spec_fields[] = {
    { .key = "username", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_client, spec.username) },
    {}
};

static const struct jmp_kube_field client_fields[] = {
    OBJECT_FIELDS,
    { .key = "spec", .type = JMP_KUBE_INSIDE, .fields = client_spec_fields },
    { .key = "status", .type = JMP_KUBE_ONE, AT(struct jmp_kube_client, status),
      STRUCT(struct jmp_kube_client_status, client_status_fields) },
    {}
};

static const struct jmp_kube_field device_fields[] = {
    { .key = "uuid", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_device, uuid) },
    { .key = "parent_uuid", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_device, parent_uuid) },
    { .key = "labels", .type = JMP_KUBE_TEXT_MAP, AT(struct jmp_kube_device, labels) },
    {}
};

static const struct jmp_kube_field exporter_status_fields[] = {
    CONDITIONS(struct jmp_kube_exporter_status),
    REFERENCE("credential", struct jmp_kube_exporter_status, credential),
    REFERENCE("leaseRef", struct jmp_kube_exporter_status, lease),

    { .key = "devices",
      LIST(struct jmp_kube_exporter_status, devices, n_devices),
      STRUCT(struct jmp_kube_device, device_fields) },
    { .key = "lastSeen", .type = JMP_KUBE_TIME, AT(struct jmp_kube_exporter_status, seen) },
    { .key = "endpoint", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_exporter_status, endpoint) },
    { .key = "statusMessage", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_exporter_status, message) },
    { .key = "exporterStatus", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_exporter_status, exporter_status) },
    {}
};

static const struct jmp_kube_field exporter_spec_fields[] = {
    { .key = "username", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_exporter, spec.username) },
    { .key = "enabled", .type = JMP_KUBE_FLAG, AT(struct jmp_kube_exporter, spec.enabled), .preset = true },
    {}
};

static const struct jmp_kube_field exporter_fields[] = {
    OBJECT_FIELDS,
    { .key = "spec", .type = JMP_KUBE_INSIDE, .fields = exporter_spec_fields },
    { .key = "status", .type = JMP_KUBE_ONE, AT(struct jmp_kube_exporter, status),
      STRUCT(struct jmp_kube_exporter_status, exporter_status_fields) },
    {}
};

static const struct jmp_kube_field lease_status_fields[] = {
    { .key = "ended", .type = JMP_KUBE_FLAG, AT(struct jmp_kube_lease_status, ended) },
    { .key = "spotAccess", .type = JMP_KUBE_FLAG, AT(struct jmp_kube_lease_status, spot_access) },
    { .key = "beginTime", .type = JMP_KUBE_TIME, AT(struct jmp_kube_lease_status, begin) },
    { .key = "endTime", .type = JMP_KUBE_TIME, AT(struct jmp_kube_lease_status, end) },
    REFERENCE("exporterRef", struct jmp_kube_lease_status, exporter),
    { .key = "priority", .type = JMP_KUBE_INT64, AT(struct jmp_kube_lease_status, priority) },
    CONDITIONS(struct jmp_kube_lease_status),
    {}
};

static const struct jmp_kube_field lease_spec_fields[] = {
    { .key = "clientRef", .type = JMP_KUBE_INSIDE, AT(struct jmp_kube_lease, spec.client), .fields = reference_fields },
    REFERENCE("exporterRef", struct jmp_kube_lease, spec.exporter),
    { .key = "selector", .type = JMP_KUBE_INSIDE, AT(struct jmp_kube_lease, spec.selector), .fields = selector_fields },
    { .key = "duration", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_lease, spec.duration) },
    { .key = "beginTime", .type = JMP_KUBE_TIME, AT(struct jmp_kube_lease, spec.begin) },
    { .key = "endTime", .type = JMP_KUBE_TIME, AT(struct jmp_kube_lease, spec.end) },
    { .key = "tags", .type = JMP_KUBE_TEXT_MAP, AT(struct jmp_kube_lease, spec.tags) },
    { .key = "context", .type = JMP_KUBE_TEXT_MAP, AT(struct jmp_kube_lease, spec.context) },
    { .key = "allowDisabled", .type = JMP_KUBE_FLAG, AT(struct jmp_kube_lease, spec.allow_disabled) },
    { .key = "release", .type = JMP_KUBE_FLAG, AT(struct jmp_kube_lease, spec.release) },
    {}
};

static const struct jmp_kube_field lease_fields[] = {
    OBJECT_FIELDS,
    { .key = "spec", .type = JMP_KUBE_INSIDE, .fields = lease_spec_fields, .required = true },
    { .key = "status", .type = JMP_KUBE_ONE, AT(struct jmp_kube_lease, status),
      STRUCT(struct jmp_kube_lease_status, lease_status_fields) },
    {}
};

static const struct jmp_kube_field from_fields[] = {
    { .key = "clientSelector", .type = JMP_KUBE_INSIDE, AT(struct jmp_kube_from, clients), .fields = selector_fields },
    {}
};

static const struct jmp_kube_field policy_fields[] = {
    { .key = "description", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_policy, description) },
    { .key = "priority", .type = JMP_KUBE_INT64, AT(struct jmp_kube_policy, priority) },
    { .key = "from", LIST(struct jmp_kube_policy, from, n_from), STRUCT(struct jmp_kube_from, from_fields) },
    { .key = "maximumDuration", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_policy, maximum_duration) },
    { .key = "spotAccess", .type = JMP_KUBE_FLAG, AT(struct jmp_kube_policy, spot_access) },
    {}
};

static const struct jmp_kube_field access_policy_spec_fields[] = {
    { .key = "exporterSelector", .type = JMP_KUBE_INSIDE,
      AT(struct jmp_kube_access_policy, spec.exporters), .fields = selector_fields },
    { .key = "policies", LIST(struct jmp_kube_access_policy, spec.policies, spec.n_policies),
      STRUCT(struct jmp_kube_policy, policy_fields) },
    {}
};

static const struct jmp_kube_field access_policy_fields[] = {
    OBJECT_FIELDS,
    { .key = "spec", .type = JMP_KUBE_INSIDE, .fields = access_policy_spec_fields },
    {}
};

const struct jmp_kube_field jmp_kube_coordination_fields[] = {
    { .key = "holderIdentity", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_coordination_spec, holder) },
    { .key = "leaseDurationSeconds", .type = JMP_KUBE_INT32, AT(struct jmp_kube_coordination_spec, duration) },
    { .key = "leaseTransitions", .type = JMP_KUBE_INT32, AT(struct jmp_kube_coordination_spec, transitions) },
    { .key = "acquireTime", .type = JMP_KUBE_TIME, AT(struct jmp_kube_coordination_spec, acquired) },
    { .key = "renewTime", .type = JMP_KUBE_TIME, AT(struct jmp_kube_coordination_spec, renewed) },
    { .key = "strategy", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_coordination_spec, strategy) },
    { .key = "preferredHolder", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_coordination_spec, preferred_holder) },
    {}
};

static const struct jmp_kube_field coordination_lease_fields[] = {
    OBJECT_FIELDS,
    { .key = "spec", .type = JMP_KUBE_INSIDE,
      AT(struct jmp_kube_coordination_lease, spec), .fields = jmp_kube_coordination_fields },
    {}
};

static const struct {
    struct jmp_kube_kind_name name;
    const struct jmp_kube_field *fields;
    size_t size;
} kinds[] = {
    [JMP_KUBE_CLIENT] = { { "Client", "clients", "client", JMP_KUBE_GROUP, JMP_KUBE_VERSION },
                          STRUCT(struct jmp_kube_client, client_fields) },
    [JMP_KUBE_EXPORTER] = { { "Exporter", "exporters", "exporter", JMP_KUBE_GROUP, JMP_KUBE_VERSION },
                            STRUCT(struct jmp_kube_exporter, exporter_fields) },
    [JMP_KUBE_LEASE] = { { "Lease", "leases", "lease", JMP_KUBE_GROUP, JMP_KUBE_VERSION },
                         STRUCT(struct jmp_kube_lease, lease_fields) },
    [JMP_KUBE_ACCESS_POLICY] = { { "ExporterAccessPolicy", "exporteraccesspolicies", "exporteraccesspolicy",
                                   JMP_KUBE_GROUP, JMP_KUBE_VERSION },
                                 STRUCT(struct jmp_kube_access_policy, access_policy_fields) },
    [JMP_KUBE_COORDINATION_LEASE] = { { "Lease", JMP_KUBE_COORDINATION_PLURAL, "lease", JMP_KUBE_COORDINATION_GROUP,
                                        JMP_KUBE_COORDINATION_VERSION },
                                      STRUCT(struct jmp_kube_coordination_lease, coordination_lease_fields) },
};

const struct jmp_kube_kind_name *jmp_kube_kind_name(enum jmp_kube_kind kind) { return &kinds[kind].name; }

static int read_object(enum jmp_kube_kind kind, json_t *json, const char *path, struct jmp_kube_object **ret,
                       struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_kube_object *object;
    int r;

    if (!json_is_object(json)) {
        jmp_error_set(reterr, -EINVAL, "expected an object");
        jmp_error_at(reterr, NULL, 0, 0, path);
        return -EINVAL;
    }
    r = jmp_tree_new(OBJECT_MAX, &tree);
    object = r == 0 ? jmp_tree_alloc(tree, kinds[kind].size) : NULL;
    if (!object)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    r = jmp_kube_fields_read(kinds[kind].fields, object, json, path, tree, reterr);
    if (r < 0)
        return r;
    object->json = json_incref(json);
    object->tree = TAKE_PTR(tree);
    *ret = object;
    return 0;
}

int jmp_kube_object_read(enum jmp_kube_kind kind, json_t *json, struct jmp_kube_object **ret, struct jmp_error *reterr)
{
    return read_object(kind, json, "", ret, reterr);
}

struct jmp_kube_object *jmp_kube_object_free(struct jmp_kube_object *object)
{
    if (!object)
        return NULL;

    json_decref(object->json);
    jmp_tree_free(object->tree);   /* the struct goes with it */
    return NULL;
}

/* The object stands first in each of them. */
#define READER(what, upper)                                                                                            \
    int jmp_kube_##what##_read(json_t *json, struct jmp_kube_##what **ret, struct jmp_error *reterr)                   \
    {                                                                                                                  \
        struct jmp_kube_object *object = NULL;                                                                         \
        int r = jmp_kube_object_read(JMP_KUBE_##upper, json, &object, reterr);                                         \
                                                                                                                       \
        if (r == 0)                                                                                                    \
            *ret = CONTAINER_OF(object, struct jmp_kube_##what, object);                                               \
        return r;                                                                                                      \
    }

READER(client, CLIENT)
READER(exporter, EXPORTER)
READER(lease, LEASE)
READER(access_policy, ACCESS_POLICY)
READER(coordination_lease, COORDINATION_LEASE)

/*
 * Lists.
 */

static const struct jmp_kube_field list_meta_fields[] = {
    { .key = "resourceVersion", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_objects, metadata.resource_version) },
    { .key = "continue", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_objects, metadata.continue_) },
    { .key = "remainingItemCount", .type = JMP_KUBE_INT64,
      AT(struct jmp_kube_objects, metadata.remaining), .preset = -1 },
    {}
};

static const struct jmp_kube_field list_fields[] = {
    { .key = "apiVersion", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_objects, api_version) },
    { .key = "kind", .type = JMP_KUBE_TEXT, AT(struct jmp_kube_objects, kind) },
    { .key = "metadata", .type = JMP_KUBE_INSIDE, .fields = list_meta_fields },
    {}
};

int jmp_kube_objects_read(enum jmp_kube_kind kind, json_t *json, struct jmp_kube_objects **ret,
                          struct jmp_error *reterr)
{
    _cleanup_(jmp_kube_objects_freep) struct jmp_kube_objects *objects = calloc(1, sizeof(*objects));
    json_t *items = json_object_get(json, "items"), *item;
    size_t i;
    int r;

    if (!objects)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    r = jmp_kube_fields_read(list_fields, objects, json, "", NULL, reterr);
    if (r < 0)
        return r;
    if (items && !json_is_null(items) && !json_is_array(items)) {
        jmp_error_set(reterr, -EINVAL, "expected a list");
        jmp_error_at(reterr, NULL, 0, 0, "items");
        return -EINVAL;
    }
    objects->json = json_incref(json);
    objects->items = calloc(json_array_size(items) + 1, sizeof(*objects->items));
    if (!objects->items)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    json_array_foreach(items, i, item) {
        char path[32];

        snprintf(path, sizeof(path), "items[%zu]", i);
        r = read_object(kind, item, path, &objects->items[i], reterr);
        if (r < 0)
            return r;
        objects->count++;
    }
    *ret = TAKE_PTR(objects);
    return 0;
}

struct jmp_kube_objects *jmp_kube_objects_free(struct jmp_kube_objects *objects)
{
    if (!objects)
        return NULL;

    for (size_t i = 0; i < objects->count; i++)
        jmp_kube_object_free(objects->items[i]);
    free(objects->items);
    json_decref(objects->json);
    free(objects);
    return NULL;
}
