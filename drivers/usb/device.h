/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that is given away whole: the parent of the streams that carry it. It says which device is meant now, who
 * has it, and takes it from the kernel's drivers and gives it back. Functions may be called from the threads of all
 * children.
 */
#pragma once

#include "drivers/driver.h"
#include "drivers/usb/handle.h"

struct usb_device;

/**
 * jmp_usb_device_find() - the device that is meant now
 *
 * That is the one that fits the configuration; or, if it went away while somebody had it, what has appeared in its
 * port since (a boot loader for firmware updates is another device with another id in the same port).
 *
 * Return: 0, or with a sentence: -ENODEV, -EPERM, -ENOTUNIQ.
 */
int jmp_usb_device_find(struct usb_device *device, struct jmp_usb_device *ret, struct jmp_error *reterr);

/** jmp_usb_device_port() - path of the port that it is, or was last, plugged into. 0 or -ENODEV: not seen yet. */
int jmp_usb_device_port(struct usb_device *device, char ret[JMP_USB_PATH_MAX], struct jmp_error *reterr);

/** jmp_usb_device_filter() - the usbredir filter of the configuration, or NULL */
const char *jmp_usb_device_filter(const struct usb_device *device);

/** jmp_usb_device_holder() - by which way it is in use now, or NULL */
const char *jmp_usb_device_holder(struct usb_device *device);

/** jmp_usb_device_reset() - reset it by its hub; -EBUSY while somebody has it */
int jmp_usb_device_reset(struct usb_device *device, struct jmp_error *reterr);

/* A device that somebody has. */
struct jmp_usb_claim {
    struct usb_device *device;
    struct jmp_usb_device info;
    struct jmp_usb_handle usb;
    int configuration;   /* as found; 0: none */
    int active;          /* as it is now */
    uint32_t interfaces; /* bits: claimed by us */
    int left_out;        /* the first interface that libusb cannot claim; -1: none */
    bool complete;       /* all was claimed */
    bool gone;           /* for whoever finds out that it was unplugged */
};

/**
 * jmp_usb_claim() - take the device: no other way, and no kernel driver, has it meanwhile
 * @holder:  what others are told: "USB/IP"
 * @ret:     untouched on failure; give back with jmp_usb_give_back(), when no transfer is in flight any more
 *
 * Return: 0, or with a sentence: -EBUSY (another way has it, or another program), and those of jmp_usb_device_find(),
 * jmp_usb_open().
 */
int jmp_usb_claim(struct usb_device *device, struct jmp_call *call, const char *holder, struct jmp_usb_claim *ret,
                  struct jmp_error *reterr);

/** jmp_usb_claim_configuration() - choose a configuration and claim its interfaces; 0: none. Return: 0 or negative
 * errno. */
int jmp_usb_claim_configuration(struct jmp_usb_claim *claim, struct jmp_call *call, int configuration);

/** jmp_usb_give_back() - reset the device, so that it forgets what was done to it, and let the kernel's drivers have
 * it */
void jmp_usb_give_back(struct jmp_usb_claim *claim);

/** jmp_usb_device_lost() - it went while somebody had it: from now on what takes its port is followed; tells the log */
void jmp_usb_device_lost(struct usb_device *device, struct jmp_call *call, const struct jmp_usb_device *lost);

extern const struct jmp_driver_class jmp_usb_ip_class, jmp_usb_redir_class, jmp_usb_ctl_class;
