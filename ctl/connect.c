/* SPDX-License-Identifier: Apache-2.0 */
/* From options and environment to a controller, a lease's exporter, or an exporter without either. */
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "ctl/ctl.h"
#include "ctl/oidc.h"

#define REPORT_TIMEOUT (60 * JMP_USEC_PER_SEC)
#define PASSPHRASE_MAX 4096u

int jmp_ctl_need_config(struct jmp_ctl *ctl, struct jmp_error *reterr)
{
    struct jmp_problems problems = { 0 };
    int r;

    if (ctl->config)
        return 0;
    if (ctl->options.client && ctl->options.client_config)
        return jmp_ctl_usage(ctl, reterr, "--client and --client-config exclude each other");
    r = jmp_client_config_find(ctl->options.client, ctl->options.client_config, &ctl->config, &problems);
    for (struct jmp_problem *problem = problems.first; problem; problem = problem->next) {
        /* The first error goes the way of all errors, with its place and hint; what is left comes before it. */
        if (r < 0 && !problem->warning && reterr && reterr->error == 0)
            *reterr = problem->error;
        else if (!ctl->quiet)
            jmp_error_print(stderr, problem->warning ? "jmpctl: warning" : "jmpctl", &problem->error);
    }
    jmp_problems_clear(&problems);
    if (r < 0 && reterr && reterr->error == 0)
        jmp_error_set(reterr, r, "no client configuration: %m");
    return r;
}

static void on_signal(int signal, void *user)
{
    struct jmp_ctl *ctl = user;

    if (ctl->on_signal && ctl->on_signal(signal, ctl->on_signal_user))
        return;
    ctl->signal = signal;
    jmp_client_interrupt(ctl->client);
}

int jmp_ctl_need_client(struct jmp_ctl *ctl, struct jmp_error *reterr)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    sigset_t mask;
    int r;

    if (ctl->client)
        return 0;
    sigemptyset(&mask);
    for (size_t i = 0; i < ELEMENTSOF(signals); i++)
        sigaddset(&mask, signals[i]);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    r = jmp_client_new(&ctl->client);
    if (r < 0)
        return jmp_error_set(reterr, r, "gRPC cannot be started: %m");
    for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
        r = jmp_loop_signal(jmp_client_loop(ctl->client), signals[i], on_signal, ctl);
        if (r < 0)
            return jmp_error_set(reterr, r, "signals cannot be listened to: %m");
    }
    return 0;
}

/* Whoever logged in once goes on working. That it could not be done is said; the refused call says the rest. */
static int renew_token(void *user, char **ret)
{
    struct jmp_ctl *ctl = user;
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    r = jmp_auth_renew(ctl->config, JMP_OIDC_CLIENT_ID, false, ret, &error);
    if (r < 0)
        jmp_error_print(stderr, "jmpctl: warning", &error);
    return r;
}

int jmp_ctl_need_controller(struct jmp_ctl *ctl, struct jmp_error *reterr)
{
    struct jmp_controller_options options = { 0 };
    int r;

    if (ctl->controller)
        return 0;
    r = jmp_ctl_need_config(ctl, reterr);
    if (r < 0)
        return r;
    if (!ctl->config->endpoint || !ctl->config->token) {
        jmp_error_set(reterr, -EINVAL, "the client configuration has no %s",
                      ctl->config->endpoint ? "token" : "endpoint");
        jmp_error_at(reterr, ctl->config->file, 0, 0, NULL);
        return -EINVAL;
    }
    r = jmp_ctl_need_client(ctl, reterr);
    if (r < 0)
        return r;
    options.channel.endpoint = ctl->config->endpoint;
    options.channel.ca = ctl->config->ca;
    options.channel.insecure = ctl->config->insecure;
    options.channel.grpc_options = ctl->config->grpc_options;
    options.namespace_ = ctl->config->namespace_ ? ctl->config->namespace_ : "";
    options.name = ctl->config->name ? ctl->config->name : "";
    options.token = ctl->config->token;
    if (ctl->config->refresh_token && ctl->config->file && !ctl->quiet)
        options.renew = renew_token;
    options.user = ctl;
    return jmp_controller_client_new(ctl->client, &options, &ctl->controller, reterr);
}

