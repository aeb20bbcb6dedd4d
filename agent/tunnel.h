/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tunnels: each carries one client's connection from a router to the session. The router pairs two streams with the
 * same token; bytes of the inner HTTP/2 connection are its frames. (docs/protocol.md, "The tunnel")
 */
#pragma once

#include "agent/session.h"
#include "rpc/channel.h"

struct jmp_tunnels;

#define JMP_TUNNELS_MAX 256

/** jmp_tunnels_new() - none yet
 * @options:  how routers are reached; the endpoint is each token's own. Borrowed with all it points to.
 * @patience: all waits, in percent of the usual ones; 0: 100 */
int jmp_tunnels_new(struct jmp_queue *queue, const struct jmp_channel_options *options, unsigned patience,
                    struct jmp_tunnels **ret);
struct jmp_tunnels *jmp_tunnels_free(struct jmp_tunnels *tunnels);   /* cuts all */
JMP_DEFINE_CLEANUP(struct jmp_tunnels *, jmp_tunnels_free)

/**
 * jmp_tunnels_open() - let one client reach a session through a router
 * @session:  borrowed until jmp_tunnels_end()
 * @token:    good for one stream; never logged
 *
 * An absent router or client just ends the tunnel.
 *
 * Return: 0, -EINVAL (endpoint, token), -EMFILE, -ENOBUFS (too many), -ENOMEM; with words.
 */
int jmp_tunnels_open(struct jmp_tunnels *tunnels, struct jmp_session *session, const char *endpoint, const char *token,
                     struct jmp_error *reterr);

/** jmp_tunnels_end() - the session has gone: what it said last may leave for a second, then all present tunnels are
 * cut */
void jmp_tunnels_end(struct jmp_tunnels *tunnels);
struct jmp_tunnel_stats {
    const char *router;
    uint64_t opened;                 /* jmp_now() */
    uint64_t bytes_in, bytes_out;    /* from the client, to the client */
};
/** jmp_tunnels_each() - look at each, the newest first */
void jmp_tunnels_each(const struct jmp_tunnels *tunnels, void (*each)(const struct jmp_tunnel_stats *stats, void *user),
                      void *user);
unsigned jmp_tunnels_count(const struct jmp_tunnels *tunnels);
