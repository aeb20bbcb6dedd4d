/* SPDX-License-Identifier: Apache-2.0 */
#include "config/paths.h"

#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#define SYSTEM_DIRECTORY "/etc/jumpstarter"

static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static int set_memory(struct jmp_error *reterr)
{
    return jmp_error_set(reterr, -ENOMEM, "%m");
}

int jmp_paths_user(char **ret, struct jmp_error *reterr)
{
    const char *own = variable("JMP_CLIENT_CONFIG_HOME"), *xdg = variable("XDG_CONFIG_HOME"), *home = variable("HOME");
    char buffer[4096], *path = NULL;
    struct passwd entry, *found = NULL;
    int n;

    if (own) {
        path = strdup(own);
        n = path ? 0 : -1;
    } else if (xdg) {
        n = asprintf(&path, "%s/jumpstarter", xdg);
    } else {
        if (!home && getpwuid_r(getuid(), &entry, buffer, sizeof(buffer), &found) == 0 && found)
            home = found->pw_dir;
        if (!home || !*home) {
            jmp_error_set(reterr, -ENOENT, "there is no home directory to look for configuration in");
            jmp_error_hint(reterr, "set HOME, or JMP_CLIENT_CONFIG_HOME to the directory itself");
            return -ENOENT;
        }
        n = asprintf(&path, "%s/.config/jumpstarter", home);
    }
    if (n < 0)
        return set_memory(reterr);

    *ret = path;
    return 0;
}

static int check_alias(const char *alias, struct jmp_error *reterr)
{
    if (alias[0] && strcmp(alias, ".") != 0 && strcmp(alias, "..") != 0 && !strpbrk(alias, "/\\") &&
        strlen(alias) <= 200)
        return 0;

    jmp_error_set(reterr, -EINVAL, "\"%.60s\" cannot be the name of a configuration", alias);
    jmp_error_hint(reterr, "a name has no slash in it; give a file by its path with the other option");
    return -EINVAL;
}

static int user_file(const char *kind, const char *alias, char **ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *user = NULL;
    char *path;
    int r;

    r = check_alias(alias, reterr);
    if (r < 0)
        return r;
    r = jmp_paths_user(&user, reterr);
    if (r < 0)
        return r;
    if (asprintf(&path, "%s/%s/%s.yaml", user, kind, alias) < 0)
        return set_memory(reterr);

    *ret = path;
    return 0;
}

int jmp_paths_client(const char *alias, char **ret, struct jmp_error *reterr)
{
    return user_file("clients", alias, ret, reterr);
}

int jmp_paths_exporter(const char *alias, char **ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *user = NULL, *system = NULL;
    int r;

    /* A service has no home; then there is only the other place. */
    r = user_file("exporters", alias, &user, reterr);
    if (r < 0 && r != -ENOENT)
        return r;
    if (user && access(user, F_OK) == 0) {
        *ret = TAKE_PTR(user);
        return 0;
    }

    if (asprintf(&system, SYSTEM_DIRECTORY "/exporters/%s.yaml", alias) < 0) {
        system = NULL;
        return set_memory(reterr);
    }
    if (access(system, F_OK) == 0) {
        *ret = TAKE_PTR(system);
        return 0;
    }

    jmp_error_set(reterr, -ENOENT, "there is no exporter configuration \"%s\": neither %s nor %s exists", alias,
                  user ? user : "a file of the user", system);
    jmp_error_hint(reterr, "give a file by its path, or make one: jmp-labd create exporter NAME -o FILE");
    return -ENOENT;
}

/* Makes the directories above @path, which is changed and restored meanwhile. */
static int make_parents(char *path, struct jmp_error *reterr)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        int r;

        *slash = 0;
        r = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
        if (r < 0)
            jmp_error_set(reterr, r, "the directory %s cannot be made: %m", path);
        *slash = '/';
        if (r < 0)
            return r;
    }
    return 0;
}

static int write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, text, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Until the directory is on the disk, a power cut may bring the old file back. */
static int sync_directory(char *path)
{
    _cleanup_close_ int fd = -EBADF;
    char *slash = strrchr(path, '/');

    if (slash == path)
        fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    else if (slash) {
        *slash = 0;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *slash = '/';
    } else {
        fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return -errno;
    /* Some file systems have nothing to sync there. */
    return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

int jmp_file_write(const char *path, const char *text, size_t length, unsigned mode, struct jmp_error *reterr)
{
    _cleanup_free_ char *temporary = NULL;
    _cleanup_close_ int fd = -EBADF;
    int r;

    if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
        temporary = NULL;
        return set_memory(reterr);
    }
    r = make_parents(temporary, reterr);
    if (r < 0)
        return r;

    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return jmp_error_set(reterr, -errno, "%s cannot be written: %m", path);

    r = write_all(fd, text, length);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = -errno;
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(temporary);
        return jmp_error_set(reterr, r, "%s cannot be written: %m", path);
    }

    r = sync_directory(temporary);
    if (r < 0)
        return jmp_error_set(reterr, r, "%s is written, but perhaps not on the disk yet: %m", path);
    return 0;
}

int jmp_file_read(const char *path, size_t max, char **ret, size_t *retlength, struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int fd = -EBADF;
    size_t length = 0, size = 0;
    struct stat st;

    /* Without waiting: a FIFO in this place would hold up the program for ever. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int r = -errno;

        jmp_error_set(reterr, r, "cannot be read: %m");
        jmp_error_at(reterr, path, 0, 0, NULL);
        return r;
    }
    if (!S_ISREG(st.st_mode)) {
        int r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;

        jmp_error_set(reterr, r, S_ISDIR(st.st_mode) ? "is a directory" : "is no regular file");
        jmp_error_at(reterr, path, 0, 0, NULL);
        return r;
    }

    for (;;) {
        ssize_t n;

        if (length == size) {
            char *more;

            /* One byte more than allowed tells a file that is too large; one is for the NUL. */
            size = size == 0 ? 4096 : size * 2;
            if (size > max + 1)
                size = max + 1;
            more = realloc(text, size + 1);
            if (!more)
                return set_memory(reterr);
            text = more;
        }

        n = read(fd, text + length, size - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int r = -errno;

            jmp_error_set(reterr, r, "cannot be read: %m");
            jmp_error_at(reterr, path, 0, 0, NULL);
            return r;
        }
        if (n == 0)
            break;
        length += (size_t)n;
        if (length > max) {
            jmp_error_set(reterr, -EFBIG, "larger than %zu bytes", max);
            jmp_error_at(reterr, path, 0, 0, NULL);
            return -EFBIG;
        }
    }

    text[length] = 0;
    *ret = TAKE_PTR(text);
    *retlength = length;
    return 0;
}
