/* SPDX-License-Identifier: Apache-2.0 */
/* What peers say is logged; some say back what we told them in confidence. */
#pragma once

#include <stddef.h>

/** jmp_redact() - a copy of @text in @buffer in which whatever looks like a token, a JSON web token or a word after
 * "Bearer", is replaced by "[secret]"; cut to fit. Return: @buffer. */
const char *jmp_redact(const char *text, char *buffer, size_t size);

/* For the arguments of a log line. */
#define JMP_REDACT(text) jmp_redact((text), (char[512]){ 0 }, 512)
