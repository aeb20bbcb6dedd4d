/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hook.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SHELL "/bin/sh"
#define PYTHON "python3"
#define CHUNK 4096u
#define WAKE_MAX (16u * CHUNK)                  /* read before others have their turn */
#define REST_MAX (256u * 1024)                  /* read of what is left when the script has ended */
#define KILL_LIMIT (2 * JMP_USEC_PER_SEC)       /* who survives SIGKILL for so long hangs in the kernel */
#define KILL_WAIT_MSEC 200                      /* the same where the loop has to wait for it */
#define CHECK_FIRST (5 * JMP_USEC_PER_MSEC)
#define CHECK_LAST (100 * JMP_USEC_PER_MSEC)

struct jmp_hook {
    struct jmp_loop *loop;
    void (*line)(const char *line, void *user);
    void (*done)(const char *failure, void *user);
    void *user;
    void (*ended)(void *user);
    void *ended_user;

    /* The leader is not reaped before the group is ended: until then no other process can have its number. */
    pid_t pid;                    /* and process group; 0: there is none (any more) */
    bool reaped;
    int pidfd, terminal;
    struct jmp_io exit_io, terminal_io;
    struct jmp_timer timer;       /* the time limit, then the next look at the group */
    struct jmp_post post;         /* a script that was never started */
    unsigned timeout;
    uint64_t patience, deadline, pause;
    bool ending, killing;
    char failure[256];

    char text[JMP_HOOK_LINE_MAX + 1];
    size_t length;
};

static void emit(struct jmp_hook *hook)
{
    while (hook->length > 0 && isspace((unsigned char)hook->text[hook->length - 1]))
        hook->length--;
    hook->text[hook->length] = '\0';
    if (hook->length > 0)
        hook->line(hook->text, hook->user);
    hook->length = 0;
}

static void take_output(struct jmp_hook *hook, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n' || hook->length == JMP_HOOK_LINE_MAX)
            emit(hook);
        if (bytes[i] != '\n')
            hook->text[hook->length++] = bytes[i] ? bytes[i] : '?';
    }
}

/* Return: whether there may be more. */
static bool read_output(struct jmp_hook *hook, size_t max)
{
    char bytes[CHUNK];

    while (max > 0 && hook->terminal >= 0) {
        ssize_t n = read(hook->terminal, bytes, max < sizeof(bytes) ? max : sizeof(bytes));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0) {   /* EIO: nobody has the other end open any more */
            jmp_io_close(&hook->terminal_io);
            hook->terminal = jmp_close(hook->terminal);
            return false;
        }
        take_output(hook, bytes, (size_t)n);
        max -= (size_t)n;
    }
    return hook->terminal >= 0;
}

static void on_output(struct jmp_io *io, uint32_t revents)
{
    read_output(CONTAINER_OF(io, struct jmp_hook, terminal_io), WAKE_MAX);
}

static void say_done(struct jmp_hook *hook, const char *failure)
{
    void (*done)(const char *failure, void *user) = TAKE_PTR(hook->done);

    if (done)
        done(failure, hook->user);
}

static void fail(struct jmp_hook *hook, const char *fmt, ...) JMP_PRINTF(2, 3);

static void fail(struct jmp_hook *hook, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(hook->failure, sizeof(hook->failure), fmt, ap);
    va_end(ap);
}

/* The end of the group's end. Last: the callbacks may free the hook. */
static void finish(struct jmp_hook *hook)
{
    void (*ended)(void *user) = TAKE_PTR(hook->ended);
    void *user = hook->ended_user;

    jmp_timer_stop(&hook->timer);
    jmp_io_close(&hook->exit_io);
    read_output(hook, REST_MAX);
    emit(hook);
    jmp_io_close(&hook->terminal_io);
    hook->terminal = jmp_close(hook->terminal);
    hook->pid = 0;
    hook->ending = false;
    if (ended)
        ended(user);
    else
        say_done(hook, hook->failure);
}

