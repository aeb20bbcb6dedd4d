/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

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
        return jmp_error_set(reterr, -ENOMEM, "%m");
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
                return jmp_error_set(reterr, -ENOMEM, "%m");
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
