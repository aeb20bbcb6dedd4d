/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the lease's table with what happens and carries out what it says. */
#include <stdarg.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "agent/life.h"

/* How long @usec are under --patience. */
static uint64_t patient(const struct agent *agent, uint64_t usec)
{
    return usec * (agent->options->patience ?: 100) / 100;
}

/* A line with the lease's fields. */
void agent_tell(struct agent *agent, enum jmp_log_level level, const char *fmt, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    jmp_log(level, FIELDS(.exporter = agent->config->name, .lease = *agent->lease ? agent->lease : NULL,
                          .client = *agent->client ? agent->client : NULL), "%s", text ?: fmt);
}

/* Whose all is that happens from now on. */
static void note_scope(const struct agent *agent, bool leased)
{
    const char *lease = leased ? agent->lease : NULL, *client = leased ? agent->client : NULL;

    jmp_telemetry_set_lease(agent->telemetry, lease, client, leased ? agent->context : NULL);
    jmp_log_set_scope(agent->config->name, lease, client);
}

/*
 * Actions. Each starts something; its end is fed as an event.
 */

static void up(struct agent *agent)
{
    if (!agent->session || agent->resetting || !agent->listening || agent->closing)
        return;
    if (agent_is_direct(agent)) {
        const struct jmp_listener *listener = agent->options->listener;

        /* Once all is ready, so that whoever waits for this line may call at once. */
        jmp_log(JMP_LOG_INFO, FIELDS(.exporter = agent->config->name),
                strchr(listener->host, ':') ? "listening on [%s]:%u (%s, %s)" : "listening on %s:%u (%s, %s)",
                listener->host, agent->port, listener->cert ? "TLS" : "plaintext",
                listener->passphrase ? "with a passphrase" : "open to everybody");
    }
    agent_feed(agent, JMP_LEASE_SESSION_UP);
}

static void end_devices(struct agent *agent);

static void on_reset(void *user)
{
    struct agent *agent = user;

    agent->resetting = false;
    if (agent->closing)
        end_devices(agent);
    else
        up(agent);
}

static bool on_end_session(void *user, const char **retmessage)
{
    struct agent *agent = user;

    if (agent_is_direct(agent)) {
        *retmessage = "this exporter serves without leases: there is none to end";
        return false;
    }
    *retmessage = "the session ends";
    agent_feed(agent, JMP_LEASE_END_SESSION);
    return true;
}

int agent_open_session(struct agent *agent, struct jmp_error *reterr)
{
    const struct jmp_listener *listener = agent->options->listener;
    const struct jmp_session_options options = {
        .queue = agent->queue, .devices = agent->devices, .logs = agent->logs, .name = agent->config->name,
        .uuid = agent->uuid, .motd = agent->config->motd, .hook_socket = agent->runtime->hook_socket,
        .address = listener ? listener->address : NULL, .cert = listener ? listener->cert : NULL,
        .key = listener ? listener->key : NULL, .passphrase = listener ? listener->passphrase : NULL,
        .hearing = patient(agent, JMP_HEARING), .end = on_end_session, .user = agent,
    };

    return jmp_session_new(&options, &agent->session, &agent->port, reterr);
}

