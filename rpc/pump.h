/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pump joins a descriptor and a RouterService.Stream call: bytes become DATA frames and back, end of file becomes
 * GOAWAY. It carries consoles, forwarded sockets, resources, and the tunnel. Datagram sockets keep their boundaries:
 * one datagram is one frame.
 */
#pragma once

#include "rpc/channel.h"
#include "rpc/rpc.h"

struct jmp_pump;

struct jmp_pump_events {
    /* Last, exactly once, unless the pump was freed before. The descriptor is closed. Free the pump (here or later). */
    void (*closed)(struct jmp_pump *pump, const struct jmp_status *status, void *user);
};

/**
 * jmp_pump_dial() - be the client of a stream
 * @method:    jmp_router_stream
 * @metadata:  "authorization" for a router, "request" for an exporter; may be NULL
 * @fd:        taken, also on failure; socket, pty or pipe, O_NONBLOCK
 * @ret:       free with jmp_pump_free()
 *
 * Writes do not wait for the peer's headers: a router sends none until the other side has come.
 * At end of file: GOAWAY and half-close. When the peer's GOAWAY came, shutdown(SHUT_WR). The call ends when both
 * directions have.
 */
int jmp_pump_dial(struct jmp_channel *channel, const struct jmp_metadata *metadata, int fd,
                  const struct jmp_pump_events *events, void *user, struct jmp_pump **ret);

/**
 * jmp_pump_serve() - be the server of a stream
 * @rpc:  taken: the pump listens to it; headers must have been sent, or are sent at once without metadata
 * @fd:   taken, also on failure; socket, pty or pipe, O_NONBLOCK
 *
 * At end of file GOAWAY; the call stays open until the client's side has ended too (GOAWAY, half-close or cancel), then
 * OK. A read error ends the stream with GOAWAY and then UNAVAILABLE and the reason.
 */
int jmp_pump_serve(struct jmp_rpc *rpc, int fd, const struct jmp_pump_events *events, void *user,
                   struct jmp_pump **ret);

/** jmp_pump_free() - cancel the call if it still runs, close the descriptor, no callback. Inside closed() too. */
struct jmp_pump *jmp_pump_free(struct jmp_pump *pump);
JMP_DEFINE_CLEANUP(struct jmp_pump *, jmp_pump_free)

struct jmp_pump_stats {
    uint64_t bytes_in, bytes_out;     /* from the peer, to the peer */
    bool peer_seen;                   /* at least one byte has come from the peer */
    bool ended;                       /* the descriptor is at its end of file, or broken */
    /* What it broke with, negative errno, also where the stream counts that as its end; 0: it did not. */
    int error;
};
void jmp_pump_stats(const struct jmp_pump *pump, struct jmp_pump_stats *ret);
