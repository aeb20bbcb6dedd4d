/* SPDX-License-Identifier: Apache-2.0 */
#include "config/write.h"

#include <string.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/writer.h"
#include "config/client_config.h"
#include "config/paths.h"
#include "config/yaml.h"

static const char *const usual_drivers[] = { "jumpstarter_driver_*", "jumpstarter.client.*" };

static const char exporter_hint[] =
    "# What hangs on the board. An entry has a type and its options, for instance:\n"
    "#   power:\n"
    "#     type: jumpstarter_driver_power.driver.MockPower\n"
    "# \"jmp-agent check FILE\" says whether it is right.\n"
    "export: {}\n";

static void put(struct jmp_writer *writer, const char *key, const char *value)
{
    jmp_writer_key(writer, key);
    jmp_writer_string(writer, value);
}

static void put_drivers(struct jmp_writer *writer, const struct jmp_new_config *config)
{
    jmp_writer_key(writer, "drivers");
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "allow");
    jmp_writer_begin_list(writer);
    if (config->allow) {
        JMP_NODE_EACH(item, config->allow)
            jmp_writer_string(writer, item->string);
    } else if (!config->unsafe) {
        for (size_t i = 0; i < ELEMENTSOF(usual_drivers); i++)
            jmp_writer_string(writer, usual_drivers[i]);
    }
    jmp_writer_end_list(writer);
    jmp_writer_key(writer, "unsafe");
    jmp_writer_bool(writer, config->unsafe);
    jmp_writer_end_map(writer);
}

int jmp_config_print(const struct jmp_new_config *config, char **ret)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    _cleanup_free_ char *ca = jmp_base64_encode(config->ca, strlen(config->ca)), *text = NULL;
    const struct jmp_node *node;
    int r;

    if (!ca)
        return -ENOMEM;
    r = jmp_tree_new(0, &tree);
    if (r == 0)
        r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return r;

    jmp_writer_begin_map(writer);
    put(writer, "apiVersion", "jumpstarter.dev/v1alpha1");
    put(writer, "kind", config->is_client ? "ClientConfig" : "ExporterConfig");
    jmp_writer_key(writer, "metadata");
    jmp_writer_begin_map(writer);
    put(writer, "namespace", config->namespace_);
    put(writer, "name", config->name);
    jmp_writer_end_map(writer);
    put(writer, "endpoint", config->endpoint);
    jmp_writer_key(writer, "tls");
    jmp_writer_begin_map(writer);
    put(writer, "ca", ca);
    jmp_writer_key(writer, "insecure");
    jmp_writer_bool(writer, config->insecure);
    jmp_writer_end_map(writer);
    put(writer, "token", config->token);
    if (config->refresh_token)
        put(writer, "refresh_token", config->refresh_token);
    jmp_writer_key(writer, "grpcOptions");
    jmp_writer_begin_map(writer);
    jmp_writer_end_map(writer);
    if (config->is_client)
        put_drivers(writer, config);
    jmp_writer_end_map(writer);

    r = jmp_writer_finish(writer, &node);
    if (r == 0)
        r = jmp_yaml_print(node, &text);
    if (r < 0)
        return r;
    if (asprintf(ret, "%s%s", text, config->is_client ? "" : exporter_hint) < 0)
        return -ENOMEM;
    return 0;
}

