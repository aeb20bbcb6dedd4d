/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/power/plan.h"

static uint64_t time_until_ready(const struct jmp_power_state *lines, size_t n, uint64_t now, uint64_t min_off)
{
    uint64_t longest = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t ready = lines[i].off_since + min_off;

        if (!lines[i].on && ready > now && ready - now > longest)
            longest = ready - now;
    }
    return longest;
}

void jmp_power_plan(const struct jmp_power_state *lines, size_t n, bool on, uint64_t now, uint64_t min_off,
                    struct jmp_power_step *ret)
{
    for (size_t i = 0; i < n; i++) {
        size_t line = on ? i : n - 1 - i;
        uint64_t delay = on ? lines[line].on_delay : lines[line].off_delay;

        ret[i] = (struct jmp_power_step){ .line = line, .delay = lines[line].on == on ? 0 : delay };
    }
    if (on && n > 0)
        ret[0].delay += time_until_ready(lines, n, now, min_off);
}

uint64_t jmp_power_longest(const struct jmp_power_state *lines, size_t n, uint64_t min_off)
{
    uint64_t sum = min_off;

    for (size_t i = 0; i < n; i++)
        sum += lines[i].on_delay + lines[i].off_delay;
    return sum;
}
