/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DUT Link board: power, storage and console of a board behind one USB plug. Power and storage are requests to an
 * interface of the vendor's; the console is the board's serial port, or another one.
 */
#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "base/limits.h"
#include "drivers/families.h"
#include "drivers/serial.h"
#include "drivers/storage/mux.h"
#include "drivers/usb/handle.h"

#define VENDOR 0x2b23
#define PRODUCT 0x1012

enum { REFRESH = 0x00, SET_POWER = 0x01, SET_STORAGE = 0x02, GET = 0x04 }; /* requests */
enum { POWER_OFF = 0, POWER_ON = 1, POWER_RESCUE = 4 };
enum { STORAGE_OFF = 0, STORAGE_HOST = 1, STORAGE_DUT = 2 };
enum { GET_POWER = 1 };

struct dutlink {
    const char *serial, *storage_device, *alternate_console;
    unsigned baudrate;
    double timeout;
    struct jmp_disk disk; /* options of the storage child */
};

static const struct jmp_option dutlink_options[] = {
    { JMP_FIELD(struct dutlink, serial), .nullable = true,
      .help = "serial number of the board, when there are several" },
    { JMP_FIELD(struct dutlink, storage_device), .required = true, .value_name = "PATH",
      .help = "the block device that the storage becomes; name it by /dev/disk/by-path/" },
    { JMP_FIELD(struct dutlink, alternate_console), .nullable = true, .value_name = "PATH",
      .help = "serial port of the console, when it is not the board's own" },
    { JMP_FIELD(struct dutlink, baudrate), .preset = "115200", .min = 1, .max = 100000000, .value_name = "BAUD",
      .help = "speed of the console" },
    { .key = "timeout_s",
      JMP_FIELD_AS(struct dutlink, timeout),
      .preset = "20",
      .min = 0.1,
      .max = 600,
      .value_name = "SECONDS",
      .help = "how long a request may take; switching the power blocks the board for a while" },
    JMP_DISK_OPTIONS(struct dutlink, disk),
    {}
};

static int fail(struct jmp_call *call, int r, const struct jmp_error *error)
{
    return jmp_call_fail(call, r, "%s%s%s", error->text, *error->hint ? "; " : "", error->hint);
}

/* The first board, or the one with the serial number. */
static int find(const struct dutlink *dutlink, struct jmp_call *call, struct jmp_usb_list **retlist,
                const struct jmp_usb_device **ret)
{
    int r;

    r = jmp_usb_list_read("", retlist);
    if (r < 0)
        return jmp_call_fail(call, r, "USB devices cannot be looked at: %m");
    for (size_t i = 0; i < (*retlist)->count; i++) {
        const struct jmp_usb_device *device = &(*retlist)->devices[i];

        if (device->vendor == VENDOR && device->product == PRODUCT &&
            (!dutlink->serial || strcmp(device->serial, dutlink->serial) == 0)) {
            *ret = device;
            return 0;
        }
    }
    return jmp_call_fail(call, -ENODEV, "there is no DUT Link board%s%s", dutlink->serial ? " with serial number " : "",
                         dutlink->serial ? dutlink->serial : "");
}

static int find_interface(libusb_device_handle *handle)
{
    struct libusb_config_descriptor *config;
    int r;

    r = libusb_get_active_config_descriptor(libusb_get_device(handle), &config);
    if (r < 0)
        return jmp_usb_errno(r);
    r = -EPROTO;
    for (uint8_t i = 0; i < config->bNumInterfaces; i++) {
        const struct libusb_interface_descriptor *interface = config->interface[i].altsetting;

        if (config->interface[i].num_altsetting > 0 && interface->bInterfaceClass == 0xff &&
            interface->bInterfaceSubClass == 1 && interface->bInterfaceProtocol == 1)
            r = interface->bInterfaceNumber;
    }
    libusb_free_config_descriptor(config);
    return r;
}

/* One request; to the host when there is room for an answer. Return: bytes of the answer, or with a sentence. */
static int request_of(const struct dutlink *dutlink, struct jmp_call *call, const struct jmp_usb_device *device,
                      uint8_t what, uint16_t value, uint8_t *answer, uint16_t room)
{
    _cleanup_(jmp_usb_close) struct jmp_usb_handle handle = JMP_USB_HANDLE_CLOSED;
    struct jmp_error error = JMP_ERROR_INIT;
    uint8_t direction = answer ? LIBUSB_ENDPOINT_IN : LIBUSB_ENDPOINT_OUT;
    int interface, r;

    r = jmp_usb_open(device, &handle, &error);
    if (r < 0)
        return fail(call, r, &error);
    interface = find_interface(handle.handle);
    r = interface < 0 ? interface : jmp_usb_errno(libusb_claim_interface(handle.handle, interface));
    if (r == 0)
        r = jmp_usb_errno(libusb_control_transfer(
            handle.handle, direction | LIBUSB_REQUEST_TYPE_VENDOR | LIBUSB_RECIPIENT_INTERFACE, what, value,
            (uint16_t)interface, answer, room, (unsigned)(dutlink->timeout * 1000)));
    return r < 0 ? jmp_call_fail(call, r, "the DUT Link board in port %s does not take a request: %m", device->path)
                 : r;
}

