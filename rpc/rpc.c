/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/rpc.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <stdarg.h>
#include <string.h>

#include "rpc/codec.h"
#include "rpc/internal.h"

/* struct jmp_buffer is never defined: it is gRPC's byte buffer under a name that others may know. */
static grpc_byte_buffer *to_grpc(struct jmp_buffer *buffer) { return (grpc_byte_buffer *)buffer; }

struct jmp_buffer *jmp_buffer_free(struct jmp_buffer *buffer)
{
    if (buffer)
        grpc_byte_buffer_destroy(to_grpc(buffer));
    return NULL;
}

size_t jmp_buffer_length(const struct jmp_buffer *buffer)
{
    return grpc_byte_buffer_length((grpc_byte_buffer *)buffer);
}

bool jmp_buffer_flatten(grpc_byte_buffer *buffer, grpc_slice *ret)
{
    grpc_byte_buffer_reader reader;

    if (!grpc_byte_buffer_reader_init(&reader, buffer))
        return false;
    *ret = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    return true;
}

int jmp_buffer_copy(struct jmp_buffer *buffer, void *data, size_t size)
{
    grpc_slice slice;
    int r = 0;

    if (!jmp_buffer_flatten(to_grpc(buffer), &slice))
        return -EBADMSG;
    /* Compressed ones would have another size inside than outside. */
    if (GRPC_SLICE_LENGTH(slice) == size)
        memcpy(data, GRPC_SLICE_START_PTR(slice), size);
    else
        r = -EMSGSIZE;
    grpc_slice_unref(slice);
    return r;
}

grpc_byte_buffer *jmp_buffer_pack(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    grpc_byte_buffer *buffer;
    grpc_slice slice;

    if (size > JMP_MESSAGE_MAX) {
        errno = EMSGSIZE;
        return NULL;
    }
    slice = grpc_slice_malloc(size);
    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

int jmp_metadata_fill(const struct jmp_metadata *metadata, grpc_metadata **ret, size_t *retcount)
{
    size_t count = 0;
    grpc_metadata *filled;

    while (metadata && metadata[count].key)
        count++;
    filled = calloc(count + 1, sizeof(*filled));
    if (!filled)
        return -ENOMEM;

    for (size_t i = 0; i < count; i++) {
        filled[i].key = grpc_slice_from_copied_string(metadata[i].key);
        filled[i].value = grpc_slice_from_copied_string(metadata[i].value ?: "");
        /* An illegal pair would not be refused but kill the call. */
        if (!grpc_header_key_is_legal(filled[i].key) || !grpc_header_nonbin_value_is_legal(filled[i].value)) {
            jmp_metadata_drop(filled, i + 1);
            return -EINVAL;
        }
    }
    *ret = filled;
    *retcount = count;
    return 0;
}

void jmp_metadata_drop(grpc_metadata *metadata, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        grpc_slice_unref(metadata[i].key);
        grpc_slice_unref(metadata[i].value);
    }
    free(metadata);
}

static void unlink_rpc(struct jmp_rpc *rpc)
{
    if (!rpc->link)
        return;
    *rpc->link = rpc->next;
    if (rpc->next)
        rpc->next->link = rpc->link;
    rpc->link = NULL;
}

void jmp_rpc_release(struct jmp_rpc *rpc)
{
    unlink_rpc(rpc);
    if (rpc->call)
        grpc_call_unref(rpc->call);
    if (rpc->received)
        grpc_byte_buffer_destroy(rpc->received);
    for (size_t i = 0; rpc->values && i < rpc->headers.count; i++)
        gpr_free(rpc->values[i]);
    free(rpc->values);
    grpc_metadata_array_destroy(&rpc->headers);
    grpc_metadata_array_destroy(&rpc->trailers);
    if (rpc->is_server)
        grpc_call_details_destroy(&rpc->details);
    grpc_slice_unref(rpc->peer_details);
    jmp_codec_free(rpc->kept);
    jmp_queue_drop(rpc->queue);
    free(rpc->text);
    free(rpc->path);
    gpr_free(rpc->peer);
    gpr_free(rpc->authority);
    free(rpc);
}

