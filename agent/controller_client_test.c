/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter's side of a controller, against one in the same process that does what a test tells it to. */
#include "agent/controller_client.h"

#include <string.h>

#include "agent/session_bench.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/server.h"

#define CALLS_MAX 64

/* What the controller was asked, in order, one word each: "register", "report:AVAILABLE", "listen:lease-1", ... */
struct fake {
    struct bench bench;              /* lends its loop, its queue and its devices */
    struct jmp_server *server;
    struct jmp_controller *controller;
    char endpoint[32];
    char calls[CALLS_MAX][80];
    unsigned count;
    struct jmp_rpc *status, *listen;

    bool quiet;                      /* the Status stream says nothing by itself */
    const char *lease;               /* what it says at first, NULL: unleased */
    bool listen_headers, listen_fails;
    bool hold_release;               /* ReleaseLease waits for finish_release() */
    struct jmp_rpc *release;
    unsigned fail_reports, fail_registers;
    enum jmp_code report_code, release_code;

    /* What the client's user heard. */
    unsigned statuses, listening, dialled;
    bool leased, left;
    char heard_lease[64], heard_client[64], heard_context[64], token[64];
    const char *report_at_status;    /* reported from within the event, as the agent does */
    const char *awaited;             /* set by expect() */
    bool arrived;
};

static struct fake *fake_of(void *user) { return user; }

static bool has_call(const struct fake *fake, const char *call)
{
    for (unsigned i = 0; i < fake->count; i++)
        if (strcmp(fake->calls[i], call) == 0)
            return true;
    return false;
}

static void note(struct fake *fake, const char *kind, const char *what)
{
    assert_true(fake->count < CALLS_MAX);
    snprintf(fake->calls[fake->count++], sizeof(fake->calls[0]), "%s%s%s", kind, what ? ":" : "", what ?: "");
    if (fake->awaited && has_call(fake, fake->awaited))
        fake->arrived = true;
}

/* Waits until a call has come. */
static void expect(struct fake *fake, const char *call)
{
    fake->awaited = call;
    fake->arrived = has_call(fake, call);
    bench_until(&fake->bench, &fake->arrived);
    fake->awaited = NULL;
}

static void forget(struct fake *fake) { fake->count = 0; }

static void assert_calls(const struct fake *fake, const char *const *calls)
{
    unsigned i;

    for (i = 0; calls[i]; i++) {
        if (i >= fake->count || strcmp(fake->calls[i], calls[i]) != 0)
            fail_msg("call %u is %s, not %s", i, i < fake->count ? fake->calls[i] : "missing", calls[i]);
    }
    assert_int_equal(fake->count, i);
}

/*
 * The controller.
 */

static void say_status(struct fake *fake, const char *lease, const char *client)
{
    Jumpstarter__V1__StatusResponse response = JUMPSTARTER__V1__STATUS_RESPONSE__INIT;
    Jumpstarter__V1__StatusResponse__ContextEntry ticket = JUMPSTARTER__V1__STATUS_RESPONSE__CONTEXT_ENTRY__INIT;
    Jumpstarter__V1__StatusResponse__ContextEntry *entries[] = { &ticket };

    ticket.key = (char *)"ticket";
    ticket.value = (char *)"say \"no\"";
    if (lease) {
        response.leased = true;
        response._lease_name_case = JUMPSTARTER__V1__STATUS_RESPONSE___LEASE_NAME_LEASE_NAME;
        response.lease_name = (char *)lease;
        response._client_name_case = JUMPSTARTER__V1__STATUS_RESPONSE___CLIENT_NAME_CLIENT_NAME;
        response.client_name = (char *)client;
        response.context = entries;
        response.n_context = ELEMENTSOF(entries);
    }
    assert_int_equal(jmp_rpc_send(fake->status, &response.base), 0);
}

static void do_register(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__RegisterRequest *request = (const void *)message;
    Jumpstarter__V1__RegisterResponse response = JUMPSTARTER__V1__REGISTER_RESPONSE__INIT;
    struct fake *fake = fake_of(user);
    static const char *const pairs[][2] = {
        { "authorization", "Bearer secret" }, { "jumpstarter-kind", "Exporter" }, { "jumpstarter-namespace", "lab" },
        { "jumpstarter-name", "bench" },
    };

    for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
        unsigned count;

        assert_string_equal(jmp_rpc_metadata(rpc, pairs[i][0], &count), pairs[i][1]);
        assert_int_equal(count, 1);
    }
    assert_int_equal(request->n_labels, 1);
    assert_string_equal(request->labels[0]->key, "jumpstarter.dev/name");
    assert_string_equal(request->labels[0]->value, "bench");
    assert_int_equal(request->n_reports, 6);
    note(fake, "register", NULL);
    if (fake->fail_registers > 0) {
        fake->fail_registers--;
        jmp_rpc_finish(rpc, JMP_INTERNAL, "not now");
        return;
    }
    jmp_rpc_reply(rpc, &response.base);
}

