/* SPDX-License-Identifier: Apache-2.0 */
/* jmp-agent check and jmp-agent drivers: what a person asks before anything runs. */
#pragma once

#include "agent/plugin.h"
#include "config/exporter_config.h"

/** jmp_check_find() - the file meant by an exporter's NAME or a FILE: what has a slash or ends in .yaml is a file;
 * free() @ret */
int jmp_check_find(const char *what, char **ret, struct jmp_error *reterr);

/** jmp_check_run() - print the tree that a file would export to @out
 * @problems:  all errors and warnings are added
 * Return: 0 (perhaps with warnings), -EINVAL, others as jmp_exporter_config_load(). */
int jmp_check_run(const char *path, const struct jmp_plugins *plugins, FILE *out, struct jmp_problems *problems);

/** jmp_check_config() - what only a running agent would stumble over: added to @problems as warnings */
void jmp_check_config(const struct jmp_exporter_config *config, struct jmp_problems *problems);

/** jmp_check_drivers() - print all driver classes, or one with its options and methods
 * Return: 0, -ENOENT with the nearest name. */
int jmp_check_drivers(const char *name, const struct jmp_plugins *plugins, FILE *out, struct jmp_error *reterr);