static void deliver_closed(struct jmp_rpc *rpc)
{
    _cleanup_free_ char *text = NULL;
    struct jmp_status status = { .code = rpc->code, .text = "" };

    if (rpc->closed)
        return;
    rpc->closed = true;
    if (rpc->is_server) {
        status.code = rpc->ended && !rpc->cancelled && rpc->finish_sent ? JMP_OK : JMP_CANCELLED;
        status.text = status.code == JMP_OK ? "" : "the client has gone";
    } else if (rpc->own_code != JMP_OK) {
        status.code = rpc->own_code;
        status.text = rpc->own_text;
    } else if (!rpc->ended) {
        status.code = JMP_CANCELLED;
        status.text = "cancelled";
    } else {
        status.code = (enum jmp_code)rpc->peer_code;
        text = grpc_slice_to_c_string(rpc->peer_details);
        if (text)
            status.text = text;
    }
    if (rpc->events && rpc->events->closed)
        rpc->events->closed(rpc, &status, rpc->user);
    rpc->events = NULL;
    /* gpr_malloc is malloc; the cleanup may free it. */
}

void jmp_rpc_abandon(struct jmp_rpc *rpc)
{
    jmp_rpc_cancel(rpc);
    deliver_closed(rpc);
    unlink_rpc(rpc);
}

/* The user hears of the end once the call is over and nothing of it is under way. */
static void maybe_close(struct jmp_rpc *rpc)
{
    if (!rpc->ended || rpc->running > 0)
        return;
    deliver_closed(rpc);
    jmp_rpc_release(rpc);
}

int jmp_rpc_start(struct jmp_rpc *rpc, unsigned op, const grpc_op *ops, size_t n)
{
    if (grpc_call_start_batch(rpc->call, ops, n, &rpc->ops[op].tag, NULL) != GRPC_CALL_OK)
        return -EPIPE;
    rpc->ops[op].busy = true;
    rpc->running++;
    return 0;
}

static void run_finish(struct jmp_rpc *rpc)
{
    grpc_slice details = grpc_slice_from_copied_string(rpc->text ?: "");
    grpc_op ops[2] = { 0 };
    size_t n = 0;

    if (!rpc->headers_sent)
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    rpc->headers_sent = true;
    ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[n].data.send_status_from_server.status = (grpc_status_code)rpc->code;
    ops[n].data.send_status_from_server.status_details = rpc->text && *rpc->text ? &details : NULL;
    n++;
    jmp_rpc_start(rpc, OP_FINISH, ops, n);
    grpc_slice_unref(details);
}

static void run_half_close(struct jmp_rpc *rpc)
{
    grpc_op op = { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT };

    rpc->half_closed = true;
    jmp_rpc_start(rpc, OP_FINISH, &op, 1);
}

static void on_sent(struct jmp_rpc *rpc, bool ok)
{
    if (rpc->finish_wanted && !rpc->ops[OP_FINISH].busy)
        run_finish(rpc);
    if (rpc->half_close_wanted && !rpc->half_closed)
        run_half_close(rpc);
    if (rpc->events && rpc->events->sent)
        rpc->events->sent(rpc, ok && !rpc->ending, rpc->user);
}

static void refuse(struct jmp_rpc *rpc, const char *why)
{
    if (rpc->is_server) {
        jmp_rpc_finish(rpc, JMP_INTERNAL, "malformed request: %s", why);
    } else {
        rpc->own_code = JMP_INTERNAL;
        rpc->own_text = "the answer is malformed";
        jmp_rpc_cancel(rpc);
    }
}

