/* SPDX-License-Identifier: Apache-2.0 */
/* ExporterService and RouterService as a client finds them, over real sockets. */
#include <stdlib.h>
#include <string.h>

#include "agent/session_bench.h"
#include "base/log.h"
#include "google/protobuf/empty.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "jumpstarter/v1/router.pb-c.h"
#include "rpc/frame.h"

#define NOBODY "00000000-0000-4000-8000-00000000abcd"
#define KNOWN "@"     /* in a table: the uuid of "trouble" */

static void make_ready(struct bench *bench)
{
    jmp_session_set_status(bench->session, JMP_EXPORTER_LEASE_READY, "Ready for commands");
}

static void open_ready(struct bench *bench)
{
    bench_open(bench, NULL);
    make_ready(bench);
}

/*
 * The error table.
 */

JMP_TEST(wrong_calls_get_the_codes_and_words_of_stock_exporters)
{
    static const double one = 1;
    static const struct {
        const char *uuid, *method;
        bool items;
        const double *argument;
        enum jmp_code code;
        const char *text;       /* NULL: any, but some */
    } rows[] = {
        { "", "fail", false, NULL, JMP_UNKNOWN,
          "Unexpected <class 'ValueError'>: badly formed hexadecimal UUID string" },
        { "zz", "items", true, NULL, JMP_UNKNOWN,
          "Unexpected <class 'ValueError'>: badly formed hexadecimal UUID string" },
        { NOBODY, "fail", false, NULL, JMP_UNKNOWN, "Unexpected <class 'KeyError'>: UUID('" NOBODY "')" },
        { NOBODY, "items", true, NULL, JMP_UNKNOWN, "Unexpected <class 'KeyError'>: UUID('" NOBODY "')" },
        { KNOWN, "nosuch", false, NULL, JMP_NOT_FOUND, "method nosuch not found on driver" },
        { KNOWN, "nosuch", true, NULL, JMP_NOT_FOUND, "method nosuch not found on driver" },
        { KNOWN, "items", false, NULL, JMP_NOT_FOUND, "method items missing marker marker_drivercall" },
        { KNOWN, "refuse", false, NULL, JMP_NOT_FOUND, "method refuse missing marker marker_drivercall" },
        { KNOWN, "fail", true, NULL, JMP_NOT_FOUND, "method fail missing marker marker_streamingdrivercall" },
        { KNOWN, "fail", false, NULL, JMP_UNKNOWN, NULL },
        { KNOWN, "say", false, &one, JMP_UNKNOWN, NULL },
        { KNOWN, "items", true, NULL, JMP_UNKNOWN, NULL },
    };
    struct bench bench;

    open_ready(&bench);
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_(outcome_clearp) struct outcome *outcome = calloc(1, sizeof(*outcome));
        const char *uuid = strcmp(rows[i].uuid, KNOWN) == 0 ? bench_uuid(&bench, "trouble") : rows[i].uuid;

        bench_driver(&bench, bench.client, rows[i].items, uuid, rows[i].method, rows[i].argument, outcome);
        bench_until(&bench, &outcome->closed);
        assert_int_equal(outcome->code, rows[i].code);
        if (rows[i].text)
            assert_string_equal(outcome->text, rows[i].text);
        else
            assert_true(*outcome->text);
        assert_int_equal(outcome->count, 0);
        free(outcome);
        outcome = NULL;
    }
    bench_close(&bench);
}

JMP_TEST(what_a_driver_fails_with_decides_the_code)
{
    static const struct { int error; enum jmp_code code; } rows[] = {
        { EOPNOTSUPP, JMP_UNIMPLEMENTED }, { EINVAL, JMP_INVALID_ARGUMENT }, { ETIMEDOUT, JMP_DEADLINE_EXCEEDED },
        { ECONNREFUSED, JMP_UNAVAILABLE }, { ECONNRESET, JMP_UNAVAILABLE }, { EPIPE, JMP_UNAVAILABLE },
        { ENOENT, JMP_INTERNAL }, { EACCES, JMP_INTERNAL }, { EIO, JMP_INTERNAL }, { EPROTO, JMP_UNKNOWN },
    };
    struct bench bench;
    char text[64];

    open_ready(&bench);
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        double argument = rows[i].error;

        for (unsigned items = 0; items < 2; items++) {
            struct outcome outcome;

            bench_driver(&bench, bench.client, items, bench_uuid(&bench, "trouble"), items ? "items" : "fail",
                         &argument,
                         &outcome);
            bench_until(&bench, &outcome.closed);
            snprintf(text, sizeof(text), "words about %d", rows[i].error);
            assert_int_equal(outcome.code, rows[i].code);
            assert_string_equal(outcome.text, text);
            /* What was said before the error arrives before it. */
            assert_int_equal(outcome.count, items ? 3 : 0);
            outcome_clear(&outcome);
        }
    }
    bench_close(&bench);
}

