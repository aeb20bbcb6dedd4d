/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A changed file, or an upgraded program. The file is read and judged while all goes on; then the process replaces
 * itself, as in a restart: what devices have parked is handed on, so that those which have not changed let nothing go.
 */
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/life.h"

struct difference {
    struct agent *agent;
    const char *verb;          /* of what is there on one side only */
    unsigned count;
};

static void note(struct difference *difference, const char *fmt, ...) JMP_PRINTF(2, 3);

static void note(struct difference *difference, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    difference->count++;
    agent_tell(difference->agent, JMP_LOG_INFO, "%s", text);
}

static bool same(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static const struct jmp_device_config *find(const struct jmp_device_config *first, const char *path)
{
    for (; first; first = first->next) {
        const struct jmp_device_config *below;

        if (strcmp(first->path, path) == 0)
            return first;
        below = find(first->children, path);
        if (below)
            return below;
    }
    return NULL;
}

/* Names of options only: their values may be secret. */
static void compare_options(struct difference *difference, const char *path, const struct jmp_node *old,
                            const struct jmp_node *new)
{
    if (new && new->kind == JMP_NODE_MAP)
        JMP_NODE_EACH(option, new)
            if (!jmp_node_equal(option, jmp_node_get(old, option->key)))
                note(difference, "%s: option %s is %s", path, option->key,
                     jmp_node_get(old, option->key) ? "changed" : "new");
    if (old && old->kind == JMP_NODE_MAP)
        JMP_NODE_EACH(option, old)
            if (!jmp_node_get(new, option->key))
                note(difference, "%s: option %s is gone", path, option->key);
}

static void compare_devices(struct difference *difference, const struct jmp_device_config *old,
                            const struct jmp_device_config *all_new)
{
    for (; old; old = old->next) {
        const struct jmp_device_config *new = find(all_new, old->path);

        if (!new) {
            note(difference, "%s is no longer exported", old->path);
            continue;
        }
        if (!same(old->type, new->type) || !same(old->ref, new->ref))
            note(difference, "%s is another kind of device", old->path);
        else
            compare_options(difference, old->path, old->config, new->config);
        if (!same(old->description, new->description) ||
            !jmp_node_equal(old->methods_description, new->methods_description))
            note(difference, "%s: its description is changed", old->path);
        compare_devices(difference, old->children, all_new);
    }
}

static void list_new(struct difference *difference, const struct jmp_device_config *new,
                     const struct jmp_device_config *all_old)
{
    for (; new; new = new->next) {
        if (!find(all_old, new->path))
            note(difference, "%s is new", new->path);
        else
            list_new(difference, new->children, all_old);
    }
}

static bool same_hook(const struct jmp_hook_config *a, const struct jmp_hook_config *b)
{
    return same(a->script, b->script) && same(a->exec, b->exec) && a->timeout == b->timeout &&
           a->on_failure == b->on_failure;
}

static bool same_kubernetes(const struct jmp_kubernetes_config *a, const struct jmp_kubernetes_config *b)
{
    return same(a->heartbeat, b->heartbeat) && same(a->namespace_, b->namespace_) &&
           same(a->kubeconfig, b->kubeconfig) && same(a->context, b->context);
}

static unsigned compare(struct agent *agent, const struct jmp_exporter_config *old,
                        const struct jmp_exporter_config *new)
{
    struct difference difference = { .agent = agent };
    const struct { const char *name; bool same; } rows[] = {
        { "metadata", same(old->name, new->name) && same(old->namespace_, new->namespace_) },
        { "endpoint", same(old->endpoint, new->endpoint) },
        { "tls", same(old->ca, new->ca) && old->insecure == new->insecure },
        { "token", same(old->token, new->token) },
        { "grpcOptions", jmp_node_equal(old->grpc_options, new->grpc_options) },
        { "description", same(old->description, new->description) },
        { "motd", same(old->motd, new->motd) },
        { "hooks.beforeLease", same_hook(&old->before_lease, &new->before_lease) },
        { "hooks.afterLease", same_hook(&old->after_lease, &new->after_lease) },
        { "exitOnLeaseEnd", old->exit_on_lease_end == new->exit_on_lease_end },
        { "kubernetes", same_kubernetes(&old->kubernetes, &new->kubernetes) },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        if (!rows[i].same)
            note(&difference, "%s is changed", rows[i].name);
    compare_devices(&difference, old->devices, new->devices);
    list_new(&difference, new->devices, old->devices);
    return difference.count;
}

/* An upgrade has put another file where ours was. One that is not there cannot be run, either: that is no news. */
static bool is_upgraded(const struct agent *agent)
{
    struct stat ours, present;

    return stat("/proc/self/exe", &ours) == 0 && stat(agent->options->argv[0], &present) == 0 &&
           (ours.st_dev != present.st_dev || ours.st_ino != present.st_ino);
}

/* As at a start, but nothing is opened. */
static int judge(struct agent *agent, struct jmp_exporter_config **ret, struct jmp_problems *problems)
{
    _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
    _cleanup_(jmp_devices_freep) struct jmp_devices *devices = NULL;
    int r;

    r = jmp_exporter_config_load(agent->config->file, &config, problems);
    if (r == 0)
        r = jmp_devices_new(agent->loop, config, agent->options->plugins, &devices, problems);
    if (r == 0)
        *ret = TAKE_PTR(config);
    return r;
}

void agent_reload(struct agent *agent)
{
    _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
    struct jmp_problems problems = { 0 };
    int r;

    if (agent->stopping)
        return;
    r = judge(agent, &config, &problems);
    for (const struct jmp_problem *problem = problems.first; problem; problem = problem->next)
        agent_tell(agent, problem->warning ? JMP_LOG_WARNING : JMP_LOG_ERROR, "%s:%u: %s: %s", problem->error.file,
                   problem->error.line, problem->error.path, problem->error.text);
    jmp_problems_clear(&problems);
    if (r < 0) {
        agent_tell(agent, JMP_LOG_ERROR, "%s is wrong: all stays as it was", agent->config->file);
        return;
    }
    agent->again = compare(agent, agent->config, config) > 0;
    if (is_upgraded(agent)) {
        agent_tell(agent, JMP_LOG_INFO, "the program itself is another one");
        agent->again = true;
    }
    if (!agent->again) {
        agent_tell(agent, JMP_LOG_INFO, "%s says nothing new", agent->config->file);
    } else if (agent->state == JMP_LEASE_START || agent->state == JMP_LEASE_IDLE || agent_is_direct(agent)) {
        agent_tell(agent, JMP_LOG_INFO, "reloading");
        agent_feed(agent, JMP_LEASE_HAND_OVER);
    } else {
        agent_tell(agent, JMP_LOG_INFO, "this holds when the lease is over");
    }
}
