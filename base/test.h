/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests beside the code: JMP_TEST(a_sentence_that_is_true) { ... }. Linked with jmp-test, which has main(): without
 * arguments all tests run, otherwise those whose name contains an argument.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"

void jmp_test_add(const char *name, void (*run)(void **state));

#define JMP_TEST(test) \
    static void test(void **state); \
    __attribute__((constructor)) static void test##_add(void) { jmp_test_add(#test, test); } \
    static void test(void **state __attribute__((unused)))

/*
 * Faults: the test library wraps malloc, calloc, realloc, strdup, asprintf and the like. jmp_fault_arm(JMP_FAULT_ALLOC,
 * n) makes the n-th call from now on fail, once; it returns false when the run since the previous arm made fewer calls
 * than asked for, so that "for (n = 1; jmp_fault_arm(kind, n); n++)" tries every one.
 */
enum jmp_fault { JMP_FAULT_ALLOC };
bool jmp_fault_arm(enum jmp_fault kind, unsigned nth);
void jmp_fault_disarm(void);
