/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/stat.h>

#include "base/test.h"

#define NOW INT64_C(1800000000)

static const struct jmp_key our_key = { "0123456789abcdef0123456789abcde" };
static const struct jmp_key their_key = { "0123456789abcdef0123456789abcdf" };

/* A token of any content, signed with any key: what an attacker can make. */
static char *forge(const struct jmp_key *key, const char *header, const char *claims)
{
    static char token[8192];
    unsigned char signature[32];
    const char *parts[2] = { header, claims };
    size_t length = 0;
    unsigned size = 0;

    for (int i = 0; i < 3; i++) {
        const unsigned char *data = i < 2 ? (const unsigned char *)parts[i] : signature;
        size_t bytes = i < 2 ? strlen(parts[i]) : size;
        size_t start;

        if (i == 2) {
            HMAC(EVP_sha256(), key->bytes, sizeof(key->bytes), (const unsigned char *)token, length, signature, &size);
            bytes = size;
        }
        if (i > 0)
            token[length++] = '.';
        start = length;
        length += (size_t)EVP_EncodeBlock((unsigned char *)token + length, data, (int)bytes);
        while (length > start && token[length - 1] == '=')
            length--;
        token[length] = '\0';
        for (size_t j = start; j < length; j++)
            token[j] = token[j] == '+' ? '-' : token[j] == '/' ? '_' : token[j];
    }

    return token;
}

#define GOOD "{\"alg\":\"HS256\"}"
#define CLAIMS(issuer, audience, rest) "{\"iss\":\"" issuer "\",\"aud\":" audience "," rest "}"
#define LAB "https://jumpstarter.dev/labd"
#define REST "\"sub\":\"client:default:me:1\",\"exp\":1800000001"

