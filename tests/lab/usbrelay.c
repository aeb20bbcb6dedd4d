/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-usbrelay SOCKET NAME COUNT [wedged]: a relay board of the USBRelayN family, whose NAME, five characters, is not
 * among its descriptors but in its feature report. Each relay that moves is a line on standard output: "relay 2 on". As
 * "wedged" it answers nothing any more after the first.
 */
#include "tests/lab/raw.h"

#include <endian.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GET_REPORT = 0x01, SET_REPORT = 0x09, FEATURE = 0x0300, REPORT_SIZE = 8 };
enum { ALL_OFF = 0xfc, OFF = 0xfd, ALL_ON = 0xfe, ON = 0xff };

static const unsigned char report[] = {
    0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, /* a page of the vendor's */
    0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 8,    0x95, REPORT_SIZE, 0x09, 0x00, 0xb2, 0x02, 0x01, 0xc0,
};

static struct {
    struct usb_config_descriptor config;
    struct usb_interface_descriptor interface;
    struct __attribute__((packed)) {
        uint8_t length, type;
        uint16_t version;
        uint8_t country, count, report_type;
        uint16_t report_size;
    } hid;
    struct __attribute__((packed)) { /* the kernel's structure has two bytes more, for audio */
        uint8_t length, type, address, attributes;
        uint16_t packet;
        uint8_t interval;
    } in;
} __attribute__((packed)) descriptors = {
    .config = { USB_DT_CONFIG_SIZE, USB_DT_CONFIG, 0, 1, 1, 0, USB_CONFIG_ATT_ONE, 50 },
    .interface = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 1, 3, 0, 0, 0 },
    .hid = { 9, 0x21, 0, 0, 1, 0x22, 0 },
    .in = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x81, USB_ENDPOINT_XFER_INT, 0, 10 },
};

static const char *name;
static unsigned count, states;
static bool wedged;

static void move(unsigned relay, bool on)
{
    unsigned bit = 1u << (relay - 1);

    if (!(states & bit) != !on) {
        states ^= bit;
        printf("relay %u %s\n", relay, on ? "on" : "off");
        if (wedged)
            pause();
    }
}

static int obey(const unsigned char *data)
{
    bool all = data[0] == ALL_ON || data[0] == ALL_OFF;

    if (data[0] < ALL_OFF || (!all && (data[1] < 1 || data[1] > count)))
        return RAW_REFUSE;
    for (unsigned relay = all ? 1 : data[1]; relay <= (all ? count : data[1]); relay++)
        move(relay, data[0] == ON || data[0] == ALL_ON);
    return 0;
}

static int on_request(struct raw_device *dev, const struct usb_ctrlrequest *request, unsigned char *data)
{
    if (le16toh(request->wValue) != FEATURE)
        return request->bRequestType & USB_DIR_IN ? RAW_REFUSE : 0; /* how often it is asked is of no matter */
    if (request->bRequest == SET_REPORT && le16toh(request->wLength) == REPORT_SIZE)
        return obey(data);
    if (request->bRequest != GET_REPORT)
        return RAW_REFUSE;
    memset(data, 0, REPORT_SIZE);
    memcpy(data, name, 5);
    data[7] = (unsigned char)states;
    return REPORT_SIZE;
}

/* Nothing ever comes from it by itself: the endpoint is there, and silent. */
static void on_configured(struct raw_device *dev)
{
    struct usb_endpoint_descriptor endpoint = { 0 };
    static bool enabled;

    memcpy(&endpoint, &descriptors.in, USB_DT_ENDPOINT_SIZE);
    if (!enabled)
        raw_enable(dev, &endpoint);
    enabled = true;
}

int main(int argc, char **argv)
{
    char product[16];
    struct raw_device dev = {
        .device = {
            .bLength = USB_DT_DEVICE_SIZE, .bDescriptorType = USB_DT_DEVICE, .bcdUSB = htole16(0x0110),
            .bMaxPacketSize0 = 8, .idVendor = htole16(0x16c0), .idProduct = htole16(0x05df),
            .bcdDevice = htole16(0x0100), .iManufacturer = 1, .iProduct = 2, .bNumConfigurations = 1,
        },
        .config = &descriptors, .config_size = sizeof(descriptors), .report = report, .report_size = sizeof(report),
        .strings = { NULL, "www.dcttech.com", product },
        .speed = USB_SPEED_LOW, .control = on_request, .configured = on_configured,
    };

    if (argc < 4 || strlen(argv[2]) != 5)
        errx(2, "usage: lab-usbrelay SOCKET NAME COUNT [wedged]");
    wedged = argc > 4;
    name = argv[2];
    count = (unsigned)strtoul(argv[3], NULL, 10);
    snprintf(product, sizeof(product), "USBRelay%u", count);
    descriptors.config.wTotalLength = htole16(sizeof(descriptors));
    descriptors.hid.version = htole16(0x0101);
    descriptors.hid.report_size = htole16(sizeof(report));
    descriptors.in.packet = htole16(8);
    setvbuf(stdout, NULL, _IOLBF, 0);
    raw_run(&dev, (unsigned)strtoul(argv[1], NULL, 10));
}
