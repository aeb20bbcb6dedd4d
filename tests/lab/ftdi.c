/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-ftdi SOCKET SERIAL: an FT232R. Standard input is a socket that stands for its wires, in both directions. Each
 * request that sets something is a line on standard output: "dtr 1", "rts 0", "break 1", "baud 9600", "latency 1",
 * "purge".
 */
#include "tests/lab/raw.h"

#include <endian.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RESET,
    MODEM_CONTROL,
    FLOW_CONTROL,
    BAUD_RATE,
    DATA,
    MODEM_STATUS,
    SET_LATENCY = 9,
    GET_LATENCY,
    READ_EEPROM = 0x90
};

#define PACKET 64
#define STATUS 2         /* at the start of each packet to the host: modem lines, line errors */
#define PACKETS 8        /* at most in one transfer */
#define MODEM_LINES 0x31 /* CTS and DSR, and a bit that is always set */

static struct {
    struct usb_config_descriptor config;
    struct usb_interface_descriptor interface;
    struct __attribute__((packed)) { /* the kernel's structure has two bytes more, for audio */
        uint8_t length, type, address, attributes;
        uint16_t packet;
        uint8_t interval;
    } in, out;
} __attribute__((packed)) descriptors = {
    .config = { USB_DT_CONFIG_SIZE, USB_DT_CONFIG, 0, 1, 1, 0, USB_CONFIG_ATT_ONE, 50 },
    .interface = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 2, 0xff, 0xff, 0xff, 2 },
    .in = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x81, USB_ENDPOINT_XFER_BULK, 0, 0 },
    .out = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x02, USB_ENDPOINT_XFER_BULK, 0, 0 },
};

static atomic_uint latency = 16; /* milliseconds, as it is when it comes from the factory */
static int in_handle, out_handle;

/* The host's divisor of 3 MHz: 14 bits and three bits of eighths, coded as the table says. */
static unsigned baud(unsigned value, unsigned index)
{
    static const unsigned eighths[] = { 0, 4, 2, 1, 3, 5, 6, 7 };
    unsigned divisor = (value & 0x3fff) * 8 + eighths[(value >> 14 & 3) | (index & 1) << 2];

    if (divisor == 0)
        return 3000000;
    if (divisor == 8)
        return 2000000;
    return (24000000 + divisor / 2) / divisor;
}

static int on_request(struct raw_device *dev, const struct usb_ctrlrequest *request, unsigned char *data)
{
    unsigned value = le16toh(request->wValue), index = le16toh(request->wIndex);

    switch (request->bRequest) {
    case RESET:
        if (value > 0)
            printf("purge\n");
        return 0;
    case MODEM_CONTROL: /* which lines, then their levels */
        if (value & 0x100)
            printf("dtr %u\n", value & 1);
        if (value & 0x200)
            printf("rts %u\n", value >> 1 & 1);
        return 0;
    case BAUD_RATE:
        printf("baud %u\n", baud(value, index));
        return 0;
    case DATA:
        printf("break %u\n", value >> 14 & 1);
        return 0;
    case FLOW_CONTROL:
        return 0;
    case SET_LATENCY:
        atomic_store(&latency, value & 0xff);
        printf("latency %u\n", value & 0xff);
        return 0;
    case MODEM_STATUS:
        data[0] = MODEM_LINES;
        data[1] = 0x60;
        return 2;
    case GET_LATENCY:
        data[0] = (unsigned char)atomic_load(&latency);
        return 1;
    case READ_EEPROM:
        data[0] = data[1] = 0xff;
        return 2;
    default:
        return RAW_REFUSE;
    }
}

/* To the host: what there is, at once; nothing but the status when there was nothing for the latency time. */
static void *give(void *arg)
{
    struct raw_device *dev = arg;
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

    for (;;) {
        unsigned char bytes[PACKETS * (PACKET - STATUS)], wire[PACKETS * PACKET];
        ssize_t size = 0;
        size_t used = 0, sent = 0;
        int r;

        if (poll(&input, 1, (int)atomic_load(&latency)) > 0) {
            size = read(STDIN_FILENO, bytes, sizeof(bytes));
            if (size < 0)
                err(1, "standard input");
            if (size == 0)
                input.fd = -1; /* nothing comes any more; the device stays */
        }
        do {
            size_t part = (size_t)size - sent < PACKET - STATUS ? (size_t)size - sent : PACKET - STATUS;

            wire[used] = MODEM_LINES;
            wire[used + 1] = 0x60;
            memcpy(wire + used + STATUS, bytes + sent, part);
            used += STATUS + part;
            sent += part;
        } while (sent < (size_t)size);

        /* The host lets go when it resets us or when nobody has the port open; both pass. */
        while ((r = raw_write(dev, in_handle, wire, used)) == -ESHUTDOWN || r == -EINTR)
            poll(NULL, 0, 1);
        if (r < 0)
            errx(1, "to the host: %s", strerror(-r));
    }
    return NULL;
}

static void *take(void *arg)
{
    struct raw_device *dev = arg;

    for (;;) {
        unsigned char bytes[512];
        int size = raw_read(dev, out_handle, bytes, sizeof(bytes));

        if (size == -ESHUTDOWN || size == -EINTR) {
            poll(NULL, 0, 1);
            continue;
        }
        if (size < 0)
            errx(1, "from the host: %s", strerror(-size));
        for (int done = 0; done < size;) {
            ssize_t n = write(STDIN_FILENO, bytes + done, (size_t)(size - done));

            if (n < 0)
                err(1, "standard input");
            done += (int)n;
        }
    }
    return NULL;
}

static int enable(struct raw_device *dev, const void *descriptor)
{
    struct usb_endpoint_descriptor endpoint = { 0 };

    memcpy(&endpoint, descriptor, USB_DT_ENDPOINT_SIZE);
    return raw_enable(dev, &endpoint);
}

static void on_configured(struct raw_device *dev)
{
    static bool running;

    if (running)
        return;
    running = true;
    in_handle = enable(dev, &descriptors.in);
    out_handle = enable(dev, &descriptors.out);
    raw_start(give, dev);
    raw_start(take, dev);
}

int main(int argc, char **argv)
{
    struct raw_device dev = {
        .device = {
            .bLength = USB_DT_DEVICE_SIZE, .bDescriptorType = USB_DT_DEVICE, .bcdUSB = htole16(0x0200),
            .bMaxPacketSize0 = 64, .idVendor = htole16(0x0403), .idProduct = htole16(0x6001),
            .bcdDevice = htole16(0x0600), .iManufacturer = 1, .iProduct = 2, .iSerialNumber = 3,
            .bNumConfigurations = 1,
        },
        .config = &descriptors, .config_size = sizeof(descriptors),
        .strings = { NULL, "FTDI", "FT232R USB UART", argc > 2 ? argv[2] : NULL },
        .speed = USB_SPEED_FULL, .control = on_request, .configured = on_configured,
    };

    if (argc != 3)
        errx(2, "lab-ftdi SOCKET SERIAL");
    descriptors.config.wTotalLength = htole16(sizeof(descriptors));
    descriptors.in.packet = descriptors.out.packet = htole16(PACKET);
    setvbuf(stdout, NULL, _IOLBF, 0);
    raw_run(&dev, (unsigned)strtoul(argv[1], NULL, 10));
}
