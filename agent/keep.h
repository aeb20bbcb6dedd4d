/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that outlive the agent: parked with the service manager (sd_notify FDSTORE=1), which hands them to the
 * next process of the same service; and held here for a process that replaces itself. So a relay's line stays requested
 * and a console open while the agent is started anew. The manager closes them when the service is stopped for good. May
 * be called from any thread.
 */
#pragma once

#include "base/cleanup.h"

struct jmp_keep;

/** jmp_keep_new() - take over what the manager has handed to this process, if anything; once, before threads start */
int jmp_keep_new(struct jmp_keep **ret);
struct jmp_keep *jmp_keep_free(struct jmp_keep *keep);   /* what is parked stays parked */
JMP_DEFINE_CLEANUP(struct jmp_keep *, jmp_keep_free)

/**
 * jmp_keep_put() - park a duplicate of @fd, instead of what was parked under these names before
 * @path:  of the device
 * @name:  the driver's word for this descriptor
 *
 * Return: 1 parked, 0 there is no manager that keeps descriptors: it is there for jmp_keep_exec() alone; -ENOMEM,
 * -EMFILE or what sending says.
 */
int jmp_keep_put(struct jmp_keep *keep, const char *path, const char *name, int fd);
/** jmp_keep_take() - what an earlier process parked; it also stays parked. Once for each. Return: a descriptor, now the
 * caller's, or -ENOENT, -ENOMEM. */
int jmp_keep_take(struct jmp_keep *keep, const char *path, const char *name);
/** jmp_keep_drop() - let go of what is parked for @path: under @name, or all of it when that is NULL */
void jmp_keep_drop(struct jmp_keep *keep, const char *path, const char *name);
/** jmp_keep_exec() - replace this process by @argv, which takes over what is parked as from a manager
 * @argv:  argv[0] is the path of the program
 * Return: negative errno; not at all on success. */
int jmp_keep_exec(struct jmp_keep *keep, char *const *argv);
/** jmp_keep_settle() - let go of what an earlier process parked and nobody has taken. Return: how many that were. */
unsigned jmp_keep_settle(struct jmp_keep *keep);
