/* SPDX-License-Identifier: Apache-2.0 */
/* On libcurl, which does one request at a time here: redirects are followed by hand, so that a signed URL stays as it
 * was signed, byte for byte, and so that we decide what another origin gets to see. */
#include "agent/fetch.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/curl.h"
#include "base/limits.h"
#include "base/loop.h"

#define CONNECT_LIMIT (30 * JMP_USEC_PER_SEC)
#define STALL_LIMIT (120 * JMP_USEC_PER_SEC)
#define PROGRESS_INTERVAL (2 * JMP_USEC_PER_SEC)
#define PIECE (256u * 1024) /* bytes that libcurl reads at once; it hands them over in sixteen parts */

struct request {
    const struct jmp_fetch *fetch;
    const struct jmp_curl *curl;
    bool put;
    const char *method;
    char *url; /* asked now */
    CURL *easy;
    CURLM *multi;
    struct curl_slist *headers;
    uint64_t begun, moved, told; /* jmp_now(); moved: when a byte last came or went */
    uint64_t done, total;

    /* of one answer */
    char *location; /* value of its header, as received */
    bool body;      /* the answer is the file */
    uint8_t *piece; /* GET: what of it has come and not been given to the sink */
    size_t piece_size;
    int error; /* of sink or source */
    char text[CURL_ERROR_SIZE];
};

static void request_close(struct request *request)
{
    if (!request->curl)
        return;
    if (request->multi && request->easy)
        request->curl->multi_remove_handle(request->multi, request->easy);
    request->curl->easy_cleanup(request->easy);
    request->curl->multi_cleanup(request->multi);
    request->curl->slist_free_all(request->headers);
    free(request->location);
    free(request->piece);
    free(request->url);
}

const char *jmp_fetch_show(const char *url, char *buffer, size_t size)
{
    const char *host = strstr(url, "://");
    const char *from = host ? host + 3 : url;
    size_t length = strcspn(from, "?#"), authority = strcspn(from, "/?#");
    const char *at = memrchr(from, '@', authority);

    if (at) {
        length -= (size_t)(at + 1 - from);
        from = at + 1;
    }
    snprintf(buffer, size, "%.*s%.*s%s", host ? (int)(host + 3 - url) : 0, url, (int)length, from,
             strchr(from, '?') ? "?[REDACTED]" : "");
    return buffer;
}

#define SHOWN(url) jmp_fetch_show((url), (char[256]){ 0 }, 256)

const char *jmp_fetch_encoding(const char *url)
{
    static const struct {
        const char *end, *encoding;
    } ends[] = { { ".gz", "gzip" }, { ".xz", "xz" }, { ".bz2", "bz2" }, { ".zst", "zstd" }, { ".zstd", "zstd" } };
    size_t length = strcspn(url, "?#");

    for (size_t i = 0; i < ELEMENTSOF(ends); i++) {
        size_t end = strlen(ends[i].end);

        if (length > end && strncasecmp(url + length - end, ends[i].end, end) == 0)
            return ends[i].encoding;
    }
    return NULL;
}

static bool is_http(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

/* What a header may consist of, so that one does not become two. */
static bool is_header_name(const char *name)
{
    if (!*name)
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("!#$%&'*+-.^_`|~", *name))
            return false;
    return true;
}

static bool is_header_value(const char *value)
{
    for (; *value; value++)
        if ((unsigned char)*value < ' ' && *value != '\t')
            return false;
    return true;
}

