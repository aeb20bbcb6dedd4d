/* SPDX-License-Identifier: Apache-2.0 */
/* Options on a command line, and their help. */
#include <string.h>

#include "base/option.h"

#define HELP_WIDTH 100u
#define HELP_COLUMN_MAX 32u   /* longer options get a line of their own */
#define NAMES_MAX 64u

struct words {
    const struct jmp_option *rows;
    void *object;
    char **argv;
    struct jmp_tree *tree;
    struct jmp_error *reterr;
    bool *given;              /* by row */
};

static bool is_like(char a, char b)
{
    return a == b || (a == '-' && b == '_') || (a == '_' && b == '-');
}

/* Whether @word, up to its "=", is @key in the spelling of command lines. */
static bool is_key(const char *word, const char *key)
{
    while (*key && is_like(*word, *key)) {
        word++;
        key++;
    }
    return !*key && (!*word || *word == '=');
}

static const struct jmp_option *find_long(const struct jmp_option *rows, const char *word)
{
    for (; rows->key; rows++) {
        if (is_key(word, rows->key))
            return rows;
    }
    return NULL;
}

static const struct jmp_option *find_letter(const struct jmp_option *rows, char letter)
{
    for (; rows->key; rows++) {
        if (rows->letter && rows->letter == letter)
            return rows;
    }
    return NULL;
}

/* "--some-key", for messages and help. */
static void spell(const char *key, char *ret, size_t size)
{
    snprintf(ret, size, "--%s", key);
    for (char *c = ret; *c; c++) {
        if (*c == '_')
            *c = '-';
    }
}

static int set(struct words *words, const struct jmp_option *row, const char *value)
{
    char name[64];
    int r;

    r = jmp_option_set(row, words->object, value, words->tree, words->reterr);
    if (r < 0) {
        const char *near = row->words && !row->secret ? jmp_nearest(value, row->words) : NULL;

        spell(row->key, name, sizeof(name));
        if (words->reterr && words->reterr->error == 0)
            jmp_error_set(words->reterr, r, "%m");
        jmp_error_prefix(words->reterr, "%s", name);
        if (near)
            jmp_error_hint(words->reterr, "did you mean \"%s\"?", near);
        return r;
    }

    words->given[row - words->rows] = true;
    return 0;
}

static int unknown(struct words *words, const char *word)
{
    const char *near, *names[NAMES_MAX + 1] = { 0 };
    char name[64], spelled[64];
    size_t n = 0;

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
    for (const struct jmp_option *row = words->rows; row->key && n < NAMES_MAX; row++)
        names[n++] = row->key;

    jmp_error_set(words->reterr, -EINVAL, "unknown option --%s", name);
    near = jmp_nearest(name, names);
    if (near) {
        spell(near, spelled, sizeof(spelled));
        jmp_error_hint(words->reterr, "did you mean %s?", spelled);
    } else {
        jmp_error_hint(words->reterr, "--help shows them all");
    }
    return -EINVAL;
}

/* One long option at @i; returns how many words it took. */
static int parse_long(struct words *words, unsigned i)
{
    const char *word = words->argv[i] + 2;
    const char *value = strchr(word, '=');
    const struct jmp_option *row = find_long(words->rows, word);
    char name[64];
    int r;

    if (!row) {
        const struct jmp_option *off = strncmp(word, "no-", 3) == 0 ? find_long(words->rows, word + 3) : NULL;

        if (!off || off->type != JMP_BOOL || value)
            return unknown(words, word);
        r = set(words, off, "false");
        return r < 0 ? r : 1;
    }

    if (value || row->type == JMP_BOOL) {
        r = set(words, row, value ? value + 1 : "true");
        return r < 0 ? r : 1;
    }
    if (!words->argv[i + 1]) {
        spell(row->key, name, sizeof(name));
        return jmp_error_set(words->reterr, -EINVAL, "%s needs a value", name);
    }
    r = set(words, row, words->argv[i + 1]);
    return r < 0 ? r : 2;
}

