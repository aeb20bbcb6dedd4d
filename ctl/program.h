/* SPDX-License-Identifier: Apache-2.0 */
/* The program that runs inside a lease. */
#pragma once

#include "client/client.h"

struct jmp_program;

/**
 * jmp_program_start() - start a program on our terminal
 * @argv: argv[0] is looked for in $PATH
 * @set:  "NAME=VALUE", NULL-terminated: replaces what our own environment says
 *
 * Return: 0, -ENOENT, -EACCES and other errnos of the start, with words.
 */
int jmp_program_start(struct jmp_client *client, char *const *argv, char *const *set, struct jmp_program **ret,
                    struct jmp_error *reterr);
void jmp_program_signal(struct jmp_program *program, int signal);
/** jmp_program_wait() - waits; -ETIMEDOUT: it still runs; -EINTR: so it does, and was sent a signal. Interruptions do
 * not end this: it is the program's own to end. */
int jmp_program_wait(struct jmp_program *program, uint64_t timeout);
/** jmp_program_code() - its exit code; 128 and the number of the signal that killed it */
int jmp_program_code(const struct jmp_program *program);
/** jmp_program_free() - kills it if it still runs */
struct jmp_program *jmp_program_free(struct jmp_program *program);
JMP_DEFINE_CLEANUP(struct jmp_program *, jmp_program_free)
