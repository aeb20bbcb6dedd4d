/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of the service, for the one table in serve.c; and what the files that answer them share. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/node.h"
#include "labd/auth.h"
#include "labd/lab.h"
#include "rpc/server.h"

/* All methods below; serve.c. Their user is the struct jmp_lab. */
extern const struct jmp_handler jmp_labd_handlers[];

#define JMP_LABD_METHOD(name) void name(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)

/* controller_service.c */
JMP_LABD_METHOD(jmp_on_register);
JMP_LABD_METHOD(jmp_on_unregister);
JMP_LABD_METHOD(jmp_on_report_status);
JMP_LABD_METHOD(jmp_on_get_service_endpoints);
JMP_LABD_METHOD(jmp_on_get_lease);
JMP_LABD_METHOD(jmp_on_request_lease);
JMP_LABD_METHOD(jmp_on_release_lease);
JMP_LABD_METHOD(jmp_on_list_leases);

/* stream_service.c */
JMP_LABD_METHOD(jmp_on_status);
JMP_LABD_METHOD(jmp_on_listen);
JMP_LABD_METHOD(jmp_on_dial);

/* client_service.c */
JMP_LABD_METHOD(jmp_on_client_get_exporter);
JMP_LABD_METHOD(jmp_on_client_list_exporters);
JMP_LABD_METHOD(jmp_on_client_get_lease);
JMP_LABD_METHOD(jmp_on_client_list_leases);
JMP_LABD_METHOD(jmp_on_client_rotate_token);
/* lease_service.c */
JMP_LABD_METHOD(jmp_on_client_create_lease);
JMP_LABD_METHOD(jmp_on_client_update_lease);
JMP_LABD_METHOD(jmp_on_client_delete_lease);

/* router.c */
JMP_LABD_METHOD(jmp_on_router_stream);

/** jmp_lease_create() - give a new lease its name if it has none, store it, and assign a board if one is free, all or
 * nothing
 * Return: false: the call was refused. */
bool jmp_lease_create(struct jmp_lab *lab, struct jmp_rpc *rpc, struct jmp_lease *lease);
/** jmp_lease_release() - end it now. Return: false: the call was refused. */
bool jmp_lease_release(struct jmp_lab *lab, struct jmp_rpc *rpc, struct jmp_lease *lease);

struct Jumpstarter__Client__V1__Lease;
/** jmp_lease_render() - a lease as clients see it; @ret borrows from @lease, the rest is @tree's */
int jmp_lease_render(const struct jmp_lab *lab, const struct jmp_lease *lease, struct jmp_tree *tree,
                     struct Jumpstarter__Client__V1__Lease *ret);
struct Jumpstarter__V1__Condition;
/** jmp_lease_conditions() - its conditions, in order; all of @ret is @tree's. Return: 0, -ENOMEM. */
int jmp_lease_conditions(const struct jmp_lease *lease, struct jmp_tree *tree, struct Jumpstarter__V1__Condition ***ret,
                         size_t *retcount);
/** jmp_lease_reply() - answer with it */
void jmp_lease_reply(const struct jmp_lab *lab, struct jmp_rpc *rpc, const struct jmp_lease *lease);
/** jmp_client_admit() - the client behind a call that names @namespace_. Return: false: refused. */
bool jmp_client_admit(struct jmp_lab *lab, struct jmp_rpc *rpc, const char *namespace_, struct jmp_client *ret);

/* From a protobuf map into labels, and back into memory of a tree. Both evaluate to 0 or a negative errno. */
#define JMP_MAP_READ(labels, message, field) ({ \
    int _r = 0; \
    for (size_t _i = 0; _r == 0 && _i < (message)->n_##field; _i++) \
        _r = jmp_labels_set(labels, (message)->field[_i]->key, (message)->field[_i]->value); \
    _r; })

#define JMP_MAP_FILL(tree, message, field, init, labels) ({ \
    const struct jmp_labels *_labels = (labels); \
    __typeof__(**(message)->field) *_entries = NULL; \
    int _r = 0; \
    if (_labels->count > 0) { \
        (message)->field = jmp_tree_alloc(tree, _labels->count * sizeof(*(message)->field)); \
        _entries = jmp_tree_alloc(tree, _labels->count * sizeof(*_entries)); \
        _r = (message)->field && _entries ? 0 : -ENOMEM; \
    } \
    for (size_t _i = 0; _r == 0 && _i < _labels->count; _i++) { \
        init(&_entries[_i]); \
        _entries[_i].key = (char *)jmp_tree_strdup(tree, _labels->items[_i].key, strlen(_labels->items[_i].key)); \
        _entries[_i].value = \
            (char *)jmp_tree_strdup(tree, _labels->items[_i].value, strlen(_labels->items[_i].value)); \
        (message)->field[_i] = &_entries[_i]; \
        (message)->n_##field = _i + 1; \
        if (!_entries[_i].key || !_entries[_i].value) \
            _r = -ENOMEM; \
    } \
    _r; })
