/* SPDX-License-Identifier: Apache-2.0 */
/* Where a browser is sent after a login: a port of this machine that hears one answer, and only the one that belongs to
 * it. */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct jmp_callback {
    int fd;
    unsigned port;
};

#define JMP_CALLBACK_INIT \
    { \
        .fd = -EBADF \
    }

/** jmp_callback_open() - listen on loopback; @port 0: any. Return: 0, -EADDRINUSE and the like with words. */
int jmp_callback_open(struct jmp_callback *callback, unsigned port, struct jmp_error *reterr);
void jmp_callback_close(struct jmp_callback *callback);

/**
 * jmp_callback_wait() - until the browser comes back to /callback; Ctrl-C ends the program
 * @state:    what it has to bring along; who brings another is sent away
 * @timeout:  microseconds
 * @ret:      the code; free() after explicit_bzero()
 *
 * Return: 0, -EACCES: the provider refuses, with its words; -ETIMEDOUT.
 */
int jmp_callback_wait(struct jmp_callback *callback, const char *state, uint64_t timeout, char **ret,
                      struct jmp_error *reterr);

/** jmp_callback_value() - one value of a query, its escapes resolved; free() @ret. Return: 0, -ENOENT, -EINVAL (an
 * escape), -ENOMEM. */
int jmp_callback_value(const char *query, const char *key, char **ret);
