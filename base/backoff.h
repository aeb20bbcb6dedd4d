/* SPDX-License-Identifier: Apache-2.0 */
/* The one back-off: 1 s doubling to 30 s with full jitter, for ever, reset by a success that lasted. */
#pragma once

#include <stdint.h>

struct jmp_backoff {
    uint64_t base, cap;      /* microseconds; 0: 1 s and 30 s */
    unsigned failures;       /* in a row */
};

/** jmp_backoff_next() - how long to wait before the next try, in microseconds: random between base/2 and the
 * current ceiling, which doubles with each call up to the cap */
uint64_t jmp_backoff_next(struct jmp_backoff *backoff);
/** jmp_backoff_lasted() - a try succeeded and held for @lasted microseconds; resets only if that was longer than
 * the wait that a next failure would cost, so that a peer which accepts and drops does not cause a busy loop */
void jmp_backoff_lasted(struct jmp_backoff *backoff, uint64_t lasted);
