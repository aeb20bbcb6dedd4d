/* SPDX-License-Identifier: Apache-2.0 */
/* jmp-labd: controller and router of a small lab. Exit status: 0 orderly, 1 failed, 2 usage. */
#include <string.h>

#include "base/log.h"
#include "base/option.h"
#include "labd/admin.h"
#include "labd/serve.h"

#define PROGRAM "jmp-labd"
#define SYSTEM_DIRECTORY "/var/lib/jmp-labd"

enum { EXIT_ORDERLY = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct flags {
    const char *data_dir, *namespace_;
    const char *listen, *endpoint;
    const struct jmp_node *name, *label, *remove_label, *allow;
    const char *output, *out, *oidc_username;
    bool unsafe, insecure_tls, save, force, enable, disable, all, delete_, nointeractive, help;
    const char *log_level, *log_format;
};

static const char *const log_formats[] = { "auto", "json", "text", NULL };
static const char *const list_formats[] = { "table", "json", "yaml", "name", NULL };
static const char *const name_formats[] = { "name", NULL };
static const char *const file_formats[] = { "json", "yaml", "name", "path", NULL };

#define DATA_ROW { JMP_FIELD(struct flags, data_dir), .value_name = "DIR", \
    .help = "where the lab is kept; " SYSTEM_DIRECTORY ", or the user's state directory" }
#define HELP_ROW { JMP_FIELD(struct flags, help), .letter = 'h', .help = "show this and exit" }
#define LIST(f) .key = #f, .type = JMP_STRINGS, .offset = offsetof(struct flags, f)
#define LABEL_ROW { LIST(label), .letter = 'l', .value_name = "KEY=VALUE", .help = "label of it" }
#define ENDPOINT_ROW { JMP_FIELD(struct flags, endpoint), .value_name = "HOST:PORT", \
    .help = "address that goes into the file; the one the service uses" }
#define FILE_ROWS \
    { JMP_FIELD(struct flags, out), .value_name = "FILE", .help = "write the configuration there, not to stdout" }, \
    { JMP_FIELD(struct flags, save), .letter = 's', \
      .help = "write it where jmp and jmpctl, or jmp-agent, look for it" }, \
    { JMP_FIELD(struct flags, force), .help = "overwrite the file if it exists" }, \
    { JMP_FIELD(struct flags, output), .letter = 'o', .value_name = "FORMAT", \
      .help = "what is printed: json or yaml of the object, its name, or the file's path; any other " \
              "word is a FILE, as with --out" }, \
    { JMP_FIELD(struct flags, insecure_tls), .letter = 'k', \
      .help = "the configuration does not check the lab's certificate" }, \
    SAME_ROW
/* What the commands of Kubernetes know, so that a script for one is good for the other. */
#define SAME_ROW { JMP_FIELD(struct flags, nointeractive), .help = "ask nothing; nothing is asked anyway" }
#define OIDC_ROW { JMP_FIELD(struct flags, oidc_username), .value_name = "NAME", \
    .help = "for labs with an identity provider; this has none" }
#define CLIENT_ROWS \
    { LIST(allow), .letter = 'a', .value_name = "CLASS", \
      .help = "driver client classes that may be loaded, with wildcards, and commas between; those of Jumpstarter" }, \
    { JMP_FIELD(struct flags, unsafe), .help = "let the client load any driver client class" }

static const struct jmp_option serve_options[] = {
    { JMP_FIELD(struct flags, listen), .value_name = "HOST:PORT", .preset = "0.0.0.0:" JMP_LABD_PORT,
      .help = "address to serve on" },
    DATA_ROW,
    { JMP_FIELD(struct flags, endpoint), .value_name = "HOST:PORT",
      .help = "address that everybody is told; by default each is told the one he used" },
    { LIST(name), .letter = 'n', .value_name = "NAME",
      .help = "another name or address of this machine, for its certificate" },
    { .key = "namespace",
      JMP_FIELD_AS(struct flags, namespace_),
      .value_name = "NAME",
      .help = "of a new lab; \"default\" unless given, and fixed afterwards" },
    { JMP_FIELD(struct flags, log_level), .value_name = "LEVEL", .preset = "info",
      .help = "debug, info, warning, error or critical" },
    { JMP_FIELD(struct flags, log_format), .words = log_formats, .preset = "auto", .value_name = "FORMAT",
      .help = "of the log, where auto is text on a terminal, fields for the journal, else json" },
    HELP_ROW,
    {}
};

