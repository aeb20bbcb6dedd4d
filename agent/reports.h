/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which statuses the controller is still to be told, oldest first: in order, at most one of a kind, each until it was
 * taken or a newer one makes a failed one pointless. No I/O, no clock. (docs/protocol.md, "Controller")
 */
#pragma once

#include <stdbool.h>

#include "agent/exporter_status.h"

/* Different statuses that may wait: more than one lease's worth would be old news. */
#define JMP_REPORTS_MAX 8

struct jmp_report {
    enum jmp_exporter_status status;
    bool failed;                     /* was not taken once: gives way to a newer one */
    char message[512];
};

/* Zeroed memory is an empty list. */
struct jmp_reports {
    struct jmp_report list[JMP_REPORTS_MAX];
    unsigned count;
    bool sending;                    /* the first is under way: it stays where it is */
    struct jmp_report last;          /* the newest ever added; UNSPECIFIED: none */
};

/** jmp_reports_add() - @message is cut at 511 bytes */
void jmp_reports_add(struct jmp_reports *reports, enum jmp_exporter_status status, const char *message);
/** jmp_reports_send() - the first, which is under way until one of the next two; NULL: none, or one is */
const struct jmp_report *jmp_reports_send(struct jmp_reports *reports);
void jmp_reports_taken(struct jmp_reports *reports);
void jmp_reports_failed(struct jmp_reports *reports);
/** jmp_reports_repeat() - the controller may have forgotten: unless there is news, the newest is to be told again */
void jmp_reports_repeat(struct jmp_reports *reports);
