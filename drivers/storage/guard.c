/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/guard.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DEVICES_MAX 256u /* of one disk: partitions, and what is on them */
#define DEPTH_MAX 8u

struct devices {
    dev_t ids[DEVICES_MAX];
    size_t count;
};

static bool has(const struct devices *devices, dev_t id)
{
    for (size_t i = 0; i < devices->count; i++)
        if (devices->ids[i] == id)
            return true;
    return false;
}

static void add(struct devices *devices, dev_t id)
{
    if (id != 0 && !has(devices, id) && devices->count < DEVICES_MAX)
        devices->ids[devices->count++] = id;
}

static dev_t read_id(const char *directory)
{
    _cleanup_fclose_ FILE *file = NULL;
    unsigned major_id, minor_id;
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/dev", directory);
    file = fopen(path, "re");
    if (!file || fscanf(file, "%u:%u", &major_id, &minor_id) != 2)
        return 0;
    return makedev(major_id, minor_id);
}

/* /sys/dev/block/M:m as a real path, for its parent is the disk when it is a partition. */
static int sys_path(const char *root, dev_t id, char ret[PATH_MAX])
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/sys/dev/block/%u:%u", root, major(id), minor(id));
    return realpath(path, ret) ? 0 : -errno;
}

/* Calls for each entry of a directory of devices that has a "dev" itself. A missing directory has none. */
static void each(const char *directory, void (*found)(const char *path, void *user), void *user)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;
    char path[PATH_MAX];

    if (!dir)
        return;
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.' &&
            snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) < (int)sizeof(path) && read_id(path) != 0)
            found(path, user);
    closedir(dir);
}

struct walk {
    struct devices *devices;
    const char *under; /* "holders": upwards, "slaves": downwards */
    unsigned depth;
};

static void walk_device(const char *path, void *user);

/* A device, its partitions, and what stands on them (or what it stands on), and so on. */
static void walk_related(const char *path, struct walk *walk)
{
    char real[PATH_MAX], under[PATH_MAX + 16];
    struct walk deeper = { .devices = walk->devices, .under = walk->under, .depth = walk->depth + 1 };

    if (walk->depth > DEPTH_MAX || !realpath(path, real))
        return;
    each(real, walk_device, &deeper);
    snprintf(under, sizeof(under), "%s/%s", real, walk->under);
    each(under, walk_device, &deeper);
}

static void walk_device(const char *path, void *user)
{
    struct walk *walk = user;
    dev_t id = read_id(path);

    if (has(walk->devices, id))
        return;
    add(walk->devices, id);
    walk_related(path, walk);
}

/* The directory of the disk of which @id is a partition, or is itself. */
static int disk_path(const char *root, dev_t id, char ret[PATH_MAX])
{
    char partition[PATH_MAX + 16];
    int r;

    r = sys_path(root, id, ret);
    if (r < 0)
        return r;
    snprintf(partition, sizeof(partition), "%s/partition", ret);
    if (access(partition, F_OK) == 0)
        *strrchr(ret, '/') = '\0';
    return 0;
}

/* What @id stands on, down to whole disks. */
static void find_disks(const char *root, dev_t id, struct devices *disks, unsigned depth)
{
    char path[PATH_MAX], slaves[PATH_MAX + 16];
    struct devices below = { .count = 0 };
    struct walk walk = { .devices = &below, .under = "slaves", .depth = DEPTH_MAX };

    if (depth > DEPTH_MAX || disk_path(root, id, path) < 0)
        return;
    add(disks, read_id(path));
    snprintf(slaves, sizeof(slaves), "%s/slaves", path);
    each(slaves, walk_device, &walk);
    for (size_t i = 0; i < below.count; i++)
        find_disks(root, below.ids[i], disks, depth + 1);
}

static bool is_system_mount(const char *where)
{
    static const char *const places[] = { "/", "/boot", "/boot/firmware", "/boot/efi", "/usr", "/var", "/home" };

    for (size_t i = 0; i < ELEMENTSOF(places); i++)
        if (strcmp(places[i], where) == 0)
            return true;
    return false;
}

