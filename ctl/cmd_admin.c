/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl admin: with the options, outputs and exit codes of "jmp admin". */
#include "ctl/cmd_admin.h"

#include <string.h>
#include <time.h>

#include "base/file.h"
#include "config/paths.h"
#include "config/write.h"
#include "ctl/ask.h"
#include "kube/provision.h"

#define SAVE_OPTIONS                                                                                                   \
    { JMP_FIELD(struct jmp_admin_create, out), .value_name = "FILE", .help = "save the configuration there" },         \
        { .key = "insecure-tls", JMP_FIELD_AS(struct jmp_admin_create, insecure), .letter = 'k',                \
          .help = "the saved configuration does not check the controller's certificate" },                             \
        { JMP_FIELD(struct jmp_admin_create, nointeractive), .help = "ask nothing" }
#define CLIENT_OPTIONS                                                                                                 \
    { JMP_FIELD(struct jmp_admin_create, allow), .letter = 'a', .value_name = "PATTERNS",                              \
      .help = "driver classes that may be loaded, with commas between" },                                              \
        { JMP_FIELD(struct jmp_admin_create, unsafe), .help = "any driver class may be loaded" }
#define CREATE_OPTIONS                                                                                                 \
    { JMP_FIELD(struct jmp_admin_create, save), .letter = 's', .help = "save the configuration for this user" },       \
        { .key = "label", .type = JMP_STRINGS, .offset = offsetof(struct jmp_admin_create, label), .letter = 'l',      \
          .value_name = "KEY=VALUE", .help = "label of the object; may be repeated" },                                 \
        { JMP_FIELD(struct jmp_admin_create, oidc_username), .value_name = "NAME",                                     \
          .help = "who logs in as this one, at the identity provider" }

/* As with the stock command: not every form for every command, and "table" for words for people. */
static const char *const name_words[] = { "table", "name", NULL }, *const path_words[] = { "table", "path", NULL };
static const char *const object_words[] = { "table", "json", "yaml", "name", NULL };

#define ONE_OUTPUT(s, f) \
    { JMP_FIELD(s, output), .letter = 'o', .value_name = "FORMAT", .words = f, .preset = "table", \
      .help = "how to print" }

const struct jmp_option jmp_admin_get_client_options[] = {
    ONE_OUTPUT(struct jmp_admin_get, object_words), JMP_KUBE_ACCESS_OPTIONS, {}
};

const struct jmp_option jmp_admin_get_exporter_options[] = {
    { JMP_FIELD(struct jmp_admin_get, devices), .letter = 'd', .help = "a line for each device" },
    ONE_OUTPUT(struct jmp_admin_get, object_words), JMP_KUBE_ACCESS_OPTIONS, {}
};

const struct jmp_option jmp_admin_get_lease_options[] = {
    { JMP_FIELD(struct jmp_admin_get, active), .help = "only those that have not ended" },
    ONE_OUTPUT(struct jmp_admin_get, object_words), JMP_KUBE_ACCESS_OPTIONS, {}
};

const struct jmp_option jmp_admin_create_client_options[] = {
    CREATE_OPTIONS, CLIENT_OPTIONS, SAVE_OPTIONS, ONE_OUTPUT(struct jmp_admin_create, object_words),
    JMP_KUBE_ACCESS_OPTIONS, {}
};

const struct jmp_option jmp_admin_create_exporter_options[] = {
    CREATE_OPTIONS, SAVE_OPTIONS, ONE_OUTPUT(struct jmp_admin_create, object_words), JMP_KUBE_ACCESS_OPTIONS, {}
};

const struct jmp_option jmp_admin_import_client_options[] = {
    CLIENT_OPTIONS, SAVE_OPTIONS, ONE_OUTPUT(struct jmp_admin_create, path_words), JMP_KUBE_ACCESS_OPTIONS, {}
};

const struct jmp_option jmp_admin_import_exporter_options[] = {
    SAVE_OPTIONS, ONE_OUTPUT(struct jmp_admin_create, path_words), JMP_KUBE_ACCESS_OPTIONS, {}
};

