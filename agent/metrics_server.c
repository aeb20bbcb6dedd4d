/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define VISITORS_MAX 8u
#define REQUEST_MAX 4096u
#define PATIENCE (5 * JMP_USEC_PER_SEC)   /* for a whole visit */

struct visitor {
    struct jmp_metrics_server *server;   /* NULL: this place is free */
    struct jmp_io io;
    struct jmp_timer late;
    int fd;
    char request[REQUEST_MAX + 1];
    size_t length;
    char *answer;
    size_t size, sent;
};

struct jmp_metrics_server {
    struct jmp_loop *loop;
    void (*print)(FILE *out, void *user);
    void *user;
    int fd;
    char *path;                          /* of a socket that is removed at the end */
    struct jmp_io io;
    struct visitor visitors[VISITORS_MAX];
};

static void leave(struct visitor *visitor)
{
    jmp_io_close(&visitor->io);
    jmp_timer_close(&visitor->late);
    jmp_close(visitor->fd);
    free(visitor->answer);
    *visitor = (struct visitor){ 0 };
}

static void on_late(struct jmp_timer *timer) { leave(CONTAINER_OF(timer, struct visitor, late)); }

static int make_answer(struct visitor *visitor)
{
    bool get = strncmp(visitor->request, "GET ", 4) == 0, head = strncmp(visitor->request, "HEAD ", 5) == 0;
    const char *path = visitor->request + (head ? 5 : 4);
    bool known = (get || head) && strncmp(path, "/metrics", 8) == 0 && strchr(" ?", path[8]);
    _cleanup_free_ char *page = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&page, &length);

    if (!out)
        return -ENOMEM;
    if (known)
        visitor->server->print(out, visitor->server->user);
    else
        fputs(get || head ? "there is only /metrics\n" : "there is only GET\n", out);
    if (fclose(out) != 0)
        return -ENOMEM;
    out = open_memstream(&visitor->answer, &visitor->size);
    if (!out)
        return -ENOMEM;
    fprintf(out, "HTTP/1.1 %s\r\nContent-Type: %s; charset=utf-8\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
            known ? "200 OK" : get || head ? "404 Not Found" : "405 Method Not Allowed",
            known ? "application/openmetrics-text; version=1.0.0" : "text/plain", length);
    if (!head)
        fwrite(page, 1, length, out);
    return fclose(out) == 0 ? 0 : -ENOMEM;
}

/* Return: 0 while there is more to do, negative: the visit is over. */
static int receive(struct visitor *visitor)
{
    ssize_t n = recv(visitor->fd, visitor->request + visitor->length, REQUEST_MAX - visitor->length, MSG_DONTWAIT);
    int r;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0)
        return -ECONNRESET;
    visitor->length += (size_t)n;
    visitor->request[visitor->length] = '\0';
    if (!strstr(visitor->request, "\r\n\r\n"))
        return visitor->length == REQUEST_MAX ? -EMSGSIZE : 0;
    r = make_answer(visitor);
    if (r == 0)
        jmp_io_set(&visitor->io, EPOLLOUT);
    return r;
}

static int send_answer(struct visitor *visitor)
{
    ssize_t n = send(visitor->fd, visitor->answer + visitor->sent, visitor->size - visitor->sent,
                     MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    visitor->sent += (size_t)n;
    return visitor->sent == visitor->size ? -ESHUTDOWN : 0;
}

static void on_visitor(struct jmp_io *io, uint32_t revents)
{
    struct visitor *visitor = CONTAINER_OF(io, struct visitor, io);

    if ((visitor->answer ? send_answer(visitor) : receive(visitor)) < 0)
        leave(visitor);
}

static void on_connect(struct jmp_io *io, uint32_t revents)
{
    struct jmp_metrics_server *server = CONTAINER_OF(io, struct jmp_metrics_server, io);
    _cleanup_close_ int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct visitor *visitor = server->visitors;

    if (fd < 0)
        return;
    while (visitor < server->visitors + VISITORS_MAX && visitor->server)
        visitor++;
    if (visitor == server->visitors + VISITORS_MAX)
        return;   /* too many at a time; the next scrape may be luckier */
    visitor->fd = TAKE_FD(fd);
    visitor->server = server;
    if (jmp_io_start(server->loop, &visitor->io, visitor->fd, EPOLLIN, on_visitor) < 0 ||
        jmp_timer_start(server->loop, &visitor->late, PATIENCE, on_late) < 0)
        leave(visitor);
}

static int refuse(const char *address, struct jmp_error *reterr)
{
    jmp_error_set(reterr, -EINVAL, "\"%s\" is no place for metrics", address);
    jmp_error_hint(reterr, "unix:/PATH, or 127.0.0.1:PORT: only this machine may ask");
    return -EINVAL;
}

static int parse(const char *address, struct sockaddr_storage *ret, socklen_t *retsize, struct jmp_error *reterr)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
    struct sockaddr_un *un = (struct sockaddr_un *)ret;
    const char *digits = address;
    unsigned long port;
    char *end;

    if (strncmp(address, "unix:/", 6) == 0) {
        if (strlen(address + 5) >= sizeof(un->sun_path))
            return jmp_error_set(reterr, -EINVAL, "%s is too long for a socket", address + 5);
        un->sun_family = AF_UNIX;
        strcpy(un->sun_path, address + 5);
        *retsize = sizeof(*un);
        return 0;
    }
    if (strncmp(address, "[::1]:", 6) == 0)
        digits += 6;
    else if (strncmp(address, "127.0.0.1:", 10) == 0)
        digits += 10;
    port = strtoul(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end || port > 65535)
        return refuse(address, reterr);
    if (*address == '[') {
        *v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port),
                                     .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        *retsize = sizeof(*v6);
    } else {
        *v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        *retsize = sizeof(*v4);
    }
    return 0;
}

