/* SPDX-License-Identifier: Apache-2.0 */
#include "config/paths.h"

#include <string.h>

#include "base/file.h"
#include "base/test.h"
#include "config/client_config.h"
#include "config/write.h"

static void set(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

JMP_TEST(the_users_directory_is_where_stock_looks)
{
    static const struct {
        const char *own, *xdg, *home, *path;
    } cases[] = {
        { NULL, NULL, "/home/me", "/home/me/.config/jumpstarter" },
        { NULL, "/xdg", "/home/me", "/xdg/jumpstarter" },
        { "/own", "/xdg", "/home/me", "/own" },
        { "", "", "/home/me", "/home/me/.config/jumpstarter" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *path = NULL;

        set("JMP_CLIENT_CONFIG_HOME", cases[i].own);
        set("XDG_CONFIG_HOME", cases[i].xdg);
        set("HOME", cases[i].home);
        assert_int_equal(jmp_paths_user(&path, NULL), 0);
        assert_string_equal(path, cases[i].path);
    }
}

JMP_TEST(an_alias_is_no_path)
{
    static const char *const aliases[] = { "", ".", "..", "a/b", "/etc/passwd", "../x", "a\\b" };

    set("JMP_CLIENT_CONFIG_HOME", "/own");
    for (size_t i = 0; i < ELEMENTSOF(aliases); i++) {
        struct jmp_error error = JMP_ERROR_INIT;
        char *path = NULL;

        assert_int_equal(jmp_paths_exporter(aliases[i], &path, &error), -EINVAL);
        assert_int_equal(jmp_paths_client(aliases[i], &path, &error), -EINVAL);
        assert_null(path);
        assert_int_equal(error.error, -EINVAL);
    }
}

JMP_TEST(an_exporter_is_looked_for_at_the_users_first)
{
    char directory[] = "/tmp/jmp-paths-XXXXXX", file[128];
    struct jmp_error error = JMP_ERROR_INIT;
    _cleanup_free_ char *path = NULL, *client = NULL;

    assert_non_null(mkdtemp(directory));
    set("JMP_CLIENT_CONFIG_HOME", directory);
    assert_int_equal(jmp_paths_exporter("jmp-no-such-exporter", &path, &error), -ENOENT);
    snprintf(file, sizeof(file), "%s/exporters/jmp-no-such-exporter.yaml", directory);
    assert_non_null(strstr(error.text, file));
    assert_non_null(strstr(error.text, "/etc/jumpstarter/exporters/jmp-no-such-exporter.yaml"));

    assert_int_equal(jmp_file_write(file, "x", 1, 0600, NULL), 0);
    assert_int_equal(jmp_paths_exporter("jmp-no-such-exporter", &path, NULL), 0);
    assert_string_equal(path, file);
    assert_int_equal(jmp_paths_client("me", &client, NULL), 0);
    assert_non_null(strstr(client, "/clients/me.yaml"));

    unlink(file);
    snprintf(file, sizeof(file), "%s/exporters", directory);
    rmdir(file);
    rmdir(directory);
}

JMP_TEST(paths_survive_any_failed_allocation)
{
    unsigned failures = 0;

    set("JMP_CLIENT_CONFIG_HOME", NULL);
    set("XDG_CONFIG_HOME", NULL);
    set("HOME", "/home/me");
    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_free_ char *client = NULL, *exporter = NULL;
        int r;

        r = jmp_paths_client("a", &client, NULL);
        if (r == 0)
            r = jmp_paths_exporter("jmp-no-such-exporter", &exporter, NULL);
        assert_true(r == -ENOMEM || r == -ENOENT);
        failures += r == -ENOMEM;
    }
    assert_true(failures >= 3);
}

static void put(const char *directory, const char *name)
{
    char file[160];

    snprintf(file, sizeof(file), "%s/%s", directory, name);
    assert_int_equal(jmp_file_write(file, "x", 1, 0600, NULL), 0);
}

static void clear(const char *directory)
{
    static const char *const names[] = {
        "clients/b.yaml", "clients/a.yaml",          "clients/note.txt", "clients/.c.yaml", "clients/.yaml",
        "clients",        "exporters/jmp-none.yaml", "exporters",        "config.yaml",     ""
    };
    char file[160];

    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        snprintf(file, sizeof(file), "%s/%s", directory, names[i]);
        remove(file);
    }
    assert_int_equal(access(directory, F_OK), -1);
}

JMP_TEST(aliases_are_listed_in_order)
{
    char directory[] = "/tmp/jmp-paths-XXXXXX";
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *list;
    bool found = false;

    assert_non_null(mkdtemp(directory));
    set("JMP_CLIENT_CONFIG_HOME", directory);
    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_paths_aliases(false, tree, &list, NULL), 0);
    assert_int_equal(list->count, 0);
    put(directory, "clients/b.yaml");
    put(directory, "clients/a.yaml");
    put(directory, "clients/note.txt");
    put(directory, "clients/.c.yaml");
    put(directory, "clients/.yaml");
    put(directory, "exporters/jmp-none.yaml");
    assert_int_equal(jmp_paths_aliases(false, tree, &list, NULL), 0);
    assert_int_equal(list->count, 2);
    assert_string_equal(list->first->string, "a");
    assert_string_equal(list->last->string, "b");
    /* This machine may have exporters of its own. */
    assert_int_equal(jmp_paths_aliases(true, tree, &list, NULL), 0);
    JMP_NODE_EACH(alias, list)
        found |= strcmp(alias->string, "jmp-none") == 0;
    assert_true(found);
    clear(directory);
}

JMP_TEST(the_current_client_is_chosen_and_forgotten)
{
    char directory[] = "/tmp/jmp-paths-XXXXXX";
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const char *current = "";

    assert_non_null(mkdtemp(directory));
    set("JMP_CLIENT_CONFIG_HOME", directory);
    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_config_current(tree, &current, NULL), 0);
    assert_null(current);
    assert_int_equal(jmp_config_save_current("yes", NULL), 1);   /* also a name that YAML would read as true */
    assert_int_equal(jmp_config_save_current("other", NULL), 0);
    assert_int_equal(jmp_config_current(tree, &current, NULL), 0);
    assert_string_equal(current, "yes");
    assert_int_equal(jmp_config_set_current(NULL, NULL), 0);
    assert_int_equal(jmp_config_current(tree, &current, NULL), 0);
    assert_null(current);
    assert_int_equal(jmp_config_save_current("other", NULL), 1);
    put(directory, "config.yaml");
    assert_int_equal(jmp_config_current(tree, &current, NULL), -EINVAL);
    clear(directory);
}
