/* SPDX-License-Identifier: Apache-2.0 */
/* The n-th allocation fails. The linker leads every call of a wrapped function here; shared libraries keep
 * their own. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/test.h"

static atomic_uint calls, target;   /* target 0: disarmed */

bool jmp_fault_arm(enum jmp_fault kind, unsigned nth)
{
    unsigned armed = atomic_exchange(&target, 0);

    (void)kind;
    if (nth > 1 && armed > 0 && atomic_load(&calls) < armed)
        return false;

    atomic_store(&calls, 0);
    atomic_store(&target, nth);
    return true;
}

void jmp_fault_disarm(void)
{
    atomic_store(&target, 0);
}

static bool fails(void)
{
    unsigned armed = atomic_load_explicit(&target, memory_order_relaxed);

    if (armed == 0 || atomic_fetch_add(&calls, 1) + 1 != armed)
        return false;

    errno = ENOMEM;
    return true;
}

/* clang-format off */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
char *__wrap_strndup(const char *text, size_t size);
FILE *__real_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size);
int __wrap_asprintf(char **ret, const char *fmt, ...) JMP_PRINTF(2, 3);
int __real_vasprintf(char **ret, const char *fmt, va_list ap);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap);
int __wrap___asprintf_chk(char **ret, int flag, const char *fmt, ...) JMP_PRINTF(3, 4);
int __wrap___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap);

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }
void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
    return fails() ? NULL : __real_reallocarray(old, n, size);
}
char *__wrap_strdup(const char *text) { return fails() ? NULL : __real_strdup(text); }
char *__wrap_strndup(const char *text, size_t size) { return fails() ? NULL : __real_strndup(text, size); }
FILE *__wrap_open_memstream(char **text, size_t *size)
{
    return fails() ? NULL : __real_open_memstream(text, size);
}
/* clang-format on */

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
    return fails() ? -1 : __real_vasprintf(ret, fmt, ap);
}

int __wrap_asprintf(char **ret, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = fails() ? -1 : __real_vasprintf(ret, fmt, ap);
    va_end(ap);
    return n;
}

/* What the two above are called when the build fortifies its sources. */
int __wrap___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap)
{
    (void)flag;
    return fails() ? -1 : __real_vasprintf(ret, fmt, ap);
}

int __wrap___asprintf_chk(char **ret, int flag, const char *fmt, ...)
{
    va_list ap;
    int n;

    (void)flag;
    va_start(ap, fmt);
    n = fails() ? -1 : __real_vasprintf(ret, fmt, ap);
    va_end(ap);
    return n;
}
