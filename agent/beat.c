/* SPDX-License-Identifier: Apache-2.0 */
/* A Lease that says that this agent is alive: the "kubernetes" section of its file (docs/kubernetes.md,
 * "Heartbeats"). */
#include "agent/life.h"
#include "config/yaml.h"
#include "kube/name.h"

#define FAILURES_A_LINE 100u /* one every 10 minutes or so, while nothing answers */

static void on_failing(const struct jmp_kube_status *status, unsigned failures, void *user)
{
    struct agent *agent = user;
    struct jmp_error error = JMP_ERROR_INIT;

    if (failures != 2 && failures % FAILURES_A_LINE != 0)
        return;
    jmp_kube_status_error(status, &error);
    agent_tell(agent, JMP_LOG_WARNING, "the heartbeat \"%s\" has failed %u times in a row: %s",
               agent->config->kubernetes.heartbeat, failures, error.text);
}

int agent_start_beating(struct agent *agent, struct jmp_error *reterr)
{
    const struct jmp_kubernetes_config *config = &agent->config->kubernetes;
    const struct jmp_heartbeat_options options = {
        .namespace_ = config->namespace_,
        .name = config->heartbeat,
        .holder = config->heartbeat,
        .duration = JMP_HEARTBEAT_DURATION,
        .interval = JMP_HEARTBEAT_INTERVAL,
        .failing = on_failing,
        .user = agent,
    };
    struct jmp_kube_access *access = NULL;
    int r;

    if (!config->heartbeat)
        return 0;
    if (!jmp_kube_name_is_valid(config->heartbeat)) {
        jmp_error_set(reterr, -EINVAL, "\"%s\" is no name of an object", config->heartbeat);
        jmp_error_at(reterr, agent->config->file, 0, 0, "kubernetes.heartbeat");
        jmp_error_hint(reterr, "a-z, 0-9, '-' and '.', such as \"bench-3\"");
        return -EINVAL;
    }
    r = jmp_kube_access_load(config->kubeconfig, config->context, NULL, jmp_yaml_parse, &access, reterr);
    if (r == 0)
        r = jmp_kube_new(agent->loop, access, &agent->kube, reterr);
    if (r < 0) {
        jmp_error_prefix(reterr, "no heartbeat");
        return r;
    }
    r = jmp_heartbeat_new(agent->kube, &options, &agent->heartbeat);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
}

void agent_stop_beating(struct agent *agent)
{
    agent->heartbeat = jmp_heartbeat_free(agent->heartbeat);
    agent->kube = jmp_kube_free(agent->kube);
}
