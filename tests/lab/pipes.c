/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-pipes SOCKET SERIAL: what a transfer can meet.
 *
 * A bulk pipe is silent until the vendor's request SAY; a request HANG is answered late. Its interface in setting 1 has
 * isochronous pipes besides: packets to the host are numbered, those from it are looked at, and COUNTS tells how many
 * were as they should be, and how many not. A packet is its number, its size, and bytes that follow from both. Each
 * time the host chooses its configuration is a line on standard output, "configured", and each setting, "setting 1".
 */
#include "tests/lab/raw.h"

#include <endian.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAY = 1, HANG = 2, COUNTS = 3 };

#define BULK_PACKET 512
#define ISO_PACKET 192
#define HEAD 8 /* of an isochronous packet: number, size */

static struct {
    struct usb_config_descriptor config;
    struct usb_interface_descriptor plain;
    struct raw_endpoint plain_bulk;
    struct usb_interface_descriptor full;
    struct raw_endpoint bulk, in, out;
} __attribute__((packed)) descriptors = {
    .config = { USB_DT_CONFIG_SIZE, USB_DT_CONFIG, 0, 1, 1, 0, USB_CONFIG_ATT_ONE, 50 },
    .plain = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 1, 0xff, 0, 0, 0 },
    .plain_bulk = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x81, USB_ENDPOINT_XFER_BULK, 0, 0 },
    .full = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 1, 3, 0xff, 0, 0, 0 },
    .bulk = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x81, USB_ENDPOINT_XFER_BULK, 0, 0 },
    .in = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x83, USB_ENDPOINT_XFER_ISOC, 0, 4 },
    .out = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x04, USB_ENDPOINT_XFER_ISOC, 0, 4 },
};

static int bulk_handle, in_handle, out_handle;
static sem_t said;
static atomic_uint to_say, good, bad;

/* The host lets go when it resets us; that passes. */
static bool passes(int r)
{
    if (r != -ESHUTDOWN && r != -EINTR)
        return false;
    poll(NULL, 0, 1);
    return true;
}

static void *speak(void *arg)
{
    unsigned char bytes[4096];
    int r;

    for (;;) {
        if (sem_wait(&said) < 0)
            continue;
        for (unsigned i = 0; i < to_say; i++)
            bytes[i] = (unsigned char)(i + i / 256);
        while (passes(r = raw_write(arg, bulk_handle, bytes, to_say)))
            ;
        if (r < 0)
            errx(1, "to the host: %s", strerror(-r));
    }
    return NULL;
}

static unsigned size_of(uint32_t number)
{
    return HEAD + number * 7 % (ISO_PACKET - HEAD + 1);
}

static void fill(uint32_t number, unsigned char packet[ISO_PACKET])
{
    const uint32_t head[2] = { htole32(number), htole32(size_of(number)) };

    memcpy(packet, head, HEAD);
    for (unsigned i = HEAD; i < size_of(number); i++)
        packet[i] = (unsigned char)(number + i);
}

static void *stream(void *arg)
{
    unsigned char packet[ISO_PACKET];
    int r;

    for (uint32_t number = 0;; number++) {
        fill(number, packet);
        while (passes(r = raw_write(arg, in_handle, packet, size_of(number))))
            ;
        if (r < 0)
            errx(1, "packets to the host: %s", strerror(-r));
    }
    return NULL;
}

/* Some may be missing: for a packet that comes while nobody waits there is no second time. */
static void *listen_to(void *arg)
{
    unsigned char packet[ISO_PACKET], expected[ISO_PACKET];
    uint32_t number, next = 0;
    int r;

    for (;;) {
        r = raw_read(arg, out_handle, packet, sizeof(packet));
        if (passes(r))
            continue;
        if (r < 0)
            errx(1, "packets from the host: %s", strerror(-r));
        memcpy(&number, packet, sizeof(number));
        number = le32toh(number);
        fill(number, expected);
        if (r >= HEAD && number >= next && (unsigned)r == size_of(number) && memcmp(packet, expected, (size_t)r) == 0)
            good++;
        else
            bad++;
        next = number + 1;
    }
    return NULL;
}

static void on_configured(struct raw_device *dev)
{
    static bool running;

    printf("configured\n");
    if (running)
        return;
    running = true;
    bulk_handle = raw_enable_wire(dev, &descriptors.bulk);
    raw_start(speak, dev);
}

static void on_altered(struct raw_device *dev, unsigned setting)
{
    static bool running;

    printf("setting %u\n", setting);
    if (running || setting == 0)
        return;
    running = true;
    in_handle = raw_enable_wire(dev, &descriptors.in);
    out_handle = raw_enable_wire(dev, &descriptors.out);
    raw_start(stream, dev);
    raw_start(listen_to, dev);
}

static int on_request(struct raw_device *dev, const struct usb_ctrlrequest *request, unsigned char *data)
{
    const uint32_t counts[2] = { htole32(good), htole32(bad) };
    unsigned value = le16toh(request->wValue);

    switch (request->bRequest) {
    case SAY:
        if (value > 4096)
            return RAW_REFUSE;
        to_say = value;
        sem_post(&said);
        return 0;
    case HANG:
        poll(NULL, 0, (int)value);
        return 0;
    case COUNTS:
        memcpy(data, counts, sizeof(counts));
        return sizeof(counts);
    default:
        return RAW_REFUSE;
    }
}

int main(int argc, char **argv)
{
    struct raw_device dev = {
        .device = {
            .bLength = USB_DT_DEVICE_SIZE, .bDescriptorType = USB_DT_DEVICE, .bcdUSB = htole16(0x0200),
            .bMaxPacketSize0 = 64, .idVendor = htole16(0x1209), .idProduct = htole16(0x0003),
            .bcdDevice = htole16(0x0100), .iProduct = 1, .iSerialNumber = 2, .bNumConfigurations = 1,
        },
        .config = &descriptors, .config_size = sizeof(descriptors),
        .strings = { [1] = "lab pipes", [2] = argc > 2 ? argv[2] : NULL },
        .speed = USB_SPEED_HIGH, .control = on_request, .configured = on_configured, .altered = on_altered,
    };

    if (argc != 3)
        errx(2, "usage: lab-pipes SOCKET SERIAL");
    descriptors.config.wTotalLength = htole16(sizeof(descriptors));
    descriptors.plain_bulk.packet = descriptors.bulk.packet = htole16(BULK_PACKET);
    descriptors.in.packet = descriptors.out.packet = htole16(ISO_PACKET);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (sem_init(&said, 0, 0) < 0)
        err(1, "semaphore");
    raw_run(&dev, (unsigned)strtoul(argv[1], NULL, 10));
}
