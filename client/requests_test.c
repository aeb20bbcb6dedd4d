/* SPDX-License-Identifier: Apache-2.0 */
/* What a controller is asked, message by message, and what becomes of its answers, also of those that no controller
 * should give. */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/test.h"
#include "client/controller_client.h"
#include "client/dump.h"
#include "client/selector.h"
#include "jumpstarter/client/v1/client.pb-c.h"
#include "rpc/methods.h"
#include "rpc/server.h"

#define NOON INT64_C(1704106800000000) /* 2024-01-01T12:00+01:00, of some zone or other */

struct bench {
    struct jmp_client *client;
    struct jmp_controller_client *controller;
    struct jmp_server *server;
    struct jmp_tree *tree;

    /* What it answers, unless it refuses. */
    Jumpstarter__Client__V1__Exporter exporter;
    Jumpstarter__Client__V1__Lease lease;
    Jumpstarter__Client__V1__RotateTokenResponse token;
    enum jmp_code code;
    const char *text;
    unsigned pages; /* of leases */

    const char *method; /* what it was asked last */
    ProtobufCMessage *request;
    uint8_t packed[256];
    size_t length;
    unsigned requests;
    char tokens[32]; /* of pages, in the order they were asked for */
};

static bool was_asked(struct bench *bench, struct jmp_rpc *rpc, const char *method, const ProtobufCMessage *request)
{
    bench->requests++;
    bench->method = method;
    bench->length = protobuf_c_message_get_packed_size(request);
    assert_true(bench->length <= sizeof(bench->packed));
    protobuf_c_message_pack(request, bench->packed);
    if (bench->request)
        protobuf_c_message_free_unpacked(bench->request, NULL);
    bench->request = protobuf_c_message_unpack(request->descriptor, NULL, bench->length, bench->packed);
    assert_non_null(bench->request);
    if (bench->code == JMP_OK)
        return true;
    jmp_rpc_finish(rpc, bench->code, "%s", bench->text);
    return false;
}

