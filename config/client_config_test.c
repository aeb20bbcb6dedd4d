/* SPDX-License-Identifier: Apache-2.0 */
#include "config/client_config.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/test.h"

static const char *const variables[] = {
    "JMP_NAME", "JMP_NAMESPACE", "JMP_ENDPOINT", "JMP_TOKEN", "JMP_DRIVERS_ALLOW", "JMP_GRPC_INSECURE",
    "JUMPSTARTER_GRPC_INSECURE", "JMP_CLIENT_CONFIG_HOME", "XDG_CONFIG_HOME",
};

/* A directory of configuration that is gone after the test. */
struct home {
    char path[64];
};

static void home_open(struct home *home)
{
    for (size_t i = 0; i < ELEMENTSOF(variables); i++)
        unsetenv(variables[i]);
    snprintf(home->path, sizeof(home->path), "/tmp/jmp-client-XXXXXX");
    assert_non_null(mkdtemp(home->path));
    setenv("JMP_CLIENT_CONFIG_HOME", home->path, 1);
}

static void home_write(const struct home *home, const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", home->path, name);
    assert_int_equal(jmp_file_write(path, text, strlen(text), 0600, NULL), 0);
}

static void home_close(struct home *home)
{
    static const char *const names[] = { "config.yaml", "clients/me.yaml", "clients/other.yaml", "clients", "" };

    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        char path[256];

        snprintf(path, sizeof(path), "%s/%s", home->path, names[i]);
        if (remove(path) < 0 && errno != ENOENT)
            perror(path);
    }
    for (size_t i = 0; i < ELEMENTSOF(variables); i++)
        unsetenv(variables[i]);
}

static const char me[] =
    "apiVersion: jumpstarter.dev/v1alpha1\nkind: ClientConfig\nmetadata: {namespace: lab, name: me}\n"
    "endpoint: a.example.com:8082\ntls: {ca: '', insecure: true}\ntoken: secret.me\nrefresh_token: secret.too\n"
    "grpcOptions: {a: 1}\ndrivers: {allow: [one, two], unsafe: true}\nshell: {use_profiles: false}\n"
    "leases: {acquisition_timeout: 10, dial_timeout: 20, retry_timeout: 0}\n";
static const char other[] = "metadata: {namespace: null, name: other}\n";

JMP_TEST(every_key_arrives_where_it_belongs)
{
    _cleanup_(jmp_client_config_freep) struct jmp_client_config *config = NULL;
    _cleanup_(home_close) struct home home;

    home_open(&home);
    home_write(&home, "clients/me.yaml", me);
    assert_int_equal(jmp_client_config_find("me", NULL, &config, NULL), 0);
    assert_non_null(strstr(config->file, "/clients/me.yaml"));
    assert_string_equal(config->alias, "me");
    assert_string_equal(config->name, "me");
    assert_string_equal(config->namespace_, "lab");
    assert_string_equal(config->endpoint, "a.example.com:8082");
    assert_null(config->ca);
    assert_true(config->insecure);
    assert_string_equal(config->token, "secret.me");
    assert_int_equal(jmp_node_get(config->grpc_options, "a")->integer, 1);
    assert_int_equal(config->drivers_allow->count, 2);
    assert_true(config->drivers_unsafe);
    assert_int_equal(config->acquisition_timeout, 10);
    assert_int_equal(config->dial_timeout, 20);
    assert_int_equal(config->retry_timeout, 0);
}

JMP_TEST(what_is_left_out_has_its_stock_value)
{
    _cleanup_(jmp_client_config_freep) struct jmp_client_config *config = NULL;
    _cleanup_(home_close) struct home home;

    home_open(&home);
    home_write(&home, "clients/other.yaml", other);
    assert_int_equal(jmp_client_config_find("other", NULL, &config, NULL), 0);
    assert_null(config->namespace_);
    assert_null(config->endpoint);
    assert_null(config->token);
    assert_null(config->drivers_allow);
    assert_false(config->drivers_unsafe);
    assert_false(config->insecure);
    assert_int_equal(config->acquisition_timeout, 7200);
    assert_int_equal(config->dial_timeout, 60);
    assert_int_equal(config->retry_timeout, 300);
}

