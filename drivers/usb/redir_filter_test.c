/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/redir_filter.h"

#include <stdlib.h>
#include <string.h>

#include "base/test.h"

/* A device with one interface: would it be carried? */
static bool allows(const char *filter, uint8_t class, uint16_t vendor, uint16_t product)
{
    struct usbredirfilter_rule *rules = NULL;
    uint8_t interface_class = class, zero = 0;
    int count = 0, r;

    assert_int_equal(jmp_redir_filter_parse(filter, &rules, &count, NULL), 0);
    r = usbredirfilter_check(rules, count, 0, 0, 0, &interface_class, &zero, &zero, 1, vendor, product, 0x0100, 0);
    usbredirfilter_free(rules);
    return r == 0;
}

JMP_TEST(the_first_rule_that_fits_decides)
{
    static const struct {
        const char *filter;
        uint8_t class;
        uint16_t vendor, product;
        bool allowed;
    } rows[] = {
        { "-1,-1,-1,-1,1", 0x08, 0x1234, 1, true },
        { "-1,-1,-1,-1,0", 0x08, 0x1234, 1, false },
        { "0x08,-1,-1,-1,0|-1,-1,-1,-1,1", 0x08, 0x1234, 1, false }, /* everything but disks */
        { "0x08,-1,-1,-1,0|-1,-1,-1,-1,1", 0xff, 0x1234, 1, true },
        { "-1,-1,-1,-1,1|0x08,-1,-1,-1,0", 0x08, 0x1234, 1, true },
        { "-1,0x1366,0x0101,-1,1", 0xff, 0x1366, 0x0101, true },
        { "-1,0x1366,0x0101,-1,1", 0xff, 0x1366, 0x0102, false }, /* what no rule fits is refused */
        { "-1,0x1366,-1,0x0200,1", 0xff, 0x1366, 0x0102, false },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        assert_int_equal(allows(rows[i].filter, rows[i].class, rows[i].vendor, rows[i].product), rows[i].allowed);
}

JMP_TEST(what_is_no_filter_is_refused_with_words)
{
    static const char *const rows[] = { "disks",          "0x08",
                                        "0x08,-1,-1,-1",  "0x08,-1,-1,-1,1,1",
                                        "256,-1,-1,-1,1", "-1,65536,-1,-1,1",
                                        "-2,-1,-1,-1,1",  "a,-1,-1,-1,1" };
    char *longest = malloc(JMP_REDIR_FILTER_MAX + 2);

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_error error = JMP_ERROR_INIT;

        assert_int_equal(jmp_redir_filter_check(rows[i], &error), -EINVAL);
        assert_non_null(strstr(error.text, "is not a filter"));
    }
    assert_non_null(longest);
    memset(longest, '1', JMP_REDIR_FILTER_MAX + 1);
    longest[JMP_REDIR_FILTER_MAX + 1] = '\0';
    assert_int_equal(jmp_redir_filter_check(longest, NULL), -EINVAL);
    free(longest);
}
