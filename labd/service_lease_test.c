/* SPDX-License-Identifier: Apache-2.0 */
/* The service as clients meet it: leases made, waited for, changed, ended, listed. */
#include "labd/bench_test.h"

#include <string.h>

#include "jumpstarter/client/v1/client.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"

typedef Jumpstarter__Client__V1__CreateLeaseRequest CreateRequest;
typedef Jumpstarter__Client__V1__Lease Lease;

#define SPACE (char *)"namespaces/default"

/* What a request may be made of. */
struct wish {
    const char *parent, *id, *selector, *exporter;
    int64_t seconds;
    bool has_duration;
    int64_t begin, end;          /* seconds; 0: not given */
    const char *tag_key, *tag_value, *context_key, *context_value;
    bool no_lease;
};

struct request {
    CreateRequest base;
    Lease lease;
    Google__Protobuf__Duration duration;
    Google__Protobuf__Timestamp begin, end;
    Jumpstarter__Client__V1__Lease__TagsEntry tag, *tags[1];
    Jumpstarter__Client__V1__Lease__ContextEntry context, *contexts[1];
};

static const ProtobufCMessage *make(struct request *request, const struct wish *wish)
{
    jumpstarter__client__v1__create_lease_request__init(&request->base);
    jumpstarter__client__v1__lease__init(&request->lease);
    google__protobuf__duration__init(&request->duration);
    google__protobuf__timestamp__init(&request->begin);
    google__protobuf__timestamp__init(&request->end);
    jumpstarter__client__v1__lease__tags_entry__init(&request->tag);
    jumpstarter__client__v1__lease__context_entry__init(&request->context);
    request->base.parent = wish->parent ? (char *)wish->parent : SPACE;
    request->base.lease_id = (char *)(wish->id ? wish->id : "");
    request->base.lease = wish->no_lease ? NULL : &request->lease;
    request->lease.selector = (char *)(wish->selector ? wish->selector : "");
    if (wish->exporter) {
        request->lease._exporter_name_case = JUMPSTARTER__CLIENT__V1__LEASE___EXPORTER_NAME_EXPORTER_NAME;
        request->lease.exporter_name = (char *)wish->exporter;
    }
    if (wish->seconds || wish->has_duration) {
        request->lease._duration_case = JUMPSTARTER__CLIENT__V1__LEASE___DURATION_DURATION;
        request->lease.duration = &request->duration;
        request->duration.seconds = wish->seconds;
    }
    if (wish->begin) {
        request->lease._begin_time_case = JUMPSTARTER__CLIENT__V1__LEASE___BEGIN_TIME_BEGIN_TIME;
        request->lease.begin_time = &request->begin;
        request->begin.seconds = wish->begin;
    }
    if (wish->end) {
        request->lease._end_time_case = JUMPSTARTER__CLIENT__V1__LEASE___END_TIME_END_TIME;
        request->lease.end_time = &request->end;
        request->end.seconds = wish->end;
    }
    if (wish->tag_key) {
        request->tag.key = (char *)wish->tag_key;
        request->tag.value = (char *)wish->tag_value;
        request->tags[0] = &request->tag;
        request->lease.tags = request->tags;
        request->lease.n_tags = 1;
    }
    if (wish->context_key) {
        request->context.key = (char *)wish->context_key;
        request->context.value = (char *)wish->context_value;
        request->contexts[0] = &request->context;
        request->lease.context = request->contexts;
        request->lease.n_context = 1;
    }
    return &request->base.base;
}

static const Lease *create(struct bench *bench, const struct caller *client, const struct wish *wish)
{
    struct request request;

    return (const Lease *)bench_ask(bench, client, &jmp_client_create_lease, make(&request, wish));
}

static void end(struct bench *bench, const struct caller *client, const char *id)
{
    Jumpstarter__Client__V1__DeleteLeaseRequest request = JUMPSTARTER__CLIENT__V1__DELETE_LEASE_REQUEST__INIT;
    char name[128];

    snprintf(name, sizeof(name), "namespaces/default/leases/%s", id);
    request.name = name;
    bench_ask(bench, client, &jmp_client_delete_lease, &request.base);
}

