/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/usbip_urbs.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "drivers/usb/config.h"

#define CANCEL_TIMEOUT (5 * JMP_USEC_PER_SEC) /* for the kernel to give one more transfer back */
#define CONTROL_TIMEOUT 60000u                /* milliseconds; clients give up long before */
#define IN_FLIGHT_MAX 4096u                   /* transfers */
#define IN_FLIGHT_BYTES (64u * 1024 * 1024)   /* their memory; usbfs has a smaller limit of its own */

/* What it takes besides a few hundred bytes. */
static size_t memory_of(const struct jmp_usbip_urb *request)
{
    return request->length + (size_t)request->packets * (sizeof(struct jmp_usbip_packet) + JMP_USBIP_PACKET_SIZE +
                                                         sizeof(struct libusb_iso_packet_descriptor));
}

struct jmp_urb *jmp_urb_free(struct jmp_urb *urb)
{
    if (!urb)
        return NULL;
    urb->urbs->count--;
    urb->urbs->bytes -= memory_of(&urb->request);
    libusb_free_transfer(urb->transfer);
    free(urb->buffer);
    free(urb->packets);
    free(urb->packet_bytes);
    free(urb);
    return NULL;
}

static struct jmp_urb *urb_new(struct jmp_urbs *urbs, const struct jmp_usbip_urb *request)
{
    struct jmp_urb *urb = calloc(1, sizeof(*urb));

    if (!urb)
        return NULL;
    urb->urbs = urbs;
    urb->request = *request;
    urbs->count++;
    urbs->bytes += memory_of(request);
    return urb;
}

static void reply(struct jmp_urb *urb)
{
    urb->next_reply = NULL;
    *urb->urbs->last_reply = urb;
    urb->urbs->last_reply = &urb->next_reply;
}

static void reply_submit(struct jmp_urb *urb, int status, size_t actual)
{
    struct jmp_usbip_urb answer = {
        .command = JMP_USBIP_SUBMITTED,
        .sequence = urb->request.sequence,
        .status = status,
        .actual = (uint32_t)actual,
        .start_frame = urb->request.start_frame,
        .packets = urb->request.packets,
    };

    for (uint32_t i = 0; i < urb->request.packets && urb->packets; i++)
        answer.errors += urb->packets[i].status != 0;
    jmp_usbip_urb_write(&answer, urb->header);
    if (urb->packets) {
        jmp_usbip_packets_write(urb->packets, urb->request.packets, urb->packet_bytes);
        urb->packet_size = (size_t)urb->request.packets * JMP_USBIP_PACKET_SIZE;
    }
    urb->data_size = urb->request.in ? actual : 0;
    reply(urb);
}

/* 0: it was not to be called back any more, its result is on its way; -ECONNRESET: it was. */
static int reply_unlink(struct jmp_urbs *urbs, uint32_t sequence, int status)
{
    const struct jmp_usbip_urb answer = { .command = JMP_USBIP_UNLINKED, .sequence = sequence, .status = status };
    struct jmp_urb *urb = urb_new(urbs, &answer);

    if (!urb)
        return -ENOMEM;
    jmp_usbip_urb_write(&answer, urb->header);
    reply(urb);
    return 0;
}

static int errno_of(enum libusb_transfer_status status)
{
    switch (status) {
    case LIBUSB_TRANSFER_COMPLETED:
        return 0;
    case LIBUSB_TRANSFER_TIMED_OUT:
        return -ETIMEDOUT;
    case LIBUSB_TRANSFER_CANCELLED:
        return -ECONNRESET;
    case LIBUSB_TRANSFER_STALL:
        return -EPIPE;
    case LIBUSB_TRANSFER_NO_DEVICE:
        return -ESHUTDOWN;
    case LIBUSB_TRANSFER_OVERFLOW:
        return -EOVERFLOW;
    case LIBUSB_TRANSFER_ERROR:
    default:
        return -EPROTO;
    }
}

static int status_of(const struct jmp_urb *urb)
{
    bool is_short = urb->transfer->actual_length < (int)urb->request.length;

    if (urb->transfer->status == LIBUSB_TRANSFER_COMPLETED && is_short && urb->request.flags & JMP_USBIP_SHORT_NOT_OK)
        return -EREMOTEIO;
    return errno_of(urb->transfer->status);
}

