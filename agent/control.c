/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/control.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/json.h"
#include "base/log.h"

#define CLIENTS_MAX 16
#define REQUEST_MAX 1024
/* One answer and the start of a next: who does not read is not waited for. */
#define PENDING_MAX (2u * 1024 * 1024)
/* Changes come in groups. */
#define GATHER (50 * JMP_USEC_PER_MSEC)

struct client {
    struct client *next, **link;
    struct jmp_control *control;
    struct jmp_io io;
    int fd;
    bool watching, closing;
    char request[REQUEST_MAX];
    size_t request_length;
    char *out;                       /* not sent yet: [sent, length) */
    size_t sent, length;
};

struct jmp_control {
    struct jmp_loop *loop;
    const struct jmp_control_events *events;
    void *user;
    int fd;
    struct jmp_io io;
    struct client *clients;
    unsigned count;
    struct jmp_timer gather;
};

static void client_free(struct client *client)
{
    *client->link = client->next;
    if (client->next)
        client->next->link = client->link;
    client->control->count--;
    jmp_io_close(&client->io);
    jmp_close(client->fd);
    free(client->out);
    free(client);
}

/* Return: 0, or negative errno: the client is to be forgotten. */
static int flush(struct client *client)
{
    while (client->sent < client->length) {
        ssize_t n = send(client->fd, client->out + client->sent, client->length - client->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return -errno;
        client->sent += (size_t)n;
    }
    if (client->sent == client->length) {
        client->sent = client->length = 0;
        if (client->closing)
            return -ESHUTDOWN;
    }
    jmp_io_set(&client->io, client->length ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return 0;
}

static int put(struct client *client, const char *text, size_t length)
{
    char *grown;

    if (client->length - client->sent + length > PENDING_MAX)
        return -ENOBUFS;
    grown = realloc(client->out, client->length + length);
    if (!grown)
        return -ENOMEM;
    memcpy(grown + client->length, text, length);
    client->out = grown;
    client->length += length;
    return 0;
}

static int answer(struct client *client, struct jmp_writer *writer)
{
    const struct jmp_node *node;
    _cleanup_free_ char *text = NULL;
    int r;

    r = jmp_writer_finish(writer, &node);
    if (r == 0)
        r = jmp_json_print(node, 0, &text);
    if (r == 0)
        r = put(client, text, strlen(text));
    if (r == 0)
        r = put(client, "\n", 1);
    return r < 0 ? r : flush(client);
}

static int answer_status(struct client *client, struct jmp_writer *writer)
{
    struct jmp_control *control = client->control;

    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "ok");
    jmp_writer_bool(writer, true);
    jmp_writer_key(writer, "status");
    jmp_writer_begin_map(writer);
    control->events->describe(writer, control->user);
    jmp_writer_end_map(writer);
    jmp_writer_end_map(writer);
    return answer(client, writer);
}

static int answer_words(struct client *client, struct jmp_writer *writer, bool ok, const char *words)
{
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "ok");
    jmp_writer_bool(writer, ok);
    jmp_writer_key(writer, ok ? "message" : "error");
    jmp_writer_string(writer, words);
    jmp_writer_end_map(writer);
    return answer(client, writer);
}

static int serve(struct client *client, const char *line, size_t length)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    struct jmp_control *control = client->control;
    const struct jmp_node *request;
    const char *verb;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r == 0)
        r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return r;
    r = jmp_json_parse(line, length, tree, &request, NULL);
    verb = r < 0 ? NULL : jmp_node_string(jmp_node_get(request, "verb"));
    if (!verb)
        return answer_words(client, writer, false, "a request is one JSON object with a \"verb\"");
    if (strcmp(verb, "status") == 0 || strcmp(verb, "watch") == 0) {
        client->watching |= *verb == 'w';
        return answer_status(client, writer);
    }
    if (strcmp(verb, "drain") == 0)
        return answer_words(client, writer, true, control->events->drain(control->user));
    return answer_words(client, writer, false, "the verbs are status, watch and drain");
}

