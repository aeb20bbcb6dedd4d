/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/admin.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "base/writer.h"
#include "config/paths.h"
#include "config/write.h"
#include "config/yaml.h"

/*
 * Root may well administer what belongs to the service's user. What is made must belong to that user too, or the service cannot read it
 * any more; so the work is done as that user, and only the file asked for is written as root.
 */
static int become_owner(const char *directory, struct jmp_error *reterr)
{
    struct stat st;

    if (getuid() != 0 || stat(directory, &st) < 0 || st.st_uid == 0)
        return 0;
    if (setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0)
        return jmp_error_set(reterr, -errno, "cannot act as the owner of %s: %m", directory);

    return 0;
}

static int write_as_caller(const char *path, const char *text, struct jmp_error *reterr)
{
    uid_t owner = geteuid();
    gid_t group = getegid();
    int r;

    if (owner != getuid() && (seteuid(getuid()) < 0 || setegid(getgid()) < 0))
        return jmp_error_set(reterr, -errno, "cannot write as the calling user: %m");
    r = jmp_file_write(path, text, strlen(text), 0600, reterr);
    if (owner != geteuid() && (setegid(group) < 0 || seteuid(owner) < 0))
        r = jmp_error_set(reterr, -errno, "cannot act as the owner of the lab again: %m");
    return r;
}

static int open_lab(const struct jmp_admin_options *options, struct jmp_lab **ret, struct jmp_error *reterr)
{
    int r = become_owner(options->directory, reterr);

    return r < 0 ? r : jmp_lab_open(options->directory, options->namespace_, NULL, ret, reterr);
}

