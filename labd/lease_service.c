/* SPDX-License-Identifier: Apache-2.0 */
/* ClientService, leases: made, changed, ended, and how they look. (docs/protocol.md, "Leases") */
#include <string.h>

#include "jumpstarter/client/v1/client.pb-c.h"
#include "labd/ident.h"
#include "labd/selector.h"
#include "labd/service.h"
#include "rpc/ident.h"

#define LEASES_PER_CLIENT 100u

/*
 * Changes, all or nothing.
 */

bool jmp_lease_create(struct jmp_lab *lab, struct jmp_rpc *rpc, struct jmp_lease *lease)
{
    char name[JMP_UUID_SIZE];
    int64_t count;
    int r;

    if (!lease->name) {
        jmp_uuid_ordered(name);
        lease->name = strdup(name);
        if (!lease->name) {
            jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "out of memory");
            return false;
        }
    }
    lease->created = jmp_wall_now();

    r = jmp_store_begin(lab->store, true);
    count = r < 0 ? r : jmp_store_count_leases(lab->store, lease->client);
    if (count < 0) {
        r = (int)count;
    } else if (count >= LEASES_PER_CLIENT) {
        jmp_store_rollback(lab->store);
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "client %s has %u leases already; release some of them", lease->client,
                       LEASES_PER_CLIENT);
        return false;
    }
    if (r == 0)
        r = jmp_store_add_lease(lab->store, lease);
    if (r == -EEXIST) {
        jmp_store_rollback(lab->store);
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "leases.jumpstarter.dev \"%s\" already exists", lease->name);
        return false;
    }
    if (r == -EDQUOT) {
        jmp_store_rollback(lab->store);
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "the lab has %u leases already; try again later", JMP_STORE_LEASES_MAX);
        return false;
    }
    if (r == 0) {
        /* Everybody who waits takes part, so nobody is overtaken. Clients poll every five seconds: those who get a
         * board now see it in their first look. */
        r = jmp_lab_schedule(lab);
    }
    if (r == 0) {
        struct jmp_lease stored = { 0 };

        r = jmp_store_get_lease(lab->store, lease->name, &stored);
        if (r == 0) {
            jmp_lease_clear(lease);
            *lease = stored;
            r = jmp_store_commit(lab->store);
        }
    }
    if (r < 0) {
        jmp_store_rollback(lab->store);
        jmp_refuse_store(lab, rpc, r, "leases", lease->name);
        return false;
    }

    return true;
}

static bool update(struct jmp_lab *lab, struct jmp_rpc *rpc, struct jmp_lease *lease)
{
    struct jmp_lease stored = { 0 };
    int r;

    r = jmp_store_begin(lab->store, true);
    if (r == 0)
        r = jmp_store_put_lease(lab->store, lease);
    if (r == 0 && !lease->ended)
        r = jmp_lab_schedule(lab);
    if (r == 0)
        r = jmp_store_get_lease(lab->store, lease->name, &stored);
    if (r == 0)
        r = jmp_store_commit(lab->store);
    if (r < 0) {
        jmp_lease_clear(&stored);
        jmp_store_rollback(lab->store);
        jmp_refuse_store(lab, rpc, r, "leases", lease->name);
        return false;
    }

    jmp_lease_clear(lease);
    *lease = stored;
    if (lease->exporter)
        jmp_lab_changed(lab, lease->exporter);
    return true;
}

bool jmp_lease_release(struct jmp_lab *lab, struct jmp_rpc *rpc, struct jmp_lease *lease)
{
    lease->release = true;
    return update(lab, rpc, lease);
}

/*
 * Rendering.
 */

static Google__Protobuf__Timestamp *timestamp(struct jmp_tree *tree, int64_t time)
{
    Google__Protobuf__Timestamp *ret = jmp_tree_alloc(tree, sizeof(*ret));

    if (ret) {
        google__protobuf__timestamp__init(ret);
        ret->seconds = time / JMP_SECOND;
    }
    return ret;
}

