/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/check.h"

#include <string.h>

#include "agent/device.h"
#include "base/loop.h"
#include "config/paths.h"

int jmp_check_find(const char *what, char **ret, struct jmp_error *reterr)
{
    size_t length = strlen(what);

    if (strchr(what, '/') || (length > 5 && strcmp(what + length - 5, ".yaml") == 0) ||
        (length > 4 && strcmp(what + length - 4, ".yml") == 0)) {
        *ret = strdup(what);
        return *ret ? 0 : jmp_error_set(reterr, -ENOMEM, "%m");
    }
    return jmp_paths_exporter(what, ret, reterr);
}

static void warn(struct jmp_problems *problems, const char *file, const char *path, const char *text, const char *hint)
{
    struct jmp_error error = JMP_ERROR_INIT;

    jmp_error_set(&error, -EINVAL, "%s", text);
    jmp_error_at(&error, file, 0, 0, path);
    if (hint)
        jmp_error_hint(&error, "%s", hint);
    jmp_problems_add(problems, true, &error);
}

void jmp_check_config(const struct jmp_exporter_config *config, struct jmp_problems *problems)
{
    if (!config->endpoint)
        warn(problems, config->file, "endpoint", "no controller is named",
             "such an exporter only serves directly, with "
             "--tls-grpc-listener");
    else if (!config->token)
        warn(problems, config->file, "token", "there is no token: the controller would not know this exporter", NULL);
    if (!config->devices)
        warn(problems, config->file, "export", "nothing is exported", NULL);
}

/*
 * The tree.
 */

#define DEPTH_MAX 64

struct printer {
    FILE *out;
    struct jmp_devices *devices;
    const char *parents[DEPTH_MAX];   /* uuids from the root down to the last line printed */
    unsigned depth;
};

static int print_device(const struct jmp_device_report *report, void *user)
{
    struct printer *printer = user;
    struct jmp_device *device = jmp_devices_find(printer->devices, report->uuid);
    const struct jmp_driver_class *class = device ? jmp_device_class(device) : NULL;

    /* Parents come first, and a child directly below the last line or one of those above it. */
    while (printer->depth > 0 && report->parent_uuid &&
           strcmp(printer->parents[printer->depth - 1], report->parent_uuid) != 0)
        printer->depth--;

    fprintf(printer->out, "%*s%s", (int)printer->depth * 2, "", report->name ?: "(root)");
    if (class)
        fprintf(printer->out, "  %s", class->name);
    if (class && class->python_type)
        fprintf(printer->out, " (%s)", class->python_type);
    fprintf(printer->out, "\n%*sclient %s, uuid %s\n", (int)printer->depth * 2 + 4, "", report->client, report->uuid);
    if (report->description && *report->description)
        fprintf(printer->out, "%*s\"%s\"\n", (int)printer->depth * 2 + 4, "", report->description);

    if (printer->depth < DEPTH_MAX)
        printer->parents[printer->depth++] = report->uuid;
    return 0;
}

int jmp_check_run(const char *path, const struct jmp_plugins *plugins, FILE *out, struct jmp_problems *problems)
{
    _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
    _cleanup_(jmp_loop_freep) struct jmp_loop *loop = NULL;
    _cleanup_(jmp_devices_freep) struct jmp_devices *devices = NULL;
    struct printer printer = { .out = out };
    int r;

    /* Devices are looked at in a file with other errors, too, so that one run names all. */
    r = jmp_exporter_config_check(path, &config, problems);
    if (!config)
        return r;
    if (r == 0)
        jmp_check_config(config, problems);
    r = jmp_loop_new(&loop);
    if (r < 0)
        return r;
    r = jmp_devices_new(loop, config, plugins, &devices, problems);
    jmp_problems_sort(problems, NULL);
    if (r < 0 || problems->errors > 0)
        return r < 0 ? r : -EINVAL;

    fprintf(out, "exporter %s%s%s\n", config->name, config->namespace_ ? " in namespace " : "",
            config->namespace_ ?: "");
    if (config->endpoint)
        fprintf(out, "controller %s\n", config->endpoint);
    printer.devices = devices;
    jmp_devices_report(devices, print_device, &printer);
    return 0;
}

/*
 * The drivers.
 */

static void print_summary(const struct jmp_driver_class *class, void *user)
{
    fprintf(user, "%-19s %s\n", class->name, class->help ?: "");
    if (class->python_type)
        fprintf(user, "%-19s %s\n", "", class->python_type);
}

/* Tables of a plug-in may be of another version: walked by the size of a row as it was compiled. */
#define ROW(table, size, index) ((const void *)((const char *)(table) + (index) * (size)))

static void print_option(const struct jmp_option *option, FILE *out)
{
    fprintf(out, "  %-18s ", option->key);
    jmp_option_put_kind(out, option);
    if (option->required)
        fputs(", required", out);
    else if (option->preset)
        fprintf(out, ", default %s", option->preset);
    fputc('\n', out);
    if (option->help)
        fprintf(out, "  %-18s %s\n", "", option->help);
}

static void print_method(const struct jmp_method *method, FILE *out)
{
    const char *kind = method->call ? "call" : method->items ? "stream of values" : "byte stream";

    fprintf(out, "  %s(", method->name);
    for (size_t i = 0; i < ELEMENTSOF(method->args) && method->args[i].name; i++)
        fprintf(out, "%s%s%s", i ? ", " : "", method->args[i].name, method->args[i].optional ? "?" : "");
    fprintf(out, ")  %s%s%s\n", kind, method->help ? ": " : "", method->help ?: "");
}

static void print_class(const struct jmp_driver_class *class, FILE *out)
{
    const struct jmp_option *option;
    const struct jmp_method *method;

    fprintf(out, "%s%s%s\n", class->name, class->help ? ": " : "", class->help ?: "");
    if (class->python_type)
        fprintf(out, "type   %s\n", class->python_type);
    fprintf(out, "client %s\n", class->client);
    if (class->options) {
        fputs("options:\n", out);
        for (size_t i = 0; (option = ROW(class->options, class->option_size, i))->key; i++)
            print_option(option, out);
    }
    if (class->methods) {
        fputs("methods:\n", out);
        for (size_t i = 0; (method = ROW(class->methods, class->method_size, i))->name; i++)
            print_method(method, out);
    }
    for (const struct jmp_child *child = class->children; child && child->name; child++)
        fprintf(out, "%schild %s: %s\n", child == class->children ? "children:\n  " : "  ", child->name,
                child->driver->name);
}

int jmp_check_drivers(const char *name, const struct jmp_plugins *plugins, FILE *out, struct jmp_error *reterr)
{
    const struct jmp_driver_class *class;
    const char *nearest = NULL;

    if (!name) {
        jmp_plugins_each(plugins, print_summary, out);
        return 0;
    }
    class = jmp_plugins_find(plugins, name, &nearest);
    if (!class) {
        jmp_error_set(reterr, -ENOENT, "no driver is called \"%s\"", name);
        if (nearest)
            jmp_error_hint(reterr, "did you mean %s?", nearest);
        else
            jmp_error_hint(reterr, "jmp-agent drivers lists them all");
        return -ENOENT;
    }
    print_class(class, out);
    return 0;
}
