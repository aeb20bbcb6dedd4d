/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/gpio/find.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "drivers/gpio/header.h"

#define DEV "/dev"
#define CHIP_PREFIX "gpiochip"
#define CHIPS_MAX 256

/* What is looked for: a number on the chip, a name, or a GPIO of the header (with its name, for other chips). */
struct wanted {
    bool by_offset;
    unsigned offset;
    const char *name;
    int header;               /* GPIO number, or -1 */
    bool pin;                 /* said by its pin, so that names do not matter */
};

static void read_wanted(const struct jmp_gpio_options *options, struct wanted *ret)
{
    *ret = (struct wanted){ .header = -1 };
    if (options->pin > 0) {
        ret->header = jmp_gpio_header(options->pin, &ret->name);
        ret->pin = true;
    } else if (options->line->kind == JMP_NODE_NUMBER) {
        ret->by_offset = true;
        ret->offset = (unsigned)options->line->number;
    } else {
        ret->name = options->line->string;
        ret->header = jmp_gpio_number(ret->name);
    }
}

void jmp_gpio_place_clear(struct jmp_gpio_place *place)
{
    place->chip = jmp_gpio_chip_close(place->chip);
}

static int place_open(const char *path, struct jmp_gpio_place *ret)
{
    struct jmp_gpio_place place = { 0 };
    int r;

    r = jmp_gpio_chip_open(path, &place.chip);
    if (r < 0)
        return r;
    r = jmp_gpio_chip_info(place.chip, &place.info);
    if (r < 0) {
        jmp_gpio_place_clear(&place);
        return r;
    }

    *ret = place;
    return 0;
}

/* 1: it is here, at place->offset; 0: it is not */
static int place_search(struct jmp_gpio_place *place, const struct wanted *wanted)
{
    bool header = wanted->header >= 0 && (unsigned)wanted->header < place->info.lines &&
                  jmp_gpio_is_header(place->info.label);

    if (wanted->by_offset) {
        place->offset = wanted->offset;
        return wanted->offset < place->info.lines;
    }
    for (unsigned i = 0; i < place->info.lines && !(header && wanted->pin); i++) {
        struct jmp_gpio_line_info line;
        int r = jmp_gpio_line_info(place->chip, i, &line);

        if (r < 0)
            return r;
        if (strcmp(line.name, wanted->name) == 0) {
            place->offset = i;
            return 1;
        }
    }
    place->offset = header ? (unsigned)wanted->header : 0;
    return header;
}

static int is_chip(const struct dirent *entry)
{
    struct stat status;
    char path[PATH_MAX];

    if (strncmp(entry->d_name, CHIP_PREFIX, strlen(CHIP_PREFIX)) != 0)
        return 0;
    /* Pis have links with the numbers of other kernels: each chip once. */
    snprintf(path, sizeof(path), DEV "/%s", entry->d_name);
    return lstat(path, &status) == 0 && S_ISCHR(status.st_mode);
}

struct chips {
    struct dirent **entries;
    int count;
};

static void chips_clear(struct chips *chips)
{
    for (int i = 0; i < chips->count; i++)
        free(chips->entries[i]);
    free(chips->entries);
}

static int chip_failed(const char *path, int error, struct jmp_error *reterr)
{
    /* What is not there may still come. */
    jmp_error_set(reterr, error == -ENOENT ? -ENODEV : error, "%s: %s", path,
                  error == -ENOTTY ? "this is no GPIO chip" : strerror(-error));
    if (error == -EACCES || error == -EPERM)
        jmp_error_hint(reterr, "the agent's user has to be in the group that owns it, usually gpio");
    if (error == -ENOENT)
        jmp_error_hint(reterr, "gpiodetect lists the chips that there are");
    return error == -ENOENT ? -ENODEV : error;
}

/*
 * Looks through all chips. With @device it is the chip that is looked for, else the line. A chip of the header
 * settles it, others have to be the only one.
 */
static int search_all(const char *device, const struct wanted *wanted, struct jmp_gpio_place *ret,
                      struct jmp_error *reterr)
{
    _cleanup_(jmp_gpio_place_clear) struct jmp_gpio_place found = { 0 };
    _cleanup_(chips_clear) struct chips chips = { 0 };
    char path[PATH_MAX], closed[PATH_MAX] = "";
    int error = 0, r;

