/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "agent/coder_format.h"

#define ZSTD_WINDOW_LOG_MAX 27   /* 128 MiB, the tool's own limit */

struct zstd {
    ZSTD_CCtx *encoder;
    ZSTD_DCtx *decoder;
};

static void zstd_close(void *state)
{
    struct zstd *zstd = state;

    ZSTD_freeCCtx(zstd->encoder);
    ZSTD_freeDCtx(zstd->decoder);
    free(zstd);
}

static int zstd_open(bool compress, void **ret)
{
    struct zstd *zstd = calloc(1, sizeof(*zstd));
    bool ready;

    if (!zstd)
        return -ENOMEM;
    if (compress) {
        zstd->encoder = ZSTD_createCCtx();
        ready = zstd->encoder && !ZSTD_isError(ZSTD_CCtx_setParameter(zstd->encoder, ZSTD_c_checksumFlag, 1));
    } else {
        zstd->decoder = ZSTD_createDCtx();
        ready = zstd->decoder &&
                !ZSTD_isError(ZSTD_DCtx_setParameter(zstd->decoder, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX));
    }
    if (!ready) {
        zstd_close(zstd);
        return -ENOMEM;
    }
    *ret = zstd;
    return 0;
}

static int zstd_result(size_t r)
{
    if (!ZSTD_isError(r))
        return r == 0;
    switch (ZSTD_getErrorCode(r)) {
    case ZSTD_error_memory_allocation: return -ENOMEM;
    case ZSTD_error_frameParameter_windowTooLarge: return -E2BIG;
    default: return -EBADMSG;
    }
}

static int zstd_encode(void *state, struct coder_io *io, bool finish)
{
    struct zstd *zstd = state;
    ZSTD_inBuffer in = { io->in, io->in_left, 0 };
    ZSTD_outBuffer out = { io->out, io->out_left, 0 };
    size_t r = ZSTD_compressStream2(zstd->encoder, &out, &in, finish ? ZSTD_e_end : ZSTD_e_continue);

    io->in += in.pos;
    io->in_left -= in.pos;
    io->out += out.pos;
    io->out_left -= out.pos;
    if (!finish)
        return ZSTD_isError(r) ? zstd_result(r) : 0;
    return zstd_result(r);
}

static int zstd_decode(void *state, struct coder_io *io)
{
    struct zstd *zstd = state;
    ZSTD_inBuffer in = { io->in, io->in_left, 0 };
    ZSTD_outBuffer out = { io->out, io->out_left, 0 };
    size_t r = ZSTD_decompressStream(zstd->decoder, &out, &in);

    io->in += in.pos;
    io->in_left -= in.pos;
    io->out += out.pos;
    io->out_left -= out.pos;
    return zstd_result(r);
}

/* A decoder at the end of a frame goes on with the next by itself. */
static int zstd_restart(void *state)
{
    struct zstd *zstd = state;

    return ZSTD_isError(ZSTD_DCtx_reset(zstd->decoder, ZSTD_reset_session_only)) ? -EINVAL : 0;
}

const struct coder_format coder_zstd = {
    .name = "zstd",
    .open = zstd_open,
    .encode = zstd_encode,
    .decode = zstd_decode,
    .restart = zstd_restart,
    .close = zstd_close,
};
