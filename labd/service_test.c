/* SPDX-License-Identifier: Apache-2.0 */
/* The service as exporters meet it: who may call, Register, ReportStatus, Status, Listen, Dial. */
#include "labd/bench_test.h"

#include <string.h>

#include "jumpstarter/client/v1/client.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"

static const Jumpstarter__V1__StatusRequest status_request = JUMPSTARTER__V1__STATUS_REQUEST__INIT;
static const Jumpstarter__V1__GetServiceEndpointsRequest endpoints_request =
    JUMPSTARTER__V1__GET_SERVICE_ENDPOINTS_REQUEST__INIT;
static const Jumpstarter__V1__ListLeasesRequest own_request = JUMPSTARTER__V1__LIST_LEASES_REQUEST__INIT;

static void listen_on(struct bench *bench, const struct caller *exporter, const char *lease, struct call *ret)
{
    Jumpstarter__V1__ListenRequest request = JUMPSTARTER__V1__LISTEN_REQUEST__INIT;

    request.lease_name = (char *)lease;
    bench_start(bench, exporter, &jmp_controller_listen, &request.base, ret);
}

static void dial(struct bench *bench, const struct caller *client, const char *lease, struct call *ret)
{
    Jumpstarter__V1__DialRequest request = JUMPSTARTER__V1__DIAL_REQUEST__INIT;

    request.lease_name = (char *)lease;
    bench_start(bench, client, &jmp_controller_dial, &request.base, ret);
}

static const char *dial_token(const struct call *call)
{
    return ((const Jumpstarter__V1__DialResponse *)call->message)->router_token;
}

static const char *listen_token(const struct call *call)
{
    return ((const Jumpstarter__V1__ListenResponse *)call->message)->router_token;
}

