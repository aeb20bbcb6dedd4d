/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tunnel.h"

#include <string.h>
#include <sys/socket.h>

#include "agent/redact.h"
#include "base/log.h"
#include "rpc/pump.h"

/* Routers that are kept connected. A lab has one or two. */
#define ROUTERS_MAX 8
/* A token whose client never comes: stock clients throw away their first. */
#define ORPHAN_AGE (180 * JMP_USEC_PER_SEC)
/* Our end has closed, and the router says nothing: it does not pass on that its client is lost. */
#define SILENCE (10 * JMP_USEC_PER_SEC)
/* What a session said last (GOAWAY of the inner connection) may still leave. */
#define LAST_WORDS (1 * JMP_USEC_PER_SEC)
#define LOOK_EACH (30 * JMP_USEC_PER_SEC)
/* A router that is dialled and not reached for so long gets a new connection: gRPC gives up by itself after 20 s,
 * unless its timers sleep because somebody has set the clock back. */
#define UNREACHED (30 * JMP_USEC_PER_SEC)
#define SOCKET_BUFFER (1024 * 1024)

struct router {
    struct jmp_channel *channel;
    unsigned users;
    uint64_t used;              /* when last */
    uint64_t unreached;         /* since when it was dialled without a connection; 0: it was there last time */
};

struct tunnel {
    struct tunnel *next, **link;
    struct jmp_tunnels *tunnels;
    struct router *router;
    struct jmp_pump *pump;
    uint64_t opened, ended;     /* ended: our end closed, seen at that time; 0: not yet */
    uint64_t cut;               /* when it is cut in any case; 0: never */
};

struct jmp_tunnels {
    struct jmp_queue *queue;
    const struct jmp_channel_options *options;
    unsigned patience;          /* percent */
    struct router routers[ROUTERS_MAX];
    struct tunnel *first;
    unsigned count;
    struct jmp_timer look;
    uint64_t look_at;           /* when it fires; 0: stopped */
};

static void look(struct jmp_timer *timer);

static uint64_t scaled(const struct jmp_tunnels *tunnels, uint64_t usec) { return usec * tunnels->patience / 100; }

/* Sooner than before, never later: leases that follow each other quickly must not put it off for ever. */
static int look_in(struct jmp_tunnels *tunnels, uint64_t wait)
{
    uint64_t at = jmp_now() + wait;
    int r;

    if (tunnels->look_at && tunnels->look_at <= at)
        return 0;
    r = jmp_timer_start(jmp_queue_loop(tunnels->queue), &tunnels->look, wait, look);
    if (r == 0)
        tunnels->look_at = at;
    return r;
}

static void tunnel_free(struct tunnel *tunnel)
{
    *tunnel->link = tunnel->next;
    if (tunnel->next)
        tunnel->next->link = tunnel->link;
    tunnel->router->users--;
    tunnel->router->used = jmp_now();
    tunnel->tunnels->count--;
    jmp_pump_free(tunnel->pump);
    free(tunnel);
}

static void on_closed(struct jmp_pump *pump, const struct jmp_status *status, void *user)
{
    struct tunnel *tunnel = user;
    const char *endpoint = jmp_channel_endpoint(tunnel->router->channel);
    struct jmp_pump_stats stats;

    jmp_pump_stats(pump, &stats);
    /* A client that did not come, or has gone, is an everyday thing; so is a cancel that overtakes the end. */
    if (status->code == JMP_OK || status->code == JMP_CANCELLED || (stats.peer_seen && stats.ended))
        jmp_log(JMP_LOG_DEBUG, FIELDS(.endpoint = endpoint), "tunnel closed: %s", jmp_code_name(status->code));
    else
        jmp_log(JMP_LOG_WARNING, FIELDS(.endpoint = endpoint), "tunnel through %s broke: %s: %s", endpoint,
                jmp_code_name(status->code), JMP_REDACT(status->text));
    tunnel_free(tunnel);
}

