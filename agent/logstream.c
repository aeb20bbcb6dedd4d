/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/logstream.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "base/limits.h"

#define RING_BYTES (512u * 1024)   /* of all records; one of 4 KiB is allowed, a thousand of them are not */

struct log_entry {
    struct log_entry *next;        /* in the inbox */
    size_t size;
    struct jmp_log_record record;
    struct jmp_log_fields fields;
    char text[];
};

struct jmp_logstream {
    struct jmp_loop *loop;
    struct jmp_post post;

    pthread_mutex_t lock;          /* of the inbox, which any thread fills */
    struct log_entry *first, **last;
    unsigned waiting;
    uint64_t dropped;              /* since the inbox was emptied */

    /* The loop's own: records of positions [tail, head). A lost one is an empty place. */
    struct log_entry *ring[JMP_LOG_RING];
    uint64_t head, tail;
    size_t bytes;
    struct jmp_log_reader *readers;
};

static size_t measure(const char *text) { return text ? strlen(text) + 1 : 0; }

static const char *put(char **place, const char *text)
{
    size_t length = measure(text);
    char *start = *place;

    if (!text)
        return NULL;
    memcpy(start, text, length);
    *place += length;
    return start;
}

static struct log_entry *entry_new(const struct jmp_log_record *record)
{
    static const struct jmp_log_fields none;
    const struct jmp_log_fields *fields = record->fields ? record->fields : &none;
    size_t size = sizeof(struct log_entry) + measure(record->message) + measure(fields->driver) +
                  measure(fields->driver_type) + measure(fields->operation) + measure(fields->result) +
                  measure(fields->error_type);
    struct log_entry *entry = malloc(size);
    char *place;

    if (!entry)
        return NULL;

    /* The fields of the protocol only: a lease's reader has no business with peers and endpoints. */
    place = entry->text;
    entry->next = NULL;
    entry->size = size;
    entry->record = (struct jmp_log_record){
        .level = record->level, .realtime = record->realtime, .message = put(&place, record->message),
        .fields = &entry->fields,
    };
    entry->fields = (struct jmp_log_fields){
        .source = fields->source, .error = fields->error, .driver = put(&place, fields->driver),
        .driver_type = put(&place, fields->driver_type), .operation = put(&place, fields->operation),
        .result = put(&place, fields->result), .error_type = put(&place, fields->error_type),
    };
    return entry;
}

void jmp_logstream_push(struct jmp_logstream *logs, const struct jmp_log_record *record)
{
    struct log_entry *entry = entry_new(record);

    pthread_mutex_lock(&logs->lock);
    if (!entry || logs->waiting >= JMP_LOG_RING) {
        logs->dropped++;
        free(entry);
    } else {
        *logs->last = entry;
        logs->last = &entry->next;
        logs->waiting++;
    }
    pthread_mutex_unlock(&logs->lock);
    jmp_loop_post(logs->loop, &logs->post);
}

static void tap(const struct jmp_log_record *record, void *user) { jmp_logstream_push(user, record); }

static void drop_oldest(struct jmp_logstream *logs)
{
    struct log_entry **place = &logs->ring[logs->tail % JMP_LOG_RING];

    if (*place)
        logs->bytes -= (*place)->size;
    free(TAKE_PTR(*place));
    logs->tail++;
}

static void keep(struct jmp_logstream *logs, struct log_entry *entry)
{
    if (logs->head - logs->tail == JMP_LOG_RING)
        drop_oldest(logs);
    logs->ring[logs->head++ % JMP_LOG_RING] = entry;
    if (entry)
        logs->bytes += entry->size;
    while (logs->bytes > RING_BYTES && logs->tail + 1 < logs->head)
        drop_oldest(logs);
}

static void collect(struct jmp_logstream *logs)
{
    struct log_entry *entry;
    uint64_t dropped;

    pthread_mutex_lock(&logs->lock);
    entry = TAKE_PTR(logs->first);
    logs->last = &logs->first;
    logs->waiting = 0;
    dropped = logs->dropped;
    logs->dropped = 0;
    pthread_mutex_unlock(&logs->lock);

    while (entry) {
        struct log_entry *next = TAKE_PTR(entry->next);

        keep(logs, entry);
        entry = next;
    }
    /* Places without a record: whoever reads over them learns how many there were. */
    for (uint64_t i = 0; i < dropped && i < JMP_LOG_RING; i++)
        keep(logs, NULL);
}

static void run(struct jmp_post *post)
{
    struct jmp_logstream *logs = CONTAINER_OF(post, struct jmp_logstream, post);
    struct jmp_log_reader *reader, *next;

    collect(logs);
    for (reader = logs->readers; reader; reader = next) {
        next = reader->next;   /* ready() may close its own reader */
        reader->ready(reader);
    }
}

int jmp_logstream_new(struct jmp_loop *loop, struct jmp_logstream **ret)
{
    struct jmp_logstream *logs = calloc(1, sizeof(*logs));

    if (!logs)
        return -ENOMEM;

    logs->loop = loop;
    logs->post.run = run;
    logs->last = &logs->first;
    pthread_mutex_init(&logs->lock, NULL);
    jmp_log_set_tap(tap, logs);
    *ret = logs;
    return 0;
}

struct jmp_logstream *jmp_logstream_free(struct jmp_logstream *logs)
{
    if (!logs)
        return NULL;

    jmp_log_set_tap(NULL, NULL);
    jmp_loop_unpost(logs->loop, &logs->post);
    collect(logs);
    while (logs->tail < logs->head)
        drop_oldest(logs);
    pthread_mutex_destroy(&logs->lock);
    free(logs);
    return NULL;
}

uint64_t jmp_logstream_head(struct jmp_logstream *logs)
{
    collect(logs);
    return logs->head;
}

void jmp_log_reader_open(struct jmp_log_reader *reader, struct jmp_logstream *logs, uint64_t position,
                         void (*ready)(struct jmp_log_reader *reader))
{
    *reader = (struct jmp_log_reader){ .logs = logs, .position = position, .ready = ready, .next = logs->readers };
    if (reader->next)
        reader->next->link = &reader->next;
    reader->link = &logs->readers;
    logs->readers = reader;
}

const struct jmp_log_record *jmp_log_reader_next(struct jmp_log_reader *reader, uint64_t *retlost)
{
    struct jmp_logstream *logs = reader->logs;

    *retlost = 0;
    if (reader->position < logs->tail) {
        *retlost = logs->tail - reader->position;
        reader->position = logs->tail;
    }
    while (reader->position < logs->head) {
        struct log_entry *entry = logs->ring[reader->position++ % JMP_LOG_RING];

        if (entry)
            return &entry->record;
        ++*retlost;
    }
    return NULL;
}

void jmp_log_reader_close(struct jmp_log_reader *reader)
{
    if (!reader->link)
        return;

    *reader->link = reader->next;
    if (reader->next)
        reader->next->link = reader->link;
    *reader = (struct jmp_log_reader){ 0 };
}