static Google__Protobuf__Duration *duration(struct jmp_tree *tree, int64_t nanoseconds)
{
    Google__Protobuf__Duration *ret = jmp_tree_alloc(tree, sizeof(*ret));

    if (ret) {
        google__protobuf__duration__init(ret);
        ret->seconds = nanoseconds / JMP_NSEC_PER_SECOND;
        ret->nanos = (int32_t)(nanoseconds % JMP_NSEC_PER_SECOND);
    }
    return ret;
}

static char *identifier(struct jmp_tree *tree, const struct jmp_lab *lab, const char *kind, const char *name)
{
    char text[JMP_IDENT_MAX];

    jmp_ident_print(text, lab->namespace_, kind, name);
    return (char *)jmp_tree_strdup(tree, text, strlen(text));
}

int jmp_lease_conditions(const struct jmp_lease *lease, struct jmp_tree *tree, Jumpstarter__V1__Condition ***ret,
                         size_t *retcount)
{
    Jumpstarter__V1__Condition **conditions = jmp_tree_alloc(tree, ELEMENTSOF(lease->conditions) * sizeof(*conditions));

    if (!conditions)
        return -ENOMEM;

    for (size_t i = 0; i < lease->condition_count; i++) {
        const struct jmp_condition *from = &lease->conditions[i];
        Jumpstarter__V1__Condition *to = jmp_tree_alloc(tree, sizeof(*to));
        Jumpstarter__V1__Time *time = jmp_tree_alloc(tree, sizeof(*time));

        if (!to || !time)
            return -ENOMEM;
        jumpstarter__v1__time__init(time);
        time->_seconds_case = JUMPSTARTER__V1__TIME___SECONDS_SECONDS;
        time->seconds = from->changed / JMP_SECOND;
        time->_nanos_case = JUMPSTARTER__V1__TIME___NANOS_NANOS;
        jumpstarter__v1__condition__init(to);
        to->_type_case = JUMPSTARTER__V1__CONDITION___TYPE_TYPE;
        to->type = (char *)jmp_condition_name(from->type);
        to->_status_case = JUMPSTARTER__V1__CONDITION___STATUS_STATUS;
        to->status = (char *)(from->status ? "True" : "False");
        to->_observed_generation_case = JUMPSTARTER__V1__CONDITION___OBSERVED_GENERATION_OBSERVED_GENERATION;
        to->_last_transition_time_case = JUMPSTARTER__V1__CONDITION___LAST_TRANSITION_TIME_LAST_TRANSITION_TIME;
        to->lasttransitiontime = time;
        to->_reason_case = JUMPSTARTER__V1__CONDITION___REASON_REASON;
        to->reason = (char *)jmp_tree_strdup(tree, from->reason, strlen(from->reason));
        to->_message_case = JUMPSTARTER__V1__CONDITION___MESSAGE_MESSAGE;
        to->message = (char *)jmp_tree_strdup(tree, from->message, strlen(from->message));
        if (!to->reason || !to->message)
            return -ENOMEM;
        conditions[i] = to;
    }
    *ret = conditions;
    *retcount = lease->condition_count;
    return 0;
}

/* The labels that a lease asks for and that have something better. */
static int render_deprecated(const struct jmp_rules *rules, const struct jmp_lease *lease, struct jmp_tree *tree,
                             Jumpstarter__Client__V1__Lease *ret)
{
    _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 };
    _cleanup_(jmp_labels_clear) struct jmp_labels deprecated = { 0 };
    int r;

    if (rules->deprecated.count == 0)
        return 0;
    r = jmp_selector_parse(&selector, lease->selector, NULL);
    for (size_t i = 0; r == 0 && i < selector.count; i++) {
        const char *instead = jmp_labels_get(&rules->deprecated, selector.items[i].key);

        if (instead)
            r = jmp_labels_set(&deprecated, selector.items[i].key, instead);
    }

    return r < 0 ? r
                 : JMP_MAP_FILL(tree, ret, deprecated_labels,
                                jumpstarter__client__v1__lease__deprecated_labels_entry__init, &deprecated);
}

