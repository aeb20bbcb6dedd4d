/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log line has fields. Lines go to stderr: coloured text on a terminal, one JSON object per line otherwise. Under
 * systemd the journal gets records with fields: EXPORTER, LEASE, CLIENT, DRIVER, DRIVER_TYPE, OPERATION, RESULT, ...;
 * text with its priority prefix where its socket is not to be had. A program may look at every record (the agent's
 * LogStream does). Any thread may log. Libraries keep quiet: whoever handles an error logs it, once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

enum jmp_log_level { JMP_LOG_DEBUG, JMP_LOG_INFO, JMP_LOG_WARNING, JMP_LOG_ERROR, JMP_LOG_CRITICAL };
enum jmp_log_format { JMP_LOG_AUTO, JMP_LOG_TEXT, JMP_LOG_JSON, JMP_LOG_JOURNAL };
enum jmp_log_source { JMP_LOG_SYSTEM, JMP_LOG_DRIVER, JMP_LOG_BEFORE_LEASE, JMP_LOG_AFTER_LEASE };

struct jmp_log_fields {
    enum jmp_log_source source;
    int error;                  /* negative errno, 0: none */
    const char *exporter, *lease, *client;
    const char *driver;         /* dotted path of the device, e.g. "board.power" */
    const char *driver_type;    /* "power", "serial", ... */
    const char *operation;      /* driver method */
    const char *result;         /* "success", "failure" */
    const char *error_type;
    const char *endpoint;
    const char *peer;
};

struct jmp_log_record {
    enum jmp_log_level level;
    const struct jmp_log_fields *fields;
    const char *message;        /* one line, UTF-8, at most 4 KiB */
    uint64_t realtime;          /* microseconds since 1970 */
};

#define FIELDS(...) (&(const struct jmp_log_fields){ __VA_ARGS__ })

/** jmp_log() - one line; %m is the text of .error, or of errno when that is 0. @fields may be NULL. */
void jmp_log(enum jmp_log_level level, const struct jmp_log_fields *fields, const char *fmt, ...) JMP_PRINTF(3, 4);

/** jmp_log_open() - set up once, before threads start; without it: text, info
 * @program: for the "component" field */
void jmp_log_open(const char *program, enum jmp_log_level level, enum jmp_log_format format);
/** jmp_log_set_scope() - whose every line is from now on that does not say so itself, in JSON and in the journal;
 * copied, NULL or "": nobody's. Any thread. */
void jmp_log_set_scope(const char *exporter, const char *lease, const char *client);
/** jmp_log_set_tap() - @tap sees every record, on the thread that logged, after it was written to stderr; it must not
 * log, block or keep pointers. One tap; NULL takes it off (and waits until no thread is inside). */
void jmp_log_set_tap(void (*tap)(const struct jmp_log_record *record, void *user), void *user);
/**
 * jmp_log_gather() - the calling thread has a loop and promises to call jmp_log_flush() soon after
 * jmp_log_is_gathered()
 *
 * From then on what it says for drivers below WARNING, a line for each call, is written together: by jmp_log_flush(),
 * when there are some kilobytes of it, with the next other line, or when the program crashes. False ends that, and
 * writes what is left.
 */
void jmp_log_gather(bool gather);
bool jmp_log_is_gathered(void);   /* lines are waiting for jmp_log_flush() */
void jmp_log_flush(void);
/** jmp_log_may() - is there room for one more line of a kind that peers cause, who may do so as often as they like?
 * @rate:  of that kind of line; zeroed before the first; one thread's
 * Return: true for the first ten in a second of the clock. */
struct jmp_log_rate {
    uint64_t second;
    unsigned lines;           /* asked for in that second */
};
bool jmp_log_may(struct jmp_log_rate *rate);
bool jmp_log_enabled(enum jmp_log_level level);
const char *jmp_log_level_name(enum jmp_log_level level);                /* "INFO" */
bool jmp_log_level_parse(const char *name, enum jmp_log_level *ret);     /* any case */
