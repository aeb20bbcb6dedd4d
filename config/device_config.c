/* SPDX-License-Identifier: Apache-2.0 */
#include "config/device_config.h"

#include <stdarg.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/uuid.h"

struct entry {
    const char *type, *ref, *description;
    const struct jmp_node *config, *methods_description, *children;
};

const struct jmp_option jmp_device_config_options[] = {
    { JMP_FIELD(struct entry, type), .convert = true,
      .help = "the driver: a class of the stock exporter or a short name" },
    { JMP_FIELD(struct entry, ref), .convert = true, .help = "the path of another entry, such as board.power" },
    { JMP_FIELD(struct entry, description), .convert = true, .nullable = true, .help = "what it is, for people" },
    { JMP_FIELD(struct entry, methods_description), .help = "a map from methods to what they do, for the help of j" },
    { JMP_FIELD(struct entry, config), .help = "a map of the driver's own options, see jmp-drivers(7)" },
    { JMP_FIELD(struct entry, children), .help = "a map of entries below this one" },
    {}
};

struct reading {
    struct jmp_section *section;
    unsigned count;
};

static struct jmp_device_config *read_entries(struct reading *reading, const struct jmp_node *map, const char *parent,
                                              const char *path);

/* What every driver takes, whatever it is, is looked at here; @config keeps it, unless it is wrong. */
static void read_base_fields(struct jmp_section *section, const struct jmp_node *config, const char *path,
                             struct jmp_device_config *device)
{
    const struct jmp_node *labels = jmp_node_get(config, "labels"), *uuid = jmp_node_get(config, "uuid"),
                          *log_level = jmp_node_get(config, "log_level");
    char at[JMP_SECTION_PATH], canonical[JMP_UUID_SIZE];
    enum jmp_log_level level;
    const char *text;

    if (labels) {
        jmp_section_path(at, path, "labels");
        device->labels = jmp_section_strings(section, labels, at);
    }

    text = jmp_node_string(uuid);
    if (text && jmp_uuid_parse(text, canonical)) {
        device->uuid = jmp_tree_strdup(section->tree, canonical, strlen(canonical));
        if (!device->uuid)
            jmp_section_fail(section, -ENOMEM);
    } else if (!jmp_node_is_null(uuid)) {
        jmp_section_path(at, path, "uuid");
        jmp_section_say(section, false, uuid, false, at, "leave it out: one is made that stays the same",
                        "expected a UUID, found %s", text ? "another text" : jmp_node_kind_name(uuid));
        device->config = jmp_section_without(section, config, "uuid");
    }

    text = jmp_node_string(log_level);
    if (text && jmp_log_level_parse(text, &level)) {
        device->log_level = text;
    } else if (!jmp_node_is_null(log_level)) {
        jmp_section_path(at, path, "log_level");
        jmp_section_say(section, false, log_level, false, at, NULL,
                        "expected DEBUG, INFO, WARNING, ERROR or CRITICAL, found %s",
                        text ? "another text" : jmp_node_kind_name(log_level));
    }
}

/* Stock takes the first of driver, composite, proxy whose keys match best; what it then drops is worth a warning. */
static void read_shape(struct jmp_section *section, const struct jmp_node *node, const struct entry *entry,
                       const char *path, struct jmp_device_config *device)
{
    char at[JMP_SECTION_PATH];

    device->type = entry->type;
    device->description = entry->description;

    if (entry->type && entry->ref) {
        jmp_section_path(at, path, "ref");
        jmp_section_say(section, true, jmp_node_get(node, "ref"), true, at, NULL, "ignored, because there is a type");
    } else if (entry->ref && entry->children) {
        jmp_section_path(at, path, "ref");
        jmp_section_say(section, true, jmp_node_get(node, "ref"), true, at, NULL,
                        "ignored, because there are children");
    } else if (entry->ref) {
        device->ref = entry->ref;
        if (entry->description) {
            jmp_section_path(at, path, "description");
            jmp_section_say(section, true, jmp_node_get(node, "description"), true, at, NULL,
                            "ignored: a ref is described where it leads to");
            device->description = NULL;
        }
    }

    /* A type that is wrong has been complained about. */
    if (jmp_node_get(node, "type"))
        return;
    if (entry->config) {
        jmp_section_path(at, path, "config");
        jmp_section_say(section, false, jmp_node_get(node, "config"), true, at, "add the type of the driver",
                        "there is no driver to configure");
    }
    if (entry->methods_description) {
        jmp_section_path(at, path, "methods_description");
        jmp_section_say(section, false, jmp_node_get(node, "methods_description"), true, at,
                        "add the type of the driver", "there is no driver to describe");
    }
}

