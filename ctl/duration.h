/* SPDX-License-Identifier: Apache-2.0 */
/* Spans and points of time as people write them. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/** jmp_duration_parse() - "90" (seconds), "30m", "1d3h40m", "2 hours", "01:30:00", "2 days, 01:30:00", "PT1H30M"
 * @ret:  microseconds, more than 0 unless the text says 0; at most 100 years
 * Return: 0, -EINVAL with words. */
int jmp_duration_parse(const char *text, int64_t *ret, struct jmp_error *reterr);
/** jmp_date_parse() - ISO 8601: "2026-11-21T12:00:00", with "Z" or "+01:00", local time without; seconds may be left
 * out
 * @ret:  microseconds since 1970 */
int jmp_date_parse(const char *text, int64_t *ret, struct jmp_error *reterr);
