/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/admin.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "config/paths.h"
#include "config/write.h"

/*
 * Root may well administer what belongs to the service's user. What is made must belong to that user too, or the
 * service cannot read it any more; so the work is done as that user, and only the file asked for is written as root.
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

/* @act on what is the caller's own: files under his home, and where he said. */
static int as_caller(int (*act)(const void *user, struct jmp_error *reterr), const void *user, struct jmp_error *reterr)
{
    uid_t owner = geteuid();
    gid_t group = getegid();
    int r;

    if (owner != getuid() && (seteuid(getuid()) < 0 || setegid(getgid()) < 0))
        return jmp_error_set(reterr, -errno, "cannot act as the calling user: %m");
    r = act(user, reterr);
    if (owner != geteuid() && (setegid(group) < 0 || seteuid(owner) < 0))
        r = jmp_error_set(reterr, -errno, "cannot act as the owner of the lab again: %m");
    return r;
}

struct own_file {
    bool is_client, current;     /* @current: it may become the current client */
    const char *name, *path, *text;
    /* Goes into the file that is there, which else stays as it is; NULL: @text is the file. */
    const char *token;
};

static int write_own(const void *user, struct jmp_error *reterr)
{
    const struct own_file *file = user;
    int r = file->token ? jmp_config_save_token(file->path, file->path, file->token, NULL, reterr)
                        : jmp_file_write(file->path, file->text, strlen(file->text), 0600, reterr);

    if (r == 0 && file->current)
        r = jmp_config_save_current(file->name, reterr);
    return r < 0 ? r : 0;
}

static int delete_own(const void *user, struct jmp_error *reterr)
{
    const struct own_file *file = user;
    int r = file->is_client ? jmp_config_forget_current(file->name, NULL, reterr) : 0;

    if (r == 0 && unlink(file->path) < 0 && errno != ENOENT)
        r = jmp_error_set(reterr, -errno, "%s cannot be deleted: %m", file->path);
    return r;
}

/* Where jmp and jmpctl, or jmp-agent, look for it. */
static int saved_path(bool is_client, const char *name, char **ret, struct jmp_error *reterr)
{
    if (is_client)
        return jmp_paths_client(name, ret, reterr);
    if (getuid() != 0)
        return jmp_paths_user_exporter(name, ret, reterr);
    if (asprintf(ret, "/etc/jumpstarter/exporters/%s.yaml", name) < 0) {
        *ret = NULL;
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    return 0;
}

static int open_lab(const struct jmp_admin_options *options, struct jmp_lab **ret, struct jmp_error *reterr)
{
    int r = become_owner(options->directory, reterr);

    return r < 0 ? r : jmp_lab_open(options->directory, options->namespace_, NULL, ret, reterr);
}

int jmp_admin_open(const struct jmp_admin_options *options, struct jmp_lab **ret, struct jmp_error *reterr)
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
static int find_output(const struct jmp_admin_options *options, bool is_client, const char *name, char **ret,
                       struct jmp_error *reterr)
{
    int r;

    *ret = NULL;
    if (options->out && options->save)
        return jmp_error_set(reterr, -EINVAL, "--out and --save exclude each other");
    if (options->out && !(*ret = strdup(options->out)))
        return -ENOMEM;
    if (options->save && (r = saved_path(is_client, name, ret, reterr)) < 0)
        return r;

    if (*ret && !options->force && access(*ret, F_OK) == 0) {
        r = jmp_error_set(reterr, -EEXIST, "%s exists already", *ret);
        jmp_error_hint(reterr, "choose another file, or overwrite it with --force");
        return r;
    }

    return 0;
}

/* "client.jumpstarter.dev/alice", as with objects in Kubernetes */
static void print_name(bool is_client, const char *name)
{
    printf("%s.jumpstarter.dev/%s\n", is_client ? "client" : "exporter", name);
}

/* What was asked for on standard output instead of a configuration; nothing, unless something was. */
static int report(struct jmp_lab *lab, const struct jmp_admin_options *options, bool is_client, const char *name,
                  const char *path, struct jmp_error *reterr)
{
    int r = 0;

    if (!options->format)
        return 0;
    if (strcmp(options->format, "name") == 0)
        print_name(is_client, name);
    else if (strcmp(options->format, "path") == 0)
        puts(path ?: "");
    else
        r = jmp_admin_show(lab, options, is_client, name, reterr);
    if (r == 0 && fflush(stdout) < 0)
        r = jmp_error_set(reterr, -errno, "cannot write to the standard output: %m");
    return r;
}

/* The configuration into @path, or to standard output unless another thing is printed there. */
static int hand_over(struct jmp_lab *lab, const struct jmp_admin_options *options, bool is_client, const char *name,
                     const char *uid, const char *path, struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    int r;

    if (!path && options->format && strcmp(options->format, "path") == 0) {
        jmp_error_set(reterr, -EINVAL, "there is no file whose path could be printed");
        jmp_error_hint(reterr, "--save or --out makes one");
        return -EINVAL;
    }
    if (!path && options->format)
        return 0;
    r = jmp_admin_config(lab, options, is_client, name, uid, &text, reterr);
    if (r == 0 && path)
        r = as_caller(write_own, &(const struct own_file){ .name = name, .path = path, .text = text,
                                                           .current = is_client && options->save }, reterr);
    else if (r == 0 && (fputs(text, stdout) < 0 || fflush(stdout) < 0))
        r = jmp_error_set(reterr, -errno, "cannot write to the standard output: %m");
    if (text)
        explicit_bzero(text, strlen(text));
    if (r < 0 || !path)
        return r;

    fprintf(stderr, "wrote %s\n", path);
    return 0;
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
        struct jmp_exporter exporter = {
            .name = (char *)name, .labels = labels, .enabled = true, .created = jmp_wall_now()
        };

        memcpy(exporter.uid, uid, sizeof(uid));
        exporter.message = (char *)"Never seen";
        r = jmp_store_add_exporter(lab->store, &exporter);
    }
    if (r == -EEXIST) {
        jmp_error_set(reterr, r, "there is already %s %s named %s", is_client ? "a" : "an", kind, name);
        jmp_error_hint(reterr, "\"jmp-labd import %s %s\" saves its configuration", kind, name);
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
    if (r < 0) {
        jmp_store_rollback(lab->store);
        return r;
    }
    return report(lab, options, is_client, name, path, reterr);
}

int jmp_admin_create_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return create(options, true, name, reterr);
}

