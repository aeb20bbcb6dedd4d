/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <ctype.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "base/limits.h"
#include "base/loop.h"
#include "base/text.h"

#define MESSAGE_MAX 4096u
#define FIELD_MAX 512u        /* of one field's value */
#define LINE_SIZE (48u * 1024) /* even if each byte of the message has to be escaped */
#define GATHER_MAX 4096u  /* bytes of gathered lines */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define LINES_PER_SECOND 10   /* of what peers cause */
#define STUCK_MSEC 200        /* how long a full, non-blocking stderr may hold up a thread before the line is dropped */

/* All but the threshold is guarded by the lock. The buffers stand here because logging must work without memory, and on
 * small stacks. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int threshold = JMP_LOG_INFO;
static struct {
    char component[64];
    char namespace_[JMP_NAME_MAX + 1];
    char exporter[JMP_NAME_MAX + 1], lease[JMP_NAME_MAX + 1], client[JMP_NAME_MAX + 1];   /* the scope */
    enum jmp_log_format format;
    bool colour;
    bool native;              /* the journal takes records with fields, not only lines */
    void (*tap)(const struct jmp_log_record *record, void *user);
    void *tap_user;
    char message[MESSAGE_MAX + 1];
    time_t second;            /* that .date is the text of */
    char date[32];
    pthread_t gatherer;       /* the thread whose lines may wait, if @gathers */
    bool gathers;
    char lines[GATHER_MAX + LINE_SIZE];
    char *line;               /* the one being made, behind those that wait */
    size_t length;            /* its own */
} state = { .format = JMP_LOG_TEXT, .line = state.lines };

static atomic_bool gathered;

static const struct {
    const char *name, *colour;
    int priority;   /* syslog(3) */
} levels[] = {
    [JMP_LOG_DEBUG] = { "DEBUG", "\033[2m", 7 },
    [JMP_LOG_INFO] = { "INFO", "", 6 },
    [JMP_LOG_WARNING] = { "WARNING", "\033[33m", 4 },
    [JMP_LOG_ERROR] = { "ERROR", "\033[31m", 3 },
    [JMP_LOG_CRITICAL] = { "CRITICAL", "\033[1;31m", 2 },
};

static const char *const loggers[] = {
    [JMP_LOG_SYSTEM] = "system",
    [JMP_LOG_DRIVER] = "driver",
    [JMP_LOG_BEFORE_LEASE] = "hook.beforeLease",
    [JMP_LOG_AFTER_LEASE] = "hook.afterLease",
};

const char *jmp_log_level_name(enum jmp_log_level level)
{
    return (size_t)level < ELEMENTSOF(levels) ? levels[level].name : "CRITICAL";
}

bool jmp_log_level_parse(const char *name, enum jmp_log_level *ret)
{
    for (size_t i = 0; i < ELEMENTSOF(levels); i++) {
        if (strcasecmp(name, levels[i].name) == 0) {
            *ret = (enum jmp_log_level)i;
            return true;
        }
    }
    if (strcasecmp(name, "warn") == 0) {
        *ret = JMP_LOG_WARNING;
        return true;
    }
    return false;
}

bool jmp_log_may(struct jmp_log_rate *rate)
{
    uint64_t second = jmp_now() / JMP_USEC_PER_SEC;

    if (second != rate->second)
        *rate = (struct jmp_log_rate){ .second = second };
    return ++rate->lines <= LINES_PER_SECOND;
}

