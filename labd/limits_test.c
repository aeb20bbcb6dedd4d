/* SPDX-License-Identifier: Apache-2.0 */
/* What the service does when somebody has been silent for too long, with limits that a test can wait for. */
#include "labd/bench_test.h"

#include <string.h>

#include "jumpstarter/client/v1/client.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"

#define SHORT (300 * JMP_USEC_PER_MSEC)
#define NEVER (600 * JMP_USEC_PER_SEC)

static struct bench *bench_with(uint64_t offline, uint64_t hold_available, uint64_t hold_listener)
{
    struct bench *bench = bench_new();

    bench->lab->limits = (struct jmp_lab_limits){ offline, hold_available, hold_listener };
    return bench;
}

static const Jumpstarter__Client__V1__Exporter *look(struct bench *bench, const struct caller *client, const char *name)
{
    Jumpstarter__Client__V1__GetExporterRequest request = JUMPSTARTER__CLIENT__V1__GET_EXPORTER_REQUEST__INIT;
    const ProtobufCMessage *answer;
    char path[128];

    snprintf(path, sizeof(path), "namespaces/default/exporters/%s", name);
    request.name = path;
    answer = bench_ask(bench, client, &jmp_client_get_exporter, &request.base);
    return (const Jumpstarter__Client__V1__Exporter *)answer;
}

/* A call that waits for the exporter of a lease. */
static void dial(struct bench *bench, const struct caller *client, const char *lease, struct call *ret)
{
    Jumpstarter__V1__DialRequest request = JUMPSTARTER__V1__DIAL_REQUEST__INIT;

    request.lease_name = (char *)lease;
    bench_start(bench, client, &jmp_controller_dial, &request.base, ret);
}

JMP_TEST(an_exporter_that_is_silent_for_too_long_is_offline_and_one_that_streams_is_not)
{
    struct bench *bench = bench_with(SHORT, NEVER, NEVER);
    struct caller alice, silent, there;
    struct call silent_status, there_status, call;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "there", "x=2", &there, &there_status);
    bench_board(bench, "silent", "x=1", &silent, &silent_status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    dial(bench, &alice, "one", &call);
    bench_settle(bench, &alice);
    assert_false(call.closed);
    bench_cancel(&silent_status);
    assert_true(look(bench, &alice, "silent")->online);

    /* Whoever waits for it is told when it is given up. The other has been heard of even longer ago, but its stream is
     * open. */
    bench_wait(&call);
    assert_int_equal(call.code, JMP_FAILED_PRECONDITION);
    assert_string_equal(call.text, "exporter is offline");
    assert_false(look(bench, &alice, "silent")->online);
    assert_true(look(bench, &alice, "there")->online);

    /* A word from it is enough. */
    bench_report(bench, &silent, JMP_STATUS_AVAILABLE);
    assert_true(look(bench, &alice, "silent")->online);
    bench_free(bench);
}

JMP_TEST(an_exporter_that_is_there_costs_no_write)
{
    struct bench *bench = bench_with(SHORT, 4 * SHORT, NEVER);
    _cleanup_(jmp_store_freep) struct jmp_store *watcher = NULL;
    struct caller alice, there;
    struct call status, call;
    char path[128];
    int64_t version;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "there", "x=1", &there, &status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    bench_settle(bench, &alice);
    snprintf(path, sizeof(path), "%s/lab.db", bench->directory);
    assert_int_equal(jmp_store_open(path, false, &watcher, NULL), 0);
    version = jmp_store_version(watcher);

    /* Longer than it takes to be offline: a call that is held for so long. */
    dial(bench, &alice, "one", &call);
    bench_wait(&call);
    assert_true(look(bench, &alice, "there")->online);
    assert_int_equal(jmp_store_version(watcher), version);
    /* What it says is written, and would have been seen. */
    bench_report(bench, &there, JMP_STATUS_LEASE_READY);
    assert_int_not_equal(jmp_store_version(watcher), version);
    bench_cancel(&status);
    bench_free(bench);
}

JMP_TEST(dial_does_not_wait_for_ever_for_an_exporter_that_does_not_begin)
{
    struct bench *bench = bench_with(NEVER, SHORT, NEVER);
    struct caller alice, board;
    struct call status, call;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    dial(bench, &alice, "one", &call);
    bench_wait(&call);
    assert_int_equal(call.code, JMP_FAILED_PRECONDITION);
    assert_string_equal(call.text, "exporter is not ready (status: Available)");
    bench_free(bench);
}

JMP_TEST(dial_does_not_wait_for_ever_for_a_listener)
{
    struct bench *bench = bench_with(NEVER, NEVER, SHORT);
    struct caller alice, board;
    struct call status, call;

    bench_client(bench, "alice", &alice);
    bench_board(bench, "board", "x=1", &board, &status);
    bench_lease(bench, &alice, "one", "x=1", 60);
    bench_report(bench, &board, JMP_STATUS_LEASE_READY);
    dial(bench, &alice, "one", &call);
    bench_wait(&call);
    assert_int_equal(call.code, JMP_UNAVAILABLE);
    assert_string_equal(call.text, "exporter is not listening on lease one");
    bench_free(bench);
}
