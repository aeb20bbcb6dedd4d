/* SPDX-License-Identifier: Apache-2.0 */
#include "config/scalar.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(text, *words) == 0)
            return true;
    }
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_sign(const char *text)
{
    return *text == '-' || *text == '+' ? text + 1 : text;
}

/* @text behind all characters of @set. */
static const char *skip(const char *text, const char *set)
{
    return text + strspn(text, set);
}

#define DIGITS "0123456789"
#define FLOAT_MAX 255u   /* characters; what is longer has another purpose */

/* "(:[0-5]?[0-9])+", or NULL. Greedy is right here: a digit is never followed by one that belongs elsewhere. */
static const char *skip_sixties(const char *text)
{
    if (*text != ':')
        return NULL;

    while (*text == ':') {
        text++;
        if (text[0] >= '0' && text[0] <= '5' && is_digit(text[1]))
            text += 2;
        else if (is_digit(text[0]))
            text++;
        else
            return NULL;
    }
    return text;
}

/* How a whole number is written; 0: it is none. */
static unsigned integer_base(const char *text)
{
    const char *s = skip_sign(text), *rest;

    if (s[0] == '0' && s[1] == 'b')
        return s[2] && !*skip(s + 2, "01_") ? 2 : 0;
    if (s[0] == '0' && s[1] == 'x')
        return s[2] && !*skip(s + 2, DIGITS "abcdefABCDEF_") ? 16 : 0;
    if (s[0] == '0')
        return !s[1] ? 10 : !*skip(s + 1, "01234567_") ? 8 : 0;
    if (!is_digit(s[0]))
        return 0;

    rest = skip(s, DIGITS "_");
    if (!*rest)
        return 10;
    rest = skip_sixties(rest);
    return rest && !*rest ? 60 : 0;
}

static bool is_float(const char *text)
{
    const char *s = skip_sign(text), *rest, *sixties;

    if (is_digit(*s)) {
        rest = skip(s, DIGITS "_");
        sixties = skip_sixties(rest);
        if (sixties)
            return *sixties == '.' && !*skip(sixties + 1, DIGITS "_");
        if (*rest != '.')
            return false;
        rest = skip(rest + 1, DIGITS "_");
    } else if (text[0] == '.' && is_digit(text[1])) {
        rest = skip(text + 1, DIGITS "_");
    } else {
        return false;
    }

    if (!*rest)
        return true;
    /* Only with a sign is it an exponent. */
    return (rest[0] == 'e' || rest[0] == 'E') && (rest[1] == '-' || rest[1] == '+') && is_digit(rest[2]) &&
           !*skip(rest + 2, DIGITS);
}

static void set_number(struct jmp_node *node, double number)
{
    node->kind = JMP_NODE_NUMBER;
    node->whole = false;
    node->integer = 0;
    node->number = number;
}