JMP_TEST(callers_are_refused_with_the_known_words)
{
    struct bench *bench = bench_new();
    _cleanup_free_ char *expired = NULL, *foreign = NULL, *stranger = NULL;
    struct caller alice, bob, board;
    char late[1024], alien[1024], unknown[1024], subject[JMP_SUBJECT_MAX];
    struct jmp_key key = { { 1 } };
    int64_t now = jmp_wall_now() / JMP_SECOND;

    bench_client(bench, "alice", &alice);
    bench_client(bench, "bob", &bob);
    bench_exporter(bench, "board", "", &board);
    jmp_lab_subject(bench->lab, "client", "alice", alice.uid, subject);
    assert_int_equal(
        jmp_token_sign(&bench->lab->identity_key, &jmp_token_identity, subject, now - 100, now - 10, &expired), 0);
    assert_int_equal(jmp_token_sign(&key, &jmp_token_identity, subject, now, now + 100, &foreign), 0);
    assert_int_equal(jmp_lab_sign(bench->lab, "client", "carol", alice.uid, NULL, &stranger), 0);
    snprintf(late, sizeof(late), "Bearer %s", expired);
    snprintf(alien, sizeof(alien), "Bearer %s", foreign);
    snprintf(unknown, sizeof(unknown), "Bearer %s", stranger);

    const struct {
        struct jmp_metadata headers[7];
        enum jmp_code code;
        const char *text;
    } rows[] = {
#define KIND(v) { "jumpstarter-kind", v }
#define SPACE(v) { "jumpstarter-namespace", v }
#define NAME(v) { "jumpstarter-name", v }
#define AUTH(v) { "authorization", v }
        { { { 0 } }, JMP_UNAUTHENTICATED, "missing authorization header" },
        { { AUTH(alice.bearer), AUTH(alice.bearer) }, JMP_INVALID_ARGUMENT, "multiple authorization headers" },
        { { AUTH("Basic abc") }, JMP_INVALID_ARGUMENT, "malformed authorization header" },
        { { AUTH("Bear") }, JMP_INVALID_ARGUMENT, "malformed authorization header" },
        { { AUTH("Bearer nonsense"), KIND("Client"), SPACE("default"), NAME("alice") },
          JMP_UNKNOWN,
          "failed to authenticate token" },
        { { AUTH(late), KIND("Client"), SPACE("default"), NAME("alice") }, JMP_UNKNOWN, "*token is expired*" },
        { { AUTH(alien), KIND("Client"), SPACE("default"), NAME("alice") }, JMP_UNKNOWN, "oidc: verify token: *" },
        { { AUTH(alice.bearer), KIND("Client"), NAME("alice") },
          JMP_INVALID_ARGUMENT,
          "missing metadata: jumpstarter-namespace" },
        { { AUTH(alice.bearer), SPACE("default"), NAME("alice") },
          JMP_INVALID_ARGUMENT,
          "missing metadata: jumpstarter-kind" },
        { { AUTH(alice.bearer), KIND("Client"), SPACE("default"), SPACE("default"), NAME("alice") },
          JMP_INVALID_ARGUMENT,
          "multiple metadata: jumpstarter-namespace" },
        { { AUTH(alice.bearer), KIND("Client"), KIND("Client"), SPACE("default"), NAME("alice") },
          JMP_INVALID_ARGUMENT,
          "multiple metadata: jumpstarter-kind" },
        { { AUTH(alice.bearer), KIND("Client"), SPACE("default") },
          JMP_INVALID_ARGUMENT,
          "resource name required for pre-existing authentication" },
        { { AUTH(alice.bearer), KIND("Client"), SPACE("default"), NAME("alice"), NAME("alice") },
          JMP_INVALID_ARGUMENT,
          "resource name required for pre-existing authentication" },
        { { AUTH(board.bearer), KIND("Exporter"), SPACE("default"), NAME("board") },
          JMP_INVALID_ARGUMENT,
          "object kind mismatch" },
        { { AUTH(alice.bearer), KIND("client"), SPACE("default"), NAME("alice") },
          JMP_INVALID_ARGUMENT,
          "object kind mismatch" },
        { { AUTH(alice.bearer), KIND("Client"), SPACE("default"), NAME("bob") },
          JMP_PERMISSION_DENIED,
          "permission denied for client default/bob" },
        { { AUTH(board.bearer), KIND("Client"), SPACE("default"), NAME("bob") },
          JMP_PERMISSION_DENIED,
          "permission denied for client default/bob" },
        { { AUTH(unknown), KIND("Client"), SPACE("default"), NAME("carol") },
          JMP_UNKNOWN,
          "client default/carol: clients.jumpstarter.dev \"carol\" not found" },
        { { AUTH(alice.bearer), KIND("Client"), SPACE("other"), NAME("alice") }, JMP_UNKNOWN, "client other/alice: *" },
        /* and these are good */
        { { AUTH(alice.bearer), KIND("Client"), SPACE("default"), NAME("alice") }, JMP_OK, "" },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const char *text = rows[i].text;
        struct call call;

        bench_start_raw(bench, bench->channel, rows[i].headers, &jmp_controller_list_leases, &own_request.base, &call);
        bench_wait(&call);
        if (text[0] == '*')
            assert_non_null(strstr(call.text, "token is expired"));
        else
            assert_text(call.text, text);
        assert_int_equal(call.code, rows[i].code);
    }

    /* The other kind's methods: the same words. */
    bench_refused(bench, &alice, &jmp_controller_get_service_endpoints, &endpoints_request.base, JMP_INVALID_ARGUMENT,
                  "object kind mismatch");
    bench_refused(bench, &alice, &jmp_controller_status, &status_request.base, JMP_INVALID_ARGUMENT,
                  "object kind mismatch");
    assert_int_equal(((const Jumpstarter__V1__GetServiceEndpointsResponse *)bench_ask(
                          bench, &board, &jmp_controller_get_service_endpoints, &endpoints_request.base))
                         ->n_telemetry_endpoints,
                     0);
    bench_free(bench);
}

JMP_TEST(a_deleted_client_is_locked_out_at_once)
{
    struct bench *bench = bench_new();
    struct caller alice, again;

    bench_client(bench, "alice", &alice);
    bench_ask(bench, &alice, &jmp_controller_list_leases, &own_request.base);
    assert_int_equal(jmp_store_delete_client(bench->lab->store, "alice"), 0);
    bench_refused(bench, &alice, &jmp_controller_list_leases, &own_request.base, JMP_UNKNOWN,
                  "client default/alice: *");
    bench_client(bench, "alice", &again);
    bench_refused(bench, &alice, &jmp_controller_list_leases, &own_request.base, JMP_PERMISSION_DENIED,
                  "permission denied for client default/alice");
    bench_ask(bench, &again, &jmp_controller_list_leases, &own_request.base);
    bench_free(bench);
}

