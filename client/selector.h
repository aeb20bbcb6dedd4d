/* SPDX-License-Identifier: Apache-2.0 */
/* Label selectors on the user's side: put together from several options, and compared with those of leases. */
#pragma once

#include "base/node.h"

/** jmp_selector_join() - the options' values with commas between; NULL in @ret when there are none. Return: 0, -ENOMEM.
 */
int jmp_selector_join(const struct jmp_node *list, struct jmp_tree *tree, const char **ret);
/** jmp_selector_equalities() - only the "key=value" parts, which is what a controller can filter leases by; NULL: none
 */
int jmp_selector_equalities(const char *selector, struct jmp_tree *tree, const char **ret);
/** jmp_selector_contains() - whether a lease's selector asks for everything that @filter asks for: each of its
 * requirements is there, word for word, or follows from an equality */
bool jmp_selector_contains(const char *selector, const char *filter);
