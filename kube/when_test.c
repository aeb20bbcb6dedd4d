/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/when.h"

#include <string.h>

#include "base/test.h"

JMP_TEST(times_are_read_with_any_offset_and_fraction)
{
    static const struct {
        const char *text;
        int64_t usec;
    } rows[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1970-01-01T00:00:00.5Z", 500000 },
        { "1970-01-01T00:00:00.123456789Z", 123456 },
        { "1970-01-01T02:00:00.123456+02:00", 123456 },
        { "1969-12-31T23:59:59.999999Z", -1 },
        { "2024-02-29T12:00:00-00:30", INT64_C(1709209800000000) },
        { "2024-01-01t12:00:00z", INT64_C(1704110400000000) },
    };
    static const char *const wrong[] = {
        "", "2024", "2024-01-01", "2024-01-01T12:00:00", "2024-13-01T12:00:00Z", "2023-02-29T12:00:00Z",
        "2024-01-01T24:00:00Z", "2024-01-01T12:60:00Z", "2024-01-01T12:00:60Z", "2024-01-01T12:00:00.Z",
        "2024-01-01T12:00:00.1234567890Z", "2024-01-01T12:00:00+0200", "2024-01-01T12:00:00Zx", "2024-1-01T12:00:00Z",
        "2024-00-01T12:00:00Z", "2024-01-00T12:00:00Z", "-024-01-01T12:00:00Z", "2024-01-01 12:00:00Z",
    };
    int64_t usec;

    print_message("%zu rows\n", ELEMENTSOF(rows) + ELEMENTSOF(wrong));
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        if (jmp_kube_time_parse(rows[i].text, &usec) != 0)
            fail_msg("\"%s\" was refused", rows[i].text);
        if (usec != rows[i].usec)
            fail_msg("\"%s\" is %lld", rows[i].text, (long long)usec);
    }
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        if (jmp_kube_time_parse(wrong[i], &usec) != -EINVAL)
            fail_msg("\"%s\" was taken", wrong[i]);
}

JMP_TEST(times_are_written_in_the_one_form_that_servers_take)
{
    char text[JMP_KUBE_TIME_SIZE];

    jmp_kube_time_print(INT64_C(1729783425999999), text);
    assert_string_equal(text, "2024-10-24T15:23:45Z");
    jmp_kube_microtime_print(INT64_C(1729783425000000), text);
    assert_string_equal(text, "2024-10-24T15:23:45.000000Z");
    jmp_kube_microtime_print(INT64_C(1729783425000042), text);
    assert_string_equal(text, "2024-10-24T15:23:45.000042Z");
    jmp_kube_microtime_print(INT64_C(-52826342400000000), text);
    assert_string_equal(text, "0296-01-01T00:00:00.000000Z");
    jmp_kube_microtime_print(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
}

JMP_TEST(durations_are_those_of_go)
{
    static const struct {
        const char *text;
        int64_t nsec;
        const char *printed;
    } rows[] = {
        { "0", 0, "0s" },
        { "0s", 0, "0s" },
        { "1h0m0s", INT64_C(3600000000000), "1h0m0s" },
        { "90m", INT64_C(5400000000000), "1h30m0s" },
        { "1.5h", INT64_C(5400000000000), "1h30m0s" },
        { ".5s", 500000000, "500ms" },
        { "5.s", INT64_C(5000000000), "5s" },
        { "1h0m0.5s", INT64_C(3600500000000), "1h0m0.5s" },
        { "-1h", INT64_C(-3600000000000), "-1h0m0s" },
        { "+2m3s", INT64_C(123000000000), "2m3s" },
        { "100us", 100000, "100\xc2\xb5s" },
        { "1\xc2\xb5s", 1000, "1\xc2\xb5s" },
        { "1\xce\xbcs", 1000, "1\xc2\xb5s" },
        { "1.25ms", 1250000, "1.25ms" },
        { "7ns", 7, "7ns" },
        { "2562047h47m16.854775807s", INT64_MAX, "2562047h47m16.854775807s" },
    };
    static const char *const wrong[] = {
        "", "-", "1", "h", "1x", "1h ", " 1h", "1 h", ".", ".s", "1h2", "abc", "1hh", "--1h", "1d",
    };
    char printed[JMP_KUBE_DURATION_SIZE];
    int64_t nsec;

    print_message("%zu rows\n", ELEMENTSOF(rows) + ELEMENTSOF(wrong));
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        if (jmp_kube_duration_parse(rows[i].text, &nsec) != 0)
            fail_msg("\"%s\" was refused", rows[i].text);
        if (nsec != rows[i].nsec)
            fail_msg("\"%s\" is %lld", rows[i].text, (long long)nsec);
        jmp_kube_duration_print(nsec, printed);
        assert_string_equal(printed, rows[i].printed);
    }
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        if (jmp_kube_duration_parse(wrong[i], &nsec) != -EINVAL)
            fail_msg("\"%s\" was taken", wrong[i]);
    assert_int_equal(jmp_kube_duration_parse("2562048h", &nsec), -ERANGE);
    assert_int_equal(jmp_kube_duration_parse("99999999999999999999s", &nsec), -ERANGE);
    assert_int_equal(jmp_kube_duration_parse("2562047h2562047h", &nsec), -ERANGE);
    jmp_kube_duration_print(INT64_MIN, printed);
    assert_string_equal(printed, "-2562047h47m16.854775808s");
}

JMP_TEST(ages_are_short)
{
    static const struct {
        int64_t seconds;
        const char *ours, *lease;
    } rows[] = {
        { -5, "0s", "0s" },
        { 0, "0s", "0s" },
        { 59, "59s", "59s" },
        { 60, "1m", "60s" },
        { 61, "1m1s", "61s" },
        { 119, "1m59s", "119s" },
        { 120, "2m", "2m" },
        { 333, "5m33s", "5m33s" },
        { 3660, "1h1m", "61m" },
        { 7260, "2h", "121m" },
        { 10799, "2h", "179m" },
        { 11100, "3h", "3h5m" },
        { 90000, "1d1h", "25h" },
        { 694800, "8d1h", "8d" },
        { 31535999, "12mo4d", "364d" },
        { 62899200, "1y12mo", "728d" },
        { 63072000, "2y", "2y" },
        { 300000000, "9y6mo", "9y" },
    };
    char text[JMP_KUBE_AGE_SIZE];

    print_message("%zu rows\n", ELEMENTSOF(rows));
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        jmp_kube_age_print(rows[i].seconds, text);
        assert_string_equal(text, rows[i].ours);
        jmp_kube_lease_age_print(rows[i].seconds, text);
        assert_string_equal(text, rows[i].lease);
    }
}
