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
    assert_string_equal(lease->conditions[0]->message, "no access rule lets alice lease one of the 1 matching exporters: ask team a");
    shown = look(bench, &alice, false);
    assert_int_equal(shown->n_labels, 1);
    assert_string_equal(shown->labels[0]->key, "kind");
    assert_int_equal(shown->n_deprecated_labels, 0);
    assert_int_equal(look(bench, &alice, true)->n_labels, 2);

    /* A filter by a hidden label works; the label of a lease that is deprecated is named. */
    rule(bench, &alice, "access: [{clients: '!guest'}]\nhidden_labels: [a, b]\ndeprecated_labels: {rack: use kind}\n", 2);
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
