/* SPDX-License-Identifier: Apache-2.0 */
/* A USB device that is given away whole, and the children by which: USB/IP, usbredir, the power of its port, a few
 * commands. */
#include "drivers/usb/device.h"

#include <pthread.h>
#include <string.h>

#include "base/limits.h"
#include "drivers/families.h"
#include "drivers/usb/config.h"
#include "drivers/usb/port.h"
#include "drivers/usb/redir_filter.h"

#define INTERFACES_MAX 32u /* libusb claims none with a higher number, of those 256 that the specification allows */

struct usb_device {
    const char *path, *id, *serial;
    const char *filter;
    double follow; /* seconds */
    bool initialized;
    pthread_mutex_t lock;               /* of all below */
    const char *holder;                 /* NULL: nobody has it */
    struct jmp_usb_device last;         /* as it was seen last; .path "": never */
    uint64_t gone;                      /* when it went while somebody had it; 0: it did not */
    bool followed;                      /* @last is what came after it */
    uint16_t told_vendor, told_product; /* who was given away last; 0: nobody */
};

static const struct jmp_option device_options[] = {
    { JMP_FIELD(struct usb_device, path), .nullable = true, .value_name = "PATH",
      .help = "path of the port that it is plugged into, such as 1-1.2; jmp-agent usb tree shows them" },
    { JMP_FIELD(struct usb_device, id), .nullable = true, .value_name = "VID:PID",
      .help = "its vendor and product, such as \"0483:df11\"" },
    { JMP_FIELD(struct usb_device, serial), .nullable = true, .value_name = "TEXT", .help = "its serial number" },
    { JMP_FIELD(struct usb_device, filter), .nullable = true, .value_name = "RULES",
      .help = "what usbredir may carry: class,vendor,product,version,allow rules with | between, -1 for any" },
    { JMP_FIELD(struct usb_device, follow), .preset = "15", .min = 0, .max = 3600, .value_name = "SECONDS",
      .help = "how long to wait, when it goes while in use, for another that takes its port" },
    {}
};

static struct jmp_usb_selector selector_of(const struct usb_device *device)
{
    return (struct jmp_usb_selector){ .path = device->path, .id = device->id, .serial = device->serial };
}

static int device_check(const void *self, struct jmp_error *reterr)
{
    const struct usb_device *device = self;
    struct jmp_usb_selector selector = selector_of(device);
    int r;

    r = jmp_usb_selector_check(&selector, reterr);
    if (r < 0 || !device->filter)
        return r;
    return jmp_redir_filter_check(device->filter, reterr);
}

/*
 * Which device, and where.
 */

static uint64_t follow_usec(const struct usb_device *device)
{
    return (uint64_t)(device->follow * (double)JMP_USEC_PER_SEC);
}

/* Only what comes into the port soon after, and then stays. Called with the lock. */
static bool may_follow(const struct usb_device *device, const struct jmp_usb_device *found)
{
    if (!found)
        return false;
    if (device->followed)
        return found->vendor == device->last.vendor && found->product == device->last.product;
    return device->gone > 0 && jmp_now() - device->gone <= follow_usec(device);
}

static int find_locked(struct usb_device *device, const struct jmp_usb_list *list, struct jmp_error *reterr)
{
    struct jmp_usb_selector selector = selector_of(device);
    const struct jmp_usb_device *found = NULL, *in_port;
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    r = jmp_usb_choose(list, &selector, &found, &error);
    if (r == 0)
        device->followed = false;
    in_port = r == -ENODEV && *device->last.path ? jmp_usb_at(list, device->last.path) : NULL;
    if (may_follow(device, in_port)) {
        r = jmp_usb_refuse(in_port, &error);
        device->followed = r == 0;
        found = in_port;
    }
    if (r < 0) {
        if (reterr)
            *reterr = error;
        return r;
    }
    /* One that is still listed, though it is known to have gone, is no news. */
    if (found->bus != device->last.bus || found->address != device->last.address)
        device->gone = 0;
    device->last = *found;
    return 0;
}

int jmp_usb_device_find(struct usb_device *device, struct jmp_usb_device *ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    int r;

    r = jmp_usb_list_read("", &list);
    if (r < 0)
        return jmp_error_set(reterr, r, "the USB devices cannot be listed: %m");
    pthread_mutex_lock(&device->lock);
    r = find_locked(device, list, reterr);
    if (r == 0)
        *ret = device->last;
    pthread_mutex_unlock(&device->lock);
    return r;
}

