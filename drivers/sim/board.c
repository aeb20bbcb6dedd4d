/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "drivers/sim/machine.h"

enum { CTRL_C = 0x03, CTRL_D = 0x04, BELL = 0x07, BACKSPACE = 0x08, CTRL_U = 0x15, ESCAPE = 0x1b, DELETE = 0x7f };

int jmp_sim_board_new(const struct jmp_sim_settings *settings, struct jmp_sim_board **ret)
{
    struct jmp_sim_board *board = calloc(1, sizeof(*board));

    if (!board)
        return -ENOMEM;

    board->settings = *settings;
    board->noise = 1;
    *ret = board;
    return 0;
}

struct jmp_sim_board *jmp_sim_board_free(struct jmp_sim_board *board)
{
    free(board);
    return NULL;
}

/* Output */

static size_t output_free(struct jmp_sim_board *board)
{
    if (board->output_begin > 0) {
        memmove(board->output, board->output + board->output_begin, board->output_end - board->output_begin);
        board->output_end -= board->output_begin;
        board->output_begin = 0;
    }
    return SIM_OUTPUT_SIZE - board->output_end;
}

bool sim_room(struct jmp_sim_board *board)
{
    return SIM_OUTPUT_SIZE - board->output_end >= SIM_ROOM || output_free(board) >= SIM_ROOM;
}

static void output_byte(struct jmp_sim_board *board, char byte)
{
    if (board->output_end < SIM_OUTPUT_SIZE)
        board->output[board->output_end++] = byte;
}

void sim_write(struct jmp_sim_board *board, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n')
            output_byte(board, '\r');
        output_byte(board, text[i]);
    }
}

void sim_print(struct jmp_sim_board *board, const char *fmt, ...)
{
    char text[SIM_LINE_MAX + 256];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n > 0)
        sim_write(board, text, strnlen(text, sizeof(text)));
}

size_t jmp_sim_board_output(const struct jmp_sim_board *board, const char **ret)
{
    *ret = board->output + board->output_begin;
    return board->output_end - board->output_begin;
}

void jmp_sim_board_fetched(struct jmp_sim_board *board, size_t size)
{
    board->output_begin += size;
    if (board->output_begin == board->output_end)
        board->output_begin = board->output_end = 0;
}

/* Jobs */

struct sim_job *sim_job_start(struct jmp_sim_board *board, uint64_t now,
                              bool (*run)(struct jmp_sim_board *, struct sim_job *, uint64_t),
                              void (*finished)(struct jmp_sim_board *, uint64_t))
{
    board->job = (struct sim_job){ .run = run, .finished = finished, .begin = now };
    return &board->job;
}

static void type_byte(struct jmp_sim_board *board, char byte, uint64_t now);

static bool ahead_is_empty(const struct jmp_sim_board *board)
{
    return board->ahead_begin == board->ahead_end;
}

static void ahead_drop(struct jmp_sim_board *board)
{
    board->ahead_begin = board->ahead_end = 0;
}

static void ahead_append(struct jmp_sim_board *board, char byte)
{
    if (board->ahead_begin > 0) {
        board->ahead_end -= board->ahead_begin;
        memmove(board->ahead, board->ahead + board->ahead_begin, board->ahead_end);
        board->ahead_begin = 0;
    }
    if (board->ahead_end < SIM_AHEAD_MAX)
        board->ahead[board->ahead_end++] = byte;
}

/* What was typed while a job ran, as far as the next job. Any byte may be the one that drops the rest. */
static void type_ahead(struct jmp_sim_board *board, uint64_t now)
{
    while (!ahead_is_empty(board) && !board->job.run && sim_room(board))
        type_byte(board, board->ahead[board->ahead_begin++], now);
}

uint64_t jmp_sim_board_run(struct jmp_sim_board *board, uint64_t now)
{
    for (;;) {
        struct sim_job *job = &board->job;

        type_ahead(board, now);
        if (!job->run)
            return JMP_USEC_INFINITY;

        job->wake = 0;
        if (job->run(board, job, now))
            return job->wake > now ? job->wake : JMP_USEC_INFINITY;

        /* The job's end may start the next one in the same place. */
        job->run = NULL;
        job->finished(board, now);
    }
}

