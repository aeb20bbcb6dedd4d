/* SPDX-License-Identifier: Apache-2.0 */
/* Direct mode: clients come by TCP, without a controller. (docs/protocol.md, "Direct mode") */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "rpc/rpc.h"

/* What the command line says. */
struct jmp_listener_flags {
    const char *listen;              /* "[HOST:]PORT" */
    const char *cert_file, *key_file;
    bool insecure;
    const char *passphrase, *passphrase_file;
};

#define JMP_LISTENER_HOST 128

/* What it comes to. */
struct jmp_listener {
    char host[JMP_LISTENER_HOST];
    unsigned port;                   /* 0: any */
    char address[JMP_LISTENER_HOST + 16];   /* for jmp_server_listen() */
    char *cert, *key;                /* PEM text, or NULL: plaintext */
    char *passphrase;                /* or NULL */
};

/** jmp_listener_check() - do the flags fit together? -EINVAL: a usage error, with words; no file is read */
int jmp_listener_check(const struct jmp_listener_flags *flags, struct jmp_error *reterr);
/** jmp_listener_parse() - "[HOST:]PORT"; HOST is 0.0.0.0 unless given, IPv6 in brackets, PORT 0 to 65535 */
int jmp_listener_parse(const char *text, struct jmp_listener *ret, struct jmp_error *reterr);
/** jmp_listener_load() - parse, and read the files. Return: 0, -EINVAL, errno of a file with words.
 * @ret: free with jmp_listener_free() */
int jmp_listener_load(const struct jmp_listener_flags *flags, struct jmp_listener **ret, struct jmp_error *reterr);
struct jmp_listener *jmp_listener_free(struct jmp_listener *listener);
JMP_DEFINE_CLEANUP(struct jmp_listener *, jmp_listener_free)

/** jmp_listener_admit() - of struct jmp_server_options, @user a struct jmp_door with a passphrase: metadata
 * "x-jumpstarter-passphrase", once, else UNAUTHENTICATED. Takes the same time for every wrong one. */
bool jmp_listener_admit(struct jmp_rpc *rpc, void *user);

/** jmp_listener_same_secret() - compare in a time that depends on @given alone */
bool jmp_listener_same_secret(const char *given, const char *secret);
