/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-pico SOCKET FLASH [boot [wedged|stays]]: a Raspberry Pi Pico, with the file FLASH as its flash memory.
 *
 * Its firmware is a serial port, 2e8a:000a. As firmware of Arduino's does, it goes into the boot loader when DTR falls
 * at 1200 baud. That is 2e8a:0003, of which the interface for PICOBOOT is here and the disk is not. REBOOT starts the
 * firmware. Lines on standard output: "boot loader", "reboot", "refused: WHY". Memory that is written without being
 * erased first is as wrong as it is on a real one. A pipe that refused something stays halted until the host clears
 * that, as it has to do because of the data toggle. As "wedged" its boot ROM answers nothing any more once it is to
 * erase something; one that "stays" says yes to REBOOT and does not start.
 */
#include "tests/lab/raw.h"

#include <endian.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SET_LINE_CODING = 0x20, SET_CONTROL_LINE_STATE = 0x22, INTERFACE_RESET = 0x41 };
enum { EXCLUSIVE = 0x01, REBOOT = 0x02, ERASE = 0x03, WRITE = 0x05, EXIT_XIP = 0x06, READ = 0x84 };

#define PACKET 64
#define MAGIC 0x431fd10bu
#define FLASH 0x10000000u
#define FLASH_SIZE (256u * 1024)
#define SECTOR 4096u
#define PAGE 256u

static struct {
    struct usb_config_descriptor config;
    struct usb_interface_descriptor control;
    uint8_t functional[19]; /* header, calls, abstract control, union: interface 1 has the data */
    struct raw_endpoint notify;
    struct usb_interface_descriptor data;
    struct raw_endpoint in, out;
} __attribute__((packed)) firmware = {
    .config = { USB_DT_CONFIG_SIZE, USB_DT_CONFIG, 0, 2, 1, 0, USB_CONFIG_ATT_ONE, 125 },
    .control = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 1, 2, 2, 0, 0 },
    .functional = { 5, 0x24, 0, 0x10, 0x01, 5, 0x24, 1, 0, 1, 4, 0x24, 2, 2, 5, 0x24, 6, 0, 1 },
    .notify = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x85, USB_ENDPOINT_XFER_INT, 0, 16 },
    .data = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 1, 0, 2, 0x0a, 0, 0, 0 },
    .in = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x81, USB_ENDPOINT_XFER_BULK, 0, 0 },
    .out = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x02, USB_ENDPOINT_XFER_BULK, 0, 0 },
};

static struct {
    struct usb_config_descriptor config;
    struct usb_interface_descriptor interface;
    struct raw_endpoint out, in;
} __attribute__((packed)) loader = {
    .config = { USB_DT_CONFIG_SIZE, USB_DT_CONFIG, 0, 1, 1, 0, USB_CONFIG_ATT_ONE, 125 },
    .interface = { USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 2, 0xff, 0, 0, 0 },
    .out = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x02, USB_ENDPOINT_XFER_BULK, 0, 0 },
    .in = { USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 0x81, USB_ENDPOINT_XFER_BULK, 0, 0 },
};

struct __attribute__((packed)) command {
    uint32_t magic, token;
    uint8_t id, args_size;
    uint16_t unused;
    uint32_t transfer, address, size;
    uint8_t more[8];
};

static char **self;
static bool is_loader, wedged, stays;
static int flash_fd, in_handle, out_handle;
static uint32_t baud;

static void become(const char *what)
{
    static const char *arguments[5];

    memcpy(arguments, (const char *[]){ self[0], self[1], self[2], what, NULL }, sizeof(arguments));
    raw_become(arguments);
}

/* Of the host's, whole. */
static void take(struct raw_device *dev, void *data, size_t size)
{
    int r;

    while ((r = raw_read(dev, out_handle, data, size)) == -ESHUTDOWN || r == -EINTR)
        poll(NULL, 0, 1);
    if (r != (int)size)
        errx(1, "%d of %zu bytes from the host", r, size);
}

static void give(struct raw_device *dev, const void *data, size_t size)
{
    int r = raw_write(dev, in_handle, data, size);

    if (r != (int)size)
        errx(1, "%d of %zu bytes to the host", r, size);
}

/* NULL: it may be done */
static const char *problem(const struct command *command, uint32_t at, uint32_t size)
{
    uint32_t unit = command->id == ERASE ? SECTOR : command->id == WRITE ? PAGE : 1;

    if (command->id != ERASE && command->id != WRITE && command->id != READ)
        return NULL;
    if (at < FLASH || at - FLASH > FLASH_SIZE || size > FLASH_SIZE - (at - FLASH))
        return "outside of the flash";
    if (at % unit || size % unit || size > SECTOR)
        return "not whole units";
    return NULL;
}

