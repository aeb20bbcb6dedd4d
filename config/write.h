/* SPDX-License-Identifier: Apache-2.0 */
/* The files of clients and exporters, as the stock tools write and read them. */
#pragma once

#include "base/error.h"
#include "base/node.h"

struct jmp_new_config {
    bool is_client;
    const char *namespace_, *name, *endpoint;   /* "HOST:PORT" */
    const char *ca;                             /* PEM, or "" for none */
    bool insecure;
    const char *token, *refresh_token;          /* @refresh_token: of a client, or NULL */
    /* Of a client: class patterns, a list of strings; NULL: the usual ones, unless. */
    const struct jmp_node *allow;
    bool unsafe;                                /* every class may be loaded */
};

/** jmp_config_print() - the text of such a file; free() @ret, which holds a secret. Return: 0, -ENOMEM, -EILSEQ. */
int jmp_config_print(const struct jmp_new_config *config, char **ret);
/** jmp_config_save_current() - make @alias the user's current client, if there is none yet. Return: 1: made, 0: there
 * was one. */
int jmp_config_save_current(const char *alias, struct jmp_error *reterr);
/** jmp_config_set_current() - make @alias the user's current client; NULL: there is none any more */
int jmp_config_set_current(const char *alias, struct jmp_error *reterr);
/** jmp_config_forget_current() - if the current client is @alias, @next is it; NULL: there is none any more */
int jmp_config_forget_current(const char *alias, const char *next, struct jmp_error *reterr);
/** jmp_config_split() - class patterns with commas between, as on a command line: the list of a new config, in @tree.
 * Return: 0, -ENOMEM. */
int jmp_config_split(const char *text, struct jmp_tree *tree, const struct jmp_node **ret);
/**
 * jmp_config_save_token() - the file of a client or exporter with another token and all else as it was, but for
 * comments
 * @to:       may be the same file
 * @refresh:  another refresh token as well; NULL: as it is
 */
int jmp_config_save_token(const char *path, const char *to, const char *token, const char *refresh,
                          struct jmp_error *reterr);
