/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose disk is this? Nothing is written to a device that this machine uses: one that is mounted, swapped to, part of
 * a RAID or a volume group, or on the disk that the system runs from. Asked of /proc and /sys, which may be copies,
 * for tests.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/**
 * jmp_guard_check() - may the block device @device be written?
 * @root:  directory that stands for /, "" for the real one
 *
 * Looks at the device, the disk that it is a partition of and that disk's partitions, at what stands on them (device
 * mapper, md) and at what those carry.
 *
 * Return: 0, -EBUSY (used: mounted, swap, held by another device), -EPERM (on the system's disk), with words; -ENOENT
 * and the like when the kernel does not say.
 */
int jmp_guard_check(const char *root, dev_t device, struct jmp_error *reterr);
