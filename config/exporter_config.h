/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter's YAML file, as the stock tools write it and people edit it. */
#pragma once

#include "base/error.h"
#include "base/node.h"
#include "base/option.h"

enum jmp_hook_failure { JMP_HOOK_WARN, JMP_HOOK_END_LEASE, JMP_HOOK_EXIT };

struct jmp_hook_config {
    const char *script;          /* NULL: no such hook */
    const char *exec;            /* interpreter, or NULL */
    unsigned timeout;            /* seconds */
    enum jmp_hook_failure on_failure;
};

/*
 * One entry below "export" or "children". At most one of @type and @ref is set; neither: a composite. A @ref leads to
 * an existing entry and not in a circle; behind an entry with a type it may name a child that only the driver knows.
 */
struct jmp_device_config {
    struct jmp_device_config *next, *children;   /* in file order */
    const char *name;                            /* the key */
    const char *path;                            /* dotted names from the root, "board.power" */
    const char *type;                            /* Python class path or native short name */
    const char *ref;                             /* dotted path of another entry */
    const char *description;
    const struct jmp_node *config;               /* the driver's options: a map, or NULL */
    const struct jmp_node *methods_description;  /* map of strings, or NULL */
    /* What any driver's @config may also say, checked; it is still in there, too. */
    const struct jmp_node *labels;               /* map of strings, or NULL */
    const char *uuid;                            /* canonical, or NULL */
    const char *log_level;                       /* a name that jmp_log_level_parse() knows, or NULL */
    unsigned line, column;
};

/* Where the exporter's own Lease is, of a cluster that knows nothing else of it. */
struct jmp_kubernetes_config {
    const char *heartbeat;       /* name of the Lease that says "alive"; NULL: none, and nothing below counts */
    const char *namespace_;
    const char *kubeconfig, *context;   /* NULL: as every client of Kubernetes finds its way */
};

struct jmp_exporter_config {
    struct jmp_tree *tree;       /* owns everything below */
    const char *file;            /* path it was read from */
    const char *name, *namespace_;   /* metadata; namespace_ may be NULL */
    const char *endpoint;        /* host:port or NULL */
    const char *ca;              /* PEM text (decoded from base64), or NULL: system roots */
    bool insecure;               /* tls.insecure, or JMP_GRPC_INSECURE=1 / JUMPSTARTER_GRPC_INSECURE=1 */
    const char *token;           /* secret */
    const struct jmp_node *grpc_options;   /* map, or NULL */
    const char *description, *motd;
    struct jmp_device_config *devices;     /* below "export" */
    struct jmp_hook_config before_lease, after_lease;
    unsigned max_rapid_failures, rapid_failure_window;   /* accepted for compatibility */
    bool exit_on_lease_end;
    struct jmp_kubernetes_config kubernetes;
};

/* The keys of a file by place, for its manual; ends with a NULL path. A row with neither help nor words is not for
 * people. */
struct jmp_config_section {
    const char *path, *title;            /* "export.NAME", "" for the top level */
    const struct jmp_option *options;
};

extern const struct jmp_config_section jmp_exporter_config_sections[];

/**
 * jmp_exporter_config_parse() - read and check a file's text
 * @text:      YAML, at most JMP_CONFIG_MAX bytes
 * @file:      for messages
 * @ret:       free with jmp_exporter_config_free(); set only when there is no error
 * @problems:  all errors and warnings, each with file, line, column, field path and hint
 *
 * Driver types and their options are not looked at here: config knows no driver by name.
 *
 * Return: 0 (perhaps with warnings), -EINVAL, -ENOMEM.
 */
int jmp_exporter_config_parse(const char *text, size_t length, const char *file, struct jmp_exporter_config **ret,
                              struct jmp_problems *problems);

/** jmp_exporter_config_load() - the same from a file; also -ENOENT, -EACCES, -EISDIR, -EFBIG, each with a problem */
int jmp_exporter_config_load(const char *path, struct jmp_exporter_config **ret, struct jmp_problems *problems);

/**
 * jmp_exporter_config_check() - as jmp_exporter_config_load(), for a command that names every problem at once
 * @ret:  also set, beside -EINVAL, when the file could be read but has errors: without what was wrong (a bad ref or
 *        type is left out), so that the rest can be looked at further. Not for running.
 */
int jmp_exporter_config_check(const char *path, struct jmp_exporter_config **ret, struct jmp_problems *problems);

struct jmp_exporter_config *jmp_exporter_config_free(struct jmp_exporter_config *config);
JMP_DEFINE_CLEANUP(struct jmp_exporter_config *, jmp_exporter_config_free)
