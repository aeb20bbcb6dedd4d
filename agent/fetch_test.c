/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fetch.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/test.h"

#define OK_BODY "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

/* Two web servers, so that there are two origins. One answer to a connection; what was asked is kept. */
struct web {
    int listener[2];
    unsigned port[2];
    pthread_t thread;
    int end;  /* eventfd */
    int held; /* a connection that is left hanging */
    char asked[16][4096];
    atomic_uint n_asked;
};

static const struct {
    const char *path, *answer; /* PORT: of the other server */
} pages[] = {
    { "/plain", OK_BODY },
    { "/a%2Fb%20c/../d", OK_BODY },
    { "/relative", "HTTP/1.1 302 Found\r\nLocation: plain\r\nContent-Length: 4\r\n\r\njunk" },
    { "/percent", "HTTP/1.1 307 T\r\nLocation: /a%2Fb%20c/../d?sig=%2B%2f\r\nContent-Length: 0\r\n\r\n" },
    { "/away", "HTTP/1.1 301 M\r\nLocation: http://127.0.0.1:PORT/plain\r\nContent-Length: 0\r\n\r\n" },
    { "/circle", "HTTP/1.1 308 P\r\nLocation: /circle\r\nContent-Length: 0\r\n\r\n" },
    { "/ftp", "HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n" },
    { "/nowhere", "HTTP/1.1 302 F\r\nContent-Length: 0\r\n\r\n" },
    { "/forbidden", "HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nsecret" },
    { "/broken", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n" },
    { "/short", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello" },
    { "/hang", "" },
    { "/put", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n" },
};

/* A whole message: its head, and a body that is chunked or has a length. */
static bool is_complete(const char *text)
{
    const char *head = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length: ");

    if (!head)
        return false;
    if (strcasestr(text, "transfer-encoding: chunked"))
        return strstr(head, "\r\n0\r\n\r\n");
    return !length || strlen(head + 4) >= (size_t)atoi(length + 16);
}

static void answer(struct web *web, int fd, unsigned which)
{
    char *text = web->asked[atomic_load(&web->n_asked)], path[256] = "", reply[512];
    const char *port;
    size_t used = 0;
    ssize_t n;

    while (!is_complete(text) && used + 1 < sizeof(web->asked[0])) {
        n = read(fd, text + used, sizeof(web->asked[0]) - 1 - used);
        if (n <= 0)
            break;
        used += (size_t)n;
        text[used] = '\0';
    }
    sscanf(text, "%*s %255[^ ?]", path);
    atomic_fetch_add(&web->n_asked, 1);
    for (size_t i = 0; i < ELEMENTSOF(pages); i++) {
        if (strcmp(pages[i].path, path) != 0)
            continue;
        if (!pages[i].answer[0]) {
            web->held = fd;
            return;
        }
        port = strstr(pages[i].answer, "PORT");
        if (port)
            snprintf(reply, sizeof(reply), "%.*s%u%s", (int)(port - pages[i].answer), pages[i].answer,
                     web->port[!which], port + 4);
        else
            snprintf(reply, sizeof(reply), "%s", pages[i].answer);
        n = send(fd, reply, strlen(reply), MSG_NOSIGNAL);
    }
    close(fd);
}

static void *serve(void *data)
{
    struct web *web = data;

    for (;;) {
        struct pollfd fds[3] = { { .fd = web->end, .events = POLLIN },
                                 { .fd = web->listener[0], .events = POLLIN },
                                 { .fd = web->listener[1], .events = POLLIN } };

        if (poll(fds, 3, -1) < 0 || fds[0].revents)
            return NULL;
        for (unsigned i = 0; i < 2; i++)
            if (fds[i + 1].revents)
                answer(web, accept(web->listener[i], NULL, NULL), i);
    }
}

static struct web *web_new(void)
{
    struct web *web = calloc(1, sizeof(*web));

    assert_non_null(web);
    web->held = -EBADF;
    for (unsigned i = 0; i < 2; i++) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);

        web->listener[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(web->listener[i], (struct sockaddr *)&address, size), 0);
        assert_int_equal(listen(web->listener[i], 16), 0);
        assert_int_equal(getsockname(web->listener[i], (struct sockaddr *)&address, &size), 0);
        web->port[i] = ntohs(address.sin_port);
    }
    web->end = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(pthread_create(&web->thread, NULL, serve, web), 0);
    return web;
}

static void web_free(struct web **web)
{
    const uint64_t one = 1;

    assert_int_equal(write((*web)->end, &one, sizeof(one)), sizeof(one));
    pthread_join((*web)->thread, NULL);
    jmp_close((*web)->held);
    close((*web)->listener[0]);
    close((*web)->listener[1]);
    close((*web)->end);
    free(*web);
}

struct file {
    char data[4096];
    size_t size, sent;
    int error;
};

static int take(const void *data, size_t size, void *user)
{
    struct file *file = user;

    assert_true(file->size + size < sizeof(file->data));
    memcpy(file->data + file->size, data, size);
    file->size += size;
    return file->error;
}

static ssize_t give(void *data, size_t size, void *user)
{
    struct file *file = user;
    size_t left = file->size - file->sent, n = left < 3 ? left : 3;

    if (file->error < 0)
        return file->error;
    memcpy(data, file->data + file->sent, n);
    file->sent += n;
    return (ssize_t)n;
}

/* @headers: JSON. */
static int request(struct web *web, const char *method, const char *path, const char *headers, struct file *file,
                   int cancel, uint64_t stall, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_fetch fetch = { .cancel_fd = cancel, .stall_limit = stall, .sink = take, .source = give, .user = file };
    char text[2048];

    snprintf(text, sizeof(text), "{\"url\":\"http://127.0.0.1:%u%s\",\"method\":\"%s\",\"headers\":%s}", web->port[0],
             path, method, headers);
    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_json_parse(text, strlen(text), tree, &fetch.handle, NULL), 0);
    assert_int_equal(jmp_fetch_check(fetch.handle, NULL), 0);
    memset(reterr, 0, sizeof(*reterr));
    return jmp_fetch_run(&fetch, reterr);
}

