/* SPDX-License-Identifier: Apache-2.0 */
#include "config/yaml.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/test.h"

JMP_TEST(yaml_is_read_as_stock_reads_it)
{
    static const struct {
        const char *yaml, *json;
    } cases[] = {
        { "", "null" },
        { "# nothing\n", "null" },
        { "---\n...\n", "null" },
        { "\xef\xbb\xbf"
          "a: 1\n",
          "{\"a\":1}" },
        { "a: 1\nb: [1, two, 3.5]\n", "{\"a\":1,\"b\":[1,\"two\",3.5]}" },
        { "a:\n- b\n-\n- c: d\n", "{\"a\":[\"b\",null,{\"c\":\"d\"}]}" },
        { "on: off\nyes: 0123\n1:30: 1:30\n~: ~\n", "{\"on\":false,\"yes\":83,\"1:30\":90,\"~\":null}" },
        { "a: 'on'\nb: \"0123\"\nc: !!str on\nd: ! 12\n", "{\"a\":\"on\",\"b\":\"0123\",\"c\":\"on\",\"d\":\"12\"}" },
        { "a: !!int '12'\nb: !!float 3\nc: !!bool 'yes'\nd: !!null ''\n", "{\"a\":12,\"b\":3,\"c\":true,\"d\":null}" },
        { "a: !!map {b: !!seq [c]}\n", "{\"a\":{\"b\":[\"c\"]}}" },
        { "a: |\n  one\n  two\nb: >\n  one\n  two\nc: |-\n  x\n",
          "{\"a\":\"one\\ntwo\\n\",\"b\":\"one two\\n\",\"c\":\"x\"}" },
        { "a: |\n  5\nb: >-\n  on\n", "{\"a\":\"5\\n\",\"b\":\"on\"}" },
        { "a: \"\\u00e4\\x41\\n\"\n", "{\"a\":\"\xc3\xa4"
                                      "A\\n\"}" },
        { "a: 2026-01-31\n", "{\"a\":\"2026-01-31\"}" },
        { "a: &x [1, 2]\nb: *x\n", "{\"a\":[1,2],\"b\":[1,2]}" },
        { "a: &x key\n*x : 1\n", "{\"a\":\"key\",\"key\":1}" },
        { "a: &x {b: &y 1, c: *y}\nd: *x\ne: *y\n", "{\"a\":{\"b\":1,\"c\":1},\"d\":{\"b\":1,\"c\":1},\"e\":1}" },
        { "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n", "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"c\":3,\"b\":1}}" },
        { "a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne: {<<: [*x, *y], f: 4}\n",
          "{\"a\":{\"b\":1},\"c\":{\"b\":2,\"d\":3},\"e\":{\"f\":4,\"b\":1,\"d\":3}}" },
        { "a: &x {b: 1}\nc: {<<: *x, <<: {d: 2}}\n", "{\"a\":{\"b\":1},\"c\":{\"b\":1,\"d\":2}}" },
        { "a: {<<: {b: {c: 1}}}\n", "{\"a\":{\"b\":{\"c\":1}}}" },
        { "a: {<<: {}}\nb: {<<: []}\n", "{\"a\":{},\"b\":{}}" },
        { "a: {'<<': 1}\n", "{\"a\":{\"<<\":1}}" },
        { "a: <<\n", "{\"a\":\"<<\"}" },
        { "? a\n: b\n", "{\"a\":\"b\"}" },
        { "{a, b: }\n", "{\"a\":null,\"b\":null}" },
        { "%YAML 1.1\n---\na: 1\n", "{\"a\":1}" },
        { "scalar\n", "\"scalar\"" },
        { "'a\n\n  b'\n", "\"a\\nb\"" },
        { "a: .inf\n", "{\"a\":null}" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        struct jmp_error error = JMP_ERROR_INIT;
        const struct jmp_node *node = NULL;
        _cleanup_free_ char *json = NULL;

        assert_int_equal(jmp_tree_new(0, &tree), 0);
        if (jmp_yaml_parse(cases[i].yaml, strlen(cases[i].yaml), "f", tree, &node, &error) < 0)
            fail_msg("%s: %s", cases[i].yaml, error.text);
        assert_int_equal(jmp_json_print(node, 0, &json), 0);
        assert_string_equal(json, cases[i].json);
    }
}

JMP_TEST(bad_yaml_is_refused_with_its_place)
{
    static const struct {
        const char *yaml;
        int error;
        unsigned line, column;
        const char *text, *hint;
    } cases[] = {
        { "a: [1, 2\nb: 3\n", -EINVAL, 2, 2,
          "not YAML: while parsing a flow sequence, did not find expected ',' or ']'", "" },
        { "a: b: c\n", -EINVAL, 1, 5, "not YAML: mapping values are not allowed in this context",
          "a text with \": \" in it needs quotes; or the lines are not indented alike" },
        { "a:\n\tb: 1\n", -EINVAL, 2, 1,
          "not YAML: while scanning for the next token, found character that cannot start any token",
          "indent with blanks, not with tabs" },
        { "a: 'b\n", -EINVAL, 2, 1, "not YAML: while scanning a quoted scalar, found unexpected end of stream", "" },
        { "a: @b\n", -EINVAL, 1, 4,
          "not YAML: while scanning for the next token, found character that cannot start any token", "" },
        { "a: 1\nb: 2\na: 3\n", -EINVAL, 3, 1, "the key \"a\" is given twice", "" },
        { "x:\n  on: 1\n  'on': 2\n", -EINVAL, 3, 3, "the key \"on\" is given twice", "" },
        { "a: 1\n---\nb: 2\n", -EINVAL, 2, 1, "a second document begins here",
          "a file holds one document; remove the line \"---\"" },
        { "a: !python/object:os.system {}\n", -EINVAL, 1, 4, "an unknown tag", "maps and lists need none" },
        { "a: !secret x\n", -EINVAL, 1, 4, "an unknown tag",
          "only !!str, !!int, !!float, !!bool and !!null are known; put a text that begins with \"!\" into quotes" },
        { "a: !!timestamp 2026-01-31\n", -EINVAL, 1, 4, "an unknown tag",
          "only !!str, !!int, !!float, !!bool and !!null are known; put a text that begins with \"!\" into quotes" },
        { "a: !!set {b}\n", -EINVAL, 1, 4, "an unknown tag", "maps and lists need none" },
        { "a: !!int x\n", -EINVAL, 1, 4, "tagged !!int, but no whole number", "" },
        { "a: !!int 1.5\n", -EINVAL, 1, 4, "tagged !!int, but no whole number", "" },
        { "a: !!float x\n", -EINVAL, 1, 4, "tagged !!float, but no number", "" },
        { "a: !!bool 1\n", -EINVAL, 1, 4, "tagged !!bool, but neither true nor false", "" },
        { "a: !!null x\n", -EINVAL, 1, 4, "tagged !!null, but there is a value", "" },
        { "a: *x\n", -EINVAL, 1, 4, "an alias to an anchor that was not given before", "" },
        { "a: &x [*x]\n", -EINVAL, 1, 8, "an alias to what it stands in", "" },
        { "a: &x 1\nb: &x 2\n", -EINVAL, 2, 4, "this anchor was given before", "" },
        { "? [a]\n: b\n", -EINVAL, 1, 3, "a key must be a single word or string",
          "a text that begins with \"{\" or \"[\" needs quotes" },
        { "a: &x [1]\n*x : b\n", -EINVAL, 2, 1, "a key must be a single word or string", "" },
        { "a: {{b}}\n", -EINVAL, 1, 5, "a key must be a single word or string",
          "a text that begins with \"{\" or \"[\" needs quotes" },
        { "<<: 1\n", -EINVAL, 1, 5, "\"<<\" takes a map, or a list of maps", "" },
        { "<<: [1]\n", -EINVAL, 1, 5, "\"<<\" takes a map, or a list of maps", "" },
        { "a: \"x\\0y\"\n", -EINVAL, 1, 4, "a NUL character in a text", "" },
        { "\"\\0\": 1\n", -EINVAL, 1, 1, "a NUL character in a text", "" },
        { "a: 1\nb: \xff\n", -EINVAL, 2, 4, "not YAML: invalid leading UTF-8 octet", "the file must be UTF-8 text" },
        { "a: \001\n", -EINVAL, 1, 4, "not YAML: control characters are not allowed", "the file must be UTF-8 text" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        struct jmp_error error = JMP_ERROR_INIT;
        const struct jmp_node *node = NULL;

        assert_int_equal(jmp_tree_new(0, &tree), 0);
        if (jmp_yaml_parse(cases[i].yaml, strlen(cases[i].yaml), "f.yaml", tree, &node, &error) != cases[i].error)
            fail_msg("%s", cases[i].yaml);
        assert_null(node);
        assert_string_equal(error.text, cases[i].text);
        assert_string_equal(error.hint, cases[i].hint);
        assert_string_equal(error.file, "f.yaml");
        assert_int_equal(error.line, cases[i].line);
        assert_int_equal(error.column, cases[i].column);
        assert_int_equal(jmp_yaml_parse(cases[i].yaml, strlen(cases[i].yaml), "f", tree, &node, NULL), cases[i].error);
    }
}

/* @start, @count times @unit (in which # is the number), @end; result of parsing it. */
static int parse_repeated(const char *start, const char *unit, size_t count, const char *end)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    const struct jmp_node *node = NULL;
    _cleanup_free_ char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    int r;

    assert_non_null(stream);
    fputs(start, stream);
    for (size_t i = 0; i < count; i++) {
        for (const char *c = unit; *c; c++) {
            if (*c == '#')
                fprintf(stream, "%zu", i);
            else
                fputc(*c, stream);
        }
    }
    fputs(end, stream);
    fclose(stream);

    assert_int_equal(jmp_tree_new(JMP_CONFIG_TREE_MAX, &tree), 0);
    r = jmp_yaml_parse(text, length, "f", tree, &node, &error);
    assert_true(r == 0 ? node != NULL : error.error == r);
    return r;
}

JMP_TEST(hostile_documents_are_refused_before_they_cost)
{
    static const struct {
        const char *start, *unit;
        size_t count;
        const char *end;
        int result;
    } cases[] = {
        { "", "[", 100, "", -EINVAL },                        /* just not too deep, and not closed */
        { "", "[", 101, "", -E2BIG },
        { "", "[", 100000, "", -E2BIG },
        { "", "{a: ", 100000, "", -E2BIG },
        { "", "- ", 100000, "", -E2BIG },
        { "", "- a\n", 99999, "", 0 },
        { "", "- a\n", 100000, "", -E2BIG },
        { "", "k#: 1\n", 49999, "", 0 },                      /* keys are values, too */
        { "", "k#: 1\n", 50001, "", -E2BIG },
        { "", "k: 1\n", 49000, "", -EINVAL },
        { "a: '", "0123456789abcdef", 65000, "'\n", 0 },
        { "a: '", "0123456789abcdef", 65536, "'\n", -E2BIG },
        { "", "- &a# x\n", 256, "", 0 },
        { "", "- &a# x\n", 257, "", -E2BIG },
        { "- &a [x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x]\n", "- *a\n", 5000, "", -E2BIG },
        { "- &a [x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x]\n", "- *a\n", 4500, "", 0 },
        { "- &a0 [x, x]\n", "- &b# [*a0, *a0]\n", 200, "", 0 },
        { "a: &a {", "k#: 1, ", 20000, "}\nb: {<<: *a, c: 1}\n", 0 },
        { "# ", "x", 1000000, "\n", 0 },
        { "", "\n", 1000000, "", 0 },
        { "", " ", 1000000, "", 0 },
        { "a: ", "x ", 500000, "\n", 0 },
        { "\"", "\\n", 500000, "\"\n", 0 },
        { "", "? ", 100000, "", -EINVAL },
        { "", "!<x> ", 100000, "", -EINVAL },
        { "%TAG ! x\n", "%TAG !a#! x\n", 2000, "---\na\n", 0 },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        int r = parse_repeated(cases[i].start, cases[i].unit, cases[i].count, cases[i].end);

        if (r != cases[i].result)
            fail_msg("%s%s x %zu: %d", cases[i].start, cases[i].unit, cases[i].count, r);
    }
}

JMP_TEST(a_billion_laughs_are_counted)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    const struct jmp_node *node = NULL;
    char text[4096] = "- &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";

    for (unsigned i = 1; i < 10; i++) {
        size_t used = strlen(text);

        snprintf(text + used, sizeof(text) - used, "- &a%u [*a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u]\n", i,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_yaml_parse(text, strlen(text), "f", tree, &node, &error), -E2BIG);
    assert_string_equal(error.text, "more than 100000 values");
}

JMP_TEST(aliases_do_not_nest_deeper_than_allowed)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    const struct jmp_node *node = NULL;
    char text[8192] = "- &a0 [x]\n";

    /* Each is one level deeper than the one before: two in all, and one for the list around. */
    for (unsigned i = 1; i < 120; i++) {
        size_t used = strlen(text);

        snprintf(text + used, sizeof(text) - used, "- &a%u [*a%u]\n", i, i - 1);
    }
    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_yaml_parse(text, strlen(text), "f", tree, &node, &error), -E2BIG);
    assert_string_equal(error.text, "nested deeper than 100 levels");
    assert_int_equal(error.line, 100);
}

