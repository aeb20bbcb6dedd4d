/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/test.h"

struct place {
    char directory[64], path[96];
};

static void place_make(struct place *place)
{
    snprintf(place->directory, sizeof(place->directory), "/tmp/labd-store-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof(place->path), "%s/lab.db", place->directory);
}

static void place_remove(struct place *place)
{
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    char path[128];

    for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
        snprintf(path, sizeof(path), "%s%s", place->path, suffixes[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(place->directory), 0);
}

static struct jmp_store *open_store(struct place *place)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_store *store = NULL;
    int r = jmp_store_open(place->path, true, &store, &error);

    if (r < 0)
        fail_msg("%s", error.text);
    return store;
}

static int add_lease(struct jmp_store *store, const char *name, const char *client)
{
    struct jmp_lease lease = {
        .name = (char *)name, .client = (char *)client, .selector = (char *)"board=rpi4", .duration = 1, .created = 2
    };

    return jmp_store_add_lease(store, &lease);
}

JMP_TEST(everything_that_goes_in_comes_out)
{
    struct place place;
    struct jmp_store *store;
    struct jmp_lease lease = {
        .name = (char *)"l1",
        .client = (char *)"me",
        .selector = (char *)"",
        .wanted = (char *)"rpi",
        .allow_disabled = true,
        .duration = INT64_C(3600) * JMP_NSEC_PER_SECOND,
        .begin = 5,
        .end = 6,
        .created = 7,
    };
    struct jmp_exporter exporter = { .name = (char *)"rpi", .uid = "u", .enabled = true, .created = 9 };
    struct jmp_client client = { .name = (char *)"me", .uid = "c", .created = 1 };
    _cleanup_(jmp_lease_clear) struct jmp_lease got = { 0 }, of = { 0 };
    _cleanup_(jmp_exporter_clear) struct jmp_exporter board = { 0 };
    _cleanup_(jmp_client_clear) struct jmp_client person = { 0 };
    _cleanup_free_ char *value = NULL;
    struct stat st;

    place_make(&place);
    store = open_store(&place);
    assert_int_equal(stat(place.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    assert_int_equal(jmp_labels_set(&client.labels, "team", "red"), 0);
    assert_int_equal(jmp_store_add_client(store, &client), 0);
    assert_int_equal(jmp_store_add_client(store, &client), -EEXIST);
    assert_int_equal(jmp_store_add_exporter(store, &exporter), 0);
    exporter.registered = true;
    exporter.status = JMP_STATUS_LEASE_READY;
    exporter.message = (char *)"Ready for commands";
    exporter.devices = 5;
    exporter.seen = 77;
    assert_int_equal(jmp_labels_set(&exporter.labels, "board", "rpi4"), 0);
    assert_int_equal(jmp_store_put_exporter(store, &exporter), 0);

    assert_int_equal(jmp_labels_set(&lease.tags, "job", "42"), 0);
    assert_int_equal(jmp_labels_set(&lease.context, "why", "a test"), 0);
    assert_int_equal(jmp_store_add_lease(store, &lease), 0);
    assert_int_equal(jmp_store_add_lease(store, &lease), -EEXIST);
    assert_int_equal(jmp_lease_assign(&lease, &exporter, 8), 0);
    assert_int_equal(jmp_store_put_lease(store, &lease), 0);
    assert_int_equal(jmp_store_set_meta(store, "k", "v"), 0);
    assert_int_equal(jmp_store_set_meta(store, "k", "w"), 0);

    jmp_store_free(store);
    store = open_store(&place);

    assert_int_equal(jmp_store_get_client(store, "me", &person), 0);
    assert_string_equal(person.uid, "c");
    assert_string_equal(jmp_labels_get(&person.labels, "team"), "red");
    assert_int_equal(jmp_store_get_client(store, "you", &person), -ENOENT);
    assert_int_equal(jmp_store_get_exporter(store, "rpi", &board), 0);
    assert_true(board.registered && board.enabled && board.devices == 5 && board.seen == 77 && board.created == 9);
    assert_int_equal(board.status, JMP_STATUS_LEASE_READY);
    assert_string_equal(board.message, "Ready for commands");
    assert_string_equal(jmp_labels_get(&board.labels, "board"), "rpi4");

    assert_int_equal(jmp_store_get_lease(store, "l1", &got), 0);
    assert_int_equal(jmp_store_get_lease_of(store, "rpi", &of), 0);
    assert_true(of.id == got.id && got.id == lease.id);
    assert_string_equal(got.wanted, "rpi");
    assert_string_equal(got.exporter, "rpi");
    assert_string_equal(got.exporter_uid, "u");
    assert_true(got.allow_disabled && !got.release && !got.ended);
    assert_true(got.duration == lease.duration && got.begin == 5 && got.end == 6 && got.created == 7 && got.began == 8);
    assert_string_equal(jmp_labels_get(&got.tags, "job"), "42");
    assert_string_equal(jmp_labels_get(&got.context, "why"), "a test");
    assert_int_equal(got.condition_count, 1);
    assert_string_equal(got.conditions[0].reason, "Ready");
    assert_true(got.conditions[0].status && got.conditions[0].changed == 8);
    assert_int_equal(jmp_store_get_meta(store, "k", &value), 0);
    assert_string_equal(value, "w");

    assert_int_equal(jmp_store_release_leases(store, NULL, "rpi"), 0);
    jmp_lease_clear(&got);
    assert_int_equal(jmp_store_get_lease(store, "l1", &got), 0);
    assert_true(got.release);
    assert_int_equal(jmp_store_delete_exporter(store, "rpi"), 0);
    assert_int_equal(jmp_store_delete_exporter(store, "rpi"), -ENOENT);
    assert_int_equal(jmp_store_delete_client(store, "me"), 0);

    free(lease.exporter);
    jmp_labels_clear(&lease.tags);
    jmp_labels_clear(&lease.context);
    jmp_labels_clear(&exporter.labels);
    jmp_labels_clear(&client.labels);
    jmp_store_free(store);
    place_remove(&place);
}

struct names {
    char text[256];
};

static int collect(struct jmp_lease *lease, void *user)
{
    struct names *names = user;

    strcat(names->text, lease->name);
    return 0;
}

JMP_TEST(leases_are_listed_by_name_and_scheduled_by_age)
{
    struct place place;
    struct jmp_store *store;
    _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
    struct names names;

    place_make(&place);
    store = open_store(&place);
    assert_int_equal(add_lease(store, "c", "me"), 0);
    assert_int_equal(add_lease(store, "a", "me"), 0);
    assert_int_equal(add_lease(store, "b", "you"), 0);
    assert_int_equal(jmp_store_get_lease(store, "a", &lease), 0);
    jmp_lease_finish(&lease, JMP_LEASE_RELEASED, 1000);
    assert_int_equal(jmp_store_put_lease(store, &lease), 0);

    names = (struct names){ 0 };
    assert_int_equal(jmp_store_each_lease(store, "", true, collect, &names), 0);
    assert_string_equal(names.text, "bc");
    names = (struct names){ 0 };
    assert_int_equal(jmp_store_each_lease(store, "", false, collect, &names), 0);
    assert_string_equal(names.text, "abc");
    names = (struct names){ 0 };
    assert_int_equal(jmp_store_each_lease(store, "a", false, collect, &names), 0);
    assert_string_equal(names.text, "bc");
    names = (struct names){ 0 };
    assert_int_equal(jmp_store_each_active_lease(store, collect, &names), 0);
    assert_string_equal(names.text, "cb");
    assert_int_equal(jmp_store_count_leases(store, NULL), 2);
    assert_int_equal(jmp_store_count_leases(store, "me"), 1);

    assert_int_equal(jmp_store_prune(store, 1000), 0);
    names = (struct names){ 0 };
    assert_int_equal(jmp_store_each_lease(store, "", false, collect, &names), 0);
    assert_string_equal(names.text, "abc");
    assert_int_equal(jmp_store_prune(store, 1001), 0);
    names = (struct names){ 0 };
    assert_int_equal(jmp_store_each_lease(store, "", false, collect, &names), 0);
    assert_string_equal(names.text, "bc");
    jmp_store_free(store);
    place_remove(&place);
}

JMP_TEST(a_rollback_leaves_nothing_behind)
{
    struct place place;
    struct jmp_store *store;

    place_make(&place);
    store = open_store(&place);
    assert_int_equal(jmp_store_begin(store, true), 0);
    assert_int_equal(add_lease(store, "x", "me"), 0);
    jmp_store_rollback(store);
    jmp_store_rollback(store);
    assert_int_equal(jmp_store_count_leases(store, NULL), 0);
    assert_int_equal(jmp_store_begin(store, false), 0);
    assert_int_equal(add_lease(store, "x", "me"), 0);
    assert_int_equal(jmp_store_commit(store), 0);
    assert_int_equal(jmp_store_count_leases(store, NULL), 1);
    jmp_store_free(store);
    place_remove(&place);
}

JMP_TEST(changes_by_others_are_noticed_and_own_ones_are_not)
{
    struct place place;
    struct jmp_store *mine, *theirs;
    int64_t version;

    place_make(&place);
    mine = open_store(&place);
    theirs = open_store(&place);
    version = jmp_store_version(mine);
    assert_true(version > 0);
    assert_int_equal(add_lease(mine, "x", "me"), 0);
    assert_true(jmp_store_version(mine) == version);
    assert_int_equal(add_lease(theirs, "y", "me"), 0);
    assert_true(jmp_store_version(mine) != version);
    assert_int_equal(jmp_store_count_leases(mine, NULL), 2);
    jmp_store_free(mine);
    jmp_store_free(theirs);
    place_remove(&place);
}

JMP_TEST(kill_9_loses_nothing_that_was_acknowledged)
{
    struct place place;

    place_make(&place);
    for (unsigned round = 0; round < 5; round++) {
        int64_t said = -1, number;
        struct jmp_store *store;
        int pipes[2], status;
        pid_t child;

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct jmp_store *theirs = NULL;

            if (jmp_store_open(place.path, true, &theirs, NULL) < 0)
                _exit(1);
            for (int64_t i = 0;; i++) {
                char name[32];

                snprintf(name, sizeof(name), "%u-%" PRId64, round, i);
                if (jmp_store_begin(theirs, i % 2) < 0 || add_lease(theirs, name, "me") < 0 ||
                    jmp_store_commit(theirs) < 0)
                    _exit(2);
                if (write(pipes[1], &i, sizeof(i)) != sizeof(i))
                    _exit(3);
            }
        }

        close(pipes[1]);
        while (said < 20 + round && read(pipes[0], &number, sizeof(number)) == sizeof(number))
            said = number;
        kill(child, SIGKILL);
        while (read(pipes[0], &number, sizeof(number)) == sizeof(number))
            said = number;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(pipes[0]);

        store = open_store(&place);
        for (int64_t i = 0; i <= said; i++) {
            _cleanup_(jmp_lease_clear) struct jmp_lease lease = { 0 };
            char name[32];

            snprintf(name, sizeof(name), "%u-%" PRId64, round, i);
            assert_int_equal(jmp_store_get_lease(store, name, &lease), 0);
        }
        jmp_store_free(store);
    }
    place_remove(&place);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

JMP_TEST(a_file_that_is_none_of_ours_is_left_alone)
{
    struct place place;
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_store *store = NULL;
    sqlite3 *db;

    place_make(&place);
    assert_int_equal(jmp_store_open(place.path, false, &store, &error), -ENOENT);
    write_file(place.path, "this is a letter to my aunt, not a database; it is long enough to have a header");
    assert_int_equal(jmp_store_open(place.path, true, &store, &error), -EBADMSG);
    unlink(place.path);

    jmp_store_free(open_store(&place));
    assert_int_equal(sqlite3_open(place.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    error = JMP_ERROR_INIT;
    assert_int_equal(jmp_store_open(place.path, true, &store, &error), -EPROTONOSUPPORT);
    assert_non_null(strstr(error.text, "newer version"));
    assert_null(store);
    place_remove(&place);
}

JMP_TEST(two_writers_do_not_undo_each_other)
{
    struct place place;
    struct jmp_store *store;
    _cleanup_(jmp_exporter_clear) struct jmp_exporter service = { 0 }, after = { 0 };
    struct jmp_exporter exporter = { .name = (char *)"board", .enabled = true, .message = (char *)"", .created = 1 };
    _cleanup_(jmp_lease_clear) struct jmp_lease read = { 0 }, lease = { 0 };

    place_make(&place);
    store = open_store(&place);
    jmp_uuid_random(exporter.uid);
    assert_int_equal(jmp_store_add_exporter(store, &exporter), 0);
    assert_int_equal(jmp_store_get_exporter(store, "board", &service), 0);

    /* meanwhile, an administrator */
    assert_int_equal(jmp_labels_set(&exporter.labels, "site", "here"), 0);
    exporter.enabled = false;
    assert_int_equal(jmp_store_put_exporter(store, &exporter), 0);

    service.status = JMP_STATUS_AVAILABLE;
    service.seen = 7;
    assert_int_equal(jmp_store_put_state(store, &service), 0);
    assert_int_equal(jmp_store_get_exporter(store, "board", &after), 0);
    assert_false(after.enabled);
    assert_string_equal(jmp_labels_get(&after.labels, "site"), "here");
    assert_int_equal(after.status, JMP_STATUS_AVAILABLE);
    assert_int_equal(after.seen, 7);
    jmp_uuid_random(service.uid);
    assert_int_equal(jmp_store_put_state(store, &service), -ENOENT);   /* another one of that name */
    jmp_labels_clear(&exporter.labels);

    assert_int_equal(add_lease(store, "one", "alice"), 0);
    assert_int_equal(jmp_store_get_lease(store, "one", &read), 0);
    assert_int_equal(jmp_store_release_leases(store, "alice", NULL), 0);
    assert_int_equal(jmp_store_put_lease(store, &read), 0);
    assert_int_equal(jmp_store_get_lease(store, "one", &lease), 0);
    assert_true(lease.release);
    jmp_store_free(store);
    place_remove(&place);
}
