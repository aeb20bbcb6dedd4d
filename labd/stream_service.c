/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Status, Listen and Dial: how an exporter learns that it is leased, and how the two ends of a tunnel learn where to
 * meet. (docs/protocol.md, "Status", "Listen", "Dial")
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "labd/service.h"

#define TOKENS_MAX 256u                          /* that wait for one listener: whoever opens many at once gets them */

/*
 * What stays open is charged to whoever opened it: there is a limit for all, and one for each, so that one who opens
 * and opens does not lock out the others.
 */

struct jmp_charge {
    struct jmp_charge *next, **link;
    const char *who;     /* borrowed */
};

#define STREAMS_MAX 4096u                        /* Status and Listen streams */
#define STREAMS_OF_ONE 64u
#define DIALS_MAX 1024u
#define DIALS_OF_ONE 256u

/* Return: false: the call was refused. */
static bool charge_check(const struct jmp_charge *list, struct jmp_rpc *rpc, const char *who, unsigned max,
                         unsigned max_of_one, const char *what)
{
    unsigned all = 0, own = 0;

    for (const struct jmp_charge *charge = list; charge; charge = charge->next) {
        all++;
        own += strcmp(charge->who, who) == 0;
    }
    if (all < max && own < max_of_one)
        return true;

    if (own >= max_of_one)
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "%s has %u %s already", who, own, what);
    else
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "the lab has %u %s already", all, what);
    return false;
}

static void charge_start(struct jmp_charge **list, struct jmp_charge *charge, const char *who)
{
    charge->who = who;
    charge->next = *list;
    charge->link = list;
    if (charge->next)
        charge->next->link = &charge->next;
    *list = charge;
}

static void charge_stop(struct jmp_charge *charge)
{
    *charge->link = charge->next;
    if (charge->next)
        charge->next->link = charge->link;
}

static bool may_stream(struct jmp_lab *lab, struct jmp_rpc *rpc, const char *exporter)
{
    return charge_check(lab->streams, rpc, exporter, STREAMS_MAX, STREAMS_OF_ONE, "open streams");
}

/*
 * Status: the first message always, then only what has changed.
 */

struct status_stream {
    struct jmp_watch watch;
    struct jmp_charge charge;
    struct jmp_lab *lab;
    struct jmp_rpc *rpc;
    char *name;
    char uid[JMP_UUID_SIZE];
    bool attached, sent_any, busy, over;
    char *lease, *client;       /* as last sent; NULL: not leased */
};

static void status_finish(struct status_stream *stream, enum jmp_code code, const char *text)
{
    stream->over = true;
    jmp_rpc_finish(stream->rpc, code, "%s", text);
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static int status_send(struct status_stream *stream, const struct jmp_lease *lease)
{
    Jumpstarter__V1__StatusResponse response = JUMPSTARTER__V1__STATUS_RESPONSE__INIT;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *name = NULL, *client = NULL;
    int r;

    if (lease) {
        name = strdup(lease->name);
        client = strdup(lease->client);
        if (!name || !client || jmp_tree_new(0, &tree) < 0 ||
            JMP_MAP_FILL(tree, &response, context, jumpstarter__v1__status_response__context_entry__init,
                         &lease->context) < 0)
            return -ENOMEM;
        response.leased = true;
        response._lease_name_case = JUMPSTARTER__V1__STATUS_RESPONSE___LEASE_NAME_LEASE_NAME;
        response.lease_name = name;
        response._client_name_case = JUMPSTARTER__V1__STATUS_RESPONSE___CLIENT_NAME_CLIENT_NAME;
        response.client_name = client;
    }

    r = jmp_rpc_send(stream->rpc, &response.base);
    if (r < 0)
        return r;
    stream->busy = stream->sent_any = true;
    free(stream->lease);
    free(stream->client);
    stream->lease = TAKE_PTR(name);
    stream->client = TAKE_PTR(client);
    return 0;
}

static void status_changed(struct jmp_watch *watch)
{
    struct status_stream *stream = CONTAINER_OF(watch, struct status_stream, watch);
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    bool leased = false;
    int r;

    if (stream->over || stream->busy)
        return;
    r = jmp_store_get_exporter(stream->lab->store, stream->name, &exporter);
    if (r == 0 && strcmp(exporter.uid, stream->uid) != 0)
        r = -ENOENT;   /* deleted, and made anew: not the one that called */
    if (r == 0) {
        r = jmp_store_get_lease_of(stream->lab->store, stream->name, &lease);
        leased = r == 0;
        if (r == -ENOENT)
            r = 0;
    }
    if (r < 0) {
        stream->over = true;
        jmp_refuse_store(stream->lab, stream->rpc, r, "exporters", stream->name);
        return;
    }

    if (stream->sent_any && is_same(stream->lease, lease.name) && is_same(stream->client, lease.client))
        return;
    /* Between two leases an exporter must see that it was free: stock ones serve the old lease on otherwise. sent()
     * sends the second. */
    if (leased && stream->lease && strcmp(stream->lease, lease.name) != 0)
        leased = false;
    r = status_send(stream, leased ? &lease : NULL);
    if (r < 0)
        status_finish(stream, JMP_RESOURCE_EXHAUSTED, "the status cannot be sent");
}

static void status_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct status_stream *stream = user;

    stream->busy = false;
    if (ok)
        status_changed(&stream->watch);
}

