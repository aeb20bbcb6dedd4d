/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/coder.h"

#include <string.h>

#include "agent/coder_format.h"

#define CODER_BUFFER (256u * 1024)   /* bytes; each full one wakes whoever takes it */

static const struct coder_format *const formats[] = { &coder_gzip, &coder_xz, &coder_bz2, &coder_zstd };

struct jmp_coder {
    const struct coder_format *format;
    void *state;
    bool compress;
    bool between;      /* decoder: at the end of a member */
    uint64_t taken;    /* bytes of input, for messages */
    uint8_t out[CODER_BUFFER];
};

static const struct coder_format *find_format(const char *encoding)
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
    const struct coder_format *format = find_format(encoding);
    struct jmp_coder *coder;
    int r;

    if (!format)
        return -EINVAL;
    coder = calloc(1, sizeof(*coder));
    if (!coder)
        return -ENOMEM;
    coder->format = format;
    coder->compress = compress;
    r = format->open(compress, &coder->state);
    if (r < 0) {
        free(coder);
        return r;
    }
    *ret = coder;
    return 0;
}

struct jmp_coder *jmp_coder_free(struct jmp_coder *coder)
{
    if (!coder)
        return NULL;
    coder->format->close(coder->state);
    free(coder);
    return NULL;
}

static int describe(const struct jmp_coder *coder, int error, struct jmp_error *reterr)
{
    const char *name = coder->format->name;
    unsigned long long at = coder->taken;

    switch (error) {
    case -EBADMSG:
        return jmp_error_set(reterr, error, "the %s data is damaged, or is not %s at all, near byte %llu", name, name,
                             at);
    case -E2BIG:
        return jmp_error_set(reterr, error, "the %s data asks for more than %u MiB of memory", name,
                             JMP_CODER_MEMORY_MAX / (1024 * 1024));
    default:
        return jmp_error_set(reterr, error, "%s: %m", name);
    }
}

static int flush(struct jmp_coder *coder, const struct coder_io *io, jmp_coder_sink *sink, void *user)
{
    size_t size = sizeof(coder->out) - io->out_left;

    return size > 0 ? sink(coder->out, size, user) : 0;
}

static int step(struct jmp_coder *coder, struct coder_io *io, bool finish)
{
    size_t before = io->in_left;
    int r;

    io->out = coder->out;
    io->out_left = sizeof(coder->out);
    if (coder->compress)
        r = coder->format->encode(coder->state, io, finish);
    else
        r = coder->format->decode(coder->state, io);
    coder->taken += before - io->in_left;
    return r;
}

/* Between members: skips padding, starts the next. Return: 1 when there is a member to decode. */
static int next_member(struct jmp_coder *coder, struct coder_io *io)
{
    int r;

    while (coder->format->padded && coder->taken > 0 && io->in_left > 0 && *io->in == 0) {
        io->in++;
        io->in_left--;
        coder->taken++;
    }
    if (io->in_left == 0)
        return 0;
    r = coder->format->restart(coder->state);
    if (r < 0)
        return r;
    coder->between = false;
    return 1;
}

int jmp_coder_push(struct jmp_coder *coder, const void *data, size_t size, jmp_coder_sink *sink, void *user,
                   struct jmp_error *reterr)
{
    struct coder_io io = { .in = data, .in_left = size };
    int r;

    if (size == 0)
        return 0;
    do {
        size_t before = io.in_left;

        if (coder->between) {
            r = next_member(coder, &io);
            if (r < 0)
                return describe(coder, r, reterr);
            if (r == 0)
                return 0;
        }
        r = step(coder, &io, false);
        if (r < 0)
            return describe(coder, r, reterr);
        if (r == 1)
            coder->between = true;
        else if (io.in_left == before && io.in_left > 0 && io.out_left == sizeof(coder->out))
            return describe(coder, -EBADMSG, reterr);   /* it will never take the rest */
        r = flush(coder, &io, sink, user);
        if (r < 0)
            return r;
    } while (io.in_left > 0 || io.out_left == 0);
    return 0;
}

int jmp_coder_finish(struct jmp_coder *coder, jmp_coder_sink *sink, void *user, struct jmp_error *reterr)
{
    struct coder_io io = { .in = (const uint8_t *)"" };   /* arithmetic on a null pointer is undefined, also with 0 */
    bool ended;
    int r;

    if (!coder->compress) {
        if (coder->between)
            return 0;
        return jmp_error_set(reterr, -EBADMSG, "the %s data ends too early, after %llu bytes", coder->format->name,
                             (unsigned long long)coder->taken);
    }
    do {
        r = step(coder, &io, true);
        if (r < 0)
            return describe(coder, r, reterr);
        ended = r == 1;
        r = flush(coder, &io, sink, user);
        if (r < 0)
            return r;
    } while (!ended);
    return 0;
}
