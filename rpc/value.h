/* SPDX-License-Identifier: Apache-2.0 */
/* google.protobuf.Value to nodes and back. Numbers are doubles on the wire; whole ones come back as whole. */
#pragma once

#include "base/node.h"

/* The generated type, without its header: users outside rpc/ and the services need only the pointer. */
typedef struct Google__Protobuf__Value Google__Protobuf__Value;

/** jmp_value_to_node() - an unset or NULL value is a null node; of doubled struct keys the last counts. Return: 0,
 * -ENOMEM, -ELOOP (nesting), -EBADMSG. */
int jmp_value_to_node(const Google__Protobuf__Value *value, struct jmp_tree *tree, struct jmp_node **ret);
/** jmp_value_from_node() - NaN and infinities become null (the stock client refuses them); all memory is @tree's,
 * strings are copies: @node may be gone by the time the value is sent */
int jmp_value_from_node(const struct jmp_node *node, struct jmp_tree *tree, Google__Protobuf__Value **ret);
