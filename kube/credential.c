/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/credential.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/base64.h"
#include "base/child.h"
#include "base/file.h"
#include "kube/when.h"

#define FILE_AGE (30 * JMP_USEC_PER_SEC)
#define TOKEN_MAX (64u * 1024)
#define OUTPUT_MAX (1024u * 1024)
#define PROGRAM_LIMIT (60 * JMP_USEC_PER_SEC)
#define PERSON_LIMIT (300 * JMP_USEC_PER_SEC)
#define SET_MAX 64u

struct jmp_kube_credential {
    struct jmp_loop *loop;
    const struct jmp_kube_access *access;
    char *token, *certificate, *key;   /* from the file or the program */
    uint64_t read_at;                  /* of the file; jmp_now() */
    int64_t expires;                   /* what the program said, microseconds since 1970; 0: not said */
    bool fetched;

    struct jmp_child *child;
    struct jmp_io io;
    struct jmp_timer limit;
    int out;                           /* our end of its output */
    char *output;
    size_t length;
    bool output_ended, too_large;
    void (*done)(const struct jmp_error *error, void *user);
    void *user;
};

static void forget(struct jmp_kube_credential *credential)
{
    free(credential->token);
    free(credential->certificate);
    free(credential->key);
    credential->token = credential->certificate = credential->key = NULL;
    credential->fetched = false;
}

static int read_token(struct jmp_kube_credential *credential, struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    size_t length, start;
    int r;

    if (credential->token && jmp_now() - credential->read_at < FILE_AGE)
        return 0;
    r = jmp_file_read(credential->access->token_file, TOKEN_MAX, &text, &length, reterr);
    if (r < 0) {
        /* It may be in the middle of being renewed; the old one is good until the server refuses it. */
        return credential->token ? 0 : r;
    }
    start = strspn(text, " \t\r\n");
    length = strcspn(text + start, " \t\r\n");
    if (length == 0) {
        jmp_error_set(reterr, -EINVAL, "the token is empty");
        jmp_error_at(reterr, credential->access->token_file, 0, 0, NULL);
        return -EINVAL;
    }
    free(credential->token);
    credential->token = strndup(text + start, length);
    credential->read_at = jmp_now();
    return credential->token ? 0 : jmp_error_set(reterr, -ENOMEM, "%m");
}

static bool has_expired(const struct jmp_kube_credential *credential)
{
    return credential->expires > 0 && (int64_t)time(NULL) * (int64_t)JMP_USEC_PER_SEC >= credential->expires;
}

int jmp_kube_credential_get(struct jmp_kube_credential *credential, struct jmp_kube_identity *ret,
                            struct jmp_error *reterr)
{
    const struct jmp_kube_access *access = credential->access;

    if (access->exec && (!credential->fetched || has_expired(credential)))
        return -EAGAIN;
    if (access->token_file) {
        int r = read_token(credential, reterr);

        if (r < 0)
            return r;
    }
    ret->token = credential->token ?: access->token;
    ret->certificate = credential->certificate ?: access->certificate;
    ret->key = credential->key ?: access->key;
    return 0;
}

bool jmp_kube_credential_refuse(struct jmp_kube_credential *credential)
{
    if (!credential->access->exec && !credential->access->token_file)
        return false;

    forget(credential);
    return true;
}

/*
 * The program.
 */

