/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An API server as its clients see it: requests with credentials, typed refusals, lists page by page. All on the event
 * loop; objects are JSON as the server sent it, so that what we do not know survives an update.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/loop.h"
#include "kube/kubeconfig.h"
#include "kube/status.h"

struct jmp_kube;
struct jmp_kube_request;

struct jmp_kube_call {
    const char *method;          /* GET, POST, PUT, PATCH, DELETE */
    const char *path;            /* "/apis/...", escaped, with its query if it has one */
    const json_t *body;          /* borrowed; NULL: none */
    const char *content_type;    /* of the body; NULL: application/json */
    uint64_t timeout;            /* of each try, microseconds; 0: 30 s */
};

/* Called once, on the loop; @answer is borrowed and NULL unless the status is OK and a JSON object came with it. */
typedef void (*jmp_kube_done_fn)(const struct jmp_kube_status *status, json_t *answer, void *user);

/**
 * jmp_kube_new() - a handle
 * @access:  taken, also on failure
 *
 * Return: 0, -ENOMEM, -ENOPKG (no libcurl), with words.
 */
int jmp_kube_new(struct jmp_loop *loop, struct jmp_kube_access *access, struct jmp_kube **ret,
                 struct jmp_error *reterr);
/** jmp_kube_free() - ends requests without a word */
struct jmp_kube *jmp_kube_free(struct jmp_kube *kube);
JMP_DEFINE_CLEANUP(struct jmp_kube *, jmp_kube_free)
const struct jmp_kube_access *jmp_kube_access(const struct jmp_kube *kube);
struct jmp_loop *jmp_kube_loop(const struct jmp_kube *kube);

/**
 * jmp_kube_request() - one request, with one answer
 * @ret:  may be NULL; good until done() or jmp_kube_cancel()
 *
 * What the server asks to be sent again (429 and 5xx with Retry-After) is, up to 10 times; a GET whose connection was
 * lost, up to 3 times; after a 401 a fresh credential is tried once. Nothing else is repeated.
 *
 * Return: 0, -ENOMEM.
 */
int jmp_kube_request(struct jmp_kube *kube, const struct jmp_kube_call *call, jmp_kube_done_fn done, void *user,
                     struct jmp_kube_request **ret);
void jmp_kube_cancel(struct jmp_kube_request *request);

/**
 * jmp_kube_list() - all objects of a kind, in pages of 500
 * @path:      of the collection, without a query
 * @query:     jmp_kube_query(), or NULL
 * @done:      the answer is the list of the last page with the items of all of them; items get the apiVersion and kind
 *             that servers leave out
 *
 * Should the server have forgotten the list between two pages (410), it is asked for whole, once.
 */
int jmp_kube_list(struct jmp_kube *kube, const char *path, const char *query, jmp_kube_done_fn done, void *user,
                  struct jmp_kube_request **ret);

/**
 * jmp_kube_stream() - a GET whose answer is one JSON value a line, without end: a watch
 * @line:     each line, NUL-terminated, at most 16 MiB; a negative result ends the stream
 * @silence:  microseconds without a byte after which it is given up
 * @done:     at the end; OK for a clean one
 */
int jmp_kube_stream(struct jmp_kube *kube, const char *path, uint64_t silence,
                    int (*line)(const char *text, size_t length, void *user), jmp_kube_done_fn done, void *user,
                    struct jmp_kube_request **ret);

/** jmp_kube_path() - "/apis/GROUP/VERSION/namespaces/NS/PLURAL[/NAME]"; group "" is "/api/VERSION". @name may be NULL.
 * Whatever cannot stand in a path is escaped. free() the result; NULL: no memory. */
char *jmp_kube_path(const char *group, const char *version, const char *namespace_, const char *plural,
                    const char *name);

/** jmp_kube_query() - "labelSelector=...&fieldSelector=...", escaped; either may be NULL. free() the result; NULL: no
 * memory. */
char *jmp_kube_query(const char *selector, const char *field);
