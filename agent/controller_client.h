/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporter's side of ControllerService, on one persistent connection that is rebuilt for ever. Knows nothing of
 * sessions: agent/steps.c decides. (docs/protocol.md, "Controller")
 */
#pragma once

#include "agent/device.h"
#include "agent/exporter_status.h"
#include "rpc/channel.h"

struct jmp_controller;

struct jmp_controller_options {
    struct jmp_channel_options channel;    /* borrowed with all it points to, as are the rest */
    const char *name, *namespace_;         /* namespace_: NULL is sent as an empty value */
    const char *token;                     /* secret */
    const char *token_file;                /* where it may be renewed (agent/token.h), or NULL */
    unsigned patience;                     /* all waits, in percent of the usual ones; 0: 100 */
    uint64_t settles;                      /* microseconds until a Listen that nobody has answered is up; 0: 10 ms */
    const struct jmp_devices *devices;     /* what is registered */
};

struct jmp_controller_events {
    /* A message of the Status stream; strings are borrowed, NULL unless @leased. @context: what the client has said
     * about the lease, a JSON object of strings, or NULL */
    void (*status)(bool leased, const char *lease, const char *client, const char *context, void *user);
    /* Listen is up: clients of the lease may dial. Once for each jmp_controller_open_listen(). */
    void (*listening)(void *user);
    /* A client has dialled; @token is secret. */
    void (*dialled)(const char *endpoint, const char *token, void *user);
    /* The controller has a TelemetryService; @certificate is PEM, "": none of its own. */
    void (*telemetry)(const char *endpoint, const char *certificate, const char *min_severity, void *user);
    /* @words for people: "registered with lab:8082" */
    void (*changed)(const char *words, void *user);
};

int jmp_controller_new(struct jmp_queue *queue, const struct jmp_controller_options *options,
                       const struct jmp_controller_events *events, void *user, struct jmp_controller **ret,
                       struct jmp_error *reterr);
/** jmp_controller_free() - cancel everything; no event comes any more */
struct jmp_controller *jmp_controller_free(struct jmp_controller *controller);
JMP_DEFINE_CLEANUP(struct jmp_controller *, jmp_controller_free)

/** jmp_controller_start() - register, and listen to the Status stream */
void jmp_controller_start(struct jmp_controller *controller);

/**
 * jmp_controller_report() - tell the controller our status, in order, again and again until it was heard or a newer one
 * has come, and once more to a controller that had to be registered with anew. Nothing is sent before the first Status
 * message, which may say that a lease is running.
 * @message:  copied, cut at 511 bytes
 */
void jmp_controller_report(struct jmp_controller *controller, enum jmp_exporter_status status, const char *message);

/** jmp_controller_open_listen() - take the clients of @lease, until jmp_controller_close_listen() */
int jmp_controller_open_listen(struct jmp_controller *controller, const char *lease);
void jmp_controller_close_listen(struct jmp_controller *controller);

/** jmp_controller_release() - ask for the end of @lease until the controller agrees, or its Status says that it is
 * over */
int jmp_controller_release(struct jmp_controller *controller, const char *lease);

/** jmp_controller_bearer() - the exporter's own "authorization"; secret, borrowed until the next call */
const char *jmp_controller_bearer(struct jmp_controller *controller);

struct jmp_controller_stats {
    const char *endpoint;
    bool connected;                        /* Status speaks to us */
    uint64_t since;                        /* jmp_now() of that change; of the start, if there was none */
    unsigned reconnects;                   /* times it was lost */
    const char *error; /* of the last loss or refusal, "" before any; borrowed until the next event */
};
void jmp_controller_stats(const struct jmp_controller *controller, struct jmp_controller_stats *ret);

/** jmp_controller_goodbye() - a release that is under way, then OFFLINE and Unregister; @done once, whatever came of
 * it */
void jmp_controller_goodbye(struct jmp_controller *controller, void (*done)(void *user), void *user);
