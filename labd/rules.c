/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/rules.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/option.h"
#include "config/yaml.h"

struct access_options {
    const char *exporters, *clients, *description;
    double priority, maximum_duration;
    bool spot;
};

static const struct jmp_option access_options[] = {
    { JMP_FIELD(struct access_options, exporters), .preset = "", .nullable = true,
      .help = "selector of exporters; all of them" },
    { JMP_FIELD(struct access_options, clients), .preset = "", .nullable = true,
      .help = "selector of clients; all of them" },
    { JMP_FIELD(struct access_options, priority), .preset = "0", .min = -JMP_RULE_PRIORITY_MAX,
      .max = JMP_RULE_PRIORITY_MAX, .help = "boards of higher priority are taken first" },
    { JMP_FIELD(struct access_options, maximum_duration), .preset = "0", .min = 0, .max = 100.0 * 365 * 24 * 3600,
      .help = "seconds a lease may ask for; any" },
    { JMP_FIELD(struct access_options, spot), .help = "only what nobody else has a better right to" },
    { JMP_FIELD(struct access_options, description), .preset = "", .nullable = true,
      .help = "told to whom no rule lets in" },
    {}
};

struct rules_options {
    const struct jmp_node *access, *hidden_labels, *deprecated_labels;
};

static const struct jmp_option rules_options[] = {
    { JMP_FIELD(struct rules_options, access), .nullable = true, .help = "who may lease what" },
    { .key = "hidden_labels",
      .type = JMP_STRINGS,
      .offset = offsetof(struct rules_options, hidden_labels),
      .nullable = true,
      .help = "keys of labels that clients see on request only" },
    { JMP_FIELD(struct rules_options, deprecated_labels), .nullable = true,
      .help = "keys of labels, each with what to use instead" },
    {}
};

void jmp_rules_clear(struct jmp_rules *rules)
{
    for (size_t i = 0; i < rules->access_count; i++) {
        jmp_selector_clear(&rules->access[i].exporters);
        jmp_selector_clear(&rules->access[i].clients);
        free(rules->access[i].description);
    }
    free(rules->access);
    jmp_labels_clear(&rules->hidden);
    jmp_labels_clear(&rules->deprecated);
    *rules = (struct jmp_rules){ 0 };
}

static int fail(const char *file, const struct jmp_node *node, struct jmp_error *reterr, const char *what)
{
    jmp_error_set(reterr, -EINVAL, "%s", what);
    jmp_error_at(reterr, file, node->line, node->column, NULL);
    return -EINVAL;
}

/* The first of @problems becomes the error. */
static int read_options(const struct jmp_option *rows, void *object, const struct jmp_node *map, const char *file,
                        const char *path, struct jmp_error *reterr)
{
    struct jmp_problems problems = { 0 };
    int r = jmp_options_read(rows, 0, object, map, file, path, &problems);

    if (r < 0 && r != -ENOMEM && reterr && problems.first)
        *reterr = problems.first->error;
    jmp_problems_clear(&problems);
    return r;
}

static int read_selector(const char *text, const char *file, const struct jmp_node *node, struct jmp_selector *ret,
                         struct jmp_error *reterr)
{
    int r = jmp_selector_parse(ret, text, reterr);

    if (r < 0 && r != -ENOMEM)
        jmp_error_at(reterr, file, node->line, node->column, NULL);
    return r;
}

static int read_access(const struct jmp_node *list, const char *file, struct jmp_rules *rules, struct jmp_error *reterr)
{
    if (jmp_node_is_null(list))
        return 0;
    if (list->kind != JMP_NODE_LIST)
        return fail(file, list, reterr, "access is a list of rules");
    if (list->count > JMP_RULES_MAX)
        return fail(file, list, reterr, "there are more than 256 access rules");
    if (list->count == 0)
        return 0;
    rules->access = calloc(list->count, sizeof(*rules->access));
    if (!rules->access)
        return -ENOMEM;

    JMP_NODE_EACH(item, list) {
        struct jmp_access_rule *rule = &rules->access[rules->access_count++];
        struct access_options options = { 0 };
        char path[32];
        int r;

        snprintf(path, sizeof(path), "access.%zu", rules->access_count - 1);
        if ((r = read_options(access_options, &options, item, file, path, reterr)) < 0 ||
            (r = read_selector(options.exporters ? options.exporters : "", file, item, &rule->exporters, reterr)) < 0 ||
            (r = read_selector(options.clients ? options.clients : "", file, item, &rule->clients, reterr)) < 0)
            return r;
        rule->priority = (int)options.priority;
        rule->maximum = (int64_t)(options.maximum_duration * JMP_NSEC_PER_SECOND);
        rule->spot = options.spot;
        rule->description = strdup(options.description ? options.description : "");
        if (!rule->description)
            return -ENOMEM;
    }

    return 0;
}