static const struct jmp_pump_events events = { .closed = on_closed };

int jmp_tunnels_new(struct jmp_queue *queue, const struct jmp_channel_options *options, unsigned patience,
                    struct jmp_tunnels **ret)
{
    struct jmp_tunnels *tunnels = calloc(1, sizeof(*tunnels));

    if (!tunnels)
        return -ENOMEM;
    tunnels->queue = queue;
    tunnels->options = options;
    tunnels->patience = patience ?: 100;
    *ret = tunnels;
    return 0;
}

struct jmp_tunnels *jmp_tunnels_free(struct jmp_tunnels *tunnels)
{
    if (!tunnels)
        return NULL;
    while (tunnels->first)
        tunnel_free(tunnels->first);
    for (size_t i = 0; i < ROUTERS_MAX; i++)
        jmp_channel_free(tunnels->routers[i].channel);
    jmp_timer_close(&tunnels->look);
    free(tunnels);
    return NULL;
}

void jmp_tunnels_each(const struct jmp_tunnels *tunnels, void (*each)(const struct jmp_tunnel_stats *stats, void *user),
                      void *user)
{
    for (const struct tunnel *tunnel = tunnels->first; tunnel; tunnel = tunnel->next) {
        struct jmp_pump_stats pump;

        jmp_pump_stats(tunnel->pump, &pump);
        each(&(struct jmp_tunnel_stats){ .router = jmp_channel_endpoint(tunnel->router->channel),
                                         .opened = tunnel->opened,
                                         .bytes_in = pump.bytes_in,
                                         .bytes_out = pump.bytes_out },
             user);
    }
}

unsigned jmp_tunnels_count(const struct jmp_tunnels *tunnels) { return tunnels->count; }

/* The connection to a router is kept; with more routers than places the one idle for longest goes. */
static int find_router(struct jmp_tunnels *tunnels, const char *endpoint, struct router **ret, struct jmp_error *reterr)
{
    struct jmp_channel_options options = *tunnels->options;
    struct router *place = NULL;
    struct jmp_channel *channel;
    int r;

    for (size_t i = 0; i < ROUTERS_MAX; i++) {
        struct router *router = &tunnels->routers[i];

        if (router->channel && strcmp(jmp_channel_endpoint(router->channel), endpoint) == 0) {
            *ret = router;
            return 0;
        }
        if (router->users == 0 && (!place || (place->channel && (!router->channel || router->used < place->used))))
            place = router;
    }
    if (!place)
        return jmp_error_set(reterr, -ENOBUFS, "more than %u routers at a time", ROUTERS_MAX);

    options.endpoint = endpoint;
    r = jmp_channel_new(tunnels->queue, &options, &channel, reterr);
    if (r < 0)
        return r;
    jmp_channel_free(place->channel);
    *place = (struct router){ .channel = channel };
    *ret = place;
    return 0;
}

static void see_to(const struct jmp_tunnels *tunnels, struct router *router)
{
    if (jmp_channel_is_ready(router->channel)) {
        router->unreached = 0;
        return;
    }
    if (!router->unreached)
        router->unreached = jmp_now();
    if (jmp_now() - router->unreached >= scaled(tunnels, UNREACHED)) {
        jmp_channel_renew(router->channel);
        router->unreached = jmp_now();
    }
    jmp_channel_wake(router->channel);
}

static int dial(struct tunnel *tunnel, const char *token, int fd)
{
    struct jmp_metadata metadata[2] = { { "authorization" } };
    char *bearer;
    int r;

    if (asprintf(&bearer, "Bearer %s", token) < 0) {
        jmp_close(fd);
        return -ENOMEM;
    }
    metadata[0].value = bearer;
    see_to(tunnel->tunnels, tunnel->router);
    r = jmp_pump_dial(tunnel->router->channel, metadata, fd, &events, tunnel, &tunnel->pump);
    explicit_bzero(bearer, strlen(bearer));
    free(bearer);
    return r;
}

