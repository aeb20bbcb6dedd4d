/* SPDX-License-Identifier: Apache-2.0 */
/* ControllerService, the calls with one answer: exporters report, older clients lease. (docs/protocol.md,
 * "ControllerService") */
#include <string.h>

#include "base/text.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "labd/selector.h"
#include "labd/service.h"

#define REPORTS_MAX 4096u   /* devices of one exporter */

/* Only labels of the protocol itself are the exporter's to set; all others belong to the administrator. */
static int take_labels(const Jumpstarter__V1__RegisterRequest *message, struct jmp_labels *labels,
                       struct jmp_error *reterr)
{
    jmp_labels_remove(labels, JMP_OWN_PREFIX);
    for (size_t i = 0; i < message->n_labels; i++) {
        const char *key = message->labels[i]->key, *value = message->labels[i]->value;
        int r;

        if (strncmp(key, JMP_OWN_PREFIX, strlen(JMP_OWN_PREFIX)) != 0)
            continue;
        if (!jmp_label_key_valid(key) || !jmp_label_value_valid(value))
            return jmp_error_set(reterr, -EINVAL, "\"%.400s\" is not a label", key);
        r = jmp_labels_set(labels, key, value);
        if (r < 0)
            return r == -E2BIG ? jmp_error_set(reterr, r, "more than %u labels", JMP_LABELS_MAX) : r;
    }

    return 0;
}

/* Read again under the lock: an administrator may have changed the other labels since the caller was looked up. */
static int store_registration(struct jmp_lab *lab, const Jumpstarter__V1__RegisterRequest *message,
                              struct jmp_exporter *exporter, struct jmp_error *reterr)
{
    struct jmp_exporter fresh = { 0 };
    int r;

    if ((r = jmp_store_begin(lab->store, false)) < 0 ||
        (r = jmp_store_get_exporter(lab->store, exporter->name, &fresh)) < 0)
        return r;
    jmp_exporter_clear(exporter);
    *exporter = fresh;
    if ((r = take_labels(message, &exporter->labels, reterr)) < 0)
        return r;

    exporter->registered = true;
    exporter->devices = (unsigned)message->n_reports;
    r = jmp_store_put_exporter(lab->store, exporter);
    return r < 0 ? r : jmp_store_commit(lab->store);
}

JMP_LABD_METHOD(jmp_on_register)
{
    const Jumpstarter__V1__RegisterRequest *message = (const Jumpstarter__V1__RegisterRequest *)request;
    Jumpstarter__V1__RegisterResponse response = JUMPSTARTER__V1__REGISTER_RESPONSE__INIT;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    struct jmp_lab *lab = user;
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    if (!jmp_auth_exporter(lab, rpc, &exporter))
        return;
    if (message->n_reports > REPORTS_MAX) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "more than %u devices", REPORTS_MAX);
        return;
    }

    r = store_registration(lab, message, &exporter, &error);
    if (r < 0) {
        jmp_store_rollback(lab->store);
        jmp_rpc_finish(rpc, JMP_INTERNAL, "unable to update exporter: %s",
                       error.text[0] ? error.text : jmp_store_reason(lab->store));
        return;
    }

    jmp_log(JMP_LOG_INFO, FIELDS(.exporter = exporter.name, .peer = jmp_rpc_peer(rpc)), "registered, %u devices",
            exporter.devices);
    response.uuid = exporter.uid;
    jmp_rpc_reply(rpc, &response.base);
    jmp_lab_schedule(lab);
}

/* @text: NULL: none; what is too long is cut */
static int set_status(struct jmp_lab *lab, struct jmp_exporter *exporter, unsigned status, const char *text)
{
    char *copy = strndup(text ? text : "", text ? jmp_text_cut(text, strlen(text), JMP_STATUS_MESSAGE_MAX) : 0);

    if (!copy)
        return -ENOMEM;
    free(exporter->message);
    exporter->message = copy;
    exporter->status = status;
    exporter->seen = jmp_wall_now();
    return jmp_store_put_state(lab->store, exporter);
}

/* Whatever is wrong with it, the report itself has succeeded. */
static void release_own_lease(struct jmp_lab *lab, const struct jmp_exporter *exporter)
{
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    int r = jmp_store_get_lease_of(lab->store, exporter->name, &lease);

    if (r == 0) {
        lease.release = true;
        r = jmp_store_put_lease(lab->store, &lease);
    }
    if (r < 0)
        jmp_log(JMP_LOG_WARNING, FIELDS(.exporter = exporter->name, .error = r), "asked for the end of its lease: %s",
                r == -ENOENT ? "there is none" : jmp_store_reason(lab->store));
}

