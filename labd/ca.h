/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lab's own certificate authority. It is made once and goes into every configuration file, so it stays for as long
 * as the lab does; the server's certificate is issued anew under it when this machine gets another address or name, or
 * when it is about to expire.
 */
#pragma once

#include "base/error.h"

#define JMP_CA_NAMES_MAX 256u

struct jmp_ca {
    char *ca;      /* PEM: the authority */
    char *chain;   /* PEM: the server's certificate, then the authority */
    char *key;     /* PEM: the server's key; secret */
};

/**
 * jmp_ca_open() - load what is in the data directory, and make what is missing or no longer fits
 * @directory:  holds ca.pem, ca.key, server.pem, server.key; the keys with mode 0600
 * @names:      DNS names and addresses the server must be known by, NULL-terminated
 * @ret:        clear with jmp_ca_clear()
 * @retissued:  a new server certificate was made; may be NULL
 *
 * Return: 0, -EBADMSG (a damaged file), -EACCES and other errno, all with words.
 */
int jmp_ca_open(const char *directory, const char *const *names, struct jmp_ca *ret, bool *retissued,
                struct jmp_error *reterr);
void jmp_ca_clear(struct jmp_ca *ca);

/** jmp_ca_local_names() - every address of this machine, its host names, and localhost; @extra (may be NULL) is added
 * Names that could not stand in a certificate are left out. @ret: free with jmp_ca_names_free(). */
int jmp_ca_local_names(const char *const *extra, char ***ret);
char **jmp_ca_names_free(char **names);
JMP_DEFINE_CLEANUP(char **, jmp_ca_names_free)
