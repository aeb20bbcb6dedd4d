/* SPDX-License-Identifier: Apache-2.0 */
/* Options from maps. Those of a command line are in option_line.c. */
#include "base/option.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"

#define NEAREST_MAX 64u      /* longer words are not compared */
#define SHOWN_MAX 60u        /* bytes of a wrong value that are shown */
#define HINTS_MAX 1000u      /* problems after which nobody reads hints any more */

bool jmp_option_row(const struct jmp_option *rows, size_t row_size, size_t index, struct jmp_option *ret)
{
    size_t size = row_size && row_size < sizeof(*rows) ? row_size : sizeof(*rows);

    if (!rows)
        return false;

    /* Rows may come from a plug-in whose struct was shorter, or longer, than ours. */
    *ret = (struct jmp_option){ 0 };
    memcpy(ret, (const char *)rows + index * (row_size ? row_size : sizeof(*rows)), size);
    return ret->key != NULL;
}

static void *field(const struct jmp_option *row, void *object)
{
    return (char *)object + row->offset;
}

static int parse_bool(const char *text, bool *ret)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {
        { "true", true }, { "false", false }, { "yes", true }, { "no", false }, { "on", true }, { "off", false },
        { "1", true },    { "0", false },     { "y", true },   { "n", false },  { "t", true },  { "f", false },
    };

    for (size_t i = 0; i < ELEMENTSOF(words); i++) {
        if (strcasecmp(text, words[i].word) == 0) {
            *ret = words[i].value;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_number(const char *text, double *ret)
{
    double number;
    char *end;

    /* strtod() alone would take blanks in front, "nan", "inf" and hexadecimal fractions. */
    if (text[0] == 0 || text[strspn(text, "+-.0123456789eE")] != 0)
        return -EINVAL;
    number = strtod(text, &end);
    if (*end || !isfinite(number))
        return -EINVAL;

    *ret = number;
    return 0;
}

static int parse_whole(const char *text, double *ret)
{
    unsigned long long number;
    char *end;

    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X') && isxdigit((unsigned char)text[2])) {
        errno = 0;
        number = strtoull(text, &end, 16);
        if (*end || errno != 0)
            return -EINVAL;
        *ret = (double)number;
        return 0;
    }
    return parse_number(text, ret);
}

/* What is wanted, for "expected ...". */
void jmp_option_put_kind(FILE *stream, const struct jmp_option *row)
{
    bool limited = row->min != 0 || row->max != 0;

    if (row->words && (row->type == JMP_STRING || row->type == JMP_STRINGS)) {
        for (const char *const *word = row->words; *word; word++)
            fprintf(stream, "%s\"%s\"", word == row->words ? "" : word[1] ? ", " : " or ", *word);
        return;
    }

    switch (row->type) {
    case JMP_BOOL:
        fputs("true or false", stream);
        return;
    case JMP_UINT:
    case JMP_NUMBER:
        fprintf(stream, "a %snumber", row->type == JMP_UINT ? "whole " : "");
        if (limited && isinf(row->max))
            fprintf(stream, " of at least %.15g", row->min);
        else if (limited)
            fprintf(stream, " from %.15g to %.15g", row->min, row->max);
        return;
    case JMP_STRING:
        fputs("a string", stream);
        return;
    case JMP_STRINGS:
        fputs("a list of strings", stream);
        return;
    case JMP_NODE:
        fputs("a value", stream);
        return;
    }
}

static void put_expected(FILE *stream, const struct jmp_option *row)
{
    fputs("expected ", stream);
    jmp_option_put_kind(stream, row);
}

/* What is there instead. Of a secret only its kind, even if it is the wrong one: 12345 may be somebody's password. */
static void put_found(FILE *stream, const struct jmp_option *row, const struct jmp_node *node)
{
    const char *string = node->kind == JMP_NODE_STRING || node->plain ? node->string : NULL;

    if (row->secret || node->kind == JMP_NODE_NULL || node->kind == JMP_NODE_LIST || node->kind == JMP_NODE_MAP) {
        fputs(jmp_node_kind_name(node), stream);
    } else if (string) {
        size_t length = strnlen(string, SHOWN_MAX + 4);
        size_t cut = jmp_text_cut(string, length, SHOWN_MAX);
        const char *quote = node->kind == JMP_NODE_STRING ? "\"" : "";

        fprintf(stream, "%s%.*s%s%s", quote, (int)cut, string, cut < length ? "..." : "", quote);
    } else if (node->kind == JMP_NODE_BOOL) {
        fputs(node->boolean ? "true" : "false", stream);
    } else {
        jmp_json_print_number(stream, node);
    }
}

static int set_wrong(const struct jmp_option *row, const struct jmp_node *node, struct jmp_error *reterr)
{
    char text[sizeof(reterr->text)] = "";
    FILE *stream;

    if (!reterr)
        return -EINVAL;

    /* A full buffer only cuts the sentence. */
    stream = fmemopen(text, sizeof(text) - 1, "w");
    if (!stream)
        return -ENOMEM;
    put_expected(stream, row);
    fputs(", found ", stream);
    put_found(stream, row, node);
    fclose(stream);

    return jmp_error_set(reterr, -EINVAL, "%s", text);
}

static bool is_word(const struct jmp_option *row, const char *text)
{
    if (!row->words)
        return true;

    for (const char *const *word = row->words; *word; word++) {
        if (strcmp(*word, text) == 0)
            return true;
    }
    return false;
}

static bool is_in_range(const struct jmp_option *row, double number)
{
    if (row->type == JMP_UINT && (number != trunc(number) || number < 0 || number > UINT_MAX))
        return false;
    return (row->min == 0 && row->max == 0) || (number >= row->min && number <= row->max);
}

static void store_number(const struct jmp_option *row, void *object, double number)
{
    if (row->type == JMP_UINT)
        *(unsigned *)field(row, object) = (unsigned)number;
    else
        *(double *)field(row, object) = number;
}

int jmp_option_set(const struct jmp_option *row, void *object, const char *text, struct jmp_tree *tree,
                   struct jmp_error *reterr)
{
    struct jmp_node said = { .kind = JMP_NODE_STRING, .string = text };
    struct jmp_node *item, **list;
    const struct jmp_node *node;
    double number;
    int r;

    switch (row->type) {
    case JMP_BOOL:
        if (parse_bool(text, field(row, object)) < 0)
            return set_wrong(row, &said, reterr);
        return 0;

    case JMP_UINT:
    case JMP_NUMBER:
        r = row->type == JMP_UINT ? parse_whole(text, &number) : parse_number(text, &number);
        if (r < 0 || !is_in_range(row, number))
            return set_wrong(row, &said, reterr);
        store_number(row, object, number);
        return 0;

    case JMP_STRING:
        if (!is_word(row, text))
            return set_wrong(row, &said, reterr);
        *(const char **)field(row, object) = text;
        return 0;

    case JMP_NODE:
        r = jmp_json_parse(text, strlen(text), tree, &node, NULL);
        if (r == -EINVAL) {
            item = jmp_node_new(tree, JMP_NODE_STRING);
            if (!item)
                return -ENOMEM;
            item->string = text;
            node = item;
        } else if (r < 0) {
            return jmp_error_set(reterr, r, "%m");
        }
        *(const struct jmp_node **)field(row, object) = node;
        return 0;

    case JMP_STRINGS:
        if (!is_word(row, text))
            return set_wrong(row, &said, reterr);
        list = field(row, object);
        if (!*list)
            *list = jmp_node_new(tree, JMP_NODE_LIST);
        item = jmp_node_new(tree, JMP_NODE_STRING);
        if (!*list || !item)
            return -ENOMEM;
        item->string = text;
        jmp_node_append(*list, item);
        return 0;
    }
    return -EINVAL;
}

/* One value of the stock tools' laxer kind: "yes", "30", 1 for true. */
static bool converted(const struct jmp_option *row, void *object, const struct jmp_node *node)
{
    const char *text = node->kind == JMP_NODE_STRING ? node->string : NULL;
    double number;

    if (row->type == JMP_BOOL) {
        if (text)
            return parse_bool(text, field(row, object)) == 0;
        if (node->kind == JMP_NODE_NUMBER && (node->number == 0 || node->number == 1)) {
            *(bool *)field(row, object) = node->number == 1;
            return true;
        }
        return false;
    }

    if (row->type != JMP_UINT && row->type != JMP_NUMBER)
        return false;
    if (text) {
        if (parse_number(text, &number) < 0)
            return false;
    } else if (node->kind == JMP_NODE_BOOL) {
        number = node->boolean;
    } else {
        return false;
    }
    if (!is_in_range(row, number))
        return false;
    store_number(row, object, number);
    return true;
}

static int read_value(const struct jmp_option *row, void *object, const struct jmp_node *node, struct jmp_error *reterr)
{
    const char *text;

    if (row->convert && converted(row, object, node))
        return 0;

    switch (row->type) {
    case JMP_BOOL:
        if (node->kind != JMP_NODE_BOOL)
            break;
        *(bool *)field(row, object) = node->boolean;
        return 0;

    case JMP_UINT:
    case JMP_NUMBER:
        if (node->kind != JMP_NODE_NUMBER || !isfinite(node->number) || !is_in_range(row, node->number))
            break;
        store_number(row, object, node->number);
        return 0;

    case JMP_STRING:
        text = jmp_node_string(node);
        if (!text && !row->convert && node->plain && node->kind != JMP_NODE_NULL)
            text = node->string;
        if (!text || !is_word(row, text))
            break;
        *(const char **)field(row, object) = text;
        return 0;

    case JMP_NODE:
        *(const struct jmp_node **)field(row, object) = node;
        return 0;

    case JMP_STRINGS:
        if (node->kind != JMP_NODE_LIST)
            break;
        JMP_NODE_EACH(item, node) {
            const char *string = jmp_node_string(item);

            if (!string || !is_word(row, string)) {
                struct jmp_option one = *row;

                one.type = JMP_STRING;
                set_wrong(&one, item, reterr);
                jmp_error_at(reterr, NULL, item->line, item->column, NULL);
                return -EINVAL;
            }
        }
        *(const struct jmp_node **)field(row, object) = node;
        return 0;
    }

    return set_wrong(row, node, reterr);
}

/* Where a problem is, for one of them after the other. */
struct place {
    const char *file, *path;
    struct jmp_problems *problems;
    bool failed;
};

/* @node: for its position; @at_key: that of its key */
static int add(struct place *place, struct jmp_error *error, const struct jmp_node *node, bool at_key, const char *key)
{
    unsigned line = node ? at_key ? node->key_line : node->line : 0;
    unsigned column = node ? at_key ? node->key_column : node->column : 0;
    char path[sizeof(error->path)];
    bool dot = place->path && place->path[0] && key;

    snprintf(path, sizeof(path), "%s%s%s", place->path ? place->path : "", dot ? "." : "", key ? key : "");
    if (error->line > 0)
        jmp_error_at(error, place->file, 0, 0, path);
    else
        jmp_error_at(error, place->file, line, column, path);

    place->failed = true;
    return place->problems ? jmp_problems_add(place->problems, false, error) : 0;
}

static void hint_for_value(const struct jmp_option *row, const struct jmp_node *node, struct jmp_error *error)
{
    const char *text = jmp_node_string(node), *near = NULL;

    if (row->words && text && !row->secret)
        near = jmp_nearest(text, row->words);

    if (near)
        jmp_error_hint(error, "did you mean \"%s\"?", near);
    else if (row->type == JMP_STRING && row->convert && (node->kind == JMP_NODE_NUMBER || node->kind == JMP_NODE_BOOL))
        jmp_error_hint(error, "put it in quotes to make it a string");
    else if (row->help)
        jmp_error_hint(error, "%s: %s", row->key, row->help);
}

/* Distance between two words: letters changed, added, left out, or two swapped; case does not count. */
static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][NEAREST_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    size_t m = strlen(a), n = strlen(b);

    for (size_t j = 0; j <= n; j++)
        last[j] = (unsigned)j;

    for (size_t i = 1; i <= m; i++) {
        int x = tolower((unsigned char)a[i - 1]), x1 = i > 1 ? tolower((unsigned char)a[i - 2]) : 0;
        unsigned *spare;

        now[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            int y = tolower((unsigned char)b[j - 1]), y1 = j > 1 ? tolower((unsigned char)b[j - 2]) : 0;
            unsigned best = last[j - 1] + (x != y);

            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && x == y1 && x1 == y && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }

        spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[n];
}

/* Keeps the better of *best and @word; *limit starts as the largest distance that still counts as alike. */
static void compare(const char *wrong, const char *word, const char **best, unsigned *limit)
{
    unsigned d;

    if (strlen(word) > NEAREST_MAX)
        return;
    d = distance(wrong, word);
    if (d < *limit || (d == *limit && !*best)) {
        *best = word;
        *limit = d;
    }
}

/* A third of the letters may be wrong, of short words one. */
static unsigned likeness(const char *wrong)
{
    size_t length = strnlen(wrong, NEAREST_MAX + 1);

    if (length == 0 || length > NEAREST_MAX)
        return 0;
    return length < 6 ? 1 + (length > 3) : (unsigned)length / 3;
}

const char *jmp_nearest(const char *wrong, const char *const *words)
{
    unsigned limit = likeness(wrong);
    const char *best = NULL;

    for (; limit > 0 && *words; words++)
        compare(wrong, *words, &best, &limit);
    return best;
}

static void hint_for_key(const struct jmp_option *rows, size_t row_size, const char *key, struct jmp_error *error)
{
    unsigned limit = likeness(key);
    struct jmp_option row;
    const char *best = NULL;
    char known[sizeof(error->hint)] = "";
    size_t used = 0;

    for (size_t i = 0; limit > 0 && jmp_option_row(rows, row_size, i, &row); i++)
        compare(key, row.key, &best, &limit);
    if (best) {
        jmp_error_hint(error, "did you mean \"%s\"?", best);
        return;
    }

    for (size_t i = 0; jmp_option_row(rows, row_size, i, &row); i++) {
        size_t length = strlen(row.key);

        if (used + length + 24 > sizeof(known)) {
            memcpy(known + used, ", ...", 6);
            break;
        }
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "", row.key);
    }
    if (known[0])
        jmp_error_hint(error, "known keys: %s", known);
    else
        jmp_error_hint(error, "nothing can be set here");
}

