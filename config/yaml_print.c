/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <yaml.h>

#include "config/scalar.h"
#include "config/yaml.h"

static int write_out(void *stream, unsigned char *buffer, size_t size)
{
    return fwrite(buffer, 1, size, stream) == size;
}

/* Takes the event, whether it goes well or not. */
static int emit(yaml_emitter_t *emitter, yaml_event_t *event)
{
    return yaml_emitter_emit(emitter, event) ? 0 : -ENOMEM;
}

static int emit_scalar(yaml_emitter_t *emitter, const char *text, bool plain, yaml_scalar_style_t style)
{
    yaml_event_t event;

    if (!yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text), plain, !plain,
                                      style))
        return -ENOMEM;
    return emit(emitter, &event);
}

static int emit_string(yaml_emitter_t *emitter, const char *text, bool key)
{
    yaml_scalar_style_t style = YAML_ANY_SCALAR_STYLE;
    yaml_event_t event;

    /* Scripts stay readable. Where a block is impossible, as in front of trailing blanks, the emitter quotes. */
    if (!key && strchr(text, '\n'))
        style = YAML_LITERAL_SCALAR_STYLE;

    if (!yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text),
                                      jmp_scalar_is_string(text), 1, style))
        return -ENOMEM;
    return emit(emitter, &event);
}

/* YAML 1.1 knows a fraction by its point: "1e+300" would be a string. */
static void format_number(const struct jmp_node *node, char *ret, size_t size)
{
    char digits[40], *exponent;

    if (node->whole) {
        snprintf(ret, size, "%" PRId64, node->integer);
        return;
    }
    if (!isfinite(node->number)) {
        snprintf(ret, size, "%s", isnan(node->number) ? ".nan" : node->number < 0 ? "-.inf" : ".inf");
        return;
    }

    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, node->number);
        if (strtod(digits, NULL) == node->number)
            break;
    }
    if (strchr(digits, '.')) {
        snprintf(ret, size, "%s", digits);
        return;
    }
    exponent = strchr(digits, 'e');
    if (exponent)
        snprintf(ret, size, "%.*s.0%s", (int)(exponent - digits), digits, exponent);
    else
        snprintf(ret, size, "%s.0", digits);
}

static int emit_node(yaml_emitter_t *emitter, const struct jmp_node *node)
{
    bool map = node->kind == JMP_NODE_MAP;
    yaml_event_t event;
    char number[64];
    int r;

    switch (node->kind) {
    case JMP_NODE_NULL:
        return emit_scalar(emitter, "null", true, YAML_PLAIN_SCALAR_STYLE);
    case JMP_NODE_BOOL:
        return emit_scalar(emitter, node->boolean ? "true" : "false", true, YAML_PLAIN_SCALAR_STYLE);
    case JMP_NODE_NUMBER:
        format_number(node, number, sizeof(number));
        return emit_scalar(emitter, number, true, YAML_PLAIN_SCALAR_STYLE);
    case JMP_NODE_STRING:
        return emit_string(emitter, node->string, false);
    case JMP_NODE_LIST:
    case JMP_NODE_MAP:
        break;
    }

    if (!(map ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE)
              : yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE)))
        return -ENOMEM;
    r = emit(emitter, &event);
    if (r < 0)
        return r;

    JMP_NODE_EACH(child, node) {
        if (map) {
            r = emit_string(emitter, child->key, true);
            if (r < 0)
                return r;
        }
        r = emit_node(emitter, child);
        if (r < 0)
            return r;
    }

    if (!(map ? yaml_mapping_end_event_initialize(&event) : yaml_sequence_end_event_initialize(&event)))
        return -ENOMEM;
    return emit(emitter, &event);
}

static int emit_document(yaml_emitter_t *emitter, const struct jmp_node *node)
{
    yaml_event_t event;
    int r;

    if (!yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING))
        return -ENOMEM;
    r = emit(emitter, &event);
    if (r < 0)
        return r;
    if (!yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1))
        return -ENOMEM;
    r = emit(emitter, &event);
    if (r < 0)
        return r;
    r = emit_node(emitter, node);
    if (r < 0)
        return r;
    if (!yaml_document_end_event_initialize(&event, 1))
        return -ENOMEM;
    r = emit(emitter, &event);
    if (r < 0)
        return r;
    if (!yaml_stream_end_event_initialize(&event))
        return -ENOMEM;
    return emit(emitter, &event);
}

int jmp_yaml_print(const struct jmp_node *node, char **ret)
{
    _cleanup_free_ char *text = NULL;
    yaml_emitter_t emitter;
    size_t length = 0;
    FILE *stream;
    int r, failed;

    stream = open_memstream(&text, &length);
    if (!stream)
        return -ENOMEM;
    if (!yaml_emitter_initialize(&emitter)) {
        fclose(stream);
        return -ENOMEM;
    }
    yaml_emitter_set_output(&emitter, write_out, stream);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);

    r = emit_document(&emitter, node);
    yaml_emitter_delete(&emitter);
    failed = ferror(stream);
    if (fclose(stream) != 0 || failed)
        r = -ENOMEM;
    if (r < 0)
        return r;

    *ret = TAKE_PTR(text);
    return 0;
}