JMP_TEST(a_free_board_is_assigned_before_the_client_looks)
{
    struct bench *bench = bench_new();
    struct caller alice, board;
    struct call status;
    const Lease *lease;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1,y=2", &board, &status);
    lease = create(bench, &alice,
                   &(struct wish){ .id = "one",
                                   .selector = "y in (2,3),x=1",
                                   .seconds = 90,
                                   .tag_key = "job",
                                   .tag_value = "42",
                                   .context_key = "build",
                                   .context_value = "7" });
    assert_string_equal(lease->name, "namespaces/default/leases/one");
    assert_string_equal(lease->selector, "x=1,y in (2,3)");
    assert_string_equal(lease->client, "namespaces/default/clients/alice");
    assert_string_equal(lease->exporter, "namespaces/default/exporters/board");
    assert_string_equal(bench_state(lease), "Ready Ready");
    assert_int_equal(lease->duration->seconds, 90);
    assert_non_null(lease->effective_begin_time);
    assert_int_equal(lease->n_tags, 1);
    assert_string_equal(bench_state(bench_get_lease(bench, &alice, "one")), "Ready Ready");

    bench_wait_count(&status, 2);
    assert_int_equal(((const Jumpstarter__V1__StatusResponse *)status.message)->n_context, 1);
    bench_free(bench);
}

JMP_TEST(leases_are_refused_with_the_known_words)
{
    static const struct {
        struct wish wish;
        enum jmp_code code;
        const char *text;
    } rows[] = {
        { { .no_lease = true }, JMP_INVALID_ARGUMENT, "lease is required" },
        { { .seconds = 60 }, JMP_INVALID_ARGUMENT, "one of selector or exporter_name is required" },
        { { .selector = "x=1", .seconds = 60, .tag_key = "a/b", .tag_value = "1" },
          JMP_INVALID_ARGUMENT,
          "invalid lease tags: *" },
        { { .selector = "x=1", .seconds = 60, .tag_key = "jumpstarter.dev/a", .tag_value = "1" },
          JMP_INVALID_ARGUMENT,
          "invalid lease tags: *" },
        { { .selector = "x=1", .seconds = 60, .tag_key = "a", .tag_value = "not a value" },
          JMP_INVALID_ARGUMENT,
          "invalid lease tags: *" },
        { { .parent = "default", .selector = "x=1", .seconds = 60 }, JMP_INVALID_ARGUMENT, NULL },
        { { .parent = "namespaces/other", .selector = "x=1", .seconds = 60 },
          JMP_PERMISSION_DENIED,
          "namespace mismatch" },
        { { .id = "Not A Name", .selector = "x=1", .seconds = 60 }, JMP_UNKNOWN, NULL },
        { { .selector = "x>1", .seconds = 60 }, JMP_UNKNOWN, "unsupported label selector operator: *" },
        { { .selector = "x=1,x=2", .seconds = 60 },
          JMP_UNKNOWN,
          "invalid selector: label x cannot have multiple equality requirements with different values (1 and 2)" },
        { { .selector = "x in", .seconds = 60 }, JMP_UNKNOWN, NULL },
        { { .selector = " , ", .seconds = 60 }, JMP_UNKNOWN, NULL },
        { { .selector = "x=1" },
          JMP_UNKNOWN,
          "duration is required (must specify Duration, or both BeginTime and EndTime)" },
        { { .selector = "x=1", .begin = 2000000000 }, JMP_UNKNOWN, "duration is required *" },
        { { .selector = "x=1", .end = 2000000000 }, JMP_UNKNOWN, "duration is required *" },
        { { .selector = "x=1", .seconds = -5 }, JMP_UNKNOWN, "duration must be positive, got *" },
        { { .selector = "x=1", .begin = 2000000000, .end = 1900000000 },
          JMP_UNKNOWN,
          "duration must be positive, got *" },
        { { .selector = "x=1", .seconds = 60, .begin = 2000000000, .end = 2000000100 },
          JMP_UNKNOWN,
          "duration conflicts with begin_time and end_time" },
        { { .selector = "x=1", .seconds = INT64_MAX }, JMP_UNKNOWN, "duration is out of range" },
        { { .selector = "x=1", .seconds = 60, .begin = INT64_MAX }, JMP_UNKNOWN, "begin_time is out of range" },
        { { .selector = "x=1",
            .seconds = 60,
            .context_key = "a-key-of-more-than-thirty-two-bytes",
            .context_value = "1" },
          JMP_UNKNOWN,
          "spec.context: keys *" },
        { { .id = "taken", .selector = "x=1", .seconds = 60 },
          JMP_UNKNOWN,
          "leases.jumpstarter.dev \"taken\" already exists" },
    };
    struct bench *bench = bench_new();
    struct caller alice;
    struct request request;

    bench_client(bench, "alice", &alice);
    bench_lease(bench, &alice, "taken", "nobody=1", 60);
    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        bench_refused(bench, &alice, &jmp_client_create_lease, make(&request, &rows[i].wish), rows[i].code,
                      rows[i].text);
    bench_free(bench);
}

