/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SDWire: a card that is either in a reader at the host or in the board's slot. The first kind, and SDWireC, has an
 * FTDI chip: its "CBUS bit-bang" mode sets pin 0, 1 for the host. The second generation is a card reader alone, which
 * hands the card over when the kernel's driver is taken from it.
 */
#include "drivers/storage/sdwire.h"

#include <string.h>

#include "drivers/families.h"
#include "drivers/storage/mux.h"
#include "drivers/usb/handle.h"

#define FTDI_SET_BITMODE 0x0b
#define FTDI_READ_PINS 0x0c
#define CBUS_MODE 0x2000
#define CBUS_HOST (CBUS_MODE | 0xf1) /* all four pins are outputs; pin 0 is high */
#define CBUS_DUT (CBUS_MODE | 0xf0)
#define CONTROL_LIMIT 1000u /* milliseconds */

struct sdwire {
    struct jmp_mux mux;
    const char *serial;
};

static const struct jmp_option sdwire_options[] = { { JMP_FIELD(struct sdwire, serial), .nullable = true,
                                                      .help = "serial number, when there are several" },
                                                    JMP_DISK_DEVICE_OPTION(struct sdwire, mux.disk, false),
                                                    JMP_DISK_OPTIONS(struct sdwire, mux.disk),
                                                    {} };

static bool is_kind(const struct jmp_usb_device *device, const char *serial, enum jmp_sdwire_kind *retkind)
{
    bool named = serial && strcmp(device->serial, serial) == 0;

    *retkind = JMP_SDWIRE_FTDI;
    if (device->vendor == 0x04e8 && device->product == 0x6001 && strcmp(device->name, "sd-wire") == 0)
        return !serial || named;
    if (device->vendor == 0x0403 && device->product == 0x6015) /* as it comes from the factory */
        return named;
    *retkind = JMP_SDWIRE_READER;
    return device->vendor == 0x0bda && device->product == 0x0316 && named;
}

int jmp_sdwire_find(const struct jmp_usb_list *list, const char *serial, const struct jmp_usb_device **ret,
                    enum jmp_sdwire_kind *retkind, struct jmp_error *reterr)
{
    const struct jmp_usb_device *found = NULL;
    enum jmp_sdwire_kind kind;

    for (size_t i = 0; i < list->count; i++) {
        if (!is_kind(&list->devices[i], serial, &kind))
            continue;
        if (found)
            return jmp_error_set(reterr, -ENOTUNIQ, "there is an SDWire in port %s and one in %s: set \"serial\"",
                                 found->path, list->devices[i].path);
        found = &list->devices[i];
        *retkind = kind;
    }
    if (!found)
        return jmp_error_set(reterr, -ENODEV, "there is no SDWire%s%s", serial ? " with serial number " : "",
                             serial ? serial : "");
    *ret = found;
    return 0;
}

static bool is_block(const char *root, const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/sys/class/block/%s", root, name);
    return access(path, F_OK) == 0;
}

/* The first of its nodes that is a disk. */
static bool disk_of(const char *root, const struct jmp_usb_device *device, char *path, size_t size)
{
    char nodes[sizeof(device->nodes)], *rest = nodes, *name;

    memcpy(nodes, device->nodes, sizeof(nodes));
    while ((name = strsep(&rest, " "))) {
        if (!*name || !is_block(root, name))
            continue;
        snprintf(path, size, "/dev/%s", name);
        return true;
    }
    return false;
}

int jmp_sdwire_disk(const char *root, const struct jmp_usb_list *list, const struct jmp_usb_device *device,
                    enum jmp_sdwire_kind kind, char *path, size_t size)
{
    char hub[JMP_USB_PATH_MAX], other[JMP_USB_PATH_MAX];
    unsigned port;

    if (kind == JMP_SDWIRE_READER)
        return disk_of(root, device, path, size) ? 0 : -ENOENT;
    if (jmp_usb_port_split(device->path, hub, &port) < 0)
        return -ENOENT;
    for (size_t i = 0; i < list->count; i++)
        if (&list->devices[i] != device && jmp_usb_port_split(list->devices[i].path, other, &port) == 0 &&
            strcmp(other, hub) == 0 && disk_of(root, &list->devices[i], path, size))
            return 0;
    return -ENOENT;
}

static int fail(struct jmp_call *call, int r, const struct jmp_error *error)
{
    return jmp_call_fail(call, r, "%s%s%s", error->text, *error->hint ? "; " : "", error->hint);
}

static int find(struct sdwire *sdwire, struct jmp_call *call, struct jmp_usb_list **retlist,
                const struct jmp_usb_device **ret, enum jmp_sdwire_kind *retkind)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    r = jmp_usb_list_read("", retlist);
    if (r < 0)
        return jmp_call_fail(call, r, "USB devices cannot be looked at: %m");
    r = jmp_sdwire_find(*retlist, sdwire->serial, ret, retkind, &error);
    return r < 0 ? fail(call, r == -ENOTUNIQ ? -EINVAL : r, &error) : 0;
}

