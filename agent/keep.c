/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keep.h"

#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/uuid.h"

#define LABEL_MAX 255u     /* of the manager */
#define HELD_FIRST 256     /* above where the next process finds them */

struct parked {
    struct parked *next;
    char *label;      /* FDNAME */
    char *path;       /* NULL: from an earlier process, and not taken yet */
    int fd;           /* ours, for whoever comes next */
};

struct jmp_keep {
    pthread_mutex_t lock;
    struct parked *first;
    bool store;       /* there is a manager that keeps descriptors */
};

static struct parked *parked_free(struct parked *parked)
{
    if (parked) {
        jmp_close(parked->fd);
        free(parked->label);
        free(parked->path);
        free(parked);
    }
    return NULL;
}
JMP_DEFINE_CLEANUP(struct parked *, parked_free)

/* The manager takes no colon and no control characters, and names of devices may be anything. */
static int make_label(const char *path, const char *name, char **ret)
{
    _cleanup_free_ char *label = NULL;
    char uuid[JMP_UUID_SIZE];

    if (asprintf(&label, "%s/%s", path, name) < 0) {
        label = NULL;
        return -ENOMEM;
    }
    for (const char *c = label; *c; c++) {
        if (isascii((unsigned char)*c) && isprint((unsigned char)*c) && *c != ':' && c - label < LABEL_MAX)
            continue;
        jmp_uuid_derive("jumpstarter.dev/kept", label, uuid);
        free(label);
        label = strdup(uuid);
        if (!label)
            return -ENOMEM;
        break;
    }
    *ret = TAKE_PTR(label);
    return 0;
}

static struct parked **find(struct jmp_keep *keep, const char *label)
{
    struct parked **at = &keep->first;

    while (*at && strcmp((*at)->label, label) != 0)
        at = &(*at)->next;
    return at;
}

static void unpark(struct jmp_keep *keep, struct parked **at)
{
    struct parked *parked = *at;

    *at = parked->next;
    if (keep->store)
        sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", parked->label);
    parked_free(parked);
}

static int inherit(struct jmp_keep *keep, int fd, const char *label)
{
    _cleanup_(parked_freep) struct parked *parked = calloc(1, sizeof(*parked));

    if (!parked) {
        jmp_close(fd);
        return -ENOMEM;
    }
    parked->fd = fcntl(fd, F_DUPFD_CLOEXEC, HELD_FIRST);
    jmp_close(fd);
    if (parked->fd < 0)
        return -errno;
    parked->label = strdup(label);
    if (!parked->label)
        return -ENOMEM;
    parked->next = keep->first;
    keep->first = TAKE_PTR(parked);
    return 0;
}

int jmp_keep_new(struct jmp_keep **ret)
{
    _cleanup_(jmp_keep_freep) struct jmp_keep *keep = calloc(1, sizeof(*keep));
    const char *size = getenv("FDSTORE");
    char **labels = NULL;
    int n, r = 0;

    if (!keep)
        return -ENOMEM;
    pthread_mutex_init(&keep->lock, NULL);
    /* Managers before 254 do not say how much they keep; those without room drop what they are sent. */
    keep->store = getenv("NOTIFY_SOCKET") && !(size && strcmp(size, "0") == 0);

    n = sd_listen_fds_with_names(true, &labels);
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = inherit(keep, SD_LISTEN_FDS_START + i, labels[i]);
        free(labels[i]);
    }
    free(labels);
    /* -EINVAL: what the environment says makes no sense. Then nothing was handed over. */
    if (n == -ENOMEM || r < 0)
        return r < 0 ? r : n;

    *ret = TAKE_PTR(keep);
    return 0;
}

struct jmp_keep *jmp_keep_free(struct jmp_keep *keep)
{
    if (!keep)
        return NULL;

    while (keep->first) {
        struct parked *parked = keep->first;

        keep->first = parked->next;
        parked_free(parked);
    }
    pthread_mutex_destroy(&keep->lock);
    free(keep);
    return NULL;
}

static int put_locked(struct jmp_keep *keep, struct parked *parked)
{
    _cleanup_free_ char *words = NULL;
    struct parked **old = find(keep, parked->label);
    int r = 0;

    if (*old)
        unpark(keep, old);
    if (keep->store && asprintf(&words, "FDSTORE=1\nFDNAME=%s", parked->label) < 0) {
        words = NULL;
        return -ENOMEM;
    }
    if (keep->store)
        r = sd_pid_notify_with_fds(0, 0, words, &parked->fd, 1);
    if (r < 0)
        return r;

    parked->next = keep->first;
    keep->first = parked;
    return r > 0;
}