bool jmp_log_enabled(enum jmp_log_level level)
{
    return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

/* systemd names the journal's socket by device and inode; only if stderr is still that one, lines end up there. */
static bool stderr_is_journal(void)
{
    const char *text = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    char *end;

    if (!text || fstat(STDERR_FILENO, &st) < 0)
        return false;

    device = strtoull(text, &end, 10);
    if (*end != ':' || end == text)
        return false;
    text = end + 1;
    inode = strtoull(text, &end, 10);
    return !*end && end != text && st.st_dev == device && st.st_ino == inode;
}

void jmp_log_open(const char *program, enum jmp_log_level level, enum jmp_log_format format)
{
    bool terminal = isatty(STDERR_FILENO);
    const char *no_colour = getenv("NO_COLOR");
    const char *namespace_ = getenv("NAMESPACE");

    if (!namespace_ || !*namespace_)
        namespace_ = getenv("POD_NAMESPACE");
    if (format == JMP_LOG_AUTO)
        format = stderr_is_journal() ? JMP_LOG_JOURNAL : terminal ? JMP_LOG_TEXT : JMP_LOG_JSON;

    pthread_mutex_lock(&lock);
    snprintf(state.component, sizeof(state.component), "%s", program ? program : "");
    snprintf(state.namespace_, sizeof(state.namespace_), "%s", namespace_ ? namespace_ : "");
    state.format = format;
    state.native = access(JOURNAL_SOCKET, W_OK) == 0;
    state.colour = terminal && !(no_colour && *no_colour);
    pthread_mutex_unlock(&lock);

    atomic_store(&threshold, (int)level);
}

void jmp_log_set_scope(const char *exporter, const char *lease, const char *client)
{
    pthread_mutex_lock(&lock);
    snprintf(state.exporter, sizeof(state.exporter), "%s", exporter ?: "");
    snprintf(state.lease, sizeof(state.lease), "%s", lease ?: "");
    snprintf(state.client, sizeof(state.client), "%s", client ?: "");
    pthread_mutex_unlock(&lock);
}

void jmp_log_set_tap(void (*tap)(const struct jmp_log_record *record, void *user), void *user)
{
    pthread_mutex_lock(&lock);
    state.tap = tap;
    state.tap_user = user;
    pthread_mutex_unlock(&lock);
}

/* One byte stays free for the end of the line, four for the end of a JSON string and object. */
static bool put(const char *text, size_t length)
{
    if (length > LINE_SIZE - 5 - state.length)
        return false;

    memcpy(state.line + state.length, text, length);
    state.length += length;
    return true;
}

static void puts_(const char *text)
{
    put(text, strlen(text));
}

/* Replaces what is no UTF-8 and makes the rest fit the format; cuts after @max bytes of @text. */
static void put_text(const char *text, size_t max, bool json)
{
    size_t length = jmp_text_cut(text, strnlen(text, max + 1), max);

    for (size_t i = 0; i < length;) {
        size_t plain = jmp_text_plain(text + i, length - i), n;
        char escape[8];
        bool room;

        if (plain > 0) {
            if (!put(text + i, plain))
                return;
            i += plain;
            continue;
        }
        n = jmp_text_sequence(text + i, length - i);
        if (n == 0) {
            room = put("\xef\xbf\xbd", 3);   /* U+FFFD */
            n = 1;
        } else if (json && (text[i] == '"' || text[i] == '\\')) {
            escape[0] = '\\';
            escape[1] = text[i];
            room = put(escape, 2);
        } else if (jmp_text_is_shown(text + i, n) || (json && n > 1)) {
            room = put(text + i, n);
        } else if (json) {
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)(unsigned char)text[i]);
            room = put(escape, 6);
        } else if (n == 1) {
            snprintf(escape, sizeof(escape), "\\x%02x", (unsigned)(unsigned char)text[i]);
            room = put(escape, 4);
        } else {
            room = put("\xef\xbf\xbd", 3);
        }
        if (!room)
            return;
        i += n;
    }
}

static void put_json(const char *key, const char *value)
{
    size_t start = state.length;

    /* A field that cannot be whole is left out, so that the line stays one JSON object. */
    if (!value || !*value || strnlen(value, FIELD_MAX) * 6 + strlen(key) + 8 > LINE_SIZE - 5 - state.length)
        return;

    puts_(start > 1 ? ",\"" : "\"");
    puts_(key);
    puts_("\":\"");
    put_text(value, FIELD_MAX, true);
    puts_("\"");
}

static bool is_word(const char *text)
{
    return text[strcspn(text, " \t\n\r\"='\\")] == 0 && *text;
}

static void put_pair(const char *key, const char *value)
{
    bool word;

    if (!value || !*value)
        return;

    word = is_word(value);
    puts_(" ");
    puts_(key);
    puts_(word ? "=" : "=\"");
    put_text(value, FIELD_MAX, false);
    if (!word)
        puts_("\"");
}

static void name_error(int number, char *ret, size_t size)
{
    const char *text = strerrordesc_np(-number);

    if (text)
        snprintf(ret, size, "%s", text);
    else
        snprintf(ret, size, "error %d", -number);
}

/* The fields that people look for; keys as the stock exporter names them where it has the same. */
static void put_fields(const struct jmp_log_record *record, void (*put_field)(const char *key, const char *value))
{
    const struct jmp_log_fields *fields = record->fields;
    /* Programs ask for the lines of a lease; people at a terminal know whose they are reading. */
    bool scoped = put_field != put_pair;
    char error[128];

    put_field("exporter", fields->exporter || !scoped ? fields->exporter : state.exporter);
    put_field("lease_id", fields->lease || !scoped ? fields->lease : state.lease);
    put_field("client", fields->client || !scoped ? fields->client : state.client);
    put_field("driver", fields->driver);
    put_field("driver_type", fields->driver_type);
    put_field("operation", fields->operation);
    put_field("result", fields->result);
    put_field("error_type", fields->error_type);
    put_field("endpoint", fields->endpoint);
    put_field("peer", fields->peer);

    if (fields->error < 0) {
        name_error(fields->error, error, sizeof(error));
        put_field("error", error);
    }
}