const struct jmp_option jmp_admin_delete_options[] = {
    { .key = "delete", JMP_FIELD_AS(struct jmp_admin_delete, delete_), .letter = 'd',
      .help = "also this user's configuration of it" },
    { JMP_FIELD(struct jmp_admin_delete, nointeractive), .help = "ask nothing" },
    ONE_OUTPUT(struct jmp_admin_delete, name_words), JMP_KUBE_ACCESS_OPTIONS, {}
};

const struct jmp_option jmp_admin_rotate_options[] = {
    { JMP_FIELD(struct jmp_admin_create, save), .letter = 's',
      .help = "save it in this user's configuration of the client" },
    { JMP_FIELD(struct jmp_admin_create, out), .value_name = "FILE", .help = "save a configuration there" },
    ONE_OUTPUT(struct jmp_admin_create, name_words), JMP_KUBE_ACCESS_OPTIONS, {}
};

#define FETCHING "Fetching %s credentials from cluster"

/* What one command works with. */
struct admin {
    struct jmp_ctl *ctl;
    struct jmp_ctl_kube kube;
    const struct jmp_kube_options *options;
    enum jmp_kube_kind kind;
    enum jmp_output output;
    const char *noun;          /* "client", "exporter", "lease" */
    bool quiet;                /* only the result on stdout */

    /* What came of a jmp_provision. */
    bool done;
    struct jmp_error error;
    json_t *object;
    char *token, *ca;
};

static int open_admin(struct admin *admin, struct jmp_ctl *ctl, const struct jmp_kube_options *options,
                      const char *output, enum jmp_kube_kind kind, struct jmp_error *reterr)
{
    *admin = (struct admin){ .ctl = ctl, .options = options, .kind = kind, .output = jmp_output_parse(output),
                             .noun = jmp_kube_kind_name(kind)->singular };
    admin->quiet = admin->output != JMP_OUTPUT_TABLE;
    return jmp_ctl_kube_open(&admin->kube, options, reterr);
}

static void forget(struct admin *admin)
{
    if (admin->token)
        explicit_bzero(admin->token, strlen(admin->token));
    free(admin->token);
    free(admin->ca);
    json_decref(admin->object);
    admin->token = admin->ca = NULL;
    admin->object = NULL;
}

static void close_admin(struct admin *admin)
{
    forget(admin);
    jmp_ctl_kube_close(&admin->kube);
}

static void say(const struct admin *admin, const char *fmt, ...) JMP_PRINTF(2, 3);

