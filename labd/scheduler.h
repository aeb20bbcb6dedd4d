/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who gets which board. Pure: the state of the lab goes in, changes come out; no clock, no storage, no wire.
 */
#pragma once

#include "labd/lease.h"
#include "labd/rules.h"

struct jmp_board {
    const struct jmp_exporter *exporter;   /* borrowed */
    bool online;                           /* heard of lately */
    bool leased;                           /* kept up to date by jmp_schedule() */
};

/**
 * jmp_schedule_lease() - one step for one lease that has not ended
 * @boards:  sorted by name; a board that is assigned is marked as leased
 * @rules:   who may lease what; looks at the labels in @lease->holder
 *
 * Ends the lease when it is released, expired or can never be satisfied; else assigns the free board that fits best
 * (highest priority, then by name), or says in a condition why it waits. A lease that ends gives its board back, for
 * the leases after it.
 *
 * Return: 1 when the lease was changed, 0 when not, -ENOMEM.
 */
int jmp_schedule_lease(struct jmp_lease *lease, struct jmp_board *boards, size_t board_count,
                       const struct jmp_rules *rules, int64_t now);

/**
 * jmp_schedule() - every lease in turn; first come, first served
 * @leases:   none of them ended, in order of arrival
 * @changed:  one for each lease
 *
 * Return: when to look again (wall clock; INT64_MAX: not because of time), or a negative errno.
 */
int64_t jmp_schedule(struct jmp_lease *leases, bool *changed, size_t lease_count, struct jmp_board *boards,
                     size_t board_count, const struct jmp_rules *rules, int64_t now);
