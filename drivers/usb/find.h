/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The USB devices of this machine, as sysfs shows them, and the choice of one: by the path of the port it is plugged
 * into, by its vendor and product, or by its serial number. Only reads; the tree may be a copy, for tests.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define JMP_USB_PATH_MAX 32u  /* "1-1.2.3.4.5.6" and some */
#define JMP_USB_TEXT_MAX 128u /* names and serial numbers: a descriptor has at most 126 characters */
#define JMP_USB_DEVICES_MAX 512u

struct jmp_usb_device {
    /* Of its port: "1-1.2" is port 2 of the hub in port 1 of bus 1; "usb1" is the root hub of bus 1. */
    char path[JMP_USB_PATH_MAX];
    unsigned bus, address;  /* /dev/bus/usb/BUS/ADDRESS */
    uint16_t vendor, product, release;
    uint8_t class, subclass, protocol;
    uint8_t configuration, configurations,
        interfaces; /* active one, how many there are, interfaces of the active one */
    char speed[16]; /* Mbit/s: "1.5", "12", "480", "5000", ... */
    char serial[JMP_USB_TEXT_MAX], maker[JMP_USB_TEXT_MAX], name[JMP_USB_TEXT_MAX]; /* "" where there is none */
    char drivers[JMP_USB_TEXT_MAX];   /* kernel drivers of its interfaces, each once, with blanks between */
    char nodes[2 * JMP_USB_TEXT_MAX]; /* what they made of it: "ttyACM0 sda hidraw0" */
    char mount[JMP_USB_TEXT_MAX];     /* a file system or swap on it is in use at this place; "" if none */
    bool hub;
    bool imported;  /* by USB/IP, from another machine or from an agent of this one: it is not ours to give away */
    unsigned ports; /* of a hub */
};

struct jmp_usb_list {
    size_t count;
    struct jmp_usb_device *devices; /* by path, hubs before what is plugged into them */
};

/* Any of these; what is NULL does not matter. */
struct jmp_usb_selector {
    const char *path; /* "1-1.2" */
    const char *id;   /* "0483:df11" */
    const char *serial;
};

/**
 * jmp_usb_list_read() - look at what is plugged in
 * @root:  directory that stands for /, "" for the real one; sys, proc and dev below it are read
 * @ret:   free with jmp_usb_list_free()
 *
 * Return: 0 (perhaps with an empty list: a machine without USB), -ENOMEM, -EACCES and the like.
 */
int jmp_usb_list_read(const char *root, struct jmp_usb_list **ret);
struct jmp_usb_list *jmp_usb_list_free(struct jmp_usb_list *list);
JMP_DEFINE_CLEANUP(struct jmp_usb_list *, jmp_usb_list_free)

/** jmp_usb_at() - the device whose port has this path, or NULL */
const struct jmp_usb_device *jmp_usb_at(const struct jmp_usb_list *list, const char *path);

/** jmp_usb_selector_check() - is it well written, and does it choose at all? 0 or -EINVAL */
int jmp_usb_selector_check(const struct jmp_usb_selector *selector, struct jmp_error *reterr);

/**
 * jmp_usb_choose() - the one device that all parts of @selector fit
 *
 * Return: 0, -ENODEV (not plugged in), -ENOTUNIQ (several fit), or what jmp_usb_refuse() says.
 */
int jmp_usb_choose(const struct jmp_usb_list *list, const struct jmp_usb_selector *selector,
                   const struct jmp_usb_device **ret, struct jmp_error *reterr);

/** jmp_usb_refuse() - may it be given away? 0, or -EPERM: hubs, and disks that this machine uses, may not */
int jmp_usb_refuse(const struct jmp_usb_device *device, struct jmp_error *reterr);

/**
 * jmp_usb_port_split() - "1-1.2" is port 2 of hub "1-1", "1-3" port 3 of root hub "usb1"
 * Return: 0, -EINVAL: not a path
 */
int jmp_usb_port_split(const char *path, char rethub[JMP_USB_PATH_MAX], unsigned *retport);
/** jmp_usb_port_join() - and back: port @port of @hub is @ret. Return: 0, -EINVAL: that would be no path. */
int jmp_usb_port_join(const char *hub, unsigned port, char ret[JMP_USB_PATH_MAX]);
