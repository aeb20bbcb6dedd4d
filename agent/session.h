/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: what one leaseholder may talk to. It serves ExporterService and RouterService on two doors with the same
 * handlers: the clients' door (tunnels, or the direct listener) and a private unix socket for the exporter's own hooks
 * and for local tools, which no gate and no passphrase holds up. (docs/protocol.md, "Session")
 */
#pragma once

#include "agent/device.h"
#include "agent/exporter_status.h"
#include "agent/hearing.h"
#include "agent/logstream.h"
#include "rpc/queue.h"
#include "rpc/rpc.h"

struct jmp_session;

struct jmp_session_options {
    struct jmp_queue *queue;         /* these three outlive the session */
    struct jmp_devices *devices;
    struct jmp_logstream *logs;
    const char *name, *uuid;         /* of the exporter; copied, as are the rest */
    const char *motd;                /* or NULL */
    const char *hook_socket;         /* path of the private unix socket, or NULL */
    /* Direct mode: where clients come from, instead of tunnels. */
    const char *address;             /* "127.0.0.1:0", or NULL */
    const char *cert, *key;          /* PEM text, or NULL for plaintext */
    const char *passphrase;          /* or NULL */
    uint64_t hearing;                /* microseconds that clients wait for a bad status: jmp_hearing_new() */
    /* The client's EndSession. Return: whether there is a lease that ends by it; @retmessage: a static text for
     * people. */
    bool (*end)(void *user, const char **retmessage);
    void *user;
};

/** jmp_session_new() - open the doors; calls are answered from now on
 * @retport:  the TCP port of @address, may be NULL
 * Return: 0, -EADDRINUSE, -EACCES, -EINVAL, -ENOMEM with words. */
int jmp_session_new(const struct jmp_session_options *options, struct jmp_session **ret, unsigned *retport,
                    struct jmp_error *reterr);
/** jmp_session_free() - end every call and close the doors; not from inside a call of this session. What drivers
 * still do for it ends by jmp_devices_end_lease(). */
struct jmp_session *jmp_session_free(struct jmp_session *session);
JMP_DEFINE_CLEANUP(struct jmp_session *, jmp_session_free)

/** jmp_session_adopt() - serve a client at the other end of a socketpair; @fd is taken. Return: 0, -ESHUTDOWN. */
int jmp_session_adopt(struct jmp_session *session, int fd);

/** jmp_session_set_status() - update what GetStatus says; held calls go on, or are refused */
void jmp_session_set_status(struct jmp_session *session, enum jmp_exporter_status status, const char *message);
const struct jmp_status_line *jmp_session_status(const struct jmp_session *session);
/** jmp_session_add_motd() - append a line to the message of the day */
int jmp_session_add_motd(struct jmp_session *session, const char *text);

/*
 * For the services.
 */

/* What the handlers of a server get as their user: the session, seen through one door. */
struct jmp_door {
    struct jmp_session *session;
    bool trusted;                    /* the private socket */
    const char *passphrase;          /* asked for at this door, or NULL */
};

struct jmp_devices *jmp_session_devices(const struct jmp_session *session);
struct jmp_logstream *jmp_session_logs(const struct jmp_session *session);
uint64_t jmp_session_log_start(const struct jmp_session *session);   /* position of the first record of this session */
struct jmp_hearing *jmp_session_hearing(const struct jmp_session *session);
const char *jmp_session_name(const struct jmp_session *session);
const char *jmp_session_uuid(const struct jmp_session *session);
const char *jmp_session_motd(const struct jmp_session *session);     /* never NULL */
bool jmp_session_end(struct jmp_session *session, const char **retmessage);

/* A driver call that stands at the gate. Zeroed memory stands nowhere. */
struct jmp_waiter {
    struct jmp_waiter *next, **link;
    struct jmp_session *session;     /* where it stands, or NULL */
    /* The gate has opened (@admitted), or never will. May free the waiter. */
    void (*go)(struct jmp_waiter *waiter, bool admitted);
};

/** jmp_session_pass() - may a driver call go on? HOLD: @waiter->go() is called later, on the loop. REFUSE: answer with
 * jmp_session_refuse(); also when too many wait. */
enum jmp_gate jmp_session_pass(const struct jmp_door *door, struct jmp_waiter *waiter);
void jmp_session_leave(struct jmp_waiter *waiter);   /* stop waiting; harmless when not */
/** jmp_session_refuse() - end a call with FAILED_PRECONDITION and the status's name */
void jmp_session_refuse(const struct jmp_session *session, struct jmp_rpc *rpc);
