/* SPDX-License-Identifier: Apache-2.0 */
#include "base/option.h"

#include <stddef.h>
#include <string.h>

#include "base/json.h"
#include "base/test.h"

struct relay {
    const char *device, *drive, *password;
    unsigned line;
    bool active_low;
    double delay;
    const struct jmp_node *labels, *aliases;
};

static const char *const drives[] = { "push-pull", "open-drain", "open-source", NULL };

static const struct jmp_option relay_options[] = {
    { JMP_FIELD(struct relay, line), .required = true, .help = "offset of the line on its chip", .letter = 'l' },
    { JMP_FIELD(struct relay, device), .preset = "/dev/gpiochip0", .help = "the chip", .value_name = "FILE" },
    { JMP_FIELD(struct relay, active_low), .preset = "false", .help = "0 volts means on", .letter = 'a' },
    { JMP_FIELD(struct relay, drive), .preset = "push-pull", .words = drives, .nullable = true },
    { JMP_FIELD(struct relay, delay), .preset = "0.5", .min = 0.1, .max = 10, .help = "seconds" },
    { JMP_FIELD(struct relay, password), .secret = true, .letter = 'p' },
    { JMP_FIELD(struct relay, labels), .nullable = true },
    { .key = "aliases", .offset = offsetof(struct relay, aliases), .type = JMP_STRINGS, .letter = 'A' },
    {}
};

/* All problems as "PATH: TEXT | HINT", one a line. */
static char *problems_text(const struct jmp_problems *problems)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    assert_non_null(stream);
    for (const struct jmp_problem *problem = problems->first; problem; problem = problem->next)
        fprintf(stream, "%s%s: %s%s%s", problem == problems->first ? "" : "\n", problem->error.path,
                problem->error.text, problem->error.hint[0] ? " | " : "", problem->error.hint);
    fclose(stream);
    return text;
}

static int read_json(const char *json, struct relay *relay, struct jmp_tree *tree, struct jmp_problems *problems)
{
    const struct jmp_node *map = NULL;
    struct jmp_error error = JMP_ERROR_INIT;

    if (jmp_json_parse(json, strlen(json), tree, &map, &error) < 0)
        fail_msg("%s", error.text);
    return jmp_options_read(relay_options, 0, relay, map, "bench.yaml", "export.power.config", problems);
}

JMP_TEST(presets_fill_what_is_not_given)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_problems problems = { 0 };
    struct relay relay = { 0 };

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(read_json("{\"line\": 17, \"drive\": null, \"labels\": null}", &relay, tree, &problems), 0);
    assert_int_equal(relay.line, 17);
    assert_string_equal(relay.device, "/dev/gpiochip0");
    assert_string_equal(relay.drive, "push-pull");
    assert_false(relay.active_low);
    assert_true(relay.delay == 0.5);
    assert_null(relay.password);
    assert_null(relay.labels);
    assert_null(problems.first);
}

JMP_TEST(every_kind_of_value_is_read)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_problems problems = { 0 };
    struct relay relay = { 0 };

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(
        read_json("{\"line\": 4294967295, \"device\": \"\", \"active_low\": true, \"drive\": \"open-drain\","
                  "\"delay\": 10, \"password\": \"x\", \"labels\": {\"a\": 1}, \"aliases\": [\"a\", \"b\"]}",
                  &relay, tree, &problems),
        0);
    assert_true(relay.line == 4294967295u);
    assert_string_equal(relay.device, "");
    assert_true(relay.active_low);
    assert_string_equal(relay.drive, "open-drain");
    assert_true(relay.delay == 10);
    assert_int_equal(relay.labels->count, 1);
    assert_int_equal(relay.aliases->count, 2);
}

