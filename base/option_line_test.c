/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "base/option.h"
#include "base/test.h"

struct command {
    const char *selector, *output, *token;
    bool verbose, quiet, wait;
    unsigned timeout;
    double delay;
    const struct jmp_node *labels, *value;
};

static const char *const outputs[] = { "table", "json", "yaml", NULL };

static const struct jmp_option command_options[] = {
    { JMP_FIELD(struct command, selector), .letter = 'l', .help = "labels to look for", .value_name = "LABELS" },
    { JMP_FIELD(struct command, output), .letter = 'o', .preset = "table", .words = outputs,
      .help = "how results are written" },
    { JMP_FIELD(struct command, token), .preset = "hush", .secret = true, .help = "who you are" },
    { JMP_FIELD(struct command, verbose), .letter = 'v', .help = "say more" },
    { JMP_FIELD(struct command, quiet), .letter = 'q' },
    { JMP_FIELD(struct command, wait), .preset = "true", .help = "wait for the lease" },
    { .key = "acquisition_timeout", JMP_FIELD_AS(struct command, timeout), .letter = 't', .preset = "60", .max = 3600,
      .help = "how long to wait until one of the exporters that match the selector has become free, in seconds",
      .value_name = "SECONDS" },
    { JMP_FIELD(struct command, delay) },
    { .key = "label", .offset = offsetof(struct command, labels), .type = JMP_STRINGS, .help = "a label" },
    { JMP_FIELD(struct command, value) },
    {}
};

struct line {
    struct jmp_tree *tree;
    struct command command;
    struct jmp_error error;
    char text[512];
    char *argv[32];
    unsigned rest;
};

static void line_close(struct line *line)
{
    jmp_tree_free(line->tree);
}

/* Splits at single blanks; "" is an empty word only if written as ''. */
static int line_parse(struct line *line, const char *text, bool permute)
{
    unsigned argc = 0;
    char *rest;

    snprintf(line->text, sizeof(line->text), "%s", text);
    for (char *word = strtok_r(line->text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc + 1 < ELEMENTSOF(line->argv));
        if (strcmp(word, "''") == 0)
            *word = 0;
        line->argv[argc++] = word;
    }
    assert_int_equal(jmp_tree_new(0, &line->tree), 0);
    return jmp_options_parse(command_options, &line->command, line->argv, permute, line->tree, &line->rest,
                             &line->error);
}

static void assert_rest(const struct line *line, const char *expected)
{
    char text[512] = "";
    size_t used = 0;

    for (char *const *word = line->argv + line->rest; *word; word++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used > 0 ? " " : "", *word);
        assert_true(used < sizeof(text));
    }
    assert_string_equal(text, expected);
}

JMP_TEST(options_are_found_among_words)
{
    static const struct {
        const char *line;
        bool permute;
        const char *rest, *selector, *output;
        unsigned timeout;
        bool verbose, quiet, wait;
    } cases[] = {
        { "", true, "", NULL, "table", 60, false, false, true },
        { "a b", true, "a b", NULL, "table", 60, false, false, true },
        { "a -v b", true, "a b", NULL, "table", 60, true, false, true },
        { "a -v b", false, "a -v b", NULL, "table", 60, false, false, true },
        { "-v a -q", false, "a -q", NULL, "table", 60, true, false, true },
        { "-vq a", true, "a", NULL, "table", 60, true, true, true },
        { "-vl x=y a", true, "a", "x=y", "table", 60, true, false, true },
        { "-vlx=y a", true, "a", "x=y", "table", 60, true, false, true },
        { "-l x", true, "", "x", "table", 60, false, false, true },
        { "--selector x a --output json b", true, "a b", "x", "json", 60, false, false, true },
        { "--selector=x=y --output=yaml", true, "", "x=y", "yaml", 60, false, false, true },
        { "--selector= a", true, "a", "", "table", 60, false, false, true },
        { "--acquisition-timeout 5", true, "", NULL, "table", 5, false, false, true },
        { "--acquisition_timeout=0x10", true, "", NULL, "table", 16, false, false, true },
        { "-t5 -t 7", true, "", NULL, "table", 7, false, false, true },
        { "--no-wait", true, "", NULL, "table", 60, false, false, false },
        { "--wait=false --verbose=yes", true, "", NULL, "table", 60, true, false, false },
        { "--no-wait --wait", true, "", NULL, "table", 60, false, false, true },
        { "a -- -v --nonsense", true, "a -v --nonsense", NULL, "table", 60, false, false, true },
        { "-v -- -q a", false, "-q a", NULL, "table", 60, true, false, true },
        { "- -v", true, "-", NULL, "table", 60, true, false, true },
        { "-l -v a", true, "a", "-v", "table", 60, false, false, true },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(line_close) struct line line = { 0 };
        const struct command *command = &line.command;

        if (line_parse(&line, cases[i].line, cases[i].permute) < 0)
            fail_msg("%s: %s", cases[i].line, line.error.text);
        assert_rest(&line, cases[i].rest);
        if (cases[i].selector)
            assert_string_equal(command->selector, cases[i].selector);
        else
            assert_null(command->selector);
        assert_string_equal(command->output, cases[i].output);
        assert_int_equal(command->timeout, cases[i].timeout);
        assert_int_equal(command->verbose, cases[i].verbose);
        assert_int_equal(command->quiet, cases[i].quiet);
        assert_int_equal(command->wait, cases[i].wait);
    }
}

