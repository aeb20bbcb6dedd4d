/* SPDX-License-Identifier: Apache-2.0 */
/* main() of every test program. */
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct CMUnitTest *tests;
static size_t count;

void jmp_test_add(const char *name, void (*run)(void **state))
{
    struct CMUnitTest *more = reallocarray(tests, count + 1, sizeof(*tests));

    if (!more) {
        fprintf(stderr, "no memory for the list of tests\n");
        exit(EXIT_FAILURE);
    }

    tests = more;
    tests[count++] = (struct CMUnitTest){ .name = name, .test_func = run };
}

static int before_each(void **state)
{
    (void)state;
    jmp_fault_disarm();
    return 0;
}

static bool is_chosen(const char *name, char **patterns)
{
    for (char **pattern = patterns; *pattern; pattern++) {
        if (strstr(name, *pattern))
            return true;
    }
    return !*patterns;
}

int main(int argc, char **argv)
{
    const char *program = strrchr(argv[0], '/');
    size_t chosen = 0;
    int failed;

    (void)argc;
    for (size_t i = 0; i < count; i++) {
        if (!is_chosen(tests[i].name, argv + 1))
            continue;
        tests[chosen] = tests[i];
        tests[chosen].setup_func = before_each;
        tests[chosen].teardown_func = before_each;
        chosen++;
    }
    if (chosen == 0) {
        fprintf(stderr, "no such test\n");
        return EXIT_FAILURE;
    }

    failed = _cmocka_run_group_tests(program ? program + 1 : argv[0], tests, chosen, NULL, NULL);
    free(tests);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
