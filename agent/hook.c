/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hook.h"

#include <ctype.h>
#include <fcntl.h>
#include <pty.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "base/child.h"

#define SHELL "/bin/sh"
#define PYTHON "python3"
#define CHUNK 4096u
#define WAKE_MAX (16u * CHUNK)                  /* read before others have their turn */
#define REST_MAX (256u * 1024)                  /* read of what is left when the script has ended */
#define KILL_LIMIT (2 * JMP_USEC_PER_SEC)       /* who survives SIGKILL for so long hangs in the kernel */
#define CHECK_FIRST (5 * JMP_USEC_PER_MSEC)
#define CHECK_LAST (100 * JMP_USEC_PER_MSEC)

struct jmp_hook {
    struct jmp_loop *loop;
    void (*line)(const char *line, void *user);
    void (*done)(const char *failure, void *user);
    void *user;
    void (*ended)(void *user);
    void *ended_user;

    struct jmp_child *child;      /* and its group; NULL: there is none (any more) */
    int terminal;
    struct jmp_io terminal_io;
    struct jmp_timer timer;       /* the time limit, then the next look at the group */
    struct jmp_post post;         /* a script that was never started, or has ended long ago */
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
    read_output(hook, REST_MAX);
    emit(hook);
    jmp_io_close(&hook->terminal_io);
    hook->terminal = jmp_close(hook->terminal);
    hook->child = jmp_child_free(hook->child);
    hook->ending = false;
    if (ended)
        ended(user);
    else
        say_done(hook, hook->failure);
}

static void on_finish(struct jmp_post *post) { finish(CONTAINER_OF(post, struct jmp_hook, post)); }

static void on_check(struct jmp_timer *timer)
{
    struct jmp_hook *hook = CONTAINER_OF(timer, struct jmp_hook, timer);

    if (jmp_child_group_is_gone(hook->child) || (hook->killing && jmp_now() >= hook->deadline)) {
        finish(hook);
        return;
    }
    if (!hook->killing && jmp_now() >= hook->deadline) {
        hook->killing = true;
        hook->deadline = jmp_now() + KILL_LIMIT;
        hook->pause = CHECK_FIRST;
        jmp_child_signal(hook->child, SIGKILL);
    }
    if (jmp_timer_start(hook->loop, &hook->timer, hook->pause, on_check) < 0) {
        finish(hook);
        return;
    }
    hook->pause = hook->pause * 2 < CHECK_LAST ? hook->pause * 2 : CHECK_LAST;
}

static void begin_end(struct jmp_hook *hook)
{
    hook->ending = true;
    hook->pause = CHECK_FIRST;
    hook->deadline = jmp_now() + hook->patience;
    jmp_child_signal(hook->child, SIGTERM);
    jmp_child_signal(hook->child, SIGCONT);   /* who is stopped hears nothing */
    /* From the loop: nobody is called from within jmp_hook_end(). */
    if (jmp_timer_start(hook->loop, &hook->timer, 0, on_check) < 0) {
        hook->post.run = on_finish;
        jmp_loop_post(hook->loop, &hook->post);
    }
}

static void on_timeout(struct jmp_timer *timer)
{
    struct jmp_hook *hook = CONTAINER_OF(timer, struct jmp_hook, timer);

    fail(hook, "Hook timed out after %u seconds", hook->timeout);
    begin_end(hook);
}

static void on_exited(struct jmp_child *child, void *user)
{
    struct jmp_hook *hook = user;

    if (hook->ending) {
        on_check(&hook->timer);
        return;
    }
    jmp_timer_stop(&hook->timer);
    read_output(hook, REST_MAX);
    emit(hook);
    if (jmp_child_code(child) == 0) {
        say_done(hook, NULL);
        return;
    }
    fail(hook, "Hook failed with exit code %d",
         jmp_child_killer(child) ? -jmp_child_killer(child) : jmp_child_code(child));
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

/* Return: 0 or negative errno. */
static int start(struct jmp_hook *hook, const struct jmp_hook_options *options, struct jmp_error *reterr)
{
    _cleanup_free_ char *file = script_file(options->script);
    const char *interpreter = options->exec ?: file && is_python(file) ? PYTHON : SHELL;
    char *const argv[4] = { (char *)interpreter, file ?: (char *)"-c", file ? NULL : (char *)options->script, NULL };
    _cleanup_close_ int slave = -EBADF;
    struct jmp_child_options child = { .argv = argv, .environment = options->environment, .session = true };
    int r;

    if (openpty(&hook->terminal, &slave, NULL, NULL, NULL) < 0) {
        hook->terminal = -EBADF;
        return jmp_error_set(reterr, -errno, "no terminal: %m");
    }
    child.in = child.out = child.err = slave;
    if (fcntl(hook->terminal, F_SETFD, FD_CLOEXEC) < 0 || fcntl(hook->terminal, F_SETFL, O_NONBLOCK) < 0 ||
        fcntl(slave, F_SETFD, FD_CLOEXEC) < 0)
        return jmp_error_set(reterr, -errno, "no terminal: %m");
    r = jmp_io_start(hook->loop, &hook->terminal_io, hook->terminal, EPOLLIN, on_output);
    if (r == 0)
        r = jmp_timer_start(hook->loop, &hook->timer, options->timeout * JMP_USEC_PER_SEC, on_timeout);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    return jmp_child_start(hook->loop, &child, on_exited, hook, &hook->child, reterr);
}

int jmp_hook_start(struct jmp_loop *loop, const struct jmp_hook_options *options, struct jmp_hook **ret)
{
    struct jmp_hook *hook = calloc(1, sizeof(*hook));
    struct jmp_error error = JMP_ERROR_INIT;

    if (!hook)
        return -ENOMEM;
    hook->loop = loop;
    hook->line = options->line;
    hook->done = options->done;
    hook->user = options->user;
    hook->timeout = options->timeout;
    hook->patience = options->patience;
    hook->terminal = -EBADF;
    hook->post.run = on_not_started;

    if (options->script[strspn(options->script, " \t\r\n")] == '\0') {
        jmp_loop_post(loop, &hook->post);
    } else if (start(hook, options, &error) < 0) {
        jmp_timer_stop(&hook->timer);
        fail(hook, "Error executing hook: %s", error.text);
        jmp_loop_post(loop, &hook->post);
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
    if (hook->child) {
        begin_end(hook);
        return;
    }
    hook->post.run = on_finish;
    jmp_loop_post(hook->loop, &hook->post);
}

struct jmp_hook *jmp_hook_free(struct jmp_hook *hook)
{
    if (!hook)
        return NULL;

    jmp_child_free(hook->child);
    jmp_loop_unpost(hook->loop, &hook->post);
    jmp_timer_close(&hook->timer);
    jmp_io_close(&hook->terminal_io);
    jmp_close(hook->terminal);
    free(hook);
    return NULL;
}