JMP_LABD_METHOD(jmp_on_report_status)
{
    const Jumpstarter__V1__ReportStatusRequest *message = (const Jumpstarter__V1__ReportStatusRequest *)request;
    Jumpstarter__V1__ReportStatusResponse response = JUMPSTARTER__V1__REPORT_STATUS_RESPONSE__INIT;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    struct jmp_lab *lab = user;
    unsigned status = (unsigned)message->status;
    const char *text = message->_message_case ? message->message : NULL;
    int r;

    if (!jmp_auth_exporter(lab, rpc, &exporter))
        return;

    if (status > JMP_STATUS_AFTER_LEASE_HOOK_FAILED)
        status = JMP_STATUS_UNSPECIFIED;
    r = jmp_lab_heard(lab, exporter.name);
    if (r == 0)
        r = set_status(lab, &exporter, status, text);
    if (r < 0) {
        jmp_rpc_finish(rpc, JMP_INTERNAL, "unable to update exporter status: %s", jmp_store_reason(lab->store));
        return;
    }

    jmp_log(JMP_LOG_DEBUG, FIELDS(.exporter = exporter.name), "reports %s", jmp_exporter_status_name(status));
    if (message->_release_lease_case && message->release_lease)
        release_own_lease(lab, &exporter);
    jmp_rpc_reply(rpc, &response.base);
    jmp_lab_changed(lab, exporter.name);
    jmp_lab_schedule(lab);
}

JMP_LABD_METHOD(jmp_on_unregister)
{
    const Jumpstarter__V1__UnregisterRequest *message = (const Jumpstarter__V1__UnregisterRequest *)request;
    Jumpstarter__V1__UnregisterResponse response = JUMPSTARTER__V1__UNREGISTER_RESPONSE__INIT;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    struct jmp_lab *lab = user;
    int r;

    if (!jmp_auth_exporter(lab, rpc, &exporter))
        return;

    exporter.registered = false;
    exporter.devices = 0;
    r = set_status(lab, &exporter, JMP_STATUS_OFFLINE, message->reason[0] ? message->reason : "Exporter unregistered");
    if (r < 0) {
        jmp_rpc_finish(rpc, JMP_INTERNAL, "unable to update exporter status: %s", jmp_store_reason(lab->store));
        return;
    }

    jmp_log(JMP_LOG_INFO, FIELDS(.exporter = exporter.name), "unregistered");
    jmp_rpc_reply(rpc, &response.base);
    jmp_lab_changed(lab, exporter.name);
    jmp_lab_schedule(lab);
}

JMP_LABD_METHOD(jmp_on_get_service_endpoints)
{
    Jumpstarter__V1__GetServiceEndpointsResponse response = JUMPSTARTER__V1__GET_SERVICE_ENDPOINTS_RESPONSE__INIT;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };

    if (jmp_auth_exporter(user, rpc, &exporter))
        jmp_rpc_reply(rpc, &response.base);
}

/*
 * Leases as older clients see them.
 */

/* The caller's own lease. */
static bool get_own(struct jmp_lab *lab, struct jmp_rpc *rpc, const struct jmp_client *client, const char *name,
                    const char *method, struct jmp_lease *ret)
{
    int r = jmp_store_get_lease(lab->store, name, ret);

    if (r < 0) {
        jmp_refuse_store(lab, rpc, r, "leases", name);
        return false;
    }
    if (strcmp(ret->client, client->name) != 0) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "%s permission denied", method);
        return false;
    }

    return true;
}

