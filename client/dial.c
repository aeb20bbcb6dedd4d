/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dial.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "rpc/methods.h"
#include "rpc/pump.h"

#define PAUSE_FIRST (100 * JMP_USEC_PER_MSEC)
#define PAUSE_MOST (2 * JMP_USEC_PER_SEC)
#define TOKEN_FRESH (20 * 60 * JMP_USEC_PER_SEC)   /* of the 30 minutes that a router accepts it */
#define LINKS_MAX 1000u
#define ROUTERS_MAX 64u

/* A router that was met. They are few, and channels to them are kept. */
struct router {
    struct router *next;
    struct jmp_channel *channel;
};

/* One connection: waiting for its Dial, then a pump. */
struct link {
    struct link *next, *previous;
    struct jmp_dialer *dialer;
    int fd;                  /* until the pump has it */
    struct jmp_rpc *dial;
    struct jmp_timer retry;
    struct jmp_io io;        /* the local side going away while we dial */
    uint64_t deadline, pause;
    struct jmp_pump *pump;
    bool probe;              /* jmp_dialer_prepare(): there is no connection yet */
    bool gone;               /* freed when its Dial is back */
};

struct jmp_dialer {
    struct jmp_controller_client *controller;
    struct jmp_client *client;
    struct jmp_dial_options options;
    struct router *routers;
    struct link *links;
    unsigned n_links;
    int listenfd;
    char *path;
    struct jmp_io io;
    struct jmp_timer later;       /* accept again, after descriptors ran out */
    bool lost;

    char *endpoint, *token;       /* of a Dial made in advance */
    uint64_t token_time;
    struct jmp_error error;       /* of jmp_dialer_prepare() */
    bool prepared;
};

enum jmp_dial_verdict jmp_dial_judge(const struct jmp_status *status)
{
    if (status->code == JMP_UNAVAILABLE || status->code == JMP_DEADLINE_EXCEEDED)
        return JMP_DIAL_AGAIN;
    /* Before "not ready": jmp-labd says both of a lease that is over. */
    if (strcasestr(status->text, "permission denied") || strstr(status->text, "lease not active") ||
        strstr(status->text, "not found"))
        return JMP_DIAL_LOST;
    if (status->code == JMP_FAILED_PRECONDITION && strstr(status->text, "not ready"))
        return JMP_DIAL_AGAIN;
    return JMP_DIAL_FAILED;
}

static void dial(struct link *link);

int jmp_dialer_new(struct jmp_controller_client *controller, const struct jmp_dial_options *options,
                   struct jmp_dialer **ret, struct jmp_error *reterr)
{
    struct jmp_dialer *dialer = calloc(1, sizeof(*dialer));

    if (!dialer)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    dialer->controller = controller;
    dialer->client = jmp_controller_client_base(controller);
    dialer->listenfd = -EBADF;
    dialer->options = *options;
    dialer->options.lease = strdup(options->lease);
    if (!dialer->options.lease) {
        jmp_dialer_free(dialer);
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    *ret = dialer;
    return 0;
}

static void forget_token(struct jmp_dialer *dialer)
{
    if (dialer->token)
        explicit_bzero(dialer->token, strlen(dialer->token));
    free(dialer->token);
    free(dialer->endpoint);
    dialer->token = dialer->endpoint = NULL;
}

static void link_free(struct link *link)
{
    struct jmp_dialer *dialer = link->dialer;

    if (dialer) {
        if (link->previous)
            link->previous->next = link->next;
        else
            dialer->links = link->next;
        if (link->next)
            link->next->previous = link->previous;
        dialer->n_links--;
        link->dialer = NULL;
    }
    jmp_timer_close(&link->retry);
    jmp_io_close(&link->io);
    jmp_pump_free(link->pump);
    link->pump = NULL;
    link->fd = jmp_close(link->fd);
    if (link->dial) {
        link->gone = true;
        jmp_rpc_cancel(link->dial);
        return;
    }
    free(link);
}

struct jmp_dialer *jmp_dialer_free(struct jmp_dialer *dialer)
{
    struct router *router;

    if (!dialer)
        return NULL;
    while (dialer->links)
        link_free(dialer->links);
    while ((router = dialer->routers)) {
        dialer->routers = router->next;
        jmp_channel_free(router->channel);
        free(router);
    }
    jmp_io_close(&dialer->io);
    jmp_timer_close(&dialer->later);
    if (dialer->listenfd >= 0)
        unlink(dialer->path);
    jmp_close(dialer->listenfd);
    free(dialer->path);
    forget_token(dialer);
    free((void *)dialer->options.lease);
    free(dialer);
    return NULL;
}

const char *jmp_dialer_lease(const struct jmp_dialer *dialer) { return dialer->options.lease; }

unsigned jmp_dialer_links(const struct jmp_dialer *dialer) { return dialer->n_links; }
bool jmp_dialer_is_lost(const struct jmp_dialer *dialer) { return dialer->lost; }

static int find_router(struct jmp_dialer *dialer, const char *endpoint, struct jmp_channel **ret,
                       struct jmp_error *reterr)
{
    struct jmp_channel_options options = jmp_controller_client_options(dialer->controller)->channel;
    _cleanup_free_ struct router *router = NULL;
    struct jmp_channel *controller = jmp_controller_client_channel(dialer->controller);
    unsigned known = 0;
    int r;

