/* SPDX-License-Identifier: Apache-2.0 */
/* The counters over HTTP, to this machine alone: GET /metrics, one request a connection. (docs/metrics.md) */
#pragma once

#include "base/error.h"
#include "base/loop.h"

struct jmp_metrics_server;

/**
 * jmp_metrics_server_new() - listen
 * @address:  "unix:/PATH", "PORT", "127.0.0.1:PORT" or "[::1]:PORT"; 0 takes any port. Other addresses are refused:
 *            there is no protection of any kind.
 * @print:    writes the page
 * @retport:  0 for a socket in the file system; may be NULL
 *
 * Return: 0, -EINVAL (such an address), -EADDRINUSE, -ENOMEM, errno, with words.
 */
int jmp_metrics_server_new(struct jmp_loop *loop, const char *address, void (*print)(FILE *out, void *user), void *user,
                           struct jmp_metrics_server **ret, unsigned *retport, struct jmp_error *reterr);
struct jmp_metrics_server *jmp_metrics_server_free(struct jmp_metrics_server *server);
JMP_DEFINE_CLEANUP(struct jmp_metrics_server *, jmp_metrics_server_free)
