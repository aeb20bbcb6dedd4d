/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/listener.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/runtime.h"
#include "base/test.h"

JMP_TEST(addresses_are_read_as_people_write_them)
{
    static const struct {
        const char *text, *host, *address;
        unsigned port;
    } good[] = {
        { "19090", "0.0.0.0", "0.0.0.0:19090", 19090 }, { "0", "0.0.0.0", "0.0.0.0:0", 0 },
        { ":1", "0.0.0.0", "0.0.0.0:1", 1 }, { "127.0.0.1:0", "127.0.0.1", "127.0.0.1:0", 0 },
        { "lab.example:65535", "lab.example", "lab.example:65535", 65535 }, { "[::]:80", "::", "[::]:80", 80 },
        { "[::1]:8082", "::1", "[::1]:8082", 8082 },
    };
    static const char *const bad[] = {
        "", ":", "x", "host", "host:", "host:x", "host:65536", "host:-1", "host: 1", "host:+1", "::1", "::1:80",
        "a b:1",
        "a/b:1", "host:99999999999999999999",
    };

    for (size_t i = 0; i < ELEMENTSOF(good); i++) {
        struct jmp_listener listener = { .host = "" };

        assert_int_equal(jmp_listener_parse(good[i].text, &listener, NULL), 0);
        assert_string_equal(listener.host, good[i].host);
        assert_string_equal(listener.address, good[i].address);
        assert_int_equal(listener.port, good[i].port);
    }
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        struct jmp_error error = JMP_ERROR_INIT;

        if (jmp_listener_parse(bad[i], NULL, &error) != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_true(*error.text);
    }
}

JMP_TEST(flags_that_do_not_fit_together_are_refused)
{
    static const struct {
        struct jmp_listener_flags flags;
        int r;
    } rows[] = {
        { { 0 }, 0 },
        { { .listen = "1", .insecure = true }, 0 },
        { { .listen = "1", .cert_file = "c", .key_file = "k" }, 0 },
        { { .listen = "1", .insecure = true, .passphrase = "p" }, 0 },
        { { .listen = "1" }, -EINVAL },
        { { .listen = "1", .cert_file = "c" }, -EINVAL },
        { { .listen = "1", .key_file = "k" }, -EINVAL },
        { { .listen = "1", .insecure = true, .cert_file = "c", .key_file = "k" }, -EINVAL },
        { { .listen = "x", .insecure = true }, -EINVAL },
        { { .listen = "1", .insecure = true, .passphrase = "p", .passphrase_file = "f" }, -EINVAL },
        { { .insecure = true }, -EINVAL },
        { { .cert_file = "c", .key_file = "k" }, -EINVAL },
        { { .passphrase = "p" }, -EINVAL },
        { { .passphrase_file = "f" }, -EINVAL },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_error error = JMP_ERROR_INIT;

        assert_int_equal(jmp_listener_check(&rows[i].flags, &error), rows[i].r);
        assert_int_equal(*error.text != '\0', rows[i].r != 0);
    }
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

JMP_TEST(a_passphrase_may_come_from_a_file)
{
    static const struct { const char *text, *passphrase; } rows[] = {
        { "sesame\n", "sesame" }, { "sesame", "sesame" }, { "two words\r\n", "two words" }, { "", NULL },
        { "\n", NULL }, { "tab\there", NULL }, { "f\xc3\xbcr", NULL },
    };
    char directory[] = "/tmp/jmp-listener-XXXXXX", path[64];

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/passphrase", directory);
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const struct jmp_listener_flags flags = { .listen = "0", .insecure = true, .passphrase_file = path };
        _cleanup_(jmp_listener_freep) struct jmp_listener *listener = NULL;
        struct jmp_error error = JMP_ERROR_INIT;
        int r;

        write_file(path, rows[i].text);
        r = jmp_listener_load(&flags, &listener, &error);
        if (rows[i].passphrase) {
            assert_int_equal(r, 0);
            assert_string_equal(listener->passphrase, rows[i].passphrase);
        } else {
            assert_int_equal(r, -EINVAL);
            /* nothing secret in words */
            assert_null(strstr(error.text, rows[i].text[0] > ' ' ? rows[i].text : "\n"));
        }
    }
    unlink(path);
    rmdir(directory);
}

