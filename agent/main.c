/* SPDX-License-Identifier: Apache-2.0 */
/* jmp-agent: the exporter. Exit status: 0 orderly, 1 failed, 2 usage. */
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/check.h"
#include "agent/usb.h"
#include "base/log.h"
#include "base/option.h"
#include "base/process.h"
#include "config/paths.h"

#define PROGRAM "jmp-agent"
#define PLUGIN_PATH "/usr/local/lib/jmp-agent/drivers:/usr/lib/jmp-agent/drivers"

enum { EXIT_ORDERLY = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct flags {
    const char *exporter, *exporter_config;
    const char *tls_grpc_listener, *tls_cert, *tls_key;
    bool tls_grpc_insecure;
    const char *passphrase, *passphrase_file;
    bool exit_on_lease_end;
    const char *metrics;
    unsigned patience;
    const char *log_level, *log_format;
    const char *output;
    bool help;
};

static const char *const formats[] = { "auto", "json", "text", NULL };

#define HELP_ROW { JMP_FIELD(struct flags, help), .letter = 'h', .help = "show this and exit" }

static const struct jmp_option run_options[] = {
    { JMP_FIELD(struct flags, exporter), .value_name = "NAME",
      .help = "the exporter's name: its file is exporters/NAME.yaml in your configuration or /etc/jumpstarter" },
    { JMP_FIELD(struct flags, exporter_config), .value_name = "FILE", .help = "the exporter's file itself" },
    { JMP_FIELD(struct flags, tls_grpc_listener), .value_name = "[HOST:]PORT",
      .help = "serve clients directly at this address, without a controller; HOST is 0.0.0.0 unless given" },
    { JMP_FIELD(struct flags, tls_cert), .value_name = "FILE", .help = "certificate of the listener, PEM" },
    { JMP_FIELD(struct flags, tls_key), .value_name = "FILE", .help = "its key, PEM" },
    { JMP_FIELD(struct flags, tls_grpc_insecure), .help = "listen without TLS" },
    { JMP_FIELD(struct flags, passphrase), .secret = true, .value_name = "TEXT",
      .help = "what clients of the listener have to know; visible to other users of this machine" },
    { JMP_FIELD(struct flags, passphrase_file), .value_name = "FILE", .help = "the same, read from a file" },
    { JMP_FIELD(struct flags, exit_on_lease_end), .help = "end after the first lease" },
    { JMP_FIELD(struct flags, metrics), .value_name = "ADDRESS",
      .help = "serve counters for monitoring at unix:/PATH or 127.0.0.1:PORT" },
    { JMP_FIELD(struct flags, patience), .preset = "100", .value_name = "PERCENT",
      .help = "how long to wait for peers and before another try, in percent of the usual; for tests" },
    { JMP_FIELD(struct flags, log_level), .value_name = "LEVEL", .preset = "info",
      .help = "debug, info, warning, error or critical" },
    { JMP_FIELD(struct flags, log_format), .words = formats, .preset = "auto", .value_name = "FORMAT",
      .help = "of the log, where auto is text on a terminal, fields for the journal, else json" },
    HELP_ROW,
    {}
};

static const char *const outputs[] = { "table", "json", NULL };

static const struct jmp_option usb_options[] = {
    { JMP_FIELD(struct flags, output), .letter = 'o', .words = outputs, .preset = "table", .value_name = "FORMAT",
      .help = "table or json" },
    HELP_ROW,
    {}
};

static const struct jmp_option plain_options[] = { HELP_ROW, {} };

struct command {
    const char *name, *words, *help;
    const struct jmp_option *options;
    unsigned words_min, words_max;
    int (*run)(const struct flags *flags, char **words, const struct command *command);
};

static int complain(const struct jmp_error *error, int status)
{
    jmp_error_print(stderr, PROGRAM, error);
    return status;
}

static int usage(const struct command *command, const char *text)
{
    fprintf(stderr, "%s: %s\n  hint: %s%s%s --help\n", PROGRAM, text, PROGRAM, command ? " " : "",
            command ? command->name : "");
    return EXIT_USAGE;
}

static void print_problems(struct jmp_problems *problems)
{
    for (const struct jmp_problem *problem = problems->first; problem; problem = problem->next) {
        struct jmp_error error = problem->error;

        if (problem->warning)
            jmp_error_prefix(&error, "warning");
        jmp_error_print(stderr, PROGRAM, &error);
    }
    jmp_problems_clear(problems);   /* told once */
}

static int load_plugins(struct jmp_plugins **ret, struct jmp_problems *problems)
{
    int r;

    r = jmp_plugins_load(getenv("JMP_PLUGIN_PATH") ?: PLUGIN_PATH, ret, problems);
    if (r < 0)
        fprintf(stderr, "%s: plug-ins cannot be loaded: %s\n", PROGRAM, strerror(-r));
    return r;
}

static int set_up_log(const struct flags *flags, const struct command *command)
{
    static const enum jmp_log_format known[] = { JMP_LOG_AUTO, JMP_LOG_JSON, JMP_LOG_TEXT };
    enum jmp_log_level level;
    unsigned i;

    if (!jmp_log_level_parse(flags->log_level, &level))
        return usage(command, "--log-level is debug, info, warning, error or critical");
    for (i = 0; i + 1 < ELEMENTSOF(known) && strcmp(flags->log_format, formats[i]) != 0; i++)
        ;
    jmp_log_open("exporter", level, known[i]);
    return EXIT_ORDERLY;
}

static int find_config(const struct flags *flags, char **ret)
{
    struct jmp_error error = JMP_ERROR_INIT;

    if (flags->exporter_config)
        *ret = strdup(flags->exporter_config);
    else if (jmp_paths_exporter(flags->exporter, ret, &error) < 0)
        return complain(&error, EXIT_FAILED);
    return *ret ? EXIT_ORDERLY : EXIT_FAILED;
}

static char **own_argv;   /* with our path as argv[0] */

static int run_with(const struct flags *flags, const struct jmp_listener *listener, const char *path,
                    struct jmp_problems *problems)
{
    _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
    _cleanup_(jmp_plugins_freep) struct jmp_plugins *plugins = NULL;
    struct jmp_agent_options options = { .listener = listener };
    int r;