static int switch_reader(libusb_device_handle *handle, bool host)
{
    int r = host ? libusb_attach_kernel_driver(handle, 0) : libusb_detach_kernel_driver(handle, 0);

    if (r == LIBUSB_ERROR_BUSY)
        return 0; /* the driver has it already, and perhaps somebody reads the card */
    if (r < 0 && r != LIBUSB_ERROR_NOT_FOUND) /* nobody had it */
        return r;
    r = libusb_reset_device(handle);
    return r == LIBUSB_ERROR_NOT_FOUND ? 0 : r; /* it came back as a new device, which is what was wanted */
}

static int sdwire_select(void *self, struct jmp_call *call, enum jmp_mux_position position)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    _cleanup_(jmp_usb_close) struct jmp_usb_handle handle = JMP_USB_HANDLE_CLOSED;
    struct jmp_error error = JMP_ERROR_INIT;
    const struct jmp_usb_device *device;
    bool host = position != JMP_MUX_DUT;
    enum jmp_sdwire_kind kind;
    int r;

    r = find(self, call, &list, &device, &kind);
    if (r < 0)
        return r;
    r = jmp_usb_open(device, &handle, &error);
    if (r < 0)
        return fail(call, r, &error);
    if (kind == JMP_SDWIRE_READER)
        r = switch_reader(handle.handle, host);
    else
        r = libusb_control_transfer(handle.handle,
                                    LIBUSB_ENDPOINT_OUT | LIBUSB_REQUEST_TYPE_VENDOR | LIBUSB_RECIPIENT_DEVICE,
                                    FTDI_SET_BITMODE, host ? CBUS_HOST : CBUS_DUT, 0, NULL, 0, CONTROL_LIMIT);
    r = jmp_usb_errno(r);
    if (r < 0)
        return jmp_call_fail(call, r, "the SDWire in port %s cannot be switched: %m", device->path);
    jmp_call_log(call, JMP_LOG_INFO, "storage connected to the %s", host ? "host" : "board");
    return 0;
}

static int sdwire_disk(void *self, struct jmp_call *call, char *path, size_t size)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    const struct jmp_usb_device *device;
    enum jmp_sdwire_kind kind;
    int r;

    r = find(self, call, &list, &device, &kind);
    return r < 0 ? r : jmp_sdwire_disk("", list, device, kind, path, size);
}

/* Where the card is now: a power cut or another program may have moved it. */
static int read_position(const struct jmp_usb_device *device, struct sdwire *sdwire, struct jmp_error *reterr)
{
    _cleanup_(jmp_usb_close) struct jmp_usb_handle handle = JMP_USB_HANDLE_CLOSED;
    uint8_t pins = 0;
    int r;

    r = jmp_usb_open(device, &handle, reterr);
    if (r < 0)
        return r;
    r = libusb_control_transfer(handle.handle,
                                LIBUSB_ENDPOINT_IN | LIBUSB_REQUEST_TYPE_VENDOR | LIBUSB_RECIPIENT_DEVICE,
                                FTDI_READ_PINS, 0, 0, &pins, 1, CONTROL_LIMIT);
    r = jmp_usb_errno(r);
    if (r < 0)
        return jmp_error_set(reterr, r, "the SDWire in port %s does not answer: %m", device->path);
    sdwire->mux.position = pins & 1 ? JMP_MUX_HOST : JMP_MUX_DUT;
    return 0;
}

static int sdwire_open(void *self, struct jmp_call *call)
{
    struct sdwire *sdwire = self;
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    const struct jmp_usb_device *device;
    enum jmp_sdwire_kind kind;
    int r;

    r = jmp_mux_open(&sdwire->mux, call);
    if (r < 0)
        return r;
    sdwire->mux.select = sdwire_select;
    sdwire->mux.find = sdwire_disk;
    r = find(sdwire, call, &list, &device, &kind);
    if (r < 0)
        return r;
    r = kind == JMP_SDWIRE_FTDI ? read_position(device, sdwire, &error) : 0;
    return r < 0 ? fail(call, r, &error) : 0;
}

const struct jmp_driver_class jmp_sdwire_class = {
    JMP_DRIVER_HEAD,
    .name = "sdwire",
    .kind = "storage",
    .size = sizeof(struct sdwire),
    .python_type = "jumpstarter_driver_sdwire.driver.SDWire",
    .client = "jumpstarter_driver_opendal.client.StorageMuxFlasherClient",
    .help = "SDWire, SDWireC and SDWire of the second generation",
    .options = sdwire_options,
    .methods = jmp_mux_methods,
    .open = sdwire_open,
    .reset = jmp_mux_reset,
    .close = jmp_mux_close,
};
