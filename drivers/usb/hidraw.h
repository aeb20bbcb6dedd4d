/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HID devices of one purpose, such as relay boards, through the kernel's hidraw: opened for one command, and locked
 * meanwhile, so that two drivers (or two agents) on one board take turns. The kernel ends each transfer after five
 * seconds.
 */
#pragma once

#include <stdint.h>

#include "drivers/driver.h"

struct jmp_hidraw_board {
    uint16_t vendor, product;
    const char *prefix; /* of its product name, "" for any: some ids are shared by many devices */
    const char *serial; /* NULL: there has to be one only */
    /**
     * @is: NULL, or for boards that have their serial number elsewhere than in their descriptors: is this @serial's?
     * 1, 0, or negative with a sentence, and then others are still looked at.
     */
    int (*is)(struct jmp_call *call, int fd, const char *serial);
};

/**
 * jmp_hidraw_open() - find, open and lock
 * @name:  its product name, may be NULL; 128 bytes
 *
 * Return: a descriptor, or with the call's sentence set: -ENODEV, -ENOTUNIQ, -EACCES, -EBUSY (locked for seconds),
 * -ECANCELED.
 */
int jmp_hidraw_open(struct jmp_call *call, const struct jmp_hidraw_board *board, char *name);

/** jmp_hidraw_write() - an output report. @report begins with its number, 0 for devices without. 0 or errno with a
 * sentence. */
int jmp_hidraw_write(struct jmp_call *call, int fd, const void *report, size_t size);
/** jmp_hidraw_read() - one input report. Return: its size, -ETIMEDOUT after @usec, and others. No sentence is set. */
int jmp_hidraw_read(struct jmp_call *call, int fd, void *report, size_t size, uint64_t usec);
/** jmp_hidraw_set_feature(), jmp_hidraw_get_feature() - a feature report; @report begins with its number. 0, or size,
 * or errno with a sentence. */
int jmp_hidraw_set_feature(struct jmp_call *call, int fd, const void *report, size_t size);
int jmp_hidraw_get_feature(struct jmp_call *call, int fd, void *report, size_t size);
