/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdint.h>
#include <string.h>

static bool is_continuation(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

size_t jmp_text_sequence(const char *text, size_t length)
{
    const unsigned char *s = (const unsigned char *)text;

    if (length == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    if (length < 2 || !is_continuation(s[1]))
        return 0;
    if (s[0] < 0xe0)
        return 2;

    /* The second byte carries what is forbidden: overlong forms, surrogates, beyond U+10FFFF. */
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
        return 0;
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    if (length < 3 || !is_continuation(s[2]))
        return 0;
    if (s[0] < 0xf0)
        return 3;
    if (length < 4 || !is_continuation(s[3]))
        return 0;

    return 4;
}

size_t jmp_text_plain(const char *text, size_t length)
{
    size_t n = 0;

    while (n < length && text[n] >= ' ' && text[n] < 0x7f && text[n] != '"' && text[n] != '\\')
        n++;
    return n;
}

bool jmp_text_is_utf8(const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t n = jmp_text_sequence(text + i, length - i);

        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

size_t jmp_text_cut(const char *text, size_t length, size_t max)
{
    size_t cut = max;

    if (length <= max)
        return length;

    /* At most three bytes back to the start of the character that straddles the cut; broken text is cut anywhere. */
    while (cut > 0 && max - cut < 4 && is_continuation((unsigned char)text[cut]))
        cut--;

    return max - cut < 4 ? cut : max;
}

bool jmp_text_is_shown(const char *text, size_t sequence)
{
    const unsigned char *s = (const unsigned char *)text;

    switch (sequence) {
    case 1:
        return s[0] >= 0x20 && s[0] != 0x7f;
    case 2:
        return s[0] != 0xc2 || s[1] >= 0xa0;   /* U+0080 to U+009F */
    case 3:
        if (s[0] == 0xe2 && s[1] == 0x80)      /* U+200E, U+200F, U+2028 to U+202E */
            return s[2] != 0x8e && s[2] != 0x8f && (s[2] < 0xa8 || s[2] > 0xae);
        if (s[0] == 0xe2 && s[1] == 0x81)      /* U+2066 to U+2069 */
            return s[2] < 0xa6 || s[2] > 0xa9;
        return true;
    default:
        return sequence == 4;
    }
}

void jmp_text_put(FILE *stream, const char *text)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length;) {
        size_t n = jmp_text_sequence(text + i, length - i);

        if (n > 0 && jmp_text_is_shown(text + i, n)) {
            fwrite(text + i, 1, n, stream);
            i += n;
            continue;
        }

        switch (text[i]) {
        case '\n':
            fputs("\\n", stream);
            break;
        case '\t':
            fputs("\\t", stream);
            break;
        case '\r':
            fputs("\\r", stream);
            break;
        default:
            fprintf(stream, "\\x%02x", (unsigned)(unsigned char)text[i]);
        }
        i++;
    }
}
