/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/callback.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/loop.h"

#define REQUEST_MAX 16384u
#define REQUEST_TIMEOUT (5 * JMP_USEC_PER_SEC)

int jmp_callback_open(struct jmp_callback *callback, unsigned port, struct jmp_error *reterr)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                   .sin_port = htons((uint16_t)port) };
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = sizeof(address);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return jmp_error_set(reterr, -errno, "port %u of this machine cannot be listened on: %m", port);
    callback->fd = TAKE_FD(fd);
    callback->port = ntohs(address.sin_port);
    return 0;
}

void jmp_callback_close(struct jmp_callback *callback)
{
    if (callback->fd >= 0)
        close(callback->fd);
    callback->fd = -EBADF;
}

/* Loops keep the signals blocked that end programs; here none runs. Return: 0, -ETIMEDOUT, others. */
static int wait_readable(int fd, uint64_t deadline)
{
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };
    sigset_t none;

    sigemptyset(&none);
    for (;;) {
        uint64_t left = jmp_now() < deadline ? deadline - jmp_now() : 0;
        struct timespec timeout = { .tv_sec = (time_t)(left / JMP_USEC_PER_SEC),
                                    .tv_nsec = (long)(left % JMP_USEC_PER_SEC) * 1000 };
        int n = ppoll(&pollfd, 1, &timeout, &none);

        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

/* The first line of a request, "GET TARGET HTTP/1.1": its target in @ret, which is in @buffer. */
static int read_target(int fd, char *buffer, char **ret)
{
    uint64_t deadline = jmp_now() + REQUEST_TIMEOUT;
    size_t length = 0;
    char *end;

    for (;;) {
        ssize_t n;
        int r = wait_readable(fd, deadline);

        if (r < 0)
            return r;
        n = read(fd, buffer + length, REQUEST_MAX - 1 - length);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return -ECONNRESET;
        length += (size_t)n;
        buffer[length] = '\0';
        if (strstr(buffer, "\r\n\r\n"))
            break;
        if (length == REQUEST_MAX - 1)
            return -E2BIG;
    }
    if (strncmp(buffer, "GET ", 4) != 0 || !(end = strchr(buffer + 4, ' ')))
        return -EINVAL;
    *end = '\0';
    *ret = buffer + 4;
    return 0;
}

/* A browser that does not wait for it, and closed its end, has been understood all the same. */
static void answer(int fd, const char *status, const char *words)
{
    char text[512];
    int length;

    length = snprintf(text, sizeof(text),
                      "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
                      "Connection: close\r\nCache-Control: no-store\r\n\r\n%s\n",
                      status, strlen(words) + 1, words);
    (void)!send(fd, text, (size_t)length, MSG_NOSIGNAL);
}

static int digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

int jmp_callback_value(const char *query, const char *key, char **ret)
{
    size_t length = strlen(key);

    for (; *query; query += *query == '&') {
        size_t size = strcspn(query, "&");
        _cleanup_free_ char *value = NULL;
        char *out;

        if (size <= length || strncmp(query, key, length) != 0 || query[length] != '=') {
            query += size;
            continue;
        }
        value = out = malloc(size);
        if (!value)
            return -ENOMEM;
        for (const char *c = query + length + 1; c < query + size; c++) {
            if (*c != '%') {
                *out++ = *c == '+' ? ' ' : *c;
                continue;
            }
            if (size - (size_t)(c - query) < 3 || !isxdigit((unsigned char)c[1]) || !isxdigit((unsigned char)c[2]))
                return -EINVAL;
            *out = (char)(digit(c[1]) * 16 + digit(c[2]));
            if (!*out++)
                return -EINVAL;
            c += 2;
        }
        *out = '\0';
        *ret = TAKE_PTR(value);
        return 0;
    }
    return -ENOENT;
}

/* One request. Return: 1: it was the one, -EACCES: the provider refuses; 0: it was another. */
static int serve(int fd, const char *state, char **ret, struct jmp_error *reterr)
{
    static char buffer[REQUEST_MAX];
    _cleanup_free_ char *given = NULL, *error = NULL, *words = NULL, *code = NULL;
    char *target, *query;

    if (read_target(fd, buffer, &target) < 0)
        return 0;
    query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    if (strcmp(target, "/callback") != 0) {
        answer(fd, "404 Not Found", "There is nothing here.");
        return 0;
    }
    if (!query || jmp_callback_value(query, "state", &given) < 0 || strcmp(given, state) != 0) {
        answer(fd, "400 Bad Request", "This is not the answer to the login that was begun here.");
        return 0;
    }
    if (jmp_callback_value(query, "error", &error) == 0) {
        jmp_callback_value(query, "error_description", &words);
        answer(fd, "200 OK", "The login was refused; you can close this page.");
        return jmp_error_set(reterr, -EACCES, "the identity provider refuses: %.100s%s%.200s", error, words ? ": " : "",
                             words ?: "");
    }
    if (jmp_callback_value(query, "code", &code) < 0) {
        answer(fd, "400 Bad Request", "There is no code in this answer.");
        return 0;
    }
    answer(fd, "200 OK", "Login successful, you can close this page.");
    explicit_bzero(buffer, sizeof(buffer));
    *ret = TAKE_PTR(code);
    return 1;
}

int jmp_callback_wait(struct jmp_callback *callback, const char *state, uint64_t timeout, char **ret,
                      struct jmp_error *reterr)
{
    uint64_t deadline = jmp_now() + timeout;

    for (;;) {
        _cleanup_close_ int fd = -EBADF;
        int r = wait_readable(callback->fd, deadline);

        if (r < 0)
            return jmp_error_set(reterr, r,
                                 r == -ETIMEDOUT ? "nobody has logged in" : "the browser cannot be waited for: %m");
        fd = accept4(callback->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
            continue; /* it has gone again */
        if (fd < 0)
            return jmp_error_set(reterr, -errno, "the browser cannot be let in: %m");
        r = serve(fd, state, ret, reterr);
        if (r != 0)
            return r < 0 ? r : 0;
    }
}
