/* SPDX-License-Identifier: Apache-2.0 */
#include "config/exporter_config.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/test.h"

static const char full[] =
    "apiVersion: jumpstarter.dev/v1alpha1\n"
    "kind: ExporterConfig\n"
    "metadata: {namespace: lab, name: bench3}\n"
    "endpoint: jumpstarter.example.com:8082\n"
    "tls: {ca: '', insecure: true}\n"
    "token: \"secret.of.bench3\"\n"
    "grpcOptions: {grpc.keepalive_time_ms: 1000}\n"
    "description: the third bench\n"
    "motd: |\n"
    "  Hello\n"
    "export:\n"
    "  board:\n"
    "    children:\n"
    "      power:\n"
    "        type: power-gpio\n"
    "        description: the relay\n"
    "        methods_description: {on: 'lets it boot'}\n"
    "        config: {line: 0x11, labels: {rack: a}, uuid: 0123456789ABCDEF0123456789ABCDEF, log_level: debug}\n"
    "      console: {ref: serial}\n"
    "  serial:\n"
    "    type: jumpstarter_driver_pyserial.driver.PySerial\n"
    "    config: {url: /dev/serial/by-path/x}\n"
    "hooks:\n"
    "  beforeLease: {script: 'echo on', timeout: 30, onFailure: endLease, exec: /bin/bash}\n"
    "  afterLease: {script: 'echo off'}\n"
    "failureDetection: {maxRapidFailures: 7, rapidFailureWindow: 30}\n"
    "exitOnLeaseEnd: true\n";

static struct jmp_exporter_config *parse(const char *text)
{
    struct jmp_exporter_config *config = NULL;
    struct jmp_problems problems = { 0 };

    if (jmp_exporter_config_parse(text, strlen(text), "f.yaml", &config, &problems) < 0) {
        for (const struct jmp_problem *problem = problems.first; problem; problem = problem->next)
            jmp_error_print(stderr, NULL, &problem->error);
        fail_msg("there are problems");
    }
    jmp_problems_clear(&problems);
    return config;
}

/* The only problem of @text, which must have exactly one. */
static struct jmp_error problem_of(const char *text)
{
    struct jmp_exporter_config *config = NULL;
    struct jmp_problems problems = { 0 };
    struct jmp_error error;

    assert_int_equal(jmp_exporter_config_parse(text, strlen(text), "f.yaml", &config, &problems), -EINVAL);
    assert_null(config);
    assert_int_equal(problems.errors, 1);
    assert_int_equal(problems.warnings, 0);
    error = problems.first->error;
    jmp_problems_clear(&problems);
    return error;
}

static void forget_environment(void)
{
    static const char *const names[] = { "JMP_NAME", "JMP_NAMESPACE", "JMP_ENDPOINT", "JMP_TOKEN", "JMP_GRPC_INSECURE",
                                         "JUMPSTARTER_GRPC_INSECURE" };

    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        unsetenv(names[i]);
}

