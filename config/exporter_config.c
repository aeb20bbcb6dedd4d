/* SPDX-License-Identifier: Apache-2.0 */
#include "config/exporter_config.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"
#include "config/device_config.h"
#include "config/section.h"
#include "config/yaml.h"

/* The top level; what needs a closer look stays a node. */
struct top {
    const char *api_version, *kind, *endpoint, *token, *description, *motd;
    const struct jmp_node *metadata, *tls, *grpc_options, *export, *hooks, *failure_detection, *kubernetes, *internal;
    bool exit_on_lease_end;
};

static const char *const api_versions[] = { "jumpstarter.dev/v1alpha1", NULL };
static const char *const kinds[] = { "ExporterConfig", NULL };

static const struct jmp_option top_options[] = {
    { .key = "apiVersion", JMP_FIELD_AS(struct top, api_version), .convert = true, .words = api_versions },
    { JMP_FIELD(struct top, kind), .convert = true, .words = kinds },
    { JMP_FIELD(struct top, metadata), .help = "who the exporter is, see below" },
    { JMP_FIELD(struct top, endpoint), .convert = true, .nullable = true, .help = "HOST:PORT of the controller" },
    { JMP_FIELD(struct top, tls), .help = "whom to trust, see below" },
    { JMP_FIELD(struct top, token), .convert = true, .nullable = true, .secret = true,
      .help = "what the controller gave, in quotes" },
    { .key = "grpcOptions", JMP_FIELD_AS(struct top, grpc_options),
      .help = "arguments of gRPC channels: a map of strings and whole numbers" },
    { JMP_FIELD(struct top, description), .convert = true, .nullable = true,
      .help = "what the exporter is, for people" },
    { JMP_FIELD(struct top, motd), .convert = true, .nullable = true, .help = "what a user is greeted with" },
    { JMP_FIELD(struct top, export), .help = "the devices: a map from their names to entries, see below" },
    { JMP_FIELD(struct top, hooks), .help = "what runs before and after a lease, see below" },
    { .key = "failureDetection", JMP_FIELD_AS(struct top, failure_detection),
      .help = "taken over from the stock exporter, see below" },
    { .key = "exitOnLeaseEnd", JMP_FIELD_AS(struct top, exit_on_lease_end), .convert = true,
      .help = "true: the exporter ends after one lease" },
    { JMP_FIELD(struct top, kubernetes), .nullable = true,
      .help = "a Lease in a cluster that says this exporter is alive, see below; stock exporters do not know it" },
    /* Stock accepts its own bookkeeping when it finds it in a file. */
    { .key = "alias", JMP_FIELD_AS(struct top, internal) },
    { .key = "path", JMP_FIELD_AS(struct top, internal) },
    {}
};

struct hook {
    const char *script, *exec, *on_failure;
    unsigned timeout;
};

static const char *const failure_words[] = {
    [JMP_HOOK_WARN] = "warn",
    [JMP_HOOK_END_LEASE] = "endLease",
    [JMP_HOOK_EXIT] = "exit",
    NULL,
};

static const struct jmp_option hook_options[] = {
    { JMP_FIELD(struct hook, script), .convert = true, .required = true, .help = "commands, or the path of a script" },
    { JMP_FIELD(struct hook, exec), .convert = true, .nullable = true,
      .help = "interpreter of the script, one path or word" },
    { JMP_FIELD(struct hook, timeout), .convert = true, .preset = "120", .help = "seconds" },
    { .key = "onFailure", JMP_FIELD_AS(struct hook, on_failure), .convert = true, .preset = "warn",
      .words = failure_words,
      .help = "what follows when the script fails or is not done in time" },
    {}
};

static const char *const hook_spellings[] = { "exec_", "exec", "on_failure", "onFailure", NULL };

struct hooks {
    const struct jmp_node *before_lease, *after_lease;
};

static const struct jmp_option hooks_options[] = {
    { .key = "beforeLease", JMP_FIELD_AS(struct hooks, before_lease), .nullable = true,
      .help = "before a user gets the exporter" },
    { .key = "afterLease", JMP_FIELD_AS(struct hooks, after_lease), .nullable = true,
      .help = "when the user has gone" },
    {}
};

static const char *const hooks_spellings[] = { "before_lease", "beforeLease", "after_lease", "afterLease", NULL };

static const struct jmp_option failure_detection_options[] = {
    { .key = "maxRapidFailures", JMP_FIELD_AS(struct jmp_exporter_config, max_rapid_failures), .convert = true,
      .preset = "5", .help = "failures in a row" },
    { .key = "rapidFailureWindow", JMP_FIELD_AS(struct jmp_exporter_config, rapid_failure_window), .convert = true,
      .preset = "60", .help = "seconds" },
    {}
};

