/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/store.h"

#include <inttypes.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define APPLICATION_ID "0x4a4d504c"   /* "JMPL" */
#define BUSY_MSEC 5000

/* Each entry brings a file from the version of its index to the next one. Never change an entry; add one. */
static const char *const migrations[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE client (name TEXT PRIMARY KEY, uid TEXT NOT NULL, labels TEXT NOT NULL,"
    " created INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE exporter (name TEXT PRIMARY KEY, uid TEXT NOT NULL, labels TEXT NOT NULL, enabled INTEGER NOT NULL,"
    " registered INTEGER NOT NULL, status INTEGER NOT NULL, message TEXT NOT NULL, devices INTEGER NOT NULL,"
    " seen INTEGER NOT NULL,"
    " created INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE lease (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, client TEXT NOT NULL,"
    " selector TEXT NOT NULL, wanted TEXT, allow_disabled INTEGER NOT NULL, duration INTEGER NOT NULL,"
    " begin_time INTEGER NOT NULL, end_time INTEGER NOT NULL, tags TEXT NOT NULL, context TEXT NOT NULL,"
    " created INTEGER NOT NULL, release INTEGER NOT NULL, ended INTEGER NOT NULL, exporter TEXT,"
    " exporter_uid TEXT NOT NULL, began INTEGER NOT NULL, finished INTEGER NOT NULL,"
    " conditions TEXT NOT NULL);"
    "CREATE INDEX lease_waiting ON lease (id) WHERE ended = 0;"
    "CREATE INDEX lease_history ON lease (finished) WHERE ended = 1;",
};

#define CLIENT_COLUMNS "name, uid, labels, created"
#define EXPORTER_COLUMNS "name, uid, labels, enabled, registered, status, message, devices, seen, created"
#define LEASE_COLUMNS \
    "id, name, client, selector, wanted, allow_disabled, duration, begin_time, end_time, tags, context, created, " \
    "release, ended, " \
    "exporter, exporter_uid, began, finished, conditions"

enum statement {
    BEGIN, COMMIT, ROLLBACK, SYNC_FULL, SYNC_NORMAL, DATA_VERSION, GET_META, SET_META,
    COUNT_CLIENTS, ADD_CLIENT, GET_CLIENT, DELETE_CLIENT, EACH_CLIENT,
    COUNT_EXPORTERS, ADD_EXPORTER, GET_EXPORTER, PUT_EXPORTER, PUT_STATE, DELETE_EXPORTER, EACH_EXPORTER,
    COUNT_LEASES, COUNT_LEASES_OF, ADD_LEASE, GET_LEASE, GET_LEASE_OF, PUT_LEASE, RELEASE_LEASES, EACH_LEASE,
    EACH_ACTIVE_LEASE, PRUNE_OLD, PRUNE_MANY,
    STATEMENTS
};

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [SYNC_FULL] = "PRAGMA synchronous = FULL",
    [SYNC_NORMAL] = "PRAGMA synchronous = NORMAL",
    [DATA_VERSION] = "PRAGMA data_version",
    [GET_META] = "SELECT value FROM meta WHERE key = ?",
    [SET_META] = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    [COUNT_CLIENTS] = "SELECT count(*) FROM client",
    [ADD_CLIENT] = "INSERT INTO client (" CLIENT_COLUMNS ") VALUES (?, ?, ?, ?)",
    [GET_CLIENT] = "SELECT " CLIENT_COLUMNS " FROM client WHERE name = ?",
    [DELETE_CLIENT] = "DELETE FROM client WHERE name = ?",
    [EACH_CLIENT] = "SELECT " CLIENT_COLUMNS " FROM client ORDER BY name",
    [COUNT_EXPORTERS] = "SELECT count(*) FROM exporter",
    [ADD_EXPORTER] = "INSERT INTO exporter (" EXPORTER_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [GET_EXPORTER] = "SELECT " EXPORTER_COLUMNS " FROM exporter WHERE name = ?",
    [PUT_STATE] =
        "UPDATE exporter SET registered = ?, status = ?, message = ?, devices = ?, seen = ? WHERE name = ? AND uid = ?",
    [PUT_EXPORTER] =
        "UPDATE exporter SET labels = ?, enabled = ?, registered = ?, status = ?, message = ?, devices = ?, seen = ?"
        " WHERE name = ?",
    [DELETE_EXPORTER] = "DELETE FROM exporter WHERE name = ?",
    [EACH_EXPORTER] = "SELECT " EXPORTER_COLUMNS " FROM exporter WHERE name > ? ORDER BY name",
    [COUNT_LEASES] = "SELECT count(*) FROM lease WHERE ended = 0",
    [COUNT_LEASES_OF] = "SELECT count(*) FROM lease WHERE ended = 0 AND client = ?",
    [ADD_LEASE] =
        "INSERT INTO lease (" LEASE_COLUMNS ") VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [GET_LEASE] = "SELECT " LEASE_COLUMNS " FROM lease WHERE name = ?",
    [GET_LEASE_OF] = "SELECT " LEASE_COLUMNS " FROM lease WHERE ended = 0 AND exporter = ? ORDER BY id LIMIT 1",
    /* A wish for the end is never taken back: somebody else may have written it since this lease was read. */
    [PUT_LEASE] =
        "UPDATE lease SET client = ?, duration = ?, begin_time = ?, end_time = ?, release = release | ?, ended = ?,"
        " exporter = ?, exporter_uid = ?, began = ?, finished = ?, conditions = ? WHERE id = ?",
    [RELEASE_LEASES] = "UPDATE lease SET release = 1 WHERE ended = 0 AND (client = ? OR exporter = ?)",
    [EACH_LEASE] = "SELECT " LEASE_COLUMNS " FROM lease WHERE name > ? AND ended <= ? ORDER BY name",
    [EACH_ACTIVE_LEASE] = "SELECT " LEASE_COLUMNS " FROM lease WHERE ended = 0 ORDER BY id",
    [PRUNE_OLD] = "DELETE FROM lease WHERE ended = 1 AND finished < ?",
    [PRUNE_MANY] = "DELETE FROM lease WHERE ended = 1 AND id <= (SELECT id FROM lease WHERE ended = 1 ORDER BY id DESC"
                   " LIMIT 1 OFFSET ?)",
};