/* Linux has a word of its own for a packet that went wrong. */
static int packet_status(enum libusb_transfer_status status)
{
    return status == LIBUSB_TRANSFER_ERROR ? -EXDEV : errno_of(status);
}

/* What came in packets is sent without the gaps between them. Return: its size. */
static size_t gather_packets(struct jmp_urb *urb)
{
    size_t from = 0, to = 0;

    for (uint32_t i = 0; i < urb->request.packets; i++) {
        const struct libusb_iso_packet_descriptor *packet = &urb->transfer->iso_packet_desc[i];

        urb->packets[i].actual = packet->actual_length;
        urb->packets[i].status = packet_status(packet->status);
        if (urb->request.in)
            memmove(urb->buffer + to, urb->buffer + from, packet->actual_length);
        from += packet->length;
        to += packet->actual_length;
    }
    return to;
}

static void on_transfer(struct libusb_transfer *transfer)
{
    struct jmp_urb *urb = transfer->user_data;
    struct jmp_urbs *urbs = urb->urbs;
    size_t actual = (size_t)transfer->actual_length;
    bool unlinking = urb->unlinking;
    uint32_t sequence = urb->unlink_sequence;

    urbs->returned++;
    *urb->prev = urb->next;
    if (urb->next)
        urb->next->prev = urb->prev;
    if (transfer->status == LIBUSB_TRANSFER_NO_DEVICE)
        urbs->claim.gone = true;
    if (urb->packets)
        actual = gather_packets(urb);

    /* Called back with nothing in its hands. What it has already brought must not be lost: then it is answered as a
     * transfer. */
    if (unlinking && transfer->status == LIBUSB_TRANSFER_CANCELLED && actual == 0) {
        jmp_urb_free(urb);
        reply_unlink(urbs, sequence, -ECONNRESET);
        return;
    }
    reply_submit(urb, status_of(urb), actual);
    if (unlinking)
        reply_unlink(urbs, sequence, 0);
}

/*
 * The device's state, as far as libusb wants to be told of its changes.
 */

static void learn_endpoints(struct jmp_urbs *urbs)
{
    _cleanup_(jmp_usb_config_clear) struct jmp_usb_config config = { 0 };
    struct jmp_usb_part part = { 0 };

    memset(urbs->types, 0, sizeof(urbs->types));
    if (jmp_usb_config_read(urbs->claim.usb.fd, (unsigned)urbs->claim.active, &config) < 0)
        return;
    while (jmp_usb_config_next(&config, &part))
        if (part.endpoint && part.alternate == urbs->alternates[part.interface])
            urbs->types[(part.endpoint & 15) | (part.endpoint & LIBUSB_ENDPOINT_IN ? 16 : 0)] = part.type + 1;
}

static int set_configuration(struct jmp_urbs *urbs, unsigned value, unsigned index)
{
    int r;

    r = jmp_usb_claim_configuration(&urbs->claim, urbs->call, (int)value);
    memset(urbs->alternates, 0, sizeof(urbs->alternates));
    learn_endpoints(urbs);
    return r;
}

static int set_interface(struct jmp_urbs *urbs, unsigned value, unsigned index)
{
    int r;

    r = libusb_set_interface_alt_setting(urbs->claim.usb.handle, (int)index, (int)value);
    if (r < 0)
        return jmp_usb_errno(r);
    urbs->alternates[(uint8_t)index] = (uint8_t)value;
    learn_endpoints(urbs);
    return 0;
}

static int clear_halt(struct jmp_urbs *urbs, unsigned value, unsigned index)
{
    return jmp_usb_errno(libusb_clear_halt(urbs->claim.usb.handle, (unsigned char)index));
}

static int reset_device(struct jmp_urbs *urbs, unsigned value, unsigned index)
{
    int r;

    r = libusb_reset_device(urbs->claim.usb.handle);
    if (r == LIBUSB_ERROR_NOT_FOUND || r == LIBUSB_ERROR_NO_DEVICE)
        urbs->claim.gone = true; /* it came back as something else */
    memset(urbs->alternates, 0, sizeof(urbs->alternates));
    learn_endpoints(urbs);
    return jmp_usb_errno(r);
}

/* The kernel has to know of these, or it and the device would no longer agree. The first word of setup: request type,
 * request. */
