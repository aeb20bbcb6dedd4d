/* SPDX-License-Identifier: Apache-2.0 */
/* Names of Kubernetes objects: DNS-1123 subdomains that tell what they are for, and names made from a host's. */
#pragma once

#include <stdbool.h>

#include "base/limits.h"

/** jmp_kube_name_is_valid() - whether @name is a DNS-1123 subdomain: at most 253 bytes; parts of a-z, 0-9 and '-' that
 * begin and end with a letter or digit, joined by dots */
bool jmp_kube_name_is_valid(const char *name);

/**
 * jmp_kube_name() - a valid name from words of people
 * @text:   "Example Foo" becomes "example-foo"; what cannot stand in a name becomes '-', once
 * @apart:  NULL, or what tells this deployment from others of the same name: '-' and 8 characters of its hash are
 *          appended, and the name is cut before them if need be
 *
 * Return: 0, -EINVAL when nothing of @text can stand in a name.
 */
int jmp_kube_name(const char *text, const char *apart, char ret[static JMP_NAME_MAX + 1]);

/**
 * jmp_kube_identity_name() - PREFIX-HASH, the same for a component on a host at every start
 * @prefix:     what the name begins with, a DNS-1123 label of at most 200 bytes
 * @host:       host name, at most 65,535 bytes
 * @component:  of that host, such as "kube-apiserver"
 *
 * The hash is the first 16 bytes of SHA-256 over both, each behind its length as two big-endian bytes, in lower-case
 * base32 without padding; as API servers name their own identity Leases.
 *
 * Return: 0, -EINVAL.
 */
int jmp_kube_identity_name(const char *prefix, const char *host, const char *component,
                           char ret[static JMP_NAME_MAX + 1]);