/* Commands that only make sense in a lab that is there. */
static int open_old_lab(const struct jmp_admin_options *options, struct jmp_lab **ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *path = NULL;
    int r;

    r = become_owner(options->directory, reterr);
    if (r < 0)
        return r;
    if (asprintf(&path, "%s/lab.db", options->directory) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (access(path, F_OK) < 0) {
        r = jmp_error_set(reterr, -errno, "there is no lab in %s: %m", options->directory);
        jmp_error_hint(reterr, "say where it is with --data-dir; \"jmp-labd\" or \"jmp-labd create\" makes one");
        return r;
    }

    return open_lab(options, ret, reterr);
}

static int check_name(const char *name, struct jmp_error *reterr)
{
    int r;

    if (jmp_subdomain_valid(name, strlen(name)))
        return 0;

    r = jmp_error_set(reterr, -EINVAL, "\"%.64s\" is no name", name);
    jmp_error_hint(reterr, "lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit");
    return r;
}

static int read_labels(const struct jmp_node *list, struct jmp_labels *labels, struct jmp_error *reterr)
{
    JMP_NODE_EACH(item, list) {
        int r = jmp_label_parse(labels, item->string, reterr);

        if (r < 0)
            return r;
    }

    return 0;
}

/* Where the file goes; NULL: to stdout. */
static int find_output(const struct jmp_admin_options *options, bool is_client, const char *name, char **ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *directory = NULL;
    int r = 0;

    *ret = NULL;
    if (options->output && options->save)
        return jmp_error_set(reterr, -EINVAL, "--output and --save exclude each other");
    if (options->output && !(*ret = strdup(options->output)))
        return -ENOMEM;
    if (options->save && is_client) {
        r = jmp_paths_client(name, ret, reterr);
    } else if (options->save && getuid() == 0) {
        r = asprintf(ret, "/etc/jumpstarter/exporters/%s.yaml", name);
    } else if (options->save) {
        r = jmp_paths_user(&directory, reterr);
        if (r == 0)
            r = asprintf(ret, "%s/exporters/%s.yaml", directory, name);
    }
    if (r < 0)
        return *ret ? r : -ENOMEM;

    if (*ret && !options->force && access(*ret, F_OK) == 0) {
        r = jmp_error_set(reterr, -EEXIST, "%s exists already", *ret);
        jmp_error_hint(reterr, "choose another file, or overwrite it with --force");
        return r;
    }

    return 0;
}

static int hand_over(struct jmp_lab *lab, const struct jmp_admin_options *options, bool is_client, const char *name, const char *uid,
                     const char *path, struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    int r;

    r = jmp_admin_config(lab, options, is_client, name, uid, &text, reterr);
    if (r < 0)
        return r;
    if (!path) {
        if (fputs(text, stdout) < 0 || fflush(stdout) < 0)
            return jmp_error_set(reterr, -errno, "cannot write to the standard output: %m");
        return 0;
    }

    r = write_as_caller(path, text, reterr);
    if (r < 0)
        return r;
    fprintf(stderr, "wrote %s\n", path);
    r = is_client && options->save ? jmp_config_save_current(name, reterr) : 0;
    return r < 0 ? r : 0;
}

/* The object exists only if its file does: without it nobody could use it. */
static int create(const struct jmp_admin_options *options, bool is_client, const char *name, struct jmp_error *reterr)
{
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = NULL;
    _cleanup_(jmp_labels_clear) struct jmp_labels labels = { 0 };
    _cleanup_free_ char *path = NULL;
    const char *kind = is_client ? "client" : "exporter";
    char uid[JMP_UUID_SIZE];
    int r;

    if ((r = check_name(name, reterr)) < 0 || (r = read_labels(options->label, &labels, reterr)) < 0 ||
        (r = find_output(options, is_client, name, &path, reterr)) < 0 || (r = open_lab(options, &lab, reterr)) < 0)
        return r;

    jmp_uuid_random(uid);
    r = jmp_store_begin(lab->store, true);
    if (r == 0 && is_client) {
        struct jmp_client client = { .name = (char *)name, .labels = labels, .created = jmp_wall_now() };

        memcpy(client.uid, uid, sizeof(uid));
        r = jmp_store_add_client(lab->store, &client);
    } else if (r == 0) {
        struct jmp_exporter exporter = { .name = (char *)name, .labels = labels, .enabled = true, .created = jmp_wall_now() };

        memcpy(exporter.uid, uid, sizeof(uid));
        exporter.message = (char *)"Never seen";
        r = jmp_store_add_exporter(lab->store, &exporter);
    }
    if (r == -EEXIST) {
        jmp_error_set(reterr, r, "there is already %s %s named %s", is_client ? "a" : "an", kind, name);
        jmp_error_hint(reterr, "\"jmp-labd rotate %s %s\" writes its file again", kind, name);
    } else if (r == -EDQUOT) {
        jmp_error_set(reterr, r, "the lab has as many %ss as it may have", kind);
    } else if (r < 0) {
        jmp_error_set(reterr, r, "cannot create %s %s: %s", kind, name, jmp_store_reason(lab->store));
    }
    if (r == 0)
        r = hand_over(lab, options, is_client, name, uid, path, reterr);
    if (r == 0) {
        r = jmp_store_commit(lab->store);
        if (r < 0) {
            jmp_error_set(reterr, r, "cannot create %s %s: %s", kind, name, jmp_store_reason(lab->store));
            if (path)
                unlink(path);
        }
    }
    if (r < 0)
        jmp_store_rollback(lab->store);
    return r;
}

int jmp_admin_create_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return create(options, true, name, reterr);
}

int jmp_admin_create_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return create(options, false, name, reterr);
}

static int missing(struct jmp_lab *lab, int r, const char *kind, const char *name, struct jmp_error *reterr)
{
    if (r == -ENOENT) {
        jmp_error_set(reterr, r, "there is no %s named %.64s", kind, name);
        jmp_error_hint(reterr, "\"jmp-labd list %ss\" shows all", kind);
        return r;
    }

    return jmp_error_set(reterr, r, "%s %.64s: %s", kind, name, jmp_store_reason(lab->store));
}

int jmp_admin_rotate_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = NULL;
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    _cleanup_free_ char *path = NULL;
    int r;

    if ((r = find_output(options, true, name, &path, reterr)) < 0 || (r = open_old_lab(options, &lab, reterr)) < 0)
        return r;
    r = jmp_store_get_client(lab->store, name, &client);
    if (r < 0)
        return missing(lab, r, "client", name, reterr);

    return hand_over(lab, options, true, name, client.uid, path, reterr);
}

int jmp_admin_rotate_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = NULL;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    _cleanup_free_ char *path = NULL;
    int r;

    if ((r = find_output(options, false, name, &path, reterr)) < 0 || (r = open_old_lab(options, &lab, reterr)) < 0)
        return r;
    r = jmp_store_get_exporter(lab->store, name, &exporter);
    if (r < 0)
        return missing(lab, r, "exporter", name, reterr);

    return hand_over(lab, options, false, name, exporter.uid, path, reterr);
}