JMP_TEST(a_method_that_returns_nothing_returns_null)
{
    const Jumpstarter__V1__DriverCallResponse *response;
    struct outcome outcome;
    struct bench bench;
    double none = 0;

    open_ready(&bench);
    bench_driver(&bench, bench.client, false, bench_uuid(&bench, "group.inner"), "fail", &none, &outcome);
    bench_until(&bench, &outcome.closed);
    assert_int_equal(outcome.code, JMP_OK);
    assert_int_equal(outcome.count, 1);
    response = (const void *)outcome.messages[0];
    assert_int_equal(strlen(response->uuid), 36);
    assert_non_null(response->result);
    assert_int_equal(response->result->kind_case, GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE);
    outcome_clear(&outcome);
    bench_close(&bench);
}

JMP_TEST(a_missing_device_says_why)
{
    char request[160];
    struct outcome outcome;
    struct bench bench;

    open_ready(&bench);
    snprintf(request, sizeof(request), "{\"kind\":\"driver\",\"uuid\":\"%s\",\"method\":\"connect\"}",
             bench_uuid(&bench, "gone"));
    bench_stream(&bench, bench.client, request, &outcome);
    bench_until(&bench, &outcome.closed);
    assert_int_equal(outcome.code, JMP_UNAVAILABLE);
    assert_non_null(strstr(outcome.text, "it is unplugged"));
    outcome_clear(&outcome);
    bench_close(&bench);
}

JMP_TEST(reset_and_unknown_methods_are_unimplemented)
{
    static const struct jmp_method_info nosuch = {
        .path = "/jumpstarter.v1.ExporterService/NoSuch", .request = &google__protobuf__empty__descriptor,
        .response = &google__protobuf__empty__descriptor,
    };
    Jumpstarter__V1__ResetRequest reset = JUMPSTARTER__V1__RESET_REQUEST__INIT;
    Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
    struct outcome outcome;
    struct bench bench;

    open_ready(&bench);
    bench_call(&bench, bench.client, &jmp_exporter_reset, NULL, &reset.base, &outcome);
    assert_int_equal(outcome.code, JMP_UNIMPLEMENTED);
    outcome_clear(&outcome);
    bench_call(&bench, bench.client, &nosuch, NULL, &empty.base, &outcome);
    assert_int_equal(outcome.code, JMP_UNIMPLEMENTED);
    assert_string_equal(outcome.text, "Method not found!");
    outcome_clear(&outcome);
    bench_close(&bench);
}

/*
 * The gate.
 */

JMP_TEST(calls_wait_until_the_exporter_is_ready)
{
    struct outcome call, stream, hook;
    struct bench bench;
    double none = 0;
    char request[160];

    bench_open(&bench, NULL);
    jmp_session_set_status(bench.session, JMP_EXPORTER_BEFORE_LEASE_HOOK, "Running beforeLease hook");
    snprintf(request, sizeof(request), "{\"kind\":\"driver\",\"uuid\":\"%s\",\"method\":\"connect\"}",
             bench_uuid(&bench, "echo"));
    bench_driver(&bench, bench.client, false, bench_uuid(&bench, "trouble"), "fail", &none, &call);
    bench_stream(&bench, bench.client, request, &stream);

    /* The hook itself is let through; when its answer is here, those of the others could be. */
    for (unsigned i = 0; i < 20; i++) {
        bench_driver(&bench, bench.hook, false, bench_uuid(&bench, "trouble"), "fail", &none, &hook);
        bench_until(&bench, &hook.closed);
        assert_int_equal(hook.code, JMP_OK);
        outcome_clear(&hook);
    }
    assert_false(call.closed);
    assert_false(stream.headers);

    make_ready(&bench);
    bench_until(&bench, &call.closed);
    assert_int_equal(call.code, JMP_OK);
    bench_until(&bench, &stream.headers);
    outcome_clear(&call);
    outcome_clear(&stream);
    bench_close(&bench);
}

