/* SPDX-License-Identifier: Apache-2.0 */
/* One compressed format, as codec.c drives it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct codec_io {
    const uint8_t *in;
    size_t in_left;
    uint8_t *out;
    size_t out_left;
};

struct codec_format {
    const char *name;
    bool padded;      /* zero bytes may stand between and after members */
    /* A fresh encoder or decoder. Return: 0, -ENOMEM. */
    int (*open)(bool compress, void **ret);
    /* Go on; @finish: no more input will come. Return: 0, 1 at the end of a member or of all output, -EBADMSG, -E2BIG,
     * -ENOMEM. No progress is not an error. */
    int (*encode)(void *state, struct codec_io *io, bool finish);
    int (*decode)(void *state, struct codec_io *io);
    /* The decoder begins another member. */
    int (*restart)(void *state);
    void (*close)(void *state);
};

extern const struct codec_format codec_gzip, codec_xz, codec_bz2, codec_zstd;
