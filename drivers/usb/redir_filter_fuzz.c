/* SPDX-License-Identifier: Apache-2.0 */
/* Filters come from the exporter's file; what is accepted has to say the same after a trip through text. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/usb/redir_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any number but 0 allows, and is printed as 1. */
static void check_equal(const struct usbredirfilter_rule *a, const struct usbredirfilter_rule *b)
{
    assert(a->device_class == b->device_class && a->vendor_id == b->vendor_id && a->product_id == b->product_id);
    assert(a->device_version_bcd == b->device_version_bcd && !a->allow == !b->allow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct usbredirfilter_rule *rules = NULL, *again = NULL;
    char *text = strndup((const char *)data, size), *printed;
    int count = 0, count_again = 0;

    assert(text);
    if (jmp_redir_filter_parse(text, &rules, &count, NULL) == 0 && count > 0) {
        printed = usbredirfilter_rules_to_string(rules, count, ",", "|");
        assert(printed && jmp_redir_filter_parse(printed, &again, &count_again, NULL) == 0);
        assert(count == count_again);
        for (int i = 0; i < count; i++)
            check_equal(&rules[i], &again[i]);
        usbredirfilter_free(again);
        usbredirfilter_free(printed);
    }
    usbredirfilter_free(rules);
    free(text);
    return 0;
}
