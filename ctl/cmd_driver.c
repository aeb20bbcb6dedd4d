/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl DRIVER VERB ...: finding both, and the verbs that are calls */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "ctl/ctl.h"
#include "ctl/output.h"
#include "ctl/verb_run.h"

#define HELP_OPTION(s) { JMP_FIELD(s, help), .letter = 'h', .help = "show this help" }

const struct jmp_option jmp_driver_options[] = {
    JMP_CTL_LEASE_OPTION,
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_DIRECT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};

const struct jmp_option jmp_verb_plain_options[] = { HELP_OPTION(struct jmp_verb_plain), {} };

static bool wants_help(const char *word) { return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0; }

static int run_verb(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const struct jmp_verb *verb, char **words,
                    struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ void *object = calloc(1, verb->size);
    unsigned rest = 0, n = 0;
    int r;

    for (char **word = words; *word && strcmp(*word, "--") != 0; word++) {
        if (wants_help(*word)) {
            jmp_verb_print(stdout, driver, verb);
            return 0;
        }
    }
    r = jmp_tree_new(0, &tree);
    if (r < 0 || !object)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    /* Arguments of calls may be negative numbers: there, options come first. */
    r = jmp_options_parse(verb->options, object, words, verb->most != UINT_MAX, tree, &rest, reterr);
    if (r < 0) {
        ctl->usage = r == -EINVAL;
        return r;
    }
    words += rest;
    while (words[n])
        n++;
    if (n >= verb->least && n <= verb->most)
        return verb->run(ctl, verb, driver, object, words, reterr);

    if (n < verb->least)
        jmp_ctl_usage(ctl, reterr, "%s %s: %s is missing", driver->path, verb->name, verb->words);
    else
        jmp_ctl_usage(ctl, reterr, "%s %s: \"%s\" is one word too many", driver->path, verb->name, words[verb->most]);
    jmp_error_hint(reterr, "jmpctl %s %s --help", driver->path, verb->name);
    return -EINVAL;
}

/* A word that is neither a command nor, without an exporter, a driver: say both. */
static int no_exporter(struct jmp_ctl *ctl, const char *word, int error, struct jmp_error *reterr)
{
    const char *names[32] = { 0 }, *near;
    size_t n = 0;

    for (const struct jmp_command *command = jmp_commands; command->name && n + 1 < ELEMENTSOF(names); command++) {
        if (!command->hidden && !strchr(command->name, ' '))
            names[n++] = command->name;
    }
    names[n++] = "get";
    names[n++] = "create";
    names[n++] = "update";
    names[n++] = "delete";
    if (error != -ENOTCONN)
        return error;
    near = jmp_nearest(word, names);
    if (near) {
        jmp_ctl_usage(ctl, reterr, "\"%s\" is not a command", word);
        jmp_error_hint(
            reterr,
            "did you mean \"%s\"? If it is a driver: start \"jmpctl shell\" first, or name a lease with --lease", near);
        return -EINVAL;
    }
    jmp_error_set(reterr, error, "\"%s\" is not a command, and there is no exporter whose driver it could be", word);
    jmp_error_hint(reterr, "start \"jmpctl shell\" and try there, or name a lease with --lease");
    return error;
}

/* What the ends of connections say when a lease runs out under a command is about connections. */
static int lease_over(struct jmp_ctl *ctl, int error, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_lease lease;
    char words[512];

    if (!ctl->dialer || ctl->signal || ctl->usage || jmp_tree_new(0, &tree) < 0 ||
        jmp_controller_client_lease(ctl->controller, jmp_dialer_lease(ctl->dialer), tree, &lease, NULL, NULL) < 0)
        return error;
    return jmp_acquire_judge(&lease, words, sizeof(words)) == JMP_LEASE_REFUSED
               ? jmp_error_set(reterr, error, "%s", words)
               : error;
}

int jmp_ctl_driver(struct jmp_ctl *ctl, char **words, struct jmp_error *reterr)
{
    struct jmp_driver_ref *driver;
    const struct jmp_verb *verb;
    unsigned used;
    int r;

    r = jmp_ctl_need_session(ctl, reterr);
    if (r < 0)
        return no_exporter(ctl, words[0], r, reterr);
    r = jmp_driver_tree_find(ctl->drivers, words, &driver, &used, reterr);
    if (r < 0) {
        ctl->usage = true;
        return r;
    }
    words += used;
    if (!words[0] || wants_help(words[0])) {
        jmp_verbs_print(words[0] ? stdout : stderr, driver);
        return words[0] ? 0 : JMP_CTL_EXIT_USAGE;
    }
    r = jmp_verb_find(driver, words[0], &verb, reterr);
    if (r < 0) {
        ctl->usage = true;
        return r;
    }
    r = run_verb(ctl, driver, verb, words + 1, reterr);
    return r < 0 ? lease_over(ctl, r, reterr) : r;
}

int jmp_cmd_driver(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    return jmp_ctl_driver(ctl, words, reterr);
}

