/* SPDX-License-Identifier: Apache-2.0 */
/* Anything with two states on one line: a reset button, a boot strap, a multiplexer. */
#include "drivers/families.h"
#include "drivers/gpio.h"

struct gpio_output {
    struct jmp_gpio_options gpio;
    const struct jmp_node *initial_value;
    struct jmp_gpio_line *line;   /* NULL while closed */
};

static const struct jmp_option output_options[] = {
    JMP_GPIO_OPTIONS(struct gpio_output, gpio),
    JMP_GPIO_INITIAL_VALUE(struct gpio_output, initial_value),
    {}
};

static int output_check(const void *self, struct jmp_error *reterr)
{
    const struct gpio_output *output = self;
    int r;

    r = jmp_gpio_initial(output->initial_value, reterr);
    return r < 0 ? r : jmp_gpio_check(&output->gpio, reterr);
}

static int output_open(void *self, struct jmp_call *call)
{
    struct gpio_output *output = self;
    int initial = jmp_gpio_initial(output->initial_value, NULL);

    return jmp_gpio_open_output(call, &output->gpio, initial == JMP_GPIO_ACTIVE, &output->line);
}

static int output_reset(void *self, struct jmp_call *call)
{
    struct gpio_output *output = self;
    int initial = jmp_gpio_initial(output->initial_value, NULL);

    return initial == JMP_GPIO_KEEP ? 0 : jmp_gpio_set(call, output->line, initial == JMP_GPIO_ACTIVE);
}

static void output_close(void *self)
{
    struct gpio_output *output = self;

    output->line = jmp_gpio_line_close(output->line);
}

static int output_on(void *self, struct jmp_call *call)
{
    struct gpio_output *output = self;

    return jmp_gpio_set(call, output->line, true);
}

static int output_off(void *self, struct jmp_call *call)
{
    struct gpio_output *output = self;

    return jmp_gpio_set(call, output->line, false);
}

static int output_read_pin(void *self, struct jmp_call *call)
{
    struct gpio_output *output = self;

    return jmp_gpio_reply(call, output->line);
}

static const struct jmp_method output_methods[] = {
    { .name = "on", .call = output_on },
    { .name = "off", .call = output_off },
    { .name = "read_pin", .call = output_read_pin },
    {}
};

const struct jmp_driver_class jmp_gpio_output_class = {
    JMP_DRIVER_HEAD, .name = "gpio-output", .kind = "gpio", .size = sizeof(struct gpio_output),
    .python_type = "jumpstarter_driver_gpiod.driver.DigitalOutput",
    .client = "jumpstarter_driver_gpiod.client.DigitalOutputClient",
    .help = "a GPIO line that is driven: a reset button, a boot strap",
    .options = output_options, .methods = output_methods,
    .open = output_open, .reset = output_reset, .close = output_close, .check = output_check,
};
