/* SPDX-License-Identifier: Apache-2.0 */
/* Filters come from the exporter's file; what is accepted has to say the same after a trip through text. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/usb/redir_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct usbredirfilter_rule *rules = NULL, *again = NULL;
    char *text = strndup((const char *)data, size), *printed;
    int count = 0, count_again = 0;

    assert(text);
    if (jmp_redir_filter_parse(text, &rules, &count, NULL) == 0 && count > 0) {
        printed = usbredirfilter_rules_to_string(rules, count, ",", "|");
        assert(printed && jmp_redir_filter_parse(printed, &again, &count_again, NULL) == 0);
        assert(count == count_again && memcmp(rules, again, (size_t)count * sizeof(*rules)) == 0);
        usbredirfilter_free(again);
        usbredirfilter_free(printed);
    }
    usbredirfilter_free(rules);
    free(text);
    return 0;
}
