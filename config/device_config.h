/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of devices below "export". */
#pragma once

#include "config/exporter_config.h"
#include "config/section.h"

/* The keys of one entry, which the manual is made from, too. */
extern const struct jmp_option jmp_device_config_options[];

/**
 * jmp_device_config_read() - read all entries and check that each "ref" leads somewhere and none in a circle
 * @export:  value of the top-level key, or NULL
 *
 * Return: the first device, NULL if there is none; problems are kept in @section.
 */
struct jmp_device_config *jmp_device_config_read(struct jmp_section *section, const struct jmp_node *export);
