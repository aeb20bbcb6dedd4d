/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/scheduler.h"

#include <string.h>

#include "base/test.h"

#define AT(seconds) ((INT64_C(1800000000) + (seconds)) * JMP_SECOND)
#define BOARDS 4

static const struct jmp_rules no_rules;

/* A lab in one word a board: state letters. */
struct lab {
    struct jmp_exporter exporters[BOARDS];
    struct jmp_board boards[BOARDS];
};

/* '+' online and available, 'r' lease ready, '?' unspecified, '-' offline, 'u' online and not registered, 'd' disabled
 * but available */
static void lab_set(struct lab *lab, const char *states)
{
    static char names[BOARDS][8] = { "a", "b", "c", "d" };

    for (size_t i = 0; i < BOARDS; i++) {
        struct jmp_exporter *exporter = &lab->exporters[i];

        jmp_labels_clear(&exporter->labels);
        *exporter = (struct jmp_exporter){
            .name = names[i],
            .enabled = states[i] != 'd',
            .registered = states[i] != 'u',
            .status = states[i] == 'r' ? JMP_STATUS_LEASE_READY : states[i] == '?' ? JMP_STATUS_UNSPECIFIED
                      : states[i] == '-' ? JMP_STATUS_OFFLINE : JMP_STATUS_AVAILABLE,
        };
        snprintf(exporter->uid, sizeof(exporter->uid), "uid-%s", names[i]);
        assert_int_equal(jmp_labels_set(&exporter->labels, "kind", i < 2 ? "pi" : "x86"), 0);
        assert_int_equal(jmp_labels_set(&exporter->labels, "name", names[i]), 0);
        lab->boards[i] = (struct jmp_board){ .exporter = exporter, .online = states[i] != '-' };
    }
}

static void lab_clear(struct lab *lab)
{
    for (size_t i = 0; i < BOARDS; i++)
        jmp_labels_clear(&lab->exporters[i].labels);
}

JMP_TEST(one_lease_gets_a_board_or_hears_why_not)
{
    static const struct {
        const char *boards, *selector, *wanted;
        bool allow_disabled;
        const char *exporter, *type, *reason;   /* exporter NULL: none */
        bool ended;
    } cases[] = {
        { "++++", "kind=pi", NULL, false, "a", "Ready", "Ready", false },
        { "++++", "kind=x86", NULL, false, "c", "Ready", "Ready", false },
        { "-+++", "kind=pi", NULL, false, "b", "Ready", "Ready", false },
        { "r+++", "kind=pi", NULL, false, "b", "Ready", "Ready", false },
        { "u+++", "kind=pi", NULL, false, "b", "Ready", "Ready", false },
        { "d+++", "kind=pi", NULL, false, "b", "Ready", "Ready", false },
        { "?+++", "kind=pi", NULL, false, "a", "Ready", "Ready", false },
        { "++++", "", "d", false, "d", "Ready", "Ready", false },
        { "++++", "kind=x86", "d", false, "d", "Ready", "Ready", false },
        { "+++d", "", "d", true, "d", "Ready", "Ready", false },
        { "++++", "", NULL, false, NULL, "Invalid", "InvalidSelector", true },
        { "++++", "", "z", false, NULL, "Unsatisfiable", "ExporterNotFound", true },
        { "++++", "kind=pi", "d", false, NULL, "Unsatisfiable", "SelectorMismatch", true },
        { "+++d", "", "d", false, NULL, "Unsatisfiable", "ExporterDisabled", true },
        { "dd++", "kind=pi", NULL, false, NULL, "Unsatisfiable", "AllDisabled", true },
        { "dd++", "kind=pi", NULL, true, NULL, "Unsatisfiable", "AllDisabled", true },
        { "++++", "kind=arm", NULL, false, NULL, "Unsatisfiable", "NoAccess", true },
        { "--++", "kind=pi", NULL, false, NULL, "Pending", "Offline", false },
        { "uu++", "kind=pi", NULL, false, NULL, "Pending", "Offline", false },
        { "rr++", "kind=pi", NULL, false, NULL, "Pending", "NotReady", false },
        { "-r++", "kind=pi", NULL, false, NULL, "Pending", "NotReady", false },
        { "---r", "", "d", false, NULL, "Pending", "NotReady", false },
    };
    struct lab lab = { 0 };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_lease_clear) struct jmp_lease lease = {
            .selector = strdup(cases[i].selector), .wanted = cases[i].wanted ? strdup(cases[i].wanted) : NULL,
            .allow_disabled = cases[i].allow_disabled, .duration = 60 * JMP_NSEC_PER_SECOND,
        };
        const struct jmp_condition *last;

        print_message("%s, selector \"%s\", exporter %s\n", cases[i].boards, cases[i].selector,
                      cases[i].wanted ? cases[i].wanted : "-");
        lab_set(&lab, cases[i].boards);
        assert_int_equal(jmp_schedule_lease(&lease, lab.boards, BOARDS, &no_rules, AT(0)), 1);
        assert_int_equal(lease.condition_count, 1);
        last = &lease.conditions[lease.condition_count - 1];
        assert_string_equal(jmp_condition_name(last->type), cases[i].type);
        assert_string_equal(last->reason, cases[i].reason);
        assert_true(last->status && last->changed == AT(0) && last->message[0]);
        assert_int_equal(lease.ended, cases[i].ended);
        assert_int_equal(lease.began != 0, cases[i].exporter != NULL);
        if (cases[i].exporter) {
            assert_string_equal(lease.exporter, cases[i].exporter);
            assert_string_equal(lease.exporter_uid + 4, cases[i].exporter);
        } else {
            assert_null(lease.exporter);
        }
        /* Nothing new: nothing to write. */
        assert_int_equal(lease.ended ? 0 : jmp_schedule_lease(&lease, lab.boards, BOARDS, &no_rules, AT(1)), 0);
    }
    lab_clear(&lab);
}

