/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the agent know of each other: agent.c (start and end of the process), steps.c (what the lease's
 * table says is carried out), hooks.c (the owner's scripts), stop.c (signals, drain). Everything is the loop's.
 */
#pragma once

#include "agent/agent.h"
#include "agent/control.h"
#include "agent/controller_client.h"
#include "agent/device.h"
#include "agent/hook.h"
#include "agent/lease.h"
#include "agent/logstream.h"
#include "agent/remember.h"
#include "agent/runtime.h"
#include "agent/session.h"
#include "agent/telemetry_client.h"
#include "agent/tunnel.h"
#include "base/log.h"
#include "base/uuid.h"
#include "kube/heartbeat.h"

#define JMP_STANDALONE "standalone"   /* the lease of direct mode */
/* How long AVAILABLE, or why something failed, can be read before we ask for the lease's end ourselves. */
#define JMP_ENDED_GRACE (5 * JMP_USEC_PER_SEC)
/* Until a client learns that something failed: the log comes first. */
#define JMP_HEARING (1500 * JMP_USEC_PER_MSEC)
#define JMP_FAILED_GRACE (10 * JMP_USEC_PER_SEC)   /* stock clients look every 5 s whether they have a lease */

struct agent;

struct agent_hook {
    struct agent *agent;
    const struct jmp_hook_config *config;
    struct jmp_hook *hook;               /* until what it left running has ended */
    bool running;                        /* its outcome is waited for */
    bool ending;
};

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
    struct jmp_control *control;
    struct jmp_metrics_server *metrics;  /* or NULL */
    struct jmp_telemetry *telemetry;     /* or NULL */
    struct jmp_kube *kube;               /* where it beats, or NULL */
    struct jmp_heartbeat *heartbeat;     /* or NULL */
    uint64_t started, leases;            /* leases: begun up to now */
    char uuid[JMP_UUID_SIZE];
    unsigned port;                       /* in direct mode */

    enum jmp_lease_state state;
    enum jmp_lease_event events[16];     /* waiting to be fed, oldest first */
    unsigned event_count;
    bool feeding;

    /* The controller's last word. */
    bool word_known, word_leased;
    char word_lease[JMP_NAME_MAX + 1], word_client[JMP_NAME_MAX + 1];
    char *word_context;                  /* JSON, or NULL */

    char lease[JMP_NAME_MAX + 1], client[JMP_NAME_MAX + 1];
    char *context;                       /* of the lease, JSON, or NULL */
    bool listening, resetting;
    bool closing;
    unsigned closing_pending;            /* what the end of the session still waits for */
    uint64_t lease_began;
    enum jmp_exporter_status failed;
    bool failure_told;                   /* to the controller */
    /* Of the status that a hook's outcome has set: LEASE_READY, AVAILABLE or @failed. */
    char text[512];

    struct jmp_memory memory;            /* the lease that an earlier process, or this one, has made ready */
    struct agent_hook before, after;
    bool after_waits;                    /* for the end of what the other hook left running */
    char motd_file[64];                  /* of the beforeLease hook that runs, or "" */

    bool served, drain, stopping, announced;
    bool again;                          /* the file has changed: the process replaces itself, after the lease */
    int exit_code;
    struct jmp_timer grace, stop, watchdog;
};

static inline bool agent_is_direct(const struct agent *agent) { return agent->options->listener != NULL; }

/* steps.c */
extern const struct jmp_controller_events agent_controller_events;
void agent_feed(struct agent *agent, enum jmp_lease_event event);
/** agent_tell() - a line with the lease's fields */
void agent_tell(struct agent *agent, enum jmp_log_level level, const char *fmt, ...) JMP_PRINTF(3, 4);
/** agent_report() - a status, to the session and, if @to_controller, to the controller as well */
void agent_report(struct agent *agent, enum jmp_exporter_status status, const char *message, bool to_controller);
int agent_open_session(struct agent *agent, struct jmp_error *reterr);
/** agent_closed() - one of those that the end of the session waits for has ended */
void agent_closed(struct agent *agent);

/* hooks.c */
void agent_hooks_init(struct agent *agent);
/** agent_run_hook() - announce it and run it; HOOK_DONE, HOOK_FAILED or HOOK_FATAL is fed, at once when there is
 * none */
void agent_run_hook(struct agent *agent, struct agent_hook *hook);
/** agent_stop_hooks() - whichever runs is ended, and its outcome is not fed */
void agent_stop_hooks(struct agent *agent);
/** agent_end_hooks() - the lease is over: what its hooks have left running is ended, and agent_closed() called for each
 * that has to be waited for. Return: how many these are. */
unsigned agent_end_hooks(struct agent *agent);
void agent_free_hooks(struct agent *agent);
/** agent_hook_limit() - how long the end of this lease may take because of its afterLease hook, in microseconds */
uint64_t agent_hook_limit(const struct agent *agent);

/* beat.c */
/** agent_start_beating() - keep the Lease of the file's "kubernetes" section fresh, if there is one. What the server
 * does not answer is tried again for ever and is no failure; a kubeconfig that cannot be used is one. */
int agent_start_beating(struct agent *agent, struct jmp_error *reterr);
void agent_stop_beating(struct agent *agent);

/* launcher.c */
/** agent_tell_launcher() - at the end of a process that serves one lease, if $JUMPSTARTER_LAUNCHER_SOCKET is set. Waits
 * for at most ten seconds, on a loop of its own. */
void agent_tell_launcher(const struct agent *agent);

/* reload.c */
/** agent_reload() - read the file anew; if it is right and says anything new, go on with it when no lease is held */
void agent_reload(struct agent *agent);

/* restart.c */
/** agent_is_restarted() - whether the service manager will start us anew as soon as we have ended. May block for some
 * seconds when its bus hangs. */
bool agent_is_restarted(void);

/* stop.c */
int agent_listen_to_signals(struct agent *agent);
/** agent_note_stop() - a state was entered: the limit of one on the way out begins */
void agent_note_stop(struct agent *agent);
/** agent_drain() - leave after the lease, or now if there is none. Return: which, for people. */
const char *agent_drain(struct agent *agent);
/** agent_drained() - between two leases: whether it is time to leave */
bool agent_drained(const struct agent *agent);
