/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/gpio/uapi.h"

#include <errno.h>
#include <linux/gpio.h>
#include <sys/ioctl.h>

int jmp_gpio_uapi_get(int fd, int generation)
{
    struct gpio_v2_line_values values = { .mask = 1 };
    struct gpiohandle_data data = { { 0 } };

    if (ioctl(fd, generation == 2 ? GPIO_V2_LINE_GET_VALUES_IOCTL : GPIOHANDLE_GET_LINE_VALUES_IOCTL,
              generation == 2 ? (void *)&values : (void *)&data) < 0)
        return -errno;

    return generation == 2 ? (values.bits & 1) != 0 : data.values[0] != 0;
}

int jmp_gpio_uapi_set(int fd, int generation, bool value)
{
    struct gpio_v2_line_values values = { .mask = 1, .bits = value };
    struct gpiohandle_data data = { { value } };

    if (ioctl(fd, generation == 2 ? GPIO_V2_LINE_SET_VALUES_IOCTL : GPIOHANDLE_SET_LINE_VALUES_IOCTL,
              generation == 2 ? (void *)&values : (void *)&data) < 0)
        return -errno;

    return 0;
}

int jmp_gpio_uapi_generation(int fd)
{
    for (int generation = 2; generation >= 1; generation--) {
        int r = jmp_gpio_uapi_get(fd, generation);

        if (r >= 0)
            return generation;
        if (r == -ENODEV)
            return r;
    }
    return -ENOTTY;
}
