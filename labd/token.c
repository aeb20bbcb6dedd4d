/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/token.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define MAC_SIZE 32u
/* Both ends of a stream token are this machine; a stepped clock must not refuse what it signed a moment ago. */
#define CLOCK_SLACK 60

const struct jmp_token_kind jmp_token_identity = { "https://jumpstarter.dev/labd", "jumpstarter" };
const struct jmp_token_kind jmp_token_stream = { "https://jumpstarter.dev/stream", "https://jumpstarter.dev/router" };

static void json_unref(json_t **json)
{
    json_decref(*json);
}

void jmp_key_clear(struct jmp_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

static int key_make(const char *path, struct jmp_error *reterr)
{
    _cleanup_free_ char *temporary = NULL;
    _cleanup_close_ int fd = -EBADF;
    struct jmp_key key;
    int r = 0;

    if (RAND_bytes(key.bytes, sizeof(key.bytes)) != 1)
        return jmp_error_set(reterr, -EIO, "no random numbers for %s", path);
    if (asprintf(&temporary, "%s.%d", path, getpid()) < 0) {
        temporary = NULL;
        return -ENOMEM;
    }

    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return jmp_error_set(reterr, -errno, "cannot make %s: %m", temporary);
    if (write(fd, key.bytes, sizeof(key.bytes)) != (ssize_t)sizeof(key.bytes) || fsync(fd) < 0)
        r = jmp_error_set(reterr, errno ? -errno : -EIO, "cannot write %s: %m", temporary);
    /* link() and not rename(): of two that start at the same time, one key wins for both. */
    if (r == 0 && link(temporary, path) < 0 && errno != EEXIST)
        r = jmp_error_set(reterr, -errno, "cannot make %s: %m", path);

    unlink(temporary);
    jmp_key_clear(&key);
    return r;
}

int jmp_key_load(const char *path, struct jmp_key *ret, struct jmp_error *reterr)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct jmp_key key;
    struct stat st;
    int r;

    if (fd < 0 && errno == ENOENT) {
        r = key_make(path, reterr);
        if (r < 0)
            return r;
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0)
        return jmp_error_set(reterr, -errno, "cannot read %s: %m", path);

    if (fstat(fd, &st) < 0)
        return jmp_error_set(reterr, -errno, "cannot read %s: %m", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        r = jmp_error_set(reterr, -EACCES, "%s can be read by others than its owner", path);
        jmp_error_hint(reterr,
                       "chmod 600 %s; if others had access, delete it and create all clients and exporters anew", path);
        return r;
    }
    if (!S_ISREG(st.st_mode) || st.st_size != JMP_KEY_SIZE || read(fd, key.bytes, JMP_KEY_SIZE) != JMP_KEY_SIZE)
        return jmp_error_set(reterr, -EBADMSG, "%s is not a key file of %u bytes", path, JMP_KEY_SIZE);

    *ret = key;
    jmp_key_clear(&key);
    return 0;
}

/* Base64 for URLs, without padding. @ret has room for (length + 2) / 3 * 4 + 1. */
static size_t encode(const void *data, size_t length, char *ret)
{
    size_t written = (size_t)EVP_EncodeBlock((unsigned char *)ret, data, (int)length);

    while (written > 0 && ret[written - 1] == '=')
        written--;
    ret[written] = '\0';
    for (size_t i = 0; i < written; i++) {
        if (ret[i] == '+')
            ret[i] = '-';
        else if (ret[i] == '/')
            ret[i] = '_';
    }

    return written;
}

