/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/session.h"

#include <string.h>

#include "agent/exporter_service.h"
#include "agent/listener.h"
#include "agent/stream_service.h"
#include "rpc/methods.h"
#include "rpc/server.h"

/* Clients that wait for a beforeLease hook; the stock client has one call at a time under way. */
#define WAITERS_MAX 1024

struct jmp_session {
    struct jmp_queue *queue;
    struct jmp_devices *devices;
    struct jmp_logstream *logs;
    uint64_t log_start;
    char *name, *uuid, *motd, *passphrase;
    bool (*end)(void *user, const char **retmessage);
    void *user;

    struct jmp_status_line status;
    struct jmp_hearing *hearing;
    struct jmp_door client_door, hook_door;
    struct jmp_server *clients, *hooks;

    struct jmp_waiter *waiters, **last_waiter;
    unsigned waiting;
    struct jmp_post open_gate;
};

static const struct jmp_handler handlers[] = {
    { &jmp_exporter_get_report, jmp_service_get_report },
    { &jmp_exporter_driver_call, jmp_service_driver_call },
    { &jmp_exporter_streaming_driver_call, jmp_service_streaming_driver_call },
    { &jmp_exporter_log_stream, jmp_service_log_stream },
    { &jmp_exporter_get_status, jmp_service_get_status },
    { &jmp_exporter_end_session, jmp_service_end_session },
    { &jmp_exporter_reset, jmp_service_reset },
    { &jmp_router_stream, jmp_service_stream },
    {}
};

