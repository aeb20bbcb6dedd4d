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
    bool insecure;                         /* the configuration does not check the lab's certificate */
    const char *out;                       /* file for the configuration, or NULL */
    /* Of what is printed: table, json, yaml, name, path; NULL: as suits the command. */
    const char *format;
    bool save, force, enable, disable, all;
    bool delete_;                          /* also this user's configuration */
};

/* Each returns 0, or a negative errno with words. @name: of the object; NULL: all that are there, or "default" to
 * import. */
int jmp_admin_create_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_create_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_rotate_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_rotate_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_update_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_delete_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_delete_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_delete_lease(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_import_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_import_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_get_clients(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_get_exporters(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);
int jmp_admin_get_leases(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);

/** jmp_admin_open() - a lab that is there already. Return: 0, -ENOENT with a hint, others. */
int jmp_admin_open(const struct jmp_admin_options *options, struct jmp_lab **ret, struct jmp_error *reterr);
/** jmp_admin_missing() - words for what the store said of an object. Return: @r. */
int jmp_admin_missing(struct jmp_lab *lab, int r, const char *kind, const char *name, struct jmp_error *reterr);
/** jmp_admin_show() - one client or exporter on standard output, in options->format (admin_list.c) */
int jmp_admin_show(struct jmp_lab *lab, const struct jmp_admin_options *options, bool is_client, const char *name,
                   struct jmp_error *reterr);

/** jmp_admin_config() - the text of a configuration file (admin_config.c); free() @ret */
int jmp_admin_config(struct jmp_lab *lab, const struct jmp_admin_options *options, bool is_client, const char *name,
                     const char *uid, char **ret, struct jmp_error *reterr);
