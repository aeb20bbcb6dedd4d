/* SPDX-License-Identifier: Apache-2.0 */
/* The device by usbredir, for virtual machines: libusbredirhost does all, between a byte stream and libusb. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <usbredirhost.h>

#include "base/limits.h"
#include "drivers/usb/device.h"
#include "drivers/usb/redir_filter.h"

#define VERSION "jumpstarter usb-device"
#define WAITING_MAX 256 /* packets for a guest that does not read; then it is not listened to either */
#define FLUSH_TIMEOUT (5 * JMP_USEC_PER_SEC)

struct redir {
    struct jmp_call *call;
    int fd;
    bool ended;
    int error;
};

static void on_log(void *user, int level, const char *text)
{
    static const int levels[] = { [usbredirparser_error] = JMP_LOG_WARNING,
                                  [usbredirparser_warning] = JMP_LOG_WARNING,
                                  [usbredirparser_info] = JMP_LOG_INFO };
    struct redir *redir = user;

    if (level >= 1 && level < (int)ELEMENTSOF(levels))
        jmp_call_log(redir->call, levels[level], "%s", text);
}

static int on_read(void *user, uint8_t *data, int count)
{
    struct redir *redir = user;
    ssize_t n = recv(redir->fd, data, (size_t)count, MSG_DONTWAIT);

    if (n > 0)
        return (int)n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    redir->ended = true;
    redir->error = n < 0 ? -errno : 0;
    return -1;
}

static int on_write(void *user, uint8_t *data, int count)
{
    struct redir *redir = user;
    ssize_t n = send(redir->fd, data, (size_t)count, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n >= 0)
        return (int)n;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    redir->ended = true;
    redir->error = -errno;
    return -1;
}

/* The library asks for this when something new is to be written; the loop looks anyway. */
static void on_flush(void *user)
{
}

static int carry(struct redir *redir, struct jmp_usb_claim *claim, struct usbredirhost *host)
{
    int r;

    while (!redir->ended) {
        int waiting = usbredirhost_has_data_to_write(host);
        short events = (short)((waiting < WAITING_MAX ? POLLIN : 0) | (waiting > 0 ? POLLOUT : 0));

        r = jmp_usb_wait(&claim->usb, redir->call, redir->fd, events, JMP_USEC_INFINITY);
        if (r == -ENODEV)
            claim->gone = true;
        if (r < 0)
            return r;
        if (waiting < WAITING_MAX) {
            r = usbredirhost_read_guest_data(host);
            if (r == usbredirhost_read_device_lost) {
                claim->gone = true;
                return -ENODEV;
            }
            if (r == usbredirhost_read_device_rejected)
                return -ECONNREFUSED;
            if (r == usbredirhost_read_parse_error)
                return -EPROTO;
        }
        if (usbredirhost_has_data_to_write(host) > 0)
            usbredirhost_write_guest_data(host);
    }
    return redir->error;
}

/* The guest is told that the device went. */
static void flush(struct redir *redir, struct usbredirhost *host)
{
    uint64_t deadline = jmp_now() + FLUSH_TIMEOUT;

    while (!redir->ended && usbredirhost_has_data_to_write(host) > 0 &&
           jmp_call_wait(redir->call, redir->fd, POLLOUT, deadline) >= 0)
        usbredirhost_write_guest_data(host);
}

static int apply_filter(const char *text, const struct jmp_usb_claim *claim, struct jmp_error *reterr)
{
    struct usbredirfilter_rule *rules = NULL;
    int count, r;

    if (!text)
        return 0;
    r = jmp_redir_filter_parse(text, &rules, &count, reterr);
    if (r < 0)
        return r;
    r = usbredirhost_check_device_filter(rules, count, libusb_get_device(claim->usb.handle), 0);
    usbredirfilter_free(rules);
    return r < 0 ? jmp_error_set(reterr, r, "the filter does not allow %04x:%04x", claim->info.vendor,
                                 claim->info.product)
                 : 0;
}

/*
 * usbredirhost_close(), _set_device() and the guest's resets cancel all transfers and wait without a limit until they
 * have come back. That is no wait for the device: Linux takes a cancelled transfer from the host controller inside
 * USBDEVFS_DISCARDURB, that is in libusb_cancel_transfer(), and has it ready when that returns; of a device that has
 * gone libusb gives all back by itself. What can hang is that one call, where the controller's driver is broken, and
 * neither a signal nor a limit of ours would end it. Then the core leaves this thread behind, as it does with every
 * driver that does not return; the lease ends, and who wants the device hears that usbredir has it still.
 */
static int serve(struct redir *redir, struct jmp_usb_claim *claim, struct jmp_error *reterr)
{
    struct usbredirhost *host;
    int r;

    /* It takes the handle, and claims, releases, resets and gives back to the kernel's drivers by itself. */
    host = usbredirhost_open_full(claim->usb.context, TAKE_PTR(claim->usb.handle), on_log, on_read, on_write, on_flush,
                                  NULL, NULL, NULL, NULL, redir, VERSION, usbredirparser_warning, 0);
    if (!host)
        return jmp_error_set(reterr, -EIO, "usbredir cannot take the device in port %s", claim->info.path);
    r = carry(redir, claim, host);
    if (r == -ENODEV) {
        usbredirhost_set_device(host, NULL);
        flush(redir, host);
    }
    usbredirhost_close(host);
    return r;
}

static int redir_connect(void *self, struct jmp_call *call, int fd)
{
    struct usb_device *parent = jmp_call_parent(call);
    struct redir redir = { .call = call, .fd = fd };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_usb_claim claim;
    int r;

    r = jmp_usb_claim(parent, call, "usbredir", &claim, &error);
    if (r == 0) {
        r = apply_filter(jmp_usb_device_filter(parent), &claim, &error);
        if (r == 0)
            r = serve(&redir, &claim, &error);
        jmp_usb_give_back(&claim);
        if (claim.gone)
            jmp_usb_device_lost(parent, call, &claim.info);
        else
            jmp_call_log(call, JMP_LOG_INFO, "%04x:%04x in port %s is back", claim.info.vendor, claim.info.product,
                         claim.info.path);
    }
    /* A stream cannot be refused in words; the log can. */
    if (error.error < 0)
        jmp_call_log(call, JMP_LOG_WARNING, "not given away: %s%s%s", error.text, *error.hint ? "; " : "", error.hint);
    else if (r < 0 && r != -ECANCELED && r != -ENODEV && r != -ECONNRESET && r != -EPIPE)
        jmp_call_log(call, JMP_LOG_WARNING, "usbredir ended: %s", strerror(-r));
    return 0;
}

static const struct jmp_method redir_methods[] = {
    { .name = "connect", .serve = redir_connect, .help = "a connection to a usbredir host" }, {}
};

const struct jmp_driver_class jmp_usb_redir_class = {
    JMP_DRIVER_HEAD,
    .name = "usb-device-redir",
    .kind = "network",
    .client = "jumpstarter_driver_network.client.NetworkClient",
    .help = "the device by usbredir, for virtual machines",
    .methods = redir_methods,
};
