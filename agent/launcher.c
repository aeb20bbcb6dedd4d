/* SPDX-License-Identifier: Apache-2.0 */
/* In a pod that serves one lease: whoever started our container beside others is told that it may end them all. */
#include <string.h>

#include "agent/life.h"
#include "base/child.h"

#define SHARED "/shared/jumpstarter-exec"
#define NAME "jumpstarter-exec"
#define LIMIT (10 * JMP_USEC_PER_SEC)

struct wait {
    struct jmp_loop *loop;
    struct jmp_timer limit;
};

static void on_exited(struct jmp_child *child, void *user)
{
    struct wait *wait = user;

    jmp_loop_exit(wait->loop, jmp_child_code(child));
}

static void on_limit(struct jmp_timer *timer)
{
    jmp_loop_exit(CONTAINER_OF(timer, struct wait, limit)->loop, -ETIMEDOUT);
}

/* Return: the program's exit code, or negative errno. */
static int run(const char *program, const char *socket, struct jmp_error *reterr)
{
    char *const argv[] = { (char *)program, (char *)"shutdown", (char *)"--socket", (char *)socket, NULL };
    const struct jmp_child_options options = { .argv = argv, .group = true };
    _cleanup_(jmp_child_freep) struct jmp_child *child = NULL;
    struct wait wait = { 0 };
    int r;

    r = jmp_loop_new(&wait.loop);
    if (r == 0)
        r = jmp_timer_start(wait.loop, &wait.limit, LIMIT, on_limit);
    if (r == 0)
        r = jmp_child_start(wait.loop, &options, on_exited, &wait, &child, reterr);
    if (r == 0)
        r = jmp_loop_run(wait.loop);
    child = jmp_child_free(child);
    jmp_timer_close(&wait.limit);
    jmp_loop_free(wait.loop);
    return r;
}

void agent_tell_launcher(const struct agent *agent)
{
    const char *socket = getenv("JUMPSTARTER_LAUNCHER_SOCKET"), *slash = socket ? strrchr(socket, '/') : NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    _cleanup_free_ char *beside = NULL;
    int r;

    if (!agent->options->exit_on_lease_end || !socket || !*socket)
        return;
    if (asprintf(&beside, "%.*s" NAME, slash ? (int)(slash - socket) + 1 : 0, socket) < 0) {
        beside = NULL;
        return;
    }
    r = run(access(SHARED, X_OK) == 0 ? SHARED : beside, socket, &error);
    if (r < 0)
        jmp_log(JMP_LOG_WARNING, FIELDS(.exporter = agent->config->name, .error = r), "the launcher is not told: %s",
                *error.text ? error.text : strerror(-r));
    else if (r > 0)
        jmp_log(JMP_LOG_WARNING, FIELDS(.exporter = agent->config->name),
                "the launcher does not want to end: status %d", r);
}