static int receive(struct client *client)
{
    ssize_t n = recv(client->fd, client->request + client->request_length,
                     sizeof(client->request) - client->request_length, MSG_DONTWAIT);
    char *end;
    int r = 0;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0)
        return -ECONNRESET;
    client->request_length += (size_t)n;
    while (r == 0 && (end = memchr(client->request, '\n', client->request_length))) {
        size_t length = (size_t)(end - client->request);

        r = serve(client, client->request, length);
        client->request_length -= length + 1;
        memmove(client->request, end + 1, client->request_length);
    }
    return r == 0 && client->request_length == sizeof(client->request) ? -EMSGSIZE : r;
}

static void on_client(struct jmp_io *io, uint32_t revents)
{
    struct client *client = CONTAINER_OF(io, struct client, io);
    int r = 0;

    if (revents & EPOLLOUT)
        r = flush(client);
    if (r == 0 && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        r = receive(client);
    if (r < 0)
        client_free(client);
}

static bool is_allowed(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    if (peer.uid == 0 || peer.uid == geteuid())
        return true;
    jmp_log(JMP_LOG_WARNING, NULL, "user %u is not allowed to use the control socket", (unsigned)peer.uid);
    return false;
}

static void on_connect(struct jmp_io *io, uint32_t revents)
{
    struct jmp_control *control = CONTAINER_OF(io, struct jmp_control, io);
    _cleanup_close_ int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct client *client;

    if (fd < 0 || !is_allowed(fd))
        return;
    if (control->count == CLIENTS_MAX) {
        jmp_log(JMP_LOG_WARNING, NULL, "more than %u users of the control socket at a time", CLIENTS_MAX);
        return;
    }
    client = calloc(1, sizeof(*client));
    if (!client || jmp_io_start(control->loop, &client->io, fd, EPOLLIN, on_client) < 0) {
        free(client);
        jmp_log(JMP_LOG_ERROR, NULL, "no memory for a user of the control socket");
        return;
    }
    client->fd = TAKE_FD(fd);
    client->control = control;
    client->link = &control->clients;
    client->next = control->clients;
    if (client->next)
        client->next->link = &client->next;
    control->clients = client;
    control->count++;
}

int jmp_control_new(struct jmp_loop *loop, const char *path, const struct jmp_control_events *events, void *user,
                    struct jmp_control **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_control_freep) struct jmp_control *control = calloc(1, sizeof(*control));
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int r;

    if (!control)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    control->loop = loop;
    control->events = events;
    control->user = user;
    control->fd = -EBADF;
    if (strlen(path) >= sizeof(address.sun_path))
        return jmp_error_set(reterr, -ENAMETOOLONG, "%s is too long for a socket", path);
    strcpy(address.sun_path, path);
    control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->fd < 0)
        return jmp_error_set(reterr, -errno, "no control socket: %m");
    if (unlink(path) < 0 && errno != ENOENT)
        return jmp_error_set(reterr, -errno, "%s: %m", path);
    if (bind(control->fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0600) < 0 ||
        listen(control->fd, CLIENTS_MAX) < 0)
        return jmp_error_set(reterr, -errno, "%s: %m", path);
    r = jmp_io_start(loop, &control->io, control->fd, EPOLLIN, on_connect);
    if (r < 0)
        return jmp_error_set(reterr, r, "no control socket: %m");

    *ret = TAKE_PTR(control);
    return 0;
}

struct jmp_control *jmp_control_free(struct jmp_control *control)
{
    if (!control)
        return NULL;
    while (control->clients)
        client_free(control->clients);
    jmp_timer_close(&control->gather);
    jmp_io_close(&control->io);
    jmp_close(control->fd);
    free(control);
    return NULL;
}

static void tell_watchers(struct jmp_timer *timer)
{
    struct jmp_control *control = CONTAINER_OF(timer, struct jmp_control, gather);

    for (struct client *client = control->clients, *next; client; client = next) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;

        next = client->next;
        if (!client->watching)
            continue;
        if (jmp_tree_new(0, &tree) < 0 || jmp_writer_new(tree, &writer) < 0 || answer_status(client, writer) < 0)
            client_free(client);
    }
}

void jmp_control_changed(struct jmp_control *control)
{
    if (!control || !control->clients || control->gather.running)
        return;
    if (jmp_timer_start(control->loop, &control->gather, GATHER, tell_watchers) < 0)
        jmp_log(JMP_LOG_ERROR, NULL, "no timer: who watches is not told");
}
