/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dump.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void jmp_time_print(int64_t time, char *ret, size_t size)
{
    int micros = (int)(time % 1000000);
    char date[40] = "", fraction[16] = "", zone[16] = "";
    time_t seconds = (time_t)(time / 1000000);
    struct tm tm;

    *ret = '\0';
    if (time == JMP_TIME_NONE || !localtime_r(&seconds, &tm))
        return;
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    if (micros > 0)
        snprintf(fraction, sizeof(fraction), ".%06d", micros);
    if (tm.tm_gmtoff == 0)
        strcpy(zone, "Z");
    else
        strftime(zone, sizeof(zone), "%z", &tm);
    /* "+0100" to "+01:00" */
    if (strlen(zone) == 5) {
        memmove(zone + 4, zone + 3, 3);
        zone[3] = ':';
    }
    snprintf(ret, size, "%s%s%s", date, fraction, zone);
}

void jmp_write_pairs(struct jmp_writer *writer, const struct jmp_pairs *pairs)
{
    jmp_writer_begin_map(writer);
    for (size_t i = 0; i < pairs->count; i++) {
        jmp_writer_key(writer, pairs->items[i].key);
        jmp_writer_string(writer, pairs->items[i].value);
    }
    jmp_writer_end_map(writer);
}

static void write_text(struct jmp_writer *writer, const char *key, const char *value)
{
    jmp_writer_key(writer, key);
    jmp_writer_string(writer, value);
}

static void write_time(struct jmp_writer *writer, const char *key, int64_t time)
{
    char text[64];

    jmp_writer_key(writer, key);
    jmp_time_print(time, text, sizeof(text));
    jmp_writer_string(writer, *text ? text : NULL);
}

static void write_seconds(struct jmp_writer *writer, const char *key, int64_t span)
{
    jmp_writer_key(writer, key);
    if (span == JMP_TIME_NONE)
        jmp_writer_null(writer);
    else if (span % 1000000 == 0)
        jmp_writer_integer(writer, span / 1000000);
    else
        jmp_writer_number(writer, (double)span / 1e6);
}

/* As protobuf's own JSON has it: 64-bit numbers are strings, absent fields are left out. */
static void write_condition(struct jmp_writer *writer, const struct jmp_condition *condition)
{
    char number[32];

    jmp_writer_begin_map(writer);
    write_text(writer, "type", condition->type);
    write_text(writer, "status", condition->status);
    if (condition->has_generation) {
        snprintf(number, sizeof(number), "%lld", (long long)condition->generation);
        write_text(writer, "observedGeneration", number);
    }
    if (condition->has_transition) {
        jmp_writer_key(writer, "lastTransitionTime");
        jmp_writer_begin_map(writer);
        snprintf(number, sizeof(number), "%lld", (long long)condition->transition_seconds);
        write_text(writer, "seconds", number);
        jmp_writer_key(writer, "nanos");
        jmp_writer_integer(writer, condition->transition_nanos);
        jmp_writer_end_map(writer);
    }
    write_text(writer, "reason", condition->reason);
    write_text(writer, "message", condition->message);
    jmp_writer_end_map(writer);
}

void jmp_write_lease(struct jmp_writer *writer, const struct jmp_lease *lease)
{
    jmp_writer_begin_map(writer);
    write_text(writer, "namespace", lease->namespace_);
    write_text(writer, "name", lease->name);
    write_text(writer, "selector", lease->selector);
    write_text(writer, "exporter_name", *lease->exporter_name ? lease->exporter_name : NULL);
    jmp_writer_key(writer, "tags");
    jmp_write_pairs(writer, &lease->tags);
    jmp_writer_key(writer, "context");
    jmp_write_pairs(writer, &lease->context);
    write_seconds(writer, "duration", lease->duration == JMP_TIME_NONE ? 0 : lease->duration);
    write_seconds(writer, "effective_duration", lease->effective_duration);
    write_time(writer, "begin_time", lease->begin);
    write_text(writer, "client", lease->client);
    write_text(writer, "exporter", lease->exporter);
    jmp_writer_key(writer, "conditions");
    jmp_writer_begin_list(writer);
    for (size_t i = 0; i < lease->n_conditions; i++)
        write_condition(writer, &lease->conditions[i]);
    jmp_writer_end_list(writer);
    write_time(writer, "effective_begin_time", lease->effective_begin);
    write_time(writer, "effective_end_time", lease->effective_end);
    jmp_writer_key(writer, "deprecated_labels");
    jmp_write_pairs(writer, &lease->deprecated_labels);
    jmp_writer_end_map(writer);
}

void jmp_write_exporter(struct jmp_writer *writer, const struct jmp_exporter *exporter, const struct jmp_lease *lease,
                        const struct jmp_exporter_view *view)
{
    jmp_writer_begin_map(writer);
    write_text(writer, "namespace", exporter->namespace_);
    write_text(writer, "name", exporter->name);
    jmp_writer_key(writer, "labels");
    jmp_write_pairs(writer, &exporter->labels);
    if (view->online) {
        jmp_writer_key(writer, "online");
        jmp_writer_bool(writer, exporter->online);
    }
    if (view->status) {
        jmp_writer_key(writer, "status");
        /* A number, as stock clients write it; one that is not known yet is none. */
        if (exporter->status == JMP_STATUS_UNSPECIFIED || exporter->status > JMP_STATUS_AFTER_LEASE_HOOK_FAILED)
            jmp_writer_null(writer);
        else
            jmp_writer_integer(writer, exporter->status);
    }
    if (view->disabled) {
        jmp_writer_key(writer, "enabled");
        jmp_writer_bool(writer, exporter->enabled);
    }
    if (view->leases) {
        jmp_writer_key(writer, "lease");
        if (lease)
            jmp_write_lease(writer, lease);
        else
            jmp_writer_null(writer);
    }
    jmp_writer_key(writer, "deprecated_labels");
    jmp_write_pairs(writer, &exporter->deprecated_labels);
    jmp_writer_end_map(writer);
}