JMP_TEST(a_file_is_fetched_or_it_is_said_why_not)
{
    static const struct {
        const char *path;
        int error;
        const char *words; /* in the message, or NULL */
        unsigned requests;
    } cases[] = {
        { "/plain", 0, NULL, 1 },
        { "/plain?X-Sig=verysecret", 0, NULL, 1 },
        { "/relative", 0, NULL, 2 },
        { "/percent", 0, NULL, 2 },
        { "/away", 0, NULL, 2 },
        { "/circle?verysecret", -EPROTO, "more than 10 redirects", 11 },
        { "/ftp", -EPROTO, "no web address", 1 },
        { "/nowhere", -EPROTO, "answered 302", 1 },
        { "/forbidden?verysecret", -EPROTO, "/forbidden?[REDACTED]: the server answered 403 Forbidden", 1 },
        { "/broken", -EPROTO, "500 Internal Server Error", 1 },
        { "/short", -EPROTO, "the file is incomplete", 1 },
    };
    struct jmp_error error;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(web_free) struct web *web = web_new();
        struct file file = { .size = 0 };
        int r = request(web, "GET", cases[i].path, "{}", &file, -1, 0, &error);

        if (r != cases[i].error)
            fail_msg("%s: %d, %s", cases[i].path, r, error.text);
        if (cases[i].words && !strstr(error.text, cases[i].words))
            fail_msg("%s: %s", cases[i].path, error.text);
        assert_null(strstr(error.text, "verysecret"));
        assert_int_equal(atomic_load(&web->n_asked), cases[i].requests);
        if (r == 0)
            assert_string_equal(file.data, "hello");
        else
            assert_null(strstr(file.data, "junk"));
    }
}

JMP_TEST(a_signed_path_stays_as_it_was_signed)
{
    _cleanup_(web_free) struct web *web = web_new();
    struct file file = { .size = 0 };
    struct jmp_error error;

    assert_int_equal(request(web, "GET", "/percent", "{}", &file, -1, 0, &error), 0);
    assert_non_null(strstr(web->asked[1], "GET /a%2Fb%20c/../d?sig=%2B%2f HTTP"));
}