JMP_TEST(nodes_know_where_they_and_their_keys_stood)
{
    static const char yaml[] = "a: 1\nb:\n  c: [x,\n    y]\nd: *x\n";
    static const char good[] = "a: &x 1\nb:\n  c: [x,\n    y]\nd: *x\n";
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *root = NULL, *node;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_yaml_parse(yaml, strlen(yaml), "f", tree, &root, NULL), -EINVAL);
    assert_int_equal(jmp_yaml_parse(good, strlen(good), "f", tree, &root, NULL), 0);

    node = jmp_node_get(root, "b");
    assert_int_equal(node->line, 3);
    assert_int_equal(node->column, 3);
    assert_int_equal(node->key_line, 2);
    assert_int_equal(node->key_column, 1);
    node = jmp_node_at(jmp_node_get(node, "c"), 1);
    assert_int_equal(node->line, 4);
    assert_int_equal(node->column, 5);
    node = jmp_node_get(root, "d");
    assert_int_equal(node->line, 5);
    assert_int_equal(node->column, 4);
    assert_true(node->plain);
    assert_string_equal(node->string, "1");
}

JMP_TEST(what_is_printed_reads_back_the_same)
{
    static const char *const documents[] = {
        "null",
        "true",
        "12",
        "-1.5",
        "\"on\"",
        "\"\"",
        "\"0123\"",
        "\"1e3\"",
        "\"~\"",
        "\"=\"",
        "\"<<\"",
        "\"a: b\"",
        "\"# x\"",
        "\"- x\"",
        "\" blank \"",
        "\"line\\nline\\n\"",
        "\"line\\n  line\"",
        "\"\\n\"",
        "\"trailing \\nx\"",
        "\"tab\\there\"",
        "\"quote's\"",
        "\"\\u0001\"",
        "\"\\u007f\"",
        "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "\"2026-01-31\"",
        "\"12:30\"",
        "[]",
        "{}",
        "[[],{}]",
        "[1,[2,[3,{\"a\":[4]}]]]",
        "{\"on\":1,\"b c\":{\"12\":null},\"\":2}",
        "1e300",
        "1.5e-7",
        "123456789012345678",
        "0.1",
        "\"!x\"",
        "\"&x\"",
        "\"*x\"",
        "\"@x\"",
        "\"%x\"",
        "\"{x}\"",
        "\"[x]\"",
        "\"x,y\"",
        "\"a #b\"",
        "\"---\"",
        "\"...\"",
        "{\"<<\":1,\"=\":2}",
        "{\"script\":\"echo a\\necho b\\n\",\"x\":\"\"}",
        "\"a\\r\\nb\"",
        "\"\\u2028\"",
        "\"\\u0085\"",
        "\"\\ufeff\"",
    };

    for (size_t i = 0; i < ELEMENTSOF(documents); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        _cleanup_free_ char *yaml = NULL, *json = NULL;
        struct jmp_error error = JMP_ERROR_INIT;
        const struct jmp_node *node, *again;

        assert_int_equal(jmp_tree_new(0, &tree), 0);
        assert_int_equal(jmp_json_parse(documents[i], strlen(documents[i]), tree, &node, NULL), 0);
        assert_int_equal(jmp_yaml_print(node, &yaml), 0);
        if (jmp_yaml_parse(yaml, strlen(yaml), "f", tree, &again, &error) < 0)
            fail_msg("%s: %s", yaml, error.text);
        if (!jmp_node_equal(node, again)) {
            jmp_json_print(again, 0, &json);
            fail_msg("%s became %s: %s", documents[i], json, yaml);
        }
    }
}

