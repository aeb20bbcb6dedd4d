/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab-camera: a camera with the largest packets of high speed, three times 1024 bytes in each microframe (USB Video
 * Class 1.0, YUYV). Whenever it is looked at it sends the same FRAMES pictures at once, and nothing after them: as many
 * as QEMU keeps, for two times 60 ms, and more than it waits for before it hands on the first. So time has no part in
 * it.
 */
#include "tests/lab/redirected.h"

#include <endian.h>
#include <string.h>

#define FRAMES 12u
#define WIDTH 320u
#define HEIGHT 240u
#define FRAME_SIZE (2u * WIDTH * HEIGHT) /* 51 packets */
#define PACKET_SIZE 3072u
#define HEAD 2u
#define EYE 0x81

enum { CONTROL, STREAMING, INTERFACES };
enum { TOGGLE = 0x01, LAST = 0x02, END_OF_HEADER = 0x80 };

#define LE16(value) (value) & 0xff, (value) >> 8 & 0xff
#define LE32(value) LE16(value), (value) >> 16 & 0xff, (value) >> 24 & 0xff
#define INTERVAL 333333u /* of pictures, in 100 ns */

static const uint8_t device[] = { 18, 1, 0x00, 0x02, 0xef, 2, 1, 64, 0x09, 0x12, 0x05, 0, 0, 1, 1, 2, 3, 1 };

/* clang-format off */
static const uint8_t config[] = {
    9, 2, LE16(162), INTERFACES, 1, 0, 0x80, 250,
    8, 11, CONTROL, INTERFACES, 14, 3, 0, 0,
    9, 4, CONTROL, 0, 0, 14, 1, 0, 0,
    13, 0x24, 1, 0x00, 0x01, LE16(40), LE32(48000000), 1, STREAMING,
    18, 0x24, 2, 1, 0x01, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, /* terminal 1: the lens */
    9, 0x24, 3, 2, 0x01, 0x01, 0, 1, 0,                             /* terminal 2: what the host sees */
    9, 4, STREAMING, 0, 0, 14, 2, 0, 0,
    14, 0x24, 1, 1, LE16(71), EYE, 0, 2, 0, 0, 0, 1, 0,
    27, 0x24, 4, 1, 1, 'Y', 'U', 'Y', '2', 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71, 16, 1, 0, 0, 0, 0,
    30, 0x24, 5, 1, 0, LE16(WIDTH), LE16(HEIGHT), LE32(30 * 8 * FRAME_SIZE), LE32(30 * 8 * FRAME_SIZE),
        LE32(FRAME_SIZE), LE32(INTERVAL), 1, LE32(INTERVAL),
    9, 4, STREAMING, 1, 1, 14, 2, 0, 0,
    7, 5, EYE, 0x05, LE16(1024 | 2 << 11), 1,
};
/* clang-format on */
_Static_assert(sizeof(config) == 162, "the configuration says its size");

/* What it can do, and therefore does: whatever is proposed, the least and the most. */
static int control(const uint8_t setup[8], uint8_t data[REDIRECTED_CONTROL_MAX])
{
    static const uint8_t only[] = {
        0, 0, 1, 1, LE32(INTERVAL), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, LE32(FRAME_SIZE), LE32(PACKET_SIZE)
    };

    _Static_assert(sizeof(only) == 26, "as UVC 1.0 has it");
    if (setup[4] != STREAMING || (setup[3] != 1 && setup[3] != 2))
        return REDIRECTED_REFUSE;
    memcpy(data, only, sizeof(only));
    return sizeof(only);
}

/* Each word of a picture says where it is, and in which. */
static void paint(unsigned frame, uint32_t picture[FRAME_SIZE / 4])
{
    for (uint32_t i = 0; i < FRAME_SIZE / 4; i++)
        picture[i] = htole32(frame << 24 | i);
}

static void stream(uint8_t endpoint, bool on)
{
    static uint32_t picture[FRAME_SIZE / 4];
    uint8_t packet[PACKET_SIZE];

    for (unsigned frame = 0; on && frame < FRAMES; frame++) {
        paint(frame, picture);
        for (size_t at = 0; at < FRAME_SIZE; at += PACKET_SIZE - HEAD) {
            size_t left = FRAME_SIZE - at, size = left < PACKET_SIZE - HEAD ? left : PACKET_SIZE - HEAD;

            packet[0] = HEAD;
            packet[1] = (uint8_t)(END_OF_HEADER | (frame & 1 ? TOGGLE : 0) | (size == left ? LAST : 0));
            memcpy(packet + HEAD, (const uint8_t *)picture + at, size);
            redirected_send(EYE, packet, HEAD + size);
        }
    }
}

int main(void)
{
    static const struct redirected camera = {
        .device = device,
        .config = config,
        .strings = { "Laboratory", "Painting camera", "1" },
        .control = control,
        .stream = stream,
    };

    redirected_run(&camera);
}
