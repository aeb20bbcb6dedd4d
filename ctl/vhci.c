/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/vhci.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define SYSFS "/sys/devices/platform/vhci_hcd.0"
#define RECORDS "/run/vhci_hcd"
#define STATE_FREE 4u /* VDEV_ST_NULL in the kernel's header */
#define STATE_USED 6u
#define SUPER_SPEED 5u

static void path_of(const char *root, const char *name, char ret[PATH_MAX])
{
    snprintf(ret, PATH_MAX, "%.3000s" SYSFS "/%s", root, name);
}

static void record_of(const char *root, unsigned port, char ret[PATH_MAX])
{
    snprintf(ret, PATH_MAX, "%.3000s" RECORDS "/port%u", root, port);
}

static void read_record(const char *root, struct jmp_vhci_port *port)
{
    _cleanup_fclose_ FILE *file = NULL;
    char path[PATH_MAX];

    record_of(root, port->number, path);
    file = fopen(path, "re");
    if (!file || fscanf(file, "%255s %*s %31s", port->from, port->remote) != 2)
        *port->from = *port->remote = '\0';
}

/* hub port sta spd dev      sockfd local_busid
 * hs  0000 006 002 00010002 000003 4-1 */
static int read_status(const char *root, FILE *file, struct jmp_vhci_port ret[JMP_VHCI_PORTS_MAX], size_t *count,
                       struct jmp_error *reterr)
{
    char line[256];

    while (fgets(line, sizeof(line), file)) {
        struct jmp_vhci_port port = { 0 };
        char hub[8];
        unsigned state;

        if (strncmp(line, "hub", 3) == 0)
            continue;
        if (*count >= JMP_VHCI_PORTS_MAX)
            return 0;
        if (sscanf(line, "%7s %u %u %*u %x %*u %31s", hub, &port.number, &state, &port.device, port.busid) != 5)
            return jmp_error_set(reterr, -EPROTO, "the kernel's list of virtual ports is not understood: %.60s", line);
        port.super = strcmp(hub, "ss") == 0;
        port.used = state != STATE_FREE;
        if (state != STATE_USED)
            *port.busid = '\0';
        if (port.used)
            read_record(root, &port);
        ret[(*count)++] = port;
    }
    return 0;
}

static int no_vhci(struct jmp_error *reterr)
{
    jmp_error_set(reterr, -ENODEV, "this machine's kernel has no virtual USB host controller now");
    jmp_error_hint(reterr, "sudo modprobe vhci-hcd");
    return -ENODEV;
}

int jmp_vhci_ports(const char *root, struct jmp_vhci_port ret[JMP_VHCI_PORTS_MAX], size_t *retcount,
                   struct jmp_error *reterr)
{
    size_t count = 0;
    int r = 0;

    /* "status", then, of further controllers, "status.1", "status.2", ... */
    for (unsigned i = 0; r == 0; i++) {
        _cleanup_fclose_ FILE *file = NULL;
        char name[32], path[PATH_MAX];

        snprintf(name, sizeof(name), i == 0 ? "status" : "status.%u", i);
        path_of(root, name, path);
        file = fopen(path, "re");
        if (!file && i == 0)
            return no_vhci(reterr);
        if (!file)
            break;
        r = read_status(root, file, ret, &count, reterr);
    }
    if (r == 0)
        *retcount = count;
    return r;
}

static int no_access(struct jmp_error *reterr)
{
    jmp_error_set(reterr, -EACCES, "only root may plug devices into this machine");
    jmp_error_hint(reterr, "sudo --preserve-env jmpctl usb ...");
    return -EACCES;
}

int jmp_vhci_check(const char *root, struct jmp_error *reterr)
{
    char path[PATH_MAX];

    path_of(root, "attach", path);
    if (access(path, F_OK) < 0)
        return no_vhci(reterr);
    return access(path, W_OK) < 0 ? no_access(reterr) : 0;
}

static int write_line(const char *root, const char *name, const char *line)
{
    _cleanup_close_ int fd = -EBADF;
    char path[PATH_MAX];

    path_of(root, name, path);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, line, strlen(line)) < 0 ? -errno : 0;
}

/* What it says helps people; without it everything works. */
static void record(const char *root, unsigned port, const char *from, const char *remote)
{
    _cleanup_fclose_ FILE *file = NULL;
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%.3000s" RECORDS, root);
    mkdir(path, 0700);
    record_of(root, port, path);
    file = fopen(path, "we");
    if (file)
        fprintf(file, "%s 0 %s\n", from, remote);
}

int jmp_vhci_attach(const char *root, int fd, uint32_t device, uint32_t speed, const char *from, const char *remote,
                    unsigned *retport, struct jmp_error *reterr)
{
    struct jmp_vhci_port ports[JMP_VHCI_PORTS_MAX];
    size_t count;
    int r;

    r = jmp_vhci_check(root, reterr);
    if (r == 0)
        r = jmp_vhci_ports(root, ports, &count, reterr);
    if (r < 0)
        return r;

    for (size_t i = 0; i < count; i++) {
        char line[64];

        if (ports[i].used || ports[i].super != (speed >= SUPER_SPEED))
            continue;
        snprintf(line, sizeof(line), "%u %d %u %u", ports[i].number, fd, device, speed);
        r = write_line(root, "attach", line);
        if (r == -EBUSY)
            continue; /* somebody was faster */
        if (r == -EACCES || r == -EPERM)
            return no_access(reterr);
        if (r < 0)
            return jmp_error_set(reterr, r, "the kernel does not take the device: %m");
        record(root, ports[i].number, from, remote);
        *retport = ports[i].number;
        return 0;
    }
    return jmp_error_set(reterr, -EBUSY, "no virtual port for USB %s is free", speed >= SUPER_SPEED ? "3" : "1 and 2");
}

int jmp_vhci_detach(const char *root, unsigned port, struct jmp_error *reterr)
{
    char line[16];
    int r;

    r = jmp_vhci_check(root, reterr);
    if (r < 0)
        return r;
    /* First, for whoever attached it: so that it is not taken for an unplug and attached again. */
    jmp_vhci_forget(root, port);
    snprintf(line, sizeof(line), "%u", port);
    r = write_line(root, "detach", line);
    if (r == -EINVAL)
        return jmp_error_set(reterr, -ENOENT, "there is nothing in virtual port %u", port);
    if (r == -EACCES || r == -EPERM)
        return no_access(reterr);
    return r < 0 ? jmp_error_set(reterr, r, "virtual port %u cannot be detached: %m", port) : 0;
}

bool jmp_vhci_is_recorded(const char *root, unsigned port)
{
    char path[PATH_MAX];

    record_of(root, port, path);
    return access(path, F_OK) == 0;
}

void jmp_vhci_forget(const char *root, unsigned port)
{
    char path[PATH_MAX];

    record_of(root, port, path);
    unlink(path);
}