JMP_TEST(calls_that_waited_are_refused_when_the_hook_fails)
{
    struct outcome waiting, late;
    struct bench bench;
    double none = 0;
    const char *text = "Exporter not ready for driver calls (status: BEFORE_LEASE_HOOK_FAILED)";

    bench_open(&bench, NULL);
    bench_driver(&bench, bench.client, false, bench_uuid(&bench, "trouble"), "fail", &none, &waiting);
    bench_driver(&bench, bench.hook, false, bench_uuid(&bench, "trouble"), "fail", &none, &late);
    bench_until(&bench, &late.closed);
    outcome_clear(&late);

    jmp_session_set_status(bench.session, JMP_EXPORTER_BEFORE_LEASE_HOOK_FAILED, "no");
    bench_until(&bench, &waiting.closed);
    assert_int_equal(waiting.code, JMP_FAILED_PRECONDITION);
    assert_string_equal(waiting.text, text);
    bench_driver(&bench, bench.client, true, bench_uuid(&bench, "trouble"), "items", &none, &late);
    bench_until(&bench, &late.closed);
    assert_int_equal(late.code, JMP_FAILED_PRECONDITION);
    assert_string_equal(late.text, text);
    outcome_clear(&waiting);
    outcome_clear(&late);
    bench_close(&bench);
}

JMP_TEST(a_client_that_leaves_the_gate_leaves_nothing_behind)
{
    struct outcome waiting[10], after;
    struct bench bench;
    double none = 0;

    bench_open(&bench, NULL);
    for (unsigned i = 0; i < ELEMENTSOF(waiting); i++)
        bench_driver(&bench, bench.client, false, bench_uuid(&bench, "trouble"), "fail", &none, &waiting[i]);
    bench_driver(&bench, bench.hook, false, bench_uuid(&bench, "trouble"), "fail", &none, &after);
    bench_until(&bench, &after.closed);
    outcome_clear(&after);

    for (unsigned i = 0; i < ELEMENTSOF(waiting); i += 2)
        jmp_rpc_cancel(waiting[i].rpc);
    for (unsigned i = 0; i < ELEMENTSOF(waiting); i += 2)
        bench_until(&bench, &waiting[i].closed);
    make_ready(&bench);
    for (unsigned i = 1; i < ELEMENTSOF(waiting); i += 2) {
        bench_until(&bench, &waiting[i].closed);
        assert_int_equal(waiting[i].code, JMP_OK);
    }
    for (unsigned i = 0; i < ELEMENTSOF(waiting); i++)
        outcome_clear(&waiting[i]);
    bench_close(&bench);
}

JMP_TEST(a_session_may_go_while_calls_wait_and_run)
{
    struct outcome waiting, running;
    struct bench bench;
    double none = 0;

    bench_open(&bench, NULL);
    bench_driver(&bench, bench.client, false, bench_uuid(&bench, "trouble"), "fail", &none, &waiting);
    bench_driver(&bench, bench.hook, false, bench_uuid(&bench, "trouble"), "wait", NULL, &running);
    bench.session = jmp_session_free(bench.session);
    bench_until(&bench, &waiting.closed);
    bench_until(&bench, &running.closed);
    assert_int_not_equal(waiting.code, JMP_OK);
    assert_int_not_equal(running.code, JMP_OK);
    outcome_clear(&waiting);
    outcome_clear(&running);
    bench_close(&bench);
}

/*
 * The passphrase.
 */

JMP_TEST(the_passphrase_is_asked_for_at_the_clients_door_only)
{
    static const struct {
        const char *values[3];
        enum jmp_code code;
    } rows[] = {
        { { NULL }, JMP_UNAUTHENTICATED }, { { "" }, JMP_UNAUTHENTICATED }, { { "sesam" }, JMP_UNAUTHENTICATED },
        { { "sesame2" }, JMP_UNAUTHENTICATED }, { { "Sesame" }, JMP_UNAUTHENTICATED },
        { { "sesame", "sesame" }, JMP_UNAUTHENTICATED }, { { "sesame" }, JMP_OK },
    };
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;
    struct outcome outcome;
    struct bench bench;

    bench_open(&bench, "sesame");
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_metadata metadata[3] = { 0 };

        for (unsigned k = 0; rows[i].values[k]; k++)
            metadata[k] = (struct jmp_metadata){ "x-jumpstarter-passphrase", rows[i].values[k] };
        bench_call(&bench, bench.client, &jmp_exporter_get_status, metadata, &request.base, &outcome);
        assert_int_equal(outcome.code, rows[i].code);
        if (rows[i].code != JMP_OK)
            assert_string_equal(outcome.text, "invalid or missing passphrase");
        outcome_clear(&outcome);
    }
    bench_stream(&bench, bench.client, "{}", &outcome);
    bench_until(&bench, &outcome.closed);
    assert_int_equal(outcome.code, JMP_UNAUTHENTICATED);
    outcome_clear(&outcome);
    bench_call(&bench, bench.hook, &jmp_exporter_get_status, NULL, &request.base, &outcome);
    assert_int_equal(outcome.code, JMP_OK);
    outcome_clear(&outcome);
    bench_close(&bench);
}