static const struct {
    uint8_t type, request;
    int value; /* -1: any */
    int (*apply)(struct jmp_urbs *urbs, unsigned value, unsigned index);
} specials[] = {
    { 0x00, LIBUSB_REQUEST_SET_CONFIGURATION, -1, set_configuration },
    { 0x01, LIBUSB_REQUEST_SET_INTERFACE, -1, set_interface },
    { 0x02, LIBUSB_REQUEST_CLEAR_FEATURE, 0, clear_halt },
    { 0x23, LIBUSB_REQUEST_SET_FEATURE, 4, reset_device }, /* a port reset, which importers ask the device for */
};

/* 1: it is none of these; otherwise the transfer's status */
static int apply_special(struct jmp_urbs *urbs, const uint8_t setup[8])
{
    unsigned value = setup[2] | (unsigned)setup[3] << 8, index = setup[4] | (unsigned)setup[5] << 8;

    for (size_t i = 0; i < ELEMENTSOF(specials); i++)
        if (setup[0] == specials[i].type && setup[1] == specials[i].request &&
            (specials[i].value < 0 || value == (unsigned)specials[i].value)) {
            int r = specials[i].apply(urbs, value, index);

            if (r == -ENODEV)
                urbs->claim.gone = true;
            return r == -ENOENT ? -EPIPE : r;
        }
    return 1;
}

/*
 * From the client to the device.
 */

/* Memory for a transfer, before its payload is read into it. 0, or the status with which it is answered. */
static int prepare(struct jmp_urb *urb)
{
    size_t head = urb->request.endpoint == 0 ? LIBUSB_CONTROL_SETUP_SIZE : 0;

    urb->buffer_size = head + urb->request.length;
    urb->buffer = malloc(urb->buffer_size + 1);
    urb->data = urb->buffer + head;
    if (urb->request.packets > 0) {
        urb->packets = calloc(urb->request.packets, sizeof(*urb->packets));
        urb->packet_bytes = calloc(urb->request.packets, JMP_USBIP_PACKET_SIZE);
        if (!urb->packets || !urb->packet_bytes)
            return -ENOMEM;
    }
    urb->transfer = libusb_alloc_transfer((int)urb->request.packets);
    if (!urb->buffer || !urb->transfer)
        return -ENOMEM;
    return 0;
}

bool jmp_urbs_have_room(const struct jmp_urbs *urbs, const struct jmp_usbip_urb *request)
{
    return urbs->count < IN_FLIGHT_MAX && urbs->bytes + memory_of(request) <= IN_FLIGHT_BYTES;
}

int jmp_urb_new(struct jmp_urbs *urbs, const struct jmp_usbip_urb *request, struct jmp_urb **ret)
{
    struct jmp_urb *urb = urb_new(urbs, request);
    int r;

    if (!urb)
        return -ENOMEM;
    r = prepare(urb);
    if (r < 0) {
        jmp_urb_free(urb);
        return r;
    }
    *ret = urb;
    return 0;
}

static int fill_control(struct jmp_urb *urb)
{
    unsigned length = urb->request.setup[6] | (unsigned)urb->request.setup[7] << 8;

    if (length > urb->request.length)
        return -EPROTO;
    memcpy(urb->buffer, urb->request.setup, LIBUSB_CONTROL_SETUP_SIZE);
    libusb_fill_control_transfer(urb->transfer, urb->urbs->claim.usb.handle, urb->buffer, on_transfer, urb,
                                 CONTROL_TIMEOUT);
    return 0;
}

static int fill_packets(struct jmp_urb *urb, uint8_t address)
{
    size_t to = 0;

    if (!urb->packets ||
        jmp_usbip_packets_read(urb->packet_bytes, urb->request.packets, urb->request.length, urb->packets) < 0)
        return -EPROTO;
    for (uint32_t i = 0; i < urb->request.packets; i++) {
        const struct jmp_usbip_packet *packet = &urb->packets[i];

        /* libusb knows no gaps. */
        if (!urb->request.in)
            memmove(urb->buffer + to, urb->buffer + packet->offset, packet->length);
        urb->transfer->iso_packet_desc[i].length = packet->length;
        to += packet->length;
    }
    libusb_fill_iso_transfer(urb->transfer, urb->urbs->claim.usb.handle, address, urb->buffer, (int)to,
                             (int)urb->request.packets, on_transfer, urb, 0);
    return 0;
}

/* Return: 0, or the status with which it is answered. Waiting as long as it takes is the client's choice: it calls
 * back what it does not want any more. */
