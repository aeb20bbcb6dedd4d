/* SPDX-License-Identifier: Apache-2.0 */
/* Host names to addresses, and connections to the first address that answers: both bounded and cancelable. */
#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include "drivers/driver.h"

struct jmp_endpoint {
    struct sockaddr_storage address;
    socklen_t length;
};

#define JMP_ENDPOINTS_MAX 16u                   /* addresses tried of one name */
#define JMP_ENDPOINT_TEXT 64u                   /* "[ipv6%scope]:port" and a NUL */

/**
 * jmp_network_resolve() - the addresses of a host
 * @host:      a name, an IPv4 or an IPv6 address
 * @type:      SOCK_STREAM or SOCK_DGRAM
 * @deadline:  on the clock of jmp_now()
 * @ret:       in the order in which they should be tried
 *
 * Return: number of addresses, at least 1, or with a sentence: -EHOSTUNREACH (no such name), -ETIMEDOUT, -ECANCELED,
 * -ENOMEM, -EAGAIN (the name server does not answer).
 */
int jmp_network_resolve(struct jmp_call *call, const char *host, unsigned port, int type, uint64_t deadline,
                        struct jmp_endpoint ret[JMP_ENDPOINTS_MAX]);

/**
 * jmp_network_connect() - a connected socket to the first of @host's addresses that answers
 * @seconds:  for everything, the name included; each address gets an equal share of what is left
 * @ret:      O_NONBLOCK, O_CLOEXEC
 *
 * Return: 0, or what the last address said, with a sentence that names them all.
 */
int jmp_network_connect(struct jmp_call *call, const char *host, unsigned port, int type, double seconds, int *ret);

/**
 * jmp_network_reply_address() - answer the call with "SCHEME://ADDRESS:PORT" of the first address
 * @enabled:  false: -EINVAL, which tells stock clients that they have to go through the exporter
 */
int jmp_network_reply_address(struct jmp_call *call, const char *scheme, const char *host, unsigned port, int type,
                              bool enabled, double seconds);