int jmp_lease_render(const struct jmp_lab *lab, const struct jmp_lease *lease, struct jmp_tree *tree,
                     Jumpstarter__Client__V1__Lease *ret)
{
    bool complete;

    jumpstarter__client__v1__lease__init(ret);
    ret->name = identifier(tree, lab, "leases", lease->name);
    /* The words of Kubernetes for a selector without requirements; clients compare with them. */
    ret->selector =
        (char *)(lease->selector[0] ? jmp_tree_strdup(tree, lease->selector, strlen(lease->selector)) : "<none>");
    ret->_client_case = JUMPSTARTER__CLIENT__V1__LEASE___CLIENT_CLIENT;
    ret->client = identifier(tree, lab, "clients", lease->client);
    complete = ret->name && ret->selector && ret->client;
    if (lease->exporter) {
        ret->_exporter_case = JUMPSTARTER__CLIENT__V1__LEASE___EXPORTER_EXPORTER;
        ret->exporter = identifier(tree, lab, "exporters", lease->exporter);
        complete = complete && ret->exporter;
    }
    if (lease->wanted) {
        ret->_exporter_name_case = JUMPSTARTER__CLIENT__V1__LEASE___EXPORTER_NAME_EXPORTER_NAME;
        ret->exporter_name = (char *)jmp_tree_strdup(tree, lease->wanted, strlen(lease->wanted));
        complete = complete && ret->exporter_name;
    }

    if (lease->duration) {
        ret->_duration_case = JUMPSTARTER__CLIENT__V1__LEASE___DURATION_DURATION;
        ret->duration = duration(tree, lease->duration);
        complete = complete && ret->duration;
    }
    if (lease->begin) {
        ret->_begin_time_case = JUMPSTARTER__CLIENT__V1__LEASE___BEGIN_TIME_BEGIN_TIME;
        ret->begin_time = timestamp(tree, lease->begin);
        complete = complete && ret->begin_time;
    }
    if (lease->end) {
        ret->_end_time_case = JUMPSTARTER__CLIENT__V1__LEASE___END_TIME_END_TIME;
        ret->end_time = timestamp(tree, lease->end);
        complete = complete && ret->end_time;
    }
    if (lease->began) {
        int64_t held = (lease->finished ? lease->finished : jmp_wall_now()) - lease->began;

        ret->_effective_begin_time_case = JUMPSTARTER__CLIENT__V1__LEASE___EFFECTIVE_BEGIN_TIME_EFFECTIVE_BEGIN_TIME;
        ret->effective_begin_time = timestamp(tree, lease->began);
        ret->effective_duration = duration(tree, held > 0 ? held * 1000 : 0);
        complete = complete && ret->effective_begin_time && ret->effective_duration;
        if (lease->finished) {
            ret->_effective_end_time_case = JUMPSTARTER__CLIENT__V1__LEASE___EFFECTIVE_END_TIME_EFFECTIVE_END_TIME;
            ret->effective_end_time = timestamp(tree, lease->finished);
            complete = complete && ret->effective_end_time;
        }
    }
    ret->allow_disabled = lease->allow_disabled;

    if (!complete ||
        JMP_MAP_FILL(tree, ret, tags, jumpstarter__client__v1__lease__tags_entry__init, &lease->tags) < 0 ||
        JMP_MAP_FILL(tree, ret, context, jumpstarter__client__v1__lease__context_entry__init, &lease->context) < 0 ||
        render_deprecated(&lab->rules, lease, tree, ret) < 0)
        return -ENOMEM;

    return jmp_lease_conditions(lease, tree, &ret->conditions, &ret->n_conditions);
}

void jmp_lease_reply(const struct jmp_lab *lab, struct jmp_rpc *rpc, const struct jmp_lease *lease)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    Jumpstarter__Client__V1__Lease response;

    if (jmp_tree_new(0, &tree) < 0 || jmp_lease_render(lab, lease, tree, &response) < 0)
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "out of memory");
    else
        jmp_rpc_reply(rpc, &response.base);
}

/*
 * Requests.
 */

bool jmp_client_admit(struct jmp_lab *lab, struct jmp_rpc *rpc, const char *namespace_, struct jmp_client *ret)
{
    if (!jmp_auth_client(lab, rpc, ret))
        return false;
    if (strcmp(namespace_, lab->namespace_) == 0)
        return true;

    jmp_client_clear(ret);
    jmp_rpc_finish(rpc, JMP_PERMISSION_DENIED, "namespace mismatch");
    return false;
}

