/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/redact.h"

#include <string.h>

#include "base/test.h"

JMP_TEST(tokens_do_not_pass)
{
    static const char *const rows[][2] = {
        { "", "" },
        { "permission denied", "permission denied" },
        { "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln is bad", "token [secret] is bad" },
        { "{'authorization': 'Bearer abc.def-1', 'x': 'y'}", "{'authorization': 'Bearer [secret]', 'x': 'y'}" },
        { "bearer  opaque", "bearer  [secret]" },
        { "the bearer of this", "the bearer [secret] this" },
        { "eyJhbGciOiJIUzI1NiJ9", "[secret]" },
        { "eyJ short", "eyJ short" },
        { "xeyJhbGciOiJIUzI1NiJ9", "xeyJhbGciOiJIUzI1NiJ9" },
        { "Bearer", "Bearer" },
    };
    char buffer[256];

    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        assert_string_equal(jmp_redact(rows[i][0], buffer, sizeof(buffer)), rows[i][1]);
}

JMP_TEST(what_does_not_fit_is_cut)
{
    char buffer[12];

    assert_string_equal(jmp_redact("a long text that goes on", buffer, sizeof(buffer)), "a long text");
    assert_string_equal(jmp_redact("seven: eyJhbGciOiJIUzI1NiJ9", buffer, sizeof(buffer)), "seven: [sec");
}
