/* SPDX-License-Identifier: Apache-2.0 */
/* "Touching" a serial port at 1200 baud, which firmware made with the Pico SDK or Arduino takes as the wish to be
 * replaced. */
#pragma once

#include "drivers/driver.h"

/**
 * jmp_touch() - 1200 baud, DTR raised and lowered; 150 ms, during which the turn is away
 * @fd:    the open port, which stays at that speed
 * @path:  for messages
 *
 * Return: 0, also when the port goes meanwhile, which is what it is for; -ECANCELED; or with a sentence: -ENOTTY (no
 * serial port) and what setting it up says.
 */
int jmp_touch(struct jmp_call *call, int fd, const char *path);
