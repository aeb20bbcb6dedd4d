/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/ca.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"

#define AUTHORITY_DAYS (20 * 365)
#define SERVER_DAYS (2 * 365)
#define RENEW_DAYS 120          /* a lab machine is restarted at least so often */
#define PEM_MAX (64u * 1024)

JMP_DEFINE_CLEANUP(X509 *, X509_free)
JMP_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
JMP_DEFINE_CLEANUP(BIO *, BIO_free_all)
JMP_DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free)
JMP_DEFINE_CLEANUP(GENERAL_NAME *, GENERAL_NAME_free)

static int openssl_failed(struct jmp_error *reterr, const char *what)
{
    char text[160] = "out of memory";
    unsigned long code = ERR_peek_last_error();

    if (code)
        ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return jmp_error_set(reterr, -EIO, "%s: %s", what, text);
}

void jmp_ca_clear(struct jmp_ca *ca)
{
    if (ca->key)
        OPENSSL_cleanse(ca->key, strlen(ca->key));
    free(ca->ca);
    free(ca->chain);
    free(ca->key);
    *ca = (struct jmp_ca){ 0 };
}

static int bio_text(BIO *bio, char **ret)
{
    char *data;
    long length = BIO_get_mem_data(bio, &data);

    *ret = strndup(data, (size_t)length);
    return *ret ? 0 : -ENOMEM;
}

static int certificate_text(X509 *certificate, char **ret, struct jmp_error *reterr)
{
    _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());

    if (!bio || PEM_write_bio_X509(bio, certificate) != 1)
        return openssl_failed(reterr, "cannot write a certificate");

    return bio_text(bio, ret);
}

static int key_text(EVP_PKEY *key, char **ret, struct jmp_error *reterr)
{
    _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_secmem());

    if (!bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return openssl_failed(reterr, "cannot write a key");

    return bio_text(bio, ret);
}

/* NAME.key and NAME.pem in @directory, the key first: an authority without its key would have to be replaced, and with
 * it every configuration file. */
static int save(const char *directory, const char *name, EVP_PKEY *key, X509 *certificate, struct jmp_error *reterr)
{
    _cleanup_free_ char *key_pem = NULL, *pem = NULL, *key_path = NULL, *path = NULL;
    int r;

    if ((r = key_text(key, &key_pem, reterr)) < 0 || (r = certificate_text(certificate, &pem, reterr)) < 0)
        return r;
    if (asprintf(&key_path, "%s/%s.key", directory, name) < 0 || asprintf(&path, "%s/%s.pem", directory, name) < 0)
        return -ENOMEM;
    r = jmp_file_write(key_path, key_pem, strlen(key_pem), 0600, reterr);
    OPENSSL_cleanse(key_pem, strlen(key_pem));
    return r < 0 ? r : jmp_file_write(path, pem, strlen(pem), 0644, reterr);
}

static int extension(X509 *certificate, X509 *issuer, int nid, const char *value, struct jmp_error *reterr)
{
    X509_EXTENSION *ext;
    X509V3_CTX context;
    int r = 0;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    ext = X509V3_EXT_nconf_nid(NULL, &context, nid, value);
    if (!ext || X509_add_ext(certificate, ext, -1) != 1)
        r = openssl_failed(reterr, "cannot add a certificate extension");
    X509_EXTENSION_free(ext);
    return r;
}

/* A certificate with everything but its names and signature. @issuer NULL: it is its own. */
static int certificate_new(EVP_PKEY *key, X509 *issuer, const char *common_name, int days, X509 **ret,
                           struct jmp_error *reterr)
{
    _cleanup_(X509_freep) X509 *certificate = X509_new();
    unsigned char serial[16];
    X509_NAME *name;
    BIGNUM *number;
    bool failed;

    if (!certificate || RAND_bytes(serial, sizeof(serial)) != 1)
        return openssl_failed(reterr, "cannot make a certificate");

