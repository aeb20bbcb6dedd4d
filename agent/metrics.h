/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted, for monitoring: operations of drivers, bytes of streams, and what the agent is doing. One process,
 * one set of counters; all of it is the loop's. (docs/metrics.md)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/** jmp_metrics_operation() - a call of a driver has ended
 * @driver_type:  "power", "serial", ...
 * @error_type:   NULL: it succeeded
 * @usec:         how long it took */
void jmp_metrics_operation(const char *driver_type, const char *operation, const char *error_type, uint64_t usec);
/** jmp_metrics_bytes() - a stream has ended
 * @from_client, @to_client:  payload that it carried */
void jmp_metrics_bytes(const char *driver_type, uint64_t from_client, uint64_t to_client);

/* What is not counted but looked at. */
struct jmp_metrics_now {
    unsigned tunnels;        /* clients that are connected */
    bool leased, connected;
    uint64_t leases, reconnects;
    unsigned devices, missing;
};

/** jmp_metrics_print() - all of it as OpenMetrics text */
void jmp_metrics_print(FILE *out, const struct jmp_metrics_now *now);