static int add_label(struct jmp_labels *labels, const struct jmp_node *at, const char *key, const char *value,
                     const char *file, struct jmp_error *reterr)
{
    int r;

    if (!jmp_label_key_valid(key))
        return fail(file, at, reterr, "this is no key of a label");
    r = jmp_labels_set(labels, key, value);
    return r == -E2BIG ? fail(file, at, reterr, "there are more than 64 keys") : r;
}

int jmp_rules_parse(const char *text, size_t length, const char *file, struct jmp_rules *ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_rules_clear) struct jmp_rules rules = { 0 };
    struct rules_options options = { 0 };
    const struct jmp_node *root;
    int r;

    if ((r = jmp_tree_new(0, &tree)) < 0 || (r = jmp_yaml_parse(text, length, file, tree, &root, reterr)) < 0)
        return r;
    if ((r = read_options(rules_options, &options, root, file, "", reterr)) < 0 ||
        (r = read_access(options.access, file, &rules, reterr)) < 0)
        return r;

    JMP_NODE_EACH(item, options.hidden_labels) {
        r = add_label(&rules.hidden, item, item->string, "", file, reterr);
        if (r < 0)
            return r;
    }
    if (!jmp_node_is_null(options.deprecated_labels) && options.deprecated_labels->kind != JMP_NODE_MAP)
        return fail(file, options.deprecated_labels, reterr, "deprecated_labels is a map from keys to words");
    JMP_NODE_EACH(item, options.deprecated_labels) {
        if (item->kind != JMP_NODE_STRING)
            return fail(file, item, reterr, "say in words what to use instead of this label");
        r = add_label(&rules.deprecated, item, item->key, item->string, file, reterr);
        if (r < 0)
            return r;
    }

    *ret = rules;
    rules = (struct jmp_rules){ 0 };
    return 0;
}

int jmp_rules_load(const char *path, struct jmp_rules *ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    size_t length;
    int r;

    if (access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    r = jmp_file_read(path, JMP_CONFIG_MAX, &text, &length, reterr);
    return r < 0 ? r : jmp_rules_parse(text, length, path, ret, reterr);
}

struct jmp_access jmp_rules_judge(const struct jmp_rules *rules, const struct jmp_labels *client,
                                  const struct jmp_labels *exporter, int64_t duration, bool *matched)
{
    struct jmp_access best = { .approved = rules->access_count == 0 };

    for (size_t i = 0; i < rules->access_count; i++) {
        const struct jmp_access_rule *rule = &rules->access[i];

        if (!jmp_selector_matches(&rule->exporters, exporter) || !jmp_selector_matches(&rule->clients, client))
            continue;
        if (matched)
            matched[i] = true;
        if (rule->maximum && duration > rule->maximum)
            continue;
        /* The best right counts: one of one's own before spot use, then the higher priority. */
        if (!best.approved || (best.spot && !rule->spot) || (best.spot == rule->spot && rule->priority > best.priority))
            best = (struct jmp_access){ .approved = true, .spot = rule->spot, .priority = rule->priority };
    }

    return best;
}

int jmp_rules_present(const struct jmp_rules *rules, const struct jmp_labels *labels, bool all,
                      struct jmp_labels *retlabels, struct jmp_labels *retdeprecated)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < labels->count; i++) {
        const struct jmp_label *label = &labels->items[i];
        const char *instead = jmp_labels_get(&rules->deprecated, label->key);

        if (instead)
            r = jmp_labels_set(retdeprecated, label->key, instead);
        if (r == 0 && (all || (!instead && !jmp_labels_get(&rules->hidden, label->key))))
            r = jmp_labels_set(retlabels, label->key, label->value);
    }

    return r;
}
