/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl config client|exporter: the configuration files of this user, as "jmp config" makes and lists them. */
#include "ctl/cmd_config.h"

#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/text.h"
#include "config/exporter_config.h"
#include "config/paths.h"
#include "config/write.h"
#include "config/yaml.h"
#include "ctl/ask.h"

static const char *const change_words[] = { "name", "path", NULL };

#define CHANGE_OUTPUT(s)                                                                                               \
    {                                                                                                                  \
        JMP_FIELD(s, output), .letter = 'o', .value_name = "FORMAT", .words = change_words,                            \
                              .help = "say which file it was; otherwise nothing is said"                               \
    }
#define CREATE_OPTIONS                                                                                                 \
    { .key = "namespace", JMP_FIELD_AS(struct jmp_config_create, namespace_), .value_name = "NAME",                    \
      .help = "namespace of the lab" },                                                                                \
        { JMP_FIELD(struct jmp_config_create, name), .value_name = "NAME", .help = "name of it in the lab" },          \
        { JMP_FIELD(struct jmp_config_create, endpoint), .letter = 'e', .value_name = "HOST:PORT",                     \
          .help = "where the controller is" },                                                                         \
        { JMP_FIELD(struct jmp_config_create, token), .letter = 't', .value_name = "TEXT", .secret = true,             \
          .help = "what the controller gave (others see it in the process list)" },                                    \
        { JMP_FIELD(struct jmp_config_create, token_file), .value_name = "FILE", .help = "read the token from FILE" }, \
        { JMP_FIELD(struct jmp_config_create, insecure_tls), .letter = 'k',                                            \
          .help = "do not check the controller's certificate" },                                                       \
        { JMP_FIELD(struct jmp_config_create, nointeractive), .help = "ask nothing" }

const struct jmp_option jmp_config_list_options[] = { JMP_OUTPUT_OPTION(struct jmp_config_command),
                                                      JMP_CTL_HELP_OPTION,
                                                      {} };
const struct jmp_option jmp_config_change_options[] = { CHANGE_OUTPUT(struct jmp_config_command),
                                                        JMP_CTL_HELP_OPTION,
                                                        {} };
const struct jmp_option jmp_config_create_client_options[] = {
    CREATE_OPTIONS,
    { JMP_FIELD(struct jmp_config_create, allow), .letter = 'a', .value_name = "PATTERNS",
      .help = "driver classes that may be loaded, with commas between; otherwise those of Jumpstarter" },
    { JMP_FIELD(struct jmp_config_create, unsafe), .help = "any driver class may be loaded" },
    { JMP_FIELD(struct jmp_config_create, out), .value_name = "FILE", .help = "write it there" },
    CHANGE_OUTPUT(struct jmp_config_create),
    JMP_CTL_HELP_OPTION,
    {}
};
const struct jmp_option jmp_config_create_exporter_options[] = {
    CREATE_OPTIONS, CHANGE_OUTPUT(struct jmp_config_create), JMP_CTL_HELP_OPTION, {}
};

/* A file with everything that its readers take for granted, as the stock client shows it. */
static const char client_template[] =
    "{\"apiVersion\":\"jumpstarter.dev/v1alpha1\",\"kind\":\"ClientConfig\","
    "\"metadata\":{\"namespace\":null,\"name\":null},"
    "\"endpoint\":null,\"tls\":{\"ca\":\"\",\"insecure\":false},\"token\":null,\"refresh_token\":null,"
    "\"grpcOptions\":{},"
    "\"drivers\":{\"allow\":[],\"unsafe\":false},\"shell\":{\"use_profiles\":false},"
    "\"leases\":{\"acquisition_timeout\":7200,\"retry_timeout\":300}}";
static const char exporter_template[] =
    "{\"apiVersion\":\"jumpstarter.dev/v1alpha1\",\"kind\":\"ExporterConfig\","
    "\"metadata\":{\"namespace\":null,\"name\":null},"
    "\"endpoint\":null,\"tls\":{\"ca\":\"\",\"insecure\":false},\"token\":null,\"grpcOptions\":{},\"description\":null,"
    "\"export\":{},\"hooks\":{\"beforeLease\":null,\"afterLease\":null},"
    "\"failureDetection\":{\"maxRapidFailures\":5,\"rapidFailureWindow\":60}}";