JMP_TEST(an_exporter_sets_its_own_labels_and_no_others)
{
    struct bench *bench = bench_new();
    struct caller board;
    Jumpstarter__V1__RegisterRequest request = JUMPSTARTER__V1__REGISTER_REQUEST__INIT;
    Jumpstarter__V1__RegisterRequest__LabelsEntry name = JUMPSTARTER__V1__REGISTER_REQUEST__LABELS_ENTRY__INIT,
                                                  foreign = name, *labels[] = { &name, &foreign };
    Jumpstarter__V1__DriverInstanceReport report = JUMPSTARTER__V1__DRIVER_INSTANCE_REPORT__INIT,
                                          *reports[] = { &report, &report };
    _cleanup_(jmp_exporter_clear) struct jmp_exporter row = { 0 };

    bench_exporter(bench, "board", "site=lab,jumpstarter.dev/old=1", &board);
    name.key = (char *)"jumpstarter.dev/name";
    name.value = (char *)"board";
    foreign.key = (char *)"site";
    foreign.value = (char *)"elsewhere";
    request.labels = labels;
    request.n_labels = 2;
    request.reports = reports;
    request.n_reports = 2;
    assert_string_equal(((const Jumpstarter__V1__RegisterResponse *)
                         bench_ask(bench, &board, &jmp_controller_register, &request.base))->uuid, board.uid);

    assert_int_equal(jmp_store_get_exporter(bench->lab->store, "board", &row), 0);
    assert_int_equal(row.labels.count, 2);
    assert_string_equal(jmp_labels_get(&row.labels, "site"), "lab");
    assert_string_equal(jmp_labels_get(&row.labels, "jumpstarter.dev/name"), "board");
    assert_true(row.registered);
    assert_int_equal(row.devices, 2);

    name.value = (char *)"not a label";
    bench_refused(bench, &board, &jmp_controller_register, &request.base, JMP_INTERNAL, "unable to update exporter: *");
    bench_free(bench);
}

JMP_TEST(status_says_at_once_how_it_is_and_then_only_what_changes)
{
    struct bench *bench = bench_new();
    struct caller alice, board;
    struct call status;
    const Jumpstarter__V1__StatusResponse *said;
    Jumpstarter__Client__V1__DeleteLeaseRequest end = JUMPSTARTER__CLIENT__V1__DELETE_LEASE_REQUEST__INIT;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    for (unsigned i = 0; i < 3; i++)
        bench_report(bench, &board, JMP_STATUS_AVAILABLE);
    bench_settle(bench, &alice);
    assert_int_equal(status.count, 1);

    bench_lease(bench, &alice, "one", "x=1", 60);
    bench_wait_count(&status, 2);
    said = (const Jumpstarter__V1__StatusResponse *)status.message;
    assert_true(said->leased);
    assert_string_equal(said->lease_name, "one");
    assert_string_equal(said->client_name, "alice");
    bench_report(bench, &board, JMP_STATUS_LEASE_READY);
    bench_settle(bench, &alice);
    assert_int_equal(status.count, 2);

    end.name = (char *)"namespaces/default/leases/one";
    bench_ask(bench, &alice, &jmp_client_delete_lease, &end.base);
    bench_wait_count(&status, 3);
    said = (const Jumpstarter__V1__StatusResponse *)status.message;
    assert_false(said->leased);
    assert_int_equal(said->_lease_name_case, 0);
    bench_cancel(&status);
    bench_free(bench);
}

