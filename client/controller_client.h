/* SPDX-License-Identifier: Apache-2.0 */
/* What a user asks of a controller: exporters, leases, and a way to an exporter (docs/protocol.md, "ClientService",
 * "Dial"). */
#pragma once

#include "client/client.h"
#include "client/objects.h"

struct jmp_controller_client;

struct jmp_controller_options {
    struct jmp_channel_options channel;   /* also how routers are reached, but for the endpoint */
    const char *namespace_, *name;        /* of the client object */
    const char *token;                    /* never logged */
    /*
     * A call that is refused because the token has expired is made once more with what this gives: 0 and a token,
     * free() it; else a negative errno. It may take its time. NULL: there is no other token to be had.
     */
    int (*renew)(void *user, char **ret);
    void *user;
};

/** jmp_controller_client_new() - @options are copied, but grpc_options, which is borrowed. Does not connect yet. */
int jmp_controller_client_new(struct jmp_client *client, const struct jmp_controller_options *options,
                              struct jmp_controller_client **ret, struct jmp_error *reterr);
struct jmp_controller_client *jmp_controller_client_free(struct jmp_controller_client *controller);
JMP_DEFINE_CLEANUP(struct jmp_controller_client *, jmp_controller_client_free)
struct jmp_client *jmp_controller_client_base(struct jmp_controller_client *controller);
struct jmp_channel *jmp_controller_client_channel(struct jmp_controller_client *controller);
const struct jmp_controller_options *jmp_controller_client_options(const struct jmp_controller_client *controller);

struct jmp_exporters {
    struct jmp_exporter *items;
    size_t count;
    const char *next;             /* token of the page behind these, "" at the end */
};

struct jmp_leases {
    struct jmp_lease *items;
    size_t count;
    const char *next;
};

/* Which of them. Zeroed memory: all that are there, leases that have not ended. */
struct jmp_list_options {
    /* Label selector, NULL: all; controllers compare equalities of leases only (client/selector.h). */
    const char *filter;
    const char *tag_filter;       /* of leases: by their tags; NULL: all */
    bool ended;                   /* also leases that are over */
    bool hidden_labels;           /* also labels of exporters that the lab hides */
    unsigned page_size;           /* how many are asked for at once, 0: 100 */
    bool one_page;                /* only one page: the first, or that of @page_token */
    const char *page_token;       /* jmp_exporters.next or jmp_leases.next of the page before; NULL: from the start */
};

/*
 * All of these wait. Results live in @tree. A status of the peer is the error, see jmp_client_call(); the controller
 * answers UNKNOWN to much, with the reason in the text.
 */

/** jmp_controller_client_exporters() - all pages, unless @options say otherwise
 * @options:  NULL: as if all were zero */
int jmp_controller_client_exporters(struct jmp_controller_client *controller, const struct jmp_list_options *options,
                                    struct jmp_tree *tree, struct jmp_exporters *ret, struct jmp_error *reterr);
/** jmp_controller_client_leases() - the same for leases, of all clients */
int jmp_controller_client_leases(struct jmp_controller_client *controller, const struct jmp_list_options *options,
                                 struct jmp_tree *tree, struct jmp_leases *ret, struct jmp_error *reterr);
int jmp_controller_client_exporter(struct jmp_controller_client *controller, const char *name, bool hidden_labels,
                                   struct jmp_tree *tree, struct jmp_exporter *ret, struct jmp_error *reterr);
int jmp_controller_client_lease(struct jmp_controller_client *controller, const char *name, struct jmp_tree *tree,
                                struct jmp_lease *ret, enum jmp_code *retcode, struct jmp_error *reterr);

struct jmp_lease_request {
    const char *selector, *exporter_name;   /* one of them, or both; NULL: not */
    const char *lease_id;                   /* the name it shall have; NULL: the controller's choice */
    struct jmp_pairs tags, context;
    int64_t duration, begin;                /* microseconds; begin: since 1970 or JMP_TIME_NONE */
    bool allow_disabled;
};

int jmp_controller_client_create(struct jmp_controller_client *controller, const struct jmp_lease_request *request,
                                 struct jmp_tree *tree, struct jmp_lease *ret, struct jmp_error *reterr);

struct jmp_lease_change {
    int64_t duration, begin;    /* JMP_TIME_NONE: as it is */
    const char *client;         /* bare name of the new owner, NULL: as it is */
};

/** jmp_controller_client_update() - @name: of the lease, bare or whole. Return: also -EINVAL, when there is nothing to
 * change. */
int jmp_controller_client_update(struct jmp_controller_client *controller, const char *name,
                                 const struct jmp_lease_change *change, struct jmp_tree *tree, struct jmp_lease *ret,
                                 struct jmp_error *reterr);
int jmp_controller_client_delete(struct jmp_controller_client *controller, const char *name, uint64_t timeout,
                                 struct jmp_error *reterr);

/** jmp_controller_client_rotate() - have a new token; @controller itself uses the old one until it is gone
 * @rettoken:   in @tree; a secret. Older ones stay valid until they expire.
 * @retexpiry:  microseconds since 1970, JMP_TIME_NONE: not told; may be NULL */
int jmp_controller_client_rotate(struct jmp_controller_client *controller, struct jmp_tree *tree, const char **rettoken,
                                 int64_t *retexpiry, struct jmp_error *reterr);

/**
 * jmp_controller_client_dial() - ask once for a way to the exporter of a lease; does not wait
 * @done: @endpoint and @token are borrowed, NULL unless the status is OK
 * @ret:  to cancel; done() comes then too
 */
int jmp_controller_client_dial(struct jmp_controller_client *controller, const char *lease,
                               void (*done)(const struct jmp_status *status, const char *endpoint, const char *token,
                                            void *user),
                               void *user, struct jmp_rpc **ret);