int jmp_admin_update_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = NULL;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    int r;

    if (options->enable && options->disable)
        return jmp_error_set(reterr, -EINVAL, "--enable and --disable exclude each other");
    r = open_old_lab(options, &lab, reterr);
    if (r < 0)
        return r;

    /* Locked between reading and writing: the service changes the same row. */
    r = jmp_store_begin(lab->store, true);
    if (r == 0)
        r = jmp_store_get_exporter(lab->store, name, &exporter);
    if (r < 0) {
        r = missing(lab, r, "exporter", name, reterr);
        jmp_store_rollback(lab->store);
        return r;
    }
    if (options->enable || options->disable)
        exporter.enabled = options->enable;
    JMP_NODE_EACH(item, options->remove_label) {
        struct jmp_labels kept = { 0 };

        for (size_t i = 0; r == 0 && i < exporter.labels.count; i++)
            if (strcmp(exporter.labels.items[i].key, item->string) != 0)
                r = jmp_labels_set(&kept, exporter.labels.items[i].key, exporter.labels.items[i].value);
        jmp_labels_clear(&exporter.labels);
        exporter.labels = kept;
    }
    if (r == 0)
        r = read_labels(options->label, &exporter.labels, reterr);
    if (r == 0) {
        r = jmp_store_put_exporter(lab->store, &exporter);
        if (r == 0)
            r = jmp_store_commit(lab->store);
        if (r < 0)
            jmp_error_set(reterr, r, "cannot update exporter %s: %s", name, jmp_store_reason(lab->store));
    }
    if (r < 0)
        jmp_store_rollback(lab->store);
    return r;
}

static int delete(const struct jmp_admin_options *options, bool is_client, const char *name, struct jmp_error *reterr)
{
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = NULL;
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    const char *kind = is_client ? "client" : "exporter";
    int64_t held;
    int r;

    r = open_old_lab(options, &lab, reterr);
    if (r < 0)
        return r;
    r = jmp_store_begin(lab->store, true);
    if (r < 0)
        return missing(lab, r, kind, name, reterr);

    held = is_client ? jmp_store_count_leases(lab->store, name) : jmp_store_get_lease_of(lab->store, name, &lease) == 0;
    if (held > 0 && !options->force) {
        r = jmp_error_set(reterr, -EBUSY, "%s %s has a lease that has not ended", kind, name);
        jmp_error_hint(reterr, "--force ends it");
    } else if (held < 0) {
        r = (int)held;
    } else {
        /* The service ends what is marked here; until then nobody else gets the board. */
        r = jmp_store_release_leases(lab->store, is_client ? name : NULL, is_client ? NULL : name);
        if (r == 0)
            r = is_client ? jmp_store_delete_client(lab->store, name) : jmp_store_delete_exporter(lab->store, name);
        if (r == 0)
            r = jmp_store_commit(lab->store);
        if (r < 0)
            missing(lab, r, kind, name, reterr);
    }
    if (r < 0)
        jmp_store_rollback(lab->store);
    return r;
}

int jmp_admin_delete_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return delete(options, true, name, reterr);
}

int jmp_admin_delete_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return delete(options, false, name, reterr);
}

int jmp_admin_delete_lease(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = NULL;
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    int r;

    r = open_old_lab(options, &lab, reterr);
    if (r < 0)
        return r;
    r = jmp_store_begin(lab->store, true);
    if (r == 0)
        r = jmp_store_get_lease(lab->store, name, &lease);
    if (r == 0 && lease.ended) {
        jmp_store_rollback(lab->store);
        return jmp_error_set(reterr, -ESTALE, "lease %s has ended already", name);
    }
    lease.release = true;
    if (r == 0)
        r = jmp_store_put_lease(lab->store, &lease);
    if (r == 0)
        r = jmp_store_commit(lab->store);
    if (r < 0) {
        missing(lab, r, "lease", name, reterr);
        jmp_store_rollback(lab->store);
    }

    return r;
}

/*
 * Lists: columns for people, everything for programs.
 */

#define COLUMNS 7

struct list {
    struct jmp_writer *writer;
    char *(*rows)[COLUMNS];
    size_t count, room;
    const char *const *heads;
    bool all;
};

static void list_clear(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        for (size_t j = 0; j < COLUMNS; j++)
            free(list->rows[i][j]);
    free(list->rows);
    jmp_writer_free(list->writer);
}

