/* SPDX-License-Identifier: Apache-2.0 */
/* Relay boards behind a serial adapter: NOYITO's with two channels, and LCUS-1 to LCUS-8, which speak the same. */
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/limits.h"
#include "drivers/families.h"
#include "drivers/serial/tty.h"
#include "drivers/stream.h"
#include "drivers/usb/port.h"
#include "drivers/usb/relay_proto.h"

#define SPEED 9600u
#define ANSWER_TIMEOUT (2 * JMP_USEC_PER_SEC)
#define ANSWER_MAX 128u                    /* eight lines of text */
#define DRAIN_STEP (5 * JMP_USEC_PER_MSEC) /* five bytes at 9600 baud */
#define LOCK_TIMEOUT (5 * JMP_USEC_PER_SEC)
#define LOCK_RETRY (20 * JMP_USEC_PER_MSEC)

struct board {
    const char *port;
    unsigned channel, num_channels;
    bool all_channels;
};

static const struct jmp_option noyito_options[] = {
    { JMP_FIELD(struct board, port), .required = true, .value_name = "PATH", .help = "of the serial adapter" },
    { JMP_FIELD(struct board, channel), .preset = "1", .help = "which relay, 1 or 2" },
    { JMP_FIELD(struct board, all_channels), .preset = "false", .help = "switch both relays together" },
    {}
};

static const struct jmp_option lcus_options[] = {
    { JMP_FIELD(struct board, port), .required = true, .value_name = "PATH", .help = "of the serial adapter" },
    { JMP_FIELD(struct board, num_channels), .preset = "1", .min = 1, .max = 8, .help = "of the board: LCUS-4 has 4" },
    { JMP_FIELD(struct board, channel), .preset = "1", .min = 1, .max = 8, .help = "which relay, from 1" },
    { JMP_FIELD(struct board, all_channels), .preset = "false", .help = "switch all relays together" },
    {}
};

static unsigned count_of(const struct board *board)
{
    return board->num_channels ?: 2;
}

static int board_check(const void *self, struct jmp_error *reterr)
{
    const struct board *board = self;

    /* Stock files may name any with all_channels. */
    if (!board->all_channels && (board->channel < 1 || board->channel > count_of(board)))
        return jmp_error_set(reterr, -EINVAL, "channel: %u of %u channels", board->channel, count_of(board));
    return 0;
}

static unsigned wanted(const struct board *board)
{
    return board->all_channels ? (1u << count_of(board)) - 1 : 1u << (board->channel - 1);
}

/* For one command: the other channels of a board are devices of their own, which take turns. */
static int open_port(const struct board *board, struct jmp_call *call, struct jmp_tty **ret)
{
    uint64_t deadline = jmp_now() + LOCK_TIMEOUT;

    for (;;) {
        struct jmp_error error = JMP_ERROR_INIT;
        int r = jmp_tty_open(board->port, SPEED, false, ret, &error);

        if (r != -EBUSY || jmp_now() >= deadline)
            return r < 0 ? jmp_usb_fail(call, &error) : 0;
        r = jmp_call_wait(call, -1, 0, jmp_now() + LOCK_RETRY);
        if (r < 0)
            return r;
    }
}

static int board_probe(void *self, struct jmp_call *call)
{
    _cleanup_(jmp_tty_closep) struct jmp_tty *tty = NULL;

    return open_port(self, call, &tty);
}

static void board_close(void *self)
{
}

/* Until the adapter has it all: closing drops what was not sent. tcdrain() would wait for ever for one that hangs. */
static int drain(struct jmp_call *call, int fd)
{
    uint64_t deadline = jmp_now() + ANSWER_TIMEOUT;
    int left = 0, r;

    while (ioctl(fd, TIOCOUTQ, &left) == 0 && left > 0) {
        if (jmp_now() >= deadline)
            return -ETIMEDOUT;
        r = jmp_call_wait(call, -1, 0, jmp_now() + DRAIN_STEP);
        if (r < 0)
            return r;
    }
    return 0;
}