JMP_TEST(what_cannot_be_had_is_said_at_once)
{
    struct bench *bench = bench_new();
    struct caller alice, board, off;
    struct call status, off_status;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter row = { 0 };
    static const struct {
        struct wish wish;
        const char *state;
    } rows[] = {
        { { .selector = "x=9", .seconds = 60 }, "Unsatisfiable NoAccess" },
        { { .exporter = "nobody", .seconds = 60 }, "Unsatisfiable ExporterNotFound" },
        { { .exporter = "board", .selector = "x=9", .seconds = 60 }, "Unsatisfiable SelectorMismatch" },
        { { .exporter = "off", .seconds = 60 }, "Unsatisfiable ExporterDisabled" },
        { { .selector = "y=1", .seconds = 60 }, "Unsatisfiable AllDisabled" },
        { { .selector = "x=1", .seconds = 60, .begin = 4000000000 }, "" },
    };

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_board(bench, "off", "y=1", &off, &off_status);
    assert_int_equal(jmp_store_get_exporter(bench->lab->store, "off", &row), 0);
    row.enabled = false;
    assert_int_equal(jmp_store_put_exporter(bench->lab->store, &row), 0);

    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        assert_string_equal(bench_state(create(bench, &alice, &rows[i].wish)), rows[i].state);
    bench_free(bench);
}

JMP_TEST(who_came_first_gets_the_board_first)
{
    static const char *const ids[] = { "zz-first", "mm-second", "aa-third" };
    struct bench *bench = bench_new();
    struct caller alice, bob, board;
    struct call status;

    bench_client(bench, "alice", &alice);
    bench_client(bench, "bob", &bob);
    bench_board(bench, "board", "x=1", &board, &status);
    for (size_t i = 0; i < ELEMENTSOF(ids); i++)
        assert_string_equal(bench_state(bench_lease(bench, i % 2 ? &bob : &alice, ids[i], "x=1", 60)),
                            i == 0 ? "Ready Ready" : "Pending NotAvailable");

    for (size_t i = 1; i < ELEMENTSOF(ids); i++) {
        end(bench, i % 2 ? &alice : &bob, ids[i - 1]);
        assert_string_equal(bench_state(bench_get_lease(bench, &alice, ids[i])), "Ready Ready");
        if (i + 1 < ELEMENTSOF(ids))
            assert_string_equal(bench_state(bench_get_lease(bench, &alice, ids[i + 1])), "Pending NotAvailable");
    }
    bench_free(bench);
}

