/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/serial/find.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <systemd/sd-device.h>

#include "base/cleanup.h"

#define ID_LENGTH 4 /* hexadecimal digits of a vendor or a product */

/* A description in words, for errors */
#define WORDS_MAX 256

bool jmp_serial_match_is_set(const struct jmp_serial_match *match)
{
    return match->usb_port || match->usb_id || match->udev;
}

static bool is_id(const char *text)
{
    for (int i = 0; i < ID_LENGTH; i++)
        if (!isxdigit((unsigned char)text[i]))
            return false;
    return true;
}

/* VID:PID or VID:PID:SERIAL */
static bool is_usb_id(const char *text)
{
    if (!is_id(text) || text[ID_LENGTH] != ':' || !is_id(text + ID_LENGTH + 1))
        return false;
    text += 2 * ID_LENGTH + 1;
    return text[0] == '\0' || (text[0] == ':' && text[1] != '\0');
}

/* BUS-PORT, each further hub .PORT; then for one interface :CONFIGURATION.INTERFACE */
static bool is_usb_port(const char *text)
{
    static const char *const steps[] = { "0123456789", "-", "0123456789." };
    const char *last;

    for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
        size_t length = strspn(text, steps[i]);

        if (length == 0)
            return false;
        text += length;
    }
    last = text - 1;
    if (*last == '.')
        return false;
    if (*text == '\0')
        return true;
    return *text == ':' && isdigit((unsigned char)text[1]) && text[2] == '.' && isdigit((unsigned char)text[3]) &&
           strspn(text + 3, "0123456789") == strlen(text + 3);
}

int jmp_serial_match_check(const struct jmp_serial_match *match, struct jmp_error *reterr)
{
    if (match->usb_port && !is_usb_port(match->usb_port)) {
        jmp_error_set(reterr, -EINVAL, "usb_port: \"%s\" is no place of a USB device", match->usb_port);
        jmp_error_hint(
            reterr,
            "places are written as in /sys/bus/usb/devices, such as 1-1.2, or 1-1.2:1.0 for one of its interfaces");
        return -EINVAL;
    }
    if (match->usb_id && !is_usb_id(match->usb_id)) {
        jmp_error_set(reterr, -EINVAL, "usb_id: \"%s\" is not VID:PID or VID:PID:SERIAL", match->usb_id);
        jmp_error_hint(reterr, "as lsusb shows it, such as 0403:6001, then the serial number when several are alike");
        return -EINVAL;
    }
    if (!match->udev)
        return 0;

    if (match->udev->kind != JMP_NODE_MAP || !match->udev->first)
        return jmp_error_set(reterr, -EINVAL,
                             "udev: a map of udev's properties is expected, such as ID_SERIAL_SHORT: A5XK3RJT");
    JMP_NODE_EACH(property, match->udev) {
        if (!property->string || property->kind == JMP_NODE_NULL)
            return jmp_error_set(reterr, -EINVAL, "udev: the value of %s is no text", property->key);
    }
    return 0;
}

static bool usb_id_fits(const char *id, const struct jmp_serial_facts *facts)
{
    const char *serial = id[2 * ID_LENGTH + 1] == ':' ? id + 2 * ID_LENGTH + 2 : NULL;

    return facts->vendor && facts->product && strlen(facts->vendor) == ID_LENGTH &&
           strncasecmp(id, facts->vendor, ID_LENGTH) == 0 && strlen(facts->product) == ID_LENGTH &&
           strncasecmp(id + ID_LENGTH + 1, facts->product, ID_LENGTH) == 0 &&
           (!serial || (facts->serial && strcmp(serial, facts->serial) == 0));
}

bool jmp_serial_match_fits(const struct jmp_serial_match *match, const struct jmp_serial_facts *facts)
{
    if (match->usb_port && !(facts->usb_port && strcmp(match->usb_port, facts->usb_port) == 0) &&
        !(facts->usb_interface && strcmp(match->usb_port, facts->usb_interface) == 0))
        return false;
    if (match->usb_id && !usb_id_fits(match->usb_id, facts))
        return false;
    if (match->udev) {
        JMP_NODE_EACH(property, match->udev) {
            const char *value = facts->property ? facts->property(facts->user, property->key) : NULL;

            if (!value || fnmatch(property->string, value, 0) != 0)
                return false;
        }
    }
    return true;
}