JMP_TEST(every_problem_is_named_at_once)
{
    static const struct {
        const char *json, *problems;
    } cases[] = {
        { "{\"line\": \"GPIO17\"}", "export.power.config.line: expected a whole number, found \"GPIO17\""
                                    " | line: offset of the line on its chip" },
        { "{\"line\": 1.5}", "export.power.config.line: expected a whole number, found 1.5"
                             " | line: offset of the line on its chip" },
        { "{\"line\": -1}", "export.power.config.line: expected a whole number, found -1"
                            " | line: offset of the line on its chip" },
        { "{\"line\": 4294967296}", "export.power.config.line: expected a whole number, found 4294967296"
                                    " | line: offset of the line on its chip" },
        { "{\"line\": true}", "export.power.config.line: expected a whole number, found true"
                              " | line: offset of the line on its chip" },
        { "{\"line\": null}", "export.power.config.line: expected a whole number, found nothing (null)"
                              " | line: offset of the line on its chip" },
        { "{\"line\": []}", "export.power.config.line: expected a whole number, found a list"
                            " | line: offset of the line on its chip" },
        { "{\"line\": 3.0}", "" },
        { "{}", "export.power.config.line: required, but missing | line: offset of the line on its chip" },
        { "null", "export.power.config.line: required, but missing | line: offset of the line on its chip" },
        { "[]", "export.power.config: expected a map, found a list" },
        { "{\"line\": 1, \"device\": 5}", "export.power.config.device: expected a string, found 5 | device: the chip" },
        { "{\"line\": 1, \"active_low\": \"yes\"}",
          "export.power.config.active_low: expected true or false, found \"yes\" | active_low: 0 volts means on" },
        { "{\"line\": 1, \"active_low\": 1}",
          "export.power.config.active_low: expected true or false, found 1 | active_low: 0 volts means on" },
        { "{\"line\": 1, \"drive\": \"open-drian\"}",
          "export.power.config.drive: expected \"push-pull\", \"open-drain\" or \"open-source\", found \"open-drian\""
          " | did you mean \"open-drain\"?" },
        { "{\"line\": 1, \"drive\": \"x\"}",
          "export.power.config.drive: expected \"push-pull\", \"open-drain\" or \"open-source\", found \"x\"" },
        { "{\"line\": 1, \"delay\": 0.01}",
          "export.power.config.delay: expected a number from 0.1 to 10, found 0.01 | delay: seconds" },
        { "{\"line\": 1, \"delay\": \"1\"}",
          "export.power.config.delay: expected a number from 0.1 to 10, found \"1\" | delay: seconds" },
        { "{\"line\": 1, \"password\": 12345}",
          "export.power.config.password: expected a string, found a whole number" },
        { "{\"line\": 1, \"password\": [\"geheim\"]}",
          "export.power.config.password: expected a string, found a list" },
        { "{\"line\": 1, \"aliases\": \"a\"}", "export.power.config.aliases: expected a list of strings, found \"a\"" },
        { "{\"line\": 1, \"aliases\": [\"a\", 2]}", "export.power.config.aliases: expected a string, found 2" },
        { "{\"line\": 1, \"activelow\": true}",
          "export.power.config.activelow: unknown key | did you mean \"active_low\"?" },
        { "{\"line\": 1, \"Device\": \"a\"}", "export.power.config.Device: unknown key | did you mean \"device\"?" },
        { "{\"line\": 1, \"zzz\": 1}",
          "export.power.config.zzz: unknown key"
          " | known keys: line, device, active_low, drive, delay, password, labels, aliases" },
        { "{\"line\": 1, \"\": 1}",
          "export.power.config.: unknown key"
          " | known keys: line, device, active_low, drive, delay, password, labels, aliases" },
        { "{\"lien\": 1, \"device\": 2, \"delay\": 99}",
          "export.power.config.lien: unknown key | did you mean \"line\"?\n"
          "export.power.config.device: expected a string, found 2 | device: the chip\n"
          "export.power.config.delay: expected a number from 0.1 to 10, found 99 | delay: seconds\n"
          "export.power.config.line: required, but missing | line: offset of the line on its chip" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        struct jmp_problems problems = { 0 };
        _cleanup_free_ char *text = NULL;
        struct relay relay = { 0 };
        int r;

        assert_int_equal(jmp_tree_new(0, &tree), 0);
        r = read_json(cases[i].json, &relay, tree, &problems);
        text = problems_text(&problems);
        assert_string_equal(text, cases[i].problems);
        assert_int_equal(r, cases[i].problems[0] ? -EINVAL : 0);
        jmp_problems_clear(&problems);
    }
}

JMP_TEST(a_key_given_twice_is_a_problem)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_problems problems = { 0 };
    _cleanup_free_ char *text = NULL;
    struct relay relay = { 0 };
    struct jmp_node *map;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    map = jmp_node_new(tree, JMP_NODE_MAP);
    for (unsigned i = 0; i < 2; i++) {
        struct jmp_node *line = jmp_node_new(tree, JMP_NODE_NUMBER);

        line->key = "line";
        jmp_node_append(map, line);
    }
    assert_int_equal(jmp_options_read(relay_options, 0, &relay, map, NULL, "", &problems), -EINVAL);
    text = problems_text(&problems);
    assert_string_equal(text, "line: given twice");
    jmp_problems_clear(&problems);
}

