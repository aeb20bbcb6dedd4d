/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/plugin.h"

#include <string.h>
#include <sys/stat.h>

#include "agent/device_bench.h"
#include "base/json.h"

static void modules_path(char *path, size_t size, const char *name)
{
    const char *build = getenv("JMP_BUILD_DIR");

    assert_non_null(build);
    snprintf(path, size, "%s/tests/plugins/modules/%s", build, name);
}

static struct jmp_plugins *load(const char *directory, struct jmp_problems *problems)
{
    struct jmp_plugins *plugins = NULL;
    char path[4096];

    modules_path(path, sizeof(path), directory);
    assert_int_equal(jmp_plugins_load(path, &plugins, problems), 0);
    assert_non_null(plugins);
    return plugins;
}

static struct bench *bench_with(const struct jmp_plugins *plugins, const char *type, const char *config)
{
    char json[512];
    struct bench *bench;
    struct jmp_devices *devices = NULL;
    struct jmp_problems problems = { 0 };

    /* A tree of its own first, then the same configuration with plug-ins. */
    snprintf(json, sizeof(json), "{\"thing\":{\"type\":\"plain\"},\"x\":{\"type\":\"plain\"}}");
    bench = bench_new(json);
    bench->devices = jmp_devices_free(bench->devices);
    bench->config.devices->type = type;
    if (config) {
        struct jmp_error error = JMP_ERROR_INIT;

        if (jmp_json_parse(config, strlen(config), bench->tree, &bench->config.devices->config, &error) < 0)
            fail_msg("%s", error.text);
    }
    if (jmp_devices_new(bench->loop, &bench->config, plugins, &devices, &problems) < 0)
        fail_msg("%s", problems.first ? problems.first->error.text : "?");
    bench->devices = devices;
    bench_start(bench);
    return bench;
}

JMP_TEST(a_plugin_brings_drivers)
{
    struct jmp_problems problems = { 0 };
    _cleanup_(jmp_plugins_freep) struct jmp_plugins *plugins = load("good", &problems);
    const char *nearest = NULL;

    assert_int_equal(problems.warnings + problems.errors, 0);
    assert_non_null(jmp_plugins_find(plugins, "lamp", NULL));
    assert_ptr_equal(jmp_plugins_find(plugins, "test.Lamp", NULL), jmp_plugins_find(plugins, "lamp", NULL));
    assert_non_null(jmp_plugins_find(plugins, "composite", NULL));
    assert_null(jmp_plugins_find(plugins, "lamb", &nearest));
    assert_string_equal(nearest, "lamp");
    assert_null(jmp_plugins_find(NULL, "lamp", NULL));
    {
        _cleanup_(bench_freep) struct bench *bench = bench_with(plugins, "shop", "{\"bulb\":{\"watts\":60}}");
        _cleanup_outcome_ struct outcome outcome = OUTCOME;

        bench_answer(bench, "thing.bulb", "watts", NULL, &outcome);
        assert_string_equal(outcome.result, "60");
    }
}

JMP_TEST(an_old_plugin_runs_in_a_new_agent)
{
    struct jmp_problems problems = { 0 };
    _cleanup_(jmp_plugins_freep) struct jmp_plugins *plugins = load("old", &problems);
    _cleanup_(bench_freep) struct bench *bench = NULL;
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    assert_int_equal(problems.warnings + problems.errors, 0);
    bench = bench_with(plugins, "veteran", "{\"medal\":\"bronze\"}");
    bench_answer(bench, "thing", "tell", "[\"you\"]", &outcome);
    assert_string_equal(outcome.result, "[30,\"bronze\",\"you\"]");
    bench_answer(bench, "thing", "salute", NULL, &outcome);
    assert_int_equal(outcome.error, 0);
    outcome_clear(&outcome);
    bench_call(bench, "thing", "tell", JMP_CALL_STREAM, NULL, &outcome);
    assert_int_equal(outcome.error, -ENOENT);
}

JMP_TEST(a_newer_plugin_runs_if_it_can_do_without_what_is_new)
{
    struct jmp_problems problems = { 0 };
    _cleanup_(jmp_plugins_freep) struct jmp_plugins *plugins = load("newer", &problems);

    assert_int_equal(problems.warnings, 1);
    assert_string_equal(problems.first->error.text, "a driver class uses something that this agent is too old for");
    assert_non_null(jmp_plugins_find(plugins, "modest", NULL));
    assert_null(jmp_plugins_find(plugins, "bold", NULL));
    jmp_problems_clear(&problems);
}

