/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "agent/controller_client.h"
#include "agent/device.h"
#include "agent/keep.h"
#include "agent/lease.h"
#include "agent/logstream.h"
#include "agent/runtime.h"
#include "agent/session.h"
#include "agent/tunnel.h"
#include "base/log.h"
#include "base/uuid.h"

/* How long AVAILABLE, or why something failed, can be read before we ask for the lease's end ourselves. */
#define ENDED_GRACE (5 * JMP_USEC_PER_SEC)
#define FAILED_GRACE (5 * JMP_USEC_PER_SEC)
/* For a stop without hooks, release and farewell included. */
#define STOP_LIMIT (2 * JMP_USEC_PER_SEC)
#define STANDALONE "standalone"

struct agent {
    const struct jmp_agent_options *options;
    const struct jmp_exporter_config *config;
    struct jmp_loop *loop;
    struct jmp_queue *queue;
    struct jmp_logstream *logs;
    struct jmp_devices *devices;
    struct jmp_runtime *runtime;
    struct jmp_session *session;
    struct jmp_controller *controller;   /* NULL in direct mode */
    struct jmp_tunnels *tunnels;
    char uuid[JMP_UUID_SIZE];
    unsigned port;                       /* in direct mode */

    enum jmp_lease_state state;
    enum jmp_lease_event events[16];     /* waiting to be fed, oldest first */
    unsigned event_count;
    bool feeding;

    /* The controller's last word. */
    bool word_known, word_leased;
    char word_lease[JMP_NAME_MAX + 1], word_client[JMP_NAME_MAX + 1];

    char lease[JMP_NAME_MAX + 1], client[JMP_NAME_MAX + 1];
    bool listening, resetting, closing;
    uint64_t lease_began;
    enum jmp_exporter_status failed;
    char failed_text[512];

    bool served, drain, stopping, announced;
    int exit_code;
    struct jmp_timer grace, stop, watchdog;
};

static void feed(struct agent *agent, enum jmp_lease_event event);

static bool is_direct(const struct agent *agent) { return agent->options->listener != NULL; }

/* How long @usec are under --patience. */
static uint64_t patient(const struct agent *agent, uint64_t usec)
{
    return usec * (agent->options->patience ?: 100) / 100;
}

static void tell(struct agent *agent, enum jmp_log_level level, const char *fmt, ...) JMP_PRINTF(3, 4);

/* A line with the lease's fields. */
static void tell(struct agent *agent, enum jmp_log_level level, const char *fmt, ...)
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

/*
 * Actions. Each starts something; its end is fed as an event.
 */

static void up(struct agent *agent)
{
    if (!agent->session || agent->resetting || !agent->listening || agent->closing)
        return;
    if (is_direct(agent)) {
        const struct jmp_listener *listener = agent->options->listener;

        /* Once all is ready, so that whoever waits for this line may call at once. */
        jmp_log(JMP_LOG_INFO, FIELDS(.exporter = agent->config->name),
                strchr(listener->host, ':') ? "listening on [%s]:%u (%s, %s)" : "listening on %s:%u (%s, %s)",
                listener->host, agent->port, listener->cert ? "TLS" : "plaintext",
                listener->passphrase ? "with a passphrase" : "open to everybody");
    }
    feed(agent, JMP_LEASE_SESSION_UP);
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

    if (is_direct(agent)) {
        *retmessage = "this exporter serves without leases: there is none to end";
        return false;
    }
    *retmessage = "the session ends";
    feed(agent, JMP_LEASE_END_SESSION);
    return true;
}

static int open_session(struct agent *agent, struct jmp_error *reterr)
{
    const struct jmp_listener *listener = agent->options->listener;
    const struct jmp_session_options options = {
        .queue = agent->queue, .devices = agent->devices, .logs = agent->logs, .name = agent->config->name,
        .uuid = agent->uuid, .motd = agent->config->motd, .hook_socket = agent->runtime->hook_socket,
        .address = listener ? listener->address : NULL, .cert = listener ? listener->cert : NULL,
        .key = listener ? listener->key : NULL, .passphrase = listener ? listener->passphrase : NULL,
        .end = on_end_session, .user = agent,
    };

    return jmp_session_new(&options, &agent->session, &agent->port, reterr);
}

static void failed(struct agent *agent, enum jmp_exporter_status status, const char *text)
{
    agent->failed = status;
    snprintf(agent->failed_text, sizeof(agent->failed_text), "%s", text);
}