static int request(const struct dutlink *dutlink, struct jmp_call *call, uint8_t what, uint16_t value, uint8_t *answer,
                   uint16_t room)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    const struct jmp_usb_device *device;
    int r;

    r = find(dutlink, call, &list, &device);
    return r < 0 ? r : request_of(dutlink, call, device, what, value, answer, room);
}

static int dutlink_open(void *self, struct jmp_call *call)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    const struct jmp_usb_device *device;

    return find(self, call, &list, &device);
}

/* Nothing stays open: the board is opened for each request, and stays as it is. */
static void dutlink_close(void *self)
{
}

/* power */

struct dutlink_power {
    bool known;
    uint16_t last;         /* what was sent last: the same again would only cost time */
    unsigned bus, address; /* to whom: a board that was plugged in anew has forgotten it */
};

static bool is_done(const struct dutlink_power *power, uint16_t action, const struct jmp_usb_device *device)
{
    return power->known && power->last == action && power->bus == device->bus && power->address == device->address;
}

static int power_set(struct dutlink_power *power, struct jmp_call *call, uint16_t action, const char *words)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    const struct jmp_usb_device *device;
    int r;

    r = find(jmp_call_parent(call), call, &list, &device);
    if (r < 0)
        return r;
    if (is_done(power, action, device))
        return 0;
    power->known = false;
    r = request_of(jmp_call_parent(call), call, device, SET_POWER, action, NULL, 0);
    if (r < 0)
        return r;
    *power = (struct dutlink_power){ true, action, device->bus, device->address };
    jmp_call_log(call, JMP_LOG_INFO, "%s", words);
    return 0;
}

/* Nobody knows what became of the board between two leases. */
static int power_reset(void *self, struct jmp_call *call)
{
    struct dutlink_power *power = self;

    power->known = false;
    return 0;
}

static int power_on(void *self, struct jmp_call *call)
{
    return power_set(self, call, POWER_ON, "power on");
}
static int power_off(void *self, struct jmp_call *call)
{
    return power_set(self, call, POWER_OFF, "power off");
}
static int power_rescue(void *self, struct jmp_call *call)
{
    return power_set(self, call, POWER_RESCUE, "power on, to rescue");
}

/* Words such as "5.02V 0.31A 1.56W". */
static void parse_power(const char *text, double *retvolts, double *retamps)
{
    while (*text) {
        char *end;
        double value = strtod(text, &end);

        if (end != text && *end == 'V')
            *retvolts = value;
        else if (end != text && *end == 'A')
            *retamps = value;
        text = end == text ? text + 1 : end;
        while (*text && !isspace((unsigned char)*text))
            text++;
        while (isspace((unsigned char)*text))
            text++;
    }
}

static int power_read(void *self, struct jmp_call *call)
{
    struct dutlink *dutlink = jmp_call_parent(call);
    double volts = -1, amps = -1;

    for (;;) {
        struct jmp_writer *reply = jmp_call_reply(call);
        double new_volts = 0, new_amps = 0;
        uint8_t text[513] = { 0 };
        int r;

        r = request(dutlink, call, REFRESH, 0, NULL, 0);
        if (r >= 0)
            r = request(dutlink, call, GET, GET_POWER, text, sizeof(text) - 1);
        if (r < 0)
            return r;
        parse_power((const char *)text, &new_volts, &new_amps);
        if (new_volts != volts || new_amps != amps) {
            volts = new_volts;
            amps = new_amps;
            jmp_writer_begin_map(reply);
            jmp_writer_key(reply, "voltage");
            jmp_writer_number(reply, volts);
            jmp_writer_key(reply, "current");
            jmp_writer_number(reply, amps);
            jmp_writer_end_map(reply);
            r = jmp_call_emit(call);
            if (r < 0)
                return r;
        }
        r = jmp_call_wait(call, -1, 0, jmp_now() + JMP_USEC_PER_SEC);
        if (r < 0)
            return r;
    }
}

static const struct jmp_method power_methods[] = {
    { .name = "on", .call = power_on },
    { .name = "off", .call = power_off },
    { .name = "rescue", .call = power_rescue, .help = "power on in the board's rescue mode" },
    { .name = "read", .items = power_read },
    {}
};

