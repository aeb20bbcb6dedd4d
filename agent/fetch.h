/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files behind URLs ("presigned requests"): fetched by GET, left by PUT, on a thread that may block. A presigned URL
 * is a secret, and so are its headers: neither the query nor a header is ever logged or put into an error. Proxies,
 * netrc files and cookies of the machine are not used.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/node.h"

#define JMP_FETCH_URL_MAX 8192u   /* bytes */
#define JMP_FETCH_HEADERS_MAX 64u /* entries, each at most as long as a URL */
#define JMP_FETCH_REDIRECTS_MAX 10u
#define JMP_FETCH_TIME_MAX (7200u) /* seconds for a whole transfer, redirects included */

struct jmp_fetch {
    const struct jmp_node *handle;       /* url, method, headers; borrowed, checked by jmp_fetch_check() */
    int cancel_fd;                       /* once it is readable the transfer ends with -ECANCELED */
    uint64_t connect_limit, stall_limit; /* microseconds, 0: 30 s and 120 s */
    /* GET: takes @size > 0 bytes; may block. Return: 0, or negative errno, which ends the transfer and is handed
     * through. */
    int (*sink)(const void *data, size_t size, void *user);
    /* PUT: up to @size bytes; may block. Return: how many, 0 at the end, or negative errno as above. */
    ssize_t (*source)(void *data, size_t size, void *user);
    /* Every two seconds, and at the end; @total 0: not known. May be NULL. */
    void (*progress)(uint64_t done, uint64_t total, void *user);
    void *user;
};

/** jmp_fetch_check() - is @handle a request that could be made? Return: 0, -EINVAL with words. */
int jmp_fetch_check(const struct jmp_node *handle, struct jmp_error *reterr);

/**
 * jmp_fetch_run() - make the request of @fetch->handle
 *
 * GET follows redirects, 301 302 303 307 308, as long as they do not lead from https to http; headers that carry
 * credentials are not taken along to another origin. An answer of 400 and above is an error.
 *
 * Return: 0, -ECANCELED, -ETIMEDOUT, -EPROTO (no connection, not a good answer, cut short), -ENOMEM,
 * -EOPNOTSUPP (libcurl is not installed), or what sink or source said; with words.
 */
int jmp_fetch_run(const struct jmp_fetch *fetch, struct jmp_error *reterr);

/** jmp_fetch_show() - @url fit to be shown: without query, user and fragment. Return: @buffer. */
const char *jmp_fetch_show(const char *url, char *buffer, size_t size);

/** jmp_fetch_encoding() - how the file behind @url is compressed by the end of its name: "gzip", "xz", "bz2", "zstd",
 * NULL */
const char *jmp_fetch_encoding(const char *url);
