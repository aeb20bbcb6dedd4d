/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/ca.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#include "base/test.h"

static X509 *first_of(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    assert_non_null(certificate);
    return certificate;
}

/* As a client would look at it: does it lead to the authority, is it for servers, does it have this name? */
static bool is_trusted(const struct jmp_ca *ca, const char *host, const char *address)
{
    X509 *authority = first_of(ca->ca), *server = first_of(ca->chain);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param;
    bool trusted;

    X509_STORE_add_cert(store, authority);
    X509_STORE_CTX_init(context, store, server, NULL);
    param = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
    if (host)
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    if (address)
        X509_VERIFY_PARAM_set1_ip_asc(param, address);
    trusted = X509_verify_cert(context) == 1;
    if (!trusted)
        print_message("%s: %s\n", host ? host : address,
                      X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));

    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(authority);
    X509_free(server);
    return trusted;
}

static void remove_file(const char *directory, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    unlink(path);
}

static unsigned mode_of(const char *directory, const char *name)
{
    char path[128];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

JMP_TEST(the_authority_stays_and_the_server_follows_its_names)
{
    static const char *const few[] = { "localhost", "127.0.0.1", "::1", NULL };
    static const char *const more[] = { "localhost", "127.0.0.1",   "::1", "lab.example.com",
                                        "192.0.2.7", "2001:db8::7", NULL };
    char directory[] = "/tmp/labd-ca-XXXXXX";
    struct jmp_error error = JMP_ERROR_INIT;
    _cleanup_(jmp_ca_clear) struct jmp_ca first = { 0 }, second = { 0 }, third = { 0 }, fourth = { 0 };
    bool issued;

    assert_non_null(mkdtemp(directory));
    assert_int_equal(jmp_ca_open(directory, few, &first, &issued, &error), 0);
    assert_true(issued);
    assert_int_equal(mode_of(directory, "ca.key"), 0600);
    assert_int_equal(mode_of(directory, "server.key"), 0600);
    assert_true(is_trusted(&first, "localhost", NULL));
    assert_true(is_trusted(&first, NULL, "127.0.0.1"));
    assert_true(is_trusted(&first, NULL, "::1"));
    assert_false(is_trusted(&first, "lab.example.com", NULL));
    assert_false(is_trusted(&first, NULL, "192.0.2.7"));

    assert_int_equal(jmp_ca_open(directory, few, &second, &issued, &error), 0);
    assert_false(issued);
    assert_string_equal(first.chain, second.chain);
    assert_string_equal(first.key, second.key);

    assert_int_equal(jmp_ca_open(directory, more, &third, &issued, &error), 0);
    assert_true(issued);
    assert_string_equal(first.ca, third.ca);
    assert_true(is_trusted(&third, "lab.example.com", NULL));
    assert_true(is_trusted(&third, NULL, "192.0.2.7"));
    assert_true(is_trusted(&third, NULL, "2001:db8::7"));

    /* One address fewer is no reason for a new certificate. */
    assert_int_equal(jmp_ca_open(directory, few, &fourth, &issued, &error), 0);
    assert_false(issued);

    /* A lost server key is made again, a lost authority key is a matter for people. */
    remove_file(directory, "server.key");
    jmp_ca_clear(&fourth);
    assert_int_equal(jmp_ca_open(directory, few, &fourth, &issued, &error), 0);
    assert_true(issued);
    assert_string_equal(first.ca, fourth.ca);
    remove_file(directory, "ca.key");
    jmp_ca_clear(&fourth);
    assert_int_equal(jmp_ca_open(directory, few, &fourth, &issued, &error), -ENOENT);
    assert_non_null(strstr(error.text, "ca.key is missing"));

    remove_file(directory, "ca.pem");
    remove_file(directory, "server.pem");
    remove_file(directory, "server.key");
    assert_int_equal(rmdir(directory), 0);
}

JMP_TEST(a_key_that_others_can_read_is_refused)
{
    static const char *const names[] = { "localhost", NULL };
    char directory[] = "/tmp/labd-ca-XXXXXX", path[64];
    struct jmp_error error = JMP_ERROR_INIT;
    _cleanup_(jmp_ca_clear) struct jmp_ca ca = { 0 };

    assert_non_null(mkdtemp(directory));
    assert_int_equal(jmp_ca_open(directory, names, &ca, NULL, &error), 0);
    jmp_ca_clear(&ca);
    snprintf(path, sizeof(path), "%s/ca.key", directory);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(jmp_ca_open(directory, names, &ca, NULL, &error), -EACCES);
    assert_null(ca.ca);

    remove_file(directory, "ca.key");
    remove_file(directory, "ca.pem");
    remove_file(directory, "server.pem");
    remove_file(directory, "server.key");
    assert_int_equal(rmdir(directory), 0);
}

static bool contains(char **names, const char *wanted)
{
    for (size_t i = 0; names[i]; i++)
        if (strcmp(names[i], wanted) == 0)
            return true;

    return false;
}

JMP_TEST(this_machine_has_names)
{
    static const char *const extra[] = {
        "lab.example.com", "192.0.2.7", "not a name", "", "a,DNS:b", "localhost", NULL
    };
    _cleanup_(jmp_ca_names_freep) char **names = NULL;

    assert_int_equal(jmp_ca_local_names(extra, &names), 0);
    assert_true(contains(names, "localhost"));
    assert_true(contains(names, "127.0.0.1"));
    assert_true(contains(names, "::1"));
    assert_true(contains(names, "lab.example.com"));
    assert_true(contains(names, "192.0.2.7"));
    assert_false(contains(names, "not a name"));
    assert_false(contains(names, "a,DNS:b"));
}
