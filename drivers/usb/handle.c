/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/handle.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

#include "base/limits.h"

#define POLLS_MAX 16u /* libusb has three: an event, a timer, the device */

int jmp_usb_errno(int result)
{
    switch (result) {
    case LIBUSB_ERROR_IO:
        return -EIO;
    case LIBUSB_ERROR_INVALID_PARAM:
        return -EINVAL;
    case LIBUSB_ERROR_ACCESS:
        return -EACCES;
    case LIBUSB_ERROR_NO_DEVICE:
        return -ENODEV;
    case LIBUSB_ERROR_NOT_FOUND:
        return -ENOENT;
    case LIBUSB_ERROR_BUSY:
        return -EBUSY;
    case LIBUSB_ERROR_TIMEOUT:
        return -ETIMEDOUT;
    case LIBUSB_ERROR_OVERFLOW:
        return -EOVERFLOW;
    case LIBUSB_ERROR_PIPE:
        return -EPIPE;
    case LIBUSB_ERROR_INTERRUPTED:
        return -EINTR;
    case LIBUSB_ERROR_NO_MEM:
        return -ENOMEM;
    case LIBUSB_ERROR_NOT_SUPPORTED:
        return -EOPNOTSUPP;
    default:
        return result < 0 ? -EIO : result;
    }
}

/* The number of a device that went may have been given to the next one. */
static int check_same(const struct jmp_usb_device *device, const struct jmp_usb_handle *handle)
{
    struct libusb_device_descriptor descriptor;
    int r;

    r = libusb_get_device_descriptor(libusb_get_device(handle->handle), &descriptor);
    if (r < 0)
        return jmp_usb_errno(r);
    return descriptor.idVendor == device->vendor && descriptor.idProduct == device->product ? 0 : -ENODEV;
}

static int open_error(const struct jmp_usb_device *device, const char *node, int error, struct jmp_error *reterr)
{
    switch (error) {
    case -ENOENT:
    case -ENODEV:
    case -ENXIO:
        return jmp_error_set(reterr, -ENODEV, "the USB device in port %s has gone", device->path);
    case -EACCES:
    case -EPERM:
        jmp_error_set(reterr, -EACCES, "no permission to open %s, the USB device in port %s", node, device->path);
        jmp_error_hint(reterr, "the user of the exporter needs write access; a udev rule gives it, see docs/usb.md");
        return -EACCES;
    default:
        return jmp_error_set(reterr, error, "the USB device in port %s cannot be opened: %m", device->path);
    }
}

/* Once, before there is a context: later the library would change another one besides, which its thread may be
 * closing. */
static int options_result;
static void set_options(void)
{
    /* We know which device it is: libusb need not look for all of them, nor listen for new ones. */
    options_result = libusb_set_option(NULL, LIBUSB_OPTION_NO_DEVICE_DISCOVERY);
}

int jmp_usb_open(const struct jmp_usb_device *device, struct jmp_usb_handle *ret, struct jmp_error *reterr)
{
    static pthread_once_t options_set = PTHREAD_ONCE_INIT;
    _cleanup_(jmp_usb_close) struct jmp_usb_handle handle = JMP_USB_HANDLE_CLOSED;
    char node[64];
    int r;

    snprintf(node, sizeof(node), "/dev/bus/usb/%03u/%03u", device->bus, device->address);
    handle.fd = open(node, O_RDWR | O_CLOEXEC);
    if (handle.fd < 0)
        return open_error(device, node, -errno, reterr);

    pthread_once(&options_set, set_options);
    r = options_result;
    if (r == 0)
        r = libusb_init(&handle.context);
    if (r == 0)
        r = libusb_wrap_sys_device(handle.context, (intptr_t)handle.fd, &handle.handle);
    r = r < 0 ? jmp_usb_errno(r) : check_same(device, &handle);
    if (r < 0)
        return open_error(device, node, r, reterr);

    *ret = handle;
    handle = JMP_USB_HANDLE_CLOSED;
    return 0;
}

void jmp_usb_close(struct jmp_usb_handle *handle)
{
    if (handle->handle)
        libusb_close(handle->handle);
    if (handle->context)
        libusb_exit(handle->context);
    jmp_close(handle->fd);
    *handle = JMP_USB_HANDLE_CLOSED;
}

/*
 * How long poll() may sleep; NULL: as long as it takes. libusb's own deadlines are a descriptor among those that are
 * polled; where it has none it is asked every now and then, because its answer would be a timeval, which in the 32-bit
 * libraries of Debian 12 is another one than here.
 */
static const struct timespec *time_left(struct jmp_usb_handle *handle, uint64_t deadline, struct timespec *ret)
{
    uint64_t now = jmp_now(), left = deadline == JMP_USEC_INFINITY ? deadline : deadline > now ? deadline - now : 0;

    if (!libusb_pollfds_handle_timeouts(handle->context) && left > JMP_USEC_PER_SEC / 10)
        left = JMP_USEC_PER_SEC / 10;
    *ret = (struct timespec){ .tv_sec = (time_t)(left / JMP_USEC_PER_SEC),
                              .tv_nsec = (long)(left % JMP_USEC_PER_SEC * 1000) };
    return left == JMP_USEC_INFINITY ? NULL : ret;
}

int jmp_usb_wait(struct jmp_usb_handle *handle, struct jmp_call *call, int fd, short events, uint64_t deadline)
{
    enum { CANCEL, STREAM, DEVICE, LIBUSB }; /* and those that follow */
    /* usbfs hangs up when the device is unplugged, also when no transfer is under way that could tell. */
    struct pollfd polls[POLLS_MAX] = { [CANCEL] = { .fd = jmp_call_cancel_fd(call), .events = POLLIN },
                                       [STREAM] = { .fd = events ? fd : -1, .events = events },
                                       [DEVICE] = { .fd = handle->fd } };
    const struct libusb_pollfd **descriptors = libusb_get_pollfds(handle->context);
    struct timeval none = { 0 };
    struct timespec limit;
    nfds_t count = LIBUSB;
    short theirs = 0;
    int n, r = 0;

    if (!descriptors)
        return -ENOMEM;
    for (size_t i = 0; descriptors[i] && count < POLLS_MAX; i++)
        polls[count++] = (struct pollfd){ .fd = descriptors[i]->fd, .events = descriptors[i]->events };
    libusb_free_pollfds(descriptors);

    n = ppoll(polls, count, time_left(handle, deadline, &limit), NULL);
    if (n < 0 && errno != EINTR)
        return -errno;
    if (n < 0)
        return 0;
    for (nfds_t i = LIBUSB; i < count; i++)
        theirs |= polls[i].revents;
    /* It polls them once more, which a stream that moves alone need not pay for. */
    if (theirs || n == 0 || polls[DEVICE].revents || !libusb_pollfds_handle_timeouts(handle->context))
        r = libusb_handle_events_timeout_completed(handle->context, &none, NULL);
    if (polls[DEVICE].revents & POLLHUP)
        return -ENODEV;
    if (polls[CANCEL].revents)
        return -ECANCELED;
    if (r < 0)
        return jmp_usb_errno(r);
    if (deadline != JMP_USEC_INFINITY && jmp_now() >= deadline)
        return -ETIMEDOUT;
    return polls[STREAM].revents;
}
