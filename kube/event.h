/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a watch: lines that come in pieces cut anywhere, and the event that each of them is. */
#pragma once

#include <jansson.h>

#include "kube/http.h"

/**
 * jmp_kube_lines_feed() - another piece
 * @lines:  the line that is being put together; jmp_http_body_clear() it at the end
 * @line:   each line that is whole now, NUL-terminated, without its end; empty ones are passed over. A negative result
 *          ends it.
 *
 * Return: 0, -E2BIG (a line of more than 16 MiB), -ENOMEM, or what @line returned.
 */
int jmp_kube_lines_feed(struct jmp_http_body *lines, const char *bytes, size_t length,
                        int (*line)(const char *text, size_t length, void *user), void *user);

enum jmp_kube_event_type {
    JMP_KUBE_EVENT_CHANGED, /* ADDED, MODIFIED */
    JMP_KUBE_EVENT_GONE,    /* DELETED */
    JMP_KUBE_EVENT_MARK,    /* BOOKMARK, and what is not known: only its version counts */
    JMP_KUBE_EVENT_ERROR,   /* the object is a Status */
};

/**
 * jmp_kube_event_read() - a line of a watch
 * @ret:  the object, json_decref() it; NULL on failure
 *
 * Return: an enum jmp_kube_event_type, or -EPROTO.
 */
int jmp_kube_event_read(const char *text, size_t length, json_t **ret);