static void do_open(struct agent *agent)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    snprintf(agent->lease, sizeof(agent->lease), "%s", agent->word_lease);
    snprintf(agent->client, sizeof(agent->client), "%s", agent->word_client);
    agent->listening = is_direct(agent);
    agent->resetting = agent->closing = false;
    agent->served = true;
    agent->lease_began = jmp_now();
    if (!is_direct(agent))
        tell(agent, JMP_LOG_INFO, "lease %s begins%s%s", agent->lease, *agent->client ? " for " : "", agent->client);

    /* In direct mode the session stands already: a port that is taken ends the program at its start. */
    r = agent->session ? 0 : open_session(agent, &error);
    if (r == 0 && !is_direct(agent)) {
        /* The first update of each lease only synchronises. */
        jmp_session_set_status(agent->session, JMP_EXPORTER_AVAILABLE, "");
        r = jmp_controller_open_listen(agent->controller, agent->lease);
    }
    if (r == 0)
        r = jmp_devices_reset(agent->devices, on_reset, agent);
    if (r < 0) {
        tell(agent, JMP_LOG_ERROR, "the session cannot be opened: %s", *error.text ? error.text : strerror(-r));
        failed(agent, JMP_EXPORTER_BEFORE_LEASE_HOOK_FAILED, "the exporter could not open a session");
        feed(agent, JMP_LEASE_SESSION_FAILED);
        return;
    }
    agent->resetting = true;
}

/* Configured hooks are not run by this version; who relies on one must be able to see that. */
static void run_hook(struct agent *agent, const struct jmp_hook_config *hook, const char *name,
                     enum jmp_log_source source)
{
    if (hook->script)
        jmp_log(JMP_LOG_ERROR, FIELDS(.exporter = agent->config->name, .lease = agent->lease, .source = source),
                "the %s hook is configured, but this version does not run hooks: it was skipped", name);
    feed(agent, JMP_LEASE_HOOK_DONE);
}

static void do_run_before(struct agent *agent)
{
    run_hook(agent, &agent->config->before_lease, "beforeLease", JMP_LOG_BEFORE_LEASE);
}

static void do_run_after(struct agent *agent)
{
    run_hook(agent, &agent->config->after_lease, "afterLease", JMP_LOG_AFTER_LEASE);
}

static void report(struct agent *agent, enum jmp_exporter_status status, const char *message, bool to_controller)
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
        report(agent, JMP_EXPORTER_AVAILABLE,
               agent->announced ? "Available for new lease" : "Exporter registered and available", true);
        agent->announced = true;
        break;
    case JMP_LEASE_READY:
        report(agent, JMP_EXPORTER_LEASE_READY, "Ready for commands", true);
        tell(agent, is_direct(agent) ? JMP_LOG_DEBUG : JMP_LOG_INFO, "ready for commands %.1f ms after the lease began",
             (double)(jmp_now() - agent->lease_began) / (double)JMP_USEC_PER_MSEC);
        break;
    case JMP_LEASE_FAILED:
    case JMP_LEASE_STOP_FAILED:
        report(agent, agent->failed, agent->failed_text, true);
        break;
    default:
        tell(agent, JMP_LOG_CRITICAL, "no status for state %s", jmp_lease_state_name(agent->state));
        break;
    }
}

/* The controller hears of AVAILABLE only when the session is closed and the devices rest. */
static void do_show(struct agent *agent) { report(agent, JMP_EXPORTER_AVAILABLE, "Available for new lease", false); }

static void on_grace(struct jmp_timer *timer) { feed(CONTAINER_OF(timer, struct agent, grace), JMP_LEASE_GRACE_OVER); }

static void do_start_grace(struct agent *agent)
{
    /* Without a controller nobody else could ever be served; a failed exporter stays, for people to look at. */
    if (is_direct(agent) && agent->state == JMP_LEASE_FAILED)
        return;
    if (jmp_timer_start(agent->loop, &agent->grace, patient(agent, agent->state == JMP_LEASE_ENDED ? ENDED_GRACE :
                                                                   FAILED_GRACE), on_grace) < 0)
        feed(agent, JMP_LEASE_GRACE_OVER);
}

static void do_release(struct agent *agent)
{
    if (!agent->controller || !agent->word_leased || strcmp(agent->word_lease, agent->lease) != 0)
        return;
    tell(agent, JMP_LOG_INFO, "releasing lease %s", agent->lease);
    if (jmp_controller_release(agent->controller, agent->lease) < 0)
        tell(agent, JMP_LOG_ERROR, "no memory to release lease %s: it lasts until it expires", agent->lease);
}

