/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"

#define PROBLEMS_MAX 1000u

/* Copies, cut between two characters. */
static void copy(char *to, size_t size, const char *from)
{
    size_t length = jmp_text_cut(from, strlen(from), size - 1);

    memcpy(to, from, length);
    to[length] = 0;
}

/* Formats into @to, which the arguments may point into. */
static void __attribute__((format(printf, 4, 0)))
format(char *to, size_t size, int error, const char *fmt, va_list ap)
{
    char text[2048];
    int saved = errno;

    errno = -error;
    if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
        text[0] = 0;
    errno = saved;

    copy(to, size, text);
}

int jmp_error_set(struct jmp_error *reterr, int error, const char *fmt, ...)
{
    char text[sizeof(reterr->text)];
    va_list ap;

    if (!reterr)
        return error;

    va_start(ap, fmt);
    format(text, sizeof(text), error, fmt, ap);
    va_end(ap);

    *reterr = (struct jmp_error){ .error = error };
    memcpy(reterr->text, text, sizeof(text));
    return error;
}

void jmp_error_hint(struct jmp_error *reterr, const char *fmt, ...)
{
    va_list ap;

    if (!reterr || reterr->error == 0)
        return;

    va_start(ap, fmt);
    format(reterr->hint, sizeof(reterr->hint), reterr->error, fmt, ap);
    va_end(ap);
}

void jmp_error_at(struct jmp_error *reterr, const char *file, unsigned line, unsigned column, const char *path)
{
    if (!reterr)
        return;

    if (file)
        copy(reterr->file, sizeof(reterr->file), file);
    if (path)
        copy(reterr->path, sizeof(reterr->path), path);
    if (line > 0) {
        reterr->line = line;
        reterr->column = column;
    }
}

void jmp_error_prefix(struct jmp_error *reterr, const char *fmt, ...)
{
    char prefix[sizeof(reterr->text)], text[2 * sizeof(prefix) + 2];
    va_list ap;

    if (!reterr || reterr->error == 0)
        return;

    va_start(ap, fmt);
    format(prefix, sizeof(prefix), reterr->error, fmt, ap);
    va_end(ap);

    snprintf(text, sizeof(text), "%s: %s", prefix, reterr->text);
    copy(reterr->text, sizeof(reterr->text), text);
}

void jmp_error_print(FILE *stream, const char *program, const struct jmp_error *error)
{
    if (program)
        fprintf(stream, "%s: ", program);

    if (error->file[0]) {
        jmp_text_put(stream, error->file);
        if (error->line > 0) {
            fprintf(stream, ":%u", error->line);
            if (error->column > 0)
                fprintf(stream, ":%u", error->column);
        }
        fputs(": ", stream);
    } else if (error->line > 0) {
        fprintf(stream, "line %u, column %u: ", error->line, error->column);
    }

    if (error->path[0]) {
        jmp_text_put(stream, error->path);
        fputs(": ", stream);
    }

    jmp_text_put(stream, error->text[0] ? error->text : strerror(-error->error));
    fputc('\n', stream);

    if (error->hint[0]) {
        fputs("  hint: ", stream);
        jmp_text_put(stream, error->hint);
        fputc('\n', stream);
    }
}

int jmp_problems_add(struct jmp_problems *problems, bool warning, const struct jmp_error *error)
{
    unsigned known = problems->errors + problems->warnings;
    struct jmp_problem *problem;

    if (warning)
        problems->warnings++;
    else
        problems->errors++;

    if (known >= PROBLEMS_MAX)
        return 0;

    problem = calloc(1, sizeof(*problem));
    if (!problem)
        return -ENOMEM;

    problem->warning = warning;
    problem->error = *error;
    if (problems->last)
        problems->last->next = problem;
    else
        problems->first = problem;
    problems->last = problem;
    return 0;
}

struct slot {
    struct jmp_problem *problem;
    unsigned position;
};

static int slot_compare(const void *a, const void *b)
{
    const struct slot *left = a, *right = b;
    const struct jmp_error *x = &left->problem->error, *y = &right->problem->error;

    /* 0 is no line: behind all others by wrapping around. */
    if (x->line != y->line)
        return x->line - 1 < y->line - 1 ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return left->position < right->position ? -1 : 1;
}

void jmp_problems_sort(struct jmp_problems *problems, struct jmp_problem *after)
{
    struct jmp_problem **link = after ? &after->next : &problems->first;
    _cleanup_free_ struct slot *slots = NULL;
    unsigned n = 0;

    for (const struct jmp_problem *problem = *link; problem; problem = problem->next)
        n++;
    if (n < 2)
        return;
    slots = calloc(n, sizeof(*slots));
    if (!slots)
        return;

    n = 0;
    for (struct jmp_problem *problem = *link; problem; problem = problem->next) {
        slots[n] = (struct slot){ .problem = problem, .position = n };
        n++;
    }
    qsort(slots, n, sizeof(*slots), slot_compare);

    for (unsigned i = 0; i < n; i++) {
        *link = slots[i].problem;
        link = &slots[i].problem->next;
    }
    *link = NULL;
    problems->last = slots[n - 1].problem;
}

void jmp_problems_clear(struct jmp_problems *problems)
{
    struct jmp_problem *next;

    for (struct jmp_problem *problem = problems->first; problem; problem = next) {
        next = problem->next;
        free(problem);
    }
    *problems = (struct jmp_problems){ 0 };
}
