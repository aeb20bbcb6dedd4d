/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the board's shell. One that answers at once is a function, one that goes on starts a job. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "drivers/sim/machine.h"

#define WORDS_MAX 64u
#define HOME "/root"

enum outcome { DONE, GOES_ON, LEFT };   /* the next prompt is due; a job runs; the shell is over */

struct invocation {
    struct jmp_sim_board *board;
    uint64_t now;
    unsigned count;            /* words, the command itself included */
    const char *words[WORDS_MAX + 1];
};

struct command {
    const char *name, *usage, *help;
    enum outcome (*run)(const struct invocation *call);
};

/* Files: @text, or written by @print */
struct file {
    const char *path, *text;
    void (*print)(struct jmp_sim_board *board, uint64_t now);
};

static uint64_t uptime_of(const struct jmp_sim_board *board, uint64_t now)
{
    return now > board->kernel ? now - board->kernel : 0;
}

static void print_version(struct jmp_sim_board *board, uint64_t now)
{
    sim_print(board, "Linux version %s (gcc 13.2.0) #1 SMP\n", sim_kernel_version);
}

static void print_uptime(struct jmp_sim_board *board, uint64_t now)
{
    uint64_t hundredths = uptime_of(board, now) / 10000;

    sim_print(board, "%" PRIu64 ".%02" PRIu64 " %" PRIu64 ".%02" PRIu64 "\n", hundredths / 100, hundredths % 100,
              hundredths * 4 / 100, hundredths * 4 % 100);
}

static void print_hostname(struct jmp_sim_board *board, uint64_t now)
{
    sim_print(board, "%s\n", board->settings.hostname);
}

static const struct file files[] = {
    { "/etc/hostname", .print = print_hostname },
    { "/etc/os-release", "NAME=\"Simulated Linux\"\nVERSION=\"12\"\nID=simlinux\nID_LIKE=debian\nVERSION_ID=12\n"
                         "PRETTY_NAME=\"Simulated Linux 12\"\n" },
    { "/proc/cmdline", "console=ttyS0,115200 root=/dev/mmcblk0p2 rootwait\n" },
    { "/proc/meminfo", "MemTotal:         498112 kB\nMemFree:          431040 kB\nMemAvailable:     452608 kB\n" },
    { "/proc/uptime", .print = print_uptime },
    { "/proc/version", .print = print_version },
    { "/root/notes.txt", "Nothing on this board is real, so nothing on it can be broken.\n" },
};

static void complain(const struct invocation *call, const char *about, const char *what)
{
    sim_print(call->board, "%s: %s: %s\n", call->words[0], about, what);
    call->board->status = 1;
}

static enum outcome usage(const struct invocation *call, const char *text)
{
    sim_print(call->board, "usage: %s %s\n", call->words[0], text);
    call->board->status = 2;
    return DONE;
}

/* @path from the root, without a slash at its end; the home directory is where everybody is */
static void absolute(const char *path, char *ret, size_t size)
{
    size_t length;

    if (path[0] == '/')
        snprintf(ret, size, "%s", path);
    else if (strcmp(path, ".") == 0 || strcmp(path, "~") == 0)
        snprintf(ret, size, HOME);
    else
        snprintf(ret, size, HOME "/%s", path);
    for (length = strlen(ret); length > 0 && ret[length - 1] == '/'; length--)
        ret[length - 1] = '\0';
}

static const struct file *file_find(const char *path)
{
    for (size_t i = 0; i < ELEMENTSOF(files); i++)
        if (strcmp(files[i].path, path) == 0)
            return &files[i];
    return NULL;
}

/* The name that @path has in @directory: its first component below it, with its length. NULL: not inside. */
static const char *component(const char *path, const char *directory, size_t *retlength)
{
    size_t length = strlen(directory);

    if (strncmp(path, directory, length) != 0 || path[length] != '/')
        return NULL;
    path += length + 1;
    *retlength = strcspn(path, "/");
    return path;
}

