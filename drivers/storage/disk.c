/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/disk.h"

#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/limits.h"
#include "drivers/storage/hash.h"
#include "drivers/storage/image.h"
#include "drivers/storage/io.h"
#include "drivers/storage/medium.h"
#include "drivers/stream.h"

#define IMAGE_STALL (300 * JMP_USEC_PER_SEC)  /* an image that does not move for so long is given up */
#define DEVICE_STALL (120 * JMP_USEC_PER_SEC) /* and so is a device */
#define TELL_INTERVAL (5 * JMP_USEC_PER_SEC)
#define PIECES_MAX (256u * 1024) /* of an image that leaves parts of the medium alone */
#define MIB (1024.0 * 1024.0)

struct piece {
    uint64_t start, end;
};

struct flash {
    struct jmp_call *call;
    const char *path;
    struct jmp_disk *disk;
    struct jmp_medium medium;
    struct jmp_disk_io *io;
    struct jmp_io_buffer *buffer; /* being filled; NULL: none */
    struct jmp_image *image;
    struct jmp_hash *received; /* the image as it came */
    bool straight;             /* it goes to the medium as it comes */
    EVP_MD_CTX *written;       /* what went to the medium, in order; only to be compared, NULL: the image as it came */
    struct piece *pieces;      /* where; only to be compared */
    size_t n_pieces, pieces_capacity;
    uint64_t announced; /* bytes that the image is said to have; 0: not said */
    uint64_t begun, told, total;
    char *map_text; /* a block map instead of an image */
    size_t map_size;
};

static uint64_t seconds(double value)
{
    return (uint64_t)(value * (double)JMP_USEC_PER_SEC);
}

static void flash_clear(struct flash *flash)
{
    flash->received = jmp_hash_free(flash->received); /* first, for it looks at buffers of io */
    flash->io = jmp_disk_io_free(flash->io);
    jmp_close(flash->medium.fd);
    flash->image = jmp_image_free(flash->image);
    EVP_MD_CTX_free(flash->written);
    free(flash->pieces);
    free(flash->map_text);
}

static int digest_new(EVP_MD_CTX **ret)
{
    *ret = EVP_MD_CTX_new();
    return *ret && EVP_DigestInit_ex(*ret, EVP_sha256(), NULL) ? 0 : -ENOMEM;
}

static int digest_end(EVP_MD_CTX *md, uint8_t sum[EVP_MAX_MD_SIZE])
{
    return EVP_DigestFinal_ex(md, sum, NULL) ? 0 : -ENOMEM;
}

static double rate(const struct flash *flash, uint64_t bytes)
{
    uint64_t took = jmp_now() - flash->begun;

    return took > 0 ? (double)bytes / MIB / ((double)took / (double)JMP_USEC_PER_SEC) : 0;
}

static void tell(struct flash *flash, const char *done, uint64_t bytes)
{
    if (jmp_now() - flash->told < TELL_INTERVAL)
        return;
    flash->told = jmp_now();
    jmp_call_log(flash->call, JMP_LOG_INFO, "%.0f MiB %s, %.1f MiB/s", (double)bytes / MIB, done, rate(flash, bytes));
}

/* What the thread of the device says, in words. */
static int io_fail(struct flash *flash, int r, bool write)
{
    const char *doing = write ? "written" : "read";

    if (r == -ECANCELED)
        return r;
    if (r == -ETIMEDOUT)
        return jmp_call_fail(flash->call, r, "%s hangs: nothing has been %s for %u s", flash->path, doing,
                             (unsigned)(DEVICE_STALL / JMP_USEC_PER_SEC));
    /* Gone is the medium, not the device that switches it. */
    if (r == -ENODEV || r == -ENXIO || r == -ENOMEDIUM)
        return jmp_call_fail(flash->call, -EIO, "%s has gone while it was being %s, at byte %" PRIu64, flash->path,
                             doing, jmp_disk_io_failed_at(flash->io));
    return jmp_call_fail(flash->call, r, "%s cannot be %s at byte %" PRIu64 ": %m", flash->path, doing,
                         jmp_disk_io_failed_at(flash->io));
}