int jmp_usb_device_port(struct usb_device *device, char ret[JMP_USB_PATH_MAX], struct jmp_error *reterr)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_usb_device found;
    const char *path;
    int r = 0;

    if (device->path) {
        snprintf(ret, JMP_USB_PATH_MAX, "%s", device->path);
        return 0;
    }
    jmp_usb_device_find(device, &found, &error);
    pthread_mutex_lock(&device->lock);
    path = device->last.path;
    if (*path)
        snprintf(ret, JMP_USB_PATH_MAX, "%s", path);
    else
        r = jmp_error_set(reterr, -ENODEV, "%s, and it was not seen before, so its port is not known", error.text);
    pthread_mutex_unlock(&device->lock);
    return r;
}

const char *jmp_usb_device_filter(const struct usb_device *device)
{
    return device->filter;
}

const char *jmp_usb_device_holder(struct usb_device *device)
{
    const char *holder;

    pthread_mutex_lock(&device->lock);
    holder = device->holder;
    pthread_mutex_unlock(&device->lock);
    return holder;
}

void jmp_usb_device_lost(struct usb_device *device, struct jmp_call *call, const struct jmp_usb_device *lost)
{
    pthread_mutex_lock(&device->lock);
    device->gone = jmp_now();
    pthread_mutex_unlock(&device->lock);
    jmp_call_log(call, JMP_LOG_WARNING,
                 "%04x:%04x in port %s has gone; what takes its port within %g seconds can be had in its place",
                 lost->vendor, lost->product, lost->path, device->follow);
}

/*
 * Taking and giving back.
 */

static int take(struct usb_device *device, const char *holder, struct jmp_error *reterr)
{
    const char *other;

    pthread_mutex_lock(&device->lock);
    other = device->holder;
    if (!other)
        device->holder = holder;
    pthread_mutex_unlock(&device->lock);
    if (!other)
        return 0;
    jmp_error_set(reterr, -EBUSY, "the device is in use already, by %s", other);
    jmp_error_hint(reterr, "only one can have it at a time");
    return -EBUSY;
}

static void put(struct usb_device *device)
{
    pthread_mutex_lock(&device->lock);
    device->holder = NULL;
    pthread_mutex_unlock(&device->lock);
}

static void release_interfaces(struct jmp_usb_claim *claim)
{
    for (unsigned i = 0; i < INTERFACES_MAX; i++)
        if (claim->interfaces & (UINT32_C(1) << i))
            libusb_release_interface(claim->usb.handle, (int)i);
    claim->interfaces = 0;
}

/* All interfaces of the active configuration. */
static int claim_interfaces(struct jmp_usb_claim *claim)
{
    _cleanup_(jmp_usb_config_clear) struct jmp_usb_config config = { 0 };
    struct jmp_usb_part part = { 0 };
    int r;

    r = jmp_usb_config_read(claim->usb.fd, (unsigned)claim->active, &config);
    if (r < 0)
        return r;
    claim->left_out = jmp_usb_config_above(&config, INTERFACES_MAX);
    while (r == 0 && jmp_usb_config_next(&config, &part)) {
        if (!part.first || part.interface >= INTERFACES_MAX)
            continue;
        r = libusb_detach_kernel_driver(claim->usb.handle, part.interface);
        if (r == 0 || r == LIBUSB_ERROR_NOT_FOUND)
            r = libusb_claim_interface(claim->usb.handle, part.interface);
        if (r == 0)
            claim->interfaces |= UINT32_C(1) << part.interface;
    }
    return jmp_usb_errno(r);
}

static void tell_left_out(const struct jmp_usb_claim *claim, struct jmp_call *call)
{
    if (claim->left_out >= 0)
        jmp_call_log(call, JMP_LOG_WARNING,
                     "interface %d of the device in port %s, and any above, stay with this machine: libusb takes only "
                     "those with numbers below %u",
                     claim->left_out, claim->info.path, INTERFACES_MAX);
}

