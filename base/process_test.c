/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/resource.h>

#include "base/limits.h"
#include "base/process.h"
#include "base/test.h"

JMP_TEST(the_soft_limit_is_raised_as_far_as_the_hard_one_lets_it)
{
    struct rlimit before, after, low;
    rlim_t expected;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){ .rlim_cur = 64, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);

    assert_int_equal(jmp_process_raise_descriptors(), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    expected = before.rlim_max < JMP_DESCRIPTORS_MAX ? before.rlim_max : JMP_DESCRIPTORS_MAX;
    assert_true(after.rlim_cur == expected);
    assert_true(after.rlim_max == before.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}
