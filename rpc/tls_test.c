/* SPDX-License-Identifier: Apache-2.0 */
/* TLS: who is trusted, and what is said when somebody is not. Certificates are made on the spot. */
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/channel.h"
#include "rpc/methods.h"
#include "rpc/server.h"

struct identity {
    EVP_PKEY *key;
    X509 *cert;
    char *key_pem, *cert_pem;
};

static char *bio_text(BIO *bio)
{
    char *data, *text;
    long length = BIO_get_mem_data(bio, &data);

    text = strndup(data, (size_t)length);
    BIO_free(bio);
    return text;
}

static void make_identity(struct identity *id, const char *name, const char *san, const struct identity *issuer)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;
    BIO *bio;

    id->key = EVP_EC_gen("P-256");
    id->cert = X509_new();
    assert_non_null(id->key);
    X509_set_version(id->cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id->cert), issuer ? 2 : 1);
    X509_gmtime_adj(X509_getm_notBefore(id->cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(id->cert), 3600);
    X509_set_pubkey(id->cert, id->key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(id->cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
                               0);
    X509_set_issuer_name(id->cert, X509_get_subject_name(issuer ? issuer->cert : id->cert));
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer ? issuer->cert : id->cert, id->cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, san ? NID_subject_alt_name : NID_basic_constraints,
                                    san ? san : "critical,CA:TRUE");
    assert_non_null(extension);
    X509_add_ext(id->cert, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(id->cert, issuer ? issuer->key : id->key, EVP_sha256()) > 0);

    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, id->key, NULL, NULL, 0, NULL, NULL);
    id->key_pem = bio_text(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, id->cert);
    id->cert_pem = bio_text(bio);
}

static void drop_identity(struct identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->cert);
    free(id->key_pem);
    free(id->cert_pem);
}

static void get_status(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    Jumpstarter__V1__GetStatusResponse answer = JUMPSTARTER__V1__GET_STATUS_RESPONSE__INIT;

    jmp_rpc_reply(rpc, &answer.base);
}

static const struct jmp_handler handlers[] = { { &jmp_exporter_get_status, get_status }, {} };

struct answer {
    struct jmp_loop *loop;
    enum jmp_code code;
    char text[1024];
};

static void done(const struct jmp_status *status, const ProtobufCMessage *response, void *user)
{
    struct answer *answer = user;

    answer->code = status->code;
    snprintf(answer->text, sizeof(answer->text), "%s", status->text);
    jmp_loop_exit(answer->loop, 0);
}

/* One call on a loop of its own: the loop is left when the answer is there, or by the call's deadline. */
static void ask(const char *listen, const char *host, const char *cert, const char *key, const char *ca, bool insecure,
                bool plaintext, const struct jmp_node *grpc_options, struct answer *answer)
{
    const struct jmp_server_options options = { .handlers = handlers };
    struct jmp_channel_options channel_options = {
        .ca = ca, .insecure = insecure, .plaintext = plaintext, .grpc_options = grpc_options
    };
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;
    struct jmp_queue *queue;
    struct jmp_server *server;
    struct jmp_channel *channel;
    char endpoint[256];
    unsigned port;

    *answer = (struct answer){ .code = JMP_UNKNOWN };
    assert_int_equal(jmp_loop_new(&answer->loop), 0);
    assert_int_equal(jmp_queue_new(answer->loop, &queue), 0);
    assert_int_equal(jmp_server_new(queue, &options, &server), 0);
    assert_int_equal(jmp_server_listen(server, listen, cert, key, &port, NULL), 0);
    assert_int_equal(jmp_server_start(server), 0);
    if (strncmp(listen, "unix:", 5) == 0)
        snprintf(endpoint, sizeof(endpoint), "%s", listen);
    else
        snprintf(endpoint, sizeof(endpoint), "%s:%u", host, port);
    channel_options.endpoint = endpoint;
    assert_int_equal(jmp_channel_new(queue, &channel_options, &channel, NULL), 0);
    assert_int_equal(jmp_channel_unary(channel, &jmp_exporter_get_status, NULL, 10 * JMP_USEC_PER_SEC, &request.base,
                                       done, answer, NULL),
                     0);
    assert_int_equal(jmp_queue_run(queue), 0);
    jmp_channel_free(channel);
    jmp_server_free(server);
    jmp_queue_free(queue);
    jmp_loop_free(answer->loop);
}

