/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/http.h"

#include <ctype.h>
#include <string.h>

#include "base/curl.h"

#define CONNECT_TIMEOUT_MSEC 20000L
#define HEADER_LINE_MAX 8192u

struct jmp_http {
    const struct jmp_curl *curl;
    struct jmp_loop *loop;
    CURLM *multi;
    struct jmp_timer timer;
    struct jmp_post post;              /* transfers that ended are told after curl's own functions have returned */
    struct jmp_http_peer peer;
    struct jmp_http_transfer *transfers;
    bool stale;                        /* the peer changed: idle connections are to go */
};

struct jmp_http_transfer {
    struct jmp_http_transfer *next, **link;
    struct jmp_http *http;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    struct jmp_http_body body;         /* of the answer */
    char *warning;
    int (*chunk)(const char *bytes, size_t length, void *user);
    void (*done)(const struct jmp_http_answer *answer, void *user);
    void *user;
    uint64_t silence;
    struct jmp_timer silent;
    int error;                         /* ours, in place of curl's */
    char words[CURL_ERROR_SIZE];
    struct jmp_http_answer answer;
};

/* A descriptor of curl's, watched by the loop. */
struct watch {
    struct jmp_http *http;
    struct jmp_io io;
};

char *jmp_http_escape(const char *text)
{
    char *escaped = malloc(3 * strlen(text) + 1), *out = escaped;

    if (!escaped)
        return NULL;
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (isalnum(*at) || strchr("-._~", *at))
            *out++ = (char)*at;
        else
            out += sprintf(out, "%%%02X", *at);
    }
    *out = '\0';
    return escaped;
}

int jmp_http_body_add(struct jmp_http_body *body, const char *bytes, size_t length)
{
    if (length > JMP_HTTP_BODY_MAX - body->length)
        return -E2BIG;
    if (body->length + length + 1 > body->size) {
        size_t size = (body->length + length + 1) * 2;
        char *more = realloc(body->text, size);

        if (!more)
            return -ENOMEM;
        body->text = more;
        body->size = size;
    }
    memcpy(body->text + body->length, bytes, length);
    body->length += length;
    body->text[body->length] = '\0';
    return 0;
}

void jmp_http_body_clear(struct jmp_http_body *body)
{
    free(body->text);
    *body = (struct jmp_http_body){ 0 };
}

static void transfer_free(struct jmp_http_transfer *transfer)
{
    *transfer->link = transfer->next;
    if (transfer->next)
        transfer->next->link = transfer->link;
    jmp_timer_close(&transfer->silent);
    if (transfer->easy) {
        transfer->http->curl->multi_remove_handle(transfer->http->multi, transfer->easy);
        transfer->http->curl->easy_cleanup(transfer->easy);
    }
    transfer->http->curl->slist_free_all(transfer->headers);
    transfer->http->curl->slist_free_all(transfer->connect_to);
    jmp_http_body_clear(&transfer->body);
    free(transfer->warning);
    free(transfer);
}

/*
 * The end of a transfer.
 */

static int curl_errno(CURLcode code)
{
    switch (code) {
    case CURLE_OK: return 0;
    case CURLE_OUT_OF_MEMORY: return -ENOMEM;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return -EHOSTUNREACH;
    case CURLE_COULDNT_CONNECT: return -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE: return -EPROTO;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT: return -EINVAL;
    default: return -ECONNRESET;
    }
}

static void finish(struct jmp_http_transfer *transfer, CURLcode code)
{
    const struct jmp_curl *curl = transfer->http->curl;
    struct jmp_http_answer *answer = &transfer->answer;
    const char *type = NULL;
    long status = 0, sent = 0;
    curl_off_t retry_after = 0;

    curl->easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    curl->easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &sent);
    answer->status = (unsigned)status;
    answer->sent = sent > 0;
    answer->error = transfer->error ?: curl_errno(code);
    if (answer->error < 0 && !*answer->text)
        snprintf(answer->text, sizeof(answer->text), "%.*s", (int)sizeof(answer->text) - 1,
                 *transfer->words ? transfer->words : curl->easy_strerror(code));
    if (curl->easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type)
        snprintf(answer->content_type, sizeof(answer->content_type), "%.63s", type);
    if (curl->easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK && retry_after > 0) {
        answer->has_retry_after = true;
        answer->retry_after = retry_after < 86400 ? (unsigned)retry_after : 86400;
    }
    answer->body = transfer->body.text ?: "";
    answer->length = transfer->body.length;
    answer->warning = transfer->warning;
    transfer->done(answer, transfer->user);
    transfer_free(transfer);
}

