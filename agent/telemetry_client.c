/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/telemetry_client.h"

#include <ctype.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "jumpstarter/v1/telemetry.pb-c.h"
#include "rpc/methods.h"

#define BATCH 50u                                  /* entries of one call */
#define PUSH_EACH (500 * JMP_USEC_PER_MSEC)
#define PUSH_TIMEOUT (10 * JMP_USEC_PER_SEC)
/* Of extra fields, as the service takes them, in bytes. */
#define KEY_MAX 64u
#define VALUE_MAX 256u
#define EXTRAS_MAX 16u
#define EXTRAS 2u                                  /* of the record; the others are the lease's */
#define LEASES 8u

typedef Jumpstarter__V1__LogEntry Entry;
typedef Jumpstarter__V1__LogEntry__ExtraFieldsEntry Extra;

/* What the client has said about its lease, ready to be sent. */
struct context {
    size_t count;
    struct {
        Extra extra;
        char key[KEY_MAX + 1], value[VALUE_MAX + 1];
    } entries[EXTRAS_MAX - EXTRAS];
};

struct jmp_telemetry {
    struct jmp_telemetry_options options;
    struct jmp_channel *channel;
    enum jmp_log_level least;
    struct jmp_log_reader reader;
    struct jmp_timer timer;
    struct jmp_rpc *rpc;                           /* the push under way */
    bool freed, told;
    struct jmp_timer limit;                        /* of a flush */
    void (*flushed)(void *user);                   /* during one */
    void *flushed_user;
    /* What is still to be pushed may be of earlier leases: the last few, in a ring. */
    struct lease {
        uint64_t from;                             /* position of its first record */
        char name[JMP_NAME_MAX + 1], client[JMP_NAME_MAX + 1];
        struct context *context;                   /* or NULL */
    } leases[LEASES];
    unsigned newest;
};

/* One entry, with all that it needs beside what it borrows. */
struct filled {
    Entry entry;
    Google__Protobuf__Timestamp time;
    char severity[16];
    Extra extras[EXTRAS], *list[EXTRAS_MAX];
    char values[EXTRAS][VALUE_MAX + 1];
};

static void push(struct jmp_telemetry *telemetry);

static void add_extra(struct filled *filled, const char *key, const char *value)
{
    size_t n = filled->entry.n_extra_fields, length;

    if (!value || !*value || n == EXTRAS)
        return;
    length = jmp_text_cut(value, strlen(value), VALUE_MAX);
    memcpy(filled->values[n], value, length);
    jumpstarter__v1__log_entry__extra_fields_entry__init(&filled->extras[n]);
    filled->extras[n].key = (char *)key;
    filled->extras[n].value = filled->values[n];
    filled->list[n] = &filled->extras[n];
    filled->entry.n_extra_fields++;
}

static char *text(const char *value) { return (char *)(value ?: protobuf_c_empty_string); }

static struct lease *lease_at(struct jmp_telemetry *telemetry, uint64_t position)
{
    unsigned i = telemetry->newest;

    for (unsigned back = 1; back < LEASES && telemetry->leases[i % LEASES].from > position; back++)
        i--;
    return &telemetry->leases[i % LEASES];
}

