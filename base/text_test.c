/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <string.h>

#include "base/test.h"

JMP_TEST(only_well_formed_utf8_is_utf8)
{
    static const struct {
        const char *text;
        size_t length;   /* of its first character */
    } cases[] = {
        { "a", 1 },
        { "\x7f", 1 },
        { "\xc3\xa4", 2 },
        { "\xdf\xbf", 2 },
        { "\xe0\xa0\x80", 3 },
        { "\xe2\x82\xac", 3 },
        { "\xed\x9f\xbf", 3 },
        { "\xef\xbf\xbf", 3 },
        { "\xf0\x90\x80\x80", 4 },
        { "\xf4\x8f\xbf\xbf", 4 },
        { "", 0 },
        { "\x80", 0 },
        { "\xc0\x80", 0 },           /* overlong NUL */
        { "\xc1\xbf", 0 },
        { "\xc3", 0 },
        { "\xc3(", 0 },
        { "\xe0\x9f\xbf", 0 },       /* overlong */
        { "\xed\xa0\x80", 0 },       /* a surrogate */
        { "\xe2\x82", 0 },
        { "\xe2(\xac", 0 },
        { "\xf0\x8f\xbf\xbf", 0 },   /* overlong */
        { "\xf4\x90\x80\x80", 0 },   /* beyond U+10FFFF */
        { "\xf5\x80\x80\x80", 0 },
        { "\xf0\x90\x80", 0 },
        { "\xff", 0 },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        size_t length = strlen(cases[i].text);

        assert_int_equal(jmp_text_sequence(cases[i].text, length), cases[i].length);
        assert_int_equal(jmp_text_is_utf8(cases[i].text, length), length == 0 || cases[i].length > 0);
    }
    assert_true(jmp_text_is_utf8("gr\xc3\xbc\xc3\x9f", 6));
    assert_false(jmp_text_is_utf8("gr\xc3\xbc\xc3\x9f", 5));
}

JMP_TEST(text_is_cut_between_characters)
{
    static const struct {
        const char *text;
        size_t max, cut;
    } cases[] = {
        { "abc", 5, 3 },      { "abc", 3, 3 },        { "abc", 2, 2 },
        { "a\xc3\xa4", 2, 1 }, { "a\xc3\xa4", 3, 3 }, { "\xf0\x9f\x98\x80", 3, 0 },
        { "\x80\x80\x80\x80\x80\x80", 4, 4 },         /* no UTF-8: cut where it must be */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        assert_int_equal(jmp_text_cut(cases[i].text, strlen(cases[i].text), cases[i].max), cases[i].cut);
}

JMP_TEST(nothing_that_a_terminal_obeys_is_printed)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        { "plain", "plain" },
        { "gr\xc3\xbc\xc3\x9f \xe2\x82\xac", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac" },
        { "a\nb\tc\rd", "a\\nb\\tc\\rd" },
        { "\033[31mred", "\\x1b[31mred" },
        { "\x7f", "\\x7f" },
        { "\xc2\x9b", "\\xc2\\x9b" },                   /* CSI in one character */
        { "\xc2\xa0", "\xc2\xa0" },
        { "\xe2\x80\xae" "abc", "\\xe2\\x80\\xae" "abc" },   /* right to left from here on */
        { "\xe2\x81\xa6", "\\xe2\\x81\\xa6" },
        { "\xe2\x80\x93", "\xe2\x80\x93" },             /* a dash */
        { "\xff", "\\xff" },
        { "\xc3", "\\xc3" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char shown[64] = "";
        FILE *stream = fmemopen(shown, sizeof(shown), "w");

        assert_non_null(stream);
        jmp_text_put(stream, cases[i].text);
        fclose(stream);
        assert_string_equal(shown, cases[i].shown);
    }
}

JMP_TEST(plain_text_ends_at_what_a_format_may_have_to_escape)
{
    static const struct {
        const char *text;
        size_t plain;
    } cases[] = {
        { "", 0 },    { "on", 2 },   { " ~", 2 },     { "a\"", 1 },
        { "\\n", 0 }, { "ab\n", 2 }, { "ab\x7f", 2 }, { "caf\xc3\xa9", 3 },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        assert_int_equal(jmp_text_plain(cases[i].text, strlen(cases[i].text)), cases[i].plain);
    assert_int_equal(jmp_text_plain("abc", 2), 2);
}