static void check_name(struct jmp_section *section, const struct jmp_node *node, const char *path)
{
    size_t length = strlen(node->key);

    if (length == 0 || length > JMP_NAME_MAX)
        jmp_section_say(section, false, node, true, path, NULL, "expected a name of 1 to %u characters, found %zu",
                        JMP_NAME_MAX, length);
    else if (strchr(node->key, '.'))
        jmp_section_say(section, true, node, true, path, "choose a name without a dot",
                        "a ref cannot lead here, because dots part names");
}

static struct jmp_device_config *read_entry(struct reading *reading, const struct jmp_node *node, const char *parent,
                                            const char *parent_path)
{
    struct jmp_section *section = reading->section;
    struct entry entry = { 0 };
    struct jmp_device_config *device;
    const struct jmp_node *map;
    size_t name = strlen(node->key), above = strlen(parent);
    char path[JMP_SECTION_PATH], at[JMP_SECTION_PATH];
    char *full;

    jmp_section_path(path, parent_path, node->key);
    check_name(section, node, path);

    device = jmp_tree_alloc(section->tree, sizeof(*device));
    full = jmp_tree_alloc(section->tree, above + name + 2);
    if (!device || !full) {
        jmp_section_fail(section, -ENOMEM);
        return NULL;
    }
    snprintf(full, above + name + 2, "%s%s%s", parent, above > 0 ? "." : "", node->key);
    device->name = node->key;
    device->path = full;
    device->line = node->key_line;
    device->column = node->key_column;

    if (node->kind != JMP_NODE_MAP) {
        jmp_section_say(section, false, node, false, path, "write NAME: {type: ...}, {ref: ...} or {children: ...}",
                        "expected a map, found %s", jmp_node_kind_name(node));
        return device;
    }
    jmp_section_read(section, jmp_device_config_options, &entry, node, path);
    read_shape(section, node, &entry, path, device);

    if (entry.type) {
        jmp_section_path(at, path, "config");
        device->config = jmp_section_map(section, entry.config, at);
        if (device->config)
            read_base_fields(section, device->config, at, device);
        jmp_section_path(at, path, "methods_description");
        device->methods_description = jmp_section_strings(section, entry.methods_description, at);
    }

    jmp_section_path(at, path, "children");
    map = jmp_section_map(section, entry.children, at);
    if (map)
        device->children = read_entries(reading, map, full, path);
    return device;
}

static struct jmp_device_config *read_entries(struct reading *reading, const struct jmp_node *map, const char *parent,
                                              const char *path)
{
    struct jmp_device_config *first = NULL, **end = &first;

    JMP_NODE_EACH(child, map) {
        if (reading->count++ == JMP_DEVICES_MAX)
            jmp_section_say(reading->section, false, child, true, path, NULL, "more than %u devices", JMP_DEVICES_MAX);
        if (reading->count > JMP_DEVICES_MAX)
            break;

        *end = read_entry(reading, child, parent, path);
        if (!*end)
            break;
        end = &(*end)->next;
    }
    return first;
}

/*
 * Refs. They are looked at once all entries are known, because they may lead forward.
 */
struct refs {
    struct jmp_section *section;
    struct jmp_device_config *root;
    struct jmp_device_config *blamed;   /* said once for each ref is enough */
    unsigned count;                     /* of devices, each ref with all that is below its target */
    bool failed;
};

/* The way from the root to the device being looked at. */
struct step {
    const struct step *above;
    const struct jmp_device_config *device;
};