static void fill(struct jmp_telemetry *telemetry, const struct jmp_log_record *record, struct filled *filled)
{
    struct lease *lease = lease_at(telemetry, telemetry->reader.position - 1);
    const struct jmp_log_fields *fields = record->fields;
    Entry *entry = &filled->entry;

    jumpstarter__v1__log_entry__init(entry);
    google__protobuf__timestamp__init(&filled->time);
    filled->time.seconds = (int64_t)(record->realtime / JMP_USEC_PER_SEC);
    filled->time.nanos = (int32_t)(record->realtime % JMP_USEC_PER_SEC * 1000);
    entry->timestamp = &filled->time;
    snprintf(filled->severity, sizeof(filled->severity), "%s", jmp_log_level_name(record->level));
    for (char *c = filled->severity; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    entry->severity = filled->severity;
    entry->message = text(record->message);
    entry->component = (char *)"exporter";
    entry->exporter = text(telemetry->options.name);
    entry->lease = lease->name;
    entry->client = lease->client;
    entry->operation = text(fields->operation);
    entry->result = text(fields->result);
    entry->driver_type = text(fields->driver_type);
    entry->extra_fields = filled->list;
    add_extra(filled, "driver", fields->driver);
    add_extra(filled, "error_type", fields->error_type);
    for (size_t i = 0; lease->context && i < lease->context->count; i++)
        filled->list[entry->n_extra_fields++] = &lease->context->entries[i].extra;
}

static void end_flush(struct jmp_telemetry *telemetry)
{
    void (*flushed)(void *user) = telemetry->flushed;

    if (!flushed)
        return;
    telemetry->flushed = NULL;
    jmp_timer_stop(&telemetry->limit);
    flushed(telemetry->flushed_user);
}

static void on_limit(struct jmp_timer *timer) { end_flush(CONTAINER_OF(timer, struct jmp_telemetry, limit)); }

static void on_pushed(const struct jmp_status *status, const ProtobufCMessage *message, void *user)
{
    struct jmp_telemetry *telemetry = user;

    telemetry->rpc = NULL;
    if (telemetry->freed) {
        free(telemetry);
        return;
    }
    /* Once: this line is pushed, too. */
    if (status->code != JMP_OK && !telemetry->told)
        jmp_log(JMP_LOG_WARNING, FIELDS(.endpoint = jmp_channel_endpoint(telemetry->channel)),
                "telemetry is not taken and gets lost: %s", jmp_code_name(status->code));
    telemetry->told = status->code != JMP_OK;
    if (telemetry->told && telemetry->flushed)
        end_flush(telemetry);   /* the rest would not be taken either */
    else
        push(telemetry);
}

static void on_timer(struct jmp_timer *timer) { push(CONTAINER_OF(timer, struct jmp_telemetry, timer)); }

/* Records come in groups; the first of a group waits for the others. */
static void on_record(struct jmp_log_reader *reader)
{
    struct jmp_telemetry *telemetry = CONTAINER_OF(reader, struct jmp_telemetry, reader);

    if (!telemetry->timer.running && !telemetry->rpc)
        (void)jmp_timer_start(jmp_queue_loop(telemetry->options.queue), &telemetry->timer, PUSH_EACH, on_timer);
}

static void push(struct jmp_telemetry *telemetry)
{
    Jumpstarter__V1__PushLogsRequest request = JUMPSTARTER__V1__PUSH_LOGS_REQUEST__INIT;
    struct jmp_metadata metadata[2] = { { "authorization" } };
    _cleanup_free_ struct filled *filled = NULL;
    const struct jmp_log_record *record;
    Entry *entries[BATCH];
    uint64_t lost;

    if (telemetry->rpc)
        return;
    filled = calloc(BATCH, sizeof(*filled));
    if (!filled) {
        end_flush(telemetry);
        return;   /* the next record tries again */
    }
    while (request.n_entries < BATCH && (record = jmp_log_reader_next(&telemetry->reader, &lost))) {
        if (record->level < telemetry->least)
            continue;
        fill(telemetry, record, &filled[request.n_entries]);
        entries[request.n_entries] = &filled[request.n_entries].entry;
        request.n_entries++;
    }
    if (request.n_entries == 0) {
        end_flush(telemetry);
        return;
    }
    request.entries = entries;
    metadata[0].value = telemetry->options.bearer(telemetry->options.user);
    if (jmp_channel_unary(telemetry->channel, &jmp_telemetry_push_logs, metadata, PUSH_TIMEOUT, &request.base,
                          on_pushed, telemetry, &telemetry->rpc) < 0) {
        telemetry->rpc = NULL;   /* this batch is lost */
        end_flush(telemetry);
    }
}

void jmp_telemetry_flush(struct jmp_telemetry *telemetry, uint64_t limit, void (*done)(void *user), void *user)
{
    telemetry->flushed = done;
    telemetry->flushed_user = user;
    (void)jmp_logstream_head(telemetry->options.logs);   /* what was logged in this very turn is in the ring now */
    if (jmp_timer_start(jmp_queue_loop(telemetry->options.queue), &telemetry->limit, limit, on_limit) < 0)
        end_flush(telemetry);
    else
        push(telemetry);
}

static size_t copy_cut(char *to, const char *from, size_t max)
{
    size_t length = jmp_text_cut(from, strlen(from), max);

    memcpy(to, from, length);
    to[length] = '\0';
    return length;
}

/* Return: NULL without a context, and when there is no memory for it: the records count for more. */
static struct context *read_context(const char *text)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *node;
    struct context *context;

    if (!text || jmp_tree_new(0, &tree) < 0 || jmp_json_parse(text, strlen(text), tree, &node, NULL) < 0 ||
        node->kind != JMP_NODE_MAP)
        return NULL;
    context = calloc(1, sizeof(*context));
    if (!context)
        return NULL;
    JMP_NODE_EACH(value, node) {
        typeof(&context->entries[0]) entry = &context->entries[context->count];

        if (context->count == ELEMENTSOF(context->entries))
            break;
        if (!jmp_node_string(value) || copy_cut(entry->key, value->key, KEY_MAX) == 0)
            continue;
        copy_cut(entry->value, jmp_node_string(value), VALUE_MAX);
        jumpstarter__v1__log_entry__extra_fields_entry__init(&entry->extra);
        entry->extra.key = entry->key;
        entry->extra.value = entry->value;
        context->count++;
    }
    return context;
}

