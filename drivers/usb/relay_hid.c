/* SPDX-License-Identifier: Apache-2.0 */
/* Relay boards that are HID devices: NOYITO's, and those called USBRelayN. */
#include <string.h>

#include "base/limits.h"
#include "drivers/families.h"
#include "drivers/usb/hidraw.h"
#include "drivers/usb/port.h"
#include "drivers/usb/relay_proto.h"

#define ANSWER_TIMEOUT (500 * JMP_USEC_PER_MSEC)
#define ANSWER_MAX (9u * JMP_RELAY_CHANNELS_MAX) /* of a NOYITO board: "CH1: OFF\n" for each channel */
#define USBRELAY_VENDOR 0x16c0
#define USBRELAY_PRODUCT 0x05df
#define USBRELAY_NAME "USBRelay"
#define USBRELAY_REPORT 9u /* number 0, then 8 bytes */

struct relay {
    unsigned vendor_id, product_id, num_channels;
    unsigned channel;
    bool all_channels;
    const char *serial;
};

static int relay_check(const void *self, struct jmp_error *reterr)
{
    const struct relay *relay = self;

    if (relay->num_channels && relay->num_channels != 4 && relay->num_channels != 8)
        return jmp_error_set(reterr, -EINVAL, "num_channels: there are boards with 4 and with 8 channels, not with %u",
                             relay->num_channels);
    if (relay->num_channels && !relay->all_channels && relay->channel > relay->num_channels)
        return jmp_error_set(reterr, -EINVAL, "channel: %u of %u channels", relay->channel, relay->num_channels);
    return 0;
}

static void relay_close(void *self)
{
} /* the board is opened for each command */

/* Bits of the channels that are switched. */
static unsigned wanted(const struct relay *relay, unsigned count)
{
    return relay->all_channels ? (1u << count) - 1 : 1u << (relay->channel - 1);
}

/*
 * NOYITO: frames as output reports, text as input reports.
 */

static const struct jmp_option noyito_options[] = {
    { JMP_FIELD(struct relay, vendor_id), .preset = "5131", .max = 65535,
      .help = "USB vendor of the board, 5131 is 0x140b" },
    { JMP_FIELD(struct relay, product_id), .preset = "2007", .max = 65535,
      .help = "USB product of the board, 2007 is 0x07d7" },
    { JMP_FIELD(struct relay, num_channels), .preset = "4", .help = "of the board: 4 or 8" },
    { JMP_FIELD(struct relay, channel), .preset = "1", .min = 1, .max = 8, .help = "which relay, from 1" },
    { JMP_FIELD(struct relay, all_channels), .preset = "false", .help = "switch all relays together" },
    { JMP_FIELD(struct relay, serial), .nullable = true, .value_name = "TEXT",
      .help = "serial number, for one of several boards" },
    {}
};

static int noyito_open(const struct relay *relay, struct jmp_call *call)
{
    return jmp_hidraw_open(call,
                           &(struct jmp_hidraw_board){ .vendor = (uint16_t)relay->vendor_id,
                                                       .product = (uint16_t)relay->product_id,
                                                       .prefix = "",
                                                       .serial = relay->serial },
                           NULL);
}

static int noyito_probe(void *self, struct jmp_call *call)
{
    _cleanup_close_ int fd = noyito_open(self, call);

    return fd < 0 ? fd : 0;
}

static int noyito_set(const struct relay *relay, struct jmp_call *call, bool on)
{
    _cleanup_close_ int fd = noyito_open(relay, call);
    unsigned channels = wanted(relay, relay->num_channels);
    int r = fd < 0 ? fd : 0;

    for (unsigned i = 0; r == 0 && i < relay->num_channels; i++) {
        uint8_t report[1 + JMP_RELAY_FRAME_SIZE] = { 0 };

        if (!(channels & (1u << i)))
            continue;
        jmp_relay_frame(i + 1, on, report + 1);
        r = jmp_hidraw_write(call, fd, report, sizeof(report));
    }
    return r;
}