#define ANSWERS(name, member) \
    static void name(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user) \
    { \
        struct bench *bench = user; \
        if (was_asked(bench, rpc, #name, request)) \
            jmp_rpc_reply(rpc, &bench->member.base); \
    }
ANSWERS(get_exporter, exporter)
ANSWERS(get_lease, lease)
ANSWERS(create_lease, lease)
ANSWERS(update_lease, lease)
ANSWERS(rotate_token, token)

static void list_exporters(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    Jumpstarter__Client__V1__ListExportersResponse response = JUMPSTARTER__CLIENT__V1__LIST_EXPORTERS_RESPONSE__INIT;

    if (was_asked(user, rpc, __func__, request))
        jmp_rpc_reply(rpc, &response.base);
}

static void list_leases(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    Jumpstarter__Client__V1__ListLeasesResponse response = JUMPSTARTER__CLIENT__V1__LIST_LEASES_RESPONSE__INIT;
    struct bench *bench = user;
    Jumpstarter__Client__V1__Lease *list[] = { &bench->lease };
    char next[16] = "";

    if (!was_asked(bench, rpc, __func__, request))
        return;
    strcat(strcat(bench->tokens, ((const Jumpstarter__Client__V1__ListLeasesRequest *)request)->page_token), ";");
    response.leases = list;
    response.n_leases = 1;
    if (bench->requests < bench->pages)
        snprintf(next, sizeof(next), "t%u", bench->requests);
    response.next_page_token = next;
    jmp_rpc_reply(rpc, &response.base);
}

static void delete_lease(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user)
{
    Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;

    if (was_asked(user, rpc, __func__, request))
        jmp_rpc_reply(rpc, &empty.base);
}

static const struct jmp_handler handlers[] = { { &jmp_client_get_exporter, get_exporter },
                                               { &jmp_client_list_exporters, list_exporters },
                                               { &jmp_client_get_lease, get_lease },
                                               { &jmp_client_list_leases, list_leases },
                                               { &jmp_client_create_lease, create_lease },
                                               { &jmp_client_update_lease, update_lease },
                                               { &jmp_client_delete_lease, delete_lease },
                                               { &jmp_client_rotate_token, rotate_token },
                                               {} };

static struct bench *bench_new(void)
{
    const struct jmp_server_options server = { .handlers = handlers };
    struct jmp_controller_options options = {
        .channel.plaintext = true, .namespace_ = "lab", .name = "ann", .token = "secret"
    };
    struct jmp_server_options with_user = server;
    struct bench *bench = calloc(1, sizeof(*bench));
    char endpoint[64];
    unsigned port;

    assert_non_null(bench);
    signal(SIGPIPE, SIG_IGN);
    jumpstarter__client__v1__exporter__init(&bench->exporter);
    bench->exporter.name = (char *)"namespaces/lab/exporters/e";
    jumpstarter__client__v1__lease__init(&bench->lease);
    bench->lease.name = (char *)"namespaces/lab/leases/x";
    bench->lease._client_case = JUMPSTARTER__CLIENT__V1__LEASE___CLIENT_CLIENT;
    bench->lease.client = (char *)"namespaces/lab/clients/ann";
    jumpstarter__client__v1__rotate_token_response__init(&bench->token);
    bench->token.token = (char *)"fresh";
    with_user.user = bench;
    assert_int_equal(jmp_tree_new(0, &bench->tree), 0);
    assert_int_equal(jmp_client_new(&bench->client), 0);
    assert_int_equal(jmp_server_new(jmp_client_queue(bench->client), &with_user, &bench->server), 0);
    assert_int_equal(jmp_server_listen(bench->server, "127.0.0.1:0", NULL, NULL, &port, NULL), 0);
    assert_int_equal(jmp_server_start(bench->server), 0);
    snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", port);
    options.channel.endpoint = endpoint;
    assert_int_equal(jmp_controller_client_new(bench->client, &options, &bench->controller, NULL), 0);
    return bench;
}

static void bench_freep(struct bench **bench)
{
    jmp_controller_client_free((*bench)->controller);
    jmp_server_free((*bench)->server);
    jmp_client_free((*bench)->client);
    jmp_tree_free((*bench)->tree);
    if ((*bench)->request)
        protobuf_c_message_free_unpacked((*bench)->request, NULL);
    free(*bench);
}

#define BENCH(name) _cleanup_(bench_freep) struct bench *name = bench_new()

static int ask_exporter(struct bench *bench, struct jmp_error *error)
{
    struct jmp_exporter exporter;

    return jmp_controller_client_exporter(bench->controller, "x", true, bench->tree, &exporter, error);
}

static int ask_exporters(struct bench *bench, struct jmp_error *error)
{
    struct jmp_exporters exporters;

    return jmp_controller_client_exporters(bench->controller, NULL, bench->tree, &exporters, error);
}

static int ask_lease(struct bench *bench, struct jmp_error *error)
{
    struct jmp_lease lease;

    return jmp_controller_client_lease(bench->controller, "x", bench->tree, &lease, NULL, error);
}

static int ask_leases(struct bench *bench, struct jmp_error *error)
{
    struct jmp_leases leases;

    return jmp_controller_client_leases(bench->controller, NULL, bench->tree, &leases, error);
}

static int ask_create(struct bench *bench, struct jmp_error *error)
{
    const struct jmp_lease_request request = { .selector = "a=b", .duration = 1000000, .begin = JMP_TIME_NONE };
    struct jmp_lease lease;

    return jmp_controller_client_create(bench->controller, &request, bench->tree, &lease, error);
}

static int change(struct bench *bench, int64_t duration, int64_t begin, const char *client, struct jmp_error *error)
{
    const struct jmp_lease_change change = { .duration = duration, .begin = begin, .client = client };
    struct jmp_lease lease;

    return jmp_controller_client_update(bench->controller, "x", &change, bench->tree, &lease, error);
}

static int ask_update(struct bench *bench, struct jmp_error *error)
{
    return change(bench, 1000000, JMP_TIME_NONE, NULL, error);
}

static int ask_delete(struct bench *bench, struct jmp_error *error)
{
    return jmp_controller_client_delete(bench->controller, "x", 10 * JMP_USEC_PER_SEC, error);
}

static int ask_rotate(struct bench *bench, struct jmp_error *error)
{
    const char *token;

    return jmp_controller_client_rotate(bench->controller, bench->tree, &token, NULL, error);
}

/* A string of a message by the name of its field, or NULL. */
static const char *text_of(const ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

    return field ? *(char *const *)((const char *)message + field->offset) : NULL;
}

JMP_TEST(every_request_names_what_it_is_about)
{
    static const struct {
        const char *method;
        int (*ask)(struct bench *bench, struct jmp_error *error);
        const char *field, *text;
    } cases[] = {
        { "get_exporter", ask_exporter, "name", "namespaces/lab/exporters/x" },
        { "list_exporters", ask_exporters, "parent", "namespaces/lab" },
        { "get_lease", ask_lease, "name", "namespaces/lab/leases/x" },
        { "list_leases", ask_leases, "parent", "namespaces/lab" },
        { "create_lease", ask_create, "parent", "namespaces/lab" },
        { "update_lease", ask_update, NULL, "namespaces/lab/leases/x" },
        { "delete_lease", ask_delete, "name", "namespaces/lab/leases/x" },
        { "rotate_token", ask_rotate, "parent", "namespaces/lab" },
    };
    BENCH(bench);

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        assert_int_equal(cases[i].ask(bench, NULL), 0);
        assert_int_equal(bench->requests, i + 1);
        assert_string_equal(bench->method, cases[i].method);
        assert_string_equal(cases[i].field
                                ? text_of(bench->request, cases[i].field)
                                : ((Jumpstarter__Client__V1__UpdateLeaseRequest *)bench->request)->lease->name,
                            cases[i].text);
    }
}

JMP_TEST(a_lease_is_asked_for_with_all_that_can_be_wished)
{
    static const uint8_t expected[] = {
        0x0a, 0x0e, 'n',  'a',  'm',  'e',  's',  'p',  'a',  'c',  'e',  's',  '/',  'l',  'a',  'b', 0x12,
        /* Duration: 1 s, 500000000 ns. */
        0x02, 'm',  'y',  0x1a, 0x27, 0x1a, 0x08, 0x08, 0x01, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01,
        0x2a, 0x06, 0x08, 0xa0, 0x9a, 0xca, 0xac, 0x06, /* begin_time: 2024-01-01T10:00:00Z */
        /* Exporter_name, tags, allow_disabled. */
        0x62, 0x01, 'e',  0x6a, 0x06, 0x0a, 0x01, 'a',  0x12, 0x01, 'b',  0x70, 0x01,
        0x7a, 0x06, 0x0a, 0x01, 'c',  0x12, 0x01, 'd',                                /* context */
    };
    struct jmp_pair tag = { "a", "b" }, context = { "c", "d" };
    struct jmp_lease_request request = { .exporter_name = "e",
                                         .lease_id = "my",
                                         .tags = { &tag, 1 },
                                         .context = { &context, 1 },
                                         .duration = 1500000,
                                         .begin = INT64_C(1704103200000000),
                                         .allow_disabled = true };
    const Jumpstarter__Client__V1__Lease *lease;
    struct jmp_lease made;
    BENCH(bench);

    assert_int_equal(jmp_controller_client_create(bench->controller, &request, bench->tree, &made, NULL), 0);
    assert_int_equal(bench->length, sizeof(expected));
    assert_memory_equal(bench->packed, expected, sizeof(expected));

    request = (struct jmp_lease_request){ .selector = "a=b", .duration = 1000000, .begin = JMP_TIME_NONE };
    assert_int_equal(jmp_controller_client_create(bench->controller, &request, bench->tree, &made, NULL), 0);
    lease = ((const Jumpstarter__Client__V1__CreateLeaseRequest *)bench->request)->lease;
    assert_int_equal(lease->_exporter_name_case, JUMPSTARTER__CLIENT__V1__LEASE___EXPORTER_NAME_EXPORTER_NAME);
    assert_string_equal(lease->exporter_name, ""); /* there, and empty */
    assert_int_equal(lease->_begin_time_case, 0);
}

JMP_TEST(a_controller_compares_equalities_and_we_the_rest)
{
    const Jumpstarter__Client__V1__ListLeasesRequest *asked;
    struct jmp_list_options options = { .tag_filter = "job" };
    struct jmp_leases leases;
    BENCH(bench);

    assert_int_equal(jmp_selector_equalities("board=rpi, env in (a,b), !x, y", bench->tree, &options.filter), 0);
    assert_int_equal(jmp_controller_client_leases(bench->controller, &options, bench->tree, &leases, NULL), 0);
    asked = (const void *)bench->request;
    assert_string_equal(asked->filter, "board=rpi");
    assert_string_equal(asked->tag_filter, "job");
    assert_int_equal(asked->_only_active_case, JUMPSTARTER__CLIENT__V1__LIST_LEASES_REQUEST___ONLY_ACTIVE_ONLY_ACTIVE);
    assert_true(asked->only_active);
    options.ended = true;
    assert_int_equal(jmp_controller_client_leases(bench->controller, &options, bench->tree, &leases, NULL), 0);
    asked = (const void *)bench->request;
    assert_int_equal(asked->_only_active_case, JUMPSTARTER__CLIENT__V1__LIST_LEASES_REQUEST___ONLY_ACTIVE_ONLY_ACTIVE);
    assert_false(asked->only_active);
}

JMP_TEST(only_what_is_to_change_is_named)
{
    static const struct {
        int64_t duration, begin;
        const char *client, *paths[4];
    } cases[] = {
        { 60000000, JMP_TIME_NONE, NULL, { "duration" } },
        { JMP_TIME_NONE, NOON, NULL, { "begin_time" } },
        { JMP_TIME_NONE, JMP_TIME_NONE, "bob", { "client" } },
        { 60000000, NOON, "bob", { "duration", "begin_time", "client" } },
    };
    struct jmp_error error = JMP_ERROR_INIT;
    BENCH(bench);

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const Jumpstarter__Client__V1__UpdateLeaseRequest *asked;
        size_t n = 0;

        assert_int_equal(change(bench, cases[i].duration, cases[i].begin, cases[i].client, NULL), 0);
        asked = (const void *)bench->request;
        for (; cases[i].paths[n]; n++)
            assert_string_equal(asked->update_mask->paths[n], cases[i].paths[n]);
        assert_int_equal(asked->update_mask->n_paths, n);
        assert_int_equal(!asked->lease->duration, cases[i].duration == JMP_TIME_NONE);
        assert_int_equal(!asked->lease->begin_time, cases[i].begin == JMP_TIME_NONE);
        if (cases[i].client)
            assert_string_equal(asked->lease->client, "namespaces/lab/clients/bob");
    }
    assert_int_equal(change(bench, JMP_TIME_NONE, JMP_TIME_NONE, NULL, &error), -EINVAL);
    assert_non_null(strstr(error.text, "at least one of duration, begin and client"));
    assert_int_equal(bench->requests, ELEMENTSOF(cases));
}