static void status_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct status_stream *stream = user;

    jmp_watch_stop(stream->lab, &stream->watch);
    if (stream->attached)
        jmp_lab_detach(stream->lab, stream->name);
    charge_stop(&stream->charge);
    free(stream->name);
    free(stream->lease);
    free(stream->client);
    free(stream);
}

static const struct jmp_rpc_events status_events = { .sent = status_sent, .closed = status_closed };

JMP_LABD_METHOD(jmp_on_status)
{
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    struct jmp_lab *lab = user;
    struct status_stream *stream;
    int r = 0;

    if (!jmp_auth_exporter(lab, rpc, &exporter) || !may_stream(lab, rpc, exporter.name))
        return;
    stream = calloc(1, sizeof(*stream));
    if (!stream || !(stream->name = strdup(exporter.name)) ||
        jmp_watch_start(lab, &stream->watch, exporter.name, status_changed) < 0) {
        if (stream)
            free(stream->name);
        free(stream);
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    charge_start(&lab->streams, &stream->charge, stream->name);
    stream->lab = lab;
    stream->rpc = rpc;
    memcpy(stream->uid, exporter.uid, sizeof(stream->uid));
    jmp_rpc_listen(rpc, &status_events, stream);
    stream->attached = jmp_lab_attach(lab, exporter.name) == 0;
    if (!stream->attached) {
        status_finish(stream, JMP_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }

    /* The stream is the sign of life: who was taken as offline is so no longer. */
    exporter.seen = jmp_wall_now();
    if (exporter.status == JMP_STATUS_OFFLINE) {
        exporter.status = JMP_STATUS_UNSPECIFIED;
        exporter.message[0] = '\0';
    }
    r = jmp_store_put_state(lab->store, &exporter);
    if (r < 0) {
        stream->over = true;
        jmp_refuse_store(lab, rpc, r, "exporters", exporter.name);
        return;
    }

    status_changed(&stream->watch);
    jmp_lab_schedule(lab);
}

/*
 * Listen: one queue of tokens for each lease; a newer listener takes the place of an older one.
 */

struct jmp_listener {
    struct jmp_listener *next;
    struct jmp_charge charge;
    struct jmp_lab *lab;
    struct jmp_rpc *rpc;
    char *lease, *exporter;
    char *tokens[TOKENS_MAX];
    unsigned count;
    bool busy, superseded;
};

static void listener_unlink(struct jmp_listener *listener)
{
    for (struct jmp_listener **link = &listener->lab->listeners; *link; link = &(*link)->next) {
        if (*link == listener) {
            *link = listener->next;
            return;
        }
    }
}

static struct jmp_listener *listener_find(const struct jmp_lab *lab, const char *lease)
{
    for (struct jmp_listener *listener = lab->listeners; listener; listener = listener->next)
        if (strcmp(listener->lease, lease) == 0)
            return listener;

    return NULL;
}

/* Where this peer reaches us: as configured, else as it does already. */
static const char *endpoint_for(const struct jmp_lab *lab, const struct jmp_rpc *rpc)
{
    const char *used = jmp_rpc_authority(rpc), *port = strrchr(used, ':');

    if (lab->endpoint)
        return lab->endpoint;
    if (port && port != used && port[1] && strspn(port + 1, "0123456789") == strlen(port + 1) &&
        strlen(used) < JMP_LAB_ENDPOINT_MAX)
        return used;

    return lab->fallback;
}

static void listener_next(struct jmp_listener *listener)
{
    Jumpstarter__V1__ListenResponse response = JUMPSTARTER__V1__LISTEN_RESPONSE__INIT;
    _cleanup_free_ char *token = NULL;
    int r;

    if (listener->busy)
        return;
    if (listener->count == 0) {
        if (listener->superseded)
            jmp_rpc_finish(listener->rpc, JMP_OK, "%s", "");
        return;
    }

    token = listener->tokens[0];
    listener->count--;
    memmove(listener->tokens, listener->tokens + 1, listener->count * sizeof(*listener->tokens));
    response.router_endpoint = (char *)endpoint_for(listener->lab, listener->rpc);
    response.router_token = token;
    r = jmp_rpc_send(listener->rpc, &response.base);
    if (r == 0)
        listener->busy = true;
    else
        jmp_rpc_finish(listener->rpc, JMP_UNAVAILABLE, "a token cannot be delivered");
}

static void listener_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct jmp_listener *listener = user;

    listener->busy = false;
    if (ok)
        listener_next(listener);
}

static void listener_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct jmp_listener *listener = user;

    listener_unlink(listener);
    charge_stop(&listener->charge);
    for (unsigned i = 0; i < listener->count; i++)
        free(listener->tokens[i]);
    free(listener->lease);
    free(listener->exporter);
    free(listener);
}

