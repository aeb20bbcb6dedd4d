/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl shell: a lease, an exporter that is ready, a program, and everything given back */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "ctl/program.h"
#include "ctl/ctl.h"
#include "ctl/duration.h"
#include "ctl/output.h"
#include "client/selector.h"
#include "ctl/shell_env.h"

#define READY_TIMEOUT (300 * JMP_USEC_PER_SEC)
#define RELEASE_TIMEOUT (30 * JMP_USEC_PER_SEC)
#define POLL_FIRST (20 * JMP_USEC_PER_MSEC)
#define POLL_MOST (100 * JMP_USEC_PER_MSEC)
#define POLL_FAILURES 20u
#define RETRY_MOST (10 * JMP_USEC_PER_SEC)
#define LEASE_CHECK_MOST (300 * JMP_USEC_PER_SEC)
#define KILL_AFTER (10 * JMP_USEC_PER_SEC)
#define HOOK_WARNING "[HOOK_WARNING] "

const struct jmp_option jmp_shell_options[] = {
    { .key = "selector",
      .type = JMP_STRINGS,
      .offset = offsetof(struct jmp_shell, selector),
      .letter = 'l',
      .value_name = "LABELS",
      .help = "labels that the board must have" },
    { JMP_FIELD(struct jmp_shell, name), .letter = 'n', .value_name = "EXPORTER", .help = "this board and no other" },
    JMP_CTL_LEASE_OPTION,
    { JMP_FIELD(struct jmp_shell, duration), .preset = "30m", .value_name = "TIME",
      .help = "how long the board may be kept" },
    { JMP_FIELD(struct jmp_shell, exporter_logs), .help = "show what the exporter logs, not only its hooks" },
    { JMP_FIELD(struct jmp_shell, acquisition_timeout), .value_name = "TIME", .help = "how long to wait for a board" },
    { JMP_FIELD(struct jmp_shell, retry_timeout), .value_name = "TIME",
      .help = "how long to try other leases when an exporter cannot be reached; 0: not" },
    { JMP_FIELD(struct jmp_shell, dial_timeout), .value_name = "TIME",
      .help = "how long to wait for an exporter that is not ready" },
    JMP_CTL_DIRECT_OPTIONS,
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};

struct shell {
    struct jmp_ctl *ctl;
    const struct jmp_shell *options;
    char **command;                      /* empty: an interactive shell */
    struct jmp_acquisition *acquisition; /* NULL without a controller */
    struct jmp_program *child;
    int64_t duration, acquisition_timeout, retry_timeout;
    int stopped;                         /* signal that came while the program ran */
    bool over;                           /* the lease has ended under us */
    bool hook_seen;
};

static void on_log(const struct jmp_log_line *line, void *user)
{
    static const char *const origins[] = { "system", "driver", "beforeLease", "afterLease", "system" };
    const struct shell *shell = user;
    bool hook = line->origin == JMP_ORIGIN_BEFORE_LEASE || line->origin == JMP_ORIGIN_AFTER_LEASE;

    if (!hook && !shell->options->exporter_logs)
        return;
    fprintf(stderr, "exporter:%s: ", origins[line->origin < ELEMENTSOF(origins) ? line->origin : 0]);
    if (strcmp(line->severity, "INFO") != 0)
        fprintf(stderr, "%.10s: ", line->severity);
    jmp_text_put(stderr, line->message);
    fputc('\n', stderr);
}

/* Also in the log of a job that nobody watches: it may wait for hours, and comes only when the reason changes. */
static void on_progress(const char *words, void *user)
{
    struct shell *shell = user;

    jmp_ctl_note(shell->ctl, "waiting for a board: %s", words);
}

static bool on_signal(int signal, void *user)
{
    struct shell *shell = user;

    if (!shell->child)
        return false;
    shell->stopped = signal;
    /* Ctrl-C on a terminal has reached the program as well, by itself. */
    if (signal != SIGINT || !isatty(STDIN_FILENO))
        jmp_program_signal(shell->child, signal);
    return true;
}

static void show_warning(struct shell *shell, const struct jmp_session_status *status)
{
    if (strncmp(status->message, HOOK_WARNING, strlen(HOOK_WARNING)) == 0)
        jmp_ctl_note(shell->ctl, "warning: %s", status->message + strlen(HOOK_WARNING));
}

