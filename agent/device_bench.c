/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/device_bench.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/json.h"

unsigned bench_fault;

static const char *text_of(const struct jmp_node *map, const char *key)
{
    return jmp_node_string(jmp_node_get(map, key));
}

static struct jmp_device_config *read_entries(struct jmp_tree *tree, const struct jmp_node *map, const char *parent)
{
    struct jmp_device_config *first = NULL, **last = &first;

    JMP_NODE_EACH(node, map) {
        struct jmp_device_config *config = jmp_tree_alloc(tree, sizeof(*config));
        size_t size = strlen(parent) + strlen(node->key) + 2;
        char *path = jmp_tree_alloc(tree, size);

        assert_non_null(config);
        assert_non_null(path);
        snprintf(path, size, "%s%s%s", parent, parent[0] ? "." : "", node->key);
        *config = (struct jmp_device_config){
            .name = node->key, .path = path, .type = text_of(node, "type"), .ref = text_of(node, "ref"),
            .description = text_of(node, "description"), .config = jmp_node_get(node, "config"),
            .methods_description = jmp_node_get(node, "methods_description"),
            .labels = jmp_node_get(jmp_node_get(node, "config"), "labels"),
            .line = node->line ? node->line : 1, .column = node->column ? node->column : 1,
        };
        config->children = read_entries(tree, jmp_node_get(node, "children"), path);
        *last = config;
        last = &config->next;
    }
    return first;
}

#define RETRY (20 * JMP_USEC_PER_MSEC)
#define GATE (8 * JMP_USEC_PER_MSEC)

void bench_hurry(struct bench *bench)
{
    jmp_devices_set_limits(bench->devices,
                           &(struct jmp_limits){ .open = 300 * JMP_USEC_PER_MSEC,
                                                 .reset = JMP_USEC_PER_SEC,
                                                 .give_up = 200 * JMP_USEC_PER_MSEC,
                                                 .retry = RETRY,
                                                 .gate = GATE });
}

int bench_try(const char *json, struct bench **ret)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct jmp_error error = JMP_ERROR_INIT;
    const struct jmp_node *map;
    int r;

    assert_non_null(bench);
    memset(&bench_world, 0, sizeof(bench_world));
    signal(SIGPIPE, SIG_IGN);
    bench_fault = 0;
    atomic_store(&bench_world.present, true);
    atomic_store(&bench_world.board, -1);
    assert_int_equal(jmp_loop_new(&bench->loop), 0);
    assert_int_equal(jmp_tree_new(0, &bench->tree), 0);
    r = jmp_json_parse(json, strlen(json), bench->tree, &map, &error);
    if (r < 0)
        fail_msg("%s", error.text);
    bench->config = (struct jmp_exporter_config){
        .tree = bench->tree, .file = "bench.yaml", .name = "bench", .namespace_ = "lab", .description = "a bench",
        .devices = read_entries(bench->tree, map, ""),
    };
    r = jmp_devices_new(bench->loop, &bench->config, NULL, &bench->devices, &bench->problems);
    if (r == 0)
        jmp_devices_set_limits(bench->devices, &(struct jmp_limits){ .open = BENCH_DEADLINE,
                                                                     .reset = BENCH_DEADLINE,
                                                                     .give_up = BENCH_DEADLINE,
                                                                     .retry = RETRY,
                                                                     .gate = GATE });
    *ret = bench;
    return r;
}

struct bench *bench_new(const char *json)
{
    struct bench *bench;

    if (bench_try(json, &bench) < 0)
        fail_msg("%s: %s", bench->problems.first ? bench->problems.first->error.path : "?",
                 bench->problems.first ? bench->problems.first->error.text : "no problem named");
    return bench;
}

struct bench *bench_free(struct bench *bench)
{
    if (!bench)
        return NULL;
    jmp_devices_free(bench->devices);
    jmp_close(atomic_exchange(&bench_world.board, -1));
    jmp_problems_clear(&bench->problems);
    jmp_loop_free(bench->loop);
    jmp_tree_free(bench->tree);
    free(bench);
    return NULL;
}

static void run_once(struct bench *bench, uint64_t deadline)
{
    if (jmp_now() > deadline)
        fail_msg("what was waited for did not come");
    jmp_loop_dispatch(bench->loop, true);
}

/* Sleeps until the loop has something to do; the checks of the caller come after that. */
static void sleep_once(struct bench *bench) { sd_event_run(jmp_loop_event(bench->loop), 5000); }

void bench_until(struct bench *bench, const bool *flag)
{
    uint64_t deadline = jmp_now() + BENCH_DEADLINE;

    for (;;) {
        run_once(bench, deadline);
        if (*flag)
            return;
        sleep_once(bench);
    }
}

void bench_until_missing(struct bench *bench, const char *path, bool missing)
{
    uint64_t deadline = jmp_now() + BENCH_DEADLINE;

    for (;;) {
        run_once(bench, deadline);
        if (!jmp_device_missing(jmp_devices_find_path(bench->devices, path)) == !missing)
            return;
        sleep_once(bench);
    }
}

