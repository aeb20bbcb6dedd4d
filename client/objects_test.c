/* SPDX-License-Identifier: Apache-2.0 */
#include "client/objects.h"

#include <string.h>

#include "base/test.h"

#define NOON INT64_C(1704110400000000)
#define HOUR INT64_C(3600000000)

JMP_TEST(a_lease_says_in_a_word_how_it_is)
{
    static const struct {
        int64_t effective_end;
        const char *conditions[3][3]; /* type, status, reason, in their order */
        const char *state;
    } cases[] = {
        { NOON, { { "Ready", "True", "Ready" } }, "Ended" },
        { NOON, { { 0 } }, "Ended" },
        { JMP_TIME_NONE, { { 0 } }, "Unknown" },
        { JMP_TIME_NONE, { { "Ready", "True", "Ready" } }, "In-Use" },
        { JMP_TIME_NONE, { { "Pending", "True", "NotAvailable" }, { "Ready", "True", "Ready" } }, "In-Use" },
        { JMP_TIME_NONE, { { "Ready", "False", "Offline" } }, "Waiting" },
        { JMP_TIME_NONE, { { "Expired", "True", "Expired" } }, "Expired" },
        { JMP_TIME_NONE, { { "Ready", "True", "Ready" }, { "Pending", "True", "NotAvailable" } }, "NotAvailable" },
        { JMP_TIME_NONE, { { "Unsatisfiable", "True", "NoAccess" } }, "NoAccess" },
        { JMP_TIME_NONE, { { "Ready", "Unknown", "" } }, "Unknown" },
    };

    print_message("%zu rows\n", ELEMENTSOF(cases));
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_condition conditions[3] = { 0 };
        struct jmp_lease lease = { .effective_end = cases[i].effective_end, .conditions = conditions };

        for (; cases[i].conditions[lease.n_conditions][0]; lease.n_conditions++)
            conditions[lease.n_conditions] =
                (struct jmp_condition){ .type = cases[i].conditions[lease.n_conditions][0],
                                        .status = cases[i].conditions[lease.n_conditions][1],
                                        .reason = cases[i].conditions[lease.n_conditions][2] };
        assert_string_equal(jmp_lease_state(&lease), cases[i].state);
    }
}

JMP_TEST(a_lease_ends_when_it_did_or_when_its_time_is_over)
{
    static const struct {
        int64_t effective_end, effective_begin, begin, duration, expiry;
    } cases[] = {
        { NOON, NOON - 2 * HOUR, NOON - 3 * HOUR, HOUR, NOON },
        { JMP_TIME_NONE, NOON, NOON - HOUR, HOUR, NOON + HOUR },
        { JMP_TIME_NONE, JMP_TIME_NONE, NOON, HOUR, NOON + HOUR },
        { JMP_TIME_NONE, JMP_TIME_NONE, JMP_TIME_NONE, HOUR, JMP_TIME_NONE },
        { JMP_TIME_NONE, NOON, JMP_TIME_NONE, JMP_TIME_NONE, JMP_TIME_NONE },
        { JMP_TIME_NONE, NOON, JMP_TIME_NONE, INT64_MAX, JMP_TIME_NONE },
    };

    print_message("%zu rows\n", ELEMENTSOF(cases));
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const struct jmp_lease lease = { .effective_end = cases[i].effective_end,
                                         .effective_begin = cases[i].effective_begin,
                                         .begin = cases[i].begin,
                                         .duration = cases[i].duration };

        assert_int_equal(jmp_lease_expiry(&lease), cases[i].expiry);
    }
}
