/* SPDX-License-Identifier: Apache-2.0 */
/* The rows' functions and options of "jmpctl admin ...": clients, exporters and leases as objects in Kubernetes. */
#pragma once

#include "ctl/kube.h"

struct jmp_admin_get {
    struct jmp_kube_options kube;
    const char *output;
    bool active, devices;
};

struct jmp_admin_create {
    struct jmp_kube_options kube;
    const char *output, *out, *allow, *oidc_username;
    const struct jmp_node *label;
    bool save, unsafe, insecure, nointeractive;
};

struct jmp_admin_delete {
    struct jmp_kube_options kube;
    const char *output;
    bool delete_, nointeractive;
};

extern const struct jmp_option jmp_admin_get_client_options[], jmp_admin_get_exporter_options[],
    jmp_admin_get_lease_options[], jmp_admin_create_client_options[], jmp_admin_create_exporter_options[],
    jmp_admin_import_client_options[], jmp_admin_import_exporter_options[], jmp_admin_delete_options[],
    jmp_admin_rotate_options[];

int jmp_cmd_admin_get_client(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_admin_get_exporter(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_admin_get_lease(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_admin_create_client(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_admin_create_exporter(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_admin_delete_client(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_admin_delete_exporter(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_admin_import_client(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_admin_import_exporter(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_admin_lab(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_admin_rotate_client(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
