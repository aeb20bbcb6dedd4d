/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ident.h"

#include <string.h>

#include "base/test.h"

JMP_TEST(identifiers_are_taken_apart)
{
    static const struct {
        const char *text, *kind, *namespace_, *name, *error;
    } cases[] = {
        { "namespaces/default/leases/x", "leases", "default", "x" },
        { "namespaces/default", NULL, "default", "" },
        { "namespaces//leases/", "leases", "", "" },
        { "namespaces/default/leases/x", NULL, NULL, NULL, "expecting 2, got 4" },
        { "namespaces/default", "leases", NULL, NULL, "expecting 4, got 2" },
        { "", "leases", NULL, NULL, "expecting 4, got 1" },
        { "namespaces/a/leases/b/c", "leases", NULL, NULL, "expecting 4, got 5" },
        { "namespace/a/leases/b", "leases", NULL, NULL, "invalid first segment" },
        { "exporters/e", "exporters", NULL, NULL, "expecting 4, got 2" },
        { "foo/a/leases/b", "leases", NULL, NULL, "expecting \"namespaces\", got \"foo\"" },
        { "namespaces/a/exporters/b", "leases", NULL, NULL, "expecting \"leases\", got \"exporters\"" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_error error = JMP_ERROR_INIT;
        struct jmp_ident ident;
        int r = jmp_ident_parse(cases[i].text, cases[i].kind, &ident, &error);

        print_message("\"%s\"\n", cases[i].text);
        assert_int_equal(r, cases[i].error ? -EINVAL : 0);
        if (cases[i].error) {
            assert_non_null(strstr(error.text, cases[i].error));
        } else {
            assert_string_equal(ident.namespace_, cases[i].namespace_);
            assert_string_equal(ident.name, cases[i].name);
        }
    }
}