/* What a request says of times; 0: not given. A duration of nothing counts as none. */
struct times {
    bool has_begin, has_end, has_duration;
    int64_t begin, end, duration;
};

static int read_times(const Jumpstarter__Client__V1__Lease *message, struct times *ret, struct jmp_error *reterr)
{
    const int64_t last = INT64_MAX / JMP_SECOND / 2;

    *ret = (struct times){
        .has_begin = message->_begin_time_case && message->begin_time,
        .has_end = message->_end_time_case && message->end_time,
        .has_duration = message->_duration_case && message->duration,
    };
    if (ret->has_begin) {
        if (message->begin_time->seconds <= 0 || message->begin_time->seconds > last)
            return jmp_error_set(reterr, -EINVAL, "begin_time is out of range");
        ret->begin = message->begin_time->seconds * JMP_SECOND;
    }
    if (ret->has_end) {
        if (message->end_time->seconds <= 0 || message->end_time->seconds > last)
            return jmp_error_set(reterr, -EINVAL, "end_time is out of range");
        ret->end = message->end_time->seconds * JMP_SECOND;
    }
    if (ret->has_duration) {
        int64_t seconds = message->duration->seconds;

        if (seconds > JMP_DURATION_MAX / JMP_NSEC_PER_SECOND || seconds < -(JMP_DURATION_MAX / JMP_NSEC_PER_SECOND) ||
            message->duration->nanos <= -JMP_NSEC_PER_SECOND || message->duration->nanos >= JMP_NSEC_PER_SECOND)
            return jmp_error_set(reterr, -EINVAL, "duration is out of range");
        ret->duration = seconds * JMP_NSEC_PER_SECOND + message->duration->nanos;
    }

    return 0;
}

/* The rest of a request, after its tags and its sender were found good. */
static int read_lease(const Jumpstarter__Client__V1__CreateLeaseRequest *request, struct jmp_lease *lease,
                      struct jmp_error *reterr)
{
    const Jumpstarter__Client__V1__Lease *message = request->lease;
    _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 };
    struct times times;
    int r;

    if (request->lease_id[0]) {
        if (!jmp_subdomain_valid(request->lease_id, strlen(request->lease_id)))
            return jmp_error_set(reterr, -EINVAL,
                                 "metadata.name: Invalid value: \"%.253s\": a lower case DNS name is wanted",
                                 request->lease_id);
        lease->name = strdup(request->lease_id);
        if (!lease->name)
            return -ENOMEM;
    }

    if ((r = jmp_selector_parse(&selector, message->selector, reterr)) < 0 ||
        (r = jmp_selector_normalize(&selector, reterr)) < 0 ||
        (r = jmp_selector_print(&selector, &lease->selector)) < 0)
        return r;
    if (message->_exporter_name_case && message->exporter_name[0]) {
        if (!jmp_subdomain_valid(message->exporter_name, strlen(message->exporter_name)))
            return jmp_error_set(reterr, -EINVAL,
                                 "spec.exporterRef.name: Invalid value: \"%.253s\": a lower case DNS name is wanted",
                                 message->exporter_name);
        lease->wanted = strdup(message->exporter_name);
        if (!lease->wanted)
            return -ENOMEM;
    }
    /* A selector of blanks and commas is none. */
    if (!lease->selector[0] && !lease->wanted)
        return jmp_error_set(reterr, -EINVAL, "one of selector or exporterRef.name is required");

    if ((r = read_times(message, &times, reterr)) < 0 ||
        (r = jmp_lease_resolve_times(&times.begin, &times.end, &times.duration, reterr)) < 0)
        return r;
    lease->begin = times.begin;
    lease->end = times.end;
    lease->duration = times.duration;
    lease->allow_disabled = message->allow_disabled;

    r = JMP_MAP_READ(&lease->context, message, context);
    if (r == -E2BIG)
        return jmp_error_set(reterr, -EINVAL, "spec.context: must have at most %u items", JMP_CONTEXT_MAX);
    return r < 0 ? r : jmp_lease_check_context(&lease->context, reterr);
}

