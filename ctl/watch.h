/* SPDX-License-Identifier: Apache-2.0 */
/* A list that is printed again whenever it has changed. Controllers have no way to tell us, so they are asked once a
 * second. */
#pragma once

#include <stdio.h>

#include "ctl/ctl.h"

/* Print what there is now to @stream. */
typedef int jmp_ctl_show(struct jmp_ctl *ctl, void *options, char **words, FILE *stream, struct jmp_error *reterr);

/** jmp_ctl_watch() - until somebody presses Ctrl-C or nobody reads; a controller that goes away is waited for
 *
 * Return: -ECANCELED, the error of the first look, or one that does not pass. */
int jmp_ctl_watch(struct jmp_ctl *ctl, jmp_ctl_show *show, void *options, char **words, struct jmp_error *reterr);