static void status_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct fake *fake = fake_of(user);

    if (fake->status == rpc)
        fake->status = NULL;
}

static const struct jmp_rpc_events status_events = { .closed = status_closed };

static void do_status(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    struct fake *fake = fake_of(user);

    note(fake, "status", NULL);
    fake->status = rpc;
    jmp_rpc_listen(rpc, &status_events, fake);
    if (!fake->quiet)
        say_status(fake, fake->lease, "alice");
}

static void do_report(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__ReportStatusRequest *request = (const void *)message;
    Jumpstarter__V1__ReportStatusResponse response = JUMPSTARTER__V1__REPORT_STATUS_RESPONSE__INIT;
    struct fake *fake = fake_of(user);

    note(fake, request->release_lease ? "report-release" : "report",
         jmp_exporter_status_name((enum jmp_exporter_status)request->status));
    if (fake->fail_reports > 0) {
        fake->fail_reports--;
        jmp_rpc_finish(rpc, fake->report_code, "not now");
        return;
    }
    jmp_rpc_reply(rpc, &response.base);
}

static void listen_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct fake *fake = fake_of(user);

    if (fake->listen == rpc) {
        fake->listen = NULL;
        note(fake, "listen-ended", NULL);
    }
}

static const struct jmp_rpc_events listen_events = { .closed = listen_closed };

static void do_listen(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__ListenRequest *request = (const void *)message;
    struct fake *fake = fake_of(user);

    note(fake, "listen", request->lease_name);
    if (fake->listen_fails) {
        jmp_rpc_finish(rpc, JMP_UNKNOWN, "permission denied");
        return;
    }
    fake->listen = rpc;
    jmp_rpc_listen(rpc, &listen_events, fake);
    if (fake->listen_headers)
        jmp_rpc_send_headers(rpc, NULL);
}

static void do_release(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__ReleaseLeaseRequest *request = (const void *)message;
    Jumpstarter__V1__ReleaseLeaseResponse response = JUMPSTARTER__V1__RELEASE_LEASE_RESPONSE__INIT;
    struct fake *fake = fake_of(user);

    note(fake, "release", request->name);
    if (fake->hold_release) {
        fake->release = rpc;
        return;
    }
    if (fake->release_code != JMP_OK)
        jmp_rpc_finish(rpc, fake->release_code, "not so");
    else
        jmp_rpc_reply(rpc, &response.base);
}

static void do_unregister(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__UnregisterRequest *request = (const void *)message;
    Jumpstarter__V1__UnregisterResponse response = JUMPSTARTER__V1__UNREGISTER_RESPONSE__INIT;

    assert_true(*request->reason);
    note(fake_of(user), "unregister", NULL);
    jmp_rpc_reply(rpc, &response.base);
}

/* GetServiceEndpoints is missing: an old controller. */
static const struct jmp_handler handlers[] = {
    { &jmp_controller_register, do_register },
    { &jmp_controller_status, do_status },
    { &jmp_controller_report_status, do_report },
    { &jmp_controller_listen, do_listen },
    { &jmp_controller_release_lease, do_release },
    { &jmp_controller_unregister, do_unregister },
    {}
};

static void serve(struct fake *fake, const char *address)
{
    const struct jmp_server_options options = { .handlers = handlers, .user = fake };
    unsigned port;

    assert_int_equal(jmp_server_new(fake->bench.queue, &options, &fake->server), 0);
    assert_int_equal(jmp_server_listen(fake->server, address, NULL, NULL, &port, NULL), 0);
    snprintf(fake->endpoint, sizeof(fake->endpoint), "127.0.0.1:%u", port);
    assert_int_equal(jmp_server_start(fake->server), 0);
}

/*
 * The user of the client.
 */

