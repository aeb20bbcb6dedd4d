/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/power/lines.h"

#include "base/log.h"

int jmp_power_check(const struct jmp_power_state *state, size_t n, uint64_t min_off, int initial,
                    struct jmp_error *reterr)
{
    uint64_t on = min_off, off = 0;

    for (size_t i = 0; i < n; i++) {
        on += state[i].on_delay;
        off += state[i].off_delay;
    }
    if ((initial == JMP_GPIO_ACTIVE && on > JMP_POWER_RESET_MAX) ||
        (initial == JMP_GPIO_INACTIVE && off > JMP_POWER_RESET_MAX)) {
        jmp_error_set(reterr, -EINVAL,
                      "initial_value: switching %s takes up to %.3g s, but the start of a lease has %.3g s",
                      initial == JMP_GPIO_ACTIVE ? "on" : "off",
                      (double)(initial == JMP_GPIO_ACTIVE ? on : off) / (double)JMP_USEC_PER_SEC,
                      (double)JMP_POWER_RESET_MAX / (double)JMP_USEC_PER_SEC);
        jmp_error_hint(reterr, "initial_value: keep leaves the switch as it is");
        return -EINVAL;
    }
    if (jmp_power_longest(state, n, min_off) > JMP_COMMIT_MAX / 2)
        return jmp_error_set(reterr, -EINVAL, "all delays and min_off_time together are more than %.3g s",
                             (double)JMP_COMMIT_MAX / 2 / (double)JMP_USEC_PER_SEC);
    return 0;
}

static bool all_on(const struct jmp_power_lines *lines)
{
    for (size_t i = 0; i < lines->n; i++)
        if (!lines->state[i].on)
            return false;
    return true;
}

int jmp_power_add(struct jmp_call *call, struct jmp_power_lines *lines, const struct jmp_gpio_options *options,
                  bool value)
{
    struct jmp_power_state *state = &lines->state[lines->n];
    int r;

    r = jmp_gpio_open_output(call, options, value, &lines->line[lines->n]);
    if (r < 0)
        return r;
    lines->n++;

    r = jmp_gpio_get(call, lines->line[lines->n - 1]);
    if (r < 0)
        return r;
    state->on = r;
    state->off_since = jmp_now();   /* nobody knows since when: the longest wait that could be right */
    lines->heading = all_on(lines);
    return 0;
}

void jmp_power_close(struct jmp_power_lines *lines)
{
    while (lines->n > 0) {
        lines->n--;
        lines->line[lines->n] = jmp_gpio_line_close(lines->line[lines->n]);
    }
}

static void now_is(struct jmp_power_state *state, bool on)
{
    if (!on && state->on)
        state->off_since = jmp_now();
    state->on = on;
}

static int set_one(struct jmp_call *call, struct jmp_power_lines *lines, size_t i, bool on)
{
    int r;

    r = jmp_gpio_set(call, lines->line[i], on);
    if (r < 0)
        return r;
    now_is(&lines->state[i], on);
    return 0;
}

/* Half on is worse than off: what was switched on goes off again, what was to go off goes off without further delay. */
static void make_safe(struct jmp_power_lines *lines)
{
    for (size_t i = lines->n; i-- > 0;)
        if (jmp_gpio_drive(lines->line[i], false) == 0)
            now_is(&lines->state[i], false);
}

static int superseded(struct jmp_call *call)
{
    return jmp_call_fail(call, -EBUSY, "given up, because another call switched meanwhile");
}

static int drive(struct jmp_call *call, struct jmp_power_lines *lines, bool on, unsigned change)
{
    struct jmp_power_step steps[JMP_POWER_LINES_MAX];
    bool changed = false;
    int r;

    jmp_power_plan(lines->state, lines->n, on, jmp_now(), lines->min_off, steps);
    for (size_t i = 0; i < lines->n; i++) {
        r = steps[i].delay > 0 ? jmp_call_wait(call, -1, 0, jmp_now() + steps[i].delay) : 0;
        if (lines->changes != change)
            return superseded(call);
        /* Nobody's leaving stops a sequence in its middle. */
        if (r == 0 && !changed && lines->n > 1)
            r = jmp_call_commit(call, jmp_power_longest(lines->state, lines->n, lines->min_off));
        changed = changed || r == 0;
        if (r == 0)
            r = set_one(call, lines, steps[i].line, on);
        if (r < 0) {
            if (changed && lines->n > 1)
                make_safe(lines);
            return r;
        }
    }
    return 0;
}

/* From now on this is what the switch does. Return: for telling whether it still is. */
static unsigned claim(struct jmp_power_lines *lines, bool on, bool cycling)
{
    if (lines->heading != on || lines->cycling || cycling)
        lines->changes++;
    lines->heading = on;
    lines->cycling = cycling;
    return lines->changes;
}

int jmp_power_switch(struct jmp_call *call, struct jmp_power_lines *lines, bool on)
{
    return drive(call, lines, on, claim(lines, on, false));
}

int jmp_power_reset(struct jmp_call *call, struct jmp_power_lines *lines, int initial)
{
    return initial == JMP_GPIO_KEEP ? 0 : jmp_power_switch(call, lines, initial == JMP_GPIO_ACTIVE);
}

/* The agent itself ends while the board is off. A single line that may go on does; a sequence cannot wait any more. */
static void cut_short(struct jmp_call *call, struct jmp_power_lines *lines)
{
    bool ready = jmp_now() >= lines->state[0].off_since + lines->min_off;

    if (lines->n == 1 && ready && jmp_gpio_drive(lines->line[0], true) == 0)
        now_is(&lines->state[0], true);
    else
        jmp_call_log(call, JMP_LOG_WARNING, "a power cycle was cut short: the power is off");
}

int jmp_power_cycle(struct jmp_call *call, struct jmp_power_lines *lines)
{
    double wait = jmp_call_has(call, "wait") ? jmp_call_number(call, "wait") : JMP_POWER_CYCLE_WAIT;
    uint64_t longest = jmp_power_longest(lines->state, lines->n, lines->min_off), spare = JMP_COMMIT_MAX - longest;
    unsigned change;
    int r;

    if (wait < 0 || wait > (double)spare / (double)JMP_USEC_PER_SEC)
        return jmp_call_fail(call, -EINVAL, "wait must be from 0 to %.4g s, it is %.4g s",
                             (double)spare / (double)JMP_USEC_PER_SEC, wait);
    r = jmp_call_commit(call, longest + jmp_power_usec(wait));
    if (r < 0)
        return r;

    change = claim(lines, false, true);
    r = drive(call, lines, false, change);
    if (r == 0)
        r = jmp_call_wait(call, -1, 0, jmp_now() + jmp_power_usec(wait));
    if (lines->changes != change)
        return superseded(call);
    if (r == -ECANCELED)
        cut_short(call, lines);
    if (r == 0) {
        lines->heading = true;
        r = drive(call, lines, true, change);
    }
    if (lines->changes == change)
        lines->cycling = false;
    return r;
}

int jmp_power_read(struct jmp_call *call)
{
    return jmp_call_fail(call, -EOPNOTSUPP, "a switch on GPIO lines measures neither voltage nor current");
}

int jmp_power_read_pin(struct jmp_call *call, struct jmp_power_lines *lines)
{
    int all = 1;

    for (size_t i = 0; i < lines->n; i++) {
        int r = jmp_gpio_get(call, lines->line[i]);

        if (r < 0)
            return r;
        all = all && r;
    }
    jmp_writer_integer(jmp_call_reply(call), all);
    return 0;
}
