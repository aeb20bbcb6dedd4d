/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image says about a medium. Bytes of the file go in, cut anywhere; out come pieces, in ascending order: bytes
 * for an offset, a pattern for a range. What lies between them may stay as it is. Plain images, plain ones with a
 * block map, and Android's sparse format. Knows nothing of disks.
 */
#pragma once

#include "drivers/storage/bmap.h"

#define JMP_IMAGE_PEEK 1024u /* bytes of a file that show what it is; fewer only if it has no more */

enum jmp_image_kind { JMP_IMAGE_RAW, JMP_IMAGE_ANDROID, JMP_IMAGE_BMAP, JMP_IMAGE_PACKED, JMP_IMAGE_FOREIGN };

/** jmp_image_kind_of() - by its first bytes
 * @retformat:  of a packed one: "gzip", "xz", "bz2", "zstd"; of a foreign one, which no board could boot: "a zip
 *              archive", ... */
enum jmp_image_kind jmp_image_kind_of(const void *data, size_t size, const char **retformat);

struct jmp_image_sink { /* both return 0, or negative errno, which ends the work and is handed through */
    int (*data)(uint64_t offset, const void *data, size_t size, void *user);
    int (*fill)(uint64_t offset, uint64_t size, uint32_t pattern, void *user); /* little-endian, again and again */
    void *user;
};

struct jmp_image;

/**
 * jmp_image_new() - begin with an image
 * @kind:      RAW or ANDROID
 * @map:       of a RAW one, or NULL; borrowed
 * @capacity:  of the medium, in bytes: an image that says it is larger is refused at once, another once it is
 * @sink:      copied
 */
int jmp_image_new(enum jmp_image_kind kind, const struct jmp_bmap *map, uint64_t capacity,
                  const struct jmp_image_sink *sink, struct jmp_image **ret);
struct jmp_image *jmp_image_free(struct jmp_image *image);
JMP_DEFINE_CLEANUP(struct jmp_image *, jmp_image_free)

/** jmp_image_push() - the next bytes of the file. Return: 0, -EBADMSG (not well-formed, a checksum is wrong), -ENOSPC,
 * -ENOMEM, with words; or what the sink said. */
int jmp_image_push(struct jmp_image *image, const void *data, size_t size, struct jmp_error *reterr);
/** jmp_image_finish() - the file is complete. Return: 0, or -EBADMSG with words: it cannot be. */
int jmp_image_finish(struct jmp_image *image, struct jmp_error *reterr);
/** jmp_image_span() - how much of the medium the image has taken so far, in bytes from its beginning */
uint64_t jmp_image_span(const struct jmp_image *image);