static const struct jmp_rpc_events listener_events = { .sent = listener_sent, .closed = listener_closed };

/* The lease that a stream is for. Return: false: the call was refused. */
static bool get_lease(struct jmp_lab *lab, struct jmp_rpc *rpc, const char *name, struct jmp_lease *ret)
{
    int r;

    if (!name[0]) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "empty lease name");
        return false;
    }
    r = jmp_store_get_lease(lab->store, name, ret);
    if (r < 0)
        jmp_refuse_store(lab, rpc, r, "leases", name);
    return r >= 0;
}

JMP_LABD_METHOD(jmp_on_listen)
{
    const Jumpstarter__V1__ListenRequest *message = (const Jumpstarter__V1__ListenRequest *)request;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    struct jmp_lab *lab = user;
    struct jmp_listener *listener, *older;

    if (!jmp_auth_exporter(lab, rpc, &exporter) || !get_lease(lab, rpc, message->lease_name, &lease))
        return;
    if (!lease.exporter || strcmp(lease.exporter, exporter.name) != 0) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "permission denied");
        return;
    }

    if (!may_stream(lab, rpc, exporter.name))
        return;
    listener = calloc(1, sizeof(*listener));
    if (!listener) {
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    older = listener_find(lab, lease.name);
    if (older) {
        listener_unlink(older);
        older->superseded = true;
        listener_next(older);
    }
    listener->lab = lab;
    listener->rpc = rpc;
    listener->lease = TAKE_PTR(lease.name);
    listener->exporter = TAKE_PTR(exporter.name);
    charge_start(&lab->streams, &listener->charge, listener->exporter);
    listener->next = lab->listeners;
    lab->listeners = listener;
    jmp_rpc_listen(rpc, &listener_events, listener);
    jmp_rpc_send_headers(rpc, NULL);   /* so that the exporter knows it is heard before it says that it is ready */
    jmp_lab_changed(lab, listener->exporter);
}

/*
 * Dial: held while the exporter has not begun with the lease, then the same token for both sides.
 */

struct dial {
    struct jmp_watch watch;
    struct jmp_charge charge;
    struct jmp_timer timer;
    struct jmp_lab *lab;
    struct jmp_rpc *rpc;
    char *lease, *client;
    uint64_t since, begun, until;   /* it came; the exporter was seen to have begun, or 0; the client gives up */
    bool over;
};

static void dial_refuse(struct dial *dial, enum jmp_code code, const char *fmt, ...) JMP_PRINTF(3, 4);

static void dial_refuse(struct dial *dial, enum jmp_code code, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    dial->over = true;
    jmp_rpc_finish(dial->rpc, code, "%s", text);
}

static void dial_connect(struct dial *dial, struct jmp_listener *listener)
{
    Jumpstarter__V1__DialResponse response = JUMPSTARTER__V1__DIAL_RESPONSE__INIT;
    int64_t now = jmp_wall_now() / JMP_SECOND;
    char stream[JMP_UUID_SIZE];
    char *token;

    if (listener->count >= TOKENS_MAX) {
        dial_refuse(dial, JMP_RESOURCE_EXHAUSTED, "listener buffer full on lease %s", dial->lease);
        return;
    }
    jmp_uuid_random(stream);
    if (jmp_token_sign(&dial->lab->stream_key, &jmp_token_stream, stream, now, now + JMP_STREAM_TOKEN_LIFETIME,
                       &token) < 0) {
        dial_refuse(dial, JMP_INTERNAL, "unable to sign token");
        return;
    }

    dial->over = true;
    response.router_endpoint = (char *)endpoint_for(dial->lab, dial->rpc);
    response.router_token = token;
    jmp_rpc_reply(dial->rpc, &response.base);
    listener->tokens[listener->count++] = token;
    listener_next(listener);
}

