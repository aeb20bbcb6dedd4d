/* SPDX-License-Identifier: Apache-2.0 */
/* Where configuration is looked for and how it is written. */
#pragma once

#include "base/error.h"
#include "base/node.h"

/** jmp_paths_user() - the user's configuration directory: $JMP_CLIENT_CONFIG_HOME as it is, else
 * ${XDG_CONFIG_HOME:-~/.config}/jumpstarter. free() @ret. Return: 0, -ENOENT (no home), -ENOMEM. */
int jmp_paths_user(char **ret, struct jmp_error *reterr);

/** jmp_paths_exporter() - the file of an exporter alias: the user's exporters/ALIAS.yaml, else
 * /etc/jumpstarter/exporters/ALIAS.yaml. -EINVAL: not an alias (empty, ".", "..", a slash); -ENOENT names the user
 * path. */
int jmp_paths_exporter(const char *alias, char **ret, struct jmp_error *reterr);
/** jmp_paths_user_exporter() - the user's exporters/ALIAS.yaml; it need not exist */
int jmp_paths_user_exporter(const char *alias, char **ret, struct jmp_error *reterr);
/** jmp_paths_client() - the user's clients/ALIAS.yaml; it need not exist */
int jmp_paths_client(const char *alias, char **ret, struct jmp_error *reterr);
/** jmp_paths_aliases() - the aliases that there are, sorted: a list of strings, in @tree
 * @exporters: those of exporters, which the system may have too; otherwise those of the user's clients */
int jmp_paths_aliases(bool exporters, struct jmp_tree *tree, const struct jmp_node **ret, struct jmp_error *reterr);
