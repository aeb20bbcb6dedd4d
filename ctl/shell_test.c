/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl itself, as a program, against a lab in this process: what a lease's holder lives through from the first to the
 * last call. */
#include <signal.h>
#include <string.h>

#include "base/file.h"
#include "base/test.h"
#include "client/lab_double_test.h"
#include "ctl/program.h"

static void lab_freep(struct lab **lab) { lab_free(*lab); }
#define LAB(name) _cleanup_(lab_freep) struct lab *name = lab_new()
#define STEPS(...) ((const enum lab_step[]){ __VA_ARGS__, LAB_SILENT })
#define STATUSES(...) ((const unsigned[]){ __VA_ARGS__, 0 })

#define TIMEOUT (20 * JMP_USEC_PER_SEC)

struct run {
    struct lab *lab;
    struct jmp_program *child;
    char *output;
    int code;
};

static void run_clear(struct run *run)
{
    jmp_program_free(run->child);
    free(run->output);
}
#define RUN(name) _cleanup_(run_clear) struct run name = { 0 }

/* "jmpctl ..." through sh, so that its output can be had; $JMPCTL is the program. */
static void start(struct run *run, struct lab *lab, const char *command)
{
    _cleanup_free_ char *endpoint = NULL, *program = NULL, *script = NULL;
    const char *build = getenv("JMP_BUILD_DIR");
    struct jmp_error error = { 0 };

    lab->local = true;
    run->lab = lab;
    assert_true(asprintf(&endpoint, "JMP_ENDPOINT=%s", lab->local_endpoint) > 0);
    assert_true(asprintf(&program, "JMPCTL=%s/ctl/jmpctl", build ? build : "build/dev") > 0);
    assert_true(asprintf(&script, "exec >%s/out 2>&1 </dev/null; %s", lab->directory, command) > 0);
    if (jmp_program_start(lab->client, (char *[]){ (char *)"sh", (char *)"-c", script, NULL },
                        (char *[]){ endpoint, program, (char *)"JMP_NAMESPACE=default", (char *)"JMP_NAME=ann",
                                    (char *)"JMP_TOKEN=secret", (char *)"JMP_DRIVERS_ALLOW=UNSAFE",
                                    (char *)"JMP_LEASE=", (char *)"JUMPSTARTER_HOST=", NULL },
                        &run->child, &error) < 0)
        fail_msg("%s", error.text);
}

static void finish(struct run *run)
{
    _cleanup_free_ char *path = NULL;
    size_t length;
    int r;

    r = jmp_program_wait(run->child, TIMEOUT);
    while (r == -EINTR)
        r = jmp_program_wait(run->child, TIMEOUT);
    assert_true(asprintf(&path, "%s/out", run->lab->directory) > 0);
    assert_int_equal(jmp_file_read(path, 1024 * 1024, &run->output, &length, NULL), 0);
    unlink(path);
    if (r < 0)
        fail_msg("it still runs; it said: %s", run->output);
    run->code = jmp_program_code(run->child);
}

static void expect(const struct run *run, int code, const char *words)
{
    if (run->code != code || !strstr(run->output, words))
        fail_msg("code %d, not %d; it should say \"%s\", but said: %s", run->code, code, words, run->output);
}

JMP_TEST(a_shell_takes_a_lease_and_gives_it_back)
{
    LAB(lab);
    RUN(run);

    lab->steps = STEPS(LAB_PENDING, LAB_READY);
    lab->statuses = STATUSES(JMP_STATUS_AVAILABLE, JMP_STATUS_BEFORE_LEASE_HOOK, JMP_STATUS_LEASE_READY);
    lab->ending = STATUSES(JMP_STATUS_AFTER_LEASE_HOOK, JMP_STATUS_AVAILABLE);
    start(&run, lab,
          "$JMPCTL shell -l board=x -- sh -c 'echo $JMP_EXPORTER:$JMP_LEASE:$JMP_EXPORTER_LABELS:$JMP_DRIVERS_ALLOW; "
          "exit 7'");
    finish(&run);
    expect(&run, 7, "board-1:the-lease:board=x:UNSAFE\n");
    /* What a hook has to say is always shown; the rest only with --exporter-logs. */
    expect(&run, 7, "exporter:beforeLease: second\n");
    assert_null(strstr(run.output, "first"));
    assert_int_equal(lab->creates, 1);
    assert_int_equal(lab->deletes, 1);
    assert_int_equal(lab->ends, 1);
    assert_int_equal(lab->dials, 1);
    assert_int_equal(lab->tunnels, 1);
}

