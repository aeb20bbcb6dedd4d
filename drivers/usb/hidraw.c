/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/hidraw.h"

#include <fcntl.h>
#include <linux/hidraw.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>

#include "base/limits.h"
#include "drivers/usb/find.h"

#define LOCK_TIMEOUT (10 * JMP_USEC_PER_SEC) /* two commands of a board that hangs */
#define LOCK_RETRY (20 * JMP_USEC_PER_MSEC)

static bool fits(const struct jmp_usb_device *device, const struct jmp_hidraw_board *board)
{
    return device->vendor == board->vendor && device->product == board->product &&
           strncmp(device->name, board->prefix, strlen(board->prefix)) == 0 &&
           (!board->serial || board->is || strcmp(device->serial, board->serial) == 0);
}

/* The first node called hidrawN of a device; false: no driver has made one (yet). */
static bool node_of(const struct jmp_usb_device *device, char *ret, size_t size)
{
    const char *at = strstr(device->nodes, "hidraw");

    if (at)
        snprintf(ret, size, "/dev/%.*s", (int)strcspn(at, " "), at);
    return at;
}

static int lock(struct jmp_call *call, int fd, const char *node)
{
    uint64_t deadline = jmp_now() + LOCK_TIMEOUT;
    int r;

    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return jmp_call_fail(call, -errno, "%s cannot be locked: %m", node);
        if (jmp_now() >= deadline)
            return jmp_call_fail(call, -EBUSY, "%s is locked by somebody who does not let go", node);
        r = jmp_call_wait(call, -1, 0, jmp_now() + LOCK_RETRY);
        if (r < 0)
            return r;
    }
    return 0;
}

static int open_board(struct jmp_call *call, const struct jmp_usb_device *device)
{
    _cleanup_close_ int fd = -EBADF;
    char node[64];
    int r;

    if (!node_of(device, node, sizeof(node)))
        return jmp_call_fail(call, -ENODEV, "the board in port %s has no hidraw node", device->path);
    fd = open(node, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENXIO))
        return jmp_call_fail(call, -ENODEV, "the board in port %s has gone", device->path);
    if (fd < 0)
        return jmp_call_fail(call, -errno, "%s, the board in port %s, cannot be opened: %m", node, device->path);
    r = lock(call, fd, node);
    return r < 0 ? r : TAKE_FD(fd);
}

static int no_board(struct jmp_call *call, const struct jmp_hidraw_board *board)
{
    return jmp_call_fail(call, -ENODEV, "there is no board %04x:%04x%s%s; is it plugged in?", board->vendor,
                         board->product, board->serial ? " with serial number " : "", board->serial ?: "");
}

/* Each of them is asked. One that cannot be says so, unless another is the one. */
static int open_by_asking(struct jmp_call *call, const struct jmp_hidraw_board *board, const struct jmp_usb_list *list,
                          const struct jmp_usb_device **ret)
{
    int error = 0;

    for (size_t i = 0; i < list->count; i++) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!fits(&list->devices[i], board))
            continue;
        fd = open_board(call, &list->devices[i]);
        r = fd < 0 ? fd : board->is(call, fd, board->serial);
        if (r == -ECANCELED)
            return r;
        if (r > 0) {
            *ret = &list->devices[i];
            return TAKE_FD(fd);
        }
        error = r < 0 ? r : error;
    }
    return error < 0 ? error : no_board(call, board);
}

static int open_only(struct jmp_call *call, const struct jmp_hidraw_board *board, const struct jmp_usb_list *list,
                     const struct jmp_usb_device **ret)
{
    const struct jmp_usb_device *found = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const struct jmp_usb_device *device = &list->devices[i];

        if (!fits(device, board))
            continue;
        if (found)
            return jmp_call_fail(call, -ENOTUNIQ,
                                 "there are several boards %04x:%04x, in ports %s and %s: name one by its serial "
                                 "number",
                                 board->vendor, board->product, found->path, device->path);
        found = device;
    }
    *ret = found;
    return found ? open_board(call, found) : no_board(call, board);
}

int jmp_hidraw_open(struct jmp_call *call, const struct jmp_hidraw_board *board, char *name)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    const struct jmp_usb_device *device = NULL;
    int r;

    r = jmp_usb_list_read("", &list);
    if (r < 0)
        return jmp_call_fail(call, r, "the USB devices cannot be listed: %m");
    r = board->serial && board->is ? open_by_asking(call, board, list, &device) : open_only(call, board, list, &device);
    if (r >= 0 && name)
        snprintf(name, JMP_USB_TEXT_MAX, "%s", device->name);
    return r;
}

static int transfer_error(struct jmp_call *call, int error)
{
    if (error == -ENODEV || error == -ESHUTDOWN)
        return jmp_call_fail(call, -ENODEV, "the board was unplugged");
    if (error == -ETIMEDOUT)
        return jmp_call_fail(call, error, "the board does not answer");
    return jmp_call_fail(call, error, "the board does not take the command: %m");
}

int jmp_hidraw_write(struct jmp_call *call, int fd, const void *report, size_t size)
{
    ssize_t n = write(fd, report, size);

    return n < 0 ? transfer_error(call, -errno) : 0;
}

int jmp_hidraw_read(struct jmp_call *call, int fd, void *report, size_t size, uint64_t usec)
{
    ssize_t n;
    int r;

    r = jmp_call_wait(call, fd, POLLIN, jmp_now() + usec);
    if (r < 0)
        return r;
    n = read(fd, report, size);
    return n < 0 ? -errno : (int)n;
}

int jmp_hidraw_set_feature(struct jmp_call *call, int fd, const void *report, size_t size)
{
    return ioctl(fd, HIDIOCSFEATURE(size), report) < 0 ? transfer_error(call, -errno) : 0;
}

int jmp_hidraw_get_feature(struct jmp_call *call, int fd, void *report, size_t size)
{
    int n = ioctl(fd, HIDIOCGFEATURE(size), report);

    return n < 0 ? transfer_error(call, -errno) : n;
}
