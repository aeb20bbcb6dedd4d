/* SPDX-License-Identifier: Apache-2.0 */
/* ClientService, looking: exporters and leases, alone and in pages; and a fresh token. (docs/protocol.md,
 * "ClientService") */
#include <string.h>

#include "jumpstarter/client/v1/client.pb-c.h"
#include "labd/selector.h"
#include "labd/service.h"
#include "rpc/ident.h"

#define PAGE_MAX 500u
#define PAGE_BYTES (JMP_MESSAGE_MAX / 4 * 3)
#define PAGE_BUDGET (32u * 1024 * 1024)
#define PAGE_TOKEN "after:"

struct page {
    struct jmp_lab *lab;
    struct jmp_tree *tree;
    struct jmp_selector filter;
    size_t size;
    const char *after;
    void **items;
    size_t count, bytes;
    const char *last, *previous;
    bool more;
    bool all_labels;
};

static void page_clear(struct page *page)
{
    jmp_selector_clear(&page->filter);
    jmp_tree_free(page->tree);
}

/* Return: false: the call was refused. */
static bool page_open(struct page *page, struct jmp_rpc *rpc, const char *filter, int32_t size, const char *token)
{
    struct jmp_error error = JMP_ERROR_INIT;

    if (*token && strncmp(token, PAGE_TOKEN, strlen(PAGE_TOKEN)) != 0) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "the page token is not one of this service");
        return false;
    }
    if (jmp_selector_parse(&page->filter, filter, &error) < 0) {
        jmp_refuse(rpc, &error);
        return false;
    }
    page->after = *token ? token + strlen(PAGE_TOKEN) : "";
    page->size = size > 0 && (uint32_t)size < PAGE_MAX ? (size_t)size : PAGE_MAX;
    if (jmp_tree_new(PAGE_BUDGET, &page->tree) < 0 ||
        !(page->items = jmp_tree_alloc(page->tree, PAGE_MAX * sizeof(*page->items)))) {
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "out of memory");
        return false;
    }

    return true;
}

/* Room for one more item; NULL: the page is full, or there is no memory. */
static void *page_add(struct page *page, const char *name, size_t size)
{
    void *item;

    if (page->count == page->size) {
        page->more = true;
        return NULL;
    }
    page->previous = page->last;
    page->last = jmp_tree_strdup(page->tree, name, strlen(name));
    item = jmp_tree_alloc(page->tree, size);
    if (!page->last || !item)
        return NULL;
    page->items[page->count++] = item;
    return item;
}

/* The item just added is complete. Return: 0, or 1 when it has to go to the next page, so that the answer stays a
 * message. */
static int page_added(struct page *page, const ProtobufCMessage *item)
{
    page->bytes += protobuf_c_message_get_packed_size(item) + 8;
    if (page->bytes <= PAGE_BYTES || page->count == 1)
        return 0;

    page->count--;
    page->last = page->previous;
    page->more = true;
    return 1;
}

/* "" or where the next page begins; NULL: -ENOMEM */
static const char *page_token(struct page *page)
{
    char *token;

    if (!page->more)
        return "";
    token = jmp_tree_alloc(page->tree, strlen(PAGE_TOKEN) + strlen(page->last) + 1);
    if (token)
        sprintf(token, PAGE_TOKEN "%s", page->last);
    return token;
}

static bool page_failed(struct page *page, struct jmp_rpc *rpc, int r, const char *kind)
{
    if (r == -ENOMEM)
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "out of memory");
    else if (r < 0)
        jmp_refuse_store(page->lab, rpc, r, kind, "");

    return r < 0;
}

static int render_exporter(const struct jmp_lab *lab, const struct jmp_exporter *exporter, bool all_labels,
                           struct jmp_tree *tree, Jumpstarter__Client__V1__Exporter *ret)
{
    _cleanup_(jmp_labels_clear) struct jmp_labels labels = { 0 }, deprecated = { 0 };
    char name[JMP_IDENT_MAX];

    jumpstarter__client__v1__exporter__init(ret);
    jmp_ident_print(name, lab->namespace_, "exporters", exporter->name);
    ret->name = (char *)jmp_tree_strdup(tree, name, strlen(name));
    ret->status_message = (char *)jmp_tree_strdup(tree, exporter->message, strlen(exporter->message));
    ret->online = jmp_lab_is_online(lab, exporter);
    ret->status = (Jumpstarter__V1__ExporterStatus)exporter->status;
    ret->_enabled_case = JUMPSTARTER__CLIENT__V1__EXPORTER___ENABLED_ENABLED;
    ret->enabled = exporter->enabled;
    if (!ret->name || !ret->status_message)
        return -ENOMEM;

