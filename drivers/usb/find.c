/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/find.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/text.h"

#define TIERS_MAX 6u   /* ports in a path: the specification allows five hubs in a row */
#define WALK_DEPTH 10u /* directories below an interface: .../host0/target0:0:0/0:0:0:0/block/sda */
#define STACK_DEPTH 8u /* a disk below a mapping below a mapping ... */
#define USED_MAX 256u  /* block devices in use */

/* Block devices that this machine uses, as paths in sysfs. */
struct used {
    char *node[USED_MAX];
    char *mount[USED_MAX];
    size_t count;
};

static void used_clear(struct used *used)
{
    for (size_t i = 0; i < used->count; i++) {
        free(used->node[i]);
        free(used->mount[i]);
    }
}

/* The first line of a file in sysfs; "" when there is none. What a device says of itself may be anything: only
 * characters that can be shown are kept. */
static void attribute(const char *directory, const char *name, char *ret, size_t size)
{
    _cleanup_fclose_ FILE *file = NULL;
    char path[PATH_MAX], line[512] = "";
    size_t used = 0;

    *ret = '\0';
    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
        return;
    file = fopen(path, "re");
    if (!file || !fgets(line, sizeof(line), file))
        return;

    line[strcspn(line, "\n")] = '\0';
    for (const char *from = line; *from;) {
        size_t length = jmp_text_sequence(from, strlen(from));

        if (length > 0 && jmp_text_is_shown(from, length)) {
            if (used + length >= size)
                break;
            memcpy(ret + used, from, length);
            used += length;
        }
        from += length > 0 ? length : 1;
    }
    ret[used] = '\0';
}

static unsigned number(const char *directory, const char *name, int base)
{
    char text[32];

    attribute(directory, name, text, sizeof(text));
    return (unsigned)strtoul(text, NULL, base);
}

/* One more word at the end of @list, unless it is there or there is no room. */
static void add_word(char *list, size_t size, const char *word)
{
    size_t length = strlen(word), used = strlen(list);

    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
            return;
    if (length > 0 && used + length + 2 < size)
        snprintf(list + used, size - used, "%s%s", used > 0 ? " " : "", word);
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* "1-1.2", "usb1"; not "1-1.2:1.0", which is an interface of it. */
static bool is_device_name(const char *name)
{
    return (isdigit((unsigned char)*name) || strncmp(name, "usb", 3) == 0) && !strchr(name, ':') &&
           strlen(name) < JMP_USB_PATH_MAX;
}

static bool has_file(const char *directory, const char *name)
{
    char path[PATH_MAX];

    return snprintf(path, sizeof(path), "%s/%s", directory, name) < (int)sizeof(path) && access(path, F_OK) == 0;
}

/* The device nodes below @directory, other than those of devices behind a hub. */
static void collect_nodes(struct jmp_usb_device *device, const char *directory, unsigned depth)
{
    DIR *stream = depth < WALK_DEPTH ? opendir(directory) : NULL;
    struct dirent *entry;

    while (stream && (entry = readdir(stream))) {
        char path[PATH_MAX];

        if (entry->d_type != DT_DIR || is_dots(entry->d_name) ||
            snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >= (int)sizeof(path))
            continue;
        if (is_device_name(entry->d_name) && has_file(path, "devnum"))
            continue;
        /* Partitions and the SCSI layer's own nodes say no more than the disk. */
        if (has_file(path, "dev") && !has_file(path, "partition") && !strchr(entry->d_name, ':') &&
            !has_file(path, "devnum"))
            add_word(device->nodes, sizeof(device->nodes), entry->d_name);
        collect_nodes(device, path, depth + 1);
    }
    if (stream)
        closedir(stream);
}

static void collect_drivers(struct jmp_usb_device *device, const char *directory)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;

    while (stream && (entry = readdir(stream))) {
        char path[PATH_MAX], target[PATH_MAX];
        const char *slash;
        ssize_t n;

        if (!strchr(entry->d_name, ':'))
            continue;
        snprintf(path, sizeof(path), "%.3000s/%.250s/driver", directory, entry->d_name);
        n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        slash = strrchr(target, '/');
        add_word(device->drivers, sizeof(device->drivers), slash ? slash + 1 : target);
    }
    if (stream)
        closedir(stream);
}

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