/* Waits for the next change, until @limit at most. Return: false: it has waited long enough. */
static bool dial_hold(struct dial *dial, uint64_t limit)
{
    uint64_t until = limit < dial->until ? limit : dial->until, now = jmp_now();

    if (now >= until)
        return false;

    return jmp_timer_start(dial->lab->loop, &dial->timer, until - now, dial->timer.run) == 0;
}

static void dial_try(struct dial *dial)
{
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    struct jmp_listener *listener;
    int r;

    if (dial->over)
        return;
    r = jmp_store_get_lease(dial->lab->store, dial->lease, &lease);
    if (r < 0) {
        dial->over = true;
        jmp_refuse_store(dial->lab, dial->rpc, r, "leases", dial->lease);
        return;
    }
    if (strcmp(lease.client, dial->client) != 0) {
        dial_refuse(dial, JMP_UNKNOWN, "permission denied");
        return;
    }
    if (!lease.exporter) {
        dial_refuse(dial, JMP_UNKNOWN, "lease not active");
        return;
    }
    if (lease.ended) {
        /*
         * The stock controller has nobody listening on it any more, and its clients ask again for half a minute, then
         * leave, without a word if they know that their time is over. With any other answer a client that was waiting
         * for a beforeLease hook asks the exporter's status for five minutes, then calls it an error.
         */
        dial_refuse(dial, JMP_FAILED_PRECONDITION, "lease not active any more, exporter not ready for it");
        return;
    }
    r = jmp_store_get_exporter(dial->lab->store, lease.exporter, &exporter);
    if (r < 0) {
        dial->over = true;
        jmp_refuse_store(dial->lab, dial->rpc, r, "exporters", lease.exporter);
        return;
    }

    switch (exporter.status) {
    case JMP_STATUS_OFFLINE:
        dial_refuse(dial, JMP_FAILED_PRECONDITION, "exporter is offline");
        return;
    case JMP_STATUS_BEFORE_LEASE_HOOK_FAILED:
        dial_refuse(dial, JMP_FAILED_PRECONDITION, "exporter beforeLease hook failed");
        return;
    case JMP_STATUS_AFTER_LEASE_HOOK_FAILED:
        dial_refuse(dial, JMP_FAILED_PRECONDITION, "exporter afterLease hook failed");
        return;
    case JMP_STATUS_AVAILABLE:
        dial->begun = 0;
        if (!dial_hold(dial, dial->since + dial->lab->limits.hold_available))
            dial_refuse(dial, JMP_FAILED_PRECONDITION, "exporter is not ready (status: Available)");
        return;
    }

    if (!dial->begun)
        dial->begun = jmp_now();
    listener = listener_find(dial->lab, dial->lease);
    if (listener)
        dial_connect(dial, listener);
    else if (!jmp_lab_is_attached(dial->lab, exporter.name) ||
             !dial_hold(dial, dial->begun + dial->lab->limits.hold_listener))
        dial_refuse(dial, JMP_UNAVAILABLE, "exporter is not listening on lease %s", dial->lease);
}

static void dial_changed(struct jmp_watch *watch)
{
    dial_try(CONTAINER_OF(watch, struct dial, watch));
}

static void dial_timer(struct jmp_timer *timer)
{
    dial_try(CONTAINER_OF(timer, struct dial, timer));
}

static void dial_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct dial *dial = user;

    jmp_watch_stop(dial->lab, &dial->watch);
    jmp_timer_close(&dial->timer);
    charge_stop(&dial->charge);
    free(dial->lease);
    free(dial->client);
    free(dial);
}

static const struct jmp_rpc_events dial_events = { .closed = dial_closed };

JMP_LABD_METHOD(jmp_on_dial)
{
    const Jumpstarter__V1__DialRequest *message = (const Jumpstarter__V1__DialRequest *)request;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    struct jmp_lab *lab = user;
    struct dial *dial;

    if (!jmp_auth_client(lab, rpc, &client) || !get_lease(lab, rpc, message->lease_name, &lease))
        return;
    if (!charge_check(lab->dials, rpc, client.name, DIALS_MAX, DIALS_OF_ONE, "calls that wait for an exporter"))
        return;

    dial = calloc(1, sizeof(*dial));
    if (!dial || jmp_watch_start(lab, &dial->watch, lease.exporter ? lease.exporter : "", dial_changed) < 0) {
        free(dial);
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    dial->lab = lab;
    dial->rpc = rpc;
    dial->lease = TAKE_PTR(lease.name);
    dial->client = TAKE_PTR(client.name);
    charge_start(&lab->dials, &dial->charge, dial->client);
    dial->since = jmp_now();
    dial->until = jmp_rpc_deadline(rpc);
    dial->timer.run = dial_timer;
    jmp_rpc_listen(rpc, &dial_events, dial);
    dial_try(dial);
}
