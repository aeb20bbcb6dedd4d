/* SPDX-License-Identifier: Apache-2.0 */
/* The client's YAML file, shared with the stock command line. */
#pragma once

#include "base/error.h"
#include "base/node.h"

struct jmp_client_config {
    struct jmp_tree *tree;       /* owns everything below */
    const char *file;            /* NULL: made from the environment */
    const char *alias;
    const char *name, *namespace_;
    const char *endpoint;
    const char *ca;              /* PEM text, or NULL */
    bool insecure;
    const char *token;           /* secret */
    const char *refresh_token;   /* secret, of the identity provider; NULL: none */
    const struct jmp_node *grpc_options;
    const struct jmp_node *drivers_allow;   /* list of strings, or NULL */
    bool drivers_unsafe;
    unsigned acquisition_timeout, dial_timeout, retry_timeout;   /* seconds: 7200, 60, 300 */
};

/** jmp_client_config_load() - one file; problems and return value as jmp_exporter_config_load() */
int jmp_client_config_load(const char *path, struct jmp_client_config **ret, struct jmp_problems *problems);

/**
 * jmp_client_config_find() - the configuration a command is to use
 * @alias:  --client, or NULL
 * @path:   --client-config, or NULL; not both
 *
 * Without either: a full set of JMP_NAMESPACE, JMP_NAME, JMP_ENDPOINT, JMP_TOKEN (and JMP_DRIVERS_ALLOW), else the
 * current client named in config.yaml; as the stock client.
 *
 * Return: 0, -ENOENT with a hint that says how to make one, others as above.
 */
int jmp_client_config_find(const char *alias, const char *path, struct jmp_client_config **ret,
                           struct jmp_problems *problems);

/** jmp_config_current() - the alias in the user's config.yaml, in @tree; NULL: none is chosen */
int jmp_config_current(struct jmp_tree *tree, const char **ret, struct jmp_error *reterr);

struct jmp_client_config *jmp_client_config_free(struct jmp_client_config *config);
JMP_DEFINE_CLEANUP(struct jmp_client_config *, jmp_client_config_free)
