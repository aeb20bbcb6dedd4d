/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of bench-client share. One measurement a process, so there is one of everything. */
#pragma once

#include "peer.h"

#define SLOTS_MAX 256
#define PIDS_MAX 16
#define SECOND UINT64_C(1000000000)

/* The command line (bench_client.c). */
extern struct options {
    const char *mode, *target, *router, *token, *controller, *lease, *ca, *driver;
    struct headers headers;
    unsigned concurrency, count, seed, rate, size, interval_us;
    double seconds, warm_up;
    int pids[PIDS_MAX];
    size_t pid_count;
    int accept_fd, raw[SLOTS_MAX];
    size_t raw_count;
} opt;

extern grpc_completion_queue *cq;

struct tag {                                          /* of everything on the queue */
    void (*done)(void *user, bool ok);
    void *user;
};

/* Connections (bench_connect.c). */
struct connection {
    grpc_channel *channel, *router;
    struct tunnel *tunnel;
};
struct connection connect_peer(unsigned number);
void disconnect_peer(struct connection *connection, bool abruptly);
/* The uuid of the driver named; @uuid has room for 64 characters. False: the call failed. */
bool find_driver(grpc_channel *channel, const char *name, char *uuid);
void pluck(grpc_completion_queue *queue, void *tag);

/* Measuring (bench_measure.c): counting begins after the warm-up. */
extern bool measuring;
extern uint64_t done_count, done_bytes;
void measure_start(void);
bool measure_on(void);                                /* true until the time is over */
void measure_one(uint64_t latency_ns, uint64_t bytes);
void measure_print(const char *more);
void run_queue(bool (*more)(void));                   /* handles events for as long as more() says */

/* A byte stream of a driver (bench_streams.c). */
struct stream {
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    grpc_byte_buffer *in, *message;
    struct tag opened, finished, received, sent;
    void (*arrived)(struct stream *stream, const uint8_t *data, size_t size);
    void (*accepted)(struct stream *stream);
    uint64_t started, bytes, sent_bytes;
    bool ready, sending, paused;
    struct board *board;
};
/* Waits for the exporter's headers. */
struct stream *stream_open(grpc_channel *channel, const char *uuid);
void stream_receive(struct stream *stream);
void stream_send(struct stream *stream);

/* The modes. */
void run_calls(bool stream);
void run_echo(void);
void run_flood(void);
void run_sink(void);
void run_source(void);
void run_consoles(void);
void run_hold(void);
void run_drop(void);
