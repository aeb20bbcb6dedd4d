/* SPDX-License-Identifier: Apache-2.0 */
/* Power by a relay, or anything like one, on a GPIO line. */
#include "drivers/families.h"
#include "drivers/power/lines.h"

struct power_switch {
    struct jmp_gpio_options gpio;
    const struct jmp_node *initial_value;
    const char *mode;
    double min_off_time;
    struct jmp_power_lines lines;   /* one */
};

static const struct jmp_option switch_options[] = {
    JMP_GPIO_OPTIONS(struct power_switch, gpio),
    JMP_GPIO_INITIAL_VALUE(struct power_switch, initial_value),
    { JMP_FIELD(struct power_switch, mode), .preset = "push_pull", .nullable = true,
      .help = "for stock files, which may have it; it is drive that counts" },
    JMP_POWER_MIN_OFF_OPTION(struct power_switch, min_off_time),
    {}
};

static int switch_check(const void *self, struct jmp_error *reterr)
{
    const struct power_switch *power = self;
    const struct jmp_power_state state = { 0 };
    int r;

    r = jmp_gpio_initial(power->initial_value, reterr);
    if (r >= 0)
        r = jmp_power_check(&state, 1, jmp_power_usec(power->min_off_time), r, reterr);
    return r < 0 ? r : jmp_gpio_check(&power->gpio, reterr);
}

static int switch_open(void *self, struct jmp_call *call)
{
    struct power_switch *power = self;

    int initial = jmp_gpio_initial(power->initial_value, NULL);

    power->lines.min_off = jmp_power_usec(power->min_off_time);
    return jmp_power_add(call, &power->lines, &power->gpio, initial == JMP_GPIO_ACTIVE);
}

static int switch_reset(void *self, struct jmp_call *call)
{
    struct power_switch *power = self;

    return jmp_power_reset(call, &power->lines, jmp_gpio_initial(power->initial_value, NULL));
}

static void switch_close(void *self) { jmp_power_close(&((struct power_switch *)self)->lines); }

static int switch_on(void *self, struct jmp_call *call)
{
    return jmp_power_switch(call, &((struct power_switch *)self)->lines, true);
}

static int switch_off(void *self, struct jmp_call *call)
{
    return jmp_power_switch(call, &((struct power_switch *)self)->lines, false);
}

static int switch_cycle(void *self, struct jmp_call *call)
{
    return jmp_power_cycle(call, &((struct power_switch *)self)->lines);
}

static int switch_read(void *self, struct jmp_call *call) { return jmp_power_read(call); }

static int switch_read_pin(void *self, struct jmp_call *call)
{
    return jmp_power_read_pin(call, &((struct power_switch *)self)->lines);
}

static const struct jmp_method switch_methods[] = {
    JMP_POWER_METHODS(switch_on, switch_off, switch_cycle, switch_read, switch_read_pin),
    {}
};

const struct jmp_driver_class jmp_power_gpio_class = {
    JMP_DRIVER_HEAD, .name = "power-gpio", .kind = "power", .size = sizeof(struct power_switch),
    .python_type = "jumpstarter_driver_gpiod.driver.PowerSwitch",
    .client = "jumpstarter_driver_power.client.PowerClient",
    .help = "power by a relay on a GPIO line",
    .options = switch_options, .methods = switch_methods,
    .open = switch_open, .reset = switch_reset, .close = switch_close, .check = switch_check,
};
