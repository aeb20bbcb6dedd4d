/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/telemetry_client.h"

#include <stdarg.h>
#include <string.h>

#include "agent/session_bench.h"
#include "jumpstarter/v1/telemetry.pb-c.h"
#include "rpc/server.h"

/* A service that writes down what it is told: one line an entry. */
struct service {
    struct bench bench;              /* lends its loop, its queue and its log */
    struct jmp_server *server;
    struct jmp_telemetry *telemetry;
    char seen[64 * 1024];
    unsigned calls, entries, most;
    enum jmp_code code;
    const char *awaited;
    bool arrived, silent, flushed;
};

static void append(struct service *service, ...)
{
    const char *text;
    va_list ap;

    va_start(ap, service);
    while ((text = va_arg(ap, const char *)))
        strncat(service->seen, text, sizeof(service->seen) - strlen(service->seen) - 1);
    va_end(ap);
}

static void do_push(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__PushLogsRequest *request = (const void *)message;
    Jumpstarter__V1__PushLogsResponse response = JUMPSTARTER__V1__PUSH_LOGS_RESPONSE__INIT;
    struct service *service = user;

    assert_string_equal(jmp_rpc_metadata(rpc, "authorization", NULL), "Bearer secret");
    assert_null(jmp_rpc_metadata(rpc, "jumpstarter-name", NULL));
    service->calls++;
    service->entries += (unsigned)request->n_entries;
    if (request->n_entries > service->most)
        service->most = (unsigned)request->n_entries;
    for (size_t i = 0; i < request->n_entries; i++) {
        const Jumpstarter__V1__LogEntry *entry = request->entries[i];
        size_t used = strlen(service->seen);

        assert_non_null(entry->timestamp);
        assert_true(entry->timestamp->seconds > 1000000000);
        snprintf(service->seen + used, sizeof(service->seen) - used, "%s|%s|%s|%s|%s|%s|%s|%s|%s", entry->severity,
                 entry->message, entry->component, entry->exporter, entry->lease, entry->client, entry->operation,
                 entry->result, entry->driver_type);
        assert_true(entry->n_extra_fields <= 16);
        for (size_t j = 0; j < entry->n_extra_fields; j++)
            append(service, "|", entry->extra_fields[j]->key, "=", entry->extra_fields[j]->value, NULL);
        append(service, "\n", NULL);
    }
    if (service->awaited && strstr(service->seen, service->awaited))
        service->arrived = true;
    if (service->silent)
        return;
    if (service->code != JMP_OK)
        jmp_rpc_finish(rpc, service->code, "no");
    else
        jmp_rpc_reply(rpc, &response.base);
}

static const struct jmp_handler handlers[] = { { &jmp_telemetry_push_logs, do_push }, {} };

static const char *bearer(void *user) { return "Bearer secret"; }

static void service_open(struct service *service, const char *min_severity)
{
    const struct jmp_server_options server = { .handlers = handlers, .user = service };
    struct jmp_telemetry_options options = { .name = "bench", .bearer = bearer };
    struct jmp_channel_options channel = { .plaintext = true };
    char endpoint[32];
    unsigned port;

    *service = (struct service){ 0 };
    bench_open(&service->bench, NULL);
    assert_int_equal(jmp_server_new(service->bench.queue, &server, &service->server), 0);
    assert_int_equal(jmp_server_listen(service->server, "127.0.0.1:0", NULL, NULL, &port, NULL), 0);
    assert_int_equal(jmp_server_start(service->server), 0);
    snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", port);
    channel.endpoint = endpoint;
    options.queue = service->bench.queue;
    options.logs = service->bench.logs;
    assert_int_equal(jmp_telemetry_new(&options, &channel, min_severity, &service->telemetry, NULL), 0);
}

static void service_close(struct service *service)
{
    service->telemetry = jmp_telemetry_free(service->telemetry);
    service->server = jmp_server_free(service->server);
    bench_close(&service->bench);
}

static void expect(struct service *service, const char *text)
{
    service->awaited = text;
    service->arrived = strstr(service->seen, text) != NULL;
    bench_until(&service->bench, &service->arrived);
    service->awaited = NULL;
}

JMP_TEST(what_is_logged_is_pushed_with_its_fields)
{
    struct service service;

    service_open(&service, "info");
    jmp_log(JMP_LOG_INFO, NULL, "before any lease");
    jmp_telemetry_set_lease(service.telemetry, "lease-1", "alice", NULL);
    jmp_log(JMP_LOG_WARNING, FIELDS(.source = JMP_LOG_DRIVER, .driver = "board.power", .driver_type = "power",
                                    .operation = "on", .result = "failure"), "no power");
    jmp_telemetry_set_lease(service.telemetry, "", "", NULL);
    jmp_log(JMP_LOG_INFO, NULL, "after it");
    expect(&service, "after it");
    assert_non_null(strstr(service.seen, "info|before any lease|exporter|bench|||||\n"));
    expect(&service, "warning|no power|exporter|bench|lease-1|alice|on|failure|power|driver=board.power\n");
    service_close(&service);
}