static void format_json(const struct jmp_log_record *record)
{
    time_t seconds = (time_t)(record->realtime / JMP_USEC_PER_SEC);
    char text[64];

    /* Lines come in bunches, and a calendar is slow. */
    if (seconds != state.second || !state.date[0]) {
        struct tm tm;

        gmtime_r(&seconds, &tm);
        strftime(state.date, sizeof(state.date), "%Y-%m-%dT%H:%M:%S", &tm);
        state.second = seconds;
    }
    snprintf(text, sizeof(text), "%s.%06uZ", state.date, (unsigned)(record->realtime % JMP_USEC_PER_SEC));

    puts_("{");
    put_json("ts", text);
    put_json("level", jmp_log_level_name(record->level));
    puts_(",\"msg\":\"");
    put_text(record->message, MESSAGE_MAX, true);
    puts_("\"");
    put_json("logger", loggers[record->fields->source]);
    put_json("component", state.component);
    put_json("namespace", state.namespace_);
    put_fields(record, put_json);
    state.line[state.length++] = '}';
}

static void format_text(const struct jmp_log_record *record)
{
    time_t seconds = (time_t)(record->realtime / JMP_USEC_PER_SEC);
    const char *colour = state.colour ? levels[record->level].colour : "";
    struct tm tm;
    char text[64];
    size_t n;

    localtime_r(&seconds, &tm);
    n = strftime(text, sizeof(text), "%H:%M:%S", &tm);
    snprintf(text + n, sizeof(text) - n, ".%03u ", (unsigned)(record->realtime % JMP_USEC_PER_SEC / 1000));

    puts_(text);
    puts_(colour);
    snprintf(text, sizeof(text), "%-8s ", jmp_log_level_name(record->level));
    puts_(text);
    put_text(record->message, MESSAGE_MAX, false);
    if (*colour)
        puts_("\033[0m");
    put_fields(record, put_pair);
}

static void format_journal(const struct jmp_log_record *record)
{
    char text[8];

    snprintf(text, sizeof(text), "<%d>", levels[record->level].priority);
    puts_(text);
    put_text(record->message, MESSAGE_MAX, false);
    put_fields(record, put_pair);
}

/*
 * The journal's own way: each field can be asked for, as in "journalctl LEASE=lease-7".
 */
static struct iovec entries[20];
static unsigned entry_count;

static void put_entry(const char *key, const char *value)
{
    size_t start = state.length;

    if (!value || !*value || entry_count == ELEMENTSOF(entries))
        return;
    for (const char *c = strcmp(key, "lease_id") == 0 ? "lease" : key; *c; c++) {
        char upper = (char)toupper((unsigned char)*c);

        put(&upper, 1);
    }
    puts_("=");
    put_text(value, FIELD_MAX, false);
    entries[entry_count++] = (struct iovec){ state.line + start, state.length - start };
}

/* Return: whether the journal took it. */
static bool send_journal(const struct jmp_log_record *record)
{
    char priority[8], error[128];

    entry_count = 0;
    puts_("MESSAGE=");
    put_text(record->message, MESSAGE_MAX, false);
    /* Fields are not shown unless asked for, and this one people want to see. */
    if (record->fields->error < 0) {
        name_error(record->fields->error, error, sizeof(error));
        if (!strstr(record->message, error)) {
            puts_(": ");
            put_text(error, sizeof(error), false);
        }
    }
    entries[entry_count++] = (struct iovec){ state.line, state.length };
    snprintf(priority, sizeof(priority), "%d", levels[record->level].priority);
    put_entry("priority", priority);
    put_entry("syslog_identifier", program_invocation_short_name);
    put_entry("logger", loggers[record->fields->source]);
    put_fields(record, put_entry);
    return sd_journal_sendv(entries, (int)entry_count) == 0;
}

