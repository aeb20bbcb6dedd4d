/* SPDX-License-Identifier: Apache-2.0 */
/* From the configuration to devices: classes, options, children of drivers, refs. Nothing is opened here. */
#include <stdint.h>
#include <string.h>

#include "agent/core.h"
#include "agent/plugin.h"

struct builder {
    struct jmp_devices *devices;
    const struct jmp_plugins *plugins;
    struct jmp_problems *problems;
    const char *space;            /* of derived uuids */
    const struct jmp_driver_class *composite;
};

/* Keys that every stock driver takes, beside its own. */
static const char *const base_keys[] = { "uuid", "labels", "log_level" };

/* A problem at a device of the configuration, or at a key of its "config" map. */
static int problem(struct builder *b, const struct jmp_device *device, const struct jmp_node *at,
                   struct jmp_error *error)
{
    const struct jmp_device *from = device;
    char path[sizeof(error->path)];

    while (from && !from->config)
        from = from->parent;
    snprintf(path, sizeof(path), "export.%s", device->path);
    if (from && !error->line)
        jmp_error_at(error, b->devices->config->file, at && at->line ? at->line : from->config->line,
                     at && at->line ? at->column : from->config->column, error->path[0] ? NULL : path);
    return jmp_problems_add(b->problems, false, error);
}

/* A missing option stands nowhere in the file: the device does. */
static void place_problems(struct builder *b, const struct jmp_device *device, struct jmp_problem *before)
{
    struct jmp_problem *wrong = before ? before->next : b->problems->first;

    while (device && !device->config)
        device = device->parent;
    for (; device && wrong; wrong = wrong->next)
        if (!wrong->error.line)
            jmp_error_at(&wrong->error, b->devices->config->file, device->config->line, device->config->column, NULL);
}

static const char *copy_text(struct builder *b, const char *text)
{
    return jmp_tree_strdup(b->devices->tree, text, strlen(text));
}

static const char *join_path(struct builder *b, const char *parent, const char *name)
{
    size_t size = strlen(parent) + strlen(name) + 2;
    char *path = jmp_tree_alloc(b->devices->tree, size);

    if (path)
        snprintf(path, size, "%s%s%s", parent, parent[0] ? "." : "", name);
    return path;
}

static struct jmp_device *find_child(const struct jmp_device *parent, const char *name, size_t length)
{
    for (struct jmp_device *child = parent->children; child; child = child->next)
        if (strlen(child->name) == length && memcmp(child->name, name, length) == 0)
            return child;
    return NULL;
}

static int device_new(struct builder *b, struct jmp_device *parent, const char *name, struct jmp_device **ret)
{
    struct jmp_devices *devices = b->devices;
    struct jmp_device *device = calloc(1, sizeof(*device));
    struct jmp_device **at;

    if (!device)
        return -ENOMEM;
    /* In the list first: whatever happens from here on, jmp_devices_free() finds it. */
    if (devices->last)
        devices->last->all_next = device;
    else
        devices->root = device;
    devices->last = device;
    device->devices = devices;
    device->backoff.base = devices->limits.retry;
    if (parent) {
        device->parent = parent;
        for (at = &parent->children; *at; at = &(*at)->next)
            continue;
        *at = device;
    }
    device->name = name ? copy_text(b, name) : NULL;
    device->path = parent ? join_path(b, parent->path, name) : "";
    if ((name && !device->name) || !device->path)
        return -ENOMEM;
    jmp_uuid_derive(b->space, device->path, device->uuid);
    snprintf(device->missing, sizeof(device->missing), "%s has not been opened yet", name ? device->path : "the root");

    *ret = device;
    return 0;
}

static bool is_base_key(const char *key)
{
    for (size_t i = 0; i < ELEMENTSOF(base_keys); i++)
        if (strcmp(base_keys[i], key) == 0)
            return true;
    return false;
}

static bool is_option(const struct jmp_driver_class *driver, const char *key)
{
    for (const struct jmp_option *row = driver->options; row && row->key; row++)
        if (strcmp(row->key, key) == 0)
            return true;
    return false;
}

static bool is_own_child(const struct jmp_driver_class *driver, const char *key)
{
    for (const struct jmp_child *child = driver->children; child && child->name; child++)
        if (strcmp(child->name, key) == 0)
            return true;
    return false;
}

