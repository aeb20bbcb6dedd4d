/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/rules.h"

#include <string.h>
#include <unistd.h>

#include "base/test.h"

static void labels_are(struct jmp_labels *labels, const char *text)
{
    _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 };

    assert_int_equal(jmp_selector_parse(&selector, text, NULL), 0);
    assert_int_equal(jmp_selector_equalities(&selector, labels), 0);
}

static void read_rules(const char *text, struct jmp_rules *ret)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r = jmp_rules_parse(text, strlen(text), "rules.yaml", ret, &error);

    if (r < 0)
        print_message("%u:%u %s: %s\n", error.line, error.column, error.path, error.text);
    assert_int_equal(r, 0);
}

JMP_TEST(who_is_let_in)
{
    static const struct {
        const char *rules, *client, *exporter;
        int64_t seconds;
        bool approved, spot;
        int priority;
    } cases[] = {
        { "", "", "board=pi", 60, true, false, 0 },
        { "access:", "", "board=pi", 60, true, false, 0 },
        { "access: []", "", "board=pi", 60, true, false, 0 },
        { "access: [{}]", "", "", 60, true, false, 0 },
        { "access: [{clients: team=a}]", "team=a", "board=pi", 60, true, false, 0 },
        { "access: [{clients: team=a}]", "team=b", "board=pi", 60, false, false, 0 },
        { "access: [{clients: team=a}]", "", "board=pi", 60, false, false, 0 },
        { "access: [{clients: team!=a}]", "", "board=pi", 60, true, false, 0 },
        { "access: [{clients: 'team in (a,b)'}]", "team=b", "", 60, true, false, 0 },
        { "access: [{clients: 'team,!guest'}]", "guest=yes,team=b", "", 60, false, false, 0 },
        { "access: [{exporters: board=pi}]", "", "board=pi", 60, true, false, 0 },
        { "access: [{exporters: board=pi}]", "", "board=x86", 60, false, false, 0 },
        { "access: [{exporters: board=pi, clients: team=a}]", "team=a", "board=x86", 60, false, false, 0 },
        { "access: [{exporters: board=pi, clients: team=a}]", "team=b", "board=pi", 60, false, false, 0 },
        { "access: [{exporters: board=pi, clients: team=a}, {exporters: board=x86}]", "team=b", "board=x86", 60, true,
          false, 0 },
        { "access: [{priority: 3}]", "", "", 60, true, false, 3 },
        { "access: [{priority: -3}]", "", "", 60, true, false, -3 },
        { "access: [{priority: -3}, {priority: -1}, {priority: -2}]", "", "", 60, true, false, -1 },
        { "access: [{priority: 3}, {priority: 7}]", "", "", 60, true, false, 7 },
        { "access: [{priority: 7}, {priority: 3}]", "", "", 60, true, false, 7 },
        { "access: [{priority: 7, clients: team=a}, {priority: 3}]", "team=b", "", 60, true, false, 3 },
        { "access: [{spot: true}]", "", "", 60, true, true, 0 },
        { "access: [{spot: true, priority: 9}, {priority: 1}]", "", "", 60, true, false, 1 },
        { "access: [{priority: 1}, {spot: true, priority: 9}]", "", "", 60, true, false, 1 },
        { "access: [{spot: true, priority: 9}, {spot: true, priority: 11}]", "", "", 60, true, true, 11 },
        { "access: [{maximum_duration: 60}]", "", "", 60, true, false, 0 },
        { "access: [{maximum_duration: 60}]", "", "", 61, false, false, 0 },
        { "access: [{maximum_duration: 60}]", "", "", 0, true, false, 0 },
        { "access: [{maximum_duration: 0}]", "", "", 1000000, true, false, 0 },
        { "access: [{maximum_duration: 60, priority: 9}, {priority: 1}]", "", "", 61, true, false, 1 },
        { "access: [{maximum_duration: 60, priority: 9}, {priority: 1}]", "", "", 59, true, false, 9 },
        { "access: [{maximum_duration: 60}, {spot: true}]", "", "", 61, true, true, 0 },
        { "access: [{maximum_duration: 1.5}]", "", "", 1, true, false, 0 },
        { "access: [{maximum_duration: 1.5}]", "", "", 2, false, false, 0 },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_labels_clear) struct jmp_labels client = { 0 }, exporter = { 0 };
        _cleanup_(jmp_rules_clear) struct jmp_rules rules = { 0 };
        struct jmp_access access;

        print_message("%s, client %s, exporter %s, %d s\n", cases[i].rules, cases[i].client, cases[i].exporter,
                      (int)cases[i].seconds);
        read_rules(cases[i].rules, &rules);
        labels_are(&client, cases[i].client);
        labels_are(&exporter, cases[i].exporter);
        access = jmp_rules_judge(&rules, &client, &exporter, cases[i].seconds * JMP_NSEC_PER_SECOND, NULL);
        assert_int_equal(access.approved, cases[i].approved);
        assert_int_equal(access.spot, cases[i].spot);
        assert_int_equal(access.priority, cases[i].priority);
    }
}

