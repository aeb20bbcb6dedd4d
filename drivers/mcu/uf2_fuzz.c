/* SPDX-License-Identifier: Apache-2.0 */
/* A UF2 file from anybody: what is accepted stays inside the file, in order. */
#include <stdint.h>
#include <stdlib.h>

#include "drivers/mcu/uf2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    volatile uint8_t sum = 0;

    if (jmp_uf2_check(data, size, NULL) < 0)
        return 0;
    for (size_t i = 0; i < size / JMP_UF2_BLOCK; i++) {
        struct jmp_uf2_block block;

        if (!jmp_uf2_block(data, i, &block))
            continue;
        if (block.size == 0 || block.data < data || block.data + block.size > data + size ||
            block.address + block.size < block.address)
            abort();
        for (uint32_t at = 0; at < block.size; at++)
            sum = (uint8_t)(sum + block.data[at]);
    }
    return 0;
}
