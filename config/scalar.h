/* SPDX-License-Identifier: Apache-2.0 */
/* What an unquoted YAML 1.1 scalar means. */
#pragma once

#include "base/node.h"

/**
 * jmp_scalar_resolve() - give a plain scalar its kind and value
 * @text:  as written
 * @node:  kind, boolean, number, integer and whole are set; the rest stays
 *
 * The rules are those of PyYAML's safe loader: on/off/yes/no/true/false in three spellings, 0b.., 0.. (octal), 0x..,
 * 1_000, 1:30 (base 60), .inf, .nan, ~. Where that loader raises an exception ("0x_", "=") the scalar is a string; so
 * are timestamps and fractions of more than 255 characters. Whole numbers beyond 64 bits are numbers that are not
 * whole.
 */
void jmp_scalar_resolve(const char *text, struct jmp_node *node);

/** jmp_scalar_resolve_as() - the same for a scalar with a tag that says what it is. -EINVAL: it is not; @node
 * untouched. */
int jmp_scalar_resolve_as(const char *text, enum jmp_node_kind kind, bool whole, struct jmp_node *node);

/** jmp_scalar_is_string() - whether every reader would take the unquoted @text for a string: no value of YAML 1.1, no
 * timestamp, no merge key, no number of YAML 1.2 */
bool jmp_scalar_is_string(const char *text);