static const struct jmp_option kubernetes_options[] = {
    { JMP_FIELD(struct jmp_kubernetes_config, heartbeat), .convert = true, .required = true, .value_name = "NAME",
      .help = "name of the Lease, which the agent makes and renews every 10 seconds" },
    { .key = "namespace", JMP_FIELD_AS(struct jmp_kubernetes_config, namespace_), .convert = true, .preset = "default",
      .help = "where it is" },
    { JMP_FIELD(struct jmp_kubernetes_config, kubeconfig), .convert = true, .nullable = true, .value_name = "FILE",
      .help = "how to reach the API server; without it $KUBECONFIG, ~/.kube/config or the pod's account" },
    { JMP_FIELD(struct jmp_kubernetes_config, context), .convert = true, .nullable = true,
      .help = "context of that file, instead of its current one" },
    {}
};

static const char *const failure_detection_spellings[] = {
    "max_rapid_failures", "maxRapidFailures", "rapid_failure_window", "rapidFailureWindow", NULL };

const struct jmp_config_section jmp_exporter_config_sections[] = {
    { "", "The top level", top_options },
    { "metadata", "Who it is", jmp_section_metadata_options },
    { "tls", "Whom it trusts", jmp_section_tls_options },
    { "export.NAME", "Its devices", jmp_device_config_options },
    { "hooks", "Before and after a lease", hooks_options },
    { "hooks.beforeLease, hooks.afterLease", "One hook", hook_options },
    { "failureDetection", "Failures in a row", failure_detection_options },
    { "kubernetes", "A heartbeat in a cluster", kubernetes_options },
    {}
};

struct jmp_exporter_config *jmp_exporter_config_free(struct jmp_exporter_config *config)
{
    /* The tree holds the struct, too. */
    if (config)
        jmp_tree_free(config->tree);
    return NULL;
}

/* Stock ignores keys it does not know, so files with them are in use: a warning, and the key goes away. */
static const struct jmp_node *without_unknown_keys(struct jmp_section *section, const struct jmp_node *map)
{
    const char *known[ELEMENTSOF(top_options)] = { 0 };
    struct jmp_node *rest;
    char hint[128];

    for (size_t i = 0; top_options[i].key; i++)
        known[i] = top_options[i].key;

    rest = jmp_node_new(section->tree, JMP_NODE_MAP);
    if (!rest) {
        jmp_section_fail(section, -ENOMEM);
        return NULL;
    }
    rest->line = map->line;
    rest->column = map->column;

    JMP_NODE_EACH(child, map) {
        const char *near = NULL;
        struct jmp_node *twin;
        size_t i = 0;

        while (known[i] && strcmp(known[i], child->key) != 0)
            i++;
        if (!known[i]) {
            if (!section->problems || section->problems->warnings < 1000)
                near = strcmp(child->key, "grpcConfig") == 0 ? "grpcOptions" : jmp_nearest(child->key, known);
            snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near ? near : "");
            jmp_section_say(section, true, child, true, child->key, near ? hint : NULL, "unknown key, ignored");
            continue;
        }

        twin = jmp_node_new(section->tree, child->kind);
        if (!twin) {
            jmp_section_fail(section, -ENOMEM);
            return NULL;
        }
        *twin = *child;
        jmp_node_append(rest, twin);
    }
    return rest;
}

static void read_hook(struct jmp_section *section, const struct jmp_node *node, const char *path,
                      struct jmp_hook_config *ret)
{
    struct hook hook = { 0 };

    node = jmp_section_rename(section, jmp_section_map(section, node, path), hook_spellings);
    if (!node || !jmp_section_read(section, hook_options, &hook, node, path))
        return;

    ret->script = hook.script;
    ret->exec = hook.exec;
    ret->timeout = hook.timeout;
    for (size_t i = 0; failure_words[i]; i++) {
        if (strcmp(hook.on_failure, failure_words[i]) == 0)
            ret->on_failure = (enum jmp_hook_failure)i;
    }
}

static void read_hooks(struct jmp_section *section, const struct jmp_node *node, struct jmp_exporter_config *config)
{
    struct hooks hooks = { 0 };

    node = jmp_section_rename(section, jmp_section_map(section, node, "hooks"), hooks_spellings);
    if (!node || !jmp_section_read(section, hooks_options, &hooks, node, "hooks"))
        return;

    read_hook(section, hooks.before_lease, "hooks.beforeLease", &config->before_lease);
    read_hook(section, hooks.after_lease, "hooks.afterLease", &config->after_lease);
}

