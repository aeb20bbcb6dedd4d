/* SPDX-License-Identifier: Apache-2.0 */
/* A medium, opened for writing or reading: waited for, ours, of known size. */
#pragma once

#include "drivers/driver.h"

struct jmp_medium {
    int fd;
    bool block;
    bool zeroes;   /* ranges of zeros need not be sent */
    size_t align;  /* of direct access, 0: none */
    uint64_t size; /* bytes */
};

/**
 * jmp_medium_open() - open @path once there is a medium in it
 * @wait:  microseconds to wait for it; an absent path, no medium and a size of 0 are waited for, and for five seconds
 *         at most a node that is not for us (yet)
 * @ret:   the descriptor is the caller's; exclusive when @write, so that nobody mounts it meanwhile
 *
 * Return: 0, or with a sentence: -ETIMEDOUT, -EBUSY, -EPERM, -EROFS, -EINVAL (neither block device nor file),
 * -ECANCELED, what open() says.
 */
int jmp_medium_open(struct jmp_call *call, const char *path, bool write, uint64_t wait, struct jmp_medium *ret);