/*
 * Report, status, EndSession.
 */

JMP_TEST(the_report_lists_parents_first_with_their_labels)
{
    const Jumpstarter__V1__GetReportResponse *report;
    Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
    const Jumpstarter__V1__DriverInstanceReport *trouble;
    struct outcome outcome;
    struct bench bench;

    bench_open(&bench, NULL);
    bench_call(&bench, bench.client, &jmp_exporter_get_report, NULL, &empty.base, &outcome);
    assert_int_equal(outcome.code, JMP_OK);
    report = (const void *)outcome.messages[0];
    assert_string_equal(report->motd, "hello");
    assert_int_equal(report->n_labels, 1);
    assert_string_equal(report->labels[0]->key, "jumpstarter.dev/name");
    assert_string_equal(report->labels[0]->value, "bench");
    assert_int_equal(report->n_reports, 6);
    assert_int_equal(report->reports[0]->_parent_uuid_case, 0);
    assert_string_equal(report->reports[0]->description, "all of it");
    assert_int_equal(report->reports[0]->n_labels, 1);

    trouble = report->reports[1];
    assert_string_equal(trouble->parent_uuid, report->reports[0]->uuid);
    assert_string_equal(trouble->description, "odd");
    assert_int_equal(trouble->n_labels, 3);
    assert_string_equal(trouble->labels[0]->key, "a");
    assert_string_equal(trouble->labels[0]->value, "b");
    assert_string_equal(trouble->labels[1]->key, "jumpstarter.dev/client");
    assert_string_equal(trouble->labels[1]->value, "test.Trouble");
    assert_string_equal(trouble->labels[2]->key, "jumpstarter.dev/name");
    assert_string_equal(trouble->labels[2]->value, "trouble");
    assert_int_equal(trouble->n_methods_description, 1);
    assert_string_equal(trouble->methods_description[0]->key, "fail");
    assert_string_equal(report->reports[5]->parent_uuid, report->reports[4]->uuid);
    outcome_clear(&outcome);
    bench_close(&bench);
}

JMP_TEST(the_status_counts_and_remembers)
{
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;
    const Jumpstarter__V1__GetStatusResponse *status;
    struct outcome outcome;
    struct bench bench;

    bench_open(&bench, NULL);
    bench_call(&bench, bench.client, &jmp_exporter_get_status, NULL, &request.base, &outcome);
    status = (const void *)outcome.messages[0];
    assert_int_equal(status->status, JMP_EXPORTER_AVAILABLE);
    assert_int_equal(status->status_version, 0);
    assert_int_equal(status->_previous_status_case, 0);
    assert_int_not_equal(status->_message_case, 0);
    outcome_clear(&outcome);

    make_ready(&bench);
    bench_call(&bench, bench.client, &jmp_exporter_get_status, NULL, &request.base, &outcome);
    status = (const void *)outcome.messages[0];
    assert_int_equal(status->status, JMP_EXPORTER_LEASE_READY);
    assert_int_equal(status->status_version, 1);
    assert_int_equal(status->previous_status, JMP_EXPORTER_AVAILABLE);
    assert_string_equal(status->message, "Ready for commands");
    outcome_clear(&outcome);
    bench_close(&bench);
}

