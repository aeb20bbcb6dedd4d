/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-dfu SOCKET SERIAL: a device that takes firmware (USB DFU 1.1). As it is plugged in it runs its firmware,
 * 1209:0001; DETACH makes its boot loader of it, 1209:0002, another device in the same socket without a serial number.
 * There DNLOAD takes firmware, and the end of it starts it: 1209:0001 again, which prints "firmware SIZE SUM" with the
 * sum of its bytes. UPLOAD reads back.
 */
#include "tests/lab/raw.h"

#include <endian.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DETACH, DNLOAD, UPLOAD, GETSTATUS, CLRSTATUS, GETSTATE, ABORT };
enum { APP_IDLE, APP_DETACH, DFU_IDLE, DNLOAD_IDLE = 5, MANIFEST = 7, UPLOAD_IDLE = 9, DFU_ERROR };

#define BLOCK 1024
#define FIRMWARE_MAX (256 * 1024)
#define FIRMWARE_FD 9 /* the flash memory: it survives the changes of identity */

static struct {
    struct usb_config_descriptor config;
    struct usb_interface_descriptor interface;
    struct __attribute__((packed)) {
        uint8_t length, type, attributes;
        uint16_t detach_timeout, transfer_size, version;
    } dfu;
} __attribute__((packed)) descriptors = {
    .config = { USB_DT_CONFIG_SIZE, USB_DT_CONFIG, 0, 1, 1, 0, USB_CONFIG_ATT_ONE, 50 },
    .interface = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 0, 0xfe, 1, 1, 0 },
    .dfu = { 9, 0x21, 0x0b, 0, 0, 0 }, /* downloads, uploads, detaches by itself */
};

static char **self;
static bool loader;
static int state;
static size_t size;     /* of what was downloaded */
static size_t position; /* of the upload */

static void change(const char *into)
{
    static const char *arguments[5];

    memcpy(arguments, (const char *[]){ self[0], self[1], self[2], into, NULL }, sizeof(arguments));
    raw_become(arguments);
}

static int download(const struct usb_ctrlrequest *request, const unsigned char *data)
{
    size_t length = le16toh(request->wLength);

    if (state != DFU_IDLE && state != DNLOAD_IDLE)
        return RAW_REFUSE;
    if (length == 0) {
        state = MANIFEST;
        return 0;
    }
    if (state == DFU_IDLE)
        size = 0;
    if (size + length > FIRMWARE_MAX || pwrite(FIRMWARE_FD, data, length, (off_t)size) != (ssize_t)length)
        return RAW_REFUSE;
    size += length;
    if (ftruncate(FIRMWARE_FD, (off_t)size) < 0)
        err(1, "flash");
    state = DNLOAD_IDLE;
    return 0;
}

static int upload(const struct usb_ctrlrequest *request, unsigned char *data)
{
    ssize_t n;

    if (state == DFU_IDLE)
        position = 0;
    n = pread(FIRMWARE_FD, data, le16toh(request->wLength), (off_t)position);
    if (n < 0)
        err(1, "flash");
    position += (size_t)n;
    state = n < le16toh(request->wLength) ? DFU_IDLE : UPLOAD_IDLE;
    return (int)n;
}

static int on_request(struct raw_device *dev, const struct usb_ctrlrequest *request, unsigned char *data)
{
    switch (request->bRequest) {
    case DETACH:
        if (loader)
            return RAW_REFUSE;
        change("loader");
        return 0;
    case DNLOAD:
        return loader ? download(request, data) : RAW_REFUSE;
    case UPLOAD:
        return loader ? upload(request, data) : RAW_REFUSE;
    case GETSTATUS:
        memset(data, 0, 6);
        data[4] = (unsigned char)state;
        if (state == MANIFEST)
            change("firmware");
        return 6;
    case GETSTATE:
        data[0] = (unsigned char)state;
        return 1;
    case CLRSTATUS:
    case ABORT:
        state = loader ? DFU_IDLE : APP_IDLE;
        return 0;
    default:
        return RAW_REFUSE;
    }
}

static void open_flash(void)
{
    int fd = memfd_create("flash", 0);

    if (fd < 0 || dup2(fd, FIRMWARE_FD) < 0)
        err(1, "flash");
    if (fd != FIRMWARE_FD)
        close(fd);
}

static void tell_firmware(void)
{
    unsigned long sum = 0, count = 0;
    unsigned char byte;

    while (pread(FIRMWARE_FD, &byte, 1, (off_t)count) == 1) {
        sum += byte;
        count++;
    }
    printf("firmware %lu %lu\n", count, sum);
}

int main(int argc, char **argv)
{
    struct raw_device dev = {
        .device = {
            .bLength = USB_DT_DEVICE_SIZE, .bDescriptorType = USB_DT_DEVICE, .bcdUSB = htole16(0x0200),
            .bMaxPacketSize0 = 64, .idVendor = htole16(0x1209), .bcdDevice = htole16(0x0100), .iProduct = 1,
            .bNumConfigurations = 1,
        },
        .config = &descriptors, .config_size = sizeof(descriptors),
        .speed = USB_SPEED_HIGH, .control = on_request,
    };

    if (argc < 3)
        errx(2, "usage: lab-dfu SOCKET SERIAL");
    self = argv;
    loader = argc > 3 && strcmp(argv[3], "loader") == 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3)
        open_flash();
    else if (!loader)
        tell_firmware();
    state = loader ? DFU_IDLE : APP_IDLE;
    dev.device.idProduct = htole16(loader ? 0x0002 : 0x0001);
    dev.device.iSerialNumber = loader ? 0 : 2;
    dev.strings[1] = loader ? "lab boot loader" : "lab firmware";
    dev.strings[2] = argv[2];
    descriptors.interface.bInterfaceProtocol = loader ? 2 : 1;
    descriptors.dfu.detach_timeout = htole16(1000);
    descriptors.dfu.transfer_size = htole16(BLOCK);
    descriptors.dfu.version = htole16(0x0110);
    descriptors.config.wTotalLength = htole16(sizeof(descriptors));
    raw_run(&dev, (unsigned)strtoul(argv[1], NULL, 10));
    return 0;
}
