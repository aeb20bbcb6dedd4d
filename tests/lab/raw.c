/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lab/raw.h"

#include <endian.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/usb/raw_gadget.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DT_REPORT 0x22 /* of HID */

struct transfer {
    struct usb_raw_ep_io head;
    unsigned char data[RAW_CONTROL_MAX];
};

struct event {
    struct usb_raw_event head;
    struct usb_ctrlrequest request;
};

static void answer(struct raw_device *dev, const void *data, size_t size)
{
    struct transfer transfer = { .head.length = (uint32_t)size };

    memcpy(transfer.data, data, size);
    /* A reset while we were thinking takes the request away; the next one is on its way. */
    if (ioctl(dev->fd, USB_RAW_IOCTL_EP0_WRITE, &transfer) < 0 && errno != ESHUTDOWN && errno != EBUSY)
        warn("answer of %zu bytes", size);
}

/* @data: what the host sends with the request. Without any, this is the acknowledgement. */
static bool take(struct raw_device *dev, void *data, size_t size)
{
    struct transfer transfer = { .head.length = (uint32_t)size };

    if (ioctl(dev->fd, USB_RAW_IOCTL_EP0_READ, &transfer) < 0) {
        if (errno != ESHUTDOWN && errno != EBUSY)
            warn("request of %zu bytes", size);
        return false;
    }
    memcpy(data, transfer.data, size);
    return true;
}

static void refuse(struct raw_device *dev)
{
    if (ioctl(dev->fd, USB_RAW_IOCTL_EP0_STALL, 0) < 0 && errno != ESHUTDOWN && errno != EBUSY)
        warn("stall");
}

static int string_descriptor(const struct raw_device *dev, unsigned index, unsigned char *data)
{
    size_t length;

    if (index == 0) {
        memcpy(data, (unsigned char[]){ 4, USB_DT_STRING, 0x09, 0x04 }, 4);
        return 4;
    }
    if (index >= RAW_STRINGS || !dev->strings[index])
        return RAW_REFUSE;

    length = strlen(dev->strings[index]);
    if (length > 126)
        errx(1, "string %u is too long", index);
    data[0] = (unsigned char)(2 + 2 * length);
    data[1] = USB_DT_STRING;
    for (size_t i = 0; i < length; i++) {
        data[2 + 2 * i] = (unsigned char)dev->strings[index][i];
        data[3 + 2 * i] = 0;
    }
    return data[0];
}

/* The answer's size, or RAW_REFUSE */
static int describe(const struct raw_device *dev, unsigned value, unsigned char *data)
{
    switch (value >> 8) {
    case USB_DT_DEVICE:
        memcpy(data, &dev->device, sizeof(dev->device));
        return sizeof(dev->device);
    case USB_DT_CONFIG:
        memcpy(data, dev->config, dev->config_size);
        return (int)dev->config_size;
    case DT_REPORT:
        if (!dev->report)
            return RAW_REFUSE;
        memcpy(data, dev->report, dev->report_size);
        return (int)dev->report_size;
    case USB_DT_STRING:
        return string_descriptor(dev, value & 0xff, data);
    default:
        return RAW_REFUSE;
    }
}

static int standard(struct raw_device *dev, const struct usb_ctrlrequest *request, unsigned char *data)
{
    switch (request->bRequest) {
    case USB_REQ_GET_DESCRIPTOR:
        return describe(dev, le16toh(request->wValue), data);
    case USB_REQ_SET_CONFIGURATION:
        if (le16toh(request->wValue) == 0)
            return 0;
        if (ioctl(dev->fd, USB_RAW_IOCTL_VBUS_DRAW, 50) < 0 || ioctl(dev->fd, USB_RAW_IOCTL_CONFIGURE, 0) < 0)
            err(1, "configure");
        if (dev->configured)
            dev->configured(dev);
        return 0;
    case USB_REQ_GET_CONFIGURATION:
        data[0] = 1;
        return 1;
    case USB_REQ_GET_INTERFACE:
        data[0] = 0;
        return 1;
    case USB_REQ_SET_INTERFACE:
        if (dev->altered)
            dev->altered(dev, le16toh(request->wValue));
        return 0;
    default:
        return RAW_REFUSE;
    }
}