JMP_TEST(a_board_that_cleans_up_is_waited_for)
{
    struct bench *bench = bench_new();
    struct caller alice, board;
    struct call status;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_report(bench, &board, JMP_STATUS_AFTER_LEASE_HOOK);
    assert_string_equal(bench_state(bench_lease(bench, &alice, "one", "x=1", 60)), "Pending NotReady");
    bench_report(bench, &board, JMP_STATUS_AVAILABLE);
    assert_string_equal(bench_state(bench_get_lease(bench, &alice, "one")), "Ready Ready");
    bench_free(bench);
}

JMP_TEST(a_lease_expires_when_its_time_is_over)
{
    struct bench *bench = bench_new();
    struct caller alice, board;
    struct call status;
    const Lease *lease;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "short", "x=1", 1);
    bench_wait_count(&status, 2);
    bench_wait_count(&status, 3);   /* nothing but the clock ends it */
    assert_false(((const Jumpstarter__V1__StatusResponse *)status.message)->leased);
    lease = bench_get_lease(bench, &alice, "short");
    assert_string_equal(bench_state(lease), "!Ready Expired");
    assert_non_null(lease->effective_end_time);
    assert_string_equal(lease->exporter, "namespaces/default/exporters/board");
    end(bench, &alice, "short");    /* once, without an error */
    bench_free(bench);
}

JMP_TEST(a_lease_is_ended_once_and_by_its_owner)
{
    struct bench *bench = bench_new();
    struct caller alice, bob, board;
    struct call status;
    Jumpstarter__Client__V1__DeleteLeaseRequest request = JUMPSTARTER__CLIENT__V1__DELETE_LEASE_REQUEST__INIT;

    bench_client(bench, "alice", &alice);
    bench_client(bench, "bob", &bob);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    request.name = (char *)"namespaces/default/leases/one";
    bench_refused(bench, &bob, &jmp_client_delete_lease, &request.base, JMP_UNKNOWN, "DeleteLease permission denied");
    bench_ask(bench, &alice, &jmp_client_delete_lease, &request.base);
    assert_string_equal(bench_state(bench_get_lease(bench, &bob, "one")), "!Ready Released");
    bench_refused(bench, &alice, &jmp_client_delete_lease, &request.base, JMP_FAILED_PRECONDITION,
                  "lease \"namespaces/default/leases/one\" has already been released");
    request.name = (char *)"namespaces/default/leases/none";
    bench_refused(bench, &alice, &jmp_client_delete_lease, &request.base, JMP_UNKNOWN,
                  "leases.jumpstarter.dev \"none\" not found");
    request.name = (char *)"leases/none";
    bench_refused(bench, &alice, &jmp_client_delete_lease, &request.base, JMP_INVALID_ARGUMENT, NULL);
    bench_free(bench);
}

