/* SPDX-License-Identifier: Apache-2.0 */
/* Yepkit's YKUSH: a hub whose three ports are switched by the reports of a device of its own. */
#include <string.h>

#include "base/limits.h"
#include "drivers/families.h"
#include "drivers/usb/handle.h"
#include "drivers/usb/port.h"

#define ID "04d8:f2f7"
#define REPORT_SIZE 64         /* the first byte is the command */
#define TRANSFER_TIMEOUT 2000u /* milliseconds */
#define STALE_TIMEOUT 20u
#define STALE_MAX 8u
#define CLAIM_TIMEOUT (10 * JMP_USEC_PER_SEC)
#define CLAIM_RETRY (20 * JMP_USEC_PER_MSEC)

enum { DOWN = 0x00, UP = 0x10, STATUS = 0x20 }; /* added to the port, or ALL */

struct ykush {
    const char *serial, *port, *preset;
};

static const char *const ports[] = { "1", "2", "3", "all", NULL };
static const char *const presets[] = { "on", "off", "keep", NULL };

static const struct jmp_option ykush_options[] = {
    { JMP_FIELD(struct ykush, serial), .nullable = true, .value_name = "TEXT",
      .help = "serial number; of several hubs the first is taken without it" },
    { JMP_FIELD(struct ykush, port), .words = ports, .preset = "all", .help = "which port; in quotes" },
    { .key = "default",
      JMP_FIELD_AS(struct ykush, preset),
      .words = presets,
      .preset = "off",
      .help = "what a lease begins with; keep: as it is" },
    {}
};

static uint8_t code(const struct ykush *ykush, unsigned what)
{
    return (uint8_t)(what | (strcmp(ykush->port, "all") == 0 ? 0x0a : (unsigned)(ykush->port[0] - '0')));
}

/* Of several hubs without a serial number the first, as with the stock driver; @warn: that is said. */
static int find(const struct ykush *ykush, struct jmp_call *call, bool warn, struct jmp_usb_device *ret)
{
    struct jmp_usb_selector selector = { .id = ID, .serial = ykush->serial };
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    const struct jmp_usb_device *device = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    r = jmp_usb_list_read("", &list);
    if (r < 0)
        return jmp_call_fail(call, r, "the USB devices cannot be listed: %m");
    r = jmp_usb_choose(list, &selector, &device, &error);
    if (r == -ENOTUNIQ && !ykush->serial) {
        for (size_t i = 0; r < 0 && i < list->count; i++) {
            selector.path = list->devices[i].path;
            if (!list->devices[i].imported)
                r = jmp_usb_choose(list, &selector, &device, NULL);
        }
        if (r == 0 && warn)
            jmp_call_log(call, JMP_LOG_WARNING, "%s; that in port %s is taken, name another by \"serial\"", error.text,
                         device->path);
    }
    if (r < 0)
        return jmp_usb_fail(call, &error);
    *ret = *device;
    return 0;
}

/* Claimed for one command: other ports of the hub are devices of their own, which take turns. The kernel leaves this
 * device to programs (it is on the ignore list of its HID driver), so there is no hidraw for it. */
static int claim(struct jmp_call *call, const struct jmp_usb_handle *usb)
{
    uint64_t deadline = jmp_now() + CLAIM_TIMEOUT;
    int r;

    for (;;) {
        r = jmp_usb_errno(libusb_claim_interface(usb->handle, 0));
        if (r != -EBUSY || jmp_now() >= deadline)
            return r < 0 ? jmp_call_fail(call, r, "the hub cannot be claimed: %m") : 0;
        r = jmp_call_wait(call, -1, 0, jmp_now() + CLAIM_RETRY);
        if (r < 0)
            return r;
    }
}

/* The first endpoint of each direction. */
static int find_endpoints(const struct jmp_usb_handle *usb, uint8_t *retout, uint8_t *retin)
{
    struct libusb_config_descriptor *config;
    const struct libusb_interface_descriptor *setting;
    uint8_t out = 0, in = 0;
    int r;

    r = jmp_usb_errno(libusb_get_active_config_descriptor(libusb_get_device(usb->handle), &config));
    if (r < 0)
        return r;
    setting =
        config->bNumInterfaces > 0 && config->interface[0].num_altsetting > 0 ? config->interface[0].altsetting : NULL;
    for (unsigned i = 0; setting && i < setting->bNumEndpoints; i++) {
        uint8_t address = setting->endpoint[i].bEndpointAddress;

        if (address & LIBUSB_ENDPOINT_IN)
            in = in ?: address;
        else
            out = out ?: address;
    }
    libusb_free_config_descriptor(config);
    *retout = out;
    *retin = in;
    return in && out ? 0 : -EPROTO;
}