JMP_TEST(end_session_says_whether_something_ends)
{
    Jumpstarter__V1__EndSessionRequest request = JUMPSTARTER__V1__END_SESSION_REQUEST__INIT;
    const Jumpstarter__V1__EndSessionResponse *answer;
    struct outcome outcome;
    struct bench bench;

    bench_open(&bench, NULL);
    for (unsigned i = 0; i < 4; i++) {
        bench.has_lease = i % 2 == 0;
        bench_call(&bench, bench.client, &jmp_exporter_end_session, NULL, &request.base, &outcome);
        answer = (const void *)outcome.messages[0];
        assert_int_equal(answer->success, bench.has_lease);
        assert_string_equal(answer->message, bench.has_lease ? "it ends" : "no lease");
        outcome_clear(&outcome);
    }
    assert_int_equal(bench.ended, 4);
    bench_close(&bench);
}

/*
 * LogStream.
 */

static const Jumpstarter__V1__LogStreamResponse *find_record(const struct outcome *outcome, const char *message)
{
    for (unsigned i = 0; i < outcome->count; i++) {
        const Jumpstarter__V1__LogStreamResponse *record = (const void *)outcome->messages[i];

        if (strcmp(record->message, message) == 0)
            return record;
    }
    return NULL;
}

static const Jumpstarter__V1__LogStreamResponse *must_find(const struct outcome *outcome, const char *message)
{
    const Jumpstarter__V1__LogStreamResponse *record = find_record(outcome, message);

    if (!record)
        fail_msg("no record says \"%s\"", message);
    return record;
}

static void wait_record(struct bench *bench, struct outcome *outcome, const char *message)
{
    while (!find_record(outcome, message)) {
        outcome->got = false;
        bench_until(bench, &outcome->got);
    }
}

JMP_TEST(each_log_reader_gets_the_whole_session)
{
    Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
    const Jumpstarter__V1__LogStreamResponse *record;
    struct outcome early, late, call;
    struct bench bench;
    double error = ETIMEDOUT;

    open_ready(&bench);
    bench_start(&bench, bench.client, &jmp_exporter_log_stream, NULL, &empty.base, &early);
    bench_until(&bench, &early.headers);
    bench_driver(&bench, bench.client, false, bench_uuid(&bench, "trouble"), "say", NULL, &call);
    bench_until(&bench, &call.closed);
    outcome_clear(&call);
    bench_driver(&bench, bench.client, false, bench_uuid(&bench, "trouble"), "fail", &error, &call);
    bench_until(&bench, &call.closed);
    outcome_clear(&call);
    bench_start(&bench, bench.client, &jmp_exporter_log_stream, NULL, &empty.base, &late);

    wait_record(&bench, &early, "Operation failed");
    wait_record(&bench, &late, "Operation failed");
    for (unsigned i = 0; i < 2; i++) {
        const struct outcome *reader = i ? &late : &early;

        record = must_find(reader, "said by a driver");
        assert_string_equal(record->severity, "WARNING");
        assert_string_equal(record->uuid, "");
        assert_int_equal(record->source, JUMPSTARTER__V1__LOG_SOURCE__LOG_SOURCE_DRIVER);
        record = must_find(reader, "Operation completed");
        assert_string_equal(record->severity, "INFO");
        assert_string_equal(record->operation, "say");
        record = must_find(reader, "Operation failed");
        assert_string_equal(record->severity, "WARNING");
        assert_string_equal(record->operation, "fail");
        assert_string_equal(record->driver_type, "other");
        assert_int_not_equal(record->_timestamp_case, 0);
        assert_true(record->timestamp->seconds > 1600000000);
        assert_int_equal(record->n_structured_fields, 3);
        assert_string_equal(record->structured_fields[0]->key, "result");
        assert_string_equal(record->structured_fields[0]->value, "failure");
        assert_string_equal(record->structured_fields[1]->key, "error_type");
        assert_string_equal(record->structured_fields[1]->value, "timeout");
    }
    outcome_clear(&early);
    outcome_clear(&late);
    bench_close(&bench);
}