JMP_TEST(a_lease_can_be_made_longer_and_handed_over)
{
    struct bench *bench = bench_new();
    struct caller alice, bob, board;
    struct call status;
    Jumpstarter__Client__V1__UpdateLeaseRequest request = JUMPSTARTER__CLIENT__V1__UPDATE_LEASE_REQUEST__INIT;
    Lease lease = JUMPSTARTER__CLIENT__V1__LEASE__INIT;
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Timestamp begin = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    const Lease *changed;

    bench_client(bench, "alice", &alice);
    bench_client(bench, "bob", &bob);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    bench_lease(bench, &alice, "waits", "x=1", 60);
    bench_refused(bench, &alice, &jmp_client_update_lease, &request.base, JMP_INVALID_ARGUMENT, "lease is required");
    request.lease = &lease;
    lease.name = (char *)"namespaces/default/leases/one";
    duration.seconds = 3600;
    lease._duration_case = JUMPSTARTER__CLIENT__V1__LEASE___DURATION_DURATION;
    lease.duration = &duration;
    bench_refused(bench, &bob, &jmp_client_update_lease, &request.base, JMP_UNKNOWN, "UpdateLease permission denied");
    changed = (const Lease *)bench_ask(bench, &alice, &jmp_client_update_lease, &request.base);
    assert_int_equal(changed->duration->seconds, 3600);
    assert_string_equal(bench_state(changed), "Ready Ready");
    duration.seconds = -1;
    bench_refused(bench, &alice, &jmp_client_update_lease, &request.base, JMP_UNKNOWN,
                  "duration must be positive, got *");
    duration.seconds = 60;
    begin.seconds = 4000000000;
    lease._begin_time_case = JUMPSTARTER__CLIENT__V1__LEASE___BEGIN_TIME_BEGIN_TIME;
    lease.begin_time = &begin;
    bench_refused(bench, &alice, &jmp_client_update_lease, &request.base, JMP_UNKNOWN,
                  "cannot update BeginTime: lease has already started");

    lease._begin_time_case = 0;
    lease.begin_time = NULL;
    lease._duration_case = 0;
    lease.duration = NULL;
    lease._client_case = JUMPSTARTER__CLIENT__V1__LEASE___CLIENT_CLIENT;
    lease.client = (char *)"namespaces/default/clients/carol";
    bench_refused(bench, &alice, &jmp_client_update_lease, &request.base, JMP_UNKNOWN, "target client not found: *");
    lease.client = (char *)"namespaces/other/clients/bob";
    bench_refused(bench, &alice, &jmp_client_update_lease, &request.base, JMP_UNKNOWN,
                  "cannot transfer lease to client in different namespace");
    lease.client = (char *)"bob";
    bench_refused(bench, &alice, &jmp_client_update_lease, &request.base, JMP_INVALID_ARGUMENT, NULL);
    lease.client = (char *)"namespaces/default/clients/bob";
    lease.name = (char *)"namespaces/default/leases/waits";
    bench_refused(bench, &alice, &jmp_client_update_lease, &request.base, JMP_UNKNOWN,
                  "cannot transfer lease: lease has not started yet");
    lease.name = (char *)"namespaces/default/leases/one";
    changed = (const Lease *)bench_ask(bench, &alice, &jmp_client_update_lease, &request.base);
    assert_string_equal(changed->client, "namespaces/default/clients/bob");
    bench_wait_count(&status, 3);
    assert_string_equal(((const Jumpstarter__V1__StatusResponse *)status.message)->client_name, "bob");
    bench_refused(bench, &alice, &jmp_client_update_lease, &request.base, JMP_UNKNOWN, "UpdateLease permission denied");
    end(bench, &bob, "one");
    bench_refused(bench, &bob, &jmp_client_update_lease, &request.base, JMP_UNKNOWN,
                  "cannot transfer lease: lease has already ended");
    bench_free(bench);
}

/* What a request may say of the times of a lease that has not begun: its own make sense, and so does what comes of
 * them. */
