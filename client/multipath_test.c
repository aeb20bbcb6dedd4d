/* SPDX-License-Identifier: Apache-2.0 */
/* Two exporters, which say who they are, and a session that has a way to each. */
#include "client/multipath.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/test.h"
#include "client/session_client.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/methods.h"
#include "rpc/server.h"

#define PATIENCE (20 * JMP_USEC_PER_SEC)

struct site {
    const char *name;
    char path[96];
    struct jmp_client *client;
    struct jmp_server *server;
    unsigned calls, streams;
    bool hold;                   /* calls are not answered */
    struct jmp_timer timer;
};

struct bench {
    struct jmp_client *client;
    struct jmp_session_client *session;
    char directory[64];
    struct site a, b;
};

static void get_status(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    Jumpstarter__V1__GetStatusResponse response = JUMPSTARTER__V1__GET_STATUS_RESPONSE__INIT;
    struct site *site = user;

    site->calls++;
    if (site->hold)
        return;
    response._message_case = JUMPSTARTER__V1__GET_STATUS_RESPONSE___MESSAGE_MESSAGE;
    response.message = (char *)site->name;
    jmp_rpc_reply(rpc, &response.base);
}

static void stream(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    struct site *site = user;

    site->streams++;
    jmp_client_wake(site->client);
    jmp_rpc_finish(rpc, JMP_OK, "%s", "");
}

static const struct jmp_handler handlers[] = { { &jmp_exporter_get_status, get_status },
                                               { &jmp_router_stream, stream },
                                               {} };