static void read_device(struct jmp_usb_device *device, const char *directory, const struct used *used)
{
    device->bus = number(directory, "busnum", 10);
    device->address = number(directory, "devnum", 10);
    device->vendor = (uint16_t)number(directory, "idVendor", 16);
    device->product = (uint16_t)number(directory, "idProduct", 16);
    device->release = (uint16_t)number(directory, "bcdDevice", 16);
    device->class = (uint8_t)number(directory, "bDeviceClass", 16);
    device->subclass = (uint8_t)number(directory, "bDeviceSubClass", 16);
    device->protocol = (uint8_t)number(directory, "bDeviceProtocol", 16);
    device->configuration = (uint8_t)number(directory, "bConfigurationValue", 10);
    device->configurations = (uint8_t)number(directory, "bNumConfigurations", 10);
    device->interfaces = (uint8_t)number(directory, "bNumInterfaces", 10);
    attribute(directory, "speed", device->speed, sizeof(device->speed));
    attribute(directory, "serial", device->serial, sizeof(device->serial));
    attribute(directory, "manufacturer", device->maker, sizeof(device->maker));
    attribute(directory, "product", device->name, sizeof(device->name));
    device->hub = device->class == 9;
    device->ports = device->hub ? number(directory, "maxchild", 10) : 0;
    collect_drivers(device, directory);
    collect_nodes(device, directory, 0);
    for (size_t i = 0; i < used->count && !device->hub && !*device->mount; i++)
        if (is_below(used->node[i], directory))
            snprintf(device->mount, sizeof(device->mount), "%s", used->mount[i]);
}

/*
 * What is in use.
 */

/* @node: a block device in sysfs; it, and the disks that it is made of, are used at @mount. */
static int use_node(struct used *used, const char *node, const char *mount, unsigned depth)
{
    _cleanup_free_ char *real = realpath(node, NULL);
    char slaves[PATH_MAX];
    struct dirent *entry;
    DIR *stream;
    int r = 0;

    if (!real || depth >= STACK_DEPTH || used->count >= USED_MAX)
        return 0;
    snprintf(slaves, sizeof(slaves), "%.4000s/slaves", real);
    used->mount[used->count] = strdup(mount);
    used->node[used->count] = TAKE_PTR(real);
    if (!used->mount[used->count++])
        return -ENOMEM;

    stream = opendir(slaves);
    while (stream && r == 0 && (entry = readdir(stream))) {
        char path[PATH_MAX];

        if (!is_dots(entry->d_name) && snprintf(path, sizeof(path), "%s/%s", slaves, entry->d_name) < (int)sizeof(path))
            r = use_node(used, path, mount, depth + 1);
    }
    if (stream)
        closedir(stream);
    return r;
}

/* "/dev/sda2", "/dev/mapper/root" */
static int use_path(struct used *used, const char *root, const char *device, const char *mount)
{
    _cleanup_free_ char *real = NULL;
    char path[PATH_MAX];
    const char *slash;

    if (snprintf(path, sizeof(path), "%s%s", root, device) >= (int)sizeof(path))
        return 0;
    real = realpath(path, NULL);
    slash = strrchr(real ?: device, '/');
    if (strncmp(device, "/dev/", 5) != 0 || !slash)
        return 0;
    if (snprintf(path, sizeof(path), "%s/sys/class/block%s", root, slash) >= (int)sizeof(path))
        return 0;
    return use_node(used, path, mount, 0);
}

static int read_mounts(struct used *used, const char *root)
{
    _cleanup_fclose_ FILE *file = NULL;
    char path[PATH_MAX], line[8192];
    int r = 0;

    snprintf(path, sizeof(path), "%.3000s/proc/self/mountinfo", root);
    file = fopen(path, "re");
    while (file && r == 0 && fgets(line, sizeof(line), file)) {
        char mount[JMP_USB_TEXT_MAX], source[512], *after;
        unsigned major, minor;

        /* 36 25 8:2 / /boot rw,relatime shared:1 - ext4 /dev/sda2 rw */
        if (sscanf(line, "%*u %*u %u:%u %*s %127s", &major, &minor, mount) != 3)
            continue;
        if (major > 0) {
            snprintf(path, sizeof(path), "%.3000s/sys/dev/block/%u:%u", root, major, minor);
            r = use_node(used, path, mount, 0);
            continue;
        }
        /* btrfs has numbers of its own; the source tells. */
        after = strstr(line, " - ");
        if (after && sscanf(after + 3, "%*s %511s", source) == 1)
            r = use_path(used, root, source, mount);
    }
    return r;
}

static int read_swaps(struct used *used, const char *root)
{
    _cleanup_fclose_ FILE *file = NULL;
    char path[PATH_MAX], line[4096];
    int r = 0;

    snprintf(path, sizeof(path), "%.3000s/proc/swaps", root);
    file = fopen(path, "re");
    while (file && r == 0 && fgets(line, sizeof(line), file)) {
        char device[512];

        if (sscanf(line, "%511s", device) == 1)
            r = use_path(used, root, device, "swap");
    }
    return r;
}

/*
 * The list.
 */