JMP_TEST(every_key_arrives_where_it_belongs)
{
    _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
    const struct jmp_device_config *board, *power, *console, *serial;

    forget_environment();
    config = parse(full);
    assert_string_equal(config->file, "f.yaml");
    assert_string_equal(config->name, "bench3");
    assert_string_equal(config->namespace_, "lab");
    assert_string_equal(config->endpoint, "jumpstarter.example.com:8082");
    assert_null(config->ca);
    assert_true(config->insecure);
    assert_string_equal(config->token, "secret.of.bench3");
    assert_int_equal(jmp_node_get(config->grpc_options, "grpc.keepalive_time_ms")->integer, 1000);
    assert_string_equal(config->description, "the third bench");
    assert_string_equal(config->motd, "Hello\n");

    board = config->devices;
    assert_string_equal(board->name, "board");
    assert_null(board->type);
    assert_null(board->ref);
    power = board->children;
    assert_string_equal(power->name, "power");
    assert_string_equal(power->path, "board.power");
    assert_string_equal(power->type, "power-gpio");
    assert_string_equal(power->description, "the relay");
    assert_string_equal(jmp_node_string(jmp_node_get(power->methods_description, "on")), "lets it boot");
    assert_int_equal(power->config->count, 4);
    assert_int_equal(jmp_node_get(power->config, "line")->integer, 17);
    assert_string_equal(jmp_node_string(jmp_node_get(power->labels, "rack")), "a");
    assert_string_equal(power->uuid, "01234567-89ab-cdef-0123-456789abcdef");
    assert_string_equal(power->log_level, "debug");
    assert_int_equal(power->line, 14);
    assert_int_equal(power->column, 7);
    console = power->next;
    assert_string_equal(console->path, "board.console");
    assert_string_equal(console->ref, "serial");
    assert_null(console->next);
    serial = board->next;
    assert_string_equal(serial->path, "serial");
    assert_null(serial->labels);
    assert_null(serial->next);

    assert_string_equal(config->before_lease.script, "echo on");
    assert_string_equal(config->before_lease.exec, "/bin/bash");
    assert_int_equal(config->before_lease.timeout, 30);
    assert_int_equal(config->before_lease.on_failure, JMP_HOOK_END_LEASE);
    assert_string_equal(config->after_lease.script, "echo off");
    assert_null(config->after_lease.exec);
    assert_int_equal(config->after_lease.timeout, 120);
    assert_int_equal(config->after_lease.on_failure, JMP_HOOK_WARN);
    assert_int_equal(config->max_rapid_failures, 7);
    assert_int_equal(config->rapid_failure_window, 30);
    assert_true(config->exit_on_lease_end);
}

JMP_TEST(what_is_left_out_has_its_stock_value)
{
    _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;

    forget_environment();
    config = parse("metadata: {namespace: null, name: a}\n");
    assert_null(config->namespace_);
    assert_null(config->endpoint);
    assert_null(config->ca);
    assert_null(config->token);
    assert_null(config->grpc_options);
    assert_null(config->devices);
    assert_null(config->before_lease.script);
    assert_null(config->after_lease.script);
    assert_false(config->insecure);
    assert_false(config->exit_on_lease_end);
    assert_int_equal(config->max_rapid_failures, 5);
    assert_int_equal(config->rapid_failure_window, 60);
}

JMP_TEST(the_environment_fills_in_what_metadata_leaves_out)
{
    static const struct {
        const char *yaml;
        const char *name, *namespace_;   /* in the environment */
        const char *expected_name;       /* NULL: an error */
        const char *expected_namespace;
    } cases[] = {
        { "metadata: {}\n", "env", "envspace", "env", "envspace" },
        { "metadata: {name: file}\n", "env", "envspace", "file", "envspace" },
        { "metadata: {namespace: file}\n", "env", "envspace", "env", "file" },
        { "metadata: {namespace: null}\n", "env", "envspace", "env", NULL },
        { "metadata: {}\n", NULL, "envspace", NULL, NULL },
        { "metadata: {}\n", "env", NULL, NULL, NULL },
        { "metadata: {}\n", "", "envspace", NULL, NULL },
        { "metadata:\n", "env", "envspace", NULL, NULL },
        { "kind: ExporterConfig\n", "env", "envspace", NULL, NULL },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
        int r;

        forget_environment();
        if (cases[i].name)
            setenv("JMP_NAME", cases[i].name, 1);
        if (cases[i].namespace_)
            setenv("JMP_NAMESPACE", cases[i].namespace_, 1);
        setenv("JMP_ENDPOINT", "other:1", 1);
        setenv("JMP_TOKEN", "other", 1);

        r = jmp_exporter_config_parse(cases[i].yaml, strlen(cases[i].yaml), "f", &config, NULL);
        assert_int_equal(r, cases[i].expected_name ? 0 : -EINVAL);
        if (r < 0)
            continue;
        assert_string_equal(config->name, cases[i].expected_name);
        if (cases[i].expected_namespace)
            assert_string_equal(config->namespace_, cases[i].expected_namespace);
        else
            assert_null(config->namespace_);
        assert_null(config->endpoint);
        assert_null(config->token);
    }
    forget_environment();
}

