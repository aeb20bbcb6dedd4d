/* SPDX-License-Identifier: Apache-2.0 */
/* UF2, the files that boot loaders of microcontrollers take: blocks of 512 bytes, each with an address. Bytes in,
 * blocks out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define JMP_UF2_MAX (40u * 1024 * 1024) /* bytes of a file: 16 MiB of flash take twice as much, and some */
#define JMP_UF2_BLOCK 512u
#define JMP_UF2_PAYLOAD_MAX 476u

struct jmp_uf2_block {
    uint32_t address, size; /* of the payload */
    uint32_t family;        /* 0: not said */
    const uint8_t *data;    /* into the file */
};

/**
 * jmp_uf2_check() - is this a whole file?
 *
 * Every block is well-formed and one of as many as its family says; of each family they come in ascending order and do
 * not overlap.
 *
 * Return: 0, -EBADMSG with words.
 */
int jmp_uf2_check(const void *data, size_t size, struct jmp_error *reterr);

/** jmp_uf2_block() - block @index of a checked file; false: it is not for the flash (a comment, a file's name) */
bool jmp_uf2_block(const void *data, size_t index, struct jmp_uf2_block *ret);
