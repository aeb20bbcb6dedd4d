/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block map, as bmaptool and Yocto write it: which blocks of an image hold something, with a checksum for each
 * range. What is not mapped need not be written. Bytes in, a table out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define JMP_BMAP_MAX (16u * 1024 * 1024) /* bytes of one map */
#define JMP_BMAP_RANGES_MAX (256u * 1024)
#define JMP_SHA256_SIZE 32u

struct jmp_bmap_range {
    uint64_t start, end; /* bytes; the end of the last one may be beyond the image's */
    bool summed;
    uint8_t sum[JMP_SHA256_SIZE]; /* SHA-256 of the range, up to the image's end */
};

struct jmp_bmap {
    uint64_t image_size; /* bytes */
    uint32_t block_size;
    size_t count;
    struct jmp_bmap_range *ranges; /* ascending, apart from each other */
};

/** jmp_bmap_is() - do these first bytes of a file, of which a hundred or more are wanted, look like a block map? */
bool jmp_bmap_is(const void *data, size_t size);

/**
 * jmp_bmap_parse() - versions 1.0 to 2.0
 * @ret:  free with jmp_bmap_free()
 *
 * Checksums other than SHA-256 are left aside; that of the map itself is checked.
 *
 * Return: 0, -EINVAL with words (and line), -E2BIG, -ENOMEM.
 */
int jmp_bmap_parse(const char *text, size_t size, struct jmp_bmap **ret, struct jmp_error *reterr);
struct jmp_bmap *jmp_bmap_free(struct jmp_bmap *map); /* always NULL; accepts NULL */
JMP_DEFINE_CLEANUP(struct jmp_bmap *, jmp_bmap_free)
