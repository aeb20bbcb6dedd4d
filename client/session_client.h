/* SPDX-License-Identifier: Apache-2.0 */
/* An exporter's session as a leaseholder uses it: its drivers, their byte streams, its log and its status
 * (docs/protocol.md, "ExporterService"). */
#pragma once

#include "client/multipath.h"
#include "client/tree.h"
#include "rpc/pump.h"

struct jmp_session_client;

struct jmp_session_options {
    const struct jmp_path *paths;   /* to one exporter, the best first; usually there is one */
    size_t n_paths;
    const char *passphrase;         /* NULL: none; never logged */
};

/** jmp_session_client_new() - does not connect yet; options are copied, but grpc_options of the paths, which are
 * borrowed. Each call and stream takes the path that is best when it begins (client/multipath.h). */
int jmp_session_client_new(struct jmp_client *client, const struct jmp_session_options *options,
                           struct jmp_session_client **ret, struct jmp_error *reterr);
/** jmp_session_client_free() - pumps and resources must be gone; the log is ended */
struct jmp_session_client *jmp_session_client_free(struct jmp_session_client *session);
JMP_DEFINE_CLEANUP(struct jmp_session_client *, jmp_session_client_free)
struct jmp_client *jmp_session_client_base(struct jmp_session_client *session);
/** jmp_session_client_report() - the drivers; waits
 * @timeout: microseconds, for the connection too */
int jmp_session_client_report(struct jmp_session_client *session, uint64_t timeout, struct jmp_driver_tree **ret,
                              struct jmp_error *reterr);

struct jmp_session_status {
    unsigned status;            /* enum jmp_exporter_status, or a newer one */
    char message[512];
};

/** jmp_session_client_status() - waits at most 5 s; an exporter without statuses (-EOPNOTSUPP) is old and always ready
 */
int jmp_session_client_status(struct jmp_session_client *session, struct jmp_session_status *ret,
                              struct jmp_error *reterr);
/** jmp_session_client_end() - tell the exporter that the work is done, so that its afterLease hook runs; waits at most
 * 5 s Return: 1 it begins, 0 there is nothing to do, or a negative errno. */
int jmp_session_client_end(struct jmp_session_client *session, struct jmp_error *reterr);

/**
 * jmp_session_client_call() - one method, one answer; waits for as long as it takes
 * @args:  a list, NULL: none
 * @ret:   the answer, in @tree; may be NULL
 */
int jmp_session_client_call(struct jmp_session_client *session, const char *uuid, const char *method,
                            const struct jmp_node *args, struct jmp_tree *tree, const struct jmp_node **ret,
                            struct jmp_error *reterr);
/** jmp_session_client_items() - a method with many answers; waits until the last
 * @item:  gets each, borrowed; a negative return ends the call and is the result */
int jmp_session_client_items(struct jmp_session_client *session, const char *uuid, const char *method,
                             const struct jmp_node *args, int (*item)(const struct jmp_node *item, void *user),
                             void *user, struct jmp_error *reterr);
/** jmp_session_client_open() - join @fd (taken, also on failure; socket or pipe, O_NONBLOCK) to a byte stream of a
 * driver; does not wait. See jmp_pump_dial(). */
int jmp_session_client_open(struct jmp_session_client *session, const char *uuid, const char *method, int fd,
                            const struct jmp_pump_events *events, void *user, struct jmp_pump **ret,
                            struct jmp_error *reterr);

enum jmp_log_origin {
    JMP_ORIGIN_UNKNOWN,
    JMP_ORIGIN_DRIVER,
    JMP_ORIGIN_BEFORE_LEASE,
    JMP_ORIGIN_AFTER_LEASE,
    JMP_ORIGIN_SYSTEM
};

struct jmp_log_line {
    const char *severity, *message;   /* as the exporter sent them */
    unsigned origin;                  /* enum jmp_log_origin */
};

/** jmp_session_client_logs() - hand over what the exporter logs, from the beginning of the session; does not wait. A
 * stream that breaks is opened again, ten times in a row at most. Once per session. */
int jmp_session_client_logs(struct jmp_session_client *session,
                            void (*line)(const struct jmp_log_line *line, void *user), void *user);

/* For resource_client.c */
/** jmp_session_client_channel() - for one call that begins now */
struct jmp_channel *jmp_session_client_channel(struct jmp_session_client *session);
/** jmp_session_client_metadata() - the session's metadata and one pair more (NULL key: none) in @ret, which has room
 * for 4 */
void jmp_session_client_metadata(const struct jmp_session_client *session, const char *key, const char *value,
                                 struct jmp_metadata *ret);