static void on_control(struct raw_device *dev, const struct usb_ctrlrequest *request)
{
    unsigned char data[RAW_CONTROL_MAX] = { 0 };
    size_t length = le16toh(request->wLength);
    bool is_standard = (request->bRequestType & USB_TYPE_MASK) == USB_TYPE_STANDARD;
    int r;

    if (length > sizeof(data)) {
        refuse(dev);
        return;
    }
    if (request->bRequestType & USB_DIR_IN) {
        if (is_standard)
            r = standard(dev, request, data);
        else
            r = dev->control ? dev->control(dev, request, data) : RAW_REFUSE;
        if (r < 0)
            refuse(dev);
        else
            answer(dev, data, (size_t)r < length ? (size_t)r : length);
        return;
    }

    if (length > 0 && !take(dev, data, length))
        return;
    if (is_standard)
        r = standard(dev, request, data);
    else
        r = dev->control ? dev->control(dev, request, data) : RAW_REFUSE;
    /* With data the kernel has acknowledged it already. */
    if (length > 0)
        return;
    if (r < 0)
        refuse(dev);
    else
        take(dev, data, 0);
}

void raw_run(struct raw_device *dev, unsigned port)
{
    struct usb_raw_init init = { .speed = (uint8_t)dev->speed };

    snprintf((char *)init.driver_name, sizeof(init.driver_name), "dummy_udc");
    snprintf((char *)init.device_name, sizeof(init.device_name), "dummy_udc.%u", port);
    dev->fd = open("/dev/raw-gadget", O_RDWR | O_CLOEXEC);
    if (dev->fd < 0)
        err(1, "/dev/raw-gadget");
    if (ioctl(dev->fd, USB_RAW_IOCTL_INIT, &init) < 0 || ioctl(dev->fd, USB_RAW_IOCTL_RUN, 0) < 0)
        err(1, "socket %u", port);

    for (;;) {
        struct event event = { .head.length = sizeof(event.request) };

        if (ioctl(dev->fd, USB_RAW_IOCTL_EVENT_FETCH, &event) < 0) {
            if (errno == EINTR)
                continue;
            err(1, "event");
        }
        if (event.head.type == USB_RAW_EVENT_CONTROL)
            on_control(dev, &event.request);
    }
}

/* It leaves the bus a little later than it says so, as all do. */
static void *become(void *arguments)
{
    poll(NULL, 0, 20);
    execv("/proc/self/exe", arguments);
    err(1, "exec");
}

static void start(void *(*run)(void *), void *user)
{
    pthread_t thread;

    errno = pthread_create(&thread, NULL, run, user);
    if (errno > 0)
        err(1, "thread");
    pthread_detach(thread);
}

void raw_become(const char *const arguments[])
{
    start(become, (void *)arguments);
}

void raw_start(void *(*run)(void *), struct raw_device *dev)
{
    start(run, dev);
}

int raw_enable(struct raw_device *dev, const struct usb_endpoint_descriptor *endpoint)
{
    int handle = ioctl(dev->fd, USB_RAW_IOCTL_EP_ENABLE, endpoint);

    if (handle < 0)
        err(1, "endpoint 0x%02x", endpoint->bEndpointAddress);
    return handle;
}

int raw_enable_wire(struct raw_device *dev, const struct raw_endpoint *endpoint)
{
    struct usb_endpoint_descriptor descriptor = { 0 };

    memcpy(&descriptor, endpoint, sizeof(*endpoint));
    return raw_enable(dev, &descriptor);
}

int raw_write(struct raw_device *dev, int endpoint, const void *data, size_t size)
{
    struct transfer transfer = { .head.ep = (uint16_t)endpoint, .head.length = (uint32_t)size };
    int r;

    if (size > sizeof(transfer.data))
        return -EMSGSIZE;
    memcpy(transfer.data, data, size);
    r = ioctl(dev->fd, USB_RAW_IOCTL_EP_WRITE, &transfer);
    return r < 0 ? -errno : r;
}

int raw_read(struct raw_device *dev, int endpoint, void *data, size_t size)
{
    struct transfer transfer = { .head.ep = (uint16_t)endpoint, .head.length = (uint32_t)size };
    int r;

    if (size > sizeof(transfer.data))
        return -EMSGSIZE;
    r = ioctl(dev->fd, USB_RAW_IOCTL_EP_READ, &transfer);
    if (r < 0)
        return -errno;
    memcpy(data, transfer.data, (size_t)r);
    return r;
}

void raw_halt(struct raw_device *dev, int endpoint)
{
    if (ioctl(dev->fd, USB_RAW_IOCTL_EP_SET_HALT, (unsigned long)endpoint) < 0)
        err(1, "halt");
}
