/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl get exporters, get drivers, logs */
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "ctl/output.h"
#include "client/selector.h"
#include "ctl/ctl.h"
#include "ctl/verbs.h"
#include "ctl/watch.h"

const struct jmp_option jmp_get_exporters_options[] = {
    { .key = "selector", .type = JMP_STRINGS, .offset = offsetof(struct jmp_get_exporters, selector), .letter = 'l',
      .value_name = "LABELS", .help = "only exporters with these labels: key=value, key!=value, key in (a,b), !key" },
    { .key = "with", .type = JMP_STRINGS, .offset = offsetof(struct jmp_get_exporters, with), .value_name = "FIELDS",
      .help = "show more: leases, online, status; several with commas" },
    { JMP_FIELD(struct jmp_get_exporters, show_hidden_labels), .help = "also labels that the lab hides" },
    { JMP_FIELD(struct jmp_get_exporters, allow_disabled), .help = "also exporters that are switched off" },
    { JMP_FIELD(struct jmp_get_exporters, watch), .letter = 'w', .help = "again at each change, until Ctrl-C" },
    JMP_PAGE_SIZE_OPTION(struct jmp_get_exporters),
    JMP_OUTPUT_OPTION(struct jmp_get_exporters),
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};

static int parse_with(struct jmp_ctl *ctl, const struct jmp_node *list, struct jmp_exporter_view *view,
                      struct jmp_error *reterr)
{
    JMP_NODE_EACH(node, list) {
        for (const char *word = jmp_node_string(node); word && *word; word += *word == ',') {
            size_t length = strcspn(word, ",");

            if (length == 6 && strncmp(word, "leases", length) == 0)
                view->leases = true;
            else if (length == 6 && strncmp(word, "online", length) == 0)
                view->online = true;
            else if (length == 6 && strncmp(word, "status", length) == 0)
                view->status = true;
            else
                return jmp_ctl_usage(ctl, reterr, "--with: \"%.*s\" is none of leases, online, status", (int)length,
                                     word);
            word += length;
        }
    }
    return 0;
}

static bool is_asked_for(char **words, const char *name)
{
    if (!words[0])
        return true;
    for (; *words; words++) {
        if (strcmp(*words, name) == 0)
            return true;
    }
    return false;
}

static void warn_deprecated(struct jmp_ctl *ctl, const struct jmp_exporter *exporter)
{
    for (size_t i = 0; i < exporter->deprecated_labels.count; i++) {
        const struct jmp_pair *pair = &exporter->deprecated_labels.items[i];

        jmp_ctl_note(ctl, "warning: label \"%s\" of exporter %s is deprecated%s%s", pair->key, exporter->name,
                     *pair->value ? ": " : "", pair->value);
    }
}

static int show_exporters(struct jmp_ctl *ctl, void *object, char **words, FILE *stream, struct jmp_error *reterr)
{
    const struct jmp_get_exporters *options = object;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    enum jmp_output output = jmp_output_parse(options->output);
    struct jmp_exporter_view view = { .disabled = options->allow_disabled };
    struct jmp_exporters exporters, shown = { 0 };
    struct jmp_leases leases = { 0 };
    struct jmp_list_options list = { .hidden_labels = options->show_hidden_labels, .page_size = options->page_size };
    int r;

    r = parse_with(ctl, options->with, &view, reterr);
    if (r < 0)
        return r;
    r = jmp_tree_new(64 * 1024 * 1024, &tree);
    if (r >= 0)
        r = jmp_selector_join(options->selector, tree, &list.filter);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_ctl_need_controller(ctl, reterr);
    if (r >= 0)
        r = jmp_controller_client_exporters(ctl->controller, &list, tree, &exporters, reterr);
    if (r >= 0 && view.leases)
        r = jmp_controller_client_leases(ctl->controller,
                                         &(const struct jmp_list_options){ .page_size = options->page_size }, tree,
                                         &leases, reterr);
    if (r < 0)
        return r;

    shown.items = exporters.items;
    for (size_t i = 0; i < exporters.count; i++) {
        const struct jmp_exporter *exporter = &exporters.items[i];

        if ((!exporter->enabled && !options->allow_disabled) || !is_asked_for(words, exporter->name))
            continue;
        warn_deprecated(ctl, exporter);
        shown.items[shown.count++] = *exporter;
    }
    if (words[0] && shown.count == 0)
        return jmp_error_set(reterr, -ENOENT, "there is no exporter \"%s\"", words[0]);
    return jmp_print_exporters(stream, output, &shown, &leases, &view, reterr);
}