static void tell_ended(struct jmp_http *http)
{
    CURLMsg *message;
    int left;

    while ((message = http->curl->multi_info_read(http->multi, &left))) {
        struct jmp_http_transfer *transfer;
        CURLcode code = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        http->curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        finish(transfer, code);
    }
}

static void on_post(struct jmp_post *post) { tell_ended(CONTAINER_OF(post, struct jmp_http, post)); }

static void fail(struct jmp_http_transfer *transfer, int error, const char *text)
{
    if (transfer->error == 0)
        snprintf(transfer->answer.text, sizeof(transfer->answer.text), "%s", text);
    transfer->error = transfer->error ?: error;
}

static void on_silence(struct jmp_timer *timer)
{
    struct jmp_http_transfer *transfer = CONTAINER_OF(timer, struct jmp_http_transfer, silent);

    fail(transfer, -ETIMEDOUT, "the server is silent");
    transfer->http->curl->multi_remove_handle(transfer->http->multi, transfer->easy);
    finish(transfer, CURLE_OPERATION_TIMEDOUT);
}

/*
 * curl's callbacks.
 */

static void restart_silence(struct jmp_http_transfer *transfer)
{
    if (transfer->silence > 0 &&
        jmp_timer_start(transfer->http->loop, &transfer->silent, transfer->silence, on_silence) < 0)
        fail(transfer, -ENOMEM, strerror(ENOMEM));
}

static int keep(struct jmp_http_transfer *transfer, const char *bytes, size_t length)
{
    int r = jmp_http_body_add(&transfer->body, bytes, length);

    if (r < 0)
        fail(transfer, r, r == -E2BIG ? "the answer is too large" : strerror(-r));
    return r;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    struct jmp_http_transfer *transfer = user;
    size_t length = size * count;
    long status = 0;
    int r;

    restart_silence(transfer);
    transfer->http->curl->easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (transfer->chunk && status / 100 == 2) {
        r = transfer->chunk(bytes, length, transfer->user);
        if (r < 0)
            fail(transfer, r, strerror(-r));
    } else {
        r = keep(transfer, bytes, length);
    }
    /* Anything but the length ends the transfer. */
    return r < 0 || transfer->error < 0 ? 0 : length;
}

static size_t on_header(char *line, size_t size, size_t count, void *user)
{
    static const char name[] = "warning:";
    struct jmp_http_transfer *transfer = user;
    size_t length = size * count, prefix = sizeof(name) - 1;

    restart_silence(transfer);
    if (!transfer->warning && length > prefix && length < HEADER_LINE_MAX && strncasecmp(line, name, prefix) == 0) {
        while (length > prefix && isspace((unsigned char)line[length - 1]))
            length--;
        while (prefix < length && isspace((unsigned char)line[prefix]))
            prefix++;
        transfer->warning = strndup(line + prefix, length - prefix);
    }
    return size * count;
}

static void act(struct jmp_http *http, curl_socket_t fd, int events)
{
    int running;

    http->curl->multi_socket_action(http->multi, fd, events, &running);
    tell_ended(http);
}

