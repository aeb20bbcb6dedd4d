/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the USB devices of this machine is an SDWire, and which disk is its card. */
#pragma once

#include "drivers/usb/find.h"

enum jmp_sdwire_kind {
    JMP_SDWIRE_FTDI,   /* an FTDI chip whose pin CBUS0 moves the card, and a reader beside it behind one hub */
    JMP_SDWIRE_READER, /* second generation: a reader that lets go of its card when it has no driver */
};

/**
 * jmp_sdwire_find() - the one with this serial number
 * @serial:  NULL: the only one; readers of the second generation have no id of their own, and need it
 *
 * Return: 0, or with a sentence: -ENODEV, -ENOTUNIQ.
 */
int jmp_sdwire_find(const struct jmp_usb_list *list, const char *serial, const struct jmp_usb_device **ret,
                    enum jmp_sdwire_kind *retkind, struct jmp_error *reterr);

/**
 * jmp_sdwire_disk() - the path of its card's block device
 * @root:  as in jmp_usb_list_read()
 *
 * Return: 0, -ENOENT: not there (yet).
 */
int jmp_sdwire_disk(const char *root, const struct jmp_usb_list *list, const struct jmp_usb_device *device,
                    enum jmp_sdwire_kind kind, char *path, size_t size);
