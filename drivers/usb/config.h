/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interfaces and endpoints of a configuration, as the device describes them. libusb refuses a configuration of
 * which one descriptor makes no sense, or that is shorter than it says; Linux takes the rest, and whoever is given such
 * a device expects to have it as on a machine of his own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct jmp_usb_config {
    uint8_t *data; /* its descriptors; NULL: the device is not configured, and there are none */
    size_t size;
};

/**
 * jmp_usb_config_read() - one configuration of a device
 * @fd:     its node in usbfs, or a file with the same: the device's descriptor, then all configurations
 * @value:  bConfigurationValue of the wanted one; 0: none, which has no interfaces
 * @ret:    clear with jmp_usb_config_clear()
 *
 * Return: 0, -ENOENT (it has none with that value), -ENOMEM, others of pread().
 */
int jmp_usb_config_read(int fd, unsigned value, struct jmp_usb_config *ret);
void jmp_usb_config_clear(struct jmp_usb_config *config); /* also an empty one */

/* An interface in one of its settings, or one endpoint of that. All zero before the first. */
struct jmp_usb_part {
    uint8_t interface, alternate, class, subclass, protocol;
    uint8_t endpoint; /* its address, never 0; 0: this is the setting itself */
    uint8_t type;     /* of the endpoint: LIBUSB_TRANSFER_TYPE_... */
    bool first;       /* a setting, and the first that the interface has */
    /* Of jmp_usb_config_next() */
    bool inside;
    size_t at;
    uint32_t seen[8];
};

/** jmp_usb_config_above() - the first interface with the number @limit or one above it; -1: there is none */
int jmp_usb_config_above(const struct jmp_usb_config *config, unsigned limit);
/** jmp_usb_config_next() - the next setting or endpoint; false: there are no more. What makes no sense is left out. */
bool jmp_usb_config_next(const struct jmp_usb_config *config, struct jmp_usb_part *part);
