/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's file in a socketpair. Plain bytes go to the driver as they are: it reads or writes the core's end.
 * Compressed ones pass a thread with a coder, and the driver has one end of a second socketpair. A file behind a URL is
 * fetched or left by such a thread, too, and has no stream. Once the call is over the core closes its end, which is
 * what the client waits for.
 */
#include "agent/resource.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "agent/coder.h"
#include "agent/core.h"
#include "agent/fetch.h"
#include "base/packed.h"

#define RESOURCES_MAX 64u            /* of one device, waiting for their calls */
#define RESOURCE_READ (256u * 1024)  /* bytes */
#define RESOURCE_AHEAD (1024 * 1024) /* bytes that one side would like to be ahead of the other */

struct jmp_resource {
    struct jmp_resource *next;
    struct jmp_device *device;       /* loop, until claimed */
    struct jmp_call *call;           /* once claimed */
    char uuid[JMP_UUID_SIZE];
    const char *encoding;            /* static, NULL: plain */
    const struct jmp_node *url;      /* the call's handle of a presigned request, NULL: a stream */
    struct jmp_io io;                /* loop, until claimed: has the client left? */

    bool used, write;                /* the call's thread */
    bool piped;                      /* there is a thread between the file and the driver */
    struct jmp_coder *coder;         /* the thread's while it runs */
    bool looked_at;                  /* the thread's: whether its first bytes are those of a packed file */
    struct jmp_job job;

    /* lock */
    int fd;                          /* the core's end of the client's stream; none for a URL */
    int inner, outer;                /* piped: the thread's own end and the driver's */
    int wake;                        /* of a URL: an eventfd, nobody waits for the rest */
    bool running, stopped, commit;   /* the thread; nobody wants the rest; the driver has written everything */
    int error;
    char text[512];
    struct jmp_error coder_error;    /* the thread's */
};

static struct jmp_resource *resource_free(struct jmp_resource *resource)
{
    if (!resource)
        return NULL;
    jmp_io_close(&resource->io);
    jmp_socket_end(resource->fd);
    jmp_socket_end(resource->inner);
    jmp_socket_end(resource->outer);
    jmp_close(resource->wake);
    jmp_coder_free(resource->coder);
    free(resource);
    return NULL;
}

static void resource_unlink(struct jmp_resource *resource)
{
    struct jmp_device *device = resource->device;

    for (struct jmp_resource **at = &device->resources; *at; at = &(*at)->next)
        if (*at == resource) {
            *at = resource->next;
            break;
        }
    resource->next = NULL;
    device->n_resources--;
    jmp_io_close(&resource->io);
}

static void on_unclaimed(struct jmp_io *io, uint32_t revents)
{
    struct jmp_resource *resource = CONTAINER_OF(io, struct jmp_resource, io);

    /* Only hang-ups are watched for: the client gave up before it made its call. */
    resource_unlink(resource);
    resource_free(resource);
}

static const char *static_name(const char *encoding)
{
    static const char *const names[] = { "gzip", "xz", "bz2", "zstd" };

    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (strcmp(names[i], encoding) == 0)
            return names[i];
    return NULL;
}

/* Two ends that need not wait for each other at every piece, as far as the system lets anybody have such buffers. */
static int wide_pair(int pair[2])
{
    const int size = RESOURCE_AHEAD;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    for (unsigned i = 0; i < 2; i++)
        setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    return 0;
}

int jmp_resource_open(struct jmp_device *device, const char *encoding, char retuuid[37], int *retfd,
                      struct jmp_error *reterr)
{
    struct jmp_resource *resource;
    int pair[2], flags, r;

    if (encoding && !jmp_coder_known(encoding)) {
        jmp_error_set(reterr, -EINVAL, "content encoding '%.40s' is not supported", encoding);
        jmp_error_hint(reterr, "known ones: %s", jmp_coder_names());
        return -EINVAL;
    }
    if (device->n_resources >= RESOURCES_MAX)
        return jmp_error_set(reterr, -EBUSY, "%u files are waiting for a call on %s already", device->n_resources,
                             device->path);
    r = wide_pair(pair);
    if (r < 0)
        return jmp_error_set(reterr, r, "no socket for a file: %m");
    resource = calloc(1, sizeof(*resource));
    if (!resource) {
        jmp_close_pairp(&pair);
        return -ENOMEM;
    }
    resource->fd = pair[0];
    resource->inner = resource->outer = resource->wake = -EBADF;
    resource->encoding = encoding ? static_name(encoding) : NULL;
    jmp_uuid_random(resource->uuid);