    chips.count = scandir(DEV, &chips.entries, is_chip, versionsort);
    if (chips.count < 0) {
        chips.count = 0;
        return jmp_error_set(reterr, -errno, DEV ": %m");
    }
    for (int i = 0; i < chips.count && i < CHIPS_MAX; i++) {
        _cleanup_(jmp_gpio_place_clear) struct jmp_gpio_place place = { 0 };

        snprintf(path, sizeof(path), DEV "/%s", chips.entries[i]->d_name);
        r = place_open(path, &place);
        if (r == 0 && device)
            r = strcmp(place.info.name, device) == 0 || strcmp(place.info.label, device) == 0;
        else if (r == 0)
            r = place_search(&place, wanted);
        if (r < 0) {
            error = r;
            snprintf(closed, sizeof(closed), "%s", path);
        }
        if (r <= 0)
            continue;
        if (found.chip && device)
            return jmp_error_set(reterr, -ENOTUNIQ, "both %s and %s are called \"%s\"; write the path of one",
                                 found.info.name, place.info.name, device);
        if (found.chip && !(wanted->pin && jmp_gpio_is_header(place.info.label)))
            return jmp_error_set(reterr, -ENOTUNIQ, "both %s and %s have a line \"%s\"; say which with device",
                                 found.info.name, place.info.name, wanted->name);
        jmp_gpio_place_clear(&found);
        found = place;
        place.chip = NULL;
        if (!device && wanted->pin && jmp_gpio_is_header(found.info.label))
            break;
    }
    if (found.chip) {
        *ret = found;
        found.chip = NULL;
        return 0;
    }
    /* It may be on the one that could not be looked at. */
    if (closed[0])
        return chip_failed(closed, error, reterr);
    if (device) {
        jmp_error_set(reterr, -ENODEV, "no GPIO chip is called \"%.60s\"", device);
        jmp_error_hint(reterr, "gpiodetect lists names and labels");
    } else {
        jmp_error_set(reterr, -ENODEV, "none of %d GPIO chips has a line \"%.60s\"", chips.count, wanted->name);
        jmp_error_hint(reterr, "gpioinfo lists the lines");
    }
    return -ENODEV;
}

static int open_chip(const char *device, struct jmp_gpio_place *ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *real = NULL;
    char path[PATH_MAX];
    int r;

    if (device[0] != '/' && device[strspn(device, "0123456789")] != '\0')
        return search_all(device, NULL, ret, reterr);

    snprintf(path, sizeof(path), "%s%s", device[0] == '/' ? "" : DEV "/" CHIP_PREFIX, device);
    real = realpath(path, NULL);
    r = real ? place_open(real, ret) : -errno;
    return r < 0 ? chip_failed(path, r, reterr) : 0;
}

int jmp_gpio_find(const struct jmp_gpio_options *options, struct jmp_gpio_place *ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_gpio_place_clear) struct jmp_gpio_place place = { 0 };
    struct wanted wanted;
    int r;

    read_wanted(options, &wanted);
    if (!options->device && !wanted.by_offset)
        return search_all(NULL, &wanted, ret, reterr);

    r = open_chip(options->device ? options->device : DEV "/" CHIP_PREFIX "0", &place, reterr);
    if (r < 0)
        return r;
    r = place_search(&place, &wanted);
    if (r < 0)
        return jmp_error_set(reterr, r, "the lines of %s cannot be listed: %m", place.info.name);
    if (r == 0 && wanted.by_offset)
        return jmp_error_set(reterr, -ENODEV, "%s [%s] has no line %u, it has lines 0 to %u", place.info.name,
                             place.info.label, wanted.offset, place.info.lines - 1);
    if (r == 0) {
        jmp_error_set(reterr, -ENODEV, "%s [%s] has no line \"%.60s\"", place.info.name, place.info.label, wanted.name);
        jmp_error_hint(reterr, "gpioinfo lists its lines");
        return -ENODEV;
    }

    *ret = place;
    place.chip = NULL;
    return 0;
}