static void read_top(struct jmp_section *section, const struct jmp_node *root, struct jmp_exporter_config *config)
{
    const struct jmp_node *map, *detection, *kubernetes;
    struct top top = { 0 };

    if (root->kind != JMP_NODE_MAP) {
        jmp_section_say(section, false, root, false, NULL, "begin with: apiVersion: jumpstarter.dev/v1alpha1",
                        "expected a map of settings, found %s", jmp_node_kind_name(root));
        return;
    }

    map = without_unknown_keys(section, root);
    if (!map)
        return;
    jmp_section_read(section, top_options, &top, map, "");

    jmp_section_metadata(section, top.metadata, &config->name, &config->namespace_);
    jmp_section_tls(section, top.tls, &config->ca, &config->insecure);
    config->endpoint = jmp_section_endpoint(section, jmp_node_get(map, "endpoint"), top.endpoint);
    config->token = jmp_section_token(section, jmp_node_get(map, "token"), top.token);
    config->grpc_options = jmp_section_grpc_options(section, top.grpc_options);
    config->devices = jmp_device_config_read(section, top.export);
    read_hooks(section, top.hooks, config);

    detection = jmp_section_map(section, top.failure_detection, "failureDetection");
    detection = jmp_section_rename(section, detection, failure_detection_spellings);
    jmp_section_read(section, failure_detection_options, config, detection, "failureDetection");

    kubernetes = jmp_section_map(section, top.kubernetes, "kubernetes");
    if (kubernetes)
        jmp_section_read(section, kubernetes_options, &config->kubernetes, kubernetes, "kubernetes");

    config->description = top.description;
    config->motd = top.motd;
    config->exit_on_lease_end = top.exit_on_lease_end;
}

/* @partly: an incomplete config is wanted even beside -EINVAL. */
static int parse(const char *text, size_t length, const char *file, bool partly, struct jmp_exporter_config **ret,
                 struct jmp_problems *problems)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_section section = { .problems = problems };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_problem *before = problems ? problems->last : NULL;
    struct jmp_exporter_config *config;
    const struct jmp_node *root;
    int r;

    r = jmp_tree_new(JMP_CONFIG_TREE_MAX, &tree);
    if (r < 0)
        return r;
    config = jmp_tree_alloc(tree, sizeof(*config));
    if (!config)
        return -ENOMEM;
    config->file = jmp_tree_strdup(tree, file, strlen(file));
    if (!config->file)
        return -ENOMEM;

    section.file = config->file;
    section.tree = tree;
    r = jmp_yaml_parse(text, length, file, tree, &root, &error);
    if (r < 0) {
        if (r == -ENOMEM || (problems && jmp_problems_add(problems, false, &error) < 0))
            return -ENOMEM;
        return -EINVAL;
    }

    read_top(&section, root, config);
    if (problems)
        jmp_problems_sort(problems, before);
    if (section.error < 0 && !(partly && section.error == -EINVAL))
        return section.error;

    config->tree = TAKE_PTR(tree);
    *ret = config;
    return section.error;
}

int jmp_exporter_config_parse(const char *text, size_t length, const char *file, struct jmp_exporter_config **ret,
                              struct jmp_problems *problems)
{
    return parse(text, length, file, false, ret, problems);
}

static int load(const char *path, bool partly, struct jmp_exporter_config **ret, struct jmp_problems *problems)
{
    struct jmp_error error = JMP_ERROR_INIT;
    _cleanup_free_ char *text = NULL;
    struct stat st;
    size_t length;
    int r;

    r = jmp_file_read(path, JMP_CONFIG_MAX, &text, &length, &error);
    if (r < 0) {
        if (r != -ENOMEM && problems && jmp_problems_add(problems, false, &error) < 0)
            return -ENOMEM;
        return r;
    }

    r = parse(text, length, path, partly, ret, problems);
    explicit_bzero(text, length);
    if (r < 0)
        return r;

    if (problems && (*ret)->token && stat(path, &st) == 0 && (st.st_mode & S_IROTH)) {
        jmp_error_set(&error, -EPERM, "everybody on this machine can read the token in it");
        jmp_error_hint(&error, "chmod o-r %s", path);
        jmp_error_at(&error, path, 0, 0, NULL);
        if (jmp_problems_add(problems, true, &error) < 0) {
            *ret = jmp_exporter_config_free(*ret);
            return -ENOMEM;
        }
    }
    return 0;
}

int jmp_exporter_config_load(const char *path, struct jmp_exporter_config **ret, struct jmp_problems *problems)
{
    return load(path, false, ret, problems);
}

int jmp_exporter_config_check(const char *path, struct jmp_exporter_config **ret, struct jmp_problems *problems)
{
    return load(path, true, ret, problems);
}