static void on_devices_ended(void *user)
{
    struct agent *agent = user;

    if (!is_direct(agent))
        tell(agent, JMP_LOG_INFO, "lease %s is over", agent->lease);
    agent->closing = false;
    *agent->client = '\0';
    feed(agent, JMP_LEASE_SESSION_DOWN);
}

static void end_devices(struct agent *agent)
{
    int r;

    r = jmp_devices_end_lease(agent->devices, on_devices_ended, agent);
    if (r < 0) {
        tell(agent, JMP_LOG_ERROR, "what the lease opened is not all ended: %s", strerror(-r));
        on_devices_ended(agent);
    }
}

static void do_close(struct agent *agent)
{
    jmp_timer_stop(&agent->grace);
    agent->closing = true;
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
    if (agent->drain || (agent->served && agent->options->exit_on_lease_end && !is_direct(agent)))
        feed(agent, JMP_LEASE_STOP);
    else if (agent->word_known)
        feed(agent, agent->word_leased ? JMP_LEASE_LEASED : JMP_LEASE_UNLEASED);
}

static void on_goodbye(void *user) { feed(user, JMP_LEASE_GOODBYE_SAID); }

static void on_stop_limit(struct jmp_timer *timer)
{
    struct agent *agent = CONTAINER_OF(timer, struct agent, stop);

    tell(agent, JMP_LOG_WARNING, "the stop takes too long in state %s", jmp_lease_state_name(agent->state));
    feed(agent, JMP_LEASE_HURRY);
    if (agent->state != JMP_LEASE_GONE)
        jmp_timer_start(agent->loop, &agent->stop, STOP_LIMIT / 4, on_stop_limit);
}

static void do_say_goodbye(struct agent *agent)
{
    if (agent->controller)
        jmp_controller_goodbye(agent->controller, on_goodbye, agent);
    else
        feed(agent, JMP_LEASE_GOODBYE_SAID);
}

static void do_exit(struct agent *agent) { jmp_loop_exit(agent->loop, agent->exit_code); }

static void do_stop_hook(struct agent *agent)
{
    /* None is running: run_hook() ends before it returns, and its HOOK_DONE is already fed or waiting. */
    for (unsigned i = 0; i < agent->event_count; i++)
        if (agent->events[i] == JMP_LEASE_HOOK_DONE)
            agent->events[i] = JMP_LEASE_EVENTS;
}

/*
 * Events.
 */

static void note_state(struct agent *agent)
{
    static const char *const words[JMP_LEASE_STATES] = {
        [JMP_LEASE_START] = "opening devices", [JMP_LEASE_IDLE] = "available", [JMP_LEASE_OPENING] = "lease begins",
        [JMP_LEASE_BEFORE] = "beforeLease hook", [JMP_LEASE_READY] = "leased", [JMP_LEASE_AFTER] = "afterLease hook",
        [JMP_LEASE_AFTER_GONE] = "afterLease hook", [JMP_LEASE_ENDED] = "session ended",
        [JMP_LEASE_FAILED] = "failed", [JMP_LEASE_PARTING] = "releasing the lease",
        [JMP_LEASE_PARTED] = "waiting for the controller to take the lease back", [JMP_LEASE_CLOSING] = "closing",
        [JMP_LEASE_STOP_AFTER] = "stopping", [JMP_LEASE_STOP_FAILED] = "stopping",
        [JMP_LEASE_STOP_CLOSING] = "stopping", [JMP_LEASE_LEAVING] = "stopping", [JMP_LEASE_GONE] = "stopped",
    };

    sd_notifyf(0, "STATUS=%s%s%s", is_direct(agent) && agent->state == JMP_LEASE_READY ? "serving directly" :
               words[agent->state], *agent->client ? " for " : "", agent->client);
}

static void carry_out(struct agent *agent, unsigned actions)
{
    /* In the order of their bits. */
    static void (*const todo[])(struct agent *agent) = {
        do_stop_hook, do_open, do_run_before, do_run_after, do_report, do_show, do_start_grace, do_release, do_close,
        do_recall, do_say_goodbye, do_exit,
    };

    for (unsigned i = 0; i < ELEMENTSOF(todo); i++)
        if (actions & (1u << i))
            todo[i](agent);
}

/* Actions feed events of their own; these wait until the action's turn is over. */
static void feed(struct agent *agent, enum jmp_lease_event event)
{
    if (agent->event_count == ELEMENTSOF(agent->events)) {
        tell(agent, JMP_LOG_CRITICAL, "too many events at once: %s is lost", jmp_lease_event_name(event));
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
        actions = jmp_lease_step(&agent->state, next);
        if (agent->state != old) {
            jmp_log(JMP_LOG_DEBUG, FIELDS(.lease = agent->lease), "%s: %s to %s", jmp_lease_event_name(next),
                    jmp_lease_state_name(old), jmp_lease_state_name(agent->state));
            note_state(agent);
        }
        carry_out(agent, actions);
    }
    agent->feeding = false;
}