/* Clients leave at the first status that says that it failed. */
JMP_TEST(the_log_says_why_before_the_status_says_that_it_failed)
{
    Jumpstarter__V1__GetStatusRequest request = JUMPSTARTER__V1__GET_STATUS_REQUEST__INIT;
    Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
    struct outcome reader, asker, hook;
    struct bench bench;

    bench_open(&bench, NULL);
    for (unsigned i = 0; i < 20; i++)
        jmp_log(JMP_LOG_INFO, FIELDS(.source = JMP_LOG_BEFORE_LEASE), "line %u", i);
    jmp_log(JMP_LOG_ERROR, FIELDS(.source = JMP_LOG_BEFORE_LEASE), "this is why");
    jmp_session_set_status(bench.session, JMP_EXPORTER_BEFORE_LEASE_HOOK_FAILED, "it failed");
    /* The question first: its answer waits for the reader that comes now. */
    bench_start(&bench, bench.client, &jmp_exporter_get_status, NULL, &request.base, &asker);
    bench_start(&bench, bench.client, &jmp_exporter_log_stream, NULL, &empty.base, &reader);
    bench_until(&bench, &asker.closed);
    assert_int_equal(asker.code, JMP_OK);
    assert_int_equal(((Jumpstarter__V1__GetStatusResponse *)asker.messages[0])->status,
                     JMP_EXPORTER_BEFORE_LEASE_HOOK_FAILED);
    must_find(&reader, "this is why");

    bench_call(&bench, bench.hook, &jmp_exporter_get_status, NULL, &request.base, &hook);
    assert_int_equal(hook.code, JMP_OK);
    outcome_clear(&hook);
    outcome_clear(&asker);

    /* And a session may end while somebody waits. */
    bench_start(&bench, bench.client, &jmp_exporter_get_status, NULL, &request.base, &asker);
    bench_close(&bench);
    outcome_clear(&asker);
    outcome_clear(&reader);
}

/*
 * Streams.
 */

JMP_TEST(wrong_requests_for_streams_are_refused_with_words)
{
    static const struct {
        const char *request;      /* with %s for the uuid of "trouble" */
        enum jmp_code code;
        const char *text;
    } rows[] = {
        { NULL, JMP_UNKNOWN, "is missing" },
        { "", JMP_UNKNOWN, "" },
        { "x", JMP_UNKNOWN, "" },
        { "[]", JMP_UNKNOWN, "not an object" },
        { "{\"kind\":\"driver\",\"kind\":\"driver\",\"uuid\":\"%s\",\"method\":\"refuse\"}", JMP_UNKNOWN, "" },
        { "{\"kind\":\"x\",\"uuid\":\"%s\"}", JMP_UNKNOWN, "kind" },
        { "{\"kind\":\"driver\",\"uuid\":\"%s\"}", JMP_UNKNOWN, "method" },
        { "{\"kind\":\"driver\",\"method\":\"refuse\"}", JMP_UNKNOWN, "uuid" },
        { "{\"kind\":\"driver\",\"uuid\":\"zz\",\"method\":\"refuse\"}", JMP_UNKNOWN, "badly formed" },
        { "{\"kind\":\"driver\",\"uuid\":\"" NOBODY "\",\"method\":\"refuse\"}", JMP_UNKNOWN, "UUID('" NOBODY "')" },
        { "{\"kind\":\"driver\",\"uuid\":\"%s\",\"method\":\"nosuch\"}", JMP_NOT_FOUND,
          "method nosuch not found on driver" },
        { "{\"kind\":\"driver\",\"uuid\":\"%s\",\"method\":\"fail\"}", JMP_NOT_FOUND,
          "missing marker marker_streamcall" },
        { "{\"kind\":\"resource\",\"uuid\":\"%s\",\"x_jmp_content_encoding\":7}", JMP_UNKNOWN,
          "x_jmp_content_encoding" },
    };
    struct outcome outcome;
    struct bench bench;
    char request[256];

    open_ready(&bench);
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const char *uuid = bench_uuid(&bench, "trouble");
        const char *mark = rows[i].request ? strstr(rows[i].request, "%s") : NULL;

        if (mark)
            snprintf(request, sizeof(request), "%.*s%s%s", (int)(mark - rows[i].request), rows[i].request, uuid,
                     mark + 2);
        else if (rows[i].request)
            snprintf(request, sizeof(request), "%s", rows[i].request);
        bench_stream(&bench, bench.client, rows[i].request ? request : NULL, &outcome);
        bench_until(&bench, &outcome.closed);
        assert_int_equal(outcome.code, rows[i].code);
        assert_non_null(strstr(outcome.text, rows[i].text));
        assert_true(*outcome.text);
        outcome_clear(&outcome);
    }
    bench_close(&bench);
}

JMP_TEST(a_request_that_is_there_twice_is_refused)
{
    const struct jmp_metadata twice[] = { { "request", "{}" }, { "request", "{}" }, {} };
    struct outcome outcome;
    struct bench bench;

    open_ready(&bench);
    bench_start(&bench, bench.client, &jmp_router_stream, twice, NULL, &outcome);
    bench_until(&bench, &outcome.closed);
    assert_int_equal(outcome.code, JMP_UNKNOWN);
    assert_non_null(strstr(outcome.text, "2 times"));
    outcome_clear(&outcome);
    bench_close(&bench);
}

