/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/redir_filter.h"

#include <string.h>

int jmp_redir_filter_parse(const char *text, struct usbredirfilter_rule **ret, int *retcount, struct jmp_error *reterr)
{
    int r;

    if (strlen(text) > JMP_REDIR_FILTER_MAX)
        return jmp_error_set(reterr, -EINVAL, "the filter is longer than %u characters", JMP_REDIR_FILTER_MAX);
    r = usbredirfilter_string_to_rules(text, ",", "|", ret, retcount);
    if (r == -EINVAL) {
        jmp_error_set(reterr, r, "\"%.200s\" is not a filter", text);
        jmp_error_hint(
            reterr, "each rule is class,vendor,product,version,allow: 0x08,-1,-1,-1,0|-1,-1,-1,-1,1 is all but disks");
    }
    return r;
}

int jmp_redir_filter_check(const char *text, struct jmp_error *reterr)
{
    struct usbredirfilter_rule *rules = NULL;
    int count, r;

    r = jmp_redir_filter_parse(text, &rules, &count, reterr);
    if (r == 0)
        usbredirfilter_free(rules);
    return r;
}