static void site_start(struct site *site)
{
    const struct jmp_server_options options = { .handlers = handlers, .user = site };
    char address[128];

    snprintf(address, sizeof(address), "unix:%s", site->path);
    assert_int_equal(jmp_server_new(jmp_client_queue(site->client), &options, &site->server), 0);
    assert_int_equal(jmp_server_listen(site->server, address, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(jmp_server_start(site->server), 0);
}

static void site_stop(struct site *site)
{
    site->server = jmp_server_free(site->server);
    unlink(site->path);
}

static void open_session(struct bench *bench)
{
    const struct jmp_path paths[] = { { .host = bench->a.path }, { .host = bench->b.path } };

    assert_int_equal(jmp_session_client_new(bench->client, &(const struct jmp_session_options){ paths, 2, NULL },
                                            &bench->session, NULL),
                     0);
}

static struct bench *bench_new(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    signal(SIGPIPE, SIG_IGN);
    strcpy(bench->directory, "/tmp/jmp-paths-test-XXXXXX");
    assert_non_null(mkdtemp(bench->directory));
    assert_int_equal(jmp_client_new(&bench->client), 0);
    bench->a = (struct site){ .name = "a", .client = bench->client };
    bench->b = (struct site){ .name = "b", .client = bench->client };
    snprintf(bench->a.path, sizeof(bench->a.path), "%s/a", bench->directory);
    snprintf(bench->b.path, sizeof(bench->b.path), "%s/b", bench->directory);
    return bench;
}

static void bench_freep(struct bench **bench)
{
    jmp_timer_close(&(*bench)->a.timer);
    jmp_session_client_free((*bench)->session);
    site_stop(&(*bench)->a);
    site_stop(&(*bench)->b);
    jmp_client_free((*bench)->client);
    rmdir((*bench)->directory);
    free(*bench);
}

#define BENCH(name) _cleanup_(bench_freep) struct bench *name = bench_new()

/* Who answers one call; "" and the error when nobody does. */
static const char *ask(struct bench *bench, int *retr)
{
    struct jmp_session_status status = { 0 };

    *retr = jmp_session_client_status(bench->session, &status, NULL);
    return *retr < 0 ? "" : strcmp(status.message, "a") == 0 ? "a" : "b";
}

/* Call after call until this one answers: connections are made and break in their own time. */
static void until(struct bench *bench, const char *name)
{
    uint64_t start = jmp_now();
    int r;

    while (strcmp(ask(bench, &r), name) != 0) {
        if (jmp_now() - start > PATIENCE)
            fail_msg("%s does not answer: %d", name, r);
        jmp_client_pause(bench->client, 10 * JMP_USEC_PER_MSEC);
    }
}

JMP_TEST(the_first_way_that_is_ready_serves_and_is_left_and_used_again)
{
    BENCH(bench);
    int r;

    site_start(&bench->a);
    site_start(&bench->b);
    open_session(bench);
    /* Nothing is connected: the last one, which is also how it stays when the first cannot be reached. */
    assert_string_equal(ask(bench, &r), "b");
    until(bench, "a");
    assert_string_equal(ask(bench, &r), "a");
    site_stop(&bench->a);
    until(bench, "b");
    assert_string_equal(ask(bench, &r), "b");
    site_start(&bench->a);
    until(bench, "a");
    assert_string_equal(ask(bench, &r), "a");
    site_stop(&bench->a);
    site_stop(&bench->b);
    /* At once, and not when the call's own time is up. */
    do
        ask(bench, &r);
    while (r != -ECONNREFUSED && r != -ETIMEDOUT);
    assert_int_equal(r, -ECONNREFUSED);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_true(strlen(path) < sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

JMP_TEST(no_way_behind_one_that_is_ready_is_touched)
{
    BENCH(bench);
    struct pollfd pending = { .events = POLLIN };
    int r;

    site_start(&bench->a);
    site_start(&bench->b);
    open_session(bench);
    until(bench, "a");
    /* Whoever wanted to connect to b from now on would be seen waiting here. */
    site_stop(&bench->b);
    pending.fd = listen_at(bench->b.path);
    for (unsigned i = 0; i < 50; i++)
        assert_string_equal(ask(bench, &r), "a");
    assert_int_equal(poll(&pending, 1, 0), 0);
    close(pending.fd);
}

JMP_TEST(a_first_way_that_fails_or_hangs_does_not_hold_up_the_last)
{
    for (unsigned hangs = 0; hangs < 2; hangs++) {
        BENCH(bench);
        int fd = hangs ? listen_at(bench->a.path) : -EBADF, r;

        site_start(&bench->b);
        open_session(bench);
        for (unsigned i = 0; i < 20; i++)
            assert_string_equal(ask(bench, &r), "b");
        site_stop(&bench->b);
        do
            ask(bench, &r);
        while (r >= 0);
        assert_int_equal(r, -ECONNREFUSED);
        if (hangs)
            close(fd);
    }
}

static void on_stop(struct jmp_timer *timer)
{
    struct site *site = CONTAINER_OF(timer, struct site, timer);

    jmp_server_shutdown(site->server, 0, NULL, NULL);
}

JMP_TEST(a_call_that_has_begun_stays_where_it_is)
{
    BENCH(bench);
    unsigned calls;
    int r;

    site_start(&bench->a);
    site_start(&bench->b);
    open_session(bench);
    until(bench, "a");
    bench->a.hold = true;
    calls = bench->b.calls;
    assert_int_equal(jmp_timer_start(jmp_client_loop(bench->client), &bench->a.timer, 50 * JMP_USEC_PER_MSEC, on_stop),
                     0);
    assert_string_equal(ask(bench, &r), "");
    assert_true(r < 0);
    assert_int_equal(bench->b.calls, calls);
    until(bench, "b");
}

static void open_stream(struct bench *bench)
{
    _cleanup_(jmp_pump_freep) struct jmp_pump *pump = NULL;
    unsigned before = bench->a.streams + bench->b.streams;
    bool never = false;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(jmp_session_client_open(bench->session, "u", "connect", pair[0], NULL, NULL, &pump, NULL), 0);
    for (uint64_t start = jmp_now(); bench->a.streams + bench->b.streams == before && jmp_now() - start < PATIENCE;)
        jmp_client_wait(bench->client, &never, 10 * JMP_USEC_PER_MSEC);
    close(pair[1]);
}

JMP_TEST(streams_go_the_same_way_as_calls)
{
    BENCH(bench);

    site_start(&bench->a);
    site_start(&bench->b);
    open_session(bench);
    open_stream(bench);
    assert_int_equal(bench->b.streams, 1);
    until(bench, "a");
    open_stream(bench);
    assert_int_equal(bench->a.streams, 1);
    site_stop(&bench->a);
    until(bench, "b");
    open_stream(bench);
    assert_int_equal(bench->b.streams, 2);
}

JMP_TEST(no_way_at_all_and_too_many_are_refused)
{
    static const size_t counts[] = { 0, JMP_PATHS_MAX + 1 };
    struct jmp_path paths[JMP_PATHS_MAX + 1];
    struct jmp_multipath *multipath = NULL;
    struct jmp_client *client;
    struct jmp_error error = { 0 };

    for (size_t i = 0; i < ELEMENTSOF(paths); i++)
        paths[i] = (struct jmp_path){ .host = "/nowhere" };
    assert_int_equal(jmp_client_new(&client), 0);
    for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
        assert_int_equal(jmp_multipath_new(client, paths, counts[i], &multipath, &error), -EINVAL);
        assert_non_null(strstr(error.text, "one is needed"));
    }
    paths[1] = (struct jmp_path){ .host = "host:1", .ca = "no certificate" };
    assert_int_equal(jmp_multipath_new(client, paths, 2, &multipath, &error), -EINVAL);
    assert_null(multipath);
    jmp_client_free(client);
}

JMP_TEST(hosts_with_a_port_are_not_paths)
{
    static const struct {
        const char *host;
        bool tcp;
    } cases[] = { { "pi:4711", true },   { "[::1]:1", true }, { "pi:65535", true }, { "/run/user/0/x", false },
                  { "/tmp/a:0", false }, { "pi:65536", false }, { "pi:", false },   { ":1", false },
                  { "pi:+1", false },    { "pi:1a", false },  { "pi", false },      { "", false } };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        assert_int_equal(jmp_path_is_tcp(cases[i].host), cases[i].tcp);
}
