/* SPDX-License-Identifier: Apache-2.0 */
/* Any two texts as the selector of a lease and a filter for it, with a line end between: no crash, and what a
 * controller is asked for finds the lease that has it. */
#include "client/selector.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *selector = strndup((const char *)data, size);
    const char *equalities;
    char *filter;

    if (!selector || jmp_tree_new(0, &tree) < 0)
        return 0;
    filter = selector + strcspn(selector, "\n");
    if (*filter)
        *filter++ = '\0';
    jmp_selector_contains(selector, filter);
    if (jmp_selector_equalities(selector, tree, &equalities) < 0 || !equalities)
        return 0;
    /* What a controller is asked for never leaves out a lease that has the filter's very words. */
    if (strlen(equalities) > strlen(selector) || !jmp_selector_contains(selector, equalities))
        abort();
    return 0;
}
