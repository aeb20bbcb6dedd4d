/* SPDX-License-Identifier: Apache-2.0 */
/* What an administrator may decide for a whole lab, in one YAML file: who may lease what, and which labels clients
 * see. */
#pragma once

#include "labd/lease.h"
#include "labd/selector.h"

#define JMP_RULES_MAX 256u              /* access rules */
#define JMP_RULE_PRIORITY_MAX 1000000

/* One way to a board: clients of this kind may lease exporters of that kind. */
struct jmp_access_rule {
    struct jmp_selector exporters, clients;   /* empty: all */
    int priority;                             /* boards of higher priority are taken first */
    int64_t maximum;                          /* nanoseconds a lease may ask for, 0: any */
    bool spot;
    char *description;                        /* "" for none */
};

/* Zeroed memory: everybody may lease everything, every label is shown. */
struct jmp_rules {
    struct jmp_access_rule *access;
    size_t access_count;
    struct jmp_labels hidden;                 /* keys that are shown on request only; the values are empty */
    struct jmp_labels deprecated;             /* key and what to use instead */
};

void jmp_rules_clear(struct jmp_rules *rules);

/**
 * jmp_rules_parse() - the text of a rules file (docs/labd.md, "Rules")
 * @file:  for messages
 * @ret:   empty before, untouched on failure
 *
 * Return: 0, -EINVAL with words, line and column, -E2BIG, -ENOMEM.
 */
int jmp_rules_parse(const char *text, size_t length, const char *file, struct jmp_rules *ret, struct jmp_error *reterr);
/** jmp_rules_load() - the same from a file; none is no error: no rules */
int jmp_rules_load(const char *path, struct jmp_rules *ret, struct jmp_error *reterr);

/* What the rules say of one client and one exporter. */
struct jmp_access {
    bool approved;
    bool spot;              /* only by rules for spot use */
    int priority;           /* of the best rule */
};

/**
 * jmp_rules_judge() - may this client lease this exporter for so long?
 * @duration:  nanoseconds; 0: not known
 * @matched:   one flag for each access rule, set when the rule is about both; may be NULL
 */
struct jmp_access jmp_rules_judge(const struct jmp_rules *rules, const struct jmp_labels *client,
                                  const struct jmp_labels *exporter, int64_t duration, bool *matched);

/**
 * jmp_rules_present() - the labels of an exporter as clients see them
 * @all:            hidden and deprecated ones, too
 * @retlabels:      empty before
 * @retdeprecated:  empty before; those of its labels that are deprecated, each with the words of the rules
 *
 * Return: 0, -ENOMEM.
 */
int jmp_rules_present(const struct jmp_rules *rules, const struct jmp_labels *labels, bool all,
                      struct jmp_labels *retlabels, struct jmp_labels *retdeprecated);