int jmp_fetch_check(const struct jmp_node *handle, struct jmp_error *reterr)
{
    const char *method = jmp_node_string(jmp_node_get(handle, "method"));
    const char *url = jmp_node_string(jmp_node_get(handle, "url"));
    const struct jmp_node *headers = jmp_node_get(handle, "headers");

    if (!method || (strcmp(method, "GET") != 0 && strcmp(method, "PUT") != 0))
        return jmp_error_set(reterr, -EINVAL, "a file behind a URL is fetched by GET or left by PUT");
    if (!url || !is_http(url))
        return jmp_error_set(reterr, -EINVAL, "the handle of a file behind a URL needs a url with http or https");
    if (strlen(url) > JMP_FETCH_URL_MAX)
        return jmp_error_set(reterr, -EINVAL, "the url is longer than %u bytes", JMP_FETCH_URL_MAX);
    if (jmp_node_is_null(headers))
        return 0;
    if (headers->kind != JMP_NODE_MAP || headers->count > JMP_FETCH_HEADERS_MAX)
        return jmp_error_set(reterr, -EINVAL, "the headers for a url must be a map of at most %u strings",
                             JMP_FETCH_HEADERS_MAX);
    JMP_NODE_EACH(header, headers) {
        const char *value = jmp_node_string(header);

        if (!value || strlen(value) > JMP_FETCH_URL_MAX || !is_header_value(value) || !is_header_name(header->key))
            return jmp_error_set(reterr, -EINVAL, "a header for a url has a name or a value that cannot be sent");
    }
    return 0;
}