    serial[0] &= 0x7f;   /* positive, as RFC 5280 has it */
    number = BN_bin2bn(serial, sizeof(serial), NULL);
    failed = !number || !BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);

    name = X509_get_subject_name(certificate);
    /* Valid from yesterday: the clock of a machine without battery may lag. Days and not time_t, which may end in
     * 2038. */
    if (failed || X509_set_version(certificate, X509_VERSION_3) != 1 || X509_set_pubkey(certificate, key) != 1 ||
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Jumpstarter lab", -1, -1, 0) != 1 ||
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0) != 1 ||
        X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : name) != 1 ||
        !X509_time_adj_ex(X509_getm_notBefore(certificate), -1, 0, NULL) ||
        !X509_time_adj_ex(X509_getm_notAfter(certificate), days, 0, NULL))
        return openssl_failed(reterr, "cannot make a certificate");

    *ret = TAKE_PTR(certificate);
    return 0;
}

static int authority_make(const char *directory, struct jmp_error *reterr)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    _cleanup_(X509_freep) X509 *certificate = NULL;
    char name[64], host[HOST_NAME_MAX + 1] = "";
    int r;

    if (!key)
        return openssl_failed(reterr, "cannot make a key");

    gethostname(host, sizeof(host) - 1);
    snprintf(name, sizeof(name), "%.32s lab authority", host[0] ? host : "this");
    r = certificate_new(key, NULL, name, AUTHORITY_DAYS, &certificate, reterr);
    if (r < 0)
        return r;
    if ((r = extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0", reterr)) < 0 ||
        (r = extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign", reterr)) < 0 ||
        (r = extension(certificate, certificate, NID_subject_key_identifier, "hash", reterr)) < 0)
        return r;
    if (!X509_sign(certificate, key, EVP_sha256()))
        return openssl_failed(reterr, "cannot sign the authority");

    return save(directory, "ca", key, certificate, reterr);
}

static int refuse_open_key(const char *path, struct jmp_error *reterr)
{
    struct stat st;
    int r;

    if (stat(path, &st) < 0)
        return jmp_error_set(reterr, -errno, "cannot read %s: %m", path);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return 0;

    r = jmp_error_set(reterr, -EACCES, "%s can be read by others than its owner", path);
    jmp_error_hint(reterr, "chmod 600 %s", path);
    return r;
}

/* Return: 0, -ENOENT when one of the two is missing, others with words. */
static int load_pair(const char *directory, const char *stem, X509 **retcertificate, EVP_PKEY **retkey,
                     struct jmp_error *reterr)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    _cleanup_(X509_freep) X509 *certificate = NULL;
    _cleanup_(BIO_free_allp) BIO *bio = NULL, *key_bio = NULL;
    _cleanup_free_ char *path = NULL, *key_path = NULL, *pem = NULL, *key_pem = NULL;
    size_t length, key_length;
    int r;

    if (asprintf(&path, "%s/%s.pem", directory, stem) < 0 || asprintf(&key_path, "%s/%s.key", directory, stem) < 0)
        return -ENOMEM;
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return -ENOENT;
    if (access(key_path, F_OK) < 0 && errno == ENOENT)
        return -ENOENT;

    r = refuse_open_key(key_path, reterr);
    if (r < 0)
        return r;
    if ((r = jmp_file_read(path, PEM_MAX, &pem, &length, reterr)) < 0 ||
        (r = jmp_file_read(key_path, PEM_MAX, &key_pem, &key_length, reterr)) < 0)
        return r;

    bio = BIO_new_mem_buf(pem, (int)length);
    key_bio = BIO_new_mem_buf(key_pem, (int)key_length);
    if (bio)
        certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (key_bio)
        key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    OPENSSL_cleanse(key_pem, key_length);
    ERR_clear_error();
    if (!certificate)
        return jmp_error_set(reterr, -EBADMSG, "%s is not a certificate", path);
    if (!key)
        return jmp_error_set(reterr, -EBADMSG, "%s is not a key", key_path);
    if (X509_check_private_key(certificate, key) != 1) {
        ERR_clear_error();
        return jmp_error_set(reterr, -EBADMSG, "%s does not belong to %s", key_path, path);
    }

    *retcertificate = TAKE_PTR(certificate);
    *retkey = TAKE_PTR(key);
    return 0;
}