/* Ask for the status until it is one of two. -EOPNOTSUPP: an old exporter, which has none. */
static int await_status(struct shell *shell, enum jmp_exporter_status good, enum jmp_exporter_status bad,
                        const char *waiting, struct jmp_session_status *ret, struct jmp_error *reterr)
{
    uint64_t deadline = jmp_now() + READY_TIMEOUT, pause = POLL_FIRST;
    unsigned failures = 0;
    bool told = false;
    int r;

    for (;;) {
        r = jmp_session_client_status(shell->ctl->session, ret, reterr);
        if (r == -ECANCELED || r == -EOPNOTSUPP)
            return r;
        if (r < 0 && ++failures >= POLL_FAILURES) {
            jmp_error_prefix(reterr, "the connection to the exporter is lost");
            return r;
        }
        if (r >= 0) {
            failures = 0;
            shell->hook_seen |=
                ret->status == JMP_STATUS_BEFORE_LEASE_HOOK || ret->status == JMP_STATUS_AFTER_LEASE_HOOK;
            if (ret->status == good || ret->status == bad)
                return 0;
        }
        if (jmp_now() >= deadline)
            return jmp_error_set(reterr, -ETIMEDOUT, "the exporter says %s, not %s, after %u s",
                                 jmp_exporter_status_name(ret->status), jmp_exporter_status_name(good),
                                 (unsigned)(READY_TIMEOUT / JMP_USEC_PER_SEC));
        if (!told && pause == POLL_MOST && jmp_ctl_is_terminal(shell->ctl)) {
            jmp_ctl_note(shell->ctl, "%s (Ctrl-C ends)", waiting);
            told = true;
        }
        r = jmp_client_pause(shell->ctl->client, pause);
        if (r < 0)
            return jmp_error_set(reterr, r, "interrupted");
        pause = pause * 2 > POLL_MOST ? POLL_MOST : pause * 2;
    }
}

static int await_ready(struct shell *shell, struct jmp_error *reterr)
{
    struct jmp_session_status status = { 0 };
    int r;

    r = await_status(shell, JMP_STATUS_LEASE_READY, JMP_STATUS_BEFORE_LEASE_HOOK_FAILED,
                     "the exporter prepares the board", &status, reterr);
    if (r == -EOPNOTSUPP) {
        if (reterr)
            *reterr = JMP_ERROR_INIT;
        return 0;
    }
    if (r < 0)
        return r;
    if (status.status == JMP_STATUS_BEFORE_LEASE_HOOK_FAILED)
        return jmp_error_set(reterr, -EIO, "%s", *status.message ? status.message : "the beforeLease hook failed");
    show_warning(shell, &status);
    return 0;
}

/* The exporter's own words, line by line; only when somebody reads them. */
static void show_motd(struct shell *shell)
{
    _cleanup_(jmp_driver_tree_freep) struct jmp_driver_tree *report = NULL;
    const char *motd = shell->ctl->drivers->motd;

    /* A hook may have added to it meanwhile. */
    if (shell->hook_seen && jmp_session_client_report(shell->ctl->session, 5 * JMP_USEC_PER_SEC, &report, NULL) >= 0)
        motd = report->motd;
    if (*motd)
        jmp_output_lines(stdout, motd, NULL);
    fflush(stdout);
}