static int noyito_on(void *self, struct jmp_call *call)
{
    return noyito_set(self, call, true);
}
static int noyito_off(void *self, struct jmp_call *call)
{
    return noyito_set(self, call, false);
}

static int noyito_status(void *self, struct jmp_call *call)
{
    const struct relay *relay = self;
    _cleanup_close_ int fd = noyito_open(relay, call);
    unsigned channels = wanted(relay, relay->num_channels), every = (1u << relay->num_channels) - 1, states = 0,
             told = 0;
    uint8_t report[1 + JMP_RELAY_FRAME_SIZE] = { 0 };
    char answer[ANSWER_MAX + 64];
    size_t have = 0;
    int r;

    if (fd < 0)
        return fd;
    jmp_relay_frame_status(report + 1);
    r = jmp_hidraw_write(call, fd, report, sizeof(report));
    if (r < 0)
        return r;
    /* The text comes in as many reports as it takes. It is read to its end: what is left would be the beginning of the
     * next answer, and old news by then. */
    while ((told & every) != every && have < sizeof(answer)) {
        r = jmp_hidraw_read(call, fd, answer + have, sizeof(answer) - have, ANSWER_TIMEOUT);
        if (r == -ECANCELED)
            return r;
        if (r <= 0)
            break;
        have += (size_t)r;
        told = jmp_relay_parse(answer, have, &states);
    }
    if ((told & channels) != channels)
        return jmp_call_fail(call, -EINVAL, "the board does not tell the state of its relays");
    jmp_writer_string(jmp_call_reply(call), jmp_relay_word(channels, states));
    return 0;
}

static int relay_read(void *self, struct jmp_call *call)
{
    return jmp_call_fail(call, -EOPNOTSUPP, "a relay board measures nothing");
}

static const struct jmp_method noyito_methods[] = { { .name = "on", .call = noyito_on },
                                                    { .name = "off", .call = noyito_off },
                                                    { .name = "read", .items = relay_read },
                                                    { .name = "status", .call = noyito_status },
                                                    {} };

const struct jmp_driver_class jmp_relay_noyito_hid_class = {
    JMP_DRIVER_HEAD,
    .name = "relay-noyito-hid",
    .kind = "power",
    .size = sizeof(struct relay),
    .python_type = "jumpstarter_driver_noyito_relay.driver.NoyitoPowerHID",
    .client = "jumpstarter_driver_noyito_relay.client.NoyitoPowerClient",
    .help = "a NOYITO relay board with 4 or 8 channels (HID)",
    .options = noyito_options,
    .methods = noyito_methods,
    .open = noyito_probe,
    .close = relay_close,
    .check = relay_check,
};

/*
 * USBRelayN: feature reports. The serial number is in the report, not in the descriptors.
 */

static const struct jmp_option usbrelay_options[] = {
    { JMP_FIELD(struct relay, channel), .preset = "1", .min = 1, .max = 8, .help = "which relay, from 1" },
    { JMP_FIELD(struct relay, all_channels), .preset = "false", .help = "switch all relays together" },
    { JMP_FIELD(struct relay, serial), .nullable = true, .value_name = "TEXT",
      .help = "the five characters that the board has as its name, for one of several boards" },
    {}
};

static int usbrelay_report(struct jmp_call *call, int fd, uint8_t report[USBRELAY_REPORT])
{
    int n;

    memset(report, 0, USBRELAY_REPORT);
    n = jmp_hidraw_get_feature(call, fd, report, USBRELAY_REPORT);
    if (n < 0)
        return n;
    return n < (int)USBRELAY_REPORT ? jmp_call_fail(call, -EPROTO, "the board tells half its state") : 0;
}

static int usbrelay_is(struct jmp_call *call, int fd, const char *serial)
{
    uint8_t report[USBRELAY_REPORT];
    char name[6] = "";
    int r;

    r = usbrelay_report(call, fd, report);
    if (r < 0)
        return r;
    memcpy(name, report + 1, 5);
    return strcmp(name, serial) == 0;
}

