/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A class from a shared object says how large it and its rows were when it was compiled. It is copied into rows of
 * today, so that the rest of the agent never sees an old layout; what is new reads as zero.
 */
#include "agent/plugin.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "drivers/registry.h"

#define PLUGIN_SYMBOL "jmp_plugin_drivers"
#define CLASSES_MAX 256u          /* of one file */
#define ROWS_MAX 256u             /* options, methods or children of a class */
#define SELF_MAX (1024u * 1024)   /* bytes of self */
#define DEPTH_MAX 8u              /* children of children */

struct loaded {
    struct loaded *next;
    void *handle;
    struct jmp_tree *tree;        /* the copies */
    size_t count;
    const struct jmp_driver_class *classes[];
};

struct jmp_plugins {
    struct loaded *first, *last;
};

struct copier {
    struct jmp_tree *tree;
    struct jmp_error *error;
    unsigned depth;
};

static bool is_zero(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

/* One struct of another age into one of today. */
static int copy_row(struct copier *c, void *to, size_t to_size, const void *from, size_t from_size, const char *what)
{
    if (from_size > to_size && !is_zero((const char *)from + to_size, from_size - to_size))
        return jmp_error_set(c->error, -EPROTO, "%s uses something that this agent is too old for", what);
    memset(to, 0, to_size);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
    return 0;
}

/* Rows up to the one that starts with a NULL pointer, as all of ours do; the copy ends the same way. */
static int copy_rows(struct copier *c, const void *from, size_t from_size, size_t to_size, size_t least,
                     const char *what, const void **ret)
{
    size_t count = 0;
    char *to;
    int r;

    *ret = NULL;
    if (!from)
        return 0;
    if (from_size < least || from_size % sizeof(void *) != 0)
        return jmp_error_set(c->error, -EPROTO, "%s has rows of impossible size %zu", what, from_size);
    while (*(const void *const *)((const char *)from + count * from_size))
        if (++count > ROWS_MAX)
            return jmp_error_set(c->error, -EPROTO, "%s does not end", what);

    to = jmp_tree_alloc(c->tree, (count + 1) * to_size);
    if (!to)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        r = copy_row(c, to + i * to_size, to_size, (const char *)from + i * from_size, from_size, what);
        if (r < 0)
            return r;
    }
    *ret = to;
    return 0;
}

static size_t field_size(enum jmp_type type)
{
    switch (type) {
    case JMP_BOOL: return sizeof(bool);
    case JMP_UINT: return sizeof(unsigned);
    case JMP_NUMBER: return sizeof(double);
    case JMP_STRING:
    case JMP_NODE:
    case JMP_STRINGS: return sizeof(void *);
    }
    return SIZE_MAX;
}

static int check_methods(struct copier *c, const struct jmp_driver_class *driver)
{
    for (const struct jmp_method *method = driver->methods; method && method->name; method++) {
        unsigned functions = !!method->call + !!method->items + !!method->open + !!method->serve;

        if (functions != 1)
            return jmp_error_set(c->error, -EPROTO, "method %s of %s has %u functions instead of one", method->name,
                                 driver->name, functions);
        if ((method->shared && !method->open) || (method->quick && !method->call && !method->items))
            return jmp_error_set(c->error, -EPROTO, "method %s of %s: shared is for open, quick for call and items",
                                 method->name, driver->name);
    }
    return 0;
}

static int check_class(struct copier *c, const struct jmp_driver_class *driver)
{
    if (!driver->name || !driver->name[0] || !driver->client || !driver->kind)
        return jmp_error_set(c->error, -EPROTO, "a driver class lacks its name, client or kind");
    if (driver->size > SELF_MAX)
        return jmp_error_set(c->error, -EPROTO, "driver %s wants %zu bytes for itself", driver->name, driver->size);
    for (const struct jmp_option *row = driver->options; row && row->key; row++) {
        size_t size = field_size(row->type);

        if (size > driver->size || row->offset > driver->size - size)
            return jmp_error_set(c->error, -EPROTO, "option %s of %s lies outside of its struct", row->key,
                                 driver->name);
    }
    return check_methods(c, driver);
}

static int copy_class(struct copier *c, const struct jmp_driver_class *from, const struct jmp_driver_class **ret);

static int copy_children(struct copier *c, struct jmp_driver_class *driver)
{
    const void *rows;
    int r;

    r = copy_rows(c, driver->children, sizeof(struct jmp_child), sizeof(struct jmp_child), sizeof(struct jmp_child),
                  "the list of children", &rows);
    if (r < 0)
        return r;
    driver->children = rows;
    for (struct jmp_child *child = (struct jmp_child *)rows; child && child->name; child++) {
        if (!child->driver || c->depth >= DEPTH_MAX)
            return jmp_error_set(c->error, -EPROTO, "child %s of %s has no class, or too many levels of them",
                                 child->name, driver->name);
        c->depth++;
        r = copy_class(c, child->driver, &child->driver);
        c->depth--;
        if (r < 0)
            return r;
    }
    return 0;
}

