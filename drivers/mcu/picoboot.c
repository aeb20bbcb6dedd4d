/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/mcu/picoboot.h"

#include <endian.h>
#include <string.h>

#define MAGIC 0x431fd10bu
#define LIMIT 5000u       /* milliseconds, of one transfer: erasing a sector takes up to 400 */
#define REBOOT_DELAY 500u /* milliseconds */

enum { EXCLUSIVE = 0x01, REBOOT = 0x02, ERASE = 0x03, WRITE = 0x05, EXIT_XIP = 0x06, REBOOT2 = 0x0a, READ = 0x84 };
enum { INTERFACE_RESET = 0x41 };

struct __attribute__((packed)) command {
    uint32_t magic, token;
    uint8_t id, args_size;
    uint16_t unused;
    uint32_t transfer;
    uint8_t args[16];
};

bool jmp_picoboot_is(const struct jmp_usb_device *device)
{
    return device->vendor == 0x2e8a && (device->product == 0x0003 || device->product == 0x000f);
}

/* One bulk transfer, whole. */
static int bulk(struct jmp_picoboot *boot, uint8_t endpoint, void *data, size_t size)
{
    int moved = 0;
    int r;

    r = libusb_bulk_transfer(boot->usb.handle, endpoint, data, (int)size, &moved, LIMIT);
    if (r < 0)
        return jmp_usb_errno(r);
    return (size_t)moved == size ? 0 : -EPROTO;
}

/* A command with its data. */
static int send(struct jmp_picoboot *boot, uint8_t id, const void *args, uint8_t args_size, void *data, uint32_t size)
{
    struct command message = { .magic = htole32(MAGIC),
                               .token = htole32(++boot->token),
                               .id = id,
                               .args_size = args_size,
                               .transfer = htole32(size) };
    int r;

    memcpy(message.args, args, args_size);
    r = bulk(boot, boot->out, &message, sizeof(message));
    if (r == 0 && size > 0)
        r = bulk(boot, id & 0x80 ? boot->in : boot->out, data, size);
    return r;
}

/* The empty answer, or its like. A stall says no; why is not asked, for nobody could do anything about it. */
static int confirm(struct jmp_picoboot *boot, uint8_t id)
{
    uint8_t nothing[1];

    return bulk(boot, id & 0x80 ? boot->out : boot->in, nothing, 0);
}

static int command(struct jmp_picoboot *boot, uint8_t id, const void *args, uint8_t args_size, void *data,
                   uint32_t size)
{
    int r;

    r = send(boot, id, args, args_size, data, size);
    return r < 0 ? r : confirm(boot, id);
}

static int range(struct jmp_picoboot *boot, uint8_t id, uint32_t address, void *data, uint32_t size)
{
    const uint32_t args[2] = { htole32(address), htole32(size) };

    if (address < JMP_PICOBOOT_FLASH || address >= JMP_PICOBOOT_FLASH_END || size > JMP_PICOBOOT_FLASH_END - address)
        return -ERANGE;
    return command(boot, id, args, sizeof(args), data, data ? size : 0);
}

int jmp_picoboot_erase(struct jmp_picoboot *boot, uint32_t address, uint32_t size)
{
    return range(boot, ERASE, address, NULL, size);
}

int jmp_picoboot_write(struct jmp_picoboot *boot, uint32_t address, const uint8_t *data, uint32_t size)
{
    return range(boot, WRITE, address, (void *)(uintptr_t)data, size);
}

int jmp_picoboot_read(struct jmp_picoboot *boot, uint32_t address, uint8_t *data, uint32_t size)
{
    return range(boot, READ, address, data, size);
}

int jmp_picoboot_reboot(struct jmp_picoboot *boot)
{
    const uint32_t first[3] = { 0, 0, htole32(REBOOT_DELAY) };     /* into the flash */
    const uint32_t second[4] = { 0, htole32(REBOOT_DELAY), 0, 0 }; /* an ordinary start */

    uint8_t id = boot->second ? REBOOT2 : REBOOT;
    int r;

    r = boot->second ? send(boot, id, second, sizeof(second), NULL, 0) : send(boot, id, first, sizeof(first), NULL, 0);
    if (r < 0)
        return r;
    r = confirm(boot, id);
    /* It has the command; it may be off the bus before anybody has looked at its answer, or the answer is lost for
     * another reason. Only whether it leaves tells. */
    return r == -ENODEV || r == -EIO ? 0 : r;
}

/* The interface of the vendor's class, with a bulk pipe each way. */
static int find_interface(struct jmp_picoboot *boot)
{
    struct libusb_config_descriptor *config;
    int r;

    r = libusb_get_active_config_descriptor(libusb_get_device(boot->usb.handle), &config);
    if (r < 0)
        return jmp_usb_errno(r);
    r = -EPROTO;
    for (uint8_t i = 0; r < 0 && i < config->bNumInterfaces; i++) {
        const struct libusb_interface_descriptor *interface = config->interface[i].altsetting;

        if (config->interface[i].num_altsetting < 1 || interface->bInterfaceClass != LIBUSB_CLASS_VENDOR_SPEC)
            continue;
        boot->in = boot->out = 0;
        for (uint8_t j = 0; j < interface->bNumEndpoints; j++) {
            uint8_t address = interface->endpoint[j].bEndpointAddress;

            *(address & LIBUSB_ENDPOINT_IN ? &boot->in : &boot->out) = address;
        }
        boot->interface = interface->bInterfaceNumber;
        r = boot->in && boot->out ? 0 : -EPROTO;
    }
    libusb_free_config_descriptor(config);
    return r;
}

static int begin(struct jmp_picoboot *boot)
{
    const uint8_t ours = 1;
    int r;

    r = find_interface(boot);
    if (r < 0)
        return r;
    r = jmp_usb_errno(libusb_claim_interface(boot->usb.handle, boot->interface));
    if (r < 0)
        return r;
    /* Whatever was left half done, or refused: a pipe that is halted has to be cleared at both of its ends. */
    r = jmp_usb_errno(libusb_clear_halt(boot->usb.handle, boot->out));
    if (r == 0)
        r = jmp_usb_errno(libusb_clear_halt(boot->usb.handle, boot->in));
    if (r < 0)
        return r;
    r = jmp_usb_errno(libusb_control_transfer(
        boot->usb.handle, LIBUSB_ENDPOINT_OUT | LIBUSB_REQUEST_TYPE_VENDOR | LIBUSB_RECIPIENT_INTERFACE,
        INTERFACE_RESET, 0, (uint16_t)boot->interface, NULL, 0, LIMIT));
    if (r < 0)
        return r;
    r = command(boot, EXCLUSIVE, &ours, sizeof(ours), NULL, 0);
    return r < 0 ? r : command(boot, EXIT_XIP, NULL, 0, NULL, 0);
}

int jmp_picoboot_open(const struct jmp_usb_device *device, struct jmp_picoboot *ret, struct jmp_error *reterr)
{
    struct jmp_picoboot boot = { .usb = JMP_USB_HANDLE_CLOSED, .interface = -1, .second = device->product == 0x000f };
    int r;

    r = jmp_usb_open(device, &boot.usb, reterr);
    if (r < 0)
        return r;
    r = begin(&boot);
    if (r < 0) {
        jmp_picoboot_close(&boot);
        return jmp_error_set(reterr, r, "the boot ROM in port %s does not answer: %m", device->path);
    }
    *ret = boot;
    return 0;
}

void jmp_picoboot_close(struct jmp_picoboot *boot)
{
    jmp_usb_close(&boot->usb);
}