static void say(const struct admin *admin, const char *fmt, ...)
{
    va_list ap;

    if (admin->quiet)
        return;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

/* "Client", "Exporter" */
static const char *kind_word(const struct admin *admin) { return jmp_kube_kind_name(admin->kind)->kind; }

static int ask_object(struct admin *admin, const char *method, const char *name, const char *query, json_t **ret,
                      struct jmp_error *reterr)
{
    const struct jmp_kube_kind_name *kind = jmp_kube_kind_name(admin->kind);

    return jmp_ctl_ask_object(&admin->kube, method, kind->group, kind->version, admin->options->namespace_,
                              kind->plural, name, query, ret, reterr);
}

static void on_done(const struct jmp_error *error, const struct jmp_provisioned *result, void *user)
{
    struct admin *admin = user;

    admin->done = true;
    if (error) {
        admin->error = *error;
    } else {
        forget(admin);
        admin->object = json_incref(result->object);
        admin->token = result->token ? strdup(result->token) : NULL;
        admin->ca = result->ca ? strdup(result->ca) : NULL;
        if ((result->token && !admin->token) || (result->ca && !admin->ca))
            jmp_error_set(&admin->error, -ENOMEM, "%m");
    }
    jmp_loop_exit(admin->kube.loop, 0);
}

/* Waits for the end of what was begun with @r and on_done(). */
static int await(struct admin *admin, int r, struct jmp_provision *provision, struct jmp_error *reterr)
{
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    admin->done = false;
    r = jmp_ctl_wait(&admin->kube);
    if (r < 0) {
        if (!admin->done)
            jmp_provision_cancel(provision);
        return r;
    }
    if (admin->error.error < 0 && reterr)
        *reterr = admin->error;
    return admin->error.error;
}

/*
 * get
 */

static int get(struct jmp_ctl *ctl, const struct jmp_admin_get *options, enum jmp_kube_kind kind, const char *name,
               struct jmp_error *reterr)
{
    struct jmp_kube_view view = { .kind = kind,
                                  .output = jmp_output_parse(options->output),
                                  .devices = options->devices,
                                  .namespace_ = options->kube.namespace_,
                                  .now = time(NULL) };
    _cleanup_free_ char *query = jmp_kube_query(options->active ? "!jumpstarter.dev/lease-ended" : NULL, NULL);
    struct admin admin;
    json_t *answer = NULL;
    int r;

    if (!query)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    r = open_admin(&admin, ctl, &options->kube, options->output, kind, reterr);
    if (r == 0)
        r = ask_object(&admin, "GET", name, query, &answer, reterr);
    if (r == 0)
        r = name ? jmp_kube_print_object(stdout, &view, answer, reterr)
                 : jmp_kube_print_list(stdout, &view, answer, reterr);
    json_decref(answer);
    close_admin(&admin);
    return r;
}

int jmp_cmd_admin_get_client(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return get(ctl, options, JMP_KUBE_CLIENT, words[0], reterr);
}

int jmp_cmd_admin_get_exporter(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return get(ctl, options, JMP_KUBE_EXPORTER, words[0], reterr);
}

int jmp_cmd_admin_get_lease(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return get(ctl, options, JMP_KUBE_LEASE, words[0], reterr);
}

/*
 * Configurations.
 */

static const char *member(const json_t *object, const char *outer, const char *inner)
{
    return json_string_value(json_object_get(json_object_get(object, outer), inner));
}

static int print_config(const struct admin *admin, const struct jmp_admin_create *options, char **ret,
                        struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_new_config config = {
        .is_client = admin->kind == JMP_KUBE_CLIENT,
        .namespace_ = member(admin->object, "metadata", "namespace") ?: "",
        .name = member(admin->object, "metadata", "name") ?: "",
        .endpoint = member(admin->object, "status", "endpoint") ?: "",
        .insecure = options->insecure,
        .unsafe = options->unsafe,
        .token = admin->token,
        .ca = admin->ca,
    };
    int r;

    r = jmp_tree_new(0, &tree);
    if (r == 0 && (options->allow || options->unsafe))
        r = jmp_config_split(options->allow, tree, &config.allow);
    if (r == 0)
        r = jmp_config_print(&config, ret);
    return r < 0 ? jmp_error_set(reterr, r, "the configuration cannot be written: %m") : 0;
}

/* Where the user has it. */
static int config_path(const struct admin *admin, const char *name, char **ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *directory = NULL;
    int r;

    if (admin->kind == JMP_KUBE_CLIENT)
        return jmp_paths_client(name, ret, reterr);
    r = jmp_paths_user(&directory, reterr);
    if (r < 0)
        return r;
    if (asprintf(ret, "%s/exporters/%s.yaml", directory, name) < 0)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    return 0;
}

/* The configuration of @name, of which @object was read already unless it is NULL. */
static int save_config(struct admin *admin, const struct jmp_admin_create *options, json_t *object, const char *name,
                       char **retpath, struct jmp_error *reterr)
{
    _cleanup_free_ char *path = options->out ? strdup(options->out) : NULL, *text = NULL;
    struct jmp_provision *provision = NULL;
    int r = 0;

    if (!options->out)
        r = config_path(admin, name, &path, reterr);
    else if (!path)
        r = jmp_error_set(reterr, -ENOMEM, "%m");
    if (r == 0) {
        r = jmp_provision_login(admin->kube.kube, admin->kind, admin->options->namespace_, name, object, on_done, admin,
                                &provision);
        r = await(admin, r, provision, reterr);
    }
    if (r == 0)
        r = print_config(admin, options, &text, reterr);
    if (r == 0)
        r = jmp_file_write(path, text, strlen(text), 0600, reterr);
    if (r == 0 && !options->out && admin->kind == JMP_KUBE_CLIENT)
        r = jmp_config_save_current(name, reterr);
    if (text)
        explicit_bzero(text, strlen(text));
    if (r < 0)
        return r;
    *retpath = TAKE_PTR(path);
    return 0;
}

/* What a client may load: asked for as the stock command asks, unless it was given. @owned: the answer. */
static void ask_what_to_load(const struct admin *admin, struct jmp_admin_create *chosen, char **owned)
{
    if (admin->kind != JMP_KUBE_CLIENT || chosen->nointeractive || chosen->unsafe || chosen->allow ||
        !jmp_ask_possible())
        return;
    chosen->unsafe = jmp_confirm("Allow unsafe driver client imports?");
    if (!chosen->unsafe)
        chosen->allow = *owned =
            jmp_ask("Enter a comma-separated list of allowed driver packages (optional) []", false);
}

static int confirm_insecure(const struct jmp_admin_create *options, struct jmp_error *reterr)
{
    if (!options->insecure || options->nointeractive || !jmp_ask_possible() || jmp_confirm(JMP_CONFIRM_INSECURE))
        return 0;
    return jmp_error_set(reterr, -ECANCELED, "nothing was done");
}

/*
 * create
 */

static int read_labels(struct jmp_ctl *ctl, const struct jmp_node *labels, json_t **ret, struct jmp_error *reterr)
{
    json_t *map = labels ? json_object() : NULL;

    if (labels && !map)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    JMP_NODE_EACH(item, labels) {
        const char *equals = strchr(item->string, '=');
        _cleanup_free_ char *key = equals ? strndup(item->string, (size_t)(equals - item->string)) : NULL;

        if (!equals || equals == item->string) {
            json_decref(map);
            return jmp_ctl_usage(ctl, reterr, "Invalid label '%s', should be formatted as 'key=value'", item->string);
        }
        if (!key || json_object_set_new(map, key, json_string(equals + 1)) < 0) {
            json_decref(map);
            return jmp_error_set(reterr, -ENOMEM, "%m");
        }
    }
    *ret = map;
    return 0;
}

static int create_object(struct admin *admin, const struct jmp_admin_create *options, const char *name, json_t **ret,
                         struct jmp_error *reterr)
{
    struct jmp_provision *provision = NULL;
    json_t *labels = NULL;
    int r;

    r = read_labels(admin->ctl, options->label, &labels, reterr);
    if (r < 0)
        return r;
    say(admin, "Creating %s '%s' in namespace '%s'", admin->noun, name, admin->options->namespace_);
    r = jmp_provision_create(admin->kube.kube, admin->kind, admin->options->namespace_, name, labels,
                             options->oidc_username, on_done, admin, &provision);
    json_decref(labels);
    r = await(admin, r, provision, reterr);
    if (r == -ETIMEDOUT && admin->error.error == -ETIMEDOUT)
        jmp_error_hint(reterr, "it is there all the same: once a controller runs, jmpctl admin import %s %s",
                       admin->noun, name);
    if (r == 0)
        *ret = json_incref(admin->object);
    return r;
}

static int create(struct jmp_ctl *ctl, const struct jmp_admin_create *options, enum jmp_kube_kind kind,
                  const char *name, struct jmp_error *reterr)
{
    struct jmp_kube_view view = { .kind = kind, .output = jmp_output_parse(options->output),
                                  .namespace_ = options->kube.namespace_, .now = time(NULL) };
    struct jmp_admin_create chosen = *options;
    _cleanup_free_ char *path = NULL, *said = NULL;
    char question[64];
    json_t *object = NULL;
    struct admin admin;
    int r;

    if (kind == JMP_KUBE_EXPORTER && !options->label)
        return jmp_ctl_usage(ctl, reterr, "Missing option '--label' / '-l'.");
    r = confirm_insecure(options, reterr);
    if (r < 0)
        return r;
    r = open_admin(&admin, ctl, &options->kube, options->output, kind, reterr);
    if (r == 0)
        r = create_object(&admin, options, name, &object, reterr);
    if (r == 0) {
        snprintf(question, sizeof(question), "Save %s configuration?", admin.noun);
        chosen.save |= !chosen.out && !chosen.nointeractive && !chosen.save && jmp_confirm(question);
        if (chosen.save || chosen.out) {
            say(&admin, FETCHING, admin.noun);
            ask_what_to_load(&admin, &chosen, &said);
            r = save_config(&admin, &chosen, object, name, &path, reterr);
        }
        if (r == 0 && path)
            say(&admin, "%s configuration successfully saved to %s", kind_word(&admin), path);
    }
    if (r == 0)
        r = jmp_kube_print_object(stdout, &view, object, reterr);
    json_decref(object);
    close_admin(&admin);
    return r;
}

int jmp_cmd_admin_create_client(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return create(ctl, options, JMP_KUBE_CLIENT, words[0], reterr);
}

int jmp_cmd_admin_create_exporter(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return create(ctl, options, JMP_KUBE_EXPORTER, words[0], reterr);
}

/*
 * import
 */

/* A file of that name is there, of this user or, for an exporter, of the system: it would be used, so it is not
 * replaced. */
static int refuse_to_replace(const struct admin *admin, const struct jmp_admin_create *options, const char *name,
                             struct jmp_error *reterr)
{
    _cleanup_free_ char *path = NULL;
    int r;

    if (admin->kind == JMP_KUBE_EXPORTER) {
        if (jmp_paths_exporter(name, &path, NULL) < 0)
            return 0;
        return jmp_error_set(reterr, -EEXIST, "An exporter with the name \"%s\" already exists", name);
    }
    r = jmp_paths_client(name, &path, reterr);
    if (r < 0 || options->out || access(path, F_OK) < 0)
        return r;
    return jmp_error_set(reterr, -EEXIST, "A client with the name '%s' already exists", name);
}

static int import(struct jmp_ctl *ctl, const struct jmp_admin_create *options, enum jmp_kube_kind kind,
                  const char *name, struct jmp_error *reterr)
{
    struct jmp_admin_create chosen = *options;
    _cleanup_free_ char *path = NULL, *said = NULL;
    struct admin admin;
    int r;

    r = open_admin(&admin, ctl, &options->kube, options->output, kind, reterr);
    if (r == 0)
        r = refuse_to_replace(&admin, options, name, reterr);
    if (r == 0)
        r = confirm_insecure(options, reterr);
    if (r == 0) {
        ask_what_to_load(&admin, &chosen, &said);
        say(&admin, FETCHING, admin.noun);
        r = save_config(&admin, &chosen, NULL, name, &path, reterr);
    }
    if (r == 0 && admin.quiet)
        printf("%s\n", path);
    else if (r == 0)
        say(&admin, "%s configuration successfully saved to %s", kind_word(&admin), path);
    close_admin(&admin);
    return r;
}

int jmp_cmd_admin_import_client(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return import(ctl, options, JMP_KUBE_CLIENT, words[0], reterr);
}

int jmp_cmd_admin_import_exporter(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return import(ctl, options, JMP_KUBE_EXPORTER, words[0] ?: "default", reterr);
}

/*
 * delete
 */

static int delete_config(struct admin *admin, const struct jmp_admin_delete *options, const char *name,
                         struct jmp_error *reterr)
{
    _cleanup_free_ char *path = NULL, *left = NULL;
    char question[64];
    int r;

    r = config_path(admin, name, &path, reterr);
    if (r < 0)
        return r;
    snprintf(question, sizeof(question), "Delete %s configuration?", admin->noun);
    if (access(path, F_OK) == 0 && (options->delete_ || (!options->nointeractive && jmp_confirm(question)))) {
        if (admin->kind == JMP_KUBE_CLIENT)
            r = jmp_config_forget_current(name, NULL, reterr);
        if (r == 0 && unlink(path) < 0)
            r = jmp_error_set(reterr, -errno, "%s cannot be deleted: %m", path);
        if (r < 0)
            return r;
        say(admin, "%s configuration successfully deleted", kind_word(admin));
    }
    if (admin->kind == JMP_KUBE_EXPORTER && jmp_paths_exporter(name, &left, NULL) == 0 && strcmp(left, path) != 0)
        jmp_ctl_note(admin->ctl, "warning: a system config at %s was not removed and may still be used by the exporter",
                     left);
    return 0;
}

static int delete(struct jmp_ctl *ctl, const struct jmp_admin_delete *options, enum jmp_kube_kind kind,
                  const char *name, struct jmp_error *reterr)
{
    struct admin admin;
    int r;

    r = open_admin(&admin, ctl, &options->kube, options->output, kind, reterr);
    if (r == 0)
        r = ask_object(&admin, "DELETE", name, NULL, NULL, reterr);
    if (r == 0 && admin.quiet)
        printf("%s." JMP_KUBE_GROUP "/%s\n", admin.noun, name);
    else if (r == 0)
        say(&admin, "Deleted %s '%s' in namespace '%s'", admin.noun, name, options->kube.namespace_);
    if (r == 0)
        r = delete_config(&admin, options, name, reterr);
    close_admin(&admin);
    return r;
}

int jmp_cmd_admin_delete_client(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return delete(ctl, options, JMP_KUBE_CLIENT, words[0], reterr);
}

int jmp_cmd_admin_delete_exporter(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    return delete(ctl, options, JMP_KUBE_EXPORTER, words[0], reterr);
}

/*
 * rotate
 */

/* A configuration that is there keeps all but its token; otherwise there is one from now on. */
static int save_token(struct admin *admin, const struct jmp_admin_create *options, const char *name,
                      struct jmp_error *reterr)
{
    _cleanup_free_ char *own = NULL, *path = NULL;
    int r;

    r = config_path(admin, name, &own, reterr);
    if (r < 0)
        return r;
    if (access(own, F_OK) == 0)
        return jmp_config_save_token(own, options->out ?: own, admin->token, NULL, reterr);
    return save_config(admin, options, NULL, name, &path, reterr);
}

int jmp_cmd_admin_rotate_client(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_admin_create *options = object;
    struct jmp_provision *provision = NULL;
    struct admin admin;
    int r;

    r = open_admin(&admin, ctl, &options->kube, options->output, JMP_KUBE_CLIENT, reterr);
    if (r == 0) {
        say(&admin, "Rotating token for client '%s' in namespace '%s'", words[0], options->kube.namespace_);
        r = jmp_provision_rotate(admin.kube.kube, options->kube.namespace_, words[0], on_done, &admin, &provision);
        r = await(&admin, r, provision, reterr);
    }
    if (r == 0)
        say(&admin, "Token rotated for client '%s'", words[0]);
    if (r == 0 && (options->save || options->out)) {
        r = save_token(&admin, options, words[0], reterr);
        if (r == 0)
            say(&admin, "Client configuration updated with new token");
    }
    if (r == 0 && admin.quiet)
        printf("client." JMP_KUBE_GROUP "/%s\n", words[0]);
    close_admin(&admin);
    return r;
}

/*
 * The same without Kubernetes: jmp-labd has these words itself, for they work on its directory.
 */

int jmp_cmd_admin_lab(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr)
{
    _cleanup_free_ char **argv = NULL;
    size_t n = 0;

    while (words[n])
        n++;
    argv = calloc(n + 2, sizeof(*argv));
    if (!argv)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    argv[0] = (char *)"jmp-labd";
    memcpy(argv + 1, words, n * sizeof(*argv));
    fflush(stdout);
    execvp(argv[0], argv);
    jmp_error_set(reterr, -errno, "jmp-labd cannot be started: %m");
    jmp_error_hint(reterr, "its commands are for the machine on which it runs: try there");
    return reterr ? reterr->error : -ENOENT;
}
