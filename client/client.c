/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <string.h>

struct jmp_client {
    struct jmp_loop *loop;
    struct jmp_queue *queue;
    struct jmp_timer timer;      /* of the wait that runs */
    uint64_t shield;             /* microseconds by which an interruption may be late */
    bool expired, interrupted, waiting;
};

int jmp_client_new(struct jmp_client **ret)
{
    _cleanup_(jmp_client_freep) struct jmp_client *client = calloc(1, sizeof(*client));
    int r;

    if (!client)
        return -ENOMEM;
    r = jmp_loop_new(&client->loop);
    if (r < 0)
        return r;
    r = jmp_queue_new(client->loop, &client->queue);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(client);
    return 0;
}

struct jmp_client *jmp_client_free(struct jmp_client *client)
{
    if (!client)
        return NULL;
    jmp_timer_close(&client->timer);
    jmp_queue_free(client->queue);
    jmp_loop_free(client->loop);
    free(client);
    return NULL;
}

struct jmp_loop *jmp_client_loop(struct jmp_client *client) { return client->loop; }
struct jmp_queue *jmp_client_queue(struct jmp_client *client) { return client->queue; }
bool jmp_client_interrupted(const struct jmp_client *client) { return client->interrupted; }

void jmp_client_wake(struct jmp_client *client)
{
    if (client->waiting)
        jmp_loop_exit(client->loop, 0);
}

void jmp_client_interrupt(struct jmp_client *client)
{
    client->interrupted = true;
    jmp_client_wake(client);
}

void jmp_client_resume(struct jmp_client *client) { client->interrupted = false; }
void jmp_client_shield(struct jmp_client *client, uint64_t usec) { client->shield = usec; }

static void on_expired(struct jmp_timer *timer)
{
    struct jmp_client *client = CONTAINER_OF(timer, struct jmp_client, timer);

    client->expired = true;
    jmp_client_wake(client);
}

static int run(struct jmp_client *client, const bool *done, uint64_t timeout, bool steadfast)
{
    bool late = false;
    int r;

    client->expired = false;
    r = jmp_timer_start(client->loop, &client->timer, timeout, on_expired);
    if (r < 0)
        return r;
    while (!*done) {
        if (client->interrupted && !steadfast && !late) {
            r = -ECANCELED;
            if (!client->shield)
                break;
            late = true;
            client->expired = false;
            r = jmp_timer_start(client->loop, &client->timer, client->shield, on_expired);
            if (r < 0)
                break;
        }
        if (client->expired) {
            r = late ? -ECANCELED : -ETIMEDOUT;
            break;
        }
        client->waiting = true;
        jmp_loop_resume(client->loop);
        r = jmp_queue_run(client->queue);
        client->waiting = false;
        if (r < 0)
            break;
    }
    jmp_timer_stop(&client->timer);
    return *done ? 0 : r;
}

int jmp_client_wait(struct jmp_client *client, const bool *done, uint64_t timeout)
{
    return run(client, done, timeout, false);
}

int jmp_client_settle(struct jmp_client *client, const bool *done, uint64_t timeout)
{
    return run(client, done, timeout, true);
}

int jmp_client_pause(struct jmp_client *client, uint64_t usec)
{
    bool never = false;
    int r = jmp_client_wait(client, &never, usec);

    return r == -ETIMEDOUT ? 0 : r;
}

/* What gRPC says about a connection, without its layers: "failed to connect to all addresses; last error: UNKNOWN:
 * ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused" is "127.0.0.1:1: Connection refused". */
static void shorten(const char *text, char *ret, size_t size)
{
    static const char *const heads[] = {
        "failed to connect to all addresses; last error: ", "UNKNOWN: ", "UNAVAILABLE: ", "INTERNAL: ", "ipv4:", "ipv6:"
    };
    static const char remote[] = "Failed to connect to remote host: ";
    const char *at;

    for (size_t i = 0; i < ELEMENTSOF(heads); i++) {
        if (strncmp(text, heads[i], strlen(heads[i])) == 0)
            text += strlen(heads[i]);
    }
    if (strstr(text, "timed out before receiving SETTINGS")) {
        snprintf(ret, size, "nobody takes up the connection at its far end");
        return;
    }
    at = strstr(text, remote);
    if (at)
        snprintf(ret, size, "%.*s%s", (int)(at - text), text, at + strlen(remote));
    else
        snprintf(ret, size, "%s", text);
}

int jmp_client_refuse(struct jmp_error *reterr, const struct jmp_status *status)
{
    char words[512];

    if (!*status->text)
        return jmp_error_set(reterr, jmp_code_to_errno(status->code), "%s", jmp_code_name(status->code));
    if (status->code != JMP_UNAVAILABLE)
        return jmp_error_set(reterr, jmp_code_to_errno(status->code), "%s", status->text);
    shorten(status->text, words, sizeof(words));
    return jmp_error_set(reterr, jmp_code_to_errno(status->code), "%s", words);
}

struct call {
    struct jmp_client *client;
    int (*take)(const ProtobufCMessage *response, void *user, struct jmp_error *reterr);
    void *user;
    struct jmp_error error;
    enum jmp_code code;
    int result;
    bool done;
};

static void on_answer(const struct jmp_status *status, const ProtobufCMessage *response, void *user)
{
    struct call *call = user;

    call->code = status->code;
    if (status->code != JMP_OK)
        call->result = jmp_client_refuse(&call->error, status);
    else if (call->take && response)
        call->result = call->take(response, call->user, &call->error);
    call->done = true;
    jmp_client_wake(call->client);
}

int jmp_client_call(struct jmp_client *client, struct jmp_channel *channel, const struct jmp_method_info *method,
                    const struct jmp_metadata *metadata, uint64_t timeout, const ProtobufCMessage *request,
                    int (*take)(const ProtobufCMessage *response, void *user, struct jmp_error *reterr), void *user,
                    enum jmp_code *retcode, struct jmp_error *reterr)
{
    struct call call = { .client = client, .take = take, .user = user };
    struct jmp_rpc *rpc = NULL;
    int r;

    if (client->interrupted) {
        if (retcode)
            *retcode = JMP_CANCELLED;
        return jmp_error_set(reterr, -ECANCELED, "interrupted");
    }
    r = jmp_channel_unary(channel, method, metadata, timeout, request, on_answer, &call, &rpc);
    if (r < 0) {
        if (retcode)
            *retcode = JMP_INTERNAL;
        return jmp_error_set(reterr, r, "%s cannot be called: %m", method->path);
    }

    r = jmp_client_wait(client, &call.done, JMP_USEC_INFINITY);
    if (r < 0) {
        /* The call lives on our stack: it is over when its callback has come, which a cancelled one does at once. */
        jmp_rpc_cancel(rpc);
        while (!call.done)
            jmp_client_settle(client, &call.done, JMP_USEC_INFINITY);
        if (call.code != JMP_OK)
            call.result = jmp_error_set(&call.error, r, r == -ECANCELED ? "interrupted" : "%m");
    }
    if (retcode)
        *retcode = call.code;
    if (call.result < 0 && reterr) {
        if (call.error.error == 0)
            jmp_error_set(&call.error, call.result, "the answer to %s cannot be used: %m", method->path);
        *reterr = call.error;
    }
    return call.result;
}
