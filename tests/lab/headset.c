/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-headset: a headset whose microphone hears what its speaker says, and nothing else (USB Audio Class 1.0, high
 * speed, isochronous both ways). It is plugged into QEMU: standard input is a socket to a usb-redir device of QEMU's.
 *
 * Time is the guest's alone, however slowly it passes: something is recorded only because something was played. QEMU
 * has a queue for packets to its guest, 60 ms of them and then as much again, and drops what does not fit. So that this
 * never happens there are fewer of them, and larger ones, than the guest asks for: QEMU answers the others with empty
 * packets, as devices do whose clock is slow. And when one of us three stood still, what has piled up goes out by and
 * by.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <usbredirparser.h>

#define FRAME 4u         /* bytes: two channels of 16 bits */
#define FRAMES_LEAST 13u /* of a packet to the guest, which plays 12 at a time, four times in a millisecond */
#define FRAMES_MOST 18u  /* half as much again: what Linux has room for */
#define PACKET_SIZE (FRAMES_MOST * FRAME)
#define INTERVAL 2             /* as descriptors have it and, for this one the same, in microframes */
#define ANSWERS_MAX 80u        /* packets for what came at once: a sixth of QEMU's queue */
#define UNREAD_MAX (32 * 1024) /* of our packets by QEMU: as many, for the kernel counts 768 bytes and doubles ours */
#define HEARD_MAX (1024u * 1024u)                                  /* more than a test plays */
#define INDEX(endpoint) (((endpoint)&0x80) >> 3 | ((endpoint)&15)) /* as usbredir counts endpoints */

enum { CONTROL, SPEAKER, MICROPHONE, INTERFACES };
enum { TO_SPEAKER = 0x01, FROM_MICROPHONE = 0x82 };

static const uint8_t device_descriptor[] = { 18, 1, 0x00, 0x02, 0, 0, 0, 64, 0x09, 0x12, 0x04, 0, 0, 1, 1, 2, 3, 1 };

/* clang-format off */
static const uint8_t config_descriptor[] = {
    9, 2, 174, 0, INTERFACES, 1, 0, 0x80, 50,
    9, 4, CONTROL, 0, 0, 1, 1, 0, 0,
    10, 0x24, 1, 0x00, 0x01, 52, 0, 2, SPEAKER, MICROPHONE,
    12, 0x24, 2, 1, 0x01, 0x01, 0, 2, 3, 0, 0, 0, /* terminal 1: what the host plays */
    9, 0x24, 3, 2, 0x01, 0x03, 0, 1, 0,           /* terminal 2: the speaker */
    12, 0x24, 2, 3, 0x01, 0x02, 0, 2, 3, 0, 0, 0, /* terminal 3: the microphone */
    9, 0x24, 3, 4, 0x01, 0x01, 0, 3, 0,           /* terminal 4: what the host records */
#define STREAM(interface, terminal, endpoint, attributes)                                 \
    9, 4, interface, 0, 0, 1, 2, 0, 0,                                                    \
    9, 4, interface, 1, 1, 1, 2, 0, 0,                                                    \
    7, 0x24, 1, terminal, 1, 1, 0,                                                        \
    11, 0x24, 2, 1, 2, 2, 16, 1, 0x80, 0xbb, 0, /* 48000 Hz */                            \
    9, 5, endpoint, attributes, PACKET_SIZE & 0xff, PACKET_SIZE >> 8, INTERVAL, 0, 0,     \
    7, 0x25, 1, 0, 0, 0, 0
    STREAM(SPEAKER, 1, TO_SPEAKER, 0x09),         /* adaptive */
    STREAM(MICROPHONE, 4, FROM_MICROPHONE, 0x05), /* asynchronous */
};
/* clang-format on */
_Static_assert(sizeof(config_descriptor) == 174, "the configuration says its size");

static const char *const strings[] = { NULL, "Laboratory", "Echoing headset", "1" };

static struct usbredirparser *parser;
static uint8_t configuration, settings[INTERFACES];
static bool listening;           /* the guest takes from the microphone */
static uint8_t heard[HEARD_MAX]; /* and not yet sent */
static size_t heard_size;
static unsigned sent, answers; /* packets to the guest: of all time, and for what was last read from it */

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

