/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/output.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "config/yaml.h"

#define COLUMNS_MAX 16u

const char *const jmp_output_words[] = { "table", "json", "yaml", "name", "path", NULL };

enum jmp_output jmp_output_parse(const char *word)
{
    for (unsigned i = 0; word && jmp_output_words[i]; i++) {
        if (strcmp(jmp_output_words[i], word) == 0)
            return (enum jmp_output)i;
    }
    return JMP_OUTPUT_TABLE;
}

int jmp_output_document(FILE *stream, enum jmp_output output, const struct jmp_node *node, struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    int r;

    r = output == JMP_OUTPUT_YAML ? jmp_yaml_print(node, &text) : jmp_json_print(node, 4, &text);
    if (r < 0)
        return jmp_error_set(reterr, r, "the answer cannot be printed: %m");
    fputs(text, stream);
    if (!*text || text[strlen(text) - 1] != '\n')
        fputc('\n', stream);
    return 0;
}

int jmp_output_lines(FILE *stream, const char *text, struct jmp_error *reterr)
{
    do {
        size_t length = strcspn(text, "\n");
        _cleanup_free_ char *line = strndup(text, length);

        if (!line)
            return jmp_error_set(reterr, -ENOMEM, "%m");
        jmp_text_put(stream, line);
        fputc('\n', stream);
        text += length + (text[length] == '\n');
    } while (*text);
    return 0;
}

/*
 * Tables
 */

struct jmp_table {
    unsigned columns, widths[COLUMNS_MAX];
    char **cells;            /* the heads are the first row */
    size_t count, room;
    int error;
};