int jmp_usb_claim_configuration(struct jmp_usb_claim *claim, struct jmp_call *call, int configuration)
{
    int r;

    release_interfaces(claim);
    /* A device without configuration is -1 for libusb, as 0 is refused by devices that number theirs from 0. */
    r = libusb_set_configuration(claim->usb.handle, configuration > 0 ? configuration : -1);
    if (r < 0)
        return jmp_usb_errno(r);
    claim->active = configuration;
    r = claim_interfaces(claim);
    tell_left_out(claim, call);
    return r;
}

static int open_claim(struct usb_device *device, struct jmp_usb_claim *claim, struct jmp_error *reterr)
{
    int r;

    r = jmp_usb_device_find(device, &claim->info, reterr);
    if (r == 0)
        r = jmp_usb_open(&claim->info, &claim->usb, reterr);
    if (r < 0)
        return r;

    r = libusb_get_configuration(claim->usb.handle, &claim->configuration);
    claim->active = claim->configuration;
    r = r < 0 ? jmp_usb_errno(r) : claim_interfaces(claim);
    if (r == -EBUSY)
        return jmp_error_set(reterr, r, "another program uses the device in port %s", claim->info.path);
    if (r < 0)
        return jmp_error_set(reterr, r, "the device in port %s cannot be taken from the kernel: %m", claim->info.path);
    claim->complete = true;
    return 0;
}

/* A user who reads the log learns that it is another device than the last time. */
static void tell_identity(struct usb_device *device, struct jmp_call *call, const struct jmp_usb_device *info)
{
    uint16_t vendor, product;

    pthread_mutex_lock(&device->lock);
    vendor = device->told_vendor;
    product = device->told_product;
    device->told_vendor = info->vendor;
    device->told_product = info->product;
    pthread_mutex_unlock(&device->lock);
    if ((vendor || product) && (vendor != info->vendor || product != info->product))
        jmp_call_log(call, JMP_LOG_WARNING, "in port %s there is %04x:%04x %s now; it was %04x:%04x", info->path,
                     info->vendor, info->product, info->name, vendor, product);
}

int jmp_usb_claim(struct usb_device *device, struct jmp_call *call, const char *holder, struct jmp_usb_claim *ret,
                  struct jmp_error *reterr)
{
    struct jmp_usb_claim claim = { .device = device, .usb = JMP_USB_HANDLE_CLOSED, .left_out = -1 };
    int r;

    r = take(device, holder, reterr);
    if (r < 0)
        return r;
    r = open_claim(device, &claim, reterr);
    if (r < 0) {
        jmp_usb_give_back(&claim);
        return r;
    }
    tell_identity(device, call, &claim.info);
    jmp_call_log(call, JMP_LOG_INFO, "%04x:%04x in port %s is given away by %s", claim.info.vendor, claim.info.product,
                 claim.info.path, holder);
    tell_left_out(&claim, call);
    *ret = claim;
    return 0;
}

/* Kernel drivers for the interfaces of the configuration, as far as there are any. Return: how many got one. */
static unsigned attach_drivers(const struct jmp_usb_handle *usb, unsigned configuration)
{
    _cleanup_(jmp_usb_config_clear) struct jmp_usb_config config = { 0 };
    struct jmp_usb_part part = { 0 };
    unsigned count = 0;

    if (jmp_usb_config_read(usb->fd, configuration, &config) < 0)
        return 0;
    while (jmp_usb_config_next(&config, &part))
        if (part.first)
            count += libusb_attach_kernel_driver(usb->handle, part.interface) == 0;
    return count;
}

void jmp_usb_give_back(struct jmp_usb_claim *claim)
{
    int now = 0;

    if (claim->usb.handle && !claim->gone) {
        /* While the interfaces are still ours, so that no driver meets what the user left behind. */
        if (claim->complete)
            libusb_reset_device(claim->usb.handle);
        release_interfaces(claim);
        if (libusb_get_configuration(claim->usb.handle, &now) == 0 && now != claim->configuration)
            libusb_set_configuration(claim->usb.handle, claim->configuration > 0 ? claim->configuration : -1);
        attach_drivers(&claim->usb, (unsigned)claim->configuration);
    }
    jmp_usb_close(&claim->usb);
    put(claim->device);
}

/*
 * An agent that was killed gave nothing back: the kernel only takes note that the program has gone. A device that
 * nobody drives, no program either, is offered to the kernel's drivers; most of those that have none are none the worse
 * for it.
 */