JMP_TEST(a_plain_scalar_asked_for_as_a_string_is_its_text)
{
    static const struct {
        struct jmp_node node;
        const char *string;   /* NULL: refused */
        const char *converted;
    } cases[] = {
        { { .kind = JMP_NODE_NUMBER, .whole = true, .integer = 83, .number = 83, .plain = true, .string = "0123" },
          "0123",
          NULL },
        { { .kind = JMP_NODE_BOOL, .boolean = true, .plain = true, .string = "on" }, "on", NULL },
        { { .kind = JMP_NODE_STRING, .plain = true, .string = "word" }, "word", "word" },
        { { .kind = JMP_NODE_STRING, .string = "12" }, "12", "12" },
        { { .kind = JMP_NODE_NULL, .plain = true, .string = "~" }, NULL, NULL },
        { { .kind = JMP_NODE_NUMBER, .whole = true, .integer = 83, .number = 83 }, NULL, NULL },
    };
    static const struct jmp_option rows[] = { { JMP_FIELD(struct relay, device) }, {} };
    static const struct jmp_option stock_rows[] = { { JMP_FIELD(struct relay, device), .convert = true }, {} };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_node map = { .kind = JMP_NODE_MAP }, node = cases[i].node;
        struct relay relay = { 0 }, stock = { 0 };

        node.key = "device";
        jmp_node_append(&map, &node);
        assert_int_equal(jmp_options_read(rows, 0, &relay, &map, NULL, "", NULL), cases[i].string ? 0 : -EINVAL);
        assert_int_equal(jmp_options_read(stock_rows, 0, &stock, &map, NULL, "", NULL),
                         cases[i].converted ? 0 : -EINVAL);
        if (cases[i].string)
            assert_string_equal(relay.device, cases[i].string);
        if (cases[i].converted)
            assert_string_equal(stock.device, cases[i].converted);
    }
}

JMP_TEST(values_are_converted_as_stock_does_where_asked)
{
    struct both {
        bool flag;
        unsigned count;
    };
    static const struct jmp_option rows[] = {
        { JMP_FIELD(struct both, flag), .convert = true },
        { JMP_FIELD(struct both, count), .convert = true, .max = 1000 },
        {}
    };
    static const struct {
        const char *json;
        int flag, count;   /* -1: refused */
    } cases[] = {
        { "true", 1, 1 },        { "false", 0, 0 },       { "\"yes\"", 1, -1 },   { "\"No\"", 0, -1 },
        { "\"on\"", 1, -1 },     { "\"OFF\"", 0, -1 },    { "\"t\"", 1, -1 },     { "\"1\"", 1, 1 },
        { "1", 1, 1 },           { "0", 0, 0 },           { "1.0", 1, 1 },        { "2", -1, 2 },
        { "\"30\"", -1, 30 },    { "\"30.0\"", -1, 30 },  { "1.5", -1, -1 },      { "\"1.5\"", -1, -1 },
        { "\"ja\"", -1, -1 },    { "\"\"", -1, -1 },      { "\" 1\"", -1, -1 },   { "1001", -1, -1 },
        { "\"-1\"", -1, -1 },    { "null", -1, -1 },      { "[]", -1, -1 },       { "\"nan\"", -1, -1 },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        for (unsigned k = 0; k < 2; k++) {
            _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
            const struct jmp_node *map;
            struct both both = { 0 };
            char json[64];
            int expected = k ? cases[i].count : cases[i].flag, r;

            snprintf(json, sizeof(json), "{\"%s\": %s}", k ? "count" : "flag", cases[i].json);
            assert_int_equal(jmp_tree_new(0, &tree), 0);
            assert_int_equal(jmp_json_parse(json, strlen(json), tree, &map, NULL), 0);
            r = jmp_options_read(rows, 0, &both, map, NULL, "", NULL);
            assert_int_equal(r, expected < 0 ? -EINVAL : 0);
            if (r == 0)
                assert_int_equal(k ? (int)both.count : both.flag, expected);
        }
    }
}