JMP_TEST(lists_and_values_are_collected)
{
    _cleanup_(line_close) struct line line = { 0 };

    assert_int_equal(line_parse(&line, "--label a=b --value={\"x\":[1]} --label c --delay -1.5", true), 0);
    assert_int_equal(line.command.labels->count, 2);
    assert_string_equal(jmp_node_string(jmp_node_at(line.command.labels, 1)), "c");
    assert_int_equal(jmp_node_get(line.command.value, "x")->count, 1);
    assert_true(line.command.delay == -1.5);
}

JMP_TEST(a_value_that_is_no_json_is_a_string)
{
    _cleanup_(line_close) struct line line = { 0 };

    assert_int_equal(line_parse(&line, "--value on", true), 0);
    assert_string_equal(jmp_node_string(line.command.value), "on");
}

JMP_TEST(mistakes_are_explained_and_nothing_moves)
{
    static const struct {
        const char *line, *text, *hint;
    } cases[] = {
        { "--selektor x", "unknown option --selektor", "did you mean --selector?" },
        { "--acquisition-timeuot=4", "unknown option --acquisition-timeuot", "did you mean --acquisition-timeout?" },
        { "--zzzz", "unknown option --zzzz", "--help shows them all" },
        { "--no-selector", "unknown option --no-selector", "did you mean --selector?" },
        { "--no-wait=x", "unknown option --no-wait", "--help shows them all" },
        { "-x", "unknown option -x", "--help shows them all" },
        { "-vx", "unknown option -x", "--help shows them all" },
        { "a --selector", "--selector needs a value", "" },
        { "a -l", "-l needs a value", "" },
        { "--output jsn", "--output: expected \"table\", \"json\" or \"yaml\", found \"jsn\"",
          "did you mean \"json\"?" },
        { "-o ''", "--output: expected \"table\", \"json\" or \"yaml\", found \"\"", "" },
        { "-t soon", "--acquisition-timeout: expected a whole number from 0 to 3600, found \"soon\"", "" },
        { "-t 3601", "--acquisition-timeout: expected a whole number from 0 to 3600, found \"3601\"", "" },
        { "-t -1", "--acquisition-timeout: expected a whole number from 0 to 3600, found \"-1\"", "" },
        { "-t 1.5", "--acquisition-timeout: expected a whole number from 0 to 3600, found \"1.5\"", "" },
        { "-t ''", "--acquisition-timeout: expected a whole number from 0 to 3600, found \"\"", "" },
        { "--delay nan", "--delay: expected a number, found \"nan\"", "" },
        { "--wait=maybe", "--wait: expected true or false, found \"maybe\"", "" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(line_close) struct line line = { 0 };
        char first[64];

        snprintf(first, sizeof(first), "%.*s", (int)strcspn(cases[i].line, " "), cases[i].line);
        assert_int_equal(line_parse(&line, cases[i].line, true), -EINVAL);
        assert_string_equal(line.error.text, cases[i].text);
        assert_string_equal(line.error.hint, cases[i].hint);
        assert_string_equal(line.argv[0], first);
    }
}

JMP_TEST(a_required_option_must_be_given)
{
    static const struct jmp_option rows[] = {
        { JMP_FIELD(struct command, selector), .required = true, .help = "labels to look for" },
        {}
    };
    struct command command = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    char *none[] = { NULL };
    unsigned rest;

    assert_int_equal(jmp_options_parse(rows, &command, none, true, NULL, &rest, &error), -EINVAL);
    assert_string_equal(error.text, "--selector is missing");
    assert_string_equal(error.hint, "--selector: labels to look for");
}

JMP_TEST(help_is_wrapped_and_keeps_secrets)
{
    static const char expected[] =
        "  -l, --selector LABELS         labels to look for\n"
        "  -o, --output table|json|yaml  how results are written (default: table)\n"
        "      --token TEXT              who you are\n"
        "  -v, --verbose                 say more\n"
        "  -q, --quiet\n"
        "      --[no-]wait               wait for the lease\n"
        "  -t, --acquisition-timeout SECONDS\n"
        "                                how long to wait until one of the exporters\n"
        "                                that match the selector has become free, in\n"
        "                                seconds (default: 60)\n"
        "      --delay NUMBER\n"
        "      --label TEXT              a label (may be repeated)\n"
        "      --value JSON\n";
    _cleanup_free_ char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    assert_non_null(stream);
    jmp_options_help(stream, command_options, 78);
    fclose(stream);
    assert_string_equal(text, expected);
}

JMP_TEST(parsing_survives_any_failed_allocation)
{
    unsigned failures = 0;

    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        char one[] = "--label", two[] = "a", three[] = "word", four[] = "--value=7";
        char *argv[] = { one, two, three, four, NULL };
        struct command command = { 0 };
        unsigned rest = 99;
        int r = jmp_tree_new(0, &tree);

        if (r == 0)
            r = jmp_options_parse(command_options, &command, argv, true, tree, &rest, NULL);
        assert_true(r == 0 ? rest == 3 : r == -ENOMEM && rest == 99);
        failures += r < 0;
    }
    assert_true(failures >= 3);
}