static Jumpstarter__V1__LabelSelector *fill_selector(struct jmp_tree *tree, const struct jmp_selector *selector)
{
    static const char *const words[] = {
        [JMP_IN] = "In", [JMP_NOT_IN] = "NotIn", [JMP_EXISTS] = "Exists", [JMP_DOES_NOT_EXIST] = "DoesNotExist"
    };
    Jumpstarter__V1__LabelSelector *ret = jmp_tree_alloc(tree, sizeof(*ret));
    _cleanup_(jmp_labels_clear) struct jmp_labels equal = { 0 };

    if (!ret)
        return NULL;
    jumpstarter__v1__label_selector__init(ret);
    if (jmp_selector_equalities(selector, &equal) < 0 ||
        JMP_MAP_FILL(tree, ret, match_labels, jumpstarter__v1__label_selector__match_labels_entry__init, &equal) < 0)
        return NULL;

    ret->match_expressions = jmp_tree_alloc(tree, (selector->count + 1) * sizeof(*ret->match_expressions));
    if (!ret->match_expressions)
        return NULL;
    for (size_t i = 0; i < selector->count; i++) {
        const struct jmp_requirement *item = &selector->items[i];
        Jumpstarter__V1__LabelSelectorRequirement *requirement;

        if (item->op == JMP_EQUALS)
            continue;
        requirement = jmp_tree_alloc(tree, sizeof(*requirement));
        if (!requirement)
            return NULL;
        jumpstarter__v1__label_selector_requirement__init(requirement);
        requirement->key = item->key;         /* all of it outlives the answer */
        requirement->operator_ = (char *)words[item->op];
        requirement->values = item->values;
        requirement->n_values = item->count;
        ret->match_expressions[ret->n_match_expressions++] = requirement;
    }

    return ret;
}

JMP_LABD_METHOD(jmp_on_get_lease)
{
    const Jumpstarter__V1__GetLeaseRequest *message = (const Jumpstarter__V1__GetLeaseRequest *)request;
    Jumpstarter__V1__GetLeaseResponse response = JUMPSTARTER__V1__GET_LEASE_RESPONSE__INIT;
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Timestamp begin = GOOGLE__PROTOBUF__TIMESTAMP__INIT, end = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 };
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_lab *lab = user;

    if (!jmp_auth_client(lab, rpc, &client) || !get_own(lab, rpc, &client, message->name, "GetLease", &lease))
        return;

    duration.seconds = lease.duration / JMP_NSEC_PER_SECOND;
    duration.nanos = (int32_t)(lease.duration % JMP_NSEC_PER_SECOND);
    response.duration = &duration;
    if (lease.began) {
        begin.seconds = lease.began / JMP_SECOND;
        response._begin_time_case = JUMPSTARTER__V1__GET_LEASE_RESPONSE___BEGIN_TIME_BEGIN_TIME;
        response.begin_time = &begin;
    }
    if (lease.finished) {
        end.seconds = lease.finished / JMP_SECOND;
        response._end_time_case = JUMPSTARTER__V1__GET_LEASE_RESPONSE___END_TIME_END_TIME;
        response.end_time = &end;
    }
    if (lease.exporter) {
        response._exporter_uuid_case = JUMPSTARTER__V1__GET_LEASE_RESPONSE___EXPORTER_UUID_EXPORTER_UUID;
        response.exporter_uuid = lease.exporter_uid;
    }

    if (jmp_tree_new(0, &tree) == 0 && jmp_selector_parse(&selector, lease.selector, NULL) == 0)
        response.selector = fill_selector(tree, &selector);
    if (!response.selector || jmp_lease_conditions(&lease, tree, &response.conditions, &response.n_conditions) < 0) {
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    jmp_rpc_reply(rpc, &response.base);
}

static int read_selector(const Jumpstarter__V1__LabelSelector *message, struct jmp_selector *selector,
                         struct jmp_error *reterr)
{
    int r;

    for (size_t i = 0; message && i < message->n_match_labels; i++) {
        const char *value = message->match_labels[i]->value;

        r = jmp_selector_add(selector, message->match_labels[i]->key, JMP_EQUALS, &value, 1, reterr);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; message && i < message->n_match_expressions; i++) {
        const Jumpstarter__V1__LabelSelectorRequirement *item = message->match_expressions[i];
        enum jmp_operator op;

        if (strcmp(item->operator_, "In") == 0)
            op = JMP_IN;
        else if (strcmp(item->operator_, "NotIn") == 0)
            op = JMP_NOT_IN;
        else if (strcmp(item->operator_, "Exists") == 0)
            op = JMP_EXISTS;
        else if (strcmp(item->operator_, "DoesNotExist") == 0)
            op = JMP_DOES_NOT_EXIST;
        else
            return jmp_error_set(reterr, -EINVAL, "\"%.64s\" is not a valid label selector operator", item->operator_);
        r = jmp_selector_add(selector, item->key, op, (const char *const *)item->values, item->n_values, reterr);
        if (r < 0)
            return r;
    }
    if (selector->count == 0)
        return jmp_error_set(reterr, -EINVAL, "one of selector or exporterRef.name is required");

    return jmp_selector_normalize(selector, reterr);
}