/* Boards a and b are of kind pi, c and d of kind x86; the client has the label team=a. '*': available and held by
 * somebody. */
JMP_TEST(rules_decide_who_gets_which_board)
{
    static const struct {
        const char *rules, *boards, *selector, *wanted;
        int64_t seconds;
        const char *exporter, *reason, *words;   /* exporter NULL: none */
    } cases[] = {
        { "[{clients: team=a}]", "++++", "name", NULL, 60, "a", "Ready", "acquired" },
        { "[{clients: team=b, description: for team b}]", "++++", "name", NULL, 60, NULL, "NoAccess",
          "of the 4 matching exporters: for team b" },
        { "[{clients: team=b, description: B}, {clients: team=c}, {clients: team=d, description: D}]", "++++", "name",
          NULL, 60, NULL, "NoAccess", ": B; D" },
        { "[{clients: team=b, description: B}]", "++++", "kind=arm", NULL, 60, NULL, "NoAccess",
          "(0 matching exporters)" },
        { "[{clients: team=b, description: B}]", "dddd", "name", NULL, 60, NULL, "AllDisabled", "all 4" },
        { "[{exporters: kind=x86}]", "++++", "name", NULL, 60, "c", "Ready", "" },
        { "[{exporters: kind=x86}]", "++++", "kind=pi", NULL, 60, NULL, "NoAccess", "of the 2 matching exporters" },
        { "[{exporters: kind=x86}]", "++--", "name", NULL, 60, NULL, "Offline", "2 matching, the first is c" },
        { "[{exporters: kind=x86}]", "++**", "name", NULL, 60, NULL, "NotAvailable", "2 matching, the first is c" },
        { "[{exporters: kind=x86}]", "++rr", "name", NULL, 60, NULL, "NotReady", "2 matching, the first is c" },
        { "[{}, {exporters: name=b, priority: 5}]", "++++", "name", NULL, 60, "b", "Ready", "" },
        { "[{}, {exporters: name=b, priority: 5}]", "+-++", "name", NULL, 60, "a", "Ready", "" },
        { "[{}, {exporters: name=b, priority: 5}]", "+*++", "name", NULL, 60, "a", "Ready", "" },
        { "[{}, {exporters: name=b, priority: 5}]", "+r++", "name", NULL, 60, "a", "Ready", "" },
        { "[{exporters: name!=a}, {exporters: name=a, priority: -1}]", "++++", "name", NULL, 60, "b", "Ready", "" },
        { "[{}, {exporters: name=b, priority: 5, clients: team=b}]", "++++", "name", NULL, 60, "a", "Ready", "" },
        { "[{priority: 1}, {exporters: kind=x86, priority: 2}, {exporters: name=d, priority: 3}]", "++++", "name", NULL,
          60, "d", "Ready", "" },
        { "[{}, {exporters: name=b, priority: 5}]", "++++", "", "c", 60, "c", "Ready", "" },
        { "[{exporters: kind=pi}]", "++++", "", "c", 60, NULL, "NoAccess", "of the 1 matching exporters" },
        { "[{exporters: kind=pi}]", "+++d", "", "d", 60, NULL, "ExporterDisabled", "" },
        { "[{maximum_duration: 60}]", "++++", "name", NULL, 60, "a", "Ready", "" },
        { "[{maximum_duration: 60, description: short}]", "++++", "name", NULL, 61, NULL, "NoAccess",
          "4 matching exporters" },
        { "[{maximum_duration: 60}, {exporters: name=d}]", "++++", "name", NULL, 61, "d", "Ready", "" },
        { "[{spot: true}]", "++++", "name", NULL, 60, NULL, "SpotAccess", "exporter a" },
        { "[{spot: true}]", "****", "name", NULL, 60, NULL, "SpotAccess", "" },
        { "[{spot: true}]", "----", "name", NULL, 60, NULL, "Offline", "" },
        { "[{spot: true}, {exporters: name=d}]", "++++", "name", NULL, 60, "d", "Ready", "" },
        { "[{spot: true}, {exporters: name=d}]", "+++*", "name", NULL, 60, NULL, "SpotAccess", "" },
        { "[{spot: true}, {exporters: name=d}]", "***+", "name", NULL, 60, "d", "Ready", "" },
        { "[{spot: true, exporters: kind=pi}, {exporters: kind=x86}]", "++*+", "name", NULL, 60, "d", "Ready", "" },
        { "[{spot: true, exporters: kind=pi}, {exporters: kind=x86}]", "***r", "name", NULL, 60, NULL, "NotReady",
          "1 matching, the first is d" },
    };
    struct lab lab = { 0 };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_lease_clear) struct jmp_lease lease = {
            .selector = strdup(cases[i].selector), .wanted = cases[i].wanted ? strdup(cases[i].wanted) : NULL,
            .client = strdup("alice"), .duration = cases[i].seconds * JMP_NSEC_PER_SECOND,
        };
        _cleanup_(jmp_rules_clear) struct jmp_rules rules = { 0 };
        const struct jmp_condition *last;
        char text[512];

        print_message("%s: %s, selector \"%s\", exporter %s\n", cases[i].rules, cases[i].boards, cases[i].selector,
                      cases[i].wanted ? cases[i].wanted : "-");
        snprintf(text, sizeof(text), "access: %s", cases[i].rules);
        assert_int_equal(jmp_rules_parse(text, strlen(text), "rules.yaml", &rules, NULL), 0);
        assert_int_equal(jmp_labels_set(&lease.holder, "team", "a"), 0);
        lab_set(&lab, cases[i].boards);
        for (size_t j = 0; j < BOARDS; j++)
            lab.boards[j].leased = cases[i].boards[j] == '*';

        assert_int_equal(jmp_schedule_lease(&lease, lab.boards, BOARDS, &rules, AT(0)), 1);
        last = &lease.conditions[lease.condition_count - 1];
        assert_string_equal(last->reason, cases[i].reason);
        assert_non_null(strstr(last->message, cases[i].words));
        if (cases[i].exporter)
            assert_string_equal(lease.exporter, cases[i].exporter);
        else
            assert_null(lease.exporter);
        assert_int_equal(lease.ended, last->type == JMP_UNSATISFIABLE);
    }
    lab_clear(&lab);
}

