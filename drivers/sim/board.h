/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated board: bytes in, bytes out, and a clock that the caller reads. No descriptor, no thread, no lock, so that
 * a test can live through a whole day on the board in a moment. drivers/sim/device.c wires it up.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct jmp_sim_board;

struct jmp_sim_settings {
    const char *hostname;
    const char *password;    /* of root; NULL: none is asked for */
    const char *banner;      /* above the login prompt; NULL: one of its own */
    uint64_t boot;           /* from power to prompt, microseconds */
    int64_t realtime;        /* wall clock minus the clock of the calls below, microseconds */
};

/** jmp_sim_board_new() - switched off; @settings and its strings are borrowed. Return: 0 or -ENOMEM. */
int jmp_sim_board_new(const struct jmp_sim_settings *settings, struct jmp_sim_board **ret);
struct jmp_sim_board *jmp_sim_board_free(struct jmp_sim_board *board);   /* always NULL; accepts NULL */
JMP_DEFINE_CLEANUP(struct jmp_sim_board *, jmp_sim_board_free)

/* In all calls @now is in microseconds and never goes back. */

/** jmp_sim_board_power() - switching on boots; on while on, also of a halted board, does nothing */
void jmp_sim_board_power(struct jmp_sim_board *board, bool on, uint64_t now);

/**
 * jmp_sim_board_input() - bytes that arrive at the board's serial port
 *
 * Return: how many it took. It takes all of them, one after another, unless its output has to be fetched first.
 */
size_t jmp_sim_board_input(struct jmp_sim_board *board, const char *data, size_t size, uint64_t now);

/** jmp_sim_board_run() - let it work. Return: when it wants to be called again, JMP_USEC_INFINITY: not before there is
 * input, or its output was fetched */
uint64_t jmp_sim_board_run(struct jmp_sim_board *board, uint64_t now);

/** jmp_sim_board_output() - what leaves the serial port: a contiguous piece, 0: nothing now */
size_t jmp_sim_board_output(const struct jmp_sim_board *board, const char **ret);
void jmp_sim_board_fetched(struct jmp_sim_board *board, size_t size);   /* @size bytes of that piece are on their way */

/** jmp_sim_board_measure() - what a meter in its supply shows: volts and amperes */
void jmp_sim_board_measure(struct jmp_sim_board *board, uint64_t now, double *retvoltage, double *retcurrent);
