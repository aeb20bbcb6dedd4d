/* SPDX-License-Identifier: Apache-2.0 */
/* The router: two streams with one token are a tunnel. */
#include "labd/bench_test.h"

#include <string.h>

#include "rpc/frame.h"

struct end {
    char bearer[JMP_TOKEN_MAX];
    struct jmp_metadata headers[2];
    struct call call;
};

/* A stream with a token for @stream that is good for @seconds. */
static void open_end(struct bench *bench, const char *stream, int64_t seconds, struct end *ret)
{
    int64_t now = jmp_wall_now() / JMP_SECOND;
    _cleanup_free_ char *token = NULL;

    *ret = (struct end){ 0 };
    assert_int_equal(jmp_token_sign(&bench->lab->stream_key, &jmp_token_stream, stream, now, now + seconds, &token), 0);
    snprintf(ret->bearer, sizeof(ret->bearer), "Bearer %s", token);
    ret->headers[0] = (struct jmp_metadata){ "authorization", ret->bearer };
    bench_start_raw(bench, bench->channel, ret->headers, &jmp_router_stream, NULL, &ret->call);
}

static void send(struct end *end, enum jmp_frame_type type, const char *text)
{
    unsigned sent = end->call.sent;
    struct jmp_buffer *buffer = jmp_frame_encode(type, text, strlen(text));

    assert_non_null(buffer);
    assert_int_equal(jmp_rpc_send_buffer(end->call.rpc, buffer), 0);
    bench_wait_sent(&end->call, sent + 1);
}

static void assert_frame(const struct end *end, enum jmp_frame_type type, const char *text)
{
    const void *payload;
    unsigned found;
    size_t length;

    assert_int_equal(jmp_frame_decode(end->call.frame, end->call.frame_length, &found, &payload, &length), 0);
    assert_int_equal(found, type);
    assert_int_equal(length, strlen(text));
    assert_memory_equal(payload, text, length);
}

JMP_TEST(two_streams_with_one_token_are_a_tunnel)
{
    struct bench *bench = bench_new();
    struct end left, right, other;

    open_end(bench, "tunnel", 60, &left);
    open_end(bench, "another", 60, &other);
    send(&left, JMP_FRAME_DATA, "sent ahead");
    open_end(bench, "tunnel", 60, &right);
    bench_wait_count(&right.call, 1);
    assert_frame(&right, JMP_FRAME_DATA, "sent ahead");
    send(&right, JMP_FRAME_DATA, "and back");
    bench_wait_count(&left.call, 1);
    assert_frame(&left, JMP_FRAME_DATA, "and back");

    send(&left, JMP_FRAME_GOAWAY, "");
    jmp_rpc_half_close(left.call.rpc);
    bench_wait_count(&right.call, 2);
    assert_frame(&right, JMP_FRAME_GOAWAY, "");
    send(&right, JMP_FRAME_DATA, "still open this way");
    bench_wait_count(&left.call, 2);
    jmp_rpc_half_close(right.call.rpc);
    bench_wait(&left.call);
    bench_wait(&right.call);
    assert_int_equal(left.call.code, JMP_OK);
    assert_int_equal(right.call.code, JMP_OK);
    assert_int_equal(other.call.count, 0);
    assert_false(other.call.closed);
    bench_free(bench);
}

JMP_TEST(who_survives_is_told_at_once)
{
    struct bench *bench = bench_new();
    struct end left, right;

    open_end(bench, "tunnel", 60, &left);
    open_end(bench, "tunnel", 60, &right);
    send(&left, JMP_FRAME_DATA, "x");
    bench_wait_count(&right.call, 1);
    bench_cancel(&left.call);
    bench_wait(&right.call);
    assert_int_equal(right.call.count, 2);
    assert_frame(&right, JMP_FRAME_GOAWAY, "");
    assert_int_equal(right.call.code, JMP_OK);
    assert_int_equal(bench->lab->end_count, 0);
    bench_free(bench);
}

JMP_TEST(a_stream_that_stays_alone_ends_with_its_token)
{
    struct bench *bench = bench_new();
    struct end alone, late;

    open_end(bench, "tunnel", 2, &alone);
    bench_wait(&alone.call);
    assert_int_equal(alone.call.code, JMP_DEADLINE_EXCEEDED);

    open_end(bench, "tunnel", 60, &late);   /* pairs with nobody */
    bench_cancel(&late.call);
    assert_int_equal(late.call.count, 0);
    bench_free(bench);
}