int jmp_keep_put(struct jmp_keep *keep, const char *path, const char *name, int fd)
{
    _cleanup_(parked_freep) struct parked *parked = NULL;
    int r;

    parked = calloc(1, sizeof(*parked));
    if (!parked)
        return -ENOMEM;
    parked->fd = fcntl(fd, F_DUPFD_CLOEXEC, HELD_FIRST);
    if (parked->fd < 0)
        return -errno;
    parked->path = strdup(path);
    if (!parked->path)
        return -ENOMEM;
    r = make_label(path, name, &parked->label);
    if (r < 0)
        return r;

    pthread_mutex_lock(&keep->lock);
    r = put_locked(keep, parked);
    pthread_mutex_unlock(&keep->lock);
    if (r >= 0)
        TAKE_PTR(parked);
    return r;
}

int jmp_keep_take(struct jmp_keep *keep, const char *path, const char *name)
{
    _cleanup_free_ char *label = NULL, *copy = strdup(path);
    struct parked *parked;
    int fd = -ENOENT, r;

    if (!copy)
        return -ENOMEM;
    r = make_label(path, name, &label);
    if (r < 0)
        return r;

    pthread_mutex_lock(&keep->lock);
    parked = *find(keep, label);
    if (parked && !parked->path) {
        fd = fcntl(parked->fd, F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START);
        if (fd < 0)
            fd = -errno;
        else
            parked->path = TAKE_PTR(copy);
    }
    pthread_mutex_unlock(&keep->lock);
    return fd;
}

void jmp_keep_drop(struct jmp_keep *keep, const char *path, const char *name)
{
    _cleanup_free_ char *label = NULL;

    if (name && make_label(path, name, &label) < 0)
        return;   /* it goes with the rest when the device does */

    pthread_mutex_lock(&keep->lock);
    for (struct parked **at = &keep->first; *at;) {
        struct parked *parked = *at;

        if (parked->path && strcmp(parked->path, path) == 0 && (!label || strcmp(parked->label, label) == 0))
            unpark(keep, at);
        else
            at = &parked->next;
    }
    pthread_mutex_unlock(&keep->lock);
}

unsigned jmp_keep_settle(struct jmp_keep *keep)
{
    unsigned dropped = 0;

    pthread_mutex_lock(&keep->lock);
    for (struct parked **at = &keep->first; *at;) {
        if ((*at)->path) {
            at = &(*at)->next;
            continue;
        }
        unpark(keep, at);
        dropped++;
    }
    pthread_mutex_unlock(&keep->lock);
    return dropped;
}

/* One label after the other, with colons between. */
static int set_labels(const struct jmp_keep *keep)
{
    _cleanup_free_ char *labels = NULL;
    size_t size;
    FILE *stream = open_memstream(&labels, &size);
    int r;

    if (!stream)
        return -ENOMEM;
    for (const struct parked *parked = keep->first; parked; parked = parked->next)
        fprintf(stream, "%s%s", parked->label, parked->next ? ":" : "");
    if (fclose(stream) != 0)
        return -ENOMEM;
    r = setenv("LISTEN_FDNAMES", labels, 1);
    return r < 0 ? -errno : 0;
}

int jmp_keep_exec(struct jmp_keep *keep, char *const *argv)
{
    char number[16];
    int n = 0, r;

    /* Nobody else runs any more, and what lies in the way is closed by the exec anyway. */
    for (const struct parked *parked = keep->first; parked; parked = parked->next, n++) {
        int fd = SD_LISTEN_FDS_START + n;

        if (fd >= HELD_FIRST || dup2(parked->fd, fd) < 0)
            return fd >= HELD_FIRST ? -EMFILE : -errno;
    }
    if (n > 0) {
        r = set_labels(keep);
        if (r < 0)
            return r;
        snprintf(number, sizeof(number), "%d", getpid());
        setenv("LISTEN_PID", number, 1);
        snprintf(number, sizeof(number), "%d", n);
        setenv("LISTEN_FDS", number, 1);
    }
    execv(argv[0], argv);
    return -errno;
}
