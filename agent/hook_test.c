/* SPDX-License-Identifier: Apache-2.0 */
/* Real scripts in real processes. */
#include "agent/hook.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/test.h"

#define DEADLINE (60 * JMP_USEC_PER_SEC)
#define PATIENCE (200 * JMP_USEC_PER_MSEC)

extern char **environ;

struct run {
    struct jmp_loop *loop;
    struct jmp_hook *hook;
    char output[8192];
    unsigned lines, dones;
    bool done, ended;
    const char *wanted;           /* stop the loop once this was said */
    char failure[256];
    struct jmp_timer deadline;
};

static void on_line(const char *line, void *user)
{
    struct run *run = user;

    run->lines++;
    if (strlen(run->output) + strlen(line) + 2 < sizeof(run->output))
        strcat(strcat(run->output, line), "|");
    if (run->wanted && strstr(line, run->wanted))
        jmp_loop_exit(run->loop, 0);
}

static void on_done(const char *failure, void *user)
{
    struct run *run = user;

    run->done = true;
    run->dones++;
    snprintf(run->failure, sizeof(run->failure), "%s", failure ?: "");
    jmp_loop_exit(run->loop, 0);
}

static void on_ended(void *user)
{
    struct run *run = user;

    run->ended = true;
    jmp_loop_exit(run->loop, 0);
}

static void on_deadline(struct jmp_timer *timer)
{
    jmp_loop_exit(CONTAINER_OF(timer, struct run, deadline)->loop, 1);
}

static void run_loop(struct run *run)
{
    jmp_loop_resume(run->loop);
    jmp_timer_start(run->loop, &run->deadline, DEADLINE, on_deadline);
    if (jmp_loop_run(run->loop) != 0)
        fail_msg("what was waited for did not come; output so far: %s", run->output);
}

static struct run *start(const char *script, const char *exec, unsigned timeout, char *const *environment)
{
    struct run *run = calloc(1, sizeof(*run));
    const struct jmp_hook_options options = {
        .script = script, .exec = exec, .timeout = timeout, .patience = PATIENCE,
        .environment = environment ?: environ, .line = on_line, .done = on_done, .user = run,
    };

    assert_non_null(run);
    assert_int_equal(jmp_loop_new(&run->loop), 0);
    assert_int_equal(jmp_hook_start(run->loop, &options, &run->hook), 0);
    assert_false(run->done);
    return run;
}

static void finish(struct run *run)
{
    if (!run->ended) {
        jmp_hook_end(run->hook, on_ended, run);
        assert_false(run->ended);
        while (!run->ended)
            run_loop(run);
    }
    jmp_hook_free(run->hook);
    jmp_timer_close(&run->deadline);
    jmp_loop_free(run->loop);
    free(run);
}

static void check(const char *script, const char *exec, const char *output, const char *failure)
{
    struct run *run = start(script, exec, 30, NULL);

    run_loop(run);
    assert_true(run->done);
    assert_string_equal(run->output, output);
    assert_string_equal(run->failure, failure);
    finish(run);
}

JMP_TEST(a_script_runs_and_its_lines_arrive)
{
    check("echo one; echo; echo '  two  '; printf three", NULL, "one|  two|three|", "");
    check("for i in 1 2 3; do\n  echo line $i >&2\ndone\n", NULL, "line 1|line 2|line 3|", "");
    check("  \n\t ", NULL, "", "");
    check("printf 'a\\000b\\r\\n'", NULL, "a?b|", "");
    check("test -t 0 && test -t 1 && test -t 2 && echo terminal", NULL, "terminal|", "");
    check("import sys; print(sys.argv[0])", "python3", "-c|", "");
}

JMP_TEST(every_kind_of_failure_has_its_words)
{
    check("echo out; exit 3", NULL, "out|", "Hook failed with exit code 3");
    check("kill -9 $$", NULL, "", "Hook failed with exit code -9");
    check("echo never", "/nonexistent/shell", "", 
          "Error executing hook: /nonexistent/shell cannot be started: No such file or directory");
    check("syntax (", NULL, "/bin/sh: 1: Syntax error: end of file unexpected (expecting \")\")|",
          "Hook failed with exit code 2");
}

JMP_TEST(a_line_that_names_a_file_runs_it)
{
    char directory[] = "/tmp/jmp-hook-XXXXXX", path[64], text[80];
    FILE *file;

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/hook.sh", directory);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "echo from a file: $0\n");
    fclose(file);
    snprintf(text, sizeof(text), " %s \n", path);
    {
        char expected[128];

        snprintf(expected, sizeof(expected), "from a file: %s|", path);
        check(text, NULL, expected, "");
    }
    unlink(path);

    snprintf(path, sizeof(path), "%s/hook.py", directory);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "print(1 + 1)\n");
    fclose(file);
    check(path, NULL, "2|", "");
    unlink(path);
    rmdir(directory);
}