static void on_timer(struct jmp_timer *timer)
{
    act(CONTAINER_OF(timer, struct jmp_http, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long msec, void *user)
{
    struct jmp_http *http = user;

    if (msec < 0)
        jmp_timer_stop(&http->timer);
    else if (jmp_timer_start(http->loop, &http->timer, (uint64_t)msec * JMP_USEC_PER_MSEC, on_timer) < 0)
        return -1;
    return 0;
}

static void on_ready(struct jmp_io *io, uint32_t revents)
{
    struct watch *watch = CONTAINER_OF(io, struct watch, io);
    int events = (revents & EPOLLIN ? CURL_CSELECT_IN : 0) | (revents & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                 (revents & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

    act(watch->http, io->fd, events);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket)
{
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    struct jmp_http *http = user;
    struct watch *watch = socket;

    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            jmp_io_close(&watch->io);
            free(watch);
        }
        return 0;
    }
    if (watch) {
        jmp_io_set(&watch->io, events);
        return 0;
    }
    watch = calloc(1, sizeof(*watch));
    if (!watch)
        return -1;
    watch->http = http;
    if (jmp_io_start(http->loop, &watch->io, fd, events, on_ready) < 0) {
        free(watch);
        return -1;
    }
    http->curl->multi_assign(http->multi, fd, watch);
    return 0;
}

/*
 * Requests.
 */

static void set_blob(const struct jmp_curl *curl, CURL *easy, CURLoption option, const char *pem)
{
    struct curl_blob blob = { .data = (void *)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY };

    curl->easy_setopt(easy, option, &blob);
}

/* The certificate is checked for another name than that of the URL: the URL gets that name, and the connection the
 * place. */
static int set_server_name(struct jmp_http_transfer *transfer, const char *url, const char *name)
{
    const struct jmp_curl *curl = transfer->http->curl;
    _cleanup_free_ char *renamed = NULL, *connect = NULL, *host_header = NULL;
    char *host = NULL, *port = NULL;
    struct curl_slist *more;
    CURLU *parts = curl->url();
    int r = -ENOMEM;

    if (parts && curl->url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl->url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl->url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        asprintf(&connect, "%s:%s:%s:%s", name, port, host, port) >= 0 &&
        asprintf(&host_header, "Host: %s:%s", host, port) >= 0 &&
        curl->url_set(parts, CURLUPART_HOST, name, 0) == CURLUE_OK &&
        curl->url_get(parts, CURLUPART_URL, &renamed, 0) == CURLUE_OK &&
        (transfer->connect_to = curl->slist_append(NULL, connect)) &&
        (more = curl->slist_append(transfer->headers, host_header))) {
        transfer->headers = more;
        curl->easy_setopt(transfer->easy, CURLOPT_URL, renamed);
        curl->easy_setopt(transfer->easy, CURLOPT_CONNECT_TO, transfer->connect_to);
        r = 0;
    }
    curl->free(host);
    curl->free(port);
    curl->url_cleanup(parts);
    return r;
}

static int set_peer(struct jmp_http_transfer *transfer, const char *url)
{
    const struct jmp_curl *curl = transfer->http->curl;
    const struct jmp_http_peer *peer = &transfer->http->peer;
    CURL *easy = transfer->easy;

    if (peer->server_name) {
        int r = set_server_name(transfer, url, peer->server_name);

        if (r < 0)
            return r;
    }
    if (peer->ca) {
        set_blob(curl, easy, CURLOPT_CAINFO_BLOB, peer->ca);
        curl->easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (peer->insecure) {
        curl->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (peer->certificate) {
        curl->easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
        curl->easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
        set_blob(curl, easy, CURLOPT_SSLCERT_BLOB, peer->certificate);
        set_blob(curl, easy, CURLOPT_SSLKEY_BLOB, peer->key);
    }
    if (peer->proxy)
        curl->easy_setopt(easy, CURLOPT_PROXY, peer->proxy);
    if (peer->username) {
        curl->easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl->easy_setopt(easy, CURLOPT_USERNAME, peer->username);
        curl->easy_setopt(easy, CURLOPT_PASSWORD, peer->password ?: "");
    }
    return 0;
}

static int set_up(struct jmp_http_transfer *transfer, const struct jmp_http_request *request)
{
    const struct jmp_curl *curl = transfer->http->curl;
    CURL *easy = transfer->easy;

    for (const char *const *header = request->headers; header && *header; header++) {
        struct curl_slist *more = curl->slist_append(transfer->headers, *header);

        if (!more)
            return -ENOMEM;
        transfer->headers = more;
    }
    curl->easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl->easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->words);
    curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MSEC);
    curl->easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl->easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl->easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl->easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl->easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    if (request->timeout > 0)
        curl->easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(request->timeout / JMP_USEC_PER_MSEC));
    if (curl->easy_setopt(easy, CURLOPT_URL, request->url) != CURLE_OK)
        return -ENOMEM;
    if (request->body) {
        curl->easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->length);
        if (curl->easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body) != CURLE_OK)
            return -ENOMEM;
    }
    if (strncmp(request->url, "https:", 6) == 0 || transfer->http->peer.proxy || transfer->http->peer.username) {
        int r = set_peer(transfer, request->url);

        if (r < 0)
            return r;
    }
    return curl->easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK ? 0 : -ENOMEM;
}

