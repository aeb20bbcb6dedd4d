/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <glob.h>
#include <limits.h>
#include <string.h>

#include "agent/usb.h"
#include "base/writer.h"
#include "config/yaml.h"
#include "drivers/usb/hub.h"

#define ENTRIES_MAX 256u
#define NAME_SIZE 64u

struct suggestion {
    const char *root;
    const struct jmp_usb_list *list;
    struct jmp_writer *writer;
    char names[ENTRIES_MAX][NAME_SIZE];
    size_t count;
    bool taken[JMP_USB_DEVICES_MAX]; /* proposed already, as something better than a raw device */
};

/* "FT232R USB UART" becomes "ft232r-usb-uart"; a second one "ft232r-usb-uart-2". False: there is no room for more. */
static bool begin_entry(struct suggestion *s, const char *wish, const char *otherwise, const char *type)
{
    char base[NAME_SIZE - 8], *name = s->names[s->count];
    size_t used = 0;

    if (s->count + 1 >= ENTRIES_MAX)
        return false;
    for (; *wish && used + 1 < sizeof(base); wish++) {
        if (isalnum((unsigned char)*wish))
            base[used++] = (char)tolower((unsigned char)*wish);
        else if (used > 0 && base[used - 1] != '-')
            base[used++] = '-';
    }
    while (used > 0 && base[used - 1] == '-')
        used--;
    base[used] = '\0';
    if (used == 0)
        snprintf(base, sizeof(base), "%s", otherwise);

    for (unsigned n = 1, taken = 1; taken; n++) {
        if (n == 1)
            snprintf(name, NAME_SIZE, "%s", base);
        else
            snprintf(name, NAME_SIZE, "%s-%u", base, n);
        taken = 0;
        for (size_t i = 0; i < s->count; i++)
            taken |= strcmp(s->names[i], name) == 0;
    }
    s->count++;
    jmp_writer_key(s->writer, name);
    jmp_writer_begin_map(s->writer);
    jmp_writer_key(s->writer, "type");
    jmp_writer_string(s->writer, type);
    return true;
}

static void describe(struct suggestion *s, const struct jmp_usb_device *device)
{
    char text[3 * JMP_USB_TEXT_MAX + 32];

    snprintf(text, sizeof(text), "%s%s%s%s%s (%04x:%04x)", device->maker, *device->maker ? " " : "",
             *device->name ? device->name : "USB device", *device->serial ? " " : "", device->serial, device->vendor,
             device->product);
    jmp_writer_key(s->writer, "description");
    jmp_writer_string(s->writer, text);
}

static void begin_config(struct suggestion *s)
{
    jmp_writer_key(s->writer, "config");
    jmp_writer_begin_map(s->writer);
}

static void put(struct suggestion *s, const char *key, const char *value)
{
    jmp_writer_key(s->writer, key);
    jmp_writer_string(s->writer, value);
}

/* Of the config, and of the entry. */
static void end_entry(struct suggestion *s)
{
    jmp_writer_end_map(s->writer);
    jmp_writer_end_map(s->writer);
}

