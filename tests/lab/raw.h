/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole USB device, played by a program over /dev/raw-gadget: for devices that the kernel's gadget functions cannot
 * be, those with requests of their vendor's and those that misbehave. A test's program, so what goes wrong ends it.
 */
#pragma once

#include <linux/usb/ch9.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAW_REFUSE (-1) /* answer a request by a stall */
#define RAW_STRINGS 8
#define RAW_CONTROL_MAX 4096

/* An endpoint on the wire; the kernel's structure has two bytes more, for audio. */
struct __attribute__((packed)) raw_endpoint {
    uint8_t length, type, address, attributes;
    uint16_t packet;
    uint8_t interval;
};

struct raw_device {
    /* What it says of itself. String 0 is not used; descriptors name the others by their number here. */
    struct usb_device_descriptor device;
    const void *config; /* with interfaces and endpoints, as they lie on the wire */
    size_t config_size;
    const char *strings[RAW_STRINGS];
    enum usb_device_speed speed;
    const void *report; /* of a HID device: its report descriptor, or NULL */
    size_t report_size;

    /**
     * @control: a class's or vendor's request. To the host: fills @data, returns how much. From the host: @data has
     * come, the value is only whether it is refused. NULL: all are refused.
     */
    int (*control)(struct raw_device *dev, const struct usb_ctrlrequest *request, unsigned char *data);
    void (*configured)(struct raw_device *dev); /* the host has chosen the configuration: enable endpoints now */
    void (*altered)(struct raw_device *dev, unsigned setting); /* of its only interface; NULL: no matter */

    int fd;
};

/** raw_run() - plug it into socket @port of the bench and answer requests; returns only when the descriptor is
 * closed */
void raw_run(struct raw_device *dev, unsigned port);

/** raw_become() - another device in the same socket, a little later: this program anew with @arguments, ending with
 * NULL */
void raw_become(const char *const arguments[]);

/** raw_start() - a thread of the device's; @run gets @dev */
void raw_start(void *(*run)(void *), struct raw_device *dev);

int raw_enable(struct raw_device *dev, const struct usb_endpoint_descriptor *endpoint); /* its handle */
int raw_enable_wire(struct raw_device *dev, const struct raw_endpoint *endpoint);
/** raw_write(), raw_read() - one transfer, blocking. Return: bytes, or -errno; -ESHUTDOWN when the host let go of us */
int raw_write(struct raw_device *dev, int endpoint, const void *data, size_t size);
int raw_read(struct raw_device *dev, int endpoint, void *data, size_t size);
void raw_halt(struct raw_device *dev, int endpoint); /* the host's transfers on it stall until it clears that */