int jmp_verb_method(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const char *method,
                    const struct jmp_node *args, struct jmp_tree *tree, const struct jmp_node **ret,
                    struct jmp_error *reterr)
{
    int r;

    r = jmp_session_client_call(ctl->session, driver->uuid, method, args, tree, ret, reterr);
    if (r < 0 && r != -ECANCELED)
        jmp_error_prefix(reterr, "%s: %s", driver->path, method);
    return r;
}

/* A call without arguments whose answer does not matter. */
static int call(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const char *method, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    return jmp_verb_method(ctl, driver, method, NULL, tree, NULL, reterr);
}

JMP_VERB_RUN(jmp_verb_call_plain)
{
    return call(ctl, driver, verb->method ?: verb->name, reterr);
}

/* Strings as they are, everything else as JSON; nothing for null. */
static int show(const struct jmp_node *node, struct jmp_error *reterr)
{
    if (jmp_node_is_null(node))
        return 0;
    if (node->kind == JMP_NODE_STRING)
        return jmp_output_lines(stdout, node->string, reterr);
    return jmp_output_document(stdout, JMP_OUTPUT_JSON, node, reterr);
}

JMP_VERB_RUN(jmp_verb_show)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *answer = NULL;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_verb_method(ctl, driver, verb->method ?: verb->name, NULL, tree, &answer, reterr);
    return r < 0 ? r : show(answer, reterr);
}

const struct jmp_option jmp_verb_off_options[] = {
    { JMP_FIELD(struct jmp_verb_off, destroy), .help = "destroy the instance afterwards" },
    HELP_OPTION(struct jmp_verb_off),
    {}
};

JMP_VERB_RUN(jmp_verb_off)
{
    const struct jmp_verb_off *options = object;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_node *args, *arg;

    if (jmp_tree_new(0, &tree) < 0 || !(args = jmp_node_new(tree, JMP_NODE_LIST)) ||
        !(arg = jmp_node_new(tree, JMP_NODE_BOOL)))
        return jmp_error_set(reterr, -ENOMEM, "%m");
    arg->boolean = options->destroy;
    jmp_node_append(args, arg);
    return jmp_verb_method(ctl, driver, "off", args, tree, NULL, reterr);
}

const struct jmp_option jmp_verb_cycle_options[] = {
    { JMP_FIELD(struct jmp_verb_cycle, wait), .letter = 'w', .preset = "2", .max = 86400, .value_name = "SECONDS",
      .help = "how long it stays off" },
    HELP_OPTION(struct jmp_verb_cycle),
    {}
};

/* On the exporter, where it does not end with us. Return: 1 done, 0 this exporter does not do that, or not for so
 * long. */
static int cycle_there(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, double wait, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_node *args, *seconds;
    int r;

    /* A report does not list methods, but ours describe this one. */
    if (!jmp_pairs_get(&driver->methods, "cycle"))
        return 0;
    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    args = jmp_node_new(tree, JMP_NODE_LIST);
    seconds = jmp_node_new(tree, JMP_NODE_NUMBER);
    if (!args || !seconds)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    seconds->number = wait;
    jmp_node_append(args, seconds);

    r = jmp_verb_method(ctl, driver, "cycle", args, tree, NULL, &error);
    if (r == -ENOENT || r == -EINVAL)
        return 0;
    if (r < 0 && reterr)
        *reterr = error;
    return r < 0 ? r : 1;
}

JMP_VERB_RUN(jmp_verb_cycle)
{
    const struct jmp_verb_cycle *options = object;
    int r;

    r = cycle_there(ctl, driver, options->wait, reterr);
    if (r != 0)
        return r < 0 ? r : 0;
    r = call(ctl, driver, "off", reterr);
    if (r < 0)
        return r;
    if (jmp_ctl_is_terminal(ctl))
        jmp_ctl_note(ctl, "%s is off, on again in %g s", driver->path, options->wait);
    r = jmp_client_pause(ctl->client, (uint64_t)(options->wait * (double)JMP_USEC_PER_SEC));
    if (r < 0) {
        jmp_ctl_note(ctl, "%s stays off", driver->path);
        return jmp_error_set(reterr, r, "interrupted");
    }
    return call(ctl, driver, "on", reterr);
}

const struct jmp_option jmp_verb_read_options[] = { { JMP_FIELD(struct jmp_verb_read, count), .letter = 'n',
                                                      .preset = "1", .help = "how many readings; 0: until Ctrl-C" },
                                                    { JMP_FIELD(struct jmp_verb_read, interval), .letter = 'i',
                                                      .preset = "1", .max = 86400, .value_name = "SECONDS",
                                                      .help = "time between them" },
                                                    HELP_OPTION(struct jmp_verb_read),
                                                    {} };

