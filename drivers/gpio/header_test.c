/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/gpio/header.h"

#include <string.h>

#include "base/test.h"

JMP_TEST(the_header_has_each_gpio_once_and_the_rest_is_supply)
{
    unsigned seen[JMP_GPIO_HEADER_LAST + 1] = { 0 }, grounds = 0, supplies = 0;

    for (unsigned pin = 1; pin <= JMP_GPIO_HEADER_PINS; pin++) {
        const char *what = NULL;
        int number = jmp_gpio_header(pin, &what);

        assert_non_null(what);
        if (number >= 0) {
            char name[16];

            snprintf(name, sizeof(name), "GPIO%d", number);
            assert_string_equal(what, name);
            assert_in_range(number, 0, JMP_GPIO_HEADER_LAST);
            seen[number]++;
        } else if (strcmp(what, "ground") == 0) {
            grounds++;
        } else {
            supplies++;
        }
    }
    for (unsigned i = 0; i <= JMP_GPIO_HEADER_LAST; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(grounds, 8);
    assert_int_equal(supplies, 4);
}

JMP_TEST(pins_are_where_the_pinout_has_them)
{
    /* From the pinout of the Raspberry Pi documentation: some that are easily confused */
    static const struct {
        unsigned pin;
        int number;
    } cases[] = {
        { 3, 2 }, { 5, 3 }, { 7, 4 }, { 8, 14 }, { 11, 17 }, { 13, 27 }, { 19, 10 }, { 26, 7 }, { 27, 0 }, { 28, 1 },
        { 32, 12 }, { 33, 13 }, { 35, 19 }, { 36, 16 }, { 37, 26 }, { 38, 20 }, { 40, 21 },
        { 1, -EINVAL }, { 2, -EINVAL }, { 6, -EINVAL }, { 17, -EINVAL }, { 39, -EINVAL }, { 0, -EINVAL },
        { 41, -EINVAL },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *what;

        assert_int_equal(jmp_gpio_header(cases[i].pin, &what), cases[i].number);
    }
}

JMP_TEST(only_names_of_header_lines_are_numbers)
{
    static const struct {
        const char *name;
        int number;
    } cases[] = {
        { "GPIO0", 0 },           { "GPIO17", 17 },        { "GPIO27", 27 },        { "GPIO28", -EINVAL },
        { "GPIO017", -EINVAL },   { "GPIO", -EINVAL },     { "GPIO1x", -EINVAL },   { "gpio17", -EINVAL },
        { "17", -EINVAL },        { "GPIO-1", -EINVAL },   { "GPIO 1", -EINVAL },   { "SDA1", -EINVAL },
        { "", -EINVAL },          { "GPIO99999999999999999999", -EINVAL },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        assert_int_equal(jmp_gpio_number(cases[i].name), cases[i].number);
}

JMP_TEST(the_header_belongs_to_three_chips)
{
    assert_true(jmp_gpio_is_header("pinctrl-bcm2835"));
    assert_true(jmp_gpio_is_header("pinctrl-bcm2711"));
    assert_true(jmp_gpio_is_header("pinctrl-rp1"));
    assert_false(jmp_gpio_is_header("raspberrypi-exp-gpio"));
    assert_false(jmp_gpio_is_header("gpio-brcmstb@107d508500"));
    assert_false(jmp_gpio_is_header(""));
}
