/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/image.h"

#include <ctype.h>
#include <endian.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "base/packed.h"

#define ANDROID_MAGIC 0xed26ff3au
#define ANDROID_BLOCK_MAX (16u * 1024 * 1024)
#define HEADER_MAX 256u /* of the file's and of a chunk's header: later versions may have longer ones */

enum state { FILE_HEADER, CHUNK_HEADER, CHUNK_DATA, CHUNK_FILL, CHUNK_CRC, DONE };
enum { CHUNK_RAW = 0xcac1, CHUNK_FILLED = 0xcac2, CHUNK_SKIPPED = 0xcac3, CHUNK_CHECKSUM = 0xcac4 };

struct jmp_image {
    enum jmp_image_kind kind;
    const struct jmp_bmap *map;
    uint64_t capacity;
    struct jmp_image_sink sink;
    uint64_t offset; /* on the medium */
    /* a block map */
    size_t range;   /* the first whose end has not been passed */
    EVP_MD_CTX *md; /* of that range, NULL: not summed, or not begun */
    /* Android */
    enum state state;
    uint8_t header[HEADER_MAX];
    size_t have, want; /* bytes of the header */
    uint32_t block_size, blocks, chunks, chunk, taken, chunk_header;
    uint64_t left; /* bytes of the chunk's data; FILL: bytes on the medium */
};

