/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row for one thing a person can set. The same rows read YAML maps, driver options and command lines, and
 * write help, manual pages and completion.
 */
#pragma once

#include "base/error.h"
#include "base/node.h"

enum jmp_type {
    JMP_BOOL,     /* bool */
    JMP_UINT,     /* unsigned */
    JMP_NUMBER,   /* double */
    JMP_STRING,   /* const char *, borrowed from the tree or argv */
    JMP_NODE,     /* const struct jmp_node *, anything; borrowed */
    JMP_STRINGS,  /* const struct jmp_node *, a list of strings; repeated on a command line (-l a -l b) */
};

struct jmp_option {
    const char *key;             /* as in YAML; a command line says --key with '_' as '-' */
    enum jmp_type type;
    size_t offset;               /* of the field in the object */
    const char *preset;          /* the default, as it would be written in YAML; NULL: zero */
    const char *const *words;    /* allowed strings, NULL-terminated; NULL: any */
    bool required;
    const char *help;            /* one line */
    bool secret;                 /* never printed, not even in an error */
    bool nullable;               /* YAML null is the same as absent (stock tools write explicit nulls) */
    char letter;                 /* short form on a command line, or 0 */
    const char *value_name;      /* "FILE", "SECONDS", ... in help */
    double min, max;             /* numbers; both 0: no limit but that of the type; max may be INFINITY */
    bool convert;                /* jmp_options_read() as the stock tools do: "yes" and 1 are true, "30" is 30, but an
                                  * unquoted 30 is no string */
};

/* .key, .offset and .type of a field whose option has the field's own name. */
#define JMP_FIELD(s, f) .key = #f, JMP_FIELD_AS(s, f)
/* The same when names differ: { .key = "default", JMP_FIELD_AS(struct x, preset), ... } */
#define JMP_FIELD_AS(s, f) .offset = offsetof(s, f), .type = _Generic(((s *)0)->f, bool: JMP_BOOL, \
    unsigned: JMP_UINT, double: JMP_NUMBER, const char *: JMP_STRING, const struct jmp_node *: JMP_NODE)

/**
 * jmp_options_read() - fill an object from a map
 * @rows:      ends with a row whose key is NULL
 * @row_size:  sizeof one row as its owner compiled it; 0: struct jmp_option of today
 * @object:    zeroed by the caller; presets are applied first. Strings stay borrowed from @map's tree.
 * @map:       NULL or null: only presets
 * @file:      for messages, may be NULL
 * @path:      field path of @map for messages, "" at the top
 * @problems:  every problem is appended: wrong kind, not one of the words, out of range, missing, unknown key
 *             (with the nearest known key as hint), key given twice
 *
 * Numbers and booleans follow YAML 1.1 as read by config/; a plain scalar such as 0123 or on may be asked for as
 * a string and is then its text as written. A whole number is wanted for JMP_UINT: 1.5 is an error, 3.0 is not.
 *
 * Return: 0, -EINVAL when at least one error was added, -ENOMEM.
 */
int jmp_options_read(const struct jmp_option *rows, size_t row_size, void *object, const struct jmp_node *map,
                     const char *file, const char *path, struct jmp_problems *problems);

/**
 * jmp_options_parse() - fill an object from a command line
 * @argv:    argv[0] is the first word to look at; NULL-terminated
 * @tree:    owns what has to be copied (lists)
 * @retrest: index of the first word that is not an option ("--" is skipped)
 * @permute: options may follow words; otherwise parsing stops at the first word
 *
 * --key VALUE, --key=VALUE, -k VALUE, -kVALUE; bools take no value (--no-key and --key=false switch off).
 * With @permute, words are moved to the end of @argv, in order.
 *
 * Return: 0, -EINVAL with words in @reterr, -ENOMEM.
 */
int jmp_options_parse(const struct jmp_option *rows, void *object, char **argv, bool permute,
                      struct jmp_tree *tree, unsigned *retrest, struct jmp_error *reterr);

/** jmp_options_help() - the option part of --help, wrapped at @width columns (0: 100) */
void jmp_options_help(FILE *stream, const struct jmp_option *rows, unsigned width);

/**
 * jmp_option_set() - fill one field from text, as on a command line or in a preset
 * @text:  borrowed by JMP_STRING
 * @tree:  owns lists and nodes; may be NULL for other types. JMP_NODE is read as JSON, and is a string if it is none.
 *
 * Return: 0, -EINVAL with words in @reterr, -ENOMEM.
 */
int jmp_option_set(const struct jmp_option *row, void *object, const char *text, struct jmp_tree *tree,
                   struct jmp_error *reterr);

/** jmp_option_put_kind() - what a row takes, for people: "true or false", "a whole number from 1 to 9" */
void jmp_option_put_kind(FILE *stream, const struct jmp_option *row);

/** jmp_option_row() - copy row @index into today's form; false behind the last one. @row_size as above. */
bool jmp_option_row(const struct jmp_option *rows, size_t row_size, size_t index, struct jmp_option *ret);

/** jmp_nearest() - the word of @words (NULL-terminated) most like @wrong, or NULL when none is close */
const char *jmp_nearest(const char *wrong, const char *const *words);