/* The controller has spoken: the word is kept, and is news unless it says what we do already. */
static void on_status(bool leased, const char *lease, const char *client, void *user)
{
    struct agent *agent = user;

    if (leased && strlen(lease) > JMP_NAME_MAX) {
        tell(agent, JMP_LOG_ERROR, "the controller gave us a lease whose name is longer than %u characters",
             JMP_NAME_MAX);
        leased = false;
    }
    agent->word_known = true;
    agent->word_leased = leased;
    snprintf(agent->word_lease, sizeof(agent->word_lease), "%s", leased ? lease : "");
    snprintf(agent->word_client, sizeof(agent->word_client), "%s", leased && client ? client : "");

    if (agent->state == JMP_LEASE_IDLE) {
        feed(agent, leased ? JMP_LEASE_LEASED : JMP_LEASE_UNLEASED);
    } else if (!leased || strcmp(agent->word_lease, agent->lease) != 0) {
        /* Another lease without a pause between: ours is over all the same. It is looked at when we are idle. */
        feed(agent, JMP_LEASE_UNLEASED);
    } else if (strcmp(agent->word_client, agent->client) != 0) {
        snprintf(agent->client, sizeof(agent->client), "%s", agent->word_client);
        tell(agent, JMP_LOG_INFO, "lease %s now belongs to %s", agent->lease, agent->client);
        note_state(agent);
    }
}

static void on_listening(void *user)
{
    struct agent *agent = user;

    agent->listening = true;
    if (agent->state == JMP_LEASE_OPENING)
        up(agent);
}

static void on_dialled(const char *endpoint, const char *token, void *user)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct agent *agent = user;

    if (!agent->session || agent->closing)
        return;
    if (jmp_tunnels_open(agent->tunnels, agent->session, endpoint, token, &error) < 0)
        tell(agent, JMP_LOG_WARNING, "a client was not let in: %s", error.text);
}

static void on_changed(const char *words, void *user)
{
    struct agent *agent = user;

    if (agent->state == JMP_LEASE_IDLE)
        sd_notifyf(0, "STATUS=%s", words);
}

static const struct jmp_controller_events controller_events = {
    .status = on_status, .listening = on_listening, .dialled = on_dialled, .changed = on_changed,
};

static void on_stop_signal(int signal, void *user)
{
    struct agent *agent = user;

    if (agent->stopping) {
        tell(agent, JMP_LOG_INFO, "%s again: hurrying", strsignal(signal));
        feed(agent, JMP_LEASE_HURRY);
        return;
    }
    agent->stopping = true;
    tell(agent, JMP_LOG_INFO, "%s: stopping", strsignal(signal));
    sd_notify(0, "STOPPING=1");
    if (jmp_timer_start(agent->loop, &agent->stop, STOP_LIMIT, on_stop_limit) < 0)
        tell(agent, JMP_LOG_ERROR, "no timer: the stop may take long");
    feed(agent, JMP_LEASE_STOP);
}

static void on_drain_signal(int signal, void *user)
{
    struct agent *agent = user;

    if (agent->state == JMP_LEASE_START || agent->state == JMP_LEASE_IDLE || is_direct(agent)) {
        on_stop_signal(signal, user);
        return;
    }
    tell(agent, JMP_LOG_INFO, "%s: stopping after this lease", strsignal(signal));
    agent->drain = true;
}

static void on_devices_up(void *user)
{
    struct agent *agent = user;

    sd_notify(0, "READY=1");
    feed(agent, JMP_LEASE_DEVICES_UP);
}

static void on_watchdog(struct jmp_timer *timer)
{
    struct agent *agent = CONTAINER_OF(timer, struct agent, watchdog);
    uint64_t usec;

    /* The timer runs on the loop, so a loop that hangs is a service that is started anew. */
    sd_notify(0, "WATCHDOG=1");
    if (sd_watchdog_enabled(0, &usec) > 0)
        jmp_timer_start(agent->loop, &agent->watchdog, usec / 3, on_watchdog);
}

/*
 * Life.
 */

static int add_problem(struct jmp_problems *problems, int r, struct jmp_error *error)
{
    if (!error->error)
        jmp_error_set(error, r, "%m");
    jmp_problems_add(problems, false, error);
    return r;
}