JMP_TEST(printed_yaml_looks_as_people_write_it)
{
    static const char json[] =
        "{\"name\":\"bench3\",\"port\":8082,\"ratio\":1.5,\"big\":1e300,\"on\":\"on\",\"none\":null,"
        "\"list\":[\"a\",{\"b\":1,\"c\":[]}],\"script\":\"echo a\\necho b\\n\",\"e\":{},"
        "\"address\":\"127.0.0.1:8082\",\"date\":\"2026-01-31\"}";
    static const char expected[] =
        "name: bench3\nport: 8082\nratio: 1.5\nbig: 1.0e+300\n'on': 'on'\nnone: null\nlist:\n"
        "- a\n- b: 1\n  c: []\nscript: |\n  echo a\n  echo b\ne: {}\n"
        "address: 127.0.0.1:8082\ndate: '2026-01-31'\n";
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *yaml = NULL;
    const struct jmp_node *node;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_json_parse(json, strlen(json), tree, &node, NULL), 0);
    assert_int_equal(jmp_yaml_print(node, &yaml), 0);
    assert_string_equal(yaml, expected);
}

JMP_TEST(infinities_and_nan_are_printed_as_yaml_has_them)
{
    static const struct {
        double number;
        const char *yaml;
    } cases[] = { { INFINITY, ".inf\n" }, { -INFINITY, "-.inf\n" }, { NAN, ".nan\n" }, { 3.0, "3.0\n" } };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_node node = { .kind = JMP_NODE_NUMBER, .number = cases[i].number };
        _cleanup_free_ char *yaml = NULL;

        assert_int_equal(jmp_yaml_print(&node, &yaml), 0);
        assert_true(strncmp(yaml, cases[i].yaml, strlen(cases[i].yaml)) == 0);
    }
}

