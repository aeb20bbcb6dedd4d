/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GPIO line as drivers of any family have it: said by option rows, found on whatever chip it is today, held from
 * open to close, and across a restart of the agent if it is an output. What it stands on is in gpio/.
 */
#pragma once

#include "drivers/driver.h"

/* What a configuration says of one line; part of the self of each driver that has one. */
struct jmp_gpio_options {
    const struct jmp_node *line;   /* offset or name; NULL: @pin says it */
    unsigned pin;                  /* of a Raspberry Pi's header; 0: @line says it */
    const char *device;            /* path, name or label of the chip; NULL: gpio/find.h says which */
    const char *drive, *bias;      /* one of the words, or NULL */
    bool active_low;
};

extern const char *const jmp_gpio_drives[], *const jmp_gpio_biases[];

#define JMP_GPIO_OPTIONS(s, f) \
    { .key = "line", JMP_FIELD_AS(s, f.line), .nullable = true, \
      .help = "number of the line on its chip, or its name, such as GPIO17" }, \
    { .key = "pin", JMP_FIELD_AS(s, f.pin), .nullable = true, .min = 1, .max = 40, \
      .help = "pin of a Raspberry Pi's header, counted as printed there, instead of line" }, \
    { .key = "device", JMP_FIELD_AS(s, f.device), .nullable = true, .value_name = "CHIP", \
      .help = "path, name or label of the chip; without, a number is one of /dev/gpiochip0, others are looked for" }, \
    { .key = "drive", JMP_FIELD_AS(s, f.drive), .words = jmp_gpio_drives, .nullable = true, \
      .help = "how an output is driven; null: push_pull" }, \
    { .key = "active_low", JMP_FIELD_AS(s, f.active_low), .preset = "false", \
      .help = "active is low, as on most relay boards" }, \
    { .key = "bias", JMP_FIELD_AS(s, f.bias), .words = jmp_gpio_biases, .nullable = true, \
      .help = "pull resistor of the line; null: as_is" }

#define JMP_GPIO_INITIAL_VALUE(s, f) \
    { .key = "initial_value", JMP_FIELD_AS(s, f), .nullable = true, \
      .help = "what a lease starts with: inactive, off or false (the default), active, on or true, or keep" }

enum jmp_gpio_initial { JMP_GPIO_INACTIVE, JMP_GPIO_ACTIVE, JMP_GPIO_KEEP };

/** jmp_gpio_check() - whether exactly one line is meant, and one that there can be; for .check, no I/O */
int jmp_gpio_check(const struct jmp_gpio_options *options, struct jmp_error *reterr);
/** jmp_gpio_initial() - what @value, of an initial_value, means. Return: enum jmp_gpio_initial, -EINVAL. */
int jmp_gpio_initial(const struct jmp_node *value, struct jmp_error *reterr);

struct jmp_gpio_line;

/**
 * jmp_gpio_open_output() - hold a line and drive it
 * @call:   the opening of a device, which is told in words what is wrong
 * @value:  the level of a line that has not been an output; one that was keeps its own, and so does one that this
 *          agent held before a restart: to open is never to switch
 * @ret:    jmp_gpio_line_close()
 *
 * Return: 0, -ENODEV no such chip or line (yet), -EBUSY held by somebody else, who is named, -EACCES and the like.
 */
int jmp_gpio_open_output(struct jmp_call *call, const struct jmp_gpio_options *options, bool value,
                         struct jmp_gpio_line **ret);
/** jmp_gpio_open_input() - hold a line and watch its edges; the rest as above */
int jmp_gpio_open_input(struct jmp_call *call, const struct jmp_gpio_options *options, struct jmp_gpio_line **ret);
struct jmp_gpio_line *jmp_gpio_line_close(struct jmp_gpio_line *line);   /* accepts NULL */

const char *jmp_gpio_line_name(const struct jmp_gpio_line *line);   /* "line 17 (GPIO17) of gpiochip0" */

/** jmp_gpio_get() - 1 active, 0 inactive, or a negative errno of which the call was told */
int jmp_gpio_get(struct jmp_call *call, struct jmp_gpio_line *line);
/** jmp_gpio_set() - and log what can be read back */
int jmp_gpio_set(struct jmp_call *call, struct jmp_gpio_line *line, bool value);
/** jmp_gpio_drive() - set without a word, where something else has failed already */
int jmp_gpio_drive(struct jmp_gpio_line *line, bool value);
/** jmp_gpio_reply() - for methods: the level of the line is the answer, 1 or 0 */
int jmp_gpio_reply(struct jmp_call *call, struct jmp_gpio_line *line);

int jmp_gpio_line_fd(const struct jmp_gpio_line *line);   /* of an input; readable while edges are queued */
/** jmp_gpio_edges() - take all queued edges of an input and add their numbers */
int jmp_gpio_edges(struct jmp_call *call, struct jmp_gpio_line *line, unsigned *rising, unsigned *falling);
