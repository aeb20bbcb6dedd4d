/* SPDX-License-Identifier: Apache-2.0 */
/* A USB device opened through libusb, with a context of its own, so that no other device's events are waited for or
 * served. */
#pragma once

#include <libusb.h>

#include "drivers/driver.h"
#include "drivers/usb/find.h"

struct jmp_usb_handle {
    int fd; /* /dev/bus/usb/BUS/ADDRESS */
    libusb_context *context;
    libusb_device_handle *handle;
};

#define JMP_USB_HANDLE_CLOSED ((struct jmp_usb_handle){ .fd = -EBADF })

/**
 * jmp_usb_open() - open what was found
 * @ret:  close with jmp_usb_close(); nothing is claimed yet
 *
 * Return: 0, or with a sentence: -ENODEV (gone, or another one has its place), -EACCES, -ENOMEM, others of open().
 */
int jmp_usb_open(const struct jmp_usb_device *device, struct jmp_usb_handle *ret, struct jmp_error *reterr);
void jmp_usb_close(struct jmp_usb_handle *handle); /* also a closed one */

/** jmp_usb_errno() - negative errno of a libusb error; 0 and positive numbers as they are */
int jmp_usb_errno(int result);

/**
 * jmp_usb_wait() - sleep until a stream or the device has something, and run the callbacks of finished transfers
 * @fd:        the stream
 * @events:    POLLIN, POLLOUT; 0: only the device
 * @deadline:  as for jmp_call_wait()
 *
 * Return: what poll() says of @fd, 0 if nothing; -ENODEV: the device has gone, and all that it had finished was called
 * back; -ETIMEDOUT, -ECANCELED, others of poll().
 */
int jmp_usb_wait(struct jmp_usb_handle *handle, struct jmp_call *call, int fd, short events, uint64_t deadline);