static int fill(struct jmp_urb *urb)
{
    libusb_device_handle *handle = urb->urbs->claim.usb.handle;
    uint8_t address = urb->request.endpoint | (urb->request.in ? LIBUSB_ENDPOINT_IN : 0);
    unsigned type = urb->urbs->types[urb->request.endpoint + (urb->request.in ? 16 : 0)];

    if (urb->request.endpoint == 0)
        return fill_control(urb);
    switch ((int)type - 1) {
    case LIBUSB_TRANSFER_TYPE_ISOCHRONOUS:
        return fill_packets(urb, address);
    case LIBUSB_TRANSFER_TYPE_INTERRUPT:
        libusb_fill_interrupt_transfer(urb->transfer, handle, address, urb->buffer, (int)urb->request.length,
                                       on_transfer, urb, 0);
        return 0;
    case LIBUSB_TRANSFER_TYPE_BULK:
        libusb_fill_bulk_transfer(urb->transfer, handle, address, urb->buffer, (int)urb->request.length, on_transfer,
                                  urb, 0);
        if (!urb->request.in && (urb->request.flags & JMP_USBIP_ZERO_PACKET))
            urb->transfer->flags |= LIBUSB_TRANSFER_ADD_ZERO_PACKET;
        return 0;
    default:
        return -ENOENT;
    }
}

/* Once: a client that has met it meets it again. */
static void tell_short(struct jmp_urbs *urbs)
{
    if (!urbs->short_told)
        jmp_call_log(urbs->call, JMP_LOG_WARNING,
                     "the kernel has no memory for transfers of %s; /sys/module/usbcore/parameters/usbfs_memory_mb is "
                     "its limit for all that programs have under way",
                     urbs->claim.info.path);
    urbs->short_told = true;
}

void jmp_urb_submit(struct jmp_urb *urb)
{
    struct jmp_urbs *urbs = urb->urbs;
    int r;

    if (urb->request.endpoint == 0) {
        r = apply_special(urbs, urb->request.setup);
        if (r <= 0) {
            reply_submit(urb, r, 0);
            return;
        }
    }
    r = fill(urb);
    if (r == 0)
        r = jmp_usb_errno(libusb_submit_transfer(urb->transfer));
    if (r == -ENODEV)
        urbs->claim.gone = true;
    if (r == -ENOMEM)
        tell_short(urbs);
    if (r < 0) {
        reply_submit(urb, r == -ENODEV ? -ESHUTDOWN : r, 0);
        return;
    }
    urb->next = urbs->flying;
    urb->prev = &urbs->flying;
    if (urbs->flying)
        urbs->flying->prev = &urb->next;
    urbs->flying = urb;
}

int jmp_urb_unlink(struct jmp_urbs *urbs, const struct jmp_usbip_urb *request)
{
    for (struct jmp_urb *urb = urbs->flying; urb; urb = urb->next) {
        if (urb->request.sequence != request->victim || urb->unlinking)
            continue;
        urb->unlinking = true;
        urb->unlink_sequence = request->sequence;
        /* Not found: it is done, and its result waits to be fetched. */
        libusb_cancel_transfer(urb->transfer);
        return 0;
    }
    return reply_unlink(urbs, request->sequence, 0);
}

void jmp_urbs_begin(struct jmp_urbs *urbs)
{
    urbs->last_reply = &urbs->replies;
    learn_endpoints(urbs);
}

bool jmp_urbs_cancel(struct jmp_urbs *urbs)
{
    uint64_t deadline;

    for (struct jmp_urb *urb = urbs->flying; urb; urb = urb->next)
        libusb_cancel_transfer(urb->transfer);
    deadline = jmp_now() + CANCEL_TIMEOUT;
    while (urbs->flying && jmp_now() < deadline) {
        size_t before = urbs->returned;
        /* Whole seconds, because microseconds are elsewhere in a 32-bit libusb of Debian 12; an event ends it
         * earlier. */
        struct timeval step = { .tv_sec = 1 };

        if (libusb_handle_events_timeout_completed(urbs->claim.usb.context, &step, NULL) < 0)
            break;
        if (urbs->returned > before)
            deadline = jmp_now() + CANCEL_TIMEOUT;
    }
    return !urbs->flying;
}

void jmp_urbs_pop(struct jmp_urbs *urbs)
{
    struct jmp_urb *urb = urbs->replies;

    urbs->replies = urb->next_reply;
    if (!urbs->replies)
        urbs->last_reply = &urbs->replies;
    jmp_urb_free(urb);
}