/* The USB device that made this node, or NULL: a serial port of the board itself. */
static const struct jmp_usb_device *owner_of(struct suggestion *s, const char *node)
{
    size_t length = strlen(node);

    for (size_t i = 0; i < s->list->count; i++) {
        const char *nodes = s->list->devices[i].nodes;

        for (const char *at = nodes; (at = strstr(at, node)); at += length)
            if ((at == nodes || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
                return &s->list->devices[i];
    }
    return NULL;
}

static void add_serial_port(struct suggestion *s, const char *link, const char *node)
{
    const struct jmp_usb_device *device = owner_of(s, node);

    if (!begin_entry(s, device ? device->name : node, "console", "serial"))
        return;
    if (device) {
        s->taken[device - s->list->devices] = true;
        describe(s, device);
    }
    begin_config(s);
    put(s, "url", link);
    end_entry(s);
}

/* A port has several links; the first in order, unless an earlier one led to the same. */
static void add_serial_ports(struct suggestion *s)
{
    static const char *const patterns[] = { "/dev/serial/by-path/*", "/dev/serial[0-9]" };
    char seen[ENTRIES_MAX][32];
    size_t count = 0;

    for (size_t p = 0; p < ELEMENTSOF(patterns); p++) {
        char pattern[PATH_MAX];
        glob_t found;

        snprintf(pattern, sizeof(pattern), "%.3000s%s", s->root, patterns[p]);
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t i = 0; i < found.gl_pathc && count < ENTRIES_MAX; i++) {
            _cleanup_free_ char *target = realpath(found.gl_pathv[i], NULL);
            const char *node = target ? strrchr(target, '/') + 1 : NULL;
            bool again = !node;

            for (size_t j = 0; j < count && !again; j++)
                again = strcmp(seen[j], node) == 0;
            if (again)
                continue;
            snprintf(seen[count++], sizeof(seen[0]), "%.31s", node);
            add_serial_port(s, found.gl_pathv[i] + strlen(s->root), node);
        }
        globfree(&found);
    }
}

/* What has a driver of its own. */
static const struct board {
    uint16_t vendor, product;
    const char *name;       /* how the device's name begins */
    const char *type;       /* the driver */
    const char *port;       /* option that names the port, or */
    const char *serial;     /* the serial number, where the device has one */
    const char *key, *word; /* an option to be thought about, with a harmless value */
    unsigned number;        /* or this one */
} boards[] = {
    { 0x04d8, 0xf2f7, "", "ykush", .serial = "serial", .key = "default", .word = "keep" },
    { 0x140b, 0x07d7, "", "relay-noyito-hid", .serial = "serial", .key = "channel", .number = 1 },
    { 0x16c0, 0x05df, "USBRelay", "relay-usbrelay", .key = "channel", .number = 1 },
    { 0x04e8, 0x6001, "sd-wire", "sdwire", .serial = "serial" },
    { 0x2e8a, 0x0003, "", "pi-pico", .port = "usb_port" },
    { 0x2e8a, 0x000f, "", "pi-pico", .port = "usb_port" },
    {},
};
/* And anything else: given away whole. */
static const struct board any_device = { .type = "usb-device", .port = "path" };

static const struct board *board_of(const struct jmp_usb_device *device)
{
    for (const struct board *board = boards; board->type; board++)
        if (device->vendor == board->vendor && device->product == board->product &&
            strncmp(device->name, board->name, strlen(board->name)) == 0)
            return board;
    return &any_device;
}

static void put_board(struct suggestion *s, const struct board *board, const struct jmp_usb_device *device)
{
    describe(s, device);
    begin_config(s);
    if (board->port)
        put(s, board->port, device->path);
    if (board->serial && *device->serial)
        put(s, board->serial, device->serial);
    if (board->word) {
        put(s, board->key, board->word);
    } else if (board->key) {
        jmp_writer_key(s->writer, board->key);
        jmp_writer_integer(s->writer, board->number);
    }
    end_entry(s);
}

static void add_usb_devices(struct suggestion *s)
{
    for (size_t i = 0; i < s->list->count; i++) {
        const struct jmp_usb_device *device = &s->list->devices[i];
        char id[32];

        if (s->taken[i] || jmp_usb_refuse(device, NULL) < 0)
            continue;
        snprintf(id, sizeof(id), "usb-%04x-%04x", device->vendor, device->product);
        if (!begin_entry(s, device->name, id, board_of(device)->type))
            return;
        put_board(s, board_of(device), device);
    }
}

static int write_document(struct suggestion *s, const char *name)
{
    static const char *const texts[][2] = { { "apiVersion", "jumpstarter.dev/v1alpha1" },
                                            { "kind", "ExporterConfig" } };

    jmp_writer_begin_map(s->writer);
    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        jmp_writer_key(s->writer, texts[i][0]);
        jmp_writer_string(s->writer, texts[i][1]);
    }
    jmp_writer_key(s->writer, "metadata");
    jmp_writer_begin_map(s->writer);
    jmp_writer_key(s->writer, "namespace");
    jmp_writer_string(s->writer, "default");
    jmp_writer_key(s->writer, "name");
    jmp_writer_string(s->writer, name);
    jmp_writer_end_map(s->writer);
    jmp_writer_key(s->writer, "export");
    jmp_writer_begin_map(s->writer);
    add_serial_ports(s);
    add_usb_devices(s);
    jmp_writer_end_map(s->writer);
    jmp_writer_end_map(s->writer);
    return 0;
}

