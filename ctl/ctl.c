/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "base/process.h"
#include "base/text.h"

int jmp_ctl_usage(struct jmp_ctl *ctl, struct jmp_error *reterr, const char *fmt, ...)
{
    char words[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(words, sizeof(words), fmt, args);
    va_end(args);
    ctl->usage = true;
    return jmp_error_set(reterr, -EINVAL, "%s", words);
}

void jmp_ctl_note(const struct jmp_ctl *ctl, const char *fmt, ...)
{
    _cleanup_free_ char *words = NULL;
    va_list args;
    int r;

    if (ctl->quiet)
        return;
    va_start(args, fmt);
    r = vasprintf(&words, fmt, args);
    va_end(args);
    if (r < 0)
        return;
    fputs("jmpctl: ", stderr);
    jmp_text_put(stderr, words);
    fputc('\n', stderr);
}

int jmp_ctl_flush(struct jmp_ctl *ctl)
{
    if (!ctl->output_error && (fflush(stdout) != 0 || ferror(stdout)))
        ctl->output_error = errno ? errno : EIO;
    return -ctl->output_error;
}

bool jmp_ctl_is_terminal(const struct jmp_ctl *ctl) { return !ctl->quiet && isatty(STDERR_FILENO); }

/* An option of the command wins over the same before the command. */
static void complete_options(struct jmp_ctl_options *options, const struct jmp_ctl_options *global)
{
    if (!options->client && !options->client_config) {
        options->client = global->client;
        options->client_config = global->client_config;
    }
    if (!options->lease && !options->tls_grpc) {
        options->lease = global->lease;
        options->tls_grpc = global->tls_grpc;
        options->tls_grpc_insecure |= global->tls_grpc_insecure;
    }
    if (!options->passphrase && !options->passphrase_file) {
        options->passphrase = global->passphrase;
        options->passphrase_file = global->passphrase_file;
    }
    options->help |= global->help;
}

/* Before anything is required of the other words: help may be asked for by half a command line. */
static bool wants_help(char *const *words, bool verbatim)
{
    for (; *words; words++) {
        if (strcmp(*words, "--") == 0 || (verbatim && (*words)[0] != '-'))
            return false;
        if (strcmp(*words, "--help") == 0 || strcmp(*words, "-h") == 0)
            return true;
    }
    return false;
}

static int run_command(struct jmp_ctl *ctl, const struct jmp_command *command, char **words, struct jmp_tree *tree,
                       struct jmp_error *reterr)
{
    _cleanup_free_ struct jmp_ctl_options *options = NULL;
    unsigned rest = 0, n = 0;
    int r;

    if (wants_help(words, command->verbatim)) {
        jmp_command_help(stdout, command);
        return 0;
    }
    options = calloc(1, command->size);
    if (!options)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    /* For "complete", everything is a word: it is about options. */
    if (command->run != jmp_cmd_complete) {
        r = jmp_options_parse(command->options, options, words, !command->verbatim, tree, &rest, reterr);
        if (r < 0) {
            ctl->usage = r == -EINVAL;
            return r;
        }
    }
    complete_options(options, &ctl->options);
    ctl->options = *options;
    words += rest;
    while (words[n])
        n++;
    if (n < command->least)
        r = jmp_ctl_usage(ctl, reterr, "%s: %s is missing", command->name, command->words);
    else if (n > command->most)
        r = jmp_ctl_usage(ctl, reterr, "%s: \"%s\" is one word too many", command->name, words[command->most]);
    else
        return command->run(ctl, options, words, reterr);
    jmp_error_hint(reterr, "jmpctl %s --help", command->name);
    return r;
}

/*
 * In a shell the exporter is at hand, and what it calls a driver is one, also when people abbreviate a command by the
 * same letters: "s" may be a relay. Whole names stay commands; "jmpctl driver" reaches drivers that are called so.
 */
static bool is_driver(struct jmp_ctl *ctl, const char *word)
{
    if (jmp_command_canonical(word, false) == word || !getenv("JUMPSTARTER_HOST"))
        return false;
    if (jmp_ctl_need_session(ctl, NULL) < 0)
        return false;   /* the command will say why, if it needs one */
    if (jmp_driver_ref_child(ctl->drivers->root, word))
        return true;
    jmp_ctl_close_session(ctl);
    return false;
}

static int run(struct jmp_ctl *ctl, char **words, struct jmp_tree *tree, struct jmp_error *reterr)
{
    const struct jmp_command *command;
    unsigned rest = 0, used;
    int r;

    r = jmp_options_parse(jmp_global_options, &ctl->options, words, false, tree, &rest, reterr);
    if (r < 0) {
        ctl->usage = r == -EINVAL;
        return r;
    }
    words += rest;
    if (ctl->options.version)
        return jmp_cmd_version(ctl, NULL, NULL, reterr);
    if (!words[0]) {
        jmp_command_overview(ctl->options.help ? stdout : stderr);
        return ctl->options.help ? 0 : JMP_CTL_EXIT_USAGE;
    }
    if (ctl->options.help && words[0][0] != '-') {
        ctl->options.help = false;
        return jmp_cmd_help(ctl, NULL, words, reterr);
    }

    if (is_driver(ctl, words[0]))
        return jmp_ctl_driver(ctl, words, reterr);
    r = jmp_command_find(words, &command, &used, reterr);
    if (r == -ENOENT)
        return jmp_ctl_driver(ctl, words, reterr);
    if (r < 0 && wants_help(words + 1, false) && jmp_command_group(stdout, words[0]))
        return 0;
    if (r < 0) {
        ctl->usage = true;
        return r;
    }
    return run_command(ctl, command, words + used, tree, reterr);
}

int jmp_ctl_main(int argc, char **argv)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = { 0 };
    struct jmp_ctl ctl = { 0 };
    int r;

    signal(SIGPIPE, SIG_IGN);
    /* A forward with a hundred connections needs two each; without more it just has fewer. */
    jmp_process_raise_descriptors();
    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = run(&ctl, argv + (argc > 0), tree, &error);
    else
        jmp_error_set(&error, r, "%m");
    jmp_ctl_close(&ctl);

    errno = 0;
    jmp_ctl_flush(&ctl);
    /* "| head" has seen enough: that is no news to anybody. */
    if (ctl.output_error == EPIPE)
        return JMP_CTL_EXIT_ERROR;
    if (ctl.output_error)
        r = jmp_error_set(&error, -ctl.output_error, "the output cannot be written: %m");
    if (r >= 0)
        return r;
    if (r == -ECANCELED && ctl.signal)
        return JMP_CTL_EXIT_INTERRUPTED;
    if (error.error == 0)
        jmp_error_set(&error, r, "%m");
    if (!ctl.quiet)
        jmp_error_print(stderr, "jmpctl", &error);
    return ctl.usage ? JMP_CTL_EXIT_USAGE : JMP_CTL_EXIT_ERROR;
}