/* Letters at @i: -v, -vq (flags), -lVALUE, -l VALUE; returns how many words they took. */
static int parse_letters(struct words *words, unsigned i)
{
    for (const char *c = words->argv[i] + 1; *c; c++) {
        const struct jmp_option *row = find_letter(words->rows, *c);
        int r;

        if (!row) {
            jmp_error_set(words->reterr, -EINVAL, "unknown option -%c", *c);
            jmp_error_hint(words->reterr, "--help shows them all");
            return -EINVAL;
        }
        if (row->type == JMP_BOOL) {
            r = set(words, row, "true");
            if (r < 0)
                return r;
            continue;
        }
        if (c[1]) {
            r = set(words, row, c + 1);
            return r < 0 ? r : 1;
        }
        if (!words->argv[i + 1])
            return jmp_error_set(words->reterr, -EINVAL, "-%c needs a value", *c);
        r = set(words, row, words->argv[i + 1]);
        return r < 0 ? r : 2;
    }
    return 1;
}

static int check_required(struct words *words)
{
    char name[64];

    for (const struct jmp_option *row = words->rows; row->key; row++) {
        if (!row->required || words->given[row - words->rows])
            continue;
        spell(row->key, name, sizeof(name));
        jmp_error_set(words->reterr, -EINVAL, "%s is missing", name);
        if (row->help)
            jmp_error_hint(words->reterr, "%s: %s", name, row->help);
        return -EINVAL;
    }
    return 0;
}

int jmp_options_parse(const struct jmp_option *rows, void *object, char **argv, bool permute,
                      struct jmp_tree *tree, unsigned *retrest, struct jmp_error *reterr)
{
    _cleanup_free_ bool *given = NULL;
    _cleanup_free_ char **sorted = NULL;
    struct words words = { .rows = rows, .object = object, .argv = argv, .tree = tree, .reterr = reterr };
    unsigned argc = 0, count = 0, i = 0, options = 0, others = 0;
    int r;

    while (argv[argc])
        argc++;
    while (rows[count].key)
        count++;

    /* Options are gathered at the front, words behind; argv is only changed once all went well. */
    given = words.given = calloc(count + 1, sizeof(*given));
    sorted = calloc(2 * (size_t)argc + 1, sizeof(*sorted));
    if (!given || !sorted)
        return jmp_error_set(reterr, -ENOMEM, "%m");

    for (const struct jmp_option *row = rows; row->key; row++) {
        if (!row->preset)
            continue;
        r = jmp_option_set(row, object, row->preset, tree, reterr);
        if (r < 0)
            return r;
    }

    while (i < argc) {
        char *word = argv[i];

        if (word[0] != '-' || word[1] == 0) {
            if (!permute)
                break;
            sorted[argc + others++] = word;
            i++;
            continue;
        }
        if (word[1] == '-' && word[2] == 0) {
            sorted[options++] = word;
            i++;
            break;
        }

        r = word[1] == '-' ? parse_long(&words, i) : parse_letters(&words, i);
        if (r < 0)
            return r;
        for (; r > 0; r--)
            sorted[options++] = argv[i++];
    }

    r = check_required(&words);
    if (r < 0)
        return r;

    /* What stands from i on is in its place already. */
    memcpy(argv, sorted, options * sizeof(*argv));
    memcpy(argv + options, sorted + argc, others * sizeof(*argv));
    *retrest = options;
    return 0;
}

