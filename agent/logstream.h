/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process logs, kept for clients: a bounded ring, each reader at its own position. Records come from any
 * thread; everything else happens on the loop.
 */
#pragma once

#include "base/log.h"
#include "base/loop.h"

struct jmp_logstream;
struct jmp_log_reader;

/** jmp_logstream_new() - begin to record all that is logged (jmp_log_set_tap()); one at a time */
int jmp_logstream_new(struct jmp_loop *loop, struct jmp_logstream **ret);
/** jmp_logstream_free() - close the readers first */
struct jmp_logstream *jmp_logstream_free(struct jmp_logstream *logs);
JMP_DEFINE_CLEANUP(struct jmp_logstream *, jmp_logstream_free)

/** jmp_logstream_push() - record something for the readers alone; any thread; copied. What does not fit is counted
 * as lost. */
void jmp_logstream_push(struct jmp_logstream *logs, const struct jmp_log_record *record);
/** jmp_logstream_head() - the position of the next record: where a session begins */
uint64_t jmp_logstream_head(struct jmp_logstream *logs);

struct jmp_log_reader {
    struct jmp_logstream *logs;
    struct jmp_log_reader *next, **link;
    uint64_t position;
    /* There may be more to read. Must not close other readers. */
    void (*ready)(struct jmp_log_reader *reader);
};

/** jmp_log_reader_open() - read from @position on; ready() is called for what comes later, not for what is there */
void jmp_log_reader_open(struct jmp_log_reader *reader, struct jmp_logstream *logs, uint64_t position,
                         void (*ready)(struct jmp_log_reader *reader));
/** jmp_log_reader_next() - the next record, borrowed until the loop's next turn; NULL: up to date
 * @retlost: records that were gone before this reader came to them, 0 otherwise */
const struct jmp_log_record *jmp_log_reader_next(struct jmp_log_reader *reader, uint64_t *retlost);
void jmp_log_reader_close(struct jmp_log_reader *reader);   /* also of a zeroed one */