JMP_TEST(two_variables_switch_verification_off)
{
    static const struct {
        const char *variable, *value;
        bool insecure;
    } cases[] = {
        { "JMP_GRPC_INSECURE", "1", true },         { "JUMPSTARTER_GRPC_INSECURE", "1", true },
        { "JMP_GRPC_INSECURE", "0", false },        { "JMP_GRPC_INSECURE", "", false },
        { "JUMPSTARTER_GRPC_INSECURE", "yes", false },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;

        forget_environment();
        setenv(cases[i].variable, cases[i].value, 1);
        config = parse("metadata: {namespace: null, name: a}\n");
        assert_int_equal(config->insecure, cases[i].insecure);
    }
    forget_environment();
}

JMP_TEST(a_wrong_token_is_never_shown)
{
    static const char *const tokens[] = {
        "4711474711",      "0x4711",      "47.11e+4711", "on",          "[4711]",     "{4711: 4711}",
        "2026-04-71T4711", "'4711 4711'", "\"4711\\n\"", "\"4711\\e\"", "!!int 4711", "!!float 4711",
    };

    forget_environment();
    for (size_t i = 0; i < ELEMENTSOF(tokens); i++) {
        struct jmp_exporter_config *config = NULL;
        struct jmp_problems problems = { 0 };
        char text[256];

        snprintf(text, sizeof(text), "metadata: {namespace: null, name: a}\ntoken: %s\n", tokens[i]);
        /* What looks like a date is text to us and may be a token. */
        if (jmp_exporter_config_parse(text, strlen(text), "f", &config, &problems) < 0) {
            assert_non_null(problems.first);
            assert_string_equal(problems.first->error.path, "token");
            assert_null(strstr(problems.first->error.text, "47"));
            assert_null(strstr(problems.first->error.hint, "47"));
        } else {
            assert_int_equal(i, 6);
        }
        jmp_problems_clear(&problems);
        jmp_exporter_config_free(config);
    }
}

JMP_TEST(every_problem_says_where_it_is)
{
    static const struct {
        const char *text, *path;
        unsigned line, column;
    } cases[] = {
        { "metadata: {namespace: a, name: b}\nendpoint: 5\n", "endpoint", 2, 11 },
        { "metadata: {namespace: a, name: b}\nexport:\n  power:\n    type: x\n    confg: {}\n", "export.power.confg", 5,
          5 },
        { "metadata: {namespace: a, name: b}\nexport:\n  a:\n    children:\n      b:\n        type: [x]\n",
          "export.a.b.type", 6, 15 },
        { "metadata: {namespace: a}\n", "metadata.name", 1, 11 },
    };

    forget_environment();
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_error error = problem_of(cases[i].text);

        assert_string_equal(error.file, "f.yaml");
        assert_string_equal(error.path, cases[i].path);
        assert_int_equal(error.line, cases[i].line);
        assert_int_equal(error.column, cases[i].column);
    }
}

