/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates in configuration files: base64 of PEM. */
#pragma once

#include "base/error.h"
#include "base/node.h"

/**
 * jmp_ca_decode() - the certificates of "tls.ca"
 * @base64:  characters outside the alphabet are skipped and missing padding is forgiven, as stock tools do the first
 * @tree:    owns the result
 * @ret:     PEM text with at least one certificate, each of which OpenSSL can read
 *
 * Return: 0, -EINVAL with words and a hint, -ENOMEM.
 */
int jmp_ca_decode(const char *base64, struct jmp_tree *tree, const char **ret, struct jmp_error *reterr);
