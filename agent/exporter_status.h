/* SPDX-License-Identifier: Apache-2.0 */
/* The status of an exporter as clients and the controller see it. (docs/protocol.md, "Status") */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values as on the wire (ExporterStatus). */
enum jmp_exporter_status {
    JMP_EXPORTER_UNSPECIFIED = 0,
    JMP_EXPORTER_OFFLINE = 1,
    JMP_EXPORTER_AVAILABLE = 2,
    JMP_EXPORTER_BEFORE_LEASE_HOOK = 3,
    JMP_EXPORTER_LEASE_READY = 4,
    JMP_EXPORTER_AFTER_LEASE_HOOK = 5,
    JMP_EXPORTER_BEFORE_LEASE_HOOK_FAILED = 6,
    JMP_EXPORTER_AFTER_LEASE_HOOK_FAILED = 7,
    JMP_EXPORTER_STATUSES,
};

const char *jmp_exporter_status_name(enum jmp_exporter_status status);   /* "LEASE_READY" */
bool jmp_exporter_status_is_failure(enum jmp_exporter_status status);    /* a hook's */

/* A session's status with its history. Zeroed memory plus jmp_status_line_begin() is a new one. */
struct jmp_status_line {
    enum jmp_exporter_status value, previous;
    bool has_previous;
    bool begun;               /* some status other than AVAILABLE was reached: AVAILABLE is the end from now on */
    uint64_t version;         /* one more with each update, also when nothing changed */
    char message[512];
};

/** jmp_status_line_begin() - AVAILABLE, version 0, no message, nothing before */
void jmp_status_line_begin(struct jmp_status_line *line);
/** jmp_status_line_set() - @message is cut at 511 bytes, on a character's border; NULL: empty */
void jmp_status_line_set(struct jmp_status_line *line, enum jmp_exporter_status value, const char *message);

/* What happens to a driver call that a client makes while this is the status. */
enum jmp_gate { JMP_GATE_OPEN, JMP_GATE_HOLD, JMP_GATE_REFUSE };
enum jmp_gate jmp_status_line_gate(const struct jmp_status_line *line);
