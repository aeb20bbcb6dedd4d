/* SPDX-License-Identifier: Apache-2.0 */
#include "config/scalar.h"

#include <math.h>
#include <string.h>

#include "base/test.h"

/* What PyYAML 6.0's safe loader makes of each; strings where it raises an exception or makes a date. */
static const struct {
    const char *text;
    const char *value;   /* "null", "true", "false", "i<whole number>", "f<number>", or "s": the text itself */
} cases[] = {
    { "", "null" },
    { "~", "null" },
    { "null", "null" },
    { "Null", "null" },
    { "NULL", "null" },
    { "nULL", "s" },
    { "none", "s" },
    { "None", "s" },
    { "yes", "true" },
    { "Yes", "true" },
    { "YES", "true" },
    { "yEs", "s" },
    { "no", "false" },
    { "No", "false" },
    { "NO", "false" },
    { "on", "true" },
    { "On", "true" },
    { "ON", "true" },
    { "oN", "s" },
    { "off", "false" },
    { "Off", "false" },
    { "OFF", "false" },
    { "true", "true" },
    { "True", "true" },
    { "TRUE", "true" },
    { "tRUE", "s" },
    { "false", "false" },
    { "False", "false" },
    { "FALSE", "false" },
    { "y", "s" },
    { "n", "s" },
    { "Y", "s" },
    { "N", "s" },
    { "t", "s" },
    { "ok", "s" },
    { "enable", "s" },
    { "on ", "s" },
    { "0", "i0" },
    { "-0", "i0" },
    { "+0", "i0" },
    { "00", "i0" },
    { "1", "i1" },
    { "-1", "i-1" },
    { "+1", "i1" },
    { "--1", "s" },
    { "+-1", "s" },
    { "17", "i17" },
    { "115200", "i115200" },
    { "1_000", "i1000" },
    { "1__0_", "i10" },
    { "_1", "s" },
    { "1,000", "s" },
    { "0123", "i83" },
    { "-0123", "i-83" },
    { "01_7", "i15" },
    { "0_", "i0" },
    { "08", "s" },
    { "09", "s" },
    { "0129", "s" },
    { "0o17", "s" },
    { "0b101", "i5" },
    { "0b1_0", "i2" },
    { "-0b11", "i-3" },
    { "0b2", "s" },
    { "0b", "s" },
    { "0b_", "s" },
    { "0B1", "s" },
    { "0x1F", "i31" },
    { "0xff", "i255" },
    { "+0xFF", "i255" },
    { "-0x10", "i-16" },
    { "0x1_0", "i16" },
    { "0x", "s" },
    { "0x_", "s" },
    { "0X10", "s" },
    { "0xg", "s" },
    { "0x10.5", "s" },
    { "1:30", "i90" },
    { "-1:30", "i-90" },
    { "12:30:45", "i45045" },
    { "190:20:30", "i685230" },
    { "1:5", "i65" },
    { "1:59", "i119" },
    { "1:60", "s" },
    { "1:030", "s" },
    { "01:30", "s" },
    { "0:30", "s" },
    { "1:", "s" },
    { ":30", "s" },
    { "1::30", "s" },
    { "1:30:", "s" },
    { "1_0:30", "i630" },
    { "22:22", "i1342" },
    { "80:8080", "s" },
    { "9223372036854775807", "i9223372036854775807" },
    { "-9223372036854775808", "i-9223372036854775808" },
    { "9223372036854775808", "f9223372036854775808" },
    { "-9223372036854775809", "f-9223372036854775808" },
    { "0x7fffffffffffffff", "i9223372036854775807" },
    { "0x10000000000000000", "f18446744073709551616" },
    { "100000000000000000000", "f1e20" },
    { "1.0", "f1" },
    { "1.", "f1" },
    { "1.5", "f1.5" },
    { "-1.5", "f-1.5" },
    { "+1.5", "f1.5" },
    { "3.14_15", "f3.1415" },
    { "1_0.5", "f10.5" },
    { "09.5", "f9.5" },
    { "0.1", "f0.1" },
    { ".5", "f0.5" },
    { ".5e+1", "f5" },
    { "-.5", "s" },
    { "+.5", "s" },
    { "._5", "s" },
    { ".", "s" },
    { "..", "s" },
    { "...", "s" },
    { "1.5e+3", "f1500" },
    { "1.5E-3", "f0.0015" },
    { "1.5e3", "s" },
    { "1e3", "s" },
    { "1e+3", "s" },
    { "1.e+3", "f1000" },
    { "1.5e+", "s" },
    { "1.5e+1_0", "s" },
    { "1.0e+999", "finf" },
    { "1.2.3", "s" },
    { "1.5.", "s" },
    { "10.0.0.1", "s" },
    { "1:30.5", "f90.5" },
    { "-1:30.5", "f-90.5" },
    { "1:30.", "f90" },
    { "190:20:30.15", "f685230.15" },
    { "01:30.5", "f90.5" },
    { "1:30.5e+3", "s" },
    { "1:30.5:1", "s" },
    { ".inf", "finf" },
    { "-.Inf", "f-inf" },
    { "+.INF", "finf" },
    { "inf", "s" },
    { ".iNF", "s" },
    { "-inf", "s" },
    { ".nan", "fnan" },
    { ".NaN", "fnan" },
    { ".NAN", "fnan" },
    { "+.nan", "s" },
    { "nan", "s" },
    { "2026-01-31", "s" },
    { "2026-01-31T10:00:00Z", "s" },
    { "10:00:00", "i36000" },
    { "=", "s" },
    { "<<", "s" },
    { "-", "s" },
    { "+", "s" },
    { "power", "s" },
    { "/dev/ttyUSB0", "s" },
    { "127.0.0.1:8082", "s" },
    { "00:1a:2b:3c:4d:5e", "s" },
    { "01:02:03:04:05:06", "s" },
    { "1:02:03:04:05:06", "i804182706" },
    { "gr\xc3\xbc\xc3\x9f", "s" },
};

