/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing of descriptors inside a call: blocking descriptors or not, cancel ends the wait. */
#pragma once

#include "drivers/driver.h"

/**
 * jmp_stream_read() - the next bytes
 * @stall:  longest wait for the first byte, in microseconds; JMP_USEC_INFINITY: until cancelled
 *
 * Return: bytes read, 0 at the end, -ETIMEDOUT, -ECANCELED, or what read() says. No sentence is set.
 */
int jmp_stream_read(struct jmp_call *call, int fd, void *data, size_t size, uint64_t stall);

/**
 * jmp_stream_write() - all of @data; a reader that has gone is -EPIPE, never a signal
 * @stall:  longest wait for progress, as above
 *
 * Return: 0, -ETIMEDOUT, -ECANCELED, -EPIPE, or what write() says. No sentence is set.
 */
int jmp_stream_write(struct jmp_call *call, int fd, const void *data, size_t size, uint64_t stall);