JMP_TEST(a_refused_connection_is_a_stream_that_ends)
{
    const Jumpstarter__V1__StreamResponse *frame;
    struct outcome outcome;
    struct bench bench;
    char request[160];

    open_ready(&bench);
    snprintf(request, sizeof(request), "{\"kind\":\"driver\",\"uuid\":\"%s\",\"method\":\"refuse\"}",
             bench_uuid(&bench, "trouble"));
    bench_stream(&bench, bench.client, request, &outcome);
    bench_until(&bench, &outcome.closed);
    assert_true(outcome.headers);
    assert_int_equal(outcome.code, JMP_OK);
    assert_int_equal(outcome.count, 1);
    frame = (const void *)outcome.messages[0];
    assert_int_equal(frame->frame_type, JMP_FRAME_GOAWAY);
    assert_int_equal(frame->payload.len, 0);
    outcome_clear(&outcome);
    bench_close(&bench);
}

JMP_TEST(bytes_come_back_and_a_goaway_is_answered)
{
    const Jumpstarter__V1__StreamResponse *frame;
    struct outcome outcome;
    struct bench bench;
    char request[160];

    open_ready(&bench);
    snprintf(request, sizeof(request), "{\"kind\":\"driver\",\"uuid\":\"%s\",\"method\":\"connect\",\"new\":[1]}",
             bench_uuid(&bench, "echo"));
    bench_stream(&bench, bench.client, request, &outcome);
    bench_until(&bench, &outcome.headers);
    assert_int_equal(jmp_rpc_send_buffer(outcome.rpc, jmp_frame_encode(JMP_FRAME_DATA, "hello", 5)), 0);
    bench_until(&bench, &outcome.got);
    frame = (const void *)outcome.messages[0];
    assert_int_equal(frame->payload.len, 5);
    assert_memory_equal(frame->payload.data, "hello", 5);

    outcome.got = false;
    assert_int_equal(jmp_rpc_send_buffer(outcome.rpc, jmp_frame_encode(JMP_FRAME_GOAWAY, NULL, 0)), 0);
    bench_until(&bench, &outcome.closed);
    frame = (const void *)outcome.messages[1];
    assert_int_equal(frame->frame_type, JMP_FRAME_GOAWAY);
    assert_int_equal(outcome.code, JMP_OK);
    outcome_clear(&outcome);
    bench_close(&bench);
}

JMP_TEST(a_resource_has_a_handle_in_the_headers)
{
    static const struct { const char *encoding, *accepted, *off; } rows[] = {
        { "null", NULL }, { "\"gzip\"", "gzip" }, { "\"zstd\"", "zstd" }, { "\"lzo\"", NULL },
        { "\"gzip\"", NULL, "1" }, { "\"gzip\"", "gzip", "0" },
    };
    struct outcome outcome;
    struct bench bench;
    char request[160];

    open_ready(&bench);
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const char *handle, *accepted;

        if (rows[i].off)
            setenv("JMP_DISABLE_COMPRESSION", rows[i].off, 1);
        snprintf(request, sizeof(request), "{\"kind\":\"resource\",\"uuid\":\"%s\",\"x_jmp_content_encoding\":%s}",
                 bench_uuid(&bench, "trouble"), rows[i].encoding);
        bench_stream(&bench, bench.client, request, &outcome);
        bench_until(&bench, &outcome.headers);
        handle = jmp_rpc_metadata(outcome.rpc, "resource", NULL);
        accepted = jmp_rpc_metadata(outcome.rpc, "x_jmp_accept_encoding", NULL);
        assert_non_null(handle);
        assert_non_null(strstr(handle, "{\"kind\":\"client_stream\",\"uuid\":\""));
        if (rows[i].accepted) {
            assert_string_equal(accepted, rows[i].accepted);
            assert_non_null(strstr(handle, rows[i].encoding));
        } else {
            assert_null(accepted);
            assert_non_null(strstr(handle, "\"x_jmp_content_encoding\":null}"));
        }
        outcome_clear(&outcome);
        unsetenv("JMP_DISABLE_COMPRESSION");
    }
    bench_close(&bench);
}
