/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/usbip_describe.h"

#include <stdio.h>
#include <string.h>

#include "drivers/usb/config.h"
#include "drivers/usb/handle.h"

static uint32_t speed_of(const struct jmp_usb_device *device)
{
    static const struct {
        const char *speed;
        uint32_t number;
    } speeds[] = {
        { "1.5", 1 }, { "12", 2 }, { "480", 3 }, { "5000", 5 }, { "10000", 6 }, { "20000", 6 },
    };

    for (size_t i = 0; i < ELEMENTSOF(speeds); i++)
        if (strcmp(device->speed, speeds[i].speed) == 0)
            return speeds[i].number;
    return 0;
}

void jmp_usbip_describe(const struct jmp_usb_device *device, uint8_t ret[JMP_USBIP_DEVICE_SIZE])
{
    struct jmp_usbip_device description = {
        .bus = device->bus,
        .address = device->address,
        .speed = speed_of(device),
        .vendor = device->vendor,
        .product = device->product,
        .release = device->release,
        .class = device->class,
        .subclass = device->subclass,
        .protocol = device->protocol,
        .configuration = device->configuration,
        .configurations = device->configurations,
        .interfaces = device->interfaces,
    };

    snprintf(description.path, sizeof(description.path), "/sys/bus/usb/devices/%s", device->path);
    snprintf(description.busid, sizeof(description.busid), "%.31s", device->path);
    jmp_usbip_device_write(&description, ret);
}

void jmp_usbip_describe_interfaces(const struct jmp_usb_device *device, uint8_t *ret)
{
    _cleanup_(jmp_usb_close) struct jmp_usb_handle usb = JMP_USB_HANDLE_CLOSED;
    _cleanup_(jmp_usb_config_clear) struct jmp_usb_config config = { 0 };
    struct jmp_usb_part part = { 0 };
    unsigned count = 0;

    if (jmp_usb_open(device, &usb, NULL) < 0 || jmp_usb_config_read(usb.fd, device->configuration, &config) < 0)
        return;
    while (count < device->interfaces && jmp_usb_config_next(&config, &part)) {
        uint8_t *at = ret + (size_t)count * JMP_USBIP_INTERFACE_SIZE;

        if (!part.first)
            continue;
        at[0] = part.class;
        at[1] = part.subclass;
        at[2] = part.protocol;
        count++;
    }
}
