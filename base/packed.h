/* SPDX-License-Identifier: Apache-2.0 */
/* What a compressed file begins with. */
#pragma once

#include <stddef.h>

/** jmp_packed_format() - "gzip", "xz", "bz2" or "zstd", static; NULL: none of them, or too few bytes to tell */
const char *jmp_packed_format(const void *data, size_t size);