static void JMP_PRINTF(4, 5) complain(struct refs *refs, const struct jmp_device_config *device, const char *hint,
                                      const char *fmt, ...)
{
    const struct jmp_node place = { .line = device->line, .column = device->column };
    char path[JMP_SECTION_PATH], text[512];
    va_list ap;

    refs->failed = true;
    jmp_section_path(path, "export", device->path);
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    jmp_section_say(refs->section, false, &place, false, path, hint, "%s", text);
}

/* Follows the names. *retopen: they lead into a driver, which may have children of its own that no file names. */
static struct jmp_device_config *find(const struct refs *refs, const char *ref, bool *retopen)
{
    struct jmp_device_config *level = refs->root, *found;

    *retopen = false;
    for (;;) {
        size_t length = strcspn(ref, ".");

        for (found = level; found; found = found->next) {
            if (strncmp(found->name, ref, length) == 0 && !found->name[length])
                break;
        }
        if (!found || !ref[length])
            return found;

        ref += length + 1;
        *retopen = found->type || found->ref;
        level = found->children;
    }
}

static void complain_dangling(struct refs *refs, const struct jmp_device_config *device)
{
    const char *names[JMP_DEVICES_MAX + 1], *near;
    char hint[300];
    size_t n = 0;

    for (const struct jmp_device_config *d = refs->root; d; d = d->next)
        names[n++] = d->name;
    names[n] = NULL;

    near = jmp_nearest(device->ref, names);
    if (near)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    else
        snprintf(hint, sizeof(hint),
                 "a ref names entries from \"export\" downwards, with dots between, such as board.power");
    complain(refs, device, hint, "there is no entry \"%s\"", device->ref);
}

static bool is_on_the_way(const struct step *step, const struct jmp_device_config *device)
{
    for (; step; step = step->above) {
        if (step->device == device)
            return true;
    }
    return false;
}

/* Walks the tree as users will see it, in which a ref stands for a copy of its target. @origin: the ref as written that
 * led into a copy, or NULL. */
static void walk(struct refs *refs, struct jmp_device_config *device, const struct step *above, unsigned depth,
                 struct jmp_device_config *origin)
{
    const struct step step = { .above = above, .device = device };
    struct jmp_device_config *target;
    bool open;

    if (refs->count > JMP_DEVICES_MAX)
        return;
    if (++refs->count > JMP_DEVICES_MAX || depth > JMP_NESTING_MAX) {
        if (depth > JMP_NESTING_MAX)
            complain(refs, origin ? origin : device, NULL, "leads deeper than %u levels", JMP_NESTING_MAX);
        else
            complain(refs, origin ? origin : device, "each ref counts with all that is below its target",
                     "more than %u devices", JMP_DEVICES_MAX);
        refs->count = JMP_DEVICES_MAX + 1;
        return;
    }

    if (!device->ref) {
        for (struct jmp_device_config *child = device->children; child; child = child->next)
            walk(refs, child, &step, depth + 1, origin);
        return;
    }

    target = find(refs, device->ref, &open);
    if (!target) {
        /* In a copy it was said where it stands. */
        if (!open && !origin)
            complain_dangling(refs, device);
        return;
    }
    if (!origin)
        origin = device;
    if (!is_on_the_way(&step, target)) {
        walk(refs, target, &step, depth + 1, origin);
    } else if (refs->blamed != origin) {
        refs->blamed = origin;
        complain(refs, origin, NULL, "\"%s\" leads in a circle", origin->ref);
    }
}

/* After a complaint nobody shall follow them again. */
static void drop_refs(struct jmp_device_config *device)
{
    for (; device; device = device->next) {
        device->ref = NULL;
        drop_refs(device->children);
    }
}

struct jmp_device_config *jmp_device_config_read(struct jmp_section *section, const struct jmp_node *export)
{
    struct reading reading = { .section = section };
    struct refs refs = { .section = section };
    const struct jmp_node *map = jmp_section_map(section, export, "export");

    if (!map)
        return NULL;

    refs.root = read_entries(&reading, map, "", "export");
    /* What was not read cannot be found. */
    if (reading.count > JMP_DEVICES_MAX)
        return NULL;
    for (struct jmp_device_config *device = refs.root; device; device = device->next)
        walk(&refs, device, NULL, 1, NULL);
    if (refs.failed)
        drop_refs(refs.root);
    return refs.root;
}