JMP_TEST(trust_is_what_the_configuration_says)
{
    struct identity ca = { 0 }, server = { 0 }, named = { 0 }, stranger = { 0 };
    struct answer answer;

    make_identity(&ca, "test authority", NULL, NULL);
    make_identity(&server, "server", "DNS:localhost,IP:127.0.0.1", &ca);
    make_identity(&named, "server", "DNS:lab.example", &ca);
    make_identity(&stranger, "another authority", NULL, NULL);

    const struct {
        const char *what;
        const struct identity *server;
        const char *host, *ca;
        bool insecure, plaintext;
        enum jmp_code code;
    } rows[] = {
        { "our authority, by name", &server, "localhost", ca.cert_pem, false, false, JMP_OK },
        { "our authority, by address", &server, "127.0.0.1", ca.cert_pem, false, false, JMP_OK },
        { "another authority", &server, "localhost", stranger.cert_pem, false, false, JMP_UNAVAILABLE },
        { "the system's authorities", &server, "localhost", NULL, false, false, JMP_UNAVAILABLE },
        { "a certificate for another name", &named, "localhost", ca.cert_pem, false, false, JMP_UNAVAILABLE },
        { "a certificate for another name, unseen", &named, "localhost", NULL, true, false, JMP_OK },
        { "a certificate for another name, unseen, with an authority", &named, "127.0.0.1", stranger.cert_pem, true,
          false, JMP_OK },
        { "plaintext to TLS", &server, "localhost", NULL, false, true, JMP_UNAVAILABLE },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        ask("127.0.0.1:0", rows[i].host, rows[i].server->cert_pem, rows[i].server->key_pem, rows[i].ca,
            rows[i].insecure, rows[i].plaintext, NULL, &answer);
        if (answer.code != rows[i].code)
            fail_msg("%s: %s %s", rows[i].what, jmp_code_name(answer.code), answer.text);
    }
    drop_identity(&ca);
    drop_identity(&server);
    drop_identity(&named);
    drop_identity(&stranger);
}

JMP_TEST(a_name_may_be_overridden_by_grpc_options)
{
    struct identity ca = { 0 }, server = { 0 };
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_node *options, *name;
    struct answer answer;

    make_identity(&ca, "test authority", NULL, NULL);
    make_identity(&server, "server", "DNS:lab.example", &ca);
    assert_int_equal(jmp_tree_new(0, &tree), 0);
    options = jmp_node_new(tree, JMP_NODE_MAP);
    name = jmp_node_new(tree, JMP_NODE_STRING);
    name->key = "grpc.ssl_target_name_override";
    name->string = "lab.example";
    jmp_node_append(options, name);
    ask("127.0.0.1:0", "127.0.0.1", server.cert_pem, server.key_pem, ca.cert_pem, false, false, options, &answer);
    assert_int_equal(answer.code, JMP_OK);
    drop_identity(&ca);
    drop_identity(&server);
}

JMP_TEST(a_key_of_somebody_else_is_told)
{
    struct identity one = { 0 }, two = { 0 };
    const struct jmp_server_options options = { .handlers = handlers };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_loop *loop;
    struct jmp_queue *queue;
    struct jmp_server *server;

    make_identity(&one, "one", NULL, NULL);
    make_identity(&two, "two", NULL, NULL);
    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(jmp_queue_new(loop, &queue), 0);
    assert_int_equal(jmp_server_new(queue, &options, &server), 0);
    assert_int_equal(jmp_server_listen(server, "127.0.0.1:0", one.cert_pem, two.key_pem, NULL, &error), -EINVAL);
    assert_non_null(strstr(error.text, "does not belong"));
    jmp_server_free(server);
    jmp_queue_free(queue);
    jmp_loop_free(loop);
    drop_identity(&one);
    drop_identity(&two);
}

