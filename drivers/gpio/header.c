/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/gpio/header.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static const char *const pins[JMP_GPIO_HEADER_PINS + 1] = {
    [1] = "3.3 V",   [2] = "5 V",
    [3] = "GPIO2",   [4] = "5 V",
    [5] = "GPIO3",   [6] = "ground",
    [7] = "GPIO4",   [8] = "GPIO14",
    [9] = "ground",  [10] = "GPIO15",
    [11] = "GPIO17", [12] = "GPIO18",
    [13] = "GPIO27", [14] = "ground",
    [15] = "GPIO22", [16] = "GPIO23",
    [17] = "3.3 V",  [18] = "GPIO24",
    [19] = "GPIO10", [20] = "ground",
    [21] = "GPIO9",  [22] = "GPIO25",
    [23] = "GPIO11", [24] = "GPIO8",
    [25] = "ground", [26] = "GPIO7",
    [27] = "GPIO0",  [28] = "GPIO1",
    [29] = "GPIO5",  [30] = "ground",
    [31] = "GPIO6",  [32] = "GPIO12",
    [33] = "GPIO13", [34] = "ground",
    [35] = "GPIO19", [36] = "GPIO16",
    [37] = "GPIO26", [38] = "GPIO20",
    [39] = "ground", [40] = "GPIO21",
};

int jmp_gpio_number(const char *name)
{
    static const char prefix[] = "GPIO";
    const char *digits = name + strlen(prefix);
    long number;
    char *end;

    if (strncmp(name, prefix, strlen(prefix)) != 0 || !isdigit((unsigned char)*digits) || (*digits == '0' && digits[1]))
        return -EINVAL;
    number = strtol(digits, &end, 10);
    return *end || number > JMP_GPIO_HEADER_LAST ? -EINVAL : (int)number;
}

int jmp_gpio_header(unsigned pin, const char **retwhat)
{
    *retwhat = pin < ELEMENTSOF(pins) ? pins[pin] : NULL;
    return *retwhat ? jmp_gpio_number(*retwhat) : -EINVAL;
}

bool jmp_gpio_is_header(const char *label)
{
    static const char *const labels[] = {
        "pinctrl-bcm2835",   /* all models up to the Pi 3, and Zero */
        "pinctrl-bcm2711",   /* Pi 4, 400 */
        "pinctrl-rp1",       /* Pi 5, 500: gpiochip4 for older kernels, gpiochip0 for newer ones */
    };

    for (size_t i = 0; i < ELEMENTSOF(labels); i++) {
        if (strcmp(labels[i], label) == 0)
            return true;
    }
    return false;
}
