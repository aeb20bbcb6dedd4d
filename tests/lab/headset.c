/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-headset: a headset whose microphone hears what its speaker says, and nothing else (USB Audio Class 1.0,
 * isochronous both ways).
 *
 * Time is the guest's alone, however slowly it passes: something is recorded only because something was played. QEMU
 * has a queue for packets to its guest, 60 ms of them and then as much again, and drops what does not fit. So that this
 * never happens there are fewer of them, and larger ones, than the guest asks for: QEMU answers the others with empty
 * packets, as devices do whose clock is slow. And when one of us three stood still, what has piled up goes out by and
 * by.
 */
#include "tests/lab/redirected.h"

#include <err.h>
#include <string.h>

#define FRAME 4u         /* bytes: two channels of 16 bits */
#define FRAMES_LEAST 13u /* of a packet to the guest, which plays 12 at a time, four times in a millisecond */
#define FRAMES_MOST 18u  /* half as much again: what Linux has room for */
#define PACKET_SIZE (FRAMES_MOST * FRAME)
#define ANSWERS_MAX 80u           /* packets for what came at once: a sixth of QEMU's queue */
#define HEARD_MAX (1024u * 1024u) /* more than a test plays */

enum { CONTROL, SPEAKER, MICROPHONE, INTERFACES };
enum { TO_SPEAKER = 0x01, FROM_MICROPHONE = 0x82 };

static const uint8_t device[] = { 18, 1, 0x00, 0x02, 0, 0, 0, 64, 0x09, 0x12, 0x04, 0, 0, 1, 1, 2, 3, 1 };

/* clang-format off */
static const uint8_t config[] = {
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
    9, 5, endpoint, attributes, PACKET_SIZE & 0xff, PACKET_SIZE >> 8, 2, 0, 0,            \
    7, 0x25, 1, 0, 0, 0, 0
    STREAM(SPEAKER, 1, TO_SPEAKER, 0x09),         /* adaptive */
    STREAM(MICROPHONE, 4, FROM_MICROPHONE, 0x05), /* asynchronous */
};
/* clang-format on */
_Static_assert(sizeof(config) == 174, "the configuration says its size");

static bool listening;           /* the guest takes from the microphone */
static uint8_t heard[HEARD_MAX]; /* and not yet sent */
static size_t heard_size;
static unsigned sent, answers; /* packets to the guest: of all time, and for what was last read from it */

static void reading(void)
{
    answers = 0;
}

static void stream(uint8_t endpoint, bool on)
{
    if (endpoint != FROM_MICROPHONE)
        return;
    listening = on;
    heard_size = 0;
}

/* No two packets that follow each other are of one size. */
static void answer_sound(void)
{
    size_t size = (FRAMES_LEAST + sent % (FRAMES_MOST - FRAMES_LEAST + 1)) * FRAME;

    if (heard_size < size || answers >= ANSWERS_MAX || !redirected_all_sent())
        return;
    redirected_send(FROM_MICROPHONE, heard, size);
    heard_size -= size;
    memmove(heard, heard + size, heard_size);
    answers++;
    sent++;
}

static void packet(const uint8_t *data, size_t size)
{
    if (!listening)
        return;
    if (size > HEARD_MAX - heard_size)
        errx(1, "what is played is not recorded");
    memcpy(heard + heard_size, data, size);
    heard_size += size;
    answer_sound();
}

int main(void)
{
    static const struct redirected headset = {
        .device = device,
        .config = config,
        .strings = { "Laboratory", "Echoing headset", "1" },
        .stream = stream,
        .packet = packet,
        .reading = reading,
    };

    redirected_run(&headset);
}
