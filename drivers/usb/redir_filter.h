/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of usbredir: "CLASS,VENDOR,PRODUCT,VERSION,ALLOW" with "|" between, the first that fits decides. */
#pragma once

#include <stddef.h>
#include <usbredirfilter.h>

#include "base/error.h"

#define JMP_REDIR_FILTER_MAX 8192u /* characters */

/** jmp_redir_filter_parse() - rules of a text; usbredirfilter_free() @ret. Return: 0, -EINVAL with words, -ENOMEM. */
int jmp_redir_filter_parse(const char *text, struct usbredirfilter_rule **ret, int *retcount, struct jmp_error *reterr);
/** jmp_redir_filter_check() - would it parse? */
int jmp_redir_filter_check(const char *text, struct jmp_error *reterr);
