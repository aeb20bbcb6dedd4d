/* SPDX-License-Identifier: Apache-2.0 */
#include "config/client_config.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"
#include "config/paths.h"
#include "config/section.h"
#include "config/yaml.h"

#define MAKE_ONE \
    "ask for one with: jmp-labd create client NAME --out FILE, or jmpctl login; then name it by --client NAME or " \
    "--client-config FILE"

/* The top level; what needs a closer look stays a node. */
struct top {
    const char *api_version, *kind, *endpoint, *token, *refresh_token;
    const struct jmp_node *metadata, *tls, *grpc_options, *drivers, *shell, *leases, *internal;
};

static const char *const api_versions[] = { "jumpstarter.dev/v1alpha1", NULL };
static const char *const kinds[] = { "ClientConfig", NULL };

static const struct jmp_option top_options[] = {
    { .key = "apiVersion", JMP_FIELD_AS(struct top, api_version), .convert = true, .words = api_versions },
    { JMP_FIELD(struct top, kind), .convert = true, .words = kinds },
    { JMP_FIELD(struct top, metadata) },
    { JMP_FIELD(struct top, endpoint), .convert = true, .nullable = true, .help = "HOST:PORT of the controller" },
    { JMP_FIELD(struct top, tls) },
    { JMP_FIELD(struct top, token), .convert = true, .nullable = true, .secret = true,
      .help = "what the controller gave, in quotes" },
    { JMP_FIELD(struct top, refresh_token), .convert = true, .nullable = true, .secret = true,
      .help = "what the login gave, in quotes" },
    { .key = "grpcOptions", JMP_FIELD_AS(struct top, grpc_options) },
    { JMP_FIELD(struct top, drivers) },
    { JMP_FIELD(struct top, shell) },
    { JMP_FIELD(struct top, leases) },
    { .key = "alias", JMP_FIELD_AS(struct top, internal) },
    { .key = "path", JMP_FIELD_AS(struct top, internal) },
    {}
};

static const struct jmp_option drivers_options[] = {
    { .key = "allow", .offset = offsetof(struct jmp_client_config, drivers_allow), .type = JMP_STRINGS,
      .nullable = true, .help = "patterns of client classes that may be loaded" },
    { .key = "unsafe", JMP_FIELD_AS(struct jmp_client_config, drivers_unsafe), .convert = true,
      .help = "true: any client class may be loaded" },
    {}
};

static const struct jmp_option leases_options[] = {
    { JMP_FIELD(struct jmp_client_config, acquisition_timeout), .convert = true, .preset = "7200", .min = 5,
      .max = INFINITY, .help = "seconds to wait for a lease" },
    { JMP_FIELD(struct jmp_client_config, dial_timeout), .convert = true, .preset = "60", .min = 5, .max = INFINITY,
      .help = "seconds to wait for the exporter to answer" },
    { JMP_FIELD(struct jmp_client_config, retry_timeout), .convert = true, .preset = "300",
      .help = "seconds to go on trying" },
    {}
};

struct shell {
    bool use_profiles;
};

static const struct jmp_option shell_options[] = {
    { JMP_FIELD(struct shell, use_profiles), .convert = true,
      .help = "true: a shell in a lease reads its start-up files" },
    {}
};

struct user {
    const char *api_version, *kind;
    const struct jmp_node *config;
};

struct user_config {
    const char *current_client;
};

static const char *const user_kinds[] = { "UserConfig", NULL };

static const struct jmp_option user_options[] = {
    { .key = "apiVersion", JMP_FIELD_AS(struct user, api_version), .convert = true, .words = api_versions },
    { JMP_FIELD(struct user, kind), .convert = true, .words = user_kinds },
    { JMP_FIELD(struct user, config) },
    {}
};

static const struct jmp_option user_config_options[] = {
    { .key = "current-client", JMP_FIELD_AS(struct user_config, current_client), .convert = true, .nullable = true,
      .help = "the client to use" },
    {}
};

