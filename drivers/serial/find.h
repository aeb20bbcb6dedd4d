/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which serial port is meant, when it is described by its place or its identity instead of named. The name that it has
 * today, /dev/ttyUSB3, is looked up at each opening.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/node.h"

/* All that is set has to fit; borrowed. */
struct jmp_serial_match {
    const char *usb_port; /* the socket in the tree of hubs as sysfs writes it, "1-1.2"; "1-1.2:1.0" one interface */
    const char *usb_id;   /* "0403:6001", or with the serial number behind, "0403:6001:A5XK3RJT" */
    const struct jmp_node *udev; /* a map of udev properties; values are shell patterns, as in udev's rules */
};

/* What is known of one port; NULL: nothing, for a port that is not on USB. */
struct jmp_serial_facts {
    const char *usb_port, *usb_interface, *vendor, *product, *serial;
    const char *(*property)(void *user, const char *name); /* NULL: has no such property */
    void *user;
};

bool jmp_serial_match_is_set(const struct jmp_serial_match *match);
/** jmp_serial_match_check() - Return: 0, or -EINVAL with words: what is written in no form that could ever fit */
int jmp_serial_match_check(const struct jmp_serial_match *match, struct jmp_error *reterr);
bool jmp_serial_match_fits(const struct jmp_serial_match *match, const struct jmp_serial_facts *facts);

/**
 * jmp_serial_find() - the node of the port that fits
 * @match:  checked
 * @ret:    "/dev/ttyUSB3", free() it
 *
 * Return: 0, -ENOMEM, or with a sentence: -ENODEV when none fits, -ENOTUNIQ when several do.
 */
int jmp_serial_find(const struct jmp_serial_match *match, char **ret, struct jmp_error *reterr);