int jmp_tunnels_open(struct jmp_tunnels *tunnels, struct jmp_session *session, const char *endpoint, const char *token,
                     struct jmp_error *reterr)
{
    _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
    struct tunnel *tunnel;
    struct router *router = NULL;
    int r;

    if (tunnels->count >= JMP_TUNNELS_MAX)
        return jmp_error_set(reterr, -ENOBUFS, "more than %u tunnels at a time", JMP_TUNNELS_MAX);
    r = find_router(tunnels, endpoint, &router, reterr);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return jmp_error_set(reterr, -errno, "no socket for a tunnel: %m");
    for (unsigned i = 0; i < 2; i++)
        (void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &(int){ SOCKET_BUFFER }, sizeof(int));   /* only speed */

    tunnel = calloc(1, sizeof(*tunnel));
    if (!tunnel)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    tunnel->tunnels = tunnels;
    tunnel->router = router;
    tunnel->opened = jmp_now();
    r = dial(tunnel, token, TAKE_FD(pair[0]));
    if (r < 0) {
        free(tunnel);
        return jmp_error_set(reterr, r, "no stream through %s: %m", endpoint);
    }
    tunnel->link = &tunnels->first;
    tunnel->next = tunnels->first;
    if (tunnel->next)
        tunnel->next->link = &tunnel->next;
    tunnels->first = tunnel;
    tunnels->count++;
    router->users++;

    /* Last, because adoption cannot be undone. The server's SETTINGS leave at once, before the client has come. */
    r = jmp_session_adopt(session, TAKE_FD(pair[1]));
    if (r < 0) {
        tunnel_free(tunnel);
        return jmp_error_set(reterr, r, "the session takes no more clients: %m");
    }
    if (look_in(tunnels, scaled(tunnels, LOOK_EACH)) < 0)
        jmp_log(JMP_LOG_WARNING, NULL, "no timer: tunnels without a client stay until the lease ends");
    return 0;
}

static bool is_over(struct tunnel *tunnel, uint64_t now)
{
    struct jmp_pump_stats stats;

    jmp_pump_stats(tunnel->pump, &stats);
    if (stats.ended && !tunnel->ended)
        tunnel->ended = now;
    if (tunnel->cut && now >= tunnel->cut)
        return true;
    if (tunnel->ended && now - tunnel->ended >= scaled(tunnel->tunnels, SILENCE))
        return true;
    return !stats.peer_seen && now - tunnel->opened >= scaled(tunnel->tunnels, ORPHAN_AGE);
}

static void look(struct jmp_timer *timer)
{
    struct jmp_tunnels *tunnels = CONTAINER_OF(timer, struct jmp_tunnels, look);
    uint64_t now = jmp_now(), wait = scaled(tunnels, LOOK_EACH);

    tunnels->look_at = 0;
    for (struct tunnel *tunnel = tunnels->first, *next; tunnel; tunnel = next) {
        next = tunnel->next;
        if (is_over(tunnel, now))
            tunnel_free(tunnel);
        else if (tunnel->cut || tunnel->ended)
            wait = scaled(tunnels, LAST_WORDS);
    }
    if (tunnels->first && look_in(tunnels, wait) < 0)
        jmp_log(JMP_LOG_WARNING, NULL, "no timer: tunnels without a client stay until the lease ends");
}

void jmp_tunnels_end(struct jmp_tunnels *tunnels)
{
    uint64_t cut = jmp_now() + scaled(tunnels, LAST_WORDS);

    if (!tunnels->first)
        return;
    for (struct tunnel *tunnel = tunnels->first; tunnel; tunnel = tunnel->next)
        if (!tunnel->cut)
            tunnel->cut = cut;
    if (look_in(tunnels, scaled(tunnels, LAST_WORDS)) < 0)
        while (tunnels->first)
            tunnel_free(tunnels->first);
}
