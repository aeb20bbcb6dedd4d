/* SPDX-License-Identifier: Apache-2.0 */
/* The tables say of themselves what no single row can. */
#include <limits.h>
#include <string.h>

#include "base/test.h"
#include "ctl/console.h"
#include "ctl/ctl.h"
#include "ctl/duration.h"
#include "ctl/output.h"
#include "client/selector.h"
#include "ctl/shell_env.h"
#include "ctl/verbs.h"

static void check_options(const char *owner, const struct jmp_option *options, size_t size)
{
    bool help = false;

    assert_non_null(options);
    for (const struct jmp_option *a = options; a->key; a++) {
        if (!a->help || !*a->help || a->help[strlen(a->help) - 1] == '.')
            fail_msg("%s --%s: its help is missing, or a sentence with a full stop", owner, a->key);
        if (a->offset >= size)
            fail_msg("%s --%s: lies outside of its object", owner, a->key);
        for (const struct jmp_option *b = a + 1; b->key; b++) {
            if (strcmp(a->key, b->key) == 0 || (a->letter && a->letter == b->letter))
                fail_msg("%s: --%s and --%s cannot be told apart", owner, a->key, b->key);
        }
        help |= strcmp(a->key, "help") == 0;
    }
    if (!help)
        fail_msg("%s has no --help", owner);
}

JMP_TEST(every_command_has_help_and_sound_options)
{
    for (const struct jmp_command *command = jmp_commands; command->name; command++) {
        assert_non_null(command->run);
        assert_non_null(command->help);
        assert_true(*command->help && command->help[strlen(command->help) - 1] != '.');
        assert_true(command->least <= command->most);
        assert_true(!command->most == !command->words);
        assert_true(command->size >= sizeof(struct jmp_ctl_options));
        check_options(command->name, command->options, command->size);
        for (const struct jmp_command *other = command + 1; other->name; other++)
            assert_string_not_equal(command->name, other->name);
    }
    check_options("jmpctl", jmp_global_options, sizeof(struct jmp_ctl_options));
}

JMP_TEST(every_verb_has_help_and_no_driver_has_one_twice)
{
    for (const struct jmp_verb *verb = jmp_verbs; verb->name; verb++) {
        assert_non_null(verb->run);
        assert_non_null(verb->help);
        assert_true(verb->families != 0);
        assert_true(verb->least <= verb->most);
        assert_true(!verb->most == !verb->words);
        check_options(verb->name, verb->options, verb->size);
        for (const struct jmp_verb *other = verb + 1; other->name; other++) {
            if ((verb->families & other->families) && strcmp(verb->name, other->name) == 0)
                fail_msg("a driver would have \"%s\" twice", verb->name);
        }
    }
}

JMP_TEST(commands_are_found_by_their_names_and_aliases)
{
    static const struct {
        const char *words[3], *name;
        unsigned used;
    } cases[] = {
        { { "get", "exporters" }, "get exporters", 2 }, { { "get", "exporter" }, "get exporters", 2 },
        { { "ls", "e" }, "get exporters", 2 },          { { "g", "l" }, "get leases", 2 },
        { { "create", "lease" }, "create lease", 2 },   { { "create", "leases" }, "create lease", 2 },
        { { "rm", "lease" }, "delete leases", 2 },      { { "delete", "leases" }, "delete leases", 2 },
        { { "d", "l" }, "delete leases", 2 },           { { "sh" }, "shell", 1 },
        { { "shell", "-l" }, "shell", 1 },              { { "update", "lease" }, "update lease", 2 },
        { { "usb", "attach" }, "usb attach", 2 },        { { "usb", "status" }, "usb status", 2 },
        { { "get", "drivers" }, "get drivers", 2 },     { { "ver" }, "version", 1 },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const struct jmp_command *command = NULL;
        unsigned used = 0;

        assert_int_equal(jmp_command_find((char *const *)cases[i].words, &command, &used, NULL), 0);
        assert_string_equal(command->name, cases[i].name);
        assert_int_equal(used, cases[i].used);
    }
}

