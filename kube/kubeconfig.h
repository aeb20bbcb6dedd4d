/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How to reach an API server and as whom: from kubeconfig files, or from what a pod finds around it.
 * (docs/kubernetes.md, "Access")
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/node.h"

enum jmp_kube_interactive { JMP_KUBE_NEVER, JMP_KUBE_IF_AVAILABLE, JMP_KUBE_ALWAYS };

/* A program that knows the credential. */
struct jmp_kube_exec {
    const char *api_version;            /* client.authentication.k8s.io/v1 or v1beta1 */
    const char *command;                /* absolute, or to be found in PATH */
    const struct jmp_node *args;        /* list of strings, or NULL */
    const struct jmp_node *env;         /* list of maps with name and value, or NULL */
    const char *install_hint;
    bool provide_cluster_info;
    enum jmp_kube_interactive interactive;
};

/* Strings are NULL when not given. PEM texts were read from their files, or decoded. */
struct jmp_kube_access {
    struct jmp_tree *tree;              /* owns everything here */
    const char *server;                 /* "https://HOST:PORT", without a slash at the end */
    const char *namespace_;             /* "default" when nothing says another */
    const char *ca;                     /* PEM */
    bool insecure;
    const char *tls_server_name;        /* for SNI and the check of the name */
    const char *proxy;                  /* NULL: what the environment says */
    const char *token, *token_file;     /* the file is read again, at most 60 s later */
    const char *username, *password;
    const char *certificate, *key;      /* PEM */
    const char *as, *as_uid;            /* impersonated */
    const struct jmp_node *as_groups;   /* list of strings, or NULL */
    const struct jmp_kube_exec *exec;   /* or NULL */
};

struct jmp_kube_access *jmp_kube_access_free(struct jmp_kube_access *access);
JMP_DEFINE_CLEANUP(struct jmp_kube_access *, jmp_kube_access_free)

/* How YAML becomes nodes, which is not this room's affair: jmp_yaml_parse(). */
typedef int (*jmp_kube_parse_fn)(const char *text, size_t length, const char *file, struct jmp_tree *tree,
                                 const struct jmp_node **ret, struct jmp_error *reterr);

/**
 * jmp_kube_access_load() - as clients of Kubernetes find their way
 * @file:     that file alone; NULL: all of $KUBECONFIG (missing ones are skipped), else ~/.kube/config, else, in a pod,
 *            its service account
 * @context:  NULL: the current one
 * @pod:      directory of the service account; NULL: where pods have it
 * @parse:    reads YAML
 * @ret:      free with jmp_kube_access_free()
 *
 * Of several files the first that has an entry, or a current-context, gives it whole. Paths in a file are relative to
 * it.
 *
 * Return: 0, -ENOENT (a file, entry or context that is not there), -EINVAL, -ENOMEM, or why a file cannot be read.
 */
int jmp_kube_access_load(const char *file, const char *context, const char *pod, jmp_kube_parse_fn parse,
                         struct jmp_kube_access **ret, struct jmp_error *reterr);
