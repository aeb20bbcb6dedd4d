/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library says to an API server, for tests: kube-probe KUBECONFIG reads a JSON object a line and answers each
 * with one.
 *
 *   {"do": "request", "method": "PUT", "path": "/apis/...", "body": {...}, "type": "application/json"}
 *   {"do": "list", "path": "/apis/...", "query": "labelSelector=a"}
 *   {"do": "stream", "path": "/apis/...?watch=1"}     lines as {"line": ...}, then the status
 *   {"do": "watch", "path": "/apis/...", "selector": "a=b", "field": "metadata.name=x"}   events, until the input ends
 *   {"do": "read", "kind": 3, "object": {...}}        {"path": what was wrong} or {"path": null}
 */
#include <string.h>

#include "config/yaml.h"
#include "kube/objects.h"
#include "kube/watch.h"

static struct jmp_loop *loop;
static struct jmp_kube *kube;

static void say(json_t *what)
{
    json_dumpf(what, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(what);
}

static void on_done(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    json_t *causes = json_array();

    for (unsigned i = 0; i < status->n_causes; i++)
        json_array_append_new(causes, json_pack("{s:s, s:s, s:s}", "reason", status->causes[i].reason, "message",
                                                status->causes[i].message, "field", status->causes[i].field));
    say(json_pack("{s:i, s:s, s:s, s:s, s:i, s:o, s:O?}", "code", (int)status->code, "reason",
                  jmp_kube_reason_name(status->reason), "word", status->reason_word, "message", status->message,
                  "error", status->error, "causes", causes, "answer", answer));
    jmp_loop_exit(loop, 0);
}

static int on_line(const char *text, size_t length, void *user)
{
    say(json_pack("{s:o}", "line", json_loadb(text, length, 0, NULL)));
    return 0;
}

static void on_changed(const char *name, json_t *object, void *user)
{
    say(json_pack("{s:s, s:s, s:O}", "event", "changed", "name", name, "object", object));
}

static void on_gone(const char *name, void *user)
{
    say(json_pack("{s:s, s:s}", "event", "gone", "name", name));
}
static void on_synced(void *user)
{
    say(json_pack("{s:s}", "event", "synced"));
}
static void on_failing(const struct jmp_kube_status *status, void *user)
{
    say(json_pack("{s:s, s:s}", "event", "failing", "message", status->message));
}

static const struct jmp_kube_watch_events events = {
    .changed = on_changed, .gone = on_gone, .synced = on_synced, .failing = on_failing
};

static void on_input(struct jmp_io *io, uint32_t revents)
{
    jmp_loop_exit(loop, 0);
}

static const char *get(const json_t *order, const char *key)
{
    return json_string_value(json_object_get(order, key));
}

static int watch(const json_t *order)
{
    _cleanup_(jmp_kube_watch_freep) struct jmp_kube_watch *watching = NULL;
    struct jmp_io io = { 0 };
    int r;

    r = jmp_kube_watch_new(kube, get(order, "path"), get(order, "selector"), get(order, "field"), &events, NULL,
                           &watching);
    if (r == 0)
        r = jmp_io_start(loop, &io, STDIN_FILENO, EPOLLIN, on_input);
    if (r == 0)
        jmp_loop_run(loop);
    jmp_io_close(&io);
    return r;
}

static void read_object(const json_t *order)
{
    struct jmp_kube_object *object = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    int r = jmp_kube_object_read((enum jmp_kube_kind)json_integer_value(json_object_get(order, "kind")),
                                 json_object_get(order, "object"), &object, &error);

    say(json_pack("{s:s?}", "path", r < 0 ? error.path : NULL));
    jmp_kube_object_free(object);
}

static int obey(const json_t *order)
{
    const char *what = get(order, "do") ?: "", *path = get(order, "path") ?: "/";
    const struct jmp_kube_call call = { .method = get(order, "method") ?: "GET",
                                        .path = path,
                                        .body = json_object_get(order, "body"),
                                        .content_type = get(order, "type") };
    int r;

    if (strcmp(what, "read") == 0) {
        read_object(order);
        return 0;
    }
    if (strcmp(what, "watch") == 0)
        return watch(order);
    if (strcmp(what, "list") == 0)
        r = jmp_kube_list(kube, path, get(order, "query"), on_done, NULL, NULL);
    else if (strcmp(what, "stream") == 0)
        r = jmp_kube_stream(kube, path, 60 * JMP_USEC_PER_SEC, on_line, on_done, NULL, NULL);
    else
        r = jmp_kube_request(kube, &call, on_done, NULL, NULL);
    if (r == 0)
        jmp_loop_run(loop);
    jmp_loop_resume(loop);
    return r;
}

int main(int argc, char **argv)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_kube_access *access = NULL;
    _cleanup_free_ char *line = NULL;
    size_t size = 0;
    int r;

    if (argc != 2)
        return 2;
    setvbuf(stdin, NULL, _IONBF, 0); /* what is read ahead would be no input of the loop's */
    r = jmp_kube_access_load(argv[1], NULL, NULL, jmp_yaml_parse, &access, &error);
    if (r == 0)
        r = jmp_loop_new(&loop);
    if (r == 0)
        r = jmp_kube_new(loop, access, &kube, &error);
    while (r == 0 && getline(&line, &size, stdin) > 0) {
        json_t *order = json_loads(line, 0, NULL);

        r = order ? obey(order) : -EINVAL;
        json_decref(order);
    }
    if (r < 0)
        jmp_error_print(stderr, "kube-probe", &error);
    kube = jmp_kube_free(kube);
    loop = jmp_loop_free(loop);
    return r < 0;
}
