/* SPDX-License-Identifier: Apache-2.0 */
/* How the agent is told to leave, and how long it may take. */
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "agent/life.h"

/* For what comes after the hook: close, release, farewell. */
#define STOP_LIMIT (2 * JMP_USEC_PER_SEC)

/* Every state on the way out ends by itself within its limit, or is hurried on. */
static uint64_t state_limit(const struct agent *agent)
{
    switch (agent->state) {
    case JMP_LEASE_STOP_AFTER:
        return agent_hook_limit(agent) + STOP_LIMIT;
    case JMP_LEASE_STOP_FAILED:
        return JMP_FAILED_GRACE + STOP_LIMIT;
    case JMP_LEASE_STOP_CLOSING:
    case JMP_LEASE_LEAVING:
    case JMP_LEASE_HANDING:
        return STOP_LIMIT;
    default:
        return JMP_USEC_INFINITY;
    }
}

static void on_stop_limit(struct jmp_timer *timer)
{
    struct agent *agent = CONTAINER_OF(timer, struct agent, stop);
    enum jmp_lease_state state = agent->state;

    agent_tell(agent, JMP_LOG_WARNING, "the stop takes too long in state %s", jmp_lease_state_name(state));
    agent_feed(agent, JMP_LEASE_HURRY);
    if (agent->state == state)
        agent_note_stop(agent);
}

void agent_note_stop(struct agent *agent)
{
    uint64_t limit = state_limit(agent);

    if (limit == JMP_USEC_INFINITY)
        return;
    if (!agent->stopping && !agent->again) {
        agent->stopping = true;
        sd_notify(0, "STOPPING=1");
    }
    /* A manager would kill us before a long hook has ended. */
    if (agent->stopping)
        sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)(limit + STOP_LIMIT));
    if (jmp_timer_start(agent->loop, &agent->stop, limit, on_stop_limit) < 0)
        agent_tell(agent, JMP_LOG_ERROR, "no timer: the stop may take long");
}

static void on_stop_signal(int signal, void *user)
{
    struct agent *agent = user;
    bool goes_on;

    if (agent->stopping) {
        agent_tell(agent, JMP_LOG_INFO, "%s again: hurrying", strsignal(signal));
        agent_feed(agent, JMP_LEASE_HURRY);
        return;
    }
    agent->again = false;
    goes_on = signal == SIGUSR2 || (signal == SIGTERM && agent_is_restarted());
    agent_tell(agent, JMP_LOG_INFO, goes_on ? "%s: stopping, to be started anew" : "%s: stopping", strsignal(signal));
    agent_feed(agent, goes_on ? JMP_LEASE_HAND_OVER : JMP_LEASE_STOP);
}

static void on_reload_signal(int signal, void *user) { agent_reload(user); }

const char *agent_drain(struct agent *agent)
{
    agent->again = false;   /* a reload that was to follow the lease */
    agent->drain = true;
    if (agent->state == JMP_LEASE_START || agent->state == JMP_LEASE_IDLE || agent_is_direct(agent)) {
        agent_tell(agent, JMP_LOG_INFO, "stopping, as was asked for on the control socket");
        agent_feed(agent, JMP_LEASE_STOP);
        return "nobody has a lease: the exporter stops now";
    }
    agent_tell(agent, JMP_LOG_INFO, "stopping after this lease, as was asked for on the control socket");
    jmp_control_changed(agent->control);
    return "the exporter stops after this lease";
}

bool agent_drained(const struct agent *agent)
{
    return agent->drain || (agent->served && agent->options->exit_on_lease_end && !agent_is_direct(agent));
}

int agent_listen_to_signals(struct agent *agent)
{
    static const int stops[] = { SIGTERM, SIGINT, SIGQUIT, SIGUSR2 };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ELEMENTSOF(stops); i++)
        r = jmp_loop_signal(agent->loop, stops[i], on_stop_signal, agent);
    if (r == 0)
        r = jmp_loop_signal(agent->loop, SIGHUP, on_reload_signal, agent);
    return r;
}