/* "usb1" before "1-1" before "1-1.2" before "1-1.10" */
static int compare(const void *a, const void *b)
{
    const struct jmp_usb_device *one = a, *two = b;
    bool root_one = one->path[0] == 'u', root_two = two->path[0] == 'u';

    if (one->bus != two->bus)
        return one->bus < two->bus ? -1 : 1;
    if (root_one || root_two)
        return (int)root_two - (int)root_one;
    return strverscmp(one->path, two->path);
}

static int read_all(struct jmp_usb_list *list, const char *root, DIR *stream, const char *directory,
                    const struct used *used)
{
    size_t room = 0;
    struct dirent *entry;

    while ((entry = readdir(stream)) && list->count < JMP_USB_DEVICES_MAX) {
        _cleanup_free_ char *real = NULL;
        char path[PATH_MAX];

        if (is_dots(entry->d_name) || !is_device_name(entry->d_name))
            continue;
        snprintf(path, sizeof(path), "%.3000s/%.250s", directory, entry->d_name);
        real = realpath(path, NULL);
        if (!real)
            continue; /* unplugged just now */
        if (list->count == room) {
            struct jmp_usb_device *more = realloc(list->devices, (room + 32) * sizeof(*more));

            if (!more)
                return -ENOMEM;
            list->devices = more;
            room += 32;
        }
        list->devices[list->count] = (struct jmp_usb_device){ 0 };
        snprintf(list->devices[list->count].path, JMP_USB_PATH_MAX, "%.*s", (int)JMP_USB_PATH_MAX - 1, entry->d_name);
        list->devices[list->count].imported = strstr(real, "/vhci_hcd.") != NULL;
        read_device(&list->devices[list->count++], real, used);
    }
    if (list->count > 0)
        qsort(list->devices, list->count, sizeof(*list->devices), compare);
    return 0;
}

int jmp_usb_list_read(const char *root, struct jmp_usb_list **ret)
{
    _cleanup_(jmp_usb_list_freep) struct jmp_usb_list *list = calloc(1, sizeof(*list));
    struct used used = { 0 };
    char path[PATH_MAX];
    DIR *stream;
    int r;

    if (!list)
        return -ENOMEM;
    snprintf(path, sizeof(path), "%.3000s/sys/bus/usb/devices", root);
    stream = opendir(path);
    if (!stream && errno != ENOENT)
        return -errno;
    if (stream) {
        r = read_mounts(&used, root);
        if (r == 0)
            r = read_swaps(&used, root);
        if (r == 0)
            r = read_all(list, root, stream, path, &used);
        used_clear(&used);
        closedir(stream);
        if (r < 0)
            return r;
    }

    *ret = TAKE_PTR(list);
    return 0;
}

struct jmp_usb_list *jmp_usb_list_free(struct jmp_usb_list *list)
{
    if (list)
        free(list->devices);
    free(list);
    return NULL;
}

const struct jmp_usb_device *jmp_usb_at(const struct jmp_usb_list *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->devices[i].path, path) == 0)
            return &list->devices[i];
    return NULL;
}

/*
 * The choice.
 */

int jmp_usb_port_split(const char *path, char rethub[JMP_USB_PATH_MAX], unsigned *retport)
{
    size_t bus = strspn(path, "0123456789"), tiers = 0, last = 0;
    unsigned long port = 0;
    const char *at = path + bus;

    if (bus < 1 || bus > 3 || *at != '-')
        return -EINVAL;
    while (*at == (tiers == 0 ? '-' : '.')) {
        size_t digits = strspn(at + 1, "0123456789");

        port = strtoul(at + 1, NULL, 10);
        if (digits < 1 || digits > 3 || port < 1 || port > 255 || ++tiers > TIERS_MAX)
            return -EINVAL;
        last = (size_t)(at - path);
        at += 1 + digits;
    }
    if (*at)
        return -EINVAL;

    if (tiers == 1)
        snprintf(rethub, JMP_USB_PATH_MAX, "usb%.*s", (int)bus, path);
    else
        snprintf(rethub, JMP_USB_PATH_MAX, "%.*s", (int)last, path);
    *retport = (unsigned)port;
    return 0;
}

int jmp_usb_port_join(const char *hub, unsigned port, char ret[JMP_USB_PATH_MAX])
{
    char path[JMP_USB_PATH_MAX], again[JMP_USB_PATH_MAX];
    bool root = strncmp(hub, "usb", 3) == 0;
    unsigned number;

    if (snprintf(path, sizeof(path), root ? "%s-%u" : "%s.%u", root ? hub + 3 : hub, port) >= (int)sizeof(path) ||
        jmp_usb_port_split(path, again, &number) < 0 || strcmp(again, hub) != 0)
        return -EINVAL;
    strcpy(ret, path);
    return 0;
}

