/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent tells of itself on the control socket. (docs/control.md, "Status") */
#pragma once

#include "agent/controller_client.h"
#include "agent/lease.h"
#include "agent/session.h"
#include "agent/tunnel.h"
#include "base/writer.h"

/* The agent as it is now; all borrowed. */
struct jmp_agent_view {
    const char *name, *namespace_;
    uint64_t started;                            /* jmp_now() */
    enum jmp_lease_state state;
    const char *lease, *client;                  /* "": none */
    uint64_t lease_began;
    uint64_t leases;                             /* begun up to now */
    unsigned port;                               /* of direct mode, or 0 */
    bool draining;
    const struct jmp_session *session;           /* or NULL, as are the next three */
    const struct jmp_controller *controller;
    const struct jmp_tunnels *tunnels;
    const struct jmp_devices *devices;
};

/** jmp_agent_describe() - as members of the map that @writer has begun */
void jmp_agent_describe(const struct jmp_agent_view *view, struct jmp_writer *writer);
