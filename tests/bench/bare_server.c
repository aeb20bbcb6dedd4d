/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that can do what an exporter or a router does on gRPC core: one thread in grpc_completion_queue_next(), no
 * lease, no gate, no logs, no guard. Its figures are what ours are held against.
 *
 *   bare-server [--listen HOST:PORT] [--dial HOST:PORT --ca FILE --token T --tunnels N] [DRIVER]...
 *   bare-server --router HOST:PORT --cert-out FILE
 *
 * As an exporter it has the drivers "power" (on, read), "echo" (bytes behind a descriptor, as every driver has them),
 * "bounce" (the same messages back without one), and those named: NAME=tcp:PORT or NAME=file:PATH. As a router it joins
 * the first two streams that bring the same token. "listening on HOST:PORT" on stderr when ready.
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "jumpstarter/v1/jumpstarter.pb-c.h"

#define REQUESTS_OUTSTANDING 8
#define DRIVERS_MAX 128
#define WAITING_MAX 256

struct driver {
    const char *name, *place;   /* place NULL: built in */
    char uuid[37];
};

static struct driver drivers[DRIVERS_MAX] = { { .name = "power" }, { .name = "echo" }, { .name = "bounce" } };
static size_t driver_count = 3;
static grpc_completion_queue *cq;
static grpc_server *server;
static bool is_router;

struct call;

/* What to do when a batch is back. */
struct tag {
    void (*done)(struct call *call, bool ok);
    struct call *call;
};

struct call {
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    struct tag requested, closed, received, sent, finished;
    int pending;                     /* batches that are not back */
    int cancelled;
    grpc_byte_buffer *in, *out;
    const ProtobufCMessageDescriptor *request_type;
    void (*answer)(struct call *call, ProtobufCMessage *request);
    unsigned items;                  /* of a server stream, still to send */
    /* streams */
    struct call *other;              /* bounce: itself; a router: the far end */
    const char *token;
    int fd, out_fd;                  /* a descriptor's end, -1: none; out_fd: O_NONBLOCK to write to, or fd, a socket */
    sem_t went_out, came_in;         /* for the descriptor's threads: a message was sent, one is to be written */
    size_t written;                  /* of the message in flight */
    bool over;
};

static struct call *waiting[WAITING_MAX];   /* a router's streams without a peer */