static void lease_is(struct jmp_lease *lease, int64_t id, const char *selector, const char *exporter)
{
    jmp_lease_clear(lease);
    lease->id = id;
    lease->selector = strdup(selector);
    lease->exporter = exporter ? strdup(exporter) : NULL;
    lease->began = exporter ? AT(0) : 0;
    lease->duration = 60 * JMP_NSEC_PER_SECOND;
}

JMP_TEST(first_come_first_served)
{
    struct jmp_lease leases[4] = { 0 };
    bool changed[4];
    struct lab lab = { 0 };

    lab_set(&lab, "++--");
    lease_is(&leases[0], 1, "kind=x86", NULL);
    lease_is(&leases[1], 2, "kind=pi", NULL);
    lease_is(&leases[2], 3, "kind=pi", NULL);
    lease_is(&leases[3], 4, "kind=pi", NULL);
    assert_true(jmp_schedule(leases, changed, 4, lab.boards, BOARDS, &no_rules, AT(0)) == AT(60));
    assert_null(leases[0].exporter);
    assert_string_equal(leases[1].exporter, "a");
    assert_string_equal(leases[2].exporter, "b");
    assert_null(leases[3].exporter);
    assert_string_equal(leases[3].conditions[0].reason, "NotAvailable");
    for (size_t i = 0; i < 4; i++)
        assert_true(changed[i]);

    /* The board that comes free goes to whom waited, although others were asked before him in this very pass. */
    leases[2].release = true;
    assert_true(jmp_schedule(leases, changed, 4, lab.boards, BOARDS, &no_rules, AT(10)) == AT(60));
    assert_true(leases[2].ended);
    assert_string_equal(leases[2].conditions[0].reason, "Released");
    assert_string_equal(leases[3].exporter, "b");
    assert_string_equal(leases[3].conditions[1].reason, "Ready");
    assert_int_equal(leases[3].conditions[0].type, JMP_PENDING);
    assert_true(leases[3].conditions[0].status);   /* it stays; clients look at the last one */
    assert_false(changed[0] || changed[1]);
    assert_true(changed[2] && changed[3]);

    for (size_t i = 0; i < 4; i++)
        jmp_lease_clear(&leases[i]);
    lab_clear(&lab);
}