/* The device of a mount; a file system with a number of its own (btrfs, overlay) at least names where it lies. */
static dev_t mount_device(const char *root, unsigned major_id, unsigned minor_id, const char *source)
{
    char path[PATH_MAX];
    struct stat info;

    if (major_id != 0)
        return makedev(major_id, minor_id);
    if (source[0] != '/' || snprintf(path, sizeof(path), "%s%s", root, source) >= (int)sizeof(path) ||
        stat(path, &info) < 0 || !S_ISBLK(info.st_mode))
        return 0;
    return info.st_rdev;
}

struct use {
    struct devices mine;   /* the disk in question, all of it */
    struct devices system; /* disks that the system runs from */
    char place[256];       /* where one of mine is mounted */
};

static int read_mounts(const char *root, struct use *use, struct jmp_error *reterr)
{
    _cleanup_fclose_ FILE *file = NULL;
    _cleanup_free_ char *line = NULL;
    char path[PATH_MAX];
    struct stat here;
    size_t size = 0;

    snprintf(path, sizeof(path), "%s/proc/self/mountinfo", root);
    file = fopen(path, "re");
    if (!file)
        return jmp_error_set(reterr, -errno, "whether the device is mounted cannot be found out: %s: %m", path);
    while (getline(&line, &size, file) >= 0) {
        unsigned major_id, minor_id;
        char where[PATH_MAX], source[PATH_MAX];
        const char *rest = strstr(line, " - ");
        dev_t id;

        if (!rest || sscanf(line, "%*u %*u %u:%u %*s %4095s", &major_id, &minor_id, where) != 3 ||
            sscanf(rest, " - %*s %4095s", source) != 1)
            continue;
        id = mount_device(root, major_id, minor_id, source);
        if (id == 0)
            continue;
        if (is_system_mount(where))
            find_disks(root, id, &use->system, 0);
        if (has(&use->mine, id) && !use->place[0])
            snprintf(use->place, sizeof(use->place), "%.200s", where);
    }
    /* In a chroot no line speaks of what / lies on. */
    if (!*root && stat("/", &here) == 0 && major(here.st_dev) != 0)
        find_disks(root, here.st_dev, &use->system, 0);
    return 0;
}

static bool is_swap(const char *root, const struct devices *mine)
{
    _cleanup_fclose_ FILE *file = NULL;
    _cleanup_free_ char *line = NULL;
    char path[PATH_MAX], name[PATH_MAX];
    struct stat info;
    size_t size = 0;

    snprintf(path, sizeof(path), "%s/proc/swaps", root);
    file = fopen(path, "re");
    while (file && getline(&line, &size, file) >= 0)
        if (sscanf(line, "%4095s", name) == 1 && snprintf(path, sizeof(path), "%s%s", root, name) < (int)sizeof(path) &&
            stat(path, &info) == 0 && S_ISBLK(info.st_mode) && has(mine, info.st_rdev))
            return true;
    return false;
}

int jmp_guard_check(const char *root, dev_t device, struct jmp_error *reterr)
{
    struct use use = { .place = "" };
    struct devices family = { .count = 0 };
    struct walk walk = { .devices = &family, .under = "holders" };
    char path[PATH_MAX];
    dev_t disk;
    int r;

    r = disk_path(root, device, path);
    if (r < 0)
        return jmp_error_set(reterr, r, "the kernel does not know the device %u:%u: %m", major(device), minor(device));
    disk = read_id(path);
    walk_device(path, &walk);
    use.mine = family;
    r = read_mounts(root, &use, reterr);
    if (r < 0)
        return r;
    if (has(&use.system, disk))
        return jmp_error_set(reterr, -EPERM, "it is a disk that this machine runs from");
    if (use.place[0])
        return jmp_error_set(reterr, -EBUSY, "it is mounted on %s", use.place);
    if (is_swap(root, &use.mine))
        return jmp_error_set(reterr, -EBUSY, "this machine swaps to it");
    /* Of the same family but not a part of the disk: a volume group, a RAID, an encrypted volume. */
    for (size_t i = 0; i < family.count; i++) {
        char real[PATH_MAX];

        if (sys_path(root, family.ids[i], real) == 0 && strncmp(real, path, strlen(path)) != 0)
            return jmp_error_set(reterr, -EBUSY, "%s stands on it", strrchr(real, '/') + 1);
    }
    return 0;
}
