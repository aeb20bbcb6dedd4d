/* SPDX-License-Identifier: Apache-2.0 */
/* What a device says of itself: it may be anything that somebody plugged in. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/usb/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jmp_usb_config config = { .data = malloc(size > 0 ? size : 1), .size = size };
    struct jmp_usb_part part = { 0 };
    unsigned firsts[256] = { 0 };
    size_t before = 0;

    /* A copy of its own, so that what is read beyond it is noticed. */
    assert(config.data);
    if (size > 0)
        memcpy(config.data, data, size);
    while (jmp_usb_config_next(&config, &part)) {
        assert(part.at > before && part.at <= size);
        before = part.at;
        assert(!part.endpoint || ((part.endpoint & 15) && !part.first && part.type < 4));
        firsts[part.interface] += part.first;
        assert(firsts[part.interface] == 1);
    }
    jmp_usb_config_clear(&config);
    return 0;
}