struct jmp_store {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    bool full;          /* what synchronous is set to */
};

static int to_errno(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
        return -EACCES;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    default:
        return -EIO;
    }
}

const char *jmp_store_reason(struct jmp_store *store)
{
    return sqlite3_errmsg(store->db);
}

/*
 * A prepared statement with its values: 's' text (NULL is NULL), 'i' int64_t.
 */
static int prepare(struct jmp_store *store, enum statement which, sqlite3_stmt **ret, const char *types, ...)
{
    sqlite3_stmt *statement = store->statements[which];
    int code = SQLITE_OK;
    va_list args;

    if (!statement) {
        code = sqlite3_prepare_v3(store->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
        if (code != SQLITE_OK)
            return to_errno(code);
        store->statements[which] = statement;
    }

    va_start(args, types);
    for (int i = 0; types[i] && code == SQLITE_OK; i++) {
        if (types[i] == 's')
            code = sqlite3_bind_text(statement, i + 1, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
        else
            code = sqlite3_bind_int64(statement, i + 1, va_arg(args, int64_t));
    }
    va_end(args);
    if (code != SQLITE_OK) {
        sqlite3_reset(statement);
        return to_errno(code);
    }

    *ret = statement;
    return 0;
}

/* Runs a statement without a result. */
static int run(sqlite3_stmt *statement)
{
    int r, code;

    do
        code = sqlite3_step(statement);
    while (code == SQLITE_ROW);
    r = to_errno(code);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return r;
}

static int run_plain(struct jmp_store *store, enum statement which)
{
    sqlite3_stmt *statement;
    int r = prepare(store, which, &statement, "");

    return r < 0 ? r : run(statement);
}

static int64_t run_number(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    int64_t number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : to_errno(code);

    sqlite3_reset(statement);
    return number;
}

/* A change of one row that must exist. */
static int run_on_one(struct jmp_store *store, sqlite3_stmt *statement)
{
    int r = run(statement);

    if (r < 0)
        return r;

    return sqlite3_changes(store->db) > 0 ? 0 : -ENOENT;
}

static int migrate(struct jmp_store *store, const char *path, struct jmp_error *reterr)
{
    sqlite3_stmt *statement;
    int64_t version;
    int r;

    r = jmp_store_begin(store, true);
    if (r < 0)
        return jmp_error_set(reterr, r, "cannot lock %s: %s", path, jmp_store_reason(store));
    if (sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &statement, NULL) != SQLITE_OK)
        return jmp_error_set(reterr, -EBADMSG, "cannot read %s: %s", path, jmp_store_reason(store));
    version = run_number(statement);
    sqlite3_finalize(statement);

    if (version < 0 || version > (int64_t)ELEMENTSOF(migrations)) {
        r = jmp_error_set(reterr, -EPROTONOSUPPORT,
                          "%s was written by a newer version (schema %" PRId64 ", known is %zu)", path, version,
                          ELEMENTSOF(migrations));
        jmp_error_hint(reterr, "install that version again, or restore a backup");
        return r;
    }

    for (size_t i = (size_t)version; i < ELEMENTSOF(migrations); i++) {
        char pragma[96];

        snprintf(pragma, sizeof(pragma), "PRAGMA application_id = " APPLICATION_ID "; PRAGMA user_version = %zu",
                 i + 1);
        if (sqlite3_exec(store->db, migrations[i], NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(store->db, pragma, NULL, NULL, NULL) != SQLITE_OK)
            return jmp_error_set(reterr, to_errno(sqlite3_errcode(store->db)), "cannot bring %s up to schema %zu: %s",
                                 path, i + 1, jmp_store_reason(store));
    }

    return jmp_store_commit(store);
}

static int check(struct jmp_store *store, const char *path, struct jmp_error *reterr)
{
    sqlite3_stmt *statement;
    int r = 0;

    if (sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &statement, NULL) != SQLITE_OK)
        return jmp_error_set(reterr, -EBADMSG, "%s is not a database: %s", path, jmp_store_reason(store));
    if (sqlite3_step(statement) != SQLITE_ROW || strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0) {
        r = jmp_error_set(reterr, -EBADMSG, "%s is damaged", path);
        jmp_error_hint(reterr, "restore a backup; \"sqlite3 %s .recover\" may save what is left", path);
    }
    sqlite3_finalize(statement);
    return r;
}

int jmp_store_open(const char *path, bool create, struct jmp_store **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_store_freep) struct jmp_store *store = calloc(1, sizeof(*store));
    mode_t mask;
    int r, code;

    if (!store)
        return -ENOMEM;
    if (!create && access(path, F_OK) < 0)
        return jmp_error_set(reterr, -errno, "cannot open %s: %m", path);

    mask = umask(0077);
    code = sqlite3_open_v2(path, &store->db,
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0), NULL);
    if (code == SQLITE_OK) {
        sqlite3_busy_timeout(store->db, BUSY_MSEC);
        /* The first statement touches the file; what SQLite makes beside it must be as private. */
        code = sqlite3_exec(store->db,
                            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -1024;"
                            "PRAGMA trusted_schema = OFF",
                            NULL, NULL, NULL);
    }
    umask(mask);
    if (code != SQLITE_OK)
        return jmp_error_set(reterr, to_errno(code), "cannot open %s: %s", path, sqlite3_errmsg(store->db));

    if ((r = check(store, path, reterr)) < 0 || (r = migrate(store, path, reterr)) < 0) {
        jmp_store_rollback(store);
        return r;
    }

    *ret = TAKE_PTR(store);
    return 0;
}

