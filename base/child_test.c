/* SPDX-License-Identifier: Apache-2.0 */
#include "base/child.h"

#include <fcntl.h>
#include <pty.h>
#include <string.h>
#include <sys/wait.h>

#include "base/test.h"

static struct jmp_loop *loop;

static void exited(struct jmp_child *child, void *user)
{
    *(int *)user = jmp_child_code(child);
    jmp_loop_exit(loop, 0);
}

/* Runs a script to its end; its output into @ret. Returns its code. */
static int run_script(const char *script, const struct jmp_child_options *more, char *ret, size_t size)
{
    _cleanup_(jmp_child_freep) struct jmp_child *child = NULL;
    struct jmp_child_options options = *more;
    _cleanup_close_pair_ int pipe_fds[2] = { -EBADF, -EBADF };
    int code = -1;
    ssize_t n;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    options.argv = (char *[]){ (char *)"sh", (char *)"-c", (char *)script, NULL };
    if (!options.tty)
        options.out = pipe_fds[1];
    assert_int_equal(jmp_child_start(loop, &options, exited, &code, &child, NULL), 0);
    jmp_closep(&pipe_fds[1]);
    jmp_loop_run(loop);
    jmp_loop_resume(loop);
    assert_true(jmp_child_has_ended(child));
    assert_int_equal(jmp_child_pid(child), 0);
    n = read(pipe_fds[0], ret, size - 1);
    assert_true(n >= 0);
    ret[n] = '\0';
    return code;
}

JMP_TEST(a_program_has_its_code_its_output_and_its_environment)
{
    char *set[] = { (char *)"JMP_ONE=1", (char *)"JMP_OLD=new", NULL };
    const struct jmp_child_options options = { .set = set, .directory = "/" };
    char text[128];

    setenv("JMP_OLD", "old", 1);
    setenv("JMP_KEPT", "kept", 1);
    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(run_script("echo $JMP_ONE $JMP_OLD $JMP_KEPT $PWD; exit 7", &options, text, sizeof(text)), 7);
    assert_string_equal(text, "1 new kept /\n");
    assert_int_equal(run_script("kill -TERM $$", &options, text, sizeof(text)), 128 + SIGTERM);
    loop = jmp_loop_free(loop);
}

JMP_TEST(a_program_gets_no_blocked_signal_and_no_descriptor)
{
    const struct jmp_child_options options = { 0 };
    _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigset_t all;
    char text[256];

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(run_script("grep SigBlk /proc/self/status; ls -l /proc/$$/fd | grep -c -- '-> /dev/null' || true",
                                &options, text, sizeof(text)),
                     0);
    assert_non_null(strstr(text, "0000000000000000"));
    loop = jmp_loop_free(loop);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
}

static void on_signal(int signal, void *user) { *(int *)user = signal; }

static void note_order(struct jmp_child *child, void *user)
{
    const int *signal = user;

    assert_int_equal(jmp_child_killer(child), *signal);
    jmp_loop_exit(loop, 0);
}

/* As Ctrl-C on a terminal: both have it, and the child is dead before we look. */
JMP_TEST(a_signal_to_all_is_known_before_the_end_of_the_program)
{
    const struct jmp_child_options options = { .argv = (char *[]){ (char *)"sleep", (char *)"60", NULL } };
    _cleanup_(jmp_child_freep) struct jmp_child *child = NULL;
    siginfo_t info;
    int signal = 0;

    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(jmp_child_start(loop, &options, note_order, &signal, &child, NULL), 0);
    assert_int_equal(jmp_loop_signal(loop, SIGUSR1, on_signal, &signal), 0);
    kill(jmp_child_pid(child), SIGUSR1);
    assert_int_equal(waitid(P_PID, (id_t)jmp_child_pid(child), &info, WEXITED | WNOWAIT), 0);
    raise(SIGUSR1);
    jmp_loop_run(loop);
    assert_int_equal(signal, SIGUSR1);
    child = jmp_child_free(child);
    loop = jmp_loop_free(loop);
}

JMP_TEST(a_program_can_have_a_terminal_of_its_own)
{
    _cleanup_close_ int master = -EBADF, slave = -EBADF;
    struct jmp_child_options options = { 0 };
    char name[64], text[128];
    ssize_t n;

    assert_int_equal(openpty(&master, &slave, name, NULL, NULL), 0);
    options.tty = name;
    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(
        run_script("test -t 0 && test -t 1 && test -t 2 && echo here >/dev/tty", &options, text, sizeof(text)), 0);
    n = read(master, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_string_equal(text, "here\r\n");
    loop = jmp_loop_free(loop);
}

JMP_TEST(freeing_a_group_leaves_none_of_it)
{
    _cleanup_close_pair_ int pipe_fds[2] = { -EBADF, -EBADF };
    struct jmp_child_options options = { .group = true };
    struct jmp_child *child = NULL;
    int code = -1;
    char byte;

    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    /* The leader ends, its child holds the pipe. */
    options.argv = (char *[]){ (char *)"sh", (char *)"-c", (char *)"sleep 1000 & exit 3", NULL };
    options.out = pipe_fds[1];
    assert_int_equal(jmp_child_start(loop, &options, exited, &code, &child, NULL), 0);
    jmp_closep(&pipe_fds[1]);
    jmp_loop_run(loop);
    assert_int_equal(code, 3);
    jmp_child_free(child);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 0);   /* would block for ever if somebody still held it */
    loop = jmp_loop_free(loop);
}

JMP_TEST(what_cannot_be_started_is_told)
{
    struct jmp_child_options options = { .argv = (char *[]){ (char *)"/nonexistent/program", NULL } };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_child *child = NULL;

    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(jmp_child_start(loop, &options, exited, NULL, &child, &error), -ENOENT);
    assert_string_equal(error.text, "/nonexistent/program cannot be started: No such file or directory");
    assert_null(child);
    loop = jmp_loop_free(loop);
}
