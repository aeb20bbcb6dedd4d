/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A USB/IP server for one device, on one byte stream: it lists the device, or gives it away and carries its transfers.
 * Everything of a stream happens on its own thread: one poll() over the stream, the call's end and libusb's
 * descriptors. Here are the stream and its requests; the transfers are in usbip_urbs.h.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "drivers/stream.h"
#include "drivers/usb/usbip_describe.h"
#include "drivers/usb/usbip_input.h"
#include "drivers/usb/usbip_urbs.h"

#define REQUEST_TIMEOUT (60 * JMP_USEC_PER_SEC) /* for the first bytes of a client; and for taking the last of ours */
#define FLUSH_TIMEOUT (5 * JMP_USEC_PER_SEC)
#define VECTORS_MAX 48u
#define READS_MAX 32u /* transfers read in a row before results are looked at */

struct import {
    struct jmp_urbs urbs;
    struct jmp_usbip_input input; /* with the client's socket, which takes the answers, too */
    size_t sent;                  /* of the first reply */
    /* What is being read */
    uint8_t header[JMP_USBIP_URB_SIZE];
    size_t header_have;
    struct jmp_urb *reading; /* header complete, payload not */
    size_t payload_have;
    bool ended; /* the client has said all */
};

/*
 * From the client to the device.
 */

/* A header is complete. */
static int begin(struct import *import)
{
    struct jmp_usbip_urb request;
    int r;

    import->header_have = 0;
    r = jmp_usbip_urb_read(import->header, &request);
    if (r < 0)
        return r;
    /* Clients have a few hundred at most; whoever has more, or does not fetch their results, is stopped here, before
     * memory is. */
    if (!jmp_urbs_have_room(&import->urbs, &request))
        return -ENOBUFS;
    if (request.command == JMP_USBIP_UNLINK)
        return jmp_urb_unlink(&import->urbs, &request);

    import->payload_have = 0;
    return jmp_urb_new(&import->urbs, &request, &import->reading);
}

/* Where the next bytes go. */
static void where(struct import *import, uint8_t **ret, size_t *retsize)
{
    struct jmp_urb *urb = import->reading;
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
        jmp_urb_submit(TAKE_PTR(import->reading));
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

static size_t reply_size(const struct jmp_urb *urb)
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

    for (struct jmp_urb *urb = import->urbs.replies; urb && count + 3 <= VECTORS_MAX; urb = urb->next_reply) {
        add_vector(vectors, &count, urb->header, JMP_USBIP_URB_SIZE, &skip);
        add_vector(vectors, &count, urb->data, urb->data_size, &skip);
        add_vector(vectors, &count, urb->packet_bytes, urb->packet_size, &skip);
    }
    message.msg_iovlen = count;
    n = sendmsg(import->input.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;

    import->sent += (size_t)n;
    while (import->urbs.replies && import->sent >= reply_size(import->urbs.replies)) {
        import->sent -= reply_size(import->urbs.replies);
        jmp_urbs_pop(&import->urbs);
    }
    return 1;
}

/*
 * The loop.
 */

static int carry(struct import *import)
{
    int r = 0;

    while (!import->ended && !import->urbs.claim.gone) {
        r = jmp_usb_wait(&import->urbs.claim.usb, import->urbs.call, import->input.fd,
                         (short)(POLLIN | (import->urbs.replies ? POLLOUT : 0)), JMP_USEC_INFINITY);
        if (r == -ENODEV) {
            import->urbs.claim.gone = true;
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
        if (r >= 0 && import->urbs.replies)
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

    while (import->urbs.replies && jmp_call_wait(import->urbs.call, import->input.fd, POLLOUT, deadline) >= 0 &&
           send_replies(import) >= 0)
        ;
}

static void import_end(struct import *import)
{
    jmp_urb_free(import->reading);
    while (import->urbs.replies)
        jmp_urbs_pop(&import->urbs);
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
    if (import->urbs.claim.gone)
        jmp_usb_device_lost(parent, import->urbs.call, &import->urbs.claim.info);
    else if (error < 0 && error != -ECANCELED && error != -ECONNRESET && error != -EPIPE)
        jmp_call_log(import->urbs.call, JMP_LOG_WARNING, "USB/IP ended: %s",
                     error == -ENOBUFS ? "too much is under way, or not fetched" : strerror(-error));
    else
        jmp_call_log(import->urbs.call, JMP_LOG_INFO, "%04x:%04x in port %s is back", import->urbs.claim.info.vendor,
                     import->urbs.claim.info.product, import->urbs.claim.info.path);
}

static int serve_import(struct usb_device *parent, struct jmp_call *call, int fd, const char *busid)
{
    struct import *import = calloc(1, sizeof(*import));
    uint8_t data[JMP_USBIP_REQUEST_SIZE + JMP_USBIP_DEVICE_SIZE];
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    if (!import)
        return -ENOMEM;
    *import = (struct import){ .urbs.call = call, .input.fd = fd };
    /* Before the kernel's driver loses it for nothing. */
    r = jmp_usb_device_find(parent, &import->urbs.claim.info, &error);
    if (r == 0 && strcmp(busid, import->urbs.claim.info.path) != 0)
        r = jmp_error_set(&error, -ENODEV, "there is no device %s here, only %s", busid, import->urbs.claim.info.path);
    if (r < 0 || jmp_usb_claim(parent, call, "USB/IP", &import->urbs.claim, &error) < 0) {
        free(import);
        return refuse(call, fd, &error);
    }

    jmp_urbs_begin(&import->urbs);
    jmp_usbip_reply_write(JMP_USBIP_IMPORT_REPLY, JMP_USBIP_OK, data);
    jmp_usbip_describe(&import->urbs.claim.info, data + JMP_USBIP_REQUEST_SIZE);
    r = jmp_stream_write(call, fd, data, sizeof(data), FLUSH_TIMEOUT);
    if (r == 0)
        r = carry(import);
    if (import->urbs.claim.gone)
        flush(import);

    if (!jmp_urbs_cancel(&import->urbs)) {
        /* They may still be written to: memory and handle stay, and the device stays taken. */
        jmp_call_log(call, JMP_LOG_ERROR, "the kernel does not give transfers of %s back; the device stays taken",
                     import->urbs.claim.info.path);
        return -EIO;
    }
    import_end(import);
    jmp_usb_give_back(&import->urbs.claim);
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