    /* Only the client's end: drivers may read and write theirs as they like. */
    flags = fcntl(pair[1], F_GETFL);
    r = flags < 0 || fcntl(pair[1], F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
    if (r == 0)
        r = jmp_io_start(device->devices->loop, &resource->io, resource->fd, 0, on_unclaimed);
    if (r < 0) {
        jmp_close(pair[1]);
        resource_free(resource);
        return jmp_error_set(reterr, r, "no socket for a file: %m");
    }

    resource->device = device;
    resource->next = device->resources;
    device->resources = resource;
    device->n_resources++;
    memcpy(retuuid, resource->uuid, sizeof(resource->uuid));
    *retfd = pair[1];
    return 0;
}

void jmp_resources_drop(struct jmp_device *device)
{
    while (device->resources) {
        struct jmp_resource *resource = device->resources;

        resource_unlink(resource);
        resource_free(resource);
    }
}

static struct jmp_resource *find_resource(struct jmp_resource *first, const struct jmp_node *handle)
{
    const char *kind = jmp_node_string(jmp_node_get(handle, "kind"));
    const char *text = jmp_node_string(jmp_node_get(handle, "uuid"));
    char uuid[JMP_UUID_SIZE];

    if (!kind || strcmp(kind, "client_stream") != 0 || !text || !jmp_uuid_parse(text, uuid))
        return NULL;
    for (struct jmp_resource *resource = first; resource; resource = resource->next)
        if (!resource->url && strcmp(resource->uuid, uuid) == 0)
            return resource;
    return NULL;
}

void jmp_resources_claim(struct jmp_call *call)
{
    for (size_t i = 0; i < ELEMENTSOF(call->args); i++) {
        struct jmp_resource *resource = find_resource(call->device->resources, call->args[i]);

        if (!resource)
            continue;
        resource_unlink(resource);
        resource->device = NULL;
        resource->call = call;
        resource->next = call->resources;
        call->resources = resource;
    }
}

static void wake_locked(struct jmp_resource *resource)
{
    const uint64_t one = 1;

    if (resource->wake >= 0 && write(resource->wake, &one, sizeof(one)) < 0)
        jmp_log(JMP_LOG_ERROR, FIELDS(.operation = resource->call->doing, .error = -errno),
                "a transfer cannot be told its end: %m");
}

void jmp_resources_cancel(struct jmp_call *call)
{
    for (struct jmp_resource *resource = call->resources; resource; resource = resource->next) {
        wake_locked(resource);
        if (resource->fd >= 0)
            shutdown(resource->fd, SHUT_RDWR);
        if (resource->outer >= 0)
            shutdown(resource->outer, SHUT_RDWR);
    }
}

void jmp_resources_free(struct jmp_call *call)
{
    while (call->resources) {
        struct jmp_resource *resource = call->resources;

        call->resources = resource->next;
        resource_free(resource);
    }
}

/* The client closed its end without saying that it was done. */
static bool has_hung_up(int fd)
{
    struct pollfd poll_fd = { .fd = fd };

    return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR));
}

static int send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static int sink_to_driver(const void *data, size_t size, void *user)
{
    return send_all(((struct jmp_resource *)user)->inner, data, size);
}

static int sink_to_client(const void *data, size_t size, void *user)
{
    return send_all(((struct jmp_resource *)user)->fd, data, size);
}

static bool resource_flag(struct jmp_resource *resource, const bool *flag)
{
    struct jmp_core *core = resource->call->core;
    bool value;

    pthread_mutex_lock(&core->lock);
    value = *flag;
    pthread_mutex_unlock(&core->lock);
    return value;
}

