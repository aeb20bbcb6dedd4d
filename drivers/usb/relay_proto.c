/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/relay_proto.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static void frame(uint8_t channel, uint8_t state, uint8_t ret[JMP_RELAY_FRAME_SIZE])
{
    ret[0] = 0xa0;
    ret[1] = channel;
    ret[2] = state;
    ret[3] = (uint8_t)(0xa0 + channel + state);
}

void jmp_relay_frame(unsigned channel, bool on, uint8_t ret[JMP_RELAY_FRAME_SIZE])
{
    frame((uint8_t)channel, on, ret);
}
void jmp_relay_frame_status(uint8_t ret[JMP_RELAY_FRAME_SIZE])
{
    frame(0x0f, 0x02, ret);
}

unsigned jmp_relay_parse(const char *text, size_t length, unsigned *retstates)
{
    unsigned told = 0, states = 0;

    for (size_t i = 0; i + 4 < length; i++) {
        unsigned channel;
        size_t at = i + 3;

        if (strncasecmp(text + i, "CH", 2) != 0 || text[i + 2] < '1' || text[i + 2] > '0' + (int)JMP_RELAY_CHANNELS_MAX)
            continue;
        channel = (unsigned)(text[i + 2] - '1');
        while (at < length && (text[at] == ':' || text[at] == ' '))
            at++;
        if (at + 2 <= length && strncasecmp(text + at, "ON", 2) == 0)
            states |= 1u << channel;
        else if (at + 3 > length || strncasecmp(text + at, "OFF", 3) != 0)
            continue;
        else
            states &= ~(1u << channel);
        told |= 1u << channel;
    }
    *retstates = states;
    return told;
}

const char *jmp_relay_word(unsigned wanted, unsigned states)
{
    return (states & wanted) == wanted ? "on" : (states & wanted) == 0 ? "off" : "partial";
}