static void open_lease(struct agent *agent, bool anew)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    snprintf(agent->lease, sizeof(agent->lease), "%s", agent->word_lease);
    snprintf(agent->client, sizeof(agent->client), "%s", agent->word_client);
    free(agent->context);
    agent->context = agent->word_context ? strdup(agent->word_context) : NULL;
    agent->listening = agent_is_direct(agent);
    agent->resetting = agent->closing = false;
    agent->served = true;
    agent->failure_told = false;
    if (anew)
        jmp_memory_clear(&agent->memory);
    memcpy(agent->text, agent->memory.text, sizeof(agent->text));
    agent->lease_began = jmp_now();
    agent->leases++;
    note_scope(agent, true);
    if (!agent_is_direct(agent))
        agent_tell(agent, JMP_LOG_INFO, "lease %s %s%s%s", agent->lease, anew ? "begins" : "goes on after a restart",
                   *agent->client ? " for " : "", agent->client);

    /* In direct mode the session stands already: a port that is taken ends the program at its start. */
    r = agent->session ? 0 : agent_open_session(agent, &error);
    if (r == 0 && !agent_is_direct(agent)) {
        /* The first update of each lease only synchronises. */
        jmp_session_set_status(agent->session, JMP_EXPORTER_AVAILABLE, "");
        r = jmp_controller_open_listen(agent->controller, agent->lease);
    }
    if (r == 0 && agent->memory.motd)
        r = jmp_session_add_motd(agent->session, agent->memory.motd);
    if (r == 0 && anew) {
        r = jmp_devices_reset(agent->devices, on_reset, agent);
        agent->resetting = r == 0;
    }
    if (r < 0) {
        agent_tell(agent, JMP_LOG_ERROR, "the session cannot be opened: %s", *error.text ? error.text : strerror(-r));
        agent->failed = JMP_EXPORTER_BEFORE_LEASE_HOOK_FAILED;
        snprintf(agent->text, sizeof(agent->text), "the exporter could not open a session");
        agent_feed(agent, JMP_LEASE_SESSION_FAILED);
    }
}

static void do_open(struct agent *agent) { open_lease(agent, true); }
static void do_reopen(struct agent *agent) { open_lease(agent, false); }

/*
 * What the next process should know.
 */

static void remember(struct agent *agent)
{
    struct jmp_error error = JMP_ERROR_INIT;

    if (agent_is_direct(agent))
        return;
    snprintf(agent->memory.lease, sizeof(agent->memory.lease), "%s", agent->lease);
    snprintf(agent->memory.text, sizeof(agent->memory.text), "%s", agent->text);
    if (jmp_memory_write(agent->runtime->lease_file, &agent->memory, &error) < 0)
        agent_tell(agent, JMP_LOG_WARNING, "a restart in this lease would begin it anew: %s", error.text);
}

static void forget(struct agent *agent)
{
    jmp_memory_clear(&agent->memory);
    if (unlink(agent->runtime->lease_file) < 0 && errno != ENOENT)
        agent_tell(agent, JMP_LOG_WARNING, "%s cannot be removed: %m", agent->runtime->lease_file);
}

static void note_memory(struct agent *agent, enum jmp_lease_state old)
{
    if (agent->state == JMP_LEASE_READY)
        remember(agent);
    else if ((old == JMP_LEASE_READY || old == JMP_LEASE_RESUMING) && agent->state != JMP_LEASE_HANDING)
        forget(agent);
}

/* What the controller's last word means to somebody who serves no lease. */
static enum jmp_lease_event word(struct agent *agent)
{
    if (agent->word_leased && *agent->memory.lease && strcmp(agent->word_lease, agent->memory.lease) == 0)
        return JMP_LEASE_RESUMED;
    if (*agent->memory.lease) {
        agent_tell(agent, JMP_LOG_INFO, "lease %s ended while nobody was here", agent->memory.lease);
        forget(agent);
    }
    return agent->word_leased ? JMP_LEASE_LEASED : JMP_LEASE_UNLEASED;
}

static void do_run_before(struct agent *agent) { agent_run_hook(agent, &agent->before); }
static void do_run_after(struct agent *agent) { agent_run_hook(agent, &agent->after); }

void agent_report(struct agent *agent, enum jmp_exporter_status status, const char *message, bool to_controller)
{
    if (agent->session)
        jmp_session_set_status(agent->session, status, message);
    if (to_controller && agent->controller)
        jmp_controller_report(agent->controller, status, message);
}