void bench_until_closed(struct bench *bench, int count)
{
    uint64_t deadline = jmp_now() + BENCH_DEADLINE;

    while (atomic_load(&bench_world.close_count) < count) {
        run_once(bench, deadline);
        sleep_once(bench);
    }
}

void bench_await(const atomic_int *what, int least)
{
    struct pollfd counted = { .fd = bench_counted(), .events = POLLIN };
    uint64_t begun = jmp_now();
    eventfd_t n;

    assert_true(counted.fd >= 0);
    while (atomic_load(what) < least) {
        if (jmp_now() - begun > BENCH_DEADLINE)
            fail_msg("what was waited for did not come");
        if (poll(&counted, 1, BENCH_DEADLINE / JMP_USEC_PER_MSEC) > 0)
            eventfd_read(counted.fd, &n);
    }
}

void bench_done(void *user) { *(bool *)user = true; }

void bench_start(struct bench *bench)
{
    bool done = false;

    assert_int_equal(jmp_devices_start(bench->devices, bench_done, &done), 0);
    bench_until(bench, &done);
}

void outcome_clear(struct outcome *outcome)
{
    free(outcome->result);
    jmp_close(outcome->fd);
    *outcome = OUTCOME;
}

static void set_result(struct outcome *outcome, const struct jmp_node *value)
{
    jmp_fault_disarm();   /* from here on it would be the test's own memory */
    free(TAKE_PTR(outcome->result));
    if (value)
        assert_int_equal(jmp_json_print(value, 0, &outcome->result), 0);
}

static void on_item(struct jmp_call *call, const struct jmp_node *value, bool more, void *user)
{
    struct outcome *outcome = user;

    outcome->item = true;
    outcome->items++;
    set_result(outcome, value);
    if (!outcome->more_by_hand)
        jmp_call_more(call);
}

static void on_stream(struct jmp_call *call, int fd, void *user)
{
    struct outcome *outcome = user;

    assert_false(outcome->stream);
    assert_false(outcome->done);
    outcome->stream = true;
    outcome->fd = fd;
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void on_done(struct jmp_call *call, int error, const char *text, const struct jmp_node *result, void *user)
{
    struct outcome *outcome = user;

    assert_false(outcome->done);
    outcome->done = true;
    outcome->call = NULL;
    outcome->error = error;
    snprintf(outcome->text, sizeof(outcome->text), "%s", text);
    if (error < 0)
        assert_true(text[0]);
    if (result)
        set_result(outcome, result);
}

void bench_call(struct bench *bench, const char *path, const char *method, enum jmp_call_kind kind, const char *args,
                struct outcome *outcome)
{
    static const struct jmp_call_events events = { .item = on_item, .stream = on_stream, .done = on_done };
    struct jmp_device *device = jmp_devices_find_path(bench->devices, path);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    const struct jmp_node *list = NULL;
    int r;

    assert_non_null(device);
    assert_int_equal(jmp_tree_new(0, &tree), 0);
    if (args && jmp_json_parse(args, strlen(args), tree, &list, &error) < 0)
        fail_msg("%s", error.text);
    if (bench_fault)
        jmp_fault_arm(JMP_FAULT_ALLOC, bench_fault);
    r = jmp_call_start(device, method, kind, list, &events, outcome, &outcome->call, &error);
    assert_false(outcome->done);
    if (r < 0) {
        jmp_fault_disarm();
        outcome->done = true;
        outcome->error = r;
        snprintf(outcome->text, sizeof(outcome->text), "%s", error.text);
    }
}

void bench_answer(struct bench *bench, const char *path, const char *method, const char *args, struct outcome *outcome)
{
    outcome_clear(outcome);
    bench_call(bench, path, method, JMP_CALL_UNARY, args, outcome);
    bench_until(bench, &outcome->done);
}

void bench_read(struct bench *bench, int fd, void *data, size_t size)
{
    uint64_t deadline = jmp_now() + BENCH_DEADLINE;
    char *at = data;

    while (size > 0) {
        ssize_t n;

        run_once(bench, deadline);
        n = read(fd, at, size);
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        } else if (n == 0) {
            fail_msg("the stream ended, %zu bytes too early", size);
        } else {
            assert_int_equal(errno, EAGAIN);
            sleep_once(bench);
        }
    }
}

size_t bench_read_end(struct bench *bench, int fd, char *data, size_t size)
{
    uint64_t deadline = jmp_now() + BENCH_DEADLINE;
    size_t got = 0;

    for (;;) {
        ssize_t n;

        run_once(bench, deadline);
        assert_true(got < size);
        n = read(fd, data + got, size - got);
        if (n == 0)
            return got;
        if (n > 0) {
            got += (size_t)n;
        } else {
            assert_int_equal(errno, EAGAIN);
            sleep_once(bench);
        }
    }
}

void bench_write(struct bench *bench, int fd, const void *data, size_t size)
{
    uint64_t deadline = jmp_now() + BENCH_DEADLINE;
    const char *at = data;

    while (size > 0) {
        ssize_t n;

        run_once(bench, deadline);
        n = write(fd, at, size);   /* sockets and terminals; all of them are non-blocking */
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        } else {
            assert_int_equal(errno, EAGAIN);
            sleep_once(bench);
        }
    }
}