static void on_received(struct jmp_rpc *rpc)
{
    grpc_byte_buffer *buffer = TAKE_PTR(rpc->received);
    const ProtobufCMessageDescriptor *descriptor = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    ProtobufCMessage *message = NULL;
    grpc_slice slice;
    int r;

    if (rpc->method)
        descriptor = rpc->is_server ? rpc->method->request : rpc->method->response;
    if (!buffer)
        rpc->receive_ended = true;

    if (!descriptor) {
        if (rpc->events && rpc->events->buffer)
            rpc->events->buffer(rpc, (struct jmp_buffer *)buffer, rpc->user);
        else if (buffer)
            grpc_byte_buffer_destroy(buffer);
        return;
    }
    if (buffer) {
        if (!jmp_buffer_flatten(buffer, &slice)) {
            grpc_byte_buffer_destroy(buffer);
            refuse(rpc, "it cannot be decompressed");
            return;
        }
        grpc_byte_buffer_destroy(buffer);
        r = jmp_codec_unpack(descriptor, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice), &message, &error);
        grpc_slice_unref(slice);
        if (r < 0) {
            refuse(rpc, error.text);
            return;
        }
    }
    if (rpc->keep && !rpc->kept) {
        rpc->kept = message;
        return;
    }
    if (rpc->events && rpc->events->message)
        rpc->events->message(rpc, message, rpc->user);
    jmp_codec_free(message);
}

static void on_operation(struct jmp_tag *tag, bool ok)
{
    struct jmp_operation *operation = CONTAINER_OF(tag, struct jmp_operation, tag);
    struct jmp_rpc *rpc = operation->rpc;

    operation->busy = false;
    /* Still counted while the user is called, so that nothing he does releases the call under us. */
    switch (operation - rpc->ops) {
    case OP_RECEIVE:
        on_received(rpc);
        break;
    case OP_SEND:
        on_sent(rpc, ok);
        break;
    case OP_HEADERS:
        if (ok && !rpc->is_server && rpc->events && rpc->events->headers)
            rpc->events->headers(rpc, rpc->user);
        break;
    case OP_FINISH:
        rpc->finish_sent = ok;
        break;
    case OP_END:
        rpc->ended = true;
        rpc->ending = true;
        break;
    }
    rpc->running--;
    maybe_close(rpc);
}

struct jmp_rpc *jmp_rpc_new(struct jmp_queue *queue, struct jmp_rpc **list)
{
    struct jmp_rpc *rpc = calloc(1, sizeof(*rpc));

    if (!rpc)
        return NULL;
    rpc->queue = queue;
    rpc->deadline = JMP_USEC_INFINITY;
    rpc->peer_details = grpc_empty_slice();
    grpc_metadata_array_init(&rpc->headers);
    grpc_metadata_array_init(&rpc->trailers);
    for (unsigned i = 0; i < OPS; i++) {
        rpc->ops[i].tag.run = on_operation;
        rpc->ops[i].rpc = rpc;
    }
    if (list) {
        rpc->next = *list;
        rpc->link = list;
        if (rpc->next)
            rpc->next->link = &rpc->next;
        *list = rpc;
    }
    jmp_queue_hold(queue);
    return rpc;
}

int jmp_rpc_watch_end(struct jmp_rpc *rpc)
{
    grpc_op op = { 0 };

    if (rpc->is_server) {
        op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
        op.data.recv_close_on_server.cancelled = &rpc->cancelled;
    } else {
        op.op = GRPC_OP_RECV_STATUS_ON_CLIENT;
        op.data.recv_status_on_client.trailing_metadata = &rpc->trailers;
        op.data.recv_status_on_client.status = &rpc->peer_code;
        op.data.recv_status_on_client.status_details = &rpc->peer_details;
    }
    return jmp_rpc_start(rpc, OP_END, &op, 1);
}

void jmp_rpc_listen(struct jmp_rpc *rpc, const struct jmp_rpc_events *events, void *user)
{
    rpc->events = rpc->closed ? NULL : events;
    rpc->user = user;
}

