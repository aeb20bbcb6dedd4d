/* SPDX-License-Identifier: Apache-2.0 */
/* Tunnels through a router in the same process, which does what a test tells it to. */
#include "agent/tunnel.h"

#include <string.h>

#include "agent/session_bench.h"
#include "rpc/frame.h"
#include "rpc/server.h"

#define STREAMS_MAX 32

struct stream {
    struct fake *fake;
    struct jmp_rpc *rpc;             /* until it is closed */
    size_t bytes;
    uint8_t first[16];
    bool goaway;
};

struct fake {
    struct bench bench;              /* lends its loop, its queue and its session */
    struct jmp_server *router;
    struct jmp_tunnels *tunnels;
    struct jmp_channel_options options;
    char endpoint[32];
    struct stream streams[STREAMS_MAX];
    unsigned count;
    bool got, empty;                 /* something came; no tunnel is left */
    struct jmp_timer look;
};

static void on_buffer(struct jmp_rpc *rpc, struct jmp_buffer *buffer, void *user)
{
    struct stream *stream = user;
    uint8_t data[4096];
    const void *payload;
    unsigned type;
    size_t length;

    if (!buffer)
        return;
    length = jmp_buffer_length(buffer);
    assert_true(length <= sizeof(data));
    assert_int_equal(jmp_buffer_copy(buffer, data, length), 0);
    jmp_buffer_free(buffer);
    assert_int_equal(jmp_frame_decode(data, length, &type, &payload, &length), 0);
    if (type == JMP_FRAME_GOAWAY)
        stream->goaway = true;
    if (stream->bytes == 0 && length >= sizeof(stream->first))
        memcpy(stream->first, payload, sizeof(stream->first));
    stream->bytes += length;
    stream->fake->got = true;
    jmp_rpc_receive(rpc);
}

static void on_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct stream *stream = user;

    stream->rpc = NULL;
    stream->fake->got = true;
}

static const struct jmp_rpc_events events = { .buffer = on_buffer, .closed = on_closed };

/* As the real one: no headers before the other side has come. */
static void do_stream(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    struct fake *fake = user;
    struct stream *stream = &fake->streams[fake->count++ % STREAMS_MAX];
    unsigned count;

    assert_string_equal(jmp_rpc_metadata(rpc, "authorization", &count), "Bearer token-1");
    assert_int_equal(count, 1);
    assert_null(jmp_rpc_metadata(rpc, "jumpstarter-name", NULL));
    *stream = (struct stream){ .fake = fake, .rpc = rpc };
    jmp_rpc_listen(rpc, &events, stream);
    jmp_rpc_receive(rpc);
}

static const struct jmp_handler handlers[] = { { &jmp_router_stream, do_stream }, {} };

static void fake_open(struct fake *fake)
{
    struct jmp_server_options options = { .handlers = handlers, .user = fake };
    unsigned port;

    *fake = (struct fake){ .options = { .plaintext = true } };
    bench_open(&fake->bench, NULL);
    assert_int_equal(jmp_server_new(fake->bench.queue, &options, &fake->router), 0);
    assert_int_equal(jmp_server_listen(fake->router, "127.0.0.1:0", NULL, NULL, &port, NULL), 0);
    assert_int_equal(jmp_server_start(fake->router), 0);
    snprintf(fake->endpoint, sizeof(fake->endpoint), "127.0.0.1:%u", port);
    assert_int_equal(jmp_tunnels_new(fake->bench.queue, &fake->options, 100, &fake->tunnels), 0);
}

static void fake_close(struct fake *fake)
{
    jmp_timer_close(&fake->look);
    fake->tunnels = jmp_tunnels_free(fake->tunnels);
    fake->router = jmp_server_free(fake->router);
    bench_close(&fake->bench);
}

static void dig(struct fake *fake)
{
    struct jmp_error error = JMP_ERROR_INIT;

    if (jmp_tunnels_open(fake->tunnels, fake->bench.session, fake->endpoint, "token-1", &error) < 0)
        fail_msg("%s", error.text);
}

static void wait_news(struct fake *fake)
{
    fake->got = false;
    bench_until(&fake->bench, &fake->got);
}

static void look(struct jmp_timer *timer)
{
    struct fake *fake = CONTAINER_OF(timer, struct fake, look);

    fake->empty = jmp_tunnels_count(fake->tunnels) == 0;
    if (!fake->empty)
        jmp_timer_start(timer->loop, timer, JMP_USEC_PER_MSEC, look);
}

static void wait_empty(struct fake *fake)
{
    fake->empty = false;
    assert_int_equal(jmp_timer_start(fake->bench.loop, &fake->look, 0, look), 0);
    bench_until(&fake->bench, &fake->empty);
}

JMP_TEST(the_servers_first_words_leave_before_anybody_has_come)
{
    struct fake fake;

    fake_open(&fake);
    dig(&fake);
    while (fake.streams[0].bytes < 9)
        wait_news(&fake);
    /* A frame of HTTP/2: length, then type 4, SETTINGS. */
    assert_int_equal(fake.streams[0].first[3], 4);
    assert_int_equal(jmp_tunnels_count(fake.tunnels), 1);
    fake_close(&fake);
}

