/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/mcu/uf2.h"

#define MAGIC_FIRST 0x0a324655u
#define MAGIC_SECOND 0x9e5d5157u
#define MAGIC_END 0x0ab16f30u
#define NOT_FOR_FLASH 0x00000001u
#define IS_FILE 0x00001000u
#define HAS_FAMILY 0x00002000u
#define FAMILIES_MAX 8u

struct family {
    uint32_t id, blocks, seen;
    uint64_t end; /* behind its last block */
};

static uint32_t get(const uint8_t *block, size_t word)
{
    const uint8_t *at = block + 4 * word;

    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static const uint8_t *block_at(const void *data, size_t index)
{
    return (const uint8_t *)data + index * JMP_UF2_BLOCK;
}

bool jmp_uf2_block(const void *data, size_t index, struct jmp_uf2_block *ret)
{
    const uint8_t *block = block_at(data, index);
    uint32_t flags = get(block, 2);

    if (flags & (NOT_FOR_FLASH | IS_FILE))
        return false;
    *ret = (struct jmp_uf2_block){ .address = get(block, 3),
                                   .size = get(block, 4),
                                   .data = block + 32,
                                   .family = flags & HAS_FAMILY ? get(block, 7) : 0 };
    return true;
}

static int wrong(struct jmp_error *reterr, size_t index, const char *what)
{
    return jmp_error_set(reterr, -EBADMSG, "the UF2 file cannot be used: block %zu %s", index, what);
}

static int check_block(const void *data, size_t index, struct family *families, size_t *count, struct jmp_error *reterr)
{
    const uint8_t *block = block_at(data, index);
    struct family *family = families;
    struct jmp_uf2_block found;

    if (get(block, 0) != MAGIC_FIRST || get(block, 1) != MAGIC_SECOND || get(block, 127) != MAGIC_END)
        return wrong(reterr, index, "is none");
    if (!jmp_uf2_block(data, index, &found))
        return 0;
    if (found.size == 0 || found.size > JMP_UF2_PAYLOAD_MAX)
        return wrong(reterr, index, "has an impossible size");
    while (family < families + *count && family->id != found.family)
        family++;
    if (family == families + *count) {
        if (*count == FAMILIES_MAX)
            return wrong(reterr, index, "is for one family of chips too many");
        *family = (struct family){ .id = found.family, .blocks = get(block, 6) };
        (*count)++;
    }
    if (get(block, 6) != family->blocks || get(block, 5) >= family->blocks)
        return wrong(reterr, index, "has an impossible number");
    if (found.address < family->end || (uint64_t)found.address + found.size > UINT32_MAX)
        return wrong(reterr, index, "has an impossible address");
    family->end = (uint64_t)found.address + found.size;
    family->seen++;
    return 0;
}

int jmp_uf2_check(const void *data, size_t size, struct jmp_error *reterr)
{
    struct family families[FAMILIES_MAX];
    size_t count = 0;
    int r;

    if (size == 0 || size % JMP_UF2_BLOCK || size > JMP_UF2_MAX)
        return jmp_error_set(reterr, -EBADMSG, "the file is no UF2: it does not consist of blocks of %u bytes",
                             JMP_UF2_BLOCK);
    for (size_t i = 0; i < size / JMP_UF2_BLOCK; i++) {
        r = check_block(data, i, families, &count, reterr);
        if (r < 0)
            return r;
    }
    if (count == 0)
        return jmp_error_set(reterr, -EBADMSG, "the UF2 file has nothing for the flash");
    for (size_t i = 0; i < count; i++)
        if (families[i].seen > families[i].blocks)
            return jmp_error_set(reterr, -EBADMSG,
                                 "the UF2 file cannot be used: there are more blocks than there should be");
    return 0;
}
