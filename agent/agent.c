/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter as a process: what it consists of, its start, its end. */
#include "agent/agent.h"

#include <string.h>
#include <systemd/sd-daemon.h>

#include "agent/describe.h"
#include "agent/keep.h"
#include "agent/metrics.h"
#include "agent/metrics_server.h"
#include "agent/life.h"

static void on_devices_up(void *user)
{
    struct agent *agent = user;

    sd_notify(0, "READY=1");
    agent_feed(agent, JMP_LEASE_DEVICES_UP);
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

static int add_problem(struct jmp_problems *problems, int r, struct jmp_error *error)
{
    if (!error->error)
        jmp_error_set(error, r, "%m");
    jmp_problems_add(problems, false, error);
    return r;
}

static bool is_free(const struct agent *agent)
{
    return agent->state == JMP_LEASE_START || agent->state == JMP_LEASE_IDLE;
}

static void describe(struct jmp_writer *writer, void *user)
{
    const struct agent *agent = user;

    jmp_agent_describe(
        &(struct jmp_agent_view){
            .name = agent->config->name,
            .namespace_ = agent->config->namespace_,
            .started = agent->started,
            .state = agent->state,
            .lease = is_free(agent) ? "" : agent->lease,
            .client = agent->client,
            .lease_began = agent->lease_began,
            .leases = agent->leases,
            .port = agent->port,
            .draining = agent->drain,
            .session = agent->session,
            .controller = agent->controller,
            .tunnels = agent->tunnels,
            .devices = agent->devices,
        },
        writer);
}

static const char *drain(void *user) { return agent_drain(user); }

static const struct jmp_control_events control_events = { .describe = describe, .drain = drain };

static void count_device(const struct jmp_device *device, void *user)
{
    struct jmp_metrics_now *now = user;

    now->devices++;
    now->missing += jmp_device_missing(device) != NULL;
}

static void print_metrics(FILE *out, void *user)
{
    const struct agent *agent = user;
    struct jmp_metrics_now now = { .leased = !is_free(agent), .leases = agent->leases };

    if (agent->tunnels)
        now.tunnels = jmp_tunnels_count(agent->tunnels);
    if (agent->controller) {
        struct jmp_controller_stats stats;

        jmp_controller_stats(agent->controller, &stats);
        now.connected = stats.connected;
        now.reconnects = stats.reconnects;
    }
    jmp_devices_each(agent->devices, count_device, &now);
    jmp_metrics_print(out, &now);
}

static int open_metrics(struct agent *agent, struct jmp_error *reterr)
{
    unsigned port;
    int r;

    if (!agent->options->metrics)
        return 0;
    r = jmp_metrics_server_new(agent->loop, agent->options->metrics, print_metrics, agent, &agent->metrics, &port,
                               reterr);
    if (r == 0 && port)
        agent_tell(agent, JMP_LOG_INFO, "metrics at http://localhost:%u/metrics", port);
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
    return jmp_controller_new(agent->queue, &options, &agent_controller_events, agent, &agent->controller, reterr);
}

static int set_up(struct agent *agent, const struct jmp_channel_options *router, struct jmp_problems *problems)
{
    _cleanup_(jmp_keep_freep) struct jmp_keep *keep = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    uint64_t usec;
    int r;

    jmp_log_set_scope(agent->config->name, NULL, NULL);
    r = jmp_keep_new(&keep);
    if (r == 0)
        r = jmp_loop_new(&agent->loop);
    if (r == 0)
        r = agent_listen_to_signals(agent);
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
    agent_hooks_init(agent);
    r = jmp_memory_read(agent->runtime->lease_file, &agent->memory, &error);
    if (r < 0 && r != -ENOENT)
        agent_tell(agent, JMP_LOG_WARNING, "what an earlier process has left to remember is lost: %s", error.text);
    error = JMP_ERROR_INIT;
    r = jmp_control_new(agent->loop, agent->runtime->control_socket, &control_events, agent, &agent->control, &error);
    if (r == 0)
        r = open_metrics(agent, &error);
    if (r == 0)
        r = agent_start_beating(agent, &error);
    if (r < 0)
        return add_problem(problems, r, &error);
    if (agent_is_direct(agent)) {
        r = agent_open_session(agent, &error);
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
    agent_free_hooks(agent);
    jmp_memory_clear(&agent->memory);
    free(agent->word_context);
    free(agent->context);
    agent->control = jmp_control_free(agent->control);
    agent->metrics = jmp_metrics_server_free(agent->metrics);
    agent_stop_beating(agent);
    agent->telemetry = jmp_telemetry_free(agent->telemetry);
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
    struct agent agent = { .options = options, .config = config, .started = jmp_now() };
    _cleanup_(jmp_keep_freep) struct jmp_keep *keep = NULL;
    _cleanup_free_ char *full_name = NULL;
    int r;

    if (asprintf(&full_name, "%s/%s", config->namespace_ ?: "", config->name) < 0)
        return -ENOMEM;
    jmp_uuid_derive("jumpstarter.dev/exporter", full_name, agent.uuid);

    r = set_up(&agent, &router, problems);
    if (r == 0) {
        if (agent_is_direct(&agent)) {
            agent.word_known = agent.word_leased = true;
            strcpy(agent.word_lease, JMP_STANDALONE);
        } else {
            jmp_controller_start(agent.controller);
        }
        r = jmp_queue_run(agent.queue);
        if (agent.again && agent.state == JMP_LEASE_GONE)
            keep = jmp_devices_take_keep(agent.devices);
    }
    tear_down(&agent);
    if (!keep) {
        agent_tell_launcher(&agent);
        return r;
    }

    r = jmp_keep_exec(keep, options->argv);
    jmp_log(JMP_LOG_CRITICAL, FIELDS(.exporter = config->name, .error = r), "%s cannot be started anew: %m",
            options->argv[0]);
    return r;
}