JMP_TEST(pages_are_asked_for_by_the_token_of_the_one_before)
{
    const struct jmp_list_options options = { .page_size = 5 };
    struct jmp_leases leases;
    BENCH(bench);

    bench->pages = 3;
    assert_int_equal(jmp_controller_client_leases(bench->controller, &options, bench->tree, &leases, NULL), 0);
    assert_int_equal(bench->requests, 3);
    assert_int_equal(leases.count, 3);
    assert_string_equal(bench->tokens, ";t1;t2;");
    assert_int_equal(((const Jumpstarter__Client__V1__ListLeasesRequest *)bench->request)->page_size, 5);
}

JMP_TEST(a_name_that_is_none_makes_an_answer_useless)
{
    static const struct {
        const char *exporter, *lease, *client, *leased, *words;
    } cases[] = {
        { .exporter = "exporters/e", .words = "expecting 4, got 2" },
        { .exporter = "namespaces/lab/exporters/e/f", .words = "expecting 4, got 5" },
        { .exporter = "foo/lab/exporters/e", .words = "first segment" },
        { .exporter = "namespaces/lab/leases/e", .words = "third segment" },
        { .exporter = "", .words = "expecting 4, got 1" },
        { .lease = "namespaces/lab/exporters/x", .words = "third segment" },
        { .client = "", .words = "expecting 4, got 1" },
        { .client = "namespaces/lab/exporters/ann", .words = "expecting \"clients\"" },
        { .leased = "e", .words = "expecting 4, got 1" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_error error = JMP_ERROR_INIT;
        BENCH(bench);

        bench->exporter.name = (char *)(cases[i].exporter ?: bench->exporter.name);
        bench->lease.name = (char *)(cases[i].lease ?: bench->lease.name);
        bench->lease.client = (char *)(cases[i].client ?: bench->lease.client);
        bench->lease._exporter_case = JUMPSTARTER__CLIENT__V1__LEASE___EXPORTER_EXPORTER;
        bench->lease.exporter = (char *)(cases[i].leased ?: ""); /* none yet */
        assert_int_equal((cases[i].exporter ? ask_exporter : ask_lease)(bench, &error), -EINVAL);
        if (!strstr(error.text, cases[i].words) || !strstr(error.text, "cannot be used"))
            fail_msg("\"%s\" does not say \"%s\"", error.text, cases[i].words);
        if (!cases[i].exporter)
            assert_int_equal(ask_leases(bench, NULL), -EINVAL);
    }
}

JMP_TEST(an_exporter_has_the_status_of_its_number)
{
    static const char *const names[] = { "UNKNOWN",
                                         "OFFLINE",
                                         "AVAILABLE",
                                         "BEFORE_LEASE_HOOK",
                                         "LEASE_READY",
                                         "AFTER_LEASE_HOOK",
                                         "BEFORE_LEASE_HOOK_FAILED",
                                         "AFTER_LEASE_HOOK_FAILED",
                                         "UNKNOWN" };
    const struct jmp_exporter_view view = { .status = true };
    BENCH(bench);

    for (unsigned status = 0; status < ELEMENTSOF(names); status++) {
        _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
        struct jmp_exporter exporter;
        const struct jmp_node *node;

        bench->exporter.status = (Jumpstarter__V1__ExporterStatus)status;
        bench->exporter._enabled_case = status % 2 ? JUMPSTARTER__CLIENT__V1__EXPORTER___ENABLED_ENABLED
                                                   : JUMPSTARTER__CLIENT__V1__EXPORTER___ENABLED__NOT_SET;
        assert_int_equal(jmp_controller_client_exporter(bench->controller, "e", false, bench->tree, &exporter, NULL),
                         0);
        assert_string_equal(jmp_exporter_status_name(exporter.status), names[status]);
        assert_int_equal(exporter.enabled, status % 2 == 0); /* one that does not say is enabled */
        assert_int_equal(jmp_writer_new(bench->tree, &writer), 0);
        jmp_write_exporter(writer, &exporter, NULL, &view);
        assert_int_equal(jmp_writer_finish(writer, &node), 0);
        node = jmp_node_get(node, "status");
        if (strcmp(names[status], "UNKNOWN") == 0)
            assert_int_equal(node->kind, JMP_NODE_NULL);
        else
            assert_int_equal(node->integer, status);
    }
}

JMP_TEST(a_lease_is_written_with_local_times_and_numbers_as_text)
{
    static const char expected[] =
        "{\n    \"namespace\": \"lab\",\n    \"name\": \"x\",\n    \"selector\": \"\",\n    \"exporter_name\": null,\n "
        "   \"tags\": {},\n"
        "    \"context\": {},\n    \"duration\": 3600.5,\n    \"effective_duration\": null,\n    \"begin_time\": "
        "null,\n"
        "    \"client\": \"ann\",\n    \"exporter\": \"\",\n    \"conditions\": [\n        {\n            \"type\": "
        "\"Ready\",\n"
        "            \"status\": \"True\",\n            \"observedGeneration\": \"3\",\n            \"reason\": "
        "\"Ready\",\n"
        "            \"message\": \"\"\n        }\n    ],\n"
        "    \"effective_begin_time\": \"2024-01-01T13:00:00.123456+01:00\",\n    \"effective_end_time\": null,\n"
        "    \"deprecated_labels\": {}\n}";
    Google__Protobuf__Timestamp begin = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    Jumpstarter__V1__Condition condition = JUMPSTARTER__V1__CONDITION__INIT, *conditions[] = { &condition };
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    _cleanup_free_ char *text = NULL;
    const struct jmp_node *node;
    struct jmp_lease lease;
    BENCH(bench);

    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1); /* of Berlin, also where there is no table of zones */
    begin.seconds = 1704110400;
    begin.nanos = 123456000;
    bench->lease._effective_begin_time_case =
        JUMPSTARTER__CLIENT__V1__LEASE___EFFECTIVE_BEGIN_TIME_EFFECTIVE_BEGIN_TIME;
    bench->lease.effective_begin_time = &begin;
    duration.seconds = 3600;
    duration.nanos = 500000000;
    bench->lease._duration_case = JUMPSTARTER__CLIENT__V1__LEASE___DURATION_DURATION;
    bench->lease.duration = &duration;
    condition._type_case = JUMPSTARTER__V1__CONDITION___TYPE_TYPE;
    condition.type = (char *)"Ready";
    condition._status_case = JUMPSTARTER__V1__CONDITION___STATUS_STATUS;
    condition.status = (char *)"True";
    condition._reason_case = JUMPSTARTER__V1__CONDITION___REASON_REASON;
    condition.reason = (char *)"Ready";
    condition._observed_generation_case = JUMPSTARTER__V1__CONDITION___OBSERVED_GENERATION_OBSERVED_GENERATION;
    condition.observedgeneration = 3;
    bench->lease.conditions = conditions;
    bench->lease.n_conditions = 1;
    assert_int_equal(jmp_controller_client_lease(bench->controller, "x", bench->tree, &lease, NULL, NULL), 0);
    assert_int_equal(jmp_lease_expiry(&lease), INT64_C(1704114000623456));
    assert_int_equal(jmp_writer_new(bench->tree, &writer), 0);
    jmp_write_lease(writer, &lease);
    assert_int_equal(jmp_writer_finish(writer, &node), 0);
    assert_int_equal(jmp_json_print(node, 4, &text), 0);
    assert_string_equal(text, expected);
}