static void heard_status(bool leased, const char *lease, const char *client, const char *context, void *user)
{
    struct fake *fake = fake_of(user);

    fake->statuses++;
    fake->leased = leased;
    snprintf(fake->heard_lease, sizeof(fake->heard_lease), "%s", lease ?: "");
    snprintf(fake->heard_client, sizeof(fake->heard_client), "%s", client ?: "");
    snprintf(fake->heard_context, sizeof(fake->heard_context), "%s", context ?: "");
    note(fake, "heard", lease ?: "nothing");
    if (!leased && fake->report_at_status)
        jmp_controller_report(fake->controller, JMP_EXPORTER_AVAILABLE, fake->report_at_status);
}

static void heard_listening(void *user)
{
    fake_of(user)->listening++;
    note(fake_of(user), "listening", NULL);
}

static void heard_dialled(const char *endpoint, const char *token, void *user)
{
    struct fake *fake = fake_of(user);

    fake->dialled++;
    snprintf(fake->token, sizeof(fake->token), "%s", token);
    note(fake, "dialled", endpoint);
}

static void heard_telemetry(const char *endpoint, const char *certificate, const char *min_severity, void *user)
{
    note(fake_of(user), "telemetry", endpoint);
}

static void heard_changed(const char *words, void *user) { assert_true(*words); }

static void heard_left(void *user)
{
    fake_of(user)->left = true;
    note(fake_of(user), "left", NULL);
}

static const struct jmp_controller_events events = {
    .status = heard_status,
    .listening = heard_listening,
    .dialled = heard_dialled,
    .telemetry = heard_telemetry,
    .changed = heard_changed,
};

static void fake_open_settling(struct fake *fake, uint64_t settles)
{
    struct jmp_controller_options options = {
        .channel = { .plaintext = true }, .name = "bench", .namespace_ = "lab", .token = "secret", .patience = 10,
        .settles = settles,
    };

    *fake = (struct fake){ .listen_headers = true };
    bench_open(&fake->bench, NULL);
    serve(fake, "127.0.0.1:0");
    options.channel.endpoint = fake->endpoint;
    options.devices = fake->bench.devices;
    assert_int_equal(jmp_controller_new(fake->bench.queue, &options, &events, fake, &fake->controller, NULL), 0);
}

static void fake_open(struct fake *fake) { fake_open_settling(fake, 0); }

static void fake_close(struct fake *fake)
{
    fake->controller = jmp_controller_free(fake->controller);
    fake->server = jmp_server_free(fake->server);
    bench_close(&fake->bench);
}

/*
 * Tests.
 */

JMP_TEST(nothing_is_announced_before_the_controller_has_spoken)
{
    struct fake fake;

    fake_open(&fake);
    fake.quiet = true;
    jmp_controller_start(fake.controller);
    jmp_controller_report(fake.controller, JMP_EXPORTER_AVAILABLE, "here");
    expect(&fake, "status");
    assert_calls(&fake, (const char *const[]){ "register", "status", NULL });

    say_status(&fake, NULL, NULL);
    expect(&fake, "report:AVAILABLE");
    assert_calls(&fake, (const char *const[]){ "register", "status", "heard:nothing", "report:AVAILABLE", NULL });
    assert_false(fake.leased);
    fake_close(&fake);
}

JMP_TEST(a_lease_that_runs_already_is_heard_first)
{
    struct fake fake;

    fake_open(&fake);
    fake.lease = "lease-7";
    fake.report_at_status = "free";
    jmp_controller_start(fake.controller);
    expect(&fake, "heard:lease-7");
    assert_true(fake.leased);
    assert_string_equal(fake.heard_client, "alice");
    assert_string_equal(fake.heard_context, "{\"ticket\":\"say \\\"no\\\"\"}");
    assert_int_equal(jmp_controller_open_listen(fake.controller, "lease-7"), 0);
    expect(&fake, "listening");
    jmp_controller_report(fake.controller, JMP_EXPORTER_LEASE_READY, "ready");
    expect(&fake, "report:LEASE_READY");
    assert_calls(&fake, (const char *const[]){ "register", "status", "heard:lease-7", "listen:lease-7", "listening",
                                              "report:LEASE_READY", NULL });
    fake_close(&fake);
}

JMP_TEST(listen_is_up_soon_even_when_the_controller_sends_no_headers)
{
    struct fake fake;

    fake_open(&fake);
    fake.listen_headers = false;
    jmp_controller_start(fake.controller);
    expect(&fake, "heard:nothing");
    assert_int_equal(jmp_controller_open_listen(fake.controller, "lease-1"), 0);
    expect(&fake, "listening");
    assert_true(has_call(&fake, "listen:lease-1"));
    fake_close(&fake);
}

