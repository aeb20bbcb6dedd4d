/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as JSON: no crash, and what was read can be printed and read again. */
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *text = NULL, *again = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    const struct jmp_node *node, *copy;

    if (jmp_tree_new(64 * 1024 * 1024, &tree) < 0)
        return 0;
    if (jmp_json_parse((const char *)data, size, tree, &node, &error) < 0) {
        if (error.error == 0 || !error.text[0])
            abort();
        return 0;
    }

    if (jmp_json_print(node, 0, &text) < 0)
        return 0;
    if (jmp_json_parse(text, strlen(text), tree, &copy, NULL) < 0) {
        /* Escapes may make it longer than it was. */
        if (strlen(text) <= size)
            abort();
        return 0;
    }
    if (jmp_json_print(copy, 0, &again) == 0 && (strcmp(text, again) != 0 || !jmp_node_equal(node, copy)))
        abort();
    return 0;
}