static int renew_pool(struct jmp_http *http)
{
    const struct jmp_curl *curl = http->curl;
    CURLM *multi = curl->multi_init();

    if (!multi)
        return -ENOMEM;
    curl->multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl->multi_setopt(multi, CURLMOPT_SOCKETDATA, http);
    curl->multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl->multi_setopt(multi, CURLMOPT_TIMERDATA, http);
    curl->multi_cleanup(http->multi);
    http->multi = multi;
    http->stale = false;
    return 0;
}

int jmp_http_start(struct jmp_http *http, const struct jmp_http_request *request,
                   void (*done)(const struct jmp_http_answer *answer, void *user), void *user,
                   struct jmp_http_transfer **ret)
{
    struct jmp_http_transfer *transfer;
    int r;

    if (strncmp(request->url, "https://", 8) != 0 && strncmp(request->url, "http://", 7) != 0)
        return -EINVAL;
    if (http->stale && !http->transfers) {
        r = renew_pool(http);
        if (r < 0)
            return r;
    }
    transfer = calloc(1, sizeof(*transfer));
    if (!transfer)
        return -ENOMEM;
    transfer->http = http;
    transfer->chunk = request->chunk;
    transfer->silence = request->silence;
    transfer->done = done;
    transfer->user = user;
    transfer->next = http->transfers;
    if (transfer->next)
        transfer->next->link = &transfer->next;
    transfer->link = &http->transfers;
    http->transfers = transfer;

    transfer->easy = http->curl->easy_init();
    r = transfer->easy ? set_up(transfer, request) : -ENOMEM;
    if (r == 0 && http->curl->multi_add_handle(http->multi, transfer->easy) != CURLM_OK)
        r = -ENOMEM;
    if (r < 0) {
        transfer_free(transfer);
        return r;
    }
    restart_silence(transfer);
    if (ret)
        *ret = transfer;
    return 0;
}

void jmp_http_cancel(struct jmp_http_transfer *transfer)
{
    struct jmp_http *http = transfer->http;

    transfer_free(transfer);
    /* Others may have ended while curl took this one out. */
    jmp_loop_post(http->loop, &http->post);
}

void jmp_http_set_peer(struct jmp_http *http, const struct jmp_http_peer *peer)
{
    http->peer = *peer;
    http->stale = true;
}

int jmp_http_new(struct jmp_loop *loop, struct jmp_http **ret, struct jmp_error *reterr)
{
    const struct jmp_curl *curl = jmp_curl(reterr);
    _cleanup_(jmp_http_freep) struct jmp_http *http = NULL;
    int r;

    if (!curl)
        return -ENOPKG;
    http = calloc(1, sizeof(*http));
    if (!http)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    http->curl = curl;
    http->loop = loop;
    http->post.run = on_post;
    r = renew_pool(http);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    *ret = TAKE_PTR(http);
    return 0;
}

struct jmp_http *jmp_http_free(struct jmp_http *http)
{
    if (!http)
        return NULL;

    while (http->transfers)
        transfer_free(http->transfers);
    http->curl->multi_cleanup(http->multi);
    jmp_timer_close(&http->timer);
    jmp_loop_unpost(http->loop, &http->post);
    free(http);
    return NULL;
}