void *jmp_rpc_user(const struct jmp_rpc *rpc) { return rpc->user; }
const char *jmp_rpc_path(const struct jmp_rpc *rpc) { return rpc->path; }
struct jmp_loop *jmp_rpc_loop(const struct jmp_rpc *rpc) { return jmp_queue_loop(rpc->queue); }
uint64_t jmp_rpc_deadline(const struct jmp_rpc *rpc) { return rpc->deadline; }

const char *jmp_rpc_authority(const struct jmp_rpc *rpc)
{
    struct jmp_rpc *mutable = (struct jmp_rpc *)rpc;   /* only remembers the answer */

    if (rpc->is_server && !mutable->authority)
        mutable->authority = grpc_slice_to_c_string(rpc->details.host);
    return rpc->authority ?: "";
}

const char *jmp_rpc_peer(const struct jmp_rpc *rpc)
{
    struct jmp_rpc *mutable = (struct jmp_rpc *)rpc;   /* only remembers the answer */

    if (!mutable->peer)
        mutable->peer = grpc_call_get_peer(rpc->call);
    return rpc->peer ?: "";
}

int jmp_rpc_receive(struct jmp_rpc *rpc)
{
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };

    if (rpc->ops[OP_RECEIVE].busy)
        return -EALREADY;
    if (rpc->receive_ended || rpc->ended)
        return -EPIPE;
    op.data.recv_message.recv_message = &rpc->received;
    return jmp_rpc_start(rpc, OP_RECEIVE, &op, 1);
}

static int send_buffer(struct jmp_rpc *rpc, struct jmp_buffer *taken, uint32_t flags)
{
    _cleanup_(jmp_buffer_freep) struct jmp_buffer *buffer = taken;
    grpc_op ops[2] = { 0 };
    size_t n = 0;

    if (rpc->ops[OP_SEND].busy)
        return -EBUSY;
    if (rpc->ending || rpc->ended || rpc->finish_wanted || rpc->half_close_wanted)
        return -EPIPE;
    if (jmp_buffer_length(buffer) > JMP_MESSAGE_MAX)
        return -EMSGSIZE;
    if (!rpc->headers_sent) {
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
        flags = 0;   /* headers that are held back with their message never count as sent */
    }
    rpc->headers_sent = true;
    ops[n].op = GRPC_OP_SEND_MESSAGE;
    ops[n].flags = flags;
    ops[n++].data.send_message.send_message = to_grpc(buffer);
    return jmp_rpc_start(rpc, OP_SEND, ops, n);
}

int jmp_rpc_send_buffer(struct jmp_rpc *rpc, struct jmp_buffer *buffer) { return send_buffer(rpc, buffer, 0); }

static int send_message(struct jmp_rpc *rpc, const ProtobufCMessage *message, uint32_t flags)
{
    grpc_byte_buffer *buffer;

    if (rpc->ops[OP_SEND].busy)
        return -EBUSY;
    buffer = jmp_buffer_pack(message);
    if (!buffer)
        return -EMSGSIZE;
    return send_buffer(rpc, (struct jmp_buffer *)buffer, flags);
}

int jmp_rpc_send(struct jmp_rpc *rpc, const ProtobufCMessage *message) { return send_message(rpc, message, 0); }

int jmp_rpc_send_more(struct jmp_rpc *rpc, const ProtobufCMessage *message)
{
    return send_message(rpc, message, GRPC_WRITE_BUFFER_HINT);
}

void jmp_rpc_half_close(struct jmp_rpc *rpc)
{
    if (rpc->is_server || rpc->half_close_wanted || rpc->ended)
        return;
    rpc->half_close_wanted = true;
    if (!rpc->ops[OP_SEND].busy)
        run_half_close(rpc);
}