static int digit_value(char c)
{
    return is_digit(c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Adds digit after digit; once 64 bits do not hold it any more, only as a double. */
struct sum {
    uint64_t exact;
    double rough;
    bool overflow;
};

static void sum_add(struct sum *sum, unsigned base, unsigned digit)
{
    sum->rough = sum->rough * base + digit;
    if (__builtin_mul_overflow(sum->exact, (uint64_t)base, &sum->exact) ||
        __builtin_add_overflow(sum->exact, (uint64_t)digit, &sum->exact))
        sum->overflow = true;
}

/* Appends a part of base 60, which may be long itself if it is the first one. */
static void sum_append(struct sum *sum, const struct sum *part)
{
    sum->rough = sum->rough * 60 + part->rough;
    if (part->overflow || __builtin_mul_overflow(sum->exact, UINT64_C(60), &sum->exact) ||
        __builtin_add_overflow(sum->exact, part->exact, &sum->exact))
        sum->overflow = true;
}

static int set_integer(const char *text, unsigned base, struct jmp_node *node)
{
    bool negative = *text == '-';
    const char *s = skip_sign(text);
    struct sum sum = { 0 }, part = { 0 };
    uint64_t limit = (uint64_t)INT64_MAX + negative;
    unsigned digits = 0;

    if (base == 2 || base == 16)
        s += 2;

    for (; *s; s++) {
        if (*s == '_')
            continue;
        digits++;
        if (base != 60) {
            sum_add(&sum, base, (unsigned)digit_value(*s));
        } else if (*s == ':') {
            sum_append(&sum, &part);
            part = (struct sum){ 0 };
        } else {
            sum_add(&part, 10, (unsigned)digit_value(*s));
        }
    }
    if (base == 60)
        sum_append(&sum, &part);
    if (digits == 0)
        return -EINVAL;   /* "0x_": it looks like a number, but there is none */

    if (sum.overflow || sum.exact > limit) {
        set_number(node, negative ? -sum.rough : sum.rough);
        return 0;
    }
    node->kind = JMP_NODE_NUMBER;
    node->whole = true;
    node->integer = negative ? (int64_t)(0 - sum.exact) : (int64_t)sum.exact;
    node->number = (double)node->integer;
    return 0;
}

/* At most FLOAT_MAX characters. */
static void set_float(const char *text, struct jmp_node *node)
{
    bool negative = *text == '-';
    const char *s = skip_sign(text), *last = strrchr(s, ':');
    char decimal[FLOAT_MAX + 1];
    size_t n = 0;
    double sum = 0, part = 0;

    for (; last && s <= last; s++) {
        if (*s == ':') {
            sum = (sum + part) * 60;
            part = 0;
        } else if (*s != '_') {
            part = part * 10 + digit_value(*s);
        }
    }

    for (; *s; s++) {
        if (*s != '_')
            decimal[n++] = *s;
    }
    decimal[n] = 0;
    sum += strtod(decimal, NULL);
    set_number(node, negative ? -sum : sum);
}

static bool set_bool(const char *text, struct jmp_node *node)
{
    static const char *const yes[] = { "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", NULL };
    static const char *const no[] = { "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", NULL };
    bool positive = is_one_of(text, yes);

    if (!positive && !is_one_of(text, no))
        return false;
    node->kind = JMP_NODE_BOOL;
    node->boolean = positive;
    return true;
}

static bool set_special(const char *text, struct jmp_node *node)
{
    static const char *const infinities[] = { ".inf", ".Inf", ".INF", NULL };
    static const char *const nans[] = { ".nan", ".NaN", ".NAN", NULL };

    if (is_one_of(skip_sign(text), infinities))
        set_number(node, *text == '-' ? -INFINITY : INFINITY);
    else if (is_one_of(text, nans))
        set_number(node, NAN);
    else
        return false;
    return true;
}

static bool is_null(const char *text)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };

    return is_one_of(text, nulls);
}

void jmp_scalar_resolve(const char *text, struct jmp_node *node)
{
    unsigned base;

    if (is_null(text)) {
        node->kind = JMP_NODE_NULL;
        return;
    }
    if (set_bool(text, node) || set_special(text, node))
        return;
    if (is_float(text) && strlen(text) <= FLOAT_MAX) {
        set_float(text, node);
        return;
    }
    base = integer_base(text);
    if (base > 0 && set_integer(text, base, node) == 0)
        return;

    node->kind = JMP_NODE_STRING;
}

int jmp_scalar_resolve_as(const char *text, enum jmp_node_kind kind, bool whole, struct jmp_node *node)
{
    struct jmp_node resolved = { 0 };

    if (kind == JMP_NODE_STRING) {
        node->kind = kind;
        return 0;
    }

    jmp_scalar_resolve(text, &resolved);
    if (resolved.kind != kind || (whole && !resolved.whole))
        return -EINVAL;

    node->kind = kind;
    node->boolean = resolved.boolean;
    node->whole = resolved.whole;
    node->integer = resolved.integer;
    node->number = resolved.number;
    return 0;
}

/* Anything that begins like a date; it only costs quotes. */
static bool is_like_timestamp(const char *text)
{
    return is_digit(text[0]) && is_digit(text[1]) && is_digit(text[2]) && is_digit(text[3]) && text[4] == '-' &&
           is_digit(text[5]);
}

bool jmp_scalar_is_string(const char *text)
{
    struct jmp_node node = { 0 };
    char *end;

    jmp_scalar_resolve(text, &node);
    if (node.kind != JMP_NODE_STRING || strcmp(text, "<<") == 0 || strcmp(text, "=") == 0 || is_like_timestamp(text))
        return false;

    /* "1e3", "0x_", "08" and "0o7" are strings here and numbers elsewhere. */
    if (is_digit(*skip_sign(text)) || *skip_sign(text) == '.') {
        strtod(text, &end);
        if (!*end || (end[0] == '_' && !*skip(end, DIGITS "_")) || strncmp(skip_sign(text), "0o", 2) == 0 ||
            strncmp(skip_sign(text), "0x", 2) == 0 || strncmp(skip_sign(text), "0b", 2) == 0)
            return false;
    }
    return true;
}
