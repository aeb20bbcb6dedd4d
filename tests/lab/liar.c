/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-liar SOCKET SERIAL: a device whose descriptors are not true, as far as Linux puts up with that. Its configuration
 * claims to be longer than it is, and more interfaces than there are; one interface is numbered 200, another is there
 * twice, and has fewer endpoints than it says, one of them with number 0; junk follows, and at last half a descriptor.
 * Its name is not text. A bulk pipe says SERIAL, in every packet.
 */
#include "tests/lab/raw.h"

#include <endian.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BULK_PACKET 512

static struct {
    struct usb_config_descriptor config;
    struct usb_interface_descriptor first;
    struct raw_endpoint bulk, none;
    struct usb_interface_descriptor again, far;
    unsigned char junk[5], half[3];
} __attribute__((packed)) descriptors = {
    .config = { USB_DT_CONFIG_SIZE, USB_DT_CONFIG, 0, 9, 1, 0, USB_CONFIG_ATT_ONE, 50 },
    .first = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 30, 0xff, 0, 0, 0 },
    .bulk = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x81, USB_ENDPOINT_XFER_BULK, 0, 0 },
    .none = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x00, USB_ENDPOINT_XFER_BULK, 0, 0 },
    .again = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 0, 0xff, 0, 0, 0 },
    .far = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 200, 0, 0, 0xff, 0, 0, 0 },
    .junk = { 5, 0x7f, 1, 2, 3 },
    .half = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 1 },
};

static const char *serial;

static void *speak(void *arg)
{
    struct raw_device *dev = arg;
    int handle = raw_enable_wire(dev, &descriptors.bulk), r;

    for (;;) {
        r = raw_write(dev, handle, serial, strlen(serial));
        if (r < 0 && r != -ESHUTDOWN && r != -EINTR)
            errx(1, "to the host: %s", strerror(-r));
        if (r < 0)
            poll(NULL, 0, 1); /* a reset; that passes */
    }
    return NULL;
}

static void on_configured(struct raw_device *dev)
{
    static bool running;

    if (!running)
        raw_start(speak, dev);
    running = true;
}

int main(int argc, char **argv)
{
    struct raw_device dev = {
        .device = {
            .bLength = USB_DT_DEVICE_SIZE, .bDescriptorType = USB_DT_DEVICE, .bcdUSB = htole16(0x0200),
            .bMaxPacketSize0 = 64, .idVendor = htole16(0x1209), .idProduct = htole16(0x0004),
            .bcdDevice = htole16(0x0100), .iProduct = 1, .iSerialNumber = 2, .bNumConfigurations = 1,
        },
        .config = &descriptors, .config_size = sizeof(descriptors),
        .strings = { [1] = "\x1b[31m\xff\xfe: \"\\ %s", [2] = argc > 2 ? argv[2] : NULL },
        .speed = USB_SPEED_HIGH, .configured = on_configured,
    };

    if (argc != 3)
        errx(2, "usage: lab-liar SOCKET SERIAL");
    serial = argv[2];
    descriptors.config.wTotalLength = htole16(sizeof(descriptors) + 600);
    descriptors.bulk.packet = descriptors.none.packet = htole16(BULK_PACKET);
    setvbuf(stdout, NULL, _IOLBF, 0);
    raw_run(&dev, (unsigned)strtoul(argv[1], NULL, 10));
}