JMP_TEST(what_the_client_has_said_about_its_lease_goes_along_as_far_as_it_fits)
{
    char context[16 * 400] = "{", key[80], value[400];
    struct service service;

    service_open(&service, "info");
    jmp_telemetry_set_lease(service.telemetry, "lease-1", "alice",
                            "{\"ticket\":\"JIRA-7\",\"number\":5,\"\":\"x\",\"who\":\"\"}");
    jmp_log(JMP_LOG_INFO, FIELDS(.driver = "board.power"), "with a context");
    expect(&service, "|with a context|exporter|bench|lease-1|alice||||driver=board.power|ticket=JIRA-7|who=\n");

    memset(key, 'k', sizeof(key));
    memset(value, 'v', sizeof(value));
    for (unsigned i = 10; i < 25; i++)
        snprintf(context + strlen(context), sizeof(context) - strlen(context), "%s\"%u%.70s\":\"%.300s\"",
                 i > 10 ? "," : "", i, key, value);
    strcat(context, "}");
    jmp_telemetry_set_lease(service.telemetry, "lease-2", "alice", context);
    jmp_log(JMP_LOG_INFO, NULL, "with much context");
    jmp_telemetry_set_lease(service.telemetry, "lease-3", "alice", "no JSON");
    jmp_log(JMP_LOG_INFO, NULL, "without");
    expect(&service, "|without|exporter|bench|lease-3|alice|||\n");
    snprintf(context, sizeof(context), "|23%.62s=%.256s\n", key, value);   /* the fourteenth is the last */
    assert_non_null(strstr(service.seen, context));
    service_close(&service);
}

JMP_TEST(there_are_at_most_fifty_in_a_batch_and_none_is_lost_on_the_way)
{
    struct service service;

    service_open(&service, "info");
    for (unsigned i = 0; i < 200; i++)
        jmp_log(JMP_LOG_INFO, NULL, "number %u.", i);
    expect(&service, "number 199.");
    assert_int_equal(service.most, 50);
    for (unsigned i = 0; i < 200; i++) {
        char text[32];

        snprintf(text, sizeof(text), "|number %u.|", i);
        assert_non_null(strstr(service.seen, text));
    }
    service_close(&service);
}

JMP_TEST(what_is_less_severe_than_asked_for_stays_here)
{
    struct service service;

    service_open(&service, "error");
    jmp_log(JMP_LOG_WARNING, NULL, "a warning");
    jmp_log(JMP_LOG_ERROR, NULL, "an error");
    expect(&service, "error|an error|");
    assert_null(strstr(service.seen, "a warning"));
    service_close(&service);
}

/* Its complaint is logged, and so pushed: that must not go round for ever. */
JMP_TEST(a_service_that_refuses_is_complained_about_once)
{
    struct service service;
    unsigned calls;

    service_open(&service, "no such level");
    service.code = JMP_UNAVAILABLE;
    jmp_log(JMP_LOG_INFO, NULL, "first");
    expect(&service, "telemetry is not taken");
    calls = service.calls;
    jmp_log(JMP_LOG_INFO, NULL, "second");
    expect(&service, "second");
    assert_true(service.calls <= calls + 1);
    assert_ptr_equal(strstr(strstr(service.seen, "telemetry is not taken") + 1, "telemetry is not taken"), NULL);
    service_close(&service);
}

JMP_TEST(it_may_be_freed_with_a_push_under_way)
{
    struct service service;

    service_open(&service, "info");
    jmp_log(JMP_LOG_INFO, NULL, "on its way");
    jmp_telemetry_set_lease(service.telemetry, "lease-1", "alice", "{\"ticket\":\"7\"}");
    service_close(&service);
}

static void on_flushed(void *user) { ((struct service *)user)->flushed = true; }

JMP_TEST(a_flush_pushes_all_that_is_left)
{
    struct service service;

    service_open(&service, "info");
    for (unsigned i = 0; i < 120; i++)
        jmp_log(JMP_LOG_INFO, NULL, "number %u.", i);
    jmp_telemetry_flush(service.telemetry, 10 * JMP_USEC_PER_SEC, on_flushed, &service);
    bench_until(&service.bench, &service.flushed);
    assert_non_null(strstr(service.seen, "|number 0.|"));
    assert_non_null(strstr(service.seen, "|number 119.|"));

    /* Nothing is left, so nothing is waited for. */
    service.flushed = false;
    jmp_telemetry_flush(service.telemetry, 10 * JMP_USEC_PER_SEC, on_flushed, &service);
    assert_true(service.flushed);
    service_close(&service);
}

/* What it cannot be rid of must not keep the exporter from leaving. */
JMP_TEST(a_flush_is_over_when_the_service_refuses_or_keeps_silent)
{
    for (unsigned silent = 0; silent < 2; silent++) {
        struct service service;

        service_open(&service, "info");
        service.silent = silent;
        service.code = JMP_UNAVAILABLE;
        for (unsigned i = 0; i < 120; i++)
            jmp_log(JMP_LOG_INFO, NULL, "number %u.", i);
        jmp_telemetry_flush(service.telemetry, silent ? 50 * JMP_USEC_PER_MSEC : 10 * JMP_USEC_PER_SEC, on_flushed,
                            &service);
        bench_until(&service.bench, &service.flushed);
        assert_true(service.calls <= 1);
        service_close(&service);
    }
}
