/* SPDX-License-Identifier: Apache-2.0 */
/* One or more GPIO lines that are one power switch, for power-gpio and power-sequence. */
#pragma once

#include "base/limits.h"
#include "drivers/gpio.h"
#include "drivers/power/plan.h"

#define JMP_POWER_RESET_MAX (8 * JMP_USEC_PER_SEC)   /* a lease's start has 10 s in all */
#define JMP_POWER_CYCLE_WAIT 2.0                     /* seconds; as stock clients wait */

struct jmp_power_lines {
    size_t n;
    struct jmp_power_state state[JMP_POWER_LINES_MAX];
    struct jmp_gpio_line *line[JMP_POWER_LINES_MAX];
    uint64_t min_off;

    /* The last word wins: a call that waits goes on only while nobody has said anything else. */
    unsigned changes;
    bool heading, cycling;
};

#define JMP_POWER_MIN_OFF_OPTION(s, f) \
    { .key = "min_off_time", JMP_FIELD_AS(s, f), .preset = "0", .min = 0, .max = 30, .value_name = "SECONDS", \
      .help = "after off, on waits until so much time has passed" }

#define JMP_POWER_METHODS(on, off, cycle, read, read_pin) \
    { .name = "on", .call = on }, \
    { .name = "off", .call = off }, \
    { .name = "cycle", .args = { { "wait", JMP_NUMBER, true } }, .call = cycle, \
      .help = "off, wait, on" }, \
    { .name = "read", .items = read }, \
    { .name = "read_pin", .call = read_pin }

/** jmp_power_usec() - seconds of an option */
static inline uint64_t jmp_power_usec(double seconds) { return (uint64_t)(seconds * (double)JMP_USEC_PER_SEC); }

/** jmp_power_check() - whether these times fit into what a lease's start and a call may take
 * @initial: enum jmp_gpio_initial */
int jmp_power_check(const struct jmp_power_state *state, size_t n, uint64_t min_off, int initial,
                    struct jmp_error *reterr);

/** jmp_power_add() - hold one more line; state[n] has its delays already
 * @value: level of a line that has not been an output yet, see jmp_gpio_open_output() */
int jmp_power_add(struct jmp_call *call, struct jmp_power_lines *lines, const struct jmp_gpio_options *options,
                  bool value);
void jmp_power_close(struct jmp_power_lines *lines);   /* lets go of all lines */

int jmp_power_reset(struct jmp_call *call, struct jmp_power_lines *lines, int initial);
int jmp_power_switch(struct jmp_call *call, struct jmp_power_lines *lines, bool on);
int jmp_power_cycle(struct jmp_call *call, struct jmp_power_lines *lines);      /* the method, with its argument */
int jmp_power_read(struct jmp_call *call);                                      /* the method, which is not there */
int jmp_power_read_pin(struct jmp_call *call, struct jmp_power_lines *lines);   /* 1: all lines are active */
