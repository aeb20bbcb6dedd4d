/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of rpc/ know of each other. Nobody else includes this, nor any header of gRPC. */
#pragma once

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>

#include "rpc/channel.h"
#include "rpc/queue.h"
#include "rpc/rpc.h"

/* What every operation of a completion queue carries. */
struct jmp_tag {
    void (*run)(struct jmp_tag *tag, bool ok);
};

grpc_completion_queue *jmp_queue_cq(struct jmp_queue *queue);
/* Whatever has operations in the queue holds it: jmp_queue_free() waits until none is left. */
void jmp_queue_hold(struct jmp_queue *queue);
void jmp_queue_drop(struct jmp_queue *queue);

/* Operations of one call that may be under way at the same time. */
enum { OP_RECEIVE, OP_SEND, OP_HEADERS, OP_FINISH, OP_END, OPS };

struct jmp_operation {
    struct jmp_tag tag;
    struct jmp_rpc *rpc;
    bool busy;
};

struct jmp_rpc {
    struct jmp_rpc *next, **link;            /* in the owner's list of live calls */
    struct jmp_queue *queue;
    grpc_call *call;
    const struct jmp_method_info *method;    /* NULL: unknown to this server */
    const struct jmp_rpc_events *events;
    void *user;
    bool is_server;

    struct jmp_operation ops[OPS];
    unsigned running;                        /* operations under way */

    bool headers_sent, receive_ended, ending, half_closed, half_close_wanted, finish_wanted, finish_sent, ended, closed;
    bool keep;                               /* keep the message for closed() instead of showing it */
    ProtobufCMessage *kept;
    grpc_byte_buffer *received;
    grpc_metadata_array headers, trailers;   /* of the peer */
    grpc_call_details details;               /* server */
    int cancelled;                           /* server: set by gRPC */

    enum jmp_code code;                      /* client: of the peer; server: to be sent */
    char *text;                              /* server: to be sent */
    grpc_status_code peer_code;
    grpc_slice peer_details;
    enum jmp_code own_code;                  /* client: our own reason to end it, when not OK */
    const char *own_text;

    char *path, *peer, *authority;
    char **values;                           /* of metadata that was asked for, as C strings; one for each header */
    uint64_t deadline;
};

/* jmp_rpc_new() - a call object; @link: head of the owner's list, may be NULL */
struct jmp_rpc *jmp_rpc_new(struct jmp_queue *queue, struct jmp_rpc **list);
/* jmp_rpc_start() - hand a batch to gRPC as operation @op; 0 or -EPIPE */
int jmp_rpc_start(struct jmp_rpc *rpc, unsigned op, const grpc_op *ops, size_t n);
/* jmp_rpc_abandon() - deliver closed() now and forget the user; the rest happens unseen */
void jmp_rpc_abandon(struct jmp_rpc *rpc);
/* jmp_rpc_watch_end() - the operation that tells when the call is over */
int jmp_rpc_watch_end(struct jmp_rpc *rpc);
/* jmp_rpc_release() - after a failure before anything was started */
void jmp_rpc_release(struct jmp_rpc *rpc);
/* jmp_metadata_fill() - legal metadata as gRPC wants it; slices are copies. 0, -EINVAL, -ENOMEM */
int jmp_metadata_fill(const struct jmp_metadata *metadata, grpc_metadata **ret, size_t *retcount);
void jmp_metadata_drop(grpc_metadata *metadata, size_t count);
/* jmp_buffer_pack() - a message as a buffer; NULL: -ENOMEM, or -EMSGSIZE in errno */
grpc_byte_buffer *jmp_buffer_pack(const ProtobufCMessage *message);
/* jmp_buffer_flatten() - one slice with all bytes; unref it */
bool jmp_buffer_flatten(grpc_byte_buffer *buffer, grpc_slice *ret);
struct jmp_queue *jmp_channel_queue(const struct jmp_channel *channel);
