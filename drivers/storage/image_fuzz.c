/* SPDX-License-Identifier: Apache-2.0 */
/* An image from anybody. The first byte chooses the size of the pieces, and whether the rest is a block map and then
 * the image for it, with its length in front. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/storage/image.h"

#define MEDIUM (64u * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct medium {
    uint64_t end;
};

/* What the writer relies on: ascending, inside the medium, something in it. */
static void note(struct medium *medium, uint64_t offset, uint64_t size)
{
    if (size == 0 || offset < medium->end || size > MEDIUM || offset > MEDIUM - size)
        abort();
    medium->end = offset + size;
}

static int on_data(uint64_t offset, const void *data, size_t size, void *user)
{
    note(user, offset, size);
    return 0;
}

static int on_fill(uint64_t offset, uint64_t size, uint32_t pattern, void *user)
{
    note(user, offset, size);
    return 0;
}

static void feed(enum jmp_image_kind kind, const struct jmp_bmap *map, const uint8_t *data, size_t size, size_t piece)
{
    _cleanup_(jmp_image_freep) struct jmp_image *image = NULL;
    struct medium medium = { .end = 0 };
    const struct jmp_image_sink sink = { .data = on_data, .fill = on_fill, .user = &medium };

    if (jmp_image_new(kind, map, MEDIUM, &sink, &image) < 0)
        return;
    for (size_t at = 0; at < size; at += piece)
        if (jmp_image_push(image, data + at, size - at < piece ? size - at : piece, NULL) < 0)
            return;
    jmp_image_finish(image, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(jmp_bmap_freep) struct jmp_bmap *map = NULL;
    const char *format = NULL;
    size_t piece, length;

    if (size < 3)
        return 0;
    piece = 1 + (data[0] & 0x7f);
    if (!(data[0] & 0x80)) {
        enum jmp_image_kind kind = jmp_image_kind_of(data + 1, size - 1, &format);

        if (kind == JMP_IMAGE_RAW || kind == JMP_IMAGE_ANDROID)
            feed(kind, NULL, data + 1, size - 1, piece);
        return 0;
    }
    length = (size_t)data[1] | (size_t)data[2] << 8;
    if (length > size - 3)
        length = size - 3;
    if (jmp_bmap_parse((const char *)data + 3, length, &map, NULL) == 0)
        feed(JMP_IMAGE_RAW, map, data + 3 + length, size - 3 - length, piece);
    return 0;
}
