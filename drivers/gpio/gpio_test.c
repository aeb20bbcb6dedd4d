/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration may say of a line, and what is said about one that cannot be. Real lines are in tests/lab. */
#include <string.h>

#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"

static const struct jmp_driver_class *const classes[] = {
    &jmp_gpio_output_class, &jmp_gpio_input_class, &jmp_power_gpio_class,
};

static void expect_problem(const struct jmp_driver_class *driver, const char *config, const char *wanted)
{
    const char *problem = device_problem(driver, config);

    if (!problem != !wanted || (problem && !strstr(problem, wanted)))
        fail_msg("%s %s: %s", driver->name, config, problem ? problem : "no problem");
}

JMP_TEST(a_line_is_said_in_one_of_three_ways)
{
    static const struct {
        const char *config, *problem;   /* problem NULL: good */
    } cases[] = {
        { "{\"line\": 17}", NULL },
        { "{\"line\": 17.0}", NULL },
        { "{\"line\": 0}", NULL },
        { "{\"line\": \"GPIO17\"}", NULL },
        { "{\"pin\": 11}", NULL },
        { "{\"line\": null, \"pin\": 11}", NULL },
        { "{\"line\": 3, \"device\": \"/dev/gpiochip4\", \"drive\": null, \"bias\": null, \"active_low\": true}",
          NULL },
        { "{\"line\": 3, \"device\": \"pinctrl-rp1\", \"drive\": \"open_drain\", \"bias\": \"pull_up\"}", NULL },
        { "{\"line\": 3, \"drive\": \"push_pull\", \"bias\": \"as_is\"}", NULL },
        { "{\"line\": 3, \"drive\": \"open_source\", \"bias\": \"disabled\"}", NULL },
        { "{\"line\": 3, \"bias\": \"pull_down\"}", NULL },
        { "{}", "line is missing" },
        { "{\"line\": 17, \"pin\": 11}", "line and pin: one of them" },
        { "{\"line\": -1}", "line: expected a whole number from 0 to 65535 or the name of a line" },
        { "{\"line\": 1.5}", "line: expected a whole number" },
        { "{\"line\": 70000}", "line: expected a whole number" },
        { "{\"line\": true}", "line: expected a whole number from 0 to 65535 or the name of a line, found" },
        { "{\"line\": []}", "line: expected a whole number" },
        { "{\"line\": \"\"}", "line: expected a whole number" },
        { "{\"line\": \"a name that is longer than any name can be\"}", "line: expected a whole number" },
        { "{\"pin\": 0}", "pin: expected a whole number from 1 to 40" },
        { "{\"pin\": 41}", "pin: expected a whole number from 1 to 40" },
        { "{\"pin\": 6}", "pin: pin 6 of the header is ground" },
        { "{\"pin\": 17}", "pin: pin 17 of the header is 3.3 V" },
        { "{\"pin\": \"GPIO17\"}", "pin: expected a whole number" },
        { "{\"line\": 1, \"drive\": \"strong\"}", "drive: expected \"push_pull\", \"open_drain\" or \"open_source\"" },
        { "{\"line\": 1, \"bias\": \"up\"}", "bias: expected \"as_is\", \"pull_up\", \"pull_down\" or \"disabled\"" },
        { "{\"line\": 1, \"active_low\": 1}", "active_low: expected true or false" },
        { "{\"line\": 1, \"debounce\": 1}", "debounce" },
    };

    for (size_t i = 0; i < ELEMENTSOF(classes); i++)
        for (size_t j = 0; j < ELEMENTSOF(cases); j++)
            expect_problem(classes[i], cases[j].config, cases[j].problem);
}

JMP_TEST(outputs_start_with_a_value_in_any_stock_spelling)
{
    static const char *const good[] = {
        "\"active\"", "\"on\"", "true", "\"inactive\"", "\"off\"", "false", "null", "\"keep\"",
    };
    static const char *const bad[] = { "\"high\"", "1", "\"\"", "[]", "\"ON\"", "\"true\"" };

    for (size_t i = 0; i < ELEMENTSOF(classes); i++) {
        char config[80];

        for (size_t j = 0; j < ELEMENTSOF(good) + ELEMENTSOF(bad); j++) {
            bool is_good = j < ELEMENTSOF(good);

            snprintf(config, sizeof(config), "{\"line\": 1, \"initial_value\": %s}",
                     is_good ? good[j] : bad[j - ELEMENTSOF(good)]);
            if (classes[i] == &jmp_gpio_input_class)
                expect_problem(classes[i], config, "initial_value");   /* it has none */
            else
                expect_problem(classes[i], config, is_good ? NULL : "initial_value: expected active, on,");
        }
    }
}

JMP_TEST(a_chip_that_is_not_there_is_named)
{
    static const struct {
        const char *config, *error;
        int number;
    } cases[] = {
        { "{\"line\": 1, \"device\": \"/dev/nowhere\"}", "/dev/nowhere: No such file or directory; gpiodetect lists",
          -ENODEV },
        { "{\"line\": 1, \"device\": \"987654\"}", "/dev/gpiochip987654: No such file or directory", -ENODEV },
        { "{\"line\": 1, \"device\": \"/dev/null\"}", "/dev/null: this is no GPIO chip", -ENOTTY },
        { "{\"line\": 1, \"device\": \"pinctrl-nobody\"}", "no GPIO chip is called \"pinctrl-nobody\"", -ENODEV },
        { "{\"line\": \"NO-SUCH-LINE\"}", "has a line \"NO-SUCH-LINE\"", -ENODEV },
    };

    for (size_t i = 0; i < ELEMENTSOF(classes); i++) {
        for (size_t j = 0; j < ELEMENTSOF(cases); j++) {
            _cleanup_(device_freep) struct device *device = device_new(classes[i], cases[j].config);

            assert_int_equal(device_open(device), cases[j].number);
            if (!strstr(device_error(device), cases[j].error))
                fail_msg("%s: %s", cases[j].config, device_error(device));
        }
    }
}
