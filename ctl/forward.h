/* SPDX-License-Identifier: Apache-2.0 */
/* Local sockets whose connections end at a driver: each has a stream of its own. */
#pragma once

#include "client/session_client.h"

struct jmp_forward;

/** jmp_forward_tcp() - listen on every address of a host
 * @port: 0: a free one, the same for all addresses
 * @ret:  free with jmp_forward_free()
 * Return: 0, -EADDRINUSE, -EACCES, -ENOENT (no such host) with words. */
int jmp_forward_tcp(struct jmp_session_client *session, const struct jmp_driver_ref *driver, const char *host,
                    unsigned port, struct jmp_forward **ret, struct jmp_error *reterr);
/** jmp_forward_unix() - listen on a path, for this user only; removed at the end */
int jmp_forward_unix(struct jmp_session_client *session, const struct jmp_driver_ref *driver, const char *path,
                     struct jmp_forward **ret, struct jmp_error *reterr);
struct jmp_forward *jmp_forward_free(struct jmp_forward *forward);
JMP_DEFINE_CLEANUP(struct jmp_forward *, jmp_forward_free)
const char *jmp_forward_address(const struct jmp_forward *forward);   /* "127.0.0.1:4711", "[::1]:4711", or the path */
