/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/channel.h"

#include <grpc/grpc_security_constants.h>
#include <grpc/slice.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <strings.h>

#include "rpc/internal.h"

#define OPTIONS_MAX 64u     /* grpcOptions */

struct jmp_channel {
    struct jmp_queue *queue;
    grpc_channel *channel;
    grpc_channel_credentials *credentials;
    const struct jmp_node *options;
    char *endpoint;
};

/* Settings of a channel that have a default of ours; grpcOptions may say otherwise. */
static const struct {
    const char *key;
    int value;
} defaults[] = {
    { GRPC_ARG_KEEPALIVE_TIME_MS, 20000 },
    { GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000 },
    { GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1 },
    { GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0 },
    { GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000 },
    { GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200 },
    { GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20000 },   /* no pause, but what one attempt may take, handshakes included */
    { GRPC_ARG_ENABLE_RETRIES, 0 },        /* retries are ours */
    { GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)JMP_MESSAGE_MAX },
    { GRPC_ARG_ENABLE_HTTP_PROXY, 0 },     /* the peers are in the lab; a proxy is asked for explicitly */
};

/* Certificates that do not parse would show only as a call that fails with "empty address list". */
static int check_pem(const char *pem, struct jmp_error *reterr)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    unsigned found = 0;
    X509 *cert;

    if (!bio)
        return -ENOMEM;
    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        X509_free(cert);
        found++;
    }
    BIO_free(bio);
    ERR_clear_error();
    if (!found)
        return jmp_error_set(reterr, -EINVAL, "the certificate authority holds no certificate");
    return 0;
}

/* gRPC marks these functions experimental; they are the only way to accept a certificate unseen. */
static grpc_channel_credentials *insecure_tls(void)
{
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    grpc_tls_certificate_verifier *anyone = grpc_tls_certificate_verifier_no_op_create();

    /* All three: one alone leaves a check of the name or of the chain in place. */
    grpc_tls_credentials_options_set_verify_server_cert(options, 0);
    grpc_tls_credentials_options_set_certificate_verifier(options, anyone);
    grpc_tls_credentials_options_set_check_call_host(options, 0);
    grpc_tls_certificate_verifier_release(anyone);
    return grpc_tls_credentials_create(options);
}

/* host:port with a port, [v6]:port, or unix:path */
static int check_endpoint(const char *endpoint, struct jmp_error *reterr)
{
    const char *colon = strrchr(endpoint, ':'), *end;
    unsigned long port;

    if (strncmp(endpoint, "unix:", 5) == 0 && endpoint[5])
        return 0;
    if (strstr(endpoint, "://")) {
        jmp_error_set(reterr, -EINVAL, "\"%.200s\" is not an endpoint", endpoint);
        jmp_error_hint(reterr, "write HOST:PORT without \"https://\"");
        return -EINVAL;
    }
    port = colon ? strtoul(colon + 1, (char **)&end, 10) : 0;
    if (!colon || colon == endpoint || *end || port < 1 || port > 65535 || strlen(endpoint) > JMP_NAME_MAX + 8 ||
        strpbrk(endpoint, " \t\r\n/?#@")) {
        jmp_error_set(reterr, -EINVAL, "\"%.200s\" is not an endpoint", endpoint);
        jmp_error_hint(reterr, "write HOST:PORT, for example lab.example.com:8082");
        return -EINVAL;
    }
    return 0;
}

static size_t fill_args(const struct jmp_node *options, grpc_arg *args)
{
    size_t n = 0;

    JMP_NODE_EACH(option, options) {
        if (n >= OPTIONS_MAX)
            break;
        if (option->kind == JMP_NODE_STRING)
            args[n++] = (grpc_arg){ .type = GRPC_ARG_STRING,
                                    .key = (char *)option->key,
                                    .value.string = (char *)option->string };
        else if (option->kind == JMP_NODE_NUMBER && option->whole && option->integer >= INT_MIN &&
                 option->integer <= INT_MAX)
            args[n++] = (grpc_arg){ .type = GRPC_ARG_INTEGER,
                                    .key = (char *)option->key,
                                    .value.integer = (int)option->integer };
    }
    for (size_t i = 0; i < ELEMENTSOF(defaults); i++) {
        if (!jmp_node_get(options, defaults[i].key))
            args[n++] = (grpc_arg){ .type = GRPC_ARG_INTEGER,
                                    .key = (char *)defaults[i].key,
                                    .value.integer = defaults[i].value };
    }
    return n;
}

