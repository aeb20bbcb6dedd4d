/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/name.h"

#include <string.h>

#include "base/test.h"

JMP_TEST(names_are_dns_subdomains)
{
    static const struct {
        const char *name;
        bool valid;
    } rows[] = {
        { "a", true },     { "a-b.c0", true }, { "0", true },   { "", false },     { "A", false },
        { "a_b", false },  { "-a", false },    { "a-", false }, { "a..b", false }, { "a-.b", false },
        { "a.-b", false }, { ".a", false },    { "a.", false }, { "a b", false },  { "\xc3\xa4", false },
    };
    char longest[JMP_NAME_MAX + 2];

    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        if (jmp_kube_name_is_valid(rows[i].name) != rows[i].valid)
            fail_msg("\"%s\" should be %s", rows[i].name, rows[i].valid ? "valid" : "invalid");

    memset(longest, 'a', sizeof(longest));
    longest[JMP_NAME_MAX + 1] = '\0';
    assert_false(jmp_kube_name_is_valid(longest));
    longest[JMP_NAME_MAX] = '\0';
    assert_true(jmp_kube_name_is_valid(longest));
}

JMP_TEST(words_become_names)
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        { "Example Foo", "example-foo" }, { "a.b", "a.b" },       { "  x  ", "x" },
        { "Lab 1 -- Pi #4", "lab-1-pi-4" }, { "x.", "x" },        { "a. b", "a.b" },
    };
    char name[JMP_NAME_MAX + 1];

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        assert_int_equal(jmp_kube_name(rows[i].text, NULL, name), 0);
        assert_string_equal(name, rows[i].name);
        assert_true(jmp_kube_name_is_valid(name));
    }
    assert_int_equal(jmp_kube_name("#?", NULL, name), -EINVAL);
    assert_int_equal(jmp_kube_name("", "x", name), -EINVAL);
}

JMP_TEST(long_names_are_cut_before_what_tells_deployments_apart)
{
    char text[301], one[JMP_NAME_MAX + 1], other[JMP_NAME_MAX + 1];

    memset(text, 'n', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(jmp_kube_name(text, "berlin", one), 0);
    assert_int_equal(jmp_kube_name(text, "bonn", other), 0);
    assert_int_equal(strlen(one), JMP_NAME_MAX);
    assert_true(jmp_kube_name_is_valid(one));
    assert_string_not_equal(one, other);
    assert_int_equal(jmp_kube_name(text, "berlin", other), 0);
    assert_string_equal(one, other);
}

JMP_TEST(an_identity_is_named_as_api_servers_name_theirs)
{
    char name[JMP_NAME_MAX + 1];

    assert_int_equal(jmp_kube_identity_name("apiserver", "vm", "kube-apiserver", name), 0);
    assert_string_equal(name, "apiserver-wlv32tlttr4jl3gtroqexyxapa");
    assert_int_equal(jmp_kube_identity_name("No", "vm", "x", name), -EINVAL);
}
