/* SPDX-License-Identifier: Apache-2.0 */
#include "client/selector.h"

#include <ctype.h>
#include <string.h>

#define REQUIREMENTS_MAX 64u
#define VALUES_MAX 64u

struct span {
    const char *at;
    size_t length;
};

enum operator { EQUALS, IN, NOT_IN, EXISTS, ABSENT };

/* One requirement; "a!=b" is NOT_IN of one value. */
struct requirement {
    enum operator operator;
    struct span key, values[VALUES_MAX];
    unsigned n_values;
};

static struct span trim(const char *at, size_t length)
{
    while (length > 0 && isspace((unsigned char)*at)) {
        at++;
        length--;
    }
    while (length > 0 && isspace((unsigned char)at[length - 1]))
        length--;
    return (struct span){ at, length };
}

static bool equal(struct span a, struct span b) { return a.length == b.length && memcmp(a.at, b.at, a.length) == 0; }
static bool is(struct span a, const char *text) { return equal(a, (struct span){ text, strlen(text) }); }

/* The next requirement of a list: up to a comma that is not between parentheses. */
static bool next(const char **text, struct span *ret)
{
    const char *start = *text, *end;
    unsigned depth = 0;

    if (!*start)
        return false;
    for (end = start; *end && (*end != ',' || depth > 0); end++) {
        if (*end == '(')
            depth++;
        else if (*end == ')' && depth > 0)
            depth--;
    }
    *ret = trim(start, (size_t)(end - start));
    *text = *end ? end + 1 : end;
    return true;
}

static void add_value(struct requirement *requirement, struct span value)
{
    if (requirement->n_values < VALUES_MAX)
        requirement->values[requirement->n_values++] = value;
}

static bool parse_set(struct span text, const char *open, struct requirement *ret)
{
    const char *end = text.at + text.length - 1, *at = open + 1;
    struct span head = trim(text.at, (size_t)(open - text.at));
    size_t word = head.length;

    if (*end != ')')
        return false;
    while (word > 0 && !isspace((unsigned char)head.at[word - 1]))
        word--;
    if (is((struct span){ head.at + word, head.length - word }, "in"))
        ret->operator = IN;
    else if (is((struct span){ head.at + word, head.length - word }, "notin"))
        ret->operator = NOT_IN;
    else
        return false;
    ret->key = trim(head.at, word);
    while (at <= end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;

        add_value(ret, trim(at, (size_t)(stop - at)));
        at = stop + 1;
    }
    return ret->key.length > 0;
}

static bool parse(struct span text, struct requirement *ret)
{
    const char *open = memchr(text.at, '(', text.length), *sign = memchr(text.at, '=', text.length);

    *ret = (struct requirement){ 0 };
    if (text.length == 0)
        return false;
    if (open)
        return parse_set(text, open, ret);
    if (sign) {
        const char *value = sign + 1, *end = text.at + text.length;
        bool differs = sign > text.at && sign[-1] == '!';

        if (value < end && *value == '=')
            value++;
        ret->operator = differs ? NOT_IN : EQUALS;
        ret->key = trim(text.at, (size_t)(sign - text.at) - differs);
        add_value(ret, trim(value, (size_t)(end - value)));
        return ret->key.length > 0;
    }
    ret->operator = *text.at == '!' ? ABSENT : EXISTS;
    ret->key = *text.at == '!' ? trim(text.at + 1, text.length - 1) : text;
    return ret->key.length > 0;
}

static bool has_value(const struct requirement *requirement, struct span value)
{
    for (unsigned i = 0; i < requirement->n_values; i++) {
        if (equal(requirement->values[i], value))
            return true;
    }
    return false;
}

static bool same(const struct requirement *a, const struct requirement *b)
{
    if (a->operator != b->operator || !equal(a->key, b->key) || a->n_values != b->n_values)
        return false;
    for (unsigned i = 0; i < a->n_values; i++) {
        if (!has_value(b, a->values[i]))
            return false;
    }
    return true;
}

/* Whether what is wanted follows from "key=value". */
static bool follows(const struct requirement *wanted, struct span value)
{
    switch (wanted->operator) {
    case EQUALS:
    case IN:
        return has_value(wanted, value);
    case NOT_IN:
        return !has_value(wanted, value);
    case EXISTS:
        return true;
    case ABSENT:
        return false;
    }
    return false;
}

static bool is_met(const char *selector, const struct requirement *wanted)
{
    bool keyed = false;
    struct span text;

    while (next(&selector, &text)) {
        struct requirement given;

        if (!parse(text, &given))
            continue;
        if (same(&given, wanted))
            return true;
        if (given.operator == EQUALS && equal(given.key, wanted->key)) {
            keyed = true;
            if (follows(wanted, given.values[0]))
                return true;
        }
    }
    /* A label that is not there is none of the values, as everywhere. */
    return (wanted->operator == ABSENT || wanted->operator == NOT_IN) && !keyed;
}

bool jmp_selector_contains(const char *selector, const char *filter)
{
    struct span text;

    while (next(&filter, &text)) {
        struct requirement wanted;

        if (text.length > 0 && (!parse(text, &wanted) || !is_met(selector, &wanted)))
            return false;
    }
    return true;
}

/* @length bytes of @text, behind a comma if there is something before */
static char *append(char *to, const char *start, const char *text, size_t length)
{
    if (to > start)
        *to++ = ',';
    memcpy(to, text, length);
    to[length] = '\0';
    return to + length;
}

int jmp_selector_join(const struct jmp_node *list, struct jmp_tree *tree, const char **ret)
{
    size_t size = 1;
    char *joined, *end;

    *ret = NULL;
    JMP_NODE_EACH(node, list)
        size += strlen(jmp_node_string(node)) + 1;
    if (size == 1)
        return 0;
    end = joined = jmp_tree_alloc(tree, size);
    if (!joined)
        return -ENOMEM;
    JMP_NODE_EACH(node, list)
        end = append(end, joined, jmp_node_string(node), strlen(jmp_node_string(node)));
    *ret = joined;
    return 0;
}

int jmp_selector_equalities(const char *selector, struct jmp_tree *tree, const char **ret)
{
    struct span text;
    char *joined, *end;

    *ret = NULL;
    if (!selector)
        return 0;
    end = joined = jmp_tree_alloc(tree, strlen(selector) + 2);
    if (!joined)
        return -ENOMEM;
    while (next(&selector, &text)) {
        struct requirement requirement;

        if (parse(text, &requirement) && requirement.operator == EQUALS)
            end = append(end, joined, text.at, text.length);
    }
    if (end > joined)
        *ret = joined;
    return 0;
}
