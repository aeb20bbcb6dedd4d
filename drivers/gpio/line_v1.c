/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines through libgpiod 1.6, which speaks the kernel's first GPIO interface. It keeps the descriptor of an output
 * to itself, but a line must be able to survive a restart of the agent: outputs are requested by the ioctl that the
 * library would use.
 */
#include <fcntl.h>
#include <gpiod.h>
#include <linux/gpio.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "drivers/gpio/backend.h"
#include "drivers/gpio/uapi.h"

#define EDGES_AT_ONCE 16

struct jmp_gpio_chip {
    struct gpiod_chip *chip;
    int fd;                    /* a second one, for outputs */
    char *path;
};

struct jmp_gpio_request {
    struct gpiod_chip *chip;   /* of an input, whose line lives in it; NULL: an output */
    struct gpiod_line *line;
    int fd;                    /* of an output */
};

/* Some of the library's errors set no errno. */
static int failure(void)
{
    return errno > 0 ? -errno : -EIO;
}

int jmp_gpio_chip_open(const char *path, struct jmp_gpio_chip **ret)
{
    _cleanup_(jmp_gpio_chip_closep) struct jmp_gpio_chip *chip = calloc(1, sizeof(*chip));

    if (!chip)
        return -ENOMEM;

    chip->fd = open(path, O_RDWR | O_CLOEXEC);
    if (chip->fd < 0)
        return -errno;
    chip->path = strdup(path);
    if (!chip->path)
        return -ENOMEM;

    errno = 0;
    chip->chip = gpiod_chip_open(path);
    if (!chip->chip)
        return failure();

    *ret = TAKE_PTR(chip);
    return 0;
}

struct jmp_gpio_chip *jmp_gpio_chip_close(struct jmp_gpio_chip *chip)
{
    if (!chip)
        return NULL;

    if (chip->chip)
        gpiod_chip_close(chip->chip);
    jmp_close(chip->fd);
    free(chip->path);
    free(chip);
    return NULL;
}

int jmp_gpio_chip_info(struct jmp_gpio_chip *chip, struct jmp_gpio_chip_info *ret)
{
    *ret = (struct jmp_gpio_chip_info){ .lines = gpiod_chip_num_lines(chip->chip) };
    snprintf(ret->name, sizeof(ret->name), "%s", gpiod_chip_name(chip->chip));
    snprintf(ret->label, sizeof(ret->label), "%s", gpiod_chip_label(chip->chip));
    return 0;
}

static int get_line(struct gpiod_chip *chip, unsigned offset, struct gpiod_line **ret)
{
    struct gpiod_line *line;

    errno = 0;
    line = gpiod_chip_get_line(chip, offset);
    if (!line)
        return failure();

    *ret = line;
    return 0;
}

int jmp_gpio_line_info(struct jmp_gpio_chip *chip, unsigned offset, struct jmp_gpio_line_info *ret)
{
    struct gpiod_line *line;
    const char *name, *consumer;
    int r;

    r = get_line(chip->chip, offset, &line);
    if (r < 0)
        return r;
    /* The library remembers what it saw first. */
    errno = 0;
    if (gpiod_line_update(line) < 0)
        return failure();

    name = gpiod_line_name(line);
    consumer = gpiod_line_consumer(line);
    *ret = (struct jmp_gpio_line_info){
        .used = gpiod_line_is_used(line),
        .output = gpiod_line_direction(line) == GPIOD_LINE_DIRECTION_OUTPUT,
    };
    snprintf(ret->name, sizeof(ret->name), "%s", name ? name : "");
    snprintf(ret->consumer, sizeof(ret->consumer), "%s", consumer ? consumer : "");
    return 0;
}

static uint32_t output_flags(const struct jmp_gpio_settings *settings)
{
    static const uint32_t drives[] = {
        [JMP_GPIO_OPEN_DRAIN] = GPIOHANDLE_REQUEST_OPEN_DRAIN, [JMP_GPIO_OPEN_SOURCE] = GPIOHANDLE_REQUEST_OPEN_SOURCE,
    };
    static const uint32_t biases[] = {
        [JMP_GPIO_PULL_UP] = GPIOHANDLE_REQUEST_BIAS_PULL_UP, [JMP_GPIO_PULL_DOWN] = GPIOHANDLE_REQUEST_BIAS_PULL_DOWN,
        [JMP_GPIO_BIAS_DISABLED] = GPIOHANDLE_REQUEST_BIAS_DISABLE,
    };

    return GPIOHANDLE_REQUEST_OUTPUT | (settings->active_low ? GPIOHANDLE_REQUEST_ACTIVE_LOW : 0) |
           drives[settings->drive] | biases[settings->bias];
}

