/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PICOBOOT: what the boot ROM of an RP2040 or RP2350 speaks over USB beside its disk ("Bootrom" in their data sheets).
 * Commands of 32 bytes on a bulk pipe, then their data, then an empty packet the other way.
 */
#pragma once

#include "drivers/driver.h"
#include "drivers/usb/handle.h"

#define JMP_PICOBOOT_FLASH 0x10000000u
#define JMP_PICOBOOT_FLASH_END 0x11000000u
#define JMP_PICOBOOT_SECTOR 4096u
#define JMP_PICOBOOT_PAGE 256u

struct jmp_picoboot {
    struct jmp_usb_handle usb;
    int interface;
    uint8_t in, out; /* endpoints */
    bool second;     /* an RP2350 */
    uint32_t token;
};

/** jmp_picoboot_is() - is it a chip that waits in its boot ROM? */
bool jmp_picoboot_is(const struct jmp_usb_device *device);

/** jmp_picoboot_open() - claim it for us, its disk then refuses writes; close with jmp_picoboot_close()
 * Return: 0, or with a sentence: -ENODEV, -EACCES, -EBUSY, -EPROTO (no such interface), ... */
int jmp_picoboot_open(const struct jmp_usb_device *device, struct jmp_picoboot *ret, struct jmp_error *reterr);
void jmp_picoboot_close(struct jmp_picoboot *boot);

/* All addresses are in flash. Return: 0 or negative errno. */
int jmp_picoboot_erase(struct jmp_picoboot *boot, uint32_t address, uint32_t size); /* whole sectors */
int jmp_picoboot_write(struct jmp_picoboot *boot, uint32_t address, const uint8_t *data,
                       uint32_t size); /* whole pages */
int jmp_picoboot_read(struct jmp_picoboot *boot, uint32_t address, uint8_t *data, uint32_t size);
/** jmp_picoboot_reboot() - tell it to start its firmware, half a second later
 * Return: 0: it has been told, and whether it obeys is seen by its leaving the bus; or negative errno. */
int jmp_picoboot_reboot(struct jmp_picoboot *boot);
