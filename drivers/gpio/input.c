/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line that is read, and waited for. Edges are queued by the kernel, in one queue for all who wait: whoever takes
 * them counts them for all. One of the waiting calls, the watcher, waits for the queue; the others wait for the
 * watcher's word, since a queue that somebody else has emptied wakes nobody.
 */
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/limits.h"
#include "drivers/families.h"
#include "drivers/gpio.h"

#define FOREVER 1e9                          /* seconds; what stock understands by no time-out */
#define ALIVE_INTERVAL JMP_USEC_PER_SEC      /* kernels before 6.8 do not tell those who wait that a chip has gone */

struct waiter {
    struct waiter *next;
    int news;                                /* eventfd */
};

struct gpio_input {
    struct jmp_gpio_options gpio;
    struct jmp_gpio_line *line;              /* NULL while closed */
    unsigned rising, falling;                /* edges so far */
    struct waiter *waiters;                  /* the first one is the watcher */
};

static const struct jmp_option input_options[] = {
    JMP_GPIO_OPTIONS(struct gpio_input, gpio),
    {}
};

static int input_check(const void *self, struct jmp_error *reterr)
{
    const struct gpio_input *input = self;

    return jmp_gpio_check(&input->gpio, reterr);
}

static int input_open(void *self, struct jmp_call *call)
{
    struct gpio_input *input = self;

    return jmp_gpio_open_input(call, &input->gpio, &input->line);
}

static void input_close(void *self)
{
    struct gpio_input *input = self;

    input->line = jmp_gpio_line_close(input->line);
}

static int input_read_pin(void *self, struct jmp_call *call)
{
    struct gpio_input *input = self;

    return jmp_gpio_reply(call, input->line);
}

static void tell(struct waiter *waiter)
{
    /* Only a full counter could fail, and a full one is news enough. */
    if (waiter)
        eventfd_write(waiter->news, 1);
}

/* Takes what is queued and, if that was anything, tells everybody. */
static int input_take(struct gpio_input *input, struct jmp_call *call)
{
    unsigned before = input->rising + input->falling;
    int r;

    r = jmp_gpio_edges(call, input->line, &input->rising, &input->falling);
    if (r < 0)
        return r;
    if (input->rising + input->falling != before)
        for (struct waiter *waiter = input->waiters; waiter; waiter = waiter->next)
            tell(waiter);
    return 0;
}

static void waiter_leave(struct gpio_input *input, struct waiter *waiter)
{
    struct waiter **link = &input->waiters;

    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
    tell(input->waiters);   /* it may be the watcher now */
}

/* One sleep, until there may be news. Return: 0, also at the deadline, or a negative errno. */
static int waiter_sleep(struct gpio_input *input, struct jmp_call *call, struct waiter *waiter, uint64_t deadline)
{
    bool watches = input->waiters == waiter;
    uint64_t alive = jmp_now() + ALIVE_INTERVAL;
    int r;

    r = jmp_call_wait(call, watches ? jmp_gpio_line_fd(input->line) : waiter->news, POLLIN,
                      deadline < alive ? deadline : alive);
    if (r < 0 && r != -ETIMEDOUT)
        return r;
    if (r == -ETIMEDOUT || r & (POLLERR | POLLHUP)) {
        r = jmp_gpio_get(call, input->line);
        return r < 0 ? r : 0;
    }
    if (!watches) {
        eventfd_t count;

        eventfd_read(waiter->news, &count);
    }
    return input_take(input, call);
}

static int wait_for_change(struct gpio_input *input, struct jmp_call *call, struct waiter *waiter, bool rising,
                           uint64_t deadline)
{
    const unsigned *count = rising ? &input->rising : &input->falling;
    unsigned seen = *count;
    int r;

    while (*count == seen) {
        if (jmp_now() >= deadline)
            return jmp_call_fail(call, -ETIMEDOUT, "%s: no %s edge within %.15g s", jmp_gpio_line_name(input->line),
                                 rising ? "rising" : "falling", jmp_call_number(call, "timeout"));
        r = waiter_sleep(input, call, waiter, deadline);
        if (r < 0)
            return r;
    }
    return 0;
}

/* @level: return at once if the line has it already, for the edge that leads there; -1: only the edge counts */
static int input_wait(struct gpio_input *input, struct jmp_call *call, bool rising, int level)
{
    double timeout = jmp_call_number(call, "timeout");
    struct waiter waiter = { 0 }, **last = &input->waiters;
    int r;

    if (timeout < 0)
        return jmp_call_fail(call, -EINVAL, "the time-out must not be negative, it is %g s", timeout);
    if (timeout == 0 || timeout > FOREVER)
        timeout = FOREVER;

    /* What happened before this call is not what it waits for. */
    r = input_take(input, call);
    if (r < 0)
        return r;
    if (level >= 0) {
        r = jmp_gpio_get(call, input->line);
        if (r < 0 || r == level)
            return r < 0 ? r : 0;
    }

    waiter.news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (waiter.news < 0)
        return jmp_call_fail(call, -errno, "nothing to wait with: %m");
    while (*last)
        last = &(*last)->next;
    *last = &waiter;
    r = wait_for_change(input, call, &waiter, rising, jmp_now() + (uint64_t)(timeout * JMP_USEC_PER_SEC));
    waiter_leave(input, &waiter);
    jmp_close(waiter.news);
    return r;
}

static int input_wait_for_active(void *self, struct jmp_call *call) { return input_wait(self, call, true, 1); }
static int input_wait_for_inactive(void *self, struct jmp_call *call) { return input_wait(self, call, false, 0); }

static int input_wait_for_edge(void *self, struct jmp_call *call)
{
    const char *type = jmp_call_string(call, "edge_type");
    bool rising = strcmp(type, "rising") == 0;

    if (!rising && strcmp(type, "falling") != 0)
        return jmp_call_fail(call, -EINVAL, "an edge is rising or falling, not \"%.40s\"", type);
    return input_wait(self, call, rising, -1);
}

static const struct jmp_method input_methods[] = {
    { .name = "read_pin", .call = input_read_pin },
    { .name = "wait_for_active", .args = { { "timeout", JMP_NUMBER, true } }, .call = input_wait_for_active },
    { .name = "wait_for_inactive", .args = { { "timeout", JMP_NUMBER, true } }, .call = input_wait_for_inactive },
    { .name = "wait_for_edge", .args = { { "edge_type", JMP_STRING }, { "timeout", JMP_NUMBER, true } },
      .call = input_wait_for_edge },
    {}
};

const struct jmp_driver_class jmp_gpio_input_class = {
    JMP_DRIVER_HEAD, .name = "gpio-input", .kind = "gpio", .size = sizeof(struct gpio_input),
    .python_type = "jumpstarter_driver_gpiod.driver.DigitalInput",
    .client = "jumpstarter_driver_gpiod.client.DigitalInputClient",
    .help = "a GPIO line that is read and waited for: a button, a ready signal",
    .options = input_options, .methods = input_methods,
    .open = input_open, .close = input_close, .check = input_check,
};
