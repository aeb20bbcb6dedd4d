/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lab/redirected.h"

#include <err.h>
#include <errno.h>
#include <linux/usb/ch9.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <usbredirparser.h>

#define INTERFACES_MAX 32u                                      /* as many as usbredir has */
#define INDEX(address) (((address)&0x80) >> 3 | ((address)&15)) /* as usbredir counts endpoints */
#define UNREAD_MAX (32 * 1024) /* of ours by QEMU. The kernel counts 768 bytes for a small packet, and doubles this */

static const struct redirected *self;
static struct usbredirparser *parser;
static uint8_t configuration, settings[INTERFACES_MAX];

static void on_log(void *user, int level, const char *text)
{
    if (level <= usbredirparser_warning)
        warnx("%s", text);
}

static int on_read(void *user, uint8_t *data, int count)
{
    ssize_t n = recv(STDIN_FILENO, data, (size_t)count, MSG_DONTWAIT);

    if (n > 0)
        return (int)n;
    if (n < 0 && errno == EAGAIN)
        return 0;
    _exit(n < 0); /* the PC is switched off */
}

static int on_write(void *user, uint8_t *data, int count)
{
    ssize_t n = send(STDIN_FILENO, data, (size_t)count, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN)
        _exit(errno != EPIPE);
    return n < 0 ? 0 : (int)n;
}

static size_t config_size(void)
{
    return self->config[2] | (size_t)self->config[3] << 8;
}

/* The next descriptor of that type, or NULL. */
static const uint8_t *next_descriptor(const uint8_t *at, uint8_t type)
{
    const uint8_t *end = self->config + config_size();

    for (at += at[0]; at < end; at += at[0])
        if (at[1] == type)
            return at;
    return NULL;
}

/* The next interface, as its setting is now, or NULL. */
static const uint8_t *next_interface(const uint8_t *at)
{
    do
        at = next_descriptor(at, USB_DT_INTERFACE);
    while (at && at[3] != settings[at[2] % INTERFACES_MAX]);
    return at;
}

static void tell_interfaces(void)
{
    struct usb_redir_interface_info_header info = { 0 };

    for (const uint8_t *at = self->config; (at = next_interface(at));) {
        uint32_t i = info.interface_count++;

        info.interface[i] = at[2];
        info.interface_class[i] = at[5];
        info.interface_subclass[i] = at[6];
        info.interface_protocol[i] = at[7];
    }
    usbredirparser_send_interface_info(parser, &info);
}

static void tell_endpoints(void)
{
    struct usb_redir_ep_info_header info;

    memset(&info, 0, sizeof(info));
    memset(info.type, usb_redir_type_invalid, sizeof(info.type));
    info.type[INDEX(0x00)] = info.type[INDEX(0x80)] = usb_redir_type_control;
    info.max_packet_size[INDEX(0x00)] = info.max_packet_size[INDEX(0x80)] = self->device[7];
    for (const uint8_t *interface = self->config; (interface = next_interface(interface));) {
        const uint8_t *at = interface;

        for (unsigned i = 0; i < interface[4] && (at = next_descriptor(at, USB_DT_ENDPOINT)); i++) {
            unsigned index = INDEX(at[2]), size = at[4] | (unsigned)at[5] << 8;

            info.type[index] = at[3] & USB_ENDPOINT_XFERTYPE_MASK;
            info.interval[index] = (uint8_t)(1u << (at[6] - 1)); /* microframes */
            info.interface[index] = interface[2];
            info.max_packet_size[index] = (uint16_t)((size & 0x7ff) * (1 + (size >> 11 & 3)));
        }
    }
    usbredirparser_send_ep_info(parser, &info);
}

static void on_hello(void *user, struct usb_redir_hello_header *hello)
{
    const uint8_t *device = self->device;
    struct usb_redir_device_connect_header header = {
        .speed = usb_redir_speed_high,
        .device_class = device[4],
        .device_subclass = device[5],
        .device_protocol = device[6],
        .vendor_id = (uint16_t)(device[8] | device[9] << 8),
        .product_id = (uint16_t)(device[10] | device[11] << 8),
        .device_version_bcd = (uint16_t)(device[12] | device[13] << 8),
    };

    tell_interfaces();
    tell_endpoints();
    usbredirparser_send_device_connect(parser, &header);
}

