/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects that we work with, typed: what jumpstarter.dev/v1alpha1 and coordination.k8s.io/v1 define. They are for
 * reading; what is written is the JSON as the server sent it with something changed, so that what we do not know stays.
 */
#pragma once

#include "kube/field.h"

#define JMP_KUBE_GROUP "jumpstarter.dev"
#define JMP_KUBE_VERSION "v1alpha1"
#define JMP_KUBE_COORDINATION_GROUP "coordination.k8s.io"
#define JMP_KUBE_COORDINATION_VERSION "v1"
#define JMP_KUBE_COORDINATION_PLURAL "leases"

enum jmp_kube_kind {
    JMP_KUBE_CLIENT,
    JMP_KUBE_EXPORTER,
    JMP_KUBE_LEASE,
    JMP_KUBE_ACCESS_POLICY,
    JMP_KUBE_COORDINATION_LEASE
};

/* How a kind is called: "ExporterAccessPolicy", "exporteraccesspolicies", and where it is found. */
struct jmp_kube_kind_name {
    const char *kind, *plural, *singular, *group, *version;
};

const struct jmp_kube_kind_name *jmp_kube_kind_name(enum jmp_kube_kind kind);

/*
 * What several have.
 */

struct jmp_kube_owner {
    const char *api_version, *kind, *name, *uid;
    bool controller, block_owner_deletion;
};

struct jmp_kube_meta {
    const char *name, *generate_name, *namespace_, *uid;
    const char *resource_version;       /* opaque: only equality means something */
    int64_t generation;                 /* of the spec */
    struct jmp_kube_time created, deleted;
    int64_t deletion_grace_period;      /* seconds; -1: not said */
    const json_t *labels, *annotations; /* maps of strings, or NULL */
    const json_t *finalizers;           /* list of strings, or NULL */
    const json_t *managed_fields;       /* as it came, or NULL */
    struct jmp_kube_owner *owners;
    size_t n_owners;
};

struct jmp_kube_reference {
    const char *name;
};

struct jmp_kube_expression {
    const char *key, *operator_;        /* In, NotIn, Exists, DoesNotExist */
    const json_t *values;               /* list of strings, or NULL */
};

struct jmp_kube_selector {
    const json_t *match_labels;         /* map of strings, or NULL */
    struct jmp_kube_expression *expressions;
    size_t n_expressions;
};

struct jmp_kube_condition {
    const char *type, *status, *reason, *message;   /* status: True, False, Unknown */
    struct jmp_kube_time changed;
    int64_t observed_generation;
};

/* What each object begins with. */
struct jmp_kube_object {
    struct jmp_tree *tree;              /* owns the struct */
    json_t *json;                       /* owns its strings: the object as it came */
    const char *api_version, *kind;
    struct jmp_kube_meta metadata;
};

/*
 * jumpstarter.dev/v1alpha1. A status is NULL until the controller has written one.
 */

struct jmp_kube_client_status {
    struct jmp_kube_condition *conditions;
    size_t n_conditions;
    struct jmp_kube_reference *credential;   /* a Secret with a token; NULL: none yet */
    const char *endpoint;                    /* HOST:PORT of the controller */
    struct jmp_kube_time token_expires;
};

struct jmp_kube_client {
    struct jmp_kube_object object;
    struct {
        const char *username;                /* who logs in as this one, at the identity provider */
    } spec;
    struct jmp_kube_client_status *status;
};

struct jmp_kube_device {
    const char *uuid, *parent_uuid;
    const json_t *labels;
};

struct jmp_kube_exporter_status {
    struct jmp_kube_condition *conditions;
    size_t n_conditions;
    struct jmp_kube_reference *credential, *lease;
    struct jmp_kube_device *devices;
    size_t n_devices;
    struct jmp_kube_time seen;
    const char *endpoint, *message;
    const char *exporter_status;             /* "Available", "LeaseReady", ... */
};

struct jmp_kube_exporter {
    struct jmp_kube_object object;
    struct {
        const char *username;
        bool enabled;                        /* unless it says no */
    } spec;
    struct jmp_kube_exporter_status *status;
};

