/* SPDX-License-Identifier: Apache-2.0 */
/* What a program inside a lease is started with: the environment that the stock tools read, and a prompt that says
 * where one is. */
#pragma once

#include "base/error.h"
#include "client/objects.h"

struct jmp_shell_env {
    const char *host;                    /* unix path, or HOST:PORT */
    const char *exporter, *lease;        /* "direct" without a controller */
    const struct jmp_pairs *labels;      /* of the exporter, or NULL */
    const char *allow;                   /* JMP_DRIVERS_ALLOW */
    bool insecure;
    const char *passphrase;              /* or NULL */
};

#define JMP_SHELL_ENV_MAX 16u
#define JMP_SHELL_ARGS_MAX 10u

struct jmp_shell_start {
    char *set[JMP_SHELL_ENV_MAX];        /* "NAME=VALUE", NULL-terminated */
    char *argv[JMP_SHELL_ARGS_MAX];      /* an interactive shell; empty if a command was given */
};

/** jmp_shell_env() - @shell: path of the person's shell for an interactive one, NULL: none. Return: 0, -ENOMEM. */
int jmp_shell_env(const struct jmp_shell_env *env, const char *shell, struct jmp_shell_start *ret);
void jmp_shell_start_clear(struct jmp_shell_start *start);
