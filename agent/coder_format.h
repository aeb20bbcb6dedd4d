/* SPDX-License-Identifier: Apache-2.0 */
/* One compressed format, as coder.c drives it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct coder_io {
    const uint8_t *in;
    size_t in_left;
    uint8_t *out;
    size_t out_left;
};

struct coder_format {
    const char *name;
    bool padded;      /* zero bytes may stand between and after members */
    /* A fresh encoder or decoder. Return: 0, -ENOMEM. */
    int (*open)(bool compress, void **ret);
    /* Go on; @finish: no more input will come. Return: 0, 1 at the end of a member or of all output, -EBADMSG, -E2BIG,
     * -ENOMEM. No progress is not an error. */
    int (*encode)(void *state, struct coder_io *io, bool finish);
    int (*decode)(void *state, struct coder_io *io);
    /* The decoder begins another member. */
    int (*restart)(void *state);
    void (*close)(void *state);
};

extern const struct coder_format coder_gzip, coder_xz, coder_bz2, coder_zstd;
