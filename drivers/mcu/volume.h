/* SPDX-License-Identifier: Apache-2.0 */
/* The small disks that boot loaders and debug probes pretend to be: found where something has mounted them, and
 * written to. */
#pragma once

#include "drivers/driver.h"

/**
 * jmp_volume_find() - the one mounted volume that fits
 * @root:  directory that stands for /, "" for the real one
 * @fits:  looks at a mount point
 * @ret:   its path below @root, PATH_MAX bytes
 *
 * Return: 0, or with a sentence: -ENOENT (none), -ENOTUNIQ, others of /proc.
 */
int jmp_volume_find(const char *root, bool (*fits)(const char *place, const void *user), const void *user, char *ret,
                    struct jmp_error *reterr);

/** jmp_volume_has() - is there a file of this name? */
bool jmp_volume_has(const char *place, const char *name);

/** jmp_volume_info() - the lines "KEY: VALUE" of a text file there, as members of the map that is being written; at
 * most 64 of them */
int jmp_volume_info(const char *place, const char *name, struct jmp_writer *writer);

/**
 * jmp_volume_receive() - all of an image argument in memory
 * @max:  bytes
 *
 * Return: 0 with @ret to be freed, or with a sentence: -EFBIG, -ETIMEDOUT, -ECANCELED, ...
 */
int jmp_volume_receive(struct jmp_call *call, const char *arg, size_t max, uint8_t **ret, size_t *retsize);

/**
 * jmp_volume_write() - a file on the volume, and out of the page cache
 * @leaves:  the device goes away once it has all of it, so that nothing can be said of the end
 *
 * Return: 0 or negative errno, with a sentence.
 */
int jmp_volume_write(struct jmp_call *call, const char *place, const char *name, const void *data, size_t size,
                     bool leaves);