static void do_report(struct agent *agent)
{
    switch (agent->state) {
    case JMP_LEASE_IDLE:
        agent_report(agent, JMP_EXPORTER_AVAILABLE,
               agent->announced ? "Available for new lease" : "Exporter registered and available", true);
        agent->announced = true;
        break;
    case JMP_LEASE_READY:
        agent_report(agent, JMP_EXPORTER_LEASE_READY, *agent->text ? agent->text : "Ready for commands", true);
        agent_tell(agent, agent_is_direct(agent) ? JMP_LOG_DEBUG : JMP_LOG_INFO,
                   "ready for commands %.1f ms after the lease began",
                   (double)(jmp_now() - agent->lease_began) / (double)JMP_USEC_PER_MSEC);
        break;
    case JMP_LEASE_FAILED:
    case JMP_LEASE_STOP_FAILED:
    case JMP_LEASE_PARTING:
    case JMP_LEASE_CLOSING:
    case JMP_LEASE_STOP_CLOSING:
        if (!agent->failure_told)
            agent_report(agent, agent->failed, agent->text, true);
        agent->failure_told = true;
        break;
    default:
        agent_tell(agent, JMP_LOG_CRITICAL, "no status for state %s", jmp_lease_state_name(agent->state));
        break;
    }
}

/* The controller hears of AVAILABLE only when the session is closed and the devices rest. */
static void do_show(struct agent *agent)
{
    if (agent->state == JMP_LEASE_ENDED)
        agent_report(agent, JMP_EXPORTER_AVAILABLE, *agent->text ? agent->text : "Available for new lease", false);
    else
        agent_report(agent, agent->failed, agent->text, false);
}

static void on_grace(struct jmp_timer *timer)
{
    agent_feed(CONTAINER_OF(timer, struct agent, grace), JMP_LEASE_GRACE_OVER);
}

static void do_start_grace(struct agent *agent)
{
    /* Without a controller nobody else could ever be served; a failed exporter stays, for people to look at. */
    if (agent_is_direct(agent) && agent->state == JMP_LEASE_FAILED)
        return;
    if (jmp_timer_start(agent->loop, &agent->grace, patient(agent, agent->state == JMP_LEASE_ENDED ? JMP_ENDED_GRACE :
                                                                   JMP_FAILED_GRACE), on_grace) < 0)
        agent_feed(agent, JMP_LEASE_GRACE_OVER);
}

static void do_release(struct agent *agent)
{
    if (!agent->controller || !agent->word_leased || strcmp(agent->word_lease, agent->lease) != 0)
        return;
    agent_tell(agent, JMP_LOG_INFO, "releasing lease %s", agent->lease);
    if (jmp_controller_release(agent->controller, agent->lease) < 0)
        agent_tell(agent, JMP_LOG_ERROR, "no memory to release lease %s: it lasts until it expires", agent->lease);
}

void agent_closed(struct agent *agent)
{
    if (--agent->closing_pending > 0)
        return;
    if (!agent_is_direct(agent))
        agent_tell(agent, JMP_LOG_INFO, "lease %s is over", agent->lease);
    agent->closing = false;
    *agent->client = '\0';
    note_scope(agent, false);
    agent_feed(agent, JMP_LEASE_SESSION_DOWN);
}

static void on_devices_ended(void *user) { agent_closed(user); }

static void end_devices(struct agent *agent)
{
    int r;

    r = jmp_devices_end_lease(agent->devices, on_devices_ended, agent);
    if (r < 0) {
        agent_tell(agent, JMP_LOG_ERROR, "what the lease opened is not all ended: %s", strerror(-r));
        agent_closed(agent);
    }
}

static void do_close(struct agent *agent)
{
    jmp_timer_stop(&agent->grace);
    agent->closing = true;
    agent->closing_pending = 1 + agent_end_hooks(agent);
    if (agent->controller)
        jmp_controller_close_listen(agent->controller);
    agent->session = jmp_session_free(agent->session);
    if (agent->tunnels)
        jmp_tunnels_end(agent->tunnels);
    /* Drivers that are still being reset end that first. */
    if (!agent->resetting)
        end_devices(agent);
}

static void do_recall(struct agent *agent)
{
    if (agent->again)
        agent_feed(agent, JMP_LEASE_HAND_OVER);
    else if (agent_drained(agent))
        agent_feed(agent, JMP_LEASE_STOP);
    else if (agent->word_known)
        agent_feed(agent, word(agent));
}

static void on_goodbye(void *user) { agent_feed(user, JMP_LEASE_GOODBYE_SAID); }

