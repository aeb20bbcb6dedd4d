/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed files, in pieces: gzip, xz, bz2 and zstd, both ways. What is compressed may come from anybody, so memory
 * is limited and an end that comes too early is an error. Knows nothing of descriptors and threads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define JMP_CODER_MEMORY_MAX (128u * 1024 * 1024) /* what a decoder may take: "xz -9" needs 65 MiB, "zstd --long" 128 */

struct jmp_coder;

/** Takes @size > 0 bytes of output. Return: 0, or negative errno, which ends the work and is handed through. */
typedef int jmp_coder_sink(const void *data, size_t size, void *user);

bool jmp_coder_known(const char *encoding);
const char *jmp_coder_names(void);   /* "gzip, xz, bz2, zstd" */

/** jmp_coder_new() - Return: 0, -EINVAL for an unknown @encoding, -ENOMEM */
int jmp_coder_new(const char *encoding, bool compress, struct jmp_coder **ret);
struct jmp_coder *jmp_coder_free(struct jmp_coder *coder);
JMP_DEFINE_CLEANUP(struct jmp_coder *, jmp_coder_free)

/**
 * jmp_coder_push() - the next bytes of input, cut anywhere
 *
 * Members, streams and frames may follow one another, with zero bytes between them where the format allows it.
 *
 * Return: 0, -EBADMSG (not of this format, damaged), -E2BIG (needs too much memory), -ENOMEM, or what @sink said.
 */
int jmp_coder_push(struct jmp_coder *coder, const void *data, size_t size, jmp_coder_sink *sink, void *user,
                   struct jmp_error *reterr);
/** jmp_coder_finish() - the input is complete. Return: 0, -EBADMSG when it cannot be, or as above. */
int jmp_coder_finish(struct jmp_coder *coder, jmp_coder_sink *sink, void *user, struct jmp_error *reterr);
