/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/selector.h"

#include <string.h>

#include "base/test.h"
#include "labd/ident.h"

/* What is written, what it reads back as in a list filter, and in a lease; NULL: refused, with words that contain
 * @error. */
static const struct {
    const char *text, *plain, *normal, *error;
} forms[] = {
    { "", "", "" },
    { "  \t\r\n ", "", "" },
    { "board", "board", "board" },
    { "!board", "!board", "!board" },
    { "! board", "!board", "!board" },
    { "board=rpi4", "board=rpi4", "board=rpi4" },
    { "board==rpi4", "board=rpi4", "board=rpi4" },
    { " board = rpi4 ", "board=rpi4", "board=rpi4" },
    { "board!=rpi4", "board!=rpi4", "board notin (rpi4)" },
    { "board!=b,board!=a", "board!=b,board!=a", "board notin (a,b)" },
    { "board!=a,board!=a", "board!=a,board!=a", "board notin (a)" },
    { "board in (b,a)", "board in (a,b)", "board in (a,b)" },
    { "board in (a)", "board in (a)", "board in (a)" },
    { "board in (a,a)", "board in (a)", "board in (a)" },
    { "board notin(b , a)", "board notin (a,b)", "board notin (a,b)" },
    { "board in (,a)", "board in (,a)", "board in (,a)" },
    { "board in ()", "board in ()", "board in ()" },
    { "board notin ()", "board notin ()", "board notin ()" },
    { "board=", "board=", "board=" },
    { "board=,x=1", "board=,x=1", "board=,x=1" },
    { "z=1,a=2", "z=1,a=2", "a=2,z=1" },
    { "b in (x),a,!c,d=1", "b in (x),a,!c,d=1", "a,b in (x),!c,d=1" },
    { "a,a", "a,a", "a" },
    { "a=1,a=1", "a=1,a=1", "a=1" },
    { "a in (x),a in (y)", "a in (x),a in (y)", "a in (x),a in (y)" },
    { "in in (in,notin)", "in in (in,notin)", "in in (in,notin)" },
    { "notin", "notin", "notin" },
    { "example.com/board=rpi4", "example.com/board=rpi4", "example.com/board=rpi4" },
    { "a=1,a=2", "a=1,a=2", NULL,
      "invalid selector: label a cannot have multiple equality requirements with different values (1 and 2)" },
    { "ram>4", "ram>4", NULL, "unsupported label selector operator: gt" },
    { "ram<4", "ram<4", NULL, "unsupported label selector operator: lt" },
    { ",", NULL, NULL, "found ','" },
    { "a,", NULL, NULL, "found 'the end'" },
    { "a,,b", NULL, NULL, "found ','" },
    { "=a", NULL, NULL, "found '='" },
    { "a b", NULL, NULL, "found 'b', expected: in, notin" },
    { "a=b c", NULL, NULL, "found 'c', expected: ','" },
    { "a in", NULL, NULL, "expected: '('" },
    { "a in b", NULL, NULL, "expected: '('" },
    { "a in (b", NULL, NULL, "expected: ',' or ')'" },
    { "a in (b;c)", NULL, NULL, "Invalid value: \"b;c\"" },
    { "a in (b c)", NULL, NULL, "expected: ',' or ')'" },
    { "a in ((", NULL, NULL, "expected: ',', ')' or identifier" },
    { "!", NULL, NULL, "expected: identifier" },
    { "!!a", NULL, NULL, "expected: identifier" },
    { "!a=b", NULL, NULL, "expected: ',' or the end" },
    { "a=b=c", NULL, NULL, "found '='" },
    { "ram>big", NULL, NULL, "must be an integer" },
    { "ram>", NULL, NULL, "must be an integer" },
    { "ram> 99999999999999999999", NULL, NULL, "must be an integer" },
    { "-a=1", NULL, NULL, "key: Invalid value" },
    { "a/b/c=1", NULL, NULL, "key: Invalid value" },
    { "Example.com/a=1", NULL, NULL, "key: Invalid value" },
    { "/a=1", NULL, NULL, "key: Invalid value" },
    { "a/=1", NULL, NULL, "key: Invalid value" },
    { "a=b/c", NULL, NULL, "not a label value" },
    { "a=-b", NULL, NULL, "not a label value" },
    { "a=0123456789012345678901234567890123456789012345678901234567890123", NULL, NULL, "not a label value" },
    { "b0123456789012345678901234567890123456789012345678901234567890123", NULL, NULL, "key: Invalid value" },
    { "a=\xc3\xa9", NULL, NULL, "not a label value" },
};