JMP_TEST(a_script_inherits_nothing_but_its_environment)
{
    char *const environment[] = { (char *)"PATH=/usr/bin:/bin", (char *)"WORD=hello", NULL };
    int leak = open("/dev/null", O_RDONLY);   /* on purpose without O_CLOEXEC */
    struct run *run;

    signal(SIGPIPE, SIG_IGN);
    run = start("echo $WORD$HOME; ls /proc/self/fd | wc -l; yes 2>&1 | head -1; echo ${PIPESTATUS:-piped}; "
                "ps -o pgid= -p $$ | tr -d ' '; echo $$", NULL, 30, environment);
    run_loop(run);
    /* 0, 1, 2 and the directory itself; "yes" ends by SIGPIPE, and says nothing about a broken pipe. */
    assert_memory_equal(run->output, "hello|4|y|piped|", 16);
    {
        int group, leader;

        assert_int_equal(sscanf(run->output + 16, "%d|%d|", &group, &leader), 2);
        assert_int_equal(group, leader);
        assert_int_not_equal(group, getpgrp());
    }
    finish(run);
    signal(SIGPIPE, SIG_DFL);
    close(leak);
}

JMP_TEST(long_lines_and_much_output_arrive_whole)
{
    struct run *run = start("i=0; while [ $i -lt 3000 ]; do echo line number $i; i=$((i+1)); done; "
                            "head -c 10000 /dev/zero | tr '\\0' x; echo; echo last", NULL, 60, NULL);

    run_loop(run);
    assert_string_equal(run->failure, "");
    assert_int_equal(run->lines, 3000 + 3 + 1);
    finish(run);
}

static bool alive(pid_t pid)
{
    char path[64], text[256] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    file = fopen(path, "r");
    if (!file)
        return false;
    if (!fgets(text, sizeof(text), file))
        text[0] = '\0';
    fclose(file);
    return !strstr(text, ") Z ");
}

/* Two descendants that ignore what they can, whose numbers the script prints */
#define STUBBORN "trap '' TERM; (trap '' TERM HUP; while :; do sleep 1; done) & echo child $!; "

JMP_TEST(time_out_ends_the_whole_group)
{
    struct run *run = start(STUBBORN "sleep 1000 & echo child $!; wait", NULL, 1, NULL);
    int first, second;

    run_loop(run);
    assert_int_equal(sscanf(run->output, "child %d|child %d|", &first, &second), 2);
    assert_string_equal(run->failure, "Hook timed out after 1 seconds");
    assert_false(alive(first));
    assert_false(alive(second));
    finish(run);
}

JMP_TEST(what_a_script_leaves_running_lives_until_the_end)
{
    struct run *run = start("(sleep 1; echo late; sleep 1000) & echo child $!; exit 0", NULL, 30, NULL);
    int child;

    run_loop(run);
    assert_true(run->done);
    assert_string_equal(run->failure, "");
    assert_int_equal(sscanf(run->output, "child %d|", &child), 1);
    assert_true(alive(child));
    run->wanted = "late";
    run_loop(run);
    finish(run);
    assert_false(alive(child));
}

JMP_TEST(the_end_interrupts_and_no_outcome_follows)
{
    struct run *run = start(STUBBORN "echo up; while :; do sleep 1; done", NULL, 100, NULL);
    int child;

    run->wanted = "up";
    run_loop(run);
    assert_int_equal(sscanf(run->output, "child %d|", &child), 1);
    jmp_hook_end(run->hook, on_ended, run);
    while (!run->ended)
        run_loop(run);
    assert_int_equal(run->dones, 0);
    assert_false(alive(child));
    finish(run);
}

JMP_TEST(the_end_of_nothing_comes_too)
{
    static const char *const scripts[] = { "", "true" };

    for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
        struct run *run = start(scripts[i], NULL, 30, NULL);

        jmp_hook_end(run->hook, on_ended, run);
        while (!run->ended)
            run_loop(run);
        assert_int_equal(run->dones, 0);
        finish(run);
    }
}

JMP_TEST(freed_in_the_middle_it_leaves_nobody)
{
    struct run *run = start(STUBBORN "echo up; while :; do sleep 1; done", NULL, 100, NULL);
    struct pollfd gone = { .events = POLLIN };
    int child;

    run->wanted = "up";
    run_loop(run);
    assert_int_equal(sscanf(run->output, "child %d|", &child), 1);
    gone.fd = (int)syscall(SYS_pidfd_open, child, 0);
    assert_true(gone.fd >= 0);
    run->hook = jmp_hook_free(run->hook);
    assert_int_equal(poll(&gone, 1, 10000), 1);
    close(gone.fd);
    jmp_timer_close(&run->deadline);
    jmp_loop_free(run->loop);
    free(run);
}