JMP_TEST(the_times_of_a_scheduled_lease_are_changed_together)
{
    enum { BEGIN = INT64_C(4000000000) };
    static const struct {
        int64_t begin, end, seconds;           /* given; 0: not */
        const char *refused;                   /* NULL: it is done, and reads back as */
        int64_t now_begin, now_end, now_seconds;
    } rows[] = {
        { 0, 0, 120, NULL, BEGIN, 0, 120 },
        { BEGIN + 50, 0, 60, NULL, BEGIN + 50, 0, 60 },
        { BEGIN + 50, 0, 0, "duration is required *", 0, 0, 0 },
        { 0, BEGIN + 90, 0, "duration is required *", 0, 0, 0 },
        { BEGIN + 10, BEGIN + 40, 0, NULL, BEGIN + 10, BEGIN + 40, 30 },
        { BEGIN + 10, BEGIN + 40, 30, NULL, BEGIN + 10, BEGIN + 40, 30 },
        { BEGIN + 10, BEGIN + 40, 31, "duration conflicts with begin_time and end_time", 0, 0, 0 },
        { BEGIN + 40, BEGIN + 10, 0, "duration must be positive, got *", 0, 0, 0 },
        { 0, 0, -5, "duration must be positive, got *", 0, 0, 0 },
        /* With the stored begin: an end and a duration of their own must agree with it. */
        { 0, BEGIN + 60, 60, NULL, BEGIN, BEGIN + 60, 60 },
        { 0, BEGIN + 90, 30, "duration conflicts with begin_time and end_time", 0, 0, 0 },
    };
    struct bench *bench = bench_new();
    struct caller alice;

    bench_client(bench, "alice", &alice);
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        Jumpstarter__Client__V1__UpdateLeaseRequest update = JUMPSTARTER__CLIENT__V1__UPDATE_LEASE_REQUEST__INIT;
        struct request request;
        const Lease *changed;
        char id[16], name[64];

        snprintf(id, sizeof(id), "l%zu", i);
        snprintf(name, sizeof(name), "namespaces/default/leases/%s", id);
        assert_string_equal(
            bench_state(
                create(bench, &alice, &(struct wish){ .id = id, .selector = "x=1", .begin = BEGIN, .seconds = 60 })),
            "");
        make(&request, &(struct wish){ .begin = rows[i].begin, .end = rows[i].end, .seconds = rows[i].seconds });
        request.lease.name = name;
        update.lease = &request.lease;
        if (rows[i].refused) {
            bench_refused(bench, &alice, &jmp_client_update_lease, &update.base, JMP_UNKNOWN, rows[i].refused);
            changed = bench_get_lease(bench, &alice, id);
            assert_true(changed->begin_time->seconds == BEGIN && !changed->end_time &&
                        changed->duration->seconds == 60);
            continue;
        }
        changed = (const Lease *)bench_ask(bench, &alice, &jmp_client_update_lease, &update.base);
        assert_true(changed->begin_time->seconds == rows[i].now_begin);
        assert_true((changed->end_time ? changed->end_time->seconds : 0) == rows[i].now_end);
        assert_true(changed->duration->seconds == rows[i].now_seconds);
        assert_string_equal(bench_state(changed), "");
    }
    bench_free(bench);
}

JMP_TEST(a_shortened_lease_ends_at_once)
{
    struct bench *bench = bench_new();
    struct caller alice, board;
    struct call status;
    Jumpstarter__Client__V1__UpdateLeaseRequest request = JUMPSTARTER__CLIENT__V1__UPDATE_LEASE_REQUEST__INIT;
    Lease lease = JUMPSTARTER__CLIENT__V1__LEASE__INIT;
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 3600);
    request.lease = &lease;
    lease.name = (char *)"namespaces/default/leases/one";
    duration.nanos = 1;
    lease._duration_case = JUMPSTARTER__CLIENT__V1__LEASE___DURATION_DURATION;
    lease.duration = &duration;
    assert_string_equal(bench_state((const Lease *)bench_ask(bench, &alice, &jmp_client_update_lease, &request.base)),
                        "!Ready Expired");
    bench_free(bench);
}

JMP_TEST(one_client_cannot_take_all_places)
{
    struct bench *bench = bench_new();
    struct caller alice, bob;
    struct jmp_lease lease = { .client = (char *)"alice", .selector = (char *)"x=1", .duration = JMP_NSEC_PER_SECOND };
    struct request request;
    const struct wish wish = { .id = "one-more", .selector = "x=1", .seconds = 60 };

    bench_client(bench, "alice", &alice);
    bench_client(bench, "bob", &bob);
    for (unsigned i = 0; i < 100; i++) {
        char name[16];

        snprintf(name, sizeof(name), "l%u", i);
        lease.name = name;
        assert_int_equal(jmp_store_add_lease(bench->lab->store, &lease), 0);
    }
    bench_refused(bench, &alice, &jmp_client_create_lease, make(&request, &wish), JMP_UNKNOWN,
                  "client alice has 100 leases already; release some of them");
    create(bench, &bob, &wish);
    bench_free(bench);
}