static int upload(struct jmp_resource *resource, char *buffer, struct jmp_error *reterr)
{
    for (;;) {
        ssize_t n = recv(resource->fd, buffer, RESOURCE_READ, 0);
        int r;

        if (n < 0 && errno == EINTR)
            continue;
        if (resource_flag(resource, &resource->stopped))
            return 0;
        if (n < 0 || (n == 0 && has_hung_up(resource->fd)))
            return jmp_error_set(reterr, -ECONNRESET, "the client broke its upload off");
        if (n == 0)
            return jmp_coder_finish(resource->coder, sink_to_driver, resource, reterr);
        r = jmp_coder_push(resource->coder, buffer, (size_t)n, sink_to_driver, resource, reterr);
        if (r == -EPIPE || r == -ECONNRESET)
            return 0;   /* the driver has what it wanted */
        if (r < 0)
            return r;
    }
}

static int download(struct jmp_resource *resource, char *buffer, struct jmp_error *reterr)
{
    for (;;) {
        ssize_t n = recv(resource->inner, buffer, RESOURCE_READ, 0);
        int r;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return jmp_error_set(reterr, -errno, "the driver's data could not be read: %m");
        /* Without its end a compressed file is known to be broken, and so it is when the driver failed. */
        if (n == 0 && !resource_flag(resource, &resource->commit))
            return 0;
        if (n == 0)
            r = jmp_coder_finish(resource->coder, sink_to_client, resource, reterr);
        else
            r = jmp_coder_push(resource->coder, buffer, (size_t)n, sink_to_client, resource, reterr);
        if (r == -EPIPE || r == -ECONNRESET)
            return jmp_error_set(reterr, -ECONNRESET, "the client broke its download off");
        if (r < 0 || n == 0)
            return r;
    }
}

/* A name need not say what a file is: signed and shortened URLs, downloads of build servers. Stock clients cannot say
 * it either. */
static int unpack_by_content(struct jmp_resource *resource, const void *data, size_t size)
{
    const char *encoding = jmp_packed_format(data, size);

    resource->looked_at = true;
    if (resource->coder || !encoding)
        return 0;
    jmp_call_log(resource->call, JMP_LOG_INFO, "what comes is %s and is unpacked, though its name does not say so",
                 encoding);
    return jmp_coder_new(encoding, false, &resource->coder);
}

/* GET: bytes of the web for the driver. */
static int url_sink(const void *data, size_t size, void *user)
{
    struct jmp_resource *resource = user;
    int r;

    r = resource->looked_at ? 0 : unpack_by_content(resource, data, size);
    if (r < 0)
        return r;
    if (!resource->coder)
        return sink_to_driver(data, size, resource);
    return jmp_coder_push(resource->coder, data, size, sink_to_driver, resource, &resource->coder_error);
}