JMP_TEST(between_two_leases_an_exporter_sees_that_it_was_free)
{
    struct bench *bench = bench_new();
    struct caller alice, bob, board;
    struct call status;
    const Jumpstarter__V1__StatusResponse *said;
    Jumpstarter__Client__V1__DeleteLeaseRequest end = JUMPSTARTER__CLIENT__V1__DELETE_LEASE_REQUEST__INIT;

    bench_client(bench, "alice", &alice);
    bench_client(bench, "bob", &bob);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    assert_string_equal(bench_state(bench_lease(bench, &bob, "two", "x=1", 60)), "Pending NotAvailable");
    bench_wait_count(&status, 2);

    end.name = (char *)"namespaces/default/leases/one";
    bench_ask(bench, &alice, &jmp_client_delete_lease, &end.base);
    bench_wait_count(&status, 4);
    said = (const Jumpstarter__V1__StatusResponse *)bench->answers[bench->answer_count - 1];
    assert_ptr_equal(said, status.message);
    assert_string_equal(said->lease_name, "two");
    assert_string_equal(bench_state(bench_get_lease(bench, &bob, "two")), "Ready Ready");
    bench_free(bench);
}

JMP_TEST(an_unregistered_exporter_is_offline_and_gets_no_lease)
{
    struct bench *bench = bench_new();
    struct caller alice, board;
    struct call status;
    Jumpstarter__V1__UnregisterRequest request = JUMPSTARTER__V1__UNREGISTER_REQUEST__INIT;
    Jumpstarter__Client__V1__GetExporterRequest get = JUMPSTARTER__CLIENT__V1__GET_EXPORTER_REQUEST__INIT;
    const Jumpstarter__Client__V1__Exporter *seen;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    get.name = (char *)"namespaces/default/exporters/board";
    assert_true(
        ((const Jumpstarter__Client__V1__Exporter *)bench_ask(bench, &alice, &jmp_client_get_exporter, &get.base))
            ->online);

    bench_ask(bench, &board, &jmp_controller_unregister, &request.base);
    seen = (const Jumpstarter__Client__V1__Exporter *)bench_ask(bench, &alice, &jmp_client_get_exporter, &get.base);
    assert_false(seen->online);
    assert_int_equal(seen->status, JMP_STATUS_OFFLINE);
    assert_string_equal(seen->status_message, "Exporter unregistered");
    assert_string_equal(bench_state(bench_lease(bench, &alice, "one", "x=1", 60)), "Pending Offline");
    bench_free(bench);
}

JMP_TEST(a_lease_ends_when_its_exporter_says_so)
{
    struct bench *bench = bench_new();
    struct caller alice, board, other;
    struct call status, other_status;
    Jumpstarter__V1__ReportStatusRequest report = JUMPSTARTER__V1__REPORT_STATUS_REQUEST__INIT;
    Jumpstarter__V1__ReleaseLeaseRequest release = JUMPSTARTER__V1__RELEASE_LEASE_REQUEST__INIT;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_board(bench, "other", "x=2", &other, &other_status);
    bench_lease(bench, &alice, "one", "x=1", 60);

    /* without a lease of its own the report succeeds all the same */
    report._release_lease_case = JUMPSTARTER__V1__REPORT_STATUS_REQUEST___RELEASE_LEASE_RELEASE_LEASE;
    report.release_lease = true;
    report.status = JUMPSTARTER__V1__EXPORTER_STATUS__EXPORTER_STATUS_AVAILABLE;
    bench_ask(bench, &other, &jmp_controller_report_status, &report.base);
    assert_string_equal(bench_state(bench_get_lease(bench, &alice, "one")), "Ready Ready");
    bench_ask(bench, &board, &jmp_controller_report_status, &report.base);
    assert_string_equal(bench_state(bench_get_lease(bench, &alice, "one")), "!Ready Released");

    bench_lease(bench, &alice, "two", "x=1", 60);
    release.name = (char *)"two";
    bench_refused(bench, &other, &jmp_controller_release_lease, &release.base, JMP_FAILED_PRECONDITION,
                  "lease two is not held by exporter other");
    bench_ask(bench, &board, &jmp_controller_release_lease, &release.base);
    bench_ask(bench, &board, &jmp_controller_release_lease, &release.base);
    assert_string_equal(bench_state(bench_get_lease(bench, &alice, "two")), "!Ready Released");
    release.name = (char *)"three";
    bench_refused(bench, &board, &jmp_controller_release_lease, &release.base, JMP_NOT_FOUND, "lease three not found");
    bench_refused(bench, &alice, &jmp_controller_release_lease, &release.base, JMP_UNKNOWN,
                  "leases.jumpstarter.dev \"three\" not found");
    bench_free(bench);
}

