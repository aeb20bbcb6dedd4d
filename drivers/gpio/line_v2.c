/* SPDX-License-Identifier: Apache-2.0 */
/* Lines through libgpiod 2.x, which speaks the kernel's second GPIO interface. */
#include <gpiod.h>
#include <string.h>

#include "drivers/gpio/backend.h"

#define EDGES_AT_ONCE 16

struct jmp_gpio_chip {
    struct gpiod_chip *chip;
};

struct jmp_gpio_request {
    struct gpiod_line_request *lines;        /* one line */
    struct gpiod_edge_event_buffer *edges;   /* of an input */
    unsigned offset;
};

JMP_DEFINE_CLEANUP(struct gpiod_chip_info *, gpiod_chip_info_free)
JMP_DEFINE_CLEANUP(struct gpiod_line_info *, gpiod_line_info_free)
JMP_DEFINE_CLEANUP(struct gpiod_line_settings *, gpiod_line_settings_free)
JMP_DEFINE_CLEANUP(struct gpiod_line_config *, gpiod_line_config_free)
JMP_DEFINE_CLEANUP(struct gpiod_request_config *, gpiod_request_config_free)

static int failure(void)
{
    return errno > 0 ? -errno : -EIO;
}

int jmp_gpio_chip_open(const char *path, struct jmp_gpio_chip **ret)
{
    _cleanup_free_ struct jmp_gpio_chip *chip = calloc(1, sizeof(*chip));

    if (!chip)
        return -ENOMEM;
    errno = 0;
    chip->chip = gpiod_chip_open(path);
    /* Before it opens the device it looks at sysfs, and says ENODEV of one that belongs to something else. */
    if (!chip->chip)
        return errno == ENODEV ? -ENOTTY : failure();

    *ret = TAKE_PTR(chip);
    return 0;
}

struct jmp_gpio_chip *jmp_gpio_chip_close(struct jmp_gpio_chip *chip)
{
    if (!chip)
        return NULL;

    gpiod_chip_close(chip->chip);
    free(chip);
    return NULL;
}

int jmp_gpio_chip_info(struct jmp_gpio_chip *chip, struct jmp_gpio_chip_info *ret)
{
    _cleanup_(gpiod_chip_info_freep) struct gpiod_chip_info *info = NULL;

    errno = 0;
    info = gpiod_chip_get_info(chip->chip);
    if (!info)
        return failure();

    *ret = (struct jmp_gpio_chip_info){ .lines = (unsigned)gpiod_chip_info_get_num_lines(info) };
    snprintf(ret->name, sizeof(ret->name), "%s", gpiod_chip_info_get_name(info));
    snprintf(ret->label, sizeof(ret->label), "%s", gpiod_chip_info_get_label(info));
    return 0;
}

int jmp_gpio_line_info(struct jmp_gpio_chip *chip, unsigned offset, struct jmp_gpio_line_info *ret)
{
    _cleanup_(gpiod_line_info_freep) struct gpiod_line_info *info = NULL;
    const char *name, *consumer;

    errno = 0;
    info = gpiod_chip_get_line_info(chip->chip, offset);
    if (!info)
        return failure();

    name = gpiod_line_info_get_name(info);
    consumer = gpiod_line_info_get_consumer(info);
    *ret = (struct jmp_gpio_line_info){
        .used = gpiod_line_info_is_used(info),
        .output = gpiod_line_info_get_direction(info) == GPIOD_LINE_DIRECTION_OUTPUT,
    };
    snprintf(ret->name, sizeof(ret->name), "%s", name ? name : "");
    snprintf(ret->consumer, sizeof(ret->consumer), "%s", consumer ? consumer : "");
    return 0;
}

static enum gpiod_line_value to_value(bool value)
{
    return value ? GPIOD_LINE_VALUE_ACTIVE : GPIOD_LINE_VALUE_INACTIVE;
}

/* What the kernel is to do with one line; @settings NULL: hold it as it is, with no more than its polarity. */
static int make_config(unsigned offset, const struct jmp_gpio_settings *settings, bool active_low, bool output,
                       bool value, struct gpiod_line_config **ret)
{
    static const enum gpiod_line_drive drives[] = {
        [JMP_GPIO_PUSH_PULL] = GPIOD_LINE_DRIVE_PUSH_PULL, [JMP_GPIO_OPEN_DRAIN] = GPIOD_LINE_DRIVE_OPEN_DRAIN,
        [JMP_GPIO_OPEN_SOURCE] = GPIOD_LINE_DRIVE_OPEN_SOURCE,
    };
    static const enum gpiod_line_bias biases[] = {
        [JMP_GPIO_BIAS_AS_IS] = GPIOD_LINE_BIAS_AS_IS, [JMP_GPIO_PULL_UP] = GPIOD_LINE_BIAS_PULL_UP,
        [JMP_GPIO_PULL_DOWN] = GPIOD_LINE_BIAS_PULL_DOWN, [JMP_GPIO_BIAS_DISABLED] = GPIOD_LINE_BIAS_DISABLED,
    };
    _cleanup_(gpiod_line_settings_freep) struct gpiod_line_settings *line = gpiod_line_settings_new();
    _cleanup_(gpiod_line_config_freep) struct gpiod_line_config *config = gpiod_line_config_new();
    int r = 0;

    if (!line || !config)
        return -ENOMEM;

    errno = 0;
    gpiod_line_settings_set_active_low(line, active_low);
    if (!settings) {
        r = gpiod_line_settings_set_direction(line, GPIOD_LINE_DIRECTION_AS_IS);
    } else {
        r |= gpiod_line_settings_set_bias(line, biases[settings->bias]);
        if (output) {
            r |= gpiod_line_settings_set_direction(line, GPIOD_LINE_DIRECTION_OUTPUT);
            r |= gpiod_line_settings_set_drive(line, drives[settings->drive]);
            r |= gpiod_line_settings_set_output_value(line, to_value(value));
        } else {
            r |= gpiod_line_settings_set_direction(line, GPIOD_LINE_DIRECTION_INPUT);
            r |= gpiod_line_settings_set_edge_detection(line, GPIOD_LINE_EDGE_BOTH);
        }
    }
    if (r < 0 || gpiod_line_config_add_line_settings(config, &offset, 1, line) < 0)
        return failure();

    *ret = TAKE_PTR(config);
    return 0;
}

