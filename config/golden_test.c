/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/golden/config: what is printed for each NAME.yaml stands in NAME.expected. A name that begins with "client-" is
 * read as a client's file, all others as an exporter's. With JMP_GOLDEN_WRITE=1 the expected files are written instead,
 * to be read before they are committed.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/test.h"
#include "config/client_config.h"
#include "config/exporter_config.h"

static void put_device(FILE *stream, const struct jmp_device_config *device)
{
    for (; device; device = device->next) {
        fprintf(stream, "  %s: %s%s\n", device->path,
                device->type  ? device->type
                : device->ref ? "ref "
                              : "composite",
                device->ref ? device->ref : "");
        put_device(stream, device->children);
    }
}

static char *read_exporter(const char *name)
{
    _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
    struct jmp_problems problems = { 0 };
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    int r = jmp_exporter_config_load(name, &config, &problems);

    assert_non_null(stream);
    for (const struct jmp_problem *problem = problems.first; problem; problem = problem->next)
        jmp_error_print(stream, problem->warning ? "warning" : "error", &problem->error);
    assert_int_equal(r, problems.errors > 0 ? -EINVAL : 0);
    assert_int_equal(config != NULL, r == 0);
    if (config) {
        fprintf(stream, "good: %s\n", config->name);
        put_device(stream, config->devices);
    }
    jmp_problems_clear(&problems);
    fclose(stream);
    return text;
}

static char *read_client(const char *name)
{
    _cleanup_(jmp_client_config_freep) struct jmp_client_config *config = NULL;
    struct jmp_problems problems = { 0 };
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    int r = jmp_client_config_load(name, &config, &problems);

    assert_non_null(stream);
    for (const struct jmp_problem *problem = problems.first; problem; problem = problem->next)
        jmp_error_print(stream, problem->warning ? "warning" : "error", &problem->error);
    assert_int_equal(r, problems.errors > 0 ? -EINVAL : 0);
    assert_int_equal(config != NULL, r == 0);
    if (config)
        fprintf(stream, "good: %s\n", config->name);
    jmp_problems_clear(&problems);
    fclose(stream);
    return text;
}

static int is_yaml(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 5 && strcmp(entry->d_name + length - 5, ".yaml") == 0;
}

static void enter_directory(void)
{
    const char *source = getenv("JMP_SOURCE_DIR");
    char path[4096];

    snprintf(path, sizeof(path), "%s/tests/golden/config", source ? source : ".");
    if (chdir(path) < 0)
        fail_msg("%s: %m; run from the source directory, or set JMP_SOURCE_DIR", path);

    /* Files that git checked out may be readable by everybody; that is another test. */
    unsetenv("JMP_NAME");
    unsetenv("JMP_NAMESPACE");
    unsetenv("JMP_ENDPOINT");
    unsetenv("JMP_TOKEN");
    unsetenv("JMP_DRIVERS_ALLOW");
}

/* Drops the warning about permissions, which depends on how the sources were checked out. */
static void drop_permissions(char *text)
{
    char *line = strstr(text, ": everybody on this machine"), *rest;

    if (!line)
        return;
    while (line > text && line[-1] != '\n')
        line--;
    rest = strstr(line, "\n  hint: chmod");
    assert_non_null(rest);
    rest += 1 + strcspn(rest + 1, "\n") + 1;
    memmove(line, rest, strlen(rest) + 1);
}

JMP_TEST(every_file_gets_the_words_it_deserves)
{
    const char *write = getenv("JMP_GOLDEN_WRITE");
    unsigned wrong = 0;
    struct dirent **entries;
    int n;

    enter_directory();
    n = scandir(".", &entries, is_yaml, alphasort);
    assert_true(n >= 60);

    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        _cleanup_free_ char *got = strncmp(name, "client-", 7) == 0 ? read_client(name) : read_exporter(name);
        _cleanup_free_ char *expected = NULL;
        char file[300];
        size_t length;

        drop_permissions(got);
        assert_null(strstr(got, "geheim"));   /* whatever is secret in these files says so */
        snprintf(file, sizeof(file), "%.*s.expected", (int)strlen(name) - 5, name);
        if (write && *write == '1')
            assert_int_equal(jmp_file_write(file, got, strlen(got), 0644, NULL), 0);
        if (jmp_file_read(file, JMP_CONFIG_MAX, &expected, &length, NULL) < 0 || strcmp(got, expected) != 0) {
            print_error("%s: expected\n%sgot\n%s\n", name, expected ? expected : "(no file)\n", got);
            wrong++;
        }
        free(entries[i]);
    }
    free(entries);
    assert_int_equal(wrong, 0);
}
