/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/server.h"

#include <grpc/grpc_posix.h>
#include <grpc/slice.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "rpc/accept.h"
#include "rpc/internal.h"

/* Calls asked for ahead of their coming. */
#define WAITING 8
/* Streams of one connection that may be open at a time. */
#define STREAMS_MAX 1024

struct waiting {
    struct jmp_tag tag;
    struct jmp_server *server;
    struct jmp_rpc *rpc;
};

struct jmp_server {
    struct jmp_queue *queue;
    struct jmp_server_options options;
    grpc_server *server;
    struct jmp_rpc *live;
    struct waiting waiting[WAITING];
    unsigned armed;
    bool started, stopping, stopped, freed;
    bool listens;

    struct jmp_tag shutdown_tag;
    struct jmp_timer grace;
    void (*done)(void *user);
    void *done_user;
};

static void maybe_destroy(struct jmp_server *server)
{
    if (!server->freed || !server->stopped || server->armed > 0)
        return;
    grpc_server_destroy(server->server);
    if (server->listens)
        jmp_accept_drop();
    jmp_queue_drop(server->queue);
    free(server);
}

static void arm(struct waiting *waiting)
{
    struct jmp_server *server = waiting->server;
    struct jmp_rpc *rpc;

    if (server->stopping)
        return;
    rpc = jmp_rpc_new(server->queue, &server->live);
    if (!rpc)
        return;   /* one place fewer until the next call; the others go on */
    rpc->is_server = true;
    grpc_call_details_init(&rpc->details);
    waiting->rpc = rpc;
    if (grpc_server_request_call(server->server, &rpc->call, &rpc->details, &rpc->headers, jmp_queue_cq(server->queue),
                                 jmp_queue_cq(server->queue), &waiting->tag) != GRPC_CALL_OK) {
        jmp_rpc_release(rpc);
        return;
    }
    server->armed++;
}

static const struct jmp_handler *find(struct jmp_server *server, const grpc_slice *path)
{
    for (const struct jmp_handler *handler = server->options.handlers; handler && handler->method; handler++) {
        if (grpc_slice_str_cmp(*path, handler->method->path) == 0)
            return handler;
    }
    return NULL;
}

/* Until the request is there, the call belongs to the server. */
static void request_message(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    struct jmp_server *server = user;
    const struct jmp_handler *handler = find(server, &rpc->details.method);

    jmp_rpc_listen(rpc, NULL, NULL);
    if (!message) {
        jmp_rpc_finish(rpc, JMP_INTERNAL, "the request is missing");
        return;
    }
    handler->start(rpc, message, server->options.user);
}

static const struct jmp_rpc_events request_events = { .message = request_message };

static void begin(struct jmp_server *server, struct jmp_rpc *rpc)
{
    const struct jmp_handler *handler = find(server, &rpc->details.method);
    gpr_timespec left;

    rpc->path = grpc_slice_to_c_string(rpc->details.method);
    if (gpr_time_cmp(rpc->details.deadline, gpr_inf_future(rpc->details.deadline.clock_type)) != 0) {
        left = gpr_time_sub(rpc->details.deadline, gpr_now(rpc->details.deadline.clock_type));
        rpc->deadline = jmp_now() + (uint64_t)(gpr_time_to_millis(left) > 0 ? gpr_time_to_millis(left) : 0) * 1000;
    }
    if (jmp_rpc_watch_end(rpc) < 0) {
        jmp_rpc_release(rpc);
        return;
    }
    if (server->options.admit && !server->options.admit(rpc, server->options.user))
        return;
    if (!handler) {
        jmp_rpc_finish(rpc, JMP_UNIMPLEMENTED, "Method not found!");
        return;
    }
    rpc->method = handler->method;
    if (handler->method->request_stream) {
        handler->start(rpc, NULL, server->options.user);
        return;
    }
    jmp_rpc_listen(rpc, &request_events, server);
    jmp_rpc_receive(rpc);
}