/* @values: COLUMNS of them, copied; NULL: nothing */
static int list_add(struct list *list, const char *const *values)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 16;
        void *rows = reallocarray(list->rows, room, sizeof(*list->rows));

        if (!rows)
            return -ENOMEM;
        list->rows = rows;
        list->room = room;
    }
    memset(list->rows[list->count], 0, sizeof(*list->rows));
    list->count++;
    for (size_t i = 0; i < COLUMNS; i++) {
        if (!list->heads[i])
            break;
        list->rows[list->count - 1][i] = strdup(values[i] ? values[i] : "");
        if (!list->rows[list->count - 1][i])
            return -ENOMEM;
    }

    return 0;
}

static void print_table(const struct list *list)
{
    size_t widths[COLUMNS] = { 0 };

    for (size_t i = 0; i < COLUMNS && list->heads[i]; i++) {
        widths[i] = strlen(list->heads[i]);
        for (size_t row = 0; row < list->count; row++)
            if (strlen(list->rows[row][i]) > widths[i])
                widths[i] = strlen(list->rows[row][i]);
    }
    for (size_t row = 0; row <= list->count; row++) {
        for (size_t i = 0; i < COLUMNS && list->heads[i]; i++) {
            const char *text = row ? list->rows[row - 1][i] : list->heads[i];
            bool last = i + 1 == COLUMNS || !list->heads[i + 1];

            jmp_text_put(stdout, text);
            if (!last)
                printf("%*s", (int)(widths[i] - strlen(text) + 2), "");
        }
        putchar('\n');
    }
}

static void put(struct jmp_writer *writer, const char *key, const char *value)
{
    jmp_writer_key(writer, key);
    jmp_writer_string(writer, value);
}

static void put_labels(struct jmp_writer *writer, const char *key, const struct jmp_labels *labels)
{
    jmp_writer_key(writer, key);
    jmp_writer_begin_map(writer);
    for (size_t i = 0; i < labels->count; i++)
        put(writer, labels->items[i].key, labels->items[i].value);
    jmp_writer_end_map(writer);
}

static char *time_text(int64_t time, char ret[32])
{
    time_t seconds = (time_t)(time / JMP_SECOND);
    struct tm tm;

    ret[0] = '\0';
    if (time && gmtime_r(&seconds, &tm))
        strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return ret;
}

static void put_time(struct jmp_writer *writer, const char *key, int64_t time)
{
    char text[32];

    put(writer, key, time ? time_text(time, text) : NULL);
}

static int labels_text(const struct jmp_labels *labels, char **ret)
{
    _cleanup_free_ char *text = NULL;
    size_t length;
    FILE *stream = open_memstream(&text, &length);

    if (!stream)
        return -ENOMEM;
    for (size_t i = 0; i < labels->count; i++)
        fprintf(stream, "%s%s=%s", i ? "," : "", labels->items[i].key, labels->items[i].value);
    if (fclose(stream) != 0)
        return -ENOMEM;
    *ret = TAKE_PTR(text);
    return 0;
}

static int list_client(struct jmp_client *client, void *user)
{
    struct list *list = user;
    _cleanup_free_ char *labels = NULL;
    char created[32];
    int r = labels_text(&client->labels, &labels);

    if (r < 0)
        return r;
    jmp_writer_begin_map(list->writer);
    put(list->writer, "name", client->name);
    put_labels(list->writer, "labels", &client->labels);
    put_time(list->writer, "created", client->created);
    jmp_writer_end_map(list->writer);
    return list_add(list, (const char *const[]){ client->name, labels, time_text(client->created, created) });
}

static int list_exporter(struct jmp_exporter *exporter, void *user)
{
    struct list *list = user;
    _cleanup_free_ char *labels = NULL;
    const char *status = exporter->seen ? jmp_exporter_status_name(exporter->status) : "NeverSeen";
    char seen[32], devices[16];
    int r = labels_text(&exporter->labels, &labels);

    if (r < 0)
        return r;
    snprintf(devices, sizeof(devices), "%u", exporter->devices);
    jmp_writer_begin_map(list->writer);
    put(list->writer, "name", exporter->name);
    put_labels(list->writer, "labels", &exporter->labels);
    jmp_writer_key(list->writer, "enabled");
    jmp_writer_bool(list->writer, exporter->enabled);
    put(list->writer, "status", status);
    put(list->writer, "message", exporter->message);
    jmp_writer_key(list->writer, "devices");
    jmp_writer_integer(list->writer, exporter->devices);
    put_time(list->writer, "seen", exporter->seen);
    put_time(list->writer, "created", exporter->created);
    jmp_writer_end_map(list->writer);
    return list_add(list, (const char *const[]){ exporter->name, status, exporter->enabled ? "yes" : "no", devices,
                                                 time_text(exporter->seen, seen), labels });
}