struct jmp_store *jmp_store_free(struct jmp_store *store)
{
    if (!store)
        return NULL;

    for (size_t i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    free(store);
    return NULL;
}

int jmp_store_begin(struct jmp_store *store, bool durable)
{
    if (durable != store->full) {
        int r = run_plain(store, durable ? SYNC_FULL : SYNC_NORMAL);

        if (r < 0)
            return r;
        store->full = durable;
    }

    return run_plain(store, BEGIN);
}

int jmp_store_commit(struct jmp_store *store)
{
    return run_plain(store, COMMIT);
}

void jmp_store_rollback(struct jmp_store *store)
{
    if (!sqlite3_get_autocommit(store->db))
        run_plain(store, ROLLBACK);
}

int64_t jmp_store_version(struct jmp_store *store)
{
    sqlite3_stmt *statement;
    int r = prepare(store, DATA_VERSION, &statement, "");

    return r < 0 ? r : run_number(statement);
}

static int text_column(sqlite3_stmt *statement, int column, char **ret)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    *ret = NULL;
    if (!text)
        return sqlite3_column_type(statement, column) == SQLITE_NULL ? 0 : -ENOMEM;
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

static int uid_column(sqlite3_stmt *statement, int column, char ret[JMP_UUID_SIZE])
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    snprintf(ret, JMP_UUID_SIZE, "%s", text ? text : "");
    return 0;
}

