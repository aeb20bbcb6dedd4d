/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/remember.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/test.h"

struct place {
    char directory[32], path[64];
};

static struct place place_new(void)
{
    struct place place = { .directory = "/tmp/jmp-memory-XXXXXX" };

    assert_non_null(mkdtemp(place.directory));
    snprintf(place.path, sizeof(place.path), "%s/lease", place.directory);
    return place;
}

static void place_done(struct place *place)
{
    unlink(place->path);
    assert_int_equal(rmdir(place->directory), 0);   /* no temporary file either */
}

JMP_TEST(what_is_written_is_read_back)
{
    static const struct jmp_memory rows[] = {
        { .lease = "01a224f9-d1f6" },
        { .lease = "a", .text = "[HOOK_WARNING] beforeLease hook warning: \"quoted\"" },
        { .lease = "a", .motd = (char *)"two\nlines, gr\xc3\xbc\xc3\x9f" "e" },
    };
    struct place place = place_new();

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_memory memory;

        assert_int_equal(jmp_memory_write(place.path, &rows[i], NULL), 0);
        assert_int_equal(jmp_memory_read(place.path, &memory, NULL), 0);
        assert_string_equal(memory.lease, rows[i].lease);
        assert_string_equal(memory.text, rows[i].text);
        assert_string_equal(memory.motd ?: "-", rows[i].motd ?: "-");
        jmp_memory_clear(&memory);
        assert_int_equal(memory.lease[0], '\0');
    }
    place_done(&place);
}

JMP_TEST(nothing_and_nonsense_are_not_remembered)
{
    static const char *const texts[] = {
        "", "{", "[]", "{}", "{\"lease\":\"\",\"text\":\"\"}", "{\"lease\":7,\"text\":\"\"}", "{\"lease\":\"a\"}",
    };
    struct place place = place_new();
    struct jmp_memory memory;
    char large[600];

    assert_int_equal(jmp_memory_read(place.path, &memory, NULL), -ENOENT);
    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        assert_int_equal(jmp_file_write(place.path, texts[i], strlen(texts[i]), 0600, NULL), 0);
        assert_int_equal(jmp_memory_read(place.path, &memory, NULL), -EINVAL);
        assert_int_equal(memory.lease[0], '\0');
    }
    snprintf(large, sizeof(large), "{\"lease\":\"%0300d\",\"text\":\"\"}", 1);
    assert_int_equal(jmp_file_write(place.path, large, strlen(large), 0600, NULL), 0);
    assert_int_equal(jmp_memory_read(place.path, &memory, NULL), -EINVAL);
    place_done(&place);
}

JMP_TEST(a_write_without_memory_leaves_what_was_there)
{
    struct place place = place_new();
    struct jmp_memory memory;

    assert_int_equal(jmp_memory_write(place.path, &(struct jmp_memory){ .lease = "first" }, NULL), 0);
    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        int r = jmp_memory_write(place.path, &(struct jmp_memory){ .lease = "other" }, NULL);

        if (r == 0)   /* there were fewer allocations than that */
            continue;
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(jmp_memory_read(place.path, &memory, NULL), 0);
        assert_string_equal(memory.lease, "first");
    }
    place_done(&place);
}