/* Power */

void jmp_sim_board_power(struct jmp_sim_board *board, bool on, uint64_t now)
{
    if (on == (board->state != SIM_OFF))
        return;

    /* What was not sent yet dies with the power, and what was typed. */
    board->output_begin = board->output_end = 0;
    ahead_drop(board);
    board->length = 0;
    board->escape = 0;
    board->job.run = NULL;
    board->state = SIM_OFF;
    if (on) {
        board->powered = now;
        sim_boot(board, now);
    }
}

void jmp_sim_board_measure(struct jmp_sim_board *board, uint64_t now, double *retvoltage, double *retcurrent)
{
    /* A computer's supply: amperes by what it does, a little noise, and a line that drops 0.1 V for each ampere */
    static const double amperes[] = {
        [SIM_OFF] = 0, [SIM_BOOTING] = 0.46, [SIM_LOGIN] = 0.22, [SIM_PASSWORD] = 0.22, [SIM_SHELL] = 0.23,
        [SIM_STOPPING] = 0.38, [SIM_HALTED] = 0.03,
    };
    double current = amperes[board->state];

    if (board->state == SIM_OFF) {
        *retvoltage = *retcurrent = 0;
        return;
    }

    if (board->state == SIM_SHELL && board->job.run)
        current = 0.41;
    board->noise = board->noise * 1664525u + 1013904223u;
    current *= 1 + ((double)(board->noise >> 16) / 65535.0 - 0.5) * 0.08;
    *retcurrent = (double)(int)(current * 1000 + 0.5) / 1000;
    *retvoltage = (double)(int)((5.1 - 0.1 * current) * 1000 + 0.5) / 1000;
}

/* Login */

static void line_begin(struct jmp_sim_board *board)
{
    board->length = 0;
}

void sim_login(struct jmp_sim_board *board, uint64_t now)
{
    board->state = SIM_LOGIN;
    /* A terminal that opens drops what was typed before. */
    ahead_drop(board);
    line_begin(board);
    sim_print(board, "\n");
    if (board->settings.banner) {
        sim_write(board, board->settings.banner, strlen(board->settings.banner));
        sim_write(board, "\n", 1);
    } else {
        sim_print(board, "Simulated Linux 12 %s ttyS0\n", board->settings.hostname);
    }
    sim_print(board, "\n%s login: ", board->settings.hostname);
}

void sim_prompt(struct jmp_sim_board *board, uint64_t now)
{
    board->state = SIM_SHELL;
    line_begin(board);
    sim_print(board, "root@%s:~# ", board->settings.hostname);
}

static void welcome(struct jmp_sim_board *board, uint64_t now)
{
    board->status = 0;
    sim_print(board, "This board is simulated. \"help\" lists what it can do.\n");
    sim_prompt(board, now);
}

static void refuse(struct jmp_sim_board *board, uint64_t now)
{
    board->state = SIM_LOGIN;
    line_begin(board);
    sim_print(board, "\nLogin incorrect\n%s login: ", board->settings.hostname);
}

static bool wait_run(struct jmp_sim_board *board, struct sim_job *job, uint64_t now)
{
    job->wake = job->begin + (uint64_t)job->last;
    return job->wake > now;
}

static void login_name(struct jmp_sim_board *board, uint64_t now)
{
    if (board->length == 0) {
        sim_print(board, "%s login: ", board->settings.hostname);
        return;
    }

    memcpy(board->user, board->line, board->length + 1);
    if (strcmp(board->user, "root") == 0 && !board->settings.password) {
        welcome(board, now);
        return;
    }

    board->state = SIM_PASSWORD;
    line_begin(board);
    sim_print(board, "Password: ");
}

static void login_password(struct jmp_sim_board *board, uint64_t now)
{
    bool right = strcmp(board->user, "root") == 0 && board->settings.password &&
                 strcmp(board->line, board->settings.password) == 0;

    explicit_bzero(board->line, sizeof(board->line));
    line_begin(board);
    if (right) {
        sim_print(board, "\n");
        welcome(board, now);
    } else {
        sim_job_start(board, now, wait_run, refuse)->last = (int64_t)JMP_USEC_PER_SEC / 2;
    }
}