JMP_TEST(exporters_are_listed_by_pages_and_labels)
{
    struct bench *bench = bench_new();
    struct caller alice, boards[5];
    Jumpstarter__Client__V1__ListExportersRequest request = JUMPSTARTER__CLIENT__V1__LIST_EXPORTERS_REQUEST__INIT;
    const Jumpstarter__Client__V1__ListExportersResponse *page;
    char names[5][8], seen[64] = "";
    unsigned pages = 0;

    bench_client(bench, "alice", &alice);
    for (unsigned i = 0; i < 5; i++) {
        snprintf(names[i], sizeof(names[i]), "b%u", i);
        bench_exporter(bench, names[i], i % 2 ? "odd=yes" : "odd=no", &boards[i]);
    }
    request.parent = SPACE;
    request.page_size = 2;
    do {
        page = (const Jumpstarter__Client__V1__ListExportersResponse *)bench_ask(
            bench, &alice, &jmp_client_list_exporters, &request.base);
        assert_true(page->n_exporters <= 2);
        for (size_t i = 0; i < page->n_exporters; i++)
            strcat(strcat(seen, strrchr(page->exporters[i]->name, '/') + 1), " ");
        request.page_token = page->next_page_token;
        pages++;
    } while (page->next_page_token[0]);
    assert_string_equal(seen, "b0 b1 b2 b3 b4 ");
    assert_int_equal(pages, 3);

    request.page_token = (char *)"";
    request.filter = (char *)"odd==yes";
    page = (const Jumpstarter__Client__V1__ListExportersResponse *)bench_ask(bench, &alice, &jmp_client_list_exporters,
                                                                             &request.base);
    assert_int_equal(page->n_exporters, 2);
    assert_string_equal(page->next_page_token, "");
    request.filter = (char *)"odd in";
    bench_refused(bench, &alice, &jmp_client_list_exporters, &request.base, JMP_UNKNOWN, NULL);
    request.filter = (char *)"";
    request.page_token = (char *)"nonsense";
    bench_refused(bench, &alice, &jmp_client_list_exporters, &request.base, JMP_UNKNOWN,
                  "the page token is not one of this service");
    request.parent = (char *)"namespaces/other";
    bench_refused(bench, &alice, &jmp_client_list_exporters, &request.base, JMP_PERMISSION_DENIED,
                  "namespace mismatch");
    bench_free(bench);
}

static size_t count_leases(struct bench *bench, const struct caller *client, const char *filter, const char *tags,
                           int only_active)
{
    Jumpstarter__Client__V1__ListLeasesRequest request = JUMPSTARTER__CLIENT__V1__LIST_LEASES_REQUEST__INIT;

    request.parent = SPACE;
    request.filter = (char *)filter;
    request.tag_filter = (char *)tags;
    if (only_active >= 0) {
        request._only_active_case = JUMPSTARTER__CLIENT__V1__LIST_LEASES_REQUEST___ONLY_ACTIVE_ONLY_ACTIVE;
        request.only_active = only_active;
    }
    return ((const Jumpstarter__Client__V1__ListLeasesResponse *)bench_ask(bench, client, &jmp_client_list_leases,
                                                                           &request.base))
        ->n_leases;
}

JMP_TEST(leases_are_listed_by_labels_tags_and_life)
{
    struct bench *bench = bench_new();
    struct caller alice, bob, board;
    struct call status;
    Jumpstarter__Client__V1__ListLeasesRequest request = JUMPSTARTER__CLIENT__V1__LIST_LEASES_REQUEST__INIT;

    bench_client(bench, "alice", &alice);
    bench_client(bench, "bob", &bob);
    bench_board(bench, "board", "x=1", &board, &status);
    create(bench, &alice,
           &(struct wish){ .id = "one", .selector = "x=1", .seconds = 60, .tag_key = "job", .tag_value = "1" });
    create(bench, &bob,
           &(struct wish){ .id = "two", .selector = "x=1,y!=2", .seconds = 60, .tag_key = "job", .tag_value = "2" });
    create(bench, &bob, &(struct wish){ .id = "gone", .selector = "x=1", .seconds = 60 });
    end(bench, &bob, "gone");

    assert_int_equal(count_leases(bench, &alice, "", "", -1), 2);
    assert_int_equal(count_leases(bench, &alice, "", "", 1), 2);
    assert_int_equal(count_leases(bench, &alice, "", "", 0), 3);
    assert_int_equal(count_leases(bench, &alice, "x=1", "", -1), 2);
    assert_int_equal(count_leases(bench, &alice, "x=2", "", -1), 0);
    assert_int_equal(count_leases(bench, &alice, "", "job=2", -1), 1);
    assert_int_equal(count_leases(bench, &alice, "", "job", -1), 2);
    assert_int_equal(count_leases(bench, &alice, "", "!job", 0), 1);
    request.parent = SPACE;
    request.tag_filter = (char *)"job in";
    bench_refused(bench, &alice, &jmp_client_list_leases, &request.base, JMP_INVALID_ARGUMENT, "invalid tag_filter: *");
    bench_free(bench);
}

