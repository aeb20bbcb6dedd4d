/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a whole lab in this process, and those who call it, over TCP and through the same handlers as in the
 * program. */
#pragma once

#include "base/test.h"
#include "labd/service.h"
#include "rpc/channel.h"
#include "rpc/methods.h"
#include "rpc/server.h"

#define ANSWERS_MAX 256u

struct bench {
    char directory[64], endpoint[64];
    struct jmp_loop *loop;
    struct jmp_queue *queue;
    struct jmp_lab *lab;
    struct jmp_server *server;
    struct jmp_channel *channel;
    struct jmp_timer deadline;
    ProtobufCMessage *answers[ANSWERS_MAX];   /* kept until the end of the test */
    unsigned answer_count;
};

/* Somebody with a token. */
struct caller {
    char name[64], uid[JMP_UUID_SIZE], bearer[JMP_TOKEN_MAX];
    struct jmp_metadata headers[5];
};

/* One call and what came of it. Memory of the test; nothing to free. */
struct call {
    struct bench *bench;
    const struct jmp_method_info *method;
    struct jmp_rpc *rpc;
    const ProtobufCMessage *message;      /* the last one */
    char frame[256];                      /* of a router stream: the last message as it came */
    size_t frame_length;
    unsigned count;                       /* of messages */
    unsigned sent;
    bool closed;
    enum jmp_code code;
    char text[512];
};

struct bench *bench_new(void);
void bench_free(struct bench *bench);
void bench_remove(const char *path);   /* a directory and the files in it */
/** bench_restart() - the service ends, and begins again with what is on the disk; callers connect anew */
void bench_restart(struct bench *bench);

/** bench_client(), bench_exporter() - made as an administrator does it. @labels: "a=1,b=2" */
void bench_client(struct bench *bench, const char *name, struct caller *ret);
void bench_exporter(struct bench *bench, const char *name, const char *labels, struct caller *ret);

/** bench_start() - a call goes out. @who may be NULL: no headers. */
void bench_start(struct bench *bench, const struct caller *who, const struct jmp_method_info *method,
                 const ProtobufCMessage *request, struct call *ret);
/** bench_start_raw() - with any headers, on any channel */
void bench_start_raw(struct bench *bench, struct jmp_channel *channel, const struct jmp_metadata *headers,
                     const struct jmp_method_info *method, const ProtobufCMessage *request, struct call *ret);
/** bench_wait() - for the end; bench_wait_count(): for so many messages, or the end. At most ten seconds, or the test
 * fails. */
void bench_wait(struct call *call);
void bench_wait_count(struct call *call, unsigned count);
void bench_wait_sent(struct call *call, unsigned sent);
/** bench_cancel() - and wait for the end */
void bench_cancel(struct call *call);

/** bench_ask() - the answer to a unary call, which must be OK */
const ProtobufCMessage *bench_ask(struct bench *bench, const struct caller *who, const struct jmp_method_info *method,
                                  const ProtobufCMessage *request);
/** bench_refused() - a call must end like this; @text: NULL: any; a trailing "*": it begins so */
void bench_refused(struct bench *bench, const struct caller *who, const struct jmp_method_info *method,
                   const ProtobufCMessage *request, enum jmp_code code, const char *text);
void assert_text(const char *text, const char *wanted);
/** bench_settle() - everything that follows from calls so far has been sent and has arrived */
void bench_settle(struct bench *bench, const struct caller *client);

/* What exporters and clients do all the time. */
struct Jumpstarter__Client__V1__Lease;
void bench_report(struct bench *bench, const struct caller *exporter, unsigned status);
/** bench_board() - a new exporter that registered, opened @status, which sees that it is free, and says that it is
 * available */
void bench_board(struct bench *bench, const char *name, const char *labels, struct caller *exporter,
                 struct call *status);
const struct Jumpstarter__Client__V1__Lease *bench_lease(struct bench *bench, const struct caller *client,
                                                         const char *id, const char *selector, int64_t seconds);
const struct Jumpstarter__Client__V1__Lease *bench_get_lease(struct bench *bench, const struct caller *client,
                                                             const char *id);
/** bench_state() - "Pending NotAvailable", "Ready Ready", "!Ready Expired": the last condition */
const char *bench_state(const struct Jumpstarter__Client__V1__Lease *lease);