/* Likewise what is plugged into which port; a board that is not plugged in by USB at all may get its power from one. */
static void print_hubs(const char *root, const struct jmp_usb_list *list, FILE *out)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct jmp_usb_device *hub = &list->devices[i];
        char port[JMP_USB_PATH_MAX];

        if (*root || !hub->hub || hub->imported || jmp_hub_switches(hub, NULL) <= 0 ||
            jmp_usb_port_join(hub->path, 1, port) < 0)
            continue;
        fprintf(out,
                "#\n"
                "# Hub %s switches the power of its %u ports one by one (jmp-agent usb tree: what is where). A port of "
                "it, in "
                "\"export\":\n"
                "#  usb-power:\n"
                "#    type: usb-port\n"
                "#    config:\n"
                "#      path: %s\n",
                hub->path, hub->ports, port);
    }
}

/* Which line drives what, only the person who soldered it knows; a wrong one may switch something off. */
static void print_gpio(const char *root, FILE *out)
{
    char path[PATH_MAX];
    struct dirent **entries;
    int n;

    snprintf(path, sizeof(path), "%.3000s/sys/bus/gpio/devices", root);
    n = scandir(path, &entries, NULL, versionsort);
    for (int i = 0; i < n; i++) {
        if (strncmp(entries[i]->d_name, "gpiochip", 8) == 0)
            fprintf(out,
                    "#\n"
                    "# There is a GPIO chip, /dev/%s (its lines: gpioinfo %s). A relay on one of its lines, under "
                    "\"export\":\n"
                    "#  power:\n"
                    "#    type: jumpstarter_driver_gpiod.driver.PowerSwitch\n"
                    "#    config:\n"
                    "#      device: /dev/%s\n"
                    "#      line: 17\n",
                    entries[i]->d_name, entries[i]->d_name, entries[i]->d_name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

int jmp_suggest(const char *root, const char *name, FILE *out, struct jmp_error *reterr)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ struct suggestion *s = calloc(1, sizeof(*s));
    _cleanup_free_ char *text = NULL;
    const struct jmp_node *node;
    int r;

    if (!s)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    r = jmp_usb_list_read(root, &list);
    if (r < 0)
        return jmp_error_set(reterr, r, "the USB devices cannot be listed: %m");
    r = jmp_tree_new(0, &tree);
    if (r == 0)
        r = jmp_writer_new(tree, &writer);
    if (r == 0) {
        *s = (struct suggestion){ .root = root, .list = list, .writer = writer };
        r = write_document(s, name);
    }
    if (r == 0)
        r = jmp_writer_finish(writer, &node);
    if (r == 0)
        r = jmp_yaml_print(node, &text);
    if (r < 0)
        return jmp_error_set(reterr, r, "the file cannot be written down: %m");

    fprintf(out,
            "# Made by jmp-agent suggest from what is plugged in now. Names and descriptions are free; delete what is "
            "not to\n"
            "# be given away. Missing: endpoint, tls and token of the controller (see exporter-full.yaml).\n%s",
            text);
    print_hubs(root, list, out);
    print_gpio(root, out);
    return 0;
}