JMP_TEST(mistakes_are_named_with_their_place)
{
    static const struct { const char *text; unsigned line; const char *words; } cases[] = {
        { "acess: []\n", 1, "" },
        { "access: yes\n", 1, "list" },
        { "access:\n- 5\n", 2, "" },
        { "access:\n- exporters: 'a=b=c'\n", 2, "" },
        { "access:\n- clients: 'a in ('\n", 2, "" },
        { "access:\n- clients: a\n- clients: [a]\n", 3, "" },
        { "access:\n- priority: high\n", 2, "" },
        { "access:\n- priority: 1000001\n", 2, "" },
        { "access:\n- maximum_duration: -1\n", 2, "" },
        { "access:\n- maximum_duration: 2h\n", 2, "" },
        { "access:\n- spot: maybe\n", 2, "" },
        { "access:\n- client: team=a\n", 2, "" },
        { "hidden_labels: rack\n", 1, "" },
        { "hidden_labels:\n- rack\n- 'a b'\n", 3, "no key" },
        { "deprecated_labels: [a]\n", 1, "map" },
        { "deprecated_labels:\n  kind: 5\n", 2, "words" },
        { "deprecated_labels:\n  'a b': x\n", 2, "no key" },
        { "access: [\n", 2, "" },
        { "[]\n", 1, "" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_rules rules = { 0 };
        struct jmp_error error = JMP_ERROR_INIT;

        print_message("%s", cases[i].text);
        assert_int_equal(jmp_rules_parse(cases[i].text, strlen(cases[i].text), "rules.yaml", &rules, &error), -EINVAL);
        assert_true(error.text[0] && strcmp(error.file, "rules.yaml") == 0);
        assert_int_equal(error.line, cases[i].line);
        assert_non_null(strstr(error.text, cases[i].words));
        assert_true(!rules.access && !rules.hidden.count && !rules.deprecated.count);
    }
}

JMP_TEST(labels_as_clients_see_them)
{
    static const char text[] = "hidden_labels: [rack, secret]\ndeprecated_labels: {kind: use board, old: gone}\n";
    static const struct { const char *has; bool all; const char *shown, *deprecated; } cases[] = {
        { "", false, "{}", "{}" },
        { "board=pi", false, "{\"board\":\"pi\"}", "{}" },
        { "board=pi,rack=a", false, "{\"board\":\"pi\"}", "{}" },
        { "board=pi,rack=a", true, "{\"board\":\"pi\",\"rack\":\"a\"}", "{}" },
        { "kind=pi", false, "{}", "{\"kind\":\"use board\"}" },
        { "kind=pi", true, "{\"kind\":\"pi\"}", "{\"kind\":\"use board\"}" },
        { "kind=pi,old=1,rack=a,secret=", false, "{}", "{\"kind\":\"use board\",\"old\":\"gone\"}" },
        { "kind=pi,old=1,rack=a,secret=", true, "{\"kind\":\"pi\",\"old\":\"1\",\"rack\":\"a\",\"secret\":\"\"}",
          "{\"kind\":\"use board\",\"old\":\"gone\"}" },
    };
    _cleanup_(jmp_rules_clear) struct jmp_rules rules = { 0 };

    read_rules(text, &rules);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_labels_clear) struct jmp_labels has = { 0 }, shown = { 0 }, deprecated = { 0 };
        _cleanup_free_ char *a = NULL, *b = NULL;

        print_message("%s%s\n", cases[i].has, cases[i].all ? ", all" : "");
        labels_are(&has, cases[i].has);
        assert_int_equal(jmp_rules_present(&rules, &has, cases[i].all, &shown, &deprecated), 0);
        assert_int_equal(jmp_labels_print(&shown, &a), 0);
        assert_int_equal(jmp_labels_print(&deprecated, &b), 0);
        assert_string_equal(a, cases[i].shown);
        assert_string_equal(b, cases[i].deprecated);
    }
}

JMP_TEST(no_file_means_no_rules)
{
    _cleanup_(jmp_rules_clear) struct jmp_rules rules = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;

    assert_int_equal(jmp_rules_load("/nonexistent/rules.yaml", &rules, &error), 0);
    assert_int_equal(rules.access_count, 0);
    assert_true(jmp_rules_load("/", &rules, &error) < 0);
    assert_true(error.text[0]);
}