static int labels_column(sqlite3_stmt *statement, int column, struct jmp_labels *labels)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    return text ? jmp_labels_parse(labels, text) : -EBADMSG;
}

int jmp_store_get_meta(struct jmp_store *store, const char *key, char **ret)
{
    sqlite3_stmt *statement;
    int r, code;

    r = prepare(store, GET_META, &statement, "s", key);
    if (r < 0)
        return r;
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        r = text_column(statement, 0, ret);
    else
        r = code == SQLITE_DONE ? -ENOENT : to_errno(code);
    sqlite3_reset(statement);
    return r;
}

int jmp_store_set_meta(struct jmp_store *store, const char *key, const char *value)
{
    sqlite3_stmt *statement;
    int r = prepare(store, SET_META, &statement, "ss", key, value);

    return r < 0 ? r : run(statement);
}

static int count_below(struct jmp_store *store, enum statement which, int64_t limit)
{
    sqlite3_stmt *statement;
    int64_t count;
    int r = prepare(store, which, &statement, "");

    if (r < 0)
        return r;
    count = run_number(statement);
    if (count < 0)
        return (int)count;

    return count < limit ? 0 : -EDQUOT;
}

static int read_client(sqlite3_stmt *statement, struct jmp_client *ret)
{
    _cleanup_(jmp_client_clear) struct jmp_client client = { .created = sqlite3_column_int64(statement, 3) };
    int r;

    if ((r = text_column(statement, 0, &client.name)) < 0 || (r = uid_column(statement, 1, client.uid)) < 0 ||
        (r = labels_column(statement, 2, &client.labels)) < 0)
        return r;

    *ret = client;
    client = (struct jmp_client){ 0 };
    return 0;
}

int jmp_store_add_client(struct jmp_store *store, const struct jmp_client *client)
{
    _cleanup_free_ char *labels = NULL;
    sqlite3_stmt *statement;
    int r;

    if ((r = count_below(store, COUNT_CLIENTS, JMP_STORE_CLIENTS_MAX)) < 0 ||
        (r = jmp_labels_print(&client->labels, &labels)) < 0)
        return r;
    r = prepare(store, ADD_CLIENT, &statement, "sssi", client->name, client->uid, labels, client->created);
    return r < 0 ? r : run(statement);
}

int jmp_store_get_client(struct jmp_store *store, const char *name, struct jmp_client *ret)
{
    sqlite3_stmt *statement;
    int r, code;

    r = prepare(store, GET_CLIENT, &statement, "s", name);
    if (r < 0)
        return r;
    code = sqlite3_step(statement);
    r = code == SQLITE_ROW ? read_client(statement, ret) : code == SQLITE_DONE ? -ENOENT : to_errno(code);
    sqlite3_reset(statement);
    return r;
}

int jmp_store_delete_client(struct jmp_store *store, const char *name)
{
    sqlite3_stmt *statement;
    int r = prepare(store, DELETE_CLIENT, &statement, "s", name);

    return r < 0 ? r : run_on_one(store, statement);
}

int jmp_store_each_client(struct jmp_store *store, int (*each)(struct jmp_client *client, void *user), void *user)
{
    sqlite3_stmt *statement;
    int r, code = SQLITE_DONE;

    r = prepare(store, EACH_CLIENT, &statement, "");
    if (r < 0)
        return r;
    while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };

        r = read_client(statement, &client);
        if (r == 0)
            r = each(&client, user);
    }
    if (r == 0)
        r = to_errno(code);
    sqlite3_reset(statement);
    return r;
}

