/* SPDX-License-Identifier: Apache-2.0 */
#include "config/section.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "config/ca.h"

void jmp_section_fail(struct jmp_section *section, int error)
{
    if (section->error != -ENOMEM)
        section->error = error;
}

void jmp_section_problem(struct jmp_section *section, bool warning, const struct jmp_node *node, bool at_key,
                         const char *path, struct jmp_error *error)
{
    if (error->error == -ENOMEM) {
        jmp_section_fail(section, -ENOMEM);
        return;
    }

    if (node)
        jmp_error_at(error, section->file, at_key ? node->key_line : node->line,
                     at_key ? node->key_column : node->column, path);
    else
        jmp_error_at(error, section->file, 0, 0, path);

    if (!warning)
        jmp_section_fail(section, -EINVAL);
    if (section->problems && jmp_problems_add(section->problems, warning, error) < 0)
        jmp_section_fail(section, -ENOMEM);
}

void jmp_section_say(struct jmp_section *section, bool warning, const struct jmp_node *node, bool at_key,
                     const char *path, const char *hint, const char *fmt, ...)
{
    struct jmp_error error = JMP_ERROR_INIT;
    char text[sizeof(error.text)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    jmp_error_set(&error, -EINVAL, "%s", text);
    if (hint)
        jmp_error_hint(&error, "%s", hint);
    jmp_section_problem(section, warning, node, at_key, path, &error);
}

const struct jmp_node *jmp_section_map(struct jmp_section *section, const struct jmp_node *node, const char *path)
{
    if (!node || node->kind == JMP_NODE_MAP)
        return node;

    jmp_section_say(section, false, node, false, path,
                    node->kind == JMP_NODE_NULL ? "leave the key out, or write {} for nothing" : NULL,
                    "expected a map, found %s", jmp_node_kind_name(node));
    return NULL;
}

bool jmp_section_read(struct jmp_section *section, const struct jmp_option *rows, void *object,
                      const struct jmp_node *map, const char *path)
{
    int r = jmp_options_read(rows, 0, object, map, section->file, path, section->problems);

    if (r < 0)
        jmp_section_fail(section, r);
    return r == 0;
}

/* A copy of a member that can stand in another map. */
static struct jmp_node *twin(struct jmp_section *section, const struct jmp_node *node)
{
    struct jmp_node *copy = jmp_node_new(section->tree, node->kind);

    if (!copy) {
        jmp_section_fail(section, -ENOMEM);
        return NULL;
    }
    *copy = *node;
    return copy;
}

/* An empty map that stands where @map stood. */
static struct jmp_node *another(struct jmp_section *section, const struct jmp_node *map)
{
    struct jmp_node *node = jmp_node_new(section->tree, JMP_NODE_MAP);

    if (!node) {
        jmp_section_fail(section, -ENOMEM);
        return NULL;
    }
    node->line = map->line;
    node->column = map->column;
    return node;
}

const struct jmp_node *jmp_section_rename(struct jmp_section *section, const struct jmp_node *map,
                                          const char *const *names)
{
    struct jmp_node *renamed;

    if (!map)
        return NULL;

    renamed = another(section, map);
    if (!renamed)
        return NULL;
    JMP_NODE_EACH(child, map) {
        struct jmp_node *copy = twin(section, child);

        if (!copy)
            return NULL;
        for (const char *const *name = names; *name; name += 2) {
            if (strcmp(copy->key, name[0]) == 0)
                copy->key = name[1];
        }
        jmp_node_append(renamed, copy);
    }
    return renamed;
}

const struct jmp_node *jmp_section_without(struct jmp_section *section, const struct jmp_node *map, const char *key)
{
    struct jmp_node *rest = another(section, map);

    if (!rest)
        return NULL;
    JMP_NODE_EACH(child, map) {
        struct jmp_node *copy;

        if (strcmp(child->key, key) == 0)
            continue;
        copy = twin(section, child);
        if (!copy)
            return NULL;
        jmp_node_append(rest, copy);
    }
    return rest;
}

void jmp_section_path(char ret[JMP_SECTION_PATH], const char *path, const char *key)
{
    /* What does not fit is too long to be read anyway. */
    if (snprintf(ret, JMP_SECTION_PATH, "%s.%s", path, key) >= JMP_SECTION_PATH)
        ret[jmp_text_cut(ret, JMP_SECTION_PATH - 1, JMP_SECTION_PATH - 4)] = 0;
}

const struct jmp_node *jmp_section_strings(struct jmp_section *section, const struct jmp_node *map, const char *path)
{
    bool good = true;
    char at[JMP_SECTION_PATH];

    map = jmp_section_map(section, map, path);
    JMP_NODE_EACH(child, map) {
        if (child->kind == JMP_NODE_STRING)
            continue;
        jmp_section_path(at, path, child->key);
        jmp_section_say(section, false, child, false, at,
                        child->plain && child->kind != JMP_NODE_NULL ? "put it in quotes to make it a string" : NULL,
                        "expected a string, found %s", jmp_node_kind_name(child));
        good = false;
    }
    return good ? map : NULL;
}

const char *jmp_section_environment(struct jmp_section *section, const char *name)
{
    const char *value = getenv(name);

    if (!value || !*value)
        return NULL;

    value = jmp_tree_strdup(section->tree, value, strlen(value));
    if (!value)
        jmp_section_fail(section, -ENOMEM);
    return value;
}

struct metadata {
    const char *name, *namespace_;
};

const struct jmp_option jmp_section_metadata_options[] = {
    { JMP_FIELD(struct metadata, name), .convert = true, .help = "the name it was created with" },
    { .key = "namespace", JMP_FIELD_AS(struct metadata, namespace_), .convert = true, .nullable = true,
      .help = "where it was created; null if there are no namespaces" },
    {}
};

static bool is_variable_set(const char *name)
{
    const char *value = getenv(name);

    return value && *value;
}

/* Whether gRPC would take @text as the value of a header. */
static bool is_header(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text >= 0x7f)
            return false;
    }
    return true;
}