static void tell_endpoints(void)
{
    struct usb_redir_ep_info_header info;

    memset(&info, 0, sizeof(info));
    memset(info.type, usb_redir_type_invalid, sizeof(info.type));
    info.type[INDEX(0x00)] = info.type[INDEX(0x80)] = usb_redir_type_control;
    info.max_packet_size[INDEX(0x00)] = info.max_packet_size[INDEX(0x80)] = 64;
    for (int i = SPEAKER; i < INTERFACES; i++) {
        unsigned index = INDEX(i == SPEAKER ? TO_SPEAKER : FROM_MICROPHONE);

        if (!settings[i])
            continue;
        info.type[index] = usb_redir_type_iso;
        info.interval[index] = INTERVAL;
        info.interface[index] = (uint8_t)i;
        info.max_packet_size[index] = PACKET_SIZE;
    }
    usbredirparser_send_ep_info(parser, &info);
}

static void forget(void)
{
    memset(settings, 0, sizeof(settings));
    listening = false;
    heard_size = 0;
}

static void on_hello(void *user, struct usb_redir_hello_header *hello)
{
    struct usb_redir_interface_info_header interfaces = {
        .interface_count = INTERFACES,
        .interface = { CONTROL, SPEAKER, MICROPHONE },
        .interface_class = { 1, 1, 1 },
        .interface_subclass = { 1, 2, 2 },
    };
    struct usb_redir_device_connect_header device = {
        .speed = usb_redir_speed_high,
        .vendor_id = 0x1209,
        .product_id = 0x0004,
        .device_version_bcd = 0x0100,
    };

    usbredirparser_send_interface_info(parser, &interfaces);
    tell_endpoints();
    usbredirparser_send_device_connect(parser, &device);
}

static void on_reset(void *user)
{
    configuration = 0;
    forget();
}

static void tell_configuration(uint64_t id)
{
    struct usb_redir_configuration_status_header status = { usb_redir_success, configuration };

    usbredirparser_send_configuration_status(parser, id, &status);
}

static void on_set_configuration(void *user, uint64_t id, struct usb_redir_set_configuration_header *request)
{
    configuration = request->configuration;
    forget();
    tell_endpoints();
    tell_configuration(id);
}

static void on_get_configuration(void *user, uint64_t id)
{
    tell_configuration(id);
}

static void tell_setting(uint64_t id, uint8_t interface, bool done)
{
    struct usb_redir_alt_setting_status_header status = { done ? usb_redir_success : usb_redir_stall, interface,
                                                          interface < INTERFACES ? settings[interface] : 0 };

    usbredirparser_send_alt_setting_status(parser, id, &status);
}

static void on_set_setting(void *user, uint64_t id, struct usb_redir_set_alt_setting_header *request)
{
    bool known = request->interface < INTERFACES && request->alt <= (request->interface != CONTROL);

    if (known) {
        settings[request->interface] = request->alt;
        tell_endpoints();
    }
    tell_setting(id, request->interface, known);
}

static void on_get_setting(void *user, uint64_t id, struct usb_redir_get_alt_setting_header *request)
{
    tell_setting(id, request->interface, request->interface < INTERFACES);
}

static void switch_stream(uint64_t id, uint8_t endpoint, bool on)
{
    struct usb_redir_iso_stream_status_header status = { usb_redir_success, endpoint };

    if (endpoint == FROM_MICROPHONE) {
        listening = on;
        heard_size = 0;
    }
    usbredirparser_send_iso_stream_status(parser, id, &status);
}

static void on_start_stream(void *user, uint64_t id, struct usb_redir_start_iso_stream_header *request)
{
    switch_stream(id, request->endpoint, true);
}

static void on_stop_stream(void *user, uint64_t id, struct usb_redir_stop_iso_stream_header *request)
{
    switch_stream(id, request->endpoint, false);
}

