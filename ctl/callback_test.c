/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/callback.h"

#include <string.h>

#include "base/test.h"

JMP_TEST(values_are_found_in_a_query_and_their_escapes_resolved)
{
    static const struct {
        const char *query, *key, *value;
        int result;
    } cases[] = {
        { "code=abc&state=1", "code", "abc", 0 },
        { "code=abc&state=1", "state", "1", 0 },
        { "state=1&xcode=2", "code", NULL, -ENOENT },
        { "codes=1", "code", NULL, -ENOENT },
        { "", "code", NULL, -ENOENT },
        { "code", "code", NULL, -ENOENT },
        { "code=", "code", "", 0 },
        { "&&code=x&&", "code", "x", 0 },
        { "code=a%2Fb%3d+c%7E", "code", "a/b= c~", 0 },
        { "code=%C3%A4", "code", "\xc3\xa4", 0 },
        { "code=first&code=second", "code", "first", 0 },
        { "code=%", "code", NULL, -EINVAL },
        { "code=%4", "code", NULL, -EINVAL },
        { "code=%4&x=1", "code", NULL, -EINVAL },
        { "code=%zz", "code", NULL, -EINVAL },
        { "code=a%00b", "code", NULL, -EINVAL },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *value = NULL;

        print_message("%s of \"%s\"\n", cases[i].key, cases[i].query);
        assert_int_equal(jmp_callback_value(cases[i].query, cases[i].key, &value), cases[i].result);
        if (cases[i].value)
            assert_string_equal(value, cases[i].value);
        else
            assert_null(value);
    }
}

JMP_TEST(a_port_that_is_taken_is_named)
{
    struct jmp_callback first = JMP_CALLBACK_INIT, second = JMP_CALLBACK_INIT;
    struct jmp_error error = JMP_ERROR_INIT;

    assert_int_equal(jmp_callback_open(&first, 0, NULL), 0);
    assert_true(first.port > 0);
    assert_int_equal(jmp_callback_open(&second, first.port, &error), -EADDRINUSE);
    assert_non_null(strstr(error.text, "cannot be listened on"));
    jmp_callback_close(&first);
    jmp_callback_close(&second);
}