JMP_TEST(older_clients_lease_through_the_controller)
{
    struct bench *bench = bench_new();
    struct caller alice, bob, board;
    struct call status;
    Jumpstarter__V1__RequestLeaseRequest request = JUMPSTARTER__V1__REQUEST_LEASE_REQUEST__INIT;
    Jumpstarter__V1__LabelSelector selector = JUMPSTARTER__V1__LABEL_SELECTOR__INIT;
    Jumpstarter__V1__LabelSelector__MatchLabelsEntry entry = JUMPSTARTER__V1__LABEL_SELECTOR__MATCH_LABELS_ENTRY__INIT,
                                                     *entries[] = { &entry };
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    Jumpstarter__V1__GetLeaseRequest get = JUMPSTARTER__V1__GET_LEASE_REQUEST__INIT;
    Jumpstarter__V1__ReleaseLeaseRequest release = JUMPSTARTER__V1__RELEASE_LEASE_REQUEST__INIT;
    const Jumpstarter__V1__GetLeaseResponse *lease;

    bench_client(bench, "alice", &alice);
    bench_client(bench, "bob", &bob);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_refused(bench, &alice, &jmp_controller_request_lease, &request.base, JMP_UNKNOWN, NULL);

    entry.key = (char *)"x";
    entry.value = (char *)"1";
    selector.match_labels = entries;
    selector.n_match_labels = 1;
    duration.seconds = 60;
    request.selector = &selector;
    request.duration = &duration;
    get.name = ((const Jumpstarter__V1__RequestLeaseResponse *)
                bench_ask(bench, &alice, &jmp_controller_request_lease, &request.base))->name;
    lease = (const Jumpstarter__V1__GetLeaseResponse *)bench_ask(bench, &alice, &jmp_controller_get_lease, &get.base);
    assert_string_equal(lease->exporter_uuid, board.uid);
    assert_int_equal(lease->duration->seconds, 60);
    assert_int_equal(lease->selector->n_match_labels, 1);
    assert_string_equal(lease->conditions[lease->n_conditions - 1]->reason, "Ready");
    assert_int_equal(((const Jumpstarter__V1__ListLeasesResponse *)
                      bench_ask(bench, &alice, &jmp_controller_list_leases, &own_request.base))->n_names, 1);
    assert_int_equal(((const Jumpstarter__V1__ListLeasesResponse *)
                      bench_ask(bench, &bob, &jmp_controller_list_leases, &own_request.base))->n_names, 0);

    release.name = get.name;
    bench_refused(bench, &bob, &jmp_controller_get_lease, &get.base, JMP_UNKNOWN, "GetLease permission denied");
    bench_refused(bench, &bob, &jmp_controller_release_lease, &release.base, JMP_UNKNOWN,
                  "ReleaseLease permission denied");
    bench_ask(bench, &alice, &jmp_controller_release_lease, &release.base);
    bench_ask(bench, &alice, &jmp_controller_release_lease, &release.base);
    bench_free(bench);
}