static const struct jmp_driver_class dutlink_power_class = {
    JMP_DRIVER_HEAD,
    .name = "dutlink-power",
    .kind = "power",
    .size = sizeof(struct dutlink_power),
    .client = "jumpstarter_driver_power.client.PowerClient",
    .help = "power of a DUT Link board",
    .methods = power_methods,
    .reset = power_reset,
};

/* storage */

static int storage_select(void *self, struct jmp_call *call, enum jmp_mux_position position)
{
    static const uint16_t values[] = {
        [JMP_MUX_HOST] = STORAGE_HOST, [JMP_MUX_DUT] = STORAGE_DUT, [JMP_MUX_OFF] = STORAGE_OFF
    };
    static const char *const words[] = { [JMP_MUX_HOST] = "storage connected to the host",
                                         [JMP_MUX_DUT] = "storage connected to the board",
                                         [JMP_MUX_OFF] = "storage disconnected" };
    int r;

    r = request(jmp_call_parent(call), call, SET_STORAGE, values[position], NULL, 0);
    if (r < 0)
        return r;
    jmp_call_log(call, JMP_LOG_INFO, "%s", words[position]);
    return 0;
}

static int storage_open(void *self, struct jmp_call *call)
{
    const struct dutlink *dutlink = jmp_call_parent(call);
    struct jmp_mux *mux = self;
    int r;

    r = jmp_mux_open(mux, call);
    if (r < 0)
        return r;
    mux->select = storage_select;
    mux->disk = dutlink->disk;
    mux->disk.device = dutlink->storage_device;
    return 0;
}

static const struct jmp_driver_class dutlink_storage_class = {
    JMP_DRIVER_HEAD,
    .name = "dutlink-storage",
    .kind = "storage",
    .size = sizeof(struct jmp_mux),
    .client = "jumpstarter_driver_opendal.client.StorageMuxFlasherClient",
    .help = "storage of a DUT Link board",
    .methods = jmp_mux_methods,
    .open = storage_open,
    .reset = jmp_mux_reset,
    .close = jmp_mux_close,
};

/* console */

struct dutlink_console {
    struct jmp_serial serial;
    char path[PATH_MAX];
};

/* The board's own tty: there is exactly one. */
static int console_path(const struct dutlink *dutlink, struct jmp_call *call, char *path, size_t size)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    const struct jmp_usb_device *device;
    const char *tty;
    int r;

    if (dutlink->alternate_console) {
        snprintf(path, size, "%s", dutlink->alternate_console);
        return 0;
    }
    r = find(dutlink, call, &list, &device);
    if (r < 0)
        return r;
    tty = strstr(device->nodes, "tty");
    if (!tty || strstr(tty + 3, "tty"))
        return jmp_call_fail(call, -ENODEV, "the DUT Link board in port %s has %s serial port", device->path,
                             tty ? "more than one" : "no");
    snprintf(path, size, "/dev/%.*s", (int)strcspn(tty, " "), tty);
    return 0;
}

static int console_open(void *self, struct jmp_call *call)
{
    const struct dutlink *dutlink = jmp_call_parent(call);
    struct dutlink_console *console = self;
    int r;

    r = console_path(dutlink, call, console->path, sizeof(console->path));
    if (r < 0)
        return r;
    console->serial.url = console->path;
    console->serial.baudrate = dutlink->baudrate;
    console->serial.check_present = console->serial.low_latency = true;
    return jmp_serial_open(console, call);
}

static const struct jmp_driver_class dutlink_console_class = {
    JMP_DRIVER_HEAD,
    .name = "dutlink-console",
    .kind = "console",
    .size = sizeof(struct dutlink_console),
    .client = "jumpstarter_driver_pyserial.client.PySerialClient",
    .help = "console of a DUT Link board",
    .methods = jmp_serial_methods,
    .open = console_open,
    .close = jmp_serial_close,
};

static const struct jmp_child dutlink_children[] = {
    { "power", &dutlink_power_class }, { "storage", &dutlink_storage_class }, { "console", &dutlink_console_class }, {}
};

const struct jmp_driver_class jmp_dutlink_class = {
    JMP_DRIVER_HEAD,
    .name = "dutlink",
    .kind = "composite",
    .size = sizeof(struct dutlink),
    .python_type = "jumpstarter_driver_dutlink.driver.Dutlink",
    .client = "jumpstarter_driver_composite.client.CompositeClient",
    .help = "a DUT Link board: power, storage and console of a board behind one plug",
    .options = dutlink_options,
    .children = dutlink_children,
    .open = dutlink_open,
    .close = dutlink_close,
};
