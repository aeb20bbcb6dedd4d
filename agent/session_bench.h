/* SPDX-License-Identifier: Apache-2.0 */
/* A session with odd drivers, and channels to both of its doors, in one process: for tests. */
#pragma once

#include "agent/device.h"
#include "agent/logstream.h"
#include "agent/session.h"
#include "base/test.h"
#include "rpc/channel.h"
#include "rpc/methods.h"

struct bench {
    struct jmp_loop *loop;
    struct jmp_queue *queue;
    struct jmp_logstream *logs;
    struct jmp_exporter_config *config;
    struct jmp_devices *devices;
    struct jmp_session *session;
    struct jmp_channel *client, *hook;
    char directory[64], socket[96];
    struct jmp_timer deadline;
    unsigned ended;            /* EndSession calls heard */
    bool has_lease;
};

/** bench_open() - "trouble", "echo", "gone" (cannot be opened), "group.inner"; @passphrase of the clients' door, or
 * NULL */
void bench_open(struct bench *bench, const char *passphrase);
void bench_close(struct bench *bench);
/** bench_until() - run the loop until *flag; fails after some seconds */
void bench_until(struct bench *bench, const bool *flag);
/** bench_uuid() - of a device by its path, "" for the root */
const char *bench_uuid(struct bench *bench, const char *path);

/* One call under way, of any kind, and what came of it. */
struct outcome {
    struct jmp_rpc *rpc;       /* until it is closed */
    bool closed, got;          /* got: something new since it was last set to false */
    bool headers;
    enum jmp_code code;
    char text[4096];
    ProtobufCMessage *messages[64];
    unsigned count;
    bool greedy;               /* asks for the next message by itself */
    const ProtobufCMessageDescriptor *descriptor;
};

/** bench_start() - start a call; @metadata may be NULL, @request is NULL for request streams */
void bench_start(struct bench *bench, struct jmp_channel *channel, const struct jmp_method_info *method,
                 const struct jmp_metadata *metadata, const ProtobufCMessage *request, struct outcome *outcome);
/** bench_call() - start it and wait for its end */
void bench_call(struct bench *bench, struct jmp_channel *channel, const struct jmp_method_info *method,
                const struct jmp_metadata *metadata, const ProtobufCMessage *request, struct outcome *outcome);
/** bench_driver() - DriverCall or StreamingDriverCall with at most one number as argument; start only */
void bench_driver(struct bench *bench, struct jmp_channel *channel, bool items, const char *uuid, const char *method,
                  const double *argument, struct outcome *outcome);
/** bench_stream() - Stream with metadata "request"; start only */
void bench_stream(struct bench *bench, struct jmp_channel *channel, const char *request, struct outcome *outcome);
void outcome_clear(struct outcome *outcome);
JMP_DEFINE_CLEANUP(struct outcome *, outcome_clear)
