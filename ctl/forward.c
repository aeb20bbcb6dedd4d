/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/forward.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LISTENERS_MAX 8u
#define STREAMS_MAX 1000u
#define PORT_TRIES 16u

struct listener {
    struct jmp_forward *forward;
    struct jmp_io io;
    int fd;
};

struct stream {
    struct stream *next, *previous;
    struct jmp_forward *forward;
    struct jmp_pump *pump;
};

struct jmp_forward {
    struct jmp_session_client *session;
    struct jmp_loop *loop;
    char *uuid, *name;
    struct listener listeners[LISTENERS_MAX];
    unsigned n_listeners, n_streams;
    struct stream *streams;
    struct jmp_timer later;       /* accept again, after descriptors ran out */
    uint64_t complained;          /* when a broken stream was last written about */
    char address[160];
    char *path;                   /* to be removed */
};

static int forward_new(struct jmp_session_client *session, const struct jmp_driver_ref *driver,
                       struct jmp_forward **ret, struct jmp_error *reterr)
{
    struct jmp_forward *forward = calloc(1, sizeof(*forward));

    if (!forward) {
        jmp_error_set(reterr, -ENOMEM, "%m");
        return -ENOMEM;
    }
    forward->session = session;
    forward->loop = jmp_client_loop(jmp_session_client_base(session));
    forward->uuid = strdup(driver->uuid);
    forward->name = strdup(driver->path);
    if (!forward->uuid || !forward->name) {
        jmp_forward_free(forward);
        jmp_error_set(reterr, -ENOMEM, "%m");
        return -ENOMEM;
    }
    *ret = forward;
    return 0;
}

static void stream_free(struct stream *stream)
{
    struct jmp_forward *forward = stream->forward;

    if (stream->previous)
        stream->previous->next = stream->next;
    else
        forward->streams = stream->next;
    if (stream->next)
        stream->next->previous = stream->previous;
    forward->n_streams--;
    jmp_pump_free(stream->pump);
    free(stream);
}

struct jmp_forward *jmp_forward_free(struct jmp_forward *forward)
{
    if (!forward)
        return NULL;
    for (unsigned i = 0; i < forward->n_listeners; i++) {
        jmp_io_close(&forward->listeners[i].io);
        jmp_close(forward->listeners[i].fd);
    }
    jmp_timer_close(&forward->later);
    while (forward->streams)
        stream_free(forward->streams);
    if (forward->path)
        unlink(forward->path);
    free(forward->path);
    free(forward->uuid);
    free(forward->name);
    free(forward);
    return NULL;
}

const char *jmp_forward_address(const struct jmp_forward *forward) { return forward->address; }

/* At most one line a second: a board that is off refuses every connection of a browser. */
static void complain(struct jmp_forward *forward, const char *words)
{
    struct jmp_error error = { 0 };
    uint64_t now = jmp_now();

    if (forward->complained && now - forward->complained < JMP_USEC_PER_SEC)
        return;
    forward->complained = now;
    jmp_error_set(&error, -EPIPE, "%s: a connection broke: %s", forward->name, words);
    jmp_error_print(stderr, "jmpctl", &error);
}

static void on_pump_closed(struct jmp_pump *pump, const struct jmp_status *status, void *user)
{
    struct stream *stream = user;

    /* Stock exporters end every stream by ABORTED. */
    if (status->code != JMP_OK && status->code != JMP_CANCELLED && status->code != JMP_ABORTED)
        complain(stream->forward, *status->text ? status->text : jmp_code_name(status->code));
    stream_free(stream);
}

static void open_stream(struct jmp_forward *forward, int taken)
{
    static const struct jmp_pump_events events = { .closed = on_pump_closed };
    _cleanup_close_ int fd = taken;
    struct jmp_error error = { 0 };
    struct stream *stream = calloc(1, sizeof(*stream));
    int on = 1, r;

    if (!stream)
        return;
    /* Fails for unix sockets, which do not wait anyway. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    stream->forward = forward;
    r = jmp_session_client_open(forward->session, forward->uuid, "connect", TAKE_FD(fd), &events, stream, &stream->pump,
                                &error);
    if (r < 0) {
        complain(forward, error.text);
        free(stream);
        return;
    }
    stream->next = forward->streams;
    if (stream->next)
        stream->next->previous = stream;
    forward->streams = stream;
    forward->n_streams++;
}

static void on_later(struct jmp_timer *timer)
{
    struct jmp_forward *forward = CONTAINER_OF(timer, struct jmp_forward, later);

    for (unsigned i = 0; i < forward->n_listeners; i++)
        jmp_io_set(&forward->listeners[i].io, EPOLLIN);
}

static void on_accept(struct jmp_io *io, uint32_t revents)
{
    struct listener *listener = CONTAINER_OF(io, struct listener, io);
    struct jmp_forward *forward = listener->forward;
    int fd;

    if (forward->n_streams < STREAMS_MAX) {
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            open_stream(forward, fd);
            return;
        }
        if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
            return;
    }
    /* They wait in the backlog until some are closed. */
    for (unsigned i = 0; i < forward->n_listeners; i++)
        jmp_io_pause(&forward->listeners[i].io);
    jmp_timer_start(forward->loop, &forward->later, JMP_USEC_PER_SEC / 4, on_later);
}

