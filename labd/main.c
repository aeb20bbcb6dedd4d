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
    const char *output;
    bool unsafe, save, force, enable, disable, all, help;
    const char *log_level, *log_format;
};

static const char *const log_formats[] = { "auto", "json", "text", NULL };
static const char *const list_formats[] = { "table", "json", "yaml", NULL };

#define DATA_ROW { JMP_FIELD(struct flags, data_dir), .value_name = "DIR", \
    .help = "where the lab is kept; " SYSTEM_DIRECTORY ", or the user's state directory" }
#define HELP_ROW { JMP_FIELD(struct flags, help), .letter = 'h', .help = "show this and exit" }
#define LIST(f) .key = #f, .type = JMP_STRINGS, .offset = offsetof(struct flags, f)
#define LABEL_ROW { LIST(label), .letter = 'l', .value_name = "KEY=VALUE", .help = "label of it" }
#define ENDPOINT_ROW { JMP_FIELD(struct flags, endpoint), .value_name = "HOST:PORT", \
    .help = "address that goes into the file; the one the service uses" }
#define FILE_ROWS \
    { JMP_FIELD(struct flags, output), .letter = 'o', .value_name = "FILE", .help = "write the configuration here, not to stdout" }, \
    { JMP_FIELD(struct flags, save), .letter = 's', .help = "write it where jmp and jmpctl, or jmp-agent, look for it" }, \
    { JMP_FIELD(struct flags, force), .help = "overwrite the file if it exists" }
#define CLIENT_ROWS \
    { LIST(allow), .letter = 'a', .value_name = "CLASS", \
      .help = "driver client classes that may be loaded, with wildcards; those of Jumpstarter" }, \
    { JMP_FIELD(struct flags, unsafe), .help = "let the client load any driver client class" }

static const struct jmp_option serve_options[] = {
    { JMP_FIELD(struct flags, listen), .value_name = "HOST:PORT", .preset = "0.0.0.0:" JMP_LABD_PORT, .help = "address to serve on" },
    DATA_ROW,
    { JMP_FIELD(struct flags, endpoint), .value_name = "HOST:PORT",
      .help = "address that everybody is told; by default each is told the one he used" },
    { LIST(name), .letter = 'n', .value_name = "NAME",
      .help = "another name or address of this machine, for its certificate" },
    { .key = "namespace", JMP_FIELD_AS(struct flags, namespace_), .value_name = "NAME",
      .help = "of a new lab; \"default\" unless given, and fixed afterwards" },
    { JMP_FIELD(struct flags, log_level), .value_name = "LEVEL", .preset = "info", .help = "debug, info, warning, error or critical" },
    { JMP_FIELD(struct flags, log_format), .words = log_formats, .preset = "auto", .value_name = "FORMAT",
      .help = "of the log, where auto is text on a terminal, fields for the journal, else json" },
    HELP_ROW,
    {}
};

static const struct jmp_option create_client_options[] = { LABEL_ROW, FILE_ROWS, CLIENT_ROWS, ENDPOINT_ROW, DATA_ROW, HELP_ROW, {} };
static const struct jmp_option create_exporter_options[] = { LABEL_ROW, FILE_ROWS, ENDPOINT_ROW, DATA_ROW, HELP_ROW, {} };
static const struct jmp_option rotate_client_options[] = { FILE_ROWS, CLIENT_ROWS, ENDPOINT_ROW, DATA_ROW, HELP_ROW, {} };
static const struct jmp_option rotate_exporter_options[] = { FILE_ROWS, ENDPOINT_ROW, DATA_ROW, HELP_ROW, {} };
static const struct jmp_option update_exporter_options[] = {
    LABEL_ROW,
    { LIST(remove_label), .value_name = "KEY", .help = "take a label away" },
    { JMP_FIELD(struct flags, enable), .help = "new leases may get it" },
    { JMP_FIELD(struct flags, disable), .help = "new leases do not get it any more" },
    DATA_ROW, HELP_ROW, {}
};
static const struct jmp_option delete_options[] = {
    { JMP_FIELD(struct flags, force), .help = "even if a lease is running: it ends" }, DATA_ROW, HELP_ROW, {}
};
static const struct jmp_option plain_options[] = { DATA_ROW, HELP_ROW, {} };

#define FORMAT_ROW { JMP_FIELD(struct flags, output), .letter = 'o', .words = list_formats, .preset = "table", \
    .value_name = "FORMAT", .help = "how to show them" }