static void call_unref(struct call *call)
{
    if (__atomic_sub_fetch(&call->pending, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (call->fd >= 0) {
        if (call->out_fd != call->fd)
            close(call->out_fd);
        close(call->fd);
        sem_destroy(&call->went_out);
        sem_destroy(&call->came_in);
    }
    if (call->other && call->other != call)
        call->other->other = NULL;
    for (size_t i = 0; is_router && i < WAITING_MAX; i++)
        if (waiting[i] == call)
            waiting[i] = NULL;
    grpc_byte_buffer_destroy(call->in);
    grpc_byte_buffer_destroy(call->out);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    grpc_call_unref(call->call);
    free((char *)call->token);
    free(call);
}

static bool batch(struct call *call, const grpc_op *ops, size_t count, struct tag *tag,
                  void (*done)(struct call *, bool))
{
    tag->call = call;
    tag->done = done;
    __atomic_add_fetch(&call->pending, 1, __ATOMIC_RELAXED);
    if (grpc_call_start_batch(call->call, ops, count, tag, NULL) == GRPC_CALL_OK)
        return true;
    __atomic_sub_fetch(&call->pending, 1, __ATOMIC_RELAXED);
    return false;
}

static void nothing(struct call *call, bool ok)
{
}

static void finish(struct call *call, grpc_status_code code, const char *text, const ProtobufCMessage *message,
                   bool headers)
{
    grpc_slice details = grpc_slice_from_static_string(text);
    grpc_op ops[3] = { { 0 } };
    size_t n = 0;

    if (headers)
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (message) {
        grpc_byte_buffer_destroy(call->out);
        call->out = pack_message(message);
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = call->out;
    }
    ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[n].data.send_status_from_server.status = code;
    ops[n++].data.send_status_from_server.status_details = &details;
    batch(call, ops, n, &call->finished, nothing);
}

/* ---- unary calls and server streams ---- */

static void answer_report(struct call *call, ProtobufCMessage *request)
{
    Jumpstarter__V1__GetReportResponse response = JUMPSTARTER__V1__GET_REPORT_RESPONSE__INIT;
    Jumpstarter__V1__DriverInstanceReport report[DRIVERS_MAX], *reports[DRIVERS_MAX];
    Jumpstarter__V1__DriverInstanceReport__LabelsEntry label[DRIVERS_MAX], *labels[DRIVERS_MAX];

    for (size_t i = 0; i < driver_count; i++) {
        label[i] = (Jumpstarter__V1__DriverInstanceReport__LabelsEntry)
            JUMPSTARTER__V1__DRIVER_INSTANCE_REPORT__LABELS_ENTRY__INIT;
        label[i].key = (char *)"jumpstarter.dev/name";
        label[i].value = (char *)drivers[i].name;
        labels[i] = &label[i];
        report[i] = (Jumpstarter__V1__DriverInstanceReport)JUMPSTARTER__V1__DRIVER_INSTANCE_REPORT__INIT;
        report[i].uuid = drivers[i].uuid;
        report[i].n_labels = 1;
        report[i].labels = &labels[i];
        reports[i] = &report[i];
    }
    response.n_reports = driver_count;
    response.reports = reports;
    finish(call, GRPC_STATUS_OK, "", &response.base, true);
}

static void answer_call(struct call *call, ProtobufCMessage *request)
{
    Jumpstarter__V1__DriverCallResponse response = JUMPSTARTER__V1__DRIVER_CALL_RESPONSE__INIT;
    Google__Protobuf__Value value = GOOGLE__PROTOBUF__VALUE__INIT;

    value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
    response.uuid = (char *)"6e8fd2a5-4c5d-4a52-9d3c-0d2b1c3e9a11";
    response.result = &value;
    finish(call, GRPC_STATUS_OK, "", &response.base, true);
}

static void item_sent(struct call *call, bool ok)
{
    Jumpstarter__V1__StreamingDriverCallResponse response = JUMPSTARTER__V1__STREAMING_DRIVER_CALL_RESPONSE__INIT;
    Google__Protobuf__Struct__FieldsEntry field[2], *fields[2] = { &field[0], &field[1] };
    Google__Protobuf__Value value = GOOGLE__PROTOBUF__VALUE__INIT, number[2];
    Google__Protobuf__Struct object = GOOGLE__PROTOBUF__STRUCT__INIT;
    grpc_op ops[2] = { { 0 } };
    size_t n = 0;

    if (!ok)
        return;
    if (call->items == 0) {
        finish(call, GRPC_STATUS_OK, "", NULL, false);
        return;
    }
    for (int i = 0; i < 2; i++) {
        number[i] = (Google__Protobuf__Value)GOOGLE__PROTOBUF__VALUE__INIT;
        number[i].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        number[i].number_value = 5.0 * i;
        field[i] = (Google__Protobuf__Struct__FieldsEntry)GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT;
        field[i].key = (char *)(i ? "current" : "voltage");
        field[i].value = &number[i];
    }
    object.n_fields = 2;
    object.fields = fields;
    value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    value.struct_value = &object;
    response.uuid = (char *)"6e8fd2a5-4c5d-4a52-9d3c-0d2b1c3e9a11";
    response.result = &value;
    if (call->items-- == 2)
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    grpc_byte_buffer_destroy(call->out);
    call->out = pack_message(&response.base);
    ops[n].op = GRPC_OP_SEND_MESSAGE;
    ops[n++].data.send_message.send_message = call->out;
    batch(call, ops, n, &call->sent, item_sent);
}

static void answer_items(struct call *call, ProtobufCMessage *request)
{
    call->items = 2;
    item_sent(call, true);
}

static void request_received(struct call *call, bool ok)
{
    ProtobufCMessage *request;

    if (!ok || !call->in)
        return;
    request = unpack_message(call->request_type, call->in);
    if (!request) {
        finish(call, GRPC_STATUS_INTERNAL, "not a message", NULL, true);
        return;
    }
    call->answer(call, request);
    protobuf_c_message_free_unpacked(request, NULL);
}

/* ---- streams ---- */

static void stream_receive(struct call *call);

static void bounced(struct call *to, bool ok)
{
    struct call *from = to->other;

    if (ok && from)
        stream_receive(from);
}

/*
 * A descriptor is read by a thread, and written where its messages arrive. Only what it does not take at once is left
 * to a second thread, for the queue's may not wait: it is the one that moves the bytes it would wait for.
 */
static void message_went_out(struct call *call, bool ok)
{
    if (!ok)
        __atomic_store_n(&call->over, true, __ATOMIC_RELAXED);
    sem_post(&call->went_out);
}

static void *descriptor_reader(void *arg)
{
    struct call *call = arg;
    char *data = must_alloc(READ_SIZE);
    ssize_t n;

    while (!__atomic_load_n(&call->over, __ATOMIC_RELAXED) && (n = read(call->fd, data, READ_SIZE)) > 0) {
        grpc_byte_buffer *buffer = frame_data(data, (size_t)n);
        grpc_op op = { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = buffer };
        bool started = batch(call, &op, 1, &call->sent, message_went_out);

        grpc_byte_buffer_destroy(buffer);
        if (!started)
            break;
        while (sem_wait(&call->went_out) < 0 && errno == EINTR)
            ;
    }
    free(data);
    grpc_call_cancel(call->call, NULL);
    call_unref(call);
    return NULL;
}

/* Writes what is left of the message in flight. False: the descriptor's end, or, without @wait, it is full. */
static bool descriptor_write(struct call *call, bool wait)
{
    const uint8_t *payload;
    grpc_slice flat;
    size_t size;
    bool done = frame_parse(call->in, &flat, &payload, &size);

    if (!done)
        errno = EPIPE;
    while (done && call->written < size) {
        const uint8_t *rest = payload + call->written;
        ssize_t n = call->out_fd == call->fd ? send(call->fd, rest, size - call->written, wait ? 0 : MSG_DONTWAIT)
                                          : write(call->out_fd, rest, size - call->written);

        if (n < 0 && errno == EAGAIN && wait) {
            struct pollfd writable = { .fd = call->out_fd, .events = POLLOUT };

            poll(&writable, 1, -1);
        } else if (n < 0) {
            done = false;
        } else {
            call->written += (size_t)n;
        }
    }
    grpc_slice_unref(flat);
    return done;
}

static void stream_message_done(struct call *call, bool ok)
{
    grpc_byte_buffer_destroy(call->in);
    call->in = NULL;
    call->written = 0;
    if (ok)
        stream_receive(call);
    else
        finish(call, GRPC_STATUS_OK, "", NULL, false);
}

static void *descriptor_writer(void *arg)
{
    struct call *call = arg;

    for (;;) {
        while (sem_wait(&call->came_in) < 0 && errno == EINTR)
            ;
        if (__atomic_load_n(&call->over, __ATOMIC_RELAXED))
            break;
        stream_message_done(call, descriptor_write(call, true));
    }
    call_unref(call);
    return NULL;
}

static void descriptor_start(struct call *call)
{
    sem_init(&call->went_out, 0, 0);
    sem_init(&call->came_in, 0, 0);
    __atomic_add_fetch(&call->pending, 2, __ATOMIC_RELAXED);
    start_thread(descriptor_reader, call);
    start_thread(descriptor_writer, call);
}

static void descriptor_end(struct call *call)
{
    __atomic_store_n(&call->over, true, __ATOMIC_RELAXED);
    if (call->out_fd == call->fd)
        shutdown(call->fd, SHUT_RDWR);
    sem_post(&call->came_in);
    sem_post(&call->went_out);
}

static void stream_received(struct call *call, bool ok)
{
    if (!ok || !call->in) {
        if (call->other && call->other != call)
            finish(call->other, GRPC_STATUS_OK, "", NULL, false);
        finish(call, GRPC_STATUS_OK, "", NULL, false);
        return;
    }

    if (call->other) {
        struct call *to = call->other;
        grpc_op op = { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->in };
        bool sent = batch(to, &op, 1, &to->sent, bounced);

        grpc_byte_buffer_destroy(call->in);
        call->in = NULL;
        if (!sent)
            grpc_call_cancel(call->call, NULL);
    } else if (descriptor_write(call, false)) {
        stream_message_done(call, true);
    } else if (errno == EAGAIN) {
        sem_post(&call->came_in);
    } else {
        stream_message_done(call, false);
    }
}

static void stream_receive(struct call *call)
{
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->in };

    batch(call, &op, 1, &call->received, stream_received);
}

static void *echo_thread(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char *data = must_alloc(READ_SIZE);
    ssize_t n;

    while ((n = read(fd, data, READ_SIZE)) > 0 && write_all(fd, data, (size_t)n))
        ;
    close(fd);
    free(data);
    return NULL;
}

/* Returns the descriptor to read and, in @out, the one to write. */
static int driver_connect(const struct driver *driver, int *out)
{
    int fd, pair[2];

    if (!driver->place) {
        socket_pair(pair);
        start_thread(echo_thread, (void *)(intptr_t)pair[1]);
        return *out = pair[0];
    }
    if (!strncmp(driver->place, "tcp:", 4))
        return *out = connect_tcp((unsigned)atoi(driver->place + 4));
    if (!strncmp(driver->place, "file:", 5)) {
        struct termios raw;

        fd = open(driver->place + 5, O_RDWR | O_NOCTTY | O_CLOEXEC);
        *out = open(driver->place + 5, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 || *out < 0)
            die("%s: %s", driver->place + 5, strerror(errno));
        if (tcgetattr(fd, &raw) == 0) {
            cfmakeraw(&raw);
            tcsetattr(fd, TCSANOW, &raw);
        }
        return fd;
    }
    die("%s=%s: expected tcp:PORT or file:PATH", driver->name, driver->place);
}

static char *metadata_value(const struct call *call, const char *key)
{
    for (size_t i = 0; i < call->metadata.count; i++)
        if (grpc_slice_str_cmp(call->metadata.metadata[i].key, key) == 0)
            return grpc_slice_to_c_string(call->metadata.metadata[i].value);
    return NULL;
}

static void stream_start_exporter(struct call *call)
{
    char *request = metadata_value(call, "request");
    const struct driver *driver = NULL;
    grpc_op op = { .op = GRPC_OP_SEND_INITIAL_METADATA };

    for (size_t i = 1; request && i < driver_count && !driver; i++)
        if (strstr(request, drivers[i].uuid))
            driver = &drivers[i];
    gpr_free(request);
    if (!driver) {
        finish(call, GRPC_STATUS_NOT_FOUND, "no such driver", NULL, true);
        return;
    }
    batch(call, &op, 1, &call->finished, nothing);
    if (!strcmp(driver->name, "bounce")) {
        call->other = call;
    } else {
        call->fd = driver_connect(driver, &call->out_fd);
        descriptor_start(call);
    }
    stream_receive(call);
}

static void stream_start_router(struct call *call)
{
    char *text = metadata_value(call, "authorization");
    grpc_op op = { .op = GRPC_OP_SEND_INITIAL_METADATA };
    size_t i, empty = 0;

    call->token = strdup(text ? text : "");
    gpr_free(text);
    batch(call, &op, 1, &call->finished, nothing);
    for (i = 0; i < WAITING_MAX; i++) {
        if (!waiting[i])
            empty = i;
        else if (!strcmp(waiting[i]->token, call->token))
            break;
    }
    if (i == WAITING_MAX) {
        waiting[empty] = call;
        return;
    }
    call->other = waiting[i];
    waiting[i]->other = call;
    waiting[i] = NULL;
    stream_receive(call);
    stream_receive(call->other);
}

/* ---- requests ---- */

static void call_closed(struct call *call, bool ok)
{
    if (call->fd >= 0)
        descriptor_end(call);
}

static void requested(struct call *call, bool ok);

static void request_next(void)
{
    struct call *call = must_alloc(sizeof(*call));

    call->fd = -1;
    call->requested = (struct tag){ .call = call, .done = requested };
    call->pending = 1;
    grpc_call_details_init(&call->details);
    grpc_metadata_array_init(&call->metadata);
    if (grpc_server_request_call(server, &call->call, &call->details, &call->metadata, cq, cq, &call->requested) !=
        GRPC_CALL_OK)
        die("no more calls can be asked for");
}

static void requested(struct call *call, bool ok)
{
    static const struct {
        const char *path;
        const ProtobufCMessageDescriptor *request;
        void (*answer)(struct call *, ProtobufCMessage *);
    } methods[] = {
        { EXPORTER_PATH("GetReport"), &google__protobuf__empty__descriptor, answer_report },
        { EXPORTER_PATH("DriverCall"), &jumpstarter__v1__driver_call_request__descriptor, answer_call },
        { EXPORTER_PATH("StreamingDriverCall"), &jumpstarter__v1__streaming_driver_call_request__descriptor,
          answer_items },
    };
    grpc_op close = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &call->cancelled };
    grpc_op receive = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->in };

    request_next();
    if (!ok)
        die("the server has ended");
    batch(call, &close, 1, &call->closed, call_closed);
    if (grpc_slice_str_cmp(call->details.method, STREAM_PATH) == 0) {
        if (is_router)
            stream_start_router(call);
        else
            stream_start_exporter(call);
        return;
    }
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
        if (grpc_slice_str_cmp(call->details.method, methods[i].path) == 0) {
            call->request_type = methods[i].request;
            call->answer = methods[i].answer;
            batch(call, &receive, 1, &call->received, request_received);
            return;
        }
    finish(call, GRPC_STATUS_UNIMPLEMENTED, "no such method", NULL, true);
}