/* Columns on a terminal: characters, near enough; wide ones are rare in names and labels. */
static unsigned width_of(const char *text)
{
    unsigned width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

int jmp_table_new(const char *const *heads, struct jmp_table **ret)
{
    _cleanup_(jmp_table_freep) struct jmp_table *table = calloc(1, sizeof(*table));

    if (!table)
        return -ENOMEM;
    while (heads[table->columns] && table->columns < COLUMNS_MAX)
        table->columns++;
    for (unsigned i = 0; i < table->columns; i++)
        jmp_table_cell(table, heads[i]);
    if (table->error < 0)
        return table->error;
    *ret = TAKE_PTR(table);
    return 0;
}

struct jmp_table *jmp_table_free(struct jmp_table *table)
{
    if (!table)
        return NULL;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
    return NULL;
}

void jmp_table_cell(struct jmp_table *table, const char *text)
{
    _cleanup_free_ char *shown = NULL;
    size_t length = 0;
    unsigned column, width;
    FILE *stream;

    if (table->error < 0)
        return;
    if (table->count == table->room) {
        size_t room = table->room ? table->room * 2 : 64;
        char **cells = reallocarray(table->cells, room, sizeof(*cells));

        if (!cells) {
            table->error = -ENOMEM;
            return;
        }
        table->cells = cells;
        table->room = room;
    }
    stream = open_memstream(&shown, &length);
    if (stream)
        jmp_text_put(stream, text);
    if (!stream || fclose(stream) != 0 || !shown) {
        table->error = -ENOMEM;
        return;
    }
    column = (unsigned)(table->count % table->columns);
    width = width_of(shown);
    if (width > table->widths[column])
        table->widths[column] = width;
    table->cells[table->count++] = TAKE_PTR(shown);
}

bool jmp_table_is_empty(const struct jmp_table *table) { return table->count <= table->columns; }

int jmp_table_print(FILE *stream, const struct jmp_table *table)
{
    if (table->error < 0)
        return table->error;
    if (jmp_table_is_empty(table)) {
        fputs("No resources found.\n", stream);
        return 0;
    }
    for (size_t i = 0; i < table->count; i += table->columns) {
        unsigned last = table->columns;

        /* No blanks at the end of a line. */
        while (last > 0 && !*table->cells[i + last - 1])
            last--;
        for (unsigned column = 0; column < last; column++) {
            const char *cell = table->cells[i + column];

            fputs(cell, stream);
            if (column + 1 < last)
                fprintf(stream, "%*s", (int)(table->widths[column] - width_of(cell) + 2), "");
        }
        fputc('\n', stream);
    }
    return 0;
}

/*
 * Times
 */

static bool local(int64_t time, struct tm *ret)
{
    time_t seconds = (time_t)(time / 1000000);

    return time != JMP_TIME_NONE && localtime_r(&seconds, ret);
}

void jmp_output_date(int64_t time, char *ret, size_t size)
{
    struct tm tm;

    *ret = '\0';
    if (local(time, &tm))
        strftime(ret, size, "%Y-%m-%d %H:%M:%S", &tm);
}

void jmp_output_remaining(int64_t end, int64_t now, char *ret, size_t size)
{
    long long minutes, days, hours;
    size_t used = 0;

    *ret = '\0';
    if (end == JMP_TIME_NONE)
        return;
    if (end <= now) {
        snprintf(ret, size, "expired");
        return;
    }
    minutes = (long long)((end - now) / 60000000);
    days = minutes / (24 * 60);
    hours = minutes / 60 % 24;
    minutes %= 60;
    if (days)
        used += (size_t)snprintf(ret, size, "%lldd", days);
    if (hours && used < size)
        used += (size_t)snprintf(ret + used, size - used, "%s%lldh", used ? " " : "", hours);
    if ((minutes || !used) && used < size)
        snprintf(ret + used, size - used, "%s%lldm", used ? " " : "", minutes);
}

/*
 * Objects
 */

static int print_written(FILE *stream, enum jmp_output output, struct jmp_writer *writer, struct jmp_error *reterr)
{
    const struct jmp_node *node;
    int r;

    r = jmp_writer_finish(writer, &node);
    if (r < 0)
        return jmp_error_set(reterr, r, "the answer cannot be printed: %m");
    return jmp_output_document(stream, output, node, reterr);
}

static int lease_rows(struct jmp_table *table, const struct jmp_lease *lease, int64_t now)
{
    _cleanup_free_ char *tags = NULL;
    int64_t end = jmp_lease_expiry(lease);
    char date[32], remaining[64];
    int r;

    r = jmp_pairs_join(&lease->tags, &tags);
    if (r < 0)
        return r;
    jmp_output_date(end, date, sizeof(date));
    jmp_output_remaining(end, now, remaining, sizeof(remaining));
    jmp_table_cell(table, lease->name);
    jmp_table_cell(table, lease->selector);
    jmp_table_cell(table, date);
    jmp_table_cell(table, remaining);
    jmp_table_cell(table, lease->client);
    jmp_table_cell(table, lease->exporter);
    jmp_table_cell(table, tags);
    return 0;
}

static int print_lease_table(FILE *stream, const struct jmp_leases *leases, int64_t now, struct jmp_error *reterr)
{
    static const char *const heads[] = { "NAME",   "SELECTOR", "EXPIRES AT", "REMAINING",
                                         "CLIENT", "EXPORTER", "TAGS",       NULL };
    _cleanup_(jmp_table_freep) struct jmp_table *table = NULL;
    int r;

    r = jmp_table_new(heads, &table);
    for (size_t i = 0; i < leases->count && r >= 0; i++)
        r = lease_rows(table, &leases->items[i], now);
    if (r >= 0)
        r = jmp_table_print(stream, table);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
}

static void print_path(FILE *stream, const char *space, const char *kind, const char *name)
{
    fprintf(stream, "namespaces/%s/%s/", space, kind);
    jmp_text_put(stream, name);
    fputc('\n', stream);
}

static void print_name(FILE *stream, const char *name)
{
    jmp_text_put(stream, name);
    fputc('\n', stream);
}

static int new_writer(struct jmp_tree **rettree, struct jmp_writer **ret, struct jmp_error *reterr)
{
    int r;

    r = jmp_tree_new(0, rettree);
    if (r >= 0)
        r = jmp_writer_new(*rettree, ret);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
}

int jmp_print_leases(FILE *stream, enum jmp_output output, const struct jmp_leases *leases, int64_t now,
                     struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    int r;

    if (output == JMP_OUTPUT_TABLE)
        return print_lease_table(stream, leases, now, reterr);
    if (output == JMP_OUTPUT_NAME || output == JMP_OUTPUT_PATH) {
        for (size_t i = 0; i < leases->count; i++) {
            if (output == JMP_OUTPUT_NAME)
                print_name(stream, leases->items[i].name);
            else
                print_path(stream, leases->items[i].namespace_, "leases", leases->items[i].name);
        }
        return 0;
    }
    r = new_writer(&tree, &writer, reterr);
    if (r < 0)
        return r;
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "leases");
    jmp_writer_begin_list(writer);
    for (size_t i = 0; i < leases->count; i++)
        jmp_write_lease(writer, &leases->items[i]);
    jmp_writer_end_list(writer);
    jmp_writer_end_map(writer);
    return print_written(stream, output, writer, reterr);
}

