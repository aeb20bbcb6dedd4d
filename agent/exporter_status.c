/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exporter_status.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

/* AVAILABLE has two lives: before a session begins calls wait for it, after its end nobody is let in. */
static const struct {
    const char *name;
    enum jmp_gate before, after;
} statuses[] = {
    [JMP_EXPORTER_UNSPECIFIED] = { "UNSPECIFIED", JMP_GATE_REFUSE, JMP_GATE_REFUSE },
    [JMP_EXPORTER_OFFLINE] = { "OFFLINE", JMP_GATE_REFUSE, JMP_GATE_REFUSE },
    [JMP_EXPORTER_AVAILABLE] = { "AVAILABLE", JMP_GATE_HOLD, JMP_GATE_REFUSE },
    [JMP_EXPORTER_BEFORE_LEASE_HOOK] = { "BEFORE_LEASE_HOOK", JMP_GATE_HOLD, JMP_GATE_HOLD },
    [JMP_EXPORTER_LEASE_READY] = { "LEASE_READY", JMP_GATE_OPEN, JMP_GATE_OPEN },
    [JMP_EXPORTER_AFTER_LEASE_HOOK] = { "AFTER_LEASE_HOOK", JMP_GATE_OPEN, JMP_GATE_OPEN },
    [JMP_EXPORTER_BEFORE_LEASE_HOOK_FAILED] = { "BEFORE_LEASE_HOOK_FAILED", JMP_GATE_REFUSE, JMP_GATE_REFUSE },
    [JMP_EXPORTER_AFTER_LEASE_HOOK_FAILED] = { "AFTER_LEASE_HOOK_FAILED", JMP_GATE_REFUSE, JMP_GATE_REFUSE },
};

const char *jmp_exporter_status_name(enum jmp_exporter_status status)
{
    return (unsigned)status < ELEMENTSOF(statuses) ? statuses[status].name : "UNKNOWN";
}

bool jmp_exporter_status_is_failure(enum jmp_exporter_status status)
{
    return status == JMP_EXPORTER_BEFORE_LEASE_HOOK_FAILED || status == JMP_EXPORTER_AFTER_LEASE_HOOK_FAILED;
}

void jmp_status_line_begin(struct jmp_status_line *line)
{
    *line = (struct jmp_status_line){ .value = JMP_EXPORTER_AVAILABLE };
}

void jmp_status_line_set(struct jmp_status_line *line, enum jmp_exporter_status value, const char *message)
{
    size_t length = message ? strlen(message) : 0;

    if (length >= sizeof(line->message)) {
        length = sizeof(line->message) - 1;
        while (length > 0 && ((unsigned char)message[length] & 0xc0) == 0x80)
            length--;
    }
    if (length)
        memmove(line->message, message, length);
    line->message[length] = '\0';

    line->previous = line->value;
    line->has_previous = true;
    line->value = value;
    line->version++;
    if (value != JMP_EXPORTER_AVAILABLE)
        line->begun = true;
}

enum jmp_gate jmp_status_line_gate(const struct jmp_status_line *line)
{
    if ((unsigned)line->value >= ELEMENTSOF(statuses))
        return JMP_GATE_REFUSE;
    return line->begun ? statuses[line->value].after : statuses[line->value].before;
}