int jmp_rpc_send_headers(struct jmp_rpc *rpc, const struct jmp_metadata *metadata)
{
    grpc_op op = { .op = GRPC_OP_SEND_INITIAL_METADATA };
    grpc_metadata *filled;
    size_t count;
    int r;

    if (!rpc->is_server || rpc->headers_sent)
        return -EALREADY;
    if (rpc->ended)
        return -EPIPE;
    r = jmp_metadata_fill(metadata, &filled, &count);
    if (r < 0)
        return r;
    op.data.send_initial_metadata.metadata = filled;
    op.data.send_initial_metadata.count = count;
    rpc->headers_sent = true;
    r = jmp_rpc_start(rpc, OP_HEADERS, &op, 1);
    jmp_metadata_drop(filled, count);   /* gRPC has taken its own references */
    return r;
}

int jmp_rpc_reply(struct jmp_rpc *rpc, const ProtobufCMessage *message)
{
    grpc_byte_buffer *buffer;
    grpc_op ops[3] = { 0 };
    size_t n = 0;
    int r;

    if (rpc->ops[OP_SEND].busy)
        return -EBUSY;
    if (!rpc->is_server || rpc->ended || rpc->finish_wanted)
        return -EPIPE;
    buffer = jmp_buffer_pack(message);
    if (!buffer) {
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "the answer is larger than a message may be (%u bytes)",
                       JMP_MESSAGE_MAX);
        return -EMSGSIZE;
    }
    if (!rpc->headers_sent)
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    rpc->headers_sent = true;
    ops[n].op = GRPC_OP_SEND_MESSAGE;
    ops[n++].data.send_message.send_message = buffer;
    ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[n++].data.send_status_from_server.status = GRPC_STATUS_OK;
    rpc->finish_wanted = true;
    rpc->ending = true;
    r = jmp_rpc_start(rpc, OP_FINISH, ops, n);
    grpc_byte_buffer_destroy(buffer);
    return r;
}

/* Cut at a character's border: half a UTF-8 sequence would spoil the whole text for the peer. */
static void cut_text(char *text, size_t max)
{
    if (strlen(text) <= max)
        return;
    while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
        max--;
    text[max] = '\0';
}

void jmp_rpc_finish(struct jmp_rpc *rpc, enum jmp_code code, const char *fmt, ...)
{
    va_list ap;

    if (!rpc->is_server || rpc->ended || rpc->finish_wanted)
        return;
    rpc->finish_wanted = true;
    rpc->ending = true;
    rpc->code = code;
    va_start(ap, fmt);
    if (vasprintf(&rpc->text, fmt, ap) < 0)
        rpc->text = NULL;
    va_end(ap);
    if (rpc->text)
        cut_text(rpc->text, JMP_DETAILS_MAX);
    if (!rpc->ops[OP_SEND].busy)
        run_finish(rpc);
}

void jmp_rpc_cancel(struct jmp_rpc *rpc)
{
    rpc->ending = true;
    if (!rpc->ended)
        grpc_call_cancel(rpc->call, NULL);
}

/* Slices have no NUL and stay gRPC's own, so what is asked for is copied once and kept with the call. */
static const char *header_value(struct jmp_rpc *rpc, size_t index)
{
    if (!rpc->values)
        rpc->values = calloc(rpc->headers.count, sizeof(*rpc->values));
    if (rpc->values && !rpc->values[index])
        rpc->values[index] = grpc_slice_to_c_string(rpc->headers.metadata[index].value);
    return rpc->values ? rpc->values[index] : NULL;
}

const char *jmp_rpc_metadata(const struct jmp_rpc *rpc, const char *key, unsigned *count)
{
    const char *found = NULL;
    unsigned n = 0;

    for (size_t i = 0; i < rpc->headers.count; i++) {
        if (grpc_slice_str_cmp(rpc->headers.metadata[i].key, key) != 0)
            continue;
        if (n++ == 0)
            found = header_value((struct jmp_rpc *)rpc, i);   /* only remembers the answer */
    }
    if (count)
        *count = n;
    return found;
}
