/* SPDX-License-Identifier: Apache-2.0 */
#include "base/backoff.h"

#include <limits.h>
#include <sys/random.h>
#include <time.h>

#include "base/limits.h"

static uint64_t ceiling(const struct jmp_backoff *backoff)
{
    uint64_t base = backoff->base ? backoff->base : JMP_USEC_PER_SEC;
    uint64_t cap = backoff->cap ? backoff->cap : 30 * JMP_USEC_PER_SEC;

    if (backoff->failures >= 64 || base > cap >> backoff->failures)
        return cap;
    return base << backoff->failures;
}

static uint64_t random_number(void)
{
    struct timespec now;
    uint64_t number;

    /* Early in boot there may be no random numbers yet; spreading out peers is worth no waiting for them. */
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) == (ssize_t)sizeof(number))
        return number;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_nsec * UINT64_C(0x9e3779b97f4a7c15) >> 20;
}

uint64_t jmp_backoff_next(struct jmp_backoff *backoff)
{
    uint64_t high = ceiling(backoff);
    uint64_t low = (backoff->base ? backoff->base : JMP_USEC_PER_SEC) / 2;

    if (low > high)
        low = high / 2;
    if (backoff->failures < UINT_MAX)
        backoff->failures++;

    return low + random_number() % (high - low + 1);
}

void jmp_backoff_lasted(struct jmp_backoff *backoff, uint64_t lasted)
{
    if (lasted > ceiling(backoff))
        backoff->failures = 0;
}