static const char *device_property(void *user, const char *name)
{
    const char *value;

    return sd_device_get_property_value(user, name, &value) < 0 ? NULL : value;
}

static const char *attribute(sd_device *device, const char *name)
{
    const char *value;

    return sd_device_get_sysattr_value(device, name, &value) < 0 ? NULL : value;
}

static bool device_fits(const struct jmp_serial_match *match, sd_device *tty)
{
    struct jmp_serial_facts facts = { .property = device_property, .user = tty };
    sd_device *parent; /* borrowed from @tty */

    if (sd_device_get_parent_with_subsystem_devtype(tty, "usb", "usb_interface", &parent) >= 0)
        sd_device_get_sysname(parent, &facts.usb_interface);
    if (sd_device_get_parent_with_subsystem_devtype(tty, "usb", "usb_device", &parent) >= 0) {
        sd_device_get_sysname(parent, &facts.usb_port);
        facts.vendor = attribute(parent, "idVendor");
        facts.product = attribute(parent, "idProduct");
        facts.serial = attribute(parent, "serial");
    }
    return jmp_serial_match_fits(match, &facts);
}

static void add_words(char *words, const char *separator, const char *name, const char *value)
{
    size_t used = strlen(words);

    snprintf(words + used, WORDS_MAX - used, "%s%s%s%s", used > 0 ? separator : "", name, name[0] ? " " : "", value);
}

static void describe(const struct jmp_serial_match *match, char *words)
{
    words[0] = '\0';
    if (match->usb_port)
        add_words(words, ", ", "usb_port", match->usb_port);
    if (match->usb_id)
        add_words(words, ", ", "usb_id", match->usb_id);
    if (match->udev) {
        JMP_NODE_EACH(property, match->udev)
            add_words(words, ", ", property->key, property->string);
    }
}

/* Udev is asked only when its properties are: where there is none, in containers, the rest works too. */
static int enumerate(const struct jmp_serial_match *match, sd_device_enumerator **ret)
{
    _cleanup_(sd_device_enumerator_unrefp) sd_device_enumerator *ttys = NULL;
    int r;

    r = sd_device_enumerator_new(&ttys);
    if (r < 0)
        return r;
    r = sd_device_enumerator_add_match_subsystem(ttys, "tty", true);
    if (r < 0)
        return r;
    if (!match->udev) {
        r = sd_device_enumerator_allow_uninitialized(ttys);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(ttys);
    return 0;
}

int jmp_serial_find(const struct jmp_serial_match *match, char **ret, struct jmp_error *reterr)
{
    _cleanup_(sd_device_enumerator_unrefp) sd_device_enumerator *ttys = NULL;
    _cleanup_free_ char *found = NULL;
    char words[WORDS_MAX], nodes[WORDS_MAX] = "";
    unsigned count = 0;
    int r;

    describe(match, words);
    r = enumerate(match, &ttys);
    if (r < 0)
        return jmp_error_set(reterr, r, "the serial ports cannot be listed: %m");

    for (sd_device *tty = sd_device_enumerator_get_device_first(ttys); tty;
         tty = sd_device_enumerator_get_device_next(ttys)) {
        const char *node;

        if (!device_fits(match, tty) || sd_device_get_devname(tty, &node) < 0)
            continue;
        add_words(nodes, ", ", "", node);
        if (count++ > 0)
            continue;
        found = strdup(node);
        if (!found)
            return -ENOMEM;
    }

    if (count == 0) {
        jmp_error_set(reterr, -ENODEV, "there is no serial port with %s", words);
        jmp_error_hint(reterr, "is it plugged in? \"udevadm info /dev/ttyUSB0\" shows what a port can be found by");
        return -ENODEV;
    }
    if (count > 1) {
        jmp_error_set(reterr, -ENOTUNIQ, "%u serial ports have %s: %s", count, words, nodes);
        jmp_error_hint(reterr, "usb_port tells them apart by their sockets, 1-1.2:1.0 also by the interface");
        return -ENOTUNIQ;
    }
    *ret = TAKE_PTR(found);
    return 0;
}
