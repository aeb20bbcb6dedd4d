/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is calling: the bearer token and the three identity headers. (docs/protocol.md, "Identity")
 * A refused call has been answered, with the codes and words that clients know, and logged without its token.
 */
#pragma once

#include "labd/lab.h"
#include "rpc/rpc.h"

/** jmp_auth_client() - the client behind a call; @ret: jmp_client_clear(). Return: false: refused. */
bool jmp_auth_client(struct jmp_lab *lab, struct jmp_rpc *rpc, struct jmp_client *ret);
bool jmp_auth_exporter(struct jmp_lab *lab, struct jmp_rpc *rpc, struct jmp_exporter *ret);
/** jmp_auth_is_exporter() - what the caller says to be, unproven: chooses between two ways of a method */
bool jmp_auth_is_exporter(const struct jmp_rpc *rpc);
/** jmp_auth_bearer() - the token in the headers
 * @strict:  a router's way: every fault is UNAUTHENTICATED
 * Return: NULL: refused. */
const char *jmp_auth_bearer(struct jmp_rpc *rpc, bool strict);

/** jmp_auth_log_refusal() - at most a few lines a second, however many calls come */
void jmp_auth_log_refusal(const struct jmp_rpc *rpc, const char *what, const char *text);

/** jmp_refuse() - answer with the words of @error, UNKNOWN unless its errno says otherwise: -EINVAL stays UNKNOWN too,
 * as clients show the words of UNKNOWN alone (docs/labd.md, "Errors") */
void jmp_refuse(struct jmp_rpc *rpc, const struct jmp_error *error);
/** jmp_refuse_store() - the store failed; -ENOENT says that the object is not there */
void jmp_refuse_store(struct jmp_lab *lab, struct jmp_rpc *rpc, int error, const char *kind, const char *name);
