/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"

/*
 * jansson would build nearly everything before it could be asked how much that is, and allows 2,048 levels. So levels
 * and values are counted first; strings are skipped, everything else is left to the parser.
 */
static int check_size(const char *text, size_t length, struct jmp_error *reterr)
{
    unsigned line = 1, depth = 0, values = 1;
    size_t line_start = 0;
    bool quoted = false;

    for (size_t i = 0; i < length; i++) {
        int r = 0;

        switch (text[i]) {
        case 0:
            r = jmp_error_set(reterr, -EINVAL, "not JSON: a NUL byte");
            break;
        case '\n':
            line++;
            line_start = i + 1;
            break;
        case '\\':
            if (quoted)
                i++;
            break;
        case '"':
            quoted = !quoted;
            break;
        case '[':
        case '{':
            if (quoted)
                break;
            depth++;
            values++;
            break;
        case ']':
        case '}':
            if (!quoted && depth > 0)
                depth--;
            break;
        case ',':
            values += !quoted;
            break;
        default:
            break;
        }

        if (depth > JMP_NESTING_MAX)
            r = jmp_error_set(reterr, -E2BIG, "nested deeper than %u levels", JMP_NESTING_MAX);
        else if (values > JMP_NODES_MAX)
            r = jmp_error_set(reterr, -E2BIG, "more than %u values", JMP_NODES_MAX);
        if (r < 0) {
            jmp_error_at(reterr, NULL, line, (unsigned)(i - line_start) + 1, NULL);
            return r;
        }
    }
    return 0;
}

static struct jmp_node *convert(struct jmp_tree *tree, json_t *json)
{
    struct jmp_node *node, *child;
    const char *key;
    json_t *item;
    size_t i;

    switch (json_typeof(json)) {
    case JSON_NULL:
        return jmp_node_new(tree, JMP_NODE_NULL);

    case JSON_TRUE:
    case JSON_FALSE:
        node = jmp_node_new(tree, JMP_NODE_BOOL);
        if (node)
            node->boolean = json_is_true(json);
        return node;

    case JSON_INTEGER:
        node = jmp_node_new(tree, JMP_NODE_NUMBER);
        if (node) {
            node->integer = json_integer_value(json);
            node->number = (double)node->integer;
        }
        return node;

    case JSON_REAL:
        node = jmp_node_new(tree, JMP_NODE_NUMBER);
        if (node) {
            node->number = json_real_value(json);
            node->whole = false;
        }
        return node;

    case JSON_STRING:
        node = jmp_node_new(tree, JMP_NODE_STRING);
        if (node)
            node->string = jmp_tree_strdup(tree, json_string_value(json), json_string_length(json));
        return node && node->string ? node : NULL;

    case JSON_ARRAY:
        node = jmp_node_new(tree, JMP_NODE_LIST);
        if (!node)
            return NULL;
        json_array_foreach(json, i, item) {
            child = convert(tree, item);
            if (!child)
                return NULL;
            jmp_node_append(node, child);
        }
        return node;

    case JSON_OBJECT:
        node = jmp_node_new(tree, JMP_NODE_MAP);
        if (!node)
            return NULL;
        json_object_foreach(json, key, item) {
            child = convert(tree, item);
            if (!child)
                return NULL;
            child->key = jmp_tree_strdup(tree, key, strlen(key));
            if (!child->key)
                return NULL;
            jmp_node_append(node, child);
        }
        return node;
    }
    return NULL;
}

int jmp_json_parse(const char *text, size_t length, struct jmp_tree *tree, const struct jmp_node **ret,
                   struct jmp_error *reterr)
{
    struct jmp_node *node;
    json_error_t error;
    json_t *json;
    int r;

    if (length > JMP_CONFIG_MAX)
        return jmp_error_set(reterr, -E2BIG, "longer than %u bytes", JMP_CONFIG_MAX);

    r = check_size(text, length, reterr);
    if (r < 0)
        return r;

