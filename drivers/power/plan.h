/* SPDX-License-Identifier: Apache-2.0 */
/* In which order the lines of a power switch change, and when: a pure function. Times in microseconds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JMP_POWER_LINES_MAX 16u

struct jmp_power_state {
    uint64_t on_delay, off_delay;   /* before this line goes on, or off */
    bool on;                        /* now */
    uint64_t off_since;             /* while it is off */
};

struct jmp_power_step {
    size_t line;
    uint64_t delay;                 /* first wait so long, then switch */
};

/**
 * jmp_power_plan() - the steps that lead to all on or all off
 * @n:        lines, at most JMP_POWER_LINES_MAX; there are as many steps
 * @min_off:  what a line has to be off before it may go on again
 *
 * On goes from first to last, off from last to first. A line that is there already is told again, without its
 * delay. Whatever has not been off for long enough is waited for before the first step, not with half of the board
 * powered.
 */
void jmp_power_plan(const struct jmp_power_state *lines, size_t n, bool on, uint64_t now, uint64_t min_off,
                    struct jmp_power_step *ret);

/** jmp_power_longest() - what a plan for on and a plan for off can take in all */
uint64_t jmp_power_longest(const struct jmp_power_state *lines, size_t n, uint64_t min_off);
