/* SPDX-License-Identifier: Apache-2.0 */
/* A gRPC server: listens on TCP, TLS and unix sockets, and on descriptors given to it. */
#pragma once

#include "rpc/queue.h"
#include "rpc/rpc.h"

struct jmp_server;

struct jmp_handler {
    const struct jmp_method_info *method;
    /* A call has come. @request: the one request of a unary or server-streaming method, borrowed for the time of the
     * callback; NULL for methods with a request stream. Answer with jmp_rpc_reply(), jmp_rpc_finish() or
     * jmp_rpc_listen() and later. */
    void (*start)(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user);
};

struct jmp_server_options {
    /* Ends with a NULL method; borrowed for the server's life. Others: UNIMPLEMENTED. */
    const struct jmp_handler *handlers;
    void *user;                          /* of the handlers */
    /* Asked before any handler, also for unknown methods; to refuse, jmp_rpc_finish() and return false. May be NULL. */
    bool (*admit)(struct jmp_rpc *rpc, void *user);
    /* Seconds; 0: 60 and 20. Dead peers and orphans are dropped by this. */
    unsigned keepalive_time, keepalive_timeout;
    unsigned min_ping_interval;          /* seconds between pings of clients without being refused; 0: any */
};

/** jmp_server_new() - a server that does not listen yet; @ret: free with jmp_server_free() */
int jmp_server_new(struct jmp_queue *queue, const struct jmp_server_options *options, struct jmp_server **ret);
/** jmp_server_listen() - before jmp_server_start()
 * @address:  "127.0.0.1:0", "[::]:8082", "unix:/path"
 * @cert,key: PEM text, both or neither (plaintext)
 * @retport:  the TCP port taken, may be NULL
 *
 * Return: 0, -EADDRINUSE, -EACCES, -EINVAL (certificate and key do not fit, with words), -EMFILE. SO_REUSEPORT is off.
 * Whoever connects while no descriptor is left is sent away (rpc/accept.c). */
int jmp_server_listen(struct jmp_server *server, const char *address, const char *cert, const char *key,
                      unsigned *retport, struct jmp_error *reterr);
int jmp_server_start(struct jmp_server *server);
/** jmp_server_adopt() - serve one end of a socketpair; @fd is taken, SOCK_STREAM, O_NONBLOCK. Server SETTINGS go out at
 * once.
 * Return: 0, -ESHUTDOWN after jmp_server_shutdown(). */
int jmp_server_adopt(struct jmp_server *server, int fd);
/** jmp_server_shutdown() - no new calls; after @grace microseconds the rest is cancelled; then @done (may be NULL) */
void jmp_server_shutdown(struct jmp_server *server, uint64_t grace, void (*done)(void *user), void *user);
/** jmp_server_free() - cancels what is left, and returns once every call of this server had its closed() */
struct jmp_server *jmp_server_free(struct jmp_server *server);
JMP_DEFINE_CLEANUP(struct jmp_server *, jmp_server_free)
