/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/usb.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>

#include "base/json.h"
#include "base/writer.h"
#include "drivers/usb/hub.h"

/* Can the port's power be switched? That is for its hub to say. */
enum power { POWER_NO, POWER_YES, POWER_UNKNOWN };

static const char *const power_words[] = { [POWER_NO] = "no", [POWER_YES] = "yes", [POWER_UNKNOWN] = "?" };

static const char *const port_words[] = {
    [POWER_NO] = "", [POWER_YES] = " switched", [POWER_UNKNOWN] = " ?"
}; /* of a hub */

static void hub_of(const struct jmp_usb_device *device, char ret[JMP_USB_PATH_MAX])
{
    unsigned port;

    if (jmp_usb_port_split(device->path, ret, &port) < 0)
        *ret = '\0'; /* a root hub */
}

/* A hub comes before what is plugged into it, and is asked once: @powers has its answer. */
static enum power port_power(const struct jmp_usb_list *list, const enum power *powers, const char *hub)
{
    const struct jmp_usb_device *device = *hub ? jmp_usb_at(list, hub) : NULL;

    return device ? powers[device - list->devices] : POWER_NO;
}

/* There is nobody to ask in a copy of /. */
static void ask_hubs(const char *root, const struct jmp_usb_list *list, enum power *powers)
{
    for (size_t i = 0; i < list->count; i++) {
        int r = list->devices[i].hub ? (*root ? -ENODEV : jmp_hub_switches(&list->devices[i], NULL)) : 0;

        powers[i] = r < 0 ? POWER_UNKNOWN : r ? POWER_YES : POWER_NO;
    }
}

static bool has_open(const char *process, const char *node)
{
    char directory[PATH_MAX], path[PATH_MAX + 300], target[PATH_MAX];
    struct dirent *entry;
    bool found = false;
    DIR *stream;

    if (snprintf(directory, sizeof(directory), "%s/fd", process) >= (int)sizeof(directory))
        return false;
    stream = opendir(directory);
    while (stream && !found && (entry = readdir(stream))) {
        ssize_t n;

        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        found = strcmp(target, node) == 0;
    }
    if (stream)
        closedir(stream);
    return found;
}

/* The program that drives a device by itself, through usbfs: found among the processes that we may look into. */
static void find_program(const char *root, const struct jmp_usb_device *device, char *ret, size_t size)
{
    char directory[PATH_MAX], process[PATH_MAX + 300], node[64];
    struct dirent *entry;
    DIR *stream;

    *ret = '\0';
    snprintf(node, sizeof(node), "/dev/bus/usb/%03u/%03u", device->bus, device->address);
    snprintf(directory, sizeof(directory), "%.3000s/proc", root);
    stream = opendir(directory);
    while (stream && !*ret && (entry = readdir(stream))) {
        _cleanup_fclose_ FILE *file = NULL;
        char path[PATH_MAX + 400];

        if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
            continue;
        snprintf(process, sizeof(process), "%s/%s", directory, entry->d_name);
        if (!has_open(process, node))
            continue;
        snprintf(path, sizeof(path), "%s/comm", process);
        file = fopen(path, "re");
        if (file && fgets(ret, (int)size, file))
            ret[strcspn(ret, "\n")] = '\0';
    }
    if (stream)
        closedir(stream);
}

static void find_owner(const char *root, const struct jmp_usb_device *device, char *ret, size_t size)
{
    char program[64] = "";

    if (strstr(device->drivers, "usbfs"))
        find_program(root, device, program, sizeof(program));
    snprintf(ret, size, "%s%s%s%s%s", device->nodes, *device->nodes && *program ? " " : "", program,
             *device->mount ? " on " : "", device->mount);
}

/* null: the hub could not be asked */
static void write_power(struct jmp_writer *writer, const char *key, enum power power)
{
    jmp_writer_key(writer, key);
    if (power == POWER_UNKNOWN)
        jmp_writer_null(writer);
    else
        jmp_writer_bool(writer, power == POWER_YES);
}