static bool is_address(const char *name, unsigned char ret[16], size_t *retlength)
{
    if (inet_pton(AF_INET, name, ret) == 1) {
        *retlength = 4;
        return true;
    }
    *retlength = 16;
    return inet_pton(AF_INET6, name, ret) == 1;
}

static bool fits(X509 *certificate, X509 *authority, const char *const *names)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = X509_get_pubkey(authority);
    unsigned char address[16];
    int days, seconds;
    size_t length;

    if (!key || X509_verify(certificate, key) != 1)
        return false;
    if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) != 1 || days < RENEW_DAYS)
        return false;
    for (size_t i = 0; names[i]; i++) {
        bool known = is_address(names[i], address, &length) ? X509_check_ip(certificate, address, length, 0) == 1
                                                           : X509_check_host(certificate, names[i], 0, 0, NULL) == 1;

        if (!known)
            return false;
    }

    return true;
}

static int add_name(GENERAL_NAMES *names, const char *text)
{
    _cleanup_(GENERAL_NAME_freep) GENERAL_NAME *name = GENERAL_NAME_new();
    unsigned char address[16];
    size_t length;
    bool numeric = is_address(text, address, &length);
    ASN1_STRING *value = numeric ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();

    if (!name || !value ||
        ASN1_STRING_set(value, numeric ? (const void *)address : text, numeric ? (int)length : -1) != 1) {
        ASN1_STRING_free(value);
        return -ENOMEM;
    }
    GENERAL_NAME_set0_value(name, numeric ? GEN_IPADD : GEN_DNS, value);
    if (sk_GENERAL_NAME_push(names, name) <= 0)
        return -ENOMEM;

    name = NULL;
    return 0;
}

static int server_make(const char *directory, const char *const *names, X509 *authority, EVP_PKEY *authority_key,
                       struct jmp_error *reterr)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    _cleanup_(X509_freep) X509 *certificate = NULL;
    _cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *general = GENERAL_NAMES_new();
    int r;

    if (!key || !general)
        return openssl_failed(reterr, "cannot make a key");

    r = certificate_new(key, authority, "jmp-labd", SERVER_DAYS, &certificate, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; names[i]; i++)
        if (add_name(general, names[i]) < 0)
            return -ENOMEM;
    if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, general, 0, 0) != 1)
        return openssl_failed(reterr, "cannot name the server in its certificate");
    if ((r = extension(certificate, authority, NID_basic_constraints, "critical,CA:FALSE", reterr)) < 0 ||
        (r = extension(certificate, authority, NID_key_usage, "critical,digitalSignature", reterr)) < 0 ||
        (r = extension(certificate, authority, NID_ext_key_usage, "serverAuth", reterr)) < 0 ||
        (r = extension(certificate, authority, NID_authority_key_identifier, "keyid", reterr)) < 0)
        return r;
    if (!X509_sign(certificate, authority_key, EVP_sha256()))
        return openssl_failed(reterr, "cannot sign the server's certificate");

    return save(directory, "server", key, certificate, reterr);
}

int jmp_ca_open(const char *directory, const char *const *names, struct jmp_ca *ret, bool *retissued,
                struct jmp_error *reterr)
{
    _cleanup_(X509_freep) X509 *authority = NULL, *certificate = NULL;
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *authority_key = NULL, *key = NULL;
    _cleanup_(jmp_ca_clear) struct jmp_ca ca = { 0 };
    _cleanup_free_ char *leaf = NULL, *path = NULL;
    struct jmp_error damaged = JMP_ERROR_INIT;
    bool issued = false;
    int r;

    r = load_pair(directory, "ca", &authority, &authority_key, reterr);
    if (r == -ENOENT) {
        /* Half of the pair is worse than none: a new authority would silently break every file that was handed out. */
        if (asprintf(&path, "%s/ca.pem", directory) < 0)
            return -ENOMEM;
        if (access(path, F_OK) == 0) {
            r = jmp_error_set(reterr, -ENOENT, "%s/ca.key is missing", directory);
            jmp_error_hint(reterr,
                           "restore it from a backup, or move ca.pem away and create all clients and exporters anew");
            return r;
        }
        r = authority_make(directory, reterr);
        if (r < 0)
            return r;
        r = load_pair(directory, "ca", &authority, &authority_key, reterr);
    }
    if (r < 0)
        return r;

