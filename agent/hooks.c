/* SPDX-License-Identifier: Apache-2.0 */
/* The owner's scripts around a lease: what they are told, where their words go, what their outcome means.
 * (docs/hooks.md) */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/life.h"
#include "base/text.h"

#define PATIENCE (5 * JMP_USEC_PER_SEC)    /* from SIGTERM to SIGKILL */
#define MOTD_MAX (64u * 1024)
#define OUR_J "jmpctl"                     /* what is called j where the stock one is not installed */

extern char **environ;

static bool is_after(const struct agent_hook *hook) { return hook == &hook->agent->after; }
static const char *hook_name(const struct agent_hook *hook) { return is_after(hook) ? "afterLease" : "beforeLease"; }

static enum jmp_log_source hook_source(const struct agent_hook *hook)
{
    return is_after(hook) ? JMP_LOG_AFTER_LEASE : JMP_LOG_BEFORE_LEASE;
}

static void say(const struct agent_hook *hook, enum jmp_log_level level, const char *text)
{
    const struct agent *agent = hook->agent;

    jmp_log(level, FIELDS(.exporter = agent->config->name, .lease = agent->lease,
                          .client = *agent->client ? agent->client : NULL, .source = hook_source(hook)), "%s", text);
}

static void on_line(const char *line, void *user) { say(user, JMP_LOG_INFO, line); }

/*
 * What a script finds in its environment.
 */

static const char *const removed[] = {
    "PS1", "JMP_MOTD_FILE",
    /* These are for us alone. */
    "NOTIFY_SOCKET", "FDSTORE", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
};

static bool is_variable(const char *setting, const char *name)
{
    size_t length = strlen(name);

    return strncmp(setting, name, length) == 0 && setting[length] == '=';
}

struct environment {
    char **settings;
    size_t count, own;    /* own: from here on they are ours to free */
};

static void environment_clear(struct environment *environment)
{
    for (size_t i = environment->own; i < environment->count; i++)
        free(environment->settings[i]);
    free(environment->settings);
}

static int set(struct environment *environment, const char *name, const char *value)
{
    char *setting;

    if (asprintf(&setting, "%s=%s", name, value) < 0)
        return -ENOMEM;
    environment->settings[environment->count++] = setting;
    return 0;
}

static int set_all(struct environment *environment, const struct agent_hook *hook)
{
    const struct agent *agent = hook->agent;
    const char *path = getenv("PATH") ?: "/usr/local/bin:/usr/bin:/bin";
    _cleanup_free_ char *labels = NULL, *search = NULL;
    const struct { const char *name, *value; } settings[] = {
        { "JUMPSTARTER_HOST", agent->runtime->hook_socket },
        { "JMP_DRIVERS_ALLOW", "UNSAFE" },
        { "LEASE_NAME", agent->lease },
        { "CLIENT_NAME", agent->client },
        { "TERM", "dumb" },
        { "DEBIAN_FRONTEND", "noninteractive" },
        { "GIT_TERMINAL_PROMPT", "0" },
        { "JMP_EXPORTER", agent->config->name },
        { "JMP_LEASE_CONTEXT", agent->context ?: "{}" },
    };
    int r = 0;

    /* The last resort: a stock j anywhere in the path comes first. */
    if (asprintf(&search, "%s:%s", path, agent->runtime->tools) < 0 ||
        asprintf(&labels, "jumpstarter.dev/name=%s", agent->config->name) < 0)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < ELEMENTSOF(settings); i++)
        r = set(environment, settings[i].name, settings[i].value);
    if (r == 0)
        r = set(environment, "PATH", search);
    if (r == 0)
        r = set(environment, "JMP_EXPORTER_LABELS", labels);
    if (r == 0 && *agent->motd_file)
        r = set(environment, "JMP_MOTD_FILE", agent->motd_file);
    return r;
}

#define SETTINGS_MAX 16

static int make_environment(struct environment *environment, const struct agent_hook *hook)
{
    struct environment ours = { 0 };
    size_t n = 0;
    int r;

    while (environ[n])
        n++;
    environment->settings = calloc(n + SETTINGS_MAX + 1, sizeof(char *));
    ours.settings = calloc(SETTINGS_MAX + 1, sizeof(char *));
    r = environment->settings && ours.settings ? set_all(&ours, hook) : -ENOMEM;

    for (size_t i = 0; r == 0 && i < n; i++) {
        bool other = true;

        for (size_t j = 0; other && j < ELEMENTSOF(removed); j++)
            other = !is_variable(environ[i], removed[j]);
        for (size_t j = 0; other && j < ours.count; j++)
            other = strncmp(environ[i], ours.settings[j], strcspn(ours.settings[j], "=") + 1) != 0;
        if (other)
            environment->settings[environment->count++] = environ[i];
    }
    environment->own = environment->count;
    for (size_t i = 0; r == 0 && i < ours.count; i++)
        environment->settings[environment->count++] = TAKE_PTR(ours.settings[i]);
    if (r < 0)
        environment_clear(&ours);
    else
        free(ours.settings);
    return r;
}

