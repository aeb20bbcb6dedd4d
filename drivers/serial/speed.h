/* SPDX-License-Identifier: Apache-2.0 */
/* Speeds as plain numbers. In a file of its own because the kernel's termios and the C library's cannot be seen
 * together. */
#pragma once

/** jmp_speed_set() - both directions, any number. Return: 0 or negative errno; the port may have chosen a near one. */
int jmp_speed_set(int fd, unsigned baudrate);
/** jmp_speed_get() - what the port really does. Return: 0 or negative errno. */
int jmp_speed_get(int fd, unsigned *ret);
