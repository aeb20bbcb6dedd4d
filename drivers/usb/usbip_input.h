/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client of USB/IP says, read ahead: most of it is headers of 48 bytes, and asking the socket for each of them,
 * and once more to learn that there is none, would be most of what a transfer costs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct jmp_usbip_input {
    int fd; /* a stream socket, not owned */
    bool drained;
    size_t from, to; /* of @ahead: read, and not taken */
    uint8_t ahead[4096];
};

/** jmp_usbip_input_news() - poll() has said that there is something to read */
void jmp_usbip_input_news(struct jmp_usbip_input *input);
/** jmp_usbip_input_waiting() - how many bytes were read ahead, of which poll() knows nothing */
size_t jmp_usbip_input_waiting(const struct jmp_usbip_input *input);
/**
 * jmp_usbip_input_take() - the next bytes, without waiting
 * @size:  how many are wanted, at least 1
 * Return: how many there were; -EAGAIN: none now; 0: the client has said all; others of recv().
 */
ssize_t jmp_usbip_input_take(struct jmp_usbip_input *input, uint8_t *ret, size_t size);
