/* SPDX-License-Identifier: Apache-2.0 */
#include "base/packed.h"

#include <string.h>

#include "base/cleanup.h"

const char *jmp_packed_format(const void *data, size_t size)
{
    static const struct {
        const char *format;
        size_t length;
        const char *magic;
    } formats[] = {
        { "gzip", 3, "\x1f\x8b\x08" },
        { "xz", 6, "\xfd\x37zXZ" },
        { "bz2", 3, "BZh" },
        { "zstd", 4, "\x28\xb5\x2f\xfd" },
    };

    for (size_t i = 0; i < ELEMENTSOF(formats); i++)
        if (size >= formats[i].length && memcmp(data, formats[i].magic, formats[i].length) == 0)
            return formats[i].format;
    return NULL;
}