/* How long until the lease has to be looked at again. */
static uint64_t until_check(const struct shell *shell)
{
    struct timespec now;
    int64_t end, left;

    if (!shell->acquisition || shell->over)
        return JMP_USEC_INFINITY;
    end = jmp_lease_expiry(jmp_acquisition_lease(shell->acquisition));
    if (end == JMP_TIME_NONE)
        return LEASE_CHECK_MOST;
    clock_gettime(CLOCK_REALTIME, &now);
    left = end - ((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    if (left < (int64_t)JMP_USEC_PER_SEC)
        return JMP_USEC_PER_SEC;
    return (uint64_t)left > LEASE_CHECK_MOST ? LEASE_CHECK_MOST : (uint64_t)left;
}

/* A lease that has ended ends the shell, as a line that hangs up. */
static void check_lease(struct shell *shell)
{
    char words[512];

    if (jmp_acquisition_refresh(shell->acquisition, NULL) < 0)
        return;
    if (jmp_acquire_judge(jmp_acquisition_lease(shell->acquisition), words, sizeof(words)) == JMP_LEASE_HELD)
        return;
    shell->over = true;
    jmp_ctl_note(shell->ctl, "%s", words);
    jmp_program_signal(shell->child, SIGHUP);
    jmp_program_signal(shell->child, SIGCONT);
}

static int run_child(struct shell *shell, const struct jmp_shell_start *start, struct jmp_error *reterr)
{
    uint64_t asked = 0;
    int r;

    r = jmp_program_start(shell->ctl->client, shell->command[0] ? shell->command : (char *const *)start->argv,
                        (char *const *)start->set, &shell->child, reterr);
    if (r == -ENOENT || r == -EACCES || r == -ENOEXEC) {
        if (!shell->ctl->quiet && reterr)
            jmp_error_print(stderr, "jmpctl", reterr);
        return r == -ENOENT ? 127 : 126;
    }
    if (r < 0)
        return r;
    for (;;) {
        r = jmp_program_wait(shell->child, asked ? JMP_USEC_PER_SEC : until_check(shell));
        if (r == 0)
            break;
        if (r != -ETIMEDOUT && r != -EINTR)
            return jmp_error_set(reterr, r, "%m");
        if (r == -ETIMEDOUT && !asked && shell->acquisition)
            check_lease(shell);
        /* Whoever was told to end has a while to do so; an interrupted one may go on. */
        if (!asked && (shell->stopped == SIGTERM || shell->stopped == SIGHUP || shell->over))
            asked = jmp_now();
        else if (asked && jmp_now() - asked >= KILL_AFTER)
            jmp_program_signal(shell->child, SIGKILL);
    }
    r = jmp_program_code(shell->child);
    shell->child = jmp_program_free(shell->child);
    return r;
}

/* The work is done: let the afterLease hook run while its output can still be seen. */
static int end_session(struct shell *shell, struct jmp_error *reterr)
{
    struct jmp_session_status status = { 0 };
    int r;

    if (jmp_session_client_status(shell->ctl->session, &status, NULL) < 0 ||
        (status.status != JMP_STATUS_LEASE_READY && status.status != JMP_STATUS_AFTER_LEASE_HOOK))
        return 0;
    r = jmp_session_client_end(shell->ctl->session, NULL);
    if (r <= 0)
        return 0;
    shell->hook_seen = false;
    r = await_status(shell, JMP_STATUS_AVAILABLE, JMP_STATUS_AFTER_LEASE_HOOK_FAILED,
                     "the exporter puts the board away", &status, reterr);
    if (r < 0) {
        /* Not the program's fault, and nothing that could be done about it here. */
        if (r != -ECANCELED && r != -EOPNOTSUPP)
            jmp_ctl_note(shell->ctl, "warning: %s", reterr->text);
        *reterr = JMP_ERROR_INIT;
        return 0;
    }
    if (status.status == JMP_STATUS_AFTER_LEASE_HOOK_FAILED)
        return jmp_error_set(reterr, -EIO, "%s", *status.message ? status.message : "the afterLease hook failed");
    show_warning(shell, &status);
    /* Stock exporters look for new log lines 20 times a second. */
    if (shell->hook_seen)
        jmp_client_pause(shell->ctl->client, 150 * JMP_USEC_PER_MSEC);
    return 0;
}

static int run_session(struct shell *shell, const struct jmp_shell_env *env, struct jmp_error *reterr)
{
    struct jmp_error error = { 0 };
    struct jmp_shell_start start;
    const char *interactive = NULL;
    int r, ended;

    r = jmp_session_client_logs(shell->ctl->session, on_log, shell);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = await_ready(shell, reterr);
    if (r < 0)
        return r;
    if (!shell->command[0]) {
        interactive = getenv("SHELL");
        if (!interactive || !*interactive)
            interactive = "/bin/bash";
        if (isatty(STDOUT_FILENO))
            show_motd(shell);
    }
    r = jmp_shell_env(env, interactive, &start);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    shell->ctl->on_signal = on_signal;
    shell->ctl->on_signal_user = shell;
    r = run_child(shell, &start, reterr);
    shell->ctl->on_signal = NULL;
    jmp_shell_start_clear(&start);
    if (r < 0 || shell->stopped || shell->over || !shell->acquisition || !jmp_acquisition_is_own(shell->acquisition))
        return shell->stopped ? JMP_CTL_EXIT_INTERRUPTED : r;

    ended = end_session(shell, &error);
    if (ended < 0) {
        if (reterr)
            *reterr = error;
        return ended;
    }
    return r;
}

static int run_direct(struct shell *shell, struct jmp_error *reterr)
{
    struct jmp_ctl *ctl = shell->ctl;
    struct jmp_shell_env env = { .host = ctl->options.tls_grpc,
                                 .exporter = "direct",
                                 .lease = "direct",
                                 .allow = "UNSAFE",
                                 .insecure = ctl->options.tls_grpc_insecure };
    int r;

    r = jmp_ctl_passphrase(ctl, &env.passphrase, reterr);
    if (r >= 0)
        r = jmp_ctl_open_direct(ctl, reterr);
    return r < 0 ? r : run_session(shell, &env, reterr);
}

static int allowed_drivers(struct jmp_ctl *ctl, char **ret)
{
    size_t length = 0;
    FILE *stream;

    if (ctl->config->drivers_unsafe) {
        *ret = strdup("UNSAFE");
        return *ret ? 0 : -ENOMEM;
    }
    stream = open_memstream(ret, &length);
    if (!stream)
        return -ENOMEM;
    JMP_NODE_EACH(node, ctl->config->drivers_allow)
        fprintf(stream, "%s%s", ftell(stream) > 0 ? "," : "", jmp_node_string(node));
    return fclose(stream) == 0 ? 0 : -ENOMEM;
}

/* A board that is held: reach it, and work with it. */
static int run_held(struct shell *shell, struct jmp_error *reterr, bool *retreached)
{
    struct jmp_ctl *ctl = shell->ctl;
    const struct jmp_lease *lease = jmp_acquisition_lease(shell->acquisition);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *allow = NULL, *path = NULL, *name = strdup(lease->name),
                        *exporter_name = strdup(lease->exporter);
    struct jmp_exporter exporter = { 0 };
    struct jmp_shell_env env = { .exporter = exporter_name, .lease = name, .labels = &exporter.labels };
    int r;

    if (!name || !exporter_name || jmp_tree_new(0, &tree) < 0 || allowed_drivers(ctl, &allow) < 0)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    if (jmp_ctl_is_terminal(ctl))
        jmp_ctl_note(ctl, "lease %s holds %s", name, exporter_name);
    /* Labels are a courtesy to the program; without them it still works. */
    if (*exporter_name)
        jmp_controller_client_exporter(ctl->controller, exporter_name, false, tree, &exporter, NULL);
    r = jmp_ctl_open_lease(ctl, name, reterr);
    if (r < 0)
        return r;
    *retreached = true;
    path = jmp_ctl_socket(ctl);
    if (!path)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    env.host = path;
    env.allow = allow;
    return run_session(shell, &env, reterr);
}

static void release(struct shell *shell)
{
    struct jmp_error error = { 0 };

    jmp_client_resume(shell->ctl->client);
    if (shell->over)
        jmp_acquisition_keep(shell->acquisition);
    if (jmp_acquisition_release(shell->acquisition, RELEASE_TIMEOUT, &error) < 0 &&
        !strstr(error.text, "already been released"))
        jmp_ctl_note(shell->ctl, "warning: lease %s could not be deleted: %s",
                     jmp_acquisition_lease(shell->acquisition)->name, error.text);
    shell->acquisition = jmp_acquisition_free(shell->acquisition);
}

static bool is_unreachable(int error) { return error == -ECONNREFUSED || error == -ETIMEDOUT; }

static int run_leased(struct shell *shell, const struct jmp_acquire_options *options, struct jmp_error *reterr)
{
    struct jmp_ctl *ctl = shell->ctl;
    uint64_t started = 0, pause = JMP_USEC_PER_SEC;
    int r;

    for (;;) {
        bool reached = false, own;

        r = jmp_acquire(ctl->controller, options, &shell->acquisition, reterr);
        if (r < 0)
            return r;
        own = jmp_acquisition_is_own(shell->acquisition);
        r = run_held(shell, reterr, &reached);
        jmp_ctl_close_session(ctl);
        release(shell);
        if (r >= 0 || reached || !own || !is_unreachable(r))
            return r;

        if (!started)
            started = jmp_now();
        if (jmp_now() - started >= (uint64_t)shell->retry_timeout)
            return r;
        jmp_ctl_note(ctl, "%s; the lease was given back, trying another", reterr->text);
        *reterr = JMP_ERROR_INIT;
        r = jmp_client_pause(ctl->client, pause);
        if (r < 0)
            return jmp_error_set(reterr, r, "interrupted");
        pause = pause * 2 > RETRY_MOST ? RETRY_MOST : pause * 2;
    }
}

/* Neither lease nor board was named: the one lease that there is. */
static int find_active(struct shell *shell, struct jmp_tree *tree, const char **ret, struct jmp_error *reterr)
{
    struct jmp_ctl *ctl = shell->ctl;
    struct jmp_leases leases;
    size_t mine = 0;
    char line[32];
    int r;

    r = jmp_controller_client_leases(ctl->controller, NULL, tree, &leases, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < leases.count; i++) {
        if (strcmp(leases.items[i].client, ctl->config->name) == 0)
            leases.items[mine++] = leases.items[i];
    }
    if (mine == 0) {
        jmp_ctl_usage(ctl, reterr,
                      "which board? --selector (-l), --name (-n) or --lease is missing, and you have no lease");
        jmp_error_hint(reterr, "\"jmpctl get exporters\" lists the boards and their labels");
        return -EINVAL;
    }
    if (mine == 1) {
        *ret = leases.items[0].name;
        return 0;
    }
    for (size_t i = 0; i < mine && i < 50; i++)
        fprintf(stderr, "  %zu) %s  %s  %s\n", i + 1, leases.items[i].name, leases.items[i].exporter,
                leases.items[i].selector);
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        jmp_ctl_usage(ctl, reterr, "you have %zu leases: name one with --lease", mine);
        return -EINVAL;
    }
    fprintf(stderr, "Which lease? [1-%zu] ", mine);
    if (!fgets(line, sizeof(line), stdin) || strtoul(line, NULL, 10) < 1 || strtoul(line, NULL, 10) > mine)
        return jmp_ctl_usage(ctl, reterr, "no lease was chosen");
    *ret = leases.items[strtoul(line, NULL, 10) - 1].name;
    return 0;
}

/* $JMP_LEASE is for those who name nothing, or the same as it. */
static bool fits(struct shell *shell, const char *lease_name, const struct jmp_lease_request *request,
                 struct jmp_tree *tree)
{
    struct jmp_lease lease;

    if (!request->selector && !request->exporter_name)
        return true;
    if (jmp_controller_client_lease(shell->ctl->controller, lease_name, tree, &lease, NULL, NULL) < 0)
        return false;
    return (!request->selector || strcmp(request->selector, lease.selector) == 0) &&
           (!request->exporter_name || strcmp(request->exporter_name, lease.exporter) == 0);
}

static int parse_times(struct shell *shell, struct jmp_error *reterr)
{
    const struct jmp_shell *options = shell->options;
    struct jmp_client_config *config = shell->ctl->config;
    int64_t dial;
    int r;

    shell->acquisition_timeout = (int64_t)config->acquisition_timeout * 1000000;
    shell->retry_timeout = (int64_t)config->retry_timeout * 1000000;
    r = jmp_duration_parse(options->duration, &shell->duration, reterr);
    if (r >= 0 && options->acquisition_timeout)
        r = jmp_duration_parse(options->acquisition_timeout, &shell->acquisition_timeout, reterr);
    if (r >= 0 && options->retry_timeout)
        r = jmp_duration_parse(options->retry_timeout, &shell->retry_timeout, reterr);
    if (r >= 0 && options->dial_timeout) {
        r = jmp_duration_parse(options->dial_timeout, &dial, reterr);
        if (r >= 0)
            config->dial_timeout = dial / 1000000 > 86400 ? 86400 : (unsigned)(dial / 1000000);
    }
    if (r < 0)
        shell->ctl->usage = true;
    return r;
}

int jmp_cmd_shell(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_shell *options = object;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct shell shell = { .ctl = ctl, .options = options, .command = words };
    struct jmp_lease_request request = { .exporter_name = options->name, .begin = JMP_TIME_NONE };
    struct jmp_acquire_options acquire = { .request = &request, .progress = on_progress, .user = &shell };
    const char *environment = getenv("JMP_LEASE");
    struct jmp_error none = { 0 };
    int r;

    if (!reterr)
        reterr = &none;
    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = jmp_selector_join(options->selector, tree, &request.selector);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    if (ctl->options.tls_grpc) {
        if (ctl->options.lease || request.selector || request.exporter_name)
            return jmp_ctl_usage(ctl, reterr, "--tls-grpc needs no lease: leave out --lease, --selector and --name");
        return run_direct(&shell, reterr);
    }

    r = jmp_ctl_need_controller(ctl, reterr);
    if (r >= 0)
        r = parse_times(&shell, reterr);
    if (r < 0)
        return r;
    request.duration = shell.duration;
    acquire.timeout = (uint64_t)shell.acquisition_timeout;
    acquire.name = ctl->options.lease;
    if (!acquire.name && environment && *environment && strcmp(environment, "direct") != 0) {
        if (fits(&shell, environment, &request, tree))
            acquire.name = environment;
        else
            jmp_ctl_note(ctl, "lease %s of $JMP_LEASE is another board: making a new lease", environment);
    }
    if (!acquire.name && !request.selector && !request.exporter_name) {
        r = find_active(&shell, tree, &acquire.name, reterr);
        if (r < 0)
            return r;
    }
    return run_leased(&shell, &acquire, reterr);
}