JMP_TEST(listen_is_for_the_exporter_that_is_leased)
{
    struct bench *bench = bench_new();
    struct caller alice, board, other;
    struct call status, other_status;
    Jumpstarter__V1__ListenRequest request = JUMPSTARTER__V1__LISTEN_REQUEST__INIT;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_board(bench, "other", "x=2", &other, &other_status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    bench_refused(bench, &board, &jmp_controller_listen, &request.base, JMP_UNKNOWN, "empty lease name");
    request.lease_name = (char *)"none";
    bench_refused(bench, &board, &jmp_controller_listen, &request.base, JMP_UNKNOWN,
                  "leases.jumpstarter.dev \"none\" not found");
    request.lease_name = (char *)"one";
    bench_refused(bench, &other, &jmp_controller_listen, &request.base, JMP_UNKNOWN, "permission denied");
    bench_free(bench);
}

JMP_TEST(a_newer_listener_takes_over_and_the_older_one_ends_well)
{
    struct bench *bench = bench_new();
    struct caller alice, board;
    struct call status, older, newer, first, second;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    bench_report(bench, &board, JMP_STATUS_LEASE_READY);
    listen_on(bench, &board, "one", &older);
    dial(bench, &alice, "one", &first);
    bench_wait(&first);
    assert_int_equal(first.code, JMP_OK);
    bench_wait_count(&older, 1);
    assert_string_equal(dial_token(&first), listen_token(&older));

    listen_on(bench, &board, "one", &newer);
    bench_wait(&older);
    assert_int_equal(older.code, JMP_OK);
    dial(bench, &alice, "one", &second);
    bench_wait(&second);
    assert_int_equal(second.code, JMP_OK);
    bench_wait_count(&newer, 1);
    assert_string_equal(dial_token(&second), listen_token(&newer));
    assert_string_not_equal(dial_token(&second), dial_token(&first));
    assert_string_equal(((const Jumpstarter__V1__DialResponse *)second.message)->router_endpoint, bench->endpoint);
    bench_free(bench);
}

JMP_TEST(dial_is_refused_with_the_known_words)
{
    static const struct {
        unsigned status;
        enum jmp_code code;
        const char *text;
    } rows[] = {
        { JMP_STATUS_BEFORE_LEASE_HOOK_FAILED, JMP_FAILED_PRECONDITION, "exporter beforeLease hook failed" },
        { JMP_STATUS_AFTER_LEASE_HOOK_FAILED, JMP_FAILED_PRECONDITION, "exporter afterLease hook failed" },
        { JMP_STATUS_LEASE_READY, JMP_OK, "" },
        { JMP_STATUS_BEFORE_LEASE_HOOK, JMP_OK, "" },
        { JMP_STATUS_AFTER_LEASE_HOOK, JMP_OK, "" },
        { JMP_STATUS_UNSPECIFIED, JMP_OK, "" },
        { JMP_STATUS_OFFLINE, JMP_FAILED_PRECONDITION, "exporter is offline" },
    };
    struct bench *bench = bench_new();
    struct caller alice, bob, board;
    struct call status, listener, call;
    Jumpstarter__V1__DialRequest request = JUMPSTARTER__V1__DIAL_REQUEST__INIT;
    Jumpstarter__Client__V1__DeleteLeaseRequest end = JUMPSTARTER__CLIENT__V1__DELETE_LEASE_REQUEST__INIT;

    bench_client(bench, "alice", &alice);
    bench_client(bench, "bob", &bob);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    bench_lease(bench, &alice, "two", "x=1", 60);
    bench_refused(bench, &alice, &jmp_controller_dial, &request.base, JMP_UNKNOWN, "empty lease name");
    request.lease_name = (char *)"none";
    bench_refused(bench, &alice, &jmp_controller_dial, &request.base, JMP_UNKNOWN,
                  "leases.jumpstarter.dev \"none\" not found");
    request.lease_name = (char *)"two";
    bench_refused(bench, &alice, &jmp_controller_dial, &request.base, JMP_UNKNOWN, "lease not active");
    request.lease_name = (char *)"one";
    bench_refused(bench, &bob, &jmp_controller_dial, &request.base, JMP_UNKNOWN, "permission denied");

    listen_on(bench, &board, "one", &listener);
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        bench_report(bench, &board, rows[i].status);
        dial(bench, &alice, "one", &call);
        bench_wait(&call);
        assert_text(call.text, rows[i].text);
        assert_int_equal(call.code, rows[i].code);
    }

    /* Nobody listens, and nobody is there who soon might. */
    bench_report(bench, &board, JMP_STATUS_LEASE_READY);
    bench_cancel(&listener);
    bench_cancel(&status);
    bench_settle(bench, &alice);
    bench_refused(bench, &alice, &jmp_controller_dial, &request.base, JMP_UNAVAILABLE,
                  "exporter is not listening on lease one");
    end.name = (char *)"namespaces/default/leases/one";
    bench_ask(bench, &alice, &jmp_client_delete_lease, &end.base);
    bench_refused(bench, &alice, &jmp_controller_dial, &request.base, JMP_FAILED_PRECONDITION,
                  "lease not active any more, exporter not ready for it");
    bench_free(bench);
}

