/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/gadget.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

static void path_of(const struct jmp_gadget *gadget, char path[PATH_MAX], const char *part)
{
    snprintf(path, PATH_MAX, "%s/sys/kernel/config/usb_gadget/%s%s%s", gadget->root, gadget->name, *part ? "/" : "",
             part);
}

static int say(struct jmp_error *reterr, int r, const char *path, const char *doing)
{
    jmp_error_set(reterr, r, "%s cannot be %s: %m", path, doing);
    if (r == -EACCES || r == -EPERM)
        jmp_error_hint(reterr, "the exporter has to be root to be a USB stick");
    return r;
}

static int make(const struct jmp_gadget *gadget, const char *part, struct jmp_error *reterr)
{
    char path[PATH_MAX];

    path_of(gadget, path, part);
    return mkdir(path, 0755) < 0 && errno != EEXIST ? say(reterr, -errno, path, "made") : 0;
}

static int put(const struct jmp_gadget *gadget, const char *part, const char *text, struct jmp_error *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    char path[PATH_MAX];

    path_of(gadget, path, part);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return say(reterr, -errno, path, "opened");
    return write(fd, text, strlen(text)) < 0 ? say(reterr, -errno, path, "written") : 0;
}

static int putf(const struct jmp_gadget *gadget, const char *part, struct jmp_error *reterr, const char *fmt, ...)
    JMP_PRINTF(4, 5);
static int putf(const struct jmp_gadget *gadget, const char *part, struct jmp_error *reterr, const char *fmt, ...)
{
    char text[PATH_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return put(gadget, part, text, reterr);
}

/* The first line of an attribute. Return: its length, or negative errno. */
static int get(const struct jmp_gadget *gadget, const char *part, char *text, size_t size)
{
    _cleanup_close_ int fd = -EBADF;
    char path[PATH_MAX];
    ssize_t n;

    path_of(gadget, path, part);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    n = read(fd, text, size - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return (int)strlen(text);
}

int jmp_gadget_is_bound(const struct jmp_gadget *gadget)
{
    char text[NAME_MAX + 2];
    int r = get(gadget, "UDC", text, sizeof(text));

    if (r == -ENOENT)
        return 0;
    return r < 0 ? r : r > 0;
}

static int find_udc(const struct jmp_gadget *gadget, char *name, size_t size, struct jmp_error *reterr)
{
    char path[PATH_MAX];
    struct dirent *entry;
    unsigned count = 0;
    DIR *dir;

    if (gadget->udc) {
        snprintf(name, size, "%s", gadget->udc);
        return 0;
    }
    snprintf(path, sizeof(path), "%s/sys/class/udc", gadget->root);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        snprintf(name, size, "%s", entry->d_name);
    }
    if (dir)
        closedir(dir);
    if (count == 1)
        return 0;
    if (count > 1)
        return jmp_error_set(reterr, -EINVAL, "this machine has %u USB device ports: set \"udc\"", count);
    jmp_error_set(reterr, -ENODEV, "this machine has no USB device port");
    jmp_error_hint(reterr, "on a Raspberry Pi add dtoverlay=dwc2 to config.txt, and use the port that can be a device");
    return -ENODEV;
}

static int make_gadget(const struct jmp_gadget *gadget, struct jmp_error *reterr)
{
    static const char *const parts[] = { "", "strings/0x409", "configs/c.1", "functions/mass_storage.0" };
    char from[PATH_MAX], to[PATH_MAX];
    int r = 0;

    for (size_t i = 0; r == 0 && i < ELEMENTSOF(parts); i++)
        r = make(gadget, parts[i], reterr);
    if (r == 0)
        r = putf(gadget, "idVendor", reterr, "0x%04x", gadget->vendor_id);
    if (r == 0)
        r = putf(gadget, "idProduct", reterr, "0x%04x", gadget->product_id);
    if (r == 0)
        r = put(gadget, "strings/0x409/serialnumber", gadget->serial, reterr);
    if (r == 0)
        r = put(gadget, "strings/0x409/manufacturer", gadget->maker, reterr);
    if (r == 0)
        r = put(gadget, "strings/0x409/product", gadget->product, reterr);
    if (r < 0)
        return r;
    path_of(gadget, from, "functions/mass_storage.0");
    path_of(gadget, to, "configs/c.1/mass_storage.0");
    return symlink(from, to) < 0 && errno != EEXIST ? say(reterr, -errno, to, "linked") : 0;
}

/* The medium: its file last, for the others may not be changed under it. */
static int insert(const struct jmp_gadget *gadget, struct jmp_error *reterr)
{
    int r;

    r = put(gadget, "functions/mass_storage.0/lun.0/file", "\n", reterr);
    if (r == 0)
        r = put(gadget, "functions/mass_storage.0/lun.0/removable", gadget->removable ? "1" : "0", reterr);
    if (r == 0)
        r = put(gadget, "functions/mass_storage.0/lun.0/ro", gadget->read_only ? "1" : "0", reterr);
    return r == 0 ? put(gadget, "functions/mass_storage.0/lun.0/file", gadget->file, reterr) : r;
}

int jmp_gadget_bind(const struct jmp_gadget *gadget, struct jmp_error *reterr)
{
    char udc[NAME_MAX + 1];
    int r;

    if (jmp_gadget_is_bound(gadget) > 0)
        return 0;
    r = find_udc(gadget, udc, sizeof(udc), reterr);
    if (r == 0)
        r = make_gadget(gadget, reterr);
    if (r == 0)
        r = insert(gadget, reterr);
    if (r == 0)
        r = put(gadget, "UDC", udc, reterr);
    if (r == -EBUSY)
        jmp_error_hint(reterr, "another gadget is bound to %.100s", udc);
    return r;
}

int jmp_gadget_unbind(const struct jmp_gadget *gadget, struct jmp_error *reterr)
{
    int r = jmp_gadget_is_bound(gadget);

    if (r < 0)
        return jmp_error_set(reterr, r, "the gadget %s cannot be asked: %m", gadget->name);
    if (r == 0)
        return 0;
    r = put(gadget, "UDC", "\n", reterr);
    return r == 0 ? put(gadget, "functions/mass_storage.0/lun.0/file", "\n", reterr) : r;
}
