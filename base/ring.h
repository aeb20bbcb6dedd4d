/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte ring with one writer and any number of readers, each at its own position. The writer never waits: a reader
 * that falls behind by more than the ring is moved forward and told how many bytes it lost. Not thread-safe: one
 * loop owns it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct jmp_ring;

/** jmp_ring_new() - @size bytes, rounded up to a power of two, 4 KiB to 64 MiB; allocated on first use */
int jmp_ring_new(size_t size, struct jmp_ring **ret);
struct jmp_ring *jmp_ring_free(struct jmp_ring *ring);
JMP_DEFINE_CLEANUP(struct jmp_ring *, jmp_ring_free)

/** jmp_ring_push() - append; the oldest bytes go */
void jmp_ring_push(struct jmp_ring *ring, const void *data, size_t length);
uint64_t jmp_ring_head(const struct jmp_ring *ring);   /* position after the newest byte; starts at 0, only grows */
uint64_t jmp_ring_tail(const struct jmp_ring *ring);   /* position of the oldest byte kept */

/**
 * jmp_ring_peek() - the bytes at a reader's position, without copying
 * @position:  in: where the reader is; moved forward when those bytes are gone
 * @retdata:   valid until the next push
 * @retlost:   bytes skipped by that move, 0 otherwise
 *
 * Return: number of contiguous bytes at @retdata; 0: the reader is up to date.
 */
size_t jmp_ring_peek(const struct jmp_ring *ring, uint64_t *position, const void **retdata, uint64_t *retlost);