/* Both travel in headers of every call. */
static void check_header(struct jmp_section *section, const struct jmp_node *map, const char *key, const char *value)
{
    const struct jmp_node *node = jmp_node_get(map, key);
    char path[JMP_SECTION_PATH];

    if (!value || is_header(value))
        return;
    jmp_section_path(path, "metadata", key);
    jmp_section_say(section, false, node ? node : map, false, path, NULL,
                    "expected letters, digits and \"-\", found blanks or special characters");
}

void jmp_section_metadata(struct jmp_section *section, const struct jmp_node *node, const char **name,
                          const char **namespace_)
{
    struct metadata metadata = { 0 };
    const struct jmp_node *map;

    if (jmp_node_is_null(node)) {
        jmp_section_say(section, false, node, false, "metadata", "write metadata: {namespace: default, name: NAME}",
                        "required, but missing");
        return;
    }
    map = jmp_section_map(section, node, "metadata");
    if (!map || !jmp_section_read(section, jmp_section_metadata_options, &metadata, map, "metadata"))
        return;

    /* Stock wants the key even where its value may be null: a file without it is a client's mistake in the making. */
    if (!jmp_node_get(map, "namespace")) {
        if (is_variable_set("JMP_NAMESPACE"))
            metadata.namespace_ = jmp_section_environment(section, "JMP_NAMESPACE");
        else
            jmp_section_say(section, false, map, false, "metadata.namespace",
                            "namespace: where it was created, or null; or set JMP_NAMESPACE", "required, but missing");
    }
    if (!jmp_node_get(map, "name")) {
        if (is_variable_set("JMP_NAME"))
            metadata.name = jmp_section_environment(section, "JMP_NAME");
        else
            jmp_section_say(section, false, map, false, "metadata.name",
                            "name: the name it was created with; or set JMP_NAME", "required, but missing");
    }

    if (metadata.name && (!metadata.name[0] || strlen(metadata.name) > JMP_NAME_MAX)) {
        node = jmp_node_get(map, "name");
        jmp_section_say(section, false, node ? node : map, false, "metadata.name", NULL,
                        "expected 1 to %u characters, found %zu", JMP_NAME_MAX, strlen(metadata.name));
    }
    check_header(section, map, "name", metadata.name);
    check_header(section, map, "namespace", metadata.namespace_);
    *name = metadata.name;
    *namespace_ = metadata.namespace_;
}