static int copy(char **ret, const char *text)
{
    if (!text)
        return 0;
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

static void open_gate(struct jmp_post *post);

static int make_server(struct jmp_session *session, struct jmp_door *door, struct jmp_server **ret)
{
    const struct jmp_server_options options = {
        .handlers = handlers, .user = door, .admit = door->passphrase ? jmp_listener_admit : NULL,
    };

    return jmp_server_new(session->queue, &options, ret);
}

int jmp_session_new(const struct jmp_session_options *options, struct jmp_session **ret, unsigned *retport,
                    struct jmp_error *reterr)
{
    _cleanup_(jmp_session_freep) struct jmp_session *session = calloc(1, sizeof(*session));
    char address[160];
    unsigned port = 0;
    int r;

    if (!session)
        return jmp_error_set(reterr, -ENOMEM, "%m");

    session->queue = options->queue;
    session->devices = options->devices;
    session->logs = options->logs;
    session->log_start = jmp_logstream_head(options->logs);
    session->end = options->end;
    session->user = options->user;
    session->last_waiter = &session->waiters;
    session->open_gate.run = open_gate;
    jmp_status_line_begin(&session->status);
    if (copy(&session->name, options->name) < 0 || copy(&session->uuid, options->uuid) < 0 ||
        copy(&session->motd, options->motd) < 0 || copy(&session->passphrase, options->passphrase) < 0)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    r = jmp_hearing_new(jmp_queue_loop(session->queue), options->hearing, &session->hearing);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    session->client_door = (struct jmp_door){ .session = session, .passphrase = session->passphrase };
    session->hook_door = (struct jmp_door){ .session = session, .trusted = true };

    r = make_server(session, &session->client_door, &session->clients);
    if (r < 0)
        return jmp_error_set(reterr, r, "no server for clients: %m");
    if (options->address) {
        r = jmp_server_listen(session->clients, options->address, options->cert, options->key, &port, reterr);
        if (r < 0)
            return r;
    }

    if (options->hook_socket) {
        r = make_server(session, &session->hook_door, &session->hooks);
        if (r < 0)
            return jmp_error_set(reterr, r, "no server for hooks: %m");
        snprintf(address, sizeof(address), "unix:%s", options->hook_socket);
        r = jmp_server_listen(session->hooks, address, NULL, NULL, NULL, reterr);
        if (r < 0)
            return r;
        r = jmp_server_start(session->hooks);
        if (r < 0)
            return jmp_error_set(reterr, r, "the server for hooks does not start: %m");
    }

    r = jmp_server_start(session->clients);
    if (r < 0)
        return jmp_error_set(reterr, r, "the server for clients does not start: %m");

    if (retport)
        *retport = port;
    *ret = TAKE_PTR(session);
    return 0;
}

struct jmp_session *jmp_session_free(struct jmp_session *session)
{
    if (!session)
        return NULL;

    /* Every call hears of its end here, and those at the gate leave it. */
    session->clients = jmp_server_free(session->clients);
    session->hooks = jmp_server_free(session->hooks);
    jmp_loop_unpost(jmp_queue_loop(session->queue), &session->open_gate);
    jmp_hearing_free(session->hearing);
    free(session->name);
    free(session->uuid);
    free(session->motd);
    if (session->passphrase)
        explicit_bzero(session->passphrase, strlen(session->passphrase));
    free(session->passphrase);
    free(session);
    return NULL;
}

int jmp_session_adopt(struct jmp_session *session, int fd) { return jmp_server_adopt(session->clients, fd); }

void jmp_session_set_status(struct jmp_session *session, enum jmp_exporter_status status, const char *message)
{
    jmp_status_line_set(&session->status, status, message);
    if (jmp_exporter_status_is_failure(status))
        jmp_hearing_failed(session->hearing, jmp_logstream_head(session->logs));
    else
        jmp_hearing_over(session->hearing);
    if (session->waiters && jmp_status_line_gate(&session->status) != JMP_GATE_HOLD)
        jmp_loop_post(jmp_queue_loop(session->queue), &session->open_gate);
}

const struct jmp_status_line *jmp_session_status(const struct jmp_session *session) { return &session->status; }

int jmp_session_add_motd(struct jmp_session *session, const char *text)
{
    char *motd;

    if (asprintf(&motd, "%s%s%s", session->motd ?: "", session->motd ? "\n" : "", text) < 0)
        return -ENOMEM;
    free(session->motd);
    session->motd = motd;
    return 0;
}

struct jmp_devices *jmp_session_devices(const struct jmp_session *session) { return session->devices; }
struct jmp_logstream *jmp_session_logs(const struct jmp_session *session) { return session->logs; }
uint64_t jmp_session_log_start(const struct jmp_session *session) { return session->log_start; }
struct jmp_hearing *jmp_session_hearing(const struct jmp_session *session) { return session->hearing; }
const char *jmp_session_name(const struct jmp_session *session) { return session->name; }
const char *jmp_session_uuid(const struct jmp_session *session) { return session->uuid; }
const char *jmp_session_motd(const struct jmp_session *session) { return session->motd ?: ""; }

bool jmp_session_end(struct jmp_session *session, const char **retmessage)
{
    return session->end(session->user, retmessage);
}

/* From the loop, not from within whatever set the status: a call may do anything when it goes on. */
static void open_gate(struct jmp_post *post)
{
    struct jmp_session *session = CONTAINER_OF(post, struct jmp_session, open_gate);

    while (session->waiters && jmp_status_line_gate(&session->status) != JMP_GATE_HOLD) {
        struct jmp_waiter *waiter = session->waiters;

        session->waiters = waiter->next;
        if (session->waiters)
            session->waiters->link = &session->waiters;
        else
            session->last_waiter = &session->waiters;
        session->waiting--;
        waiter->next = NULL;
        waiter->link = NULL;
        waiter->session = NULL;
        waiter->go(waiter, jmp_status_line_gate(&session->status) == JMP_GATE_OPEN);
    }
}

enum jmp_gate jmp_session_pass(const struct jmp_door *door, struct jmp_waiter *waiter)
{
    struct jmp_session *session = door->session;
    enum jmp_gate gate = door->trusted ? JMP_GATE_OPEN : jmp_status_line_gate(&session->status);

    if (gate != JMP_GATE_HOLD)
        return gate;
    if (session->waiting >= WAITERS_MAX)
        return JMP_GATE_REFUSE;

    waiter->session = session;
    waiter->next = NULL;
    waiter->link = session->last_waiter;
    *session->last_waiter = waiter;
    session->last_waiter = &waiter->next;
    session->waiting++;
    return JMP_GATE_HOLD;
}

void jmp_session_leave(struct jmp_waiter *waiter)
{
    struct jmp_session *session = TAKE_PTR(waiter->session);

    if (!session)
        return;

    *waiter->link = waiter->next;
    if (waiter->next)
        waiter->next->link = waiter->link;
    else
        session->last_waiter = waiter->link;
    session->waiting--;
    waiter->next = NULL;
    waiter->link = NULL;
}

void jmp_session_refuse(const struct jmp_session *session, struct jmp_rpc *rpc)
{
    jmp_rpc_finish(rpc, JMP_FAILED_PRECONDITION, "Exporter not ready for driver calls (status: %s)",
                   jmp_exporter_status_name(session->status.value));
}
