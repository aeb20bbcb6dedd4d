/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl get, create, update, delete leases */
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "ctl/ctl.h"
#include "ctl/duration.h"
#include "ctl/output.h"
#include "ctl/watch.h"
#include "client/selector.h"

#define DELETE_TIMEOUT (30 * JMP_USEC_PER_SEC)
#define CONTEXT_MAX 8u

static int64_t wall_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void warn_deprecated(struct jmp_ctl *ctl, const struct jmp_lease *lease)
{
    for (size_t i = 0; i < lease->deprecated_labels.count; i++) {
        const struct jmp_pair *pair = &lease->deprecated_labels.items[i];

        jmp_ctl_note(ctl, "warning: selector label \"%s\" of lease %s is deprecated%s%s", pair->key, lease->name,
                     *pair->value ? ": " : "", pair->value);
    }
}

#define SELECTOR_OPTION(s, words)                                                                                      \
    {                                                                                                                  \
        .key = "selector", .type = JMP_STRINGS, .offset = offsetof(s, selector), .letter = 'l',                        \
        .value_name = "LABELS", .help = words                                                                          \
    }

const struct jmp_option jmp_get_leases_options[] = {
    SELECTOR_OPTION(struct jmp_get_leases, "only leases that ask for this"),
    { JMP_FIELD(struct jmp_get_leases, all), .letter = 'a', .help = "also those that are over" },
    { JMP_FIELD(struct jmp_get_leases, all_clients), .letter = 'A', .help = "also those of others" },
    { JMP_FIELD(struct jmp_get_leases, tag_filter), .value_name = "LABELS", .help = "only leases with these tags" },
    { JMP_FIELD(struct jmp_get_leases, watch), .letter = 'w', .help = "again at each change, until Ctrl-C" },
    JMP_PAGE_SIZE_OPTION(struct jmp_get_leases),
    JMP_OUTPUT_OPTION(struct jmp_get_leases),
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};

/* All leases that match; a controller can only compare equalities, the rest is ours. */
static int find_leases(struct jmp_ctl *ctl, const struct jmp_get_leases *options, struct jmp_tree *tree,
                       struct jmp_leases *ret, struct jmp_error *reterr)
{
    const char *selector, *filter;
    struct jmp_leases leases, kept = { 0 };
    int r;

    r = jmp_selector_join(options->selector, tree, &selector);
    if (r >= 0)
        r = jmp_selector_equalities(selector, tree, &filter);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_ctl_need_controller(ctl, reterr);
    if (r >= 0)
        r = jmp_controller_client_leases(ctl->controller,
                                         &(const struct jmp_list_options){ .filter = filter,
                                                                           .tag_filter = options->tag_filter,
                                                                           .ended = options->all,
                                                                           .page_size = options->page_size },
                                         tree, &leases, reterr);
    if (r < 0)
        return r;
    kept.items = leases.items;
    for (size_t i = 0; i < leases.count; i++) {
        if ((selector && !jmp_selector_contains(leases.items[i].selector, selector)) ||
            (!options->all_clients && strcmp(leases.items[i].client, ctl->config->name) != 0))
            continue;
        kept.items[kept.count++] = leases.items[i];
    }
    *ret = kept;
    return 0;
}