JMP_TEST(leases_end_in_time_and_begin_when_they_should)
{
    struct jmp_lease leases[3] = { 0 };
    bool changed[3];
    struct lab lab = { 0 };

    lab_set(&lab, "++++");
    lease_is(&leases[0], 1, "name=a", "a");
    lease_is(&leases[1], 2, "name=a", NULL);
    lease_is(&leases[2], 3, "name=b", NULL);
    leases[2].begin = AT(30);
    assert_true(jmp_schedule(leases, changed, 3, lab.boards, BOARDS, &no_rules, AT(10)) == AT(30));
    assert_false(changed[0]);
    assert_true(changed[1]);
    assert_false(changed[2]);
    assert_int_equal(leases[2].condition_count, 0);   /* scheduled: no condition at all */

    assert_true(jmp_schedule(leases, changed, 3, lab.boards, BOARDS, &no_rules, AT(30)) == AT(60));
    assert_string_equal(leases[2].exporter, "b");
    assert_true(leases[2].began == AT(30));

    assert_true(jmp_schedule(leases, changed, 3, lab.boards, BOARDS, &no_rules, AT(60)) == AT(90));
    assert_true(leases[0].ended);
    assert_string_equal(leases[0].conditions[0].reason, "Expired");
    assert_string_equal(leases[1].exporter, "a");

    /* Assigned only after its window: begins and ends at once. */
    jmp_lease_clear(&leases[2]);
    lease_is(&leases[2], 4, "name=c", NULL);
    leases[2].begin = AT(1);
    leases[2].end = AT(2);
    leases[0].ended = true;
    assert_int_equal(jmp_schedule_lease(&leases[2], lab.boards, BOARDS, &no_rules, AT(100)), 1);
    assert_string_equal(leases[2].exporter, "c");
    assert_true(leases[2].ended && !lab.boards[2].leased);

    for (size_t i = 0; i < 3; i++)
        jmp_lease_clear(&leases[i]);
    lab_clear(&lab);
}

JMP_TEST(a_lease_outlives_its_exporter)
{
    struct jmp_lease lease = { 0 };
    struct lab lab = { 0 };
    bool changed;

    lab_set(&lab, "----");
    lease_is(&lease, 1, "name=a", "a");
    assert_true(jmp_schedule(&lease, &changed, 1, lab.boards, BOARDS, &no_rules, AT(10)) == AT(60));
    assert_false(changed || lease.ended);
    assert_true(jmp_schedule(&lease, &changed, 1, NULL, 0, &no_rules, AT(20)) == AT(60));
    assert_false(changed || lease.ended);
    jmp_lease_clear(&lease);
    lab_clear(&lab);
}

JMP_TEST(a_released_lease_takes_no_board)
{
    struct jmp_lease lease = { 0 };
    struct lab lab = { 0 };
    bool changed;

    lab_set(&lab, "++++");
    lease_is(&lease, 1, "name=a", NULL);
    lease.release = true;
    assert_true(jmp_schedule(&lease, &changed, 1, lab.boards, BOARDS, &no_rules, AT(10)) == INT64_MAX);
    assert_true(changed && lease.ended);
    assert_null(lease.exporter);
    assert_string_equal(lease.conditions[0].reason, "Released");
    jmp_lease_clear(&lease);
    lab_clear(&lab);
}
