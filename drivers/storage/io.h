/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that reads or writes one descriptor while its owner fetches or sends bytes: a few buffers in a ring, worked
 * on in order. A device that hangs hangs this thread alone; whoever waits for it has a limit and can be cancelled.
 */
#pragma once

#include "drivers/driver.h"

#define JMP_IO_BUFFER (2u * 1024 * 1024) /* bytes; aligned for direct access */
#define JMP_IO_BUFFERS 4u

enum jmp_io_op { JMP_IO_WRITE, JMP_IO_ZERO, JMP_IO_READ, JMP_IO_SYNC };

struct jmp_io_buffer {
    enum jmp_io_op op;
    uint64_t offset;
    size_t size;   /* READ: how much is wanted, then how much came */
    uint8_t *data; /* JMP_IO_BUFFER bytes; ZERO: zeros, for a device that knows no shorter way */
};

struct jmp_disk_io;

/**
 * jmp_disk_io_new() - start the thread
 * @fd:     taken, also on failure; opened with O_DIRECT if @align is not 0
 * @align:  offsets and sizes of direct access, in bytes; 0: through the page cache, of which little is kept dirty
 * @block:  a block device; otherwise a file
 */
int jmp_disk_io_new(int fd, size_t align, bool block, struct jmp_disk_io **ret);

/** jmp_disk_io_free() - waits up to 5 s for what is under way; after that the thread ends by itself, some day, and
 * closes the descriptor. Always NULL; accepts NULL. */
struct jmp_disk_io *jmp_disk_io_free(struct jmp_disk_io *io);
JMP_DEFINE_CLEANUP(struct jmp_disk_io *, jmp_disk_io_free)

/**
 * jmp_disk_io_get() - a buffer to fill
 * @stall:  microseconds within which the device has to free one
 *
 * Return: 0, -ETIMEDOUT, -ECANCELED, or the error of an earlier request, after which nothing more is done.
 */
int jmp_disk_io_get(struct jmp_disk_io *io, struct jmp_call *call, uint64_t stall, struct jmp_io_buffer **ret);
/** jmp_disk_io_submit() - hand over the buffer that was got last */
void jmp_disk_io_submit(struct jmp_disk_io *io);
/** jmp_disk_io_take() - wait for the oldest request that was not taken: of reads, whose owner has to take each; valid
 * until the next call. Return: 1, 0 (none is under way), or as above. */
int jmp_disk_io_take(struct jmp_disk_io *io, struct jmp_call *call, uint64_t stall, const struct jmp_io_buffer **ret);
/** jmp_disk_io_drain() - wait until all is done. Return: 0 or as above. */
int jmp_disk_io_drain(struct jmp_disk_io *io, struct jmp_call *call, uint64_t stall);
/** jmp_disk_io_failed_at() - offset of the request that failed */
uint64_t jmp_disk_io_failed_at(struct jmp_disk_io *io);
