/* SPDX-License-Identifier: Apache-2.0 */
/* Where an exporter keeps its sockets while it runs. */
#pragma once

#include "base/error.h"

struct jmp_runtime {
    char *directory;       /* 0700, ours */
    char *hook_socket;     /* a path in it that a unix socket's address can hold */
    char *control_socket;  /* another */
    char *tools;           /* a directory in it where jmpctl, if there is one, is called j */
    char *lease_file;      /* agent/remember.h */
    char *lock_path;
    int lock;
    char *parent;          /* made by us, or NULL: removed at the end, with the directory, unless others use it */
};

/**
 * jmp_runtime_open() - make the directory and lock it
 * @name:  of the exporter
 *
 * $RUNTIME_DIRECTORY (set by systemd), else /run/jmp-agent/NAME for root, else $XDG_RUNTIME_DIR/jmp-agent/NAME, else
 * jmp-agent-UID/NAME in the temporary directory. All that is made is removed at the end, but for $RUNTIME_DIRECTORY.
 *
 * Return: 0, -EBUSY (this exporter runs already), -ENAMETOOLONG, -EPERM (not ours), errno; with words.
 */
int jmp_runtime_open(const char *name, struct jmp_runtime **ret, struct jmp_error *reterr);
struct jmp_runtime *jmp_runtime_free(struct jmp_runtime *runtime);
JMP_DEFINE_CLEANUP(struct jmp_runtime *, jmp_runtime_free)