void jmp_telemetry_set_lease(struct jmp_telemetry *telemetry, const char *lease, const char *client,
                             const char *context)
{
    struct lease *now;

    if (!telemetry)
        return;
    now = &telemetry->leases[++telemetry->newest % LEASES];
    now->from = jmp_logstream_head(telemetry->options.logs);
    snprintf(now->name, sizeof(now->name), "%s", lease ?: "");
    snprintf(now->client, sizeof(now->client), "%s", client ?: "");
    free(now->context);
    now->context = read_context(context);
}

int jmp_telemetry_new(const struct jmp_telemetry_options *options, const struct jmp_channel_options *channel,
                      const char *min_severity, struct jmp_telemetry **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_telemetry_freep) struct jmp_telemetry *telemetry = calloc(1, sizeof(*telemetry));
    int r;

    if (!telemetry)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    telemetry->options = *options;
    telemetry->least = JMP_LOG_INFO;
    (void)jmp_log_level_parse(min_severity, &telemetry->least);   /* an unknown word means info */
    r = jmp_channel_new(options->queue, channel, &telemetry->channel, reterr);
    if (r < 0)
        return r;
    jmp_log_reader_open(&telemetry->reader, options->logs, jmp_logstream_head(options->logs), on_record);

    *ret = TAKE_PTR(telemetry);
    return 0;
}

struct jmp_telemetry *jmp_telemetry_free(struct jmp_telemetry *telemetry)
{
    if (!telemetry)
        return NULL;
    jmp_log_reader_close(&telemetry->reader);
    for (size_t i = 0; i < LEASES; i++)
        free(telemetry->leases[i].context);
    jmp_timer_close(&telemetry->timer);
    jmp_timer_close(&telemetry->limit);
    telemetry->channel = jmp_channel_free(telemetry->channel);
    if (telemetry->rpc) {
        telemetry->freed = true;
        jmp_rpc_cancel(telemetry->rpc);
        return NULL;
    }
    free(telemetry);
    return NULL;
}