static int read_exporter(sqlite3_stmt *statement, struct jmp_exporter *ret)
{
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = {
        .enabled = sqlite3_column_int(statement, 3) != 0,
        .registered = sqlite3_column_int(statement, 4) != 0,
        .status = (unsigned)sqlite3_column_int(statement, 5),
        .devices = (unsigned)sqlite3_column_int(statement, 7),
        .seen = sqlite3_column_int64(statement, 8),
        .created = sqlite3_column_int64(statement, 9),
    };
    int r;

    if ((r = text_column(statement, 0, &exporter.name)) < 0 || (r = uid_column(statement, 1, exporter.uid)) < 0 ||
        (r = labels_column(statement, 2, &exporter.labels)) < 0 ||
        (r = text_column(statement, 6, &exporter.message)) < 0)
        return r;

    *ret = exporter;
    exporter = (struct jmp_exporter){ 0 };
    return 0;
}

int jmp_store_add_exporter(struct jmp_store *store, const struct jmp_exporter *exporter)
{
    _cleanup_free_ char *labels = NULL;
    sqlite3_stmt *statement;
    int r;

    if ((r = count_below(store, COUNT_EXPORTERS, JMP_STORE_EXPORTERS_MAX)) < 0 ||
        (r = jmp_labels_print(&exporter->labels, &labels)) < 0)
        return r;
    r = prepare(store, ADD_EXPORTER, &statement, "sssiiisiii", exporter->name, exporter->uid, labels,
                (int64_t)exporter->enabled, (int64_t)exporter->registered, (int64_t)exporter->status,
                exporter->message ? exporter->message : "", (int64_t)exporter->devices, exporter->seen,
                exporter->created);
    return r < 0 ? r : run(statement);
}

int jmp_store_get_exporter(struct jmp_store *store, const char *name, struct jmp_exporter *ret)
{
    sqlite3_stmt *statement;
    int r, code;

    r = prepare(store, GET_EXPORTER, &statement, "s", name);
    if (r < 0)
        return r;
    code = sqlite3_step(statement);
    r = code == SQLITE_ROW ? read_exporter(statement, ret) : code == SQLITE_DONE ? -ENOENT : to_errno(code);
    sqlite3_reset(statement);
    return r;
}

int jmp_store_put_exporter(struct jmp_store *store, const struct jmp_exporter *exporter)
{
    _cleanup_free_ char *labels = NULL;
    sqlite3_stmt *statement;
    int r;

    r = jmp_labels_print(&exporter->labels, &labels);
    if (r < 0)
        return r;
    r = prepare(store, PUT_EXPORTER, &statement, "siiisiis", labels, (int64_t)exporter->enabled,
                (int64_t)exporter->registered, (int64_t)exporter->status, exporter->message ? exporter->message : "",
                (int64_t)exporter->devices, exporter->seen, exporter->name);
    return r < 0 ? r : run_on_one(store, statement);
}

int jmp_store_put_state(struct jmp_store *store, const struct jmp_exporter *exporter)
{
    sqlite3_stmt *statement;
    int r = prepare(store, PUT_STATE, &statement, "iisiiss", (int64_t)exporter->registered, (int64_t)exporter->status,
                    exporter->message ? exporter->message : "", (int64_t)exporter->devices, exporter->seen,
                    exporter->name, exporter->uid);

    return r < 0 ? r : run_on_one(store, statement);
}

int jmp_store_delete_exporter(struct jmp_store *store, const char *name)
{
    sqlite3_stmt *statement;
    int r = prepare(store, DELETE_EXPORTER, &statement, "s", name);

    return r < 0 ? r : run_on_one(store, statement);
}

int jmp_store_each_exporter(struct jmp_store *store, const char *after,
                            int (*each)(struct jmp_exporter *exporter, void *user), void *user)
{
    sqlite3_stmt *statement;
    int r, code = SQLITE_DONE;

    r = prepare(store, EACH_EXPORTER, &statement, "s", after);
    if (r < 0)
        return r;
    while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };

        r = read_exporter(statement, &exporter);
        if (r == 0)
            r = each(&exporter, user);
    }
    if (r == 0)
        r = to_errno(code);
    sqlite3_reset(statement);
    return r;
}

