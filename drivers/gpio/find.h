/* SPDX-License-Identifier: Apache-2.0 */
/* From what a configuration says to a line on a chip. */
#pragma once

#include "drivers/gpio/backend.h"
#include "drivers/gpio.h"

struct jmp_gpio_place {
    struct jmp_gpio_chip *chip;       /* open; jmp_gpio_place_clear() */
    struct jmp_gpio_chip_info info;
    unsigned offset;
};

/**
 * jmp_gpio_find() - where a line is now
 *
 * A number without a chip is one of /dev/gpiochip0, as with stock exporters. A name or a pin is looked for on all
 * chips, so that it is found wherever the kernel counts its chip today. On the chip of a Raspberry Pi's header
 * GPIOn is line n, whatever it is called.
 *
 * Return: 0, -ENODEV no such chip or line, -ENOTUNIQ several, -EACCES; words in @reterr.
 */
int jmp_gpio_find(const struct jmp_gpio_options *options, struct jmp_gpio_place *ret, struct jmp_error *reterr);
void jmp_gpio_place_clear(struct jmp_gpio_place *place);