JMP_TEST(half_commands_and_wrong_ones_are_explained)
{
    static const struct {
        const char *words[3];
        int r;
        const char *text, *hint;
    } cases[] = {
        { { "get" }, -EINVAL, "get what?", "exporters, leases, drivers" },
        { { "get", "exportrs" }, -EINVAL, "not a command", "get exporters" },
        { { "create", "-l" }, -EINVAL, "create what?", "lease" },
        { { "power", "on" }, -ENOENT, "", "" },
        { { "usb" }, -EINVAL, "usb what?", "list, attach, detach, status" },
        { { "usb", "forward-tcp" }, -ENOENT, "", "" },   /* a driver of that name */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const struct jmp_command *command = NULL;
        struct jmp_error error = { 0 };
        unsigned used = 0;

        assert_int_equal(jmp_command_find((char *const *)cases[i].words, &command, &used, &error), cases[i].r);
        assert_null(command);
        assert_non_null(strstr(error.text, cases[i].text));
        assert_non_null(strstr(error.hint, cases[i].hint));
    }
}

JMP_TEST(durations_are_read_as_people_write_them)
{
    static const struct {
        const char *text;
        double seconds;      /* negative: refused */
    } cases[] = {
        { "90", 90 },
        { "30m", 1800 },
        { "1d3h40m", 99600 },
        { "1d 3h 40m", 99600 },
        { "3h30m", 12600 },
        { "2 hours", 7200 },
        { "1.5h", 5400 },
        { "01:30:00", 5400 },
        { "1:24", 84 },
        { "2 days, 01:30:00", 178200 },
        { "2 weeks", 1209600 },
        { "PT1H30M", 5400 },
        { "P1DT2H30M", 95400 },
        { "P2W", 1209600 },
        { "PT0.5S", 0.5 },
        { "0", 0 },
        { "250ms", 0.25 },
        { "", -1 },
        { "soon", -1 },
        { "5 parsecs", -1 },
        { "-5m", -1 },
        { "1e9", -1 },
        { "0x10", -1 },
        { "inf", -1 },
        { "P", -1 },
        { "PT", -1 },
        { "P1H", -1 },
        { "PT1W", -1 },
        { "1:2:3:4", -1 },
        { "5 6", -1 },
        { "3h5", -1 },
        { "1..5h", -1 },
        { "200y", -1 },
        { "99999999999999999999d", -1 },
        { "36601d", -1 },
    };

    print_message("%zu rows\n", ELEMENTSOF(cases));
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_error error = { 0 };
        int64_t usec = -1;
        int r = jmp_duration_parse(cases[i].text, &usec, &error);

        if (cases[i].seconds < 0) {
            if (r != -EINVAL || usec != -1 || !*error.hint)
                fail_msg("\"%s\" was read as %lld", cases[i].text, (long long)usec);
        } else if (r < 0 || usec != (int64_t)(cases[i].seconds * 1e6)) {
            fail_msg("\"%s\" was read as %lld", cases[i].text, (long long)usec);
        }
    }
}

JMP_TEST(dates_are_read_with_and_without_a_zone)
{
    static const struct {
        const char *text;
        int64_t seconds;     /* -1: refused */
    } cases[] = {
        { "2026-11-21T12:00:00Z", 1795262400 },
        { "2026-11-21T12:00:00", 1795262400 },
        { "2026-11-21T12:00:00+01:00", 1795258800 },
        { "2026-11-21 12:00:00-02:30", 1795271400 },
        { "2026-11-21T12:00", 1795262400 },
        { "2026-11-21", 1795219200 },
        { "tomorrow", -1 },
        { "2026-13-01", -1 },
        { "2026-11-21T12:00:00+99:00", -1 },
        { "2026-11-21T12:00:00 foo", -1 },
        { "", -1 },
    };

    setenv("TZ", "UTC", 1);
    print_message("%zu rows\n", ELEMENTSOF(cases));
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        int64_t usec = -1;
        int r = jmp_date_parse(cases[i].text, &usec, NULL);

        if (cases[i].seconds < 0 ? r != -EINVAL : r < 0 || usec != cases[i].seconds * 1000000)
            fail_msg("\"%s\" was read as %lld", cases[i].text, (long long)usec);
    }
}