int jmp_print_lease(FILE *stream, enum jmp_output output, const struct jmp_lease *lease, int64_t now,
                    struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    int r;

    if (output != JMP_OUTPUT_JSON && output != JMP_OUTPUT_YAML)
        return jmp_print_leases(stream, output, &(const struct jmp_leases){ (struct jmp_lease *)lease, 1, "" }, now,
                                reterr);
    r = new_writer(&tree, &writer, reterr);
    if (r < 0)
        return r;
    jmp_write_lease(writer, lease);
    return print_written(stream, output, writer, reterr);
}

static const struct jmp_lease *lease_of(const struct jmp_leases *leases, const char *exporter)
{
    for (size_t i = 0; leases && i < leases->count; i++) {
        const struct jmp_lease *lease = &leases->items[i];
        const struct jmp_condition *last = lease->n_conditions ? &lease->conditions[lease->n_conditions - 1] : NULL;

        if (strcmp(lease->exporter, exporter) == 0 && lease->effective_begin != JMP_TIME_NONE && last &&
            strcmp(last->type, "Ready") == 0 && strcmp(last->status, "True") == 0)
            return lease;
    }
    return NULL;
}

static int exporter_row(struct jmp_table *table, const struct jmp_exporter *exporter, const struct jmp_lease *lease,
                        const struct jmp_exporter_view *view)
{
    _cleanup_free_ char *labels = NULL;
    char date[32] = "";
    int r;

    r = jmp_pairs_join(&exporter->labels, &labels);
    if (r < 0)
        return r;
    jmp_table_cell(table, exporter->name);
    if (view->disabled)
        jmp_table_cell(table, exporter->enabled ? "yes" : "no");
    if (view->online)
        jmp_table_cell(table, exporter->online ? "yes" : "no");
    if (view->status)
        jmp_table_cell(table, jmp_exporter_status_name(exporter->status));
    jmp_table_cell(table, labels);
    if (view->leases) {
        jmp_output_date(lease ? jmp_lease_expiry(lease) : JMP_TIME_NONE, date, sizeof(date));
        jmp_table_cell(table, lease ? lease->client : "");
        jmp_table_cell(table, lease ? jmp_lease_state(lease) : "Available");
        jmp_table_cell(table, date);
    }
    return 0;
}

static int print_exporter_table(FILE *stream, const struct jmp_exporters *exporters, const struct jmp_leases *leases,
                                const struct jmp_exporter_view *view, struct jmp_error *reterr)
{
    _cleanup_(jmp_table_freep) struct jmp_table *table = NULL;
    const char *heads[COLUMNS_MAX] = { "NAME" };
    unsigned n = 1;
    int r;

    if (view->disabled)
        heads[n++] = "ENABLED";
    if (view->online)
        heads[n++] = "ONLINE";
    if (view->status)
        heads[n++] = "STATUS";
    heads[n++] = "LABELS";
    if (view->leases) {
        heads[n++] = "LEASED BY";
        heads[n++] = "LEASE STATUS";
        heads[n++] = "RELEASE TIME";
    }
    r = jmp_table_new(heads, &table);
    for (size_t i = 0; i < exporters->count && r >= 0; i++)
        r = exporter_row(table, &exporters->items[i], lease_of(leases, exporters->items[i].name), view);
    if (r >= 0)
        r = jmp_table_print(stream, table);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
}

int jmp_print_exporters(FILE *stream, enum jmp_output output, const struct jmp_exporters *exporters,
                        const struct jmp_leases *leases, const struct jmp_exporter_view *view, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    int r;

    if (output == JMP_OUTPUT_TABLE)
        return print_exporter_table(stream, exporters, leases, view, reterr);
    if (output == JMP_OUTPUT_NAME || output == JMP_OUTPUT_PATH) {
        for (size_t i = 0; i < exporters->count; i++) {
            if (output == JMP_OUTPUT_NAME)
                print_name(stream, exporters->items[i].name);
            else
                print_path(stream, exporters->items[i].namespace_, "exporters", exporters->items[i].name);
        }
        return 0;
    }
    r = new_writer(&tree, &writer, reterr);
    if (r < 0)
        return r;
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "exporters");
    jmp_writer_begin_list(writer);
    for (size_t i = 0; i < exporters->count; i++)
        jmp_write_exporter(writer, &exporters->items[i], lease_of(leases, exporters->items[i].name), view);
    jmp_writer_end_list(writer);
    jmp_writer_end_map(writer);
    return print_written(stream, output, writer, reterr);
}
