/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests on the event loop, by libcurl. Nothing blocks; whoever asked is called back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"

#define JMP_HTTP_BODY_MAX (16u * 1024 * 1024)   /* of an answer that is kept whole */

struct jmp_http;
struct jmp_http_transfer;

/* How a server is reached and known. Strings are borrowed until the next jmp_http_set_peer(); NULL: not given. */
struct jmp_http_peer {
    const char *ca;                 /* PEM; NULL: what the system trusts */
    bool insecure;
    const char *server_name;        /* SNI and the name that is checked, instead of the URL's */
    const char *proxy;              /* NULL: what the environment says */
    const char *certificate, *key;  /* PEM, ours */
    const char *username, *password;
};

struct jmp_http_request {
    const char *method, *url;
    const char *const *headers;     /* "Name: value", NULL-terminated, or NULL; none is ever logged */
    const char *body;               /* copied; NULL: none */
    size_t length;
    uint64_t timeout;               /* for the whole answer, microseconds; 0: none */
    uint64_t silence;               /* without a byte, microseconds; 0: no limit */
    /* With @chunk the body of a 2xx answer is given away as it comes, and a negative result ends the transfer with
     * it. */
    int (*chunk)(const char *bytes, size_t length, void *user);
};

struct jmp_http_answer {
    int error;                      /* 0: there is a status; else negative errno and why in @text */
    bool sent;                      /* the server may have acted: the failure came after the request had gone out */
    char text[256];
    unsigned status;
    const char *body;               /* NUL-terminated; "" with @chunk */
    size_t length;
    char content_type[64];
    bool has_retry_after;
    unsigned retry_after;           /* seconds */
    const char *warning;            /* the server's Warning header, or NULL */
};

/** jmp_http_escape() - @text as it may stand in a path, a query or a form. free() the result; NULL: no memory. */
char *jmp_http_escape(const char *text);

/* Text that comes in pieces. Zeroed memory is empty. */
struct jmp_http_body {
    char *text;                     /* NUL-terminated once something has come */
    size_t length, size;
};

/** jmp_http_body_add() - another piece. Return: 0, -E2BIG (above JMP_HTTP_BODY_MAX), -ENOMEM. */
int jmp_http_body_add(struct jmp_http_body *body, const char *bytes, size_t length);
/** jmp_http_body_clear() - frees all; it is empty then */
void jmp_http_body_clear(struct jmp_http_body *body);

/** jmp_http_new() - a pool of connections; @loop is borrowed. Return: 0, -ENOMEM, -ENOPKG (no libcurl), with words. */
int jmp_http_new(struct jmp_loop *loop, struct jmp_http **ret, struct jmp_error *reterr);
/** jmp_http_free() - ends transfers without a word */
struct jmp_http *jmp_http_free(struct jmp_http *http);
JMP_DEFINE_CLEANUP(struct jmp_http *, jmp_http_free)

/** jmp_http_set_peer() - for requests from now on; connections made before are not used again */
void jmp_http_set_peer(struct jmp_http *http, const struct jmp_http_peer *peer);

/**
 * jmp_http_start() - send a request
 * @done:  called once, on the loop and never from within this function; the answer is gone when it returns. It may
 *         start others and must not free the pool.
 * @ret:   may be NULL; good until done() is called or jmp_http_cancel()
 *
 * Return: 0, -ENOMEM, -EINVAL (no URL of http or https).
 */
int jmp_http_start(struct jmp_http *http, const struct jmp_http_request *request,
                   void (*done)(const struct jmp_http_answer *answer, void *user), void *user,
                   struct jmp_http_transfer **ret);
/** jmp_http_cancel() - done() will not be called; not from within chunk() */
void jmp_http_cancel(struct jmp_http_transfer *transfer);