static bool directory_exists(const char *path)
{
    size_t length;

    for (size_t i = 0; i < ELEMENTSOF(files); i++)
        if (component(files[i].path, path, &length))
            return true;
    return false;
}

static enum outcome run_cat(const struct invocation *call)
{
    /* More could be longer than what may be said at once. */
    if (call->count < 2 || call->count > 17)
        return usage(call, "FILE... (up to 16)");

    for (unsigned i = 1; i < call->count; i++) {
        char path[SIM_LINE_MAX + 16];
        const struct file *file;

        absolute(call->words[i], path, sizeof(path));
        file = file_find(path);
        if (!file)
            complain(call, call->words[i], directory_exists(path) ? "Is a directory" : "No such file or directory");
        else if (file->print)
            file->print(call->board, call->now);
        else
            sim_print(call->board, "%s", file->text);
    }
    return DONE;
}

static void list_directory(struct jmp_sim_board *board, const char *directory)
{
    const char *last = "";
    size_t last_length = 0;

    /* The table is sorted, so that the same name comes in a row. */
    for (size_t i = 0; i < ELEMENTSOF(files); i++) {
        size_t length = 0;
        const char *name = component(files[i].path, directory, &length);

        if (!name || (length == last_length && strncmp(name, last, length) == 0))
            continue;
        sim_print(board, "%s%.*s", last_length > 0 ? "  " : "", (int)length, name);
        last = name;
        last_length = length;
    }
    sim_print(board, "\n");
}

static enum outcome run_ls(const struct invocation *call)
{
    const char *what = HOME;
    char path[SIM_LINE_MAX + 16];

    for (unsigned i = 1; i < call->count; i++)
        if (call->words[i][0] != '-')
            what = call->words[i];

    absolute(what, path, sizeof(path));
    if (file_find(path))
        sim_print(call->board, "%s\n", what);
    else if (directory_exists(path))
        list_directory(call->board, path);
    else
        complain(call, what, "No such file or directory");
    return DONE;
}

static enum outcome run_echo(const struct invocation *call)
{
    bool newline = call->count < 2 || strcmp(call->words[1], "-n") != 0;

    for (unsigned i = newline ? 1 : 2; i < call->count; i++)
        sim_print(call->board, "%s%s", call->words[i], i + 1 < call->count ? " " : "");
    if (newline)
        sim_print(call->board, "\n");
    return DONE;
}

static enum outcome run_uname(const struct invocation *call)
{
    const char *options = call->count > 1 ? call->words[1] : "-s";

    if (strcmp(options, "-a") == 0)
        sim_print(call->board, "Linux %s %s #1 SMP aarch64 GNU/Linux\n", call->board->settings.hostname,
                  sim_kernel_version);
    else if (strcmp(options, "-r") == 0)
        sim_print(call->board, "%s\n", sim_kernel_version);
    else if (strcmp(options, "-m") == 0)
        sim_print(call->board, "aarch64\n");
    else if (strcmp(options, "-n") == 0)
        print_hostname(call->board, call->now);
    else if (strcmp(options, "-s") == 0)
        sim_print(call->board, "Linux\n");
    else
        return usage(call, "[-a|-m|-n|-r|-s]");
    return DONE;
}

static enum outcome run_date(const struct invocation *call)
{
    time_t seconds = (time_t)(((int64_t)call->now + call->board->settings.realtime) / (int64_t)JMP_USEC_PER_SEC);
    char text[64] = "";
    struct tm parts;

    if (gmtime_r(&seconds, &parts))
        strftime(text, sizeof(text), "%a %b %e %H:%M:%S UTC %Y", &parts);
    sim_print(call->board, "%s\n", text);
    return DONE;
}

static enum outcome run_uptime(const struct invocation *call)
{
    uint64_t minutes = uptime_of(call->board, call->now) / (60 * JMP_USEC_PER_SEC);