/* Streams were stopped before. */
static void on_reset(void *user)
{
    configuration = 0;
    memset(settings, 0, sizeof(settings));
}

static void tell_configuration(uint64_t id)
{
    struct usb_redir_configuration_status_header status = { usb_redir_success, configuration };

    usbredirparser_send_configuration_status(parser, id, &status);
}

static void on_set_configuration(void *user, uint64_t id, struct usb_redir_set_configuration_header *request)
{
    on_reset(user);
    configuration = request->configuration;
    tell_endpoints();
    tell_configuration(id);
}

static void on_get_configuration(void *user, uint64_t id)
{
    tell_configuration(id);
}

static void tell_setting(uint64_t id, uint8_t interface, uint8_t result)
{
    struct usb_redir_alt_setting_status_header status = { result, interface, settings[interface % INTERFACES_MAX] };

    usbredirparser_send_alt_setting_status(parser, id, &status);
}

static void on_set_setting(void *user, uint64_t id, struct usb_redir_set_alt_setting_header *request)
{
    const uint8_t *at = self->config;

    while ((at = next_descriptor(at, USB_DT_INTERFACE)) && (at[2] != request->interface || at[3] != request->alt))
        ;
    if (at) {
        settings[request->interface % INTERFACES_MAX] = request->alt;
        tell_endpoints();
    }
    tell_setting(id, request->interface, at ? usb_redir_success : usb_redir_stall);
}

static void on_get_setting(void *user, uint64_t id, struct usb_redir_get_alt_setting_header *request)
{
    tell_setting(id, request->interface, usb_redir_success);
}

static void switch_stream(uint64_t id, uint8_t endpoint, bool on)
{
    struct usb_redir_iso_stream_status_header status = { usb_redir_success, endpoint };

    usbredirparser_send_iso_stream_status(parser, id, &status);
    self->stream(endpoint, on);
}

static void on_start_stream(void *user, uint64_t id, struct usb_redir_start_iso_stream_header *request)
{
    switch_stream(id, request->endpoint, true);
}

static void on_stop_stream(void *user, uint64_t id, struct usb_redir_stop_iso_stream_header *request)
{
    switch_stream(id, request->endpoint, false);
}

static void on_packet(void *user, uint64_t id, struct usb_redir_iso_packet_header *header, uint8_t *data, int size)
{
    if (self->packet && size > 0)
        self->packet(data, (size_t)size);
    usbredirparser_free_packet_data(parser, data);
}

bool redirected_all_sent(void)
{
    return usbredirparser_has_data_to_write(parser) == 0;
}

void redirected_send(uint8_t endpoint, const void *data, size_t size)
{
    struct usb_redir_iso_packet_header header = { endpoint, usb_redir_success, (uint16_t)size };

    usbredirparser_send_iso_packet(parser, 0, &header, (uint8_t *)data, (int)size);
    usbredirparser_do_write(parser);
}

/* Return: its size, or REDIRECTED_REFUSE */
static int find_string(unsigned index, uint8_t data[REDIRECTED_CONTROL_MAX])
{
    int size = 2;

    if (index == 0) {
        memcpy(data, (const uint8_t[]){ 4, USB_DT_STRING, 0x09, 0x04 }, 4);
        return 4;
    }
    if (index > sizeof(self->strings) / sizeof(self->strings[0]))
        return REDIRECTED_REFUSE;
    for (const char *at = self->strings[index - 1]; *at; at++) {
        data[size++] = (uint8_t)*at;
        data[size++] = 0;
    }
    data[0] = (uint8_t)size;
    data[1] = USB_DT_STRING;
    return size;
}

static int find_descriptor(unsigned type, unsigned index, uint8_t data[REDIRECTED_CONTROL_MAX])
{
    switch (type) {
    case USB_DT_DEVICE:
        memcpy(data, self->device, USB_DT_DEVICE_SIZE);
        return USB_DT_DEVICE_SIZE;
    case USB_DT_CONFIG:
        memcpy(data, self->config, config_size());
        return (int)config_size();
    case USB_DT_STRING:
        return find_string(index, data);
    default:
        return REDIRECTED_REFUSE;
    }
}