static void json_unref(json_t **json)
{
    json_decref(*json);
}

static int print_conditions(const struct jmp_lease *lease, char **ret)
{
    _cleanup_(json_unref) json_t *list = json_array();
    char *text;

    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < lease->condition_count; i++) {
        const struct jmp_condition *condition = &lease->conditions[i];

        if (json_array_append_new(list, json_pack("{s:i, s:b, s:s, s:s%, s:I}", "type", (int)condition->type, "status",
                                                  (int)condition->status, "reason", condition->reason, "message",
                                                  condition->message, strlen(condition->message), "changed",
                                                  (json_int_t)condition->changed)) < 0)
            return -ENOMEM;
    }

    text = json_dumps(list, JSON_COMPACT);
    if (!text)
        return -ENOMEM;
    *ret = text;
    return 0;
}

static int parse_conditions(struct jmp_lease *lease, const char *text)
{
    _cleanup_(json_unref) json_t *list = json_loads(text, 0, NULL);
    json_t *item;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) > ELEMENTSOF(lease->conditions))
        return -EBADMSG;
    json_array_foreach(list, i, item) {
        struct jmp_condition *condition = &lease->conditions[i];
        const char *reason, *message;
        int type, status;
        json_int_t changed;

        if (json_unpack(item, "{s:i, s:b, s:s, s:s, s:I}", "type", &type, "status", &status, "reason", &reason,
                        "message", &message, "changed", &changed) < 0 ||
            type < JMP_PENDING || type > JMP_INVALID)
            return -EBADMSG;
        *condition =
            (struct jmp_condition){ .type = (enum jmp_condition_type)type, .status = status, .changed = changed };
        snprintf(condition->reason, sizeof(condition->reason), "%s", reason);
        snprintf(condition->message, sizeof(condition->message), "%s", message);
        lease->condition_count++;
    }

    return 0;
}

static int read_lease(sqlite3_stmt *statement, struct jmp_lease *ret)
{
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = {
        .id = sqlite3_column_int64(statement, 0),
        .allow_disabled = sqlite3_column_int(statement, 5) != 0,
        .duration = sqlite3_column_int64(statement, 6),
        .begin = sqlite3_column_int64(statement, 7),
        .end = sqlite3_column_int64(statement, 8),
        .created = sqlite3_column_int64(statement, 11),
        .release = sqlite3_column_int(statement, 12) != 0,
        .ended = sqlite3_column_int(statement, 13) != 0,
        .began = sqlite3_column_int64(statement, 16),
        .finished = sqlite3_column_int64(statement, 17),
    };
    const char *conditions;
    int r;

    if ((r = text_column(statement, 1, &lease.name)) < 0 || (r = text_column(statement, 2, &lease.client)) < 0 ||
        (r = text_column(statement, 3, &lease.selector)) < 0 || (r = text_column(statement, 4, &lease.wanted)) < 0 ||
        (r = labels_column(statement, 9, &lease.tags)) < 0 || (r = labels_column(statement, 10, &lease.context)) < 0 ||
        (r = text_column(statement, 14, &lease.exporter)) < 0 ||
        (r = uid_column(statement, 15, lease.exporter_uid)) < 0)
        return r;
    conditions = (const char *)sqlite3_column_text(statement, 18);
    r = conditions ? parse_conditions(&lease, conditions) : -EBADMSG;
    if (r < 0)
        return r;

    *ret = lease;
    lease = (struct jmp_lease){ 0 };
    return 0;
}

int jmp_store_add_lease(struct jmp_store *store, struct jmp_lease *lease)
{
    _cleanup_free_ char *tags = NULL, *context = NULL, *conditions = NULL;
    sqlite3_stmt *statement;
    int r;

    if ((r = count_below(store, COUNT_LEASES, JMP_STORE_LEASES_MAX)) < 0 ||
        (r = jmp_labels_print(&lease->tags, &tags)) < 0 || (r = jmp_labels_print(&lease->context, &context)) < 0 ||
        (r = print_conditions(lease, &conditions)) < 0)
        return r;
    r = prepare(store, ADD_LEASE, &statement, "ssssiiiissiiissiis", lease->name, lease->client, lease->selector,
                lease->wanted, (int64_t)lease->allow_disabled, lease->duration, lease->begin, lease->end, tags, context,
                lease->created, (int64_t)lease->release, (int64_t)lease->ended, lease->exporter, lease->exporter_uid,
                lease->began, lease->finished, conditions);
    if (r < 0)
        return r;
    r = run(statement);
    if (r < 0)
        return r;

    lease->id = sqlite3_last_insert_rowid(store->db);
    return 0;
}

