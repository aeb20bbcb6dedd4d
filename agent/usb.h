/* SPDX-License-Identifier: Apache-2.0 */
/* jmp-agent usb tree and jmp-agent suggest: what is plugged into this machine, and a file that would export it. */
#pragma once

#include "base/error.h"

/**
 * jmp_usb_tree() - print all USB devices
 * @root:  directory that stands for /, "" for the real one
 * @json:  a list of maps instead of a table
 *
 * Return: 0, -ENOMEM, or what jmp_usb_list_read() says, with words.
 */
int jmp_usb_tree(const char *root, bool json, FILE *out, struct jmp_error *reterr);

/**
 * jmp_suggest() - print an exporter's file made from what is plugged in
 * @root:  as above
 * @name:  of the exporter
 *
 * Disks that are in use are left out; GPIO lines and ports of hubs only stand in comments, because which one drives
 * what is known to people alone. Return: as above.
 */
int jmp_suggest(const char *root, const char *name, FILE *out, struct jmp_error *reterr);
