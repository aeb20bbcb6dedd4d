/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/reports.h"

#include <string.h>

#include "base/text.h"

static void drop(struct jmp_reports *reports, unsigned index)
{
    memmove(&reports->list[index], &reports->list[index + 1],
            (reports->count - index - 1) * sizeof(*reports->list));
    reports->count--;
}

void jmp_reports_add(struct jmp_reports *reports, enum jmp_exporter_status status, const char *message)
{
    unsigned first = reports->sending ? 1 : 0;
    struct jmp_report *report;
    size_t length;

    /* At most one of a kind waits; with it out of the way the new one is last, as it is the newest. */
    for (unsigned i = first; i < reports->count; i++) {
        if (reports->list[i].status == status) {
            drop(reports, i);
            break;
        }
    }
    if (reports->count > first && (reports->list[first].failed || reports->count == JMP_REPORTS_MAX))
        drop(reports, first);

    report = &reports->list[reports->count++];
    *report = (struct jmp_report){ .status = status };
    /* Half a character would make the whole message one that no peer takes. */
    length = jmp_text_cut(message, strlen(message), sizeof(report->message) - 1);
    memcpy(report->message, message, length);
    reports->last = *report;
}

const struct jmp_report *jmp_reports_send(struct jmp_reports *reports)
{
    if (reports->sending || reports->count == 0)
        return NULL;
    reports->sending = true;
    return &reports->list[0];
}

void jmp_reports_taken(struct jmp_reports *reports)
{
    reports->sending = false;
    drop(reports, 0);
}

void jmp_reports_failed(struct jmp_reports *reports)
{
    reports->sending = false;
    reports->list[0].failed = true;
    if (reports->count > 1)
        drop(reports, 0);   /* a newer one replaces it */
}

void jmp_reports_repeat(struct jmp_reports *reports)
{
    if (reports->count == (reports->sending ? 1u : 0u) && reports->last.status != JMP_EXPORTER_UNSPECIFIED)
        jmp_reports_add(reports, reports->last.status, reports->last.message);
}