static int print_reading(const struct jmp_node *item, void *user)
{
    const struct jmp_node *voltage = jmp_node_get(item, "voltage"), *current = jmp_node_get(item, "current");
    char volts[40], amperes[40], watts[40];

    if (!voltage || voltage->kind != JMP_NODE_NUMBER || !current || current->kind != JMP_NODE_NUMBER)
        return -EPROTO;
    jmp_number_print(voltage->number, volts, sizeof(volts));
    jmp_number_print(current->number, amperes, sizeof(amperes));
    jmp_number_print(voltage->number * current->number, watts, sizeof(watts));
    printf("voltage=%s V  current=%s A  apparent_power=%s VA\n", volts, amperes, watts);
    return jmp_ctl_flush(user);
}

JMP_VERB_RUN(jmp_verb_read)
{
    const struct jmp_verb_read *options = object;
    int r;

    for (unsigned i = 0; options->count == 0 || i < options->count; i++) {
        if (i > 0) {
            r = jmp_client_pause(ctl->client, (uint64_t)(options->interval * (double)JMP_USEC_PER_SEC));
            if (r < 0)
                return jmp_error_set(reterr, r, "interrupted");
        }
        r = jmp_session_client_items(ctl->session, driver->uuid, "read", NULL, print_reading, ctl, reterr);
        if (r == -EPROTO)
            jmp_error_set(reterr, r, "a reading is not of the form {voltage, current}");
        if (r < 0 && r != -ECANCELED)
            jmp_error_prefix(reterr, "%s: read", driver->path);
        if (r < 0)
            return r;
    }
    return 0;
}

JMP_VERB_RUN(jmp_verb_read_pin)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *answer = NULL;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_verb_method(ctl, driver, "read_pin", NULL, tree, &answer, reterr);
    if (r < 0)
        return r;
    if (!answer || answer->kind != JMP_NODE_NUMBER)
        return jmp_error_set(reterr, -EPROTO, "%s: the answer is no pin level", driver->path);
    puts(answer->number == 0 ? "inactive" : "active");
    return 0;
}

const struct jmp_option jmp_verb_wait_options[] = {
    { JMP_FIELD(struct jmp_verb_wait, timeout), .letter = 't', .preset = "3600", .max = 1e9, .value_name = "SECONDS",
      .help = "give up after this time" },
    HELP_OPTION(struct jmp_verb_wait),
    {}
};

JMP_VERB_RUN(jmp_verb_wait_pin)
{
    const struct jmp_verb_wait *options = object;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    const struct jmp_node *args;
    char method[40];
    int r;

    if (words[0] && strcmp(words[0], "rising") != 0 && strcmp(words[0], "falling") != 0)
        return jmp_ctl_usage(ctl, reterr, "\"%s\" is neither rising nor falling", words[0]);
    snprintf(method, sizeof(method), "%s", verb->name);
    for (char *c = method; *c; c++) {
        if (*c == '-')
            *c = '_';
    }
    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    jmp_writer_begin_list(writer);
    if (words[0])
        jmp_writer_string(writer, words[0]);
    jmp_writer_number(writer, options->timeout);
    jmp_writer_end_list(writer);
    r = jmp_writer_finish(writer, &args);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : jmp_verb_method(ctl, driver, method, args, tree, NULL, reterr);
}

/* JSON where it is JSON, else the word itself: "power off" needs no quotes within quotes. */
static int parse_args(char **words, struct jmp_tree *tree, struct jmp_node **ret)
{
    struct jmp_node *list = jmp_node_new(tree, JMP_NODE_LIST), *copy;

    if (!list)
        return -ENOMEM;
    for (; *words; words++) {
        const struct jmp_node *node;

        if (jmp_json_parse(*words, strlen(*words), tree, &node, NULL) >= 0) {
            copy = jmp_node_copy(tree, node);
        } else {
            copy = jmp_node_new(tree, JMP_NODE_STRING);
            if (copy)
                copy->string = jmp_tree_strdup(tree, *words, strlen(*words));
        }
        if (!copy || (copy->kind == JMP_NODE_STRING && !copy->string))
            return -ENOMEM;
        jmp_node_append(list, copy);
    }
    *ret = list;
    return 0;
}

JMP_VERB_RUN(jmp_verb_call)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *answer = NULL;
    struct jmp_node *args;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = parse_args(words + 1, tree, &args);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_verb_method(ctl, driver, words[0], args, tree, &answer, reterr);
    return r < 0 ? r : show(answer, reterr);
}

/* One answer a line, for programs that read along. */
static int print_item(const struct jmp_node *item, void *user)
{
    _cleanup_free_ char *text = NULL;
    int r;

    r = jmp_json_print(item, 0, &text);
    if (r < 0)
        return r;
    puts(text);
    return jmp_ctl_flush(user);
}

JMP_VERB_RUN(jmp_verb_stream)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_node *args;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = parse_args(words + 1, tree, &args);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_session_client_items(ctl->session, driver->uuid, words[0], args, print_item, ctl, reterr);
    if (r < 0 && r != -ECANCELED)
        jmp_error_prefix(reterr, "%s: %s", driver->path, words[0]);
    return r;
}