struct jmp_client_config *jmp_client_config_free(struct jmp_client_config *config)
{
    /* The tree holds the struct, too. */
    if (config)
        jmp_tree_free(config->tree);
    return NULL;
}

static int client_new(struct jmp_client_config **ret, struct jmp_section *section)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_client_config *config;
    int r;

    r = jmp_tree_new(JMP_CONFIG_TREE_MAX, &tree);
    if (r < 0)
        return r;
    config = jmp_tree_alloc(tree, sizeof(*config));
    if (!config)
        return -ENOMEM;

    section->tree = tree;
    config->tree = TAKE_PTR(tree);
    *ret = config;
    return 0;
}

/* JMP_DRIVERS_ALLOW: patterns with commas between; the word UNSAFE allows everything. */
static void allow_from_environment(struct jmp_section *section, struct jmp_client_config *config)
{
    const char *text = jmp_section_environment(section, "JMP_DRIVERS_ALLOW");
    struct jmp_node *list;

    if (!text)
        return;

    list = jmp_node_new(section->tree, JMP_NODE_LIST);
    if (!list) {
        jmp_section_fail(section, -ENOMEM);
        return;
    }

    for (;;) {
        size_t length = strcspn(text, ",");
        struct jmp_node *item;

        if (length == strlen("UNSAFE") && strncmp(text, "UNSAFE", length) == 0) {
            config->drivers_unsafe = true;
        } else if (length > 0) {
            item = jmp_node_new(section->tree, JMP_NODE_STRING);
            if (item)
                item->string = jmp_tree_strdup(section->tree, text, length);
            if (!item || !item->string) {
                jmp_section_fail(section, -ENOMEM);
                return;
            }
            jmp_node_append(list, item);
        }
        if (!text[length])
            break;
        text += length + 1;
    }
    config->drivers_allow = list;
}

static void read_top(struct jmp_section *section, const struct jmp_node *map, struct jmp_client_config *config)
{
    struct shell shell = { 0 };
    struct top top = { 0 };

    if (!map || map->kind != JMP_NODE_MAP) {
        jmp_section_say(section, false, map, false, NULL, "begin with: apiVersion: jumpstarter.dev/v1alpha1",
                        "expected a map of settings, found %s", jmp_node_kind_name(map));
        return;
    }

    jmp_section_read(section, top_options, &top, map, "");
    jmp_section_metadata(section, top.metadata, &config->name, &config->namespace_);
    jmp_section_tls(section, top.tls, &config->ca, &config->insecure);
    config->endpoint = jmp_section_endpoint(section, jmp_node_get(map, "endpoint"), top.endpoint);
    config->token = jmp_section_token(section, jmp_node_get(map, "token"), top.token);
    config->refresh_token = jmp_section_token(section, jmp_node_get(map, "refresh_token"), top.refresh_token);
    config->grpc_options = jmp_section_grpc_options(section, top.grpc_options);
    jmp_section_read(section, drivers_options, config, jmp_section_map(section, top.drivers, "drivers"), "drivers");
    jmp_section_read(section, leases_options, config, jmp_section_map(section, top.leases, "leases"), "leases");
    jmp_section_read(section, shell_options, &shell, jmp_section_map(section, top.shell, "shell"), "shell");

    if (!config->endpoint)
        config->endpoint = jmp_section_environment(section, "JMP_ENDPOINT");
    if (!config->token)
        config->token = jmp_section_environment(section, "JMP_TOKEN");
    if (!config->drivers_allow)
        allow_from_environment(section, config);
}