/* The driver's own part of a "config" map: without the keys of every driver and those of its children. */
static int own_config(struct builder *b, const struct jmp_driver_class *driver, const struct jmp_node *map,
                      const struct jmp_node **ret)
{
    struct jmp_node *own;

    *ret = map;
    if (!map || map->kind != JMP_NODE_MAP)
        return 0;
    own = jmp_node_new(b->devices->tree, JMP_NODE_MAP);
    if (!own)
        return -ENOMEM;
    own->line = map->line;
    own->column = map->column;
    JMP_NODE_EACH(member, map) {
        struct jmp_node *copy;

        if (!is_option(driver, member->key) && (is_base_key(member->key) || is_own_child(driver, member->key)))
            continue;
        copy = jmp_node_copy(b->devices->tree, member);
        if (!copy)
            return -ENOMEM;
        copy->key = member->key;
        jmp_node_append(own, copy);
    }
    *ret = own;
    return 0;
}

static int read_uuid(struct builder *b, struct jmp_device *device, const struct jmp_node *map)
{
    const struct jmp_node *uuid = is_option(device->driver, "uuid") ? NULL : jmp_node_get(map, "uuid");
    struct jmp_error error = JMP_ERROR_INIT;

    if (jmp_node_is_null(uuid))
        return 0;
    if (uuid->kind == JMP_NODE_STRING && jmp_uuid_parse(uuid->string, device->uuid))
        return 0;
    jmp_error_set(&error, -EINVAL, "uuid must be a UUID");
    jmp_error_hint(&error, "leave it out, and a stable one is derived from the exporter's name and the path");
    return problem(b, device, uuid, &error);
}

static int read_options(struct builder *b, struct jmp_device *device, const struct jmp_node *map)
{
    const struct jmp_driver_class *driver = device->driver;
    struct jmp_error error = JMP_ERROR_INIT;
    char path[sizeof(error.path)];
    struct jmp_problem *before;
    const struct jmp_node *own;
    int r;

    r = own_config(b, driver, map, &own);
    if (r < 0)
        return r;
    r = read_uuid(b, device, map);
    if (r < 0)
        return r;

    device->options = calloc(1, driver->size > 0 ? driver->size : 1);
    if (!device->options)
        return -ENOMEM;
    snprintf(path, sizeof(path), "export.%s.config", device->path);
    before = b->problems->last;
    if (driver->options) {
        r = jmp_options_read(driver->options, driver->option_size, device->options, own, b->devices->config->file, path,
                             b->problems);
    } else if (own && own->kind == JMP_NODE_MAP && own->first) {
        jmp_error_set(&error, -EINVAL, "driver %s has no option '%s'", driver->name, own->first->key);
        jmp_error_at(&error, NULL, 0, 0, path);
        return problem(b, device, own->first, &error);
    }
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        place_problems(b, device, before);   /* they are in @problems already */
        return 0;
    }

    if (driver->check) {
        r = driver->check(device->options, &error);
        if (r < 0) {
            if (!error.text[0])
                jmp_error_set(&error, r, "the options do not fit together: %m");
            return problem(b, device, own, &error);
        }
    }
    return 0;
}

/* Help of methods: the class's, overruled by the configuration, under the names that clients show. */
static int read_methods_description(struct builder *b, struct jmp_device *device, const struct jmp_node *configured)
{
    struct jmp_tree *tree = b->devices->tree;
    struct jmp_node *map = jmp_node_new(tree, JMP_NODE_MAP);

    if (!map)
        return -ENOMEM;
    for (const struct jmp_method *method = device->driver->methods; method && method->name; method++) {
        struct jmp_node *help;
        char *name;

        if (!method->help)
            continue;
        name = jmp_tree_alloc(tree, strlen(method->name) + 1);
        help = jmp_node_new(tree, JMP_NODE_STRING);
        if (!name || !help)
            return -ENOMEM;
        for (size_t i = 0; method->name[i]; i++)
            name[i] = method->name[i] == '_' ? '-' : method->name[i];
        if (jmp_node_get(configured, name))
            continue;
        help->key = name;
        help->string = method->help;
        jmp_node_append(map, help);
    }
    if (!map->first) {
        device->methods_description = configured;
        return 0;
    }
    JMP_NODE_EACH(member, configured) {
        struct jmp_node *copy = jmp_node_copy(tree, member);

        if (!copy)
            return -ENOMEM;
        copy->key = member->key;
        jmp_node_append(map, copy);
    }
    device->methods_description = map;
    return 0;
}

