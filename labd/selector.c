/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/selector.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#define SPECIAL "=!(),<>"
#define BLANK " \t\r\n"

struct lexer {
    const char *next;
    char word[JMP_LABEL_PREFIX_MAX + JMP_LABEL_NAME_MAX + 8];
};

enum token { END, WORD, EQUAL, DOUBLE_EQUAL, NOT_EQUAL, BANG, OPEN, CLOSE, COMMA, GREATER, LESS, TOO_LONG };

static enum token take(struct lexer *lexer)
{
    size_t length;
    char c;

    lexer->next += strspn(lexer->next, BLANK);
    c = *lexer->next;
    if (c == '\0') {
        snprintf(lexer->word, sizeof(lexer->word), "the end");
        return END;
    }

    length = strcspn(lexer->next, SPECIAL BLANK);
    if (length > 0) {
        if (length >= sizeof(lexer->word))
            return TOO_LONG;
        memcpy(lexer->word, lexer->next, length);
        lexer->word[length] = '\0';
        lexer->next += length;
        return WORD;
    }

    length = (c == '=' || c == '!') && lexer->next[1] == '=' ? 2 : 1;
    memcpy(lexer->word, lexer->next, length);
    lexer->word[length] = '\0';
    lexer->next += length;
    switch (c) {
    case '=':
        return length == 2 ? DOUBLE_EQUAL : EQUAL;
    case '!':
        return length == 2 ? NOT_EQUAL : BANG;
    case '(':
        return OPEN;
    case ')':
        return CLOSE;
    case ',':
        return COMMA;
    case '>':
        return GREATER;
    default:
        return LESS;
    }
}

static enum token look(const struct lexer *lexer)
{
    struct lexer copy = *lexer;

    return take(&copy);
}

static int unexpected(const struct lexer *lexer, enum token token, const char *wanted, struct jmp_error *reterr)
{
    if (token == TOO_LONG)
        return jmp_error_set(reterr, -EINVAL, "unable to parse requirement: a word is too long");

    return jmp_error_set(reterr, -EINVAL, "unable to parse requirement: found '%s', expected: %s", lexer->word, wanted);
}

static void requirement_clear(struct jmp_requirement *requirement)
{
    for (size_t i = 0; i < requirement->count; i++)
        free(requirement->values[i]);
    free(requirement->values);
    free(requirement->key);
    *requirement = (struct jmp_requirement){ 0 };
}

void jmp_selector_clear(struct jmp_selector *selector)
{
    for (size_t i = 0; i < selector->count; i++)
        requirement_clear(&selector->items[i]);
    free(selector->items);
    *selector = (struct jmp_selector){ 0 };
}

/* Keeps the values sorted and each once. */
static int add_value(struct jmp_requirement *requirement, const char *value)
{
    _cleanup_free_ char *copy = NULL;
    char **values;
    size_t at;

    for (at = 0; at < requirement->count; at++) {
        int order = strcmp(requirement->values[at], value);

        if (order == 0)
            return 0;
        if (order > 0)
            break;
    }
    if (requirement->count >= JMP_SELECTOR_VALUES_MAX)
        return -E2BIG;

    copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    values = realloc(requirement->values, (requirement->count + 1) * sizeof(*values));
    if (!values)
        return -ENOMEM;
    memmove(values + at + 1, values + at, (requirement->count - at) * sizeof(*values));
    values[at] = TAKE_PTR(copy);
    requirement->values = values;
    requirement->count++;
    return 0;
}

static bool is_integer(const char *text, int64_t *ret)
{
    char *end;

    if (*text == '\0')
        return false;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' && (*text == '-' || (*text >= '0' && *text <= '9'));
}

