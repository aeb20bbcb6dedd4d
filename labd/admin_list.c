/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a lab: columns for people, everything for programs. */
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/text.h"
#include "base/writer.h"
#include "config/yaml.h"
#include "labd/admin.h"

#define COLUMNS 7

struct list {
    const char *only;            /* this one, as an object of its own; NULL: all */
    const char *kind;            /* "client", "exporter", "lease" */
    bool names;                  /* nothing else */
    bool found;
    struct jmp_writer *writer;
    char *(*rows)[COLUMNS];
    size_t count, room;
    const char *const *heads;
};

static void list_clear(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        for (size_t j = 0; j < COLUMNS; j++)
            free(list->rows[i][j]);
    free(list->rows);
    jmp_writer_free(list->writer);
}

/* @values: COLUMNS of them, copied; NULL: nothing */
static int list_add(struct list *list, const char *const *values)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 16;
        void *rows = reallocarray(list->rows, room, sizeof(*list->rows));

        if (!rows)
            return -ENOMEM;
        list->rows = rows;
        list->room = room;
    }
    memset(list->rows[list->count], 0, sizeof(*list->rows));
    list->count++;
    for (size_t i = 0; i < COLUMNS; i++) {
        if (!list->heads[i])
            break;
        list->rows[list->count - 1][i] = strdup(values[i] ? values[i] : "");
        if (!list->rows[list->count - 1][i])
            return -ENOMEM;
    }

    return 0;
}

static void print_table(const struct list *list)
{
    size_t widths[COLUMNS] = { 0 };

    for (size_t i = 0; i < COLUMNS && list->heads[i]; i++) {
        widths[i] = strlen(list->heads[i]);
        for (size_t row = 0; row < list->count; row++)
            if (strlen(list->rows[row][i]) > widths[i])
                widths[i] = strlen(list->rows[row][i]);
    }
    for (size_t row = 0; row <= list->count; row++) {
        for (size_t i = 0; i < COLUMNS && list->heads[i]; i++) {
            const char *text = row ? list->rows[row - 1][i] : list->heads[i];
            bool last = i + 1 == COLUMNS || !list->heads[i + 1];

            jmp_text_put(stdout, text);
            if (!last)
                printf("%*s", (int)(widths[i] - strlen(text) + 2), "");
        }
        putchar('\n');
    }
}

static void put(struct jmp_writer *writer, const char *key, const char *value)
{
    jmp_writer_key(writer, key);
    jmp_writer_string(writer, value);
}

static void put_labels(struct jmp_writer *writer, const char *key, const struct jmp_labels *labels)
{
    jmp_writer_key(writer, key);
    jmp_writer_begin_map(writer);
    for (size_t i = 0; i < labels->count; i++)
        put(writer, labels->items[i].key, labels->items[i].value);
    jmp_writer_end_map(writer);
}

static char *time_text(int64_t time, char ret[32])
{
    time_t seconds = (time_t)(time / JMP_SECOND);
    struct tm tm;

    ret[0] = '\0';
    if (time && gmtime_r(&seconds, &tm))
        strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return ret;
}

static void put_time(struct jmp_writer *writer, const char *key, int64_t time)
{
    char text[32];

    put(writer, key, time ? time_text(time, text) : NULL);
}

static int labels_text(const struct jmp_labels *labels, char **ret)
{
    _cleanup_free_ char *text = NULL;
    size_t length;
    FILE *stream = open_memstream(&text, &length);

    if (!stream)
        return -ENOMEM;
    for (size_t i = 0; i < labels->count; i++)
        fprintf(stream, "%s%s=%s", i ? "," : "", labels->items[i].key, labels->items[i].value);
    if (fclose(stream) != 0)
        return -ENOMEM;
    *ret = TAKE_PTR(text);
    return 0;
}

/* Return: whether all of it is shown; else it was passed over, or its name was all. */
static bool is_shown(struct list *list, const char *name)
{
    if (list->only && strcmp(list->only, name) != 0)
        return false;
    list->found = true;
    if (list->names)
        printf("%s.jumpstarter.dev/%s\n", list->kind, name);
    return !list->names;
}

static int list_client(struct jmp_client *client, void *user)
{
    struct list *list = user;
    _cleanup_free_ char *labels = NULL;
    char created[32];
    int r;

    if (!is_shown(list, client->name))
        return 0;
    r = labels_text(&client->labels, &labels);
    if (r < 0)
        return r;
    jmp_writer_begin_map(list->writer);
    put(list->writer, "name", client->name);
    put_labels(list->writer, "labels", &client->labels);
    put_time(list->writer, "created", client->created);
    jmp_writer_end_map(list->writer);
    return list_add(list, (const char *const[]){ client->name, labels, time_text(client->created, created) });
}

static int list_exporter(struct jmp_exporter *exporter, void *user)
{
    struct list *list = user;
    _cleanup_free_ char *labels = NULL;
    const char *status = exporter->seen ? jmp_exporter_status_name(exporter->status) : "NeverSeen";
    char seen[32], devices[16];
    int r;

    if (!is_shown(list, exporter->name))
        return 0;
    r = labels_text(&exporter->labels, &labels);
    if (r < 0)
        return r;
    snprintf(devices, sizeof(devices), "%u", exporter->devices);
    jmp_writer_begin_map(list->writer);
    put(list->writer, "name", exporter->name);
    put_labels(list->writer, "labels", &exporter->labels);
    jmp_writer_key(list->writer, "enabled");
    jmp_writer_bool(list->writer, exporter->enabled);
    put(list->writer, "status", status);
    put(list->writer, "message", exporter->message);
    jmp_writer_key(list->writer, "devices");
    jmp_writer_integer(list->writer, exporter->devices);
    put_time(list->writer, "seen", exporter->seen);
    put_time(list->writer, "created", exporter->created);
    jmp_writer_end_map(list->writer);
    return list_add(list, (const char *const[]){ exporter->name, status, exporter->enabled ? "yes" : "no", devices,
                                                 time_text(exporter->seen, seen), labels });
}

