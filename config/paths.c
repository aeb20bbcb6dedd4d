/* SPDX-License-Identifier: Apache-2.0 */
#include "config/paths.h"

#include <pwd.h>
#include <string.h>

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