static int copy_class(struct copier *c, const struct jmp_driver_class *from, const struct jmp_driver_class **ret)
{
    /* What no class of this ABI can do without; all behind it may be missing. */
    const size_t class_least = offsetof(struct jmp_driver_class, close) + sizeof(void *);
    const size_t option_least = offsetof(struct jmp_option, help) + sizeof(void *);
    const size_t method_least = offsetof(struct jmp_method, serve) + sizeof(void *);
    struct jmp_driver_class *driver = jmp_tree_alloc(c->tree, sizeof(*driver));
    const void *rows;
    int r;

    if (!driver)
        return -ENOMEM;
    if (from->abi != JMP_DRIVER_ABI)
        return jmp_error_set(c->error, -EPROTO, "a driver class has ABI %zu, this agent has %u", from->abi,
                             JMP_DRIVER_ABI);
    if (from->class_size < class_least)
        return jmp_error_set(c->error, -EPROTO, "a driver class has the impossible size %zu", from->class_size);
    r = copy_row(c, driver, sizeof(*driver), from, from->class_size, "a driver class");
    if (r < 0)
        return r;

    r = copy_rows(c, from->options, from->option_size, sizeof(struct jmp_option), option_least, "the list of options",
                  &rows);
    if (r < 0)
        return r;
    driver->options = rows;
    r = copy_rows(c, from->methods, from->method_size, sizeof(struct jmp_method), method_least, "the list of methods",
                  &rows);
    if (r < 0)
        return r;
    driver->methods = rows;
    driver->class_size = sizeof(*driver);
    driver->option_size = sizeof(struct jmp_option);
    driver->method_size = sizeof(struct jmp_method);

    r = check_class(c, driver);
    if (r < 0)
        return r;
    r = copy_children(c, driver);
    if (r < 0)
        return r;
    *ret = driver;
    return 0;
}

static struct loaded *loaded_free(struct loaded *loaded)
{
    if (!loaded)
        return NULL;
    jmp_tree_free(loaded->tree);
    /* Its code stays mapped (RTLD_NODELETE): a driver that never returned may still be in it. */
    if (loaded->handle)
        dlclose(loaded->handle);
    free(loaded);
    return NULL;
}
JMP_DEFINE_CLEANUP(struct loaded *, loaded_free)

static bool has_name(const struct jmp_driver_class *driver, const char *type)
{
    return strcmp(driver->name, type) == 0 || (driver->python_type && strcmp(driver->python_type, type) == 0);
}

static const struct jmp_driver_class *find_exact(const struct jmp_plugins *plugins, const char *type)
{
    for (size_t i = 0; jmp_builtin_drivers[i]; i++)
        if (has_name(jmp_builtin_drivers[i], type))
            return jmp_builtin_drivers[i];
    for (const struct loaded *loaded = plugins ? plugins->first : NULL; loaded; loaded = loaded->next)
        for (size_t i = 0; i < loaded->count; i++)
            if (has_name(loaded->classes[i], type))
                return loaded->classes[i];
    return NULL;
}

static int problem(struct jmp_problems *problems, const char *path, struct jmp_error *error)
{
    jmp_error_at(error, path, 0, 0, NULL);
    return jmp_problems_add(problems, true, error);
}

static bool name_is_taken(const struct jmp_plugins *plugins, const struct loaded *loaded,
                          const struct jmp_driver_class *driver)
{
    if (find_exact(plugins, driver->name) || (driver->python_type && find_exact(plugins, driver->python_type)))
        return true;
    for (size_t i = 0; i < loaded->count; i++)
        if (has_name(loaded->classes[i], driver->name) ||
            (driver->python_type && has_name(loaded->classes[i], driver->python_type)))
            return true;
    return false;
}

static int load_classes(struct jmp_plugins *plugins, struct loaded *loaded,
                        const struct jmp_driver_class *const *classes, const char *path, struct jmp_problems *problems)
{
    for (size_t i = 0; classes[i]; i++) {
        struct jmp_error error = JMP_ERROR_INIT;
        struct copier copier = { .tree = loaded->tree, .error = &error };
        const struct jmp_driver_class *driver;
        int r;

        if (i >= CLASSES_MAX) {
            jmp_error_set(&error, -E2BIG, "more than %u driver classes in one file; the rest is left out", CLASSES_MAX);
            return problem(problems, path, &error);
        }
        r = copy_class(&copier, classes[i], &driver);
        if (r == -ENOMEM)
            return r;
        if (r == 0 && name_is_taken(plugins, loaded, driver)) {
            jmp_error_set(&error, -EEXIST, "there is a driver %s already; this one is left out", driver->name);
            r = -EEXIST;
        }
        if (r < 0) {
            if (r == -EPROTO)
                jmp_error_hint(&error, "rebuild the plug-in with the headers of this agent");
            r = problem(problems, path, &error);
            if (r < 0)
                return r;
            continue;
        }
        loaded->classes[loaded->count++] = driver;
    }
    return 0;
}