JMP_TEST(the_client_is_found_as_stock_finds_it)
{
    static const struct {
        const char *config;             /* config.yaml, or NULL */
        const char *alias, *path;       /* @path below the home */
        unsigned environment;           /* how many of the four variables are set */
        const char *name;               /* NULL: an error */
        int result;
    } cases[] = {
        { NULL, "me", NULL, 0, "me", 0 },
        { NULL, NULL, "clients/other.yaml", 0, "other", 0 },
        { NULL, "me", "clients/other.yaml", 0, NULL, -EINVAL },
        { NULL, "nobody", NULL, 0, NULL, -ENOENT },
        { NULL, "../me", NULL, 0, NULL, -EINVAL },
        { NULL, "", NULL, 0, NULL, -EINVAL },
        { NULL, NULL, "clients/nobody.yaml", 0, NULL, -ENOENT },
        { NULL, NULL, NULL, 0, NULL, -ENOENT },
        { NULL, NULL, NULL, 3, NULL, -ENOENT },
        { NULL, NULL, NULL, 4, "env", 0 },
        { "kind: UserConfig\nconfig: {current-client: other}\n", NULL, NULL, 0, "other", 0 },
        { "apiVersion: jumpstarter.dev/v1alpha1\nkind: UserConfig\nconfig:\n  current-client: me\n", NULL, NULL, 3,
          "me", 0 },
        { "config: {current-client: other}\n", NULL, NULL, 4, "env", 0 },
        { "config: {current-client: other}\n", "me", NULL, 4, "me", 0 },
        { "config: {current-client: null}\n", NULL, NULL, 0, NULL, -ENOENT },
        { "config: {}\n", NULL, NULL, 0, NULL, -ENOENT },
        { "", NULL, NULL, 0, NULL, -EINVAL },
        { "config: {current-client: nobody}\n", NULL, NULL, 0, NULL, -ENOENT },
        { "config: {current-client: ../x}\n", NULL, NULL, 0, NULL, -EINVAL },
        { "config: {current-client: 5}\n", NULL, NULL, 0, NULL, -EINVAL },
        { "config: {curent-client: me}\n", NULL, NULL, 0, NULL, -EINVAL },
        { "kind: ClientConfig\n", NULL, NULL, 0, NULL, -EINVAL },
        { "a: [\n", NULL, NULL, 0, NULL, -EINVAL },
    };
    static const char *const environment[][2] = {
        { "JMP_NAME", "env" }, { "JMP_NAMESPACE", "envspace" }, { "JMP_ENDPOINT", "env:1" }, { "JMP_TOKEN", "t" } };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_client_config_freep) struct jmp_client_config *config = NULL;
        _cleanup_(home_close) struct home home;
        struct jmp_problems problems = { 0 };
        char path[256];
        int r;

        home_open(&home);
        home_write(&home, "clients/me.yaml", me);
        home_write(&home, "clients/other.yaml", other);
        if (cases[i].config)
            home_write(&home, "config.yaml", cases[i].config);
        for (unsigned n = 0; n < cases[i].environment; n++)
            setenv(environment[n][0], environment[n][1], 1);

        snprintf(path, sizeof(path), "%s/%s", home.path, cases[i].path ? cases[i].path : "");
        r = jmp_client_config_find(cases[i].alias, cases[i].path ? path : NULL, &config, &problems);
        if (r != cases[i].result)
            fail_msg("case %zu: %d", i, r);
        assert_int_equal(problems.errors, r < 0);
        assert_int_equal(config != NULL, cases[i].name != NULL);
        if (config)
            assert_string_equal(config->name, cases[i].name);
        if (r == -ENOENT && !cases[i].path)
            assert_non_null(strstr(problems.first->error.hint, "jmpctl config client list"));
        jmp_problems_clear(&problems);
    }
}

/* Who has none learns how to get one, who has some and names another which he may have meant. */
JMP_TEST(a_client_that_is_missing_is_answered_by_what_there_is)
{
    static const struct {
        const char *file, *alias, *hint;
    } cases[] = {
        { NULL, NULL, "jmp-labd create client" },
        { NULL, "work", "jmp-labd create client" },
        { "clients/work.yaml", NULL, "jmpctl config client use NAME" },
        { "clients/work.yaml", "wrok", "did you mean \"work\"?" },
        { "clients/work.yaml", "something-else", "jmpctl config client list" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_client_config_freep) struct jmp_client_config *config = NULL;
        _cleanup_(home_close) struct home home;
        struct jmp_problems problems = { 0 };

        home_open(&home);
        if (cases[i].file)
            home_write(&home, cases[i].file, me);
        assert_int_equal(jmp_client_config_find(cases[i].alias, NULL, &config, &problems), -ENOENT);
        assert_non_null(strstr(problems.first->error.hint, cases[i].hint));
        jmp_problems_clear(&problems);
    }
}

