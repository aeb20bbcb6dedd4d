/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-dutlink SOCKET SERIAL: the requests of a DUT Link board. What is switched is a line on standard output: "power
 * 1", "storage 2"; what it draws follows the power.
 */
#include "tests/lab/raw.h"

#include <endian.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REFRESH = 0x00, POWER = 0x01, STORAGE = 0x02, GET = 0x04 };

static const struct {
    struct usb_config_descriptor config;
    struct usb_interface_descriptor interface;
} __attribute__((packed)) descriptors = {
    .config = { USB_DT_CONFIG_SIZE, USB_DT_CONFIG, USB_DT_CONFIG_SIZE + USB_DT_INTERFACE_SIZE, 1, 1, 0,
                USB_CONFIG_ATT_ONE, 50 },
    .interface = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 0, 0xff, 1, 1, 0 },
};

static unsigned power;

static int on_request(struct raw_device *dev, const struct usb_ctrlrequest *request, unsigned char *data)
{
    unsigned value = le16toh(request->wValue);

    if (request->bRequestType == 0x41 && request->wIndex == 0) {
        if (request->bRequest == REFRESH && value == 0)
            return 0;
        if (request->bRequest == POWER && value <= 4)
            power = value;
        else if (request->bRequest != STORAGE || value > 2)
            return RAW_REFUSE;
        printf("%s %u\n", request->bRequest == POWER ? "power" : "storage", value);
        return 0;
    }
    if (request->bRequestType == 0xc1 && request->bRequest == GET && value == 1)
        return sprintf((char *)data, "%s", power % 2 ? "5.02V 0.31A 1.56W" : "0.00V 0.00A 0.00W");
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
            .bMaxPacketSize0 = 64, .idVendor = htole16(0x2b23), .idProduct = htole16(0x1012),
            .bcdDevice = htole16(0x0100), .iManufacturer = 1, .iProduct = 2, .iSerialNumber = 3,
            .bNumConfigurations = 1,
        },
        .config = &descriptors, .config_size = sizeof(descriptors),
        .strings = { NULL, "lab", "DUT Link", argc > 2 ? argv[2] : NULL },
        .speed = USB_SPEED_FULL, .control = on_request, .configured = on_configured,
    };

    if (argc != 3)
        errx(2, "lab-dutlink SOCKET SERIAL");
    setvbuf(stdout, NULL, _IOLBF, 0);
    raw_run(&dev, (unsigned)strtoul(argv[1], NULL, 10));
}