int jmp_selector_add(struct jmp_selector *selector, const char *key, enum jmp_operator op, const char *const *values,
                     size_t count, struct jmp_error *reterr)
{
    _cleanup_(requirement_clear) struct jmp_requirement requirement = { .op = op };
    struct jmp_requirement *items;
    int64_t number;
    int r;

    if (!jmp_label_key_valid(key))
        return jmp_error_set(reterr, -EINVAL, "key: Invalid value: \"%s\": not a label key", key);
    if (selector->count >= JMP_SELECTOR_REQUIREMENTS_MAX)
        return jmp_error_set(reterr, -E2BIG, "more than %u requirements", JMP_SELECTOR_REQUIREMENTS_MAX);
    if ((op == JMP_IN || op == JMP_NOT_IN) && count == 0)
        return jmp_error_set(reterr, -EINVAL,
                             "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
    if ((op == JMP_EXISTS || op == JMP_DOES_NOT_EXIST) && count > 0)
        return jmp_error_set(reterr, -EINVAL,
                             "values: Invalid value: values set must be empty for exists and does not exist");

    requirement.key = strdup(key);
    if (!requirement.key)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if ((op == JMP_GREATER || op == JMP_LESS) && !is_integer(values[i], &number))
            return jmp_error_set(reterr, -EINVAL,
                                 "values[%zu]: Invalid value: \"%s\": for 'Gt', 'Lt' operators, the value must be "
                                 "an integer",
                                 i, values[i]);
        if (!jmp_label_value_valid(values[i]))
            return jmp_error_set(reterr, -EINVAL, "values[%zu][%s]: Invalid value: \"%s\": not a label value", i, key,
                                 values[i]);
        r = add_value(&requirement, values[i]);
        if (r == -E2BIG)
            return jmp_error_set(reterr, r, "more than %u values for %s", JMP_SELECTOR_VALUES_MAX, key);
        if (r < 0)
            return r;
    }

    items = realloc(selector->items, (selector->count + 1) * sizeof(*items));
    if (!items)
        return -ENOMEM;
    selector->items = items;
    items[selector->count++] = requirement;
    requirement = (struct jmp_requirement){ 0 };
    return 0;
}

/* "(a,b)": words may be missing, which stands for the empty value. */
static int parse_set(struct lexer *lexer, char ***values, size_t *count, struct jmp_error *reterr)
{
    enum token token = take(lexer);

    if (token != OPEN)
        return unexpected(lexer, token, "'('", reterr);

    for (;;) {
        const char *value = "";

        token = look(lexer);
        if (token == WORD) {
            take(lexer);
            value = lexer->word;
        } else if (token != COMMA && token != CLOSE) {
            take(lexer);
            return unexpected(lexer, token, "',', ')' or identifier", reterr);
        }

        if (*count >= JMP_SELECTOR_VALUES_MAX)
            return jmp_error_set(reterr, -E2BIG, "more than %u values in a set", JMP_SELECTOR_VALUES_MAX);
        (*values)[*count] = strdup(value);
        if (!(*values)[*count])
            return -ENOMEM;
        (*count)++;

        token = take(lexer);
        if (token == CLOSE)
            return 0;
        if (token != COMMA)
            return unexpected(lexer, token, "',' or ')'", reterr);
    }
}

static void values_free(char ***values)
{
    if (!*values)
        return;
    for (size_t i = 0; i < JMP_SELECTOR_VALUES_MAX; i++)
        free((*values)[i]);
    free(*values);
}