/* @fresh: not over a connection that another channel to this endpoint may have. */
static grpc_channel *make(const struct jmp_channel *channel, bool fresh)
{
    grpc_arg list[OPTIONS_MAX + ELEMENTSOF(defaults) + 1];
    grpc_channel_args args = { .args = list };

    args.num_args = fill_args(channel->options, list);
    if (fresh)
        list[args.num_args++] = (grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
                                            .value.integer = 1 };
    return grpc_channel_create(channel->endpoint, channel->credentials, &args);
}

int jmp_channel_new(struct jmp_queue *queue, const struct jmp_channel_options *options, struct jmp_channel **ret,
                    struct jmp_error *reterr)
{
    _cleanup_(jmp_channel_freep) struct jmp_channel *channel = NULL;
    int r;

    r = check_endpoint(options->endpoint, reterr);
    if (r < 0)
        return r;
    if (options->ca && !options->insecure) {
        r = check_pem(options->ca, reterr);
        if (r < 0)
            return r;
    }

    channel = calloc(1, sizeof(*channel));
    if (!channel)
        return -ENOMEM;
    channel->queue = queue;
    channel->endpoint = strdup(options->endpoint);
    if (!channel->endpoint)
        return -ENOMEM;

    channel->options = options->grpc_options;
    if (options->plaintext || strncmp(options->endpoint, "unix:", 5) == 0)
        channel->credentials = grpc_insecure_credentials_create();
    else if (options->insecure)
        channel->credentials = insecure_tls();
    else
        channel->credentials = grpc_ssl_credentials_create_ex(options->ca, NULL, NULL, NULL);
    if (!channel->credentials)
        return jmp_error_set(reterr, -EINVAL, "TLS cannot be set up for %s", options->endpoint);

    channel->channel = make(channel, false);
    if (!channel->channel)
        return -ENOMEM;

    *ret = TAKE_PTR(channel);
    return 0;
}

struct jmp_channel *jmp_channel_free(struct jmp_channel *channel)
{
    if (!channel)
        return NULL;
    if (channel->channel)
        grpc_channel_destroy(channel->channel);
    if (channel->credentials)
        grpc_channel_credentials_release(channel->credentials);
    free(channel->endpoint);
    free(channel);
    return NULL;
}

void jmp_channel_wake(struct jmp_channel *channel) { grpc_channel_reset_connect_backoff(channel->channel); }

void jmp_channel_renew(struct jmp_channel *channel)
{
    grpc_channel *fresh = make(channel, true);

    if (!fresh)
        return;
    grpc_channel_destroy(channel->channel);
    channel->channel = fresh;
}

bool jmp_channel_is_ready(struct jmp_channel *channel)
{
    return grpc_channel_check_connectivity_state(channel->channel, 0) == GRPC_CHANNEL_READY;
}

bool jmp_channel_probe(struct jmp_channel *channel)
{
    return grpc_channel_check_connectivity_state(channel->channel, 1) == GRPC_CHANNEL_READY;
}

struct jmp_queue *jmp_channel_queue(const struct jmp_channel *channel) { return channel->queue; }
const char *jmp_channel_endpoint(const struct jmp_channel *channel) { return channel->endpoint; }

static int start_call(struct jmp_rpc *rpc, const struct jmp_metadata *metadata, grpc_byte_buffer *request)
{
    grpc_op ops[3] = { 0 }, headers = { .op = GRPC_OP_RECV_INITIAL_METADATA };
    grpc_metadata *filled;
    size_t count, n = 0;
    int r;

    r = jmp_metadata_fill(metadata, &filled, &count);
    if (r < 0)
        return r;
    ops[n].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[n].data.send_initial_metadata.metadata = filled;
    ops[n++].data.send_initial_metadata.count = count;
    if (request) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = request;
        ops[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
        rpc->half_close_wanted = rpc->half_closed = true;
    }
    rpc->headers_sent = true;
    r = jmp_rpc_start(rpc, OP_SEND, ops, n);
    jmp_metadata_drop(filled, count);
    if (r < 0)
        return r;

    /* Neither waits for the other: a router sends no headers until the far side has come. */
    headers.data.recv_initial_metadata.recv_initial_metadata = &rpc->headers;
    r = jmp_rpc_start(rpc, OP_HEADERS, &headers, 1);
    if (r < 0)
        return r;
    return jmp_rpc_watch_end(rpc);
}

