/* SPDX-License-Identifier: Apache-2.0 */
/* What can be done with a driver: its client class decides, as it does for the stock client. One table for parser, help
 * and completion. */
#pragma once

#include "base/option.h"
#include "client/tree.h"

struct jmp_ctl;

struct jmp_verb {
    unsigned families;           /* bits; which drivers have it */
    const char *name, *alias;    /* alias: as stock has it, or NULL */
    const char *help, *words;    /* words: for the usage line, or NULL */
    const char *method;          /* of the driver; NULL: it is called like the verb */
    unsigned least, most;
    const struct jmp_option *options;
    size_t size;
    int (*run)(struct jmp_ctl *ctl, const struct jmp_verb *verb, const struct jmp_driver_ref *driver, void *options,
               char **words, struct jmp_error *reterr);
};

extern const struct jmp_verb jmp_verbs[];    /* ends with a NULL name */

/** jmp_verbs_of() - the families of a driver, as bits */
unsigned jmp_verbs_of(const struct jmp_driver_ref *driver);
/** jmp_verb_find() - by name or alias; -ENOENT with the nearest, and a list, in @reterr */
int jmp_verb_find(const struct jmp_driver_ref *driver, const char *name, const struct jmp_verb **ret,
                  struct jmp_error *reterr);
/** jmp_verb_help() - of a driver's verb; the exporter's own words for it, if it sent some */
const char *jmp_verb_help(const struct jmp_driver_ref *driver, const struct jmp_verb *verb);
/** jmp_verbs_list() - "on off cycle read": what this driver has beyond what all have */
void jmp_verbs_list(const struct jmp_driver_ref *driver, char *ret, size_t size);
/** jmp_verbs_print() - help for a driver */
void jmp_verbs_print(FILE *stream, const struct jmp_driver_ref *driver);
/** jmp_verb_print() - help for one verb of it */
void jmp_verb_print(FILE *stream, const struct jmp_driver_ref *driver, const struct jmp_verb *verb);

/** jmp_number_print() - as Python prints floats: "5.0", "0.1" */
void jmp_number_print(double number, char *ret, size_t size);