    if (load_plugins(&plugins, problems) < 0 || jmp_exporter_config_load(path, &config, problems) < 0)
        return EXIT_FAILED;
    if (listener && !listener->cert)
        jmp_log(JMP_LOG_WARNING, FIELDS(.exporter = config->name),
                "clients are served in plaintext: anybody on the way can read and change everything");

    /* Now, not when it ends. */
    print_problems(problems);
    options.argv = own_argv;
    options.config = config;
    options.plugins = plugins;
    options.patience = flags->patience;
    options.metrics = flags->metrics;
    options.exit_on_lease_end = flags->exit_on_lease_end || config->exit_on_lease_end;
    r = jmp_agent_run(&options, problems);
    return r < 0 ? EXIT_FAILED : r;
}

static int command_run(const struct flags *flags, char **words, const struct command *command)
{
    const struct jmp_listener_flags listen = {
        .listen = flags->tls_grpc_listener, .cert_file = flags->tls_cert, .key_file = flags->tls_key,
        .insecure = flags->tls_grpc_insecure, .passphrase = flags->passphrase,
        .passphrase_file = flags->passphrase_file,
    };
    _cleanup_(jmp_listener_freep) struct jmp_listener *listener = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_problems problems = { 0 };
    _cleanup_free_ char *path = NULL;
    int status, r;

    if (!flags->exporter == !flags->exporter_config)
        return usage(command, "give either --exporter NAME or --exporter-config FILE");
    if (flags->patience < 1 || flags->patience > 1000)
        return usage(command, "--patience is a number from 1 to 1000");
    if (jmp_listener_check(&listen, &error) < 0)
        return complain(&error, EXIT_USAGE);
    status = set_up_log(flags, command);
    if (status == EXIT_ORDERLY)
        status = find_config(flags, &path);
    if (status != EXIT_ORDERLY)
        return status;
    r = jmp_process_raise_descriptors();
    if (r < 0)
        jmp_log(JMP_LOG_WARNING, FIELDS(.error = r), "the limit of open files stays as it is");
    if (listen.listen && jmp_listener_load(&listen, &listener, &error) < 0)
        return complain(&error, EXIT_FAILED);

    status = run_with(flags, listener, path, &problems);
    print_problems(&problems);
    return status;
}

static int command_check(const struct flags *flags, char **words, const struct command *command)
{
    _cleanup_(jmp_plugins_freep) struct jmp_plugins *plugins = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_problems problems = { 0 };
    _cleanup_free_ char *path = NULL;
    unsigned errors;
    int r;

    if (jmp_check_find(words[0], &path, &error) < 0)
        return complain(&error, EXIT_FAILED);
    r = load_plugins(&plugins, &problems);
    if (r == 0)
        r = jmp_check_run(path, plugins, stdout, &problems);
    fflush(stdout);
    errors = problems.errors;
    if (r < 0 && !errors)
        fprintf(stderr, "%s: %s: %s\n", PROGRAM, path, strerror(-r));
    print_problems(&problems);
    return r < 0 || errors ? EXIT_FAILED : EXIT_ORDERLY;
}

static int command_drivers(const struct flags *flags, char **words, const struct command *command)
{
    _cleanup_(jmp_plugins_freep) struct jmp_plugins *plugins = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_problems problems = { 0 };

    if (load_plugins(&plugins, &problems) < 0)
        return EXIT_FAILED;
    print_problems(&problems);
    if (jmp_check_drivers(words[0], plugins, stdout, &error) < 0)
        return complain(&error, EXIT_FAILED);
    return EXIT_ORDERLY;
}

static int command_usb(const struct flags *flags, char **words, const struct command *command)
{
    struct jmp_error error = JMP_ERROR_INIT;

    if (strcmp(words[0], "tree") != 0)
        return usage(command, "all that can be seen is the tree");
    if (jmp_usb_tree("", strcmp(flags->output, "json") == 0, stdout, &error) < 0)
        return complain(&error, EXIT_FAILED);
    return EXIT_ORDERLY;
}

static int command_suggest(const struct flags *flags, char **words, const struct command *command)
{
    struct jmp_error error = JMP_ERROR_INIT;
    char name[HOST_NAME_MAX + 1] = "exporter";

    if (!words[0])
        gethostname(name, sizeof(name) - 1);
    if (jmp_suggest("", words[0] ?: name, stdout, &error) < 0)
        return complain(&error, EXIT_FAILED);
    return EXIT_ORDERLY;
}

static const struct command commands[] = {
    { "run", "", "export devices until told to stop", run_options, 0, 0, command_run },
    { "check", "NAME|FILE", "show what a file would export, and all its problems", plain_options, 1, 1, command_check },
    { "drivers", "[NAME]", "list the drivers, or one with its options and methods", plain_options, 0, 1,
      command_drivers },
    { "usb", "tree", "show the USB devices of this machine, who has them, and which ports can be switched", usb_options,
      1, 1, command_usb },
    { "suggest", "[NAME]", "print an exporter's file made from what is plugged in", plain_options, 0, 1,
      command_suggest },
};

static void help(FILE *out)
{
    fprintf(out, "Usage: %s COMMAND ...\n\nThe Jumpstarter exporter.\n\n", PROGRAM);
    for (size_t i = 0; i < ELEMENTSOF(commands); i++)
        fprintf(out, "  %-8s %-10s %s\n", commands[i].name, commands[i].words, commands[i].help);
    fprintf(out, "\n%s COMMAND --help says more; --version says which this is.\n", PROGRAM);
}

static void command_help(const struct command *command, FILE *out)
{
    fprintf(out, "Usage: %s %s [OPTION]...%s%s\n\n%c%s.\n\n", PROGRAM, command->name, *command->words ? " " : "",
            command->words, command->help[0] - 'a' + 'A', command->help + 1);
    jmp_options_help(out, command->options, 0);
}

static int run_command(const struct command *command, char **argv)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    struct flags flags = { 0 };
    unsigned rest, count = 0;