JMP_LABD_METHOD(jmp_on_client_create_lease)
{
    const Jumpstarter__Client__V1__CreateLeaseRequest *message =
        (const Jumpstarter__Client__V1__CreateLeaseRequest *)request;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_lab *lab = user;
    struct jmp_ident parent;
    int r;

    if (!message->lease) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "lease is required");
        return;
    }
    if (!message->lease->selector[0] && (!message->lease->_exporter_name_case || !message->lease->exporter_name[0])) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "one of selector or exporter_name is required");
        return;
    }
    r = JMP_MAP_READ(&lease.tags, message->lease, tags);
    if (r == 0)
        r = jmp_lease_check_tags(&lease.tags, &error);
    if (r < 0) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "invalid lease tags: %s",
                       error.text[0] ? error.text : "too many tags");
        return;
    }
    if (jmp_ident_parse(message->parent, NULL, &parent, &error) < 0) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "%s", error.text);
        return;
    }

    if (!jmp_client_admit(lab, rpc, parent.namespace_, &client))
        return;
    r = read_lease(message, &lease, &error);
    if (r < 0) {
        jmp_refuse(rpc, &error);
        return;
    }
    lease.client = TAKE_PTR(client.name);
    if (jmp_lease_create(lab, rpc, &lease))
        jmp_lease_reply(lab, rpc, &lease);
}

/* The lease a request is about, and only if it is the caller's. */
static bool get_own(struct jmp_lab *lab, struct jmp_rpc *rpc, const char *name, const char *method,
                    struct jmp_client *client, struct jmp_lease *ret)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_ident ident;
    int r;

    if (jmp_ident_parse(name, "leases", &ident, &error) < 0) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "%s", error.text);
        return false;
    }
    if (!jmp_client_admit(lab, rpc, ident.namespace_, client))
        return false;
    r = jmp_store_get_lease(lab->store, ident.name, ret);
    if (r < 0) {
        jmp_refuse_store(lab, rpc, r, "leases", ident.name);
        return false;
    }
    if (strcmp(ret->client, client->name) != 0) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "%s permission denied", method);
        return false;
    }

    return true;
}

/* The request's own times must make sense, then they replace the stored ones, and the result must make sense too. */
static int update_times(struct jmp_lease *lease, const struct times *given, struct jmp_error *reterr)
{
    struct times times = *given;
    int64_t begin, end, duration;
    int r;

    r = jmp_lease_resolve_times(&times.begin, &times.end, &times.duration, reterr);
    if (r < 0)
        return r;

    begin = given->has_begin ? times.begin : lease->begin;
    end = given->has_end ? times.end : lease->end;
    duration = given->has_duration || (given->has_begin && given->has_end) ? times.duration : lease->duration;
    if (lease->exporter && begin != lease->begin)
        return jmp_error_set(reterr, -EINVAL, "cannot update BeginTime: lease has already started");
    r = jmp_lease_resolve_times(&begin, &end, &duration, reterr);
    if (r < 0)
        return r;

    /* A running lease has begun when it has; an end and a duration do not move that. */
    if (!lease->exporter)
        lease->begin = begin;
    lease->end = end;
    lease->duration = duration;
    return 0;
}

static bool transfer(struct jmp_lab *lab, struct jmp_rpc *rpc, const char *to, struct jmp_lease *lease)
{
    _cleanup_(jmp_client_clear) struct jmp_client target = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_ident ident;
    char *name;
    int r;

    if (!lease->exporter) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "cannot transfer lease: lease has not started yet");
        return false;
    }
    if (lease->ended) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "cannot transfer lease: lease has already ended");
        return false;
    }
    if (jmp_ident_parse(to, "clients", &ident, &error) < 0) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "%s", error.text);
        return false;
    }
    if (strcmp(ident.namespace_, lab->namespace_) != 0) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "cannot transfer lease to client in different namespace");
        return false;
    }
    r = jmp_store_get_client(lab->store, ident.name, &target);
    if (r == -ENOENT) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "target client not found: clients.jumpstarter.dev \"%s\" not found",
                       ident.name);
        return false;
    }
    name = r == 0 ? strdup(target.name) : NULL;
    if (!name) {
        jmp_refuse_store(lab, rpc, r < 0 ? r : -ENOMEM, "clients", ident.name);
        return false;
    }

    jmp_log(JMP_LOG_INFO, FIELDS(.lease = lease->name, .client = name), "lease is handed over by %s", lease->client);
    free(lease->client);
    lease->client = name;
    return true;
}

