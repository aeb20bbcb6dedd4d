/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/test.h"
#include "drivers/registry.h"

#define MANUAL_MAX (256u * 1024)

#define EACH_DRIVER(driver) \
    const struct jmp_driver_class *driver, *const *driver##_at = jmp_builtin_drivers; \
    (driver = *driver##_at); \
    driver##_at++

static size_t size_of(enum jmp_type type)
{
    static const size_t sizes[] = {
        [JMP_BOOL] = sizeof(bool), [JMP_UINT] = sizeof(unsigned), [JMP_NUMBER] = sizeof(double),
        [JMP_STRING] = sizeof(char *), [JMP_NODE] = sizeof(void *), [JMP_STRINGS] = sizeof(void *),
    };

    return sizes[type];
}

static bool among(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

JMP_TEST(every_class_is_complete)
{
    static const char *const kinds[] = { "power",     "storage", "network", "serial", "console",
                                         "composite", "gpio",    "other",   NULL };

    for (EACH_DRIVER(driver)) {
        assert_int_equal(driver->abi, JMP_DRIVER_ABI);
        assert_int_equal(driver->class_size, sizeof(*driver));
        assert_non_null(driver->name);
        assert_non_null(driver->help);
        assert_non_null(driver->client);
        /* What the usual allow list of stock clients lets in. */
        assert_memory_equal(driver->client, "jumpstarter_driver_", strlen("jumpstarter_driver_"));
        assert_true(among(driver->kind, kinds));
        assert_true(!driver->open || driver->close);
    }
}

JMP_TEST(every_option_fits_into_its_object)
{
    for (EACH_DRIVER(driver)) {
        for (const struct jmp_option *option = driver->options; option && option->key; option++) {
            assert_non_null(option->help);
            assert_true(option->offset + size_of(option->type) <= driver->size);
            assert_false(option->required && option->preset);
        }
    }
}

JMP_TEST(every_method_is_exactly_one_thing)
{
    for (EACH_DRIVER(driver)) {
        for (const struct jmp_method *method = driver->methods; method && method->name; method++) {
            int functions = !!method->call + !!method->items + !!method->open + !!method->serve;

            if (functions != 1 || (method->quick && !method->call && !method->items) ||
                (method->shared && !method->open))
                fail_msg("%s.%s", driver->name, method->name);
            if ((method->open || method->serve) && method->args[0].name)
                fail_msg("%s.%s: nobody can give arguments to a stream", driver->name, method->name);
        }
    }
}

static char *manual(void)
{
    const char *directory = getenv("JMP_SOURCE_DIR");
    _cleanup_fclose_ FILE *file = NULL;
    char path[4096];
    char *text = calloc(1, MANUAL_MAX + 1);

    assert_non_null(directory);
    assert_non_null(text);
    snprintf(path, sizeof(path), "%s/docs/drivers.md", directory);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_in_range(fread(text, 1, MANUAL_MAX, file), 1, MANUAL_MAX - 1);
    return text;
}

static void expect_word(const char *section, const char *driver, const char *word)
{
    char quoted[256];

    snprintf(quoted, sizeof(quoted), "`%s`", word);
    if (!strstr(section, quoted))
        fail_msg("docs/drivers.md, \"%s\" does not tell of %s", driver, quoted);
}

static void expect_methods(const char *section, const char *driver, const struct jmp_method *methods)
{
    for (; methods && methods->name; methods++)
        expect_word(section, driver, methods->name);
}

JMP_TEST(the_manual_tells_of_everything)
{
    _cleanup_free_ char *text = manual();

    for (EACH_DRIVER(driver)) {
        _cleanup_free_ char *section = NULL;
        const char *begin, *end;
        char heading[128];

        snprintf(heading, sizeof(heading), "\n## `%s`\n", driver->name);
        begin = strstr(text, heading);
        if (!begin) {
            fail_msg("docs/drivers.md has no section \"%s\"", driver->name);
            return;   /* for the compiler, which does not know that */
        }
        end = strstr(begin + 1, "\n## ");
        section = end ? strndup(begin, (size_t)(end - begin)) : strdup(begin);
        assert_non_null(section);

        if (driver->python_type)
            expect_word(section, driver->name, driver->python_type);
        expect_word(section, driver->name, driver->client);
        for (const struct jmp_option *option = driver->options; option && option->key; option++) {
            expect_word(section, driver->name, option->key);
            if (option->preset)
                expect_word(section, driver->name, option->preset);
        }
        expect_methods(section, driver->name, driver->methods);
        for (const struct jmp_child *child = driver->children; child && child->name; child++) {
            expect_word(section, driver->name, child->name);
            expect_word(section, driver->name, child->driver->client);
            expect_methods(section, driver->name, child->driver->methods);
        }
    }
}

JMP_TEST(no_name_is_taken_twice)
{
    for (EACH_DRIVER(a)) {
        for (EACH_DRIVER(b)) {
            if (a == b)
                continue;
            assert_string_not_equal(a->name, b->name);
            if (a->python_type && b->python_type)
                assert_string_not_equal(a->python_type, b->python_type);
        }
    }
}
