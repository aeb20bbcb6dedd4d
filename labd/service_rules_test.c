/* SPDX-License-Identifier: Apache-2.0 */
/* An administrator's rules as clients and exporters meet them, changed while the service runs. */
#include "labd/bench_test.h"

#include <poll.h>
#include <string.h>

#include "base/file.h"
#include "jumpstarter/client/v1/client.pb-c.h"

typedef Jumpstarter__Client__V1__Exporter Exporter;

static const Exporter *look(struct bench *bench, const struct caller *client, bool all)
{
    Jumpstarter__Client__V1__GetExporterRequest request = JUMPSTARTER__CLIENT__V1__GET_EXPORTER_REQUEST__INIT;

    request.name = (char *)"namespaces/default/exporters/board";
    request.show_hidden_labels = all;
    return (const Exporter *)bench_ask(bench, client, &jmp_client_get_exporter, &request.base);
}

/* And wait until the service has read them. */
static void rule(struct bench *bench, const struct caller *client, const char *text, size_t hidden)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/rules.yaml", bench->directory);
    assert_int_equal(jmp_file_write(path, text, strlen(text), 0600, NULL), 0);
    for (unsigned i = 0; i < 150 && bench->lab->rules.hidden.count != hidden; i++) {
        look(bench, client, false);
        poll(NULL, 0, 50);
    }
    assert_int_equal(bench->lab->rules.hidden.count, hidden);
}

JMP_TEST(rules_are_followed_from_the_moment_they_are_written)
{
    struct bench *bench = bench_new();
    const Jumpstarter__Client__V1__Lease *lease;
    struct caller alice, board;
    const Exporter *shown;
    struct call status;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "kind=pi,rack=a", &board, &status);
    assert_int_equal(look(bench, &alice, false)->n_labels, 2);

    rule(bench, &alice, "access: [{clients: team=a, description: ask team a}]\nhidden_labels: [rack]\n", 1);
    lease = bench_lease(bench, &alice, "one", "kind=pi", 60);
    assert_string_equal(bench_state(lease), "Unsatisfiable NoAccess");
    assert_string_equal(lease->conditions[0]->message,
                        "no access rule lets alice lease one of the 1 matching exporters: ask team a");
    shown = look(bench, &alice, false);
    assert_int_equal(shown->n_labels, 1);
    assert_string_equal(shown->labels[0]->key, "kind");
    assert_int_equal(shown->n_deprecated_labels, 0);
    assert_int_equal(look(bench, &alice, true)->n_labels, 2);

    /* A filter by a hidden label works; the label of a lease that is deprecated is named. */
    rule(bench, &alice, "access: [{clients: '!guest'}]\nhidden_labels: [a, b]\ndeprecated_labels: {rack: use kind}\n",
         2);
    lease = bench_lease(bench, &alice, "two", "rack=a", 60);
    assert_string_equal(bench_state(lease), "Ready Ready");
    assert_int_equal(lease->n_deprecated_labels, 1);
    assert_string_equal(lease->deprecated_labels[0]->key, "rack");
    assert_string_equal(lease->deprecated_labels[0]->value, "use kind");
    shown = look(bench, &alice, false);
    assert_int_equal(shown->n_labels, 1);
    assert_int_equal(shown->n_deprecated_labels, 1);
    bench_cancel(&status);
    bench_free(bench);
}

/* A change of the lease "one": a duration, or an end, or another owner; 0 and NULL: as it is. */
static void change(struct bench *bench, const struct caller *client, int64_t seconds, int64_t end, const char *to,
                   const char *refused)
{
    Jumpstarter__Client__V1__UpdateLeaseRequest request = JUMPSTARTER__CLIENT__V1__UPDATE_LEASE_REQUEST__INIT;
    Jumpstarter__Client__V1__Lease lease = JUMPSTARTER__CLIENT__V1__LEASE__INIT;
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;

    request.lease = &lease;
    lease.name = (char *)"namespaces/default/leases/one";
    if (seconds) {
        duration.seconds = seconds;
        lease._duration_case = JUMPSTARTER__CLIENT__V1__LEASE___DURATION_DURATION;
        lease.duration = &duration;
    }
    if (end) {
        time.seconds = end;
        lease._end_time_case = JUMPSTARTER__CLIENT__V1__LEASE___END_TIME_END_TIME;
        lease.end_time = &time;
    }
    if (to) {
        lease._client_case = JUMPSTARTER__CLIENT__V1__LEASE___CLIENT_CLIENT;
        lease.client = (char *)to;
    }
    if (refused)
        bench_refused(bench, client, &jmp_client_update_lease, &request.base, JMP_UNKNOWN, refused);
    else
        bench_ask(bench, client, &jmp_client_update_lease, &request.base);
}