static int user_config_path(char **ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *directory = NULL;
    int r;

    r = jmp_paths_user(&directory, reterr);
    if (r < 0)
        return r;
    if (asprintf(ret, "%s/config.yaml", directory) < 0) {
        *ret = NULL;
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    return 0;
}

int jmp_config_set_current(const char *alias, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    _cleanup_free_ char *path = NULL, *text = NULL;
    const struct jmp_node *node;
    int r;

    r = user_config_path(&path, reterr);
    if (r < 0)
        return r;
    r = jmp_tree_new(0, &tree);
    if (r == 0)
        r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    jmp_writer_begin_map(writer);
    put(writer, "apiVersion", "jumpstarter.dev/v1alpha1");
    put(writer, "kind", "UserConfig");
    jmp_writer_key(writer, "config");
    jmp_writer_begin_map(writer);
    put(writer, "current-client", alias);
    jmp_writer_end_map(writer);
    jmp_writer_end_map(writer);
    r = jmp_writer_finish(writer, &node);
    if (r == 0)
        r = jmp_yaml_print(node, &text);
    if (r < 0)
        return jmp_error_set(reterr, r, "%s cannot be written: %m", path);
    return jmp_file_write(path, text, strlen(text), 0600, reterr);
}

int jmp_config_save_current(const char *alias, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const char *current;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_config_current(tree, &current, reterr);
    if (r < 0 || current)
        return r;
    r = jmp_config_set_current(alias, reterr);
    return r < 0 ? r : 1;
}

int jmp_config_forget_current(const char *alias, const char *next, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const char *current;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_config_current(tree, &current, reterr);
    if (r < 0 || !current || strcmp(current, alias) != 0)
        return r;
    return jmp_config_set_current(next, reterr);
}

int jmp_config_split(const char *text, struct jmp_tree *tree, const struct jmp_node **ret)
{
    struct jmp_node *list = jmp_node_new(tree, JMP_NODE_LIST);

    if (!list)
        return -ENOMEM;
    while (text && *text) {
        size_t length = strcspn(text, ",");
        struct jmp_node *item = jmp_node_new(tree, JMP_NODE_STRING);

        if (!item || !(item->string = jmp_tree_strdup(tree, text, length)))
            return -ENOMEM;
        if (length > 0)
            jmp_node_append(list, item);
        text += length;
        text += *text == ',';
    }
    *ret = list;
    return 0;
}

/* @node with the secret in @key replaced, or put behind the others. */
static int put_secret(struct jmp_tree *tree, struct jmp_node **node, const char *key, const char *value)
{
    struct jmp_node *map = jmp_node_new(tree, JMP_NODE_MAP), *secret = jmp_node_new(tree, JMP_NODE_STRING);

    if (!map || !secret)
        return -ENOMEM;
    secret->key = key;
    secret->string = value;
    JMP_NODE_EACH(child, *node) {
        struct jmp_node *copy = strcmp(child->key, key) == 0 ? TAKE_PTR(secret) : jmp_node_copy(tree, child);

        if (!copy)
            return -ENOMEM;
        copy->key = child->key;
        jmp_node_append(map, copy);
    }
    if (secret)
        jmp_node_append(map, secret);
    *node = map;
    return 0;
}

int jmp_config_save_token(const char *path, const char *to, const char *token, const char *refresh,
                          struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *text = NULL, *changed = NULL;
    const struct jmp_node *old = NULL;
    struct jmp_node *config;
    size_t length;
    int r;

    r = jmp_tree_new(JMP_CONFIG_TREE_MAX, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_file_read(path, JMP_CONFIG_MAX, &text, &length, reterr);
    if (r == 0)
        r = jmp_yaml_parse(text, length, path, tree, &old, reterr);
    if (text)
        explicit_bzero(text, strlen(text));
    if (r < 0)
        return r;
    if (old->kind != JMP_NODE_MAP) {
        jmp_error_set(reterr, -EINVAL, "expected a map, found %s", jmp_node_kind_name(old));
        jmp_error_at(reterr, path, old->line, old->column, NULL);
        return -EINVAL;
    }
    config = (struct jmp_node *)old;
    r = put_secret(tree, &config, "token", token);
    if (r == 0 && refresh)
        r = put_secret(tree, &config, "refresh_token", refresh);
    if (r == 0)
        r = jmp_yaml_print(config, &changed);
    if (r < 0)
        return jmp_error_set(reterr, r, "%s cannot be written: %m", to);
    r = jmp_file_write(to, changed, strlen(changed), 0600, reterr);
    explicit_bzero(changed, strlen(changed));
    return r;
}