    /* A small lab is both in one: another connection would only cost another handshake. */
    if (strcmp(jmp_channel_endpoint(controller), endpoint) == 0) {
        *ret = controller;
        return 0;
    }

    for (struct router *i = dialer->routers; i; i = i->next, known++) {
        if (strcmp(jmp_channel_endpoint(i->channel), endpoint) == 0) {
            *ret = i->channel;
            return 0;
        }
    }
    if (known >= ROUTERS_MAX)
        return jmp_error_set(reterr, -E2BIG, "the controller names more than %u routers", ROUTERS_MAX);

    router = calloc(1, sizeof(*router));
    if (!router)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    options.endpoint = endpoint;
    r = jmp_channel_new(jmp_client_queue(dialer->client), &options, &router->channel, reterr);
    if (r < 0)
        return r;
    router->next = dialer->routers;
    dialer->routers = router;
    *ret = TAKE_PTR(router)->channel;
    return 0;
}

static void report(struct jmp_dialer *dialer, const char *words)
{
    if (dialer->options.failed)
        dialer->options.failed(words, dialer->options.user);
}

static void on_pump_closed(struct jmp_pump *pump, const struct jmp_status *status, void *user)
{
    struct link *link = user;
    char words[600];

    /* CANCELLED is how routers say that the other side was quicker to leave. */
    if (status->code != JMP_OK && status->code != JMP_CANCELLED) {
        snprintf(words, sizeof(words), "the connection through the router broke: %s",
                 *status->text ? status->text : jmp_code_name(status->code));
        report(link->dialer, words);
    }
    link_free(link);
}

static const struct jmp_pump_events pump_events = { .closed = on_pump_closed };

/* The stream to the router; the descriptor is the pump's from here on. */
static int stream(struct link *link, const char *endpoint, const char *token, struct jmp_error *reterr)
{
    struct jmp_channel *channel = NULL;
    char *bearer;
    int r;

    r = find_router(link->dialer, endpoint, &channel, reterr);
    if (r < 0)
        return r;
    if (asprintf(&bearer, "Bearer %s", token) < 0)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    jmp_io_close(&link->io);
    r = jmp_pump_dial(channel, (const struct jmp_metadata[]){ { "authorization", bearer }, { 0 } }, TAKE_FD(link->fd),
                      &pump_events, link, &link->pump);
    explicit_bzero(bearer, strlen(bearer));
    free(bearer);
    return r < 0 ? jmp_error_set(reterr, r, "the stream to the router cannot be opened: %m") : 0;
}

/* A refused probe is an error of jmp_dialer_prepare(), a refused connection one for the log. */
static void refuse(struct link *link, int error, const char *words)
{
    struct jmp_dialer *dialer = link->dialer;

    if (link->probe) {
        jmp_error_set(&dialer->error, error, "%s", words);
        dialer->prepared = true;
        jmp_client_wake(dialer->client);
    } else {
        report(dialer, words);
    }
    link_free(link);
}

static void on_retry(struct jmp_timer *timer) { dial(CONTAINER_OF(timer, struct link, retry)); }

static void on_refused(struct link *link, const struct jmp_status *status)
{
    struct jmp_dialer *dialer = link->dialer;
    const char *reason = *status->text ? status->text : jmp_code_name(status->code);
    enum jmp_dial_verdict verdict = jmp_dial_judge(status);
    char words[700];
    uint64_t now = jmp_now();

    if (verdict == JMP_DIAL_AGAIN && now < link->deadline) {
        uint64_t pause = link->pause;

        if (pause > link->deadline - now)
            pause = link->deadline - now;
        link->pause = link->pause * 2 > PAUSE_MOST ? PAUSE_MOST : link->pause * 2;
        if (jmp_timer_start(jmp_client_loop(dialer->client), &link->retry, pause, on_retry) >= 0)
            return;
    }
    switch (verdict) {
    case JMP_DIAL_LOST:
        dialer->lost = true;
        if (strcasestr(reason, "permission denied"))
            snprintf(words, sizeof(words), "lease %s belongs to another client now", dialer->options.lease);
        else
            snprintf(words, sizeof(words), "lease %s is not active: %s", dialer->options.lease, reason);
        break;
    case JMP_DIAL_AGAIN:
        snprintf(words, sizeof(words), "the exporter of lease %s cannot be reached: %s", dialer->options.lease, reason);
        break;
    case JMP_DIAL_FAILED:
        snprintf(words, sizeof(words), "no connection to the exporter of lease %s: %s", dialer->options.lease, reason);
        break;
    }
    refuse(link, jmp_code_to_errno(status->code), words);
}

static void on_dialed(const struct jmp_status *status, const char *endpoint, const char *token, void *user)
{
    struct link *link = user;
    struct jmp_dialer *dialer = link->dialer;
    struct jmp_error error = { 0 };

    link->dial = NULL;
    if (link->gone) {
        free(link);
        return;
    }
    if (status->code != JMP_OK) {
        on_refused(link, status);
        return;
    }
    if (link->probe) {
        forget_token(dialer);
        dialer->endpoint = strdup(endpoint);
        dialer->token = strdup(token);
        dialer->token_time = jmp_now();
        if (!dialer->endpoint || !dialer->token)
            jmp_error_set(&dialer->error, -ENOMEM, "%m");
        dialer->prepared = true;
        jmp_client_wake(dialer->client);
        link_free(link);
        return;
    }
    if (stream(link, endpoint, token, &error) < 0)
        refuse(link, error.error, error.text);
}

static void dial(struct link *link)
{
    struct jmp_dialer *dialer = link->dialer;
    int r;

    r = jmp_controller_client_dial(dialer->controller, dialer->options.lease, on_dialed, link, &link->dial);
    if (r < 0)
        refuse(link, r, "the controller cannot be asked for a connection");
}

/* Whoever connected has left before there was anything to connect to. */
static void on_local_gone(struct jmp_io *io, uint32_t revents) { link_free(CONTAINER_OF(io, struct link, io)); }

static struct link *link_new(struct jmp_dialer *dialer)
{
    struct link *link = calloc(1, sizeof(*link));

