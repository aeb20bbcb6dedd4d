/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pushes what the exporter logs to the controller's TelemetryService, if it offers one: in batches, as best it can.
 * What cannot be delivered is lost, and the exporter goes on. (docs/protocol.md, "Telemetry")
 */
#pragma once

#include "agent/logstream.h"
#include "rpc/channel.h"

struct jmp_telemetry;

struct jmp_telemetry_options {
    struct jmp_queue *queue;             /* borrowed, as is the rest; all outlive the object */
    struct jmp_logstream *logs;
    const char *name;                    /* of the exporter */
    /* The value of an "authorization" header, secret; asked for at each push. */
    const char *(*bearer)(void *user);
    void *user;
};

/** jmp_telemetry_new()
 * @channel:       the service; its endpoint and certificate are copied. plaintext: without TLS.
 * @min_severity:  records below are left out; "info" if it is no level
 * Return: 0, -EINVAL (not an endpoint, not a certificate) or -ENOMEM, with words. */
int jmp_telemetry_new(const struct jmp_telemetry_options *options, const struct jmp_channel_options *channel,
                      const char *min_severity, struct jmp_telemetry **ret, struct jmp_error *reterr);
struct jmp_telemetry *jmp_telemetry_free(struct jmp_telemetry *telemetry);
JMP_DEFINE_CLEANUP(struct jmp_telemetry *, jmp_telemetry_free)

/** jmp_telemetry_set_lease() - of what is logged from now on; copied, "" or NULL: none. NULL as @telemetry is fine.
 * @context:  what the client has said about the lease, a JSON object of strings; goes along, as much as the service
 *            takes */
void jmp_telemetry_set_lease(struct jmp_telemetry *telemetry, const char *lease, const char *client,
                             const char *context);

/** jmp_telemetry_flush() - push what is left, as the program is about to leave; once
 * @limit: microseconds after which the rest is given up
 * @done:  called once, also from within; not after jmp_telemetry_free() */
void jmp_telemetry_flush(struct jmp_telemetry *telemetry, uint64_t limit, void (*done)(void *user), void *user);
