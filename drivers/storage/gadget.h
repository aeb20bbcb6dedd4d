/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A USB mass storage gadget: this machine's device port as a USB stick. Kept in configfs (usb_gadget), with one file
 * as its medium. Only names and texts go in and out; the kernel does the rest.
 */
#pragma once

#include "base/error.h"

struct jmp_gadget {
    const char *root; /* directory that stands for /, "" for the real one */
    const char *name; /* of the gadget */
    const char *file; /* its medium */
    const char *udc;  /* the device port; NULL: the only one there is */
    const char *serial, *maker, *product;
    unsigned vendor_id, product_id;
    bool read_only, removable;
};

/** jmp_gadget_bind() - make the gadget if it is not there, and plug the stick in; nothing happens when it is in
 * Return: 0, or with a sentence: -ENODEV (no device port), -EBUSY (another gadget has it), -EACCES, -ENOENT (no
 * configfs) and others. */
int jmp_gadget_bind(const struct jmp_gadget *gadget, struct jmp_error *reterr);
/** jmp_gadget_unbind() - pull it out, and let go of its medium; nothing happens when it is not in */
int jmp_gadget_unbind(const struct jmp_gadget *gadget, struct jmp_error *reterr);
/** jmp_gadget_is_bound() - 1, 0, negative errno */
int jmp_gadget_is_bound(const struct jmp_gadget *gadget);
