/* SPDX-License-Identifier: Apache-2.0 */
/* The administrator's commands: they work on the lab's directory itself, while its service runs or not. */
#pragma once

#include "base/node.h"
#include "labd/lab.h"

struct jmp_admin_options {
    const char *directory;
    const char *namespace_;
    const char *endpoint;                  /* for configuration files; NULL: where the service listened last */
    const struct jmp_node *label;          /* list of key=value, or NULL */
    const struct jmp_node *remove_label;   /* list of keys, or NULL */
    const struct jmp_node *allow;          /* driver client classes a client may load */
    bool unsafe;
    const char *output;                    /* a file; for lists a format */
    bool save, force, enable, disable, all;
};

/* Each returns 0, or a negative errno with words. @name: of the object; NULL for lists. */
int jmp_admin_create_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_create_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_rotate_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_rotate_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_update_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_delete_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_delete_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_delete_lease(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_list_clients(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_list_exporters(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_list_leases(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);

/** jmp_admin_config() - the text of a configuration file (admin_config.c); free() @ret */
int jmp_admin_config(struct jmp_lab *lab, const struct jmp_admin_options *options, bool is_client, const char *name, const char *uid,
                     char **ret, struct jmp_error *reterr);
