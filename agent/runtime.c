/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/runtime.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>

#define HOOK_SOCKET "hook.sock"
#define CONTROL_SOCKET "control.sock"
#define LOCK "lock"
#define TOOLS "bin"
#define LEASE "lease"

/* A directory only we may enter; made if missing. Return: 1 made, 0 there already. */
static int make_private(const char *path, struct jmp_error *reterr)
{
    struct stat st;

    if (mkdir(path, 0700) == 0)
        return 1;
    if (errno != EEXIST)
        return jmp_error_set(reterr, -errno, "%s cannot be made: %m", path);
    if (lstat(path, &st) < 0)
        return jmp_error_set(reterr, -errno, "%s: %m", path);
    if (!S_ISDIR(st.st_mode))
        return jmp_error_set(reterr, -ENOTDIR, "%s is not a directory", path);
    if (st.st_uid != geteuid()) {
        jmp_error_set(reterr, -EPERM, "%s belongs to another user", path);
        jmp_error_hint(reterr, "set XDG_RUNTIME_DIR to a directory of your own");
        return -EPERM;
    }
    if ((st.st_mode & 077) != 0 && chmod(path, 0700) < 0)
        return jmp_error_set(reterr, -errno, "%s is open to others: %m", path);
    return 0;
}

/* Names come from a file: no slash, and no leading dot, may lead out of the directory. */
static void clean_name(char *name)
{
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
            *c = '_';
    if (*name == '.')
        *name = '_';
}

static int choose(const char *name, char **retparent, char **retdirectory)
{
    const char *given = getenv("RUNTIME_DIRECTORY"), *xdg = getenv("XDG_RUNTIME_DIR"), *tmp = getenv("TMPDIR");
    _cleanup_free_ char *clean = strdup(name), *parent = NULL;
    int n;

    if (!clean)
        return -ENOMEM;
    clean_name(clean);
    if (given && *given == '/') {
        *retdirectory = strndup(given, strcspn(given, ":"));   /* made by systemd */
        return *retdirectory ? 0 : -ENOMEM;
    }
    if (geteuid() == 0 && !(xdg && *xdg == '/'))
        n = asprintf(&parent, "/run/jmp-agent");
    else if (xdg && *xdg == '/')
        n = asprintf(&parent, "%s/jmp-agent", xdg);
    else
        n = asprintf(&parent, "%s/jmp-agent-%u", tmp && *tmp == '/' ? tmp : "/tmp", (unsigned)geteuid());
    if (n < 0) {
        parent = NULL;
        return -ENOMEM;
    }
    if (asprintf(retdirectory, "%s/%s", parent, clean) < 0) {
        *retdirectory = NULL;
        return -ENOMEM;
    }
    *retparent = TAKE_PTR(parent);
    return 0;
}

/* Our own directory's jmpctl, or one in the path; without any, hooks have no j of ours. */
static int find_ctl(char **ret)
{
    _cleanup_free_ char *self = realpath("/proc/self/exe", NULL);
    const char *path = getenv("PATH") ?: "";
    char *slash = self ? strrchr(self, '/') : NULL;

    if (slash) {
        *slash = '\0';
        if (asprintf(ret, "%s/jmpctl", self) < 0)
            return -ENOMEM;
        if (access(*ret, X_OK) == 0)
            return 0;
        free(*ret);
    }
    for (size_t n; *path; path += n + (path[n] == ':')) {
        n = strcspn(path, ":");
        if (asprintf(ret, "%.*s/jmpctl", (int)n, path) < 0)
            return -ENOMEM;
        if (*path == '/' && access(*ret, X_OK) == 0)
            return 0;
        free(*ret);
    }
    *ret = NULL;
    return -ENOENT;
}

