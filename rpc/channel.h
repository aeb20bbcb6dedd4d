/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to a peer, kept and rebuilt by gRPC; calls on it. */
#pragma once

#include "base/node.h"
#include "rpc/queue.h"
#include "rpc/rpc.h"

struct jmp_channel;

struct jmp_channel_options {
    const char *endpoint;      /* "host:port", "unix:/path" */
    const char *ca;            /* PEM text; NULL: system roots */
    bool insecure;             /* TLS, any certificate */
    bool plaintext;            /* no TLS; implied by unix: */
    const struct jmp_node *grpc_options;   /* grpcOptions of the config: integers and strings; may be NULL. Outlives the
                                            * channel. */
};

/** jmp_channel_new() - does not connect yet, so a wrong address shows in the first call. Keepalive 20 s with 20 s to
 * answer unless @options say otherwise.
 * Return: 0, -EINVAL (not an endpoint, not a certificate, with words), -ENOMEM. */
int jmp_channel_new(struct jmp_queue *queue, const struct jmp_channel_options *options, struct jmp_channel **ret,
                    struct jmp_error *reterr);
/** jmp_channel_free() - running calls go on until they end; cancel them first */
struct jmp_channel *jmp_channel_free(struct jmp_channel *channel);
JMP_DEFINE_CLEANUP(struct jmp_channel *, jmp_channel_free)

/** jmp_channel_wake() - if there is no connection, try to make one now, whatever gRPC's own pause: for the moment
 * before another try. Its timers sleep by the wall clock and oversleep when that is set back. */
void jmp_channel_wake(struct jmp_channel *channel);

/** jmp_channel_renew() - have a new connection, when a peer takes connections and says nothing on them. Running calls
 * stay with the old one until they end. Without memory nothing happens. */
void jmp_channel_renew(struct jmp_channel *channel);
/** jmp_channel_is_ready() - there is a connection, as far as is known */
bool jmp_channel_is_ready(struct jmp_channel *channel);
/** jmp_channel_probe() - the same, and where there is none one is made from now on, if nobody has asked for it yet */
bool jmp_channel_probe(struct jmp_channel *channel);

/**
 * jmp_channel_call() - start a call
 * @metadata:  sent as given, may be NULL; the values are copied
 * @timeout:   microseconds, JMP_USEC_INFINITY: none
 * @request:   for methods with one request: it is sent, and the sending side closed. NULL for request streams.
 * @ret:       valid until events->closed() returns, which always comes, never before this returned; may be NULL
 *
 * The first message must be asked for with jmp_rpc_receive(), except for unary methods.
 *
 * Return: 0, -EINVAL (metadata), -EMSGSIZE, -ENOMEM.
 */
int jmp_channel_call(struct jmp_channel *channel, const struct jmp_method_info *method,
                     const struct jmp_metadata *metadata, uint64_t timeout, const ProtobufCMessage *request,
                     const struct jmp_rpc_events *events, void *user, struct jmp_rpc **ret);

/**
 * jmp_channel_unary() - a unary call with one callback
 * @done:  @response is NULL unless the status is OK; both borrowed. After jmp_rpc_cancel() it comes with CANCELLED.
 */
int jmp_channel_unary(struct jmp_channel *channel, const struct jmp_method_info *method,
                      const struct jmp_metadata *metadata, uint64_t timeout, const ProtobufCMessage *request,
                      void (*done)(const struct jmp_status *status, const ProtobufCMessage *response, void *user),
                      void *user, struct jmp_rpc **ret);
const char *jmp_channel_endpoint(const struct jmp_channel *channel);