JMP_TEST(selectors_read_back_in_their_normal_form)
{
    print_message("%zu rows\n", ELEMENTSOF(forms));
    for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
        _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 };
        _cleanup_free_ char *plain = NULL, *normal = NULL;
        struct jmp_error error = JMP_ERROR_INIT;
        int r;

        print_message("selector \"%s\"\n", forms[i].text);
        r = jmp_selector_parse(&selector, forms[i].text, &error);
        assert_int_equal(r, forms[i].plain ? 0 : -EINVAL);
        if (forms[i].plain) {
            assert_int_equal(jmp_selector_print(&selector, &plain), 0);
            assert_string_equal(plain, forms[i].plain);
            r = jmp_selector_normalize(&selector, &error);
            assert_int_equal(r, forms[i].normal ? 0 : -EINVAL);
        }
        if (forms[i].normal) {
            _cleanup_(jmp_selector_clear) struct jmp_selector again = { 0 };
            _cleanup_free_ char *same = NULL;

            assert_int_equal(jmp_selector_print(&selector, &normal), 0);
            assert_string_equal(normal, forms[i].normal);
            /* What is stored can be read again, and is normal already. */
            assert_int_equal(jmp_selector_parse(&again, normal, &error), 0);
            assert_int_equal(jmp_selector_normalize(&again, &error), 0);
            assert_int_equal(jmp_selector_print(&again, &same), 0);
            assert_string_equal(same, normal);
        } else if (!strstr(error.text, forms[i].error)) {
            fail_msg("\"%s\" does not say \"%s\"", error.text, forms[i].error);
        }
    }
}

JMP_TEST(selectors_match_as_users_expect)
{
    static const struct {
        const char *selector;
        bool matches;
    } cases[] = {
        { "", true },
        { "board=rpi4", true },
        { "board==rpi4", true },
        { "board=rpi5", false },
        { "other=rpi4", false },
        { "board!=rpi5", true },
        { "board!=rpi4", false },
        { "other!=x", true },
        { "board in (rpi4,rpi5)", true },
        { "board in (rpi5)", false },
        { "other in (rpi4)", false },
        { "board notin (rpi5)", true },
        { "board notin (rpi4)", false },
        { "other notin (x)", true },
        { "board", true },
        { "other", false },
        { "!other", true },
        { "!board", false },
        { "ram>3", true },
        { "ram>4", false },
        { "ram<5", true },
        { "board>3", false },
        { "other<3", false },
        { "empty=", true },
        { "board=", false },
        { "empty in ()", true },
        { "other=", false },
        { "board=rpi4,ram=4", true },
        { "board=rpi4,ram=8", false },
    };
    _cleanup_(jmp_labels_clear) struct jmp_labels labels = { 0 };

    assert_int_equal(jmp_labels_set(&labels, "board", "rpi4"), 0);
    assert_int_equal(jmp_labels_set(&labels, "ram", "4"), 0);
    assert_int_equal(jmp_labels_set(&labels, "empty", ""), 0);
    print_message("%zu rows\n", ELEMENTSOF(cases));
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 };

        print_message("selector \"%s\"\n", cases[i].selector);
        assert_int_equal(jmp_selector_parse(&selector, cases[i].selector, NULL), 0);
        assert_int_equal(jmp_selector_matches(&selector, &labels), cases[i].matches);
        assert_int_equal(jmp_selector_normalize(&selector, NULL) == 0 ? jmp_selector_matches(&selector, &labels)
                                                                      : cases[i].matches,
                         cases[i].matches);
    }
}

JMP_TEST(selectors_have_limits)
{
    static char many[JMP_SELECTOR_MAX + 2];
    struct jmp_selector selector = { 0 };
    struct jmp_error error;

    memset(many, 'a', sizeof(many) - 1);
    error = JMP_ERROR_INIT;
    assert_int_equal(jmp_selector_parse(&selector, many, &error), -E2BIG);
    many[JMP_SELECTOR_MAX] = '\0';
    error = JMP_ERROR_INIT;
    assert_int_equal(jmp_selector_parse(&selector, many, &error), -EINVAL);
    assert_non_null(strstr(error.text, "too long"));

    for (size_t i = 0; i < JMP_SELECTOR_MAX; i++)
        many[i] = i % 2 ? ',' : 'a';
    many[JMP_SELECTOR_MAX - 1] = '\0';
    error = JMP_ERROR_INIT;
    assert_int_equal(jmp_selector_parse(&selector, many, &error), -E2BIG);
    assert_non_null(strstr(error.text, "requirements"));

    memcpy(many, "a in (", 6);
    for (size_t i = 6; i < 400; i++)
        many[i] = ',';
    error = JMP_ERROR_INIT;
    assert_int_equal(jmp_selector_parse(&selector, many, &error), -E2BIG);
    assert_non_null(strstr(error.text, "values"));
    assert_null(selector.items);
}

