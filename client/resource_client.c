/* SPDX-License-Identifier: Apache-2.0 */
#include "client/resource_client.h"

#include <limits.h>
#include <poll.h>
#include <string.h>

#include "base/json.h"
#include "base/writer.h"
#include "rpc/frame.h"
#include "rpc/methods.h"

#define OPEN_TIMEOUT (30 * JMP_USEC_PER_SEC)
#define HANDLE_MAX 4096u
#define UPLOAD_FRAME (256u * 1024) /* bytes: each message costs both ends the same, whatever is in it */

struct jmp_resource_client {
    struct jmp_client *client;
    struct jmp_resource_options options;
    struct jmp_tree *tree;
    const struct jmp_node *handle;
    struct jmp_rpc *rpc;             /* NULL once it is closed */
    struct jmp_error error;
    struct jmp_io io;                /* a file that can be waited for: a pipe, a socket, a terminal */
    char *data;                      /* DOWNLOAD: a frame of which the file has not taken all; NULL: none */
    const char *rest;                /* of it */
    size_t rest_size;
    uint64_t bytes;
    bool opened, ended, sending, sent_all;
    bool local;                      /* the error is of this side */
};

static void end(struct jmp_resource_client *resource)
{
    resource->ended = true;
    jmp_client_wake(resource->client);
}

static void fail(struct jmp_resource_client *resource, int error, const char *words)
{
    if (resource->error.error == 0) {
        errno = -error;
        jmp_error_set(&resource->error, error, "%s: %m", words);
        resource->local = true;
    }
    if (resource->rpc)
        jmp_rpc_cancel(resource->rpc);
    else
        end(resource);
}

static void moved(struct jmp_resource_client *resource, size_t length)
{
    resource->bytes += length;
    if (resource->options.progress)
        resource->options.progress(resource->bytes, resource->options.user);
}

static void send_piece(struct jmp_resource_client *resource)
{
    static char chunk[UPLOAD_FRAME];
    struct jmp_buffer *buffer;
    ssize_t n = 0;

    if (resource->options.direction == JMP_RESOURCE_UPLOAD) {
        do
            n = read(resource->options.fd, chunk, sizeof(chunk));
        while (n < 0 && errno == EINTR);
        if (n < 0) {
            fail(resource, -errno, "the file cannot be read");
            return;
        }
    }
    resource->sent_all = n == 0;
    buffer = jmp_frame_encode(n > 0 ? JMP_FRAME_DATA : JMP_FRAME_GOAWAY, chunk, (size_t)n);
    if (!buffer) {
        fail(resource, -ENOMEM, "the file cannot be sent");
        return;
    }
    /* -EPIPE: the call is ending, which closed() explains. */
    if (jmp_rpc_send_buffer(resource->rpc, buffer) < 0)
        return;
    resource->sending = true;
    if (n > 0)
        moved(resource, (size_t)n);
    else
        jmp_rpc_half_close(resource->rpc);
}

/* 1: the file has all of the frame; 0: it takes no more for now. What poll() calls writable takes so much without
 * waiting; more may wait, and a pipe that others write to as well is not ours to make non-blocking. */
static int write_rest(struct jmp_resource_client *resource)
{
    while (resource->rest_size > 0) {
        struct pollfd writable = { .fd = resource->options.fd, .events = POLLOUT };
        size_t size = resource->rest_size;
        ssize_t n;

        if (resource->io.source && poll(&writable, 1, 0) == 0)
            return 0;
        if (resource->io.source && size > PIPE_BUF)
            size = PIPE_BUF;
        n = write(resource->options.fd, resource->rest, size);
        if (n < 0 && errno == EAGAIN && resource->io.source)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            resource->rest += n;
            resource->rest_size -= (size_t)n;
            moved(resource, (size_t)n);
        }
    }
    return 1;
}

/* The next frame is asked for when the file has this one: a reader that takes its time holds up the exporter, and
 * nobody here. */
static void take_rest(struct jmp_resource_client *resource)
{
    int r;

    r = write_rest(resource);
    if (r == 0) {
        jmp_io_set(&resource->io, EPOLLOUT);
        return;
    }
    free(TAKE_PTR(resource->data));
    if (r < 0)
        fail(resource, r, "the file cannot be written");
    else if (resource->rpc)
        jmp_rpc_receive(resource->rpc);
    else
        end(resource);
}

