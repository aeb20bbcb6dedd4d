/* SPDX-License-Identifier: Apache-2.0 */
#include <bzlib.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "agent/coder_format.h"

#define BZ2_BLOCK 9   /* 900 kB, the format's and the tool's usual; 7.6 MB for the encoder, 3.7 for the decoder */

struct bz2 {
    bz_stream z;
    bool compress, open;
};

static int bz2_start(struct bz2 *bz2)
{
    int r;

    bz2->z = (bz_stream){ 0 };
    r = bz2->compress ? BZ2_bzCompressInit(&bz2->z, BZ2_BLOCK, 0, 0) : BZ2_bzDecompressInit(&bz2->z, 0, 0);
    bz2->open = r == BZ_OK;
    return bz2->open ? 0 : -ENOMEM;
}

static void bz2_stop(struct bz2 *bz2)
{
    if (bz2->open && bz2->compress)
        BZ2_bzCompressEnd(&bz2->z);
    else if (bz2->open)
        BZ2_bzDecompressEnd(&bz2->z);
    bz2->open = false;
}

static int bz2_open(bool compress, void **ret)
{
    struct bz2 *bz2 = calloc(1, sizeof(*bz2));
    int r;

    if (!bz2)
        return -ENOMEM;
    bz2->compress = compress;
    r = bz2_start(bz2);
    if (r < 0) {
        free(bz2);
        return r;
    }
    *ret = bz2;
    return 0;
}

static void bz2_load(struct bz2 *bz2, const struct coder_io *io)
{
    bz2->z.next_in = (char *)(uintptr_t)io->in;
    bz2->z.avail_in = io->in_left > UINT_MAX ? UINT_MAX : (unsigned)io->in_left;
    bz2->z.next_out = (char *)io->out;
    bz2->z.avail_out = io->out_left > UINT_MAX ? UINT_MAX : (unsigned)io->out_left;
}

static void bz2_store(const struct bz2 *bz2, struct coder_io *io)
{
    if (io->in)
        io->in_left -= (size_t)((const uint8_t *)bz2->z.next_in - io->in);
    io->in = (const uint8_t *)bz2->z.next_in;
    io->out_left -= (size_t)((uint8_t *)bz2->z.next_out - io->out);
    io->out = (uint8_t *)bz2->z.next_out;
}

static int bz2_encode(void *state, struct coder_io *io, bool finish)
{
    struct bz2 *bz2 = state;
    int r;

    if (!finish && io->in_left == 0)
        return 0;
    bz2_load(bz2, io);
    r = BZ2_bzCompress(&bz2->z, finish ? BZ_FINISH : BZ_RUN);
    bz2_store(bz2, io);
    if (r == BZ_STREAM_END)
        return 1;
    return r == BZ_RUN_OK || r == BZ_FINISH_OK ? 0 : -EINVAL;
}

static int bz2_decode(void *state, struct coder_io *io)
{
    struct bz2 *bz2 = state;
    int r;

    bz2_load(bz2, io);
    r = BZ2_bzDecompress(&bz2->z);
    bz2_store(bz2, io);
    switch (r) {
    case BZ_STREAM_END: return 1;
    case BZ_OK: return 0;
    case BZ_MEM_ERROR: return -ENOMEM;
    default: return -EBADMSG;
    }
}

static int bz2_restart(void *state)
{
    bz2_stop(state);
    return bz2_start(state);
}

static void bz2_close(void *state)
{
    bz2_stop(state);
    free(state);
}

const struct coder_format coder_bz2 = {
    .name = "bz2",
    .open = bz2_open,
    .encode = bz2_encode,
    .decode = bz2_decode,
    .restart = bz2_restart,
    .close = bz2_close,
};