    sim_print(call->board, " up %" PRIu64 " min,  1 user,  load average: 0.00, 0.01, 0.00\n", minutes);
    return DONE;
}

static enum outcome run_free(const struct invocation *call)
{
    sim_print(call->board, "               total        used        free      shared  buff/cache   available\n"
              "Mem:          498112       45504      431040         512       21568      452608\n"
              "Swap:              0           0           0\n");
    return DONE;
}

static enum outcome run_whoami(const struct invocation *call)
{
    sim_print(call->board, "root\n");
    return DONE;
}

static enum outcome run_id(const struct invocation *call)
{
    sim_print(call->board, "uid=0(root) gid=0(root) groups=0(root)\n");
    return DONE;
}

static enum outcome run_hostname(const struct invocation *call)
{
    print_hostname(call->board, call->now);
    return DONE;
}

static enum outcome run_pwd(const struct invocation *call)
{
    sim_print(call->board, HOME "\n");
    return DONE;
}

static enum outcome run_true(const struct invocation *call)
{
    return DONE;
}

static enum outcome run_false(const struct invocation *call)
{
    call->board->status = 1;
    return DONE;
}

static enum outcome run_exit(const struct invocation *call)
{
    sim_print(call->board, "logout\n");
    sim_login(call->board, call->now);
    return LEFT;
}

static enum outcome run_reboot(const struct invocation *call)
{
    sim_stop(call->board, call->now, true);
    return LEFT;
}

static enum outcome run_poweroff(const struct invocation *call)
{
    sim_stop(call->board, call->now, false);
    return LEFT;
}

static enum outcome run_dmesg(const struct invocation *call)
{
    sim_job_start(call->board, call->now, sim_log_run, sim_prompt);
    return GOES_ON;
}

static bool seq_run(struct jmp_sim_board *board, struct sim_job *job, uint64_t now)
{
    while (job->step > 0 ? job->next <= job->last : job->next >= job->last) {
        if (!sim_room(board))
            return true;
        sim_print(board, "%" PRId64 "\n", job->next);
        job->next += job->step;
    }
    return false;
}

static bool number(const char *text, int64_t *ret)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    /* Far enough from the limits that counting on cannot overflow. */
    if (errno != 0 || *end != '\0' || end == text || value > INT64_MAX / 4 || value < INT64_MIN / 4)
        return false;
    *ret = value;
    return true;
}

static enum outcome run_seq(const struct invocation *call)
{
    int64_t values[3] = { 1, 1, 1 };   /* first, step, last */
    struct sim_job *job;
    unsigned given = call->count - 1;

    if (given < 1 || given > 3)
        return usage(call, "[FIRST [STEP]] LAST");
    for (unsigned i = 0; i < given; i++) {
        unsigned place = i + 1 == given ? 2 : i;

        if (!number(call->words[i + 1], &values[place])) {
            complain(call, call->words[i + 1], "not a whole number");
            return DONE;
        }
    }
    if (values[1] == 0) {
        complain(call, call->words[2], "the step must not be 0");
        return DONE;
    }

    job = sim_job_start(call->board, call->now, seq_run, sim_prompt);
    job->next = values[0];
    job->step = values[1];
    job->last = values[2];
    return GOES_ON;
}

static bool yes_run(struct jmp_sim_board *board, struct sim_job *job, uint64_t now)
{
    while (sim_room(board))
        sim_print(board, "%s\n", job->text);
    return true;
}

static enum outcome run_yes(const struct invocation *call)
{
    struct sim_job *job = sim_job_start(call->board, call->now, yes_run, sim_prompt);

    snprintf(job->text, sizeof(job->text), "%s", call->count > 1 ? call->words[1] : "y");
    return GOES_ON;
}

static bool sleep_run(struct jmp_sim_board *board, struct sim_job *job, uint64_t now)
{
    job->wake = job->begin + (uint64_t)job->last;
    return job->wake > now;
}