JMP_TEST(a_refusal_keeps_the_controllers_words)
{
    static const struct {
        enum jmp_code code;
        const char *text;
        int r;
        const char *words, *hint;
    } cases[] = {
        { JMP_UNAVAILABLE, "down for a moment", -ECONNREFUSED, "cannot be reached: down for a moment",
          "is it running" },
        { JMP_UNKNOWN, "no such lease", -EREMOTEIO, "no such lease", "" },
        { JMP_NOT_FOUND, "lease x not found", -ENOENT, "lease x not found", "" },
        { JMP_UNAUTHENTICATED, "token is expired (Token Expiry: then)", -EKEYREJECTED, "token is expired",
          "ask for a new one" },
        { JMP_UNKNOWN, "oidc: token is expired (Token Expiry: then)", -EREMOTEIO, "token is expired",
          "ask for a new one" },
    };
    BENCH(bench);

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_error error = JMP_ERROR_INIT;

        bench->code = cases[i].code;
        bench->text = cases[i].text;
        assert_int_equal(ask_lease(bench, &error), cases[i].r);
        if (!strstr(error.text, cases[i].words) || !strstr(error.hint, cases[i].hint))
            fail_msg("\"%s\" (%s) does not say \"%s\"", error.text, error.hint, cases[i].words);
        assert_int_equal(bench->requests, i + 1); /* nothing is sent twice */
    }
}