    if (!link)
        return NULL;
    link->dialer = dialer;
    link->fd = -EBADF;
    link->pause = PAUSE_FIRST;
    link->deadline = jmp_now() + dialer->options.timeout;
    link->next = dialer->links;
    if (link->next)
        link->next->previous = link;
    dialer->links = link;
    dialer->n_links++;
    return link;
}

int jmp_dialer_prepare(struct jmp_dialer *dialer, struct jmp_error *reterr)
{
    struct link *link = link_new(dialer);
    int r;

    if (!link)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    link->probe = true;
    dialer->prepared = false;
    dialer->error = (struct jmp_error){ 0 };
    dial(link);
    r = jmp_client_wait(dialer->client, &dialer->prepared, JMP_USEC_INFINITY);
    if (r < 0) {
        link_free(link);
        return jmp_error_set(reterr, r, r == -ECANCELED ? "interrupted" : "%m");
    }
    if (dialer->error.error < 0 && reterr)
        *reterr = dialer->error;
    return dialer->error.error;
}

int jmp_dialer_connect(struct jmp_dialer *dialer, int fd)
{
    struct link *link = link_new(dialer);
    struct jmp_error error = { 0 };
    int r;

    if (!link) {
        jmp_close(fd);
        return -ENOMEM;
    }
    link->fd = fd;
    if (dialer->token && jmp_now() - dialer->token_time < TOKEN_FRESH) {
        r = stream(link, dialer->endpoint, dialer->token, &error);
        forget_token(dialer);
        if (r < 0)
            refuse(link, r, error.text);
        return r;
    }
    /* Hang-up only: what it sends meanwhile stays in its socket. */
    r = jmp_io_start(jmp_client_loop(dialer->client), &link->io, fd, 0, on_local_gone);
    if (r < 0) {
        link_free(link);
        return r;
    }
    dial(link);
    return 0;
}

static void on_later(struct jmp_timer *timer)
{
    struct jmp_dialer *dialer = CONTAINER_OF(timer, struct jmp_dialer, later);

    jmp_io_set(&dialer->io, EPOLLIN);
}

static void on_accept(struct jmp_io *io, uint32_t revents)
{
    struct jmp_dialer *dialer = CONTAINER_OF(io, struct jmp_dialer, io);
    int fd = -EBADF;

    if (dialer->n_links < LINKS_MAX) {
        fd = accept4(dialer->listenfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            jmp_dialer_connect(dialer, fd);
            return;
        }
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        report(dialer, "no descriptor left for another connection");
    }
    /* They wait in the backlog until some are closed. */
    jmp_io_pause(&dialer->io);
    jmp_timer_start(jmp_client_loop(dialer->client), &dialer->later, JMP_USEC_PER_SEC / 4, on_later);
}

int jmp_dialer_listen(struct jmp_dialer *dialer, const char *path, struct jmp_error *reterr)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int fd = -EBADF;
    int r;

    if (strlen(path) >= sizeof(address.sun_path))
        return jmp_error_set(reterr, -ENAMETOOLONG, "%s is too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return jmp_error_set(reterr, -errno, "no socket: %m");
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return jmp_error_set(reterr, -errno, "%s cannot be made: %m", path);
    dialer->path = strdup(path);
    if (!dialer->path || listen(fd, SOMAXCONN) < 0) {
        r = dialer->path ? -errno : -ENOMEM;
        unlink(path);
        return jmp_error_set(reterr, r, "%s: %m", path);
    }
    r = jmp_io_start(jmp_client_loop(dialer->client), &dialer->io, fd, EPOLLIN, on_accept);
    if (r < 0) {
        unlink(path);
        return jmp_error_set(reterr, r, "%s: %m", path);
    }
    dialer->listenfd = TAKE_FD(fd);
    return 0;
}