static int print_json(const char *root, const struct jmp_usb_list *list, const enum power *powers, FILE *out)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    _cleanup_free_ char *text = NULL;
    const struct jmp_node *node;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r == 0)
        r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return r;

    jmp_writer_begin_list(writer);
    for (size_t i = 0; i < list->count; i++) {
        const struct jmp_usb_device *device = &list->devices[i];
        char hub[JMP_USB_PATH_MAX], owner[512], id[16];
        const struct {
            const char *key, *value;
        } texts[] = {
            { "path", device->path },
            { "hub", hub },
            { "id", id },
            { "serial", device->serial },
            { "maker", device->maker },
            { "name", device->name },
            { "driver", device->drivers },
            { "owner", owner },
            { "mount", device->mount },
            { "speed", device->speed },
        };

        hub_of(device, hub);
        find_owner(root, device, owner, sizeof(owner));
        snprintf(id, sizeof(id), "%04x:%04x", device->vendor, device->product);
        jmp_writer_begin_map(writer);
        for (size_t j = 0; j < ELEMENTSOF(texts); j++) {
            jmp_writer_key(writer, texts[j].key);
            jmp_writer_string(writer, *texts[j].value ? texts[j].value : NULL);
        }
        jmp_writer_key(writer, "ports");
        jmp_writer_integer(writer, device->ports);
        write_power(writer, "switched_ports", powers[i]);
        write_power(writer, "port_power", port_power(list, powers, hub));
        jmp_writer_end_map(writer);
    }
    jmp_writer_end_list(writer);

    r = jmp_writer_finish(writer, &node);
    if (r == 0)
        r = jmp_json_print(node, 2, &text);
    if (r == 0)
        fprintf(out, "%s\n", text);
    return r;
}

static void print_table(const char *root, const struct jmp_usb_list *list, const enum power *powers, FILE *out)
{
    static const char *const columns[] = { "PATH", "HUB", "ID", "SPEED", "POWER", "PORTS", "DRIVER", "OWNER", "NAME" };
    enum { COLUMNS = ELEMENTSOF(columns) };
    int widths[COLUMNS] = { 0 };

    /* Twice: to measure, and to print. */
    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i <= list->count; i++) {
            const struct jmp_usb_device *device = i > 0 ? &list->devices[i - 1] : NULL;
            char hub[JMP_USB_PATH_MAX] = "", owner[512] = "", id[16] = "", name[2 * JMP_USB_TEXT_MAX + 2] = "";
            char ports[32] = "";
            const char *cells[COLUMNS];

            memcpy(cells, columns, sizeof(cells));
            if (device) {
                hub_of(device, hub);
                find_owner(root, device, owner, sizeof(owner));
                snprintf(id, sizeof(id), "%04x:%04x", device->vendor, device->product);
                snprintf(name, sizeof(name), "%s%s%s", device->name, *device->name && *device->serial ? " " : "",
                         device->serial);
                if (device->hub)
                    snprintf(ports, sizeof(ports), "%u%s", device->ports, port_words[powers[i - 1]]);
                memcpy(cells,
                       (const char *[COLUMNS]){ device->path, hub, id, device->speed,
                                                *hub ? power_words[port_power(list, powers, hub)] : "", ports,
                                                device->drivers, owner, name },
                       sizeof(cells));
            }
            for (int j = 0; j < COLUMNS; j++) {
                const char *cell = *cells[j] ? cells[j] : "-";

                if (pass == 0 && (int)strlen(cell) > widths[j])
                    widths[j] = (int)strlen(cell);
                else if (pass == 1)
                    fprintf(out, "%-*s%s", j + 1 < COLUMNS ? widths[j] : 0, cell, j + 1 < COLUMNS ? "  " : "\n");
            }
        }
    }
}

int jmp_usb_tree(const char *root, bool json, FILE *out, struct jmp_error *reterr)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    _cleanup_free_ enum power *powers = NULL;
    int r;

    r = jmp_usb_list_read(root, &list);
    if (r < 0)
        return jmp_error_set(reterr, r, "the USB devices cannot be listed: %m");
    powers = calloc(list->count + 1, sizeof(*powers));
    if (!powers)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    ask_hubs(root, list, powers);

    if (!json) {
        print_table(root, list, powers, out);
        return 0;
    }
    r = print_json(root, list, powers, out);
    return r < 0 ? jmp_error_set(reterr, r, "the USB devices cannot be printed: %m") : 0;
}