JMP_TEST(the_time_that_is_left_is_short)
{
    static const struct {
        int64_t left;        /* seconds */
        const char *text;
    } cases[] = {
        { 2 * 86400 + 3 * 3600 + 45 * 60, "2d 3h 45m" },
        { 5 * 3600 + 30 * 60, "5h 30m" },
        { 30, "0m" },
        { 60, "1m" },
        { 3 * 86400, "3d" },
        { 86400 + 60, "1d 1m" },
        { 0, "expired" },
        { -1, "expired" },
    };
    char text[64];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        jmp_output_remaining(INT64_C(1704110400000000) + cases[i].left * 1000000, INT64_C(1704110400000000), text,
                             sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
    jmp_output_remaining(JMP_TIME_NONE, 0, text, sizeof(text));
    assert_string_equal(text, "");
}

JMP_TEST(dates_in_tables_are_local)
{
    char text[32];

    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    jmp_output_date(INT64_C(1704114000623456), text, sizeof(text));
    assert_string_equal(text, "2024-01-01 14:00:00");
    jmp_output_date(INT64_C(1719835200000000), text, sizeof(text));      /* the offset of that day, not of today */
    assert_string_equal(text, "2024-07-01 14:00:00");
    setenv("TZ", "UTC", 1);
    tzset();
}

JMP_TEST(a_selector_contains_what_it_asks_for_and_what_follows)
{
    static const struct {
        const char *selector, *filter;
        bool contains;
    } cases[] = {
        { "board=rpi4,lab=north", "board=rpi4", true },
        { "board=rpi4", "board=rpi5", false },
        { "board=rpi4", "", true },
        { "", "board=rpi4", false },
        { "board = rpi4", "board==rpi4", true },
        { "board in (a,b)", "board in ( b , a )", true },
        { "board in (a,b)", "board in (a)", false },
        { "board=a", "board in (a,b)", true },
        { "board=c", "board in (a,b)", false },
        { "board=c", "board notin (a,b)", true },
        { "board=a", "board!=b", true },
        { "board=a", "board!=a", false },
        { "board notin (b)", "board!=b", true },
        { "board=a", "board", true },
        { "lab=x", "!board", true },
        { "board=a", "!board", false },
        { "board", "board", true },
        { "board", "board=a", false },
        { "board=a,(", "board=a", true },
        { "board=a", "board in (a", false },
        { "board=a", ",,board=a,", true },
        { "lab=x", "board!=a", true },
        { "lab=x", "board notin (a,b)", true },
        { "board in (a,b)", "board!=c", true },
        { "<none>", "board!=a", true },
        { "<none>", "board in (a)", false },
        { "<none>", "board", false },
        { "a=b,c=d", "a=b", true },
        { "a=b", "a=c", false },
        { "a in (x,y)", "a in (y,x)", true },
        { "a=x", "a in (x,y)", true },
        { "a=x", "!b", true },
        { "a notin (b)", "a!=b", true },
        { "a in (x)", "a=x", false },
    };

    print_message("%zu rows\n", ELEMENTSOF(cases));
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        if (jmp_selector_contains(cases[i].selector, cases[i].filter) != cases[i].contains)
            fail_msg("\"%s\" and \"%s\"", cases[i].selector, cases[i].filter);
    }
}

JMP_TEST(controllers_are_asked_for_equalities_only)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const char *text;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_selector_equalities("a=b, c in (d,e), !f, g!=h,i==j", tree, &text), 0);
    assert_string_equal(text, "a=b,i==j");
    assert_int_equal(jmp_selector_equalities("!f", tree, &text), 0);
    assert_null(text);
}

JMP_TEST(three_ctrl_b_in_a_row_leave_a_console)
{
    static const struct {
        const char *pieces[4];
        const char *sent;
        bool left;
    } cases[] = {
        { { "\x02\x02\x02" }, "\x02\x02", true },
        { { "a\x02", "\x02", "\x02z" }, "a\x02\x02", true },
        { { "\x02\x02", "a", "\x02" }, "\x02\x02" "a\x02", false },
        { { "ls\r" }, "ls\r", false },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_escape escape = { 0 };
        char sent[64] = "";
        bool left = false;

        for (unsigned piece = 0; cases[i].pieces[piece] && !left; piece++) {
            char data[16];
            size_t length = strlen(cases[i].pieces[piece]);

            memcpy(data, cases[i].pieces[piece], length);
            left = jmp_escape_look(&escape, data, &length);
            strncat(sent, data, length);
        }
        assert_int_equal(left, cases[i].left);
        assert_string_equal(sent, cases[i].sent);
    }
}