JMP_TEST(a_unix_socket_needs_no_tls_and_leaves_no_file)
{
    char directory[] = "/tmp/jmp-tls-XXXXXX", address[64];
    struct answer answer;
    struct stat st;

    assert_non_null(mkdtemp(directory));
    snprintf(address, sizeof(address), "unix:%s/s", directory);
    ask(address, NULL, NULL, NULL, NULL, false, false, NULL, &answer);
    assert_int_equal(answer.code, JMP_OK);
    assert_int_equal(stat(address + 5, &st), -1);
    rmdir(directory);
}

/*
 * What is negotiated, seen by a peer that is not gRPC: on a thread of its own, because it blocks.
 */
struct raw_peer {
    struct jmp_loop *loop;
    struct jmp_post over;
    const struct identity *identity;      /* as a server */
    const char *offer;                    /* as a client: "h2,grpc-exp"; NULL: no list */
    unsigned port;
    int listener;
    char offered[64], selected[32];       /* comma-separated */
    bool spoke;                           /* HTTP/2 came after the handshake */
};

static void raw_peer_over(struct jmp_post *post)
{
    jmp_loop_exit(CONTAINER_OF(post, struct raw_peer, over)->loop, 0);
}

/* "h2,http/1.1" as TLS has it: each name behind its length. */
static unsigned alpn_list(const char *names, unsigned char *list)
{
    unsigned n = 0;

    while (*names) {
        size_t length = strcspn(names, ",");

        list[n++] = (unsigned char)length;
        memcpy(list + n, names, length);
        n += (unsigned)length;
        names += length + (names[length] == ',');
    }
    return n;
}

static int note_offer(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
                      unsigned inlen, void *user)
{
    struct raw_peer *peer = user;
    unsigned i = 0;

    while (i < inlen) {
        size_t used = strlen(peer->offered);

        snprintf(peer->offered + used, sizeof(peer->offered) - used, "%s%.*s", used ? "," : "", in[i],
                 (const char *)in + i + 1);
        i += in[i] + 1u;
    }
    return SSL_select_next_proto((unsigned char **)out, outlen, (const unsigned char *)"\x02h2", 3, in, inlen) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void raw_peer_talk(struct raw_peer *peer, SSL *ssl, int fd)
{
    const struct timeval patience = { .tv_sec = 20 };
    const unsigned char *selected;
    unsigned length;
    char data[1];

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    SSL_set_fd(ssl, fd);
    if ((peer->identity ? SSL_accept(ssl) : SSL_connect(ssl)) == 1) {
        SSL_get0_alpn_selected(ssl, &selected, &length);
        snprintf(peer->selected, sizeof(peer->selected), "%.*s", (int)length, (const char *)selected);
        peer->spoke = SSL_read(ssl, data, 1) == 1;
    }
    SSL_free(ssl);
    close(fd);
}

static void *raw_peer_main(void *user)
{
    struct raw_peer *peer = user;
    SSL_CTX *context = SSL_CTX_new(peer->identity ? TLS_server_method() : TLS_client_method());
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)peer->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    unsigned char list[64];
    SSL *ssl;
    int fd;

    if (peer->identity) {
        SSL_CTX_use_certificate(context, peer->identity->cert);
        SSL_CTX_use_PrivateKey(context, peer->identity->key);
        SSL_CTX_set_alpn_select_cb(context, note_offer, peer);
        fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
    } else {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
            fd = jmp_close(fd);
    }
    ssl = SSL_new(context);
    if (peer->offer)
        SSL_set_alpn_protos(ssl, list, alpn_list(peer->offer, list));
    if (fd >= 0)
        raw_peer_talk(peer, ssl, fd);
    SSL_CTX_free(context);
    jmp_loop_post(peer->loop, &peer->over);
    return NULL;
}