int jmp_channel_call(struct jmp_channel *channel, const struct jmp_method_info *method,
                     const struct jmp_metadata *metadata, uint64_t timeout, const ProtobufCMessage *request,
                     const struct jmp_rpc_events *events, void *user, struct jmp_rpc **ret)
{
    gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    grpc_byte_buffer *buffer = NULL;
    struct jmp_rpc *rpc;
    int r;

    if (request) {
        buffer = jmp_buffer_pack(request);
        if (!buffer)
            return -EMSGSIZE;
    }
    rpc = jmp_rpc_new(channel->queue, NULL);
    if (!rpc) {
        if (buffer)
            grpc_byte_buffer_destroy(buffer);
        return -ENOMEM;
    }
    if (timeout != JMP_USEC_INFINITY) {
        deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_micros((int64_t)timeout, GPR_TIMESPAN));
        rpc->deadline = jmp_now() + timeout;
    }
    rpc->method = method;
    rpc->path = strdup(method->path);
    rpc->call = grpc_channel_create_call(channel->channel, NULL, GRPC_PROPAGATE_DEFAULTS, jmp_queue_cq(channel->queue),
                                         grpc_slice_from_static_string(method->path), NULL, deadline, NULL);
    jmp_rpc_listen(rpc, events, user);
    r = start_call(rpc, metadata, buffer);
    if (buffer)
        grpc_byte_buffer_destroy(buffer);
    if (r < 0) {
        /* With operations under way it ends by itself, unseen. */
        rpc->events = NULL;
        if (rpc->running == 0)
            jmp_rpc_release(rpc);
        else
            jmp_rpc_cancel(rpc);
        return r;
    }
    if (!method->response_stream)
        jmp_rpc_receive(rpc);
    if (ret)
        *ret = rpc;
    return 0;
}

struct unary {
    void (*done)(const struct jmp_status *status, const ProtobufCMessage *response, void *user);
    void *user;
    struct jmp_rpc *rpc;
    struct jmp_timer late;
};

static void on_late(struct jmp_timer *timer)
{
    struct unary *unary = CONTAINER_OF(timer, struct unary, late);

    grpc_call_cancel_with_status(unary->rpc->call, GRPC_STATUS_DEADLINE_EXCEEDED, "no answer in time", NULL);
}

static void unary_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    _cleanup_free_ struct unary *unary = user;
    struct jmp_status missing = { .code = JMP_INTERNAL, .text = "no answer came" };

    jmp_timer_close(&unary->late);
    if (status->code == JMP_OK && !rpc->kept)
        status = &missing;
    unary->done(status, status->code == JMP_OK ? rpc->kept : NULL, unary->user);
}

int jmp_channel_unary(struct jmp_channel *channel, const struct jmp_method_info *method,
                      const struct jmp_metadata *metadata, uint64_t timeout, const ProtobufCMessage *request,
                      void (*done)(const struct jmp_status *status, const ProtobufCMessage *response, void *user),
                      void *user, struct jmp_rpc **ret)
{
    static const struct jmp_rpc_events events = { .closed = unary_closed };
    struct jmp_rpc *rpc;
    struct unary *unary = calloc(1, sizeof(*unary));
    int r;

    if (!unary)
        return -ENOMEM;
    unary->done = done;
    unary->user = user;
    r = jmp_channel_call(channel, method, metadata, timeout, request, &events, unary, &rpc);
    if (r < 0) {
        free(unary);
        return r;
    }
    rpc->keep = true;
    unary->rpc = rpc;
    /* gRPC's own deadline comes first, unless somebody has set the clock back: its timers sleep by the wall clock.
     * Without memory for a second one the first has to do. */
    if (timeout != JMP_USEC_INFINITY)
        (void)jmp_timer_start(jmp_queue_loop(channel->queue), &unary->late, timeout + timeout / 8, on_late);
    if (ret)
        *ret = rpc;
    return 0;
}