/* A key and a certificate for 127.0.0.1 and localhost that signs itself; the certificate is written to @path. */
static grpc_server_credentials *make_credentials(const char *path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    BIO *key_pem = BIO_new(BIO_s_mem()), *cert_pem = BIO_new(BIO_s_mem());
    grpc_ssl_pem_key_cert_pair pair;
    FILE *file = fopen(path, "we");

    if (!key || !cert || !names || !file)
        die("%s: no certificate could be made", path);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"bare", -1, -1,
                               0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_add_ext(cert, names, -1);
    if (!X509_sign(cert, key, EVP_sha256()) || !PEM_write_X509(file, cert) || !PEM_write_bio_X509(cert_pem, cert) ||
        !PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) || fclose(file) != 0)
        die("%s: no certificate could be made", path);
    BIO_write(key_pem, "", 1);
    BIO_write(cert_pem, "", 1);
    BIO_get_mem_data(key_pem, &pair.private_key);
    BIO_get_mem_data(cert_pem, &pair.cert_chain);
    return grpc_ssl_server_credentials_create_ex(NULL, &pair, 1, GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, NULL);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "listen", required_argument, NULL, 'l' }, { "dial", required_argument, NULL, 'd' },
        { "ca", required_argument, NULL, 'c' }, { "token", required_argument, NULL, 't' },
        { "tunnels", required_argument, NULL, 'n' }, { "router", required_argument, NULL, 'r' },
        { "cert-out", required_argument, NULL, 'o' }, {}
    };
    static grpc_arg server_args[] = {
        { .type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ALLOW_REUSEPORT, .value.integer = 0 },
    };
    grpc_channel_args args = { .num_args = 1, .args = server_args };
    const char *address = NULL, *dial = NULL, *ca = NULL, *token = "t", *cert = NULL;
    unsigned tunnels = 1;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'r': is_router = true; address = optarg; break;
        case 'l': address = optarg; break;
        case 'd': dial = optarg; break;
        case 'c': ca = optarg; break;
        case 't': token = optarg; break;
        case 'n': tunnels = (unsigned)atoi(optarg); break;
        case 'o': cert = optarg; break;
        default: return 2;
        }
    if (!address && !dial)
        die("nothing to listen on");
    for (; optind < argc; optind++) {
        char *equals = strchr(argv[optind], '=');

        if (!equals || driver_count == DRIVERS_MAX)
            die("%s: expected NAME=tcp:PORT or NAME=file:PATH", argv[optind]);
        *equals = '\0';
        drivers[driver_count++] = (struct driver){ .name = argv[optind], .place = equals + 1 };
    }
    for (size_t i = 0; i < driver_count; i++)
        snprintf(drivers[i].uuid, sizeof(drivers[i].uuid), "00000000-0000-4000-8000-%012x", (unsigned)i + 1);

    signal(SIGPIPE, SIG_IGN);
    grpc_init();
    cq = grpc_completion_queue_create_for_next(NULL);
    server = grpc_server_create(&args, NULL);
    grpc_server_register_completion_queue(server, cq, NULL);
    if (address) {
        grpc_server_credentials *creds = cert ? make_credentials(cert) : grpc_insecure_server_credentials_create();
        int port = grpc_server_add_http2_port(server, address, creds);

        if (port == 0)
            die("cannot listen on %s", address);
        grpc_server_start(server);
        fprintf(stderr, "listening on %.*s:%d\n", (int)(strrchr(address, ':') - address), address, port);
    } else {
        grpc_server_start(server);
    }
    for (int i = 0; i < REQUESTS_OUTSTANDING; i++)
        request_next();

    for (unsigned i = 0; dial && i < tunnels; i++) {
        grpc_server_credentials *creds = grpc_insecure_server_credentials_create();
        int pair[2];
        char name[256];

        socket_pair(pair);
        if (fcntl(pair[1], F_SETFL, O_NONBLOCK) < 0)
            die("fcntl: %s", strerror(errno));
        snprintf(name, sizeof(name), "%s%u", token, i);
        tunnel_open(open_channel(dial, ca), name, pair[0]);
        grpc_server_add_channel_from_fd(server, pair[1], creds);
        grpc_server_credentials_release(creds);
    }

    for (;;) {
        grpc_event event = grpc_completion_queue_next(cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        struct tag *tag = event.tag;

        if (event.type != GRPC_OP_COMPLETE)
            continue;
        tag->done(tag->call, event.success);
        call_unref(tag->call);
    }
}