static int show_leases(struct jmp_ctl *ctl, void *object, char **words, FILE *stream, struct jmp_error *reterr)
{
    const struct jmp_get_leases *options = object;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_leases leases = { 0 };
    size_t n = 0;
    int r;

    r = jmp_tree_new(64 * 1024 * 1024, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    if (!words[0]) {
        r = find_leases(ctl, options, tree, &leases, reterr);
        if (r < 0)
            return r;
    } else {
        r = jmp_ctl_need_controller(ctl, reterr);
        if (r < 0)
            return r;
        while (words[n])
            n++;
        leases.items = jmp_tree_alloc(tree, n * sizeof(*leases.items));
        if (!leases.items)
            return jmp_error_set(reterr, -ENOMEM, "%m");
        for (; *words; words++) {
            r = jmp_controller_client_lease(ctl->controller, *words, tree, &leases.items[leases.count++], NULL, reterr);
            if (r < 0)
                return r;
        }
    }
    for (size_t i = 0; i < leases.count; i++)
        warn_deprecated(ctl, &leases.items[i]);
    return jmp_print_leases(stream, jmp_output_parse(options->output), &leases, wall_clock(), reterr);
}

int jmp_cmd_get_leases(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_get_leases *options = object;

    return options->watch ? jmp_ctl_watch(ctl, show_leases, object, words, reterr)
                          : show_leases(ctl, object, words, stdout, reterr);
}

const struct jmp_option jmp_create_lease_options[] = {
    SELECTOR_OPTION(struct jmp_create_lease,
                    "labels that the board must have: key=value, key!=value, key in (a,b), !key"),
    { JMP_FIELD(struct jmp_create_lease, name), .letter = 'n', .value_name = "EXPORTER",
      .help = "this board and no other" },
    { JMP_FIELD(struct jmp_create_lease, duration), .value_name = "TIME", .required = true,
      .help = "how long it may be kept: 30m, 1d3h, 3600, 01:30:00, PT1H30M" },
    { JMP_FIELD(struct jmp_create_lease, begin_time), .value_name = "DATE",
      .help = "when it begins, as 2026-11-21T12:00:00; otherwise at once" },
    { JMP_FIELD(struct jmp_create_lease, lease_id), .value_name = "NAME",
      .help = "the lease's name; otherwise the lab makes one" },
    { .key = "tag",
      .type = JMP_STRINGS,
      .offset = offsetof(struct jmp_create_lease, tag),
      .value_name = "KEY=VALUE",
      .help = "a tag to find the lease by" },
    { .key = "context",
      .type = JMP_STRINGS,
      .offset = offsetof(struct jmp_create_lease, context),
      .value_name = "KEY=VALUE",
      .help = "said in the exporter's log lines" },
    { JMP_FIELD(struct jmp_create_lease, allow_disabled), .help = "with --name: also a board that is switched off" },
    JMP_OUTPUT_OPTION(struct jmp_create_lease),
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};

static int check_context(struct jmp_ctl *ctl, const struct jmp_pairs *context, struct jmp_error *reterr)
{
    if (context->count > CONTEXT_MAX)
        return jmp_ctl_usage(ctl, reterr, "--context: at most %u of them", CONTEXT_MAX);
    for (size_t i = 0; i < context->count; i++) {
        if (strlen(context->items[i].key) > 32)
            return jmp_ctl_usage(ctl, reterr, "--context: the key \"%s\" has more than 32 characters",
                                 context->items[i].key);
        if (strlen(context->items[i].value) > 64)
            return jmp_ctl_usage(ctl, reterr, "--context: the value of \"%s\" has more than 64 characters",
                                 context->items[i].key);
    }
    return 0;
}

int jmp_cmd_create_lease(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_create_lease *options = object;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_lease_request request = { .exporter_name = options->name,
                                         .lease_id = options->lease_id,
                                         .begin = JMP_TIME_NONE,
                                         .allow_disabled = options->allow_disabled };
    struct jmp_lease lease;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = jmp_selector_join(options->selector, tree, &request.selector);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    if (!request.selector && !request.exporter_name) {
        jmp_ctl_usage(ctl, reterr, "which board? --selector (-l) or --name (-n) is missing");
        jmp_error_hint(reterr, "\"jmpctl get exporters\" lists the boards and their labels");
        return -EINVAL;
    }
    r = jmp_duration_parse(options->duration, &request.duration, reterr);
    if (r >= 0 && options->begin_time)
        r = jmp_date_parse(options->begin_time, &request.begin, reterr);
    if (r >= 0)
        r = jmp_pairs_parse(options->tag, "tag", tree, &request.tags, reterr);
    if (r >= 0)
        r = jmp_pairs_parse(options->context, "context", tree, &request.context, reterr);
    if (r >= 0)
        r = check_context(ctl, &request.context, reterr);
    if (r < 0) {
        ctl->usage = r == -EINVAL;
        return r;
    }
    r = jmp_ctl_need_controller(ctl, reterr);
    if (r >= 0)
        r = jmp_controller_client_create(ctl->controller, &request, tree, &lease, reterr);
    if (r < 0)
        return r;
    warn_deprecated(ctl, &lease);
    return jmp_print_lease(stdout, jmp_output_parse(options->output), &lease, wall_clock(), reterr);
}

const struct jmp_option jmp_update_lease_options[] = {
    { JMP_FIELD(struct jmp_update_lease, duration), .value_name = "TIME",
      .help = "how long it may be kept, counted from its beginning" },
    { JMP_FIELD(struct jmp_update_lease, begin_time), .value_name = "DATE", .help = "when it begins, if it has not" },
    { JMP_FIELD(struct jmp_update_lease, to_client), .value_name = "CLIENT", .help = "hand it over to this client" },
    JMP_OUTPUT_OPTION(struct jmp_update_lease),
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};

int jmp_cmd_update_lease(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_update_lease *options = object;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_lease_change change = { .duration = JMP_TIME_NONE,
                                       .begin = JMP_TIME_NONE,
                                       .client = options->to_client };
    struct jmp_lease lease;
    int r;

    if (!options->duration && !options->begin_time && !options->to_client)
        return jmp_ctl_usage(ctl, reterr, "nothing is to be changed: give --duration, --begin-time or --to-client");
    r = options->duration ? jmp_duration_parse(options->duration, &change.duration, reterr) : 0;
    if (r >= 0 && options->begin_time)
        r = jmp_date_parse(options->begin_time, &change.begin, reterr);
    if (r < 0) {
        ctl->usage = true;
        return r;
    }
    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_ctl_need_controller(ctl, reterr);
    if (r >= 0)
        r = jmp_controller_client_update(ctl->controller, words[0], &change, tree, &lease, reterr);
    if (r < 0)
        return r;
    return jmp_print_lease(stdout, jmp_output_parse(options->output), &lease, wall_clock(), reterr);
}

const struct jmp_option jmp_delete_leases_options[] = {
    SELECTOR_OPTION(struct jmp_delete_leases, "those that ask for this"),
    { JMP_FIELD(struct jmp_delete_leases, all), .letter = 'a', .help = "all that are yours and active" },
    { JMP_FIELD(struct jmp_delete_leases, all_clients), .letter = 'A',
      .help = "those of others too, where the lab allows it" },
    JMP_OUTPUT_OPTION(struct jmp_delete_leases),
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};

static int delete_one(struct jmp_ctl *ctl, const char *name, enum jmp_output output, struct jmp_error *reterr)
{
    int r;

    r = jmp_controller_client_delete(ctl->controller, name, DELETE_TIMEOUT, reterr);
    if (r < 0) {
        if (r != -ECANCELED)
            jmp_error_prefix(reterr, "lease %s", name);
        return r;
    }
    if (output == JMP_OUTPUT_NAME) {
        jmp_text_put(stdout, name);
        fputc('\n', stdout);
    } else {
        fputs("lease \"", stdout);
        jmp_text_put(stdout, name);
        fputs("\" deleted\n", stdout);
    }
    return 0;
}

int jmp_cmd_delete_leases(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_delete_leases *options = object;
    enum jmp_output output = jmp_output_parse(options->output);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_leases leases = { 0 };
    int r;

    if (!words[0] && !options->selector && !options->all && !options->all_clients)
        return jmp_error_set(reterr, -EINVAL, "which leases? name them, or give --selector, --all or --all-clients");
    r = jmp_ctl_need_controller(ctl, reterr);
    if (r < 0)
        return r;
    for (char **word = words; *word; word++) {
        r = delete_one(ctl, *word, output, reterr);
        if (r < 0)
            return r;
    }
    if (words[0])
        return 0;

    r = jmp_tree_new(64 * 1024 * 1024, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = find_leases(
        ctl, &(const struct jmp_get_leases){ .selector = options->selector, .all_clients = options->all_clients }, tree,
        &leases, reterr);
    if (r < 0)
        return r;
    if (leases.count == 0)
        return jmp_error_set(reterr, -ENOENT, "there are no such leases");
    for (size_t i = 0; i < leases.count; i++) {
        r = delete_one(ctl, leases.items[i].name, output, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}
