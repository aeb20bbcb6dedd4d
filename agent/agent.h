/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter as a whole: feeds the lease's table with what happens and carries out what it says. */
#pragma once

#include "agent/listener.h"
#include "agent/plugin.h"
#include "config/exporter_config.h"

struct jmp_agent_options {
    const struct jmp_exporter_config *config;    /* all borrowed */
    const struct jmp_plugins *plugins;
    const struct jmp_listener *listener;         /* direct mode; NULL: serve the controller of the config */
    bool exit_on_lease_end;
    char *const *argv;                           /* of this process, argv[0] its path: a reload starts it anew */
    const char *metrics;                         /* where counters are served (agent/metrics_server.h), or NULL */
    unsigned patience;                           /* waits for peers, in percent of the usual ones; 0: 100 */
};

/**
 * jmp_agent_run() - serve until SIGTERM, SIGINT or SIGQUIT (a second one hurries); SIGHUP reads the file anew
 *
 * Return: the exit status of the program: 0 after an orderly stop, 1 when a hook asked for it; or negative errno
 * with words
 * in @problems when it could not start.
 */
int jmp_agent_run(const struct jmp_agent_options *options, struct jmp_problems *problems);