static int decode(const char *text, size_t length, unsigned char **ret, size_t *retlength)
{
    size_t padded = (length + 3) / 4 * 4;
    _cleanup_free_ unsigned char *plain = NULL;
    _cleanup_free_ char *standard = NULL;
    int written;

    if (length % 4 == 1)
        return -EBADMSG;
    standard = malloc(padded + 1);
    plain = calloc(1, padded / 4 * 3 + 1);   /* with a NUL: some of it is text */
    if (!standard || !plain)
        return -ENOMEM;

    for (size_t i = 0; i < padded; i++) {
        char c = i < length ? text[i] : '=';

        if (i < length && (c == '+' || c == '/' || c == '='))
            return -EBADMSG;
        standard[i] = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    written = EVP_DecodeBlock(plain, (const unsigned char *)standard, (int)padded);
    if (written < 0 || (size_t)written < padded - length)
        return -EBADMSG;

    *retlength = (size_t)written - (padded - length);
    plain[*retlength] = '\0';
    *ret = TAKE_PTR(plain);
    return 0;
}

static int mac(const struct jmp_key *key, const char *text, size_t length, unsigned char ret[MAC_SIZE])
{
    unsigned size = MAC_SIZE;

    if (!HMAC(EVP_sha256(), key->bytes, sizeof(key->bytes), (const unsigned char *)text, length, ret, &size))
        return -ENOMEM;

    return 0;
}

int jmp_token_sign(const struct jmp_key *key, const struct jmp_token_kind *kind, const char *subject, int64_t now,
                   int64_t expires, char **ret)
{
    _cleanup_(json_unref) json_t *claims = NULL;
    _cleanup_free_ char *text = NULL, *token = NULL;
    unsigned char signature[MAC_SIZE];
    char id[JMP_UUID_SIZE];
    size_t size, length;
    int r;

    jmp_uuid_random(id);
    claims = json_pack("{s:s, s:s, s:[s], s:I, s:I, s:s}", "iss", kind->issuer, "sub", subject, "aud", kind->audience,
                       "iat", (json_int_t)now, "exp", (json_int_t)expires, "jti", id);
    if (!claims || (kind == &jmp_token_stream && json_object_set_new(claims, "nbf", json_integer((json_int_t)now)) < 0))
        return -ENOMEM;
    text = json_dumps(claims, JSON_COMPACT);
    if (!text)
        return -ENOMEM;

    size = (strlen(HEADER) + strlen(text) + MAC_SIZE) * 4 / 3 + 16;
    token = malloc(size);
    if (!token)
        return -ENOMEM;
    length = encode(HEADER, strlen(HEADER), token);
    token[length++] = '.';
    length += encode(text, strlen(text), token + length);
    r = mac(key, token, length, signature);
    if (r < 0)
        return r;
    token[length++] = '.';
    encode(signature, sizeof(signature), token + length);

    *ret = TAKE_PTR(token);
    return 0;
}

static int decode_json(const char *text, size_t length, json_t **ret)
{
    _cleanup_free_ unsigned char *plain = NULL;
    size_t size;
    json_t *json;
    int r;

    r = decode(text, length, &plain, &size);
    if (r < 0)
        return r;
    json = json_loadb((const char *)plain, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return -EBADMSG;
    }

    *ret = json;
    return 0;
}

static bool is_audience(const json_t *audience, const char *wanted)
{
    const json_t *item;
    size_t i;

    if (json_is_string(audience))
        return strcmp(json_string_value(audience), wanted) == 0;
    json_array_foreach(audience, i, item)
        if (json_is_string(item) && strcmp(json_string_value(item), wanted) == 0)
            return true;

    return false;
}

int jmp_token_verify(const struct jmp_key *key, const struct jmp_token_kind *kind, const char *token, int64_t now,
                     struct jmp_token *ret, struct jmp_error *reterr)
{
    _cleanup_(json_unref) json_t *header = NULL, *claims = NULL;
    _cleanup_free_ unsigned char *given = NULL;
    const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    const char *algorithm, *issuer, *subject;
    const json_t *expires, *not_before;
    unsigned char right[MAC_SIZE];
    size_t length;
    int r;

    if (strlen(token) > JMP_TOKEN_MAX || !second || strchr(second + 1, '.'))
        return jmp_error_set(reterr, -EBADMSG, "failed to authenticate token");
    r = decode_json(token, (size_t)(first - token), &header);
    if (r == 0)
        r = decode_json(first + 1, (size_t)(second - first - 1), &claims);
    if (r == 0)
        r = decode(second + 1, strlen(second + 1), &given, &length);
    if (r == -ENOMEM)
        return r;
    issuer = json_string_value(json_object_get(claims, "iss"));
    if (r < 0 || !issuer || strcmp(issuer, kind->issuer) != 0)
        return jmp_error_set(reterr, -EBADMSG, "failed to authenticate token");

    /* One algorithm, whatever the token would like, and no extension that we would have to understand. */
    algorithm = json_string_value(json_object_get(header, "alg"));
    if (!algorithm || strcmp(algorithm, "HS256") != 0 || json_object_get(header, "crit"))
        return jmp_error_set(reterr, -EKEYREJECTED,
                             "oidc: verify token: oidc: malformed jwt: unexpected signature algorithm");
    r = mac(key, token, (size_t)(second - token), right);
    if (r < 0)
        return r;
    if (length != MAC_SIZE || CRYPTO_memcmp(given, right, MAC_SIZE) != 0)
        return jmp_error_set(reterr, -EKEYREJECTED, "oidc: verify token: failed to verify signature");

    if (!is_audience(json_object_get(claims, "aud"), kind->audience))
        return jmp_error_set(reterr, -EKEYREJECTED, "oidc: verify token: oidc: expected audience \"%s\"",
                             kind->audience);
    expires = json_object_get(claims, "exp");
    subject = json_string_value(json_object_get(claims, "sub"));
    if (!json_is_integer(expires) || !subject || strlen(subject) >= JMP_SUBJECT_MAX)
        return jmp_error_set(reterr, -EKEYREJECTED, "oidc: verify token: oidc: claims are missing");
    not_before = json_object_get(claims, "nbf");
    if (not_before && (!json_is_integer(not_before) || json_integer_value(not_before) > now + CLOCK_SLACK))
        return jmp_error_set(reterr, -EKEYREJECTED,
                             "oidc: verify token: oidc: current time is before the token may be used");
    if (json_integer_value(expires) <= now) {
        char when[32] = "";
        time_t seconds = (time_t)json_integer_value(expires);
        struct tm tm;

        if (gmtime_r(&seconds, &tm))
            strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S +0000 UTC", &tm);
        return jmp_error_set(reterr, -EKEYEXPIRED, "oidc: verify token: oidc: token is expired (Token Expiry: %s)",
                             when);
    }

    *ret = (struct jmp_token){ .expires = json_integer_value(expires) };
    snprintf(ret->subject, sizeof(ret->subject), "%s", subject);
    return 0;
}