JMP_TEST(a_class_decides_the_verbs)
{
    static const struct {
        const char *class, *verbs;
    } cases[] = {
        { "jumpstarter_driver_power.client.PowerClient", "on off cycle read rescue" },
        { "jumpstarter_driver_power.client.VirtualPowerClient", "on off cycle read" },
        { "jumpstarter_driver_pyserial.client.PySerialClient", "console pipe forward-tcp forward-unix" },
        { "jumpstarter_driver_network.client.NetworkClient", "forward-tcp forward-unix address connect" },
        { "jumpstarter_driver_opendal.client.StorageMuxClient", "host dut off write read" },
        { "jumpstarter_driver_opendal.client.StorageMuxFlasherClient", "host dut off write read flash dump" },
        { "jumpstarter.client.flasher.FlasherClient", "flash dump" },
        { "jumpstarter_driver_pi_pico.client.PiPicoClient", "flash bootloader bootloader-info dump" },
        { "jumpstarter_driver_stlink_msd.client.StlinkMsdFlasherClient", "flash info" },
        { "jumpstarter_driver_gpiod.client.DigitalOutputClient", "cycle on off read" },
        { "somebody.elses.client.PowerClient", "on off cycle read rescue" },
        { "jumpstarter_driver_composite.client.CompositeClient", "" },
        { "", "" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_driver_ref ref = { .client_class = cases[i].class, .path = "x" };
        const struct jmp_verb *verb = NULL;
        char list[256];

        jmp_verbs_list(&ref, list, sizeof(list));
        assert_string_equal(list, cases[i].verbs);
        assert_int_equal(jmp_verb_find(&ref, "call", &verb, NULL), 0);
    }
}

JMP_TEST(an_unknown_verb_is_answered_by_the_nearest)
{
    struct jmp_driver_ref ref = { .client_class = "jumpstarter_driver_pyserial.client.PySerialClient",
                                  .path = "serial" };
    const struct jmp_verb *verb = NULL;
    struct jmp_error error = { 0 };

    assert_int_equal(jmp_verb_find(&ref, "start-console", &verb, NULL), 0);
    assert_string_equal(verb->name, "console");
    assert_int_equal(jmp_verb_find(&ref, "consle", &verb, &error), -ENOENT);
    assert_non_null(strstr(error.hint, "\"console\""));
    assert_non_null(strstr(error.hint, "forward-tcp"));
}

JMP_TEST(numbers_look_as_python_prints_them)
{
    static const struct {
        double number;
        const char *text;
    } cases[] = { { 0, "0.0" },      { 5, "5.0" },         { 10, "10.0" },
                  { 0.1, "0.1" },    { 3.3, "3.3" },       { 12345.678, "12345.678" },
                  { 1e20, "1e+20" }, { 0.0001, "0.0001" }, { -2.5, "-2.5" } };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char text[64];

        jmp_number_print(cases[i].number, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
}

static bool has(char *const *list, const char *wanted)
{
    for (; *list; list++) {
        if (strcmp(*list, wanted) == 0)
            return true;
    }
    return false;
}

JMP_TEST(a_program_inside_a_lease_finds_what_the_stock_tools_read)
{
    struct jmp_pair pairs[] = { { "a", "1" }, { "b", "2" } };
    struct jmp_pairs labels = { pairs, 2 };
    struct jmp_shell_start start;

    assert_int_equal(
        jmp_shell_env(
            &(const struct jmp_shell_env){
                .host = "/run/x/socket", .exporter = "pi", .lease = "l1", .labels = &labels, .allow = "UNSAFE" },
            NULL, &start),
        0);
    assert_true(has(start.set, "JUMPSTARTER_HOST=/run/x/socket"));
    assert_true(has(start.set, "JMP_DRIVERS_ALLOW=UNSAFE"));
    assert_true(has(start.set, "JMP_EXPORTER=pi"));
    assert_true(has(start.set, "JMP_LEASE=l1"));
    assert_true(has(start.set, "JMP_EXPORTER_LABELS=a=1,b=2"));
    assert_false(has(start.set, "JMP_GRPC_INSECURE=1"));
    assert_null(start.argv[0]);
    jmp_shell_start_clear(&start);

    assert_int_equal(jmp_shell_env(&(const struct jmp_shell_env){ .host = "h:1",
                                                                  .exporter = "$(reboot)`x`",
                                                                  .lease = "direct",
                                                                  .allow = "UNSAFE",
                                                                  .insecure = true,
                                                                  .passphrase = "p" },
                                   "/bin/bash", &start),
                     0);
    assert_true(has(start.set, "JMP_GRPC_INSECURE=1"));
    assert_true(has(start.set, "JMP_GRPC_PASSPHRASE=p"));
    assert_string_equal(start.argv[0], "/bin/bash");
    for (char **set = start.set; *set; set++) {
        if (strncmp(*set, "PS1=", 4) == 0)
            assert_null(strpbrk(*set + 4, "$`("));
    }
    jmp_shell_start_clear(&start);
}