static int take_string(const json_t *status, const char *key, char **ret)
{
    const char *text = json_string_value(json_object_get(status, key));

    if (!text || !*text)
        return 0;
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

static int read_answer(struct jmp_kube_credential *credential, const json_t *answer, struct jmp_error *reterr)
{
    const char *version = json_string_value(json_object_get(answer, "apiVersion"));
    const json_t *status = json_object_get(answer, "status");
    const char *expires = json_string_value(json_object_get(status, "expirationTimestamp"));
    int r;

    if (!version || strcmp(version, credential->access->exec->api_version) != 0)
        return jmp_error_set(reterr, -EPROTO, "it answered in apiVersion \"%s\", %s was asked for", version ?: "",
                             credential->access->exec->api_version);
    r = take_string(status, "token", &credential->token);
    if (r == 0)
        r = take_string(status, "clientCertificateData", &credential->certificate);
    if (r == 0)
        r = take_string(status, "clientKeyData", &credential->key);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    if (!credential->certificate != !credential->key)
        return jmp_error_set(reterr, -EPROTO, "it gave half of a certificate and key");
    if (!credential->token && !credential->certificate)
        return jmp_error_set(reterr, -EPROTO, "it gave neither a token nor a certificate");
    credential->expires = 0;
    if (expires && jmp_kube_time_parse(expires, &credential->expires) < 0)
        return jmp_error_set(reterr, -EPROTO, "its expirationTimestamp is no time");
    credential->fetched = true;
    return 0;
}

static void conclude(struct jmp_kube_credential *credential, int code)
{
    const struct jmp_kube_exec *exec = credential->access->exec;
    struct jmp_error error = JMP_ERROR_INIT;
    json_t *answer = NULL;

    forget(credential);
    if (credential->too_large) {
        jmp_error_set(&error, -E2BIG, "its answer is longer than %u bytes", OUTPUT_MAX);
    } else if (code < 0) {
        jmp_error_set(&error, -ETIMEDOUT, "it took too long");
    } else if (code > 0) {
        jmp_error_set(&error, -EACCES, "it failed with exit code %d", code);
    } else {
        answer = json_loadb(credential->output ?: "", credential->length, 0, NULL);
        if (!answer)
            jmp_error_set(&error, -EPROTO, "its answer is not JSON");
        else if (read_answer(credential, answer, &error) < 0)
            forget(credential);
    }
    json_decref(answer);

    jmp_io_close(&credential->io);
    jmp_timer_stop(&credential->limit);
    credential->out = jmp_close(credential->out);
    credential->child = jmp_child_free(credential->child);
    free(TAKE_PTR(credential->output));
    credential->length = 0;

    if (error.error < 0) {
        jmp_error_prefix(&error, "%s gives no credential", exec->command);
        if (exec->install_hint)
            jmp_error_hint(&error, "%s", exec->install_hint);
    }
    credential->done(error.error < 0 ? &error : NULL, credential->user);
}

static void conclude_if_ended(struct jmp_kube_credential *credential)
{
    if (credential->output_ended && jmp_child_has_ended(credential->child))
        conclude(credential, jmp_child_code(credential->child));
}

static void on_exited(struct jmp_child *child, void *user) { conclude_if_ended(user); }

static void on_limit(struct jmp_timer *timer) { conclude(CONTAINER_OF(timer, struct jmp_kube_credential, limit), -1); }

static void on_output(struct jmp_io *io, uint32_t revents)
{
    struct jmp_kube_credential *credential = CONTAINER_OF(io, struct jmp_kube_credential, io);
    char *more = realloc(credential->output, credential->length + 4096);
    ssize_t n = -1;

    if (more) {
        credential->output = more;
        n = read(io->fd, more + credential->length, 4096);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
    }
    if (n > 0 && credential->length + (size_t)n <= OUTPUT_MAX) {
        credential->length += (size_t)n;
        return;
    }
    credential->too_large = n > 0;
    credential->output_ended = true;
    jmp_io_close(&credential->io);
    credential->out = jmp_close(credential->out);
    conclude_if_ended(credential);
}

/* What the program is told: KUBERNETES_EXEC_INFO. free() the result. */
static char *print_info(const struct jmp_kube_access *access, bool interactive)
{
    json_t *spec = json_pack("{s:b}", "interactive", interactive), *info;
    char *text;

    if (access->exec->provide_cluster_info) {
        json_t *cluster = json_pack("{s:s, s:s*, s:b, s:s*}", "server", access->server, "tls-server-name",
                                    access->tls_server_name, "insecure-skip-tls-verify", access->insecure, "proxy-url",
                                    access->proxy);

        if (access->ca) {
            _cleanup_free_ char *ca = jmp_base64_encode(access->ca, strlen(access->ca));

            json_object_set_new(cluster, "certificate-authority-data", json_string(ca));
        }
        json_object_set_new(spec, "cluster", cluster);
    }
    info =
        json_pack("{s:s, s:s, s:o}", "apiVersion", access->exec->api_version, "kind", "ExecCredential", "spec", spec);
    text = json_dumps(info, JSON_COMPACT);
    json_decref(info);
    return text;
}

/* "NAME=VALUE" for the program; the strings belong to the array. */
static void free_set(char *(*set)[SET_MAX])
{
    for (size_t i = 0; i < SET_MAX; i++)
        free((*set)[i]);
}

static int make_set(const struct jmp_kube_access *access, bool interactive, char *(*ret)[SET_MAX])
{
    _cleanup_free_ char *info = print_info(access, interactive);
    size_t count = 0;

    if (!info || asprintf(&(*ret)[count], "KUBERNETES_EXEC_INFO=%s", info) < 0) {
        (*ret)[count] = NULL;
        return -ENOMEM;
    }
    JMP_NODE_EACH(variable, access->exec->env) {
        if (++count == SET_MAX - 1)
            return -E2BIG;
        if (asprintf(&(*ret)[count], "%s=%s", jmp_node_string(jmp_node_get(variable, "name")),
                     jmp_node_string(jmp_node_get(variable, "value"))) < 0) {
            (*ret)[count] = NULL;
            return -ENOMEM;
        }
    }
    return 0;
}

int jmp_kube_credential_fetch(struct jmp_kube_credential *credential,
                              void (*fetched)(const struct jmp_error *error, void *user), void *user,
                              struct jmp_error *reterr)
{
    const struct jmp_kube_exec *exec = credential->access->exec;
    bool interactive = exec->interactive != JMP_KUBE_NEVER && isatty(STDIN_FILENO);
    _cleanup_(free_set) char *set[SET_MAX] = { NULL };
    _cleanup_close_pair_ int output[2] = { -EBADF, -EBADF };
    _cleanup_close_ int null = -EBADF;
    _cleanup_free_ char **argv = calloc((exec->args ? exec->args->count : 0) + 2, sizeof(*argv));
    struct jmp_child_options options = { .argv = argv, .set = set };
    size_t count = 0;
    int r;

    if (exec->interactive == JMP_KUBE_ALWAYS && !interactive)
        return jmp_error_set(reterr, -ENOTTY, "%s wants to ask somebody, and there is no terminal", exec->command);
    if (!argv)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    argv[count++] = (char *)exec->command;
    JMP_NODE_EACH(arg, exec->args)
        argv[count++] = (char *)arg->string;
    r = make_set(credential->access, interactive, &set);
    if (r < 0)
        return jmp_error_set(reterr, r, "the environment of %s cannot be made: %m", exec->command);

    null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || pipe2(output, O_CLOEXEC | O_NONBLOCK) < 0 || fcntl(output[1], F_SETFL, 0) < 0)
        return jmp_error_set(reterr, -errno, "%s cannot be heard: %m", exec->command);
    options.in = interactive ? 0 : null;
    options.out = output[1];
    r = jmp_child_start(credential->loop, &options, on_exited, credential, &credential->child, reterr);
    if (r < 0) {
        if (exec->install_hint)
            jmp_error_hint(reterr, "%s", exec->install_hint);
        return r;
    }
    credential->output_ended = credential->too_large = false;
    credential->done = fetched;
    credential->user = user;
    credential->out = TAKE_FD(output[0]);
    r = jmp_io_start(credential->loop, &credential->io, credential->out, EPOLLIN, on_output);
    if (r == 0)
        r = jmp_timer_start(credential->loop, &credential->limit, interactive ? PERSON_LIMIT : PROGRAM_LIMIT, on_limit);
    if (r < 0) {
        jmp_io_close(&credential->io);
        credential->out = jmp_close(credential->out);
        credential->child = jmp_child_free(credential->child);
        return jmp_error_set(reterr, r, "%s cannot be heard: %m", exec->command);
    }
    return 0;
}

int jmp_kube_credential_new(struct jmp_loop *loop, const struct jmp_kube_access *access,
                            struct jmp_kube_credential **ret)
{
    struct jmp_kube_credential *credential = calloc(1, sizeof(*credential));

    if (!credential)
        return -ENOMEM;
    credential->loop = loop;
    credential->access = access;
    credential->out = -EBADF;
    *ret = credential;
    return 0;
}

struct jmp_kube_credential *jmp_kube_credential_free(struct jmp_kube_credential *credential)
{
    if (!credential)
        return NULL;

    jmp_io_close(&credential->io);
    jmp_timer_close(&credential->limit);
    jmp_close(credential->out);
    jmp_child_free(credential->child);
    free(credential->output);
    forget(credential);
    free(credential);
    return NULL;
}
