/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration may say of power switches, beyond their lines. */
#include <string.h>

#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"
#include "drivers/power/plan.h"

static void expect_problem(const struct jmp_driver_class *driver, const char *config, const char *wanted)
{
    const char *problem = device_problem(driver, config);

    if (!problem != !wanted || (problem && !strstr(problem, wanted)))
        fail_msg("%s: %s", config, problem ? problem : "no problem");
}

JMP_TEST(times_of_a_switch_have_limits)
{
    static const struct {
        const char *config, *problem;
    } cases[] = {
        { "{\"line\": 1, \"mode\": \"push_pull\"}", NULL },
        { "{\"line\": 1, \"mode\": \"open_drain\"}", NULL },
        { "{\"line\": 1, \"min_off_time\": 30}", NULL },
        { "{\"line\": 1, \"min_off_time\": 0.5}", NULL },
        { "{\"line\": 1, \"min_off_time\": 31}", "min_off_time: expected a number from 0 to 30" },
        { "{\"line\": 1, \"min_off_time\": -1}", "min_off_time: expected a number from 0 to 30" },
        { "{\"line\": 1, \"min_off_time\": 8, \"initial_value\": true}", NULL },
        { "{\"line\": 1, \"min_off_time\": 9, \"initial_value\": true}",
          "switching on takes up to 9 s, but the start of a lease has 8 s" },
        { "{\"line\": 1, \"min_off_time\": 9, \"initial_value\": \"keep\"}", NULL },
        { "{\"line\": 1, \"min_off_time\": 9, \"initial_value\": \"off\"}", NULL },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        expect_problem(&jmp_power_gpio_class, cases[i].config, cases[i].problem);
}

JMP_TEST(lines_of_a_sequence_are_checked_one_by_one)
{
    static const struct {
        const char *config, *problem;
    } cases[] = {
        { "{\"lines\": [{\"line\": \"GPIO17\"}, {\"pin\": 13, \"on_delay\": 0.2, \"off_delay\": 1, \"active_low\": "
          "true}]}",
          NULL },
        { "{}", "lines" },
        { "{\"lines\": []}", "lines: expected a list of 1 to 16 lines" },
        { "{\"lines\": {}}", "lines: expected a list of 1 to 16 lines" },
        { "{\"lines\": [1]}", "lines[0]: expected a map" },
        { "{\"lines\": [{\"line\": 1}, {}]}", "lines[1]: line is missing" },
        { "{\"lines\": [{\"line\": 1}, {\"pin\": 9}]}", "lines[1]: pin: pin 9 of the header is ground" },
        { "{\"lines\": [{\"line\": 1, \"on_delay\": 31}]}", "lines[0].on_delay: expected a number from 0 to 30" },
        { "{\"lines\": [{\"line\": 1, \"delay\": 1}]}", "lines[0].delay" },
        { "{\"lines\": [{\"line\": 1, \"off_delay\": 5}, {\"line\": 2, \"off_delay\": 4}]}",
          "switching off takes up to 9 s, but the start of a lease has 8 s" },
        { "{\"lines\": [{\"line\": 1, \"on_delay\": 15}, {\"line\": 2, \"on_delay\": 16}], \"initial_value\": "
          "\"keep\"}",
          "all delays and min_off_time together are more than 30 s" },
        { "{\"lines\": [{\"line\": 1}], \"initial_value\": \"sometimes\"}", "initial_value: expected active" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        expect_problem(&jmp_power_sequence_class, cases[i].config, cases[i].problem);
}

JMP_TEST(a_sequence_has_an_end)
{
    char config[40 * (JMP_POWER_LINES_MAX + 2)] = "{\"lines\": [{\"line\": 0}";
    size_t used = strlen(config);

    for (unsigned i = 1; i <= JMP_POWER_LINES_MAX; i++) {
        char whole[sizeof(config) + 2];

        snprintf(whole, sizeof(whole), "%s]}", config);
        expect_problem(&jmp_power_sequence_class, whole, NULL);
        used += (size_t)snprintf(config + used, sizeof(config) - used, ", {\"line\": %u}", i);
    }
    snprintf(config + used, sizeof(config) - used, "]}");
    expect_problem(&jmp_power_sequence_class, config, "lines: expected a list of 1 to 16 lines");
}

JMP_TEST(a_missing_line_of_a_sequence_is_named)
{
    _cleanup_(device_freep) struct device *device =
        device_new(&jmp_power_sequence_class, "{\"lines\": [{\"line\": 1, \"device\": \"/dev/nowhere\"}]}");

    assert_int_equal(device_open(device), -ENODEV);
    assert_non_null(strstr(device_error(device), "/dev/nowhere"));
}
