/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/usbip_describe.h"

#include <stdio.h>
#include <string.h>

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
    struct libusb_config_descriptor *config;

    if (jmp_usb_open(device, &usb, NULL) < 0 ||
        libusb_get_active_config_descriptor(libusb_get_device(usb.handle), &config) < 0)
        return;
    for (unsigned i = 0; i < config->bNumInterfaces && i < device->interfaces; i++) {
        const struct libusb_interface_descriptor *setting = config->interface[i].altsetting;

        ret[i * JMP_USBIP_INTERFACE_SIZE] = setting->bInterfaceClass;
        ret[i * JMP_USBIP_INTERFACE_SIZE + 1] = setting->bInterfaceSubClass;
        ret[i * JMP_USBIP_INTERFACE_SIZE + 2] = setting->bInterfaceProtocol;
    }
    libusb_free_config_descriptor(config);
}
