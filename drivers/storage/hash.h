/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SHA-256 of a stream, on a thread of its own: it costs more than all else that is done to a byte of an image. Who
 * has a piece of the stream lends it, works on it too, and has its memory back when the thread has seen it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define JMP_HASH_PIECE (256u * 1024) /* bytes, at most, of a piece */
#define JMP_HASH_PIECES 4u           /* lent at a time */

struct jmp_hash;

/** jmp_hash_new() - start the thread. Return: 0, -ENOMEM, -EAGAIN. */
int jmp_hash_new(struct jmp_hash **ret);
/** jmp_hash_free() - always NULL; accepts NULL */
struct jmp_hash *jmp_hash_free(struct jmp_hash *hash);
JMP_DEFINE_CLEANUP(struct jmp_hash *, jmp_hash_free)

/** jmp_hash_room() - memory for the next piece, JMP_HASH_PIECE bytes, for who has none of its own; waits, for
 * milliseconds, until the thread is done with what was in it */
uint8_t *jmp_hash_room(struct jmp_hash *hash);
/** jmp_hash_add() - the next bytes of the stream
 * @data:  lent until JMP_HASH_PIECES more have been added, or the sum is finished, or the hash freed: till then it may
 *         be read, not changed. Of the memory that was asked for last it may be looked at until the next is asked for.
 *
 * Waits, for milliseconds, while so many are lent. */
void jmp_hash_add(struct jmp_hash *hash, const uint8_t *data, size_t size);
/** jmp_hash_finish() - the sum of all, once. Return: 0, -ENOMEM. */
int jmp_hash_finish(struct jmp_hash *hash, uint8_t sum[32]);