static void do_say_goodbye(struct agent *agent)
{
    if (agent->controller)
        jmp_controller_goodbye(agent->controller, on_goodbye, agent);
    else
        agent_feed(agent, JMP_LEASE_GOODBYE_SAID);
}

#define TELEMETRY_LIMIT (500 * JMP_USEC_PER_MSEC)   /* for the last of what was logged */

static void on_flushed(void *user)
{
    struct agent *agent = user;

    jmp_loop_exit(agent->loop, agent->exit_code);
}

/* The last that is logged is of most interest to whoever looks for the reason of an end. */
static void do_exit(struct agent *agent)
{
    if (agent->telemetry)
        jmp_telemetry_flush(agent->telemetry, TELEMETRY_LIMIT, on_flushed, agent);
    else
        on_flushed(agent);
}

static void do_stop_hook(struct agent *agent) { agent_stop_hooks(agent); }

/*
 * Events.
 */

static void note_state(struct agent *agent)
{
    static const char *const words[JMP_LEASE_STATES] = {
        [JMP_LEASE_START] = "opening devices",
        [JMP_LEASE_IDLE] = "available",
        [JMP_LEASE_OPENING] = "lease begins",
        [JMP_LEASE_RESUMING] = "lease goes on",
        [JMP_LEASE_BEFORE] = "beforeLease hook",
        [JMP_LEASE_READY] = "leased",
        [JMP_LEASE_AFTER] = "afterLease hook",
        [JMP_LEASE_AFTER_GONE] = "afterLease hook",
        [JMP_LEASE_ENDED] = "session ended",
        [JMP_LEASE_FAILED] = "failed",
        [JMP_LEASE_PARTING] = "releasing the lease",
        [JMP_LEASE_PARTED] = "waiting for the controller to take the lease back",
        [JMP_LEASE_CLOSING] = "closing",
        [JMP_LEASE_STOP_AFTER] = "stopping",
        [JMP_LEASE_STOP_FAILED] = "stopping",
        [JMP_LEASE_STOP_CLOSING] = "stopping",
        [JMP_LEASE_LEAVING] = "stopping",
        [JMP_LEASE_HANDING] = "restarting",
        [JMP_LEASE_GONE] = "stopped",
    };

    jmp_control_changed(agent->control);
    sd_notifyf(0, "STATUS=%s%s%s", agent_is_direct(agent) && agent->state == JMP_LEASE_READY ? "serving directly" :
               words[agent->state], *agent->client ? " for " : "", agent->client);
}

static void carry_out(struct agent *agent, unsigned actions)
{
    /* In the order of their bits. */
    static void (*const todo[])(struct agent *agent) = {
        do_stop_hook,   do_open,    do_reopen, do_run_before, do_run_after,   do_report, do_show,
        do_start_grace, do_release, do_close,  do_recall,     do_say_goodbye, do_exit,
    };

    for (unsigned i = 0; i < ELEMENTSOF(todo); i++)
        if (actions & (1u << i))
            todo[i](agent);
}

/* Actions feed events of their own; these wait until the action's turn is over. */
void agent_feed(struct agent *agent, enum jmp_lease_event event)
{
    if (agent->event_count == ELEMENTSOF(agent->events)) {
        agent_tell(agent, JMP_LOG_CRITICAL, "too many events at once: %s is lost", jmp_lease_event_name(event));
        return;
    }
    agent->events[agent->event_count++] = event;
    if (agent->feeding)
        return;

    agent->feeding = true;
    while (agent->event_count > 0) {
        enum jmp_lease_event next = agent->events[0];
        enum jmp_lease_state old = agent->state;
        unsigned actions;

        agent->event_count--;
        memmove(agent->events, agent->events + 1, agent->event_count * sizeof(*agent->events));
        if (next == JMP_LEASE_EVENTS)
            continue;   /* taken back */
        if (jmp_lease_sense(old, next) == JMP_LEASE_IMPOSSIBLE)
            agent_tell(agent, JMP_LOG_CRITICAL, "%s in state %s cannot be: it is ignored", jmp_lease_event_name(next),
                       jmp_lease_state_name(old));
        actions = jmp_lease_step(&agent->state, next);
        if (agent->state != old) {
            jmp_log(JMP_LOG_DEBUG, FIELDS(.lease = agent->lease), "%s: %s to %s", jmp_lease_event_name(next),
                    jmp_lease_state_name(old), jmp_lease_state_name(agent->state));
            note_state(agent);
            note_memory(agent, old);
            agent_note_stop(agent);
        }
        carry_out(agent, actions);
    }
    agent->feeding = false;
}