JMP_LABD_METHOD(jmp_on_request_lease)
{
    const Jumpstarter__V1__RequestLeaseRequest *message = (const Jumpstarter__V1__RequestLeaseRequest *)request;
    Jumpstarter__V1__RequestLeaseResponse response = JUMPSTARTER__V1__REQUEST_LEASE_RESPONSE__INIT;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_lab *lab = user;
    int r;

    if (!jmp_auth_client(lab, rpc, &client))
        return;

    r = read_selector(message->selector, &selector, &error);
    if (r == 0)
        r = jmp_selector_print(&selector, &lease.selector);
    if (r == 0 && message->duration) {
        if (message->duration->seconds < 0 || message->duration->nanos < 0 ||
            message->duration->seconds > JMP_DURATION_MAX / JMP_NSEC_PER_SECOND)
            r = jmp_error_set(&error, -EINVAL, "the duration is out of range");
        else
            lease.duration = message->duration->seconds * JMP_NSEC_PER_SECOND + message->duration->nanos;
    }
    if (r < 0) {
        jmp_refuse(rpc, &error);
        return;
    }

    lease.client = TAKE_PTR(client.name);
    if (!jmp_lease_create(lab, rpc, &lease))
        return;
    response.name = lease.name;
    jmp_rpc_reply(rpc, &response.base);
}

static void release_as_exporter(struct jmp_lab *lab, struct jmp_rpc *rpc, const char *name)
{
    Jumpstarter__V1__ReleaseLeaseResponse response = JUMPSTARTER__V1__RELEASE_LEASE_RESPONSE__INIT;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    int r;

    if (!jmp_auth_exporter(lab, rpc, &exporter))
        return;

    r = jmp_store_get_lease(lab->store, name, &lease);
    if (r == -ENOENT) {
        jmp_rpc_finish(rpc, JMP_NOT_FOUND, "lease %s not found", name);
    } else if (r < 0) {
        jmp_refuse_store(lab, rpc, r, "leases", name);
    } else if (!lease.exporter || strcmp(lease.exporter, exporter.name) != 0) {
        jmp_rpc_finish(rpc, JMP_FAILED_PRECONDITION, "lease %s is not held by exporter %s", name, exporter.name);
    } else if (lease.ended || jmp_lease_release(lab, rpc, &lease)) {
        jmp_rpc_reply(rpc, &response.base);
    }
}

JMP_LABD_METHOD(jmp_on_release_lease)
{
    const Jumpstarter__V1__ReleaseLeaseRequest *message = (const Jumpstarter__V1__ReleaseLeaseRequest *)request;
    Jumpstarter__V1__ReleaseLeaseResponse response = JUMPSTARTER__V1__RELEASE_LEASE_RESPONSE__INIT;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    struct jmp_lab *lab = user;

    if (jmp_auth_is_exporter(rpc)) {
        release_as_exporter(lab, rpc, message->name);
        return;
    }
    if (!jmp_auth_client(lab, rpc, &client) || !get_own(lab, rpc, &client, message->name, "ReleaseLease", &lease))
        return;
    if (lease.ended || jmp_lease_release(lab, rpc, &lease))
        jmp_rpc_reply(rpc, &response.base);
}

struct own_names {
    struct jmp_tree *tree;
    const char *client;
    char **names;
    size_t count;
};

static int take_name(struct jmp_lease *lease, void *user)
{
    struct own_names *own = user;

    if (strcmp(lease->client, own->client) != 0 || own->count == JMP_STORE_LEASES_MAX)
        return 0;
    own->names[own->count] = (char *)jmp_tree_strdup(own->tree, lease->name, strlen(lease->name));
    return own->names[own->count++] ? 0 : -ENOMEM;
}

JMP_LABD_METHOD(jmp_on_list_leases)
{
    Jumpstarter__V1__ListLeasesResponse response = JUMPSTARTER__V1__LIST_LEASES_RESPONSE__INIT;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct own_names own;
    struct jmp_lab *lab = user;
    int r;

    if (!jmp_auth_client(lab, rpc, &client))
        return;
    r = jmp_tree_new(0, &tree);
    if (r == 0) {
        own = (struct own_names){ .tree = tree, .client = client.name,
                                  .names = jmp_tree_alloc(tree, JMP_STORE_LEASES_MAX * sizeof(*own.names)) };
        r = own.names ? jmp_store_each_lease(lab->store, "", true, take_name, &own) : -ENOMEM;
    }
    if (r < 0) {
        jmp_refuse_store(lab, rpc, r, "leases", "");
        return;
    }

    response.names = own.names;
    response.n_names = own.count;
    jmp_rpc_reply(rpc, &response.base);
}