static int answer(const uint8_t setup[8], uint8_t data[REDIRECTED_CONTROL_MAX])
{
    if (setup[0] == USB_TYPE_VENDOR && setup[1] == REDIRECTED_UNPLUG)
        _exit(0);
    if ((setup[0] & USB_TYPE_MASK) != USB_TYPE_STANDARD)
        return self->control ? self->control(setup, data) : REDIRECTED_REFUSE;
    if (setup[0] == USB_DIR_IN && setup[1] == USB_REQ_GET_DESCRIPTOR)
        return find_descriptor(setup[3], setup[2], data);
    if ((setup[0] & USB_DIR_IN) && setup[1] == USB_REQ_GET_STATUS)
        return 2;
    return REDIRECTED_REFUSE;
}

static void on_control(void *user, uint64_t id, struct usb_redir_control_packet_header *request, uint8_t *data,
                       int count)
{
    struct usb_redir_control_packet_header header = *request;
    const uint8_t setup[8] = { request->requesttype,   request->request,
                               request->value & 0xff,  (uint8_t)(request->value >> 8),
                               request->index & 0xff,  (uint8_t)(request->index >> 8),
                               request->length & 0xff, (uint8_t)(request->length >> 8) };
    bool in = request->requesttype & USB_DIR_IN;
    uint8_t reply[REDIRECTED_CONTROL_MAX] = { 0 };
    int size = answer(setup, reply);

    usbredirparser_free_packet_data(parser, data);
    header.status = size < 0 ? usb_redir_stall : usb_redir_success;
    if (size < 0 || (in && size < request->length))
        header.length = (uint16_t)(size < 0 ? 0 : size);
    usbredirparser_send_control_packet(parser, id, &header, in ? reply : NULL, in ? header.length : 0);
}

static void on_cancel(void *user, uint64_t id)
{
    /* Whatever it was, it is answered already. */
}

void redirected_run(const struct redirected *device)
{
    static const int capabilities[] = { usb_redir_cap_connect_device_version, usb_redir_cap_ep_info_max_packet_size,
                                        usb_redir_cap_64bits_ids, usb_redir_cap_32bits_bulk_length };
    uint32_t caps[USB_REDIR_CAPS_SIZE] = { 0 };

    self = device;
    if (config_size() > REDIRECTED_CONTROL_MAX)
        errx(1, "the configuration does not fit");
    if (setsockopt(STDIN_FILENO, SOL_SOCKET, SO_SNDBUF, &(int){ UNREAD_MAX }, sizeof(int)) < 0)
        err(1, "standard input is no socket");
    parser = usbredirparser_create();
    if (!parser)
        errx(1, "out of memory");
    parser->log_func = on_log;
    parser->read_func = on_read;
    parser->write_func = on_write;
    parser->hello_func = on_hello;
    parser->reset_func = on_reset;
    parser->set_configuration_func = on_set_configuration;
    parser->get_configuration_func = on_get_configuration;
    parser->set_alt_setting_func = on_set_setting;
    parser->get_alt_setting_func = on_get_setting;
    parser->start_iso_stream_func = on_start_stream;
    parser->stop_iso_stream_func = on_stop_stream;
    parser->cancel_data_packet_func = on_cancel;
    parser->control_packet_func = on_control;
    parser->iso_packet_func = on_packet;
    for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
        usbredirparser_caps_set_cap(caps, capabilities[i]);
    usbredirparser_init(parser, "a device of the laboratory's", caps, USB_REDIR_CAPS_SIZE, usbredirparser_fl_usb_host);

    for (;;) {
        struct pollfd pollfd = { .fd = STDIN_FILENO, .events = redirected_all_sent() ? POLLIN : POLLIN | POLLOUT };

        if (poll(&pollfd, 1, -1) < 0)
            err(1, "poll");
        if (self->reading)
            self->reading();
        if ((pollfd.revents & ~POLLOUT) && usbredirparser_do_read(parser) < 0)
            errx(1, "that is not usbredir");
        usbredirparser_do_write(parser);
    }
}
