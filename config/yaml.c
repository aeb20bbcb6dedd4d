/* SPDX-License-Identifier: Apache-2.0 */
/* YAML to nodes, event by event, so that every limit holds before memory is taken. yaml_print.c goes the other way. */
#include "config/yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/limits.h"
#include "config/scalar.h"

/*
 * An alias shares the children of what it names, which makes it cheap to keep but not to walk: @values counts as if
 * each were a copy, and that number is limited.
 */
struct anchor {
    const char *name;
    const struct jmp_node *node;   /* NULL until its end was seen */
    unsigned values, height;
};

struct frame {
    struct jmp_node *node;
    const char *key;
    unsigned key_line, key_column;
    bool merging;              /* the next value belongs to "<<" */
    struct jmp_node *merges;   /* a list of what "<<" named, or NULL */
    struct anchor *anchor;
    unsigned values;           /* of the document when it began */
    unsigned height;           /* levels below it so far */
};

struct reader {
    yaml_parser_t parser;
    const char *file;
    struct jmp_tree *tree;
    struct jmp_error *reterr;
    struct frame frames[JMP_NESTING_MAX];
    unsigned depth;
    unsigned values;
    struct anchor anchors[JMP_ANCHORS_MAX];
    unsigned anchor_count;
    struct jmp_node *root;
};

static int fail_at(struct reader *reader, int error, const yaml_mark_t *mark, const char *text)
{
    jmp_error_set(reader->reterr, error, "%s", text);
    jmp_error_at(reader->reterr, reader->file, (unsigned)mark->line + 1, (unsigned)mark->column + 1, NULL);
    return error;
}

static int fail_memory(struct reader *reader)
{
    jmp_error_set(reader->reterr, -ENOMEM, "%m");
    jmp_error_at(reader->reterr, reader->file, 0, 0, NULL);
    return -ENOMEM;
}

static int fail_parser(struct reader *reader, const char *text, size_t length)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem ? parser->problem : "cannot be read";

    if (parser->error == YAML_MEMORY_ERROR)
        return fail_memory(reader);

    if (parser->error == YAML_READER_ERROR) {
        yaml_mark_t mark = { 0 };

        /* The reader only counts bytes. */
        for (size_t i = 0; i < parser->problem_offset && i < length; i++) {
            mark.column++;
            if (text[i] == '\n') {
                mark.line++;
                mark.column = 0;
            }
        }
        jmp_error_set(reader->reterr, -EINVAL, "not YAML: %s", problem);
        jmp_error_hint(reader->reterr, "the file must be UTF-8 text");
        jmp_error_at(reader->reterr, reader->file, (unsigned)mark.line + 1, (unsigned)mark.column + 1, NULL);
        return -EINVAL;
    }

    if (parser->context)
        jmp_error_set(reader->reterr, -EINVAL, "not YAML: %s, %s", parser->context, problem);
    else
        jmp_error_set(reader->reterr, -EINVAL, "not YAML: %s", problem);
    if (parser->problem_mark.index < length && text[parser->problem_mark.index] == '\t')
        jmp_error_hint(reader->reterr, "indent with blanks, not with tabs");
    else if (strstr(problem, "mapping values are not allowed"))
        jmp_error_hint(reader->reterr, "a text with \": \" in it needs quotes; or the lines are not indented alike");
    jmp_error_at(reader->reterr, reader->file, (unsigned)parser->problem_mark.line + 1,
                 (unsigned)parser->problem_mark.column + 1, NULL);
    return -EINVAL;
}

static int count_values(struct reader *reader, unsigned values, const yaml_mark_t *mark)
{
    char text[64];

    if (values > JMP_NODES_MAX - reader->values) {
        snprintf(text, sizeof(text), "more than %u values", JMP_NODES_MAX);
        return fail_at(reader, -E2BIG, mark, text);
    }
    reader->values += values;
    return 0;
}

static int check_depth(struct reader *reader, unsigned height, const yaml_mark_t *mark)
{
    char text[64];

    if (reader->depth + height > JMP_NESTING_MAX) {
        snprintf(text, sizeof(text), "nested deeper than %u levels", JMP_NESTING_MAX);
        return fail_at(reader, -E2BIG, mark, text);
    }
    return 0;
}

static struct jmp_node *new_node(struct reader *reader, enum jmp_node_kind kind, const yaml_mark_t *mark)
{
    struct jmp_node *node = jmp_node_new(reader->tree, kind);

    if (node) {
        node->line = (unsigned)mark->line + 1;
        node->column = (unsigned)mark->column + 1;
    }
    return node;
}

static struct anchor *find_anchor(struct reader *reader, const char *name)
{
    for (unsigned i = 0; i < reader->anchor_count; i++) {
        if (strcmp(reader->anchors[i].name, name) == 0)
            return &reader->anchors[i];
    }
    return NULL;
}

