/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file: no crash, and what was read can be printed and read again. */
#include <string.h>

#include "base/limits.h"
#include "config/exporter_config.h"
#include "config/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NaN equals nothing, and a document may be too large once its aliases are written out. */
static void check_again(const struct jmp_node *node, const char *text)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *again = NULL;
    const struct jmp_node *copy;

    if (strlen(text) > JMP_CONFIG_MAX || strstr(text, ".nan"))
        return;
    if (jmp_tree_new(JMP_CONFIG_TREE_MAX, &tree) < 0)
        return;
    if (jmp_yaml_parse(text, strlen(text), "again", tree, &copy, NULL) < 0 || jmp_yaml_print(copy, &again) < 0)
        abort();
    if (!jmp_node_equal(node, copy) || strcmp(text, again) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_problems problems = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    _cleanup_free_ char *text = NULL;
    const struct jmp_node *node = NULL;

    if (jmp_tree_new(JMP_CONFIG_TREE_MAX, &tree) < 0)
        return 0;
    if (jmp_yaml_parse((const char *)data, size, "file", tree, &node, &error) == 0) {
        if (jmp_yaml_print(node, &text) == 0)
            check_again(node, text);
    } else if (error.error == 0 || !error.text[0]) {
        abort();
    }

    if ((jmp_exporter_config_parse((const char *)data, size, "file", &config, &problems) == 0) !=
        (problems.errors == 0))
        abort();
    jmp_problems_clear(&problems);
    return 0;
}