static void on_ready(struct jmp_io *io, uint32_t revents)
{
    struct jmp_resource_client *resource = CONTAINER_OF(io, struct jmp_resource_client, io);

    jmp_io_pause(io);
    if (resource->options.direction == JMP_RESOURCE_UPLOAD)
        send_piece(resource);
    else
        take_rest(resource);
}

/* One frame at a time: the next is read from the file when the last was accepted. A pipe whose writer takes its time
 * holds up nobody, least of all Ctrl-C. */
static void send_next(struct jmp_resource_client *resource)
{
    if (resource->sending || resource->sent_all)
        return;
    if (resource->io.source && resource->options.direction == JMP_RESOURCE_UPLOAD)
        jmp_io_set(&resource->io, EPOLLIN);
    else
        send_piece(resource);
}

static int watch_file(struct jmp_resource_client *resource)
{
    int r;

    r = jmp_io_start(jmp_client_loop(resource->client), &resource->io, resource->options.fd, 0, on_ready);
    if (r == 0)
        jmp_io_pause(&resource->io);
    return r == -EPERM ? 0 : r; /* a regular file or a disk, which is always ready */
}

static void take_handle(struct jmp_resource_client *resource, struct jmp_rpc *rpc)
{
    const char *handle = jmp_rpc_metadata(rpc, "resource", NULL);
    const char *accepted = jmp_rpc_metadata(rpc, "x_jmp_accept_encoding", NULL);
    int r;

    if (resource->opened)
        return;
    resource->opened = true;
    jmp_client_wake(resource->client);
    /* Without a handle the call ends at once, with the reason in its status. */
    if (!handle)
        return;
    if (resource->options.encoding && !accepted) {
        jmp_error_set(&resource->error, -EOPNOTSUPP, "the exporter does not take %s files", resource->options.encoding);
        jmp_rpc_cancel(rpc);
        return;
    }
    if (strlen(handle) > HANDLE_MAX) {
        fail(resource, -E2BIG, "the exporter's handle");
        return;
    }
    r = jmp_json_parse(handle, strlen(handle), resource->tree, &resource->handle, NULL);
    if (r < 0) {
        fail(resource, r, "the exporter's handle");
        return;
    }
    send_next(resource);
}

static void on_headers(struct jmp_rpc *rpc, void *user) { take_handle(user, rpc); }

static void on_buffer(struct jmp_rpc *rpc, struct jmp_buffer *taken, void *user)
{
    struct jmp_resource_client *resource = user;
    _cleanup_(jmp_buffer_freep) struct jmp_buffer *buffer = taken;
    _cleanup_free_ char *data = NULL;
    const void *payload;
    size_t length;
    unsigned type;

    if (!buffer) {
        end(resource);
        return;
    }
    length = jmp_buffer_length(buffer);
    data = malloc(length + 1);
    if (!data || jmp_buffer_copy(buffer, data, length) < 0) {
        fail(resource, -ENOMEM, "the file cannot be received");
        return;
    }
    if (jmp_frame_decode(data, length, &type, &payload, &length) < 0) {
        fail(resource, -EBADMSG, "a frame from the exporter");
        return;
    }
    if (type == JMP_FRAME_GOAWAY) {
        end(resource);
    } else if (type == JMP_FRAME_DATA && resource->options.direction == JMP_RESOURCE_DOWNLOAD && length > 0) {
        resource->data = TAKE_PTR(data);
        resource->rest = payload;
        resource->rest_size = length;
        take_rest(resource);
        return;
    }
    jmp_rpc_receive(rpc);
}

static void on_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct jmp_resource_client *resource = user;

    resource->sending = false;
    if (ok && resource->handle)
        send_next(resource);
}

static void on_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct jmp_resource_client *resource = user;

    resource->rpc = NULL;
    /* Stock exporters end every stream by ABORTED, also after a GOAWAY. */
    if (status->code != JMP_OK && !resource->ended && resource->error.error == 0)
        jmp_client_refuse(&resource->error, status);
    resource->opened = true;
    jmp_client_wake(resource->client);
    /* What came before a good end still goes to the file. */
    if (!resource->data || resource->error.error < 0)
        end(resource);
}