static const struct jmp_option create_client_options[] = {
    LABEL_ROW, FILE_ROWS, CLIENT_ROWS, OIDC_ROW, ENDPOINT_ROW, DATA_ROW, HELP_ROW, {}
};
static const struct jmp_option create_exporter_options[] = {
    LABEL_ROW, FILE_ROWS, OIDC_ROW, ENDPOINT_ROW, DATA_ROW, HELP_ROW, {}
};
static const struct jmp_option rotate_client_options[] = {
    FILE_ROWS, CLIENT_ROWS, ENDPOINT_ROW, DATA_ROW, HELP_ROW, {}
};
static const struct jmp_option rotate_exporter_options[] = { FILE_ROWS, ENDPOINT_ROW, DATA_ROW, HELP_ROW, {} };
static const struct jmp_option update_exporter_options[] = {
    LABEL_ROW,
    { LIST(remove_label), .value_name = "KEY", .help = "take a label away" },
    { JMP_FIELD(struct flags, enable), .help = "new leases may get it" },
    { JMP_FIELD(struct flags, disable), .help = "new leases do not get it any more" },
    DATA_ROW, HELP_ROW, {}
};
#define NAME_ROW { JMP_FIELD(struct flags, output), .letter = 'o', .words = name_formats, .value_name = "FORMAT", \
    .help = "say what was deleted; otherwise nothing is said" }
static const struct jmp_option delete_options[] = {
    { JMP_FIELD(struct flags, force), .help = "even if a lease is running: it ends" },
    { .key = "delete", JMP_FIELD_AS(struct flags, delete_), .letter = 'd', .help = "also your configuration of it" },
    NAME_ROW, SAME_ROW, DATA_ROW, HELP_ROW, {}
};
static const struct jmp_option delete_lease_options[] = { NAME_ROW, SAME_ROW, DATA_ROW, HELP_ROW, {} };

#define FORMAT_ROW { JMP_FIELD(struct flags, output), .letter = 'o', .words = list_formats, .preset = "table", \
    .value_name = "FORMAT", .help = "how to show them" }
static const struct jmp_option get_options[] = { FORMAT_ROW, DATA_ROW, HELP_ROW, {} };
static const struct jmp_option get_leases_options[] = {
    FORMAT_ROW, { JMP_FIELD(struct flags, all), .help = "also those that have ended" }, DATA_ROW, HELP_ROW, {}
};

struct command {
    const char *name, *words, *help;
    const struct jmp_option *options;
    int (*run)(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);   /* NULL: serve */
};

static const struct command commands[] = {
    { "serve", "", "run the service (also without any command)", serve_options, NULL },
    { "create client", " NAME", "make a client and write its configuration", create_client_options,
      jmp_admin_create_client },
    { "create exporter", " NAME", "make an exporter and write its configuration", create_exporter_options,
      jmp_admin_create_exporter },
    { "get clients", " [NAME]", "show the clients, or one", get_options, jmp_admin_get_clients },
    { "get exporters", " [NAME]", "show the exporters and their last known status, or one", get_options,
      jmp_admin_get_exporters },
    { "get leases", " [NAME]", "show leases that have not ended, or one", get_leases_options, jmp_admin_get_leases },
    { "import client", " NAME", "save the configuration of a client that is there", rotate_client_options,
      jmp_admin_import_client },
    { "import exporter", " [NAME]", "save the configuration of an exporter that is there", rotate_exporter_options,
      jmp_admin_import_exporter },
    { "rotate client", " NAME", "write a client's configuration with a fresh token", rotate_client_options,
      jmp_admin_rotate_client },
    { "rotate exporter", " NAME", "write an exporter's configuration with a fresh token", rotate_exporter_options,
      jmp_admin_rotate_exporter },
    { "update exporter", " NAME", "change labels, enable or disable", update_exporter_options,
      jmp_admin_update_exporter },
    { "delete client", " NAME", "forget a client; its tokens are worthless then", delete_options,
      jmp_admin_delete_client },
    { "delete exporter", " NAME", "forget an exporter; its tokens are worthless then", delete_options,
      jmp_admin_delete_exporter },
    { "delete lease", " NAME", "end somebody's lease", delete_lease_options, jmp_admin_delete_lease },
};

/* Other words for the same, as "jmp admin" has them; the first is ours. */
static const char *const synonyms[][6] = {
    { "get", "list", "ls", "g" },
    { "create", "c" },
    { "delete", "del", "d", "rm", "remove" },
    { "import", "i" },
    { "rotate" },
    { "update" },
};
static const char *const nouns[][4] = { { "client", "clients", "c" },
                                        { "exporter", "exporters", "e" },
                                        { "lease", "leases", "l" } };

/* What somebody may look for here in vain, and why. */
static const struct {
    const char *name, *why;
} elsewhere[] = {
    { "create lease", "a lease is made by the client who wants it: jmpctl create lease" },
    { "import lease", "a lease has no configuration that could be saved" },
    { "rotate lease", "a lease has no token" },
    { "update lease", "a lease is changed by the client who holds it: jmpctl update lease" },
    { "update client", "nothing of a client can be changed; jmp-labd rotate client gives it a fresh token" },
};