/* Never sent on to another origin. */
static bool is_credential(const char *name)
{
    static const char *const prefixes[] = { "authorization", "cookie", "proxy-authorization",
                                            "x-amz-",        "x-ms-",  "x-goog-" };

    for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
        if (strncasecmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* How a message is framed is between libcurl and the server. */
static bool is_framing(const char *name)
{
    static const char *const names[] = { "connection", "content-length",    "expect", "te",
                                         "trailer",    "transfer-encoding", "upgrade" };

    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static int add_header(struct request *request, const char *line)
{
    struct curl_slist *longer = request->curl->slist_append(request->headers, line);

    if (!longer)
        return -ENOMEM;
    request->headers = longer;
    return 0;
}

static int add_headers(struct request *request, bool same_origin)
{
    int r = 0;

    request->curl->slist_free_all(request->headers);
    request->headers = NULL;
    JMP_NODE_EACH(header, jmp_node_get(request->fetch->handle, "headers")) {
        const char *name = header->key, *value = header->string;
        _cleanup_free_ char *line = NULL;

        if (is_framing(name) || (!same_origin && (is_credential(name) || strcasecmp(name, "host") == 0)))
            continue;
        /* A name with nothing behind its colon would take a header away. */
        if (asprintf(&line, *value ? "%s: %s" : "%s;%s", name, value) < 0) {
            line = NULL;
            return -ENOMEM;
        }
        r = add_header(request, line);
        if (r < 0)
            return r;
    }
    return request->put ? add_header(request, "Expect:") : 0;
}

/* PUT: the size, when the handle says it; servers of some stores want to know it beforehand. */
static curl_off_t put_size(const struct jmp_node *handle)
{
    JMP_NODE_EACH(header, jmp_node_get(handle, "headers"))
        if (strcasecmp(header->key, "content-length") == 0 && isdigit((unsigned char)header->string[0]))
            return (curl_off_t)strtoll(header->string, NULL, 10);
    return -1;
}

static void tell(struct request *request, bool now)
{
    request->moved = jmp_now();
    if (!request->fetch->progress || (!now && request->moved - request->told < PROGRESS_INTERVAL))
        return;
    request->told = request->moved;
    request->fetch->progress(request->done, request->total, request->fetch->user);
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    struct request *request = user;
    size_t length = size * count;
    static const char name[] = "location:";

    if (length > 5 && memcmp(data, "HTTP/", 5) == 0) { /* after "100 Continue" comes another */
        free(TAKE_PTR(request->location));
    } else if (length > sizeof(name) && strncasecmp(data, name, sizeof(name) - 1) == 0) {
        size_t from = sizeof(name) - 1;

        while (length > from && isspace((unsigned char)data[length - 1]))
            length--;
        while (from < length && isspace((unsigned char)data[from]))
            from++;
        free(request->location);
        request->location = length - from <= JMP_FETCH_URL_MAX ? strndup(data + from, length - from) : NULL;
    }
    return size * count;
}

static long answer_status(struct request *request)
{
    long status = 0;

    request->curl->easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Each piece wakes whoever works on it: few large ones, but none kept while the server pauses. */
static int give_piece(struct request *request)
{
    if (request->piece_size > 0 && request->error == 0)
        request->error = request->fetch->sink(request->piece, request->piece_size, request->fetch->user);
    request->piece_size = 0;
    request->moved = jmp_now(); /* a sink that blocks is no server that does not answer */
    return request->error;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    struct request *request = user;
    size_t length = size * count;
    curl_off_t total = -1;
    long status = answer_status(request);

    if (request->put)
        return length; /* what a server says to an upload is of no interest */
    if (status < 200 || status >= 300)
        return CURL_WRITEFUNC_ERROR; /* nor the page of a redirect or an error */
    request->body = true;
    if (request->done == 0 &&
        request->curl->easy_getinfo(request->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total) == CURLE_OK && total > 0)
        request->total = (uint64_t)total;
    if (length > PIECE - request->piece_size && (give_piece(request) < 0 || length > PIECE))
        return CURL_WRITEFUNC_ERROR;
    memcpy(request->piece + request->piece_size, data, length);
    request->piece_size += length;
    request->done += length;
    tell(request, false);
    return length;
}

static size_t on_source(char *data, size_t size, size_t count, void *user)
{
    struct request *request = user;
    ssize_t n = request->fetch->source(data, size * count, request->fetch->user);

    if (n < 0) {
        request->error = (int)n;
        return CURL_READFUNC_ABORT;
    }
    request->done += (uint64_t)n;
    tell(request, false);
    return (size_t)n;
}

#define SET(option, value) \
    do { \
        if (request->curl->easy_setopt(request->easy, (option), (value)) != CURLE_OK) \
            return -ENOMEM; \
    } while (0)

static int set_up(struct request *request)
{
    const char *ca = getenv("SSL_CERT_FILE");
    uint64_t connect = request->fetch->connect_limit ? request->fetch->connect_limit : CONNECT_LIMIT;

    request->easy = request->curl->easy_init();
    request->multi = request->curl->multi_init();
    request->piece = request->put ? NULL : malloc(PIECE);
    if (!request->easy || !request->multi || (!request->put && !request->piece))
        return -ENOMEM;

    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_PROXY, ""); /* not even by the environment */
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a name server that is silent does not hold up a cancel */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(connect / JMP_USEC_PER_MSEC));
    SET(CURLOPT_BUFFERSIZE, (long)PIECE);
    SET(CURLOPT_USERAGENT, "jmp-agent");
    SET(CURLOPT_ERRORBUFFER, request->text);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, request);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, request);
    if (ca && *ca)
        SET(CURLOPT_CAINFO, ca);
    if (request->put) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)PIECE);
        SET(CURLOPT_READFUNCTION, on_source);
        SET(CURLOPT_READDATA, request);
        SET(CURLOPT_INFILESIZE_LARGE, put_size(request->fetch->handle));
    }
    return 0;
}

static int timed_out(struct request *request, uint64_t after, struct jmp_error *reterr)
{
    return jmp_error_set(reterr, -ETIMEDOUT, "%s %s: %s for %llu seconds", request->method, SHOWN(request->url),
                         after == JMP_FETCH_TIME_MAX ? "not finished" : "nothing moved", (unsigned long long)after);
}

