/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/duration.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define MOST (100.0 * 366 * 24 * 3600)

static const struct {
    const char *name;
    double seconds;
} units[] = {
    { "w", 604800 }, { "week", 604800 }, { "weeks", 604800 }, { "d", 86400 }, { "day", 86400 }, { "days", 86400 },
    { "h", 3600 }, { "hr", 3600 }, { "hrs", 3600 }, { "hour", 3600 }, { "hours", 3600 }, { "m", 60 }, { "min", 60 },
    { "mins", 60 }, { "minute", 60 }, { "minutes", 60 }, { "s", 1 }, { "sec", 1 }, { "secs", 1 }, { "second", 1 },
    { "seconds", 1 }, { "ms", 0.001 },
};

static const char *skip(const char *text)
{
    while (isspace((unsigned char)*text) || *text == ',')
        text++;
    return text;
}

/* Digits and at most one dot; strtod() would take "1e9", "0x10", "inf" and a sign. */
static bool number(const char **text, double *ret)
{
    char digits[32];
    size_t length = strspn(*text, "0123456789.");

    if (length == 0 || length >= sizeof(digits) || **text == '.')
        return false;
    memcpy(digits, *text, length);
    digits[length] = '\0';
    if (strchr(digits, '.') != strrchr(digits, '.'))
        return false;
    *ret = strtod(digits, NULL);
    *text += length;
    return true;
}

/* "2 days 3h", "01:30:00" and both together */
static bool parse_words(const char *text, double *ret)
{
    double total = 0, value;
    bool any = false;

    for (text = skip(text); *text; text = skip(text)) {
        size_t length, i;

        if (!number(&text, &value))
            return false;
        if (*text == ':') {
            double parts[3] = { value };
            unsigned n = 1;

            while (*text == ':' && n < 3) {
                text++;
                if (!number(&text, &parts[n++]))
                    return false;
            }
            if (*skip(text))
                return false;
            *ret = total + (n == 3 ? parts[0] * 3600 + parts[1] * 60 + parts[2] : parts[0] * 60 + parts[1]);
            return true;
        }
        while (isspace((unsigned char)*text))
            text++;
        length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (length == 0) {
            /* A bare number is seconds, and alone. */
            *ret = value;
            return !any && !*text;
        }
        for (i = 0; i < ELEMENTSOF(units); i++) {
            if (strlen(units[i].name) == length && strncasecmp(units[i].name, text, length) == 0)
                break;
        }
        if (i == ELEMENTSOF(units))
            return false;
        total += value * units[i].seconds;
        text += length;
        any = true;
    }
    *ret = total;
    return any;
}

/* "P1DT2H30M" */
static bool parse_iso(const char *text, double *ret)
{
    double total = 0, value;
    bool time = false, any = false;

    for (text++; *text;) {
        double unit;

        if ((*text == 'T' || *text == 't') && !time) {
            time = true;
            text++;
            continue;
        }
        if (!number(&text, &value))
            return false;
        switch (toupper((unsigned char)*text)) {
        case 'W': unit = time ? 0 : 604800; break;
        case 'D': unit = time ? 0 : 86400; break;
        case 'H': unit = time ? 3600 : 0; break;
        case 'M': unit = time ? 60 : 0; break;
        case 'S': unit = time ? 1 : 0; break;
        default: return false;
        }
        if (unit == 0)
            return false;
        total += value * unit;
        any = true;
        text++;
    }
    *ret = total;
    return any;
}

int jmp_duration_parse(const char *text, int64_t *ret, struct jmp_error *reterr)
{
    double seconds;

    if (!(*text == 'P' || *text == 'p' ? parse_iso(text, &seconds) : parse_words(text, &seconds)) || seconds > MOST) {
        jmp_error_set(reterr, -EINVAL, "\"%.60s\" is not a duration", text);
        jmp_error_hint(reterr, "for example 30m, 1d3h, 3600, 01:30:00 or PT1H30M");
        return -EINVAL;
    }
    *ret = (int64_t)(seconds * 1e6 + 0.5);
    return 0;
}

int jmp_date_parse(const char *text, int64_t *ret, struct jmp_error *reterr)
{
    static const char *const formats[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M",
                                           "%Y-%m-%d" };
    for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
        struct tm tm = { .tm_isdst = -1 };
        const char *rest = strptime(text, formats[i], &tm), *end;
        time_t time, offset;

        if (!rest)
            continue;
        if (!*rest) {
            time = mktime(&tm);
        } else {
            /* "Z", "+01:00", "+0100" */
            end = strptime(rest, "%z", &tm);
            if (!end || *end || *rest == ' ' || labs(tm.tm_gmtoff) > 15 * 3600)
                continue;
            offset = tm.tm_gmtoff;   /* which timegm() forgets */
            time = timegm(&tm) - offset;
        }
        *ret = (int64_t)time * 1000000;
        return 0;
    }
    jmp_error_set(reterr, -EINVAL, "\"%.60s\" is not a date", text);
    jmp_error_hint(reterr,
                   "for example 2026-11-21T12:00:00 (local time), 2026-11-21T12:00:00Z or 2026-11-21T12:00:00+01:00");
    return -EINVAL;
}