/* A bit that is 0 stays 0 until its sector is erased. */
static void program(unsigned char *old, const unsigned char *data, uint32_t at, uint32_t size)
{
    if (pread(flash_fd, old, size, at) != (ssize_t)size)
        err(1, "flash");
    for (uint32_t i = 0; i < size; i++)
        old[i] &= data[i];
    if (pwrite(flash_fd, old, size, at) != (ssize_t)size)
        err(1, "flash");
}

static void obey(struct raw_device *dev, const struct command *command)
{
    uint32_t at = le32toh(command->address) - FLASH, size = le32toh(command->size);
    unsigned char data[SECTOR], old[SECTOR];

    switch (command->id) {
    case ERASE:
        if (wedged)
            pause();
        memset(data, 0xff, sizeof(data));
        if (pwrite(flash_fd, data, size, at) != (ssize_t)size)
            err(1, "flash");
        break;
    case WRITE:
        take(dev, data, size);
        program(old, data, at, size);
        break;
    case READ:
        if (pread(flash_fd, data, size, at) != (ssize_t)size)
            err(1, "flash");
        give(dev, data, size);
        take(dev, data, 0);
        return;
    case REBOOT:
        printf("reboot\n");
        break;
    default: /* exclusive, exit_xip */
        break;
    }
    give(dev, NULL, 0);
    if (command->id == REBOOT && !stays)
        become(NULL);
}

static void *boot(void *arg)
{
    struct command command;
    const char *why;

    printf("boot loader\n");
    for (;;) {
        take(arg, &command, sizeof(command));
        why = le32toh(command.magic) != MAGIC ? "no command"
                                              : problem(&command, le32toh(command.address), le32toh(command.size));
        if (why) {
            printf("refused: %s\n", why);
            raw_halt(arg, in_handle);
            raw_halt(arg, out_handle);
        } else {
            obey(arg, &command);
        }
    }
    return NULL;
}

static void on_configured(struct raw_device *dev)
{
    static bool running;

    if (running)
        return;
    running = true;
    in_handle = raw_enable_wire(dev, is_loader ? &loader.in : &firmware.in);
    out_handle = raw_enable_wire(dev, is_loader ? &loader.out : &firmware.out);
    if (is_loader)
        raw_start(boot, dev);
    else
        raw_enable_wire(dev, &firmware.notify);
}

static int on_request(struct raw_device *dev, const struct usb_ctrlrequest *request, unsigned char *data)
{
    static bool dtr;
    bool was = dtr;

    if (is_loader)
        return request->bRequestType == 0x41 && request->bRequest == INTERFACE_RESET ? 0 : RAW_REFUSE;
    if (request->bRequest == SET_LINE_CODING) {
        memcpy(&baud, data, sizeof(baud));
        return 0;
    }
    if (request->bRequest != SET_CONTROL_LINE_STATE)
        return RAW_REFUSE;
    dtr = le16toh(request->wValue) & 1;
    if (was && !dtr && le32toh(baud) == 1200)
        become("boot");
    return 0;
}

int main(int argc, char **argv)
{
    struct raw_device dev = {
        .device = {
            .bLength = USB_DT_DEVICE_SIZE, .bDescriptorType = USB_DT_DEVICE, .bcdUSB = htole16(0x0200),
            .bMaxPacketSize0 = 64, .idVendor = htole16(0x2e8a), .bcdDevice = htole16(0x0100), .iManufacturer = 1,
            .iProduct = 2, .iSerialNumber = 3, .bNumConfigurations = 1,
        },
        .strings = { NULL, "Raspberry Pi", NULL, "E0C9125B0D9B" },
        .speed = USB_SPEED_FULL, .control = on_request, .configured = on_configured,
    };

    if (argc < 3)
        errx(2, "usage: lab-pico SOCKET FLASH [boot [wedged|stays]]");
    self = argv;
    is_loader = argc > 3;
    wedged = argc > 4 && strcmp(argv[4], "wedged") == 0;
    stays = argc > 4 && strcmp(argv[4], "stays") == 0;
    flash_fd = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (flash_fd < 0 || ftruncate(flash_fd, FLASH_SIZE) < 0)
        err(1, "%s", argv[2]);
    firmware.config.wTotalLength = htole16(sizeof(firmware));
    loader.config.wTotalLength = htole16(sizeof(loader));
    firmware.notify.packet = htole16(8);
    firmware.in.packet = firmware.out.packet = loader.in.packet = loader.out.packet = htole16(PACKET);
    dev.device.idProduct = htole16(is_loader ? 0x0003 : 0x000a);
    dev.config = is_loader ? (const void *)&loader : &firmware;
    dev.config_size = is_loader ? sizeof(loader) : sizeof(firmware);
    dev.strings[2] = is_loader ? "RP2 Boot" : "Pico";
    setvbuf(stdout, NULL, _IOLBF, 0);
    raw_run(&dev, (unsigned)strtoul(argv[1], NULL, 10));
}