    /* Without memory for its lexer jansson says nothing at all, and leaves the code as it was. */
    error.text[sizeof(error.text) - 1] = json_error_out_of_memory;
    json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!json) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return jmp_error_set(reterr, -ENOMEM, "%m");

        jmp_error_set(reterr, -EINVAL, "not JSON: %s", error.text);
        if (error.line > 0)
            jmp_error_at(reterr, NULL, (unsigned)error.line, error.column > 0 ? (unsigned)error.column : 1, NULL);
        return -EINVAL;
    }

    node = convert(tree, json);
    json_decref(json);
    if (!node)
        return jmp_error_set(reterr, -ENOMEM, "%m");

    *ret = node;
    return 0;
}

static void print_string(FILE *stream, const char *text)
{
    fputc('"', stream);
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        switch (*s) {
        case '"':
        case '\\':
            fputc('\\', stream);
            fputc(*s, stream);
            break;
        case '\n':
            fputs("\\n", stream);
            break;
        case '\r':
            fputs("\\r", stream);
            break;
        case '\t':
            fputs("\\t", stream);
            break;
        case '\b':
            fputs("\\b", stream);
            break;
        case '\f':
            fputs("\\f", stream);
            break;
        default:
            if (*s < 0x20 || *s == 0x7f)
                fprintf(stream, "\\u%04x", *s);
            else
                fputc(*s, stream);
        }
    }
    fputc('"', stream);
}

void jmp_json_print_number(FILE *stream, const struct jmp_node *node)
{
    char text[40];

    if (node->whole) {
        fprintf(stream, "%lld", (long long)node->integer);
        return;
    }
    if (!isfinite(node->number)) {
        fputs("null", stream);
        return;
    }
    if (node->number == 0 && signbit(node->number)) {
        fputs("-0.0", stream);   /* "-0" would read as the whole number 0 */
        return;
    }
    if (node->number == trunc(node->number) && fabs(node->number) < 1e16) {
        fprintf(stream, "%.0f", node->number);
        return;
    }

    /* The fewest digits that read back as the same number. */
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, node->number);
        if (strtod(text, NULL) == node->number)
            break;
    }
    fputs(text, stream);
}

static void new_line(FILE *stream, unsigned indent, unsigned level)
{
    if (indent > 0)
        fprintf(stream, "\n%*s", (int)(indent * level), "");
}

static void print(FILE *stream, const struct jmp_node *node, unsigned indent, unsigned level)
{
    bool map = node->kind == JMP_NODE_MAP;

    switch (node->kind) {
    case JMP_NODE_NULL:
        fputs("null", stream);
        return;
    case JMP_NODE_BOOL:
        fputs(node->boolean ? "true" : "false", stream);
        return;
    case JMP_NODE_NUMBER:
        jmp_json_print_number(stream, node);
        return;
    case JMP_NODE_STRING:
        print_string(stream, node->string);
        return;
    case JMP_NODE_LIST:
    case JMP_NODE_MAP:
        break;
    }

    if (!node->first) {
        fputs(map ? "{}" : "[]", stream);
        return;
    }

    fputc(map ? '{' : '[', stream);
    JMP_NODE_EACH(child, node) {
        if (child != node->first)
            fputc(',', stream);
        new_line(stream, indent, level + 1);
        if (map) {
            print_string(stream, child->key);
            fputs(indent > 0 ? ": " : ":", stream);
        }
        print(stream, child, indent, level + 1);
    }
    new_line(stream, indent, level);
    fputc(map ? '}' : ']', stream);
}

int jmp_json_print(const struct jmp_node *node, unsigned indent, char **ret)
{
    _cleanup_free_ char *text = NULL;
    size_t length = 0;
    FILE *stream;
    int failed;

    stream = open_memstream(&text, &length);
    if (!stream)
        return -ENOMEM;

    print(stream, node, indent, 0);
    failed = ferror(stream);
    if (fclose(stream) != 0 || failed)
        return -ENOMEM;

    *ret = TAKE_PTR(text);
    return 0;
}
