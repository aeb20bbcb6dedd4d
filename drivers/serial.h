/* SPDX-License-Identifier: Apache-2.0 */
/* A serial port as a device: of its own, or of a board of any family that brings one along. What it stands on is in
 * serial/. */
#pragma once

#include "drivers/driver.h"
#include "drivers/serial/find.h"

struct jmp_tty;

/* The first member of its self. The first part is given before jmp_serial_open(), by options or by the board. */
struct jmp_serial {
    const char *url; /* path of the device; NULL: @match says which port */
    struct jmp_serial_match match;
    unsigned baudrate;
    bool check_present; /* open it at once */
    double cps;         /* characters a second, 0: as fast as the port takes them */
    bool disable_hupcl, low_latency;

    char *found;         /* the node that @match had at the last opening */
    struct jmp_tty *tty; /* NULL while closed, always for loop:// */
    bool read;           /* the core has been given the open port */
};

extern const struct jmp_method jmp_serial_methods[];
int jmp_serial_open(void *self, struct jmp_call *call);
void jmp_serial_close(void *self);