static int request_json(const struct jmp_resource_options *options, struct jmp_tree *tree, char **ret)
{
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    const struct jmp_node *node;
    int r;

    r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return r;
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "kind");
    jmp_writer_string(writer, "resource");
    jmp_writer_key(writer, "uuid");
    jmp_writer_string(writer, options->uuid);
    jmp_writer_key(writer, "x_jmp_content_encoding");
    jmp_writer_string(writer, options->encoding);
    jmp_writer_end_map(writer);
    r = jmp_writer_finish(writer, &node);
    return r < 0 ? r : jmp_json_print(node, 0, ret);
}

int jmp_resource_client_open(struct jmp_session_client *session, const struct jmp_resource_options *options,
                             struct jmp_resource_client **ret, struct jmp_error *reterr)
{
    static const struct jmp_rpc_events events = {
        .headers = on_headers, .buffer = on_buffer, .sent = on_sent, .closed = on_closed };
    _cleanup_(jmp_resource_client_freep) struct jmp_resource_client *resource = calloc(1, sizeof(*resource));
    _cleanup_free_ char *json = NULL;
    struct jmp_metadata metadata[4];
    int r;

    if (!resource)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    resource->client = jmp_session_client_base(session);
    resource->options = *options;
    r = jmp_tree_new(0, &resource->tree);
    if (r >= 0)
        r = request_json(options, resource->tree, &json);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    jmp_session_client_metadata(session, "request", json, metadata);
    r = jmp_channel_call(jmp_session_client_channel(session), &jmp_router_stream, metadata, JMP_USEC_INFINITY, NULL,
                         &events, resource, &resource->rpc);
    if (r < 0)
        return jmp_error_set(reterr, r, "the file cannot be offered: %m");
    r = watch_file(resource);
    if (r < 0)
        return jmp_error_set(reterr, r, "the file cannot be read: %m");
    /* The headers of the call are a message of their own in flight. */
    resource->sending = true;
    jmp_rpc_receive(resource->rpc);

    r = jmp_client_wait(resource->client, &resource->opened, OPEN_TIMEOUT);
    if (r < 0)
        return jmp_error_set(reterr, r, r == -ECANCELED ? "interrupted" : "the exporter does not take the file: %m");
    if (resource->error.error < 0) {
        if (reterr)
            *reterr = resource->error;
        return resource->error.error;
    }
    if (!resource->handle)
        return jmp_error_set(reterr, -EPROTO, "the exporter gave no handle for the file");
    *ret = TAKE_PTR(resource);
    return 0;
}

struct jmp_resource_client *jmp_resource_client_free(struct jmp_resource_client *resource)
{
    if (!resource)
        return NULL;
    jmp_io_close(&resource->io);
    if (resource->rpc) {
        jmp_rpc_listen(resource->rpc, NULL, NULL);
        jmp_rpc_cancel(resource->rpc);
    }
    jmp_tree_free(resource->tree);
    free(resource->data);
    free(resource);
    return NULL;
}

const struct jmp_node *jmp_resource_client_handle(const struct jmp_resource_client *resource)
{
    return resource->handle;
}
int jmp_resource_client_problem(const struct jmp_resource_client *resource, struct jmp_error *reterr)
{
    if (!resource->local)
        return 0;
    if (reterr)
        *reterr = resource->error;
    return resource->error.error;
}

uint64_t jmp_resource_client_bytes(const struct jmp_resource_client *resource) { return resource->bytes; }

int jmp_resource_client_finish(struct jmp_resource_client *resource, uint64_t timeout, struct jmp_error *reterr)
{
    uint64_t before;
    int r;

    /* How long a reader of ours takes is not the exporter's fault. */
    do {
        before = resource->bytes;
        r = jmp_client_wait(resource->client, &resource->ended, timeout);
    } while (r == -ETIMEDOUT && (resource->data || resource->bytes > before));
    if (r < 0)
        return jmp_error_set(reterr, r, r == -ECANCELED ? "interrupted" : "the exporter does not end the transfer: %m");
    if (resource->error.error < 0 && reterr)
        *reterr = resource->error;
    return resource->error.error;
}
