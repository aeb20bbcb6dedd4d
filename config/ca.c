/* SPDX-License-Identifier: Apache-2.0 */
#include "config/ca.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/base64.h"

#define HOW_TO "base64 -w0 ca.crt prints what belongs here"

static int check_certificates(const char *pem, size_t length, struct jmp_error *reterr)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)length);
    unsigned count = 0;
    unsigned long error;
    X509 *certificate;

    if (!bio)
        return jmp_error_set(reterr, -ENOMEM, "%m");

    ERR_clear_error();
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        X509_free(certificate);
        count++;
    }
    error = ERR_peek_last_error();
    ERR_clear_error();
    BIO_free(bio);

    /* The end of the text is an error, too. */
    if (ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE) {
        if (count > 0)
            return 0;
        jmp_error_set(reterr, -EINVAL, "no certificate in it");
    } else {
        jmp_error_set(reterr, -EINVAL, "certificate %u is damaged or cut short", count + 1);
    }
    jmp_error_hint(reterr, HOW_TO);
    return -EINVAL;
}

int jmp_ca_decode(const char *base64, struct jmp_tree *tree, const char **ret, struct jmp_error *reterr)
{
    size_t length = strlen(base64);
    ssize_t n;
    char *pem;
    int r;

    if (strstr(base64, "-----BEGIN")) {
        jmp_error_set(reterr, -EINVAL, "expected base64 of the certificates, found the certificates themselves");
        jmp_error_hint(reterr, HOW_TO);
        return -EINVAL;
    }

    pem = jmp_tree_alloc(tree, length / 4 * 3 + 4);
    if (!pem)
        return jmp_error_set(reterr, -ENOMEM, "%m");

    n = jmp_base64_decode(base64, pem);
    if (n < 0 || memchr(pem, 0, (size_t)n)) {
        jmp_error_set(reterr, -EINVAL, "expected base64 of PEM certificates");
        jmp_error_hint(reterr, HOW_TO);
        return -EINVAL;
    }
    r = check_certificates(pem, (size_t)n, reterr);
    if (r < 0)
        return r;

    *ret = pem;
    return 0;
}