/* For how long a lease asks: what it says, or, once it runs, until its end if that is later. Nanoseconds. */
static int64_t asked_for(const struct jmp_lease *lease)
{
    int64_t span = 0;

    if (lease->exporter &&
        __builtin_mul_overflow(jmp_lease_expiry(lease) - lease->began, JMP_NSEC_PER_SECOND / JMP_SECOND, &span))
        return INT64_MAX;
    return span > lease->duration ? span : lease->duration;
}

/* A board that somebody has already may be kept for longer, or given to another, only as the rules of access have it.
 * Those that wait are judged by the scheduler. */
static bool check_access(struct jmp_lab *lab, struct jmp_rpc *rpc, const struct jmp_lease *lease)
{
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    _cleanup_(jmp_client_clear) struct jmp_client holder = { 0 };
    struct jmp_access access;
    int r;

    if (lab->rules.access_count == 0 || !lease->exporter || lease->ended)
        return true;
    r = jmp_store_get_client(lab->store, lease->client, &holder);
    if (r < 0) {
        jmp_refuse_store(lab, rpc, r, "clients", lease->client);
        return false;
    }
    r = jmp_store_get_exporter(lab->store, lease->exporter, &exporter);
    if (r < 0) {
        jmp_refuse_store(lab, rpc, r, "exporters", lease->exporter);
        return false;
    }
    access = jmp_rules_judge(&lab->rules, &holder.labels, &exporter.labels, asked_for(lease), NULL);
    if (access.approved && !access.spot)
        return true;
    jmp_rpc_finish(rpc, JMP_UNKNOWN, "no access rule lets %s lease %s for %lld seconds", lease->client, lease->exporter,
                   (long long)(asked_for(lease) / JMP_NSEC_PER_SECOND));
    return false;
}

JMP_LABD_METHOD(jmp_on_client_update_lease)
{
    const Jumpstarter__Client__V1__UpdateLeaseRequest *message =
        (const Jumpstarter__Client__V1__UpdateLeaseRequest *)request;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_lab *lab = user;
    struct times times;
    bool handed_over;
    int64_t before;
    int r;

    if (!message->lease) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "lease is required");
        return;
    }
    if (!get_own(lab, rpc, message->lease->name, "UpdateLease", &client, &lease))
        return;

    before = asked_for(&lease);
    /* What is there decides, not the mask: as stock controllers have it. */
    r = read_times(message->lease, &times, &error);
    if (r == 0 && (times.has_begin || times.has_end || times.has_duration))
        r = update_times(&lease, &times, &error);
    if (r < 0) {
        jmp_refuse(rpc, &error);
        return;
    }
    handed_over = message->lease->_client_case && message->lease->client[0];
    if (handed_over && !transfer(lab, rpc, message->lease->client, &lease))
        return;
    if ((handed_over || asked_for(&lease) > before) && !check_access(lab, rpc, &lease))
        return;
    if (update(lab, rpc, &lease))
        jmp_lease_reply(lab, rpc, &lease);
}

JMP_LABD_METHOD(jmp_on_client_delete_lease)
{
    const Jumpstarter__Client__V1__DeleteLeaseRequest *message =
        (const Jumpstarter__Client__V1__DeleteLeaseRequest *)request;
    Google__Protobuf__Empty response = GOOGLE__PROTOBUF__EMPTY__INIT;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    struct jmp_lab *lab = user;

    if (!get_own(lab, rpc, message->name, "DeleteLease", &client, &lease))
        return;
    if (lease.release) {
        jmp_rpc_finish(rpc, JMP_FAILED_PRECONDITION, "lease \"%s\" has already been released", message->name);
        return;
    }
    if (jmp_lease_release(lab, rpc, &lease))
        jmp_rpc_reply(rpc, &response.base);
}
