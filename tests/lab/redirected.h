/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole USB device of high speed, played by a program for QEMU: its usb-redir speaks usbredir with our standard
 * input. For isochronous transfers, which raw-gadget's controller does not know. A test's program, so what goes wrong
 * ends it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIRECTED_UNPLUG 1    /* a vendor's request without data, to the device: it is pulled out at once */
#define REDIRECTED_REFUSE (-1) /* answer a request by a stall */
#define REDIRECTED_CONTROL_MAX 512

struct redirected {
    /* What it says of itself: descriptors as they lie on the wire; that of the device names strings 1 to 3. */
    const uint8_t *device, *config;
    const char *strings[3];

    /**
     * @control: a class's request, 8 bytes of it. To the host: fills @data, returns how much. From the host: the value
     * is only whether it is refused. NULL: all are refused.
     */
    int (*control)(const uint8_t setup[8], uint8_t data[REDIRECTED_CONTROL_MAX]);
    void (*stream)(uint8_t endpoint, bool on);        /* isochronous packets are exchanged from now on, or not */
    void (*packet)(const uint8_t *data, size_t size); /* one from the host; NULL: none is taken */
    void (*reading)(void);                            /* something has come, and is read now; or NULL */
};

/** redirected_run() - plug it in and answer what is asked; returns only when the PC is switched off */
void redirected_run(const struct redirected *device);

/** redirected_send() - an isochronous packet to the host; kept in memory while QEMU does not read */
void redirected_send(uint8_t endpoint, const void *data, size_t size);
/** redirected_all_sent() - whether none is kept. Some 80 small packets may be on their way */
bool redirected_all_sent(void);