/* PUT: bytes of the driver for the web. */
static ssize_t url_source(void *data, size_t size, void *user)
{
    struct jmp_resource *resource = user;
    ssize_t n;

    do
        n = recv(resource->inner, data, size, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    /* Half a file must not look like a whole one to the server. */
    return n == 0 && !resource_flag(resource, &resource->commit) ? -ECANCELED : n;
}

static void url_progress(uint64_t done, uint64_t total, void *user)
{
    struct jmp_resource *resource = user;
    double mib = (double)done / (1024 * 1024);

    if (total > 0)
        jmp_call_log(resource->call, JMP_LOG_INFO, "%.1f of %.1f MiB %s", mib, (double)total / (1024 * 1024),
                     resource->write ? "sent" : "fetched");
    else
        jmp_call_log(resource->call, JMP_LOG_INFO, "%.1f MiB %s", mib, resource->write ? "sent" : "fetched");
}

static int transfer_url(struct jmp_resource *resource, struct jmp_error *reterr)
{
    const char *url = jmp_node_string(jmp_node_get(resource->url, "url"));
    const struct jmp_fetch fetch = { .handle = resource->url, .cancel_fd = resource->wake, .sink = url_sink,
                                     .source = url_source, .progress = url_progress, .user = resource };
    char shown[256];
    int r;

    jmp_call_log(resource->call, JMP_LOG_INFO, "%s %s%s%s", resource->write ? "PUT" : "GET",
                 jmp_fetch_show(url, shown, sizeof(shown)), resource->encoding ? ", unpacked as " : "",
                 resource->encoding ? resource->encoding : "");
    r = jmp_fetch_run(&fetch, reterr);
    if (r >= 0 && resource->coder)
        r = jmp_coder_finish(resource->coder, sink_to_driver, resource, &resource->coder_error);
    if (r < 0 && resource->coder_error.text[0] && reterr)
        *reterr = resource->coder_error;
    if (r >= 0 || !resource_flag(resource, &resource->stopped))
        return r;
    /* The driver has what it wanted, or has failed, which is the error then. */
    return !resource->write || r == -ECANCELED ? 0 : r;
}

static int transfer(struct jmp_resource *resource, struct jmp_error *reterr)
{
    _cleanup_free_ char *buffer = NULL;

    if (resource->url)
        return transfer_url(resource, reterr);
    buffer = malloc(RESOURCE_READ);
    if (!buffer)
        return -ENOMEM;
    return resource->write ? download(resource, buffer, reterr) : upload(resource, buffer, reterr);
}

static void resource_job(struct jmp_job *job)
{
    struct jmp_resource *resource = CONTAINER_OF(job, struct jmp_resource, job);
    struct jmp_core *core = resource->call->core;
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    r = transfer(resource, &error);

    pthread_mutex_lock(&core->lock);
    resource->error = r < 0 ? r : 0;
    snprintf(resource->text, sizeof(resource->text), "%s", error.text[0] ? error.text : r < 0 ? strerror(-r) : "");
    resource->running = false;
    /* After the verdict: a driver that reads the end may rely on it. */
    shutdown(resource->inner, SHUT_RDWR);
    pthread_cond_signal(&resource->call->turn.wake);
    pthread_mutex_unlock(&core->lock);
    jmp_core_job_done(core);
}

static int start_thread(struct jmp_call *call, struct jmp_resource *resource)
{
    int pair[2], r;

    resource->piped = true;
    if (resource->encoding) {
        r = jmp_coder_new(resource->encoding, resource->write, &resource->coder);
        if (r < 0)
            return jmp_call_fail(call, r, "%s: %m", resource->encoding);
    }
    r = wide_pair(pair);
    if (r < 0)
        return jmp_call_fail(call, r, "no socket for a file: %m");

    pthread_mutex_lock(&call->core->lock);
    resource->inner = pair[0];
    resource->outer = pair[1];
    resource->running = true;
    r = call->cancelled ? -ECANCELED : 0;
    pthread_mutex_unlock(&call->core->lock);
    if (r == 0) {
        resource->job.run = resource_job;
        r = jmp_core_run(call->core, &resource->job);
        if (r < 0)
            jmp_call_fail(call, r, "no thread for a file: %m");
    }
    if (r < 0) {
        pthread_mutex_lock(&call->core->lock);
        resource->running = false;
        pthread_mutex_unlock(&call->core->lock);
    }
    return r;
}

static int use(struct jmp_call *call, struct jmp_resource *resource, bool write)
{
    int r = 0;

    if (!resource->used) {
        resource->used = true;
        resource->write = write;
        r = resource->url || resource->encoding ? start_thread(call, resource) : 0;
    }
    if (r < 0)
        return r;
    return resource->piped ? resource->outer : resource->fd;
}

static int use_url(struct jmp_call *call, const struct jmp_node *handle, bool write)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_resource *resource = call->resources;
    const char *url;
    int r;

    while (resource && resource->url != handle)
        resource = resource->next;
    if (resource)
        return use(call, resource, write);

    r = jmp_fetch_check(handle, &error);
    if (r < 0)
        return jmp_call_fail(call, r, "%s", error.text);
    if ((strcmp(jmp_node_string(jmp_node_get(handle, "method")), "PUT") == 0) != write)
        return jmp_call_fail(call, -EINVAL, "%s is the wrong method here: this file is to be %s", write ? "GET" : "PUT",
                             write ? "written" : "read");
    resource = calloc(1, sizeof(*resource));
    if (!resource)
        return -ENOMEM;
    url = jmp_node_string(jmp_node_get(handle, "url"));
    resource->fd = resource->inner = resource->outer = -EBADF;
    resource->url = handle;
    resource->call = call;
    resource->encoding = write ? NULL : jmp_fetch_encoding(url);
    resource->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (resource->wake < 0) {
        r = -errno;
        resource_free(resource);
        return jmp_call_fail(call, r, "no descriptor for a file: %m");
    }
    pthread_mutex_lock(&call->core->lock);   /* jmp_resources_cancel() may look */
    resource->next = call->resources;
    call->resources = resource;
    pthread_mutex_unlock(&call->core->lock);
    return use(call, resource, write);
}