/*
 * The message of the day.
 */

static void make_motd(struct agent *agent)
{
    int fd;

    snprintf(agent->motd_file, sizeof(agent->motd_file), "/tmp/jmp-motd-XXXXXX");
    fd = mkostemp(agent->motd_file, O_CLOEXEC);
    if (fd < 0) {
        agent_tell(agent, JMP_LOG_WARNING, "no file for a message of the day: %m");
        agent->motd_file[0] = '\0';
    }
    jmp_close(fd);
}

static void drop_motd(struct agent *agent)
{
    if (*agent->motd_file)
        unlink(agent->motd_file);
    agent->motd_file[0] = '\0';
}

/* The hook may have put anything in its place. Return: the number of bytes, or negative errno. */
static ssize_t read_motd(const char *path, char *text)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    size_t length = 0;
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    while (length < MOTD_MAX && (n = read(fd, text + length, MOTD_MAX - length)) != 0) {
        if (n < 0)
            return -errno;
        length += (size_t)n;
    }
    return (ssize_t)length;
}

static void take_motd(struct agent *agent)
{
    _cleanup_free_ char *text = malloc(MOTD_MAX), *clean = NULL;
    size_t size = 0;
    ssize_t length = text ? read_motd(agent->motd_file, text) : -ENOMEM;
    FILE *stream;
    int r = 0;

    if (length > 0) {
        stream = open_memstream(&clean, &size);
        for (const char *at = text; stream && at < text + length;) {
            size_t n = jmp_text_sequence(at, (size_t)(text + length - at));

            if (n == 0 || !*at)
                fputs("\xEF\xBF\xBD", stream);
            else
                fwrite(at, 1, n, stream);
            at += n ?: 1;
        }
        if (!stream || fclose(stream) != 0)
            r = -ENOMEM;
    }
    while (r == 0 && size > 0 && strchr(" \t\r\n", clean[size - 1]))
        clean[--size] = '\0';
    if (r == 0 && size > 0 && agent->session) {
        agent->memory.motd = strdup(clean + strspn(clean, " \t\r\n"));
        r = agent->memory.motd ? jmp_session_add_motd(agent->session, agent->memory.motd) : -ENOMEM;
    }
    if (length < 0 || r < 0)
        agent_tell(agent, JMP_LOG_WARNING, "the beforeLease hook's message of the day is lost: %s",
                   strerror(length < 0 ? (int)-length : -r));
}

/*
 * Outcomes.
 */

/* By what onFailure says. The words are those of stock exporters: clients and people look for them. */
static const struct {
    const char *mode, *goes_on, *mark, *words;
    enum jmp_log_level level;
    enum jmp_lease_event event;
} outcomes[] = {
    [JMP_HOOK_WARN] = { "warn", "continuing", "[HOOK_WARNING] ", "warning", JMP_LOG_WARNING, JMP_LEASE_HOOK_DONE },
    [JMP_HOOK_END_LEASE] = { "endLease", "raising exception", "", "failed (on_failure=endLease)", JMP_LOG_ERROR,
                             JMP_LEASE_HOOK_FAILED },
    [JMP_HOOK_EXIT] = { "exit", "raising exception", "", "failed (on_failure=exit, shutting down)", JMP_LOG_ERROR,
                        JMP_LEASE_HOOK_FATAL },
};

static enum jmp_lease_event judge(struct agent_hook *hook, const char *failure)
{
    enum jmp_hook_failure mode = hook->config->on_failure;
    struct agent *agent = hook->agent;
    char line[sizeof(agent->text)];

    snprintf(line, sizeof(line), "%s (on_failure=%s, %s)", failure, outcomes[mode].mode, outcomes[mode].goes_on);
    say(hook, outcomes[mode].level, line);
    snprintf(agent->text, sizeof(agent->text), "%s%s hook %s: %s", outcomes[mode].mark, hook_name(hook),
             outcomes[mode].words, failure);
    agent->failed = is_after(hook) ? JMP_EXPORTER_AFTER_LEASE_HOOK_FAILED : JMP_EXPORTER_BEFORE_LEASE_HOOK_FAILED;
    if (mode == JMP_HOOK_EXIT)
        agent->exit_code = 1;
    return outcomes[mode].event;
}