JMP_TEST(a_token_says_who_it_is_for)
{
    _cleanup_free_ char *token = NULL, *stream = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_token claims;

    assert_int_equal(jmp_token_sign(&our_key, &jmp_token_identity, "client:default:me:1", NOW, NOW + 60, &token), 0);
    assert_int_equal(strspn(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."), strlen(token));
    assert_int_equal(jmp_token_verify(&our_key, &jmp_token_identity, token, NOW, &claims, &error), 0);
    assert_string_equal(claims.subject, "client:default:me:1");
    assert_int_equal(claims.expires, NOW + 60);

    assert_int_equal(jmp_token_sign(&our_key, &jmp_token_stream, "s", NOW, NOW + 60, &stream), 0);
    assert_int_equal(jmp_token_verify(&our_key, &jmp_token_stream, stream, NOW, &claims, &error), 0);
    /* One purpose each, even with the same key. */
    assert_int_equal(jmp_token_verify(&our_key, &jmp_token_identity, stream, NOW, &claims, &error), -EBADMSG);
    assert_int_equal(jmp_token_verify(&our_key, &jmp_token_stream, token, NOW, &claims, &error), -EBADMSG);
}

JMP_TEST(forged_tokens_are_refused)
{
    static const struct {
        const char *name, *header, *claims;
        bool their;
        int result;
        const char *words;
    } cases[] = {
        { "good", GOOD, CLAIMS(LAB, "[\"jumpstarter\"]", REST), false, 0, "" },
        { "one audience as a string", GOOD, CLAIMS(LAB, "\"jumpstarter\"", REST), false, 0, "" },
        { "another key", GOOD, CLAIMS(LAB, "[\"jumpstarter\"]", REST), true, -EKEYREJECTED,
          "failed to verify signature" },
        { "no algorithm", "{\"alg\":\"none\"}", CLAIMS(LAB, "[\"jumpstarter\"]", REST), false, -EKEYREJECTED,
          "algorithm" },
        { "another algorithm", "{\"alg\":\"ES256\"}", CLAIMS(LAB, "[\"jumpstarter\"]", REST), false, -EKEYREJECTED,
          "algorithm" },
        { "lower case", "{\"alg\":\"hs256\"}", CLAIMS(LAB, "[\"jumpstarter\"]", REST), false, -EKEYREJECTED,
          "algorithm" },
        { "algorithm missing", "{}", CLAIMS(LAB, "[\"jumpstarter\"]", REST), false, -EKEYREJECTED, "algorithm" },
        { "algorithm is a list", "{\"alg\":[\"HS256\"]}", CLAIMS(LAB, "[\"jumpstarter\"]", REST), false, -EKEYREJECTED,
          "algorithm" },
        { "critical extension", "{\"alg\":\"HS256\",\"crit\":[\"x\"]}", CLAIMS(LAB, "[\"jumpstarter\"]", REST), false,
          -EKEYREJECTED, "algorithm" },
        { "two algorithms", "{\"alg\":\"none\",\"alg\":\"HS256\"}", CLAIMS(LAB, "[\"jumpstarter\"]", REST), false,
          -EBADMSG, "failed to authenticate token" },
        { "another issuer", GOOD, CLAIMS("https://localhost:8085", "[\"jumpstarter\"]", REST), false, -EBADMSG,
          "failed to authenticate token" },
        { "another audience", GOOD, CLAIMS(LAB, "[\"other\"]", REST), false, -EKEYREJECTED, "audience" },
        { "no audience", GOOD, CLAIMS(LAB, "[]", REST), false, -EKEYREJECTED, "audience" },
        { "expired", GOOD, CLAIMS(LAB, "[\"jumpstarter\"]", "\"sub\":\"x\",\"exp\":1800000000"), false, -EKEYEXPIRED,
          "token is expired (Token Expiry: 2027-01-15" },
        { "no expiry", GOOD, CLAIMS(LAB, "[\"jumpstarter\"]", "\"sub\":\"x\""), false, -EKEYREJECTED, "missing" },
        { "expiry as text", GOOD, CLAIMS(LAB, "[\"jumpstarter\"]", "\"sub\":\"x\",\"exp\":\"9999999999\""), false,
          -EKEYREJECTED, "missing" },
        { "no subject", GOOD, CLAIMS(LAB, "[\"jumpstarter\"]", "\"exp\":1800000001"), false, -EKEYREJECTED, "missing" },
        { "not yet", GOOD, CLAIMS(LAB, "[\"jumpstarter\"]", REST ",\"nbf\":1800000100"), false, -EKEYREJECTED,
          "before" },
        { "a clock set back a little", GOOD, CLAIMS(LAB, "[\"jumpstarter\"]", REST ",\"nbf\":1800000010"), false, 0,
          "" },
        { "claims are no object", GOOD, "[]", false, -EBADMSG, "failed to authenticate token" },
        { "claims are no JSON", GOOD, "hello", false, -EBADMSG, "failed to authenticate token" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_error error = JMP_ERROR_INIT;
        struct jmp_token claims = { .subject = "untouched" };
        const char *token = forge(cases[i].their ? &their_key : &our_key, cases[i].header, cases[i].claims);
        int r = jmp_token_verify(&our_key, &jmp_token_identity, token, NOW, &claims, &error);

        print_message("%s: %s\n", cases[i].name, error.text);
        assert_int_equal(r, cases[i].result);
        assert_non_null(strstr(error.text, cases[i].words));
        if (r < 0)
            assert_string_equal(claims.subject, "untouched");
    }
}

JMP_TEST(damaged_tokens_are_refused)
{
    static const char *const broken[] = {
        "", ".", "..", "...", "a.b.c", "eyJ.e30.", "not a token at all", "e30.e30.e30", "a+b.e30.AA", "e30=.e30=.AA=="
    };
    _cleanup_free_ char *token = NULL, *huge = calloc(1, JMP_TOKEN_MAX + 100);
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_token claims;
    size_t length;

    for (size_t i = 0; i < ELEMENTSOF(broken); i++)
        assert_int_equal(jmp_token_verify(&our_key, &jmp_token_identity, broken[i], NOW, &claims, &error), -EBADMSG);

    /* No single changed character gets through. */
    assert_int_equal(jmp_token_sign(&our_key, &jmp_token_identity, "client:default:me:1", NOW, NOW + 60, &token), 0);
    length = strlen(token);
    for (size_t i = 0; i < length; i++) {
        char was = token[i];

        token[i] = was == 'A' ? 'B' : 'A';
        /* The last character of the signature carries two bits that mean nothing. */
        if (i + 1 < length)
            assert_true(jmp_token_verify(&our_key, &jmp_token_identity, token, NOW, &claims, NULL) < 0);
        token[i] = was;
    }
    for (size_t cut = 0; cut < length; cut++) {
        char was = token[cut];

        token[cut] = '\0';
        assert_true(jmp_token_verify(&our_key, &jmp_token_identity, token, NOW, &claims, NULL) < 0);
        token[cut] = was;
    }

    memset(huge, 'A', JMP_TOKEN_MAX + 50);
    huge[100] = huge[200] = '.';
    assert_int_equal(jmp_token_verify(&our_key, &jmp_token_identity, huge, NOW, &claims, &error), -EBADMSG);
}

JMP_TEST(a_key_is_made_once_and_kept_private)
{
    char directory[] = "/tmp/labd-key-XXXXXX", path[64];
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_key first, second;
    struct stat st;

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/token.key", directory);
    assert_int_equal(jmp_key_load(path, &first, &error), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(jmp_key_load(path, &second, &error), 0);
    assert_memory_equal(&first, &second, sizeof(first));

    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(jmp_key_load(path, &second, &error), -EACCES);
    assert_non_null(strstr(error.hint, "chmod 600"));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 31), 0);
    assert_int_equal(jmp_key_load(path, &second, &error), -EBADMSG);

    unlink(path);
    assert_int_equal(jmp_key_load(path, &second, &error), 0);
    assert_memory_not_equal(&first, &second, sizeof(first));
    unlink(path);
    /* No temporary file stays behind. */
    assert_int_equal(rmdir(directory), 0);
}