/* One request to its end. Return: 0 with @retcode, what libcurl makes of it; otherwise with words. */
static int perform(struct request *request, CURLcode *retcode, struct jmp_error *reterr)
{
    const struct jmp_fetch *fetch = request->fetch;
    uint64_t stall = fetch->stall_limit ? fetch->stall_limit : STALL_LIMIT;
    struct curl_waitfd cancel = { .fd = fetch->cancel_fd, .events = CURL_WAIT_POLLIN };
    CURLMsg *message;
    int running = 1, left;

    request->moved = jmp_now();
    for (;;) {
        if (request->curl->multi_perform(request->multi, &running) != CURLM_OK)
            return -ENOMEM;
        if (give_piece(request) < 0 || running == 0)
            break;
        cancel.revents = 0;
        if (request->curl->multi_poll(request->multi, &cancel, fetch->cancel_fd >= 0, 500, NULL) != CURLM_OK)
            return -ENOMEM;
        if (cancel.revents)
            return jmp_error_set(reterr, -ECANCELED, "%s %s: cancelled", request->method, SHOWN(request->url));
        if (jmp_now() - request->begun > JMP_FETCH_TIME_MAX * JMP_USEC_PER_SEC)
            return timed_out(request, JMP_FETCH_TIME_MAX, reterr);
        if (jmp_now() - request->moved > stall)
            return timed_out(request, stall / JMP_USEC_PER_SEC, reterr);
    }
    message = request->curl->multi_info_read(request->multi, &left);
    *retcode = message ? message->data.result : CURLE_FAILED_INIT;
    return 0;
}

struct origin {
    const struct jmp_curl *curl;
    char *scheme, *host, *port;
};

static void origin_clear(struct origin *origin)
{
    origin->curl->free(origin->scheme);
    origin->curl->free(origin->host);
    origin->curl->free(origin->port);
}

static bool origin_of(CURLU *url, struct origin *ret)
{
    return ret->curl->url_get(url, CURLUPART_SCHEME, &ret->scheme, 0) == CURLUE_OK &&
           ret->curl->url_get(url, CURLUPART_HOST, &ret->host, 0) == CURLUE_OK &&
           ret->curl->url_get(url, CURLUPART_PORT, &ret->port, CURLU_DEFAULT_PORT) == CURLUE_OK;
}

/*
 * Where the answer sends us, as it was written: a path may be signed. Newer releases of libcurl (8.14) take "/../" out
 * of a path that is given without a host, whatever they were asked for.
 */
static char *full_location(const struct request *request)
{
    const char *host = strstr(request->url, "://");
    size_t origin = host ? (size_t)(host + 3 - request->url) : 0;
    char *full;

    if (!host || request->location[0] != '/' || request->location[1] == '/')
        return strdup(request->location);
    origin += strcspn(request->url + origin, "/?#");
    return asprintf(&full, "%.*s%s", (int)origin, request->url, request->location) < 0 ? NULL : full;
}

/* Where the answer sends us. Return: 1 when that is another origin, 0, or with words. */
static int follow(struct request *request, struct jmp_error *reterr)
{
    _cleanup_free_ char *location = full_location(request);
    const struct jmp_curl *curl = request->curl;
    CURLU *url = location ? curl->url() : NULL;
    _cleanup_(origin_clear) struct origin before = { .curl = curl }, after = { .curl = curl };
    char *text = NULL;
    int r = -EPROTO;

    if (!url)
        return -ENOMEM;
    if (curl->url_set(url, CURLUPART_URL, request->url, CURLU_PATH_AS_IS) != CURLUE_OK || !origin_of(url, &before) ||
        curl->url_set(url, CURLUPART_URL, location, CURLU_PATH_AS_IS) != CURLUE_OK || !origin_of(url, &after) ||
        curl->url_get(url, CURLUPART_URL, &text, 0) != CURLUE_OK || !is_http(text) || strlen(text) > JMP_FETCH_URL_MAX)
        jmp_error_set(reterr, r, "GET %s: redirected to something that is no web address", SHOWN(request->url));
    else if (strcasecmp(before.scheme, "https") == 0 && strcasecmp(after.scheme, "https") != 0)
        jmp_error_set(reterr, r, "GET %s: redirected from https to http, which is not followed", SHOWN(request->url));
    else
        r = strcasecmp(before.scheme, after.scheme) != 0 || strcasecmp(before.host, after.host) != 0 ||
            strcmp(before.port, after.port) != 0;
    if (r >= 0) {
        free(request->url);
        request->url = strdup(text);
        r = request->url ? r : -ENOMEM;
    }
    curl->free(text);
    curl->url_cleanup(url);
    return r;
}

