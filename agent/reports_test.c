/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/reports.h"

#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "base/text.h"

static void assert_next(struct jmp_reports *reports, enum jmp_exporter_status status)
{
    const struct jmp_report *report = jmp_reports_send(reports);

    assert_non_null(report);
    assert_string_equal(jmp_exporter_status_name(report->status), jmp_exporter_status_name(status));
}

JMP_TEST(one_is_under_way_at_a_time)
{
    struct jmp_reports reports = { 0 };

    assert_null(jmp_reports_send(&reports));
    jmp_reports_add(&reports, JMP_EXPORTER_AVAILABLE, "");
    assert_next(&reports, JMP_EXPORTER_AVAILABLE);
    jmp_reports_add(&reports, JMP_EXPORTER_LEASE_READY, "");
    assert_null(jmp_reports_send(&reports));
    jmp_reports_taken(&reports);
    assert_next(&reports, JMP_EXPORTER_LEASE_READY);
    jmp_reports_taken(&reports);
    assert_null(jmp_reports_send(&reports));
}

JMP_TEST(a_failed_one_comes_again_until_there_is_a_newer)
{
    struct jmp_reports reports = { 0 };

    jmp_reports_add(&reports, JMP_EXPORTER_BEFORE_LEASE_HOOK, "");
    assert_next(&reports, JMP_EXPORTER_BEFORE_LEASE_HOOK);
    jmp_reports_failed(&reports);
    assert_next(&reports, JMP_EXPORTER_BEFORE_LEASE_HOOK);
    jmp_reports_failed(&reports);
    jmp_reports_add(&reports, JMP_EXPORTER_LEASE_READY, "");
    assert_next(&reports, JMP_EXPORTER_LEASE_READY);
    jmp_reports_taken(&reports);
    assert_null(jmp_reports_send(&reports));
}

JMP_TEST(what_may_be_forgotten_is_repeated_unless_there_is_news)
{
    struct jmp_reports reports = { 0 };

    jmp_reports_repeat(&reports);
    assert_int_equal(reports.count, 0);
    jmp_reports_add(&reports, JMP_EXPORTER_AVAILABLE, "here");
    jmp_reports_repeat(&reports);
    assert_int_equal(reports.count, 1);
    assert_next(&reports, JMP_EXPORTER_AVAILABLE);
    jmp_reports_repeat(&reports);   /* what is under way may have been sent to one that forgets it */
    jmp_reports_taken(&reports);
    assert_next(&reports, JMP_EXPORTER_AVAILABLE);
    assert_string_equal(reports.list[0].message, "here");
}

JMP_TEST(a_message_is_cut_between_two_characters)
{
    struct jmp_reports reports = { 0 };
    char message[600];

    memset(message, 'a', 510);
    strcpy(message + 510, "\xc3\xa9");
    jmp_reports_add(&reports, JMP_EXPORTER_AVAILABLE, message);
    assert_int_equal(strlen(reports.list[0].message), 510);
    assert_true(jmp_text_is_utf8(reports.list[0].message, 510));
}

/* A controller that takes and refuses at random: what it hears is in order, and at last it knows the newest. */
JMP_TEST(nothing_is_reordered_and_the_newest_arrives)
{
    for (unsigned seed = 1; seed <= 200; seed++) {
        struct jmp_reports reports = { 0 };
        unsigned added = 0, heard = 0;
        char number[16];

        srand(seed);
        for (unsigned step = 0; step < 500; step++) {
            const struct jmp_report *report;

            if (rand() % 3 == 0) {
                snprintf(number, sizeof(number), "%u", ++added);
                jmp_reports_add(&reports, (enum jmp_exporter_status)(1 + rand() % (JMP_EXPORTER_STATUSES - 1)), number);
            }
            assert_true(reports.count <= JMP_REPORTS_MAX);
            report = jmp_reports_send(&reports);
            if (!report)
                continue;
            assert_true((unsigned)atoi(report->message) > heard);
            if (rand() % 2) {
                heard = (unsigned)atoi(report->message);
                jmp_reports_taken(&reports);
            } else {
                jmp_reports_failed(&reports);
            }
        }
        while (jmp_reports_send(&reports)) {
            heard = (unsigned)atoi(reports.list[0].message);
            jmp_reports_taken(&reports);
        }
        assert_int_equal(heard, added);
    }
}