JMP_TEST(a_refused_listen_is_not_up_and_is_tried_again)
{
    Jumpstarter__V1__ListenResponse token = JUMPSTARTER__V1__LISTEN_RESPONSE__INIT;
    struct fake fake;

    /* Time does not make it up here: the first client does. */
    fake_open_settling(&fake, 600 * JMP_USEC_PER_SEC);
    fake.listen_fails = true;
    jmp_controller_start(fake.controller);
    expect(&fake, "heard:nothing");
    assert_int_equal(jmp_controller_open_listen(fake.controller, "lease-1"), 0);
    expect(&fake, "listen:lease-1");
    forget(&fake);
    fake.listen_fails = false;
    expect(&fake, "listen:lease-1");
    token.router_endpoint = (char *)"router:1";
    token.router_token = (char *)"t-1";
    assert_int_equal(jmp_rpc_send(fake.listen, &token.base), 0);
    expect(&fake, "dialled:router:1");
    assert_calls(&fake, (const char *const[]){ "listen:lease-1", "listening", "dialled:router:1", NULL });

    /* It breaks: opened again, but nobody is told twice. */
    forget(&fake);
    jmp_rpc_finish(fake.listen, JMP_OK, "%s", "");
    expect(&fake, "listen:lease-1");
    assert_int_equal(fake.listening, 1);
    fake_close(&fake);
}

JMP_TEST(tokens_arrive_while_listening_only)
{
    Jumpstarter__V1__ListenResponse token = JUMPSTARTER__V1__LISTEN_RESPONSE__INIT;
    struct fake fake;

    fake_open(&fake);
    jmp_controller_start(fake.controller);
    expect(&fake, "heard:nothing");
    assert_int_equal(jmp_controller_open_listen(fake.controller, "lease-1"), 0);
    expect(&fake, "listen:lease-1");
    token.router_endpoint = (char *)"router:1";
    token.router_token = (char *)"t-1";
    assert_int_equal(jmp_rpc_send(fake.listen, &token.base), 0);
    expect(&fake, "dialled:router:1");
    assert_string_equal(fake.token, "t-1");
    assert_int_equal(fake.dialled, 1);

    jmp_controller_close_listen(fake.controller);
    expect(&fake, "listen-ended");
    fake_close(&fake);
}

JMP_TEST(a_report_is_repeated_whatever_the_code_was)
{
    static const enum jmp_code codes[] = { JMP_UNKNOWN, JMP_PERMISSION_DENIED, JMP_UNAVAILABLE };
    struct fake fake;

    for (size_t i = 0; i < ELEMENTSOF(codes); i++) {
        fake_open(&fake);
        jmp_controller_start(fake.controller);
        expect(&fake, "heard:nothing");
        fake.fail_reports = 1;
        fake.report_code = codes[i];
        forget(&fake);
        jmp_controller_report(fake.controller, JMP_EXPORTER_AVAILABLE, "here");
        expect(&fake, "report:AVAILABLE");
        forget(&fake);
        expect(&fake, "report:AVAILABLE");
        assert_calls(&fake, (const char *const[]){ "report:AVAILABLE", NULL });
        fake_close(&fake);
    }
}

JMP_TEST(reports_keep_their_order_and_old_news_gives_way)
{
    struct fake fake;

    fake_open(&fake);
    fake.quiet = true;
    jmp_controller_start(fake.controller);
    expect(&fake, "status");
    forget(&fake);
    jmp_controller_report(fake.controller, JMP_EXPORTER_AVAILABLE, "old");
    jmp_controller_report(fake.controller, JMP_EXPORTER_BEFORE_LEASE_HOOK, "hook");
    jmp_controller_report(fake.controller, JMP_EXPORTER_LEASE_READY, "ready");
    jmp_controller_report(fake.controller, JMP_EXPORTER_AVAILABLE, "new");
    say_status(&fake, NULL, NULL);
    expect(&fake, "report:AVAILABLE");
    assert_calls(&fake, (const char *const[]){ "heard:nothing", "report:BEFORE_LEASE_HOOK", "report:LEASE_READY",
                                              "report:AVAILABLE", NULL });

    /* One that fails is not repeated once there is a newer one. */
    forget(&fake);
    fake.fail_reports = 1;
    fake.report_code = JMP_UNKNOWN;
    jmp_controller_report(fake.controller, JMP_EXPORTER_LEASE_READY, "ready");
    expect(&fake, "report:LEASE_READY");
    jmp_controller_report(fake.controller, JMP_EXPORTER_AVAILABLE, "free");
    expect(&fake, "report:AVAILABLE");
    assert_calls(&fake, (const char *const[]){ "report:LEASE_READY", "report:AVAILABLE", NULL });
    fake_close(&fake);
}