/* The part of a file name between the last slash and ".yaml". */
static const char *stem(struct jmp_tree *tree, const char *path)
{
    const char *name = strrchr(path, '/'), *dot;

    name = name ? name + 1 : path;
    dot = strrchr(name, '.');
    return jmp_tree_strdup(tree, name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

/* Reads @path into a tree; every problem is added. */
static int read_yaml(const char *path, struct jmp_tree *tree, const struct jmp_node **ret,
                     struct jmp_problems *problems)
{
    struct jmp_error error = JMP_ERROR_INIT;
    _cleanup_free_ char *text = NULL;
    size_t length = 0;
    int r;

    r = jmp_file_read(path, JMP_CONFIG_MAX, &text, &length, &error);
    if (r == 0) {
        r = jmp_yaml_parse(text, length, path, tree, ret, &error);
        explicit_bzero(text, length);
        if (r < 0 && r != -ENOMEM)
            r = -EINVAL;
    }
    if (r < 0 && r != -ENOMEM && problems && jmp_problems_add(problems, false, &error) < 0)
        return -ENOMEM;
    return r;
}

int jmp_client_config_load(const char *path, struct jmp_client_config **ret, struct jmp_problems *problems)
{
    _cleanup_(jmp_client_config_freep) struct jmp_client_config *config = NULL;
    struct jmp_section section = { .file = path, .problems = problems };
    struct jmp_problem *before = problems ? problems->last : NULL;
    const struct jmp_node *root = NULL;
    struct stat st;
    int r;

    r = client_new(&config, &section);
    if (r < 0)
        return r;
    config->file = jmp_tree_strdup(config->tree, path, strlen(path));
    config->alias = stem(config->tree, path);
    if (!config->file || !config->alias)
        return -ENOMEM;

    r = read_yaml(path, config->tree, &root, problems);
    if (r < 0)
        return r;
    read_top(&section, root, config);
    if (problems)
        jmp_problems_sort(problems, before);

    if (section.error == 0 && config->token && stat(path, &st) == 0 && (st.st_mode & S_IROTH)) {
        char hint[256];

        snprintf(hint, sizeof(hint), "chmod 0600 %s", path);
        jmp_section_say(&section, true, NULL, false, NULL, hint, "everybody on this machine can read the token in it");
    }
    if (section.error < 0)
        return section.error;

    *ret = TAKE_PTR(config);
    return 0;
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);

    return value && *value;
}

static int from_environment(struct jmp_client_config **ret, struct jmp_problems *problems)
{
    _cleanup_(jmp_client_config_freep) struct jmp_client_config *config = NULL;
    struct jmp_section section = { .file = "environment", .problems = problems };
    int r;

    r = client_new(&config, &section);
    if (r < 0)
        return r;

    config->name = jmp_section_environment(&section, "JMP_NAME");
    config->namespace_ = jmp_section_environment(&section, "JMP_NAMESPACE");
    config->endpoint = jmp_section_environment(&section, "JMP_ENDPOINT");
    config->token = jmp_section_environment(&section, "JMP_TOKEN");
    jmp_section_endpoint(&section, NULL, config->endpoint);
    jmp_section_token(&section, NULL, config->token);
    jmp_section_tls(&section, NULL, &config->ca, &config->insecure);
    jmp_section_read(&section, leases_options, config, NULL, "leases");
    allow_from_environment(&section, config);
    if (section.error < 0)
        return section.error;

    *ret = TAKE_PTR(config);
    return 0;
}

static int add_problem(struct jmp_problems *problems, const struct jmp_error *error)
{
    if (problems && error->error != -ENOMEM && jmp_problems_add(problems, false, error) < 0)
        return -ENOMEM;
    return error->error;
}

/* The client that "config.yaml" names, NULL if none, in @tree; @retfile: that file, free(). */
static int read_current(struct jmp_tree *tree, const char **ret, char **retfile, struct jmp_problems *problems)
{
    _cleanup_free_ char *user = NULL;
    struct jmp_section section = { .problems = problems };
    struct jmp_error error = JMP_ERROR_INIT;
    struct user_config current = { 0 };
    struct user top = { 0 };
    const struct jmp_node *root = NULL;
    int r;

    *ret = NULL;
    if (jmp_paths_user(&user, &error) < 0)
        return add_problem(problems, &error);
    if (asprintf(retfile, "%s/config.yaml", user) < 0) {
        *retfile = NULL;
        return -ENOMEM;
    }
    if (access(*retfile, F_OK) < 0)
        return 0;

    r = read_yaml(*retfile, tree, &root, problems);
    if (r < 0)
        return r;
    section.file = *retfile;
    section.tree = tree;
    root = jmp_section_map(&section, root, "");
    if (jmp_section_read(&section, user_options, &top, root, ""))
        jmp_section_read(&section, user_config_options, &current, jmp_section_map(&section, top.config, "config"),
                         "config");
    *ret = current.current_client;
    return section.error;
}

int jmp_config_current(struct jmp_tree *tree, const char **ret, struct jmp_error *reterr)
{
    struct jmp_problems problems = { 0 };
    _cleanup_free_ char *file = NULL;
    int r;

    r = read_current(tree, ret, &file, &problems);
    if (r < 0 && reterr && problems.first)
        *reterr = problems.first->error;
    else if (r < 0)
        jmp_error_set(reterr, r, "%m");
    jmp_problems_clear(&problems);
    return r;
}

/* What helps whoever has some, but not this one; otherwise how to get one. */
static void hint_aliases(struct jmp_error *error, struct jmp_tree *tree, const char *wanted)
{
    const char *names[64] = { NULL }, *near = NULL;
    const struct jmp_node *aliases = NULL;
    size_t n = 0;

    if (jmp_paths_aliases(false, tree, &aliases, NULL) == 0) {
        JMP_NODE_EACH(alias, aliases) {
            if (n + 1 < ELEMENTSOF(names))
                names[n++] = alias->string;
        }
    }
    if (wanted)
        near = jmp_nearest(wanted, names);
    if (n == 0)
        jmp_error_hint(error, MAKE_ONE);
    else if (near)
        jmp_error_hint(error, "did you mean \"%s\"? \"jmpctl config client list\" lists yours", near);
    else
        jmp_error_hint(error, "\"jmpctl config client list\" lists yours%s",
                       wanted ? "" : ", \"jmpctl config client use NAME\" chooses one");
}

/* The file of that client. @ret: its path, free(). */
static int find_current(char **ret, struct jmp_problems *problems)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *file = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    const char *current;
    int r;

    r = jmp_tree_new(JMP_CONFIG_TREE_MAX, &tree);
    if (r == 0)
        r = read_current(tree, &current, &file, problems);
    if (r < 0)
        return r;
    if (!current) {
        jmp_error_set(&error, -ENOENT, "no client is chosen");
        hint_aliases(&error, tree, NULL);
        return add_problem(problems, &error);
    }
    if (jmp_paths_client(current, ret, &error) < 0) {
        jmp_error_at(&error, file, 0, 0, "config.current-client");
        return add_problem(problems, &error);
    }
    return 0;
}

int jmp_client_config_find(const char *alias, const char *path, struct jmp_client_config **ret,
                           struct jmp_problems *problems)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *found = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    if (alias && path) {
        jmp_error_set(&error, -EINVAL, "--client and --client-config exclude each other");
        return add_problem(problems, &error);
    }
    if (path)
        return jmp_client_config_load(path, ret, problems);

    if (alias) {
        if (jmp_paths_client(alias, &found, &error) < 0)
            return add_problem(problems, &error);
    } else if (is_set("JMP_NAMESPACE") && is_set("JMP_NAME") && is_set("JMP_ENDPOINT") && is_set("JMP_TOKEN")) {
        return from_environment(ret, problems);
    } else {
        r = find_current(&found, problems);
        if (r < 0)
            return r;
    }

    if (!found || access(found, F_OK) < 0) {
        r = jmp_tree_new(JMP_CONFIG_TREE_MAX, &tree);
        if (r < 0)
            return r;
        jmp_error_set(&error, -ENOENT, "there is no such client configuration");
        hint_aliases(&error, tree, alias);
        jmp_error_at(&error, found, 0, 0, NULL);
        return add_problem(problems, &error);
    }
    return jmp_client_config_load(found, ret, problems);
}
