/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to an exporter. Every connection that a local program makes to a unix socket becomes one Dial and one router
 * stream: its bytes are a gRPC connection to the exporter's session. Our own session goes the same way.
 * (docs/protocol.md, "Tunnel")
 */
#pragma once

#include "client/controller_client.h"

struct jmp_dialer;

struct jmp_dial_options {
    const char *lease;          /* copied */
    uint64_t timeout;           /* microseconds for which "not ready" and "unavailable" are asked again */
    /* A connection that could not be made, in words; the local side has been closed. May be NULL. */
    void (*failed)(const char *words, void *user);
    void *user;
};

int jmp_dialer_new(struct jmp_controller_client *controller, const struct jmp_dial_options *options,
                   struct jmp_dialer **ret, struct jmp_error *reterr);
/** jmp_dialer_free() - cancels what is open and removes the socket */
struct jmp_dialer *jmp_dialer_free(struct jmp_dialer *dialer);
JMP_DEFINE_CLEANUP(struct jmp_dialer *, jmp_dialer_free)

/** jmp_dialer_prepare() - Dial once and keep the answer for the first connection; waits. Says early and clearly what
 * stands in the way, which a connection that just closes could not. */
int jmp_dialer_prepare(struct jmp_dialer *dialer, struct jmp_error *reterr);
/** jmp_dialer_listen() - serve a unix socket; its directory must be private, for whoever can connect holds the lease */
int jmp_dialer_listen(struct jmp_dialer *dialer, const char *path, struct jmp_error *reterr);
/** jmp_dialer_connect() - make @fd (taken, also on failure; SOCK_STREAM, O_NONBLOCK) a connection to the exporter; does
 * not wait */
int jmp_dialer_connect(struct jmp_dialer *dialer, int fd);
const char *jmp_dialer_lease(const struct jmp_dialer *dialer);   /* its name */
unsigned jmp_dialer_links(const struct jmp_dialer *dialer);   /* connections that are open or being made */
/** jmp_dialer_is_lost() - the lease is somebody else's, or has ended: no Dial will succeed any more */
bool jmp_dialer_is_lost(const struct jmp_dialer *dialer);

enum jmp_dial_verdict { JMP_DIAL_AGAIN, JMP_DIAL_LOST, JMP_DIAL_FAILED };
/** jmp_dial_judge() - what a refused Dial means */
enum jmp_dial_verdict jmp_dial_judge(const struct jmp_status *status);