static bool is_zero(const uint8_t *data, size_t size)
{
    return size > 0 && data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

/* Hands the buffer over. */
static void flush(struct flash *flash)
{
    struct jmp_io_buffer *buffer = TAKE_PTR(flash->buffer);
    size_t align = flash->medium.align ? flash->medium.align : 1;
    bool whole = buffer->size % align == 0 && buffer->offset % align == 0;

    buffer->op = flash->medium.zeroes && whole && is_zero(buffer->data, buffer->size) ? JMP_IO_ZERO : JMP_IO_WRITE;
    jmp_disk_io_submit(flash->io);
}

static int note_piece(struct flash *flash, uint64_t offset, uint64_t size)
{
    if (!flash->disk->verify)
        return 0;
    if (flash->n_pieces > 0 && flash->pieces[flash->n_pieces - 1].end == offset) {
        flash->pieces[flash->n_pieces - 1].end += size;
        return 0;
    }
    if (flash->n_pieces == PIECES_MAX)
        return jmp_call_fail(flash->call, -E2BIG, "the image has too many holes to be verified");
    if (flash->n_pieces == flash->pieces_capacity) {
        size_t capacity = flash->pieces_capacity ? 2 * flash->pieces_capacity : 64;
        struct piece *pieces = reallocarray(flash->pieces, capacity, sizeof(*pieces));

        if (!pieces)
            return -ENOMEM;
        flash->pieces = pieces;
        flash->pieces_capacity = capacity;
    }
    flash->pieces[flash->n_pieces++] = (struct piece){ offset, offset + size };
    return 0;
}

/* A buffer with room for bytes at @offset. Buffers begin and end at multiples of their size, whatever the pieces
 * are. */
static int room(struct flash *flash, uint64_t offset, size_t *retroom)
{
    int r;

    if (flash->buffer && flash->buffer->offset + flash->buffer->size != offset)
        flush(flash);
    if (!flash->buffer) {
        r = jmp_disk_io_get(flash->io, flash->call, DEVICE_STALL, &flash->buffer);
        if (r < 0)
            return io_fail(flash, r, true);
        flash->buffer->offset = offset;
        flash->buffer->size = 0;
    }
    *retroom = JMP_IO_BUFFER - (size_t)(offset % JMP_IO_BUFFER);
    return 0;
}

static int advance(struct flash *flash, size_t n)
{
    struct jmp_io_buffer *buffer = flash->buffer;

    if (flash->written && !EVP_DigestUpdate(flash->written, buffer->data + buffer->size, n))
        return -ENOMEM;
    buffer->size += n;
    if ((buffer->offset + buffer->size) % JMP_IO_BUFFER == 0)
        flush(flash);
    return 0;
}

static int on_data(uint64_t offset, const void *data, size_t size, void *user)
{
    struct flash *flash = user;
    int r;

    r = note_piece(flash, offset, size);
    while (r == 0 && size > 0) {
        uint8_t *at;
        size_t n;

        r = room(flash, offset, &n);
        if (r < 0)
            return r;
        n = n < size ? n : size;
        at = flash->buffer->data + flash->buffer->size;
        if (at != data) /* which it is when it was read there */
            memcpy(at, data, n);
        r = advance(flash, n);
        data = (const uint8_t *)data + n;
        offset += n;
        size -= n;
    }
    return r;
}

static int on_fill(uint64_t offset, uint64_t size, uint32_t pattern, void *user)
{
    struct flash *flash = user;
    const uint8_t bytes[4] = { (uint8_t)pattern, (uint8_t)(pattern >> 8), (uint8_t)(pattern >> 16),
                               (uint8_t)(pattern >> 24) };
    int r;

    r = note_piece(flash, offset, size);
    while (r == 0 && size > 0) {
        uint8_t *at;
        size_t n;

        r = room(flash, offset, &n);
        if (r < 0)
            return r;
        n = n < size ? n : (size_t)size;
        at = flash->buffer->data + flash->buffer->size;
        if (pattern == 0)
            memset(at, 0, n);
        else
            for (size_t i = 0; i < n; i++) /* pieces begin at multiples of four */
                at[i] = bytes[i % 4];
        r = advance(flash, n);
        offset += n;
        size -= n;
        tell(flash, "written", offset);
    }
    return r;
}

static int write_begin(struct flash *flash, const void *data, size_t size)
{
    const struct jmp_image_sink sink = { .data = on_data, .fill = on_fill, .user = flash };
    struct jmp_call *call = flash->call;
    const char *format = NULL;
    enum jmp_image_kind kind = jmp_image_kind_of(data, size, &format);
    int r;

    if (size == 0)
        return jmp_call_fail(call, -EBADMSG, "the image is empty");
    if (kind == JMP_IMAGE_PACKED)
        return jmp_call_fail(call, -EINVAL,
                             "the image is compressed (%s), which no board could read: give --compression %s", format,
                             format);
    if (kind == JMP_IMAGE_FOREIGN)
        return jmp_call_fail(call, -EINVAL, "no board could boot this: it is %s", format);
    if (kind == JMP_IMAGE_BMAP) {
        flash->map_text = malloc(JMP_BMAP_MAX);
        return flash->map_text ? 0 : -ENOMEM;
    }

    r = jmp_medium_open(call, flash->path, true, seconds(flash->disk->timeout), &flash->medium);
    if (r < 0)
        return r;
    r = jmp_disk_io_new(TAKE_FD(flash->medium.fd), flash->medium.align, flash->medium.block, &flash->io);
    if (r == 0)
        r = jmp_image_new(kind, kind == JMP_IMAGE_RAW ? flash->disk->map : NULL, flash->medium.size, &sink,
                          &flash->image);
    flash->straight = kind == JMP_IMAGE_RAW && !flash->disk->map;
    if (r == 0 && flash->straight && flash->announced > flash->medium.size)
        return jmp_call_fail(call, -ENOSPC,
                             "the image of %" PRIu64 " bytes is larger than the medium, which has %" PRIu64 " bytes",
                             flash->announced, flash->medium.size);
    if (r == 0 && flash->disk->verify && !flash->straight)
        r = digest_new(&flash->written);
    if (r < 0)
        return r;
    jmp_call_log(call, JMP_LOG_INFO, "writing %s image to %s (%.0f MiB)",
                 kind == JMP_IMAGE_ANDROID ? "an Android sparse"
                 : flash->disk->map        ? "a mapped"
                                           : "a plain",
                 flash->path, (double)flash->medium.size / MIB);
    flash->begun = flash->told = jmp_now();
    return 0;
}

static int write_push(struct flash *flash, const void *data, size_t size)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    if (flash->map_text) {
        if (size > JMP_BMAP_MAX - flash->map_size)
            return jmp_call_fail(flash->call, -E2BIG, "the block map is larger than %u MiB",
                                 JMP_BMAP_MAX / (1024 * 1024));
        memcpy(flash->map_text + flash->map_size, data, size);
        flash->map_size += size;
        return 0;
    }
    r = jmp_image_push(flash->image, data, size, &error);
    if (r < 0)
        return error.text[0] ? jmp_call_fail(flash->call, r, "%s", error.text) : r;
    tell(flash, "written", jmp_image_span(flash->image));
    return 0;
}

