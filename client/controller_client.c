/* SPDX-License-Identifier: Apache-2.0 */
#include "client/controller_client.h"

#include <string.h>

#include "jumpstarter/client/v1/client.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/ident.h"
#include "rpc/methods.h"

#define CALL_TIMEOUT (30 * JMP_USEC_PER_SEC)
#define PAGE_SIZE 100
#define PAGES_MAX 1000u

struct jmp_controller_client {
    struct jmp_client *client;
    struct jmp_channel *channel;
    struct jmp_controller_options options;   /* its strings are ours */
    char *bearer;
    struct jmp_metadata metadata[5];
};

static int keep(const char *text, const char **ret)
{
    if (!text)
        return 0;
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

static void forget(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static int set_bearer(struct jmp_controller_client *controller, const char *token)
{
    char *bearer;

    if (asprintf(&bearer, "Bearer %s", token) < 0)
        return -ENOMEM;
    forget(controller->bearer);
    controller->bearer = bearer;
    controller->metadata[0] = (struct jmp_metadata){ "authorization", bearer };
    return 0;
}

int jmp_controller_client_new(struct jmp_client *client, const struct jmp_controller_options *options,
                              struct jmp_controller_client **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_controller_client_freep) struct jmp_controller_client *controller = calloc(1, sizeof(*controller));
    int r;

    if (!controller)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    controller->client = client;
    controller->options.channel.insecure = options->channel.insecure;
    controller->options.channel.plaintext = options->channel.plaintext;
    controller->options.channel.grpc_options = options->channel.grpc_options;
    if (keep(options->channel.endpoint, &controller->options.channel.endpoint) < 0 ||
        keep(options->channel.ca, &controller->options.channel.ca) < 0 ||
        keep(options->namespace_, &controller->options.namespace_) < 0 ||
        keep(options->name, &controller->options.name) < 0 || keep(options->token, &controller->options.token) < 0 ||
        set_bearer(controller, options->token) < 0)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    controller->options.renew = options->renew;
    controller->options.user = options->user;

    controller->metadata[1] = (struct jmp_metadata){ "jumpstarter-kind", "Client" };
    controller->metadata[2] = (struct jmp_metadata){ "jumpstarter-namespace", controller->options.namespace_ };
    controller->metadata[3] = (struct jmp_metadata){ "jumpstarter-name", controller->options.name };

    r = jmp_channel_new(jmp_client_queue(client), &controller->options.channel, &controller->channel, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(controller);
    return 0;
}

struct jmp_controller_client *jmp_controller_client_free(struct jmp_controller_client *controller)
{
    if (!controller)
        return NULL;
    jmp_channel_free(controller->channel);
    forget(controller->bearer);
    free((void *)controller->options.channel.endpoint);
    free((void *)controller->options.channel.ca);
    free((void *)controller->options.namespace_);
    free((void *)controller->options.name);
    forget((char *)controller->options.token);
    free(controller);
    return NULL;
}

struct jmp_client *jmp_controller_client_base(struct jmp_controller_client *controller) { return controller->client; }

struct jmp_channel *jmp_controller_client_channel(struct jmp_controller_client *controller)
{
    return controller->channel;
}

const struct jmp_controller_options *jmp_controller_client_options(const struct jmp_controller_client *controller)
{
    return &controller->options;
}

static bool is_expired(const struct jmp_error *error) { return strstr(error->text, "token is expired"); }

/* A person has to be told which of the two ends is missing, and what an old token looks like. */
static void explain(struct jmp_controller_client *controller, enum jmp_code code, struct jmp_error *reterr)
{
    if (code == JMP_UNAVAILABLE) {
        jmp_error_prefix(reterr, "the controller at %s cannot be reached", controller->options.channel.endpoint);
        jmp_error_hint(reterr, "is it running, and are endpoint and tls of the client configuration right?");
    } else if (code == JMP_DEADLINE_EXCEEDED) {
        jmp_error_set(reterr, -ETIMEDOUT, "the controller at %s does not answer", controller->options.channel.endpoint);
    } else if (code == JMP_UNAUTHENTICATED || is_expired(reterr)) {
        jmp_error_hint(reterr,
                       "the token of client \"%s\" may have expired: ask for a new one (\"jmpctl auth status\" says)",
                       controller->options.name);
    }
}

static bool renew(struct jmp_controller_client *controller)
{
    char *token;
    bool renewed;

    if (!controller->options.renew || controller->options.renew(controller->options.user, &token) < 0)
        return false;
    renewed = set_bearer(controller, token) == 0;
    forget(token);
    return renewed;
}

static int call(struct jmp_controller_client *controller, const struct jmp_method_info *method, uint64_t timeout,
                const ProtobufCMessage *request, int (*take)(const ProtobufCMessage *, void *, struct jmp_error *),
                void *user, enum jmp_code *retcode, struct jmp_error *reterr)
{
    struct jmp_error error = JMP_ERROR_INIT;
    enum jmp_code code = JMP_OK;
    int r;

    r = jmp_client_call(controller->client, controller->channel, method, controller->metadata, timeout, request, take,
                        user, &code, &error);
    if (r < 0 && is_expired(&error) && renew(controller)) {
        error = JMP_ERROR_INIT;
        r = jmp_client_call(controller->client, controller->channel, method, controller->metadata, timeout, request,
                            take, user, &code, &error);
    }
    if (r < 0) {
        explain(controller, code, &error);
        if (reterr)
            *reterr = error;
    }
    if (retcode)
        *retcode = code;
    return r;
}

/* "namespaces/NS" or "namespaces/NS/KIND/NAME"; free() @ret */
static int identify(struct jmp_controller_client *controller, const char *kind, const char *name, char **ret)
{
    int r;

    if (!name)
        r = asprintf(ret, "namespaces/%s", controller->options.namespace_);
    else if (strncmp(name, "namespaces/", 11) == 0)
        r = asprintf(ret, "%s", name);
    else
        r = asprintf(ret, "namespaces/%s/%s/%s", controller->options.namespace_, kind, name);
    return r < 0 ? -ENOMEM : 0;
}

/*
 * Messages to objects. Strings are copied into the tree, whose budget bounds them.
 */

static const char *copy(struct jmp_tree *tree, const char *text, bool *failed)
{
    const char *copied = jmp_tree_strdup(tree, text ? text : "", text ? strlen(text) : 0);

    if (!copied)
        *failed = true;
    return copied;
}

/* The bare name of "namespaces/NS/KIND/NAME", and its namespace on the side; anything else is an answer that cannot be
 * used. */
static int take_name(struct jmp_tree *tree, const char *identifier, const char *kind, const char **retname,
                     const char **retspace, struct jmp_error *reterr)
{
    struct jmp_ident ident;
    bool failed = false;
    int r;

    r = jmp_ident_parse(identifier, kind, &ident, reterr);
    if (r < 0) {
        jmp_error_prefix(reterr, "the controller's answer cannot be used");
        return r;
    }
    *retname = copy(tree, ident.name, &failed);
    if (retspace)
        *retspace = copy(tree, ident.namespace_, &failed);
    return failed ? jmp_error_set(reterr, -ENOMEM, "%m") : 0;
}

/* protoc-c gives every map<string, string> entry this shape. */
struct entry {
    ProtobufCMessage base;
    char *key, *value;
};

static struct jmp_pairs copy_pairs(struct jmp_tree *tree, void *entries, size_t count, bool *failed)
{
    struct entry *const *from = entries;
    struct jmp_pairs pairs = { 0 };

    if (count == 0)
        return pairs;
    pairs.items = jmp_tree_alloc(tree, count * sizeof(*pairs.items));
    if (!pairs.items) {
        *failed = true;
        return pairs;
    }
    for (; pairs.count < count; pairs.count++) {
        pairs.items[pairs.count].key = copy(tree, from[pairs.count]->key, failed);
        pairs.items[pairs.count].value = copy(tree, from[pairs.count]->value, failed);
    }
    if (!*failed)
        jmp_pairs_sort(&pairs);
    return pairs;
}

/* Beyond what fits into microseconds there is nothing to show: the year 292,000. */
static int64_t micro(int64_t seconds, int32_t nanos)
{
    int64_t usec;

    if (__builtin_mul_overflow(seconds, INT64_C(1000000), &usec) || __builtin_add_overflow(usec, nanos / 1000, &usec))
        return JMP_TIME_NONE;
    return usec;
}

static int64_t copy_time(const Google__Protobuf__Timestamp *time)
{
    return time ? micro(time->seconds, time->nanos) : JMP_TIME_NONE;
}

static int64_t copy_span(const Google__Protobuf__Duration *span)
{
    return span ? micro(span->seconds, span->nanos) : JMP_TIME_NONE;
}

static int copy_exporter(struct jmp_tree *tree, const Jumpstarter__Client__V1__Exporter *from, struct jmp_exporter *ret,
                         struct jmp_error *reterr)
{
    bool failed = false;

    *ret = (struct jmp_exporter){
        .online = from->online,
        .enabled = from->_enabled_case == JUMPSTARTER__CLIENT__V1__EXPORTER___ENABLED_ENABLED ? from->enabled : true,
        .status = (unsigned)from->status,
        .status_message = copy(tree, from->status_message, &failed),
        .labels = copy_pairs(tree, from->labels, from->n_labels, &failed),
        .deprecated_labels = copy_pairs(tree, from->deprecated_labels, from->n_deprecated_labels, &failed),
    };
    return failed ? -ENOMEM : take_name(tree, from->name, "exporters", &ret->name, &ret->namespace_, reterr);
}

static void copy_condition(struct jmp_tree *tree, const Jumpstarter__V1__Condition *from, struct jmp_condition *ret,
                           bool *failed)
{
    const Jumpstarter__V1__Time *moved = from->_last_transition_time_case ? from->lasttransitiontime : NULL;

    *ret = (struct jmp_condition){
        .type = copy(tree, from->_type_case ? from->type : "", failed),
        .status = copy(tree, from->_status_case ? from->status : "", failed),
        .reason = copy(tree, from->_reason_case ? from->reason : "", failed),
        .message = copy(tree, from->_message_case ? from->message : "", failed),
        .has_generation = from->_observed_generation_case,
        .generation = from->_observed_generation_case ? from->observedgeneration : 0,
        .has_transition = moved,
        .transition_seconds = moved && moved->_seconds_case ? moved->seconds : 0,
        .transition_nanos = moved && moved->_nanos_case ? moved->nanos : 0,
    };
}

static int copy_lease(struct jmp_tree *tree, const Jumpstarter__Client__V1__Lease *from, struct jmp_lease *ret,
                      struct jmp_error *reterr)
{
    bool failed = false;
    int r;

    *ret = (struct jmp_lease){
        .selector = copy(tree, from->selector, &failed),
        .exporter = "",
        .exporter_name = copy(tree, from->_exporter_name_case ? from->exporter_name : NULL, &failed),
        .tags = copy_pairs(tree, from->tags, from->n_tags, &failed),
        .context = copy_pairs(tree, from->context, from->n_context, &failed),
        .deprecated_labels = copy_pairs(tree, from->deprecated_labels, from->n_deprecated_labels, &failed),
        .duration = copy_span(from->_duration_case ? from->duration : NULL),
        .effective_duration = copy_span(from->effective_duration),
        .begin = copy_time(from->_begin_time_case ? from->begin_time : NULL),
        .effective_begin = copy_time(from->_effective_begin_time_case ? from->effective_begin_time : NULL),
        .end = copy_time(from->_end_time_case ? from->end_time : NULL),
        .effective_end = copy_time(from->_effective_end_time_case ? from->effective_end_time : NULL),
        .allow_disabled = from->allow_disabled,
    };
    r = take_name(tree, from->name, "leases", &ret->name, &ret->namespace_, reterr);
    if (r == 0)
        r = take_name(tree, from->_client_case ? from->client : "", "clients", &ret->client, NULL, reterr);
    if (r == 0 && from->_exporter_case && *from->exporter)
        r = take_name(tree, from->exporter, "exporters", &ret->exporter, NULL, reterr);
    if (r < 0)
        return r;
    if (from->n_conditions > 0) {
        ret->conditions = jmp_tree_alloc(tree, from->n_conditions * sizeof(*ret->conditions));
        if (!ret->conditions)
            return -ENOMEM;
        for (size_t i = 0; i < from->n_conditions; i++)
            copy_condition(tree, from->conditions[i], &ret->conditions[i], &failed);
        ret->n_conditions = from->n_conditions;
    }
    return failed ? -ENOMEM : 0;
}

/*
 * Calls
 */

struct page {
    struct jmp_tree *tree;
    struct jmp_exporters exporters;
    struct jmp_leases leases;
    const char *next;        /* token, "" at the end */
};

/* Room for @more elements of @size behind @count; what the array was before stays in the tree. */
static void *grow(struct jmp_tree *tree, const void *items, size_t count, size_t more, size_t size)
{
    char *grown = jmp_tree_alloc(tree, (count + more) * size);

    if (grown && count > 0)
        memcpy(grown, items, count * size);
    return grown;
}

static int take_exporters(const ProtobufCMessage *message, void *user, struct jmp_error *reterr)
{
    const Jumpstarter__Client__V1__ListExportersResponse *response = (const void *)message;
    struct page *page = user;
    bool failed = false;
    int r;

    page->next = copy(page->tree, response->next_page_token, &failed);
    if (failed)
        return -ENOMEM;
    if (response->n_exporters == 0)
        return 0;
    page->exporters.items = grow(page->tree, page->exporters.items, page->exporters.count, response->n_exporters,
                                 sizeof(*page->exporters.items));
    if (!page->exporters.items)
        return -ENOMEM;
    for (size_t i = 0; i < response->n_exporters; i++) {
        r = copy_exporter(page->tree, response->exporters[i], &page->exporters.items[page->exporters.count], reterr);
        if (r < 0)
            return r;
        page->exporters.count++;
    }
    return 0;
}

/* What all lists have in common: page after page into @page. */
static int list(struct jmp_controller_client *controller, const struct jmp_method_info *method,
                const struct jmp_list_options *options, const ProtobufCMessage *request, char **token,
                int (*take)(const ProtobufCMessage *, void *, struct jmp_error *), struct page *page,
                struct jmp_error *reterr)
{
    page->next = options->page_token ? options->page_token : "";
    for (unsigned pages = 0; pages < PAGES_MAX; pages++) {
        int r;

        *token = (char *)page->next;
        r = call(controller, method, CALL_TIMEOUT, request, take, page, NULL, reterr);
        if (r < 0)
            return r;
        if (!*page->next || options->one_page)
            return 0;
    }
    return jmp_error_set(reterr, -E2BIG, "the controller's list does not end");
}

static const struct jmp_list_options everything;

int jmp_controller_client_exporters(struct jmp_controller_client *controller, const struct jmp_list_options *options,
                                    struct jmp_tree *tree, struct jmp_exporters *ret, struct jmp_error *reterr)
{
    Jumpstarter__Client__V1__ListExportersRequest request = JUMPSTARTER__CLIENT__V1__LIST_EXPORTERS_REQUEST__INIT;
    _cleanup_free_ char *parent = NULL;
    struct page page = { .tree = tree };
    int r;

    options = options ? options : &everything;
    r = identify(controller, NULL, NULL, &parent);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    request.parent = parent;
    request.page_size = (int32_t)(options->page_size ? options->page_size : PAGE_SIZE);
    request.filter = (char *)(options->filter ? options->filter : "");
    request.show_hidden_labels = options->hidden_labels;
    r = list(controller, &jmp_client_list_exporters, options, &request.base, &request.page_token, take_exporters, &page,
             reterr);
    if (r < 0)
        return r;
    *ret = page.exporters;
    ret->next = page.next;
    return 0;
}

static int take_leases(const ProtobufCMessage *message, void *user, struct jmp_error *reterr)
{
    const Jumpstarter__Client__V1__ListLeasesResponse *response = (const void *)message;
    struct page *page = user;
    bool failed = false;
    int r;

    page->next = copy(page->tree, response->next_page_token, &failed);
    if (failed)
        return -ENOMEM;
    if (response->n_leases == 0)
        return 0;
    page->leases.items =
        grow(page->tree, page->leases.items, page->leases.count, response->n_leases, sizeof(*page->leases.items));
    if (!page->leases.items)
        return -ENOMEM;
    for (size_t i = 0; i < response->n_leases; i++) {
        r = copy_lease(page->tree, response->leases[i], &page->leases.items[page->leases.count], reterr);
        if (r < 0)
            return r;
        page->leases.count++;
    }
    return 0;
}

int jmp_controller_client_leases(struct jmp_controller_client *controller, const struct jmp_list_options *options,
                                 struct jmp_tree *tree, struct jmp_leases *ret, struct jmp_error *reterr)
{
    Jumpstarter__Client__V1__ListLeasesRequest request = JUMPSTARTER__CLIENT__V1__LIST_LEASES_REQUEST__INIT;
    _cleanup_free_ char *parent = NULL;
    struct page page = { .tree = tree };
    int r;

    options = options ? options : &everything;
    r = identify(controller, NULL, NULL, &parent);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    request.parent = parent;
    request.page_size = (int32_t)(options->page_size ? options->page_size : PAGE_SIZE);
    request.filter = (char *)(options->filter ? options->filter : "");
    request.tag_filter = (char *)(options->tag_filter ? options->tag_filter : "");
    request._only_active_case = JUMPSTARTER__CLIENT__V1__LIST_LEASES_REQUEST___ONLY_ACTIVE_ONLY_ACTIVE;
    request.only_active = !options->ended;
    r = list(controller, &jmp_client_list_leases, options, &request.base, &request.page_token, take_leases, &page,
             reterr);
    if (r < 0)
        return r;
    *ret = page.leases;
    ret->next = page.next;
    return 0;
}

struct one {
    struct jmp_tree *tree;
    struct jmp_exporter *exporter;
    struct jmp_lease *lease;
};

static int take_exporter(const ProtobufCMessage *message, void *user, struct jmp_error *reterr)
{
    struct one *one = user;

    return copy_exporter(one->tree, (const void *)message, one->exporter, reterr);
}

static int take_lease(const ProtobufCMessage *message, void *user, struct jmp_error *reterr)
{
    struct one *one = user;

    return copy_lease(one->tree, (const void *)message, one->lease, reterr);
}

int jmp_controller_client_exporter(struct jmp_controller_client *controller, const char *name, bool hidden_labels,
                                   struct jmp_tree *tree, struct jmp_exporter *ret, struct jmp_error *reterr)
{
    Jumpstarter__Client__V1__GetExporterRequest request = JUMPSTARTER__CLIENT__V1__GET_EXPORTER_REQUEST__INIT;
    _cleanup_free_ char *identifier = NULL;
    struct one one = { .tree = tree, .exporter = ret };
    int r;

    r = identify(controller, "exporters", name, &identifier);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    request.name = identifier;
    request.show_hidden_labels = hidden_labels;
    return call(controller, &jmp_client_get_exporter, CALL_TIMEOUT, &request.base, take_exporter, &one, NULL, reterr);
}

int jmp_controller_client_lease(struct jmp_controller_client *controller, const char *name, struct jmp_tree *tree,
                                struct jmp_lease *ret, enum jmp_code *retcode, struct jmp_error *reterr)
{
    Jumpstarter__Client__V1__GetLeaseRequest request = JUMPSTARTER__CLIENT__V1__GET_LEASE_REQUEST__INIT;
    _cleanup_free_ char *identifier = NULL;
    struct one one = { .tree = tree, .lease = ret };
    int r;

    r = identify(controller, "leases", name, &identifier);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    request.name = identifier;
    return call(controller, &jmp_client_get_lease, CALL_TIMEOUT, &request.base, take_lease, &one, retcode, reterr);
}

/* Only what a request needs; the entries are the tree's. */
static int tags_of(struct jmp_tree *tree, const struct jmp_pairs *pairs, const ProtobufCMessageDescriptor *descriptor,
                   void **ret)
{
    struct entry **entries = jmp_tree_alloc(tree, (pairs->count + 1) * sizeof(struct entry *));

    if (!entries)
        return -ENOMEM;
    for (size_t i = 0; i < pairs->count; i++) {
        entries[i] = jmp_tree_alloc(tree, sizeof(*entries[i]));
        if (!entries[i])
            return -ENOMEM;
        protobuf_c_message_init(descriptor, entries[i]);
        entries[i]->key = (char *)pairs->items[i].key;
        entries[i]->value = (char *)pairs->items[i].value;
    }
    *ret = entries;
    return 0;
}

int jmp_controller_client_create(struct jmp_controller_client *controller, const struct jmp_lease_request *options,
                                 struct jmp_tree *tree, struct jmp_lease *ret, struct jmp_error *reterr)
{
    Jumpstarter__Client__V1__CreateLeaseRequest request = JUMPSTARTER__CLIENT__V1__CREATE_LEASE_REQUEST__INIT;
    Jumpstarter__Client__V1__Lease lease = JUMPSTARTER__CLIENT__V1__LEASE__INIT;
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Timestamp begin = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    _cleanup_free_ char *parent = NULL;
    struct one one = { .tree = tree, .lease = ret };
    void *entries = NULL;
    int r;

    r = identify(controller, NULL, NULL, &parent);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    request.parent = parent;
    request.lease = &lease;
    request.lease_id = (char *)(options->lease_id ? options->lease_id : "");
    lease.selector = (char *)(options->selector ? options->selector : "");
    lease._exporter_name_case = JUMPSTARTER__CLIENT__V1__LEASE___EXPORTER_NAME_EXPORTER_NAME;
    lease.exporter_name = (char *)(options->exporter_name ? options->exporter_name : "");
    lease.allow_disabled = options->allow_disabled;
    duration.seconds = options->duration / 1000000;
    duration.nanos = (int32_t)(options->duration % 1000000) * 1000;
    lease._duration_case = JUMPSTARTER__CLIENT__V1__LEASE___DURATION_DURATION;
    lease.duration = &duration;
    if (options->begin != JMP_TIME_NONE) {
        begin.seconds = options->begin / 1000000;
        begin.nanos = (int32_t)(options->begin % 1000000) * 1000;
        lease._begin_time_case = JUMPSTARTER__CLIENT__V1__LEASE___BEGIN_TIME_BEGIN_TIME;
        lease.begin_time = &begin;
    }
    r = tags_of(tree, &options->tags, &jumpstarter__client__v1__lease__tags_entry__descriptor, &entries);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    lease.tags = entries;
    lease.n_tags = options->tags.count;
    r = tags_of(tree, &options->context, &jumpstarter__client__v1__lease__context_entry__descriptor, &entries);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    lease.context = entries;
    lease.n_context = options->context.count;
    return call(controller, &jmp_client_create_lease, CALL_TIMEOUT, &request.base, take_lease, &one, NULL, reterr);
}

int jmp_controller_client_update(struct jmp_controller_client *controller, const char *name,
                                 const struct jmp_lease_change *change, struct jmp_tree *tree, struct jmp_lease *ret,
                                 struct jmp_error *reterr)
{
    Jumpstarter__Client__V1__UpdateLeaseRequest request = JUMPSTARTER__CLIENT__V1__UPDATE_LEASE_REQUEST__INIT;
    Jumpstarter__Client__V1__Lease lease = JUMPSTARTER__CLIENT__V1__LEASE__INIT;
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Timestamp begin = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[3];
    _cleanup_free_ char *identifier = NULL, *owner = NULL;
    struct one one = { .tree = tree, .lease = ret };

    if (change->duration == JMP_TIME_NONE && change->begin == JMP_TIME_NONE && !change->client)
        return jmp_error_set(reterr, -EINVAL, "at least one of duration, begin and client must be given");
    if (identify(controller, "leases", name, &identifier) < 0 ||
        (change->client && identify(controller, "clients", change->client, &owner) < 0))
        return jmp_error_set(reterr, -ENOMEM, "%m");
    request.lease = &lease;
    request.update_mask = &mask;
    mask.paths = paths;
    lease.name = identifier;
    if (change->duration != JMP_TIME_NONE) {
        duration.seconds = change->duration / 1000000;
        duration.nanos = (int32_t)(change->duration % 1000000) * 1000;
        lease._duration_case = JUMPSTARTER__CLIENT__V1__LEASE___DURATION_DURATION;
        lease.duration = &duration;
        paths[mask.n_paths++] = (char *)"duration";
    }
    if (change->begin != JMP_TIME_NONE) {
        begin.seconds = change->begin / 1000000;
        begin.nanos = (int32_t)(change->begin % 1000000) * 1000;
        lease._begin_time_case = JUMPSTARTER__CLIENT__V1__LEASE___BEGIN_TIME_BEGIN_TIME;
        lease.begin_time = &begin;
        paths[mask.n_paths++] = (char *)"begin_time";
    }
    if (owner) {
        lease._client_case = JUMPSTARTER__CLIENT__V1__LEASE___CLIENT_CLIENT;
        lease.client = owner;
        paths[mask.n_paths++] = (char *)"client";
    }
    return call(controller, &jmp_client_update_lease, CALL_TIMEOUT, &request.base, take_lease, &one, NULL, reterr);
}

int jmp_controller_client_delete(struct jmp_controller_client *controller, const char *name, uint64_t timeout,
                                 struct jmp_error *reterr)
{
    Jumpstarter__Client__V1__DeleteLeaseRequest request = JUMPSTARTER__CLIENT__V1__DELETE_LEASE_REQUEST__INIT;
    _cleanup_free_ char *identifier = NULL;
    int r;

    r = identify(controller, "leases", name, &identifier);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    request.name = identifier;
    return call(controller, &jmp_client_delete_lease, timeout, &request.base, NULL, NULL, NULL, reterr);
}

struct rotated {
    struct jmp_tree *tree;
    const char *token;
    int64_t expiry;
};

static int take_token(const ProtobufCMessage *message, void *user, struct jmp_error *reterr)
{
    const Jumpstarter__Client__V1__RotateTokenResponse *response = (const void *)message;
    struct rotated *rotated = user;
    bool failed = false;

    rotated->token = copy(rotated->tree, response->token, &failed);
    rotated->expiry = copy_time(response->expiry);
    return failed ? -ENOMEM : 0;
}

int jmp_controller_client_rotate(struct jmp_controller_client *controller, struct jmp_tree *tree, const char **rettoken,
                                 int64_t *retexpiry, struct jmp_error *reterr)
{
    Jumpstarter__Client__V1__RotateTokenRequest request = JUMPSTARTER__CLIENT__V1__ROTATE_TOKEN_REQUEST__INIT;
    struct rotated rotated = { .tree = tree };
    _cleanup_free_ char *parent = NULL;
    int r;

    r = identify(controller, NULL, NULL, &parent);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    request.parent = parent;
    r = call(controller, &jmp_client_rotate_token, CALL_TIMEOUT, &request.base, take_token, &rotated, NULL, reterr);
    if (r < 0)
        return r;
    if (!*rotated.token)
        return jmp_error_set(reterr, -EBADMSG, "the controller's answer holds no token");
    *rettoken = rotated.token;
    if (retexpiry)
        *retexpiry = rotated.expiry;
    return 0;
}

struct dial {
    void (*done)(const struct jmp_status *status, const char *endpoint, const char *token, void *user);
    void *user;
};

static void on_dialed(const struct jmp_status *status, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__DialResponse *response = (const void *)message;
    _cleanup_free_ struct dial *dial = user;

    dial->done(status, response ? response->router_endpoint : NULL, response ? response->router_token : NULL,
               dial->user);
}

int jmp_controller_client_dial(struct jmp_controller_client *controller, const char *lease,
                               void (*done)(const struct jmp_status *status, const char *endpoint, const char *token,
                                            void *user),
                               void *user, struct jmp_rpc **ret)
{
    Jumpstarter__V1__DialRequest request = JUMPSTARTER__V1__DIAL_REQUEST__INIT;
    struct dial *dial = calloc(1, sizeof(*dial));
    int r;

    if (!dial)
        return -ENOMEM;
    dial->done = done;
    dial->user = user;
    request.lease_name = (char *)lease;
    /* The controller itself holds a Dial for up to 30 s while the exporter is on its way to the lease. */
    r = jmp_channel_unary(controller->channel, &jmp_controller_dial, controller->metadata, 45 * JMP_USEC_PER_SEC,
                          &request.base, on_dialed, dial, ret);
    if (r < 0)
        free(dial);
    return r;
}