    /* A damaged or foreign server certificate is simply replaced; nobody but this server knows it. */
    r = load_pair(directory, "server", &certificate, &key, &damaged);
    if (r == -EACCES || r == -ENOMEM) {
        if (reterr)
            *reterr = damaged;
        return r;
    }
    if (r < 0 || !fits(certificate, authority, names)) {
        X509_free(TAKE_PTR(certificate));
        EVP_PKEY_free(TAKE_PTR(key));
        r = server_make(directory, names, authority, authority_key, reterr);
        if (r < 0)
            return r;
        r = load_pair(directory, "server", &certificate, &key, reterr);
        if (r < 0)
            return r;
        issued = true;
    }

    if ((r = certificate_text(authority, &ca.ca, reterr)) < 0 ||
        (r = certificate_text(certificate, &leaf, reterr)) < 0 || (r = key_text(key, &ca.key, reterr)) < 0)
        return r;
    if (asprintf(&ca.chain, "%s%s", leaf, ca.ca) < 0) {
        ca.chain = NULL;
        return -ENOMEM;
    }

    *ret = ca;
    ca = (struct jmp_ca){ 0 };
    if (retissued)
        *retissued = issued;
    return 0;
}

char **jmp_ca_names_free(char **names)
{
    if (names)
        for (size_t i = 0; names[i]; i++)
            free(names[i]);
    free(names);
    return NULL;
}

/* Letters, digits, '-', '_', '.', or an address. */
static bool can_be_named(const char *name)
{
    unsigned char address[16];
    size_t length = strlen(name);

    if (length == 0 || length > 253 || name[0] == '.' || name[0] == '-')
        return false;

    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == length ||
           is_address(name, address, &length);
}

static int names_add(char **names, size_t *count, const char *name)
{
    if (!can_be_named(name) || *count >= JMP_CA_NAMES_MAX)
        return 0;
    for (size_t i = 0; i < *count; i++)
        if (strcasecmp(names[i], name) == 0)
            return 0;

    names[*count] = strdup(name);
    if (!names[*count])
        return -ENOMEM;
    (*count)++;
    return 0;
}

int jmp_ca_local_names(const char *const *extra, char ***ret)
{
    static const char *const always[] = { "localhost", "127.0.0.1", "::1" };
    _cleanup_(jmp_ca_names_freep) char **names = calloc(JMP_CA_NAMES_MAX + 1, sizeof(*names));
    char host[HOST_NAME_MAX + 1] = "", text[INET6_ADDRSTRLEN];
    struct ifaddrs *interfaces = NULL;
    size_t count = 0;
    int r = 0;

    if (!names)
        return -ENOMEM;

    for (size_t i = 0; r == 0 && i < ELEMENTSOF(always); i++)
        r = names_add(names, &count, always[i]);
    for (size_t i = 0; r == 0 && extra && extra[i]; i++)
        r = names_add(names, &count, extra[i]);
    if (r == 0 && gethostname(host, sizeof(host) - 1) == 0 && host[0]) {
        char local[HOST_NAME_MAX + 16];
        size_t length = strcspn(host, ".");

        r = names_add(names, &count, host);
        if (r == 0 && host[length]) {
            snprintf(local, sizeof(local), "%.*s", (int)length, host);
            r = names_add(names, &count, local);
        }
        snprintf(local, sizeof(local), "%.*s.local", (int)length, host);
        if (r == 0)
            r = names_add(names, &count, local);
    }
    if (r < 0)
        return r;

    if (getifaddrs(&interfaces) < 0)
        return -errno;
    for (const struct ifaddrs *i = interfaces; i && r == 0; i = i->ifa_next) {
        const void *address = NULL;

        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
            continue;
        if (i->ifa_addr->sa_family == AF_INET)
            address = &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
        else if (i->ifa_addr->sa_family == AF_INET6 &&
                 !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr))
            address = &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
        if (address && inet_ntop(i->ifa_addr->sa_family, address, text, sizeof(text)))
            r = names_add(names, &count, text);
    }
    freeifaddrs(interfaces);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(names);
    return 0;
}
