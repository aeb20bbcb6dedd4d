/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One script that the exporter's owner has set before or after a lease: a process group on a pseudo-terminal, its
 * output line by line, its time limit, its end. Knows nothing of leases. (docs/hooks.md)
 */
#pragma once

#include "base/loop.h"

#define JMP_HOOK_LINE_MAX 4096u   /* bytes; a longer line comes in pieces */

struct jmp_hook;

struct jmp_hook_options {
    const char *script;           /* text, or the path of a file in one line */
    const char *exec;             /* interpreter, or NULL */
    unsigned timeout;             /* seconds until the whole process group is ended */
    uint64_t patience;            /* microseconds from SIGTERM to SIGKILL */
    char *const *environment;     /* all of it */
    /* One line of output, without its end and what is blank before that; empty ones are left out. Also after done(),
     * from what the script has left running. */
    void (*line)(const char *line, void *user);
    /* Once, unless jmp_hook_end() comes first. @failure: a sentence, NULL when the script ended with status 0. */
    void (*done)(const char *failure, void *user);
    void *user;
};

/**
 * jmp_hook_start() - run a script; all that is borrowed is copied by the new process, but for the callbacks' @user
 * @ret:  end it with jmp_hook_end(); what the script leaves running in the background lives until then
 *
 * Callbacks come on the loop, never from within this function. A script that cannot be started is done, with a failure.
 *
 * Return: 0 or -ENOMEM.
 */
int jmp_hook_start(struct jmp_loop *loop, const struct jmp_hook_options *options, struct jmp_hook **ret);

/** jmp_hook_end() - SIGTERM to its process group, SIGKILL to what is left of it after the patience; @ended once there
 * is nothing left, or what is left cannot be killed. No done() comes any more. Not twice. */
void jmp_hook_end(struct jmp_hook *hook, void (*ended)(void *user), void *user);

/** jmp_hook_free() - SIGKILL to what there still is; not from within line() */
struct jmp_hook *jmp_hook_free(struct jmp_hook *hook);
JMP_DEFINE_CLEANUP(struct jmp_hook *, jmp_hook_free)