JMP_TEST(hostile_files_end_in_time_with_an_error)
{
    struct jmp_exporter_config *config = NULL;
    struct jmp_problems problems = { 0 };
    _cleanup_free_ char *text = NULL;
    size_t length = 0;
    FILE *stream;

    forget_environment();

    /* Keys that stock would ignore: a warning for each, of which 1,000 are kept. */
    stream = open_memstream(&text, &length);
    assert_non_null(stream);
    fputs("metadata: {namespace: a, name: b}\n", stream);
    for (unsigned i = 0; i < 30000; i++)
        fprintf(stream, "descriptiondescription%u: 1\n", i);
    fclose(stream);
    assert_int_equal(jmp_exporter_config_parse(text, length, "f", &config, &problems), 0);
    assert_int_equal(problems.warnings, 30000);
    config = jmp_exporter_config_free(config);
    jmp_problems_clear(&problems);
    free(TAKE_PTR(text));

    /* More devices than anybody has, each a ref to the last. */
    stream = open_memstream(&text, &length);
    assert_non_null(stream);
    fputs("metadata: {namespace: a, name: b}\nexport:\n", stream);
    for (unsigned i = 0; i < 20000; i++)
        fprintf(stream, "  d%u: {ref: d19999}\n", i);
    fclose(stream);
    assert_int_equal(jmp_exporter_config_parse(text, length, "f", &config, &problems), -EINVAL);
    assert_string_equal(problems.first->error.text, "more than 1024 devices");
    jmp_problems_clear(&problems);
    free(TAKE_PTR(text));

    /* A chain of refs. */
    stream = open_memstream(&text, &length);
    assert_non_null(stream);
    fputs("metadata: {namespace: a, name: b}\nexport:\n", stream);
    for (unsigned i = 0; i < 1000; i++)
        fprintf(stream, "  d%u: {ref: d%u}\n", i, i + 1);
    fputs("  d1000: {type: power-mock}\n", stream);
    fclose(stream);
    assert_int_equal(jmp_exporter_config_parse(text, length, "f", &config, &problems), -EINVAL);
    assert_string_equal(problems.first->error.text, "leads deeper than 100 levels");
    jmp_problems_clear(&problems);
}

JMP_TEST(parsing_survives_any_failed_allocation)
{
    static const char wrong[] = "metadata: {namespace: a, nmae: b}\nexport: {a: {ref: b}, c: 5}\nfoo: bar\n";
    unsigned failures = 0;

    forget_environment();
    for (unsigned k = 0; k < 2; k++) {
        const char *text = k ? wrong : full;

        for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
            _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
            struct jmp_problems problems = { 0 };
            int r = jmp_exporter_config_parse(text, strlen(text), "f", &config, &problems);

            if (k == 0)
                assert_true(r == 0 ? config != NULL : r == -ENOMEM && !config);
            else
                assert_true((r == -EINVAL || r == -ENOMEM) && !config);
            failures += r == -ENOMEM;
            jmp_problems_clear(&problems);
        }
    }
    assert_true(failures > 10);
}

JMP_TEST(files_that_cannot_be_read_say_why)
{
    char directory[] = "/tmp/jmp-config-XXXXXX", path[64];
    struct jmp_exporter_config *config = NULL;
    struct jmp_problems problems = { 0 };
    _cleanup_free_ char *large = calloc(1, JMP_CONFIG_MAX + 2);

    forget_environment();
    assert_non_null(mkdtemp(directory));
    assert_non_null(large);

    snprintf(path, sizeof(path), "%s/none.yaml", directory);
    assert_int_equal(jmp_exporter_config_load(path, &config, &problems), -ENOENT);
    assert_string_equal(problems.last->error.text, "cannot be read: No such file or directory");
    assert_string_equal(problems.last->error.file, path);

    assert_int_equal(jmp_exporter_config_load(directory, &config, &problems), -EISDIR);
    assert_string_equal(problems.last->error.text, "is a directory");

    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(jmp_exporter_config_load(path, &config, &problems), -EINVAL);
    assert_string_equal(problems.last->error.text, "is no regular file");
    unlink(path);

    memset(large, ' ', JMP_CONFIG_MAX + 1);
    assert_int_equal(jmp_file_write(path, large, JMP_CONFIG_MAX + 1, 0600, NULL), 0);
    assert_int_equal(jmp_exporter_config_load(path, &config, &problems), -EFBIG);
    assert_string_equal(problems.last->error.text, "larger than 1048576 bytes");
    assert_int_equal(problems.errors, 4);
    assert_null(config);

    unlink(path);
    rmdir(directory);
    jmp_problems_clear(&problems);
}

