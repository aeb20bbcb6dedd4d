/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>

void die(const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    _exit(1);
}

void *must_alloc(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory)
        die("out of memory");
    return memory;
}

uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void read_all_of(const char *path, char **ret)
{
    char *text = must_alloc(READ_SIZE);
    FILE *file = fopen(path, "re");
    size_t n;

    if (!file)
        die("%s: %s", path, strerror(errno));
    n = fread(text, 1, READ_SIZE - 1, file);
    if (n == READ_SIZE - 1 || ferror(file))
        die("%s cannot be read or is too long", path);
    fclose(file);
    *ret = text;
}

void start_thread(void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attr, run, arg) != 0)
        die("no thread");
    pthread_attr_destroy(&attr);
}

bool write_all(int fd, const void *data, size_t size)
{
    const char *p = data;

    while (size > 0) {
        ssize_t n = write(fd, p, size);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd wait = { .fd = fd, .events = POLLOUT };

            if (poll(&wait, 1, -1) < 0 && errno != EINTR)
                die("poll: %s", strerror(errno));
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

void socket_pair(int pair[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair: %s", strerror(errno));
}

int connect_tcp(unsigned port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die("port %u: %s", port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    return fd;
}

grpc_byte_buffer *pack_message(const ProtobufCMessage *message)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));
    grpc_byte_buffer *buffer;

    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

grpc_slice flatten(grpc_byte_buffer *buffer)
{
    grpc_byte_buffer_reader reader;
    grpc_slice slice;

    if (!grpc_byte_buffer_reader_init(&reader, buffer))
        die("a message cannot be read");
    slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    return slice;
}

ProtobufCMessage *unpack_message(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *buffer)
{
    grpc_slice flat = flatten(buffer);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(type, NULL, GRPC_SLICE_LENGTH(flat), GRPC_SLICE_START_PTR(flat));

    grpc_slice_unref(flat);
    return message;
}

static size_t put_varint(uint8_t *out, size_t value)
{
    size_t n = 0;

    for (; value > 127; value >>= 7)
        out[n++] = (uint8_t)(value | 128);
    out[n++] = (uint8_t)value;
    return n;
}

grpc_byte_buffer *frame_data(const void *payload, size_t size)
{
    grpc_byte_buffer *buffer;
    uint8_t head[12] = { 0x0a };   /* field 1, bytes */
    size_t n = 1 + put_varint(head + 1, size);
    grpc_slice slice = grpc_slice_malloc(n + size);

    memcpy(GRPC_SLICE_START_PTR(slice), head, n);
    memcpy(GRPC_SLICE_START_PTR(slice) + n, payload, size);
    buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

grpc_byte_buffer *frame_goaway(void)
{
    static const uint8_t message[] = { 0x10, FRAME_GOAWAY };   /* field 2, varint */
    grpc_slice slice = grpc_slice_from_static_buffer(message, sizeof(message));

    return grpc_raw_byte_buffer_create(&slice, 1);
}

static size_t get_varint(const uint8_t **p, const uint8_t *end)
{
    size_t value = 0;

    for (unsigned shift = 0; *p < end && shift < 35; shift += 7) {
        uint8_t byte = *(*p)++;

        value |= (size_t)(byte & 127) << shift;
        if (!(byte & 128))
            return value;
    }
    die("a frame is broken");
}

bool frame_parse(grpc_byte_buffer *buffer, grpc_slice *flat, const uint8_t **payload, size_t *size)
{
    const uint8_t *p, *end;
    size_t type = 0;

    *flat = flatten(buffer);
    p = GRPC_SLICE_START_PTR(*flat);
    end = GRPC_SLICE_END_PTR(*flat);
    *payload = NULL;
    *size = 0;
    while (p < end) {
        size_t tag = get_varint(&p, end), value = get_varint(&p, end);

        if (tag == 0x0a && value <= (size_t)(end - p)) {
            *payload = p;
            *size = value;
            p += value;
        } else if (tag == 0x10) {
            type = value;
        } else {
            die("a frame has an unexpected field (tag %zu)", tag);
        }
    }
    return type != FRAME_GOAWAY;
}

void headers_add(struct headers *headers, const char *key, const char *value)
{
    grpc_metadata *item = &headers->items[headers->count++];

    if (headers->count > sizeof(headers->items) / sizeof(*headers->items))
        die("too many headers");
    item->key = grpc_slice_from_copied_string(key);
    item->value = grpc_slice_from_copied_string(value);
}

/* Without gRPC's own retries: in 1.51 a call that is cancelled behind megabytes of unread answers then never ends. */
static const grpc_arg channel_args[] = {
    { .type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1 },
    { .type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_RETRIES, .value.integer = 0 },
    { .type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, .value.integer = -1 },
};

grpc_channel *open_channel(const char *target, const char *ca)
{
    grpc_channel_args args = { .num_args = 3, .args = (grpc_arg *)channel_args };
    grpc_channel_credentials *creds;
    grpc_channel *channel;

    if (ca) {
        char *pem;

        read_all_of(ca, &pem);
        creds = grpc_ssl_credentials_create_ex(pem, NULL, NULL, NULL);
        free(pem);
    } else {
        creds = grpc_insecure_credentials_create();
    }
    channel = grpc_channel_create(target, creds, &args);
    grpc_channel_credentials_release(creds);
    return channel;
}

grpc_channel *channel_from_fd(int fd)
{
    grpc_channel_args args = { .num_args = 3, .args = (grpc_arg *)channel_args };
    grpc_channel_credentials *creds = grpc_insecure_credentials_create();
    grpc_channel *channel;

    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        die("fcntl: %s", strerror(errno));
    channel = grpc_channel_create_from_fd("tunnel", fd, creds, &args);
    grpc_channel_credentials_release(creds);
    return channel;
}

struct tunnel {
    grpc_completion_queue *cq;
    grpc_call *call;
    int fd;
    pthread_mutex_t lock;
    int users;                   /* the two threads and, until tunnel_cancel(), nobody else */
    grpc_metadata_array headers, trailers;
    grpc_status_code status;
    grpc_slice details;
    bool done;
};

enum { TAG_START = 1, TAG_SEND, TAG_RECEIVE, TAG_STATUS };

static void *tag(int number)
{
    return (void *)(intptr_t)number;
}

/* Starts a batch and waits for it. */
static bool tunnel_batch(struct tunnel *tunnel, const grpc_op *ops, size_t count, int number)
{
    grpc_event event;

    if (grpc_call_start_batch(tunnel->call, ops, count, tag(number), NULL) != GRPC_CALL_OK)
        return false;
    event = grpc_completion_queue_pluck(tunnel->cq, tag(number), gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    return event.type == GRPC_OP_COMPLETE && event.success;
}

static void tunnel_unref(struct tunnel *tunnel)
{
    bool last;

    pthread_mutex_lock(&tunnel->lock);
    last = --tunnel->users == 0;
    pthread_mutex_unlock(&tunnel->lock);
    if (!last)
        return;

    grpc_call_cancel(tunnel->call, NULL);
    grpc_completion_queue_pluck(tunnel->cq, tag(TAG_STATUS), gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    pthread_mutex_lock(&tunnel->lock);
    tunnel->done = true;
    grpc_call_unref(tunnel->call);
    pthread_mutex_unlock(&tunnel->lock);
    close(tunnel->fd);
    grpc_completion_queue_shutdown(tunnel->cq);
    grpc_completion_queue_destroy(tunnel->cq);
    grpc_metadata_array_destroy(&tunnel->headers);
    grpc_metadata_array_destroy(&tunnel->trailers);
    grpc_slice_unref(tunnel->details);
    /* The struct itself stays: tunnel_cancel() may still come, and a benchmark opens few. */
}

static void *tunnel_upward(void *arg)
{
    struct tunnel *tunnel = arg;
    char *data = must_alloc(READ_SIZE);
    ssize_t n;

    while ((n = read(tunnel->fd, data, READ_SIZE)) > 0) {
        grpc_byte_buffer *buffer = frame_data(data, (size_t)n);
        grpc_op op = { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = buffer };
        bool ok = tunnel_batch(tunnel, &op, 1, TAG_SEND);

        grpc_byte_buffer_destroy(buffer);
        if (!ok)
            break;
    }
    if (n <= 0) {
        grpc_byte_buffer *buffer = frame_goaway();
        grpc_op ops[] = {
            { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = buffer },
            { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT },
        };

        tunnel_batch(tunnel, ops, 2, TAG_SEND);
        grpc_byte_buffer_destroy(buffer);
    }
    shutdown(tunnel->fd, SHUT_RDWR);
    free(data);
    tunnel_unref(tunnel);
    return NULL;
}

static void *tunnel_downward(void *arg)
{
    struct tunnel *tunnel = arg;
    bool more = true;

    while (more) {
        grpc_byte_buffer *buffer = NULL;
        grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &buffer };
        const uint8_t *payload;
        grpc_slice flat;
        size_t size;

        if (!tunnel_batch(tunnel, &op, 1, TAG_RECEIVE) || !buffer)
            break;
        more = frame_parse(buffer, &flat, &payload, &size) && write_all(tunnel->fd, payload, size);
        grpc_slice_unref(flat);
        grpc_byte_buffer_destroy(buffer);
    }
    shutdown(tunnel->fd, SHUT_RDWR);   /* ends the other direction too */
    tunnel_unref(tunnel);
    return NULL;
}

struct tunnel *tunnel_open(grpc_channel *router, const char *token, int fd)
{
    struct tunnel *tunnel = must_alloc(sizeof(*tunnel));
    struct headers headers = { 0 };
    char bearer[8192];
    grpc_op ops[3] = { { 0 } };

    if ((size_t)snprintf(bearer, sizeof(bearer), "Bearer %s", token) >= sizeof(bearer))
        die("the router's token is too long");
    headers_add(&headers, "authorization", bearer);

    tunnel->fd = fd;
    tunnel->users = 2;
    pthread_mutex_init(&tunnel->lock, NULL);
    grpc_metadata_array_init(&tunnel->headers);
    grpc_metadata_array_init(&tunnel->trailers);
    tunnel->cq = grpc_completion_queue_create_for_pluck(NULL);
    tunnel->call = grpc_channel_create_call(router, NULL, GRPC_PROPAGATE_DEFAULTS, tunnel->cq,
                                            grpc_slice_from_static_string(STREAM_PATH), NULL,
                                            gpr_inf_future(GPR_CLOCK_REALTIME), NULL);

    ops[0].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[0].data.recv_status_on_client.trailing_metadata = &tunnel->trailers;
    ops[0].data.recv_status_on_client.status = &tunnel->status;
    ops[0].data.recv_status_on_client.status_details = &tunnel->details;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &tunnel->headers;
    if (grpc_call_start_batch(tunnel->call, ops, 2, tag(TAG_STATUS), NULL) != GRPC_CALL_OK)
        die("a tunnel cannot be started");
    ops[2].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[2].data.send_initial_metadata.count = headers.count;
    ops[2].data.send_initial_metadata.metadata = headers.items;
    if (!tunnel_batch(tunnel, &ops[2], 1, TAG_START))
        die("a tunnel cannot be started");

    start_thread(tunnel_upward, tunnel);
    start_thread(tunnel_downward, tunnel);
    return tunnel;
}

void tunnel_cancel(struct tunnel *tunnel)
{
    pthread_mutex_lock(&tunnel->lock);
    if (!tunnel->done)
        grpc_call_cancel(tunnel->call, NULL);
    pthread_mutex_unlock(&tunnel->lock);
}

uint64_t cpu_ns(const int *pids, size_t count)
{
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        struct timespec ts;
        clockid_t clock;

        if (clock_getcpuclockid(pids[i], &clock) != 0 || clock_gettime(clock, &ts) < 0)
            die("process %d has ended", pids[i]);
        total += (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
    }
    return total;
}