struct jmp_kube_lease_status {
    bool ended, spot_access;
    struct jmp_kube_time begin, end;
    struct jmp_kube_reference *exporter;
    int64_t priority;
    struct jmp_kube_condition *conditions;   /* in their order; the last one counts */
    size_t n_conditions;
};

struct jmp_kube_lease {
    struct jmp_kube_object object;
    struct {
        struct jmp_kube_reference client;
        struct jmp_kube_reference *exporter;
        struct jmp_kube_selector selector;
        const char *duration;                /* as it was sent, and servers take any text: jmp_kube_duration_parse() */
        struct jmp_kube_time begin, end;
        const json_t *tags, *context;        /* maps of strings, or NULL */
        bool allow_disabled, release;
    } spec;
    struct jmp_kube_lease_status *status;
};

struct jmp_kube_from {
    struct jmp_kube_selector clients;
};

struct jmp_kube_policy {
    const char *description;
    int64_t priority;
    struct jmp_kube_from *from;
    size_t n_from;
    const char *maximum_duration;            /* as it was sent, or NULL */
    bool spot_access;
};

struct jmp_kube_access_policy {
    struct jmp_kube_object object;
    struct {
        struct jmp_kube_selector exporters;
        struct jmp_kube_policy *policies;
        size_t n_policies;
    } spec;
};

/*
 * coordination.k8s.io/v1: see kube/coordination.h for what it means.
 */

struct jmp_kube_coordination_spec {
    const char *holder, *strategy, *preferred_holder;
    int32_t duration, transitions;           /* seconds, changes of holder; 0: absent */
    struct jmp_kube_time acquired, renewed;
};

struct jmp_kube_coordination_lease {
    struct jmp_kube_object object;
    struct jmp_kube_coordination_spec spec;
};

extern const struct jmp_kube_field jmp_kube_coordination_fields[];   /* of a struct jmp_kube_coordination_spec */

/**
 * jmp_kube_client_read() - and so on: an object from JSON
 * @json:  borrowed; the object holds a reference. Must not change while the object lives.
 * @ret:   jmp_kube_object_free(&ret->object)
 *
 * Return: 0, -EINVAL with the path of the member that is of another type or must be there, -ENOMEM.
 */
int jmp_kube_client_read(json_t *json, struct jmp_kube_client **ret, struct jmp_error *reterr);
int jmp_kube_exporter_read(json_t *json, struct jmp_kube_exporter **ret, struct jmp_error *reterr);
int jmp_kube_lease_read(json_t *json, struct jmp_kube_lease **ret, struct jmp_error *reterr);
int jmp_kube_access_policy_read(json_t *json, struct jmp_kube_access_policy **ret, struct jmp_error *reterr);
int jmp_kube_coordination_lease_read(json_t *json, struct jmp_kube_coordination_lease **ret, struct jmp_error *reterr);
/** jmp_kube_object_read() - the same by kind; it begins with a struct jmp_kube_object */
int jmp_kube_object_read(enum jmp_kube_kind kind, json_t *json, struct jmp_kube_object **ret, struct jmp_error *reterr);
struct jmp_kube_object *jmp_kube_object_free(struct jmp_kube_object *object);
JMP_DEFINE_CLEANUP(struct jmp_kube_object *, jmp_kube_object_free)

/* A list, as jmp_kube_list() gives it. */
struct jmp_kube_objects {
    json_t *json;
    const char *api_version, *kind;
    struct {
        const char *resource_version, *continue_;
        int64_t remaining;                   /* -1: not said */
    } metadata;
    size_t count;
    struct jmp_kube_object **items;
};

/** jmp_kube_objects_read() - all of a list; a list without items is empty. Errors begin their path with "items[N]". */
int jmp_kube_objects_read(enum jmp_kube_kind kind, json_t *json, struct jmp_kube_objects **ret,
                          struct jmp_error *reterr);
struct jmp_kube_objects *jmp_kube_objects_free(struct jmp_kube_objects *objects);
JMP_DEFINE_CLEANUP(struct jmp_kube_objects *, jmp_kube_objects_free)