JMP_TEST(a_controller_without_reports_is_no_error)
{
    struct fake fake;

    fake_open(&fake);
    fake.fail_reports = 100;
    fake.report_code = JMP_UNIMPLEMENTED;
    jmp_controller_start(fake.controller);
    jmp_controller_report(fake.controller, JMP_EXPORTER_AVAILABLE, "a");
    jmp_controller_report(fake.controller, JMP_EXPORTER_LEASE_READY, "b");
    expect(&fake, "report:LEASE_READY");
    assert_calls(&fake, (const char *const[]){ "register", "status", "heard:nothing", "report:AVAILABLE",
                                              "report:LEASE_READY", NULL });
    fake_close(&fake);
}

JMP_TEST(a_refused_registration_is_tried_again)
{
    struct fake fake;

    fake_open(&fake);
    fake.fail_registers = 1;
    jmp_controller_start(fake.controller);
    expect(&fake, "heard:nothing");
    assert_calls(&fake, (const char *const[]){ "register", "register", "status", "heard:nothing", NULL });
    fake_close(&fake);
}

JMP_TEST(a_status_that_an_old_controller_does_not_know_is_kept_for_a_newer_one)
{
    struct fake fake;

    fake_open(&fake);
    fake.fail_reports = 3;
    fake.report_code = JMP_UNIMPLEMENTED;
    jmp_controller_start(fake.controller);
    jmp_controller_report(fake.controller, JMP_EXPORTER_AVAILABLE, "here");
    for (unsigned i = 0; i < 4; i++) {
        expect(&fake, "report:AVAILABLE");
        forget(&fake);
    }
    fake_close(&fake);
}

JMP_TEST(a_watch_that_breaks_is_opened_again_without_registering)
{
    struct fake fake;

    fake_open(&fake);
    jmp_controller_start(fake.controller);
    expect(&fake, "heard:nothing");
    forget(&fake);
    jmp_rpc_finish(fake.status, JMP_UNKNOWN, "watch channel closed");
    expect(&fake, "heard:nothing");
    assert_calls(&fake, (const char *const[]){ "status", "heard:nothing", NULL });
    fake_close(&fake);
}

JMP_TEST(a_controller_that_was_away_is_registered_with_again)
{
    struct fake fake;
    char endpoint[32];

    fake_open(&fake);
    jmp_controller_start(fake.controller);
    expect(&fake, "heard:nothing");
    assert_int_equal(jmp_controller_open_listen(fake.controller, "lease-1"), 0);
    expect(&fake, "listening");
    jmp_controller_report(fake.controller, JMP_EXPORTER_LEASE_READY, "ready");
    expect(&fake, "report:LEASE_READY");

    strcpy(endpoint, fake.endpoint);
    fake.server = jmp_server_free(fake.server);
    forget(&fake);
    fake.lease = "lease-1";
    serve(&fake, endpoint);
    expect(&fake, "heard:lease-1");
    expect(&fake, "listen:lease-1");
    expect(&fake, "report:LEASE_READY");   /* it may have forgotten */
    assert_true(has_call(&fake, "register"));
    assert_int_equal(fake.listening, 1);
    fake_close(&fake);
}

JMP_TEST(a_release_is_repeated_until_the_lease_is_over)
{
    struct fake fake;

    fake_open(&fake);
    fake.lease = "lease-1";
    fake.release_code = JMP_INTERNAL;
    jmp_controller_start(fake.controller);
    expect(&fake, "heard:lease-1");
    assert_int_equal(jmp_controller_release(fake.controller, "lease-1"), 0);
    expect(&fake, "release:lease-1");
    forget(&fake);
    expect(&fake, "release:lease-1");

    /* The controller's own word ends it. */
    forget(&fake);
    say_status(&fake, "lease-2", "bob");
    expect(&fake, "heard:lease-2");
    fake.lease = "lease-2";
    jmp_rpc_finish(fake.status, JMP_UNKNOWN, "watch channel closed");
    forget(&fake);
    expect(&fake, "heard:lease-2");
    assert_calls(&fake, (const char *const[]){ "status", "heard:lease-2", NULL });
    fake_close(&fake);
}