static int set_up_controller(struct agent *agent, struct jmp_error *reterr)
{
    const struct jmp_exporter_config *config = agent->config;
    const struct jmp_controller_options options = {
        .channel = { .endpoint = config->endpoint, .ca = config->ca, .insecure = config->insecure,
                     .grpc_options = config->grpc_options },
        .name = config->name, .namespace_ = config->namespace_, .token = config->token, .token_file = config->file,
        .patience = agent->options->patience, .devices = agent->devices,
    };

    if (!config->endpoint || !config->token) {
        jmp_error_set(reterr, -EINVAL, "endpoint or token not set in exporter config");
        jmp_error_at(reterr, config->file, 0, 0, NULL);
        jmp_error_hint(reterr,
                       "take the file that the lab's administrator made for this exporter, or serve directly with "
                               "--tls-grpc-listener");
        return -EINVAL;
    }
    return jmp_controller_new(agent->queue, &options, &controller_events, agent, &agent->controller, reterr);
}

static int set_up(struct agent *agent, const struct jmp_channel_options *router, struct jmp_problems *problems)
{
    static const int stops[] = { SIGTERM, SIGINT, SIGQUIT };
    _cleanup_(jmp_keep_freep) struct jmp_keep *keep = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    uint64_t usec;
    int r;

    r = jmp_keep_new(&keep);
    if (r == 0)
        r = jmp_loop_new(&agent->loop);
    for (unsigned i = 0; r == 0 && i < ELEMENTSOF(stops); i++)
        r = jmp_loop_signal(agent->loop, stops[i], on_stop_signal, agent);
    if (r == 0)
        r = jmp_loop_signal(agent->loop, SIGHUP, on_drain_signal, agent);
    if (r == 0)
        r = jmp_logstream_new(agent->loop, &agent->logs);
    if (r == 0)
        r = jmp_queue_new(agent->loop, &agent->queue);
    if (r < 0)
        return add_problem(problems, r, &error);

    /* Its problems are its own. */
    r = jmp_devices_new(agent->loop, agent->config, agent->options->plugins, &agent->devices, problems);
    if (r < 0)
        return r;
    jmp_devices_keep(agent->devices, TAKE_PTR(keep));
    r = jmp_runtime_open(agent->config->name, &agent->runtime, &error);
    if (r < 0)
        return add_problem(problems, r, &error);
    if (is_direct(agent)) {
        r = open_session(agent, &error);
    } else {
        r = set_up_controller(agent, &error);
        if (r == 0)
            r = jmp_tunnels_new(agent->queue, router, agent->options->patience, &agent->tunnels);
    }
    if (r < 0)
        return add_problem(problems, r, &error);

    if (sd_watchdog_enabled(0, &usec) > 0)
        jmp_timer_start(agent->loop, &agent->watchdog, usec / 3, on_watchdog);
    r = jmp_devices_start(agent->devices, on_devices_up, agent);
    if (r < 0)
        return add_problem(problems, r, &error);
    return 0;
}

static void tear_down(struct agent *agent)
{
    jmp_timer_close(&agent->grace);
    jmp_timer_close(&agent->stop);
    jmp_timer_close(&agent->watchdog);
    agent->session = jmp_session_free(agent->session);
    agent->tunnels = jmp_tunnels_free(agent->tunnels);
    agent->controller = jmp_controller_free(agent->controller);
    agent->devices = jmp_devices_free(agent->devices);
    agent->queue = jmp_queue_free(agent->queue);
    agent->logs = jmp_logstream_free(agent->logs);
    agent->loop = jmp_loop_free(agent->loop);
    agent->runtime = jmp_runtime_free(agent->runtime);
}

int jmp_agent_run(const struct jmp_agent_options *options, struct jmp_problems *problems)
{
    const struct jmp_exporter_config *config = options->config;
    const struct jmp_channel_options router = {
        .ca = config->ca, .insecure = config->insecure, .grpc_options = config->grpc_options,
    };
    struct agent agent = { .options = options, .config = config };
    _cleanup_free_ char *full_name = NULL;
    int r;

    if (asprintf(&full_name, "%s/%s", config->namespace_ ?: "", config->name) < 0)
        return -ENOMEM;
    jmp_uuid_derive("jumpstarter.dev/exporter", full_name, agent.uuid);

    r = set_up(&agent, &router, problems);
    if (r == 0) {
        if (is_direct(&agent)) {
            agent.word_known = agent.word_leased = true;
            strcpy(agent.word_lease, STANDALONE);
        } else {
            jmp_controller_start(agent.controller);
        }
        r = jmp_queue_run(agent.queue);
    }
    tear_down(&agent);
    return r;
}