JMP_TEST(credentials_stay_with_their_origin)
{
    static const char headers[] =
        "{\"Authorization\":\"Basic eHg=\",\"Cookie\":\"a=b\",\"x-amz-date\":\"now\",\"X-MS-version\":\"1\","
        "\"x-goog-user\":\"u\",\"Proxy-Authorization\":\"p\",\"X-Harmless\":\"yes\",\"X-Empty\":\"\","
        "\"Transfer-Encoding\":\"chunked\"}";
    static const char *const secrets[] = { "Authorization", "Cookie", "x-amz-", "x-ms-", "x-goog-" };
    _cleanup_(web_free) struct web *web = web_new();
    struct file file = { .size = 0 };
    struct jmp_error error;

    assert_int_equal(request(web, "GET", "/away", headers, &file, -1, 0, &error), 0);
    assert_int_equal(atomic_load(&web->n_asked), 2);
    for (size_t i = 0; i < ELEMENTSOF(secrets); i++) {
        assert_non_null(strcasestr(web->asked[0], secrets[i]));
        assert_null(strcasestr(web->asked[1], secrets[i]));
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_non_null(strstr(web->asked[i], "X-Harmless: yes\r\n"));
        assert_non_null(strcasestr(web->asked[i], "X-Empty:"));
        assert_null(strcasestr(web->asked[i], "Transfer-Encoding"));
    }
    file.size = 0;
    assert_int_equal(request(web, "GET", "/relative", headers, &file, -1, 0, &error), 0);
    assert_non_null(strcasestr(web->asked[3], "Authorization: Basic eHg="));
}

JMP_TEST(proxies_of_the_environment_are_not_asked)
{
    _cleanup_(web_free) struct web *web = web_new();
    struct file file = { .size = 0 };
    struct jmp_error error;
    int r;

    setenv("http_proxy", "http://127.0.0.1:9/", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:9/", 1);
    r = request(web, "GET", "/plain", "{}", &file, -1, 0, &error);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_int_equal(r, 0);
}

JMP_TEST(a_file_is_left_behind_a_url)
{
    _cleanup_(web_free) struct web *web = web_new();
    struct file file = { .data = "hello, web", .size = 10 };
    struct jmp_error error;

    assert_int_equal(request(web, "PUT", "/put?verysecret", "{\"Content-Type\":\"x/y\"}", &file, -1, 0, &error), 0);
    assert_non_null(strstr(web->asked[0], "PUT /put?verysecret"));
    assert_non_null(strstr(web->asked[0], "Content-Type: x/y"));
    assert_non_null(strcasestr(web->asked[0], "Transfer-Encoding: chunked"));
    file.sent = 0;
    assert_int_equal(request(web, "PUT", "/put", "{\"content-length\":\"10\"}", &file, -1, 0, &error), 0);
    assert_null(strcasestr(web->asked[1], "chunked"));
    assert_non_null(strstr(web->asked[1], "\r\n\r\nhello, web"));
    file.sent = 0;
    assert_int_equal(request(web, "PUT", "/forbidden", "{}", &file, -1, 0, &error), -EPROTO);
    file.sent = 0;
    assert_int_equal(request(web, "PUT", "/relative", "{}", &file, -1, 0, &error), -EPROTO);
    file.error = -EIO;
    assert_int_equal(request(web, "PUT", "/put", "{}", &file, -1, 0, &error), -EIO);
    assert_null(strstr(web->asked[4], "\r\n0\r\n")); /* the server sees that it is no whole file */
}

JMP_TEST(whoever_takes_the_file_may_refuse_it)
{
    _cleanup_(web_free) struct web *web = web_new();
    struct file file = { .error = -ENOSPC };
    struct jmp_error error;

    assert_int_equal(request(web, "GET", "/plain", "{}", &file, -1, 0, &error), -ENOSPC);
}

JMP_TEST(a_silent_server_has_a_limit)
{
    _cleanup_(web_free) struct web *web = web_new();
    struct file file = { .size = 0 };
    struct jmp_error error;

    assert_int_equal(request(web, "GET", "/hang", "{}", &file, -1, 1, &error), -ETIMEDOUT);
}

static void *cancel_once_asked(void *data)
{
    struct web *web = ((void **)data)[0];
    const uint64_t one = 1;
    struct timespec pause = { .tv_nsec = 1000000 };

    while (atomic_load(&web->n_asked) == 0)
        nanosleep(&pause, NULL);
    assert_int_equal(write(*(int *)((void **)data)[1], &one, sizeof(one)), sizeof(one));
    return NULL;
}

JMP_TEST(a_cancelled_transfer_ends)
{
    _cleanup_(web_free) struct web *web = web_new();
    _cleanup_close_ int cancel = eventfd(0, EFD_CLOEXEC);
    void *arguments[] = { web, &cancel };
    struct file file = { .size = 0 };
    struct jmp_error error;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, cancel_once_asked, arguments), 0);
    assert_int_equal(request(web, "GET", "/hang", "{}", &file, cancel, 0, &error), -ECANCELED);
    pthread_join(thread, NULL);
}