int jmp_cmd_get_exporters(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_get_exporters *options = object;

    return options->watch ? jmp_ctl_watch(ctl, show_exporters, object, words, reterr)
                          : show_exporters(ctl, object, words, stdout, reterr);
}

const struct jmp_option jmp_get_drivers_options[] = {
    JMP_OUTPUT_OPTION(struct jmp_get_drivers),
    JMP_CTL_LEASE_OPTION,
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_DIRECT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};

static int print_drivers(struct jmp_driver_tree *drivers, struct jmp_driver_ref *top, struct jmp_error *reterr)
{
    static const char *const heads[] = { "DRIVER", "VERBS", "DESCRIPTION", NULL };
    _cleanup_(jmp_table_freep) struct jmp_table *table = NULL;
    int r;

    r = jmp_table_new(heads, &table);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    for (struct jmp_driver_ref *ref = top == drivers->root ? top->first : top; ref;
         ref = jmp_driver_ref_next(top, ref)) {
        char verbs[256];

        jmp_verbs_list(ref, verbs, sizeof(verbs));
        jmp_table_cell(table, ref->path);
        jmp_table_cell(table, ref->first && !*verbs ? "-" : verbs);
        jmp_table_cell(table, *ref->description ? ref->description : ref->client_class);
    }
    r = jmp_table_print(stdout, table);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
}

static void write_driver(struct jmp_writer *writer, const struct jmp_driver_ref *ref)
{
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "name");
    jmp_writer_string(writer, ref->name);
    jmp_writer_key(writer, "path");
    jmp_writer_string(writer, ref->path);
    jmp_writer_key(writer, "uuid");
    jmp_writer_string(writer, ref->uuid);
    jmp_writer_key(writer, "client");
    jmp_writer_string(writer, ref->client_class);
    jmp_writer_key(writer, "description");
    jmp_writer_string(writer, *ref->description ? ref->description : NULL);
    jmp_writer_key(writer, "labels");
    jmp_write_pairs(writer, &ref->labels);
    jmp_writer_end_map(writer);
}

int jmp_cmd_get_drivers(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_get_drivers *options = object;
    enum jmp_output output = jmp_output_parse(options->output);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    const struct jmp_node *node;
    struct jmp_driver_ref *top;
    unsigned used;
    int r;

    r = jmp_ctl_need_session(ctl, reterr);
    if (r < 0)
        return r;
    top = ctl->drivers->root;
    if (words[0]) {
        r = jmp_driver_tree_find(ctl->drivers, words, &top, &used, reterr);
        if (r < 0)
            return r;
        if (words[used])
            return jmp_error_set(reterr, -ENOENT, "%s has no driver \"%s\" inside", top->path, words[used]);
    }
    if (output == JMP_OUTPUT_TABLE)
        return print_drivers(ctl->drivers, top, reterr);

    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "drivers");
    jmp_writer_begin_list(writer);
    for (struct jmp_driver_ref *ref = top == ctl->drivers->root ? top->first : top; ref;
         ref = jmp_driver_ref_next(top, ref)) {
        if (output == JMP_OUTPUT_NAME || output == JMP_OUTPUT_PATH) {
            jmp_text_put(stdout, output == JMP_OUTPUT_NAME ? ref->name : ref->path);
            fputc('\n', stdout);
        } else {
            write_driver(writer, ref);
        }
    }
    jmp_writer_end_list(writer);
    jmp_writer_end_map(writer);
    if (output == JMP_OUTPUT_NAME || output == JMP_OUTPUT_PATH)
        return 0;
    r = jmp_writer_finish(writer, &node);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : jmp_output_document(stdout, output, node, reterr);
}

const struct jmp_option jmp_logs_options[] = {
    JMP_CTL_LEASE_OPTION,
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_DIRECT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};

static void on_log(const struct jmp_log_line *line, void *user)
{
    struct jmp_ctl *ctl = user;
    static const char *const origins[] = { "exporter", "driver", "beforeLease", "afterLease", "system" };

    fprintf(stdout, "%-7.10s %s: ", line->severity, origins[line->origin < ELEMENTSOF(origins) ? line->origin : 0]);
    jmp_text_put(stdout, line->message);
    fputc('\n', stdout);
    /* Nobody reads them any more. */
    if (jmp_ctl_flush(ctl) < 0)
        jmp_client_interrupt(ctl->client);
}

int jmp_cmd_logs(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    bool never = false;
    int r;

    r = jmp_ctl_need_session(ctl, reterr);
    if (r < 0)
        return r;
    r = jmp_session_client_logs(ctl->session, on_log, ctl);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    return jmp_client_wait(ctl->client, &never, JMP_USEC_INFINITY);
}
