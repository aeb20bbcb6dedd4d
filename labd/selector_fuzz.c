/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a selector: no crash, and what was understood has one form that means the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "labd/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_order(const struct jmp_selector *selector)
{
    for (size_t i = 0; i < selector->count; i++)
        if (selector->items[i].op == JMP_GREATER || selector->items[i].op == JMP_LESS)
            return true;

    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 }, again = { 0 };
    _cleanup_(jmp_labels_clear) struct jmp_labels labels = { 0 };
    _cleanup_free_ char *text = strndup((const char *)data, size), *form = NULL, *second = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    bool matched;
    int r;

    if (!text)
        return 0;
    r = jmp_selector_parse(&selector, text, &error);
    if (r < 0) {
        if (r == -EINVAL && !error.text[0])
            abort();
        return 0;
    }
    /* Labels that fulfil the equalities, at most one value a key. */
    if (jmp_selector_equalities(&selector, &labels) < 0)
        return 0;
    matched = jmp_selector_matches(&selector, &labels);
    if (jmp_selector_normalize(&selector, &error) < 0) {
        if (!has_order(&selector) && !error.text[0])
            abort();
        return 0;
    }
    if (jmp_selector_matches(&selector, &labels) != matched)
        abort();
    if (jmp_selector_print(&selector, &form) < 0)
        return 0;
    /* The form may be longer than what was written, and then too long. */
    r = jmp_selector_parse(&again, form, NULL);
    if (r < 0) {
        if (strlen(form) <= JMP_SELECTOR_MAX && r == -EINVAL)
            abort();
        return 0;
    }
    if (jmp_selector_normalize(&again, NULL) == 0 && jmp_selector_print(&again, &second) == 0 &&
        strcmp(form, second) != 0)
        abort();
    return 0;
}
