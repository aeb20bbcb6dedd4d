/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exporter_status.h"

#include <string.h>

#include "base/test.h"

JMP_TEST(a_session_begins_available_and_counts_its_updates)
{
    struct jmp_status_line line;

    jmp_status_line_begin(&line);
    assert_int_equal(line.value, JMP_EXPORTER_AVAILABLE);
    assert_int_equal(line.version, 0);
    assert_false(line.has_previous);
    assert_string_equal(line.message, "");

    jmp_status_line_set(&line, JMP_EXPORTER_AVAILABLE, "");
    jmp_status_line_set(&line, JMP_EXPORTER_LEASE_READY, "Ready for commands");
    assert_int_equal(line.version, 2);
    assert_true(line.has_previous);
    assert_int_equal(line.previous, JMP_EXPORTER_AVAILABLE);
    assert_string_equal(line.message, "Ready for commands");

    jmp_status_line_set(&line, JMP_EXPORTER_LEASE_READY, NULL);
    assert_int_equal(line.version, 3);
    assert_int_equal(line.previous, JMP_EXPORTER_LEASE_READY);
    assert_string_equal(line.message, "");
}

JMP_TEST(calls_pass_the_gate_by_the_status)
{
    static const struct {
        enum jmp_exporter_status history[3];   /* ends at UNSPECIFIED */
        enum jmp_gate gate;
    } rows[] = {
        { { 0 }, JMP_GATE_HOLD },
        { { JMP_EXPORTER_AVAILABLE }, JMP_GATE_HOLD },
        { { JMP_EXPORTER_BEFORE_LEASE_HOOK }, JMP_GATE_HOLD },
        { { JMP_EXPORTER_LEASE_READY }, JMP_GATE_OPEN },
        { { JMP_EXPORTER_BEFORE_LEASE_HOOK, JMP_EXPORTER_LEASE_READY }, JMP_GATE_OPEN },
        { { JMP_EXPORTER_LEASE_READY, JMP_EXPORTER_AFTER_LEASE_HOOK }, JMP_GATE_OPEN },
        { { JMP_EXPORTER_BEFORE_LEASE_HOOK, JMP_EXPORTER_BEFORE_LEASE_HOOK_FAILED }, JMP_GATE_REFUSE },
        { { JMP_EXPORTER_AFTER_LEASE_HOOK, JMP_EXPORTER_AFTER_LEASE_HOOK_FAILED }, JMP_GATE_REFUSE },
        { { JMP_EXPORTER_LEASE_READY, JMP_EXPORTER_AVAILABLE }, JMP_GATE_REFUSE },
        { { JMP_EXPORTER_OFFLINE }, JMP_GATE_REFUSE },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_status_line line;

        jmp_status_line_begin(&line);
        for (size_t k = 0; k < 3 && rows[i].history[k]; k++)
            jmp_status_line_set(&line, rows[i].history[k], "");
        assert_int_equal(jmp_status_line_gate(&line), rows[i].gate);
    }
}

JMP_TEST(long_messages_are_cut_between_characters)
{
    struct jmp_status_line line;
    char text[600];

    memset(text, 'a', sizeof(text));
    memcpy(text + 510, "\xe2\x82\xac", 3);   /* a euro sign across the border */
    text[599] = '\0';
    jmp_status_line_begin(&line);
    jmp_status_line_set(&line, JMP_EXPORTER_LEASE_READY, text);
    assert_int_equal(strlen(line.message), 510);

    jmp_status_line_set(&line, JMP_EXPORTER_LEASE_READY, line.message);
    assert_int_equal(strlen(line.message), 510);
}

JMP_TEST(statuses_have_the_names_of_the_protocol)
{
    assert_string_equal(jmp_exporter_status_name(JMP_EXPORTER_LEASE_READY), "LEASE_READY");
    assert_string_equal(jmp_exporter_status_name(JMP_EXPORTER_AFTER_LEASE_HOOK_FAILED), "AFTER_LEASE_HOOK_FAILED");
    assert_string_equal(jmp_exporter_status_name(JMP_EXPORTER_STATUSES), "UNKNOWN");
}
