/* SPDX-License-Identifier: Apache-2.0 */
/* What exporter and client files have in common, and how their readers collect problems. */
#pragma once

#include "base/error.h"
#include "base/node.h"
#include "base/option.h"

/*
 * One file being read. Readers go on after a problem, so that all of them are named at once; @error says afterwards
 * whether there was one.
 */
struct jmp_section {
    const char *file;
    struct jmp_tree *tree;
    struct jmp_problems *problems;   /* may be NULL */
    int error;                       /* 0, -EINVAL; -ENOMEM stays whatever comes later */
};

/** jmp_section_fail() - keep @error, unless a worse one is kept */
void jmp_section_fail(struct jmp_section *section, int error);

/** jmp_section_problem() - add @error, which needs no place yet: it gets that of @node (or of its key) and @path */
void jmp_section_problem(struct jmp_section *section, bool warning, const struct jmp_node *node, bool at_key,
                         const char *path, struct jmp_error *error);
/** jmp_section_say() - the same for a sentence; @hint may be NULL */
void jmp_section_say(struct jmp_section *section, bool warning, const struct jmp_node *node, bool at_key,
                     const char *path, const char *hint, const char *fmt, ...) JMP_PRINTF(7, 8);

#define JMP_SECTION_PATH 256

/** jmp_section_path() - "PATH.KEY" for a problem, cut if it is too long */
void jmp_section_path(char ret[JMP_SECTION_PATH], const char *path, const char *key);

/** jmp_section_map() - @node if it is a map; NULL when absent, and after a problem when it is anything else
 * (also null) */
const struct jmp_node *jmp_section_map(struct jmp_section *section, const struct jmp_node *node, const char *path);

/** jmp_section_read() - jmp_options_read() with its problems and errors kept here; false after an error */
bool jmp_section_read(struct jmp_section *section, const struct jmp_option *rows, void *object,
                      const struct jmp_node *map, const char *path);

/** jmp_section_rename() - @map with other spellings of keys replaced: pairs of (spelling, key), ends with NULL */
const struct jmp_node *jmp_section_rename(struct jmp_section *section, const struct jmp_node *map,
                                          const char *const *names);

/** jmp_section_without() - @map without one of its members; NULL without memory */
const struct jmp_node *jmp_section_without(struct jmp_section *section, const struct jmp_node *map, const char *key);

/** jmp_section_strings() - check a map whose values are strings; returns it, or NULL after a problem */
const struct jmp_node *jmp_section_strings(struct jmp_section *section, const struct jmp_node *map, const char *path);

/*
 * The common sections. Each takes the value of its top-level key, or NULL, and sets what is there.
 */

/* Their rows, which the manual is made from, too. */
extern const struct jmp_option jmp_section_metadata_options[], jmp_section_tls_options[];

/** jmp_section_metadata() - name and namespace; JMP_NAME and JMP_NAMESPACE fill in what is missing */
void jmp_section_metadata(struct jmp_section *section, const struct jmp_node *node, const char **name,
                          const char **namespace_);
/** jmp_section_tls() - ca as PEM text or NULL; insecure also by JMP_GRPC_INSECURE=1 or JUMPSTARTER_GRPC_INSECURE=1 */
void jmp_section_tls(struct jmp_section *section, const struct jmp_node *node, const char **ca, bool *insecure);
/** jmp_section_grpc_options() - gRPC channel arguments: a map of strings and whole numbers of 32 bits */
const struct jmp_node *jmp_section_grpc_options(struct jmp_section *section, const struct jmp_node *node);
/** jmp_section_endpoint() - @endpoint after a look for a scheme and blanks; NULL when it is empty, as in files for use
 * without a controller */
const char *jmp_section_endpoint(struct jmp_section *section, const struct jmp_node *node, const char *endpoint);
/** jmp_section_token() - @token after a look for what cannot travel in a header, which is not shown; NULL when empty */
const char *jmp_section_token(struct jmp_section *section, const struct jmp_node *node, const char *token);

/** jmp_section_environment() - a variable that is set and not empty, else NULL; copied into the tree */
const char *jmp_section_environment(struct jmp_section *section, const char *name);
