/* SPDX-License-Identifier: Apache-2.0 */
/* The service: one TLS port for controller, router and clients. */
#pragma once

#include "base/error.h"
#include "labd/lab.h"

#define JMP_LABD_PORT "8082"

struct jmp_serve_options {
    const char *listen;              /* HOST:PORT; port 0: any that is free */
    const char *directory;
    const char *namespace_;          /* NULL: as it is */
    const char *endpoint;            /* HOST:PORT for peers and for configuration files; NULL: found out */
    const char *const *names;        /* more names of this machine, NULL-terminated; may be NULL */
};

/** jmp_serve() - until SIGTERM or SIGINT. Return: 0, or a negative errno with words. */
int jmp_serve(const struct jmp_serve_options *options, struct jmp_error *reterr);

/** jmp_endpoint_split() - "HOST:PORT" or "[V6]:PORT"; @rethost: free(), without brackets. -EINVAL with words. */
int jmp_endpoint_split(const char *endpoint, char **rethost, unsigned *retport, struct jmp_error *reterr);
/** jmp_endpoint_guess() - by which address others on the network reach @port of this machine, when @host is the address
 * listened on; free() @ret */
int jmp_endpoint_guess(const char *host, unsigned port, char **ret);