JMP_TEST(selectors_survive_any_failed_allocation)
{
    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 };
        int r = jmp_selector_parse(&selector, "a=1,b in (x,y),c!=1,c!=2,!d", NULL);

        assert_true(r == 0 || (r == -ENOMEM && !selector.items));
        if (r == 0)
            r = jmp_selector_normalize(&selector, NULL);
        assert_true(r == 0 || r == -ENOMEM);
    }
}

JMP_TEST(labels_keep_their_order_and_their_last_value)
{
    _cleanup_(jmp_labels_clear) struct jmp_labels labels = { 0 }, again = { 0 };
    _cleanup_free_ char *text = NULL;

    assert_int_equal(jmp_labels_set(&labels, "b", "1"), 0);
    assert_int_equal(jmp_labels_set(&labels, "a", "\"quoted\" \xc3\xa9"), 0);
    assert_int_equal(jmp_labels_set(&labels, "jumpstarter.dev/name", "x"), 0);
    assert_int_equal(jmp_labels_set(&labels, "b", "2"), 0);
    assert_int_equal(labels.count, 3);
    assert_string_equal(labels.items[0].key, "a");
    assert_string_equal(jmp_labels_get(&labels, "b"), "2");
    assert_null(jmp_labels_get(&labels, "c"));

    assert_int_equal(jmp_labels_print(&labels, &text), 0);
    assert_int_equal(jmp_labels_parse(&again, text), 0);
    assert_int_equal(again.count, 3);
    assert_string_equal(jmp_labels_get(&again, "a"), "\"quoted\" \xc3\xa9");

    jmp_labels_remove(&again, "jumpstarter.dev/");
    assert_int_equal(again.count, 2);
    assert_null(jmp_labels_get(&again, "jumpstarter.dev/name"));
    for (unsigned i = 0; i < JMP_LABELS_MAX - 2; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%u", i);
        assert_int_equal(jmp_labels_set(&again, key, ""), 0);
    }
    assert_int_equal(jmp_labels_set(&again, "more", ""), -E2BIG);
    jmp_labels_clear(&again);
    assert_int_equal(jmp_labels_parse(&again, "[]"), -EBADMSG);
    assert_int_equal(jmp_labels_parse(&again, "{\"a\":1}"), -EBADMSG);
    assert_int_equal(jmp_labels_parse(&again, "{\"a\":"), -EBADMSG);
}

JMP_TEST(label_syntax_is_that_of_the_protocol)
{
    static const struct {
        const char *text;
        bool key, value, subdomain;
    } cases[] = {
        { "", false, true, false },       { "a", true, true, true },        { "A", true, true, false },
        { "a-b_c.d", true, true, false }, { "a-b.c", true, true, true },    { "-a", false, false, false },
        { "a-", false, false, false },    { ".a", false, false, false },    { "a..b", true, true, false },
        { "a.-b", true, true, false },    { "a-.b", true, true, false },    { "a b", false, false, false },
        { "x.y/a", true, false, false },  { "x_y/a", false, false, false }, { "1", true, true, true },
        { "a.", false, false, false },
    };

    print_message("%zu rows\n", ELEMENTSOF(cases));
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        print_message("\"%s\"\n", cases[i].text);
        assert_int_equal(jmp_label_key_valid(cases[i].text), cases[i].key);
        assert_int_equal(jmp_label_value_valid(cases[i].text), cases[i].value);
        assert_int_equal(jmp_subdomain_valid(cases[i].text, strlen(cases[i].text)), cases[i].subdomain);
    }
}

JMP_TEST(label_arguments_say_what_is_wrong)
{
    _cleanup_(jmp_labels_clear) struct jmp_labels labels = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;

    assert_int_equal(jmp_label_parse(&labels, "board=rpi4", &error), 0);
    assert_int_equal(jmp_label_parse(&labels, "empty=", &error), 0);
    assert_int_equal(labels.count, 2);
    assert_int_equal(jmp_label_parse(&labels, "board", &error), -EINVAL);
    assert_string_equal(error.text, "label \"board\" has no value");
    assert_int_equal(jmp_label_parse(&labels, "bo ard=x", &error), -EINVAL);
    assert_string_equal(error.text, "\"bo ard=x\" is not a label");
    assert_int_equal(jmp_label_parse(&labels, "a=b=c", &error), -EINVAL);
}

JMP_TEST(new_names_are_version_7_uuids_and_valid_names)
{
    char before[JMP_UUID_SIZE], after[JMP_UUID_SIZE], canonical[JMP_UUID_SIZE];

    jmp_uuid_ordered(before);
    jmp_uuid_ordered(after);
    assert_true(jmp_uuid_parse(before, canonical));
    assert_string_equal(before, canonical);
    assert_int_equal(before[14], '7');
    assert_non_null(strchr("89ab", before[19]));
    assert_true(strncmp(before, after, 13) <= 0);
    assert_string_not_equal(before, after);
    assert_true(jmp_subdomain_valid(before, strlen(before)));
}
