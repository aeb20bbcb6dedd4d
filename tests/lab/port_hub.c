/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-port-hub SOCKET [ganged|stubborn|wedged]: a hub with four ports whose power is switched one by one. Each switch
 * is a line on standard output: "port 2 off". Nothing can be plugged into it. As "ganged" it says that it switches all
 * ports together; as "stubborn" it takes every request and switches nothing; as "wedged" it stops answering when a
 * port is to be switched.
 */
#include "tests/lab/raw.h"

#include <endian.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PORTS = 4, DT_HUB = 0x29, PORT_POWER = 8, POWERED = 0x0100, PER_PORT = 0x0009, GANGED = 0x0008 };

static struct {
    struct usb_config_descriptor config;
    struct usb_interface_descriptor interface;
    struct __attribute__((packed)) { /* the kernel's structure has two bytes more, for audio */
        uint8_t length, type, address, attributes;
        uint16_t packet;
        uint8_t interval;
    } in;
} __attribute__((packed)) descriptors = {
    .config = { USB_DT_CONFIG_SIZE, USB_DT_CONFIG, 0, 1, 1, 0, USB_CONFIG_ATT_ONE | USB_CONFIG_ATT_SELFPOWER, 0 },
    .interface = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 1, 9, 0, 0, 0 },
    .in = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x81, USB_ENDPOINT_XFER_INT, 0, 12 },
};

static const char *manner = "";
static uint16_t ports[PORTS + 1];

static int describe(unsigned char *data)
{
    uint16_t characteristics = strcmp(manner, "ganged") == 0 ? GANGED : PER_PORT;
    unsigned char descriptor[] = { 9, DT_HUB, PORTS, (unsigned char)characteristics, 0, 10, 0, 0, 0xff };

    memcpy(data, descriptor, sizeof(descriptor));
    return sizeof(descriptor);
}

static int switch_port(unsigned port, bool on)
{
    if (strcmp(manner, "wedged") == 0 && !on)
        pause();
    if (strcmp(manner, "stubborn") == 0 && !on)
        return 0;
    if (!(ports[port] & POWERED) != !on) {
        ports[port] = on ? POWERED : 0;
        printf("port %u %s\n", port, on ? "on" : "off");
    }
    return 0;
}

static int on_request(struct raw_device *dev, const struct usb_ctrlrequest *request, unsigned char *data)
{
    unsigned value = le16toh(request->wValue), index = le16toh(request->wIndex) & 0xff;
    bool of_port = (request->bRequestType & USB_RECIP_MASK) == USB_RECIP_OTHER;

    if (of_port && (index < 1 || index > PORTS))
        return RAW_REFUSE;
    switch (request->bRequest) {
    case USB_REQ_GET_DESCRIPTOR:
        return value >> 8 == DT_HUB ? describe(data) : RAW_REFUSE;
    case USB_REQ_GET_STATUS:
        memset(data, 0, 4);
        if (of_port) {
            data[0] = (unsigned char)ports[index];
            data[1] = (unsigned char)(ports[index] >> 8);
        }
        return 4;
    case USB_REQ_SET_FEATURE:
    case USB_REQ_CLEAR_FEATURE:
        return of_port && value == PORT_POWER ? switch_port(index, request->bRequest == USB_REQ_SET_FEATURE) : 0;
    default:
        return RAW_REFUSE;
    }
}

/* Nothing ever changes by itself: the endpoint is there, and silent. */
static void on_configured(struct raw_device *dev)
{
    struct usb_endpoint_descriptor endpoint = { 0 };

    memcpy(&endpoint, &descriptors.in, USB_DT_ENDPOINT_SIZE);
    raw_enable(dev, &endpoint);
}

int main(int argc, char **argv)
{
    struct raw_device dev = {
        .device = {
            .bLength = USB_DT_DEVICE_SIZE, .bDescriptorType = USB_DT_DEVICE, .bcdUSB = htole16(0x0200),
            .bDeviceClass = 9, .bDeviceProtocol = 1, .bMaxPacketSize0 = 64, .idVendor = htole16(0x1209),
            .idProduct = htole16(0x0009), .bcdDevice = htole16(0x0100), .iProduct = 1, .bNumConfigurations = 1,
        },
        .config = &descriptors, .config_size = sizeof(descriptors), .strings = { [1] = "lab hub" },
        .speed = USB_SPEED_HIGH, .control = on_request, .configured = on_configured,
    };

    if (argc < 2)
        errx(2, "usage: lab-port-hub SOCKET [ganged|stubborn|wedged]");
    if (argc > 2)
        manner = argv[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    descriptors.config.wTotalLength = htole16(sizeof(descriptors));
    descriptors.in.packet = htole16(1);
    raw_run(&dev, (unsigned)strtoul(argv[1], NULL, 10));
    return 0;
}