JMP_TEST(a_third_stream_with_a_token_waits_for_a_fourth)
{
    struct bench *bench = bench_new();
    struct end ends[4];

    for (size_t i = 0; i < ELEMENTSOF(ends); i++)
        open_end(bench, "tunnel", 60, &ends[i]);
    for (size_t i = 0; i < ELEMENTSOF(ends); i++) {
        char text[8];

        snprintf(text, sizeof(text), "%zu", i);
        send(&ends[i], JMP_FRAME_DATA, text);
    }
    for (size_t i = 0; i < ELEMENTSOF(ends); i++) {
        char text[8];

        snprintf(text, sizeof(text), "%zu", i ^ 1);
        bench_wait_count(&ends[i].call, 1);
        assert_frame(&ends[i], JMP_FRAME_DATA, text);
    }
    bench_free(bench);
}

JMP_TEST(streams_without_a_good_token_are_refused)
{
    struct bench *bench = bench_new();
    _cleanup_free_ char *expired = NULL, *foreign = NULL, *early = NULL;
    int64_t now = jmp_wall_now() / JMP_SECOND;
    const struct jmp_key key = { { 2 } };
    struct caller alice;
    char late[JMP_TOKEN_MAX], alien[JMP_TOKEN_MAX], young[JMP_TOKEN_MAX];

    bench_client(bench, "alice", &alice);
    assert_int_equal(jmp_token_sign(&bench->lab->stream_key, &jmp_token_stream, "a", now - 60, now - 1, &expired), 0);
    assert_int_equal(jmp_token_sign(&key, &jmp_token_stream, "a", now, now + 60, &foreign), 0);
    assert_int_equal(jmp_token_sign(&bench->lab->stream_key, &jmp_token_stream, "a", now + 3600, now + 7200, &early),
                     0);
    snprintf(late, sizeof(late), "Bearer %s", expired);
    snprintf(alien, sizeof(alien), "Bearer %s", foreign);
    snprintf(young, sizeof(young), "Bearer %s", early);

    const struct {
        const char *authorization, *text;
    } rows[] = {
        { NULL, "missing or invalid authorization: missing authorization header" },
        { "Basic x", "missing or invalid authorization: malformed authorization header" },
        { "Bearer nonsense", "invalid jwt token" },
        { late, "invalid jwt token" },
        { alien, "invalid jwt token" },
        { young, "invalid jwt token" },
        { alice.bearer, "invalid jwt token" },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const struct jmp_metadata headers[] = {
            { rows[i].authorization ? "authorization" : NULL, rows[i].authorization }, { 0 }
        };
        struct call call;

        bench_start_raw(bench, bench->channel, headers, &jmp_router_stream, NULL, &call);
        bench_wait(&call);
        assert_string_equal(call.text, rows[i].text);
        assert_int_equal(call.code, JMP_UNAUTHENTICATED);
    }
    bench_free(bench);
}

JMP_TEST(a_tunnel_ends_with_the_service)
{
    struct bench *bench = bench_new();
    struct end left, right, alone;

    open_end(bench, "tunnel", 60, &left);
    open_end(bench, "tunnel", 60, &right);
    open_end(bench, "nobody", 60, &alone);
    send(&left, JMP_FRAME_DATA, "x");
    bench_wait_count(&right.call, 1);
    bench_restart(bench);
    bench_wait(&left.call);
    bench_wait(&right.call);
    bench_wait(&alone.call);
    bench_free(bench);
}

#define STREAMS 1024u   /* as many as one connection may have */

JMP_TEST(a_thousand_streams_share_a_connection)
{
    struct bench *bench = bench_new();
    struct end *ends = calloc(STREAMS, sizeof(*ends));
    char name[16];

    assert_non_null(ends);
    for (unsigned i = 0; i < STREAMS; i++) {
        snprintf(name, sizeof(name), "%u", i / 2);
        open_end(bench, name, 600, &ends[i]);
    }
    for (unsigned i = 0; i < STREAMS; i++) {
        snprintf(name, sizeof(name), "%u", i);
        send(&ends[i], JMP_FRAME_DATA, name);
    }
    for (unsigned i = 0; i < STREAMS; i++) {
        snprintf(name, sizeof(name), "%u", i ^ 1);
        bench_wait_count(&ends[i].call, 1);
        assert_frame(&ends[i], JMP_FRAME_DATA, name);
    }
    assert_int_equal(bench->lab->end_count, STREAMS);

    for (unsigned i = 0; i < STREAMS; i += 2)
        bench_cancel(&ends[i].call);
    for (unsigned i = 1; i < STREAMS; i += 2) {
        bench_wait(&ends[i].call);
        assert_frame(&ends[i], JMP_FRAME_GOAWAY, "");
        assert_int_equal(ends[i].call.code, JMP_OK);
    }
    free(ends);
    bench_free(bench);
}
