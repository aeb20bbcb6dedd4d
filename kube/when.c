/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/when.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/limits.h"

#define MINUTE 60
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define MONTH (30 * DAY)    /* the tables' month */
#define YEAR (365 * DAY)

#define NSEC_PER_SEC INT64_C(1000000000)

/* Exactly @digits digits; -1: something else. */
static int take_number(const char **text, unsigned digits)
{
    int value = 0;

    for (; digits > 0; digits--, (*text)++) {
        if (!isdigit((unsigned char)**text))
            return -1;
        value = value * 10 + (**text - '0');
    }
    return value;
}

static bool take(const char **text, char c)
{
    if (toupper((unsigned char)**text) != c)
        return false;
    (*text)++;
    return true;
}

static unsigned days_of(int year, int month)
{
    static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

int jmp_kube_time_parse(const char *text, int64_t *ret)
{
    struct tm tm = { 0 };
    int64_t usec = 0;
    int offset = 0;

    tm.tm_year = take_number(&text, 4);
    if (tm.tm_year < 0 || !take(&text, '-'))
        return -EINVAL;
    tm.tm_mon = take_number(&text, 2);
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || !take(&text, '-'))
        return -EINVAL;
    tm.tm_mday = take_number(&text, 2);
    if (tm.tm_mday < 1 || tm.tm_mday > (int)days_of(tm.tm_year, tm.tm_mon) || !take(&text, 'T'))
        return -EINVAL;
    tm.tm_hour = take_number(&text, 2);
    if (tm.tm_hour < 0 || tm.tm_hour > 23 || !take(&text, ':'))
        return -EINVAL;
    tm.tm_min = take_number(&text, 2);
    if (tm.tm_min < 0 || tm.tm_min > 59 || !take(&text, ':'))
        return -EINVAL;
    tm.tm_sec = take_number(&text, 2);
    if (tm.tm_sec < 0 || tm.tm_sec > 59)
        return -EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon--;

    if (*text == '.') {
        unsigned digits = 0;

        for (text++; isdigit((unsigned char)*text); text++, digits++)
            if (digits < 6)
                usec = usec * 10 + (*text - '0');
        if (digits == 0 || digits > 9)
            return -EINVAL;
        for (; digits < 6; digits++)
            usec *= 10;
    }

    if (*text == '+' || *text == '-') {
        int sign = *text++ == '-' ? -1 : 1, hours = take_number(&text, 2), minutes;

        if (hours < 0 || hours > 23 || !take(&text, ':'))
            return -EINVAL;
        minutes = take_number(&text, 2);
        if (minutes < 0 || minutes > 59)
            return -EINVAL;
        offset = sign * (hours * HOUR + minutes * MINUTE);
    } else if (!take(&text, 'Z')) {
        return -EINVAL;
    }
    if (*text)
        return -EINVAL;

    *ret = ((int64_t)timegm(&tm) - offset) * (int64_t)JMP_USEC_PER_SEC + usec;
    return 0;
}

/* Rounds down, also before 1970. Returns the microseconds that are left. */
static unsigned split(int64_t usec, struct tm *ret)
{
    int64_t second = (int64_t)JMP_USEC_PER_SEC, rest = usec % second;
    time_t time;

    if (rest < 0)
        rest += second;
    time = (time_t)((usec - rest) / second);
    gmtime_r(&time, ret);
    return (unsigned)rest;
}

/* strftime() would write the year 296 with three digits. Returns the length. */
static size_t print_date(const struct tm *tm, char ret[static JMP_KUBE_TIME_SIZE])
{
    int year = tm->tm_year + 1900, n;

    n = snprintf(ret, JMP_KUBE_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", year < 0 ? 0 : year > 9999 ? 9999 : year,
                 tm->tm_mon + 1, tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec);
    return n < 0 ? 0 : (size_t)n;
}

void jmp_kube_time_print(int64_t usec, char ret[static JMP_KUBE_TIME_SIZE])
{
    struct tm tm;

    split(usec, &tm);
    strcpy(ret + print_date(&tm, ret), "Z");
}

void jmp_kube_microtime_print(int64_t usec, char ret[static JMP_KUBE_TIME_SIZE])
{
    struct tm tm;
    unsigned rest = split(usec, &tm);
    size_t length = print_date(&tm, ret);

    snprintf(ret + length, JMP_KUBE_TIME_SIZE - length, ".%06uZ", rest);
}

static const struct {
    const char *name;
    int64_t nsec;
} units[] = {
    { "ns", 1 },
    { "us", 1000 },
    { "\xc2\xb5s", 1000 },   /* µ, the micro sign */
    { "\xce\xbcs", 1000 },   /* μ, the Greek letter */
    { "ms", 1000000 },
    { "s", NSEC_PER_SEC },
    { "m", MINUTE * NSEC_PER_SEC },
    { "h", HOUR * NSEC_PER_SEC },
};

/* The longest unit that @text begins with: "ms" before "m". 0: none. */
static int64_t take_unit(const char **text)
{
    size_t longest = 0;
    int64_t nsec = 0;

    for (size_t i = 0; i < ELEMENTSOF(units); i++) {
        size_t length = strlen(units[i].name);

        if (length > longest && strncmp(*text, units[i].name, length) == 0) {
            longest = length;
            nsec = units[i].nsec;
        }
    }
    *text += longest;
    return nsec;
}

