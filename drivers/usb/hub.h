/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of hubs that can be switched off and on one by one: the requests that every USB hub understands (USB 2.0,
 * 11.24.2; USB 3.2, 10.16.2). A USB 3 socket is two ports, one on the USB 2 hub and one on the USB 3 hub beside it,
 * and both feed it; they are switched together. Each transfer has a limit of a second.
 */
#pragma once

#include "drivers/usb/find.h"

struct jmp_port_state {
    bool powered, connected, enabled, overcurrent;
};

/**
 * jmp_hub_switches() - how does a hub switch the power of its ports?
 *
 * Return: 1: each by itself, 0: all together or not at all, or with a sentence: -EACCES, -ENODEV, -ETIMEDOUT, -EIO.
 */
int jmp_hub_switches(const struct jmp_usb_device *hub, struct jmp_error *reterr);

/**
 * jmp_port_halves() - the one or two ports behind a socket, as the kernel pairs them
 * @root:  directory that stands for /, "" for the real one
 * @ret:   paths; the first is @path, the second the other half's, or ""
 *
 * Return: how many there are, -EINVAL (not a path), -ENODEV (no such hub, or port).
 */
int jmp_port_halves(const char *root, const char *path, char ret[2][JMP_USB_PATH_MAX], struct jmp_error *reterr);

/** jmp_port_check() - can the power of this port be switched? 0, or the errors of jmp_port_set() */
int jmp_port_check(const char *path, struct jmp_error *reterr);

/**
 * jmp_port_set() - switch the power of the port with this path, and of its companion
 * @path:  "1-1.2"; something may be plugged in or not
 *
 * The ports are asked afterwards: a hub that only claims to switch is an error.
 *
 * Return: 0, -EOPNOTSUPP (this hub cannot), -ENODEV (no such hub, or port), -EACCES, -ETIMEDOUT, -EIO.
 */
int jmp_port_set(const char *path, bool on, struct jmp_error *reterr);

/** jmp_port_get() - what the hub says of the port; powered if either of the two companions is. Errors as above. */
int jmp_port_get(const char *path, struct jmp_port_state *ret, struct jmp_error *reterr);
