/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <lzma.h>
#include <stdlib.h>

#include "agent/coder.h"
#include "agent/coder_format.h"

#define XZ_PRESET 3u   /* 32 MiB for the encoder; the usual 6 takes 94, which a small board does not have to spare */

struct xz {
    lzma_stream z;
    bool compress;
};

static int xz_start(struct xz *xz)
{
    lzma_ret r = xz->compress ? lzma_easy_encoder(&xz->z, XZ_PRESET, LZMA_CHECK_CRC64)
                              : lzma_stream_decoder(&xz->z, JMP_CODER_MEMORY_MAX, 0);

    return r == LZMA_OK ? 0 : -ENOMEM;
}

static int xz_open(bool compress, void **ret)
{
    struct xz *xz = calloc(1, sizeof(*xz));
    int r;

    if (!xz)
        return -ENOMEM;
    xz->z = (lzma_stream)LZMA_STREAM_INIT;
    xz->compress = compress;
    r = xz_start(xz);
    if (r < 0) {
        free(xz);
        return r;
    }
    *ret = xz;
    return 0;
}

static int xz_step(void *state, struct coder_io *io, lzma_action action)
{
    struct xz *xz = state;
    lzma_ret r;

    xz->z.next_in = io->in;
    xz->z.avail_in = io->in_left;
    xz->z.next_out = io->out;
    xz->z.avail_out = io->out_left;
    r = lzma_code(&xz->z, action);
    io->in = xz->z.next_in;
    io->in_left = xz->z.avail_in;
    io->out = xz->z.next_out;
    io->out_left = xz->z.avail_out;
    switch (r) {
    case LZMA_STREAM_END: return 1;
    case LZMA_OK:
    case LZMA_BUF_ERROR: return 0;   /* twice in a row without progress */
    case LZMA_MEM_ERROR: return -ENOMEM;
    case LZMA_MEMLIMIT_ERROR: return -E2BIG;
    default: return -EBADMSG;
    }
}

static int xz_encode(void *state, struct coder_io *io, bool finish)
{
    return xz_step(state, io, finish ? LZMA_FINISH : LZMA_RUN);
}
static int xz_decode(void *state, struct coder_io *io) { return xz_step(state, io, LZMA_RUN); }
static int xz_restart(void *state) { return xz_start(state); }

static void xz_close(void *state)
{
    struct xz *xz = state;

    lzma_end(&xz->z);
    free(xz);
}

const struct coder_format coder_xz = {
    .name = "xz", .padded = true, .open = xz_open, .encode = xz_encode, .decode = xz_decode,
    .restart = xz_restart, .close = xz_close,
};