JMP_TEST(a_client_that_only_takes_its_leave_is_answered)
{
    struct fake fake;

    fake_open(&fake);
    dig(&fake);
    while (fake.streams[0].bytes == 0)
        wait_news(&fake);
    assert_int_equal(jmp_rpc_send_buffer(fake.streams[0].rpc, jmp_frame_encode(JMP_FRAME_GOAWAY, NULL, 0)), 0);
    while (!fake.streams[0].goaway)
        wait_news(&fake);
    jmp_rpc_finish(fake.streams[0].rpc, JMP_OK, "%s", "");
    wait_empty(&fake);
    fake_close(&fake);
}

JMP_TEST(rubbish_ends_a_tunnel_and_nothing_else)
{
    static const char rubbish[64] = "GET / HTTP/1.1\r\n\r\n";
    struct fake fake;

    fake_open(&fake);
    dig(&fake);
    dig(&fake);
    while (fake.streams[0].bytes == 0 || fake.streams[1].bytes == 0)
        wait_news(&fake);
    assert_int_equal(jmp_rpc_send_buffer(fake.streams[0].rpc, jmp_frame_encode(JMP_FRAME_DATA, rubbish,
                                                                               sizeof(rubbish))), 0);
    while (!fake.streams[0].goaway)
        wait_news(&fake);
    assert_false(fake.streams[1].goaway);
    assert_non_null(fake.streams[1].rpc);
    fake_close(&fake);
}

JMP_TEST(a_router_that_hangs_up_ends_the_tunnel)
{
    struct fake fake;

    fake_open(&fake);
    dig(&fake);
    while (fake.streams[0].bytes == 0)
        wait_news(&fake);
    jmp_rpc_finish(fake.streams[0].rpc, JMP_UNAUTHENTICATED, "invalid jwt token");
    wait_empty(&fake);
    fake_close(&fake);
}

JMP_TEST(tunnels_without_clients_end_with_their_session)
{
    struct fake fake;

    fake_open(&fake);
    for (unsigned i = 0; i < 4; i++)
        dig(&fake);
    while (fake.count < 4)
        wait_news(&fake);
    jmp_tunnels_end(fake.tunnels);
    wait_empty(&fake);
    for (unsigned i = 0; i < 4; i++)
        while (fake.streams[i].rpc)
            wait_news(&fake);
    fake_close(&fake);
}

/* Sessions that follow each other quickly: every 200 ms one begins and ends. */
struct pace {
    struct jmp_timer timer;
    struct fake *fake;
    unsigned rounds, most;
    bool done;
};

static void on_pace(struct jmp_timer *timer)
{
    struct pace *pace = CONTAINER_OF(timer, struct pace, timer);

    dig(pace->fake);
    jmp_tunnels_end(pace->fake->tunnels);
    if (jmp_tunnels_count(pace->fake->tunnels) > pace->most)
        pace->most = jmp_tunnels_count(pace->fake->tunnels);
    if (++pace->rounds == 20)
        pace->done = true;
    else
        jmp_timer_start(timer->loop, timer, 200 * JMP_USEC_PER_MSEC, on_pace);
}

JMP_TEST(quick_sessions_do_not_put_the_end_of_old_tunnels_off)
{
    struct fake fake;
    struct pace pace = { .fake = &fake };

    fake_open(&fake);
    assert_int_equal(jmp_timer_start(fake.bench.loop, &pace.timer, 0, on_pace), 0);
    bench_until(&fake.bench, &pace.done);
    jmp_timer_close(&pace.timer);
    assert_true(pace.most < 15);
    wait_empty(&fake);
    fake_close(&fake);
}

JMP_TEST(what_cannot_be_dialled_is_refused_with_words)
{
    struct fake fake;
    struct jmp_error error = JMP_ERROR_INIT;

    fake_open(&fake);
    assert_int_equal(jmp_tunnels_open(fake.tunnels, fake.bench.session, "nonsense", "t", &error), -EINVAL);
    assert_true(*error.text);
    error = JMP_ERROR_INIT;
    assert_int_equal(jmp_tunnels_open(fake.tunnels, fake.bench.session, fake.endpoint, "two\nlines", &error), -EINVAL);
    assert_null(strstr(error.text, "lines"));
    assert_int_equal(jmp_tunnels_count(fake.tunnels), 0);
    fake_close(&fake);
}

JMP_TEST(there_is_a_limit_to_tunnels)
{
    struct fake fake;
    unsigned n = 0;

    fake_open(&fake);
    while (jmp_tunnels_open(fake.tunnels, fake.bench.session, fake.endpoint, "token-1", NULL) == 0)
        n++;
    assert_int_equal(n, JMP_TUNNELS_MAX);
    fake_close(&fake);
}