JMP_TEST(dial_waits_for_an_exporter_that_has_not_begun)
{
    struct bench *bench = bench_new();
    struct caller alice, board;
    struct call status, listener, call, given_up;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    dial(bench, &alice, "one", &call);
    dial(bench, &alice, "one", &given_up);
    bench_settle(bench, &alice);
    assert_false(call.closed);
    bench_cancel(&given_up);

    /* Ready before its Listen is there: a moment is given for that. */
    bench_report(bench, &board, JMP_STATUS_LEASE_READY);
    bench_settle(bench, &alice);
    assert_false(call.closed);
    listen_on(bench, &board, "one", &listener);
    bench_wait(&call);
    assert_int_equal(call.code, JMP_OK);
    bench_wait_count(&listener, 1);
    assert_string_equal(dial_token(&call), listen_token(&listener));
    bench_free(bench);
}

JMP_TEST(dial_hears_of_the_end_of_the_lease_while_it_waits)
{
    struct bench *bench = bench_new();
    struct caller alice, board;
    struct call status, call;
    Jumpstarter__Client__V1__DeleteLeaseRequest end = JUMPSTARTER__CLIENT__V1__DELETE_LEASE_REQUEST__INIT;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    dial(bench, &alice, "one", &call);
    end.name = (char *)"namespaces/default/leases/one";
    bench_ask(bench, &alice, &jmp_client_delete_lease, &end.base);
    bench_wait(&call);
    assert_int_equal(call.code, JMP_FAILED_PRECONDITION);
    assert_non_null(strstr(call.text, "not active any more"));
    bench_free(bench);
}

JMP_TEST(an_exporter_that_took_long_to_begin_still_gets_time_to_listen)
{
    struct bench *bench = bench_new();
    struct caller alice, board, clock;
    struct call status, ticks, listener, call;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_board(bench, "clock", "x=2", &clock, &ticks);
    bench_lease(bench, &alice, "one", "x=1", 60);
    dial(bench, &alice, "one", &call);
    bench_lease(bench, &alice, "three-seconds", "x=2", 3);
    bench_wait_count(&ticks, 3);
    bench_report(bench, &board, JMP_STATUS_LEASE_READY);
    bench_settle(bench, &alice);
    assert_false(call.closed);
    listen_on(bench, &board, "one", &listener);
    bench_wait(&call);
    assert_int_equal(call.code, JMP_OK);
    bench_free(bench);
}

JMP_TEST(one_client_cannot_take_all_calls_that_wait)
{
    struct bench *bench = bench_new();
    struct caller alice, board;
    struct call status, calls[257];
    unsigned refused = 0;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    for (size_t i = 0; i < ELEMENTSOF(calls); i++)
        dial(bench, &alice, "one", &calls[i]);
    bench_wait(&calls[256]);
    assert_int_equal(calls[256].code, JMP_RESOURCE_EXHAUSTED);
    assert_string_equal(calls[256].text, "alice has 256 calls that wait for an exporter already");
    for (size_t i = 0; i < ELEMENTSOF(calls); i++)
        refused += calls[i].closed;
    assert_int_equal(refused, 1);
    bench_free(bench);
}

JMP_TEST(one_exporter_cannot_take_all_streams)
{
    struct bench *bench = bench_new();
    struct caller greedy, other;
    struct call streams[64], one;

    bench_exporter(bench, "greedy", "", &greedy);
    bench_exporter(bench, "other", "", &other);
    for (size_t i = 0; i < ELEMENTSOF(streams); i++) {
        bench_start(bench, &greedy, &jmp_controller_status, &status_request.base, &streams[i]);
        bench_wait_count(&streams[i], 1);
    }
    bench_refused(bench, &greedy, &jmp_controller_status, &status_request.base, JMP_RESOURCE_EXHAUSTED,
                  "greedy has 64 open streams already");
    bench_start(bench, &other, &jmp_controller_status, &status_request.base, &one);
    bench_wait_count(&one, 1);
    for (size_t i = 0; i < ELEMENTSOF(streams); i++)
        bench_cancel(&streams[i]);
    bench_free(bench);
}
