/* SPDX-License-Identifier: Apache-2.0 */
/* YAML 1.1 to nodes and back, on libyaml. */
#pragma once

#include "base/error.h"
#include "base/node.h"

/**
 * jmp_yaml_parse() - one document
 * @text:  at most JMP_CONFIG_MAX bytes
 * @file:  for messages
 * @tree:  owns the nodes
 * @ret:   borrowed from @tree; a null node for an empty document
 *
 * Scalars are resolved as PyYAML's safe loader does (YAML 1.1: on/off/yes/no, 0123 octal, 1:30 base 60, 0x.., 1_000,
 * .inf, ~); keys are taken as written, so an unquoted "on:" is the word. Anchors and aliases work within the node
 * budget; merge keys (<<) work; tags other than the core ones, several documents, duplicate keys, nesting beyond
 * JMP_NESTING_MAX are errors. A timestamp stays a string.
 *
 * Return: 0, -EINVAL with line and column, -E2BIG, -ENOMEM.
 */
int jmp_yaml_parse(const char *text, size_t length, const char *file, struct jmp_tree *tree,
                   const struct jmp_node **ret, struct jmp_error *reterr);

/** jmp_yaml_print() - block style, keys in order, strings quoted where YAML 1.1 would read them as something else;
 * free() @ret */
int jmp_yaml_print(const struct jmp_node *node, char **ret);
