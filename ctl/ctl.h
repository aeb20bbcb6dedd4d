/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands share: the configuration, the controller, and the exporter's session, each made when it is first
 * needed. */
#pragma once

#include "client/acquire.h"
#include "client/dial.h"
#include "client/session_client.h"
#include "config/client_config.h"
#include "ctl/command.h"

/* Which client, and which exporter: before the command or among its own options. */
struct jmp_ctl_options {
    const char *client, *client_config;
    const char *lease, *tls_grpc, *passphrase, *passphrase_file;
    bool tls_grpc_insecure;
    bool help, version;
};

/* Rows for them; the object's first member is a struct jmp_ctl_options. */
#define JMP_CTL_CLIENT_OPTIONS                                                                                         \
    { JMP_FIELD(struct jmp_ctl_options, client), .value_name = "ALIAS", .help = "client configuration to use" },       \
    {                                                                                                                  \
        JMP_FIELD(struct jmp_ctl_options, client_config), .value_name = "FILE",                                        \
                                                          .help = "client configuration file to use"                   \
    }
#define JMP_CTL_DIRECT_OPTIONS                                                                                         \
    { JMP_FIELD(struct jmp_ctl_options, tls_grpc), .value_name = "HOST:PORT",                                          \
      .help = "talk to this exporter without a controller" },                                                          \
        { JMP_FIELD(struct jmp_ctl_options, tls_grpc_insecure), .help = "with --tls-grpc: without TLS" },              \
        { JMP_FIELD(struct jmp_ctl_options, passphrase), .value_name = "TEXT", .secret = true,                         \
          .help = "with --tls-grpc: the exporter's passphrase (others see it in the process list)" },                  \
    {                                                                                                                  \
        JMP_FIELD(struct jmp_ctl_options, passphrase_file), .value_name = "FILE",                                      \
                                                            .help = "with --tls-grpc: read the passphrase from FILE"   \
    }
#define JMP_CTL_LEASE_OPTION                                                                                           \
    {                                                                                                                  \
        JMP_FIELD(struct jmp_ctl_options, lease), .value_name = "NAME",                                                \
                                                  .help = "use the exporter of this lease (default: $JMP_LEASE)"       \
    }
#define JMP_CTL_HELP_OPTION { JMP_FIELD(struct jmp_ctl_options, help), .letter = 'h', .help = "show this help" }

struct jmp_ctl {
    struct jmp_ctl_options options;      /* of the command, completed by those before it */
    struct jmp_client_config *config;
    struct jmp_client *client;
    struct jmp_controller_client *controller;
    struct jmp_dialer *dialer;
    struct jmp_session_client *session;
    struct jmp_driver_tree *drivers;
    char *directory;                     /* private, with our socket */
    char *passphrase;
    int signal;                          /* that asked us to stop; 0: none */
    /* Asked first when a signal comes; true: it was taken care of. May be NULL. */
    bool (*on_signal)(int signal, void *user);
    void *on_signal_user;
    bool usage;                          /* the error is the command line's: exit 2 */
    bool quiet;                          /* completion: nothing on stderr */
    int output_error;                    /* errno of standard output, 0 while it is well */
};

#define JMP_CTL_EXIT_ERROR 1
#define JMP_CTL_EXIT_USAGE 2
#define JMP_CTL_EXIT_INTERRUPTED 2    /* as the stock client */

/** jmp_ctl_usage() - the command line is wrong: words for @reterr, and exit code 2. Return: -EINVAL. */
int jmp_ctl_usage(struct jmp_ctl *ctl, struct jmp_error *reterr, const char *fmt, ...) JMP_PRINTF(3, 4);
/** jmp_ctl_note() - a line for the person on stderr */
void jmp_ctl_note(const struct jmp_ctl *ctl, const char *fmt, ...) JMP_PRINTF(2, 3);
/** jmp_ctl_flush() - what was printed goes out now. Return: 0, or a negative errno, which is also kept: nobody may be
 * reading. */
int jmp_ctl_flush(struct jmp_ctl *ctl);
/** jmp_ctl_is_terminal() - progress and hints may be shown */
bool jmp_ctl_is_terminal(const struct jmp_ctl *ctl);

/*
 * Each returns 0 or a negative errno with words. What they make is freed by jmp_ctl_close().
 */
int jmp_ctl_need_config(struct jmp_ctl *ctl, struct jmp_error *reterr);
int jmp_ctl_need_client(struct jmp_ctl *ctl, struct jmp_error *reterr);      /* starts gRPC, and listens to signals */
int jmp_ctl_need_controller(struct jmp_ctl *ctl, struct jmp_error *reterr);
/** jmp_ctl_need_session() - the exporter of --tls-grpc, --lease, $JUMPSTARTER_HOST or $JMP_LEASE, the first of these,
 * and its drivers */