int jmp_kube_duration_parse(const char *text, int64_t *ret)
{
    bool negative = *text == '-', any = false;
    int64_t total = 0;

    if (*text == '-' || *text == '+')
        text++;
    if (strcmp(text, "0") == 0) {
        *ret = 0;
        return 0;
    }

    while (*text) {
        int64_t whole = 0, fraction = 0, scale = 1, nsec;
        bool digits = false;

        for (; isdigit((unsigned char)*text); text++, digits = true)
            if (__builtin_mul_overflow(whole, INT64_C(10), &whole) ||
                __builtin_add_overflow(whole, *text - '0', &whole))
                return -ERANGE;
        if (*text == '.') {
            for (text++; isdigit((unsigned char)*text); text++, digits = true) {
                /* What is finer than a nanosecond of an hour is dropped. */
                if (scale < INT64_C(10000000000000)) {
                    fraction = fraction * 10 + (*text - '0');
                    scale *= 10;
                }
            }
        }
        nsec = digits ? take_unit(&text) : 0;
        if (nsec == 0)
            return -EINVAL;
        if (__builtin_mul_overflow(whole, nsec, &whole) || __builtin_add_overflow(total, whole, &total))
            return -ERANGE;
        if (__builtin_add_overflow(total, (int64_t)((double)fraction * ((double)nsec / (double)scale)), &total))
            return -ERANGE;
        any = true;
    }
    if (!any)
        return -EINVAL;
    *ret = negative ? -total : total;
    return 0;
}

/* "1.5", with @unit's fraction but no zeroes behind it */
static void print_fraction(uint64_t nsec, uint64_t unit, const char *name, char *ret, size_t size)
{
    uint64_t fraction = nsec % unit;
    unsigned digits = 0;

    for (uint64_t left = unit; left > 1; left /= 10)
        digits++;
    while (digits > 0 && fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    if (digits > 0)
        snprintf(ret, size, "%llu.%0*llu%s", (unsigned long long)(nsec / unit), (int)digits,
                 (unsigned long long)fraction, name);
    else
        snprintf(ret, size, "%llu%s", (unsigned long long)(nsec / unit), name);
}

void jmp_kube_duration_print(int64_t nsec, char ret[static JMP_KUBE_DURATION_SIZE])
{
    uint64_t left = nsec < 0 ? -(uint64_t)nsec : (uint64_t)nsec;
    uint64_t hours = left / (HOUR * NSEC_PER_SEC), minutes = left / (MINUTE * NSEC_PER_SEC) % 60;
    char *out = ret, *end = ret + JMP_KUBE_DURATION_SIZE;

    if (nsec < 0)
        *out++ = '-';
    if (left >= NSEC_PER_SEC) {
        if (hours > 0)
            out += snprintf(out, (size_t)(end - out), "%lluh", (unsigned long long)hours);
        if (hours > 0 || minutes > 0)
            out += snprintf(out, (size_t)(end - out), "%llum", (unsigned long long)minutes);
        print_fraction(left % (MINUTE * NSEC_PER_SEC), NSEC_PER_SEC, "s", out, (size_t)(end - out));
    } else if (left >= 1000000) {
        print_fraction(left, 1000000, "ms", out, (size_t)(end - out));
    } else if (left >= 1000) {
        print_fraction(left, 1000, "\xc2\xb5s", out, (size_t)(end - out));
    } else {
        snprintf(out, (size_t)(end - out), left > 0 ? "%lluns" : "%llus", (unsigned long long)left);
    }
}

/*
 * An age is one unit, or two of them while the first is below @both; the rows go from short to long.
 */
struct age_row {
    int64_t below;                  /* ages below this one, in seconds; 0: all */
    int64_t unit, second;           /* second 0: never shown */
    const char *unit_name, *second_name;
};

static void print_age(const struct age_row *row, int64_t seconds, char ret[static JMP_KUBE_AGE_SIZE])
{
    int64_t first, second;

    if (seconds < 0)
        seconds = 0;
    while (row->below > 0 && seconds >= row->below)
        row++;
    first = seconds / row->unit;
    second = row->second > 0 ? seconds % row->unit / row->second : 0;
    if (second > 0)
        snprintf(ret, JMP_KUBE_AGE_SIZE, "%lld%s%lld%s", (long long)first, row->unit_name, (long long)second,
                 row->second_name);
    else
        snprintf(ret, JMP_KUBE_AGE_SIZE, "%lld%s", (long long)first, row->unit_name);
}

void jmp_kube_age_print(int64_t seconds, char ret[static JMP_KUBE_AGE_SIZE])
{
    static const struct age_row rows[] = {
        { MINUTE, 1, 0, "s", NULL },
        { HOUR, MINUTE, 1, "m", "s" },
        { 2 * HOUR, HOUR, MINUTE, "h", "m" },
        { DAY, HOUR, 0, "h", NULL },
        { MONTH, DAY, HOUR, "d", "h" },
        { YEAR, MONTH, DAY, "mo", "d" },
        { 0, YEAR, MONTH, "y", "mo" },
    };

    print_age(rows, seconds, ret);
}

void jmp_kube_lease_age_print(int64_t seconds, char ret[static JMP_KUBE_AGE_SIZE])
{
    static const struct age_row rows[] = {
        { 2 * MINUTE, 1, 0, "s", NULL },
        { 10 * MINUTE, MINUTE, 1, "m", "s" },
        { 3 * HOUR, MINUTE, 0, "m", NULL },
        { 8 * HOUR, HOUR, MINUTE, "h", "m" },
        { 2 * DAY, HOUR, 0, "h", NULL },
        { 8 * DAY, DAY, HOUR, "d", "h" },
        { 2 * (int64_t)YEAR, DAY, 0, "d", NULL },
        { 8 * (int64_t)YEAR, YEAR, DAY, "y", "d" },
        { 0, YEAR, 0, "y", NULL },
    };

    print_age(rows, seconds, ret);
}