/* @retstates: bits; the number of channels stands behind its name. */
static int usbrelay_open(const struct relay *relay, struct jmp_call *call, unsigned *retcount, unsigned *retstates)
{
    const struct jmp_hidraw_board board = { .vendor = USBRELAY_VENDOR,
                                            .product = USBRELAY_PRODUCT,
                                            .prefix = USBRELAY_NAME,
                                            .serial = relay->serial,
                                            .is = usbrelay_is };
    uint8_t report[USBRELAY_REPORT];
    _cleanup_close_ int fd = -EBADF;
    char name[128] = "";
    int r;

    fd = jmp_hidraw_open(call, &board, name);
    if (fd < 0)
        return fd;
    r = usbrelay_report(call, fd, report);
    if (r < 0)
        return r;
    *retcount = (unsigned)strtoul(name + strlen(USBRELAY_NAME), NULL, 10);
    if (*retcount < 1 || *retcount > JMP_RELAY_CHANNELS_MAX)
        return jmp_call_fail(call, -ENODEV, "\"%s\" is no relay board that is known", name);
    if (!relay->all_channels && relay->channel > *retcount)
        return jmp_call_fail(call, -EINVAL, "the board has %u relays, and no relay %u", *retcount, relay->channel);
    *retstates = report[8];
    return TAKE_FD(fd);
}

static int usbrelay_probe(void *self, struct jmp_call *call)
{
    unsigned count, states;
    _cleanup_close_ int fd = usbrelay_open(self, call, &count, &states);

    return fd < 0 ? fd : 0;
}

static int usbrelay_set(const struct relay *relay, struct jmp_call *call, bool on)
{
    enum { ALL_OFF = 0xfc, OFF = 0xfd, ALL_ON = 0xfe, ON = 0xff };
    uint8_t report[USBRELAY_REPORT] = { 0 };
    unsigned count, states;
    _cleanup_close_ int fd = usbrelay_open(relay, call, &count, &states);
    int r;

    if (fd < 0)
        return fd;
    report[1] = relay->all_channels ? (on ? ALL_ON : ALL_OFF) : on ? ON : OFF;
    report[2] = relay->all_channels ? 0 : (uint8_t)relay->channel;
    r = jmp_hidraw_set_feature(call, fd, report, sizeof(report));
    if (r < 0)
        return r;

    r = usbrelay_report(call, fd, report);
    if (r < 0)
        return r;
    states = report[8] & wanted(relay, count);
    if (states != (on ? wanted(relay, count) : 0))
        return jmp_call_fail(call, -EIO, "the board was told to switch %s, and did not", on ? "on" : "off");
    return 0;
}

static int usbrelay_on(void *self, struct jmp_call *call)
{
    return usbrelay_set(self, call, true);
}
static int usbrelay_off(void *self, struct jmp_call *call)
{
    return usbrelay_set(self, call, false);
}

static int usbrelay_status(void *self, struct jmp_call *call)
{
    unsigned count, states;
    _cleanup_close_ int fd = usbrelay_open(self, call, &count, &states);

    if (fd < 0)
        return fd;
    jmp_writer_string(jmp_call_reply(call), jmp_relay_word(wanted(self, count), states));
    return 0;
}

static const struct jmp_method usbrelay_methods[] = { { .name = "on", .call = usbrelay_on },
                                                      { .name = "off", .call = usbrelay_off },
                                                      { .name = "read", .items = relay_read },
                                                      { .name = "status", .call = usbrelay_status },
                                                      {} };

const struct jmp_driver_class jmp_relay_usbrelay_class = {
    JMP_DRIVER_HEAD,
    .name = "relay-usbrelay",
    .kind = "power",
    .size = sizeof(struct relay),
    .client = "jumpstarter_driver_power.client.PowerClient",
    .help = "a relay board of the USBRelay1 to USBRelay8 family (HID, 16c0:05df)",
    .options = usbrelay_options,
    .methods = usbrelay_methods,
    .open = usbrelay_probe,
    .close = relay_close,
};