struct tls {
    const char *ca;
    bool insecure;
};

const struct jmp_option jmp_section_tls_options[] = {
    { JMP_FIELD(struct tls, ca), .convert = true, .preset = "", .help = "base64 of PEM certificates to trust" },
    { JMP_FIELD(struct tls, insecure), .convert = true, .help = "true: trust whoever answers" },
    {}
};

static bool is_one(const char *variable)
{
    const char *value = getenv(variable);

    return value && strcmp(value, "1") == 0;
}

void jmp_section_tls(struct jmp_section *section, const struct jmp_node *node, const char **ca, bool *insecure)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct tls tls = { 0 };

    node = jmp_section_map(section, node, "tls");
    if (node && jmp_section_read(section, jmp_section_tls_options, &tls, node, "tls") && tls.ca && tls.ca[0] &&
        jmp_ca_decode(tls.ca, section->tree, ca, &error) < 0)
        jmp_section_problem(section, false, jmp_node_get(node, "ca"), false, "tls.ca", &error);

    *insecure = tls.insecure || is_one("JMP_GRPC_INSECURE") || is_one("JUMPSTARTER_GRPC_INSECURE");
}

const struct jmp_node *jmp_section_grpc_options(struct jmp_section *section, const struct jmp_node *node)
{
    bool good = true;
    char at[JMP_SECTION_PATH];

    if (jmp_node_is_null(node))
        return NULL;

    node = jmp_section_map(section, node, "grpcOptions");
    JMP_NODE_EACH(child, node) {
        if (child->kind == JMP_NODE_STRING)
            continue;
        jmp_section_path(at, "grpcOptions", child->key);
        if (child->kind == JMP_NODE_NUMBER && child->whole) {
            if (child->integer >= INT32_MIN && child->integer <= INT32_MAX)
                continue;
            good = false;
            jmp_section_say(section, false, child, false, at, "gRPC keeps such numbers in 32 bits",
                            "expected a whole number from %d to %d, found %" PRId64, INT32_MIN, INT32_MAX,
                            child->integer);
            continue;
        }
        jmp_section_say(section, false, child, false, at,
                        child->kind == JMP_NODE_BOOL ? "channel arguments say 1 and 0" : NULL,
                        "expected a string or a whole number, found %s", jmp_node_kind_name(child));
        good = false;
    }
    return good ? node : NULL;
}

const char *jmp_section_endpoint(struct jmp_section *section, const struct jmp_node *node, const char *endpoint)
{
    const char *scheme;

    if (!endpoint || !endpoint[0])
        return NULL;

    scheme = strstr(endpoint, "://");
    if (scheme)
        jmp_section_say(section, false, node, false, "endpoint", "leave out the scheme",
                        "expected HOST:PORT, found a URL with \"%.*s://\"",
                        (int)(scheme - endpoint > 16 ? 16 : scheme - endpoint), endpoint);
    else if (endpoint[strcspn(endpoint, " \t\r\n")])
        jmp_section_say(section, false, node, false, "endpoint", NULL, "expected HOST:PORT, found blanks in it");
    return endpoint;
}

const char *jmp_section_token(struct jmp_section *section, const struct jmp_node *node, const char *token)
{
    if (!token || !token[0])
        return NULL;

    if (!is_header(token))
        jmp_section_say(section, false, node, false, "token", "copy the token again, as one line without blanks",
                        "a token has no blanks, line breaks or special characters");
    return token;
}
