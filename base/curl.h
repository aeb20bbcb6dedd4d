/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl, loaded when it is first needed. Debian's brings thirty libraries along, which cost every process that links
 * it 7 ms of its start and 3 MB of its own memory: too much for an agent that fetches an image once a week.
 */
#pragma once

#include <curl/curl.h>

#include "base/error.h"

/* X(name): what we use of it, without "curl_". */
#define JMP_CURL_FUNCTIONS(X)                                                                                          \
    X(easy_cleanup) X(easy_getinfo) X(easy_init) X(easy_setopt) X(easy_strerror) X(free) X(global_init)                \
    X(multi_add_handle) X(multi_assign) X(multi_cleanup) X(multi_info_read) X(multi_init) X(multi_perform)             \
    X(multi_poll) X(multi_remove_handle) X(multi_setopt) X(multi_socket_action) X(slist_append) X(slist_free_all)      \
    X(url) X(url_cleanup) X(url_get) X(url_set)

#define JMP_CURL_MEMBER(name) __typeof__(curl_##name) *name;
struct jmp_curl {
    JMP_CURL_FUNCTIONS(JMP_CURL_MEMBER)
};
#undef JMP_CURL_MEMBER

/**
 * jmp_curl() - its functions, from any thread
 *
 * Return: they stay for the life of the process; NULL with -ENOPKG or -ENOMEM in @reterr: it is not installed, or too
 * old.
 */
const struct jmp_curl *jmp_curl(struct jmp_error *reterr);
