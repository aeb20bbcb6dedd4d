/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call, of any of the four kinds, at either end. The layer keeps it alive until all its batches are back; to its
 * user it is valid until closed() returns. At most one message is in flight each way: that is the back-pressure.
 * Messages that come in were checked by the guard (rpc/codec.h) before they were unpacked.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/loop.h"
#include "rpc/status.h"

struct jmp_rpc;
struct jmp_buffer;    /* a message as it is on the wire (a gRPC byte buffer) */

struct jmp_method_info {
    const char *path;                                     /* "/jumpstarter.v1.ControllerService/Register" */
    const ProtobufCMessageDescriptor *request, *response; /* both NULL: messages stay jmp_buffers */
    bool request_stream, response_stream;
};

/* Metadata: pairs of key and value, ends with a NULL key. Keys in lower case; values printable ASCII. */
struct jmp_metadata {
    const char *key, *value;
};

struct jmp_rpc_events {
    /* Client: the response headers have come. May be NULL. */
    void (*headers)(struct jmp_rpc *rpc, void *user);
    /* The message asked for by jmp_rpc_receive(), borrowed for the time of the callback; NULL: the peer sends no
     * more. */
    void (*message)(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user);
    /* The same for methods without descriptors; the buffer is the callee's (jmp_buffer_free()). */
    void (*buffer)(struct jmp_rpc *rpc, struct jmp_buffer *buffer, void *user);
    /* The last jmp_rpc_send() was accepted by flow control; the next may follow. @ok false: the call is ending. */
    void (*sent)(struct jmp_rpc *rpc, bool ok, void *user);
    /* Last, exactly once. Client: the status. Server: OK when our status went out, CANCELLED when the client had
     * gone. */
    void (*closed)(struct jmp_rpc *rpc, const struct jmp_status *status, void *user);
};

/** jmp_rpc_listen() - who hears of this call from now on; inside a server's handler or right after starting it as a
 * client. NULL events: nobody, the call takes care of itself (for instance after jmp_rpc_reply()). */
void jmp_rpc_listen(struct jmp_rpc *rpc, const struct jmp_rpc_events *events, void *user);
void *jmp_rpc_user(const struct jmp_rpc *rpc);

/** jmp_rpc_receive() - ask for one message. Return: 0, -EALREADY while one is asked for, -EPIPE after the end. */
int jmp_rpc_receive(struct jmp_rpc *rpc);
/** jmp_rpc_send() - send one message. Return: 0 (sent() follows), -EBUSY while one is in flight, -EPIPE when the call
 * is ending, -EMSGSIZE over JMP_MESSAGE_MAX, -ENOMEM. The message is packed before this returns. */
int jmp_rpc_send(struct jmp_rpc *rpc, const ProtobufCMessage *message);
/** jmp_rpc_send_more() - the same, when another message, or the end of the call, follows at once: they may go out
 * together */
int jmp_rpc_send_more(struct jmp_rpc *rpc, const ProtobufCMessage *message);
/** jmp_rpc_send_buffer() - the same for raw messages; the buffer is taken, also on failure */
int jmp_rpc_send_buffer(struct jmp_rpc *rpc, struct jmp_buffer *buffer);
/** jmp_rpc_half_close() - client: no more messages; after the one in flight */
void jmp_rpc_half_close(struct jmp_rpc *rpc);

/** jmp_rpc_send_headers() - server: response headers now (otherwise they go with the first message or the status).
 * @metadata may be NULL. Illegal keys or values are refused with -EINVAL, before gRPC would kill the call. */
int jmp_rpc_send_headers(struct jmp_rpc *rpc, const struct jmp_metadata *metadata);
/** jmp_rpc_reply() - server: the one answer of a unary call and OK, in one batch */
int jmp_rpc_reply(struct jmp_rpc *rpc, const ProtobufCMessage *message);
/** jmp_rpc_finish() - server: end with a status, after the message in flight. Details are cut to JMP_DETAILS_MAX. Late
 * calls do nothing. */
void jmp_rpc_finish(struct jmp_rpc *rpc, enum jmp_code code, const char *fmt, ...) JMP_PRINTF(3, 4);
/** jmp_rpc_cancel() - either end: stop at once; closed() still comes */
void jmp_rpc_cancel(struct jmp_rpc *rpc);

/** jmp_rpc_metadata() - what the peer sent: server, request headers; client, response headers. NULL: absent.
 * @count: how often the key appears, may be NULL. Valid until closed() returns. */
const char *jmp_rpc_metadata(const struct jmp_rpc *rpc, const char *key, unsigned *count);
const char *jmp_rpc_path(const struct jmp_rpc *rpc);
/** jmp_rpc_authority() - server: "host:port" as the client calls us, whatever it is; "" unless told. Said by the peer:
 * check it. */
const char *jmp_rpc_authority(const struct jmp_rpc *rpc);
const char *jmp_rpc_peer(const struct jmp_rpc *rpc);      /* "ipv4:127.0.0.1:1234", for logs */
struct jmp_loop *jmp_rpc_loop(const struct jmp_rpc *rpc);
/** jmp_rpc_deadline() - jmp_now() time by which the client wants an answer, JMP_USEC_INFINITY: none */
uint64_t jmp_rpc_deadline(const struct jmp_rpc *rpc);

struct jmp_buffer *jmp_buffer_free(struct jmp_buffer *buffer);
JMP_DEFINE_CLEANUP(struct jmp_buffer *, jmp_buffer_free)
size_t jmp_buffer_length(const struct jmp_buffer *buffer);
/** jmp_buffer_copy() - all of it to @data. Return: 0, -EMSGSIZE (not @size bytes), -EBADMSG. */
int jmp_buffer_copy(struct jmp_buffer *buffer, void *data, size_t size);