JMP_TEST(scalars_mean_what_stock_reads)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_node node = { .kind = JMP_NODE_LIST };
        const char *value = cases[i].value;
        char text[64] = "";

        jmp_scalar_resolve(cases[i].text, &node);
        switch (node.kind) {
        case JMP_NODE_NULL:
            snprintf(text, sizeof(text), "null");
            break;
        case JMP_NODE_BOOL:
            snprintf(text, sizeof(text), "%s", node.boolean ? "true" : "false");
            break;
        case JMP_NODE_NUMBER:
            if (node.whole) {
                snprintf(text, sizeof(text), "i%lld", (long long)node.integer);
                assert_true(node.number == (double)node.integer);
            } else {
                double expected = strtod(value + 1, NULL);

                snprintf(text, sizeof(text), "f%.17g", node.number);
                if (value[0] == 'f' &&
                    (isnan(expected) ? isnan(node.number) : node.number == expected ||
                                                                fabs(node.number - expected) < fabs(expected) * 1e-15))
                    continue;
            }
            break;
        case JMP_NODE_STRING:
            snprintf(text, sizeof(text), "s");
            break;
        default:
            snprintf(text, sizeof(text), "kind %d", (int)node.kind);
        }
        if (strcmp(text, value) != 0)
            fail_msg("\"%s\": expected %s, got %s", cases[i].text, value, text);
    }
}

JMP_TEST(only_what_every_reader_takes_for_a_string_needs_no_quotes)
{
    static const struct {
        const char *text;
        bool string;
    } strings[] = {
        { "power", true },      { "10.0.0.1", true },     { "a:1", true },         { "1e", true },
        { "12 volts", true },   { "127.0.0.1:80", true }, { "-v", true },          { "1a", true },
        { "1e3", false },       { "08", false },          { "0o17", false },       { "0x_", false },
        { "0b_", false },       { "2026-01-31", false },  { "2026-1-1", false },   { "<<", false },
        { "=", false },         { "-.5", false },         { "1.5e3", false },      { "1e+3", false },
        { "0X10", false },      { "", false },            { "yes", false },        { "12:30", false },
    };

    for (size_t i = 0; i < ELEMENTSOF(strings); i++)
        assert_int_equal(jmp_scalar_is_string(strings[i].text), strings[i].string);

    /* Nothing that resolves to something else passes. */
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        if (strcmp(cases[i].value, "s") != 0)
            assert_false(jmp_scalar_is_string(cases[i].text));
    }
}

JMP_TEST(a_tag_is_obeyed_or_refused)
{
    static const struct {
        const char *text;
        enum jmp_node_kind kind;
        bool whole;
        int result;
    } tags[] = {
        { "12", JMP_NODE_STRING, false, 0 },       { "12", JMP_NODE_NUMBER, true, 0 },
        { "12", JMP_NODE_NUMBER, false, 0 },       { "1.5", JMP_NODE_NUMBER, false, 0 },
        { "1.5", JMP_NODE_NUMBER, true, -EINVAL }, { "x", JMP_NODE_NUMBER, false, -EINVAL },
        { "on", JMP_NODE_BOOL, false, 0 },         { "1", JMP_NODE_BOOL, false, -EINVAL },
        { "", JMP_NODE_NULL, false, 0 },           { "x", JMP_NODE_NULL, false, -EINVAL },
    };

    for (size_t i = 0; i < ELEMENTSOF(tags); i++) {
        struct jmp_node node = { .kind = JMP_NODE_LIST };

        assert_int_equal(jmp_scalar_resolve_as(tags[i].text, tags[i].kind, tags[i].whole, &node), tags[i].result);
        assert_int_equal(node.kind, tags[i].result == 0 ? tags[i].kind : JMP_NODE_LIST);
    }
}

JMP_TEST(endless_numbers_are_no_danger)
{
    static char text[200001];
    struct jmp_node node = { 0 };

    memset(text, '9', sizeof(text) - 1);
    jmp_scalar_resolve(text, &node);
    assert_int_equal(node.kind, JMP_NODE_NUMBER);
    assert_true(isinf(node.number) && !node.whole);

    text[1] = '.';
    jmp_scalar_resolve(text, &node);
    assert_int_equal(node.kind, JMP_NODE_STRING);

    for (size_t i = 1; i + 1 < sizeof(text); i += 2)
        text[i] = ':';
    text[1] = '9';
    for (size_t i = 2; i < sizeof(text) - 1; i++)
        text[i] = i % 2 ? '5' : ':';
    jmp_scalar_resolve(text, &node);
    assert_int_equal(node.kind, JMP_NODE_NUMBER);
    assert_true(isinf(node.number));
}
