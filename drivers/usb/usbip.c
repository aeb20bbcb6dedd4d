/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A USB/IP server for one device, on one byte stream: it lists the device, or gives it away and carries its transfers.
 * Everything of a stream happens on its own thread: one poll() over the stream, the call's end and libusb's
 * descriptors.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "drivers/stream.h"
#include "drivers/usb/config.h"
#include "drivers/usb/device.h"
#include "drivers/usb/usbip_describe.h"
#include "drivers/usb/usbip_input.h"
#include "drivers/usb/usbip_proto.h"

#define REQUEST_TIMEOUT (60 * JMP_USEC_PER_SEC) /* for the first bytes of a client; and for taking the last of ours */
#define FLUSH_TIMEOUT (5 * JMP_USEC_PER_SEC)
#define CANCEL_TIMEOUT (5 * JMP_USEC_PER_SEC) /* for the kernel to give one more transfer back */
#define CONTROL_TIMEOUT 60000u                /* milliseconds; clients give up long before */
#define IN_FLIGHT_MAX 4096u                   /* transfers */
#define IN_FLIGHT_BYTES (64u * 1024 * 1024)   /* their memory; usbfs has a smaller limit of its own */
#define VECTORS_MAX 48u
#define READS_MAX 32u /* transfers read in a row before results are looked at */

/* A transfer of the client, from its header to its result. */
struct urb {
    struct urb *next, **prev; /* in flight */
    struct urb *next_reply;
    struct import *import;
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

struct import {
    struct jmp_call *call;
    struct jmp_usbip_input input; /* with the client's socket, which takes the answers, too */
    struct jmp_usb_claim claim;
    struct urb *urbs;    /* in flight */
    size_t returned;     /* that were, and came back */
    size_t count, bytes; /* of all urbs that there are, results not sent included */
    struct urb *replies, **last_reply;
    size_t sent;            /* of the first reply */
    uint8_t types[32];      /* of endpoints, enum libusb_transfer_type + 1; in: 16 and up; 0: there is none */
    uint8_t alternates[32]; /* setting of each interface */
    /* What is being read */
    uint8_t header[JMP_USBIP_URB_SIZE];
    size_t header_have;
    struct urb *reading; /* header complete, payload not */
    size_t payload_have;
    bool ended;      /* the client has said all */
    bool short_told; /* that the kernel has no memory */
};

/*
 * Transfers.
 */

/* What it takes besides a few hundred bytes. */
static size_t memory_of(const struct jmp_usbip_urb *request)
{
    return request->length + (size_t)request->packets * (sizeof(struct jmp_usbip_packet) + JMP_USBIP_PACKET_SIZE +
                                                         sizeof(struct libusb_iso_packet_descriptor));
}

static struct urb *urb_free(struct urb *urb)
{
    if (!urb)
        return NULL;
    urb->import->count--;
    urb->import->bytes -= memory_of(&urb->request);
    libusb_free_transfer(urb->transfer);
    free(urb->buffer);
    free(urb->packets);
    free(urb->packet_bytes);
    free(urb);
    return NULL;
}

static struct urb *urb_new(struct import *import, const struct jmp_usbip_urb *request)
{
    struct urb *urb = calloc(1, sizeof(*urb));

