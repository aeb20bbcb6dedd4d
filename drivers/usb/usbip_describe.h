/* SPDX-License-Identifier: Apache-2.0 */
/* What an importer is told of a device before it has it: Linux, Documentation/usb/usbip_protocol.rst. */
#pragma once

#include "drivers/usb/find.h"
#include "drivers/usb/usbip_proto.h"

/** jmp_usbip_describe() - the device itself; its bus id is the path of its port */
void jmp_usbip_describe(const struct jmp_usb_device *device, uint8_t ret[JMP_USBIP_DEVICE_SIZE]);

/** jmp_usbip_describe_interfaces() - class, subclass and protocol of each interface, for people
 * @ret: @device->interfaces times JMP_USBIP_INTERFACE_SIZE bytes, all zero; they stay so where the device cannot be
 *       asked */
void jmp_usbip_describe_interfaces(const struct jmp_usb_device *device, uint8_t *ret);
