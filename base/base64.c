/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    if (c == '/')
        return 63;
    return -1;
}

ssize_t jmp_base64_decode(const char *base64, char *ret)
{
    unsigned bits = 0, have = 0;
    char *out = ret;

    for (; *base64 && *base64 != '='; base64++) {
        int value = sextet(*base64);

        if (value < 0)
            continue;
        bits = (bits << 6 | (unsigned)value) & 0xffffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            *out++ = (char)(bits >> have & 0xff);
        }
    }
    return have == 6 ? -EINVAL : out - ret;
}

char *jmp_base64_encode(const void *bytes, size_t length)
{
    char *text = malloc((length + 2) / 3 * 4 + 1);

    if (text)
        EVP_EncodeBlock((unsigned char *)text, bytes, (int)length);
    return text;
}