/* An agent that was killed has left its socket; what is none is somebody's file. */
static int make_room(const char *path, struct jmp_error *reterr)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : jmp_error_set(reterr, -errno, "%s: %m", path);
    if (!S_ISSOCK(st.st_mode))
        return jmp_error_set(reterr, -EEXIST, "%s is there already and no socket", path);
    if (unlink(path) < 0)
        return jmp_error_set(reterr, -errno, "%s: %m", path);
    return 0;
}

static int listen_at(struct jmp_metrics_server *server, const char *address, unsigned *retport,
                     struct jmp_error *reterr)
{
    struct sockaddr_storage place = { 0 };
    socklen_t size;
    int r;

    r = parse(address, &place, &size, reterr);
    if (r < 0)
        return r;
    if (place.ss_family == AF_UNIX) {
        r = make_room(address + 5, reterr);
        if (r < 0)
            return r;
    }
    server->fd = socket(place.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->fd < 0)
        return jmp_error_set(reterr, -errno, "metrics at %s: %m", address);
    if (place.ss_family != AF_UNIX)
        (void)setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (bind(server->fd, (struct sockaddr *)&place, size) < 0 || listen(server->fd, VISITORS_MAX) < 0 ||
        getsockname(server->fd, (struct sockaddr *)&place, &size) < 0)
        return jmp_error_set(reterr, -errno, "metrics at %s: %m", address);
    if (place.ss_family == AF_UNIX) {
        server->path = strdup(address + 5);
        if (!server->path)
            return jmp_error_set(reterr, -ENOMEM, "%m");
        /* Whoever can reach the directory may look at numbers. */
        if (chmod(server->path, 0666) < 0)
            return jmp_error_set(reterr, -errno, "%s: %m", server->path);
    }
    if (retport)
        *retport = place.ss_family == AF_INET  ? ntohs(((struct sockaddr_in *)&place)->sin_port) :
                   place.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&place)->sin6_port) :
                                                 0;
    return 0;
}

int jmp_metrics_server_new(struct jmp_loop *loop, const char *address, void (*print)(FILE *out, void *user), void *user,
                           struct jmp_metrics_server **ret, unsigned *retport, struct jmp_error *reterr)
{
    _cleanup_(jmp_metrics_server_freep) struct jmp_metrics_server *server = calloc(1, sizeof(*server));
    int r;

    if (!server)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    server->loop = loop;
    server->print = print;
    server->user = user;
    server->fd = -EBADF;
    r = listen_at(server, address, retport, reterr);
    if (r < 0)
        return r;
    r = jmp_io_start(loop, &server->io, server->fd, EPOLLIN, on_connect);
    if (r < 0)
        return jmp_error_set(reterr, r, "metrics at %s: %m", address);

    *ret = TAKE_PTR(server);
    return 0;
}

struct jmp_metrics_server *jmp_metrics_server_free(struct jmp_metrics_server *server)
{
    if (!server)
        return NULL;
    for (size_t i = 0; i < VISITORS_MAX; i++)
        if (server->visitors[i].server)
            leave(&server->visitors[i]);
    jmp_io_close(&server->io);
    jmp_close(server->fd);
    if (server->path)
        unlink(server->path);
    free(server->path);
    free(server);
    return NULL;
}
