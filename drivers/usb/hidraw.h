/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HID devices of one purpose, such as relay boards, through the kernel's hidraw: opened for one command, and locked
 * meanwhile, so that two drivers (or two agents) on one board take turns. The kernel ends each transfer after five
 * seconds.
 */
#pragma once

#include <stdint.h>

#include "drivers/driver.h"

/**
 * jmp_hidraw_open() - find, open and lock
 * @prefix:  of its product name, "" for any: some ids are shared by many devices
 * @serial:  NULL: there has to be one only
 * @name:    its product name, may be NULL; 128 bytes
 *
 * Return: a descriptor, or with the call's sentence set: -ENODEV, -ENOTUNIQ, -EACCES, -EBUSY (locked for seconds),
 * -ECANCELED.
 */
int jmp_hidraw_open(struct jmp_call *call, uint16_t vendor, uint16_t product, const char *prefix, const char *serial,
                    char *name);

/** jmp_hidraw_write() - an output report. @report begins with its number, 0 for devices without. 0 or errno with a
 * sentence. */
int jmp_hidraw_write(struct jmp_call *call, int fd, const void *report, size_t size);
/** jmp_hidraw_read() - one input report. Return: its size, -ETIMEDOUT after @usec, and others. No sentence is set. */
int jmp_hidraw_read(struct jmp_call *call, int fd, void *report, size_t size, uint64_t usec);
/** jmp_hidraw_set_feature(), jmp_hidraw_get_feature() - a feature report; @report begins with its number. 0, or size,
 * or errno with a sentence. */
int jmp_hidraw_set_feature(struct jmp_call *call, int fd, const void *report, size_t size);
int jmp_hidraw_get_feature(struct jmp_call *call, int fd, void *report, size_t size);