static int add_listener(struct jmp_forward *forward, int taken)
{
    _cleanup_close_ int fd = taken;
    struct listener *listener = &forward->listeners[forward->n_listeners];
    int r;

    if (listen(fd, SOMAXCONN) < 0)
        return -errno;
    r = jmp_io_start(forward->loop, &listener->io, fd, EPOLLIN, on_accept);
    if (r < 0)
        return r;
    listener->forward = forward;
    listener->fd = TAKE_FD(fd);
    forward->n_listeners++;
    return 0;
}

static void drop_listeners(struct jmp_forward *forward)
{
    for (; forward->n_listeners > 0; forward->n_listeners--) {
        jmp_io_close(&forward->listeners[forward->n_listeners - 1].io);
        jmp_close(forward->listeners[forward->n_listeners - 1].fd);
    }
}

static void set_port(struct sockaddr *address, unsigned port)
{
    if (address->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)address)->sin_port = htons((uint16_t)port);
}

static int listen_on(struct jmp_forward *forward, const struct addrinfo *info, unsigned port, unsigned *retport)
{
    _cleanup_close_ int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_storage address = { 0 };
    socklen_t length = sizeof(address);
    char host[NI_MAXHOST], service[16];
    int on = 1, r;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    memcpy(&address, info->ai_addr, info->ai_addrlen);
    set_port((struct sockaddr *)&address, port);
    if (bind(fd, (struct sockaddr *)&address, info->ai_addrlen) < 0)
        return -errno;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return -errno;
    if (getnameinfo((struct sockaddr *)&address, length, host, sizeof(host), service, sizeof(service),
                    NI_NUMERICHOST | NI_NUMERICSERV))
        return -EINVAL;
    r = add_listener(forward, TAKE_FD(fd));
    if (r < 0)
        return r;
    *retport = (unsigned)strtoul(service, NULL, 10);
    if (!*forward->address)
        snprintf(forward->address, sizeof(forward->address), info->ai_family == AF_INET6 ? "[%.120s]:%s" : "%.120s:%s",
                 host, service);
    return 0;
}

/* All addresses on one port. Families that this machine does not have are left out. */
static int listen_all(struct jmp_forward *forward, const struct addrinfo *infos, unsigned port)
{
    int r, failed = -EADDRNOTAVAIL;

    forward->address[0] = '\0';
    for (const struct addrinfo *info = infos; info && forward->n_listeners < LISTENERS_MAX; info = info->ai_next) {
        if (info->ai_family != AF_INET && info->ai_family != AF_INET6)
            continue;
        r = listen_on(forward, info, port, &port);
        if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT) {
            failed = r;
            continue;
        }
        if (r < 0)
            return r;
    }
    return forward->n_listeners > 0 ? 0 : failed;
}

int jmp_forward_tcp(struct jmp_session_client *session, const struct jmp_driver_ref *driver, const char *host,
                    unsigned port, struct jmp_forward **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_forward_freep) struct jmp_forward *forward = NULL;
    struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM }, *infos;
    int r;

    r = forward_new(session, driver, &forward, reterr);
    if (r < 0)
        return r;
    r = getaddrinfo(host, NULL, &hints, &infos);
    if (r != 0)
        return jmp_error_set(reterr, -ENOENT, "%s: %s", host, r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
    /* A port that is free for one address need not be so for the next. */
    for (unsigned tries = 0; tries < PORT_TRIES; tries++) {
        r = listen_all(forward, infos, port);
        if (r >= 0 || port != 0 || r != -EADDRINUSE)
            break;
        drop_listeners(forward);
    }
    freeaddrinfo(infos);
    if (r < 0) {
        jmp_error_set(reterr, r, "port %u of %s cannot be listened on: %s", port, host, strerror(-r));
        if (r == -EADDRINUSE)
            jmp_error_hint(reterr, "port 0 takes a free one");
        return r;
    }
    *ret = TAKE_PTR(forward);
    return 0;
}

int jmp_forward_unix(struct jmp_session_client *session, const struct jmp_driver_ref *driver, const char *path,
                     struct jmp_forward **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_forward_freep) struct jmp_forward *forward = NULL;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int fd = -EBADF;
    mode_t mask;
    int r;

    if (strlen(path) >= sizeof(address.sun_path))
        return jmp_error_set(reterr, -ENAMETOOLONG, "%s is too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    r = forward_new(session, driver, &forward, reterr);
    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return jmp_error_set(reterr, -errno, "no socket: %m");
    mask = umask(0177);
    r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    umask(mask);
    if (r < 0)
        return jmp_error_set(reterr, r, "%s cannot be made: %s", path, strerror(-r));
    forward->path = strdup(path);
    if (!forward->path) {
        unlink(path);
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    snprintf(forward->address, sizeof(forward->address), "%s", path);
    r = add_listener(forward, TAKE_FD(fd));
    if (r < 0)
        return jmp_error_set(reterr, r, "%s cannot be listened on: %s", path, strerror(-r));
    *ret = TAKE_PTR(forward);
    return 0;
}
