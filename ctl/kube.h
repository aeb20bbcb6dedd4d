/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands about Kubernetes share: the API server, asked one thing after the other, and how objects are
 * shown. */
#pragma once

#include "ctl/ctl.h"
#include "ctl/output.h"
#include "kube/kube.h"
#include "kube/objects.h"

/* Where and as whom; the first member of the object of each command's options after struct jmp_ctl_options. */
struct jmp_kube_options {
    struct jmp_ctl_options common;
    const char *kubeconfig, *context, *namespace_;
};

#define JMP_KUBE_ACCESS_OPTIONS                                                                                        \
    { JMP_FIELD(struct jmp_kube_options, kubeconfig), .value_name = "FILE", .help = "kubeconfig file to use" },        \
        { JMP_FIELD(struct jmp_kube_options, context), .value_name = "NAME", .help = "context of it to use" },         \
        { .key = "namespace", JMP_FIELD_AS(struct jmp_kube_options, namespace_), .letter = 'n', .value_name = "NAME",  \
          .preset = "default", .help = "namespace of the objects" },                                                   \
        JMP_CTL_HELP_OPTION

struct jmp_ctl_kube {
    struct jmp_loop *loop;
    struct jmp_kube *kube;
    int signal;                     /* that ended a wait; 0: none */
    bool done;
    struct jmp_kube_status status;
    json_t *answer;
};

/** jmp_ctl_kube_open() - a loop that hears signals, and the API server of @options */
int jmp_ctl_kube_open(struct jmp_ctl_kube *kube, const struct jmp_kube_options *options, struct jmp_error *reterr);
void jmp_ctl_kube_close(struct jmp_ctl_kube *kube);

/**
 * jmp_ctl_ask() - one request; waits
 * @ret:  json_decref(); may be NULL
 * Return: 0, -ECANCELED after a signal, what jmp_kube_status_error() says, with words; kube->status tells more.
 */
int jmp_ctl_ask(struct jmp_ctl_kube *kube, const struct jmp_kube_call *call, json_t **ret, struct jmp_error *reterr);
/** jmp_ctl_ask_object() - GET or DELETE of one object, or GET of all of a kind (@name NULL), with @query or NULL */
int jmp_ctl_ask_object(struct jmp_ctl_kube *kube, const char *method, const char *group, const char *version,
                       const char *namespace_, const char *plural, const char *name, const char *query, json_t **ret,
                       struct jmp_error *reterr);
/** jmp_ctl_sleep() - 0, -ECANCELED after a signal */
int jmp_ctl_sleep(struct jmp_ctl_kube *kube, uint64_t usec);
/** jmp_ctl_wait() - until jmp_loop_exit() or a signal; 0, -ECANCELED */
int jmp_ctl_wait(struct jmp_ctl_kube *kube);

/*
 * Views.
 */
struct jmp_kube_view {
    enum jmp_kube_kind kind;
    enum jmp_output output;
    const char *namespace_;     /* for "No resources found in ... namespace." */
    bool devices;               /* of exporters: a row for each */
    int64_t now;                /* seconds since 1970, for ages */
};

/** jmp_kube_print_object() - one object */
int jmp_kube_print_object(FILE *stream, const struct jmp_kube_view *view, json_t *object, struct jmp_error *reterr);
/** jmp_kube_print_list() - a list as the server sent it */
int jmp_kube_print_list(FILE *stream, const struct jmp_kube_view *view, json_t *list, struct jmp_error *reterr);