JMP_TEST(a_closed_port_is_an_error_with_words)
{
    _cleanup_(web_free) struct web *web = web_new();
    struct file file = { .size = 0 };
    struct jmp_error error;

    web->port[0] = 1;
    assert_int_equal(request(web, "GET", "/plain?verysecret", "{}", &file, -1, 0, &error), -EPROTO);
    assert_non_null(strstr(error.text, "connect"));
    assert_null(strstr(error.text, "verysecret"));
}

JMP_TEST(bad_requests_are_refused)
{
    static const char *const bad[] = {
        "{}",
        "{\"url\":\"http://x/\",\"method\":\"POST\"}",
        "{\"url\":\"ftp://x/\",\"method\":\"GET\"}",
        "{\"url\":\"file:///etc/shadow\",\"method\":\"GET\"}",
        "{\"url\":7,\"method\":\"GET\"}",
        "{\"url\":\"http://x/\",\"method\":\"GET\",\"headers\":[]}",
        "{\"url\":\"http://x/\",\"method\":\"GET\",\"headers\":{\"a\":1}}",
        "{\"url\":\"http://x/\",\"method\":\"GET\",\"headers\":{\"a\":\"b\\r\\nc: d\"}}",
        "{\"url\":\"http://x/\",\"method\":\"GET\",\"headers\":{\"a b\":\"c\"}}",
        "{\"url\":\"http://x/\",\"method\":\"GET\",\"headers\":{\"\":\"c\"}}",
    };

    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        struct jmp_error error = JMP_ERROR_INIT;
        const struct jmp_node *handle;

        assert_int_equal(jmp_tree_new(0, &tree), 0);
        assert_int_equal(jmp_json_parse(bad[i], strlen(bad[i]), tree, &handle, NULL), 0);
        if (jmp_fetch_check(handle, &error) != -EINVAL || !error.text[0])
            fail_msg("%s", bad[i]);
    }
}

JMP_TEST(secrets_of_a_url_are_not_shown)
{
    static const struct {
        const char *url, *shown, *encoding;
    } cases[] = {
        { "http://x/a.img", "http://x/a.img", NULL },
        { "https://x/a.img.xz?sig=1", "https://x/a.img.xz?[REDACTED]", "xz" },
        { "https://me:pw@x:8080/a.GZ#part", "https://x:8080/a.GZ", "gzip" },
        { "http://x?y.xz", "http://x?[REDACTED]", NULL },
        { "http://x/a.zst", "http://x/a.zst", "zstd" },
        { "http://x/a@b.bz2", "http://x/a@b.bz2", "bz2" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char buffer[256];
        const char *encoding = jmp_fetch_encoding(cases[i].url);

        assert_string_equal(jmp_fetch_show(cases[i].url, buffer, sizeof(buffer)), cases[i].shown);
        assert_string_equal(encoding ? encoding : "", cases[i].encoding ? cases[i].encoding : "");
    }
}
