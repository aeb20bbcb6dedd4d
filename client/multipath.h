/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several ways to one exporter, the best first: its socket on this machine, then the router, say. Every call chooses
 * anew, so that a way that breaks is left at the next call, and used again once it is back. A call that has begun stays
 * where it is.
 */
#pragma once

#include "client/client.h"

#define JMP_PATHS_MAX 16u

struct jmp_path {
    const char *host;           /* path of a unix socket, or HOST:PORT */
    bool plaintext;             /* with HOST:PORT: no TLS */
    bool insecure;              /* TLS, any certificate */
    const char *ca;             /* PEM text; NULL: system roots */
    const struct jmp_node *grpc_options;   /* borrowed, outlives the object; NULL: none */
};

/** jmp_path_is_tcp() - whether @host is HOST:PORT with a port from 1 to 65535; anything else is the path of a socket */
bool jmp_path_is_tcp(const char *host);

struct jmp_multipath;

/** jmp_multipath_new() - does not connect yet
 * @count:  1 to JMP_PATHS_MAX, else -EINVAL
 *
 * Return: 0, -EINVAL (also: not an address, not a certificate), -ENOMEM; with words. */
int jmp_multipath_new(struct jmp_client *client, const struct jmp_path *paths, size_t count, struct jmp_multipath **ret,
                      struct jmp_error *reterr);
/** jmp_multipath_free() - running calls go on until they end; cancel them first */
struct jmp_multipath *jmp_multipath_free(struct jmp_multipath *multipath);
JMP_DEFINE_CLEANUP(struct jmp_multipath *, jmp_multipath_free)

/**
 * jmp_multipath_channel() - for one call that begins now
 *
 * The first path with a connection, and those before it are asked to make one; when none has one, the last. So the
 * first call of all goes the last way, which is therefore the one that can be relied on, and a call never waits for a
 * better one.
 */
struct jmp_channel *jmp_multipath_channel(struct jmp_multipath *multipath);
