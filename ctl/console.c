/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/console.h"

#include <fcntl.h>
#include <signal.h>
#include <termios.h>

#include "ctl/relay.h"

#define ESCAPE '\x02'
#define ESCAPE_COUNT 3u

bool jmp_escape_look(struct jmp_escape *escape, char *data, size_t *length)
{
    for (size_t i = 0; i < *length; i++) {
        escape->count = data[i] == ESCAPE ? escape->count + 1 : 0;
        if (escape->count == ESCAPE_COUNT) {
            *length = i;
            escape->count = 0;
            return true;
        }
    }
    return false;
}

/*
 * The terminal as it was. Global, because a signal that kills has to put it back too.
 */
static struct termios saved;
static volatile sig_atomic_t is_raw;

static void restore(void)
{
    if (is_raw) {
        is_raw = 0;
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
    }
}

static void on_fatal(int signal)
{
    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    /* SA_RESETHAND: this time it kills. */
    raise(signal);
}

static int make_raw(struct jmp_error *reterr)
{
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT };
    struct sigaction action = { .sa_handler = on_fatal, .sa_flags = SA_RESETHAND };
    static bool registered;
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return jmp_error_set(reterr, -errno, "the terminal cannot be read: %m");
    raw = saved;
    cfmakeraw(&raw);
    if (!registered) {
        registered = true;
        atexit(restore);
        for (size_t i = 0; i < ELEMENTSOF(fatal); i++)
            sigaction(fatal[i], &action, NULL);
    }
    is_raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0) {
        is_raw = 0;
        return jmp_error_set(reterr, -errno, "the terminal cannot be made raw: %m");
    }
    return 0;
}

/* A device that cannot be opened ends its stream at once; why, only the exporter's log can say. */
static void say_ended(const char *what, const struct jmp_pump_stats *stats)
{
    fprintf(stderr, "The %s has ended%s.\n", what,
            stats->peer_seen ? "" : ", and nothing came; \"jmpctl logs\" may say why");
}

static bool look(char *data, size_t *length, void *user) { return !jmp_escape_look(user, data, length); }

int jmp_console_run(struct jmp_session_client *session, const struct jmp_driver_ref *driver, const char *method,
                    struct jmp_error *reterr)
{
    struct jmp_escape escape = { 0 };
    struct jmp_relay_options options = {
        .uuid = driver->uuid, .method = method, .in = STDIN_FILENO, .out = STDOUT_FILENO, .look = look, .user = &escape
    };
    struct jmp_pump_stats stats = { 0 };
    enum jmp_relay_end end;
    int r;

    if (!isatty(STDIN_FILENO))
        return jmp_pipe_run(session, driver, method, &(const struct jmp_pipe_options){ .input = true, .output = true },
                            reterr);

    r = make_raw(reterr);
    if (r < 0)
        return r;
    /* Only now: what is typed after these words is for the console, Ctrl-C too. */
    fprintf(stderr, "Console of %s. Ctrl-B three times leaves it.\r\n", driver->path);
    r = jmp_relay_run(session, &options, &end, &stats, reterr);
    restore();
    fputc('\n', stderr);
    if (r >= 0 && end == JMP_RELAY_CLOSED)
        say_ended("console", &stats);
    return r;
}

int jmp_pipe_run(struct jmp_session_client *session, const struct jmp_driver_ref *driver, const char *method,
                 const struct jmp_pipe_options *options, struct jmp_error *reterr)
{
    struct jmp_relay_options relay = { .uuid = driver->uuid,
                                       .method = method,
                                       .in = options->input ? STDIN_FILENO : -EBADF,
                                       .out = options->output ? STDOUT_FILENO : -EBADF,
                                       .end_with_input = !options->output };
    _cleanup_close_ int file = -EBADF;
    struct jmp_pump_stats stats = { 0 };
    enum jmp_relay_end end;
    int r;

    if (options->file) {
        file = open(options->file, O_WRONLY | O_CREAT | O_CLOEXEC | (options->append ? O_APPEND : O_TRUNC), 0666);
        if (file < 0) {
            jmp_error_set(reterr, -errno, "cannot be opened: %m");
            jmp_error_at(reterr, options->file, 0, 0, NULL);
            return -EIO;
        }
        relay.out = file;
    }
    r = jmp_relay_run(session, &relay, &end, &stats, reterr);
    if (r < 0)
        return r;
    if (end == JMP_RELAY_CLOSED && (isatty(STDERR_FILENO) || !stats.peer_seen))
        say_ended("stream", &stats);
    return 0;
}