static int list_lease(struct jmp_lease *lease, void *user)
{
    struct list *list = user;
    const struct jmp_condition *last = lease->condition_count ? &lease->conditions[lease->condition_count - 1] : NULL;
    const char *state = lease->release && !lease->ended ? "Releasing" : last ? last->reason : "Scheduled";
    int64_t expiry = lease->ended ? lease->finished : lease->began ? jmp_lease_expiry(lease) : 0;
    char until[32];

    jmp_writer_begin_map(list->writer);
    put(list->writer, "name", lease->name);
    put(list->writer, "client", lease->client);
    put(list->writer, "exporter", lease->exporter);
    put(list->writer, "selector", lease->selector[0] ? lease->selector : NULL);
    put(list->writer, "wanted", lease->wanted);
    put(list->writer, "state", state);
    put(list->writer, "reason", last ? last->message : NULL);
    put_labels(list->writer, "tags", &lease->tags);
    put_labels(list->writer, "context", &lease->context);
    put_time(list->writer, "created", lease->created);
    put_time(list->writer, "began", lease->began);
    put_time(list->writer, lease->ended ? "ended" : "ends", expiry);
    jmp_writer_end_map(list->writer);
    return list_add(list, (const char *const[]){ lease->name, lease->client, lease->exporter,
                                                 lease->wanted ? lease->wanted : lease->selector, state, time_text(expiry, until) });
}

/* What was collected goes out in the form that was asked for. */
static int list_print(struct list *list, const struct jmp_admin_options *options, struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    const struct jmp_node *node;
    int r;

    if (strcmp(options->output, "table") == 0) {
        print_table(list);
    } else {
        jmp_writer_end_list(list->writer);
        r = jmp_writer_finish(list->writer, &node);
        if (r == 0)
            r = strcmp(options->output, "json") == 0 ? jmp_json_print(node, 2, &text) : jmp_yaml_print(node, &text);
        if (r < 0)
            return r;
        fputs(text, stdout);
        if (text[0] && text[strlen(text) - 1] != '\n')
            putchar('\n');
    }
    if (fflush(stdout) < 0)
        return jmp_error_set(reterr, -errno, "cannot write to the standard output: %m");

    return 0;
}

enum listed { CLIENTS, EXPORTERS, LEASES };

static int list(const struct jmp_admin_options *options, enum listed what, struct jmp_error *reterr)
{
    static const char *const heads[][COLUMNS] = {
        { "NAME", "LABELS", "CREATED" },
        { "NAME", "STATUS", "ENABLED", "DEVICES", "LAST SEEN", "LABELS" },
        { "NAME", "CLIENT", "EXPORTER", "FOR", "STATE", "UNTIL" },
    };
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = NULL;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(list_clear) struct list list = { .heads = heads[what] };
    int r;

    if ((r = open_old_lab(options, &lab, reterr)) < 0 || (r = jmp_tree_new(64u * 1024 * 1024, &tree)) < 0 ||
        (r = jmp_writer_new(tree, &list.writer)) < 0)
        return r;
    jmp_writer_begin_list(list.writer);
    if (what == CLIENTS)
        r = jmp_store_each_client(lab->store, list_client, &list);
    else if (what == EXPORTERS)
        r = jmp_store_each_exporter(lab->store, "", list_exporter, &list);
    else
        r = jmp_store_each_lease(lab->store, "", !options->all, list_lease, &list);
    if (r < 0)
        return jmp_error_set(reterr, r, "cannot read the lab: %s", r == -ENOMEM ? "out of memory" : jmp_store_reason(lab->store));

    return list_print(&list, options, reterr);
}

int jmp_admin_list_clients(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return list(options, CLIENTS, reterr);
}

int jmp_admin_list_exporters(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return list(options, EXPORTERS, reterr);
}

int jmp_admin_list_leases(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return list(options, LEASES, reterr);
}
