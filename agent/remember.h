/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease that is ready for its client, in a file, so that the next process can go on with it. The file lies in the
 * runtime directory: nothing wears out, and after a reboot, when lines and consoles were let go of, nothing is
 * remembered. (docs/decisions/0009-a-lease-outlives-the-agent.md)
 */
#pragma once

#include "base/error.h"
#include "base/limits.h"

struct jmp_memory {
    char lease[JMP_NAME_MAX + 1];   /* "": nothing is remembered */
    char text[512];                 /* of LEASE_READY, when a hook has set it */
    char *motd;                     /* what the hook has added to the message of the day, or NULL */
};

/** jmp_memory_write() - Return: 0 or negative errno with words; then nothing, or what was there before, is
 * remembered. */
int jmp_memory_write(const char *path, const struct jmp_memory *memory, struct jmp_error *reterr);
/** jmp_memory_read() - @ret is cleared first. A file that makes no sense is -EINVAL. Return: also -ENOENT. */
int jmp_memory_read(const char *path, struct jmp_memory *ret, struct jmp_error *reterr);
void jmp_memory_clear(struct jmp_memory *memory);