static int request(struct jmp_gpio_chip *chip, unsigned offset, struct gpiod_line_config *config,
                   struct jmp_gpio_request **ret)
{
    _cleanup_(gpiod_request_config_freep) struct gpiod_request_config *who = gpiod_request_config_new();
    _cleanup_(jmp_gpio_request_closep) struct jmp_gpio_request *made = calloc(1, sizeof(*made));

    if (!who || !made)
        return -ENOMEM;
    gpiod_request_config_set_consumer(who, JMP_GPIO_CONSUMER);
    made->offset = offset;
    errno = 0;
    made->lines = gpiod_chip_request_lines(chip->chip, who, config);
    if (!made->lines)
        return failure();

    *ret = TAKE_PTR(made);
    return 0;
}

/* Held as it is first, then made ours with the level that it has. */
static int keep_output(struct jmp_gpio_chip *chip, unsigned offset, const struct jmp_gpio_settings *settings,
                       struct jmp_gpio_request **ret)
{
    _cleanup_(gpiod_line_config_freep) struct gpiod_line_config *as_is = NULL, *config = NULL;
    _cleanup_(jmp_gpio_request_closep) struct jmp_gpio_request *held = NULL;
    int r;

    r = make_config(offset, NULL, settings->active_low, false, false, &as_is);
    if (r < 0)
        return r;
    r = request(chip, offset, as_is, &held);
    if (r < 0)
        return r;
    r = jmp_gpio_request_get(held);
    if (r < 0)
        return r;
    r = make_config(offset, settings, settings->active_low, true, r > 0, &config);
    if (r < 0)
        return r;
    errno = 0;
    if (gpiod_line_request_reconfigure_lines(held->lines, config) < 0)
        return failure();

    *ret = TAKE_PTR(held);
    return 0;
}

int jmp_gpio_request_output(struct jmp_gpio_chip *chip, unsigned offset, const struct jmp_gpio_settings *settings,
                            bool keep, bool value, struct jmp_gpio_request **ret)
{
    _cleanup_(gpiod_line_config_freep) struct gpiod_line_config *config = NULL;
    struct jmp_gpio_line_info info;
    int r;

    r = jmp_gpio_line_info(chip, offset, &info);
    if (r < 0)
        return r;
    if (keep && info.output)
        return keep_output(chip, offset, settings, ret);

    r = make_config(offset, settings, settings->active_low, true, value, &config);
    return r < 0 ? r : request(chip, offset, config, ret);
}

int jmp_gpio_request_input(struct jmp_gpio_chip *chip, unsigned offset, const struct jmp_gpio_settings *settings,
                           struct jmp_gpio_request **ret)
{
    _cleanup_(gpiod_line_config_freep) struct gpiod_line_config *config = NULL;
    _cleanup_(jmp_gpio_request_closep) struct jmp_gpio_request *made = NULL;
    int r;

    r = make_config(offset, settings, settings->active_low, false, false, &config);
    if (r < 0)
        return r;
    r = request(chip, offset, config, &made);
    if (r < 0)
        return r;
    made->edges = gpiod_edge_event_buffer_new(EDGES_AT_ONCE);
    if (!made->edges)
        return -ENOMEM;

    *ret = TAKE_PTR(made);
    return 0;
}

struct jmp_gpio_request *jmp_gpio_request_close(struct jmp_gpio_request *request)
{
    if (!request)
        return NULL;

    if (request->edges)
        gpiod_edge_event_buffer_free(request->edges);
    if (request->lines)
        gpiod_line_request_release(request->lines);
    free(request);
    return NULL;
}

int jmp_gpio_request_get(struct jmp_gpio_request *request)
{
    enum gpiod_line_value value;

    errno = 0;
    value = gpiod_line_request_get_value(request->lines, request->offset);
    return value == GPIOD_LINE_VALUE_ERROR ? failure() : value == GPIOD_LINE_VALUE_ACTIVE;
}

int jmp_gpio_request_set(struct jmp_gpio_request *request, bool value)
{
    errno = 0;
    return gpiod_line_request_set_value(request->lines, request->offset, to_value(value)) < 0 ? failure() : 0;
}

int jmp_gpio_request_fd(const struct jmp_gpio_request *request)
{
    return gpiod_line_request_get_fd(request->lines);
}

int jmp_gpio_request_edges(struct jmp_gpio_request *request, unsigned *rising, unsigned *falling)
{
    for (;;) {
        int n;

        errno = 0;
        n = gpiod_line_request_wait_edge_events(request->lines, 0);
        if (n > 0)
            n = gpiod_line_request_read_edge_events(request->lines, request->edges, EDGES_AT_ONCE);
        if (n < 0)
            return failure();
        if (n == 0)
            return 0;
        for (int i = 0; i < n; i++) {
            struct gpiod_edge_event *event = gpiod_edge_event_buffer_get_event(request->edges, (unsigned long)i);

            ++*(gpiod_edge_event_get_event_type(event) == GPIOD_EDGE_EVENT_RISING_EDGE ? rising : falling);
        }
    }
}
