/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <string.h>

#include "base/test.h"

JMP_TEST(base64_is_read_as_tools_write_it)
{
    static const struct {
        const char *text, *bytes;
        ssize_t result;
    } rows[] = {
        { "", "", 0 },      { "YQ==", "a", 1 },       { "YWI=", "ab", 2 },           { "YWJj", "abc", 3 },
        { "YWI", "ab", 2 }, { "YW\nJj\n", "abc", 3 }, { "+/+/", "\xfb\xff\xbf", 3 }, { "YWJjY", "", -EINVAL },
        { "====", "", 0 },
    };
    char bytes[16];

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_free_ char *text = NULL;

        assert_int_equal(jmp_base64_decode(rows[i].text, bytes), rows[i].result);
        if (rows[i].result > 0)
            assert_memory_equal(bytes, rows[i].bytes, (size_t)rows[i].result);
        /* What it says of the bytes reads back as these bytes. */
        text = jmp_base64_encode(rows[i].bytes, strlen(rows[i].bytes));
        assert_int_equal(jmp_base64_decode(text, bytes), strlen(rows[i].bytes));
        assert_memory_equal(bytes, rows[i].bytes, strlen(rows[i].bytes));
    }
}
