/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a document piece by piece: driver results, what jmpctl prints, golden files. Keeps its first error, so
 * that only jmp_writer_finish() has to be looked at.
 */
#pragma once

#include "base/node.h"

struct jmp_writer;

/**
 * jmp_writer_new() - a writer into @tree
 * @tree:  borrowed; owns all that is written
 * @ret:   free with jmp_writer_free()
 */
int jmp_writer_new(struct jmp_tree *tree, struct jmp_writer **ret);
struct jmp_writer *jmp_writer_free(struct jmp_writer *writer);
JMP_DEFINE_CLEANUP(struct jmp_writer *, jmp_writer_free)

/* Every value inside a map has a key before it, values of a list and the outermost value have none. */
void jmp_writer_key(struct jmp_writer *writer, const char *key);
void jmp_writer_null(struct jmp_writer *writer);
void jmp_writer_bool(struct jmp_writer *writer, bool value);
void jmp_writer_number(struct jmp_writer *writer, double value);      /* NaN and infinities become null */
void jmp_writer_integer(struct jmp_writer *writer, int64_t value);
void jmp_writer_string(struct jmp_writer *writer, const char *value); /* NULL becomes null; must be UTF-8 */
void jmp_writer_node(struct jmp_writer *writer, const struct jmp_node *value);
void jmp_writer_begin_map(struct jmp_writer *writer);
void jmp_writer_end_map(struct jmp_writer *writer);
void jmp_writer_begin_list(struct jmp_writer *writer);
void jmp_writer_end_list(struct jmp_writer *writer);

/**
 * jmp_writer_finish() - the document written so far; the writer is empty and usable again
 * @ret:  owned by the tree; a null node when nothing was written
 *
 * Return: 0, -ENOMEM, -EINVAL (unbalanced, a key missing or doubled, two outermost values), -EILSEQ (not UTF-8),
 * -E2BIG (nested deeper than JMP_NESTING_MAX).
 */
int jmp_writer_finish(struct jmp_writer *writer, const struct jmp_node **ret);
