/* SPDX-License-Identifier: Apache-2.0 */
/* Another program, started and watched on the loop. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"

struct jmp_child;

struct jmp_child_options {
    char *const *argv;      /* argv[0] is looked for in $PATH */
    char *const *set;       /* "NAME=VALUE", NULL-terminated: replaces what our own environment says; NULL: nothing */
    char *const *environment;   /* all of it, instead of ours and @set; NULL: these */
    int in, out, err;       /* its standard descriptors, borrowed; 0: ours */
    const char *tty;        /* instead of these: the path of a terminal, which becomes its controlling one */
    bool group;             /* leads a process group, with @tty a session, of its own: signals reach all of it */
    bool session;           /* the same, and it has no controlling terminal */
    const char *directory;  /* to start in; NULL: ours */
};

/**
 * jmp_child_start() - start a program; it gets no other descriptor of ours than those named, no blocked signal and the
 * default for SIGPIPE
 * @exited:  on the loop, once, when it has ended; may free the child
 * @ret:     jmp_child_free()
 *
 * Return: 0, -ENOENT, -EACCES and other errnos of the start, with words.
 */
int jmp_child_start(struct jmp_loop *loop, const struct jmp_child_options *options,
                    void (*exited)(struct jmp_child *child, void *user), void *user, struct jmp_child **ret,
                    struct jmp_error *reterr);
pid_t jmp_child_pid(const struct jmp_child *child);   /* 0 once it has ended */
/** jmp_child_signal() - to the program, or to its whole group, also when the leader has ended already */
void jmp_child_signal(struct jmp_child *child, int signal);
bool jmp_child_has_ended(const struct jmp_child *child);
/** jmp_child_code() - of one that has ended: its exit code; 128 and the number of the signal that killed it */
int jmp_child_code(const struct jmp_child *child);
int jmp_child_killer(const struct jmp_child *child);   /* the signal that killed it, 0: none */
/** jmp_child_group_is_gone() - whether nothing is left of the group, its leader included. Reaps what has ended. */
bool jmp_child_group_is_gone(struct jmp_child *child);
/** jmp_child_free() - kills it if it still runs, and whatever is left of its group */
struct jmp_child *jmp_child_free(struct jmp_child *child);
JMP_DEFINE_CLEANUP(struct jmp_child *, jmp_child_free)