/* What differs between the two kinds. */
struct kind {
    bool exporter;
    const char *noun, *list, *template;
};

static const struct kind client_kind = { false, "client", "ClientConfigList", client_template };
static const struct kind exporter_kind = { true, "exporter", "ExporterConfigList", exporter_template };

static int path_of(const struct kind *kind, const char *alias, char **ret, struct jmp_error *reterr)
{
    return kind->exporter ? jmp_paths_exporter(alias, ret, reterr) : jmp_paths_client(alias, ret, reterr);
}

/* The same, of a file that must be there. */
static int existing_path(const struct kind *kind, const char *alias, char **ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *path = NULL;
    int r;

    r = path_of(kind, alias, &path, reterr);
    if (r == 0 && access(path, F_OK) < 0)
        r = jmp_error_set(reterr, -ENOENT, "there is no %s configuration \"%s\"", kind->noun, alias);
    if (r < 0) {
        if (r == -ENOENT)
            jmp_error_hint(reterr, "\"jmpctl config %s list\" lists those there are", kind->noun);
        return r;
    }
    *ret = TAKE_PTR(path);
    return 0;
}

static void tell(const char *output, const char *alias, const char *path)
{
    if (!output)
        return;
    jmp_text_put(stdout, strcmp(output, "path") == 0 ? path : alias);
    fputc('\n', stdout);
}

/*
 * list
 */

static bool has_defaults(const struct jmp_node *node) { return node->kind == JMP_NODE_MAP && node->first; }

/* @node with what is missing in it taken from @template, in the order of that. */
static void write_whole(struct jmp_writer *writer, const struct jmp_node *template, const struct jmp_node *node)
{
    JMP_NODE_EACH(preset, template) {
        const struct jmp_node *own = jmp_node_get(node, preset->key);

        jmp_writer_key(writer, preset->key);
        if (has_defaults(preset) && (jmp_node_is_null(own) || own->kind == JMP_NODE_MAP)) {
            jmp_writer_begin_map(writer);
            write_whole(writer, preset, own);
            jmp_writer_end_map(writer);
        } else {
            jmp_writer_node(writer, jmp_node_is_null(own) ? preset : own);
        }
    }
    JMP_NODE_EACH(own, node && node->kind == JMP_NODE_MAP ? node : NULL) {
        if (!jmp_node_get(template, own->key)) {
            jmp_writer_key(writer, own->key);
            jmp_writer_node(writer, own);
        }
    }
}

static int read_file(const char *path, struct jmp_tree *tree, const struct jmp_node **ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    size_t length;
    int r;

    r = jmp_file_read(path, JMP_CONFIG_MAX, &text, &length, reterr);
    if (r == 0)
        r = jmp_yaml_parse(text, length, path, tree, ret, reterr);
    if (text)
        explicit_bzero(text, length);
    if (r == 0 && (*ret)->kind != JMP_NODE_MAP)
        r = jmp_error_set(reterr, -EINVAL, "%s holds no map of settings", path);
    return r;
}

struct listing {
    const struct kind *kind;
    enum jmp_output output;
    const char *current;          /* NULL: none */
    const struct jmp_node *template;
    struct jmp_tree *tree;
    struct jmp_writer *writer;
    struct jmp_table *table;
};

static int list_one(struct listing *listing, const char *alias, struct jmp_error *reterr)
{
    _cleanup_free_ char *path = NULL;
    const struct jmp_node *file;
    const char *endpoint;
    int r;

    r = path_of(listing->kind, alias, &path, reterr);
    if (r == 0)
        r = read_file(path, listing->tree, &file, reterr);
    if (r < 0)
        return r;
    switch (listing->output) {
    case JMP_OUTPUT_NAME:
    case JMP_OUTPUT_PATH:
        tell(listing->output == JMP_OUTPUT_PATH ? "path" : "name", alias, path);
        break;
    case JMP_OUTPUT_TABLE:
        if (!listing->kind->exporter)
            jmp_table_cell(listing->table, listing->current && strcmp(listing->current, alias) == 0 ? "*" : "");
        jmp_table_cell(listing->table, alias);
        endpoint = jmp_node_string(jmp_node_get(file, "endpoint"));
        if (!listing->kind->exporter)
            jmp_table_cell(listing->table, endpoint ? endpoint : "");
        jmp_table_cell(listing->table, path);
        break;
    case JMP_OUTPUT_JSON:
    case JMP_OUTPUT_YAML:
        jmp_writer_begin_map(listing->writer);
        jmp_writer_key(listing->writer, "alias");
        jmp_writer_string(listing->writer, alias);
        jmp_writer_key(listing->writer, "path");
        jmp_writer_string(listing->writer, path);
        write_whole(listing->writer, listing->template, file);
        jmp_writer_end_map(listing->writer);
        break;
    }
    return 0;
}

