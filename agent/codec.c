/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/codec.h"

#include <string.h>

#include "agent/codec_format.h"

#define CODEC_BUFFER (64u * 1024)

static const struct codec_format *const formats[] = { &codec_gzip, &codec_xz, &codec_bz2, &codec_zstd };

struct jmp_coder {
    const struct codec_format *format;
    void *state;
    bool compress;
    bool between;      /* decoder: at the end of a member */
    uint64_t taken;    /* bytes of input, for messages */
    uint8_t out[CODEC_BUFFER];
};

static const struct codec_format *find_format(const char *encoding)
{
    for (size_t i = 0; i < ELEMENTSOF(formats); i++)
        if (strcmp(formats[i]->name, encoding) == 0)
            return formats[i];
    return NULL;
}

bool jmp_coder_known(const char *encoding) { return find_format(encoding); }
const char *jmp_coder_names(void) { return "gzip, xz, bz2, zstd"; }

int jmp_coder_new(const char *encoding, bool compress, struct jmp_coder **ret)
{
    const struct codec_format *format = find_format(encoding);
    struct jmp_coder *codec;
    int r;

    if (!format)
        return -EINVAL;
    codec = calloc(1, sizeof(*codec));
    if (!codec)
        return -ENOMEM;
    codec->format = format;
    codec->compress = compress;
    r = format->open(compress, &codec->state);
    if (r < 0) {
        free(codec);
        return r;
    }
    *ret = codec;
    return 0;
}

struct jmp_coder *jmp_coder_free(struct jmp_coder *codec)
{
    if (!codec)
        return NULL;
    codec->format->close(codec->state);
    free(codec);
    return NULL;
}

static int describe(const struct jmp_coder *codec, int error, struct jmp_error *reterr)
{
    const char *name = codec->format->name;
    unsigned long long at = codec->taken;

    switch (error) {
    case -EBADMSG:
        return jmp_error_set(reterr, error, "the %s data is damaged, or is not %s at all, near byte %llu", name, name, at);
    case -E2BIG:
        return jmp_error_set(reterr, error, "the %s data asks for more than %u MiB of memory", name,
                             JMP_CODEC_MEMORY_MAX / (1024 * 1024));
    default:
        return jmp_error_set(reterr, error, "%s: %m", name);
    }
}

static int flush(struct jmp_coder *codec, const struct codec_io *io, jmp_coder_sink *sink, void *user)
{
    size_t size = sizeof(codec->out) - io->out_left;

    return size > 0 ? sink(codec->out, size, user) : 0;
}

static int step(struct jmp_coder *codec, struct codec_io *io, bool finish)
{
    size_t before = io->in_left;
    int r;

    io->out = codec->out;
    io->out_left = sizeof(codec->out);
    if (codec->compress)
        r = codec->format->encode(codec->state, io, finish);
    else
        r = codec->format->decode(codec->state, io);
    codec->taken += before - io->in_left;
    return r;
}

/* Between members: skips padding, starts the next. Return: 1 when there is a member to decode. */
static int next_member(struct jmp_coder *codec, struct codec_io *io)
{
    int r;

    while (codec->format->padded && codec->taken > 0 && io->in_left > 0 && *io->in == 0) {
        io->in++;
        io->in_left--;
        codec->taken++;
    }
    if (io->in_left == 0)
        return 0;
    r = codec->format->restart(codec->state);
    if (r < 0)
        return r;
    codec->between = false;
    return 1;
}

int jmp_coder_push(struct jmp_coder *codec, const void *data, size_t size, jmp_coder_sink *sink, void *user,
                   struct jmp_error *reterr)
{
    struct codec_io io = { .in = data, .in_left = size };
    int r;

    if (size == 0)
        return 0;
    do {
        size_t before = io.in_left;

        if (codec->between) {
            r = next_member(codec, &io);
            if (r < 0)
                return describe(codec, r, reterr);
            if (r == 0)
                return 0;
        }
        r = step(codec, &io, false);
        if (r < 0)
            return describe(codec, r, reterr);
        if (r == 1)
            codec->between = true;
        else if (io.in_left == before && io.in_left > 0 && io.out_left == sizeof(codec->out))
            return describe(codec, -EBADMSG, reterr);   /* it will never take the rest */
        r = flush(codec, &io, sink, user);
        if (r < 0)
            return r;
    } while (io.in_left > 0 || io.out_left == 0);
    return 0;
}

int jmp_coder_finish(struct jmp_coder *codec, jmp_coder_sink *sink, void *user, struct jmp_error *reterr)
{
    struct codec_io io = { 0 };
    bool ended;
    int r;

    if (!codec->compress) {
        if (codec->between)
            return 0;
        return jmp_error_set(reterr, -EBADMSG, "the %s data ends too early, after %llu bytes", codec->format->name,
                             (unsigned long long)codec->taken);
    }
    do {
        r = step(codec, &io, true);
        if (r < 0)
            return describe(codec, r, reterr);
        ended = r == 1;
        r = flush(codec, &io, sink, user);
        if (r < 0)
            return r;
    } while (!ended);
    return 0;
}