int jmp_resource_use(struct jmp_call *call, const struct jmp_node *handle, bool write)
{
    const char *kind = jmp_node_string(jmp_node_get(handle, "kind"));
    const char *uuid = jmp_node_string(jmp_node_get(handle, "uuid"));
    struct jmp_resource *resource = find_resource(call->resources, handle);
    char canonical[JMP_UUID_SIZE];

    if (kind && strcmp(kind, "presigned_request") == 0)
        return use_url(call, handle, write);
    if (!kind || strcmp(kind, "client_stream") != 0 || !uuid || !jmp_uuid_parse(uuid, canonical))
        return jmp_call_fail(call, -EINVAL,
                             "the handle of a file must be a map with kind \"client_stream\" and a uuid");
    if (!resource || (resource->used && resource->write != write))
        return jmp_call_fail(call, -ENOKEY, "'%.64s'", uuid);
    return use(call, resource, write);
}

/* The thread ends the driver's stream when its verdict is there. */
static int verdict(struct jmp_call *call, struct jmp_resource *resource)
{
    int r;

    if (!resource->piped)
        return has_hung_up(resource->fd) ? jmp_call_fail(call, -ECONNRESET, "the client broke its upload off") : 0;
    pthread_mutex_lock(&call->core->lock);
    r = call->cancelled ? -ECANCELED : resource->error;
    pthread_mutex_unlock(&call->core->lock);
    return r < 0 && r != -ECANCELED ? jmp_call_fail(call, r, "%s", resource->text) : r;
}

int jmp_resources_complete(struct jmp_call *call)
{
    int r = 0;

    for (struct jmp_resource *resource = call->resources; resource && r == 0; resource = resource->next)
        if (resource->used && !resource->write)
            r = verdict(call, resource);
    return r;
}

/* Ends one transfer. Return: 0, or what was wrong with it, in words. */
static int settle(struct jmp_call *call, struct jmp_resource *resource, int error)
{
    struct jmp_core *core = call->core;
    int r = 0;

    if (resource->piped) {
        pthread_mutex_lock(&core->lock);
        resource->commit = error >= 0 && !call->cancelled;
        resource->stopped = true;
        if (resource->write) {
            shutdown(resource->outer, SHUT_WR);
        } else {
            shutdown(resource->outer, SHUT_RDWR);
            shutdown(resource->fd, SHUT_RD);
            wake_locked(resource);
        }
        if (!resource->commit)
            wake_locked(resource);
        while (resource->running)
            pthread_cond_wait(&call->turn.wake, &core->lock);
        r = resource->error;
        pthread_mutex_unlock(&core->lock);
        if (r < 0)
            jmp_call_fail(call, r, "%s", resource->text);
    } else if (!resource->write) {
        r = verdict(call, resource);
    }
    return r;
}

int jmp_resources_settle(struct jmp_call *call, int error)
{
    bool cancelled;

    for (struct jmp_resource *resource = call->resources; resource; resource = resource->next) {
        int fd, r;

        if (resource->used) {
            r = settle(call, resource, error);
            /* The driver's failure, if any, is most likely the consequence. */
            error = r < 0 ? r : error;
        }
        pthread_mutex_lock(&call->core->lock);
        fd = TAKE_FD(resource->fd);
        cancelled = call->cancelled;
        pthread_mutex_unlock(&call->core->lock);
        jmp_socket_end(fd);
        if (cancelled)
            error = -ECANCELED;
    }
    return error;
}
