/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

/**
 * jmp_base64_decode() - as lenient as the tools that write what we read: line breaks and other strange characters are
 * skipped, '=' ends the text (OpenSSL's decoder refuses them)
 * @ret:  room for strlen(@base64) bytes; not NUL-terminated
 *
 * Return: the number of bytes, -EINVAL for a stray last character.
 */
ssize_t jmp_base64_decode(const char *base64, char *ret);

/** jmp_base64_encode() - @length bytes, at most 1 GiB, without line breaks. Return: free(); NULL: no memory. */
char *jmp_base64_encode(const void *bytes, size_t length);