/* What servers send instead of a file, with a status that says that all is well. */
static bool is_web_page(const char *text, size_t size)
{
    static const char *const begins[] = { "<!doctype html", "<html" };

    while (size > 0 && isspace((unsigned char)*text)) {
        text++;
        size--;
    }
    for (size_t i = 0; i < ELEMENTSOF(begins); i++)
        if (size >= strlen(begins[i]) && strncasecmp(text, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

enum jmp_image_kind jmp_image_kind_of(const void *data, size_t size, const char **retformat)
{
    /* What people take for an image, or are sent instead of one. */
    static const struct {
        const char *what;
        size_t length;
        const char *begin;
    } foreign[] = {
        { "a zip archive", 4, "PK\x03\x04" },
        { "a 7z archive", 6, "7z\xbc\xaf\x27\x1c" },
        { "a rar archive", 6, "Rar!\x1a\x07" },
        { "compressed by lz4", 4, "\x04\x22\x4d\x18" },
        { "compressed by lzip", 4, "LZIP" },
        { "a virtual disk (qcow2)", 4, "QFI\xfb" },
        { "a virtual disk (vmdk)", 4, "KDMV" },
        { "a virtual disk (vhdx)", 8, "vhdxfile" },
        { "firmware for a microcontroller (UF2)", 8, "UF2\n\x57\x51\x5d\x9e" },
        { "a pointer of Git LFS, not the file itself", 19, "version https://git" },
    };
    uint32_t magic = 0;

    memcpy(&magic, data, size < sizeof(magic) ? size : sizeof(magic));
    if (le32toh(magic) == ANDROID_MAGIC)
        return JMP_IMAGE_ANDROID;
    if (jmp_bmap_is(data, size))
        return JMP_IMAGE_BMAP;
    *retformat = jmp_packed_format(data, size);
    if (*retformat)
        return JMP_IMAGE_PACKED;
    for (size_t i = 0; i < ELEMENTSOF(foreign); i++) {
        if (size < foreign[i].length || memcmp(data, foreign[i].begin, foreign[i].length) != 0)
            continue;
        *retformat = foreign[i].what;
        return JMP_IMAGE_FOREIGN;
    }
    if (is_web_page(data, size)) {
        *retformat = "a web page; does its address need a login?";
        return JMP_IMAGE_FOREIGN;
    }
    return JMP_IMAGE_RAW;
}

int jmp_image_new(enum jmp_image_kind kind, const struct jmp_bmap *map, uint64_t capacity,
                  const struct jmp_image_sink *sink, struct jmp_image **ret)
{
    struct jmp_image *image = calloc(1, sizeof(*image));

    if (!image)
        return -ENOMEM;
    image->kind = kind;
    image->map = map;
    image->capacity = capacity;
    image->sink = *sink;
    image->want = 28;
    *ret = image;
    return 0;
}

struct jmp_image *jmp_image_free(struct jmp_image *image)
{
    if (!image)
        return NULL;
    EVP_MD_CTX_free(image->md);
    free(image);
    return NULL;
}

uint64_t jmp_image_span(const struct jmp_image *image)
{
    return image->offset;
}

static int too_large(const struct jmp_image *image, struct jmp_error *reterr)
{
    return jmp_error_set(reterr, -ENOSPC, "the image is larger than the medium, which has %llu bytes",
                         (unsigned long long)image->capacity);
}

/* A range of the map has ended: is it what the map says? */
static int range_end(struct jmp_image *image, const struct jmp_bmap_range *range, struct jmp_error *reterr)
{
    uint8_t found[EVP_MAX_MD_SIZE];
    bool good;

    if (!image->md)
        return 0;
    good = EVP_DigestFinal_ex(image->md, found, NULL) && memcmp(found, range->sum, JMP_SHA256_SIZE) == 0;
    EVP_MD_CTX_free(image->md);
    image->md = NULL;
    if (good)
        return 0;
    return jmp_error_set(reterr, -EBADMSG,
                         "the image is not the one of the block map: bytes %llu to %llu have another checksum",
                         (unsigned long long)range->start, (unsigned long long)range->end - 1);
}

static int range_data(struct jmp_image *image, const struct jmp_bmap_range *range, const void *data, size_t size)
{
    if (range->summed && !image->md && image->offset == range->start) {
        image->md = EVP_MD_CTX_new();
        if (!image->md || !EVP_DigestInit_ex(image->md, EVP_sha256(), NULL))
            return -ENOMEM;
    }
    if (image->md && !EVP_DigestUpdate(image->md, data, size))
        return -ENOMEM;
    return image->sink.data(image->offset, data, size, image->sink.user);
}

static int push_mapped(struct jmp_image *image, const uint8_t *data, size_t size, struct jmp_error *reterr)
{
    const struct jmp_bmap *map = image->map;

    if (size > map->image_size - image->offset)
        return jmp_error_set(reterr, -EBADMSG, "the image is longer than the %llu bytes of its block map",
                             (unsigned long long)map->image_size);
    while (size > 0) {
        const struct jmp_bmap_range *range = image->range < map->count ? &map->ranges[image->range] : NULL;
        bool inside = range && image->offset >= range->start;
        uint64_t end = !range ? map->image_size : inside ? range->end : range->start;
        size_t n = end - image->offset < size ? (size_t)(end - image->offset) : size;
        int r;

        if (inside) {
            r = range_data(image, range, data, n);
            if (r < 0)
                return r;
        }
        image->offset += n;
        data += n;
        size -= n;
        if (!range || image->offset < (range->end < map->image_size ? range->end : map->image_size))
            continue;
        r = range_end(image, range, reterr);
        if (r < 0)
            return r;
        image->range++;
    }
    return 0;
}

static int push_raw(struct jmp_image *image, const void *data, size_t size, struct jmp_error *reterr)
{
    int r;

    if (size > image->capacity - image->offset)
        return too_large(image, reterr);
    r = image->sink.data(image->offset, data, size, image->sink.user);
    if (r == 0)
        image->offset += size;
    return r;
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static int malformed(const struct jmp_image *image, struct jmp_error *reterr, const char *what)
{
    return jmp_error_set(reterr, -EBADMSG, "the sparse image is damaged: %s (chunk %u of %u)", what, image->chunk,
                         image->chunks);
}

static void next_chunk(struct jmp_image *image)
{
    image->have = 0;
    image->want = image->chunk_header;
    image->state = image->chunk < image->chunks ? CHUNK_HEADER : DONE;
}

static int file_header(struct jmp_image *image, struct jmp_error *reterr)
{
    const uint8_t *at = image->header;
    uint32_t size = get16(at + 8);

    if (get16(at + 4) != 1)
        return malformed(image, reterr, "its version is not 1");
    if (size < 28 || size > HEADER_MAX || get16(at + 10) < 12 || get16(at + 10) > HEADER_MAX)
        return malformed(image, reterr, "a header has an impossible size");
    if (size > image->want) {
        image->want = size; /* the rest of it means nothing to us */
        return 0;
    }
    image->chunk_header = get16(at + 10);
    image->block_size = get32(at + 12);
    image->blocks = get32(at + 16);
    image->chunks = get32(at + 20);
    if (image->block_size < 512 || image->block_size > ANDROID_BLOCK_MAX || image->block_size % 4)
        return malformed(image, reterr, "its blocks have an impossible size");
    if ((uint64_t)image->blocks * image->block_size > image->capacity)
        return too_large(image, reterr);
    next_chunk(image);
    return 0;
}

static int chunk_header(struct jmp_image *image, struct jmp_error *reterr)
{
    const uint8_t *at = image->header;
    uint32_t type = get16(at), blocks = get32(at + 4), total = get32(at + 8);
    uint64_t bytes = (uint64_t)blocks * image->block_size;

    image->chunk++;
    if (total < image->chunk_header)
        return malformed(image, reterr, "a chunk is shorter than its header");
    if (blocks > image->blocks - image->taken)
        return malformed(image, reterr, "there are more blocks than it has");
    image->left = total - image->chunk_header;
    image->have = 0;
    image->want = 4;
    switch (type) {
    case CHUNK_RAW:
        if (image->left != bytes)
            return malformed(image, reterr, "a chunk of data has another size than its blocks");
        image->state = CHUNK_DATA;
        break;
    case CHUNK_FILLED:
        if (image->left != 4)
            return malformed(image, reterr, "a pattern does not have four bytes");
        image->left = bytes;
        image->state = CHUNK_FILL;
        break;
    case CHUNK_SKIPPED:
        if (image->left != 0)
            return malformed(image, reterr, "a chunk without data has some");
        image->offset += bytes;
        next_chunk(image);
        break;
    case CHUNK_CHECKSUM:
        if (image->left != 4 || blocks != 0)
            return malformed(image, reterr, "a checksum does not have four bytes");
        image->state = CHUNK_CRC;
        break;
    default:
        return malformed(image, reterr, "a chunk is of no known type");
    }
    image->taken += blocks;
    if (image->state == CHUNK_DATA && image->left == 0)
        next_chunk(image);
    return 0;
}

static int header_complete(struct jmp_image *image, struct jmp_error *reterr)
{
    int r = 0;

    switch (image->state) {
    case FILE_HEADER:
        return file_header(image, reterr);
    case CHUNK_HEADER:
        return chunk_header(image, reterr);
    case CHUNK_FILL:
        if (image->left > 0)
            r = image->sink.fill(image->offset, image->left, get32(image->header), image->sink.user);
        image->offset += image->left;
        break;
    default:
        break; /* of all data, skipped parts included: what was written is read back by who wants to know */
    }
    next_chunk(image);
    return r;
}

static int push_android(struct jmp_image *image, const uint8_t *data, size_t size, struct jmp_error *reterr)
{
    while (size > 0) {
        size_t n;
        int r;

        if (image->state == DONE)
            return malformed(image, reterr, "something follows its end");
        if (image->state == CHUNK_DATA) {
            n = image->left < size ? (size_t)image->left : size;
            r = image->sink.data(image->offset, data, n, image->sink.user);
            if (r < 0)
                return r;
            image->offset += n;
            image->left -= n;
            if (image->left == 0)
                next_chunk(image);
        } else {
            n = image->want - image->have < size ? image->want - image->have : size;
            memcpy(image->header + image->have, data, n);
            image->have += n;
            r = image->have == image->want ? header_complete(image, reterr) : 0;
            if (r < 0)
                return r;
        }
        data += n;
        size -= n;
    }
    return 0;
}

int jmp_image_push(struct jmp_image *image, const void *data, size_t size, struct jmp_error *reterr)
{
    if (image->kind == JMP_IMAGE_ANDROID)
        return push_android(image, data, size, reterr);
    if (!image->map)
        return push_raw(image, data, size, reterr);
    if (image->map->image_size > image->capacity)
        return too_large(image, reterr);
    return push_mapped(image, data, size, reterr);
}

int jmp_image_finish(struct jmp_image *image, struct jmp_error *reterr)
{
    if (image->kind == JMP_IMAGE_ANDROID) {
        if (image->state != DONE)
            return malformed(image, reterr, "it ends too early");
        return image->taken == image->blocks ? 0 : malformed(image, reterr, "it has fewer blocks than it should");
    }
    if (image->map && image->offset != image->map->image_size)
        return jmp_error_set(reterr, -EBADMSG, "the image ends after %llu bytes, its block map wants %llu",
                             (unsigned long long)image->offset, (unsigned long long)image->map->image_size);
    return 0;
}
