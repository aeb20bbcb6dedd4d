/* SPDX-License-Identifier: Apache-2.0 */
/* A file of ours lent to a driver for one call: it reads it (flash, write) or writes it (dump, read).
 * (docs/protocol.md, "Resources") */
#pragma once

#include "client/session_client.h"

struct jmp_resource_client;

enum jmp_resource_direction { JMP_RESOURCE_UPLOAD, JMP_RESOURCE_DOWNLOAD };

struct jmp_resource_options {
    const char *uuid;           /* of the driver */
    const char *encoding;       /* how the file is compressed: "gzip", "xz", "bz2", "zstd"; NULL: not */
    enum jmp_resource_direction direction;
    int fd;                     /* borrowed: a file, a pipe, ... */
    /* Bytes moved so far; may be NULL. */
    void (*progress)(uint64_t bytes, void *user);
    void *user;
};

/**
 * jmp_resource_client_open() - offer the file; waits until the exporter has a handle for it
 * @ret:  jmp_resource_client_free(), which cancels what has not ended
 *
 * Bytes move while the program waits for its driver call.
 */
int jmp_resource_client_open(struct jmp_session_client *session, const struct jmp_resource_options *options,
                             struct jmp_resource_client **ret, struct jmp_error *reterr);
struct jmp_resource_client *jmp_resource_client_free(struct jmp_resource_client *resource);
JMP_DEFINE_CLEANUP(struct jmp_resource_client *, jmp_resource_client_free)
/** jmp_resource_client_handle() - the argument of the driver call; "x_jmp_content_length" may be added to it */
const struct jmp_node *jmp_resource_client_handle(const struct jmp_resource_client *resource);
/** jmp_resource_client_finish() - wait until the exporter has had, or given, everything
 * @timeout:  microseconds in which nothing moves; that the file of a download takes nothing does not count
 * Return: 0, or why the file is not whole. */
int jmp_resource_client_finish(struct jmp_resource_client *resource, uint64_t timeout, struct jmp_error *reterr);
/** jmp_resource_client_problem() - when the driver call has failed: was it because of our file? Return: 0, or what was
 * wrong with reading or writing it, in words. */
int jmp_resource_client_problem(const struct jmp_resource_client *resource, struct jmp_error *reterr);
uint64_t jmp_resource_client_bytes(const struct jmp_resource_client *resource);