static int command(const struct ykush *ykush, struct jmp_call *call, uint8_t what, uint8_t answer[REPORT_SIZE])
{
    _cleanup_(jmp_usb_close) struct jmp_usb_handle usb = JMP_USB_HANDLE_CLOSED;
    struct jmp_error error = JMP_ERROR_INIT;
    uint8_t report[REPORT_SIZE] = { what };
    struct jmp_usb_device device;
    uint8_t out = 0, in = 0;
    int done, r;

    r = find(ykush, call, false, &device);
    if (r < 0)
        return r;
    if (jmp_usb_open(&device, &usb, &error) < 0)
        return jmp_usb_fail(call, &error);
    r = find_endpoints(&usb, &out, &in);
    if (r < 0)
        return jmp_call_fail(call, r, "the hub in port %s has no endpoints for commands", device.path);
    r = claim(call, &usb);
    if (r < 0)
        return r;
    /* An answer that nobody has fetched would be taken for that to the next command. */
    for (unsigned i = 0; r == 0 && i < STALE_MAX; i++)
        r = libusb_interrupt_transfer(usb.handle, in, answer, REPORT_SIZE, &done, STALE_TIMEOUT);
    memset(answer, 0, REPORT_SIZE);
    r = libusb_interrupt_transfer(usb.handle, out, report, REPORT_SIZE, &done, TRANSFER_TIMEOUT);
    if (r == 0)
        r = libusb_interrupt_transfer(usb.handle, in, answer, REPORT_SIZE, &done, TRANSFER_TIMEOUT);
    if (r < 0)
        return jmp_call_fail(call, jmp_usb_errno(r), "the hub does not confirm the command: %m");
    return 0;
}

static int set(const struct ykush *ykush, struct jmp_call *call, bool on)
{
    uint8_t answer[REPORT_SIZE] = { 0 };

    return command(ykush, call, code(ykush, on ? UP : DOWN), answer);
}

static int ykush_on(void *self, struct jmp_call *call)
{
    return set(self, call, true);
}
static int ykush_off(void *self, struct jmp_call *call)
{
    return set(self, call, false);
}

static int ykush_status(void *self, struct jmp_call *call)
{
    const struct ykush *ykush = self;
    unsigned on = 0, count = 0;

    /* Ports are asked one by one; the answer's second byte is that of the command that would make it so. */
    for (unsigned port = 1; port <= 3; port++) {
        uint8_t answer[REPORT_SIZE] = { 0 };
        int r;

        if (strcmp(ykush->port, "all") != 0 && ykush->port[0] != (char)('0' + port))
            continue;
        r = command(ykush, call, (uint8_t)(STATUS | port), answer);
        if (r < 0)
            return r;
        on += answer[1] == (UP | port);
        count++;
    }
    jmp_writer_string(jmp_call_reply(call), on == count ? "on" : on == 0 ? "off" : "partial");
    return 0;
}

static int ykush_read(void *self, struct jmp_call *call)
{
    return jmp_call_fail(call, -EOPNOTSUPP, "this hub does not measure what its ports draw");
}

static int ykush_open(void *self, struct jmp_call *call)
{
    struct jmp_usb_device device;

    return find(self, call, true, &device);
}

/* As the stock driver does, ports go off when a lease begins, unless told to be left alone. */
static int ykush_reset(void *self, struct jmp_call *call)
{
    const struct ykush *ykush = self;

    return strcmp(ykush->preset, "keep") == 0 ? 0 : set(ykush, call, strcmp(ykush->preset, "on") == 0);
}

static void ykush_close(void *self)
{
} /* the hub is opened for each command */

static const struct jmp_method ykush_methods[] = {
    { .name = "on", .call = ykush_on },
    { .name = "off", .call = ykush_off },
    { .name = "read", .items = ykush_read },
    { .name = "status", .call = ykush_status, .help = "on, off or partial, as the hub says" },
    {}
};

const struct jmp_driver_class jmp_ykush_class = {
    JMP_DRIVER_HEAD,
    .name = "ykush",
    .kind = "power",
    .size = sizeof(struct ykush),
    .python_type = "jumpstarter_driver_yepkit.driver.Ykush",
    .client = "jumpstarter_driver_power.client.PowerClient",
    .help = "ports of a Yepkit YKUSH hub",
    .options = ykush_options,
    .methods = ykush_methods,
    .open = ykush_open,
    .reset = ykush_reset,
    .close = ykush_close,
};
