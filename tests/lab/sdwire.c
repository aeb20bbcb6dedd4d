/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-sdwire SOCKET SERIAL: the FTDI chip of an SDWire. Each time its pin is set is a line on standard output, "host"
 * or "dut".
 */
#include "tests/lab/raw.h"

#include <endian.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

enum { SET_BITMODE = 0x0b, READ_PINS = 0x0c };

#define CBUS 0x20f0 /* the mode of the pins, all four of them outputs */

static const struct {
    struct usb_config_descriptor config;
    struct usb_interface_descriptor interface;
} __attribute__((packed)) descriptors = {
    .config = { USB_DT_CONFIG_SIZE, USB_DT_CONFIG, USB_DT_CONFIG_SIZE + USB_DT_INTERFACE_SIZE, 1, 1, 0,
                USB_CONFIG_ATT_ONE, 50 },
    .interface = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 0, 0xff, 0xff, 0xff, 2 },
};

static unsigned char pins; /* as after power on: at the board */

static int on_request(struct raw_device *dev, const struct usb_ctrlrequest *request, unsigned char *data)
{
    unsigned value = le16toh(request->wValue);

    if (request->bRequestType == 0x40 && request->bRequest == SET_BITMODE && (value & ~1u) == CBUS) {
        pins = value & 1;
        printf("%s\n", pins ? "host" : "dut");
        return 0;
    }
    if (request->bRequestType == 0xc0 && request->bRequest == READ_PINS) {
        data[0] = pins;
        return 1;
    }
    return RAW_REFUSE;
}

static void on_configured(struct raw_device *dev)
{
}

int main(int argc, char **argv)
{
    struct raw_device dev = {
        .device = {
            .bLength = USB_DT_DEVICE_SIZE, .bDescriptorType = USB_DT_DEVICE, .bcdUSB = htole16(0x0200),
            .bMaxPacketSize0 = 64, .idVendor = htole16(0x04e8), .idProduct = htole16(0x6001),
            .bcdDevice = htole16(0x1000), .iManufacturer = 1, .iProduct = 2, .iSerialNumber = 3,
            .bNumConfigurations = 1,
        },
        .config = &descriptors, .config_size = sizeof(descriptors),
        .strings = { NULL, "SRPOL", "sd-wire", argc > 2 ? argv[2] : NULL },
        .speed = USB_SPEED_FULL, .control = on_request, .configured = on_configured,
    };

    if (argc != 3)
        errx(2, "lab-sdwire SOCKET SERIAL");
    setvbuf(stdout, NULL, _IOLBF, 0);
    raw_run(&dev, (unsigned)strtoul(argv[1], NULL, 10));
}
