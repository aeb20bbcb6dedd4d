/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A serial port, open and set up: 8 data bits, no parity, one stop bit, no flow control, raw, exclusive. Driven
 * through libserialport; what that refuses because it has no modem lines or no place in sysfs (pseudo-terminals, the
 * consoles of USB gadgets, hypervisors and remote processors) is set up by hand.
 */
#pragma once

#include "base/cleanup.h"
#include "base/error.h"

struct jmp_tty;

/**
 * jmp_tty_open() - open and claim a port
 * @path:      device or a link to it
 * @baudrate:  any speed that the port takes, standard or not
 * @hupcl:     drop DTR and RTS when the port is closed for the last time
 *
 * Never blocks, never makes the port our controlling terminal. As on any open the kernel raises DTR and RTS.
 *
 * Return: 0, or with a sentence: -ENODEV (not there), -EACCES, -EBUSY (claimed by another), -ENOTTY (no terminal),
 * -EINVAL (not at this speed), -ENOMEM, or what open() says.
 */
int jmp_tty_open(const char *path, unsigned baudrate, bool hupcl, struct jmp_tty **ret, struct jmp_error *reterr);
/**
 * jmp_tty_adopt() - go on with a port that stayed open while the agent was started anew
 * @fd:  taken, also on failure
 *
 * The modem lines stay as they are, and so do bytes that came in meanwhile.
 *
 * Return: as jmp_tty_open(); -ENODEV also when @fd is not what @path leads to now, or was hung up.
 */
int jmp_tty_adopt(int fd, const char *path, unsigned baudrate, bool hupcl, struct jmp_tty **ret,
                  struct jmp_error *reterr);
struct jmp_tty *jmp_tty_close(struct jmp_tty *tty);   /* drops what was not sent yet; always NULL; accepts NULL */
JMP_DEFINE_CLEANUP(struct jmp_tty *, jmp_tty_close)

int jmp_tty_fd(const struct jmp_tty *tty);            /* borrowed; O_NONBLOCK */
/** jmp_tty_is_alive() - false once the device has gone, also when another one has taken its path */
bool jmp_tty_is_alive(const struct jmp_tty *tty);
void jmp_tty_drop_input(struct jmp_tty *tty);         /* what came in and was not read yet */

/** jmp_tty_set_dtr() - Return: 0, -ENOTTY (no such line), -ENODEV (gone), -EIO. */
int jmp_tty_set_dtr(struct jmp_tty *tty, bool on);
int jmp_tty_set_rts(struct jmp_tty *tty, bool on);    /* the same for RTS */
/** jmp_tty_set_break() - the break condition of an open port's descriptor. Return: 0, -ENODEV (gone), -errno. */
int jmp_tty_set_break(int fd, bool on);

/**
 * jmp_tty_lower_latency() - an adapter that gathers what it receives, up to 16 ms, hands it on at once
 *
 * For adapters with a latency timer, which are FTDI's; needs no rights. Return: 0, also when there is no timer; -errno.
 */
int jmp_tty_lower_latency(struct jmp_tty *tty);