static int list_lease(struct jmp_lease *lease, void *user)
{
    struct list *list = user;
    const struct jmp_condition *last = lease->condition_count ? &lease->conditions[lease->condition_count - 1] : NULL;
    const char *state = lease->release && !lease->ended ? "Releasing" : last ? last->reason : "Scheduled";
    int64_t expiry = lease->ended ? lease->finished : lease->began ? jmp_lease_expiry(lease) : 0;
    char until[32];

    if (!is_shown(list, lease->name))
        return 0;
    jmp_writer_begin_map(list->writer);
    put(list->writer, "name", lease->name);
    put(list->writer, "client", lease->client);
    put(list->writer, "exporter", lease->exporter);
    put(list->writer, "selector", lease->selector[0] ? lease->selector : NULL);
    put(list->writer, "wanted", lease->wanted);
    put(list->writer, "state", state);
    put(list->writer, "reason", last ? last->message : NULL);
    put_labels(list->writer, "tags", &lease->tags);
    put_labels(list->writer, "context", &lease->context);
    put_time(list->writer, "created", lease->created);
    put_time(list->writer, "began", lease->began);
    put_time(list->writer, lease->ended ? "ended" : "ends", expiry);
    jmp_writer_end_map(list->writer);
    return list_add(list, (const char *const[]){ lease->name, lease->client, lease->exporter,
                                                 lease->wanted ? lease->wanted : lease->selector, state,
                                                 time_text(expiry, until) });
}

/* What was collected goes out in the form that was asked for. */
static int list_print(struct list *list, const struct jmp_lab *lab, const char *format, struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    const struct jmp_node *node;
    int r;

    if (!list->only)
        jmp_writer_end_list(list->writer);
    if (strcmp(format, "table") == 0 && !list->found) {
        printf("No resources found in %s namespace.\n", lab->namespace_);
    } else if (strcmp(format, "table") == 0) {
        print_table(list);
    } else if (!list->names) {
        r = jmp_writer_finish(list->writer, &node);
        if (r == 0)
            r = strcmp(format, "json") == 0 ? jmp_json_print(node, 2, &text) : jmp_yaml_print(node, &text);
        if (r < 0)
            return jmp_error_set(reterr, r, "%m");
        fputs(text, stdout);
        if (text[0] && text[strlen(text) - 1] != '\n')
            putchar('\n');
    }
    if (fflush(stdout) < 0)
        return jmp_error_set(reterr, -errno, "cannot write to the standard output: %m");

    return 0;
}

enum listed { CLIENTS, EXPORTERS, LEASES };

/* @name: NULL: all. One lease is found also after its end. */
static int show(struct jmp_lab *lab, const struct jmp_admin_options *options, enum listed what, const char *name,
                struct jmp_error *reterr)
{
    static const char *const heads[][COLUMNS] = {
        { "NAME", "LABELS", "CREATED" },
        { "NAME", "STATUS", "ENABLED", "DEVICES", "LAST SEEN", "LABELS" },
        { "NAME", "CLIENT", "EXPORTER", "FOR", "STATE", "UNTIL" },
    };
    static const char *const kinds[] = { "client", "exporter", "lease" };
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(list_clear) struct list list = { .heads = heads[what], .only = name, .kind = kinds[what] };
    int r;

    list.names = strcmp(options->format, "name") == 0;
    if ((r = jmp_tree_new(64u * 1024 * 1024, &tree)) < 0 || (r = jmp_writer_new(tree, &list.writer)) < 0)
        return jmp_error_set(reterr, r, "%m");
    if (!name)
        jmp_writer_begin_list(list.writer);
    if (what == CLIENTS)
        r = jmp_store_each_client(lab->store, list_client, &list);
    else if (what == EXPORTERS)
        r = jmp_store_each_exporter(lab->store, "", list_exporter, &list);
    else
        r = jmp_store_each_lease(lab->store, "", !options->all && !name, list_lease, &list);
    if (r < 0)
        return jmp_error_set(reterr, r, "cannot read the lab: %s",
                             r == -ENOMEM ? "out of memory" : jmp_store_reason(lab->store));
    if (name && !list.found)
        return jmp_admin_missing(lab, -ENOENT, kinds[what], name, reterr);

    return list_print(&list, lab, options->format, reterr);
}

int jmp_admin_show(struct jmp_lab *lab, const struct jmp_admin_options *options, bool is_client, const char *name,
                   struct jmp_error *reterr)
{
    return show(lab, options, is_client ? CLIENTS : EXPORTERS, name, reterr);
}

static int get(const struct jmp_admin_options *options, enum listed what, const char *name, struct jmp_error *reterr)
{
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = NULL;
    int r = jmp_admin_open(options, &lab, reterr);

    return r < 0 ? r : show(lab, options, what, name, reterr);
}

int jmp_admin_get_clients(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return get(options, CLIENTS, name, reterr);
}

int jmp_admin_get_exporters(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return get(options, EXPORTERS, name, reterr);
}

int jmp_admin_get_leases(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return get(options, LEASES, name, reterr);
}