static int parse_requirement(struct jmp_selector *selector, struct lexer *lexer, struct jmp_error *reterr)
{
    _cleanup_(values_free) char **values = calloc(JMP_SELECTOR_VALUES_MAX, sizeof(*values));
    _cleanup_free_ char *key = NULL;
    enum token token = take(lexer);
    enum jmp_operator op = JMP_EXISTS;
    size_t count = 0;
    int r;

    if (!values)
        return -ENOMEM;

    if (token == BANG) {
        op = JMP_DOES_NOT_EXIST;
        token = take(lexer);
    }
    if (token != WORD)
        return unexpected(lexer, token, op == JMP_EXISTS ? "!, identifier" : "identifier", reterr);
    key = strdup(lexer->word);
    if (!key)
        return -ENOMEM;

    token = look(lexer);
    if (op == JMP_DOES_NOT_EXIST || token == COMMA || token == END)
        return jmp_selector_add(selector, key, op, NULL, 0, reterr);

    take(lexer);
    if (token == WORD && strcmp(lexer->word, "in") == 0)
        op = JMP_IN;
    else if (token == WORD && strcmp(lexer->word, "notin") == 0)
        op = JMP_NOT_IN;
    else if (token == EQUAL || token == DOUBLE_EQUAL)
        op = JMP_EQUALS;
    else if (token == NOT_EQUAL)
        op = JMP_NOT_EQUALS;
    else if (token == GREATER || token == LESS)
        op = token == GREATER ? JMP_GREATER : JMP_LESS;
    else
        return unexpected(lexer, token, "in, notin, =, ==, !=, >, <", reterr);

    if (op == JMP_IN || op == JMP_NOT_IN) {
        r = parse_set(lexer, &values, &count, reterr);
        if (r < 0)
            return r;
    } else {
        token = look(lexer);
        if (token == WORD)
            take(lexer);
        else
            lexer->word[0] = '\0';
        values[count] = strdup(lexer->word);
        if (!values[count++])
            return -ENOMEM;
    }

    return jmp_selector_add(selector, key, op, (const char *const *)values, count, reterr);
}

int jmp_selector_parse(struct jmp_selector *selector, const char *text, struct jmp_error *reterr)
{
    _cleanup_(jmp_selector_clear) struct jmp_selector parsed = { 0 };
    struct lexer lexer = { .next = text };
    enum token token;
    int r;

    if (strlen(text) > JMP_SELECTOR_MAX)
        return jmp_error_set(reterr, -E2BIG, "a selector of more than %u bytes", JMP_SELECTOR_MAX);

    if (look(&lexer) != END) {
        do {
            r = parse_requirement(&parsed, &lexer, reterr);
            if (r < 0)
                return r;
            token = take(&lexer);
        } while (token == COMMA);
        if (token != END)
            return unexpected(&lexer, token, "',' or the end", reterr);
    }

    *selector = parsed;
    parsed = (struct jmp_selector){ 0 };
    return 0;
}

static int merge(struct jmp_requirement *into, const struct jmp_requirement *from)
{
    for (size_t i = 0; i < from->count; i++) {
        int r = add_value(into, from->values[i]);

        if (r < 0)
            return r;
    }

    return 0;
}

/* A stable insertion sort: requirements on one key stay in the order of kinds, then as written. */
static void sort(struct jmp_selector *selector)
{
    for (size_t i = 1; i < selector->count; i++) {
        struct jmp_requirement item = selector->items[i];
        size_t j = i;

        for (; j > 0; j--) {
            int order = strcmp(selector->items[j - 1].key, item.key);

            if (order < 0 || (order == 0 && selector->items[j - 1].op <= item.op))
                break;
            selector->items[j] = selector->items[j - 1];
        }
        selector->items[j] = item;
    }
}