/* Remembers the name of the value that begins at @mark; *ret stays NULL without one. */
static int add_anchor(struct reader *reader, const yaml_char_t *name, const yaml_mark_t *mark, struct anchor **ret)
{
    const char *text = (const char *)name;
    struct anchor *anchor;

    if (!text)
        return 0;
    if (find_anchor(reader, text))
        return fail_at(reader, -EINVAL, mark, "this anchor was given before");
    if (reader->anchor_count == JMP_ANCHORS_MAX)
        return fail_at(reader, -E2BIG, mark, "too many anchors");

    anchor = &reader->anchors[reader->anchor_count];
    anchor->name = jmp_tree_strdup(reader->tree, text, strlen(text));
    if (!anchor->name)
        return fail_memory(reader);
    reader->anchor_count++;
    *ret = anchor;
    return 0;
}

/* A scalar where a key is expected. */
static int take_key(struct reader *reader, struct frame *frame, const struct jmp_node *node, const yaml_mark_t *mark)
{
    if (!node->string)
        return fail_at(reader, -EINVAL, mark, "a key must be a single word or string");

    frame->key = node->string;
    frame->key_line = (unsigned)mark->line + 1;
    frame->key_column = (unsigned)mark->column + 1;
    frame->merging = node->plain && strcmp(node->string, "<<") == 0;
    return 0;
}

static int take_merge(struct reader *reader, struct frame *frame, const struct jmp_node *node, const yaml_mark_t *mark)
{
    static const char text[] = "\"<<\" takes a map, or a list of maps";
    struct jmp_node *twin;

    if (!frame->merges) {
        frame->merges = jmp_node_new(reader->tree, JMP_NODE_LIST);
        if (!frame->merges)
            return fail_memory(reader);
    }

    if (node->kind != JMP_NODE_MAP && node->kind != JMP_NODE_LIST)
        return fail_at(reader, -EINVAL, mark, text);
    if (node->kind == JMP_NODE_LIST) {
        JMP_NODE_EACH(child, node) {
            if (child->kind != JMP_NODE_MAP)
                return fail_at(reader, -EINVAL, mark, text);
        }
    }

    twin = jmp_node_new(reader->tree, node->kind);
    if (!twin)
        return fail_memory(reader);
    *twin = *node;
    jmp_node_append(frame->merges, twin);
    return 0;
}

/* Puts a finished value where it belongs. */
static int place(struct reader *reader, struct jmp_node *node, unsigned height, const yaml_mark_t *mark)
{
    struct frame *frame;
    int r = 0;

    if (reader->depth == 0) {
        reader->root = node;
        return 0;
    }

    frame = &reader->frames[reader->depth - 1];
    if (height > frame->height)
        frame->height = height;

    if (frame->node->kind == JMP_NODE_LIST) {
        jmp_node_append(frame->node, node);
        return 0;
    }
    if (!frame->key)
        return take_key(reader, frame, node, mark);

    if (frame->merging) {
        r = take_merge(reader, frame, node, mark);
    } else {
        node->key = frame->key;
        node->key_line = frame->key_line;
        node->key_column = frame->key_column;
        jmp_node_append(frame->node, node);
    }
    frame->key = NULL;
    frame->merging = false;
    return r;
}

static bool is_tag(const yaml_char_t *tag, const char *name)
{
    return tag && strcmp((const char *)tag, name) == 0;
}

static int on_tagged_scalar(struct reader *reader, const yaml_event_t *event, struct jmp_node *node)
{
    static const struct {
        const char *tag;
        enum jmp_node_kind kind;
        bool whole;
        const char *text;
    } tags[] = {
        { "!", JMP_NODE_STRING, false, "" },
        { YAML_STR_TAG, JMP_NODE_STRING, false, "" },
        { YAML_INT_TAG, JMP_NODE_NUMBER, true, "tagged !!int, but no whole number" },
        { YAML_FLOAT_TAG, JMP_NODE_NUMBER, false, "tagged !!float, but no number" },
        { YAML_BOOL_TAG, JMP_NODE_BOOL, false, "tagged !!bool, but neither true nor false" },
        { YAML_NULL_TAG, JMP_NODE_NULL, false, "tagged !!null, but there is a value" },
    };

    for (size_t i = 0; i < ELEMENTSOF(tags); i++) {
        if (!is_tag(event->data.scalar.tag, tags[i].tag))
            continue;
        if (jmp_scalar_resolve_as(node->string, tags[i].kind, tags[i].whole, node) < 0)
            return fail_at(reader, -EINVAL, &event->start_mark, tags[i].text);
        node->plain = false;
        return 0;
    }

    fail_at(reader, -EINVAL, &event->start_mark, "an unknown tag");
    jmp_error_hint(reader->reterr,
                   "only !!str, !!int, !!float, !!bool and !!null are known; put a text that begins with "
                   "\"!\" into quotes");
    return -EINVAL;
}