static int make_tools(const struct jmp_runtime *runtime, struct jmp_error *reterr)
{
    _cleanup_free_ char *ctl = NULL, *link = NULL;
    int r;

    r = find_ctl(&ctl);
    if (r == -ENOENT)
        return 0;
    if (r < 0 || asprintf(&link, "%s/j", runtime->tools) < 0)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    r = make_private(runtime->tools, reterr);
    if (r < 0)
        return r;
    if (unlink(link) < 0 && errno != ENOENT)
        return jmp_error_set(reterr, -errno, "%s: %m", link);
    if (symlink(ctl, link) < 0)
        return jmp_error_set(reterr, -errno, "%s cannot be made: %m", link);
    return 0;
}

static void remove_tools(const struct jmp_runtime *runtime)
{
    _cleanup_free_ char *link = NULL;

    if (asprintf(&link, "%s/j", runtime->tools) < 0)
        return;
    unlink(link);
    rmdir(runtime->tools);
}

static int make_directories(const struct jmp_runtime *runtime, struct jmp_error *reterr)
{
    int r;

    /* Another exporter that ends takes the parent away with its own directory, perhaps just now. */
    for (unsigned tries = 0; runtime->parent && tries < 3; tries++) {
        r = make_private(runtime->parent, reterr);
        if (r < 0)
            return r;
        if (make_private(runtime->directory, NULL) != -ENOENT)
            break;
    }
    r = make_private(runtime->directory, reterr);
    return r < 0 ? r : 0;
}

int jmp_runtime_open(const char *name, struct jmp_runtime **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_runtime_freep) struct jmp_runtime *runtime = calloc(1, sizeof(*runtime));
    int r;

    if (!runtime)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    runtime->lock = -EBADF;

    if (choose(name, &runtime->parent, &runtime->directory) < 0 ||
        asprintf(&runtime->hook_socket, "%s/" HOOK_SOCKET, runtime->directory) < 0 ||
        asprintf(&runtime->control_socket, "%s/" CONTROL_SOCKET, runtime->directory) < 0 ||
        asprintf(&runtime->tools, "%s/" TOOLS, runtime->directory) < 0 ||
        asprintf(&runtime->lease_file, "%s/" LEASE, runtime->directory) < 0 ||
        asprintf(&runtime->lock_path, "%s/" LOCK, runtime->directory) < 0)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    /* The longer of the two. */
    if (strlen(runtime->control_socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        jmp_error_set(reterr, -ENAMETOOLONG, "%s is too long for a socket", runtime->control_socket);
        jmp_error_hint(reterr, "shorten the exporter's name, or set XDG_RUNTIME_DIR to a shorter path");
        return -ENAMETOOLONG;
    }

    r = make_directories(runtime, reterr);
    if (r < 0)
        return r;

    runtime->lock = open(runtime->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (runtime->lock < 0)
        return jmp_error_set(reterr, -errno, "%s: %m", runtime->lock_path);
    if (flock(runtime->lock, LOCK_EX | LOCK_NB) < 0) {
        r = errno == EWOULDBLOCK ? -EBUSY : -errno;
        runtime->lock = jmp_close(runtime->lock);
        if (r != -EBUSY)
            return jmp_error_set(reterr, r, "%s: %m", runtime->lock_path);
        jmp_error_set(reterr, r, "exporter %s runs on this machine already", name);
        jmp_error_hint(reterr, "stop it first, or give this one another metadata.name; its lock is %s",
                       runtime->lock_path);
        return r;
    }

    r = make_tools(runtime, reterr);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(runtime);
    return 0;
}

struct jmp_runtime *jmp_runtime_free(struct jmp_runtime *runtime)
{
    if (!runtime)
        return NULL;

    /* Only who holds the lock may take anything away. */
    if (runtime->lock >= 0) {
        unlink(runtime->hook_socket);
        unlink(runtime->control_socket);
        remove_tools(runtime);
        unlink(runtime->lock_path);
        if (runtime->parent) {
            rmdir(runtime->directory);
            rmdir(runtime->parent);   /* not while others are in it */
        }
        jmp_close(runtime->lock);
    }
    free(runtime->parent);
    free(runtime->directory);
    free(runtime->hook_socket);
    free(runtime->control_socket);
    free(runtime->tools);
    free(runtime->lease_file);
    free(runtime->lock_path);
    free(runtime);
    return NULL;
}