JMP_TEST(a_rotated_token_works_beside_the_older_one)
{
    struct bench *bench = bench_new();
    struct caller alice, fresh;
    Jumpstarter__Client__V1__RotateTokenRequest request = JUMPSTARTER__CLIENT__V1__ROTATE_TOKEN_REQUEST__INIT;
    const Jumpstarter__Client__V1__RotateTokenResponse *response;

    bench_client(bench, "alice", &alice);
    request.parent = SPACE;
    response = (const Jumpstarter__Client__V1__RotateTokenResponse *)bench_ask(bench, &alice, &jmp_client_rotate_token,
                                                                               &request.base);
    assert_true(response->expiry->seconds > jmp_wall_now() / JMP_SECOND + 300 * 24 * 3600);
    fresh = alice;
    snprintf(fresh.bearer, sizeof(fresh.bearer), "bearer %s", response->token);
    fresh.headers[0].value = fresh.bearer;
    assert_int_equal(count_leases(bench, &fresh, "", "", -1), 0);
    assert_int_equal(count_leases(bench, &alice, "", "", -1), 0);
    bench_free(bench);
}

JMP_TEST(a_restart_loses_nothing)
{
    struct bench *bench = bench_new();
    struct caller alice, bob, board;
    struct call status;
    const Jumpstarter__V1__StatusResponse *said;
    Jumpstarter__V1__StatusRequest open = JUMPSTARTER__V1__STATUS_REQUEST__INIT;
    Jumpstarter__V1__ListenRequest listen_request = JUMPSTARTER__V1__LISTEN_REQUEST__INIT;
    Jumpstarter__V1__DialRequest dial_request = JUMPSTARTER__V1__DIAL_REQUEST__INIT;
    struct call listener;

    bench_client(bench, "alice", &alice);
    bench_client(bench, "bob", &bob);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 3600);
    bench_lease(bench, &bob, "two", "x=1", 3600);
    bench_report(bench, &board, JMP_STATUS_LEASE_READY);

    bench_restart(bench);
    bench_wait(&status);
    assert_int_not_equal(status.code, JMP_OK);   /* so that the exporter comes back */
    assert_string_equal(bench_state(bench_get_lease(bench, &alice, "one")), "Ready Ready");
    assert_string_equal(bench_state(bench_get_lease(bench, &bob, "two")), "Pending Offline");
    bench_start(bench, &board, &jmp_controller_status, &open.base, &status);
    bench_wait_count(&status, 1);
    said = (const Jumpstarter__V1__StatusResponse *)status.message;
    assert_true(said->leased);
    assert_string_equal(said->lease_name, "one");
    listen_request.lease_name = dial_request.lease_name = (char *)"one";
    bench_start(bench, &board, &jmp_controller_listen, &listen_request.base, &listener);
    bench_ask(bench, &alice, &jmp_controller_dial, &dial_request.base);
    bench_wait_count(&listener, 1);

    end(bench, &alice, "one");
    bench_report(bench, &board, JMP_STATUS_AVAILABLE);
    assert_string_equal(bench_state(bench_get_lease(bench, &bob, "two")), "Ready Ready");
    bench_free(bench);
}
