/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the simulated board, shared by its parts: board.c (power, login, line editing), boot.c, shell.c. */
#pragma once

#include "base/limits.h"
#include "drivers/sim/board.h"

#define SIM_LINE_MAX 1024u            /* longest input line */
#define SIM_AHEAD_MAX 4096u           /* typed while a command runs; what a terminal keeps */
#define SIM_OUTPUT_SIZE 32768u
#define SIM_ROOM 8192u                /* free output before anything new is begun: more than any answer has */

enum sim_state {
    SIM_OFF,
    SIM_BOOTING,
    SIM_LOGIN,       /* at "login:" */
    SIM_PASSWORD,
    SIM_SHELL,       /* at the prompt, or running a job */
    SIM_STOPPING,
    SIM_HALTED,      /* powered, but stopped */
};

/* Something that goes on for a while. */
struct sim_job {
    /* Writes what is due while there is sim_room(). False: finished. Sets .wake when it has to wait. */
    bool (*run)(struct jmp_sim_board *board, struct sim_job *job, uint64_t now);
    void (*finished)(struct jmp_sim_board *board, uint64_t now);
    uint64_t begin, wake;             /* @wake: 0, not waiting */
    int64_t next, step, last;
    char text[SIM_LINE_MAX];
};

struct jmp_sim_board {
    struct jmp_sim_settings settings;
    enum sim_state state;
    struct sim_job job;               /* .run NULL: none */
    uint64_t powered, kernel;         /* when power came, when the kernel started */
    uint32_t noise;
    int status;                       /* of the last command, $? */
    char user[SIM_LINE_MAX + 1];
    char line[SIM_LINE_MAX + 1];
    size_t length;
    bool after_cr;
    unsigned escape;                  /* 0, or position in an escape sequence */
    char ahead[SIM_AHEAD_MAX];
    size_t ahead_begin, ahead_end;    /* what of it was not looked at yet */
    char output[SIM_OUTPUT_SIZE];
    size_t output_begin, output_end;  /* @begin moves to 0 when all is fetched */
};

/* board.c */
void sim_write(struct jmp_sim_board *board, const char *text, size_t size);   /* newlines become CR LF */
void sim_print(struct jmp_sim_board *board, const char *fmt, ...) JMP_PRINTF(2, 3);
bool sim_room(struct jmp_sim_board *board);
struct sim_job *sim_job_start(struct jmp_sim_board *board, uint64_t now,
                              bool (*run)(struct jmp_sim_board *, struct sim_job *, uint64_t),
                              void (*finished)(struct jmp_sim_board *, uint64_t));
void sim_login(struct jmp_sim_board *board, uint64_t now);    /* show the banner and ask who it is */
void sim_prompt(struct jmp_sim_board *board, uint64_t now);

/* boot.c */
void sim_boot(struct jmp_sim_board *board, uint64_t now);
void sim_stop(struct jmp_sim_board *board, uint64_t now, bool reboot);
/* A job: the kernel's messages again. */
bool sim_log_run(struct jmp_sim_board *board, struct sim_job *job, uint64_t now);
extern const char sim_kernel_version[];

/* shell.c */
/** sim_command() - one line typed at the prompt. False: a job was started, or the shell was left; otherwise the next
 * prompt is due. */
bool sim_command(struct jmp_sim_board *board, const char *line, uint64_t now);