int jmp_admin_create_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return create(options, false, name, reterr);
}

int jmp_admin_missing(struct jmp_lab *lab, int r, const char *kind, const char *name, struct jmp_error *reterr)
{
    if (r == -ENOENT) {
        jmp_error_set(reterr, r, "there is no %s named %.64s", kind, name);
        jmp_error_hint(reterr, "\"jmp-labd get %ss\" shows all", kind);
        return r;
    }

    return jmp_error_set(reterr, r, "%s %.64s: %s", kind, name, jmp_store_reason(lab->store));
}

/* Tokens are not kept, so whoever wants a configuration gets it with a fresh one; older ones stay good. @fresh: the
 * caller's own configuration may be there, and gets the token. */
static int rotate(const struct jmp_admin_options *options, bool is_client, bool fresh, const char *name,
                  struct jmp_error *reterr)
{
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = NULL;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
    struct jmp_admin_options chosen = *options;
    _cleanup_free_ char *path = NULL, *token = NULL;
    const char *uid = is_client ? client.uid : exporter.uid;
    bool there;
    int r;

    chosen.force |= fresh && options->save;
    if ((r = find_output(&chosen, is_client, name, &path, reterr)) < 0 ||
        (r = jmp_admin_open(options, &lab, reterr)) < 0)
        return r;
    r = is_client ? jmp_store_get_client(lab->store, name, &client)
                  : jmp_store_get_exporter(lab->store, name, &exporter);
    if (r < 0)
        return jmp_admin_missing(lab, r, is_client ? "client" : "exporter", name, reterr);

    there = chosen.force && !options->force && access(path, F_OK) == 0;
    if (there)
        r = jmp_lab_sign(lab, is_client ? "client" : "exporter", name, uid, NULL, &token);
    if (there && r == 0)
        r = as_caller(write_own, &(const struct own_file){ .name = name, .path = path, .token = token }, reterr);
    if (there && r == 0)
        fprintf(stderr, "wrote %s\n", path);
    if (!there)
        r = hand_over(lab, options, is_client, name, uid, path, reterr);
    if (token)
        explicit_bzero(token, strlen(token));
    return r < 0 ? r : report(lab, options, is_client, name, path, reterr);
}

int jmp_admin_rotate_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return rotate(options, true, true, name, reterr);
}

int jmp_admin_rotate_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return rotate(options, false, true, name, reterr);
}

/* The same into a file that is not there yet: this user's, unless another is named. */
static int import(const struct jmp_admin_options *options, bool is_client, const char *name, struct jmp_error *reterr)
{
    struct jmp_admin_options chosen = *options;

    chosen.save = !chosen.out;
    return rotate(&chosen, is_client, false, name ?: "default", reterr);
}

int jmp_admin_import_client(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return import(options, true, name, reterr);
}

int jmp_admin_import_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    return import(options, false, name, reterr);
}

int jmp_admin_update_exporter(const struct jmp_admin_options *options, const char *name, struct jmp_error *reterr)
{
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = NULL;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    int r;

    if (options->enable && options->disable)
        return jmp_error_set(reterr, -EINVAL, "--enable and --disable exclude each other");
    r = jmp_admin_open(options, &lab, reterr);
    if (r < 0)
        return r;

    /* Locked between reading and writing: the service changes the same row. */
    r = jmp_store_begin(lab->store, true);
    if (r == 0)
        r = jmp_store_get_exporter(lab->store, name, &exporter);
    if (r < 0) {
        r = jmp_admin_missing(lab, r, "exporter", name, reterr);
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

/* This user's file of what is gone, as far as there is one. */
static int delete_config(bool is_client, const char *name, struct jmp_error *reterr)
{
    _cleanup_free_ char *path = NULL;
    int r = saved_path(is_client, name, &path, reterr);

    return r < 0 ? r
                 : as_caller(delete_own, &(const struct own_file){ .is_client = is_client, .name = name, .path = path },
                             reterr);
}

static int delete(const struct jmp_admin_options *options, bool is_client, const char *name, struct jmp_error *reterr)
{
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = NULL;
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    const char *kind = is_client ? "client" : "exporter";
    int64_t held;
    int r;

    r = jmp_admin_open(options, &lab, reterr);
    if (r < 0)
        return r;
    r = jmp_store_begin(lab->store, true);
    if (r < 0)
        return jmp_admin_missing(lab, r, kind, name, reterr);

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
            jmp_admin_missing(lab, r, kind, name, reterr);
    }
    if (r < 0) {
        jmp_store_rollback(lab->store);
        return r;
    }
    if (options->format)
        print_name(is_client, name);
    return options->delete_ ? delete_config(is_client, name, reterr) : 0;
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

    r = jmp_admin_open(options, &lab, reterr);
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
        jmp_admin_missing(lab, r, "lease", name, reterr);
        jmp_store_rollback(lab->store);
    } else if (options->format) {
        printf("lease.jumpstarter.dev/%s\n", name);
    }

    return r;
}