static int parse_id(const char *text, unsigned *retvendor, unsigned *retproduct)
{
    size_t vendor = strspn(text, "0123456789abcdefABCDEF"), product;

    if (vendor < 1 || vendor > 4 || text[vendor] != ':')
        return -EINVAL;
    product = strspn(text + vendor + 1, "0123456789abcdefABCDEF");
    if (product < 1 || product > 4 || text[vendor + 1 + product])
        return -EINVAL;
    *retvendor = (unsigned)strtoul(text, NULL, 16);
    *retproduct = (unsigned)strtoul(text + vendor + 1, NULL, 16);
    return 0;
}

int jmp_usb_selector_check(const struct jmp_usb_selector *selector, struct jmp_error *reterr)
{
    char hub[JMP_USB_PATH_MAX];
    unsigned a, b;

    if (!selector->path && !selector->id && !selector->serial) {
        jmp_error_set(reterr, -EINVAL, "no device is named");
        jmp_error_hint(reterr, "give its port (\"1-1.2\"), its id (\"0483:df11\") or its serial number; "
                               "jmp-agent usb tree shows all three");
        return -EINVAL;
    }
    if (selector->path && jmp_usb_port_split(selector->path, hub, &a) < 0) {
        jmp_error_set(reterr, -EINVAL, "\"%s\" is not the path of a USB port", selector->path);
        jmp_error_hint(reterr, "it looks like 1-1.2: bus, then the ports on the way; jmp-agent usb tree shows them");
        return -EINVAL;
    }
    if (selector->id && parse_id(selector->id, &a, &b) < 0) {
        jmp_error_set(reterr, -EINVAL, "\"%s\" is not a vendor and a product", selector->id);
        jmp_error_hint(reterr, "it looks like 0483:df11, in hexadecimal digits");
        return -EINVAL;
    }
    if (selector->serial && !*selector->serial)
        return jmp_error_set(reterr, -EINVAL, "the serial number is empty");
    return 0;
}

static bool fits(const struct jmp_usb_device *device, const struct jmp_usb_selector *selector)
{
    unsigned vendor = 0, product = 0;

    if (selector->path && strcmp(selector->path, device->path) != 0)
        return false;
    if (selector->serial && strcmp(selector->serial, device->serial) != 0)
        return false;
    return !selector->id ||
           (parse_id(selector->id, &vendor, &product) == 0 && device->vendor == vendor && device->product == product);
}

/* "port 1-1.2 with id 0483:df11" */
static void describe(const struct jmp_usb_selector *selector, char *ret, size_t size)
{
    const struct {
        const char *what, *value;
    } parts[] = {
        { "in port", selector->path },
        { "with id", selector->id },
        { "with serial number", selector->serial },
    };
    size_t used = 0;

    *ret = '\0';
    for (size_t i = 0; i < ELEMENTSOF(parts) && used < size; i++)
        if (parts[i].value)
            used += (size_t)snprintf(ret + used, size - used, " %s %s", parts[i].what, parts[i].value);
}

int jmp_usb_refuse(const struct jmp_usb_device *device, struct jmp_error *reterr)
{
    if (device->hub)
        return jmp_error_set(reterr, -EPERM, "%s is a hub, which is never given away", device->path);
    if (device->imported)
        return jmp_error_set(reterr, -EPERM, "%s came here by USB/IP itself", device->path);
    if (*device->mount) {
        jmp_error_set(reterr, -EPERM, "%s holds a disk that this machine uses (%s)", device->path, device->mount);
        jmp_error_hint(reterr, "unmount it first, if it is not the system's");
        return -EPERM;
    }
    return 0;
}

int jmp_usb_choose(const struct jmp_usb_list *list, const struct jmp_usb_selector *selector,
                   const struct jmp_usb_device **ret, struct jmp_error *reterr)
{
    const struct jmp_usb_device *found = NULL;
    char what[320];
    int r;

    describe(selector, what, sizeof(what));
    for (size_t i = 0; i < list->count; i++) {
        /* A copy of the device that is looked for has its names, but another port. */
        if (!fits(&list->devices[i], selector) || (list->devices[i].imported && !selector->path))
            continue;
        if (found) {
            jmp_error_set(reterr, -ENOTUNIQ, "there are several devices%s: %s and %s", what, found->path,
                          list->devices[i].path);
            jmp_error_hint(reterr, "name the port, or the serial number");
            return -ENOTUNIQ;
        }
        found = &list->devices[i];
    }
    if (!found) {
        jmp_error_set(reterr, -ENODEV, "there is no USB device%s", what);
        jmp_error_hint(reterr, "is it plugged in, and its port switched on? jmp-agent usb tree shows what there is");
        return -ENODEV;
    }
    r = jmp_usb_refuse(found, reterr);
    if (r < 0)
        return r;

    *ret = found;
    return 0;
}
