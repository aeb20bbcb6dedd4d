/* SPDX-License-Identifier: Apache-2.0 */
#include "base/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

struct jmp_child {
    pid_t pid;
    int pidfd, code, killer;
    bool group, ended, gone;   /* gone: all of the group, and its number may be a stranger's */
    struct jmp_io io;
    void (*exited)(struct jmp_child *child, void *user);
    void *user;
};

/* It is looked at, not yet reaped: as long as it is there, no stranger gets the number that its group is known by. */
static void on_exit_(struct jmp_io *io, uint32_t revents)
{
    struct jmp_child *child = CONTAINER_OF(io, struct jmp_child, io);
    siginfo_t info = { 0 };
    int r;

    do
        r = waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    while (r < 0 && errno == EINTR);
    if (r == 0 && info.si_pid == 0)
        return;
    child->code = r < 0 ? 1 : info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    child->killer = r < 0 || info.si_code == CLD_EXITED ? 0 : info.si_status;
    child->ended = true;
    jmp_io_close(&child->io);
    child->exited(child, child->user);
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
    while (set && set[m])
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

/* 0 or an errno, as posix_spawn() and its kin have it. */
static int set_files(posix_spawn_file_actions_t *files, const struct jmp_child_options *options)
{
    const int fds[] = { options->in, options->out, options->err };
    int r = 0;

    if (options->directory)
        r = posix_spawn_file_actions_addchdir_np(files, options->directory);
    /* The session has no terminal yet, so this one becomes its controlling terminal. */
    if (r == 0 && options->tty)
        r = posix_spawn_file_actions_addopen(files, 0, options->tty, O_RDWR, 0);
    for (int i = 0; r == 0 && i < 3; i++) {
        int fd = options->tty ? 0 : fds[i];

        if (fd > 0 || (options->tty && i > 0))
            r = posix_spawn_file_actions_adddup2(files, fd, i);
    }
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
    return r;
}

static int set_attributes(posix_spawnattr_t *attributes, const struct jmp_child_options *options)
{
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    sigset_t none, changed;

    /* We block the signals that our loop hears, and ignore SIGPIPE: the program shall not. */
    sigemptyset(&none);
    sigemptyset(&changed);
    sigaddset(&changed, SIGPIPE);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &changed);
    if (options->tty || options->session)
        flags |= POSIX_SPAWN_SETSID;
    else if (options->group)
        flags |= POSIX_SPAWN_SETPGROUP;
    return posix_spawnattr_setflags(attributes, flags);
}

static int spawn(struct jmp_child *child, const struct jmp_child_options *options)
{
    _cleanup_free_ char **merged = options->environment ? NULL : merge(options->set);
    char *const *environment = options->environment ?: merged;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int r;

    if (!environment)
        return ENOMEM;
    r = posix_spawn_file_actions_init(&files);
    if (r != 0)
        return r;
    r = posix_spawnattr_init(&attributes);
    if (r == 0) {
        r = set_files(&files, options);
        if (r == 0)
            r = set_attributes(&attributes, options);
        if (r == 0)
            r = posix_spawnp(&child->pid, options->argv[0], &files, &attributes, options->argv, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return r;
}

int jmp_child_start(struct jmp_loop *loop, const struct jmp_child_options *options,
                    void (*exited)(struct jmp_child *child, void *user), void *user, struct jmp_child **ret,
                    struct jmp_error *reterr)
{
    _cleanup_(jmp_child_freep) struct jmp_child *child = calloc(1, sizeof(*child));
    int r;

    if (!child)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    child->group = options->group || options->session || options->tty;
    child->exited = exited;
    child->user = user;
    child->pidfd = -EBADF;
    r = spawn(child, options);
    if (r != 0) {
        child->pid = 0;
        return jmp_error_set(reterr, -r, "%s cannot be started: %s", options->argv[0], strerror(r));
    }

    child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
    r = child->pidfd < 0 ? -errno : jmp_io_start(loop, &child->io, child->pidfd, EPOLLIN, on_exit_);
    if (r < 0)
        return jmp_error_set(reterr, r, "%s cannot be watched: %m", options->argv[0]);
    *ret = TAKE_PTR(child);
    return 0;
}

pid_t jmp_child_pid(const struct jmp_child *child) { return child->ended ? 0 : child->pid; }

void jmp_child_signal(struct jmp_child *child, int signal)
{
    if (child->gone)
        return;
    if (child->group)
        kill(-child->pid, signal);
    else if (!child->ended)
        kill(child->pid, signal);
}

bool jmp_child_has_ended(const struct jmp_child *child) { return child->ended; }

int jmp_child_code(const struct jmp_child *child) { return child->code; }

int jmp_child_killer(const struct jmp_child *child) { return child->killer; }

bool jmp_child_group_is_gone(struct jmp_child *child)
{
    siginfo_t info;

    if (child->gone || !child->ended)
        return child->gone;

    /* Orphans of the group are our children when we are the first process of a container. */
    do
        info.si_pid = 0;
    while (waitid(P_PGID, (id_t)child->pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0);
    /* The number is the group's as long as it has a member. */
    child->gone = kill(-child->pid, 0) < 0 && errno == ESRCH;
    return child->gone;
}

struct jmp_child *jmp_child_free(struct jmp_child *child)
{
    if (!child)
        return NULL;

    jmp_io_close(&child->io);
    if (child->pid > 0 && !child->gone) {
        jmp_child_signal(child, SIGKILL);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    jmp_close(child->pidfd);
    free(child);
    return NULL;
}
