/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/remember.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/writer.h"

static int print(const struct jmp_memory *memory, struct jmp_tree *tree, char **ret)
{
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    const struct jmp_node *node;
    int r;

    r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return r;
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "lease");
    jmp_writer_string(writer, memory->lease);
    jmp_writer_key(writer, "text");
    jmp_writer_string(writer, memory->text);
    if (memory->motd) {
        jmp_writer_key(writer, "motd");
        jmp_writer_string(writer, memory->motd);
    }
    jmp_writer_end_map(writer);
    r = jmp_writer_finish(writer, &node);
    return r < 0 ? r : jmp_json_print(node, 0, ret);
}

int jmp_memory_write(const char *path, const struct jmp_memory *memory, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *text = NULL;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r == 0)
        r = print(memory, tree, &text);
    if (r < 0)
        return jmp_error_set(reterr, r, "%s: %m", path);
    return jmp_file_write(path, text, strlen(text), 0600, reterr);
}

static bool copy(const struct jmp_node *map, const char *key, char *ret, size_t size)
{
    const char *text = jmp_node_string(jmp_node_get(map, key));

    return text && (size_t)snprintf(ret, size, "%s", text) < size;
}

int jmp_memory_read(const char *path, struct jmp_memory *ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *text = NULL;
    struct jmp_memory memory = { 0 };
    const struct jmp_node *map;
    const char *motd;
    size_t length;
    int r;

    *ret = memory;
    r = jmp_file_read(path, JMP_CONFIG_MAX, &text, &length, reterr);
    if (r < 0)
        return r;
    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%s: %m", path);
    r = jmp_json_parse(text, length, tree, &map, reterr);
    if (r < 0)
        return r;
    if (!copy(map, "lease", memory.lease, sizeof(memory.lease)) || !*memory.lease ||
        !copy(map, "text", memory.text, sizeof(memory.text)))
        return jmp_error_set(reterr, -EINVAL, "%s does not name a lease", path);
    motd = jmp_node_string(jmp_node_get(map, "motd"));
    if (motd) {
        memory.motd = strdup(motd);
        if (!memory.motd)
            return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    *ret = memory;
    return 0;
}

void jmp_memory_clear(struct jmp_memory *memory)
{
    free(memory->motd);
    *memory = (struct jmp_memory){ 0 };
}