/* Orphans of the group are our children when we are the first process of a container. */
static void reap(struct jmp_hook *hook)
{
    siginfo_t info;

    for (;;) {
        info.si_pid = 0;
        if (waitid(P_PGID, (id_t)hook->pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
            return;
        if (info.si_pid == hook->pid) {
            hook->reaped = true;
            jmp_io_close(&hook->exit_io);
        }
    }
}

static void on_check(struct jmp_timer *timer)
{
    struct jmp_hook *hook = CONTAINER_OF(timer, struct jmp_hook, timer);

    reap(hook);
    if (hook->reaped && kill(-hook->pid, 0) < 0 && errno == ESRCH) {
        finish(hook);
        return;
    }
    if (jmp_now() >= hook->deadline) {
        if (hook->killing) {
            finish(hook);
            return;
        }
        hook->killing = true;
        hook->deadline = jmp_now() + KILL_LIMIT;
        hook->pause = CHECK_FIRST;
        kill(-hook->pid, SIGKILL);
    }
    if (jmp_timer_start(hook->loop, &hook->timer, hook->pause, on_check) < 0) {
        kill(-hook->pid, SIGKILL);
        finish(hook);
        return;
    }
    hook->pause = hook->pause * 2 < CHECK_LAST ? hook->pause * 2 : CHECK_LAST;
}

static void on_ended(struct jmp_post *post) { finish(CONTAINER_OF(post, struct jmp_hook, post)); }

static void kill_now(struct jmp_hook *hook)
{
    struct pollfd exited = { .fd = hook->pidfd, .events = POLLIN };

    if (hook->pid <= 0)
        return;
    kill(-hook->pid, SIGKILL);
    if (!hook->reaped)
        poll(&exited, 1, KILL_WAIT_MSEC);
    reap(hook);
    hook->pid = 0;
}

static void begin_end(struct jmp_hook *hook)
{
    hook->ending = true;
    hook->pause = CHECK_FIRST;
    hook->deadline = jmp_now() + hook->patience;
    kill(-hook->pid, SIGTERM);
    kill(-hook->pid, SIGCONT);   /* who is stopped hears nothing */
    /* From the loop: nobody is called from within jmp_hook_end(). */
    if (jmp_timer_start(hook->loop, &hook->timer, 0, on_check) < 0) {
        kill_now(hook);
        hook->post.run = on_ended;
        jmp_loop_post(hook->loop, &hook->post);
    }
}

static void on_timeout(struct jmp_timer *timer)
{
    struct jmp_hook *hook = CONTAINER_OF(timer, struct jmp_hook, timer);

    fail(hook, "Hook timed out after %u seconds", hook->timeout);
    begin_end(hook);
}

static void on_exit_io(struct jmp_io *io, uint32_t revents)
{
    struct jmp_hook *hook = CONTAINER_OF(io, struct jmp_hook, exit_io);
    siginfo_t info = { 0 };

    if (hook->ending) {
        on_check(&hook->timer);
        return;
    }
    if (waitid(P_PID, (id_t)hook->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
        return;
    jmp_io_close(io);
    jmp_timer_stop(&hook->timer);
    read_output(hook, REST_MAX);
    emit(hook);

    if (info.si_code == CLD_EXITED && info.si_status == 0) {
        say_done(hook, NULL);
        return;
    }
    fail(hook, "Hook failed with exit code %d", info.si_code == CLD_EXITED ? info.si_status : -info.si_status);
    say_done(hook, hook->failure);
}

static void on_not_started(struct jmp_post *post)
{
    struct jmp_hook *hook = CONTAINER_OF(post, struct jmp_hook, post);

    say_done(hook, hook->failure[0] ? hook->failure : NULL);
}

/* The path that a script of one line names, without the blanks around it; NULL: the script is the text itself. */
static char *script_file(const char *script)
{
    size_t length;
    struct stat st;
    char *path;

    script += strspn(script, " \t\r\n");
    length = strlen(script);
    while (length > 0 && isspace((unsigned char)script[length - 1]))
        length--;
    path = strndup(script, length);
    if (path && !strchr(path, '\n') && stat(path, &st) == 0 && S_ISREG(st.st_mode))
        return path;
    free(path);
    return NULL;
}

static bool is_python(const char *path)
{
    size_t length = strlen(path);

    return length > 3 && strcmp(path + length - 3, ".py") == 0;
}

/* Return: 0 or an errno. */
static int spawn(struct jmp_hook *hook, const struct jmp_hook_options *options, int terminal)
{
    _cleanup_free_ char *file = script_file(options->script);
    const char *interpreter = options->exec ?: file && is_python(file) ? PYTHON : SHELL;
    char *argv[4] = { (char *)interpreter, file ?: (char *)"-c", file ? NULL : (char *)options->script, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    for (int fd = STDIN_FILENO; r == 0 && fd <= STDERR_FILENO; fd++)
        r = posix_spawn_file_actions_adddup2(&actions, terminal, fd);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    if (r == 0)
        r = posix_spawnp(&hook->pid, interpreter, &actions, &attributes, argv, options->environment);
    if (r != 0)
        hook->pid = 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

/* Return: 0 or negative errno, with the failure set. */
static int start(struct jmp_hook *hook, const struct jmp_hook_options *options)
{
    _cleanup_close_ int slave = -EBADF;
    int r;

    if (openpty(&hook->terminal, &slave, NULL, NULL, NULL) < 0) {
        hook->terminal = -EBADF;
        return -errno;
    }
    if (fcntl(hook->terminal, F_SETFD, FD_CLOEXEC) < 0 || fcntl(hook->terminal, F_SETFL, O_NONBLOCK) < 0 ||
        fcntl(slave, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    r = jmp_io_start(hook->loop, &hook->terminal_io, hook->terminal, EPOLLIN, on_output);
    if (r < 0)
        return r;
    r = jmp_timer_start(hook->loop, &hook->timer, options->timeout * JMP_USEC_PER_SEC, on_timeout);
    if (r < 0)
        return r;

    r = -spawn(hook, options, slave);
    if (r < 0)
        return r;
    hook->pidfd = (int)syscall(SYS_pidfd_open, hook->pid, 0);
    if (hook->pidfd < 0)
        return -errno;
    return jmp_io_start(hook->loop, &hook->exit_io, hook->pidfd, EPOLLIN, on_exit_io);
}

int jmp_hook_start(struct jmp_loop *loop, const struct jmp_hook_options *options, struct jmp_hook **ret)
{
    struct jmp_hook *hook = calloc(1, sizeof(*hook));
    int r;

    if (!hook)
        return -ENOMEM;
    hook->loop = loop;
    hook->line = options->line;
    hook->done = options->done;
    hook->user = options->user;
    hook->timeout = options->timeout;
    hook->patience = options->patience;
    hook->pidfd = hook->terminal = -EBADF;
    hook->post.run = on_not_started;

    if (options->script[strspn(options->script, " \t\r\n")] == '\0') {
        jmp_loop_post(loop, &hook->post);
    } else {
        r = start(hook, options);
        if (r < 0) {
            kill_now(hook);
            jmp_timer_stop(&hook->timer);
            fail(hook, "Error executing hook: %s: %s", options->exec ?: "script", strerror(-r));
            jmp_loop_post(loop, &hook->post);
        }
    }
    *ret = hook;
    return 0;
}

void jmp_hook_end(struct jmp_hook *hook, void (*ended)(void *user), void *user)
{
    hook->done = NULL;
    hook->ended = ended;
    hook->ended_user = user;
    if (hook->ending)
        return;

    jmp_timer_stop(&hook->timer);
    jmp_loop_unpost(hook->loop, &hook->post);
    if (hook->pid > 0) {
        begin_end(hook);
        return;
    }
    hook->post.run = on_ended;
    jmp_loop_post(hook->loop, &hook->post);
}

struct jmp_hook *jmp_hook_free(struct jmp_hook *hook)
{
    if (!hook)
        return NULL;

    kill_now(hook);
    jmp_loop_unpost(hook->loop, &hook->post);
    jmp_timer_close(&hook->timer);
    jmp_io_close(&hook->exit_io);
    jmp_io_close(&hook->terminal_io);
    jmp_close(hook->terminal);
    jmp_close(hook->pidfd);
    free(hook);
    return NULL;
}