/* Names only what has one that says more than the number. */
static const char *status_words(long status)
{
    switch (status) {
    case 400:
        return " Bad Request";
    case 401:
        return " Unauthorized";
    case 403:
        return " Forbidden";
    case 404:
        return " Not Found";
    case 410:
        return " Gone";
    case 500:
        return " Internal Server Error";
    case 503:
        return " Service Unavailable";
    default:
        return "";
    }
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Return: 1: redirected; 0: done; otherwise with words. */
static int judge(struct request *request, CURLcode code, struct jmp_error *reterr)
{
    long status = answer_status(request);
    const char *words = request->text[0] ? request->text : request->curl->easy_strerror(code);

    if (request->error < 0)
        return jmp_error_set(reterr, request->error, "%s %s: %m", request->method, SHOWN(request->url));
    if (status >= 300 && !request->put && request->location && is_redirect(status))
        return 1;
    if (status >= 300)
        return jmp_error_set(reterr, -EPROTO, "%s %s: the server answered %ld%s", request->method, SHOWN(request->url),
                             status, status_words(status));
    if (code == CURLE_OPERATION_TIMEDOUT)
        return jmp_error_set(reterr, -ETIMEDOUT, "%s %s: %s", request->method, SHOWN(request->url), words);
    if (code != CURLE_OK)
        return jmp_error_set(reterr, -EPROTO, "%s %s: %s%s", request->method, SHOWN(request->url), words,
                             request->body ? "; the file is incomplete" : "");
    return 0;
}

static int run(struct request *request, struct jmp_error *reterr)
{
    bool same_origin = true;
    CURLcode code = CURLE_FAILED_INIT;
    int r;

    r = set_up(request);
    if (r < 0)
        return r;
    for (unsigned redirects = 0;; redirects++) {
        if (redirects > JMP_FETCH_REDIRECTS_MAX)
            return jmp_error_set(reterr, -EPROTO, "GET %s: more than %u redirects", SHOWN(request->url),
                                 JMP_FETCH_REDIRECTS_MAX);
        r = add_headers(request, same_origin);
        if (r < 0)
            return r;
        free(TAKE_PTR(request->location));
        request->text[0] = '\0';
        SET(CURLOPT_URL, request->url);
        SET(CURLOPT_HTTPHEADER, request->headers);
        if (request->curl->multi_add_handle(request->multi, request->easy) != CURLM_OK)
            return -ENOMEM;
        r = perform(request, &code, reterr);
        if (r < 0)
            return r;
        request->curl->multi_remove_handle(request->multi, request->easy);
        r = judge(request, code, reterr);
        if (r <= 0)
            break;
        r = follow(request, reterr);
        if (r < 0)
            return r;
        same_origin = same_origin && r == 0;
    }
    if (r == 0)
        tell(request, true);
    return r;
}

int jmp_fetch_run(const struct jmp_fetch *fetch, struct jmp_error *reterr)
{
    const struct jmp_curl *curl = jmp_curl(reterr);
    _cleanup_(request_close) struct request request = { .fetch = fetch, .curl = curl, .begun = jmp_now() };

    if (!curl)
        return -EOPNOTSUPP; /* to the client this exporter cannot do that */
    request.method = jmp_node_string(jmp_node_get(fetch->handle, "method"));
    request.put = strcmp(request.method, "PUT") == 0;
    request.told = request.begun;
    request.url = strdup(jmp_node_string(jmp_node_get(fetch->handle, "url")));
    if (!request.url)
        return -ENOMEM;
    return run(&request, reterr);
}