static int apply_presets(const struct jmp_option *rows, size_t row_size, void *object)
{
    struct jmp_option row;

    for (size_t i = 0; jmp_option_row(rows, row_size, i, &row); i++) {
        int r;

        if (!row.preset || row.type == JMP_NODE || row.type == JMP_STRINGS)
            continue;
        r = jmp_option_set(&row, object, row.preset, NULL, NULL);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_member(const struct jmp_option *row, void *object, const struct jmp_node *node, struct place *place)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    r = read_value(row, object, node, &error);
    if (r == -ENOMEM)
        return r;
    if (r == 0)
        return 0;

    hint_for_value(row, node, &error);
    return add(place, &error, node, false, row->key);
}

int jmp_options_read(const struct jmp_option *rows, size_t row_size, void *object, const struct jmp_node *map,
                     const char *file, const char *path, struct jmp_problems *problems)
{
    struct place place = { .file = file, .path = path, .problems = problems };
    _cleanup_free_ bool *seen = NULL;
    struct jmp_error error;
    struct jmp_option row;
    size_t count = 0;
    int r;

    r = apply_presets(rows, row_size, object);
    if (r < 0)
        return r;

    if (!jmp_node_is_null(map) && map->kind != JMP_NODE_MAP) {
        jmp_error_set(&error, -EINVAL, "expected a map, found %s", jmp_node_kind_name(map));
        r = add(&place, &error, map, false, NULL);
        return r < 0 ? r : -EINVAL;
    }

    while (jmp_option_row(rows, row_size, count, &row))
        count++;
    seen = calloc(count + 1, sizeof(*seen));
    if (!seen)
        return -ENOMEM;

    JMP_NODE_EACH(node, map) {
        size_t i = 0;

        while (jmp_option_row(rows, row_size, i, &row) && strcmp(row.key, node->key) != 0)
            i++;

        if (i == count) {
            jmp_error_set(&error, -EINVAL, "unknown key");
            if (!problems || problems->errors + problems->warnings < HINTS_MAX)
                hint_for_key(rows, row_size, node->key, &error);
            r = add(&place, &error, node, true, node->key);
        } else if (seen[i]) {
            jmp_error_set(&error, -EINVAL, "given twice");
            r = add(&place, &error, node, true, node->key);
        } else if (row.nullable && node->kind == JMP_NODE_NULL) {
            continue;
        } else {
            seen[i] = true;
            r = read_member(&row, object, node, &place);
        }
        if (r < 0)
            return r;
    }

    for (size_t i = 0; jmp_option_row(rows, row_size, i, &row); i++) {
        if (!row.required || seen[i])
            continue;
        jmp_error_set(&error, -EINVAL, "required, but missing");
        if (row.help)
            jmp_error_hint(&error, "%s: %s", row.key, row.help);
        r = add(&place, &error, map, false, row.key);
        if (r < 0)
            return r;
    }

    return place.failed ? -EINVAL : 0;
}