static void on_done(const char *failure, void *user)
{
    struct agent_hook *hook = user;
    struct agent *agent = hook->agent;
    enum jmp_lease_event event = failure ? judge(hook, failure) : JMP_LEASE_HOOK_DONE;

    hook->running = false;
    if (!is_after(hook)) {
        if (event == JMP_LEASE_HOOK_DONE && *agent->motd_file)
            take_motd(agent);
        drop_motd(agent);
    }
    agent_feed(agent, event);
}

/*
 * Start and end.
 */

static void start(struct agent_hook *hook)
{
    _cleanup_(environment_clear) struct environment environment = { 0 };
    struct agent *agent = hook->agent;
    int r;

    if (!is_after(hook))
        make_motd(agent);
    hook->running = true;
    r = make_environment(&environment, hook);
    if (r == 0)
        r = jmp_hook_start(agent->loop, &(const struct jmp_hook_options){
                           .script = hook->config->script, .exec = hook->config->exec, .timeout = hook->config->timeout,
                           .patience = PATIENCE, .environment = environment.settings,
                           .line = on_line, .done = on_done, .user = hook }, &hook->hook);
    if (r < 0)
        on_done("Error executing hook: out of memory", hook);
}

void agent_run_hook(struct agent *agent, struct agent_hook *hook)
{
    agent->text[0] = '\0';
    if (!hook->config->script) {
        agent_feed(agent, JMP_LEASE_HOOK_DONE);
        return;
    }
    if (is_after(hook))
        agent_report(agent, JMP_EXPORTER_AFTER_LEASE_HOOK, "Running afterLease hooks", true);
    else
        agent_report(agent, JMP_EXPORTER_BEFORE_LEASE_HOOK, "Running beforeLease hook", true);

    /* Two scripts at once would fight over the board. */
    if (is_after(hook) && agent->before.ending)
        agent->after_waits = true;
    else
        start(hook);
}

static void on_ended(void *user)
{
    struct agent_hook *hook = user;
    struct agent *agent = hook->agent;

    hook->hook = jmp_hook_free(hook->hook);
    hook->ending = false;
    if (agent->closing) {
        agent_closed(agent);
    } else if (agent->after_waits) {
        agent->after_waits = false;
        start(&agent->after);
    }
}

static void end(struct agent_hook *hook)
{
    if (hook->running)
        agent_tell(hook->agent, JMP_LOG_INFO, "the %s hook is interrupted", hook_name(hook));
    hook->running = false;
    if (!hook->hook || hook->ending)
        return;
    hook->ending = true;
    jmp_hook_end(hook->hook, on_ended, hook);
}

void agent_stop_hooks(struct agent *agent)
{
    if (agent->before.running) {
        end(&agent->before);
        drop_motd(agent);
    }
    if (agent->after.running)
        end(&agent->after);
    agent->after_waits = false;

    /* What has been said of an outcome but not been heard yet is late news, too. */
    for (unsigned i = 0; i < agent->event_count; i++)
        if (agent->events[i] == JMP_LEASE_HOOK_DONE || agent->events[i] == JMP_LEASE_HOOK_FAILED ||
            agent->events[i] == JMP_LEASE_HOOK_FATAL)
            agent->events[i] = JMP_LEASE_EVENTS;
}

unsigned agent_end_hooks(struct agent *agent)
{
    struct agent_hook *hooks[] = { &agent->before, &agent->after };
    unsigned pending = 0;

    for (size_t i = 0; i < ELEMENTSOF(hooks); i++) {
        end(hooks[i]);
        pending += hooks[i]->hook ? 1 : 0;
    }
    agent->after_waits = false;
    return pending;
}

uint64_t agent_hook_limit(const struct agent *agent)
{
    return agent->config->after_lease.script ? agent->config->after_lease.timeout * JMP_USEC_PER_SEC + 2 * PATIENCE : 0;
}

void agent_hooks_init(struct agent *agent)
{
    agent->before = (struct agent_hook){ .agent = agent, .config = &agent->config->before_lease };
    agent->after = (struct agent_hook){ .agent = agent, .config = &agent->config->after_lease };
}

void agent_free_hooks(struct agent *agent)
{
    agent->before.hook = jmp_hook_free(agent->before.hook);
    agent->after.hook = jmp_hook_free(agent->after.hook);
    drop_motd(agent);
}