JMP_TEST(drivers_are_reached_from_inside)
{
    LAB(lab);
    RUN(run);

    start(&run, lab, "$JMPCTL shell -n board-1 -- sh -c '$JMPCTL power call set 5 && $JMPCTL power stream count && "
                     "echo to and fro | $JMPCTL driver get' ; $JMPCTL shell -n board-1 --exporter-logs -- true");
    finish(&run);
    expect(&run, 0, "5\n3\n2\n1\n");
    expect(&run, 0, "there is no driver \"get\"");
    expect(&run, 0, "exporter:system: first\n");
    assert_int_equal(lab->dials, 5);
    assert_int_equal(lab->deletes, 2);
}

JMP_TEST(bytes_go_there_and_back_from_pipes_and_files)
{
    LAB(lab);
    RUN(run);

    start(
        &run, lab,
        "cd $(mktemp -d) && head -c 700000 /dev/urandom >in && "
        "$JMPCTL shell -n board-1 -- sh -c '$JMPCTL echo connect <in >file; cat in | $JMPCTL echo connect | cat >pipe; "
        "$JMPCTL power on && $JMPCTL power off' && cmp in file && cmp in pipe && rm in file pipe && rmdir $PWD && echo "
        "same");
    finish(&run);
    expect(&run, 0, "same\n");
    assert_int_equal(lab->calls, 2);
}

JMP_TEST(a_wrong_word_is_a_usage_error_with_the_right_one)
{
    LAB(lab);
    RUN(run);

    start(&run, lab, "$JMPCTL --lease the-lease powr on; echo $?; $JMPCTL --lease the-lease power onn; echo $?; "
                     "$JMPCTL power on; echo $?; $JMPCTL shell -x; echo $?");
    finish(&run);
    expect(&run, 0, "did you mean power?\n2\n");
    expect(&run, 0, "did you mean \"on\"?");
    expect(&run, 0, "there is no exporter");
}

JMP_TEST(a_lease_that_is_there_is_used_and_kept)
{
    LAB(lab);
    RUN(run);

    start(&run, lab,
          "$JMPCTL shell --lease the-lease -- true && JMP_LEASE=the-lease $JMPCTL shell -- true && "
          "$JMPCTL --lease the-lease power call on && JMP_LEASE=the-lease $JMPCTL power call on && echo fine");
    finish(&run);
    expect(&run, 0, "fine\n");
    assert_int_equal(lab->creates + lab->deletes + lab->ends, 0);
    assert_int_equal(lab->calls, 2);
}

JMP_TEST(a_failed_beforelease_hook_ends_it_and_gives_the_board_back)
{
    LAB(lab);
    RUN(run);

    lab->statuses = STATUSES(JMP_STATUS_BEFORE_LEASE_HOOK, JMP_STATUS_BEFORE_LEASE_HOOK_FAILED);
    start(&run, lab, "$JMPCTL shell -l board=x -- echo not reached");
    finish(&run);
    expect(&run, 1, "jmpctl: as told\n");
    assert_null(strstr(run.output, "not reached"));
    assert_int_equal(lab->deletes, 1);
    assert_int_equal(lab->ends, 0);
}

JMP_TEST(a_failed_afterlease_hook_is_said)
{
    LAB(lab);
    RUN(run);

    lab->ending = STATUSES(JMP_STATUS_AFTER_LEASE_HOOK, JMP_STATUS_AFTER_LEASE_HOOK_FAILED);
    start(&run, lab, "$JMPCTL shell -l board=x -- true");
    finish(&run);
    expect(&run, 1, "jmpctl: as told\n");
    assert_int_equal(lab->deletes, 1);
}

JMP_TEST(no_board_is_an_error_in_the_labs_words)
{
    LAB(lab);
    RUN(run);

    lab->steps = STEPS(LAB_PENDING, LAB_UNSATISFIABLE);
    start(&run, lab, "$JMPCTL shell -l board=x -- true");
    finish(&run);
    expect(&run, 1, "no board has these labels");
    assert_int_equal(lab->deletes, 1);
}