static enum outcome run_sleep(const struct invocation *call)
{
    int64_t seconds;

    if (call->count != 2)
        return usage(call, "SECONDS");
    if (!number(call->words[1], &seconds) || seconds < 0 || seconds > 86400) {
        complain(call, call->words[1], "not a number of seconds up to a day");
        return DONE;
    }

    sim_job_start(call->board, call->now, sleep_run, sim_prompt)->last = seconds * (int64_t)JMP_USEC_PER_SEC;
    return GOES_ON;
}

static enum outcome run_help(const struct invocation *call);

static const struct command commands[] = {
    { "cat", "FILE...", "show files", run_cat },
    { "date", "", "the time, in UTC", run_date },
    { "dmesg", "", "messages of the kernel", run_dmesg },
    { "echo", "[-n] [WORD...]", "say it again", run_echo },
    { "exit", "", "log out", run_exit },
    { "false", "", "fail", run_false },
    { "free", "", "memory", run_free },
    { "help", "", "this list", run_help },
    { "hostname", "", "name of the board", run_hostname },
    { "id", "", "who you are, in numbers", run_id },
    { "logout", "", "log out", run_exit },
    { "ls", "[PATH]", "list a directory", run_ls },
    { "poweroff", "", "stop the board", run_poweroff },
    { "pwd", "", "where you are", run_pwd },
    { "reboot", "", "start the board again", run_reboot },
    { "seq", "[FIRST [STEP]] LAST", "count, as far as you like", run_seq },
    { "sleep", "SECONDS", "do nothing", run_sleep },
    { "true", "", "succeed", run_true },
    { "uname", "[-a|-m|-n|-r|-s]", "name of the system", run_uname },
    { "uptime", "", "how long it has been up", run_uptime },
    { "whoami", "", "who you are", run_whoami },
    { "yes", "[WORD]", "a word without end, until Ctrl-C", run_yes },
};

static enum outcome run_help(const struct invocation *call)
{
    for (size_t i = 0; i < ELEMENTSOF(commands); i++)
        sim_print(call->board, "  %-9s %-20s %s\n", commands[i].name, commands[i].usage, commands[i].help);
    return DONE;
}

/*
 * Words, with single and double quotes and with $?. @buffer holds them: a status is at most three digits for two
 * characters. False: a quote is open, or there are too many.
 */
static bool split(const char *line, int status, char *buffer, struct invocation *call)
{
    char quote = 0;
    bool inside = false;

    for (; *line; line++) {
        if (!inside && (*line == ' ' || *line == '\t'))
            continue;
        if (!inside) {
            if (call->count == WORDS_MAX)
                return false;
            call->words[call->count++] = buffer;
            inside = true;
        }

        if (quote ? *line == quote : *line == '"' || *line == '\'') {
            if (quote)
                quote = 0;
            else
                quote = *line;
        } else if (!quote && (*line == ' ' || *line == '\t')) {
            *buffer++ = '\0';
            inside = false;
        } else if (quote != '\'' && line[0] == '$' && line[1] == '?') {
            buffer += sprintf(buffer, "%d", status);
            line++;
        } else {
            *buffer++ = *line;
        }
    }
    *buffer = '\0';
    return quote == 0;
}

bool sim_command(struct jmp_sim_board *board, const char *line, uint64_t now)
{
    struct invocation call = { .board = board, .now = now };
    char buffer[SIM_LINE_MAX * 2];

    if (!split(line, board->status, buffer, &call)) {
        sim_print(board, "sh: this line cannot be understood\n");
        board->status = 2;
        return true;
    }
    if (call.count == 0)
        return true;

    board->status = 0;
    for (size_t i = 0; i < ELEMENTSOF(commands); i++)
        if (strcmp(commands[i].name, call.words[0]) == 0)
            return commands[i].run(&call) == DONE;

    sim_print(board, "sh: %s: command not found\n", call.words[0]);
    board->status = 127;
    return true;
}