    if (jmp_rules_present(&lab->rules, &exporter->labels, all_labels, &labels, &deprecated) < 0 ||
        JMP_MAP_FILL(tree, ret, labels, jumpstarter__client__v1__exporter__labels_entry__init, &labels) < 0)
        return -ENOMEM;

    return JMP_MAP_FILL(tree, ret, deprecated_labels, jumpstarter__client__v1__exporter__deprecated_labels_entry__init,
                        &deprecated);
}

JMP_LABD_METHOD(jmp_on_client_get_exporter)
{
    const Jumpstarter__Client__V1__GetExporterRequest *message =
        (const Jumpstarter__Client__V1__GetExporterRequest *)request;
    Jumpstarter__Client__V1__Exporter response;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_lab *lab = user;
    struct jmp_ident ident;
    int r;

    if (jmp_ident_parse(message->name, "exporters", &ident, &error) < 0) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "%s", error.text);
        return;
    }
    if (!jmp_client_admit(lab, rpc, ident.namespace_, &client))
        return;

    r = jmp_store_get_exporter(lab->store, ident.name, &exporter);
    if (r < 0)
        jmp_refuse_store(lab, rpc, r, "exporters", ident.name);
    else if (jmp_tree_new(0, &tree) < 0 ||
             render_exporter(lab, &exporter, message->show_hidden_labels, tree, &response) < 0)
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "out of memory");
    else
        jmp_rpc_reply(rpc, &response.base);
}

static int take_exporter(struct jmp_exporter *exporter, void *user)
{
    struct page *page = user;
    Jumpstarter__Client__V1__Exporter *item;
    int r;

    if (!jmp_selector_matches(&page->filter, &exporter->labels))
        return 0;
    item = page_add(page, exporter->name, sizeof(*item));
    if (!item)
        return page->more ? 1 : -ENOMEM;

    r = render_exporter(page->lab, exporter, page->all_labels, page->tree, item);
    return r < 0 ? r : page_added(page, &item->base);
}

JMP_LABD_METHOD(jmp_on_client_list_exporters)
{
    const Jumpstarter__Client__V1__ListExportersRequest *message =
        (const Jumpstarter__Client__V1__ListExportersRequest *)request;
    Jumpstarter__Client__V1__ListExportersResponse response = JUMPSTARTER__CLIENT__V1__LIST_EXPORTERS_RESPONSE__INIT;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(page_clear) struct page page = { .lab = user };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_lab *lab = user;
    struct jmp_ident parent;
    int r;

    if (jmp_ident_parse(message->parent, NULL, &parent, &error) < 0) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "%s", error.text);
        return;
    }
    if (!jmp_client_admit(lab, rpc, parent.namespace_, &client) ||
        !page_open(&page, rpc, message->filter, message->page_size, message->page_token))
        return;

    page.all_labels = message->show_hidden_labels;
    r = jmp_store_each_exporter(lab->store, page.after, take_exporter, &page);
    if (r >= 0 && !(response.next_page_token = (char *)page_token(&page)))
        r = -ENOMEM;
    if (page_failed(&page, rpc, r, "exporters"))
        return;
    response.exporters = (Jumpstarter__Client__V1__Exporter **)(void *)page.items;
    response.n_exporters = page.count;
    jmp_rpc_reply(rpc, &response.base);
}

JMP_LABD_METHOD(jmp_on_client_get_lease)
{
    const Jumpstarter__Client__V1__GetLeaseRequest *message = (const Jumpstarter__Client__V1__GetLeaseRequest *)request;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_lab *lab = user;
    struct jmp_ident ident;
    int r;

    if (jmp_ident_parse(message->name, "leases", &ident, &error) < 0) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "%s", error.text);
        return;
    }
    if (!jmp_client_admit(lab, rpc, ident.namespace_, &client))
        return;

    r = jmp_store_get_lease(lab->store, ident.name, &lease);
    if (r < 0)
        jmp_refuse_store(lab, rpc, r, "leases", ident.name);
    else
        jmp_lease_reply(lab, rpc, &lease);
}