static int complain(const struct jmp_error *error)
{
    jmp_error_print(stderr, PROGRAM, error);
    return EXIT_FAILED;
}

static int complain_usage(const char *text, const char *hint)
{
    fprintf(stderr, "%s: %s\n", PROGRAM, text);
    if (hint)
        fprintf(stderr, "  hint: %s\n", hint);
    return EXIT_USAGE;
}

static int usage(const struct command *command, const char *text)
{
    fprintf(stderr, "%s: %s\n  hint: %s%s%s --help\n", PROGRAM, text, PROGRAM, command ? " " : "",
            command ? command->name : "");
    return EXIT_USAGE;
}

static int show_help(void)
{
    printf("Usage: " PROGRAM
           " [COMMAND] [OPTION...]\n\nController and router of a small lab, without Kubernetes.\n\nCommands:\n");
    for (size_t i = 0; i < ELEMENTSOF(commands); i++)
        printf("  %-16s %s\n", commands[i].name, commands[i].help);
    printf("\n\"" PROGRAM " COMMAND --help\" shows the options of a command, \"" PROGRAM " --version\" the version.\n");
    return EXIT_ORDERLY;
}

static int show_command_help(const struct command *command)
{
    printf("Usage: " PROGRAM " %s%s [OPTION...]\n\n%c%s.\n\nOptions:\n", command->name, command->words,
           (char)(command->help[0] - ('a' - 'A')), command->help + 1);
    jmp_options_help(stdout, command->options, 0);
    return EXIT_ORDERLY;
}

/* A service of systemd is told; root and whoever may write there share the system's place; others have their own. */
static int default_directory(char **ret)
{
    const char *state = getenv("STATE_DIRECTORY"), *home = getenv("HOME"), *xdg = getenv("XDG_STATE_HOME");
    int r;

    if (state && *state)
        r = (*ret = strndup(state, strcspn(state, ":"))) ? 0 : -1;
    else if (getuid() == 0 || access(SYSTEM_DIRECTORY, W_OK) == 0)
        r = (*ret = strdup(SYSTEM_DIRECTORY)) ? 0 : -1;
    else if (xdg && *xdg == '/')
        r = asprintf(ret, "%s/jmp-labd", xdg);
    else if (home && *home == '/')
        r = asprintf(ret, "%s/.local/state/jmp-labd", home);
    else
        return -ENOENT;

    return r < 0 ? -ENOMEM : 0;
}

static int serve(const struct flags *flags, const char *directory, const struct command *command)
{
    static const enum jmp_log_format known[] = { JMP_LOG_AUTO, JMP_LOG_JSON, JMP_LOG_TEXT };
    _cleanup_free_ const char **names = calloc((flags->name ? flags->name->count : 0) + 1, sizeof(*names));
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_serve_options options = { .listen = flags->listen,
                                         .directory = directory,
                                         .namespace_ = flags->namespace_,
                                         .endpoint = flags->endpoint,
                                         .names = names };
    enum jmp_log_level level;
    size_t count = 0, format = 0;
    int r;

    if (!names)
        return EXIT_FAILED;
    if (!jmp_log_level_parse(flags->log_level, &level))
        return usage(command, "--log-level is debug, info, warning, error or critical");
    while (format + 1 < ELEMENTSOF(known) && strcmp(flags->log_format, log_formats[format]) != 0)
        format++;
    jmp_log_open("labd", level, known[format]);
    JMP_NODE_EACH(item, flags->name)
        names[count++] = item->string;

    r = jmp_serve(&options, &error);
    if (r == 0)
        return EXIT_ORDERLY;
    if (!error.error)
        jmp_error_set(&error, r, "cannot serve: %s", strerror(-r));
    return complain(&error);
}

static const char *canonical(const char *const *words, size_t most, const char *word)
{
    for (size_t i = 0; i < most && words[i]; i++)
        if (strcmp(words[i], word) == 0)
            return words[0];
    return NULL;
}

static const char *canonical_verb(const char *verb)
{
    const char *word = NULL;

    for (size_t i = 0; i < ELEMENTSOF(synonyms) && !word; i++)
        word = canonical(synonyms[i], ELEMENTSOF(synonyms[i]), verb);
    return word;
}

/* "get client" of "ls", "clients"; what is no word of ours stays. */
static void normalize(const char *verb, const char *noun, char *ret, size_t size)
{
    const char *word, *own_verb = canonical_verb(verb) ?: verb, *own_noun = noun;

    for (size_t i = 0; i < ELEMENTSOF(nouns); i++)
        if (noun && (word = canonical(nouns[i], ELEMENTSOF(nouns[i]), noun)))
            own_noun = word;
    snprintf(ret, size, "%s%s%s", own_verb, own_noun ? " " : "", own_noun ?: "");
}