JMP_TEST(a_lease_that_runs_is_prolonged_and_handed_over_only_as_the_rules_have_it)
{
    struct bench *bench = bench_new();
    struct caller alice, bob, board;
    struct call status;
    int64_t now = jmp_wall_now() / JMP_SECOND;

    bench_client(bench, "alice", &alice);
    bench_client(bench, "bob", &bob);
    bench_board(bench, "board", "kind=pi", &board, &status);
    assert_string_equal(bench_state(bench_lease(bench, &alice, "one", "kind=pi", 60)), "Ready Ready");
    change(bench, &alice, 7200, 0, NULL, NULL);
    /* What was given before the rules were made stays, and may become less. */
    rule(bench, &alice, "access: [{maximum_duration: 3600}]\nhidden_labels: [rack]\n", 1);
    change(bench, &alice, 5000, 0, NULL, NULL);
    change(bench, &alice, 5001, 0, NULL, "no access rule lets alice lease board for 5001 seconds");
    change(bench, &alice, 3600, 0, NULL, NULL);
    change(bench, &alice, 3601, 0, NULL, "no access rule lets alice lease board for 3601 seconds");
    /* An end that is later than the duration says is no way around. */
    change(bench, &alice, 3600, now + 36000, NULL, "no access rule lets alice lease board for *");
    change(bench, &alice, 0, 0, "namespaces/default/clients/bob", NULL);
    change(bench, &bob, 0, 0, "namespaces/default/clients/alice", NULL);
    rule(bench, &alice, "access: [{clients: '!guest'}, {clients: team=a, spot: true}]\nhidden_labels: [a, b]\n", 2);
    change(bench, &alice, 0, 0, "namespaces/default/clients/bob", NULL);
    rule(bench, &alice, "access: [{clients: team=a}]\nhidden_labels: [rack]\n", 1);
    change(bench, &bob, 0, 0, "namespaces/default/clients/alice",
           "no access rule lets alice lease board for 3600 seconds");
    assert_text(bench_get_lease(bench, &bob, "one")->client, "namespaces/default/clients/bob");
    bench_cancel(&status);
    bench_free(bench);
}

JMP_TEST(a_mistake_leaves_the_rules_as_they_were)
{
    struct bench *bench = bench_new();
    struct caller alice, board;
    struct call status;
    char path[128];

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "kind=pi", &board, &status);
    rule(bench, &alice, "access: [{clients: team=a}]\nhidden_labels: [rack]\n", 1);
    snprintf(path, sizeof(path), "%s/rules.yaml", bench->directory);
    assert_int_equal(jmp_file_write(path, "access: [", 9, 0600, NULL), 0);
    /* Whether it was read already or not: nobody is let in. */
    assert_string_equal(bench_state(bench_lease(bench, &alice, "one", "kind=pi", 60)), "Unsatisfiable NoAccess");
    bench_settle(bench, &alice);
    assert_string_equal(bench_state(bench_lease(bench, &alice, "two", "kind=pi", 60)), "Unsatisfiable NoAccess");
    bench_cancel(&status);

    /* A service that starts with it does not serve. */
    {
        struct jmp_error error = JMP_ERROR_INIT;
        struct jmp_lab *lab = NULL;

        assert_true(jmp_lab_open(bench->directory, NULL, bench->loop, &lab, &error) < 0);
        assert_non_null(strstr(error.file, "rules.yaml"));
    }
    bench_free(bench);
}
