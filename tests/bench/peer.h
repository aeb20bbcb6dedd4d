/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two ends of the benchmark share, written straight on gRPC core: no part of the suite is used, so that it can
 * be compared with something. Programs, not a library: what fails says so and exits.
 */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <grpc/grpc.h>
#include <protobuf-c/protobuf-c.h>

#define STREAM_PATH "/jumpstarter.v1.RouterService/Stream"
#define EXPORTER_PATH(method) "/jumpstarter.v1.ExporterService/" method
#define FRAME_GOAWAY 7
#define READ_SIZE (64 * 1024)

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...);
void *must_alloc(size_t size);                      /* zeroed */
uint64_t now_ns(void);                              /* CLOCK_MONOTONIC */
void read_all_of(const char *path, char **ret);     /* a small text file; free() */
void start_thread(void *(*run)(void *), void *arg); /* detached */

/* Bytes. write_all() blocks also on O_NONBLOCK descriptors; false: the reader has gone. */
bool write_all(int fd, const void *data, size_t size);
void socket_pair(int pair[2]);
int connect_tcp(unsigned port);                     /* on loopback, without Nagle's delay */

/* Messages. */
grpc_byte_buffer *pack_message(const ProtobufCMessage *message);
ProtobufCMessage *unpack_message(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *buffer);
grpc_byte_buffer *frame_data(const void *payload, size_t size);
grpc_byte_buffer *frame_goaway(void);
/* A frame's payload within @flat, which holds the whole message and is to be unreferenced. False: a GOAWAY. */
bool frame_parse(grpc_byte_buffer *buffer, grpc_slice *flat, const uint8_t **payload, size_t *size);
grpc_slice flatten(grpc_byte_buffer *buffer);

/* Metadata to send, "key=value" each; at most 8. */
struct headers {
    grpc_metadata items[8];
    size_t count;
};
void headers_add(struct headers *headers, const char *key, const char *value);

/* A channel with the arguments of a stock client. @ca: PEM file for TLS, NULL: plaintext. */
grpc_channel *open_channel(const char *target, const char *ca);
/* The end of a tunnel as a channel; the descriptor is taken. */
grpc_channel *channel_from_fd(int fd);

/*
 * A byte stream carried by one call: what is read from @fd goes out as frames, what comes in is written to it. Two
 * threads that block, on a queue of their own. Ends with the descriptor's or the peer's end; then @fd is closed.
 */
struct tunnel;
struct tunnel *tunnel_open(grpc_channel *router, const char *token, int fd);
void tunnel_cancel(struct tunnel *tunnel);          /* as if the process had been killed: no GOAWAY */

/* Processor time in ns that the processes have used, all threads. */
uint64_t cpu_ns(const int *pids, size_t count);
