/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An error in words. The return value carries the negative errno; this carries what a person needs: what
 * happened, where, and what to do. Functions take "struct jmp_error *reterr" last, accept NULL and write it
 * on failure only.
 */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"

struct jmp_error {
    int error;              /* negative errno, 0 while unset */
    unsigned line, column;  /* position in a file, counted from 1; 0: none */
    char file[256];         /* the file, or "" */
    char path[256];         /* field path such as "export.power.config.line", or "" */
    char text[512];         /* one sentence without a full stop */
    char hint[256];         /* what to do about it, or "" */
};

#define JMP_ERROR_INIT ((struct jmp_error){ 0 })

/**
 * jmp_error_set() - describe a failure
 * @reterr:  written unless NULL
 * @error:   negative errno; %m in @fmt is its text
 * @fmt:     one sentence, printf style, cut at 511 bytes
 *
 * Return: @error, so that a caller can write "return jmp_error_set(...)".
 */
int jmp_error_set(struct jmp_error *reterr, int error, const char *fmt, ...) JMP_PRINTF(3, 4);

/** jmp_error_hint() - add what to do about it; nothing happens when @reterr is NULL or unset */
void jmp_error_hint(struct jmp_error *reterr, const char *fmt, ...) JMP_PRINTF(2, 3);

/** jmp_error_at() - add where it is; @file and @path may be NULL, @line 0: unknown */
void jmp_error_at(struct jmp_error *reterr, const char *file, unsigned line, unsigned column, const char *path);

/** jmp_error_prefix() - put words in front of the sentence: "PREFIX: TEXT" */
void jmp_error_prefix(struct jmp_error *reterr, const char *fmt, ...) JMP_PRINTF(2, 3);

/**
 * jmp_error_print() - "PROGRAM: FILE:LINE:COLUMN: PATH: TEXT", then "  hint: HINT", as far as known
 * @program:  NULL to leave it out
 */
void jmp_error_print(FILE *stream, const char *program, const struct jmp_error *error);

/*
 * A list of problems, for commands that name every one at once.
 */
struct jmp_problem {
    struct jmp_problem *next;
    bool warning;
    struct jmp_error error;
};

struct jmp_problems {
    struct jmp_problem *first, *last;
    unsigned errors, warnings;   /* after 1,000 problems only these are counted up */
};

/** jmp_problems_add() - append a copy; 0 or -ENOMEM. The counters are right even without memory. */
int jmp_problems_add(struct jmp_problems *problems, bool warning, const struct jmp_error *error);
/** jmp_problems_sort() - order those behind @after (NULL: all) by line and column; those without a place come last.
 * Without memory they stay as they are. */
void jmp_problems_sort(struct jmp_problems *problems, struct jmp_problem *after);
/** jmp_problems_clear() - free all entries */
void jmp_problems_clear(struct jmp_problems *problems);