static int one_lease(sqlite3_stmt *statement, struct jmp_lease *ret)
{
    int code = sqlite3_step(statement);
    int r = code == SQLITE_ROW ? read_lease(statement, ret) : code == SQLITE_DONE ? -ENOENT : to_errno(code);

    sqlite3_reset(statement);
    return r;
}

int jmp_store_get_lease(struct jmp_store *store, const char *name, struct jmp_lease *ret)
{
    sqlite3_stmt *statement;
    int r = prepare(store, GET_LEASE, &statement, "s", name);

    return r < 0 ? r : one_lease(statement, ret);
}

int jmp_store_get_lease_of(struct jmp_store *store, const char *exporter, struct jmp_lease *ret)
{
    sqlite3_stmt *statement;
    int r = prepare(store, GET_LEASE_OF, &statement, "s", exporter);

    return r < 0 ? r : one_lease(statement, ret);
}

int jmp_store_put_lease(struct jmp_store *store, const struct jmp_lease *lease)
{
    _cleanup_free_ char *conditions = NULL;
    sqlite3_stmt *statement;
    int r;

    r = print_conditions(lease, &conditions);
    if (r < 0)
        return r;
    r = prepare(store, PUT_LEASE, &statement, "siiiiissiisi", lease->client, lease->duration, lease->begin, lease->end,
                (int64_t)lease->release, (int64_t)lease->ended, lease->exporter, lease->exporter_uid, lease->began,
                lease->finished, conditions, lease->id);
    return r < 0 ? r : run_on_one(store, statement);
}

int jmp_store_release_leases(struct jmp_store *store, const char *client, const char *exporter)
{
    sqlite3_stmt *statement;
    int r = prepare(store, RELEASE_LEASES, &statement, "ss", client, exporter);

    return r < 0 ? r : run(statement);
}

static int each_lease(sqlite3_stmt *statement, int (*each)(struct jmp_lease *lease, void *user), void *user)
{
    int r = 0, code = SQLITE_DONE;

    while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };

        r = read_lease(statement, &lease);
        if (r == 0)
            r = each(&lease, user);
    }
    if (r == 0)
        r = to_errno(code);
    sqlite3_reset(statement);
    return r;
}

int jmp_store_each_lease(struct jmp_store *store, const char *after, bool only_active,
                         int (*each)(struct jmp_lease *lease, void *user), void *user)
{
    sqlite3_stmt *statement;
    int r = prepare(store, EACH_LEASE, &statement, "si", after, (int64_t)!only_active);

    return r < 0 ? r : each_lease(statement, each, user);
}

int jmp_store_each_active_lease(struct jmp_store *store, int (*each)(struct jmp_lease *lease, void *user), void *user)
{
    sqlite3_stmt *statement;
    int r = prepare(store, EACH_ACTIVE_LEASE, &statement, "");

    return r < 0 ? r : each_lease(statement, each, user);
}

int64_t jmp_store_count_leases(struct jmp_store *store, const char *client)
{
    sqlite3_stmt *statement;
    int r = client ? prepare(store, COUNT_LEASES_OF, &statement, "s", client)
                   : prepare(store, COUNT_LEASES, &statement, "");

    return r < 0 ? r : run_number(statement);
}

int jmp_store_prune(struct jmp_store *store, int64_t before)
{
    sqlite3_stmt *statement;
    int r;

    r = prepare(store, PRUNE_OLD, &statement, "i", before);
    if (r == 0)
        r = run(statement);
    if (r == 0)
        r = prepare(store, PRUNE_MANY, &statement, "i", (int64_t)JMP_STORE_HISTORY_MAX);

    return r < 0 ? r : run(statement);
}
