/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, and text from outside made fit to be shown: no terminal escapes, no second line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/** jmp_text_sequence() - length in bytes (1 to 4) of the well-formed UTF-8 character at @text, of which @length bytes
 * may be looked at; 0: there is none. Overlong forms and surrogates are none. */
size_t jmp_text_sequence(const char *text, size_t length);

/** jmp_text_plain() - how many bytes at the start of @text are printable ASCII, without quotation marks and
 * backslashes: what no format has to look at one by one */
size_t jmp_text_plain(const char *text, size_t length);

/** jmp_text_is_utf8() - whether all @length bytes are well-formed UTF-8 */
bool jmp_text_is_utf8(const char *text, size_t length);

/** jmp_text_cut() - the largest number of bytes, at most @max, that ends @text between two characters */
size_t jmp_text_cut(const char *text, size_t length, size_t max);

/** jmp_text_is_shown() - whether the character at @text, @sequence bytes long, may go to a terminal as it is: no
 * control character, no line or paragraph separator, nothing that turns the direction of writing */
bool jmp_text_is_shown(const char *text, size_t sequence);

/** jmp_text_put() - print @text; whatever is no UTF-8 or not to be shown becomes \n, \t, \r or \xNN. A backslash stays
 * one: this is for people, not for reading back. */
void jmp_text_put(FILE *stream, const char *text);