JMP_TEST(the_answer_to_an_old_release_does_not_count_for_a_new_one)
{
    Jumpstarter__V1__ReleaseLeaseResponse response = JUMPSTARTER__V1__RELEASE_LEASE_RESPONSE__INIT;
    struct fake fake;

    fake_open(&fake);
    fake.lease = "lease-1";
    fake.hold_release = true;
    jmp_controller_start(fake.controller);
    expect(&fake, "heard:lease-1");
    assert_int_equal(jmp_controller_release(fake.controller, "lease-1"), 0);
    expect(&fake, "release:lease-1");
    say_status(&fake, "lease-2", "bob");
    expect(&fake, "heard:lease-2");
    assert_int_equal(jmp_controller_release(fake.controller, "lease-2"), 0);

    fake.hold_release = false;
    jmp_rpc_reply(fake.release, &response.base);
    expect(&fake, "release:lease-2");
    fake_close(&fake);
}

JMP_TEST(a_release_that_was_promised_and_does_not_show_is_asked_for_again)
{
    struct fake fake;

    fake_open(&fake);
    fake.lease = "lease-1";
    jmp_controller_start(fake.controller);
    expect(&fake, "heard:lease-1");
    assert_int_equal(jmp_controller_release(fake.controller, "lease-1"), 0);
    expect(&fake, "release:lease-1");
    forget(&fake);
    expect(&fake, "release:lease-1");
    fake_close(&fake);
}

JMP_TEST(a_status_stream_that_says_nothing_is_given_up)
{
    struct fake fake;

    fake_open(&fake);
    fake.quiet = true;
    jmp_controller_start(fake.controller);
    expect(&fake, "status");
    fake.quiet = false;
    expect(&fake, "heard:nothing");
    assert_calls(&fake, (const char *const[]){ "register", "status", "register", "status", "heard:nothing", NULL });
    fake_close(&fake);
}

JMP_TEST(controllers_without_release_take_a_flag_that_cannot_hit_the_next_lease)
{
    static const enum jmp_code codes[] = {
        JMP_UNIMPLEMENTED, JMP_PERMISSION_DENIED, JMP_INVALID_ARGUMENT, JMP_UNAUTHENTICATED,
    };
    struct fake fake;

    for (size_t i = 0; i < ELEMENTSOF(codes); i++) {
        fake_open(&fake);
        fake.lease = "lease-1";
        fake.release_code = codes[i];
        jmp_controller_start(fake.controller);
        expect(&fake, "heard:lease-1");
        forget(&fake);
        assert_int_equal(jmp_controller_release(fake.controller, "lease-1"), 0);
        expect(&fake, "report-release:AFTER_LEASE_HOOK");
        assert_calls(&fake, (const char *const[]){ "release:lease-1", "report-release:AFTER_LEASE_HOOK", NULL });
        fake_close(&fake);
    }
}

JMP_TEST(goodbye_is_said_in_order)
{
    struct fake fake;

    fake_open(&fake);
    fake.lease = "lease-1";
    jmp_controller_start(fake.controller);
    expect(&fake, "heard:lease-1");
    forget(&fake);
    assert_int_equal(jmp_controller_release(fake.controller, "lease-1"), 0);
    jmp_controller_goodbye(fake.controller, heard_left, &fake);
    expect(&fake, "left");
    assert_calls(&fake, (const char *const[]){ "release:lease-1", "report:OFFLINE", "unregister", "left", NULL });
    fake_close(&fake);
}

JMP_TEST(goodbye_to_nobody_takes_no_time)
{
    struct fake fake;

    fake_open(&fake);
    fake.server = jmp_server_free(fake.server);
    jmp_controller_start(fake.controller);
    jmp_controller_goodbye(fake.controller, heard_left, &fake);
    assert_true(fake.left);
    fake_close(&fake);
}

JMP_TEST(the_client_may_be_freed_with_everything_under_way)
{
    struct fake fake;

    fake_open(&fake);
    fake.quiet = true;
    jmp_controller_start(fake.controller);
    expect(&fake, "status");
    say_status(&fake, "lease-1", "alice");
    expect(&fake, "heard:lease-1");
    assert_int_equal(jmp_controller_open_listen(fake.controller, "lease-1"), 0);
    jmp_controller_report(fake.controller, JMP_EXPORTER_LEASE_READY, "ready");
    assert_int_equal(jmp_controller_release(fake.controller, "lease-1"), 0);
    fake_close(&fake);
}
