/* SPDX-License-Identifier: Apache-2.0 */
/* What jmpctl prints: one document of nodes as JSON or YAML, or a table, names or paths. */
#pragma once

#include <time.h>

#include "base/error.h"
#include "base/writer.h"
#include "client/controller_client.h"
#include "client/dump.h"

enum jmp_output { JMP_OUTPUT_TABLE, JMP_OUTPUT_JSON, JMP_OUTPUT_YAML, JMP_OUTPUT_NAME, JMP_OUTPUT_PATH };
extern const char *const jmp_output_words[];        /* for option rows */
enum jmp_output jmp_output_parse(const char *word);   /* NULL: a table */

#define JMP_OUTPUT_OPTION(s)                                                                                           \
    {                                                                                                                  \
        JMP_FIELD(s, output), .letter = 'o', .value_name = "FORMAT", .words = jmp_output_words, .preset = "table",     \
                              .help = "how to print"                                                                   \
    }

/* A list comes in pages; how large is between the controller and whoever pays for the connection. */
#define JMP_PAGE_SIZE_OPTION(s)                                                                                        \
    {                                                                                                                  \
        JMP_FIELD(s, page_size), .value_name = "NUMBER", .min = 1, .max = 1000, .preset = "100",                       \
                                 .help = "how many are asked for at once; all are shown"                               \
    }

/** jmp_output_document() - as JSON or YAML */
int jmp_output_document(FILE *stream, enum jmp_output output, const struct jmp_node *node, struct jmp_error *reterr);

/** jmp_output_lines() - text from outside, line by line, without what could steer a terminal. Return: 0, -ENOMEM. */
int jmp_output_lines(FILE *stream, const char *text, struct jmp_error *reterr);

/*
 * A table: a head, then rows; columns as wide as their widest cell, two blanks between. Cells are copied, and shown
 * without what could steer a terminal.
 */
struct jmp_table;

int jmp_table_new(const char *const *heads, struct jmp_table **ret);
struct jmp_table *jmp_table_free(struct jmp_table *table);
JMP_DEFINE_CLEANUP(struct jmp_table *, jmp_table_free)
/** jmp_table_cell() - the next cell, row by row; keeps its first error for jmp_table_print() */
void jmp_table_cell(struct jmp_table *table, const char *text);
/** jmp_table_is_empty() - no rows but the head */
bool jmp_table_is_empty(const struct jmp_table *table);
/** jmp_table_print() - "No resources found." when there are no rows. Return: 0, -ENOMEM. */
int jmp_table_print(FILE *stream, const struct jmp_table *table);

/** jmp_output_date() - "2026-11-21 04:30:00", local time; "" for JMP_TIME_NONE */
void jmp_output_date(int64_t time, char *ret, size_t size);
/** jmp_output_remaining() - "1d 2h 3m", "expired", "" for JMP_TIME_NONE */
void jmp_output_remaining(int64_t end, int64_t now, char *ret, size_t size);

/*
 * Exporters and leases, with the keys and columns of the stock client.
 */
int jmp_print_leases(FILE *stream, enum jmp_output output, const struct jmp_leases *leases, int64_t now,
                     struct jmp_error *reterr);
int jmp_print_lease(FILE *stream, enum jmp_output output, const struct jmp_lease *lease, int64_t now,
                    struct jmp_error *reterr);
/** jmp_print_exporters() - @leases: all that are active, to find those of the exporters; NULL without view->leases */
int jmp_print_exporters(FILE *stream, enum jmp_output output, const struct jmp_exporters *exporters,
                        const struct jmp_leases *leases, const struct jmp_exporter_view *view,
                        struct jmp_error *reterr);
