/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is printed stands in tests/golden/ctl: help of every command, the manual page, objects in every format.
 * JMP_GOLDEN_WRITE=1 writes them anew, to be read before they are committed.
 */
#include <string.h>

#include "base/file.h"
#include "base/test.h"
#include "ctl/ctl.h"
#include "ctl/output.h"
#include "ctl/verbs.h"

#define NOW (INT64_C(1795262400) * 1000000)   /* 2026-11-21 12:00 UTC */

static void compare(const char *path, const char *text)
{
    const char *source = getenv("JMP_SOURCE_DIR");
    _cleanup_free_ char *full = NULL, *expected = NULL;
    size_t length;

    assert_true(asprintf(&full, "%s/%s", source ? source : ".", path) > 0);
    if (getenv("JMP_GOLDEN_WRITE")) {
        assert_int_equal(jmp_file_write(full, text, strlen(text), 0644, NULL), 0);
        return;
    }
    assert_int_equal(jmp_file_read(full, 1024 * 1024, &expected, &length, NULL), 0);
    if (strcmp(text, expected) != 0)
        fail_msg("%s: expected\n%s\nbut it is\n%s", path, expected, text);
}

JMP_TEST(help_is_as_it_was_read)
{
    for (const struct jmp_command *command = jmp_commands; command->name; command++) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);
        char path[128];

        jmp_command_help(stream, command);
        fclose(stream);
        snprintf(path, sizeof(path), "tests/golden/ctl/help-%s.txt", command->name);
        for (char *c = path; *c; c++) {
            if (*c == ' ')
                *c = '-';
        }
        compare(path, text);
    }
}

JMP_TEST(the_overview_is_as_it_was_read)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    jmp_command_overview(stream);
    fclose(stream);
    compare("tests/golden/ctl/help.txt", text);
}

JMP_TEST(the_manual_is_what_the_table_says)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    jmp_command_manual(stream);
    fclose(stream);
    compare("man/jmpctl.1", text);
}

JMP_TEST(the_completion_that_is_installed_is_the_one_that_is_printed)
{
    compare("ctl/completion/jmpctl.bash", jmp_completion_script("bash"));
    compare("ctl/completion/_jmpctl", jmp_completion_script("zsh"));
    compare("ctl/completion/jmpctl.fish", jmp_completion_script("fish"));
    assert_null(jmp_completion_script("csh"));
}

static struct jmp_pair tags[] = { { "build", "17" }, { "who", "nightly" } };
static struct jmp_pair labels[] = { { "board", "rpi4" }, { "lab", "north" } };
static struct jmp_condition ready[] = {
    { .type = "Pending", .status = "True", .reason = "NotAvailable", .message = "all are leased" },
    { .type = "Ready",
      .status = "True",
      .reason = "Ready",
      .message = "exporter acquired",
      .has_generation = true,
      .generation = 1,
      .has_transition = true,
      .transition_seconds = 1795262300,
      .transition_nanos = 5 },
};
static struct jmp_condition pending[] = {
    { .type = "Pending", .status = "True", .reason = "Offline", .message = "\x1b[31mred" }
};