int jmp_ctl_passphrase(struct jmp_ctl *ctl, const char **ret, struct jmp_error *reterr)
{
    const char *given = ctl->options.passphrase;
    size_t length;
    int r;

    if (!ctl->passphrase && ctl->options.passphrase_file) {
        r = jmp_file_read(ctl->options.passphrase_file, PASSPHRASE_MAX, &ctl->passphrase, &length, reterr);
        if (r < 0)
            return r;
        ctl->passphrase[strcspn(ctl->passphrase, "\r\n")] = '\0';
        if (!*ctl->passphrase) {
            jmp_error_set(reterr, -EINVAL, "the first line holds no passphrase");
            jmp_error_at(reterr, ctl->options.passphrase_file, 0, 0, NULL);
            return -EINVAL;
        }
    }
    if (!ctl->passphrase && !given)
        given = getenv("JMP_GRPC_PASSPHRASE");
    if (!ctl->passphrase && given && *given) {
        ctl->passphrase = strdup(given);
        if (!ctl->passphrase)
            return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    *ret = ctl->passphrase && *ctl->passphrase ? ctl->passphrase : NULL;
    return 0;
}

/* ${XDG_RUNTIME_DIR:-/tmp}/jumpstarter-XXXXXX, ours alone: who can open the socket in it holds the lease. */
static int make_directory(struct jmp_ctl *ctl, struct jmp_error *reterr)
{
    const char *top = getenv("XDG_RUNTIME_DIR");
    char *path;

    if (ctl->directory)
        return 0;
    /* A socket's path has 107 bytes. */
    if (!top || *top != '/' || strlen(top) > 70 || access(top, W_OK) < 0)
        top = "/tmp";
    if (asprintf(&path, "%s/jumpstarter-XXXXXX", top) < 0)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    if (!mkdtemp(path)) {
        jmp_error_set(reterr, -errno, "no directory for our socket: %s: %m", path);
        free(path);
        return -EIO;
    }
    ctl->directory = path;
    return 0;
}

char *jmp_ctl_socket(const struct jmp_ctl *ctl)
{
    char *path;

    return ctl->directory && asprintf(&path, "%s/socket", ctl->directory) >= 0 ? path : NULL;
}

static void on_dial_failed(const char *words, void *user)
{
    struct jmp_ctl *ctl = user;

    jmp_ctl_note(ctl, "%s", words);
}

static int open_session(struct jmp_ctl *ctl, const struct jmp_path *path, const char *passphrase,
                        struct jmp_error *reterr)
{
    const struct jmp_session_options options = { .paths = path, .n_paths = 1, .passphrase = passphrase };
    int r;

    r = jmp_ctl_need_client(ctl, reterr);
    if (r < 0)
        return r;
    r = jmp_session_client_new(ctl->client, &options, &ctl->session, reterr);
    if (r < 0)
        return r;
    r = jmp_session_client_report(ctl->session, REPORT_TIMEOUT, &ctl->drivers, reterr);
    if (r < 0 && r != -ECANCELED)
        jmp_error_prefix(reterr, r == -EKEYREJECTED ? "authentication failed" : "the exporter does not answer");
    if (r < 0 && reterr && strstr(reterr->text, "certificate verify failed"))
        jmp_error_hint(reterr,
                       "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=FILE names the authority of the exporter's certificate");
    if (r < 0)
        jmp_ctl_close_session(ctl);
    return r;
}

int jmp_ctl_open_lease(struct jmp_ctl *ctl, const char *lease, struct jmp_error *reterr)
{
    struct jmp_dial_options options = { .lease = lease, .failed = on_dial_failed, .user = ctl };
    _cleanup_free_ char *path = NULL;
    int r;

    r = jmp_ctl_need_controller(ctl, reterr);
    if (r < 0)
        return r;
    r = make_directory(ctl, reterr);
    if (r < 0)
        return r;
    path = jmp_ctl_socket(ctl);
    if (!path)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    options.timeout = ctl->config->dial_timeout * JMP_USEC_PER_SEC;
    r = jmp_dialer_new(ctl->controller, &options, &ctl->dialer, reterr);
    if (r >= 0)
        r = jmp_dialer_prepare(ctl->dialer, reterr);
    if (r >= 0)
        r = jmp_dialer_listen(ctl->dialer, path, reterr);
    if (r >= 0)
        r = open_session(ctl, &(const struct jmp_path){ .host = path }, NULL, reterr);
    if (r < 0)
        jmp_ctl_close_session(ctl);
    return r;
}

static bool env_insecure(void)
{
    const char *new = getenv("JMP_GRPC_INSECURE"), *old = getenv("JUMPSTARTER_GRPC_INSECURE");

    return (new && strcmp(new, "1") == 0) || (old && strcmp(old, "1") == 0);
}

int jmp_ctl_open_direct(struct jmp_ctl *ctl, struct jmp_error *reterr)
{
    const char *passphrase;
    int r;

    if (!jmp_path_is_tcp(ctl->options.tls_grpc))
        return jmp_ctl_usage(ctl, reterr, "--tls-grpc: \"%s\" is not HOST:PORT", ctl->options.tls_grpc);
    r = jmp_ctl_passphrase(ctl, &passphrase, reterr);
    if (r < 0)
        return r;
    return open_session(ctl, &(const struct jmp_path){ .host = ctl->options.tls_grpc,
                                                       .plaintext = ctl->options.tls_grpc_insecure,
                                                       .insecure = env_insecure() },
                        passphrase, reterr);
}

int jmp_ctl_need_session(struct jmp_ctl *ctl, struct jmp_error *reterr)
{
    const char *host = getenv("JUMPSTARTER_HOST"), *lease = getenv("JMP_LEASE"), *passphrase = NULL;
    bool tcp;
    int r;

    if (ctl->session)
        return 0;
    if (ctl->options.tls_grpc && ctl->options.lease)
        return jmp_ctl_usage(ctl, reterr, "--tls-grpc and --lease exclude each other");
    if (ctl->options.tls_grpc)
        return jmp_ctl_open_direct(ctl, reterr);
    if (ctl->options.lease)
        return jmp_ctl_open_lease(ctl, ctl->options.lease, reterr);
    if (host && *host) {
        tcp = jmp_path_is_tcp(host);
        if (tcp) {
            r = jmp_ctl_passphrase(ctl, &passphrase, reterr);
            if (r < 0)
                return r;
        }
        /* Here the variable means no TLS at all, as it does for the stock j. */
        r = open_session(ctl, &(const struct jmp_path){ .host = host, .plaintext = env_insecure() }, passphrase,
                         reterr);
        if (r < 0 && !tcp && access(host, F_OK) < 0) {
            jmp_error_set(reterr, r, "the shell that made %s has ended", host);
            jmp_error_hint(reterr, "unset JUMPSTARTER_HOST, and start \"jmpctl shell\"");
        }
        return r;
    }
    if (lease && *lease && strcmp(lease, "direct") != 0)
        return jmp_ctl_open_lease(ctl, lease, reterr);
    jmp_error_set(reterr, -ENOTCONN, "there is no exporter to talk to");
    jmp_error_hint(reterr, "start \"jmpctl shell\" and try there, or name a lease with --lease");
    return -ENOTCONN;
}

void jmp_ctl_close_session(struct jmp_ctl *ctl)
{
    ctl->drivers = jmp_driver_tree_free(ctl->drivers);
    ctl->session = jmp_session_client_free(ctl->session);
    ctl->dialer = jmp_dialer_free(ctl->dialer);
    if (ctl->directory)
        rmdir(ctl->directory);
    free(ctl->directory);
    ctl->directory = NULL;
}

void jmp_ctl_close(struct jmp_ctl *ctl)
{
    jmp_ctl_close_session(ctl);
    ctl->controller = jmp_controller_client_free(ctl->controller);
    ctl->client = jmp_client_free(ctl->client);
    ctl->config = jmp_client_config_free(ctl->config);
    if (ctl->passphrase)
        explicit_bzero(ctl->passphrase, strlen(ctl->passphrase));
    free(ctl->passphrase);
    ctl->passphrase = NULL;
}