static void give_back_after_crash(struct usb_device *device, struct jmp_call *call)
{
    _cleanup_(jmp_usb_close) struct jmp_usb_handle usb = JMP_USB_HANDLE_CLOSED;
    struct jmp_usb_device info;

    if (jmp_usb_device_find(device, &info, NULL) < 0 || *info.drivers || jmp_usb_open(&info, &usb, NULL) < 0)
        return;
    if (attach_drivers(&usb, info.configuration) > 0)
        jmp_call_log(call, JMP_LOG_WARNING, "%04x:%04x in port %s was without its drivers, and has them again",
                     info.vendor, info.product, info.path);
}

/* It need not be there: perhaps the port is off, and "port on" is what the user is about to say. */
static int device_open(void *self, struct jmp_call *call)
{
    struct usb_device *device = self;
    int r;

    r = -pthread_mutex_init(&device->lock, NULL);
    if (r < 0)
        return jmp_call_fail(call, r, "no lock: %m");
    device->initialized = true;
    give_back_after_crash(device, call);
    return 0;
}

static void device_close(void *self)
{
    struct usb_device *device = self;

    if (device->initialized)
        pthread_mutex_destroy(&device->lock);
    device->initialized = false;
}

int jmp_usb_device_reset(struct usb_device *device, struct jmp_error *reterr)
{
    _cleanup_(jmp_usb_close) struct jmp_usb_handle usb = JMP_USB_HANDLE_CLOSED;
    struct jmp_usb_device info;
    int r;

    r = take(device, "a reset", reterr);
    if (r < 0)
        return r;
    r = jmp_usb_device_find(device, &info, reterr);
    if (r == 0)
        r = jmp_usb_open(&info, &usb, reterr);
    if (r == 0) {
        r = jmp_usb_errno(libusb_reset_device(usb.handle));
        /* Not found: it came back as another device, which is what some are reset for. */
        r = r == -ENOENT ? 0 : r;
        if (r < 0)
            jmp_error_set(reterr, r, "the device in port %s cannot be reset: %m", info.path);
    }
    put(device);
    return r;
}

/*
 * The port, as a child.
 */

static int child_switch(struct jmp_call *call, bool on)
{
    struct jmp_error error = JMP_ERROR_INIT;
    char path[JMP_USB_PATH_MAX];

    if (jmp_usb_device_port(jmp_call_parent(call), path, &error) < 0)
        return jmp_usb_fail(call, &error);
    return jmp_usb_port_switch(call, path, on);
}

static int child_on(void *self, struct jmp_call *call)
{
    return child_switch(call, true);
}
static int child_off(void *self, struct jmp_call *call)
{
    return child_switch(call, false);
}

static int child_status(void *self, struct jmp_call *call)
{
    struct jmp_error error = JMP_ERROR_INIT;
    char path[JMP_USB_PATH_MAX];

    if (jmp_usb_device_port(jmp_call_parent(call), path, &error) < 0)
        return jmp_usb_fail(call, &error);
    return jmp_usb_port_tell(call, path);
}

static const struct jmp_method child_methods[] = {
    { .name = "on", .call = child_on },
    { .name = "off", .call = child_off },
    { .name = "read", .items = jmp_usb_port_read },
    { .name = "status", .call = child_status, .help = "on or off, as the hub says" },
    {}
};

static const struct jmp_driver_class child_port_class = {
    JMP_DRIVER_HEAD,
    .name = "usb-device-port",
    .kind = "power",
    .client = "jumpstarter_driver_power.client.PowerClient",
    .help = "the power of the port that the device is plugged into",
    .methods = child_methods,
};

static const struct jmp_child device_children[] = { { "ip", &jmp_usb_ip_class },
                                                    { "redir", &jmp_usb_redir_class },
                                                    { "port", &child_port_class },
                                                    { "ctl", &jmp_usb_ctl_class },
                                                    {} };

const struct jmp_driver_class jmp_usb_device_class = {
    JMP_DRIVER_HEAD,
    .name = "usb-device",
    .kind = "composite",
    .size = sizeof(struct usb_device),
    .client = "jumpstarter_driver_composite.client.CompositeClient",
    .help = "a USB device, given away whole: USB/IP, usbredir, port power",
    .options = device_options,
    .children = device_children,
    .open = device_open,
    .close = device_close,
    .check = device_check,
};
