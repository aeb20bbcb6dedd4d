/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"

static void print(unsigned char bytes[16], unsigned version, char ret[JMP_UUID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *out = ret;

    if (version > 0) {
        bytes[6] = (unsigned char)((bytes[6] & 0x0f) | version << 4);
        bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    }

    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = 0;
}

void jmp_uuid_random(char ret[JMP_UUID_SIZE])
{
    /* Sixteen at a time, for each answer of the agent needs one. */
    static _Thread_local unsigned char pool[256];
    static _Thread_local size_t left;
    unsigned char bytes[16], *next;

    if (left == 0) {
        ssize_t n;

        do
            n = getrandom(pool, sizeof(pool), 0);
        while (n < 0 && errno == EINTR);

        /* Up to 256 bytes come whole; without the system call two exporters could share a name, so go no further. */
        if (n != (ssize_t)sizeof(pool))
            abort();
        left = sizeof(pool);
    }

    /* Some of them are secrets: no copy stays behind. */
    left -= sizeof(bytes);
    next = pool + left;
    memcpy(bytes, next, sizeof(bytes));
    explicit_bzero(next, sizeof(bytes));
    print(bytes, 4, ret);
}

void jmp_uuid_derive(const char *space, const char *name, char ret[JMP_UUID_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    /* The NUL between keeps ("ab", "c") apart from ("a", "bc"). */
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(context, space, strlen(space) + 1) != 1 ||
        EVP_DigestUpdate(context, name, strlen(name)) != 1 || EVP_DigestFinal_ex(context, digest, NULL) != 1)
        abort();   /* no memory for a hash: nothing that can be reported from here would be stable */

    EVP_MD_CTX_free(context);
    print(digest, 8, ret);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool jmp_uuid_parse(const char *text, char ret[JMP_UUID_SIZE])
{
    unsigned char bytes[16] = { 0 };
    unsigned n = 0;
    bool braced;

    if (strncmp(text, "urn:", 4) == 0)
        text += 4;
    if (strncmp(text, "uuid:", 5) == 0)
        text += 5;
    braced = *text == '{';
    if (braced)
        text++;

    for (; *text && *text != '}'; text++) {
        int digit = hex(*text);

        if (*text == '-')
            continue;
        if (digit < 0 || n == 32)
            return false;
        bytes[n / 2] = (unsigned char)(bytes[n / 2] << 4 | digit);
        n++;
    }
    if (n != 32 || (braced ? text[0] != '}' || text[1] : text[0] != 0))
        return false;

    print(bytes, 0, ret);
    return true;
}