static const struct command *find_command(char **argv, int *words)
{
    char given[64], name[64];

    *words = 0;
    if (!argv[1] || argv[1][0] == '-')
        return &commands[0];
    normalize(argv[1], argv[2], given, sizeof(given));
    for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
        _cleanup_free_ char *verb = strdup(commands[i].name);
        char *noun = verb ? strchr(verb, ' ') : NULL;

        if (!verb)
            return NULL;
        if (noun)
            *noun++ = '\0';
        normalize(verb, noun, name, sizeof(name));
        if (noun ? strcmp(name, given) == 0 : strcmp(name, argv[1]) == 0) {
            *words = noun ? 2 : 1;
            return &commands[i];
        }
    }

    return NULL;
}

static int unknown(char **argv)
{
    const char *names[ELEMENTSOF(commands) + 1] = { NULL }, *nearest;
    char given[64], text[200];

    normalize(argv[1], argv[2], given, sizeof(given));
    for (size_t i = 0; i < ELEMENTSOF(elsewhere); i++)
        if (strcmp(elsewhere[i].name, given) == 0)
            return complain_usage(elsewhere[i].why, NULL);
    if (!argv[2] && canonical_verb(argv[1]))
        return complain_usage("what? A client, an exporter or a lease", "jmp-labd --help");
    for (size_t i = 0; i < ELEMENTSOF(commands); i++)
        names[i] = commands[i].name;
    snprintf(given, sizeof(given), "%s%s%s", argv[1], argv[2] ? " " : "", argv[2] ?: "");
    nearest = jmp_nearest(given, names);
    snprintf(text, sizeof(text), "\"%s\" is not a command%s%s%s", given, nearest ? "; did you mean " : "",
             nearest ? nearest : "", nearest ? "?" : "");
    return usage(NULL, text);
}

/* What "-o" says where a file is written too. */
static bool is_format(const char *text)
{
    for (size_t i = 0; file_formats[i]; i++)
        if (strcmp(file_formats[i], text) == 0)
            return true;
    return false;
}

static bool has_file(const struct command *command)
{
    for (const struct jmp_option *option = command->options; option->key; option++)
        if (strcmp(option->key, "out") == 0)
            return true;
    return false;
}

static int run(char **argv)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *directory = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_admin_options options;
    struct flags flags = { 0 };
    const struct command *command;
    unsigned rest, given = 0;
    char **names;
    int words, r;

    command = find_command(argv, &words);
    if (!command)
        return unknown(argv);
    if (jmp_tree_new(0, &tree) < 0)
        return EXIT_FAILED;
    r = jmp_options_parse(command->options, &flags, argv + 1 + words, true, tree, &rest, &error);
    if (flags.help)
        return words ? show_command_help(command) : show_help();
    if (r < 0) {
        complain(&error);
        return EXIT_USAGE;
    }

    names = argv + 1 + words + rest;
    while (names[given])
        given++;
    if (given > (command->words[0] ? 1u : 0u) || (given == 0 && command->words[0] && !strchr(command->words, '[')))
        return usage(command, !command->words[0]            ? "no further words are wanted"
                              : strchr(command->words, '[') ? "at most one name is wanted"
                                                            : "exactly one name is wanted");
    if (flags.oidc_username)
        return usage(command, "--oidc-username: this lab has no identity provider; who has the token is the client");

    if (flags.data_dir)
        directory = strdup(flags.data_dir);
    else if (default_directory(&directory) == -ENOENT)
        return usage(command, "no place for the lab: neither --data-dir nor a home directory is given");
    if (!directory)
        return EXIT_FAILED;
    if (!command->run)
        return serve(&flags, directory, command);

    options = (struct jmp_admin_options){
        .directory = directory,
        .endpoint = flags.endpoint,
        .label = flags.label,
        .remove_label = flags.remove_label,
        .allow = flags.allow,
        .unsafe = flags.unsafe,
        .insecure = flags.insecure_tls,
        .out = flags.out,
        .save = flags.save,
        .force = flags.force,
        .enable = flags.enable,
        .disable = flags.disable,
        .all = flags.all,
        .delete_ = flags.delete_,
    };
    if (flags.output && has_file(command) && !is_format(flags.output)) {
        if (flags.out)
            return usage(command, "-o FILE and --out exclude each other");
        options.out = flags.output;
    } else {
        options.format = flags.output;
    }
    r = command->run(&options, names[0], &error);
    if (r == 0)
        return EXIT_ORDERLY;
    if (!error.error)
        jmp_error_set(&error, r, "%s failed: %s", command->name, strerror(-r));
    return complain(&error);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf(PROGRAM " " JMP_VERSION "\n");
        return EXIT_ORDERLY;
    }
    if (argc == 2 && strcmp(argv[1], "help") == 0)
        return show_help();

    return run(argv);
}
