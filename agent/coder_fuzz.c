/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses the format and the size of the pieces, the rest is what a client calls compressed. */
#include <stdint.h>

#include "agent/coder.h"

#define OUTPUT_MAX (4u * 1024 * 1024)   /* a bomb is not the decoder's fault */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(const void *bytes, size_t size, void *user)
{
    size_t *total = user;

    *total += size;
    return *total > OUTPUT_MAX ? -EFBIG : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const encodings[] = { "gzip", "xz", "bz2", "zstd" };
    _cleanup_(jmp_coder_freep) struct jmp_coder *coder = NULL;
    size_t total = 0, piece;

    if (size < 1)
        return 0;
    if (jmp_coder_new(encodings[data[0] & 3], false, &coder) < 0)
        return 0;
    piece = 1 + (data[0] >> 2);
    for (size_t at = 1; at < size; at += piece)
        if (jmp_coder_push(coder, data + at, size - at < piece ? size - at : piece, count, &total, NULL) < 0)
            return 0;
    jmp_coder_finish(coder, count, &total, NULL);
    return 0;
}