static struct jmp_lease lease_items[] = {
    { .namespace_ = "default",
      .name = "0190-a",
      .selector = "board=rpi4",
      .client = "ann",
      .exporter = "pi-1",
      .exporter_name = "",
      .tags = { tags, 2 },
      .duration = INT64_C(93780000000),
      .effective_duration = INT64_C(60000000),
      .begin = JMP_TIME_NONE,
      .effective_begin = NOW - 60000000,
      .end = JMP_TIME_NONE,
      .effective_end = JMP_TIME_NONE,
      .conditions = ready,
      .n_conditions = 2 },
    { .namespace_ = "default",
      .name = "0190-b",
      .selector = "<none>",
      .client = "bob",
      .exporter = "",
      .exporter_name = "pi-2",
      .duration = INT64_C(1500000),
      .effective_duration = JMP_TIME_NONE,
      .begin = JMP_TIME_NONE,
      .effective_begin = JMP_TIME_NONE,
      .end = JMP_TIME_NONE,
      .effective_end = JMP_TIME_NONE,
      .conditions = pending,
      .n_conditions = 1 },
    { .namespace_ = "default",
      .name = "0190-c",
      .selector = "board=\x1b[2Jx\ny",
      .client = "ann",
      .exporter = "pi-1",
      .exporter_name = "",
      .duration = INT64_C(60000000),
      .effective_duration = JMP_TIME_NONE,
      .begin = JMP_TIME_NONE,
      .effective_begin = NOW - 3600000000,
      .end = JMP_TIME_NONE,
      .effective_end = NOW - 1800500000,
      .allow_disabled = true },
};
static const struct jmp_leases leases = { lease_items, 3 };

static struct jmp_exporter exporter_items[] = {
    { .namespace_ = "default",
      .name = "pi-1",
      .labels = { labels, 2 },
      .online = true,
      .enabled = true,
      .status = JMP_STATUS_LEASE_READY,
      .status_message = "" },
    { .namespace_ = "default",
      .name = "a-board-with-a-longer-name",
      .labels = { labels, 1 },
      .online = false,
      .enabled = false,
      .status = JMP_STATUS_UNSPECIFIED,
      .status_message = "" },
    { .namespace_ = "default", .name = "bare", .online = true, .enabled = true, .status = 99, .status_message = "" },
};
static const struct jmp_exporters exporters = { exporter_items, 3 };

JMP_TEST(leases_and_exporters_are_printed_in_every_format)
{
    static const struct jmp_exporter_view plain = { 0 }, full = { true, true, true, true };
    static const struct jmp_leases none = { 0 };

    setenv("TZ", "CET-1", 1);
    for (unsigned i = 0; jmp_output_words[i]; i++) {
        enum jmp_output output = jmp_output_parse(jmp_output_words[i]);
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);
        char path[128];

        fputs("# leases\n", stream);
        assert_int_equal(jmp_print_leases(stream, output, &leases, NOW, NULL), 0);
        fputs("# one lease\n", stream);
        assert_int_equal(jmp_print_lease(stream, output, &lease_items[0], NOW, NULL), 0);
        fputs("# no leases\n", stream);
        assert_int_equal(jmp_print_leases(stream, output, &none, NOW, NULL), 0);
        fputs("# exporters\n", stream);
        assert_int_equal(jmp_print_exporters(stream, output, &exporters, NULL, &plain, NULL), 0);
        fputs("# exporters with everything\n", stream);
        assert_int_equal(jmp_print_exporters(stream, output, &exporters, &leases, &full, NULL), 0);
        fclose(stream);
        snprintf(path, sizeof(path), "tests/golden/ctl/output-%s.txt", jmp_output_words[i]);
        compare(path, text);
    }
}

JMP_TEST(a_driver_explains_itself_in_the_exporters_words_where_it_has_some)
{
    struct jmp_pair methods[] = { { "on", "switch the crane on\x1b[5m" }, { "start-console", "not for this class" } };
    struct jmp_driver_ref child = {
        .name = "lamp", .path = "crane.lamp", .description = "on its roof", .client_class = ""
    };
    struct jmp_driver_ref crane = { .name = "crane",
                                    .path = "crane",
                                    .description = "the big one",
                                    .methods = { methods, 2 },
                                    .client_class = "jumpstarter_driver_power.client.PowerClient",
                                    .first = &child };
    const struct jmp_verb *verb = NULL;
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    jmp_verbs_print(stream, &crane);
    assert_int_equal(jmp_verb_find(&crane, "cycle", &verb, NULL), 0);
    jmp_verb_print(stream, &crane, verb);
    fclose(stream);
    compare("tests/golden/ctl/driver.txt", text);
}
