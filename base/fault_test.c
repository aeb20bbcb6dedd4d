/* SPDX-License-Identifier: Apache-2.0 */
/* The tests' own tool: does it fail what it says? */
#include <stdio.h>
#include <string.h>

#include "base/test.h"

JMP_TEST(the_nth_allocation_fails_once)
{
    for (unsigned nth = 1; nth <= 3; nth++) {
        assert_true(jmp_fault_arm(JMP_FAULT_ALLOC, nth));
        for (unsigned i = 1; i <= 4; i++) {
            _cleanup_free_ void *memory = malloc(i);

            assert_int_equal(memory == NULL, i == nth);
        }
        jmp_fault_disarm();
    }
}

JMP_TEST(a_loop_tries_every_call_and_ends)
{
    unsigned rounds = 0, failures = 0;

    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_free_ char *one = strdup("one"), *two = NULL, *three = NULL, *grown = NULL;

        if (asprintf(&two, "%d", 2) < 0)
            two = NULL;
        three = calloc(3, 1);
        grown = three ? realloc(three, 300) : NULL;
        if (grown)
            three = NULL;
        failures += !one || !two || !grown;
        rounds++;
        assert_true(rounds < 10);
    }
    assert_int_equal(failures, 4);
    assert_int_equal(rounds, 5);   /* the last one needed fewer calls */
}