JMP_TEST(a_check_goes_on_with_what_is_right)
{
    static const struct {
        const char *text;
        int result;
        unsigned errors;
        const char *types;   /* of the devices, NULL: no config at all; "-" is a group */
    } cases[] = {
        { "metadata: {namespace: a, name: b}\nexport: {a: {type: x}}\n", 0, 0, "x" },
        { "metadata: {namespace: a}\nexport: {a: {type: x}, b: {tpye: y}}\n", -EINVAL, 2, "x-" },
        { "metadata: {namespace: a, name: b}\nexport: {a: {type: x}, b: {ref: c}, d: {ref: d}}\n", -EINVAL, 2, "x--" },
        { "metadata: {namespace: a, name: b}\nexport: {a: {type: x, config: {uuid: z}}, b: 5}\n", -EINVAL, 2, "x-" },
        { "export: [\n", -EINVAL, 1, NULL },
        { "- a\n", -EINVAL, 1, "" },
    };
    char path[] = "/tmp/jmp-config-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    forget_environment();
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
        struct jmp_problems problems = { 0 };
        char types[16] = "";

        assert_int_equal(jmp_file_write(path, cases[i].text, strlen(cases[i].text), 0600, NULL), 0);
        assert_int_equal(jmp_exporter_config_check(path, &config, &problems), cases[i].result);
        assert_int_equal(problems.errors, cases[i].errors);
        jmp_problems_clear(&problems);
        assert_int_equal(config != NULL, cases[i].types != NULL);
        for (const struct jmp_device_config *device = config ? config->devices : NULL; device; device = device->next) {
            snprintf(types + strlen(types), sizeof(types) - strlen(types), "%s", device->type ? device->type : "-");
            assert_null(device->ref);
            assert_null(jmp_node_get(device->config, "uuid"));
        }
        if (cases[i].types)
            assert_string_equal(types, cases[i].types);
    }
    unlink(path);
}

JMP_TEST(a_token_for_everybody_is_a_warning)
{
    static const struct {
        const char *text;
        unsigned mode;
        bool warning;
    } cases[] = {
        { "metadata: {namespace: a, name: b}\ntoken: secret\n", 0600, false },
        { "metadata: {namespace: a, name: b}\ntoken: secret\n", 0640, false },
        { "metadata: {namespace: a, name: b}\ntoken: secret\n", 0644, true },
        { "metadata: {namespace: a, name: b}\n", 0644, false },
    };
    char path[] = "/tmp/jmp-config-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    forget_environment();
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
        struct jmp_problems problems = { 0 };

        assert_int_equal(jmp_file_write(path, cases[i].text, strlen(cases[i].text), cases[i].mode, NULL), 0);
        assert_int_equal(jmp_exporter_config_load(path, &config, &problems), 0);
        assert_int_equal(problems.warnings, cases[i].warning);
        assert_int_equal(problems.errors, 0);
        jmp_problems_clear(&problems);
    }
    unlink(path);
}

JMP_TEST(the_samples_are_good)
{
    const char *source = getenv("JMP_SOURCE_DIR");
    unsigned count = 0;
    struct dirent *entry;
    char path[4096];
    DIR *samples;

    forget_environment();
    snprintf(path, sizeof(path), "%s/config/samples", source ? source : ".");
    samples = opendir(path);
    if (!samples) {
        fail_msg("%s: %m; run from the source directory, or set JMP_SOURCE_DIR", path);
        return;
    }

    while ((entry = readdir(samples))) {
        _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
        struct jmp_problems problems = { 0 };
        _cleanup_free_ char *text = NULL;
        size_t length;

        if (strncmp(entry->d_name, "exporter-", 9) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/config/samples/%s", source ? source : ".", entry->d_name);
        assert_int_equal(jmp_file_read(path, JMP_CONFIG_MAX, &text, &length, NULL), 0);
        if (jmp_exporter_config_parse(text, length, path, &config, &problems) < 0 || problems.warnings > 0) {
            for (const struct jmp_problem *problem = problems.first; problem; problem = problem->next)
                jmp_error_print(stderr, NULL, &problem->error);
            fail_msg("%s", path);
        }
        jmp_problems_clear(&problems);
        count++;
    }
    closedir(samples);
    assert_true(count >= 3);
}
