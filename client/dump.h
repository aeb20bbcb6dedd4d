/* SPDX-License-Identifier: Apache-2.0 */
/* Exporters and leases as documents, with the keys and values of the stock client: base/json.h and config/yaml.h print
 * them. */
#pragma once

#include "base/writer.h"
#include "client/objects.h"

/* What is said of an exporter beside its name and labels. */
struct jmp_exporter_view {
    bool online, status, leases, disabled;
};

void jmp_write_pairs(struct jmp_writer *writer, const struct jmp_pairs *pairs);
void jmp_write_lease(struct jmp_writer *writer, const struct jmp_lease *lease);
/** jmp_write_exporter() - @lease: that it is in, or NULL */
void jmp_write_exporter(struct jmp_writer *writer, const struct jmp_exporter *exporter, const struct jmp_lease *lease,
                        const struct jmp_exporter_view *view);
/** jmp_time_print() - "2026-11-21T04:30:00+01:00", local time, "Z" for UTC, with microseconds if there are any; "" for
 * JMP_TIME_NONE; @size: 64 is enough */
void jmp_time_print(int64_t time, char *ret, size_t size);
