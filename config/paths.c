/* SPDX-License-Identifier: Apache-2.0 */
#include "config/paths.h"

#include <dirent.h>
#include <pwd.h>
#include <string.h>

#define SYSTEM_DIRECTORY "/etc/jumpstarter"
#define ALIASES_MAX 1000u

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

int jmp_paths_user_exporter(const char *alias, char **ret, struct jmp_error *reterr)
{
    return user_file("exporters", alias, ret, reterr);
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
    jmp_error_hint(reterr, "give a file by its path, or make one: jmp-labd create exporter NAME --out FILE");
    return -ENOENT;
}

/* Into @list, in order; one that is there already is the same one. */
static int add_alias(struct jmp_tree *tree, struct jmp_node *list, const char *name, size_t length)
{
    struct jmp_node *alias = jmp_node_new(tree, JMP_NODE_STRING), **at = &list->first;

    if (!alias || !(alias->string = jmp_tree_strdup(tree, name, length)))
        return -ENOMEM;
    while (*at && strcmp((*at)->string, alias->string) < 0)
        at = &(*at)->next;
    if (*at && strcmp((*at)->string, alias->string) == 0)
        return 0;
    alias->next = *at;
    *at = alias;
    if (!alias->next)
        list->last = alias;
    list->count++;
    return 0;
}

static int add_aliases(struct jmp_tree *tree, struct jmp_node *list, const char *directory, struct jmp_error *reterr)
{
    const struct dirent *entry;
    DIR *dir = opendir(directory);
    int r = 0;

    if (!dir)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES
                   ? 0
                   : jmp_error_set(reterr, -errno, "%s: %m", directory);
    while (r == 0 && (entry = readdir(dir))) {
        size_t length = strlen(entry->d_name);

        if (length > strlen(".yaml") && *entry->d_name != '.' &&
            strcmp(entry->d_name + length - strlen(".yaml"), ".yaml") == 0)
            r = add_alias(tree, list, entry->d_name, length - strlen(".yaml"));
        if (r == 0 && list->count > ALIASES_MAX)
            r = jmp_error_set(reterr, -E2BIG, "%s holds more than %u files", directory, ALIASES_MAX);
    }
    closedir(dir);
    return r == -ENOMEM ? set_memory(reterr) : r;
}

int jmp_paths_aliases(bool exporters, struct jmp_tree *tree, const struct jmp_node **ret, struct jmp_error *reterr)
{
    struct jmp_node *list = jmp_node_new(tree, JMP_NODE_LIST);
    _cleanup_free_ char *user = NULL, *directory = NULL;
    int r;

    if (!list)
        return set_memory(reterr);
    r = jmp_paths_user(&user, exporters ? NULL : reterr);
    if (r < 0 && !(exporters && r == -ENOENT))
        return r;
    if (user) {
        if (asprintf(&directory, "%s/%s", user, exporters ? "exporters" : "clients") < 0) {
            directory = NULL;
            return set_memory(reterr);
        }
        r = add_aliases(tree, list, directory, reterr);
        if (r < 0)
            return r;
    }
    if (exporters) {
        r = add_aliases(tree, list, SYSTEM_DIRECTORY "/exporters", reterr);
        if (r < 0)
            return r;
    }
    *ret = list;
    return 0;
}