JMP_TEST(the_environment_alone_makes_a_client)
{
    static const struct {
        const char *allow;
        unsigned patterns;
        bool unsafe;
    } cases[] = {
        { NULL, 0, false },       { "one", 1, false },          { "one,two", 2, false },   { "UNSAFE", 0, true },
        { "one,UNSAFE", 1, true }, { ",one,,", 1, false },      { "UNSAFER", 1, false },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_client_config_freep) struct jmp_client_config *config = NULL;
        _cleanup_(home_close) struct home home;

        home_open(&home);
        setenv("JMP_NAME", "env", 1);
        setenv("JMP_NAMESPACE", "envspace", 1);
        setenv("JMP_ENDPOINT", "env:1", 1);
        setenv("JMP_TOKEN", "token", 1);
        setenv("JMP_GRPC_INSECURE", "1", 1);
        if (cases[i].allow)
            setenv("JMP_DRIVERS_ALLOW", cases[i].allow, 1);

        assert_int_equal(jmp_client_config_find(NULL, NULL, &config, NULL), 0);
        assert_null(config->file);
        assert_null(config->alias);
        assert_string_equal(config->namespace_, "envspace");
        assert_string_equal(config->endpoint, "env:1");
        assert_string_equal(config->token, "token");
        assert_true(config->insecure);
        assert_int_equal(config->acquisition_timeout, 7200);
        assert_int_equal(config->drivers_allow ? config->drivers_allow->count : 0, cases[i].patterns);
        assert_int_equal(config->drivers_unsafe, cases[i].unsafe);
    }
}

JMP_TEST(the_environment_fills_in_what_the_file_leaves_out)
{
    _cleanup_(jmp_client_config_freep) struct jmp_client_config *config = NULL, *full = NULL;
    _cleanup_(home_close) struct home home;

    home_open(&home);
    home_write(&home, "clients/me.yaml", me);
    home_write(&home, "clients/other.yaml", "metadata: {}\n");
    setenv("JMP_NAME", "env", 1);
    setenv("JMP_NAMESPACE", "envspace", 1);
    setenv("JMP_ENDPOINT", "env:1", 1);
    setenv("JMP_TOKEN", "token", 1);
    setenv("JMP_DRIVERS_ALLOW", "x", 1);

    assert_int_equal(jmp_client_config_find("other", NULL, &config, NULL), 0);
    assert_string_equal(config->name, "env");
    assert_string_equal(config->endpoint, "env:1");
    assert_string_equal(config->token, "token");
    assert_int_equal(config->drivers_allow->count, 1);

    assert_int_equal(jmp_client_config_find("me", NULL, &full, NULL), 0);
    assert_string_equal(full->name, "me");
    assert_string_equal(full->endpoint, "a.example.com:8082");
    assert_string_equal(full->token, "secret.me");
    assert_int_equal(full->drivers_allow->count, 2);
}

JMP_TEST(a_bad_environment_is_explained_without_its_token)
{
    struct jmp_client_config *config = NULL;
    _cleanup_(home_close) struct home home;
    struct jmp_problems problems = { 0 };

    home_open(&home);
    setenv("JMP_NAME", "env", 1);
    setenv("JMP_NAMESPACE", "envspace", 1);
    setenv("JMP_ENDPOINT", "https://env:1", 1);
    setenv("JMP_TOKEN", "geheim geheim", 1);
    assert_int_equal(jmp_client_config_find(NULL, NULL, &config, &problems), -EINVAL);
    assert_int_equal(problems.errors, 2);
    for (const struct jmp_problem *problem = problems.first; problem; problem = problem->next)
        assert_null(strstr(problem->error.text, "geheim"));
    jmp_problems_clear(&problems);
}

JMP_TEST(finding_survives_any_failed_allocation)
{
    _cleanup_(home_close) struct home home;
    unsigned failures = 0;

    home_open(&home);
    home_write(&home, "clients/me.yaml", me);
    home_write(&home, "config.yaml", "config: {current-client: me}\n");
    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_(jmp_client_config_freep) struct jmp_client_config *config = NULL;
        struct jmp_problems problems = { 0 };
        int r = jmp_client_config_find(NULL, NULL, &config, &problems);

        assert_true(r == 0 ? config != NULL : r == -ENOMEM && !config);
        failures += r < 0;
        jmp_problems_clear(&problems);
    }
    assert_true(failures > 10);
}

JMP_TEST(the_sample_is_good)
{
    _cleanup_(jmp_client_config_freep) struct jmp_client_config *config = NULL;
    const char *source = getenv("JMP_SOURCE_DIR");
    struct jmp_problems problems = { 0 };
    _cleanup_(home_close) struct home home;
    char path[4096];

    home_open(&home);
    snprintf(path, sizeof(path), "%s/config/samples/client.yaml", source ? source : ".");
    if (jmp_client_config_load(path, &config, &problems) < 0) {
        for (const struct jmp_problem *problem = problems.first; problem; problem = problem->next)
            jmp_error_print(stderr, NULL, &problem->error);
        fail_msg("%s", path);
    }
    jmp_problems_clear(&problems);
}