/* The controller has spoken: the word is kept, and is news unless it says what we do already. */
static void on_status(bool leased, const char *lease, const char *client, const char *context, void *user)
{
    struct agent *agent = user;

    if (leased && strlen(lease) > JMP_NAME_MAX) {
        agent_tell(agent, JMP_LOG_ERROR, "the controller gave us a lease whose name is longer than %u characters",
             JMP_NAME_MAX);
        leased = false;
    }
    agent->word_known = true;
    agent->word_leased = leased;
    snprintf(agent->word_lease, sizeof(agent->word_lease), "%s", leased ? lease : "");
    snprintf(agent->word_client, sizeof(agent->word_client), "%s", leased && client ? client : "");
    free(agent->word_context);
    agent->word_context = context ? strdup(context) : NULL;

    if (agent->state == JMP_LEASE_IDLE) {
        agent_feed(agent, word(agent));
    } else if (!leased || strcmp(agent->word_lease, agent->lease) != 0) {
        /* Another lease without a pause between: ours is over all the same. It is looked at when we are idle. */
        agent_feed(agent, JMP_LEASE_UNLEASED);
    } else if (strcmp(agent->word_client, agent->client) != 0) {
        snprintf(agent->client, sizeof(agent->client), "%s", agent->word_client);
        note_scope(agent, true);
        agent_tell(agent, JMP_LOG_INFO, "lease %s now belongs to %s", agent->lease, agent->client);
        note_state(agent);
    }
}

static void on_listening(void *user)
{
    struct agent *agent = user;

    agent->listening = true;
    if (agent->state == JMP_LEASE_OPENING || agent->state == JMP_LEASE_RESUMING)
        up(agent);
}

static void on_dialled(const char *endpoint, const char *token, void *user)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct agent *agent = user;

    if (!agent->session || agent->closing)
        return;
    if (jmp_tunnels_open(agent->tunnels, agent->session, endpoint, token, &error) < 0)
        agent_tell(agent, JMP_LOG_WARNING, "a client was not let in: %s", error.text);
}

static void on_changed(const char *words, void *user)
{
    struct agent *agent = user;

    if (agent->state == JMP_LEASE_IDLE)
        sd_notifyf(0, "STATUS=%s", words);
}

static const char *bearer(void *user) { return jmp_controller_bearer(((struct agent *)user)->controller); }

static void on_telemetry(const char *endpoint, const char *certificate, const char *min_severity, void *user)
{
    struct agent *agent = user;
    const struct jmp_telemetry_options options = {
        .queue = agent->queue, .logs = agent->logs, .name = agent->config->name, .bearer = bearer, .user = agent,
    };
    const struct jmp_channel_options channel = {
        .endpoint = endpoint, .ca = *certificate ? certificate : NULL,
        .plaintext = !*certificate && agent->config->insecure,
    };
    struct jmp_error error = JMP_ERROR_INIT;

    /* It is offered again with each registration. */
    if (agent->telemetry)
        return;
    if (jmp_telemetry_new(&options, &channel, min_severity, &agent->telemetry, &error) < 0)
        agent_tell(agent, JMP_LOG_WARNING, "the controller's telemetry service cannot be used: %s", error.text);
    else
        agent_tell(agent, JMP_LOG_INFO, "what is logged goes to the telemetry service at %s, too", endpoint);
    note_scope(agent, agent->session || agent->closing);   /* a lease may be older than the service */
}

const struct jmp_controller_events agent_controller_events = {
    .status = on_status, .listening = on_listening, .dialled = on_dialled, .telemetry = on_telemetry,
    .changed = on_changed,
};
