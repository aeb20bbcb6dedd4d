/* SPDX-License-Identifier: Apache-2.0 */
/* The 40-pin header of Raspberry Pis: which line of which chip comes out where. */
#pragma once

#include <stdbool.h>

#define JMP_GPIO_HEADER_PINS 40u
#define JMP_GPIO_HEADER_LAST 27   /* GPIO0 to GPIO27 come out on the header */

/** jmp_gpio_header() - the GPIO number at a pin
 * @pin:     as printed on the board, from 1
 * @retwhat: what the pin carries, "GPIO17", "ground", "3.3 V", "5 V"; NULL when there is no such pin
 *
 * Return: 0 to 27, -EINVAL for a pin without a GPIO. */
int jmp_gpio_header(unsigned pin, const char **retwhat);

/** jmp_gpio_is_header() - whether the header is connected to the chip with this label. There offset n is GPIOn on every
 * model, while the names of lines differ from kernel to kernel (GPIO2, SDA1). */
bool jmp_gpio_is_header(const char *label);

/** jmp_gpio_number() - 17 for "GPIO17", -EINVAL for any other name and for numbers that are not on the header */
int jmp_gpio_number(const char *name);