JMP_TEST(an_exporter_that_cannot_be_reached_is_tried_once_more_and_given_back)
{
    LAB(lab);
    RUN(run);

    lab->refused_dials = UINT32_MAX;
    lab->dial_code = JMP_UNAVAILABLE;
    lab->dial_text = "exporter is not listening on lease";
    start(&run, lab, "$JMPCTL shell -l board=x --dial-timeout 0 --retry-timeout 500ms -- true");
    finish(&run);
    expect(&run, 1, "is not listening on lease");
    expect(&run, 1, "trying another");
    assert_int_equal(lab->creates, 2);
    assert_int_equal(lab->deletes, 2);
}

/* Looks every 10 ms whether the lab has seen something; how else would one know what the program is at? */
static bool waits_for(struct lab *lab, const unsigned *counter)
{
    bool never = false;

    for (unsigned i = 0; i < 1000 && *counter == 0; i++)
        jmp_client_wait(lab->client, &never, 10 * JMP_USEC_PER_MSEC);
    return *counter > 0;
}

JMP_TEST(ctrl_c_while_waiting_for_a_board_leaves_no_lease_behind)
{
    LAB(lab);
    RUN(run);

    lab->steps = STEPS(LAB_PENDING);
    start(&run, lab, "exec $JMPCTL shell -l board=x -- true");
    assert_true(waits_for(lab, &lab->gets));
    jmp_program_signal(run.child, SIGINT);
    finish(&run);
    expect(&run, 2, "");
    assert_int_equal(lab->deletes, 1);
}

JMP_TEST(a_signal_ends_the_program_and_the_lease)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP };

    for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
        LAB(lab);
        RUN(run);

        /* Its call says that the program inside has begun; then it lasts until it is told to end. */
        start(&run, lab, "exec $JMPCTL shell -l board=x -- sh -c '$JMPCTL power call on; exec sleep 60'");
        assert_true(waits_for(lab, &lab->calls));
        jmp_program_signal(run.child, signals[i]);
        finish(&run);
        expect(&run, 2, "");
        assert_int_equal(lab->deletes, 1);
        assert_int_equal(lab->ends, 0);
    }
}

JMP_TEST(a_lease_that_ends_hangs_up_the_program)
{
    LAB(lab);
    RUN(run);

    lab->duration = JMP_USEC_PER_SEC;
    lab->steps = STEPS(LAB_READY, LAB_RELEASED);
    start(&run, lab, "$JMPCTL shell -l board=x -- sleep 60");
    finish(&run);
    expect(&run, 128 + SIGHUP, "the-lease is over");
    assert_int_equal(lab->deletes, 0);
    assert_int_equal(lab->ends, 0);
}

JMP_TEST(programs_that_cannot_start_have_the_codes_of_a_shell)
{
    LAB(lab);
    RUN(run);

    start(&run, lab,
          "$JMPCTL shell -l board=x -- no-such-program; a=$?; $JMPCTL shell -l board=x -- /etc/passwd; echo $a $?");
    finish(&run);
    expect(&run, 0, "127 126\n");
    assert_int_equal(lab->deletes, 2);
}

JMP_TEST(lists_and_leases_are_printed)
{
    LAB(lab);
    RUN(run);

    start(&run, lab, "$JMPCTL get exporters && $JMPCTL get exporters board-3 -o name && "
                     "$JMPCTL create lease -l board=x --duration 1h -o name && $JMPCTL delete lease the-lease && "
                     "$JMPCTL get lease the-lease -o path");
    finish(&run);
    expect(&run, 0, "NAME     LABELS\nboard-0  a=1,b=1\nboard-1\n");
    expect(&run, 0, "board-5\nboard-3\nthe-lease\nlease \"the-lease\" deleted\nnamespaces/default/leases/the-lease\n");
}

JMP_TEST(documents_tell_what_is_asked_for)
{
    LAB(lab);
    RUN(run);

    start(&run, lab, "$JMPCTL get exporters board-1 --with online,status --allow-disabled -o json");
    finish(&run);
    expect(&run, 0, "\"online\": false");
    expect(&run, 0, "\"status\": null");
    expect(&run, 0, "\"enabled\": true");
}

JMP_TEST(a_controller_that_is_not_there_is_named)
{
    LAB(lab);
    RUN(run);

    start(&run, lab, "JMP_ENDPOINT=127.0.0.1:1 $JMPCTL get exporters");
    finish(&run);
    expect(&run, 1, "the controller at 127.0.0.1:1 cannot be reached: 127.0.0.1:1: Connection refused");
}