/* No two packets that follow each other are of one size. */
static void answer_sound(void)
{
    size_t size = (FRAMES_LEAST + sent % (FRAMES_MOST - FRAMES_LEAST + 1)) * FRAME;
    struct usb_redir_iso_packet_header header = { FROM_MICROPHONE, usb_redir_success, (uint16_t)size };

    if (heard_size < size || answers >= ANSWERS_MAX || usbredirparser_has_data_to_write(parser) > 0)
        return;
    usbredirparser_send_iso_packet(parser, 0, &header, heard, (int)size);
    usbredirparser_do_write(parser);
    heard_size -= size;
    memmove(heard, heard + size, heard_size);
    answers++;
    sent++;
}

static void on_sound(void *user, uint64_t id, struct usb_redir_iso_packet_header *packet, uint8_t *data, int size)
{
    if (listening && size > 0) {
        if ((size_t)size > HEARD_MAX - heard_size)
            errx(1, "what is played is not recorded");
        memcpy(heard + heard_size, data, (size_t)size);
        heard_size += (size_t)size;
    }
    usbredirparser_free_packet_data(parser, data);
    answer_sound();
}

/* Return: its size; 0: there is none. */
static size_t find_descriptor(unsigned type, unsigned index, uint8_t ret[sizeof(config_descriptor)])
{
    size_t size = 2;

    switch (type) {
    case 1:
        memcpy(ret, device_descriptor, sizeof(device_descriptor));
        return sizeof(device_descriptor);
    case 2:
        memcpy(ret, config_descriptor, sizeof(config_descriptor));
        return sizeof(config_descriptor);
    case 3:
        if (index >= sizeof(strings) / sizeof(strings[0]))
            return 0;
        if (index == 0) {
            memcpy(ret, (const uint8_t[]){ 4, 3, 0x09, 0x04 }, 4);
            return 4;
        }
        for (const char *at = strings[index]; *at; at++) {
            ret[size++] = (uint8_t)*at;
            ret[size++] = 0;
        }
        ret[0] = (uint8_t)size;
        ret[1] = 3;
        return size;
    default:
        return 0;
    }
}

/* Descriptors and the state of the device; nothing of its sound can be set. */
static void on_control(void *user, uint64_t id, struct usb_redir_control_packet_header *request, uint8_t *data,
                       int count)
{
    struct usb_redir_control_packet_header answer = *request;
    uint8_t reply[sizeof(config_descriptor)] = { 0 };
    size_t size = 0;

    usbredirparser_free_packet_data(parser, data);
    if (request->requesttype == 0x80 && request->request == 6)
        size = find_descriptor(request->value >> 8, request->value & 0xff, reply);
    else if ((request->requesttype & 0xe0) == 0x80 && request->request == 0)
        size = 2;
    answer.status = size > 0 ? usb_redir_success : usb_redir_stall;
    answer.length = (uint16_t)(size < request->length ? size : request->length);
    usbredirparser_send_control_packet(parser, id, &answer, reply, answer.length);
}

static void on_cancel(void *user, uint64_t id)
{
    /* Whatever it was, it is answered already. */
}

int main(void)
{
    static const int capabilities[] = { usb_redir_cap_connect_device_version, usb_redir_cap_ep_info_max_packet_size,
                                        usb_redir_cap_64bits_ids, usb_redir_cap_32bits_bulk_length };
    uint32_t caps[USB_REDIR_CAPS_SIZE] = { 0 };

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
    parser->iso_packet_func = on_sound;
    for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
        usbredirparser_caps_set_cap(caps, capabilities[i]);
    usbredirparser_init(parser, "lab-headset", caps, USB_REDIR_CAPS_SIZE, usbredirparser_fl_usb_host);

    if (setsockopt(STDIN_FILENO, SOL_SOCKET, SO_SNDBUF, &(int){ UNREAD_MAX }, sizeof(int)) < 0)
        err(1, "standard input is no socket");

    for (;;) {
        bool waiting = usbredirparser_has_data_to_write(parser) > 0;
        struct pollfd pollfd = { .fd = STDIN_FILENO, .events = (short)(POLLIN | (waiting ? POLLOUT : 0)) };

        if (poll(&pollfd, 1, -1) < 0)
            err(1, "poll");
        answers = 0;
        if ((pollfd.revents & ~POLLOUT) && usbredirparser_do_read(parser) < 0)
            errx(1, "that is not usbredir");
        if (waiting)
            usbredirparser_do_write(parser);
    }
}
