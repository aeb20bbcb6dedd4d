/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of commands. It is the parser, --help, the manual and the completion: a command is a row, its flags are
 * option rows.
 */
#pragma once

#include "base/option.h"

struct jmp_ctl;

/* What a word may be, for completion. */
enum jmp_word {
    JMP_WORD_NONE,
    JMP_WORD_EXPORTER,
    JMP_WORD_LEASE,
    JMP_WORD_DRIVER,
    JMP_WORD_COMMAND,
    JMP_WORD_SHELL,
    JMP_WORD_CLIENT_CONFIG,
    JMP_WORD_EXPORTER_CONFIG,
    JMP_WORD_ADMIN_CLIENT,               /* in Kubernetes */
    JMP_WORD_ADMIN_EXPORTER,
    JMP_WORD_ADMIN_LEASE
};

struct jmp_command {
    const char *name;                    /* "create lease" */
    const char *help;                    /* one line */
    const char *words;                   /* "[NAME...]" in the usage line, or NULL */
    unsigned least, most;                /* of them; most 0: none, UINT_MAX: any number */
    const struct jmp_option
        *options; /* ends with a NULL key; the first field of the object is a struct jmp_ctl_options */
    size_t size;                         /* of the object that the options fill */
    /* Exit code, or a negative errno with words in @reterr. */
    int (*run)(struct jmp_ctl *ctl, void *options, char **words, struct jmp_error *reterr);
    const char *details;                 /* paragraphs below the usage, or NULL */
    enum jmp_word word;
    bool hidden;                         /* not in the list of commands */
    bool shared;                         /* its first word may be a driver's name, too: the second one decides */
    bool verbatim;                       /* options end at the first word: what follows is another program's */
};

extern const struct jmp_command jmp_commands[];          /* ends with a NULL name */
extern const struct jmp_option jmp_global_options[];     /* of struct jmp_ctl_options */

/**
 * jmp_command_find() - the row that @words begin with; aliases as the stock client knows them
 * @retused: how many words named it
 *
 * Return: 0, -ENOENT: the first word is none of ours (a driver, perhaps), -EINVAL with words in @reterr: half a
 * command.
 */
int jmp_command_find(char *const *words, const struct jmp_command **ret, unsigned *retused, struct jmp_error *reterr);
/** jmp_command_following() - each word that may come behind @words in the name of a command */
void jmp_command_following(char *const *words, void (*offer)(const char *word, void *user), void *user);
/** jmp_command_canonical() - "ls" to "get", "lease" to "leases" where that is the row's name: the word itself if it is
 * no alias */
const char *jmp_command_canonical(const char *word, bool noun);

void jmp_command_help(FILE *stream, const struct jmp_command *command);
void jmp_command_overview(FILE *stream);
/** jmp_command_group() - the commands that begin with @word; false: there are none */
bool jmp_command_group(FILE *stream, const char *word);
/** jmp_completion_script() - what a shell needs to ask "jmpctl complete"; NULL: not a shell that is known */
const char *jmp_completion_script(const char *shell);
/** jmp_command_manual() - the manual page, troff */
void jmp_command_manual(FILE *stream);
