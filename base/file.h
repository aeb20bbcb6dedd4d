/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files: small ones are read at once, and written so that a reader sees the old one or the new one. */
#pragma once

#include "base/error.h"

/** jmp_file_write() - replace @path by a temporary name in its directory, fsync and rename, with @mode (0600 for
 * secrets); missing directories are made 0700 */
int jmp_file_write(const char *path, const char *text, size_t length, unsigned mode, struct jmp_error *reterr);
/** jmp_file_read() - a whole file of at most @max bytes, NUL-terminated; free() @ret. -EFBIG, -EISDIR and errno. */
int jmp_file_read(const char *path, size_t max, char **ret, size_t *retlength, struct jmp_error *reterr);