static int list_all(struct jmp_ctl *ctl, struct listing *listing, struct jmp_error *reterr)
{
    const struct jmp_node *aliases;
    struct jmp_error first = { 0 };
    int r, failed = 0;

    r = jmp_paths_aliases(listing->kind->exporter, listing->tree, &aliases, reterr);
    if (r < 0)
        return r;
    /* One that cannot be read is no reason to hide the others. */
    JMP_NODE_EACH(alias, aliases) {
        struct jmp_error error = { 0 };

        r = list_one(listing, alias->string, &error);
        if (r < 0 && !failed) {
            first = error;
            failed = r;
        } else if (r < 0) {
            jmp_error_print(stderr, "jmpctl", &error);
        }
    }
    if (failed < 0 && reterr)
        *reterr = first;
    return failed;
}

static int print_listing(struct listing *listing, struct jmp_error *reterr)
{
    const struct jmp_node *node;
    int r;

    if (listing->table) {
        r = jmp_table_print(stdout, listing->table);
        return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
    }
    if (!listing->writer)
        return 0;
    jmp_writer_end_list(listing->writer);
    jmp_writer_key(listing->writer, "kind");
    jmp_writer_string(listing->writer, listing->kind->list);
    jmp_writer_end_map(listing->writer);
    r = jmp_writer_finish(listing->writer, &node);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : jmp_output_document(stdout, listing->output, node, reterr);
}

static int begin_listing(struct listing *listing, struct jmp_error *reterr)
{
    static const char *const client_heads[] = { "CURRENT", "ALIAS", "ENDPOINT", "PATH", NULL };
    static const char *const exporter_heads[] = { "ALIAS", "PATH", NULL };
    int r = 0;

    if (listing->output == JMP_OUTPUT_TABLE) {
        r = jmp_table_new(listing->kind->exporter ? exporter_heads : client_heads, &listing->table);
    } else if (listing->output == JMP_OUTPUT_JSON || listing->output == JMP_OUTPUT_YAML) {
        r = jmp_json_parse(listing->kind->template, strlen(listing->kind->template), listing->tree, &listing->template,
                           NULL);
        if (r == 0)
            r = jmp_writer_new(listing->tree, &listing->writer);
        if (r == 0) {
            jmp_writer_begin_map(listing->writer);
            jmp_writer_key(listing->writer, "apiVersion");
            jmp_writer_string(listing->writer, "jumpstarter.dev/v1alpha1");
            if (!listing->kind->exporter) {
                jmp_writer_key(listing->writer, "currentConfig");
                jmp_writer_string(listing->writer, listing->current);
            }
            jmp_writer_key(listing->writer, "items");
            jmp_writer_begin_list(listing->writer);
        }
    }
    return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
}