    if (!urb)
        return NULL;
    urb->import = import;
    urb->request = *request;
    import->count++;
    import->bytes += memory_of(request);
    return urb;
}

static void reply(struct urb *urb)
{
    urb->next_reply = NULL;
    *urb->import->last_reply = urb;
    urb->import->last_reply = &urb->next_reply;
}

static void reply_submit(struct urb *urb, int status, size_t actual)
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
static int reply_unlink(struct import *import, uint32_t sequence, int status)
{
    const struct jmp_usbip_urb answer = { .command = JMP_USBIP_UNLINKED, .sequence = sequence, .status = status };
    struct urb *urb = urb_new(import, &answer);

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

static int status_of(const struct urb *urb)
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
static size_t gather_packets(struct urb *urb)
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
    struct urb *urb = transfer->user_data;
    struct import *import = urb->import;
    size_t actual = (size_t)transfer->actual_length;
    bool unlinking = urb->unlinking;
    uint32_t sequence = urb->unlink_sequence;

    import->returned++;
    *urb->prev = urb->next;
    if (urb->next)
        urb->next->prev = urb->prev;
    if (transfer->status == LIBUSB_TRANSFER_NO_DEVICE)
        import->claim.gone = true;
    if (urb->packets)
        actual = gather_packets(urb);

    /* Called back with nothing in its hands. What it has already brought must not be lost: then it is answered as a
     * transfer. */
    if (unlinking && transfer->status == LIBUSB_TRANSFER_CANCELLED && actual == 0) {
        urb_free(urb);
        reply_unlink(import, sequence, -ECONNRESET);
        return;
    }
    reply_submit(urb, status_of(urb), actual);
    if (unlinking)
        reply_unlink(import, sequence, 0);
}

/*
 * The device's state, as far as libusb wants to be told of its changes.
 */

static void learn_endpoints(struct import *import)
{
    _cleanup_(jmp_usb_config_clear) struct jmp_usb_config config = { 0 };
    struct jmp_usb_part part = { 0 };

    memset(import->types, 0, sizeof(import->types));
    if (jmp_usb_config_read(import->claim.usb.fd, (unsigned)import->claim.active, &config) < 0)
        return;
    while (jmp_usb_config_next(&config, &part))
        if (part.endpoint && part.alternate == import->alternates[part.interface % 32])
            import->types[(part.endpoint & 15) | (part.endpoint & LIBUSB_ENDPOINT_IN ? 16 : 0)] = part.type + 1;
}

static int set_configuration(struct import *import, unsigned value, unsigned index)
{
    int r;

    r = jmp_usb_claim_configuration(&import->claim, (int)value);
    memset(import->alternates, 0, sizeof(import->alternates));
    learn_endpoints(import);
    return r;
}

static int set_interface(struct import *import, unsigned value, unsigned index)
{
    int r;

    r = libusb_set_interface_alt_setting(import->claim.usb.handle, (int)index, (int)value);
    if (r < 0)
        return jmp_usb_errno(r);
    import->alternates[index % 32] = (uint8_t)value;
    learn_endpoints(import);
    return 0;
}

static int clear_halt(struct import *import, unsigned value, unsigned index)
{
    return jmp_usb_errno(libusb_clear_halt(import->claim.usb.handle, (unsigned char)index));
}

static int reset_device(struct import *import, unsigned value, unsigned index)
{
    int r;

    r = libusb_reset_device(import->claim.usb.handle);
    if (r == LIBUSB_ERROR_NOT_FOUND || r == LIBUSB_ERROR_NO_DEVICE)
        import->claim.gone = true; /* it came back as something else */
    memset(import->alternates, 0, sizeof(import->alternates));
    learn_endpoints(import);
    return jmp_usb_errno(r);
}

/* The kernel has to know of these, or it and the device would no longer agree. The first word of setup: request type,
 * request. */
static const struct {
    uint8_t type, request;
    int value; /* -1: any */
    int (*apply)(struct import *import, unsigned value, unsigned index);
} specials[] = {
    { 0x00, LIBUSB_REQUEST_SET_CONFIGURATION, -1, set_configuration },
    { 0x01, LIBUSB_REQUEST_SET_INTERFACE, -1, set_interface },
    { 0x02, LIBUSB_REQUEST_CLEAR_FEATURE, 0, clear_halt },
    { 0x23, LIBUSB_REQUEST_SET_FEATURE, 4, reset_device }, /* a port reset, which importers ask the device for */
};

/* 1: it is none of these; otherwise the transfer's status */
static int apply_special(struct import *import, const uint8_t setup[8])
{
    unsigned value = setup[2] | (unsigned)setup[3] << 8, index = setup[4] | (unsigned)setup[5] << 8;

    for (size_t i = 0; i < ELEMENTSOF(specials); i++)
        if (setup[0] == specials[i].type && setup[1] == specials[i].request &&
            (specials[i].value < 0 || value == (unsigned)specials[i].value)) {
            int r = specials[i].apply(import, value, index);

            if (r == -ENODEV)
                import->claim.gone = true;
            return r == -ENOENT ? -EPIPE : r;
        }
    return 1;
}

/* From the client to the device. */

/* Memory for a transfer, before its payload is read into it. 0, or the status with which it is answered. */
static int prepare(struct urb *urb)
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

static int fill_control(struct urb *urb)
{
    unsigned length = urb->request.setup[6] | (unsigned)urb->request.setup[7] << 8;

    if (length > urb->request.length)
        return -EPROTO;
    memcpy(urb->buffer, urb->request.setup, LIBUSB_CONTROL_SETUP_SIZE);
    libusb_fill_control_transfer(urb->transfer, urb->import->claim.usb.handle, urb->buffer, on_transfer, urb,
                                 CONTROL_TIMEOUT);
    return 0;
}

static int fill_packets(struct urb *urb, uint8_t address)
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
    libusb_fill_iso_transfer(urb->transfer, urb->import->claim.usb.handle, address, urb->buffer, (int)to,
                             (int)urb->request.packets, on_transfer, urb, 0);
    return 0;
}

