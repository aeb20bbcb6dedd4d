/* SPDX-License-Identifier: Apache-2.0 */
/* The program that runs inside a lease. */
#pragma once

#include "client/client.h"

struct jmp_child;

/**
 * jmp_child_start() - start a program on our terminal
 * @argv: argv[0] is looked for in $PATH
 * @set:  "NAME=VALUE", NULL-terminated: replaces what our own environment says
 *
 * Return: 0, -ENOENT, -EACCES and other errnos of the start, with words.
 */
int jmp_child_start(struct jmp_client *client, char *const *argv, char *const *set, struct jmp_child **ret,
                    struct jmp_error *reterr);
void jmp_child_signal(struct jmp_child *child, int signal);
/** jmp_child_wait() - waits; -ETIMEDOUT: it still runs; -EINTR: so it does, and was sent a signal. Interruptions do not
 * end this: it is the program's own to end. */
int jmp_child_wait(struct jmp_child *child, uint64_t timeout);
/** jmp_child_code() - its exit code; 128 and the number of the signal that killed it */
int jmp_child_code(const struct jmp_child *child);
/** jmp_child_free() - kills it if it still runs */
struct jmp_child *jmp_child_free(struct jmp_child *child);
JMP_DEFINE_CLEANUP(struct jmp_child *, jmp_child_free)