static int output_handle(int chip, unsigned offset, uint32_t flags, bool value)
{
    struct gpiohandle_request handle = {
        .lineoffsets = { offset }, .lines = 1, .flags = flags, .default_values = { value },
        .consumer_label = JMP_GPIO_CONSUMER,
    };

    return ioctl(chip, GPIO_GET_LINEHANDLE_IOCTL, &handle) < 0 ? -errno : handle.fd;
}

/* Held as it is first, then made ours with the level that it has. */
static int keep_output(int chip, unsigned offset, uint32_t flags)
{
    struct gpiohandle_config config = { .flags = flags };
    _cleanup_close_ int fd = output_handle(chip, offset, flags & GPIOHANDLE_REQUEST_ACTIVE_LOW, false);
    int r;

    if (fd < 0)
        return fd;
    r = jmp_gpio_uapi_get(fd, 1);
    if (r < 0)
        return r;
    config.default_values[0] = (uint8_t)r;
    if (ioctl(fd, GPIOHANDLE_SET_CONFIG_IOCTL, &config) < 0)
        return -errno;

    return TAKE_FD(fd);
}

int jmp_gpio_request_output(struct jmp_gpio_chip *chip, unsigned offset, const struct jmp_gpio_settings *settings,
                            bool keep, bool value, struct jmp_gpio_request **ret)
{
    struct jmp_gpio_line_info info;
    struct jmp_gpio_request *request;
    _cleanup_close_ int fd = -EBADF;
    int r;

    r = jmp_gpio_line_info(chip, offset, &info);
    if (r < 0)
        return r;
    fd = keep && info.output ? keep_output(chip->fd, offset, output_flags(settings))
                             : output_handle(chip->fd, offset, output_flags(settings), value);
    if (fd < 0)
        return fd;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;

    request = calloc(1, sizeof(*request));
    if (!request)
        return -ENOMEM;
    request->fd = TAKE_FD(fd);
    *ret = request;
    return 0;
}

int jmp_gpio_request_input(struct jmp_gpio_chip *chip, unsigned offset, const struct jmp_gpio_settings *settings,
                           struct jmp_gpio_request **ret)
{
    static const int biases[] = {
        [JMP_GPIO_PULL_UP] = GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_UP,
        [JMP_GPIO_PULL_DOWN] = GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_DOWN,
        [JMP_GPIO_BIAS_DISABLED] = GPIOD_LINE_REQUEST_FLAG_BIAS_DISABLE,
    };
    _cleanup_(jmp_gpio_request_closep) struct jmp_gpio_request *request = calloc(1, sizeof(*request));
    int r;

    if (!request)
        return -ENOMEM;
    request->fd = -EBADF;

    /* A line lives in its chip, and this one is to outlive @chip. */
    errno = 0;
    request->chip = gpiod_chip_open(chip->path);
    if (!request->chip)
        return failure();
    r = get_line(request->chip, offset, &request->line);
    if (r < 0)
        return r;
    errno = 0;
    if (gpiod_line_request_both_edges_events_flags(
            request->line, JMP_GPIO_CONSUMER,
            biases[settings->bias] | (settings->active_low ? GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW : 0)) < 0)
        return failure();

    *ret = TAKE_PTR(request);
    return 0;
}

struct jmp_gpio_request *jmp_gpio_request_close(struct jmp_gpio_request *request)
{
    if (!request)
        return NULL;

    if (request->chip)
        gpiod_chip_close(request->chip);   /* with its line */
    jmp_close(request->fd);
    free(request);
    return NULL;
}

int jmp_gpio_request_get(struct jmp_gpio_request *request)
{
    int r;

    if (!request->chip)
        return jmp_gpio_uapi_get(request->fd, 1);

    errno = 0;
    r = gpiod_line_get_value(request->line);
    return r < 0 ? failure() : r;
}

int jmp_gpio_request_set(struct jmp_gpio_request *request, bool value)
{
    return jmp_gpio_uapi_set(request->fd, 1, value);
}

int jmp_gpio_request_fd(const struct jmp_gpio_request *request)
{
    return request->chip ? gpiod_line_event_get_fd(request->line) : request->fd;
}

/*
 * The kernel's own words, not gpiod_line_event_read(): its structure begins with the time, which in the 32-bit library
 * of Debian 12 is shorter than in our programs, and what follows is elsewhere.
 */
int jmp_gpio_request_edges(struct jmp_gpio_request *request, unsigned *rising, unsigned *falling)
{
    struct pollfd ready = { .fd = gpiod_line_event_get_fd(request->line), .events = POLLIN };
    struct gpioevent_data events[EDGES_AT_ONCE];

    for (;;) {
        ssize_t size = poll(&ready, 1, 0);

        if (size > 0)
            size = read(ready.fd, events, sizeof(events));
        if (size < 0)
            return -errno;
        if (size == 0)
            return 0;
        for (size_t i = 0; i < (size_t)size / sizeof(*events); i++)
            ++*(events[i].id == GPIOEVENT_EVENT_RISING_EDGE ? rising : falling);
    }
}
