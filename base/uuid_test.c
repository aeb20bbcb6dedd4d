/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include <string.h>

#include "base/test.h"

JMP_TEST(random_uuids_differ_and_say_so)
{
    char seen[64][JMP_UUID_SIZE], again[JMP_UUID_SIZE];

    for (size_t i = 0; i < ELEMENTSOF(seen); i++) {
        jmp_uuid_random(seen[i]);
        assert_int_equal(strlen(seen[i]), 36);
        assert_int_equal(seen[i][14], '4');
        assert_non_null(strchr("89ab", seen[i][19]));
        assert_true(jmp_uuid_parse(seen[i], again));
        assert_string_equal(seen[i], again);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(seen[i], seen[j]);
    }
}

JMP_TEST(derived_uuids_are_stable_for_ever)
{
    static const struct {
        const char *space, *name, *uuid;
    } cases[] = {
        /* sha256sum of SPACE, NUL, NAME; version and variant bits set. Reports of running labs depend on these. */
        { "", "", "6e340b9c-ffb3-8a98-9ca5-44e6bb780a2c" },
        { "bench3", "board.power", "f9435218-752c-8893-a242-0cf7ef1b582b" },
        { "ab", "c", "6c032e63-1d39-814d-85af-f7e319546af7" },
        { "a", "bc", "40bb547d-936b-8d31-b18e-e37ac8799e7e" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char uuid[JMP_UUID_SIZE];

        jmp_uuid_derive(cases[i].space, cases[i].name, uuid);
        assert_string_equal(uuid, cases[i].uuid);
    }
}

JMP_TEST(uuids_are_read_as_stock_reads_them)
{
    static const char canonical[] = "01234567-89ab-cdef-0123-456789abcdef";
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        { "01234567-89ab-cdef-0123-456789abcdef", true },
        { "01234567-89AB-CDEF-0123-456789ABCDEF", true },
        { "0123456789abcdef0123456789abcdef", true },
        { "{01234567-89ab-cdef-0123-456789abcdef}", true },
        { "urn:uuid:01234567-89ab-cdef-0123-456789abcdef", true },
        { "uuid:0123456789abcdef0123456789abcdef", true },
        { "", false },
        { "{}", false },
        { "01234567-89ab-cdef-0123-456789abcde", false },
        { "01234567-89ab-cdef-0123-456789abcdef0", false },
        { "01234567-89ab-cdef-0123-456789abcdeg", false },
        { "{01234567-89ab-cdef-0123-456789abcdef", false },
        { "01234567-89ab-cdef-0123-456789abcdef}", false },
        { "{01234567-89ab-cdef-0123-456789abcdef}x", false },
        { " 01234567-89ab-cdef-0123-456789abcdef", false },
        { "0x234567-89ab-cdef-0123-456789abcdef", false },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char uuid[JMP_UUID_SIZE] = "untouched";

        assert_int_equal(jmp_uuid_parse(cases[i].text, uuid), cases[i].good);
        assert_string_equal(uuid, cases[i].good ? canonical : "untouched");
    }
}
