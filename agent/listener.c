/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/listener.h"

#include <ctype.h>
#include <string.h>

#include "agent/session.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/loop.h"

#define PASSPHRASE_HEADER "x-jumpstarter-passphrase"
#define PASSPHRASE_MAX 1024u
#define PEM_MAX (256u * 1024)

int jmp_listener_check(const struct jmp_listener_flags *flags, struct jmp_error *reterr)
{
    bool with_tls = flags->cert_file || flags->key_file;

    if (!flags->listen) {
        const char *alone = with_tls ? "--tls-cert and --tls-key" : flags->insecure ? "--tls-grpc-insecure" :
            flags->passphrase ? "--passphrase" : flags->passphrase_file ? "--passphrase-file" : NULL;

        if (!alone)
            return 0;
        jmp_error_set(reterr, -EINVAL, "%s means nothing without a listener", alone);
        jmp_error_hint(reterr, "add --tls-grpc-listener [HOST:]PORT");
        return -EINVAL;
    }
    if (flags->insecure && with_tls)
        return jmp_error_set(reterr, -EINVAL, "--tls-grpc-insecure and --tls-cert exclude each other");
    if (!flags->insecure && !(flags->cert_file && flags->key_file)) {
        jmp_error_set(reterr, -EINVAL, with_tls ? "--tls-cert and --tls-key belong together" :
                      "a listener needs a certificate and its key");
        jmp_error_hint(reterr, "give --tls-cert FILE --tls-key FILE, or --tls-grpc-insecure in a network you trust");
        return -EINVAL;
    }
    if (flags->passphrase && flags->passphrase_file)
        return jmp_error_set(reterr, -EINVAL, "--passphrase and --passphrase-file exclude each other");
    return jmp_listener_parse(flags->listen, NULL, reterr);
}

int jmp_listener_parse(const char *text, struct jmp_listener *ret, struct jmp_error *reterr)
{
    const char *colon = strrchr(text, ':'), *digits = colon ? colon + 1 : text, *host = "0.0.0.0";
    size_t length = strlen(host);
    unsigned long port;
    char *end;

    port = strtoul(digits, &end, 10);
    if (!isdigit((unsigned char)*digits) || *end || port > 65535) {
        jmp_error_set(reterr, -EINVAL, "--tls-grpc-listener %.100s: the port is not a number from 0 to 65535", text);
        jmp_error_hint(reterr, "write PORT or HOST:PORT, for example 0.0.0.0:19090; 0 takes any free port");
        return -EINVAL;
    }
    if (colon && colon > text) {
        host = text;
        length = (size_t)(colon - text);
        if (*host == '[' && length > 2 && host[length - 1] == ']') {
            host++;
            length -= 2;
        } else if (memchr(host, ':', length)) {
            jmp_error_set(reterr, -EINVAL, "--tls-grpc-listener %.100s: the host is not clear", text);
            jmp_error_hint(reterr, "put an IPv6 address in brackets: [::]:19090");
            return -EINVAL;
        }
    }
    if (length >= JMP_LISTENER_HOST || strcspn(host, " \t\r\n/%") < length)
        return jmp_error_set(reterr, -EINVAL, "--tls-grpc-listener %.100s: not a host", text);

    if (ret) {
        memcpy(ret->host, host, length);
        ret->host[length] = '\0';
        ret->port = (unsigned)port;
        snprintf(ret->address, sizeof(ret->address), strchr(ret->host, ':') ? "[%s]:%lu" : "%s:%lu", ret->host, port);
    }
    return 0;
}

static int read_passphrase(const char *path, char **ret, struct jmp_error *reterr)
{
    size_t length;
    int r;

    r = jmp_file_read(path, PASSPHRASE_MAX, ret, &length, reterr);
    if (r < 0)
        return r;
    while (length > 0 && ((*ret)[length - 1] == '\n' || (*ret)[length - 1] == '\r'))
        (*ret)[--length] = '\0';
    return 0;
}

/* What no client could send in a header would lock everybody out. */
static int check_passphrase(const char *passphrase, struct jmp_error *reterr)
{
    if (!*passphrase)
        return jmp_error_set(reterr, -EINVAL, "the passphrase is empty");
    if (strlen(passphrase) > PASSPHRASE_MAX)
        return jmp_error_set(reterr, -EINVAL, "the passphrase is longer than %u characters", PASSPHRASE_MAX);
    for (const char *c = passphrase; *c; c++)
        if (*c < ' ' || *c > '~')
            return jmp_error_set(reterr, -EINVAL, "the passphrase has a character that is not printable ASCII");
    return 0;
}

int jmp_listener_load(const struct jmp_listener_flags *flags, struct jmp_listener **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_listener_freep) struct jmp_listener *listener = calloc(1, sizeof(*listener));
    size_t length;
    int r;

    if (!listener)
        return jmp_error_set(reterr, -ENOMEM, "%m");

    r = jmp_listener_parse(flags->listen, listener, reterr);
    if (r < 0)
        return r;
    if (flags->cert_file) {
        r = jmp_file_read(flags->cert_file, PEM_MAX, &listener->cert, &length, reterr);
        if (r < 0)
            return r;
        r = jmp_file_read(flags->key_file, PEM_MAX, &listener->key, &length, reterr);
        if (r < 0)
            return r;
    }
    if (flags->passphrase_file) {
        r = read_passphrase(flags->passphrase_file, &listener->passphrase, reterr);
        if (r < 0)
            return r;
    } else if (flags->passphrase) {
        listener->passphrase = strdup(flags->passphrase);
        if (!listener->passphrase)
            return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    if (listener->passphrase) {
        r = check_passphrase(listener->passphrase, reterr);
        if (r < 0)
            return r;
    }

    *ret = TAKE_PTR(listener);
    return 0;
}

static void forget(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

struct jmp_listener *jmp_listener_free(struct jmp_listener *listener)
{
    if (!listener)
        return NULL;
    free(listener->cert);
    forget(listener->key);
    forget(listener->passphrase);
    free(listener);
    return NULL;
}

bool jmp_listener_same_secret(const char *given, const char *secret)
{
    size_t given_length = strlen(given), secret_length = strlen(secret);
    volatile unsigned char differs = given_length != secret_length;

    for (size_t i = 0; i < given_length; i++)
        differs |= (unsigned char)(given[i] ^ secret[secret_length ? i % secret_length : 0]);
    return !differs;
}

bool jmp_listener_admit(struct jmp_rpc *rpc, void *user)
{
    static struct jmp_log_rate rate;
    const struct jmp_door *door = user;
    unsigned count;
    const char *given = jmp_rpc_metadata(rpc, PASSPHRASE_HEADER, &count);

    if (given && count == 1 && jmp_listener_same_secret(given, door->passphrase))
        return true;

    /* Whoever guesses gets no more than a few lines a second of our log. */
    if (jmp_log_may(&rate))
        jmp_log(JMP_LOG_WARNING, FIELDS(.peer = jmp_rpc_peer(rpc)),
                "authentication failed: invalid or missing passphrase for method %.100s", jmp_rpc_path(rpc));
    jmp_rpc_finish(rpc, JMP_UNAUTHENTICATED, "invalid or missing passphrase");
    return false;
}