    if (jmp_tree_new(0, &tree) < 0)
        return EXIT_FAILED;
    if (jmp_options_parse(command->options, &flags, argv, true, tree, &rest, &error) < 0) {
        jmp_error_print(stderr, PROGRAM, &error);
        return EXIT_USAGE;
    }
    if (flags.help) {
        command_help(command, stdout);
        return EXIT_ORDERLY;
    }
    while (argv[rest + count])
        count++;
    if (count < command->words_min || count > command->words_max)
        return usage(command, count < command->words_min ? "something is missing" : "too many words");
    return command->run(&flags, argv + rest, command);
}

int main(int argc, char **argv)
{
    const char *names[ELEMENTSOF(commands) + 1] = { NULL }, *nearest;
    char text[160];

    signal(SIGPIPE, SIG_IGN);
    own_argv = argv;
    if (argc > 0)
        argv[0] = realpath("/proc/self/exe", NULL) ?: argv[0];
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        help(stdout);
        return EXIT_ORDERLY;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("%s %s\n", PROGRAM, JMP_VERSION);
        return EXIT_ORDERLY;
    }
    for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return run_command(&commands[i], argv + 2);
        names[i] = commands[i].name;
    }
    nearest = jmp_nearest(argv[1], names);
    snprintf(text, sizeof(text), "\"%.60s\" is not a command%s%s%s", argv[1], nearest ? "; did you mean " : "",
             nearest ?: "", nearest ? "?" : "");
    return usage(NULL, text);
}