JMP_TEST(our_server_speaks_http2_to_whoever_negotiates_it_and_to_nobody_else)
{
    static const struct {
        const char *offer, *selected;
        bool spoke;
    } rows[] = {
        { "h2", "h2", true },
        { "grpc-exp,h2", "grpc-exp", true },      /* what gRPC core itself offers */
        { "http/1.1,h2", "h2", true },
        { "http/1.1", "", false },
        { NULL, "", false },
    };
    const struct jmp_server_options options = { .handlers = handlers };
    struct identity id = { 0 };

    make_identity(&id, "server", "DNS:localhost", NULL);
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct raw_peer peer = { .offer = rows[i].offer, .over.run = raw_peer_over };
        struct jmp_queue *queue;
        struct jmp_server *server;
        pthread_t thread;

        assert_int_equal(jmp_loop_new(&peer.loop), 0);
        assert_int_equal(jmp_queue_new(peer.loop, &queue), 0);
        assert_int_equal(jmp_server_new(queue, &options, &server), 0);
        assert_int_equal(jmp_server_listen(server, "127.0.0.1:0", id.cert_pem, id.key_pem, &peer.port, NULL), 0);
        assert_int_equal(jmp_server_start(server), 0);
        assert_int_equal(pthread_create(&thread, NULL, raw_peer_main, &peer), 0);
        assert_int_equal(jmp_queue_run(queue), 0);
        pthread_join(thread, NULL);
        jmp_server_free(server);
        jmp_queue_free(queue);
        jmp_loop_free(peer.loop);

        if (strcmp(peer.selected, rows[i].selected) != 0 || peer.spoke != rows[i].spoke)
            fail_msg("%s: selected \"%s\"%s", rows[i].offer ?: "nothing", peer.selected,
                     peer.spoke ? ", HTTP/2 came" : "");
    }
    drop_identity(&id);
}

/* Both kinds of credentials, for each has a list of its own in gRPC. */
JMP_TEST(our_client_offers_http2_and_nothing_older)
{
    struct identity id = { 0 };

    make_identity(&id, "server", "DNS:localhost", NULL);
    for (unsigned insecure = 0; insecure < 2; insecure++) {
        struct raw_peer peer = { .identity = &id, .over.run = raw_peer_over };
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct jmp_channel_options options = { .ca = id.cert_pem, .insecure = insecure };
        Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;
        struct answer answer = { .code = JMP_UNKNOWN };
        socklen_t length = sizeof(address);
        struct jmp_channel *channel;
        struct jmp_queue *queue;
        char endpoint[64];
        pthread_t thread;

        peer.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(peer.listener, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(peer.listener, 1), 0);
        assert_int_equal(getsockname(peer.listener, (struct sockaddr *)&address, &length), 0);
        snprintf(endpoint, sizeof(endpoint), "localhost:%u", ntohs(address.sin_port));
        options.endpoint = endpoint;

        assert_int_equal(jmp_loop_new(&peer.loop), 0);
        answer.loop = peer.loop;
        assert_int_equal(jmp_queue_new(peer.loop, &queue), 0);
        assert_int_equal(jmp_channel_new(queue, &options, &channel, NULL), 0);
        assert_int_equal(pthread_create(&thread, NULL, raw_peer_main, &peer), 0);
        assert_int_equal(jmp_channel_unary(channel, &jmp_exporter_get_status, NULL, 20 * JMP_USEC_PER_SEC,
                                           &request.base, done, &answer, NULL),
                         0);
        assert_int_equal(jmp_queue_run(queue), 0);
        pthread_join(thread, NULL);
        jmp_channel_free(channel);
        jmp_queue_free(queue);
        jmp_loop_free(peer.loop);
        close(peer.listener);

        assert_string_equal(peer.offered, "grpc-exp,h2");
        assert_string_equal(peer.selected, "h2");
        assert_true(peer.spoke);
    }
    drop_identity(&id);
}