JMP_TEST(files_that_are_missing_are_named)
{
    const struct jmp_listener_flags flags = { .listen = "0", .cert_file = "/nonexistent/cert",
                                              .key_file = "/nonexistent/key" };
    struct jmp_listener *listener = NULL;
    struct jmp_error error = JMP_ERROR_INIT;

    assert_int_equal(jmp_listener_load(&flags, &listener, &error), -ENOENT);
    assert_null(listener);
    assert_true(strstr(error.text, "/nonexistent/cert") || strstr(error.file, "/nonexistent/cert"));
}

JMP_TEST(secrets_are_equal_only_when_they_are)
{
    assert_true(jmp_listener_same_secret("sesame", "sesame"));
    assert_false(jmp_listener_same_secret("", "sesame"));
    assert_false(jmp_listener_same_secret("sesam", "sesame"));
    assert_false(jmp_listener_same_secret("sesamesesame", "sesame"));
    assert_false(jmp_listener_same_secret("sesamf", "sesame"));
}

/*
 * The runtime directory.
 */

JMP_TEST(one_exporter_of_a_name_runs_at_a_time)
{
    char directory[] = "/tmp/jmp-runtime-XXXXXX", path[128];
    struct jmp_runtime *first = NULL, *second = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    struct stat st;

    assert_non_null(mkdtemp(directory));
    unsetenv("RUNTIME_DIRECTORY");
    setenv("XDG_RUNTIME_DIR", directory, 1);
    assert_int_equal(jmp_runtime_open("board", &first, &error), 0);
    snprintf(path, sizeof(path), "%s/jmp-agent/board", directory);
    assert_string_equal(first->directory, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);

    assert_int_equal(jmp_runtime_open("board", &second, &error), -EBUSY);
    assert_null(second);
    assert_int_equal(stat(path, &st), 0);   /* the loser takes nothing away */
    assert_true(*error.hint);
    first = jmp_runtime_free(first);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(jmp_runtime_open("board", &second, &error), 0);
    jmp_runtime_free(second);

    /* What is empty goes with the last of several exporters. */
    snprintf(path, sizeof(path), "%s/jmp-agent", directory);
    assert_int_equal(jmp_runtime_open("board", &first, &error), 0);
    assert_int_equal(jmp_runtime_open("other", &second, &error), 0);
    jmp_runtime_free(first);
    assert_int_equal(stat(path, &st), 0);
    jmp_runtime_free(second);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(rmdir(directory), 0);
}

JMP_TEST(names_do_not_lead_out_of_the_directory)
{
    static const char *const names[] = { "../../etc", ".", "..", "a/b", "\xc3\xbc", "a b" };
    char directory[] = "/tmp/jmp-runtime-XXXXXX", path[128];

    assert_non_null(mkdtemp(directory));
    setenv("XDG_RUNTIME_DIR", directory, 1);
    snprintf(path, sizeof(path), "%s/jmp-agent/", directory);
    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        struct jmp_runtime *runtime = NULL;

        assert_int_equal(jmp_runtime_open(names[i], &runtime, NULL), 0);
        assert_memory_equal(runtime->directory, path, strlen(path));
        assert_null(strchr(runtime->directory + strlen(path), '/'));
        assert_int_not_equal(runtime->directory[strlen(path)], '.');
        jmp_runtime_free(runtime);
    }
    assert_int_equal(rmdir(directory), 0);
}

JMP_TEST(a_socket_path_that_is_too_long_is_an_error_with_advice)
{
    struct jmp_runtime *runtime = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    char name[200];

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(jmp_runtime_open(name, &runtime, &error), -ENAMETOOLONG);
    assert_true(*error.hint);
}
