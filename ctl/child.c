/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/child.h"

#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

struct jmp_child {
    struct jmp_client *client;
    pid_t pid;
    int pidfd;
    struct jmp_io io;
    int status;
    bool done, news;
};

static void on_exit_(struct jmp_io *io, uint32_t revents)
{
    struct jmp_child *child = CONTAINER_OF(io, struct jmp_child, io);
    pid_t pid;

    do
        pid = waitpid(child->pid, &child->status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return;
    if (pid < 0)
        child->status = W_EXITCODE(1, 0);
    child->done = child->news = true;
    jmp_io_close(&child->io);
    jmp_client_wake(child->client);
}

static bool replaces(const char *set, const char *old)
{
    size_t length = strcspn(set, "=");

    return strncmp(set, old, length) == 0 && old[length] == '=';
}

/* Our environment with some of it replaced; the strings stay where they are. */
static char **merge(char *const *set)
{
    size_t n = 0, m = 0, count = 0;
    char **merged;

    while (environ[n])
        n++;
    while (set[m])
        m++;
    merged = calloc(n + m + 1, sizeof(*merged));
    if (!merged)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        bool replaced = false;

        for (size_t j = 0; j < m && !replaced; j++)
            replaced = replaces(set[j], environ[i]);
        if (!replaced)
            merged[count++] = environ[i];
    }
    for (size_t j = 0; j < m; j++)
        merged[count++] = set[j];
    return merged;
}

int jmp_child_start(struct jmp_client *client, char *const *argv, char *const *set, struct jmp_child **ret,
                    struct jmp_error *reterr)
{
    _cleanup_(jmp_child_freep) struct jmp_child *child = calloc(1, sizeof(*child));
    _cleanup_free_ char **environment = merge(set);
    posix_spawnattr_t attributes;
    sigset_t none, changed;
    int r;

    if (!child || !environment)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    child->client = client;
    child->pid = -1;
    child->pidfd = -EBADF;

    /* We block the signals that our loop hears, and ignore SIGPIPE: the program shall not. */
    sigemptyset(&none);
    sigemptyset(&changed);
    sigaddset(&changed, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &changed);
    r = posix_spawnp(&child->pid, argv[0], NULL, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    if (r != 0) {
        child->pid = -1;
        return jmp_error_set(reterr, -r, "%s cannot be started: %s", argv[0], strerror(r));
    }

    child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
    if (child->pidfd < 0)
        return jmp_error_set(reterr, -errno, "the program cannot be watched: %m");
    r = jmp_io_start(jmp_client_loop(client), &child->io, child->pidfd, EPOLLIN, on_exit_);
    if (r < 0)
        return jmp_error_set(reterr, r, "the program cannot be watched: %m");
    *ret = TAKE_PTR(child);
    return 0;
}

void jmp_child_signal(struct jmp_child *child, int signal)
{
    if (child->done)
        return;
    kill(child->pid, signal);
    child->news = true;
    jmp_client_wake(child->client);
}

int jmp_child_wait(struct jmp_child *child, uint64_t timeout)
{
    int r = jmp_client_settle(child->client, &child->news, timeout);

    if (child->done)
        return 0;
    child->news = false;
    return r < 0 ? r : -EINTR;
}

int jmp_child_code(const struct jmp_child *child)
{
    return WIFSIGNALED(child->status) ? 128 + WTERMSIG(child->status) : WEXITSTATUS(child->status);
}

struct jmp_child *jmp_child_free(struct jmp_child *child)
{
    if (!child)
        return NULL;
    jmp_io_close(&child->io);
    if (child->pid > 0 && !child->done) {
        kill(child->pid, SIGKILL);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    jmp_close(child->pidfd);
    free(child);
    return NULL;
}