static int on_scalar(struct reader *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    struct anchor *anchor = NULL;
    struct jmp_node *node;
    int r;

    r = count_values(reader, 1, &event->start_mark);
    if (r < 0)
        return r;
    if (memchr(text, 0, event->data.scalar.length))
        return fail_at(reader, -EINVAL, &event->start_mark, "a NUL character in a text");
    r = add_anchor(reader, event->data.scalar.anchor, &event->start_mark, &anchor);
    if (r < 0)
        return r;

    node = new_node(reader, JMP_NODE_STRING, &event->start_mark);
    if (!node)
        return fail_memory(reader);
    node->string = jmp_tree_strdup(reader->tree, text, event->data.scalar.length);
    if (!node->string)
        return fail_memory(reader);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

    if (event->data.scalar.tag) {
        r = on_tagged_scalar(reader, event, node);
        if (r < 0)
            return r;
    } else if (node->plain) {
        jmp_scalar_resolve(node->string, node);
    }

    if (anchor)
        *anchor = (struct anchor){ .name = anchor->name, .node = node, .values = 1 };
    return place(reader, node, 0, &event->start_mark);
}

static int on_alias(struct reader *reader, const yaml_event_t *event)
{
    const struct anchor *anchor = find_anchor(reader, (const char *)event->data.alias.anchor);
    struct jmp_node *node;
    int r;

    if (!anchor)
        return fail_at(reader, -EINVAL, &event->start_mark, "an alias to an anchor that was not given before");
    if (!anchor->node)
        return fail_at(reader, -EINVAL, &event->start_mark, "an alias to what it stands in");

    r = count_values(reader, anchor->values, &event->start_mark);
    if (r < 0)
        return r;
    r = check_depth(reader, anchor->height, &event->start_mark);
    if (r < 0)
        return r;

    node = new_node(reader, anchor->node->kind, &event->start_mark);
    if (!node)
        return fail_memory(reader);
    *node = *anchor->node;
    node->key = NULL;
    node->next = NULL;
    node->line = (unsigned)event->start_mark.line + 1;
    node->column = (unsigned)event->start_mark.column + 1;
    return place(reader, node, anchor->height, &event->start_mark);
}

static int on_begin(struct reader *reader, const yaml_event_t *event, enum jmp_node_kind kind)
{
    bool map = kind == JMP_NODE_MAP;
    const yaml_char_t *tag = map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    const yaml_char_t *name = map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    struct frame *frame = reader->depth > 0 ? &reader->frames[reader->depth - 1] : NULL;
    struct anchor *anchor = NULL;
    struct jmp_node *node;
    int r;

    if (tag && !is_tag(tag, "!") && !is_tag(tag, map ? YAML_MAP_TAG : YAML_SEQ_TAG)) {
        fail_at(reader, -EINVAL, &event->start_mark, "an unknown tag");
        jmp_error_hint(reader->reterr, "maps and lists need none");
        return -EINVAL;
    }
    if (frame && frame->node->kind == JMP_NODE_MAP && !frame->key) {
        fail_at(reader, -EINVAL, &event->start_mark, "a key must be a single word or string");
        jmp_error_hint(reader->reterr, "a text that begins with \"{\" or \"[\" needs quotes");
        return -EINVAL;
    }

    r = count_values(reader, 1, &event->start_mark);
    if (r < 0)
        return r;
    r = check_depth(reader, 1, &event->start_mark);
    if (r < 0)
        return r;
    r = add_anchor(reader, name, &event->start_mark, &anchor);
    if (r < 0)
        return r;
    node = new_node(reader, kind, &event->start_mark);
    if (!node)
        return fail_memory(reader);

    reader->frames[reader->depth++] = (struct frame){
        .node = node,
        .anchor = anchor,
        .values = reader->values - 1,
    };
    return 0;
}

struct member {
    struct jmp_node *node;
    unsigned position;   /* the first of those with one key stays */
};

static int member_compare(const void *a, const void *b)
{
    const struct member *left = a, *right = b;
    int r = strcmp(left->node->key, right->node->key);

    if (r != 0)
        return r;
    return left->position < right->position ? -1 : left->position > right->position;
}

static int collect(struct reader *reader, const struct jmp_node *map, struct jmp_node *all)
{
    JMP_NODE_EACH(child, map) {
        struct jmp_node *twin = jmp_node_new(reader->tree, child->kind);

        if (!twin)
            return fail_memory(reader);
        *twin = *child;
        jmp_node_append(all, twin);
    }
    return 0;
}

