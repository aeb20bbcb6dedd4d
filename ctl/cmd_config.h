/* SPDX-License-Identifier: Apache-2.0 */
/* The rows' functions and options of "jmpctl config ..." and "jmpctl auth ...": files of this user, and the token in
 * one. */
#pragma once

#include "ctl/ctl.h"
#include "ctl/output.h"

struct jmp_config_command {   /* list, use, delete, edit */
    struct jmp_ctl_options common;
    const char *output;
};

struct jmp_config_create {
    struct jmp_ctl_options common;
    const char *output, *namespace_, *name, *endpoint, *token, *token_file, *allow, *out;
    bool unsafe, insecure_tls, nointeractive;
};

struct jmp_auth_command {     /* status, rotate */
    struct jmp_ctl_options common;
    const char *output;
    bool verbose;
};

struct jmp_auth_refresh {
    struct jmp_ctl_options common;
    const char *output, *client_id;
    bool insecure;
};

struct jmp_login {
    struct jmp_ctl_options common;
    const char *endpoint, *namespace_, *name, *issuer, *client_id, *username, *password, *token, *connector_id, *allow;
    unsigned callback_port;
    bool offline_access, no_offline_access, unsafe, insecure_tls, nointeractive;
};

extern const struct jmp_option jmp_config_list_options[], jmp_config_change_options[],
    jmp_config_create_client_options[], jmp_config_create_exporter_options[], jmp_auth_status_options[],
    jmp_auth_rotate_options[], jmp_auth_refresh_options[], jmp_login_options[];

int jmp_cmd_config_client_list(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_config_client_create(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_config_client_use(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_config_client_delete(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_config_client_edit(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_config_exporter_list(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_config_exporter_create(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_config_exporter_delete(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_config_exporter_edit(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_auth_status(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_login(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_auth_refresh(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_auth_rotate(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
