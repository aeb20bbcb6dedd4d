/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "base/test.h"

static unsigned count_entries(const char *path)
{
    DIR *directory = opendir(path);
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2;
}

JMP_TEST(a_file_is_replaced_whole_with_its_mode)
{
    char directory[] = "/tmp/jmp-file-XXXXXX", inner[64], path[128];
    _cleanup_free_ char *text = NULL;
    struct stat st;
    size_t length;

    assert_non_null(mkdtemp(directory));
    snprintf(inner, sizeof(inner), "%s/a", directory);
    snprintf(path, sizeof(path), "%s/a/b.yaml", directory);

    assert_int_equal(jmp_file_write(path, "first", 5, 0600, NULL), 0);
    assert_int_equal(stat(inner, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    assert_int_equal(jmp_file_write(path, "second\0x", 8, 0640, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(jmp_file_read(path, 8, &text, &length, NULL), 0);
    assert_int_equal(length, 8);
    assert_memory_equal(text, "second\0x", 9);
    assert_int_equal(count_entries(inner), 1);   /* no temporary file is left */

    unlink(path);
    rmdir(inner);
    rmdir(directory);
}

JMP_TEST(a_file_that_cannot_be_written_says_so_and_leaves_nothing)
{
    char directory[] = "/tmp/jmp-file-XXXXXX", path[128];
    struct jmp_error error = JMP_ERROR_INIT;

    assert_non_null(mkdtemp(directory));
    assert_int_equal(jmp_file_write(directory, "x", 1, 0600, &error), -EISDIR);
    assert_non_null(strstr(error.text, "cannot be written: Is a directory"));

    snprintf(path, sizeof(path), "%s/file", directory);
    assert_int_equal(jmp_file_write(path, "x", 1, 0600, NULL), 0);
    snprintf(path, sizeof(path), "%s/file/below", directory);
    assert_int_equal(jmp_file_write(path, "x", 1, 0600, &error), -ENOTDIR);
    assert_int_equal(count_entries(directory), 1);

    snprintf(path, sizeof(path), "%s/file", directory);
    unlink(path);
    rmdir(directory);
}

JMP_TEST(reading_keeps_to_its_limit)
{
    static const struct {
        size_t size, max;
        int result;
    } cases[] = { { 0, 0, 0 },         { 1, 0, -EFBIG },        { 10, 10, 0 },        { 11, 10, -EFBIG },
                  { 4096, 4096, 0 },   { 4097, 4096, -EFBIG },  { 100000, 200000, 0 } };
    char path[] = "/tmp/jmp-file-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_error error = JMP_ERROR_INIT;
        _cleanup_free_ char *text = NULL;
        size_t length = 0;

        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(ftruncate(fd, (off_t)cases[i].size), 0);
        assert_int_equal(jmp_file_read(path, cases[i].max, &text, &length, &error), cases[i].result);
        assert_int_equal(error.error, cases[i].result);
        if (cases[i].result == 0)
            assert_int_equal(length, cases[i].size);
    }
    close(fd);
    unlink(path);
}

JMP_TEST(files_survive_any_failed_allocation)
{
    char path[] = "/tmp/jmp-file-XXXXXX";
    int fd = mkstemp(path);
    unsigned failures = 0;

    assert_true(fd >= 0);
    close(fd);
    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_free_ char *text = NULL;
        size_t length;
        int r = jmp_file_write(path, "text", 4, 0600, NULL);

        if (r == 0)
            r = jmp_file_read(path, 100, &text, &length, NULL);
        assert_true(r == 0 || r == -ENOMEM);
        failures += r == -ENOMEM;
    }
    assert_true(failures >= 2);
    unlink(path);
}