static int send(struct jmp_call *call, struct jmp_tty *tty, const void *data, size_t size)
{
    int r = jmp_stream_write(call, jmp_tty_fd(tty), data, size, ANSWER_TIMEOUT);

    if (r == 0)
        r = drain(call, jmp_tty_fd(tty));
    if (r < 0 && r != -ECANCELED)
        return jmp_call_fail(call, r, "the board does not take the command: %m");
    return r;
}

static int set(const struct board *board, struct jmp_call *call, bool on)
{
    _cleanup_(jmp_tty_closep) struct jmp_tty *tty = NULL;
    int r = open_port(board, call, &tty);

    for (unsigned i = 0; r == 0 && i < count_of(board); i++) {
        uint8_t frame[JMP_RELAY_FRAME_SIZE];

        if (!(wanted(board) & (1u << i)))
            continue;
        jmp_relay_frame(i + 1, on, frame);
        r = send(call, tty, frame, sizeof(frame));
    }
    return r;
}

static int board_on(void *self, struct jmp_call *call)
{
    return set(self, call, true);
}
static int board_off(void *self, struct jmp_call *call)
{
    return set(self, call, false);
}

static int board_status(void *self, struct jmp_call *call)
{
    static const uint8_t question = JMP_RELAY_STATUS_BYTE;
    _cleanup_(jmp_tty_closep) struct jmp_tty *tty = NULL;
    unsigned channels = wanted(self), told = 0, states = 0;
    char answer[ANSWER_MAX];
    size_t have = 0;
    int r;

    r = open_port(self, call, &tty);
    if (r < 0)
        return r;
    jmp_tty_drop_input(tty);
    r = send(call, tty, &question, sizeof(question));
    while (r >= 0 && (told & channels) != channels && have < sizeof(answer)) {
        r = jmp_stream_read(call, jmp_tty_fd(tty), answer + have, sizeof(answer) - have, ANSWER_TIMEOUT);
        if (r <= 0)
            break;
        have += (size_t)r;
        told = jmp_relay_parse(answer, have, &states);
    }
    if (r == -ECANCELED)
        return r;
    if ((told & channels) != channels)
        return jmp_call_fail(call, -EINVAL, "the board on %s does not tell the state of its relays",
                             ((struct board *)self)->port);
    jmp_writer_string(jmp_call_reply(call), jmp_relay_word(channels, states));
    return 0;
}

static int board_read(void *self, struct jmp_call *call)
{
    return jmp_call_fail(call, -EOPNOTSUPP, "a relay board measures nothing");
}

static const struct jmp_method board_methods[] = { { .name = "on", .call = board_on },
                                                   { .name = "off", .call = board_off },
                                                   { .name = "read", .items = board_read },
                                                   { .name = "status", .call = board_status },
                                                   {} };

#define BOARD \
    .kind = "power", .size = sizeof(struct board), .methods = board_methods, .open = board_probe, \
    .close = board_close, .check = board_check

const struct jmp_driver_class jmp_relay_noyito_serial_class = {
    JMP_DRIVER_HEAD,
    BOARD,
    .name = "relay-noyito-serial",
    .python_type = "jumpstarter_driver_noyito_relay.driver.NoyitoPowerSerial",
    .client = "jumpstarter_driver_noyito_relay.client.NoyitoPowerClient",
    .help = "a NOYITO relay board with 2 channels (serial)",
    .options = noyito_options,
};

const struct jmp_driver_class jmp_relay_lcus_class = {
    JMP_DRIVER_HEAD,
    BOARD,
    .name = "relay-lcus",
    .client = "jumpstarter_driver_power.client.PowerClient",
    .help = "a relay board LCUS-1 to LCUS-8 (serial)",
    .options = lcus_options,
};
