/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "agent/coder_format.h"

#define GZIP_WINDOW (15 + 16)   /* 32 KiB, with the header of gzip and no other */

struct gzip {
    z_stream z;
    bool compress;
};

static int gzip_open(bool compress, void **ret)
{
    struct gzip *gzip = calloc(1, sizeof(*gzip));
    int r;

    if (!gzip)
        return -ENOMEM;
    gzip->compress = compress;
    r = compress ? deflateInit2(&gzip->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY)
                 : inflateInit2(&gzip->z, GZIP_WINDOW);
    if (r != Z_OK) {
        free(gzip);
        return -ENOMEM;
    }
    *ret = gzip;
    return 0;
}

static void gzip_load(struct gzip *gzip, const struct coder_io *io)
{
    gzip->z.next_in = (Bytef *)(uintptr_t)io->in;
    gzip->z.avail_in = io->in_left > UINT_MAX ? UINT_MAX : (uInt)io->in_left;
    gzip->z.next_out = io->out;
    gzip->z.avail_out = io->out_left > UINT_MAX ? UINT_MAX : (uInt)io->out_left;
}

static void gzip_store(const struct gzip *gzip, struct coder_io *io)
{
    if (io->in)
        io->in_left -= (size_t)(gzip->z.next_in - io->in);
    io->in = gzip->z.next_in;
    io->out_left -= (size_t)(gzip->z.next_out - io->out);
    io->out = gzip->z.next_out;
}

static int gzip_encode(void *state, struct coder_io *io, bool finish)
{
    struct gzip *gzip = state;
    int r;

    gzip_load(gzip, io);
    r = deflate(&gzip->z, finish ? Z_FINISH : Z_NO_FLUSH);
    gzip_store(gzip, io);
    if (r == Z_STREAM_END)
        return 1;
    return r == Z_OK || r == Z_BUF_ERROR ? 0 : -EINVAL;
}

static int gzip_decode(void *state, struct coder_io *io)
{
    struct gzip *gzip = state;
    int r;

    gzip_load(gzip, io);
    r = inflate(&gzip->z, Z_NO_FLUSH);
    gzip_store(gzip, io);
    switch (r) {
    case Z_STREAM_END: return 1;
    case Z_OK:
    case Z_BUF_ERROR: return 0;
    case Z_MEM_ERROR: return -ENOMEM;
    default: return -EBADMSG;
    }
}

static int gzip_restart(void *state) { return inflateReset(&((struct gzip *)state)->z) == Z_OK ? 0 : -EINVAL; }

static void gzip_close(void *state)
{
    struct gzip *gzip = state;

    if (gzip->compress)
        deflateEnd(&gzip->z);
    else
        inflateEnd(&gzip->z);
    free(gzip);
}

const struct coder_format coder_gzip = {
    .name = "gzip", .padded = true, .open = gzip_open, .encode = gzip_encode, .decode = gzip_decode,
    .restart = gzip_restart, .close = gzip_close,
};