/* The next bytes of the image: as many as asked for, unless it ends before. Nobody waits for less, and each piece costs
 * the thread of the checksum two looks at the clock of the scheduler. */
static int image_read(struct flash *flash, int from, uint8_t *data, size_t size, size_t *retsize)
{
    size_t used = 0;

    while (used < size) {
        int n = jmp_stream_read(flash->call, from, data + used, size - used, IMAGE_STALL);

        if (n == -ETIMEDOUT)
            return jmp_call_fail(flash->call, n, "no more of the image came for %u s, after %" PRIu64 " bytes",
                                 (unsigned)(IMAGE_STALL / JMP_USEC_PER_SEC), flash->total);
        if (n < 0)
            return n == -ECANCELED
                       ? n
                       : jmp_call_fail(flash->call, n, "the image cannot be read after %" PRIu64 " bytes: %m",
                                       flash->total);
        if (n == 0)
            break;
        used += (size_t)n;
        flash->total += (size_t)n;
    }
    *retsize = used;
    return 0;
}

/* Reads back what was written, and compares. */
static int verify(struct flash *flash, const uint8_t received[JMP_SHA256_SIZE])
{
    uint8_t before[EVP_MAX_MD_SIZE], after[EVP_MAX_MD_SIZE];
    const struct jmp_io_buffer *taken;
    struct jmp_io_buffer *buffer;
    EVP_MD_CTX *md;
    size_t piece = 0;
    uint64_t at = flash->n_pieces > 0 ? flash->pieces[0].start : 0, read = 0;
    unsigned ahead = 0;
    int r = 0;

    if (flash->written)
        r = digest_end(flash->written, before);
    else
        memcpy(before, received, JMP_SHA256_SIZE);
    if (r < 0)
        return r;
    r = digest_new(&md);
    while (r == 0) {
        while (r == 0 && ahead < JMP_IO_BUFFERS - 1 && piece < flash->n_pieces) {
            uint64_t end = flash->pieces[piece].end, n = JMP_IO_BUFFER - at % JMP_IO_BUFFER;

            r = jmp_disk_io_get(flash->io, flash->call, DEVICE_STALL, &buffer);
            if (r < 0)
                break;
            *buffer = (struct jmp_io_buffer){ JMP_IO_READ, at, (size_t)(n < end - at ? n : end - at), buffer->data };
            at += buffer->size;
            jmp_disk_io_submit(flash->io);
            ahead++;
            if (at == end && ++piece < flash->n_pieces)
                at = flash->pieces[piece].start;
        }
        if (r == 0)
            r = jmp_disk_io_take(flash->io, flash->call, DEVICE_STALL, &taken);
        if (r <= 0)
            break;
        ahead--;
        read += taken->size;
        r = EVP_DigestUpdate(md, taken->data, taken->size) ? 0 : -ENOMEM;
        tell(flash, "read back", read);
    }
    if (r == 0)
        r = digest_end(md, after);
    else
        r = io_fail(flash, r, false);
    EVP_MD_CTX_free(md);
    if (r < 0)
        return r;
    if (memcmp(before, after, JMP_SHA256_SIZE) != 0)
        return jmp_call_fail(flash->call, -EIO,
                             "%s does not hold what was written to it: another checksum when read back", flash->path);
    return 0;
}

