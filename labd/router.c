/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RouterService: two streams that came with the same token are one tunnel, and what comes out of one goes into the
 * other, unread. One message is under way in each direction: that is the back-pressure. (docs/protocol.md, "Router")
 */
#include <string.h>

#include "labd/service.h"
#include "rpc/frame.h"

#define ENDS_MAX 8192u

struct jmp_tunnel_end {
    struct jmp_tunnel_end *next;         /* while parked */
    struct jmp_lab *lab;
    struct jmp_rpc *rpc;
    struct jmp_tunnel_end *peer;         /* NULL: parked, or the peer has gone */
    struct jmp_timer lone;
    char stream[JMP_UUID_SIZE + 1];
    bool parked, sending, read_all, over;
    bool farewell;                       /* the peer has gone: GOAWAY after the message under way, then the end */
};

static void unpark(struct jmp_tunnel_end *end)
{
    struct jmp_tunnel_end **link = &end->lab->parked;

    if (!end->parked)
        return;
    while (*link != end)
        link = &(*link)->next;
    *link = end->next;
    end->parked = false;
    jmp_timer_close(&end->lone);
}

static void finish(struct jmp_tunnel_end *end, enum jmp_code code, const char *text)
{
    if (end->over)
        return;
    end->over = true;
    jmp_rpc_finish(end->rpc, code, "%s", text);
}

/*
 * The other side has dropped, without a word. The survivor hears GOAWAY, which every peer takes for the end of the
 * stream, and then the end of the call; an error instead would leave some clients waiting.
 */
static void say_farewell(struct jmp_tunnel_end *end)
{
    struct jmp_buffer *goaway;

    if (end->over)
        return;
    if (end->sending) {
        end->farewell = true;
        return;
    }
    goaway = jmp_frame_encode(JMP_FRAME_GOAWAY, NULL, 0);
    if (goaway)
        jmp_rpc_send_buffer(end->rpc, goaway);   /* should it fail, the call is ending anyway */
    finish(end, JMP_OK, "");
}

static void on_buffer(struct jmp_rpc *rpc, struct jmp_buffer *buffer, void *user)
{
    struct jmp_tunnel_end *end = user;
    struct jmp_tunnel_end *peer = end->peer;

    if (!buffer) {
        /* A half-close cannot be passed on by a server; GOAWAY went before it. With both, the tunnel has ended in
         * order. */
        end->read_all = true;
        if (peer && peer->read_all && !end->over && !peer->over) {
            finish(end, JMP_OK, "");
            finish(peer, JMP_OK, "");
        }
        return;
    }
    if (!peer || peer->over || end->over) {
        jmp_buffer_free(buffer);
        return;
    }

    peer->sending = jmp_rpc_send_buffer(peer->rpc, buffer) == 0;
    /* If it cannot be sent, the peer's end is near, and closed() will follow. */
}

static void on_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct jmp_tunnel_end *end = user;

    end->sending = false;
    if (end->farewell)
        say_farewell(end);
    else if (ok && end->peer && !end->peer->over)
        jmp_rpc_receive(end->peer->rpc);
}

static void on_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct jmp_tunnel_end *end = user;

    end->over = true;
    unpark(end);
    if (end->peer) {
        end->peer->peer = NULL;
        say_farewell(end->peer);
    }
    end->lab->end_count--;
    free(end);
}

static const struct jmp_rpc_events events = { .buffer = on_buffer, .sent = on_sent, .closed = on_closed };

static void on_lone(struct jmp_timer *timer)
{
    struct jmp_tunnel_end *end = CONTAINER_OF(timer, struct jmp_tunnel_end, lone);

    unpark(end);
    finish(end, JMP_DEADLINE_EXCEEDED, "nobody came with the same token before it expired");
}

static void pair(struct jmp_tunnel_end *first, struct jmp_tunnel_end *second)
{
    unpark(first);
    first->peer = second;
    second->peer = first;
    /* Until now nothing was read: flow control has kept what the first one sent ahead. */
    jmp_rpc_receive(first->rpc);
    jmp_rpc_receive(second->rpc);
}

JMP_LABD_METHOD(jmp_on_router_stream)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_lab *lab = user;
    int64_t now = jmp_wall_now() / JMP_SECOND, left;
    struct jmp_tunnel_end *end;
    struct jmp_token token;
    const char *bearer;

    bearer = jmp_auth_bearer(rpc, true);
    if (!bearer)
        return;
    if (jmp_token_verify(&lab->stream_key, &jmp_token_stream, bearer, now, &token, &error) < 0 ||
        strlen(token.subject) >= sizeof(end->stream)) {
        jmp_auth_log_refusal(rpc, "a stream was refused", error.text);
        jmp_rpc_finish(rpc, JMP_UNAUTHENTICATED, "invalid jwt token");
        return;
    }
    if (lab->end_count >= ENDS_MAX) {
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "more than %u streams are open", ENDS_MAX);
        return;
    }

    end = calloc(1, sizeof(*end));
    if (!end) {
        jmp_rpc_finish(rpc, JMP_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    lab->end_count++;
    end->lab = lab;
    end->rpc = rpc;
    memcpy(end->stream, token.subject, strlen(token.subject) + 1);   /* its length was looked at above */
    jmp_rpc_listen(rpc, &events, end);

    for (struct jmp_tunnel_end *other = lab->parked; other; other = other->next) {
        if (strcmp(other->stream, end->stream) == 0 && !other->over) {
            pair(other, end);
            return;
        }
    }

    end->parked = true;
    end->next = lab->parked;
    lab->parked = end;
    left = token.expires - now;
    if (jmp_timer_start(lab->loop, &end->lone, (uint64_t)(left > 1 ? left : 1) * JMP_USEC_PER_SEC, on_lone) < 0)
        finish(end, JMP_RESOURCE_EXHAUSTED, "out of memory");
}