static int list(struct jmp_ctl *ctl, const struct kind *kind, const struct jmp_config_command *options,
                struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct listing listing = { .kind = kind, .output = jmp_output_parse(options->output) };
    int r, printed;

    r = jmp_tree_new(64 * 1024 * 1024, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    listing.tree = tree;
    if (!kind->exporter)
        r = jmp_config_current(tree, &listing.current, reterr);
    if (r == 0)
        r = begin_listing(&listing, reterr);
    if (r == 0) {
        r = list_all(ctl, &listing, reterr);
        printed = print_listing(&listing, r < 0 ? NULL : reterr);
        r = r < 0 ? r : printed;
    }
    jmp_writer_free(listing.writer);
    jmp_table_free(listing.table);
    return r;
}

int jmp_cmd_config_client_list(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return list(ctl, &client_kind, options, reterr);
}

int jmp_cmd_config_exporter_list(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return list(ctl, &exporter_kind, options, reterr);
}

/*
 * create
 */

/* @given, or what the person says; the answer is @owned. */
static int need(struct jmp_ctl *ctl, const struct jmp_config_create *options, const char *given, const char *option,
                const char *question, char **owned, const char **ret, struct jmp_error *reterr)
{
    *ret = given;
    if (!given && !options->nointeractive)
        *ret = *owned = jmp_ask(question, strcmp(option, "token") == 0);
    if (*ret && **ret)
        return 0;
    return jmp_ctl_usage(ctl, reterr, "--%s is missing", option);
}

static int read_token(const struct jmp_config_create *options, char **owned, struct jmp_error *reterr)
{
    size_t length;
    int r;

    if (!options->token_file)
        return 0;
    r = jmp_file_read(options->token_file, JMP_ASK_MAX, owned, &length, reterr);
    if (r == 0)
        (*owned)[strcspn(*owned, " \t\r\n")] = '\0';
    return r;
}

/* Where the new file goes: never over one that is there. */
static int new_path(const struct kind *kind, const struct jmp_config_create *options, const char *alias, char **ret,
                    struct jmp_error *reterr)
{
    _cleanup_free_ char *there = NULL;
    int r;

    if (options->out) {
        *ret = strdup(options->out);
        return *ret ? 0 : jmp_error_set(reterr, -ENOMEM, "%m");
    }
    r = kind->exporter ? jmp_paths_user_exporter(alias, ret, reterr) : jmp_paths_client(alias, ret, reterr);
    if (r < 0)
        return r;
    if (kind->exporter && jmp_paths_exporter(alias, &there, NULL) == 0)
        return jmp_error_set(reterr, -EEXIST, "exporter \"%s\" exists: %s", alias, there);
    if (!kind->exporter && access(*ret, F_OK) == 0)
        return jmp_error_set(reterr, -EEXIST, "a client with the name \"%s\" already exists: %s", alias, *ret);
    return 0;
}

static bool is_confirmed(const struct jmp_config_create *options)
{
    return !options->insecure_tls || options->nointeractive || !jmp_ask_possible() || jmp_confirm(JMP_CONFIRM_INSECURE);
}

static int write_new(const struct kind *kind, const struct jmp_new_config *config, const char *alias, bool is_own,
                     const char *path, struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    int r;

    r = jmp_config_print(config, &text);
    if (r < 0)
        return jmp_error_set(reterr, r, "the configuration cannot be written: %m");
    r = jmp_file_write(path, text, strlen(text), 0600, reterr);
    explicit_bzero(text, strlen(text));
    if (r == 0 && is_own && !kind->exporter)
        r = jmp_config_save_current(alias, reterr);
    return r < 0 ? r : 0;
}

static int create(struct jmp_ctl *ctl, const struct kind *kind, const struct jmp_config_create *options,
                  const char *alias, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *path = NULL, *namespace_ = NULL, *name = NULL, *endpoint = NULL, *token = NULL;
    struct jmp_new_config config = { .is_client = !kind->exporter, .ca = "", .insecure = options->insecure_tls,
                                     .unsafe = options->unsafe };
    int r;

    if (options->token && options->token_file)
        return jmp_ctl_usage(ctl, reterr, "--token and --token-file exclude each other");
    r = new_path(kind, options, alias, &path, reterr);
    if (r == 0)
        r = read_token(options, &token, reterr);
    if (r == 0)
        r = need(ctl, options, options->namespace_, "namespace", "Namespace", &namespace_, &config.namespace_, reterr);
    if (r == 0)
        r = need(ctl, options, options->name, "name", "Name in the lab", &name, &config.name, reterr);
    if (r == 0)
        r = need(ctl, options, options->endpoint, "endpoint", "Controller, as HOST:PORT", &endpoint, &config.endpoint,
                 reterr);
    if (r == 0)
        r = need(ctl, options, token ? token : options->token, "token", "Token (hidden)", &token, &config.token,
                 reterr);
    if (r == 0 && !is_confirmed(options))
        r = jmp_error_set(reterr, -ECANCELED, "nothing was written");
    if (r == 0)
        r = jmp_tree_new(0, &tree);
    if (r == 0 && options->allow)
        r = jmp_config_split(options->allow, tree, &config.allow);
    if (r == 0)
        r = write_new(kind, &config, alias, !options->out, path, reterr);
    if (token)
        explicit_bzero(token, strlen(token));
    if (r == 0)
        tell(options->output, alias, path);
    return r;
}

int jmp_cmd_config_client_create(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return create(ctl, &client_kind, options, words[0], reterr);
}

int jmp_cmd_config_exporter_create(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return create(ctl, &exporter_kind, options, words[0] ?: "default", reterr);
}

/*
 * use, delete
 */

int jmp_cmd_config_client_use(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_config_command *options = object;
    _cleanup_free_ char *path = NULL;
    int r;

    r = existing_path(&client_kind, words[0], &path, reterr);
    if (r == 0)
        r = jmp_config_set_current(words[0], reterr);
    if (r == 0)
        tell(options->output, words[0], path);
    return r;
}

/* The current client goes: the next one is it, as with the stock client. */
static int choose_another(const char *alias, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *aliases;
    const char *next = NULL;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_paths_aliases(false, tree, &aliases, reterr);
    if (r < 0)
        return r;
    JMP_NODE_EACH(item, aliases) {
        if (!next && strcmp(item->string, alias) != 0)
            next = item->string;
    }
    return jmp_config_forget_current(alias, next, reterr);
}

static int delete(const struct kind *kind, const struct jmp_config_command *options, const char *alias,
                  struct jmp_error *reterr)
{
    _cleanup_free_ char *path = NULL;
    int r;

    r = existing_path(kind, alias, &path, reterr);
    if (r == 0 && !kind->exporter)
        r = choose_another(alias, reterr);
    if (r < 0)
        return r;
    if (unlink(path) < 0)
        return jmp_error_set(reterr, -errno, "%s cannot be deleted: %m", path);
    tell(options->output, alias, path);
    return 0;
}

int jmp_cmd_config_client_delete(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return delete(&client_kind, options, words[0], reterr);
}

int jmp_cmd_config_exporter_delete(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return delete(&exporter_kind, options, words[0] ?: "default", reterr);
}

/*
 * edit
 */

/* $VISUAL and $EDITOR may have options in them, so the shell takes them apart. */
static int run_editor(const char *path, struct jmp_error *reterr)
{
    char *const argv[] = { (char *)"sh", (char *)"-c", (char *)"exec ${VISUAL:-${EDITOR:-vi}} \"$1\"",
                           (char *)"sh", (char *)path, NULL };
    int status, r;
    pid_t pid;

    r = posix_spawnp(&pid, "sh", NULL, NULL, argv, environ);
    if (r != 0)
        return jmp_error_set(reterr, -r, "no editor can be started: %m");
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return jmp_error_set(reterr, -errno, "the editor is lost: %m");
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    jmp_error_set(reterr, -ECHILD, "the editor did not end well");
    jmp_error_hint(reterr, "$EDITOR says which one is used; otherwise it is vi");
    return -ECHILD;
}

static int edit(const struct kind *kind, const struct jmp_config_command *options, const char *alias,
                struct jmp_error *reterr)
{
    struct jmp_exporter_config *exporter = NULL;
    struct jmp_client_config *client = NULL;
    struct jmp_problems problems = { 0 };
    _cleanup_free_ char *path = NULL;
    int r;

    r = existing_path(kind, alias, &path, reterr);
    if (r == 0)
        r = run_editor(path, reterr);
    if (r < 0)
        return r;
    /* What was typed is kept, but nobody has to start something to learn that it is wrong. */
    r = kind->exporter ? jmp_exporter_config_load(path, &exporter, &problems)
                       : jmp_client_config_load(path, &client, &problems);
    for (const struct jmp_problem *problem = problems.first; problem; problem = problem->next)
        jmp_error_print(stderr, problem->warning ? "jmpctl: warning" : "jmpctl", &problem->error);
    jmp_problems_clear(&problems);
    jmp_exporter_config_free(exporter);
    jmp_client_config_free(client);
    if (r < 0)
        return jmp_error_set(reterr, r, "%s was saved with mistakes", path);
    tell(options->output, alias, path);
    return 0;
}

int jmp_cmd_config_client_edit(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return edit(&client_kind, options, words[0], reterr);
}

int jmp_cmd_config_exporter_edit(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return edit(&exporter_kind, options, words[0] ?: "default", reterr);
}