static const struct jmp_option list_options[] = { FORMAT_ROW, DATA_ROW, HELP_ROW, {} };
static const struct jmp_option list_leases_options[] = {
    FORMAT_ROW, { JMP_FIELD(struct flags, all), .help = "also those that have ended" }, DATA_ROW, HELP_ROW, {}
};

struct command {
    const char *name, *words, *help;
    const struct jmp_option *options;
    int (*run)(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr);   /* NULL: serve */
};

static const struct command commands[] = {
    { "serve", "", "run the service (also without any command)", serve_options, NULL },
    { "create client", " NAME", "make a client and write its configuration", create_client_options, jmp_admin_create_client },
    { "create exporter", " NAME", "make an exporter and write its configuration", create_exporter_options, jmp_admin_create_exporter },
    { "rotate client", " NAME", "write a client's configuration with a fresh token", rotate_client_options, jmp_admin_rotate_client },
    { "rotate exporter", " NAME", "write an exporter's configuration with a fresh token", rotate_exporter_options,
      jmp_admin_rotate_exporter },
    { "update exporter", " NAME", "change labels, enable or disable", update_exporter_options, jmp_admin_update_exporter },
    { "delete client", " NAME", "forget a client; its tokens are worthless then", delete_options, jmp_admin_delete_client },
    { "delete exporter", " NAME", "forget an exporter; its tokens are worthless then", delete_options, jmp_admin_delete_exporter },
    { "delete lease", " NAME", "end somebody's lease", plain_options, jmp_admin_delete_lease },
    { "list clients", "", "show the clients", list_options, jmp_admin_list_clients },
    { "list exporters", "", "show the exporters and their last known status", list_options, jmp_admin_list_exporters },
    { "list leases", "", "show leases that have not ended", list_leases_options, jmp_admin_list_leases },
};

static int complain(const struct jmp_error *error)
{
    jmp_error_print(stderr, PROGRAM, error);
    return EXIT_FAILED;
}

static int usage(const struct command *command, const char *text)
{
    fprintf(stderr, "%s: %s\n  hint: %s%s%s --help\n", PROGRAM, text, PROGRAM, command ? " " : "", command ? command->name : "");
    return EXIT_USAGE;
}

static int show_help(void)
{
    printf("Usage: " PROGRAM " [COMMAND] [OPTION...]\n\nController and router of a small lab, without Kubernetes.\n\nCommands:\n");
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
    struct jmp_serve_options options = { .listen = flags->listen, .directory = directory, .namespace_ = flags->namespace_,
                                         .endpoint = flags->endpoint, .names = names };
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

static const struct command *find_command(char **argv, int *words)
{
    *words = 0;
    if (!argv[1] || argv[1][0] == '-')
        return &commands[0];

    for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
        char name[32];

        snprintf(name, sizeof(name), "%s%s%s", argv[1], argv[2] ? " " : "", argv[2] ? argv[2] : "");
        if (strcmp(commands[i].name, argv[1]) == 0)
            *words = 1;
        else if (argv[2] && strcmp(commands[i].name, name) == 0)
            *words = 2;
        else
            continue;
        return &commands[i];
    }

    return NULL;
}

static int unknown(char **argv)
{
    const char *names[ELEMENTSOF(commands) + 1] = { NULL }, *nearest;
    char given[64], text[160];

    for (size_t i = 0; i < ELEMENTSOF(commands); i++)
        names[i] = commands[i].name;
    snprintf(given, sizeof(given), "%s%s%s", argv[1], argv[2] ? " " : "", argv[2] ? argv[2] : "");
    nearest = jmp_nearest(given, names);
    snprintf(text, sizeof(text), "\"%s\" is not a command%s%s%s", given, nearest ? "; did you mean " : "", nearest ? nearest : "",
             nearest ? "?" : "");
    return usage(NULL, text);
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
    if (given != (command->words[0] ? 1u : 0u))
        return usage(command, command->words[0] ? "exactly one name is wanted" : "no further words are wanted");

    if (flags.data_dir)
        directory = strdup(flags.data_dir);
    else if (default_directory(&directory) == -ENOENT)
        return usage(command, "no place for the lab: neither --data-dir nor a home directory is given");
    if (!directory)
        return EXIT_FAILED;
    if (!command->run)
        return serve(&flags, directory, command);

    options = (struct jmp_admin_options){
        .directory = directory, .endpoint = flags.endpoint, .label = flags.label, .remove_label = flags.remove_label,
        .allow = flags.allow, .unsafe = flags.unsafe, .output = flags.output, .save = flags.save, .force = flags.force,
        .enable = flags.enable, .disable = flags.disable, .all = flags.all,
    };
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
