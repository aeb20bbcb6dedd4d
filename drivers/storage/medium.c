/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/medium.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/limits.h"
#include "drivers/storage/guard.h"

#define FILE_ALIGN 4096u
#define LOOK_AGAIN (JMP_USEC_PER_SEC / 4)
/* A node that has just appeared is for root alone until its rules have run. */
#define UDEV_LIMIT (5 * JMP_USEC_PER_SEC)

/* Whether zeros are an order to the device, not data: then the kernel carries them out in no time. */
static bool takes_zeroes(dev_t id)
{
    unsigned long long max = 0;

    for (unsigned i = 0; i < 2 && max == 0; i++) {
        _cleanup_fclose_ FILE *file = NULL;
        char path[128];

        /* A partition's queue is its disk's. */
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/write_zeroes_max_bytes", major(id), minor(id),
                 i ? "../" : "");
        file = fopen(path, "re");
        if (file && fscanf(file, "%llu", &max) != 1)
            max = 0;
    }
    return max > 0;
}

static int describe_block(int fd, dev_t id, bool write, struct jmp_medium *ret)
{
    int sector = 0, read_only = 0;

    if (ioctl(fd, BLKGETSIZE64, &ret->size) < 0 || ioctl(fd, BLKSSZGET, &sector) < 0 ||
        ioctl(fd, BLKROGET, &read_only) < 0)
        return -errno;
    if (ret->size == 0)
        return -ENOMEDIUM;
    if (write && read_only)
        return -EROFS;
    ret->block = true;
    ret->align = sector > 0 ? (size_t)sector : 512;
    ret->zeroes = takes_zeroes(id);
    return 0;
}

static int try_open(struct jmp_call *call, const char *path, bool write, struct jmp_medium *ret)
{
    _cleanup_close_ int fd = -EBADF;
    struct jmp_error error = JMP_ERROR_INIT;
    struct stat info;
    int flags = (write ? O_RDWR : O_RDONLY) | O_CLOEXEC, r;

    if (stat(path, &info) < 0)
        return -errno;
    if (!S_ISBLK(info.st_mode) && !S_ISREG(info.st_mode))
        return jmp_call_fail(call, -EINVAL, "%s is neither a block device nor a file", path);
    if (S_ISBLK(info.st_mode) && write) {
        r = jmp_guard_check("", info.st_rdev, &error);
        if (r < 0)
            return jmp_call_fail(call, r == -ENOENT ? -ENODEV : r, "%s is not written: %s", path, error.text);
        flags |= O_EXCL;
    }
    fd = open(path, flags | O_DIRECT);
    if (fd < 0 && errno == EINVAL) {
        fd = open(path, flags);
        ret->align = 0;
    } else {
        ret->align = FILE_ALIGN;
    }
    if (fd < 0 && errno == EBUSY)
        return jmp_call_fail(call, -EBUSY, "%s is not written: another program has it", path);
    /* Not "Permission denied": the mode of the node is right, the class of device is closed to the service. */
    if (fd < 0 && errno == EPERM)
        return jmp_call_fail(call, -EPERM, "%s cannot be opened: %m", path);
    if (fd < 0)
        return -errno;
    if (S_ISBLK(info.st_mode)) {
        r = describe_block(fd, info.st_rdev, write, ret);
        if (r < 0)
            return r;
    } else {
        ret->block = false;
        ret->zeroes = true;
        ret->size = (uint64_t)info.st_size;
        if (ret->size == 0)
            return -ENOMEDIUM;
    }
    ret->fd = TAKE_FD(fd);
    return 0;
}

int jmp_medium_open(struct jmp_call *call, const char *path, bool write, uint64_t wait, struct jmp_medium *ret)
{
    uint64_t began = jmp_now(), deadline = began + wait;
    int r, waited;

    for (;;) {
        *ret = (struct jmp_medium){ .fd = -EBADF };
        r = try_open(call, path, write, ret);
        switch (r) {
        case 0:
        case -EINVAL:
        case -EPERM:
            return r;
        case -EROFS:
            return jmp_call_fail(call, r, "%s is write-protected", path);
        case -ENOENT:
        case -ENXIO:
        case -ENODEV:
        case -ENOMEDIUM:
        case -EIO:
        case -EBUSY: /* perhaps only somebody who looks what has been plugged in */
            break;
        case -EACCES:
            if (jmp_now() - began < UDEV_LIMIT)
                break;
            /* fall through */
        default:
            return jmp_call_fail(call, r, "%s cannot be opened: %m", path);
        }
        if (jmp_now() >= deadline)
            break;
        waited = jmp_call_wait(call, -1, 0, jmp_now() + LOOK_AGAIN < deadline ? jmp_now() + LOOK_AGAIN : deadline);
        if (waited < 0)
            return waited;
    }
    if (r == -EBUSY)
        return r;
    if (r == -EACCES)
        return jmp_call_fail(call, r, "%s cannot be opened: %m", path);
    return jmp_call_fail(call, -ETIMEDOUT, "there is no medium in %s after %.3g s: %s", path,
                         (double)wait / JMP_USEC_PER_SEC, r == -ENOMEDIUM ? "it is empty" : strerror(-r));
}