static int make_fanouts(struct jmp_device *device)
{
    unsigned n = 0;
    int r;

    for (const struct jmp_method *method = device->driver->methods; method && method->name; method++) {
        if (!method->open || !method->shared)
            continue;
        if (n >= JMP_SHARED_MAX)
            return -E2BIG;
        r = jmp_fanout_new(device, &device->devices->gate, &device->fanouts[n++]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int set_class(struct builder *b, struct jmp_device *device, const struct jmp_driver_class *driver,
                     const struct jmp_node *map, const struct jmp_node *methods_description);

static int add_own_children(struct builder *b, struct jmp_device *device, const struct jmp_node *map)
{
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    for (const struct jmp_child *row = device->driver->children; row && row->name; row++) {
        const struct jmp_node *options = is_option(device->driver, row->name) ? NULL : jmp_node_get(map, row->name);
        struct jmp_device *child;

        r = device_new(b, device, row->name, &child);
        if (r < 0)
            return r;
        child->own_child = true;
        child->driver = row->driver;
        if (options && options->kind != JMP_NODE_MAP && options->kind != JMP_NODE_NULL) {
            jmp_error_set(&error, -EINVAL, "expected a map of options, found %s", jmp_node_kind_name(options));
            r = problem(b, child, options, &error);
            if (r < 0)
                return r;
            options = NULL;
        }
        r = set_class(b, child, row->driver, options, NULL);
        if (r < 0)
            return r;
    }
    return 0;
}

static int set_class(struct builder *b, struct jmp_device *device, const struct jmp_driver_class *driver,
                     const struct jmp_node *map, const struct jmp_node *methods_description)
{
    int r;

    device->driver = driver;
    r = read_options(b, device, map);
    if (r < 0)
        return r;
    r = read_methods_description(b, device, methods_description);
    if (r < 0)
        return r;
    r = make_fanouts(device);
    if (r < 0)
        return r;
    return add_own_children(b, device, map);
}

static int find_class(struct builder *b, struct jmp_device *device, const struct jmp_device_config *config,
                      const struct jmp_driver_class **ret)
{
    struct jmp_error error = JMP_ERROR_INIT;
    const char *nearest = NULL;

    *ret = config->type ? jmp_plugins_find(b->plugins, config->type, &nearest) : b->composite;
    if (*ret)
        return 0;
    jmp_error_set(&error, -EINVAL, "there is no driver of type '%s'", config->type);
    if (nearest)
        jmp_error_hint(&error, "did you mean %s?", nearest);
    else
        jmp_error_hint(&error, "jmp-agent drivers lists those that there are");
    return problem(b, device, NULL, &error);
}

static int add_configured(struct builder *b, struct jmp_device *parent, const struct jmp_device_config *first)
{
    int r;

    for (const struct jmp_device_config *config = first; config; config = config->next) {
        const struct jmp_driver_class *driver;
        struct jmp_device *device;

        if (find_child(parent, config->name, strlen(config->name))) {
            struct jmp_error error = JMP_ERROR_INIT;

            jmp_error_set(&error, -EINVAL, "driver %s brings its own child '%s' along", parent->driver->name,
                          config->name);
            jmp_error_at(&error, b->devices->config->file, config->line, config->column, config->path);
            r = jmp_problems_add(b->problems, false, &error);
            if (r < 0)
                return r;
            continue;
        }
        r = device_new(b, parent, config->name, &device);
        if (r < 0)
            return r;
        device->config = config;
        device->description = config->description;
        device->labels = config->labels;
        if (config->ref)
            continue;   /* once all are there */

        r = find_class(b, device, config, &driver);
        if (r < 0)
            return r;
        if (driver) {
            r = set_class(b, device, driver, config->config, config->methods_description);
            if (r < 0)
                return r;
        }
        r = add_configured(b, device, config->children);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool is_ref(const struct jmp_device *device) { return device->config && device->config->ref; }

enum { UNSEEN, ENTERED, DONE };

/* Follows a dotted path from the root, through other refs too. NULL: dangling, or round in a circle (@retcircle). */
static struct jmp_device *resolve(struct jmp_device *device, bool *retcircle)
{
    struct jmp_device *at = device->devices->root;
    const char *path = device->config->ref;

    if (device->target || device->mark == DONE)
        return device->target;
    if (device->mark == ENTERED) {
        *retcircle = true;
        return NULL;
    }

    device->mark = ENTERED;
    while (at && *path) {
        size_t length = strcspn(path, ".");

        at = find_child(at, path, length);
        if (at && is_ref(at))
            at = resolve(at, retcircle);
        path += length;
        if (*path == '.' && *++path == '\0')
            at = NULL;
    }
    if (at == device->devices->root && device->config->ref[0] == '\0')
        at = NULL;
    device->target = at;
    device->mark = DONE;
    return at;
}

static int resolve_all(struct builder *b)
{
    for (struct jmp_device *device = b->devices->root; device; device = device->all_next) {
        struct jmp_error error = JMP_ERROR_INIT;
        bool circle = false;
        int r;

        if (!is_ref(device) || resolve(device, &circle))
            continue;
        if (circle)
            jmp_error_set(&error, -EINVAL, "ref '%s' leads back to itself", device->config->ref);
        else
            jmp_error_set(&error, -EINVAL, "ref '%s' leads to no device", device->config->ref);
        jmp_error_hint(&error, "a ref is the dotted path of another device from \"export\" on, such as board.power");
        r = problem(b, device, NULL, &error);
        if (r < 0)
            return r;
    }
    return 0;
}

/* How many lines a device contributes to the report, refs followed; SIZE_MAX: it contains itself. */
static size_t count_lines(struct jmp_device *device)
{
    struct jmp_device *real = device->target ? device->target : device;
    size_t lines = 1;

    if (real->mark == ENTERED)
        return SIZE_MAX;
    if (real->mark == DONE)
        return real->lines;
    real->mark = ENTERED;
    for (struct jmp_device *child = real->children; child; child = child->next) {
        size_t n = count_lines(child);

        lines = n > JMP_REPORT_LINES_MAX || lines > JMP_REPORT_LINES_MAX ? SIZE_MAX : lines + n;
    }
    real->mark = DONE;
    real->lines = lines;
    return lines;
}

static int check_size(struct builder *b)
{
    struct jmp_devices *devices = b->devices;
    struct jmp_error error = JMP_ERROR_INIT;

    for (struct jmp_device *device = devices->root; device; device = device->all_next)
        device->mark = UNSEEN;
    for (struct jmp_device *device = devices->root; device; device = device->all_next) {
        if (!device->target || count_lines(device->target) <= JMP_REPORT_LINES_MAX)
            continue;
        jmp_error_set(&error, -EINVAL, "ref '%s' leads to a device that contains the ref itself, or to far too many",
                      device->config->ref);
        return problem(b, device, NULL, &error);
    }
    if (count_lines(devices->root) > JMP_REPORT_LINES_MAX) {
        jmp_error_set(&error, -EINVAL, "more than %u devices", JMP_REPORT_LINES_MAX);
        jmp_error_at(&error, devices->config->file, 0, 0, "export");
        return jmp_problems_add(b->problems, false, &error);
    }
    return 0;
}

/* A uuid given by hand must not be that of another device: calls would reach the wrong one. */
static int check_uuids(struct builder *b)
{
    for (struct jmp_device *device = b->devices->root; device; device = device->all_next) {
        for (struct jmp_device *other = b->devices->root; other != device; other = other->all_next) {
            struct jmp_error error = JMP_ERROR_INIT;
            int r;

            if (is_ref(device) || is_ref(other) || strcmp(device->uuid, other->uuid) != 0)
                continue;
            jmp_error_set(&error, -EINVAL, "has the uuid of '%s'", other->path);
            r = problem(b, device, NULL, &error);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int jmp_tree_build(struct jmp_devices *devices, const struct jmp_plugins *plugins, struct jmp_problems *problems)
{
    const struct jmp_exporter_config *config = devices->config;
    struct builder b = { .devices = devices, .plugins = plugins, .problems = problems };
    unsigned errors = problems->errors;
    char space[2 * JMP_NAME_MAX + 2];
    struct jmp_device *root;
    int r;

    snprintf(space, sizeof(space), "%s/%s", config->namespace_ ? config->namespace_ : "",
             config->name ? config->name : "");
    b.space = space;
    b.composite = jmp_plugins_find(plugins, "composite", NULL);
    if (!b.composite) {
        struct jmp_error error = JMP_ERROR_INIT;

        jmp_error_set(&error, -EINVAL, "this build has no driver 'composite', which groups need");
        r = jmp_problems_add(problems, false, &error);
        return r < 0 ? r : -EINVAL;
    }

    r = device_new(&b, NULL, NULL, &root);
    if (r < 0)
        return r;
    root->description = config->description;
    r = set_class(&b, root, b.composite, NULL, NULL);
    if (r < 0)
        return r;
    r = add_configured(&b, root, config->devices);
    if (r < 0)
        return r;
    r = resolve_all(&b);
    if (r < 0)
        return r;
    if (problems->errors == errors) {
        r = check_size(&b);
        if (r < 0)
            return r;
        r = check_uuids(&b);
        if (r < 0)
            return r;
    }
    return problems->errors == errors ? 0 : -EINVAL;
}
