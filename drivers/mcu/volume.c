/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/mcu/volume.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/text.h"
#include "drivers/stream.h"

#define STALL_LIMIT (300 * JMP_USEC_PER_SEC)
#define LINES_MAX 64u

/* /proc/mounts writes blanks and the like as three octal digits. */
static void unescape(char *text)
{
    char *to = text;

    for (; *text; to++) {
        if (text[0] == '\\' && text[1] && text[2] && text[3]) {
            *to = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 4;
        } else {
            *to = *text++;
        }
    }
    *to = '\0';
}

int jmp_volume_find(const char *root, bool (*fits)(const char *place, const void *user), const void *user, char *ret,
                    struct jmp_error *reterr)
{
    _cleanup_fclose_ FILE *file = NULL;
    _cleanup_free_ char *line = NULL;
    char path[PATH_MAX], where[PATH_MAX], type[64];
    size_t size = 0;
    bool found = false;

    snprintf(path, sizeof(path), "%s/proc/self/mounts", root);
    file = fopen(path, "re");
    if (!file)
        return jmp_error_set(reterr, -errno, "what is mounted cannot be seen: %s: %m", path);
    while (getline(&line, &size, file) >= 0) {
        if (sscanf(line, "%*s %4095s %63s", where, type) != 2 || strcmp(type, "autofs") == 0)
            continue;
        unescape(where);
        if (snprintf(path, sizeof(path), "%s%s", root, where) >= (int)sizeof(path) || !fits(path, user))
            continue;
        if (found && strcmp(ret, path) != 0)
            return jmp_error_set(reterr, -ENOTUNIQ, "%s and %s are both volumes of this kind", ret, path);
        found = true;
        memcpy(ret, path, sizeof(path));
    }
    return found ? 0 : jmp_error_set(reterr, -ENOENT, "no such volume is mounted");
}

bool jmp_volume_has(const char *place, const char *name)
{
    char path[PATH_MAX];
    struct stat info;

    return snprintf(path, sizeof(path), "%s/%s", place, name) < (int)sizeof(path) && stat(path, &info) == 0 &&
           S_ISREG(info.st_mode);
}

/* @text without the blanks around it, and with question marks for what is no UTF-8: it is sent on. */
static char *cleaned(char *text)
{
    char *end = text + strlen(text);

    while (isspace((unsigned char)*text))
        text++;
    while (end > text && isspace((unsigned char)end[-1]))
        *--end = '\0';
    for (char *at = text; at < end;) {
        size_t sequence = jmp_text_sequence(at, (size_t)(end - at));

        if (sequence == 0)
            *at = '?';
        at += sequence ?: 1;
    }
    return text;
}

int jmp_volume_info(const char *place, const char *name, struct jmp_writer *writer)
{
    _cleanup_fclose_ FILE *file = NULL;
    char path[PATH_MAX], line[512];

    if (snprintf(path, sizeof(path), "%s/%s", place, name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    file = fopen(path, "re");
    if (!file)
        return -errno;
    for (unsigned i = 0; i < LINES_MAX && fgets(line, sizeof(line), file); i++) {
        char *value = strchr(line, ':');

        if (!value || value == line)
            continue;
        *value++ = '\0';
        jmp_writer_key(writer, cleaned(line));
        jmp_writer_string(writer, cleaned(value));
    }
    return 0;
}

int jmp_volume_receive(struct jmp_call *call, const char *arg, size_t max, uint8_t **ret, size_t *retsize)
{
    _cleanup_free_ uint8_t *data = NULL;
    size_t used = 0, room = 0;
    int from, r;

    from = jmp_call_fd(call, arg, false);
    if (from < 0)
        return from;
    for (;;) {
        int n;

        if (used == room) {
            uint8_t *longer;

            room = room ? 2 * room : 256 * 1024;
            longer = realloc(data, room);
            if (!longer)
                return -ENOMEM;
            data = longer;
        }
        n = jmp_stream_read(call, from, data + used, room - used, STALL_LIMIT);
        if (n == -ECANCELED)
            return n;
        if (n < 0)
            return jmp_call_fail(call, n, "the file cannot be read after %zu bytes: %m", used);
        if (n == 0)
            break;
        used += (size_t)n;
        if (used > max)
            return jmp_call_fail(call, -EFBIG, "the file is larger than %zu bytes", max);
    }
    r = jmp_call_complete(call);
    if (r < 0)
        return r;
    if (used == 0)
        return jmp_call_fail(call, -EBADMSG, "the file is empty");
    *ret = TAKE_PTR(data);
    *retsize = used;
    return 0;
}

int jmp_volume_write(struct jmp_call *call, const char *place, const char *name, const void *data, size_t size,
                     bool leaves)
{
    _cleanup_close_ int fd = -EBADF;
    const uint8_t *bytes = data;
    char path[PATH_MAX];
    size_t sent = 0;

    if (snprintf(path, sizeof(path), "%s/%s", place, name) >= (int)sizeof(path))
        return jmp_call_fail(call, -ENAMETOOLONG, "the name of the file is too long");
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return jmp_call_fail(call, -errno, "%s cannot be made: %m", path);
    while (sent < size) {
        ssize_t n = write(fd, bytes + sent, size - sent);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return jmp_call_fail(call, -errno, "%s cannot be written after %zu bytes: %m", path, sent);
        sent += (size_t)n;
    }
    if (fsync(fd) < 0 && !(leaves && (errno == EIO || errno == ENODEV || errno == ENXIO)))
        return jmp_call_fail(call, -errno, "%s did not get to the device: %m", path);
    jmp_call_log(call, JMP_LOG_INFO, "%zu bytes written to %s", size, path);
    return 0;
}