int jmp_ctl_need_session(struct jmp_ctl *ctl, struct jmp_error *reterr);
void jmp_ctl_close(struct jmp_ctl *ctl);

/**
 * jmp_auth_renew() - a new token for the one of @config, which has a refresh token, and both into its file (cmd_auth.c)
 * @ret: free() it after explicit_bzero()
 */
int jmp_auth_renew(const struct jmp_client_config *config, const char *client_id, bool insecure, char **ret,
                   struct jmp_error *reterr);

/** jmp_ctl_open_lease() - a socket of our own through which the exporter of a lease is reached */
int jmp_ctl_open_lease(struct jmp_ctl *ctl, const char *lease, struct jmp_error *reterr);
/** jmp_ctl_open_direct() - the session of --tls-grpc */
int jmp_ctl_open_direct(struct jmp_ctl *ctl, struct jmp_error *reterr);
void jmp_ctl_close_session(struct jmp_ctl *ctl);
/** jmp_ctl_passphrase() - of --passphrase, --passphrase-file or $JMP_GRPC_PASSPHRASE; NULL in @ret: none */
int jmp_ctl_passphrase(struct jmp_ctl *ctl, const char **ret, struct jmp_error *reterr);
/** jmp_ctl_socket() - path of our socket, NULL before jmp_ctl_open_lease(); free() it */
char *jmp_ctl_socket(const struct jmp_ctl *ctl);

/** jmp_ctl_driver() - run "DRIVER VERB ..." */
int jmp_ctl_driver(struct jmp_ctl *ctl, char **words, struct jmp_error *reterr);
/** jmp_ctl_main() - all of the program; argv[0] is its name */
int jmp_ctl_main(int argc, char **argv);

/* The rows' functions. */
int jmp_cmd_get_exporters(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_usb_list(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_usb_attach(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_usb_detach(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_usb_status(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_get_leases(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_get_drivers(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_create_lease(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_update_lease(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_delete_leases(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_shell(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_driver(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_logs(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_agent_status(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_agent_drain(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_complete(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_completion(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_manual(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_version(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
int jmp_cmd_help(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);

/* Option rows, beside their functions, and what they fill. */
extern const struct jmp_option jmp_usb_list_options[], jmp_usb_attach_options[], jmp_usb_detach_options[],
    jmp_usb_status_options[];
extern const struct jmp_option jmp_get_exporters_options[], jmp_get_leases_options[], jmp_get_drivers_options[],
    jmp_create_lease_options[], jmp_update_lease_options[], jmp_delete_leases_options[], jmp_shell_options[],
    jmp_driver_options[], jmp_logs_options[], jmp_agent_status_options[],
    jmp_version_options[], jmp_plain_options[];

struct jmp_get_exporters {
    struct jmp_ctl_options common;
    const struct jmp_node *selector, *with;
    const char *output;
    unsigned page_size;
    bool show_hidden_labels, allow_disabled, watch;
};

struct jmp_get_leases {
    struct jmp_ctl_options common;
    const struct jmp_node *selector;
    const char *tag_filter, *output;
    unsigned page_size;
    bool all, all_clients, watch;
};

struct jmp_get_drivers {
    struct jmp_ctl_options common;
    const char *output;
};

struct jmp_usb_list_command {   /* and usb status */
    struct jmp_ctl_options common;
    const char *output;
};

struct jmp_usb_attach {
    struct jmp_ctl_options common;
    double follow;               /* seconds */
};

struct jmp_usb_detach {
    struct jmp_ctl_options common;
    bool all;
};

struct jmp_create_lease {
    struct jmp_ctl_options common;
    const struct jmp_node *selector, *tag, *context;
    const char *name, *duration, *begin_time, *lease_id, *output;
    bool allow_disabled;
};

struct jmp_update_lease {
    struct jmp_ctl_options common;
    const char *duration, *begin_time, *to_client, *output;
};

struct jmp_delete_leases {
    struct jmp_ctl_options common;
    const struct jmp_node *selector;
    const char *output;
    bool all, all_clients;
};

struct jmp_shell {
    struct jmp_ctl_options common;
    const struct jmp_node *selector;
    const char *name, *duration, *acquisition_timeout, *retry_timeout, *dial_timeout;
    bool exporter_logs;
};

struct jmp_version {
    struct jmp_ctl_options common;
    const char *output;
};

struct jmp_agent_status {
    struct jmp_ctl_options common;
    const char *output;
    bool watch;
};