JMP_TEST(every_bad_class_is_left_out_with_a_warning)
{
    static const char *const expected[] = {
        "a driver class has ABI 2, this agent has 1",
        "a driver class has the impossible size 16",
        "a driver class lacks its name, client or kind",
        "the list of options has rows of impossible size 8",
        "driver huge wants 1073741824 bytes for itself",
        "method both of two_functions has 2 functions instead of one",
        "method neither of no_function has 0 functions instead of one",
        "method shared of shared_call: shared is for open, quick for call and items",
        "option far of far_option lies outside of its struct",
        "option wide of wide_option lies outside of its struct",
        "child ghost of no_child has no class, or too many levels of them",
        "child self of endless has no class, or too many levels of them",
        "there is a driver part already; this one is left out",
    };
    struct jmp_problems problems = { 0 };
    _cleanup_(jmp_plugins_freep) struct jmp_plugins *plugins = load("bad", &problems);
    const struct jmp_problem *problem = problems.first;

    for (size_t i = 0; i < ELEMENTSOF(expected); i++, problem = problem->next) {
        assert_non_null(problem);
        assert_true(problem->warning);
        assert_string_equal(problem->error.text, expected[i]);
        assert_non_null(strstr(problem->error.file, "bad.so"));
    }
    assert_null(problem);
    assert_non_null(jmp_plugins_find(plugins, "fine", NULL));
    jmp_problems_clear(&problems);
}

JMP_TEST(files_that_are_no_plugins_are_warnings)
{
    char directories[4096], path[4096];
    struct jmp_problems problems = { 0 };
    struct jmp_plugins *plugins = NULL;
    FILE *file;

    modules_path(path, sizeof(path), "text");
    assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
    modules_path(path, sizeof(path), "text/broken.so");
    file = fopen(path, "we");
    assert_non_null(file);
    fputs("not an object\n", file);
    fclose(file);

    /* Directories that do not exist are nothing special; the order is that of the list, then that of the names. */
    modules_path(path, sizeof(path), "none");
    snprintf(directories, sizeof(directories), "/nowhere:%.4000s", path);
    assert_int_equal(jmp_plugins_load(directories, &plugins, &problems), 0);
    plugins = jmp_plugins_free(plugins);
    modules_path(path, sizeof(path), "text");
    assert_int_equal(jmp_plugins_load(path, &plugins, &problems), 0);
    plugins = jmp_plugins_free(plugins);
    assert_int_equal(problems.warnings, 2);
    assert_string_equal(problems.first->error.text, "is not a plug-in: it has no jmp_plugin_drivers");
    assert_true(strncmp(problems.last->error.text, "cannot be loaded: ", 18) == 0);
    jmp_problems_clear(&problems);

    assert_int_equal(jmp_plugins_load(NULL, &plugins, &problems), 0);
    plugins = jmp_plugins_free(plugins);
    assert_int_equal(jmp_plugins_load("", &plugins, &problems), 0);
    plugins = jmp_plugins_free(plugins);
    assert_int_equal(problems.warnings, 0);
}

/* Built by tests/plugins/run.sh from what is installed, outside of this tree. */
JMP_TEST(an_example_built_elsewhere_measures)
{
    const char *directory = getenv("JMP_EXAMPLE_PLUGIN");
    struct jmp_problems problems = { 0 };
    _cleanup_(jmp_plugins_freep) struct jmp_plugins *plugins = NULL;
    _cleanup_(bench_freep) struct bench *bench = NULL;
    _cleanup_outcome_ struct outcome outcome = OUTCOME;
    char file[] = "/tmp/jmp-thermometer-XXXXXX", config[256];
    int fd;

    if (!directory)
        skip();
    assert_int_equal(jmp_plugins_load(directory, &plugins, &problems), 0);
    assert_int_equal(problems.warnings, 0);
    fd = mkstemp(file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "42500\n", 6), 6);
    snprintf(config, sizeof(config), "{\"path\":\"%s\",\"interval\":0.01}", file);

    bench = bench_with(plugins, "thermometer", config);
    bench_answer(bench, "thing", "read", NULL, &outcome);
    assert_string_equal(outcome.result, "42.5");
    outcome_clear(&outcome);
    bench_call(bench, "thing", "watch", JMP_CALL_ITEMS, NULL, &outcome);
    while (outcome.items < 3) {
        outcome.item = false;
        bench_until(bench, &outcome.item);
    }
    jmp_call_cancel(outcome.call);
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, -ECANCELED);

    unlink(file);
    jmp_close(fd);
    bench_answer(bench, "thing", "read", NULL, &outcome);
    assert_int_equal(outcome.error, -ENODEV);
}
