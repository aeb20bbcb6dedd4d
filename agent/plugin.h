/* SPDX-License-Identifier: Apache-2.0 */
/* Driver classes from shared objects. */
#pragma once

#include "base/error.h"
#include "drivers/driver.h"

struct jmp_plugins;

/** jmp_plugins_load() - every *.so in @directories (colon-separated; missing ones are skipped), in name order. A file
 * that cannot be used (not a plug-in, wrong ABI, a name twice) is a warning in @problems, never the end of the
 * agent. */
int jmp_plugins_load(const char *directories, struct jmp_plugins **ret, struct jmp_problems *problems);
struct jmp_plugins *jmp_plugins_free(struct jmp_plugins *plugins);
JMP_DEFINE_CLEANUP(struct jmp_plugins *, jmp_plugins_free)

/** jmp_plugins_find() - a class by native name or Python type, built-in ones first; @plugins may be NULL. NULL: none,
 * and the nearest known name in @retnearest (may be NULL). */
const struct jmp_driver_class *jmp_plugins_find(const struct jmp_plugins *plugins, const char *type,
                                                const char **retnearest);
/** jmp_plugins_each() - all classes, built-in ones first */
void jmp_plugins_each(const struct jmp_plugins *plugins,
                      void (*each)(const struct jmp_driver_class *driver, void *user), void *user);