/* Typing */

static bool is_echoed(const struct jmp_sim_board *board)
{
    return board->state != SIM_PASSWORD;
}

static void type_line_end(struct jmp_sim_board *board, uint64_t now)
{
    char line[SIM_LINE_MAX + 1];

    board->line[board->length] = '\0';
    if (is_echoed(board))
        sim_print(board, "\n");
    switch (board->state) {
    case SIM_LOGIN:
        login_name(board, now);
        break;
    case SIM_PASSWORD:
        login_password(board, now);
        break;
    case SIM_SHELL:
        memcpy(line, board->line, board->length + 1);
        line_begin(board);
        if (sim_command(board, line, now))
            sim_prompt(board, now);
        break;
    default:
        break;
    }
}

static void type_rubout(struct jmp_sim_board *board)
{
    if (board->length == 0)
        return;

    /* A character of several bytes is one place on the screen. */
    do
        board->length--;
    while (board->length > 0 && ((unsigned char)board->line[board->length] & 0xc0) == 0x80);
    if (is_echoed(board))
        sim_write(board, "\b \b", 3);
}

static void type_interrupt(struct jmp_sim_board *board, uint64_t now)
{
    line_begin(board);
    if (board->state == SIM_SHELL) {
        board->status = 130;
        sim_print(board, "^C\n");
        sim_prompt(board, now);
    } else {
        sim_print(board, "\n%s login: ", board->settings.hostname);
        board->state = SIM_LOGIN;
    }
}

/* Arrow and function keys are swallowed: ESC, "[" or "O", parameters, one final letter. */
static bool type_escape(struct jmp_sim_board *board, char byte)
{
    if (board->escape == 0)
        return false;

    if (board->escape == 1)
        board->escape = byte == '[' || byte == 'O' ? 2 : 0;
    else if (byte >= 0x40 && byte <= 0x7e)
        board->escape = 0;
    return true;
}

static void type_byte(struct jmp_sim_board *board, char byte, uint64_t now)
{
    bool after_cr = board->after_cr;

    board->after_cr = byte == '\r';
    if (type_escape(board, byte))
        return;

    switch ((unsigned char)byte) {
    case '\n':
        if (after_cr)
            return;
        /* fall through */
    case '\r':
        type_line_end(board, now);
        return;
    case BACKSPACE:
    case DELETE:
        type_rubout(board);
        return;
    case CTRL_U:
        while (board->length > 0)
            type_rubout(board);
        return;
    case CTRL_C:
        type_interrupt(board, now);
        return;
    case CTRL_D:
        if (board->length == 0 && board->state == SIM_SHELL) {
            sim_print(board, "logout\n");
            sim_login(board, now);
        }
        return;
    case ESCAPE:
        board->escape = 1;
        return;
    default:
        break;
    }

    if ((unsigned char)byte < 0x20)
        return;
    if (board->length >= SIM_LINE_MAX - 1) {
        output_byte(board, BELL);
        return;
    }

    board->line[board->length++] = byte;
    if (is_echoed(board))
        output_byte(board, byte);
}

/* A byte while a job runs: Ctrl-C ends a command, all else waits for the next prompt. */
static void type_into_job(struct jmp_sim_board *board, char byte, uint64_t now)
{
    if (byte == CTRL_C && board->state == SIM_SHELL) {
        ahead_drop(board);
        board->job.run = NULL;
        type_interrupt(board, now);
    } else {
        ahead_append(board, byte);
    }
}

size_t jmp_sim_board_input(struct jmp_sim_board *board, const char *data, size_t size, uint64_t now)
{
    size_t taken = 0;

    if (board->state == SIM_OFF || board->state == SIM_HALTED)
        return size;

    while (taken < size) {
        bool busy = board->job.run || !ahead_is_empty(board);

        /* A command that fills the output must still hear Ctrl-C. */
        if (!busy && !sim_room(board))
            break;
        if (busy)
            type_into_job(board, data[taken++], now);
        else
            type_byte(board, data[taken++], now);
        jmp_sim_board_run(board, now);
    }

    return taken;
}
