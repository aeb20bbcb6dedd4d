/* SPDX-License-Identifier: Apache-2.0 */
/* The rows' functions and options of "jmpctl kube ..." */
#pragma once

#include "base/json.h"
#include "base/uuid.h"
#include "ctl/kube.h"
#include "kube/coordination.h"

struct jmp_kube_lease_command {
    struct jmp_kube_options kube;
    const char *selector, *output;
};

struct jmp_kube_apply {
    struct jmp_kube_options kube;
    const char *file, *field_manager, *output;
    bool force;
};

struct jmp_kube_heartbeat {
    struct jmp_kube_options kube;
    const char *name;
};

struct jmp_kube_monitor {
    struct jmp_kube_options kube;
    const char *selector;
};

struct jmp_kube_identity_command {
    struct jmp_kube_options kube;
    const char *component, *prefix, *output;
    bool list;
};

struct jmp_kube_elect {
    struct jmp_kube_options kube;
    const char *lease, *identity;
    double lease_duration, renew_deadline, retry_period;
    bool release;
};

extern const struct jmp_option jmp_kube_lease_options[], jmp_kube_release_options[], jmp_kube_apply_options[],
    jmp_kube_heartbeat_options[], jmp_kube_monitor_options[], jmp_kube_identity_options[], jmp_kube_elect_options[];

int jmp_cmd_kube_lease_get(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_kube_lease_release(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_kube_apply(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_kube_heartbeat(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_kube_monitor(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_kube_identity(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_kube_elect(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_kube_guard(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