static int write_end(struct flash *flash)
{
    uint64_t limit = seconds(flash->disk->fsync_timeout);
    struct jmp_error error = JMP_ERROR_INIT;
    char text[2 * JMP_SHA256_SIZE + 1];
    uint8_t sum[JMP_SHA256_SIZE];
    struct jmp_io_buffer *buffer;
    int r;

    r = jmp_image_finish(flash->image, &error);
    if (r < 0)
        return jmp_call_fail(flash->call, r, "%s", error.text);
    if (flash->buffer && flash->buffer->size > 0)
        flush(flash);
    r = jmp_disk_io_get(flash->io, flash->call, DEVICE_STALL, &buffer);
    if (r == 0) {
        buffer->op = JMP_IO_SYNC;
        buffer->size = 0;
        jmp_disk_io_submit(flash->io);
        r = jmp_disk_io_drain(flash->io, flash->call, limit > DEVICE_STALL ? limit : DEVICE_STALL);
    }
    if (r < 0)
        return io_fail(flash, r, true);
    r = jmp_hash_finish(flash->received, sum);
    if (r < 0)
        return r;
    for (size_t i = 0; i < JMP_SHA256_SIZE; i++)
        snprintf(text + 2 * i, 3, "%02x", sum[i]);
    jmp_call_log(flash->call, JMP_LOG_INFO, "%" PRIu64 " bytes written in %.1f s (%.1f MiB/s), sha256 %s",
                 jmp_image_span(flash->image), (double)(jmp_now() - flash->begun) / (double)JMP_USEC_PER_SEC,
                 rate(flash, jmp_image_span(flash->image)), text);
    if (flash->disk->verify) {
        r = verify(flash, sum);
        if (r < 0)
            return r;
        jmp_call_log(flash->call, JMP_LOG_INFO, "read back and compared: it is what was written");
    }
    return 0;
}

static int keep_map(struct flash *flash)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_bmap *map;
    int r;

    r = jmp_bmap_parse(flash->map_text, flash->map_size, &map, &error);
    if (r < 0)
        return jmp_call_fail(flash->call, r == -EINVAL ? -EBADMSG : r, "%s", error.text);
    jmp_disk_forget(flash->disk);
    flash->disk->map = map;
    jmp_call_log(flash->call, JMP_LOG_INFO,
                 "a block map with %zu ranges is kept for the next image, which has %" PRIu64 " bytes", map->count,
                 map->image_size);
    return 0;
}

/* Where the next bytes of the image are read to, and how many. Those of a plain one go straight to where they are
 * written from; the checksum is done with that buffer before its turn comes again. */
static int place(struct flash *flash, uint8_t **ret, size_t *retsize)
{
    size_t left;
    int r;

    _Static_assert(JMP_HASH_PIECES * JMP_HASH_PIECE <= (JMP_IO_BUFFERS - 1) * JMP_IO_BUFFER,
                   "written over while it is summed");
    *retsize = JMP_HASH_PIECE;
    if (!flash->straight) {
        *ret = jmp_hash_room(flash->received);
        return 0;
    }
    r = room(flash, flash->total, &left);
    if (r < 0)
        return r;
    *ret = flash->buffer->data + flash->buffer->size;
    if (left < JMP_HASH_PIECE)
        *retsize = left;
    return 0;
}