static void on_request(struct jmp_tag *tag, bool ok)
{
    struct waiting *waiting = CONTAINER_OF(tag, struct waiting, tag);
    struct jmp_server *server = waiting->server;
    struct jmp_rpc *rpc = TAKE_PTR(waiting->rpc);

    server->armed--;
    /* One may have come just before the server was freed: what its handler would use may be gone. */
    if (!ok || server->freed) {
        jmp_rpc_release(rpc);
        maybe_destroy(server);
        return;
    }
    arm(waiting);
    begin(server, rpc);
}

static void on_shutdown(struct jmp_tag *tag, bool ok)
{
    struct jmp_server *server = CONTAINER_OF(tag, struct jmp_server, shutdown_tag);
    void (*done)(void *user) = server->done;

    server->stopped = true;
    server->done = NULL;
    jmp_timer_close(&server->grace);
    if (done)
        done(server->done_user);
    else
        maybe_destroy(server);
}

int jmp_server_new(struct jmp_queue *queue, const struct jmp_server_options *options, struct jmp_server **ret)
{
    struct jmp_server *server = calloc(1, sizeof(*server));
    int time_ms = (int)(options->keepalive_time ?: 60) * 1000,
        timeout_ms = (int)(options->keepalive_timeout ?: 20) * 1000;
    grpc_arg list[] = {
        { GRPC_ARG_INTEGER, (char *)GRPC_ARG_KEEPALIVE_TIME_MS, { .integer = time_ms } },
        { GRPC_ARG_INTEGER, (char *)GRPC_ARG_KEEPALIVE_TIMEOUT_MS, { .integer = timeout_ms } },
        { GRPC_ARG_INTEGER, (char *)GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, { .integer = 1 } },
        { GRPC_ARG_INTEGER, (char *)GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, { .integer = 0 } },
        /* Stock clients ping every 20 s, with or without calls; nobody is sent away for that. */
        { GRPC_ARG_INTEGER, (char *)GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
          { .integer = (int)options->min_ping_interval * 1000 } },
        { GRPC_ARG_INTEGER, (char *)GRPC_ARG_HTTP2_MAX_PING_STRIKES, { .integer = 0 } },
        { GRPC_ARG_INTEGER, (char *)GRPC_ARG_ALLOW_REUSEPORT, { .integer = 0 } },
        { GRPC_ARG_INTEGER, (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, { .integer = (int)JMP_MESSAGE_MAX } },
        { GRPC_ARG_INTEGER, (char *)GRPC_ARG_MAX_CONCURRENT_STREAMS, { .integer = STREAMS_MAX } },
        { GRPC_ARG_INTEGER, (char *)GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, { .integer = 20000 } },
    };
    grpc_channel_args args = { .num_args = ELEMENTSOF(list), .args = list };

    if (!server)
        return -ENOMEM;
    server->queue = queue;
    server->options = *options;
    server->shutdown_tag.run = on_shutdown;
    server->server = grpc_server_create(&args, NULL);
    if (!server->server) {
        free(server);
        return -ENOMEM;
    }
    grpc_server_register_completion_queue(server->server, jmp_queue_cq(queue), NULL);
    jmp_queue_hold(queue);
    *ret = server;
    return 0;
}

static int tls_error(struct jmp_error *reterr, const char *what)
{
    unsigned long error = ERR_peek_last_error();
    char reason[160] = "";

    if (error)
        ERR_error_string_n(error, reason, sizeof(reason));
    ERR_clear_error();
    return jmp_error_set(reterr, -EINVAL, "%s%s%s", what, *reason ? ": " : "", reason);
}

/* gRPC would accept nonsense here and fail every handshake. */
static int check_pair(const char *cert, const char *key, struct jmp_error *reterr)
{
    BIO *cert_bio = BIO_new_mem_buf(cert, -1), *key_bio = BIO_new_mem_buf(key, -1);
    X509 *x509 = cert_bio ? PEM_read_bio_X509(cert_bio, NULL, NULL, NULL) : NULL;
    EVP_PKEY *pkey = key_bio ? PEM_read_bio_PrivateKey(key_bio, NULL, NULL, (void *)"") : NULL;
    int r = 0;

    if (!x509)
        r = tls_error(reterr, "the certificate is not PEM");
    else if (!pkey)
        r = tls_error(reterr, "the key is not PEM, or has a passphrase");
    else if (X509_check_private_key(x509, pkey) != 1)
        r = tls_error(reterr, "the key does not belong to the certificate");
    X509_free(x509);
    EVP_PKEY_free(pkey);
    BIO_free(cert_bio);
    BIO_free(key_bio);
    return r;
}

int jmp_server_listen(struct jmp_server *server, const char *address, const char *cert, const char *key,
                      unsigned *retport, struct jmp_error *reterr)
{
    grpc_server_credentials *credentials;
    int port, r = 0;

    if (!server->listens)
        r = jmp_accept_hold();
    if (r < 0)
        return jmp_error_set(reterr, r, "cannot listen on %s: %m", address);
    server->listens = true;
    if (cert) {
        grpc_ssl_pem_key_cert_pair pair = { .private_key = key, .cert_chain = cert };

        r = check_pair(cert, key, reterr);
        if (r < 0)
            return r;
        credentials =
            grpc_ssl_server_credentials_create_ex(NULL, &pair, 1, GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, NULL);
    } else {
        credentials = grpc_insecure_server_credentials_create();
    }
    if (!credentials)
        return jmp_error_set(reterr, -EINVAL, "TLS cannot be set up");

    errno = 0;
    port = grpc_server_add_http2_port(server->server, address, credentials);
    grpc_server_credentials_release(credentials);
    if (port <= 0) {
        r = errno == EACCES || errno == EADDRNOTAVAIL ? -errno : -EADDRINUSE;
        jmp_error_set(reterr, r, "cannot listen on %s", address);
        jmp_error_hint(reterr, "is the address right, and nobody else listening there?");
        return r;
    }
    if (retport)
        *retport = (unsigned)port;
    return 0;
}

int jmp_server_start(struct jmp_server *server)
{
    grpc_server_start(server->server);
    server->started = true;
    for (unsigned i = 0; i < WAITING; i++) {
        server->waiting[i].tag.run = on_request;
        server->waiting[i].server = server;
        arm(&server->waiting[i]);
    }
    return server->armed > 0 ? 0 : -ENOMEM;
}

int jmp_server_adopt(struct jmp_server *server, int taken)
{
    _cleanup_close_ int fd = taken;
    grpc_server_credentials *credentials;

    if (!server->started || server->stopping)
        return -ESHUTDOWN;
    credentials = grpc_insecure_server_credentials_create();
    grpc_server_add_channel_from_fd(server->server, TAKE_FD(fd), credentials);
    grpc_server_credentials_release(credentials);
    return 0;
}

static void on_grace(struct jmp_timer *timer)
{
    struct jmp_server *server = CONTAINER_OF(timer, struct jmp_server, grace);

    grpc_server_cancel_all_calls(server->server);
}

void jmp_server_shutdown(struct jmp_server *server, uint64_t grace, void (*done)(void *user), void *user)
{
    if (server->stopping)
        return;
    server->stopping = true;
    server->done = done;
    server->done_user = user;
    grpc_server_shutdown_and_notify(server->server, jmp_queue_cq(server->queue), &server->shutdown_tag);
    if (grace == 0 || jmp_timer_start(jmp_queue_loop(server->queue), &server->grace, grace, on_grace) < 0)
        grpc_server_cancel_all_calls(server->server);
}

struct jmp_server *jmp_server_free(struct jmp_server *server)
{
    if (!server)
        return NULL;
    server->done = NULL;
    server->freed = true;
    if (!server->stopping)
        jmp_server_shutdown(server, 0, NULL, NULL);
    else if (!server->stopped)
        grpc_server_cancel_all_calls(server->server);
    jmp_timer_close(&server->grace);

    /* Whoever listens to a call hears of its end now: what his handlers use may be gone later. */
    for (struct jmp_rpc *rpc = server->live, *next; rpc; rpc = next) {
        next = rpc->next;
        if (rpc->path)
            jmp_rpc_abandon(rpc);
    }
    maybe_destroy(server);
    return NULL;
}
