/* SPDX-License-Identifier: Apache-2.0 */
/* Several lines as one power switch: supplies that have to come in an order, with times between them. */
#include <string.h>

#include "drivers/families.h"
#include "drivers/power/lines.h"

struct sequence_line {
    struct jmp_gpio_options gpio;
    double on_delay, off_delay;
};

struct power_sequence {
    const struct jmp_node *list;
    const struct jmp_node *initial_value;
    double min_off_time;
    struct jmp_power_lines lines;
};

static const struct jmp_option line_options[] = {
    JMP_GPIO_OPTIONS(struct sequence_line, gpio),
    { JMP_FIELD(struct sequence_line, on_delay), .preset = "0", .min = 0, .max = 30, .value_name = "SECONDS",
      .help = "wait so long before this line goes on" },
    { JMP_FIELD(struct sequence_line, off_delay), .preset = "0", .min = 0, .max = 30, .value_name = "SECONDS",
      .help = "wait so long before this line goes off" },
    {}
};

static const struct jmp_option sequence_options[] = {
    { .key = "lines", JMP_FIELD_AS(struct power_sequence, list), .required = true,
      .help = "in the order in which they go on; each has line or pin, device, drive, active_low, bias, and on_delay "
              "and off_delay in seconds" },
    JMP_GPIO_INITIAL_VALUE(struct power_sequence, initial_value),
    JMP_POWER_MIN_OFF_OPTION(struct power_sequence, min_off_time),
    {}
};

static int read_line(const struct jmp_node *item, size_t i, struct sequence_line *ret, struct jmp_error *reterr)
{
    struct jmp_problems problems = { 0 };
    char path[32];
    int r;

    snprintf(path, sizeof(path), "lines[%zu]", i);
    if (item->kind != JMP_NODE_MAP)
        return jmp_error_set(reterr, -EINVAL, "%s: expected a map, found %s", path, jmp_node_kind_name(item));
    r = jmp_options_read(line_options, 0, ret, item, NULL, "", &problems);
    if (r < 0 && problems.first && reterr) {
        *reterr = problems.first->error;
        jmp_error_prefix(reterr, "%s.%s", path, reterr->path);
    }
    jmp_problems_clear(&problems);
    if (r < 0)
        return r;
    r = jmp_gpio_check(&ret->gpio, reterr);
    if (r < 0)
        jmp_error_prefix(reterr, "%s", path);
    return r;
}

static int read_lines(const struct jmp_node *list, struct sequence_line *lines, struct jmp_power_state *state,
                      size_t *retn, struct jmp_error *reterr)
{
    size_t n = 0;

    if (list->kind != JMP_NODE_LIST || list->count == 0 || list->count > JMP_POWER_LINES_MAX)
        return jmp_error_set(reterr, -EINVAL, "lines: expected a list of 1 to %u lines", JMP_POWER_LINES_MAX);

    JMP_NODE_EACH(item, list) {
        int r = read_line(item, n, &lines[n], reterr);

        if (r < 0)
            return r;
        state[n] = (struct jmp_power_state){ .on_delay = jmp_power_usec(lines[n].on_delay),
                                             .off_delay = jmp_power_usec(lines[n].off_delay) };
        n++;
    }
    *retn = n;
    return 0;
}

static int sequence_check(const void *self, struct jmp_error *reterr)
{
    const struct power_sequence *sequence = self;
    struct sequence_line lines[JMP_POWER_LINES_MAX] = { 0 };
    struct jmp_power_state state[JMP_POWER_LINES_MAX];
    int initial, r;
    size_t n;

    initial = jmp_gpio_initial(sequence->initial_value, reterr);
    if (initial < 0)
        return initial;
    r = read_lines(sequence->list, lines, state, &n, reterr);
    return r < 0 ? r : jmp_power_check(state, n, jmp_power_usec(sequence->min_off_time), initial, reterr);
}

static int sequence_open(void *self, struct jmp_call *call)
{
    struct power_sequence *sequence = self;
    struct sequence_line lines[JMP_POWER_LINES_MAX] = { 0 };
    size_t n;
    int r;

    r = read_lines(sequence->list, lines, sequence->lines.state, &n, NULL);
    if (r < 0)
        return r;
    sequence->lines.min_off = jmp_power_usec(sequence->min_off_time);
    /* All off at first, unless they are outputs already: it is the order that counts, and a lease begins with it. */
    for (size_t i = 0; i < n; i++) {
        r = jmp_power_add(call, &sequence->lines, &lines[i].gpio, false);
        if (r < 0)
            return r;
    }
    return 0;
}

static int sequence_reset(void *self, struct jmp_call *call)
{
    struct power_sequence *sequence = self;

    return jmp_power_reset(call, &sequence->lines, jmp_gpio_initial(sequence->initial_value, NULL));
}

static void sequence_close(void *self) { jmp_power_close(&((struct power_sequence *)self)->lines); }

static int sequence_on(void *self, struct jmp_call *call)
{
    return jmp_power_switch(call, &((struct power_sequence *)self)->lines, true);
}

static int sequence_off(void *self, struct jmp_call *call)
{
    return jmp_power_switch(call, &((struct power_sequence *)self)->lines, false);
}

static int sequence_cycle(void *self, struct jmp_call *call)
{
    return jmp_power_cycle(call, &((struct power_sequence *)self)->lines);
}

static int sequence_read(void *self, struct jmp_call *call) { return jmp_power_read(call); }

static int sequence_read_pin(void *self, struct jmp_call *call)
{
    return jmp_power_read_pin(call, &((struct power_sequence *)self)->lines);
}

static const struct jmp_method sequence_methods[] = {
    JMP_POWER_METHODS(sequence_on, sequence_off, sequence_cycle, sequence_read, sequence_read_pin),
    {}
};

const struct jmp_driver_class jmp_power_sequence_class = {
    JMP_DRIVER_HEAD, .name = "power-sequence", .kind = "power", .size = sizeof(struct power_sequence),
    .client = "jumpstarter_driver_power.client.PowerClient",
    .help = "several GPIO lines as one power switch, in order and with delays",
    .options = sequence_options, .methods = sequence_methods,
    .open = sequence_open, .reset = sequence_reset, .close = sequence_close, .check = sequence_check,
};
