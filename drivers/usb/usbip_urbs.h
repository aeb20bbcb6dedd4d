/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transfers (URBs, as Linux calls them) of an imported device: from the client's request to libusb, and the result
 * into the queue of answers. All of it runs in the thread that calls jmp_usb_wait().
 */
#pragma once

#include "drivers/usb/device.h"
#include "drivers/usb/usbip_proto.h"

struct jmp_urbs;

/* A transfer of the client, from its header to its result. */
struct jmp_urb {
    struct jmp_urb *next, **prev; /* in flight */
    struct jmp_urb *next_reply;
    struct jmp_urbs *urbs;
    struct jmp_usbip_urb request;
    bool unlinking;
    uint32_t unlink_sequence;         /* of the request that calls it back */
    struct libusb_transfer *transfer; /* NULL: nothing for the device */
    uint8_t *buffer;                  /* of the transfer: for control with 8 bytes of setup in front */
    size_t buffer_size;
    struct jmp_usbip_packet *packets;
    uint8_t *packet_bytes; /* as on the wire */
    /* The result */
    uint8_t header[JMP_USBIP_URB_SIZE];
    const uint8_t *data;
    size_t data_size, packet_size;
};

/* All of an import; zeroed but for the first two. */
struct jmp_urbs {
    struct jmp_call *call;
    struct jmp_usb_claim claim;
    struct jmp_urb *flying; /* with the kernel */
    size_t returned;        /* that were, and came back */
    size_t count, bytes;    /* of all that there are, results not sent included */
    struct jmp_urb *replies, **last_reply;
    uint8_t types[32];      /* of endpoints, enum libusb_transfer_type + 1; in: 16 and up; 0: there is none */
    uint8_t alternates[UINT8_MAX + 1]; /* setting of each interface */
    bool short_told;                   /* that the kernel has no memory */
};

/** jmp_urbs_begin() - once the device is claimed */
void jmp_urbs_begin(struct jmp_urbs *urbs);
/** jmp_urbs_have_room() - false: too much is under way, or was not fetched, for @request as well */
bool jmp_urbs_have_room(const struct jmp_urbs *urbs, const struct jmp_usbip_urb *request);

/**
 * jmp_urb_new() - a transfer with the memory that it needs, its payload still to be read
 * @ret:  jmp_urb_submit() or jmp_urb_free()
 *
 * The payload: first the data of one that goes out, to @data inside @buffer; then what is said of packets, to
 * @packet_bytes. Return: 0, -ENOMEM.
 */
int jmp_urb_new(struct jmp_urbs *urbs, const struct jmp_usbip_urb *request, struct jmp_urb **ret);
struct jmp_urb *jmp_urb_free(struct jmp_urb *urb); /* accepts NULL */
/** jmp_urb_submit() - taken; its result, also that it could not be submitted, goes to the replies */
void jmp_urb_submit(struct jmp_urb *urb);
/** jmp_urb_unlink() - the client calls one back; its answer goes to the replies. Return: 0, -ENOMEM. */
int jmp_urb_unlink(struct jmp_urbs *urbs, const struct jmp_usbip_urb *request);
void jmp_urbs_pop(struct jmp_urbs *urbs); /* the first reply was sent, or never will be */

/** jmp_urbs_cancel() - call all back. False: the kernel did not give all of them back, and may still write to them. */
bool jmp_urbs_cancel(struct jmp_urbs *urbs);
