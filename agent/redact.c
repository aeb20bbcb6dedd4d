/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SECRET "[secret]"

static size_t word_length(const char *text)
{
    size_t length = 0;

    while (isalnum((unsigned char)text[length]) || (text[length] && strchr("-_.~+/=", text[length])))
        length++;
    return length;
}

/* How many bytes at the start of @text are secret; @start: at the beginning of a word. */
static size_t secret_length(const char *text, bool start, bool after_bearer)
{
    size_t length = start ? word_length(text) : 0;

    if (after_bearer)
        return length;
    /* The header of every JSON web token is an object, which begins like this in base64. */
    return length > 12 && strncmp(text, "eyJ", 3) == 0 ? length : 0;
}

const char *jmp_redact(const char *text, char *buffer, size_t size)
{
    bool start = true, after_bearer = false;
    size_t used = 0;

    while (*text && used + 1 < size) {
        size_t secret = secret_length(text, start, after_bearer);

        if (secret > 0) {
            used += (size_t)snprintf(buffer + used, size - used, "%s", SECRET);
            if (used >= size)
                used = size - 1;
            text += secret;
            start = after_bearer = false;
            continue;
        }
        if (start && strncasecmp(text, "bearer", 6) == 0 && (text[6] == ' ' || text[6] == ':')) {
            after_bearer = true;
            for (unsigned i = 0; i < 6 && used + 1 < size; i++)
                buffer[used++] = *text++;
            start = false;
            continue;
        }
        if (!isspace((unsigned char)*text) && *text != ':')
            after_bearer = false;
        buffer[used++] = *text++;
        start = word_length(text) > 0 && word_length(text - 1) == 0;
    }
    buffer[used] = '\0';
    return buffer;
}