/* Adds what "<<" named to a map's own members, which win; of several maps the earlier one wins. Sorted, because both
 * may be large. */
static int merge(struct reader *reader, struct frame *frame)
{
    struct jmp_node *map = frame->node, all = { .kind = JMP_NODE_MAP }, *next;
    _cleanup_free_ struct member *members = NULL;
    unsigned n = 0;
    int r;

    r = collect(reader, map, &all);
    if (r < 0)
        return r;
    JMP_NODE_EACH(named, frame->merges) {
        if (named->kind == JMP_NODE_MAP)
            r = collect(reader, named, &all);
        else
            JMP_NODE_EACH(child, named) {
                r = collect(reader, child, &all);
                if (r < 0)
                    break;
            }
        if (r < 0)
            return r;
    }
    if (all.count == 0)
        return 0;

    members = calloc(all.count, sizeof(*members));
    if (!members)
        return fail_memory(reader);
    for (struct jmp_node *child = all.first; child; child = child->next) {
        members[n] = (struct member){ .node = child, .position = n };
        n++;
    }
    qsort(members, n, sizeof(*members), member_compare);
    for (unsigned i = n; i-- > 1;) {
        if (strcmp(members[i].node->key, members[i - 1].node->key) == 0)
            members[i].node->key = NULL;
    }

    map->first = map->last = NULL;
    map->count = 0;
    for (struct jmp_node *child = all.first; child; child = next) {
        next = child->next;
        if (child->key)
            jmp_node_append(map, child);
    }
    return 0;
}

static int on_end(struct reader *reader, const yaml_event_t *event)
{
    struct frame *frame = &reader->frames[--reader->depth];
    const struct jmp_node *twice;
    yaml_mark_t mark = { .line = frame->node->line - 1, .column = frame->node->column - 1 };
    int r;

    (void)event;
    if (frame->node->kind == JMP_NODE_MAP) {
        r = jmp_node_find_double(frame->node, &twice);
        if (r < 0)
            return fail_memory(reader);
        if (r > 0) {
            jmp_error_set(reader->reterr, -EINVAL, "the key \"%s\" is given twice", twice->key);
            jmp_error_at(reader->reterr, reader->file, twice->key_line, twice->key_column, NULL);
            return -EINVAL;
        }
        if (frame->merges) {
            r = merge(reader, frame);
            if (r < 0)
                return r;
        }
    }

    if (frame->anchor)
        *frame->anchor = (struct anchor){
            .name = frame->anchor->name,
            .node = frame->node,
            .values = reader->values - frame->values,
            .height = frame->height + 1,
        };
    return place(reader, frame->node, frame->height + 1, &mark);
}

static int on_event(struct reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(reader, event);
    case YAML_ALIAS_EVENT:
        return on_alias(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_begin(reader, event, JMP_NODE_LIST);
    case YAML_MAPPING_START_EVENT:
        return on_begin(reader, event, JMP_NODE_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(reader, event);
    case YAML_DOCUMENT_START_EVENT:
        if (!reader->root)
            return 0;
        fail_at(reader, -EINVAL, &event->start_mark, "a second document begins here");
        jmp_error_hint(reader->reterr, "a file holds one document; remove the line \"---\"");
        return -EINVAL;
    default:
        return 0;
    }
}

int jmp_yaml_parse(const char *text, size_t length, const char *file, struct jmp_tree *tree,
                   const struct jmp_node **ret, struct jmp_error *reterr)
{
    _cleanup_free_ struct reader *reader = NULL;
    bool done = false;
    int r = 0;

    if (length > JMP_CONFIG_MAX) {
        jmp_error_set(reterr, -E2BIG, "longer than %u bytes", JMP_CONFIG_MAX);
        jmp_error_at(reterr, file, 0, 0, NULL);
        return -E2BIG;
    }

    reader = calloc(1, sizeof(*reader));
    if (!reader)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    reader->file = file;
    reader->tree = tree;
    reader->reterr = reterr;

    if (!yaml_parser_initialize(&reader->parser))
        return fail_memory(reader);
    yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, length);

    while (r == 0 && !done) {
        yaml_event_t event;

        if (!yaml_parser_parse(&reader->parser, &event)) {
            r = fail_parser(reader, text, length);
            break;
        }
        done = event.type == YAML_STREAM_END_EVENT;
        r = on_event(reader, &event);
        yaml_event_delete(&event);
    }

    if (r == 0 && !reader->root) {
        reader->root = jmp_node_new(tree, JMP_NODE_NULL);
        r = reader->root ? 0 : fail_memory(reader);
    }
    yaml_parser_delete(&reader->parser);
    if (r < 0)
        return r;

    *ret = reader->root;
    return 0;
}