static int load_file(struct jmp_plugins *plugins, const char *path, struct jmp_problems *problems)
{
    _cleanup_(loaded_freep) struct loaded *loaded =
        calloc(1, sizeof(*loaded) + CLASSES_MAX * sizeof(loaded->classes[0]));
    const struct jmp_driver_class *const *classes;
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    if (!loaded)
        return -ENOMEM;
    loaded->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!loaded->handle) {
        jmp_error_set(&error, -ENOEXEC, "cannot be loaded: %s", dlerror());
        return problem(problems, path, &error);
    }
    classes = dlsym(loaded->handle, PLUGIN_SYMBOL);
    if (!classes) {
        jmp_error_set(&error, -ENOEXEC, "is not a plug-in: it has no %s", PLUGIN_SYMBOL);
        jmp_error_hint(&error, "name its classes in JMP_PLUGIN(...)");
        return problem(problems, path, &error);
    }
    r = jmp_tree_new(0, &loaded->tree);
    if (r < 0)
        return r;
    r = load_classes(plugins, loaded, classes, path, problems);
    if (r < 0)
        return r;

    if (plugins->last)
        plugins->last->next = loaded;
    else
        plugins->first = loaded;
    plugins->last = TAKE_PTR(loaded);
    return 0;
}

static int is_object(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 3 && entry->d_name[0] != '.' && strcmp(entry->d_name + length - 3, ".so") == 0;
}

static int load_directory(struct jmp_plugins *plugins, const char *directory, struct jmp_problems *problems)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct dirent **entries;
    int n, r = 0;

    n = scandir(directory, &entries, is_object, alphasort);
    if (n < 0 && errno == ENOMEM)
        return -ENOMEM;
    if (n < 0 && errno != ENOENT) {
        jmp_error_set(&error, -errno, "plug-ins cannot be looked for: %m");
        return problem(problems, directory, &error);
    }
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];

        if (r == 0 && snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name) < (int)sizeof(path))
            r = load_file(plugins, path, problems);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return r;
}

int jmp_plugins_load(const char *directories, struct jmp_plugins **ret, struct jmp_problems *problems)
{
    _cleanup_(jmp_plugins_freep) struct jmp_plugins *plugins = calloc(1, sizeof(*plugins));
    _cleanup_free_ char *list = directories ? strdup(directories) : NULL;
    char *rest = NULL;
    int r;

    if (!plugins || (directories && !list))
        return -ENOMEM;
    for (char *directory = list ? strtok_r(list, ":", &rest) : NULL; directory;
         directory = strtok_r(NULL, ":", &rest)) {
        r = load_directory(plugins, directory, problems);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(plugins);
    return 0;
}

struct jmp_plugins *jmp_plugins_free(struct jmp_plugins *plugins)
{
    struct loaded *next;

    if (!plugins)
        return NULL;
    for (struct loaded *loaded = plugins->first; loaded; loaded = next) {
        next = loaded->next;
        loaded_free(loaded);
    }
    free(plugins);
    return NULL;
}

struct names {
    const char **words;   /* what a wrong type is compared with, NULL at the end */
    const char **types;   /* what is meant by each */
    size_t count, room;
};

static void add_name(struct names *names, const char *word, const char *type)
{
    if (names->count == names->room)
        return;
    names->words[names->count] = word;
    names->types[names->count++] = type;
}

/* The class alone, "PowerSwitch", is what many write. */
static void add_names(const struct jmp_driver_class *driver, void *user)
{
    const char *dot = driver->python_type ? strrchr(driver->python_type, '.') : NULL;

    add_name(user, driver->name, driver->name);
    if (driver->python_type)
        add_name(user, driver->python_type, driver->python_type);
    if (dot)
        add_name(user, dot + 1, driver->python_type);
}

static void count_names(const struct jmp_driver_class *driver, void *user) { *(size_t *)user += 3; }

static const char *find_nearest(const struct jmp_plugins *plugins, const char *type)
{
    _cleanup_free_ const char **words = NULL, **types = NULL;
    struct names names = { 0 };
    const char *nearest;

    jmp_plugins_each(plugins, count_names, &names.room);
    words = calloc(names.room + 1, sizeof(*words));
    types = calloc(names.room + 1, sizeof(*types));
    if (!words || !types)
        return NULL;   /* a hint less */
    names.words = words;
    names.types = types;
    jmp_plugins_each(plugins, add_names, &names);
    nearest = jmp_nearest(type, words);
    for (size_t i = 0; nearest && i < names.count; i++)
        if (words[i] == nearest)
            return types[i];
    return NULL;
}

const struct jmp_driver_class *jmp_plugins_find(const struct jmp_plugins *plugins, const char *type,
                                                const char **retnearest)
{
    const struct jmp_driver_class *driver = find_exact(plugins, type);

    if (!driver && retnearest)
        *retnearest = find_nearest(plugins, type);
    return driver;
}

void jmp_plugins_each(const struct jmp_plugins *plugins,
                      void (*each)(const struct jmp_driver_class *driver, void *user), void *user)
{
    for (size_t i = 0; jmp_builtin_drivers[i]; i++)
        each(jmp_builtin_drivers[i], user);
    for (const struct loaded *loaded = plugins ? plugins->first : NULL; loaded; loaded = loaded->next)
        for (size_t i = 0; i < loaded->count; i++)
            each(loaded->classes[i], user);
}
