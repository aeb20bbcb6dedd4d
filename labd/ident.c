/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/ident.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void jmp_uuid_ordered(char ret[JMP_UUID_SIZE])
{
    char random[JMP_UUID_SIZE], stamp[13];
    struct timespec now;
    uint64_t msec;

    clock_gettime(CLOCK_REALTIME, &now);
    msec = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    snprintf(stamp, sizeof(stamp), "%012" PRIx64, msec & UINT64_C(0xffffffffffff));

    /* Version 7: 48 bits of milliseconds, the version, and the rest of a random UUID. */
    jmp_uuid_random(random);
    memcpy(random, stamp, 8);
    memcpy(random + 9, stamp + 8, 4);
    random[14] = '7';
    memcpy(ret, random, JMP_UUID_SIZE);
}