int jmp_selector_normalize(struct jmp_selector *selector, struct jmp_error *reterr)
{
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < selector->count; i++)
        if (selector->items[i].op == JMP_GREATER || selector->items[i].op == JMP_LESS)
            return jmp_error_set(reterr, -EINVAL, "unsupported label selector operator: %s",
                                 selector->items[i].op == JMP_GREATER ? "gt" : "lt");

    for (size_t i = 0; i < selector->count; i++) {
        struct jmp_requirement *item = &selector->items[i], *same = NULL;

        for (size_t j = 0; j < kept && !same; j++)
            if (selector->items[j].op == item->op && strcmp(selector->items[j].key, item->key) == 0)
                same = &selector->items[j];

        if (same && item->op == JMP_EQUALS && strcmp(same->values[0], item->values[0]) != 0) {
            r = jmp_error_set(reterr, -EINVAL,
                              "invalid selector: label %s cannot have multiple equality requirements with "
                              "different values (%s and %s)",
                              item->key, same->values[0], item->values[0]);
            break;
        }
        if (same && item->op == JMP_NOT_EQUALS) {
            r = merge(same, item);
            if (r < 0)
                break;
        }
        if (same && item->op != JMP_IN && item->op != JMP_NOT_IN) {
            requirement_clear(item);
            continue;
        }
        if (kept != i) {
            selector->items[kept] = *item;
            *item = (struct jmp_requirement){ 0 };
        }
        kept++;
    }
    if (r < 0)
        return r;   /* some items are empty now; clearing still works */

    selector->count = kept;
    for (size_t i = 0; i < kept; i++)
        if (selector->items[i].op == JMP_NOT_EQUALS)
            selector->items[i].op = JMP_NOT_IN;
    sort(selector);
    return 0;
}

int jmp_selector_print(const struct jmp_selector *selector, char **ret)
{
    static const char *const words[] = {
        [JMP_EQUALS] = "=", [JMP_NOT_EQUALS] = "!=", [JMP_IN] = " in ", [JMP_NOT_IN] = " notin ",
        [JMP_EXISTS] = "", [JMP_DOES_NOT_EXIST] = "", [JMP_GREATER] = ">", [JMP_LESS] = "<",
    };
    _cleanup_free_ char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    bool failed;

    if (!stream)
        return -ENOMEM;

    for (size_t i = 0; i < selector->count; i++) {
        const struct jmp_requirement *item = &selector->items[i];
        bool set = item->op == JMP_IN || item->op == JMP_NOT_IN;

        fprintf(stream, "%s%s%s%s%s", i ? "," : "", item->op == JMP_DOES_NOT_EXIST ? "!" : "", item->key,
                words[item->op], set ? "(" : "");
        for (size_t j = 0; j < item->count; j++)
            fprintf(stream, "%s%s", j ? "," : "", item->values[j]);
        if (set)
            fputc(')', stream);
    }

    failed = ferror(stream);
    if (fclose(stream) < 0 || failed)
        return -ENOMEM;

    *ret = TAKE_PTR(text);
    return 0;
}

static bool requirement_matches(const struct jmp_requirement *item, const struct jmp_labels *labels)
{
    const char *value = jmp_labels_get(labels, item->key);
    int64_t have, want;
    bool found = false;

    if (value)
        for (size_t i = 0; i < item->count && !found; i++)
            found = strcmp(item->values[i], value) == 0;

    switch (item->op) {
    case JMP_EQUALS:
    case JMP_IN:
        return found;
    case JMP_NOT_EQUALS:
    case JMP_NOT_IN:
        return !found;
    case JMP_EXISTS:
        return value != NULL;
    case JMP_DOES_NOT_EXIST:
        return value == NULL;
    case JMP_GREATER:
    case JMP_LESS:
        if (!value || !is_integer(value, &have) || !is_integer(item->values[0], &want))
            return false;
        return item->op == JMP_GREATER ? have > want : have < want;
    }

    return false;
}

bool jmp_selector_matches(const struct jmp_selector *selector, const struct jmp_labels *labels)
{
    for (size_t i = 0; i < selector->count; i++)
        if (!requirement_matches(&selector->items[i], labels))
            return false;

    return true;
}

int jmp_selector_equalities(const struct jmp_selector *selector, struct jmp_labels *labels)
{
    for (size_t i = 0; i < selector->count; i++) {
        const struct jmp_requirement *item = &selector->items[i];
        int r;

        if (item->op != JMP_EQUALS)
            continue;
        r = jmp_labels_set(labels, item->key, item->values[0]);
        if (r < 0)
            return r;
    }

    return 0;
}
