/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/name.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/cleanup.h"

#define HASH_BYTES 16      /* of an identity's name */
#define APART_LENGTH 8     /* characters that tell deployments apart */

static bool is_inner(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool jmp_kube_name_is_valid(const char *name)
{
    size_t length = strlen(name);
    bool edge = true;   /* at the beginning of a part */

    if (length == 0 || length > JMP_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '.') {
            if (edge || name[i - 1] == '-')
                return false;
            edge = true;
        } else if (is_inner(name[i])) {
            edge = false;
        } else if (name[i] != '-' || edge) {
            return false;
        }
    }
    return is_inner(name[length - 1]);
}

/* Lower-case base32 (RFC 4648) without padding; @ret has room for 8 characters for each 5 bytes and a NUL. */
static void base32(const unsigned char *bytes, size_t count, char *ret)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned bits = 0, buffer = 0;

    for (size_t i = 0; i < count; i++) {
        buffer = buffer << 8 | bytes[i];
        for (bits += 8; bits >= 5; bits -= 5)
            *ret++ = digits[buffer >> (bits - 5) & 31];
    }
    if (bits > 0)
        *ret++ = digits[buffer << (5 - bits) & 31];
    *ret = '\0';
}

static int hash_name(EVP_MD_CTX *context, const char *text)
{
    size_t length = strlen(text);
    const unsigned char prefix[2] = { (unsigned char)(length >> 8), (unsigned char)length };

    if (length > UINT16_MAX)
        return -EINVAL;
    if (EVP_DigestUpdate(context, prefix, sizeof(prefix)) != 1 || EVP_DigestUpdate(context, text, length) != 1)
        return -ENOMEM;
    return 0;
}

/* SHA-256 over one or two names, each behind its length. */
static int hash_names(const char *first, const char *second, unsigned char ret[static EVP_MAX_MD_SIZE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int r = -ENOMEM;

    if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1) {
        r = hash_name(context, first);
        if (r == 0 && second)
            r = hash_name(context, second);
        if (r == 0 && EVP_DigestFinal_ex(context, ret, NULL) != 1)
            r = -ENOMEM;
    }
    EVP_MD_CTX_free(context);
    return r;
}

int jmp_kube_name(const char *text, const char *apart, char ret[static JMP_NAME_MAX + 1])
{
    size_t most = JMP_NAME_MAX - (apart ? APART_LENGTH + 1 : 0), length = 0;
    unsigned char digest[EVP_MAX_MD_SIZE];
    char suffix[HASH_BYTES * 2];
    int r;

    for (; *text && length < most; text++) {
        char c = (char)tolower((unsigned char)*text);

        if (is_inner(c))
            ret[length++] = c;
        else if (length > 0 && c == '.' && is_inner(ret[length - 1]))
            ret[length++] = '.';
        else if (length > 0 && is_inner(ret[length - 1]))
            ret[length++] = '-';
    }
    while (length > 0 && !is_inner(ret[length - 1]))
        length--;
    ret[length] = '\0';
    if (length == 0)
        return -EINVAL;
    if (!apart)
        return 0;

    r = hash_names(apart, NULL, digest);
    if (r < 0)
        return r;
    base32(digest, HASH_BYTES, suffix);
    suffix[APART_LENGTH] = '\0';
    ret[length++] = '-';
    memcpy(ret + length, suffix, APART_LENGTH + 1);
    return 0;
}

int jmp_kube_identity_name(const char *prefix, const char *host, const char *component,
                           char ret[static JMP_NAME_MAX + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hash[HASH_BYTES * 2];
    int r;

    r = hash_names(host, component, digest);
    if (r < 0)
        return r;
    base32(digest, HASH_BYTES, hash);
    if (strlen(prefix) > 200)
        return -EINVAL;
    snprintf(ret, JMP_NAME_MAX + 1, "%s-%s", prefix, hash);
    return jmp_kube_name_is_valid(ret) ? 0 : -EINVAL;
}