static int take_lease(struct jmp_lease *lease, void *user)
{
    struct page *page = user;
    Jumpstarter__Client__V1__Lease *item;
    int r;

    if (page->filter.count > 0) {
        _cleanup_(jmp_labels_clear) struct jmp_labels labels = { 0 };

        r = jmp_lease_labels(lease, &labels);
        if (r < 0)
            return r;
        if (!jmp_selector_matches(&page->filter, &labels))
            return 0;
    }
    item = page_add(page, lease->name, sizeof(*item));
    if (!item)
        return page->more ? 1 : -ENOMEM;

    r = jmp_lease_render(page->lab, lease, page->tree, item);
    return r < 0 ? r : page_added(page, &item->base);
}

/* Tags are asked for without the prefix under which they are kept. */
static bool add_tag_filter(struct page *page, struct jmp_rpc *rpc, const char *text)
{
    _cleanup_(jmp_selector_clear) struct jmp_selector tags = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;

    if (jmp_selector_parse(&tags, text, &error) < 0) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "invalid tag_filter: %s", error.text);
        return false;
    }
    for (size_t i = 0; i < tags.count; i++) {
        const struct jmp_requirement *item = &tags.items[i];
        char key[sizeof(JMP_TAG_PREFIX) + 320];

        snprintf(key, sizeof(key), JMP_TAG_PREFIX "%s", item->key);
        if (jmp_selector_add(&page->filter, key, item->op, (const char *const *)item->values, item->count, &error) <
            0) {
            jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "invalid tag_filter requirement: %s", error.text);
            return false;
        }
    }

    return true;
}

JMP_LABD_METHOD(jmp_on_client_list_leases)
{
    const Jumpstarter__Client__V1__ListLeasesRequest *message =
        (const Jumpstarter__Client__V1__ListLeasesRequest *)request;
    Jumpstarter__Client__V1__ListLeasesResponse response = JUMPSTARTER__CLIENT__V1__LIST_LEASES_RESPONSE__INIT;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(page_clear) struct page page = { .lab = user };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_lab *lab = user;
    struct jmp_ident parent;
    int r;

    if (jmp_ident_parse(message->parent, NULL, &parent, &error) < 0) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "%s", error.text);
        return;
    }
    if (!jmp_client_admit(lab, rpc, parent.namespace_, &client) ||
        !page_open(&page, rpc, message->filter, message->page_size, message->page_token) ||
        !add_tag_filter(&page, rpc, message->tag_filter))
        return;

    r = jmp_store_each_lease(lab->store, page.after, !message->_only_active_case || message->only_active, take_lease,
                             &page);
    if (r >= 0 && !(response.next_page_token = (char *)page_token(&page)))
        r = -ENOMEM;
    if (page_failed(&page, rpc, r, "leases"))
        return;
    response.leases = (Jumpstarter__Client__V1__Lease **)(void *)page.items;
    response.n_leases = page.count;
    jmp_rpc_reply(rpc, &response.base);
}

JMP_LABD_METHOD(jmp_on_client_rotate_token)
{
    const Jumpstarter__Client__V1__RotateTokenRequest *message =
        (const Jumpstarter__Client__V1__RotateTokenRequest *)request;
    Jumpstarter__Client__V1__RotateTokenResponse response = JUMPSTARTER__CLIENT__V1__ROTATE_TOKEN_RESPONSE__INIT;
    Google__Protobuf__Timestamp expiry = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_free_ char *token = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_lab *lab = user;
    struct jmp_ident parent;

    if (jmp_ident_parse(message->parent, NULL, &parent, &error) < 0) {
        jmp_rpc_finish(rpc, JMP_INVALID_ARGUMENT, "%s", error.text);
        return;
    }
    if (!jmp_client_admit(lab, rpc, parent.namespace_, &client))
        return;
    if (jmp_lab_sign(lab, "client", client.name, client.uid, &expiry.seconds, &token) < 0) {
        jmp_rpc_finish(rpc, JMP_INTERNAL, "unable to sign token");
        return;
    }

    jmp_log(JMP_LOG_INFO, FIELDS(.client = client.name), "a fresh token was issued");
    response.token = token;
    response.expiry = &expiry;
    jmp_rpc_reply(rpc, &response.base);
}
