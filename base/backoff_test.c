/* SPDX-License-Identifier: Apache-2.0 */
#include "base/backoff.h"

#include "base/limits.h"
#include "base/test.h"

JMP_TEST(waits_double_up_to_the_cap)
{
    static const struct {
        uint64_t base, cap;
        unsigned round;
        uint64_t low, high;
    } cases[] = {
        { 0, 0, 0, 500000, 1000000 },      { 0, 0, 1, 500000, 2000000 },       { 0, 0, 4, 500000, 16000000 },
        { 0, 0, 5, 500000, 30000000 },     { 0, 0, 1000, 500000, 30000000 },   { 100, 1000, 0, 50, 100 },
        { 100, 1000, 3, 50, 800 },         { 100, 1000, 4, 50, 1000 },         { 100, 10, 0, 5, 10 },
        { UINT64_MAX / 2, UINT64_MAX, 1, UINT64_MAX / 4, UINT64_MAX },         { 100, 1000, UINT32_MAX, 50, 1000 },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        uint64_t least = UINT64_MAX, most = 0;

        for (unsigned n = 0; n < 200; n++) {
            struct jmp_backoff backoff = { .base = cases[i].base, .cap = cases[i].cap, .failures = cases[i].round };
            uint64_t wait = jmp_backoff_next(&backoff);

            assert_true(wait >= cases[i].low && wait <= cases[i].high);
            assert_true(backoff.failures == cases[i].round + 1 || cases[i].round == UINT32_MAX);
            least = wait < least ? wait : least;
            most = wait > most ? wait : most;
        }
        /* Full jitter: 200 throws miss a quarter at either end once in 10^25 runs. */
        assert_true(cases[i].high < 50 || least < cases[i].low + (cases[i].high - cases[i].low) / 4);
        assert_true(cases[i].high < 50 || most > cases[i].high - (cases[i].high - cases[i].low) / 4);
    }
}

JMP_TEST(only_a_success_that_lasted_resets)
{
    struct jmp_backoff backoff = { 0 };

    for (unsigned i = 0; i < 3; i++)
        jmp_backoff_next(&backoff);

    jmp_backoff_lasted(&backoff, 7 * JMP_USEC_PER_SEC);   /* the next wait may be 8 s */
    assert_int_equal(backoff.failures, 3);
    jmp_backoff_lasted(&backoff, 9 * JMP_USEC_PER_SEC);
    assert_int_equal(backoff.failures, 0);
}
