/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/power/plan.h"

#include <inttypes.h>

#include "base/test.h"

#define LINES 3

struct plan_case {
    struct jmp_power_state lines[LINES];
    bool on;
    uint64_t now, min_off;
    struct jmp_power_step steps[LINES];
};

/* Delays are 1, 2, 3 before on and 10, 20, 30 before off. */
#define LINE(n, is_on, since) { .on_delay = (n), .off_delay = (n) * 10, .on = (is_on), .off_since = (since) }

static const struct plan_case cases[] = {
    /* all off, long since: first to last */
    { { LINE(1, false, 0), LINE(2, false, 0), LINE(3, false, 0) }, true, 1000, 0, { { 0, 1 }, { 1, 2 }, { 2, 3 } } },
    /* all on: last to first */
    { { LINE(1, true, 0), LINE(2, true, 0), LINE(3, true, 0) }, false, 1000, 0, { { 2, 30 }, { 1, 20 }, { 0, 10 } } },
    /* there already: told again, at once */
    { { LINE(1, true, 0), LINE(2, true, 0), LINE(3, true, 0) }, true, 1000, 500, { { 0, 0 }, { 1, 0 }, { 2, 0 } } },
    { { LINE(1, false, 990), LINE(2, false, 990), LINE(3, false, 990) }, false, 1000, 500,
      { { 2, 0 }, { 1, 0 }, { 0, 0 } } },
    /* half way up: only what is missing takes its time */
    { { LINE(1, true, 0), LINE(2, false, 0), LINE(3, false, 0) }, true, 1000, 0, { { 0, 0 }, { 1, 2 }, { 2, 3 } } },
    { { LINE(1, true, 0), LINE(2, false, 0), LINE(3, false, 0) }, false, 1000, 0, { { 2, 0 }, { 1, 0 }, { 0, 10 } } },
    /* not off for long enough: all wait for the latest, before anything is on */
    { { LINE(1, false, 940), LINE(2, false, 970), LINE(3, false, 900) }, true, 1000, 100,
      { { 0, 71 }, { 1, 2 }, { 2, 3 } } },
    /* just long enough */
    { { LINE(1, false, 900), LINE(2, false, 900), LINE(3, false, 900) }, true, 1000, 100,
      { { 0, 1 }, { 1, 2 }, { 2, 3 } } },
    /* a line that is on has no time off, whatever is noted */
    { { LINE(1, true, 999), LINE(2, true, 999), LINE(3, false, 0) }, true, 1000, 100,
      { { 0, 0 }, { 1, 0 }, { 2, 3 } } },
    /* off never waits for the least time */
    { { LINE(1, true, 999), LINE(2, true, 999), LINE(3, true, 999) }, false, 1000, 100,
      { { 2, 30 }, { 1, 20 }, { 0, 10 } } },
};

JMP_TEST(plans_are_as_in_the_table)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_power_step steps[LINES];

        jmp_power_plan(cases[i].lines, LINES, cases[i].on, cases[i].now, cases[i].min_off, steps);
        for (size_t j = 0; j < LINES; j++) {
            if (steps[j].line != cases[i].steps[j].line || steps[j].delay != cases[i].steps[j].delay)
                fail_msg("row %zu, step %zu: line %zu after %" PRIu64, i, j, steps[j].line, steps[j].delay);
        }
    }
}

JMP_TEST(no_plan_takes_longer_than_the_longest)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_power_step steps[LINES];
        uint64_t sum = 0;

        for (int on = 0; on <= 1; on++) {
            jmp_power_plan(cases[i].lines, LINES, on, cases[i].now, cases[i].min_off, steps);
            for (size_t j = 0; j < LINES; j++)
                sum += steps[j].delay;
        }
        assert_true(sum <= jmp_power_longest(cases[i].lines, LINES, cases[i].min_off));
    }
}
