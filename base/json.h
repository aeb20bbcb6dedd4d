/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to nodes and back, on jansson. */
#pragma once

#include "base/error.h"
#include "base/node.h"

/**
 * jmp_json_parse() - one JSON text
 * @length:  of @text, at most JMP_CONFIG_MAX; need not be NUL-terminated
 * @tree:    owns the nodes
 * @ret:     borrowed from @tree
 *
 * Duplicate keys, trailing text, NUL characters and nesting beyond JMP_NESTING_MAX are errors.
 *
 * Return: 0, -EINVAL with line and column in @reterr, -E2BIG, -ENOMEM.
 */
int jmp_json_parse(const char *text, size_t length, struct jmp_tree *tree, const struct jmp_node **ret,
                   struct jmp_error *reterr);

/**
 * jmp_json_print() - a node as JSON
 * @indent:  0: compact, one line, no blanks; else that many blanks a level
 * @ret:     NUL-terminated, free()
 *
 * Whole numbers are printed without a fraction; keys keep their order.
 */
int jmp_json_print(const struct jmp_node *node, unsigned indent, char **ret);

/** jmp_json_print_number() - a number node alone, with the fewest digits that read back as the same number; NaN and
 * infinities, which JSON does not have, as null */
void jmp_json_print_number(FILE *stream, const struct jmp_node *node);