/* Return: 0, or the status with which it is answered. Waiting as long as it takes is the client's choice: it calls
 * back what it does not want any more. */
static int fill(struct urb *urb)
{
    libusb_device_handle *handle = urb->import->claim.usb.handle;
    uint8_t address = urb->request.endpoint | (urb->request.in ? LIBUSB_ENDPOINT_IN : 0);
    unsigned type = urb->import->types[urb->request.endpoint + (urb->request.in ? 16 : 0)];

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

/* Once for each import: a client that has met it meets it again. */
static void tell_short(struct import *import)
{
    if (!import->short_told)
        jmp_call_log(import->call, JMP_LOG_WARNING,
                     "the kernel has no memory for transfers of %s; /sys/module/usbcore/parameters/usbfs_memory_mb is "
                     "its limit for all that programs have under way",
                     import->claim.info.path);
    import->short_told = true;
}

static void submit(struct urb *urb)
{
    struct import *import = urb->import;
    int r;

    if (urb->request.endpoint == 0) {
        r = apply_special(import, urb->request.setup);
        if (r <= 0) {
            reply_submit(urb, r, 0);
            return;
        }
    }
    r = fill(urb);
    if (r == 0)
        r = jmp_usb_errno(libusb_submit_transfer(urb->transfer));
    if (r == -ENODEV)
        import->claim.gone = true;
    if (r == -ENOMEM)
        tell_short(import);
    if (r < 0) {
        reply_submit(urb, r == -ENODEV ? -ESHUTDOWN : r, 0);
        return;
    }
    urb->next = import->urbs;
    urb->prev = &import->urbs;
    if (import->urbs)
        import->urbs->prev = &urb->next;
    import->urbs = urb;
}

static int unlink_urb(struct import *import, const struct jmp_usbip_urb *request)
{
    for (struct urb *urb = import->urbs; urb; urb = urb->next) {
        if (urb->request.sequence != request->victim || urb->unlinking)
            continue;
        urb->unlinking = true;
        urb->unlink_sequence = request->sequence;
        /* Not found: it is done, and its result waits to be fetched. */
        libusb_cancel_transfer(urb->transfer);
        return 0;
    }
    return reply_unlink(import, request->sequence, 0);
}

/* A header is complete. */
static int begin(struct import *import)
{
    struct jmp_usbip_urb request;
    struct urb *urb;
    int r;

    import->header_have = 0;
    r = jmp_usbip_urb_read(import->header, &request);
    if (r < 0)
        return r;
    /* Clients have a few hundred at most; whoever has more, or does not fetch their results, is stopped here, before
     * memory is. */
    if (import->count >= IN_FLIGHT_MAX || import->bytes + memory_of(&request) > IN_FLIGHT_BYTES)
        return -ENOBUFS;
    if (request.command == JMP_USBIP_UNLINK)
        return unlink_urb(import, &request);

    urb = urb_new(import, &request);
    if (!urb)
        return -ENOMEM;
    r = prepare(urb);
    if (r < 0) {
        urb_free(urb);
        return r;
    }
    import->reading = urb;
    import->payload_have = 0;
    return 0;
}

/* Where the next bytes go. */
static void where(struct import *import, uint8_t **ret, size_t *retsize)
{
    struct urb *urb = import->reading;
    size_t data;

    if (!urb) {
        *ret = import->header + import->header_have;
        *retsize = JMP_USBIP_URB_SIZE - import->header_have;
        return;
    }
    data = urb->request.in ? 0 : urb->request.length;
    if (import->payload_have < data) {
        *ret = urb->buffer + (urb->data - urb->buffer) + import->payload_have;
        *retsize = data - import->payload_have;
    } else {
        *ret = urb->packet_bytes + (import->payload_have - data);
        *retsize = jmp_usbip_urb_payload(&urb->request) - import->payload_have;
    }
}

/* 1: read on, 0: that was all for now */
static int receive(struct import *import)
{
    size_t size;
    uint8_t *to;
    ssize_t n;
    int r;

    where(import, &to, &size);
    if (size > 0) {
        n = jmp_usbip_input_take(&import->input, to, size);
        if (n < 0)
            return n == -EAGAIN ? 0 : (int)n;
        if (n == 0) {
            import->ended = true;
            return import->header_have > 0 || import->reading ? -EPROTO : 0;
        }
        if (!import->reading) {
            import->header_have += (size_t)n;
            if (import->header_have < JMP_USBIP_URB_SIZE)
                return 1;
            r = begin(import);
            if (r < 0)
                return r;
        } else {
            import->payload_have += (size_t)n;
        }
    }
    if (import->reading && import->payload_have == jmp_usbip_urb_payload(&import->reading->request))
        submit(TAKE_PTR(import->reading));
    return 1;
}

/*
 * From the device to the client.
 */

static void add_vector(struct iovec *vectors, size_t *count, const uint8_t *data, size_t size, size_t *skip)
{
    size_t skipped = *skip < size ? *skip : size;

    *skip -= skipped;
    if (size > skipped)
        vectors[(*count)++] = (struct iovec){ .iov_base = (uint8_t *)data + skipped, .iov_len = size - skipped };
}

static size_t reply_size(const struct urb *urb)
{
    return JMP_USBIP_URB_SIZE + urb->data_size + urb->packet_size;
}

/* 1: sent something, 0: the client has to read first */
static int send_replies(struct import *import)
{
    struct iovec vectors[VECTORS_MAX];
    struct msghdr message = { .msg_iov = vectors };
    size_t count = 0, skip = import->sent;
    ssize_t n;

    for (struct urb *urb = import->replies; urb && count + 3 <= VECTORS_MAX; urb = urb->next_reply) {
        add_vector(vectors, &count, urb->header, JMP_USBIP_URB_SIZE, &skip);
        add_vector(vectors, &count, urb->data, urb->data_size, &skip);
        add_vector(vectors, &count, urb->packet_bytes, urb->packet_size, &skip);
    }
    message.msg_iovlen = count;
    n = sendmsg(import->input.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;

    import->sent += (size_t)n;
    while (import->replies && import->sent >= reply_size(import->replies)) {
        struct urb *urb = import->replies;

        import->sent -= reply_size(urb);
        import->replies = urb->next_reply;
        if (!import->replies)
            import->last_reply = &import->replies;
        urb_free(urb);
    }
    return 1;
}

/*
 * The loop.
 */

static int carry(struct import *import)
{
    int r = 0;

    while (!import->ended && !import->claim.gone) {
        r = jmp_usb_wait(&import->claim.usb, import->call, import->input.fd,
                         (short)(POLLIN | (import->replies ? POLLOUT : 0)), JMP_USEC_INFINITY);
        if (r == -ENODEV) {
            import->claim.gone = true;
            return 0;
        }
        if (r > 0)
            jmp_usbip_input_news(&import->input);
        for (unsigned i = 0; r >= 0 && (i < READS_MAX || jmp_usbip_input_waiting(&import->input)) && !import->ended;
             i++) {
            r = receive(import);
            if (r == 0)
                break;
        }
        if (r >= 0 && import->replies)
            r = send_replies(import);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : 0;
}

/* What came before the device went is the client's. */
static void flush(struct import *import)
{
    uint64_t deadline = jmp_now() + FLUSH_TIMEOUT;

    while (import->replies && jmp_call_wait(import->call, import->input.fd, POLLOUT, deadline) >= 0 &&
           send_replies(import) >= 0)
        ;
}

/* False: the kernel did not give all of them back. */
static bool cancel_all(struct import *import)
{
    uint64_t deadline;

    for (struct urb *urb = import->urbs; urb; urb = urb->next)
        libusb_cancel_transfer(urb->transfer);
    deadline = jmp_now() + CANCEL_TIMEOUT;
    while (import->urbs && jmp_now() < deadline) {
        size_t before = import->returned;
        /* Whole seconds, because microseconds are elsewhere in a 32-bit libusb of Debian 12; an event ends it
         * earlier. */
        struct timeval step = { .tv_sec = 1 };

        if (libusb_handle_events_timeout_completed(import->claim.usb.context, &step, NULL) < 0)
            break;
        if (import->returned > before)
            deadline = jmp_now() + CANCEL_TIMEOUT;
    }
    return !import->urbs;
}

static void import_end(struct import *import)
{
    urb_free(import->reading);
    while (import->replies) {
        struct urb *urb = import->replies;

        import->replies = urb->next_reply;
        urb_free(urb);
    }
}

/*
 * Requests.
 */

static int answer_list(struct usb_device *parent, struct jmp_call *call, int fd)
{
    uint8_t data[JMP_USBIP_REQUEST_SIZE + 4 + JMP_USBIP_DEVICE_SIZE + UINT8_MAX * JMP_USBIP_INTERFACE_SIZE] = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_usb_device device;
    size_t size = JMP_USBIP_REQUEST_SIZE + 4;

    jmp_usbip_reply_write(JMP_USBIP_DEVLIST_REPLY, JMP_USBIP_OK, data);
    if (jmp_usb_device_find(parent, &device, &error) == 0) {
        data[size - 1] = 1;
        jmp_usbip_describe(&device, data + size);
        size += JMP_USBIP_DEVICE_SIZE;
        jmp_usbip_describe_interfaces(&device, data + size);
        size += device.interfaces * JMP_USBIP_INTERFACE_SIZE;
    } else {
        jmp_call_log(call, JMP_LOG_WARNING, "nothing to list: %s", error.text);
    }
    return jmp_stream_write(call, fd, data, size, FLUSH_TIMEOUT);
}

static enum jmp_usbip_result result_of(int error)
{
    return error == -EBUSY ? JMP_USBIP_BUSY : error == -ENODEV ? JMP_USBIP_NO_DEVICE : JMP_USBIP_NOT_AVAILABLE;
}

static int refuse(struct jmp_call *call, int fd, const struct jmp_error *error)
{
    uint8_t data[JMP_USBIP_REQUEST_SIZE];

    jmp_call_log(call, JMP_LOG_WARNING, "not given away: %s%s%s", error->text, *error->hint ? "; " : "", error->hint);
    jmp_usbip_reply_write(JMP_USBIP_IMPORT_REPLY, result_of(error->error), data);
    return jmp_stream_write(call, fd, data, sizeof(data), FLUSH_TIMEOUT);
}

static void tell_end(struct import *import, struct usb_device *parent, int error)
{
    if (import->claim.gone)
        jmp_usb_device_lost(parent, import->call, &import->claim.info);
    else if (error < 0 && error != -ECANCELED && error != -ECONNRESET && error != -EPIPE)
        jmp_call_log(import->call, JMP_LOG_WARNING, "USB/IP ended: %s",
                     error == -ENOBUFS ? "too much is under way, or not fetched" : strerror(-error));
    else
        jmp_call_log(import->call, JMP_LOG_INFO, "%04x:%04x in port %s is back", import->claim.info.vendor,
                     import->claim.info.product, import->claim.info.path);
}

static int serve_import(struct usb_device *parent, struct jmp_call *call, int fd, const char *busid)
{
    struct import *import = calloc(1, sizeof(*import));
    uint8_t data[JMP_USBIP_REQUEST_SIZE + JMP_USBIP_DEVICE_SIZE];
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    if (!import)
        return -ENOMEM;
    *import = (struct import){ .call = call, .input.fd = fd, .last_reply = &import->replies };
    /* Before the kernel's driver loses it for nothing. */
    r = jmp_usb_device_find(parent, &import->claim.info, &error);
    if (r == 0 && strcmp(busid, import->claim.info.path) != 0)
        r = jmp_error_set(&error, -ENODEV, "there is no device %s here, only %s", busid, import->claim.info.path);
    if (r < 0 || jmp_usb_claim(parent, call, "USB/IP", &import->claim, &error) < 0) {
        free(import);
        return refuse(call, fd, &error);
    }

    learn_endpoints(import);
    jmp_usbip_reply_write(JMP_USBIP_IMPORT_REPLY, JMP_USBIP_OK, data);
    jmp_usbip_describe(&import->claim.info, data + JMP_USBIP_REQUEST_SIZE);
    r = jmp_stream_write(call, fd, data, sizeof(data), FLUSH_TIMEOUT);
    if (r == 0)
        r = carry(import);
    if (import->claim.gone)
        flush(import);

    if (!cancel_all(import)) {
        /* They may still be written to: memory and handle stay, and the device stays taken. */
        jmp_call_log(call, JMP_LOG_ERROR, "the kernel does not give transfers of %s back; the device stays taken",
                     import->claim.info.path);
        return -EIO;
    }
    import_end(import);
    jmp_usb_give_back(&import->claim);
    tell_end(import, parent, r);
    free(import);
    return 0;
}

static int ip_connect(void *self, struct jmp_call *call, int fd)
{
    struct usb_device *parent = jmp_call_parent(call);
    uint8_t data[JMP_USBIP_REQUEST_SIZE + JMP_USBIP_BUSID_SIZE];
    struct jmp_usbip_request request;
    size_t have = 0;
    ssize_t used;
    int n;

    do {
        /* Never more than the request: what follows belongs to the import. */
        n = jmp_stream_read(call, fd, data + have,
                            (have < JMP_USBIP_REQUEST_SIZE ? JMP_USBIP_REQUEST_SIZE : sizeof(data)) - have,
                            REQUEST_TIMEOUT);
        if (n <= 0)
            return n == -ECONNRESET ? 0 : n;
        have += (size_t)n;
        used = jmp_usbip_request_read(data, have, &request);
    } while (used == 0);

    if (used < 0) {
        jmp_call_log(call, JMP_LOG_WARNING, "a client of USB/IP sent something else");
        return 0;
    }
    if (request.code == JMP_USBIP_DEVLIST)
        return answer_list(parent, call, fd);
    return serve_import(parent, call, fd, request.busid);
}

static const struct jmp_method ip_methods[] = {
    { .name = "connect", .serve = ip_connect, .help = "a connection to a USB/IP server" }, {}
};

const struct jmp_driver_class jmp_usb_ip_class = {
    JMP_DRIVER_HEAD,
    .name = "usb-device-ip",
    .kind = "network",
    .client = "jumpstarter_driver_network.client.NetworkClient",
    .help = "the device by USB/IP: usbip, jmpctl usb",
    .methods = ip_methods,
};