static void put_value_name(FILE *stream, const struct jmp_option *row)
{
    size_t length = 0;

    if (row->value_name) {
        fputs(row->value_name, stream);
        return;
    }

    if (row->words) {
        for (const char *const *word = row->words; *word; word++)
            length += strlen(*word) + 1;
        if (length <= 24) {
            for (const char *const *word = row->words; *word; word++)
                fprintf(stream, "%s%s", word == row->words ? "" : "|", *word);
            return;
        }
    }

    switch (row->type) {
    case JMP_BOOL:
        return;
    case JMP_UINT:
    case JMP_NUMBER:
        fputs("NUMBER", stream);
        return;
    case JMP_STRING:
    case JMP_STRINGS:
        fputs("TEXT", stream);
        return;
    case JMP_NODE:
        fputs("JSON", stream);
        return;
    }
}

/* The left column: "-l, --selector LABELS". */
static int format_names(const struct jmp_option *row, char *ret, size_t size)
{
    bool switchable = row->type == JMP_BOOL && row->preset && strcmp(row->preset, "true") == 0;
    char name[64];
    FILE *stream;

    stream = fmemopen(ret, size - 1, "w");
    if (!stream)
        return -ENOMEM;

    spell(row->key, name, sizeof(name));
    if (row->letter)
        fprintf(stream, "-%c, ", row->letter);
    else
        fputs("    ", stream);
    fprintf(stream, "--%s%s", switchable ? "[no-]" : "", name + 2);
    if (row->type != JMP_BOOL) {
        fputc(' ', stream);
        put_value_name(stream, row);
    }
    fclose(stream);
    return 0;
}

/* The right column: help, allowed words, default. */
static int format_words(const struct jmp_option *row, char **ret)
{
    _cleanup_free_ char *text = NULL;
    size_t length = 0;
    FILE *stream;
    int failed;

    stream = open_memstream(&text, &length);
    if (!stream)
        return -ENOMEM;

    fputs(row->help ? row->help : "", stream);
    if (row->words && row->value_name) {
        fputs(row->help ? ": " : "", stream);
        for (const char *const *word = row->words; *word; word++)
            fprintf(stream, "%s%s", word == row->words ? "" : word[1] ? ", " : " or ", *word);
    }
    if (row->type == JMP_STRINGS)
        fputs(" (may be repeated)", stream);
    if (row->required)
        fputs(" (required)", stream);
    else if (row->preset && row->preset[0] && row->type != JMP_BOOL && !row->secret)
        fprintf(stream, " (default: %s)", row->preset);

    failed = ferror(stream);
    if (fclose(stream) != 0 || failed)
        return -ENOMEM;

    *ret = TAKE_PTR(text);
    return 0;
}

static void put_wrapped(FILE *stream, const char *text, unsigned column, unsigned width)
{
    unsigned at = column;

    while (*text) {
        size_t word = strcspn(text, " ");

        if (at > column && at + 1 + word > width) {
            fprintf(stream, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            fputc(' ', stream);
            at++;
        }
        fprintf(stream, "%.*s", (int)word, text);
        at += (unsigned)word;
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', stream);
}

void jmp_options_help(FILE *stream, const struct jmp_option *rows, unsigned width)
{
    unsigned column = 0;
    char names[160];

    if (width == 0)
        width = HELP_WIDTH;

    for (const struct jmp_option *row = rows; row->key; row++) {
        memset(names, 0, sizeof(names));
        if (format_names(row, names, sizeof(names)) < 0)
            return;
        if (strlen(names) + 4 <= HELP_COLUMN_MAX && strlen(names) + 4 > column)
            column = (unsigned)strlen(names) + 4;
    }
    if (column < 16)
        column = 16;

    for (const struct jmp_option *row = rows; row->key; row++) {
        _cleanup_free_ char *text = NULL;

        memset(names, 0, sizeof(names));
        if (format_names(row, names, sizeof(names)) < 0 || format_words(row, &text) < 0)
            return;

        if (!text[0]) {
            fprintf(stream, "  %s\n", names);
            continue;
        }
        if (strlen(names) + 4 > column)
            fprintf(stream, "  %s\n%*s", names, (int)column, "");
        else
            fprintf(stream, "  %-*s", (int)column - 2, names);
        put_wrapped(stream, text, column, width);
    }
}