/* A plug-in's row of yesterday, and one of tomorrow. */
struct old_row {
    const char *key;
    enum jmp_type type;
    size_t offset;
    const char *preset;
};

struct new_row {
    struct jmp_option today;
    void *tomorrow;
};

JMP_TEST(rows_of_other_sizes_are_understood)
{
    static const struct old_row old_rows[] = {
        { "line", JMP_UINT, offsetof(struct relay, line), NULL },
        { "device", JMP_STRING, offsetof(struct relay, device), "/dev/null" },
        { 0 },
    };
    static const struct new_row new_rows[] = {
        { { JMP_FIELD(struct relay, line) }, NULL },
        { { JMP_FIELD(struct relay, device), .preset = "/dev/null" }, NULL },
        { { 0 }, NULL },
    };
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *map;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_json_parse("{\"line\":7}", 10, tree, &map, NULL), 0);
    for (unsigned i = 0; i < 2; i++) {
        const void *rows = i ? (const void *)new_rows : (const void *)old_rows;
        size_t size = i ? sizeof(new_rows[0]) : sizeof(old_rows[0]);
        struct relay relay = { 0 };

        assert_int_equal(jmp_options_read(rows, size, &relay, map, NULL, "", NULL), 0);
        assert_int_equal(relay.line, 7);
        assert_string_equal(relay.device, "/dev/null");
    }
}

JMP_TEST(hostile_maps_cost_little)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_problems problems = { 0 };
    struct relay relay = { 0 };
    struct jmp_node *map;

    assert_int_equal(jmp_tree_new(64 * 1024 * 1024, &tree), 0);
    map = jmp_node_new(tree, JMP_NODE_MAP);
    for (unsigned i = 0; i < 100000; i++) {
        struct jmp_node *node = jmp_node_new(tree, JMP_NODE_NULL);
        char key[64];

        snprintf(key, sizeof(key), "devicedevicedevicedevicedevicedevicedevice%u", i);
        node->key = jmp_tree_strdup(tree, key, strlen(key));
        jmp_node_append(map, node);
    }
    assert_int_equal(jmp_options_read(relay_options, 0, &relay, map, NULL, "", &problems), -EINVAL);
    assert_int_equal(problems.errors, 100001);
    jmp_problems_clear(&problems);
}

JMP_TEST(reading_survives_any_failed_allocation)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *map;
    unsigned failures = 0;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_json_parse("{\"lien\":7,\"delay\":\"x\"}", 22, tree, &map, NULL), 0);
    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        struct jmp_problems problems = { 0 };
        struct relay relay = { 0 };
        int r = jmp_options_read(relay_options, 0, &relay, map, NULL, "", &problems);

        assert_true(r == -EINVAL || r == -ENOMEM);
        failures += r == -ENOMEM;
        jmp_problems_clear(&problems);
    }
    assert_true(failures >= 4);
}

JMP_TEST(the_nearest_word_is_near)
{
    static const char *const words[] = { "baudrate", "bytesize", "parity", "stopbits", "url", "disable_hupcl", NULL };
    static const struct {
        const char *wrong, *nearest;
    } cases[] = {
        { "baudrat", "baudrate" },  { "bauddrate", "baudrate" }, { "buadrate", "baudrate" }, { "BAUDRATE", "baudrate" },
        { "baud_rate", "baudrate" }, { "prity", "parity" },      { "partiy", "parity" },     { "uri", "url" },
        { "ulr", "url" },           { "disableHupcl", "disable_hupcl" }, { "x", NULL },      { "", NULL },
        { "address", NULL },        { "host", NULL },
    };
    char endless[10000];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *nearest = jmp_nearest(cases[i].wrong, words);

        if (cases[i].nearest)
            assert_string_equal(nearest ? nearest : "(none)", cases[i].nearest);
        else
            assert_null(nearest);
    }

    memset(endless, 'a', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = 0;
    assert_null(jmp_nearest(endless, words));
}
