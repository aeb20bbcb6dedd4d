/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own interface to a line that is open already, in both generations. libgpiod cannot adopt a
 * descriptor, and the one that an earlier agent left behind is of the generation of that agent's library.
 */
#pragma once

#include <stdbool.h>

/** jmp_gpio_uapi_generation() - 1 for a line handle, 2 for a line request, of one line. Return: that, -ENOTTY for any
 * other file, -ENODEV when its chip has gone. */
int jmp_gpio_uapi_generation(int fd);
int jmp_gpio_uapi_get(int fd, int generation);               /* 1 active, 0 inactive, negative errno */
int jmp_gpio_uapi_set(int fd, int generation, bool value);