static int write_image(struct flash *flash, int from)
{
    uint8_t *piece = NULL;
    bool begun = false;
    size_t n = 0;
    int r;

    r = jmp_hash_new(&flash->received);
    while (r == 0) {
        r = place(flash, &piece, &n);
        if (r == 0)
            r = image_read(flash, from, piece, n, &n);
        if (r == 0 && !begun)
            r = write_begin(flash, piece, n);
        if (r < 0 || n == 0)
            break;
        begun = true;
        jmp_hash_add(flash->received, piece, n);
        r = write_push(flash, piece, n);
    }
    if (r == 0)
        r = jmp_call_complete(flash->call);
    if (r < 0)
        return r;
    return flash->map_text ? keep_map(flash) : write_end(flash);
}

int jmp_disk_write(struct jmp_disk *disk, struct jmp_call *call, const char *path, const char *arg)
{
    _cleanup_(flash_clear) struct flash flash = { .call = call, .path = path, .disk = disk, .medium.fd = -EBADF };
    int from, r;

    from = jmp_call_fd(call, arg, false);
    if (from < 0)
        return from;
    flash.announced = jmp_call_size(call, arg);
    flash.begun = flash.told = jmp_now();
    r = write_image(&flash, from);
    if (!flash.map_text)
        jmp_disk_forget(disk); /* it was for this image */
    if (r < 0 || !flash.io)
        return r;
    flash.io = jmp_disk_io_free(flash.io);
    if (disk->leeway > 0)
        r = jmp_call_wait(call, -1, 0, jmp_now() + seconds(disk->leeway));
    return r < 0 ? r : 0;
}

static int read_image(struct flash *flash, int to)
{
    const struct jmp_io_buffer *taken;
    struct jmp_io_buffer *buffer;
    uint64_t at = 0, sent = 0;
    unsigned ahead = 0;
    int r;

    for (;;) {
        while (ahead < JMP_IO_BUFFERS - 1 && at < flash->medium.size) {
            uint64_t left = flash->medium.size - at;

            r = jmp_disk_io_get(flash->io, flash->call, DEVICE_STALL, &buffer);
            if (r < 0)
                return io_fail(flash, r, false);
            *buffer = (struct jmp_io_buffer){ JMP_IO_READ, at, left < JMP_IO_BUFFER ? (size_t)left : JMP_IO_BUFFER,
                                              buffer->data };
            at += buffer->size;
            jmp_disk_io_submit(flash->io);
            ahead++;
        }
        r = jmp_disk_io_take(flash->io, flash->call, DEVICE_STALL, &taken);
        if (r < 0)
            return io_fail(flash, r, false);
        if (r == 0)
            break;
        ahead--;
        r = jmp_stream_write(flash->call, to, taken->data, taken->size, IMAGE_STALL);
        if (r == -ETIMEDOUT)
            return jmp_call_fail(flash->call, r, "nobody took the image for %u s, after %" PRIu64 " bytes",
                                 (unsigned)(IMAGE_STALL / JMP_USEC_PER_SEC), sent);
        if (r < 0)
            return r == -ECANCELED ? r
                                   : jmp_call_fail(flash->call, r,
                                                   "the image cannot be handed over after %" PRIu64 " bytes: %m", sent);
        sent += taken->size;
        tell(flash, "read", sent);
    }
    if (sent != flash->medium.size)
        return jmp_call_fail(flash->call, -EIO, "%s ends after %" PRIu64 " of %" PRIu64 " bytes", flash->path, sent,
                             flash->medium.size);
    jmp_call_log(flash->call, JMP_LOG_INFO, "%" PRIu64 " bytes read in %.1f s (%.1f MiB/s)", sent,
                 (double)(jmp_now() - flash->begun) / (double)JMP_USEC_PER_SEC, rate(flash, sent));
    return 0;
}

int jmp_disk_read(struct jmp_disk *disk, struct jmp_call *call, const char *path, const char *arg)
{
    _cleanup_(flash_clear) struct flash flash = { .call = call, .path = path, .disk = disk, .medium.fd = -EBADF };
    int to, r;

    to = jmp_call_fd(call, arg, true);
    if (to < 0)
        return to;
    r = jmp_medium_open(call, path, false, seconds(disk->timeout), &flash.medium);
    if (r < 0)
        return r;
    flash.begun = flash.told = jmp_now();
    r = jmp_disk_io_new(TAKE_FD(flash.medium.fd), flash.medium.align, flash.medium.block, &flash.io);
    return r < 0 ? r : read_image(&flash, to);
}

void jmp_disk_forget(struct jmp_disk *disk)
{
    disk->map = jmp_bmap_free(disk->map);
}
