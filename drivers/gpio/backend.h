/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the drivers need of GPIO, in the words of neither generation of libgpiod: line_v1.c stands on 1.6, line_v2.c
 * on 2.x; a program has one of them. Nothing here logs; errors are the kernel's: -EBUSY a line that somebody else
 * holds, -ENODEV a chip that has gone, -ENOTTY a file that is no GPIO chip, -EACCES and the like.
 *
 * Values are logical: true is active, whatever "active" means in volts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

#define JMP_GPIO_NAME_SIZE 32u                 /* of the kernel's names, with their NUL */
#define JMP_GPIO_CONSUMER "jumpstarter-gpiod"  /* what gpioinfo shows; stock exporters say the same */

enum jmp_gpio_drive { JMP_GPIO_PUSH_PULL, JMP_GPIO_OPEN_DRAIN, JMP_GPIO_OPEN_SOURCE };
enum jmp_gpio_bias { JMP_GPIO_BIAS_AS_IS, JMP_GPIO_PULL_UP, JMP_GPIO_PULL_DOWN, JMP_GPIO_BIAS_DISABLED };

struct jmp_gpio_settings {
    bool active_low;
    enum jmp_gpio_drive drive;
    enum jmp_gpio_bias bias;
};

struct jmp_gpio_chip_info {
    char name[JMP_GPIO_NAME_SIZE], label[JMP_GPIO_NAME_SIZE];
    unsigned lines;
};

struct jmp_gpio_line_info {
    char name[JMP_GPIO_NAME_SIZE], consumer[JMP_GPIO_NAME_SIZE];   /* "": none */
    bool used, output;
};

struct jmp_gpio_chip;
struct jmp_gpio_request;

/** jmp_gpio_chip_open() - to look at its lines and to request some; requests outlive it
 * @path:  of its device node */
int jmp_gpio_chip_open(const char *path, struct jmp_gpio_chip **ret);
struct jmp_gpio_chip *jmp_gpio_chip_close(struct jmp_gpio_chip *chip);   /* accepts NULL */
JMP_DEFINE_CLEANUP(struct jmp_gpio_chip *, jmp_gpio_chip_close)
int jmp_gpio_chip_info(struct jmp_gpio_chip *chip, struct jmp_gpio_chip_info *ret);
int jmp_gpio_line_info(struct jmp_gpio_chip *chip, unsigned offset, struct jmp_gpio_line_info *ret);

/**
 * jmp_gpio_request_output() - drive a line
 * @keep:  a line that is an output already keeps its level, whatever @value says: taking it over is not seen outside
 * @value: the level otherwise, there from the first moment on
 */
int jmp_gpio_request_output(struct jmp_gpio_chip *chip, unsigned offset, const struct jmp_gpio_settings *settings,
                            bool keep, bool value, struct jmp_gpio_request **ret);
/** jmp_gpio_request_input() - read a line; edges of both kinds are queued from now on */
int jmp_gpio_request_input(struct jmp_gpio_chip *chip, unsigned offset, const struct jmp_gpio_settings *settings,
                           struct jmp_gpio_request **ret);
/** jmp_gpio_request_close() - let go of the line; accepts NULL */
struct jmp_gpio_request *jmp_gpio_request_close(struct jmp_gpio_request *request);
JMP_DEFINE_CLEANUP(struct jmp_gpio_request *, jmp_gpio_request_close)

int jmp_gpio_request_get(struct jmp_gpio_request *request);              /* 1 active, 0 inactive */
int jmp_gpio_request_set(struct jmp_gpio_request *request, bool value);
/** jmp_gpio_request_fd() - of an input: readable while edges are queued. A duplicate of an output's holds the line. */
int jmp_gpio_request_fd(const struct jmp_gpio_request *request);
/** jmp_gpio_request_edges() - take all queued edges, without waiting, and add their numbers */
int jmp_gpio_request_edges(struct jmp_gpio_request *request, unsigned *rising, unsigned *falling);