JMP_TEST(parsing_survives_any_failed_allocation)
{
    static const char yaml[] = "a: &x {b: 1, c: [1, 2]}\nd: {<<: *x, e: 'f'}\n"
                               "g: {k1: 1, k2: 2, k3: 3, k4: 4, k5: 5, k6: 6, k7: 7, k8: 8, k9: 9}\n";
    unsigned failures = 0;

    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        const struct jmp_node *node = NULL;
        _cleanup_free_ char *text = NULL;
        int r = jmp_tree_new(0, &tree);

        if (r == 0)
            r = jmp_yaml_parse(yaml, strlen(yaml), "f", tree, &node, NULL);
        if (r == 0)
            r = jmp_yaml_print(node, &text);
        assert_true(r == 0 ? text != NULL : r == -ENOMEM && !text);
        failures += r < 0;
    }
    assert_true(failures >= 5);
}

JMP_TEST(a_spent_budget_ends_parsing_anywhere)
{
    static const char yaml[] = "a: &x {b: 1, c: [1, 2]}\nd: {<<: *x, e: 'f'}\n";
    int r = -ENOMEM;

    for (size_t budget = 16; r < 0; budget += 64) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        const struct jmp_node *node = NULL;

        assert_int_equal(jmp_tree_new(budget, &tree), 0);
        r = jmp_yaml_parse(yaml, strlen(yaml), "f", tree, &node, NULL);
        assert_true(r == 0 ? node != NULL : r == -ENOMEM && !node);
        assert_true(budget < 100000);
    }
}