/* Writes what has been gathered and the line that was just made. */
static void write_lines(void)
{
    const char *data = state.lines;
    size_t left = (size_t)(state.line - state.lines) + state.length;

    state.line = state.lines;
    state.length = 0;
    atomic_store_explicit(&gathered, false, memory_order_relaxed);

    /* Nearly always one write; more only after an interrupted or partial one. */
    while (left > 0) {
        ssize_t n = write(STDERR_FILENO, data, left);

        if (n > 0) {
            data += n;
            left -= (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            struct pollfd full = { .fd = STDERR_FILENO, .events = POLLOUT };

            if (poll(&full, 1, STUCK_MSEC) > 0)
                continue;
        }
        return;   /* there is nobody left to tell */
    }
}

static void gather_or_write(enum jmp_log_level level, enum jmp_log_source source)
{
    if (!state.gathers || source != JMP_LOG_DRIVER || level >= JMP_LOG_WARNING ||
        !pthread_equal(state.gatherer, pthread_self()) || state.line + state.length > state.lines + GATHER_MAX) {
        write_lines();
        return;
    }
    state.line += state.length;
    state.length = 0;
    atomic_store_explicit(&gathered, true, memory_order_relaxed);
}

bool jmp_log_is_gathered(void) { return atomic_load_explicit(&gathered, memory_order_relaxed); }

void jmp_log_flush(void)
{
    int saved = errno;

    pthread_mutex_lock(&lock);
    write_lines();
    pthread_mutex_unlock(&lock);
    errno = saved;
}

/* The last lines before a crash are those that matter. Without the lock, whose owner may be who has crashed. */
static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
static struct sigaction before[ELEMENTSOF(crashes)];

static void on_crash(int signal)
{
    int saved = errno;

    if (atomic_exchange(&gathered, false) && write(STDERR_FILENO, state.lines, (size_t)(state.line - state.lines)) < 0)
        errno = saved;   /* there is nobody left to tell */
    errno = saved;
    /* Whoever was there before us comes next: what failed is done again, and fails again. */
    for (size_t i = 0; i < ELEMENTSOF(crashes); i++)
        if (crashes[i] == signal)
            sigaction(signal, &before[i], NULL);
}

void jmp_log_gather(bool gather)
{
    static const struct sigaction action = { .sa_handler = on_crash };

    pthread_mutex_lock(&lock);
    for (size_t i = 0; gather != state.gathers && i < ELEMENTSOF(crashes); i++)
        sigaction(crashes[i], gather ? &action : &before[i], gather ? &before[i] : NULL);
    state.gatherer = pthread_self();
    state.gathers = gather;
    pthread_mutex_unlock(&lock);
    jmp_log_flush();
}

void jmp_log(enum jmp_log_level level, const struct jmp_log_fields *fields, const char *fmt, ...)
{
    static const struct jmp_log_fields none;
    int saved = errno;
    struct jmp_log_record record;
    struct timespec now;
    size_t length;
    va_list ap;

    if (!jmp_log_enabled(level))
        return;
    if (!fields)
        fields = &none;
    if ((size_t)level >= ELEMENTSOF(levels))
        level = JMP_LOG_CRITICAL;

    clock_gettime(CLOCK_REALTIME, &now);

    pthread_mutex_lock(&lock);

    errno = fields->error < 0 ? -fields->error : saved;
    va_start(ap, fmt);
    if (vsnprintf(state.message, sizeof(state.message), fmt, ap) < 0)
        snprintf(state.message, sizeof(state.message), "%s", fmt);
    va_end(ap);

    /* One line of UTF-8, whoever looks at it. */
    length = strlen(state.message);
    while (length > 0 && state.message[length - 1] == '\n')
        length--;
    if (length == MESSAGE_MAX)
        length = jmp_text_cut(state.message, length, length - 1);
    state.message[length] = 0;
    for (size_t i = jmp_text_plain(state.message, length); i < length;
         i += jmp_text_plain(state.message + i, length - i)) {
        size_t n = jmp_text_sequence(state.message + i, length - i);

        if (n == 0)
            state.message[i] = '?';
        else if (state.message[i] == '\n' || state.message[i] == '\r')
            state.message[i] = ' ';
        i += n ? n : 1;
    }

    record = (struct jmp_log_record){
        .level = level,
        .fields = fields,
        .message = state.message,
        .realtime = (uint64_t)now.tv_sec * JMP_USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000,
    };

    state.length = 0;
    if (state.format == JMP_LOG_JOURNAL && state.native) {
        bool sent = send_journal(&record);

        state.length = 0;
        if (sent)
            goto tap;
    }
    switch (state.format) {
    case JMP_LOG_JSON:
        format_json(&record);
        break;
    case JMP_LOG_JOURNAL:
        format_journal(&record);
        break;
    case JMP_LOG_AUTO:
    case JMP_LOG_TEXT:
        format_text(&record);
        break;
    }
    state.line[state.length++] = '\n';
    gather_or_write(level, fields->source);

tap:
    if (state.tap)
        state.tap(&record, state.tap_user);

    pthread_mutex_unlock(&lock);
    errno = saved;
}
