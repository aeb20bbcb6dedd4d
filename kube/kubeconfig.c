/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/kubeconfig.h"

#include <stdarg.h>
#include <string.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/limits.h"

#define FILES_MAX 32u                     /* in $KUBECONFIG */
#define PEM_MAX (1024u * 1024)            /* of a certificate, key or bundle */
#define TREE_MAX (32u * 1024 * 1024)      /* of all files together */
#define POD_DIRECTORY "/var/run/secrets/kubernetes.io/serviceaccount"

/* One file. */
struct source {
    const char *file, *directory;
    const struct jmp_node *root;
};

struct sources {
    struct jmp_tree *tree;
    struct source items[FILES_MAX];
    unsigned count;
};

/* A map in a file, for messages. */
struct place {
    const struct source *source;
    const struct jmp_node *map;
    char path[128];
};

static int set_memory(struct jmp_error *reterr)
{
    return jmp_error_set(reterr, -ENOMEM, "%m");
}

static int wrong(const struct place *place, const struct jmp_node *node, const char *key, struct jmp_error *reterr,
                 const char *text)
{
    char path[256];

    snprintf(path, sizeof(path), "%s%s%s", place->path, *place->path && key ? "." : "", key ?: "");
    jmp_error_set(reterr, -EINVAL, "%s", text);
    jmp_error_at(reterr, place->source->file, node ? node->line : place->map->line,
                 node ? node->column : place->map->column, path);
    return -EINVAL;
}

static int get_string(const struct place *place, const char *key, const char **ret, struct jmp_error *reterr)
{
    const struct jmp_node *node = jmp_node_get(place->map, key);

    if (jmp_node_is_null(node))
        return 0;
    if (node->kind != JMP_NODE_STRING)
        return wrong(place, node, key, reterr, "expected a string");
    /* Tools write "" for what is not set. */
    *ret = *node->string ? node->string : NULL;
    return 0;
}

static int get_bool(const struct place *place, const char *key, bool *ret, struct jmp_error *reterr)
{
    const struct jmp_node *node = jmp_node_get(place->map, key);

    if (jmp_node_is_null(node))
        return 0;
    if (node->kind != JMP_NODE_BOOL)
        return wrong(place, node, key, reterr, "expected true or false");
    *ret = node->boolean;
    return 0;
}

static int get_list(const struct place *place, const char *key, enum jmp_node_kind kind, const char *expected,
                    const struct jmp_node **ret, struct jmp_error *reterr)
{
    const struct jmp_node *node = jmp_node_get(place->map, key);

    if (jmp_node_is_null(node))
        return 0;
    if (node->kind != JMP_NODE_LIST)
        return wrong(place, node, key, reterr, expected);
    JMP_NODE_EACH(item, node)
        if (item->kind != kind)
            return wrong(place, item, key, reterr, expected);
    *ret = node;
    return 0;
}

static const char *relative(struct jmp_tree *tree, const struct source *source, const char *path)
{
    _cleanup_free_ char *joined = NULL;

    if (path[0] == '/' || !*source->directory)
        return path;
    if (asprintf(&joined, "%s/%s", source->directory, path) < 0) {
        joined = NULL;
        return NULL;
    }
    return jmp_tree_strdup(tree, joined, strlen(joined));
}

static int decode(struct jmp_tree *tree, const char *text, const char **ret)
{
    char *bytes = jmp_tree_alloc(tree, strlen(text) + 1);
    ssize_t n;

    if (!bytes)
        return -ENOMEM;
    n = jmp_base64_decode(text, bytes);
    if (n <= 0 || strlen(bytes) != (size_t)n)
        return -EINVAL;
    *ret = bytes;
    return 0;
}

/* KEY-data, in base64, beats KEY, the path of a file. */
static int get_pem(const struct place *place, struct jmp_tree *tree, const char *key, const char **ret,
                   struct jmp_error *reterr)
{
    const char *data = NULL, *path = NULL;
    _cleanup_free_ char *text = NULL;
    char data_key[64];
    size_t length;
    int r;

    snprintf(data_key, sizeof(data_key), "%s-data", key);
    r = get_string(place, data_key, &data, reterr);
    if (r == 0)
        r = get_string(place, key, &path, reterr);
    if (r < 0)
        return r;
    if (data) {
        r = decode(tree, data, ret);
        if (r == -EINVAL)
            return wrong(place, jmp_node_get(place->map, data_key), data_key, reterr, "not base64");
        return r < 0 ? set_memory(reterr) : 0;
    }
    if (!path)
        return 0;

    path = relative(tree, place->source, path);
    if (!path)
        return set_memory(reterr);
    r = jmp_file_read(path, PEM_MAX, &text, &length, reterr);
    if (r < 0) {
        jmp_error_hint(reterr, "%s names it as %s.%s", place->source->file, place->path, key);
        return r;
    }
    *ret = jmp_tree_strdup(tree, text, length);
    return *ret ? 0 : set_memory(reterr);
}

/*
 * Entries: lists of { name, KIND: map } under KIND + "s".
 */

static int find_entry(const struct sources *sources, const char *kind, const char *name, struct place *ret,
                      struct jmp_error *reterr)
{
    char list[16];

    snprintf(list, sizeof(list), "%ss", kind);
    for (unsigned i = 0; i < sources->count; i++) {
        JMP_NODE_EACH(entry, jmp_node_get(sources->items[i].root, list)) {
            const char *entry_name = jmp_node_string(jmp_node_get(entry, "name"));

            if (!entry_name || strcmp(entry_name, name) != 0)
                continue;
            *ret = (struct place){ .source = &sources->items[i], .map = jmp_node_get(entry, kind) };
            snprintf(ret->path, sizeof(ret->path), "%s.%s", list, name);
            if (!ret->map || ret->map->kind != JMP_NODE_MAP) {
                ret->map = entry;
                return wrong(ret, NULL, kind, reterr, "expected a map");
            }
            return 0;
        }
    }
    jmp_error_set(reterr, -ENOENT, "there is no %s \"%s\"", kind, name);
    jmp_error_at(reterr, sources->items[0].file, 0, 0, list);
    return -ENOENT;
}

static int read_cluster(struct jmp_kube_access *access, const struct place *place, struct jmp_error *reterr)
{
    size_t length;
    int r;

    r = get_string(place, "server", &access->server, reterr);
    if (r == 0)
        r = get_pem(place, access->tree, "certificate-authority", &access->ca, reterr);
    if (r == 0)
        r = get_bool(place, "insecure-skip-tls-verify", &access->insecure, reterr);
    if (r == 0)
        r = get_string(place, "tls-server-name", &access->tls_server_name, reterr);
    if (r == 0)
        r = get_string(place, "proxy-url", &access->proxy, reterr);
    if (r < 0)
        return r;

    if (!access->server)
        return wrong(place, NULL, "server", reterr, "not set");
    if (strncmp(access->server, "https://", 8) != 0 && strncmp(access->server, "http://", 7) != 0)
        return wrong(place, NULL, "server", reterr, "expected https://HOST:PORT");
    if (access->ca && access->insecure)
        return wrong(place, NULL, "insecure-skip-tls-verify", reterr,
                     "not together with a certificate-authority, which would never be looked at");
    if (access->proxy && strncmp(access->proxy, "http://", 7) != 0 && strncmp(access->proxy, "https://", 8) != 0 &&
        strncmp(access->proxy, "socks5://", 9) != 0)
        return wrong(place, NULL, "proxy-url", reterr, "expected http://, https:// or socks5://");

    length = strlen(access->server);
    while (length > 0 && access->server[length - 1] == '/')
        length--;
    access->server = jmp_tree_strdup(access->tree, access->server, length);
    return access->server ? 0 : set_memory(reterr);
}

static int read_exec(struct jmp_kube_access *access, const struct place *user, struct jmp_error *reterr)
{
    static const char *const versions[] = { "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1" };
    static const char *const modes[] = { "Never", "IfAvailable", "Always" };
    const struct jmp_node *map = jmp_node_get(user->map, "exec");
    struct place place = { .source = user->source, .map = map };
    const char *mode = NULL;
    struct jmp_kube_exec *exec;
    size_t i;
    int r;

    if (jmp_node_is_null(map))
        return 0;
    snprintf(place.path, sizeof(place.path), "%.100s.exec", user->path);
    if (map->kind != JMP_NODE_MAP)
        return wrong(user, map, "exec", reterr, "expected a map");

    exec = jmp_tree_alloc(access->tree, sizeof(*exec));
    if (!exec)
        return set_memory(reterr);
    r = get_string(&place, "apiVersion", &exec->api_version, reterr);
    if (r == 0)
        r = get_string(&place, "command", &exec->command, reterr);
    if (r == 0)
        r = get_list(&place, "args", JMP_NODE_STRING, "expected a list of strings", &exec->args, reterr);
    if (r == 0)
        r = get_list(&place, "env", JMP_NODE_MAP, "expected a list of names and values", &exec->env, reterr);
    if (r == 0)
        r = get_string(&place, "installHint", &exec->install_hint, reterr);
    if (r == 0)
        r = get_bool(&place, "provideClusterInfo", &exec->provide_cluster_info, reterr);
    if (r == 0)
        r = get_string(&place, "interactiveMode", &mode, reterr);
    if (r < 0)
        return r;

    if (!exec->command)
        return wrong(&place, NULL, "command", reterr, "not set");
    if (!exec->api_version ||
        (strcmp(exec->api_version, versions[0]) != 0 && strcmp(exec->api_version, versions[1]) != 0))
        return wrong(&place, NULL, "apiVersion", reterr,
                     "expected client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1");
    if (!mode && strcmp(exec->api_version, versions[0]) == 0)
        return wrong(&place, NULL, "interactiveMode", reterr, "not set; v1 wants Never, IfAvailable or Always");
    for (i = 0; mode && i < ELEMENTSOF(modes) && strcmp(mode, modes[i]) != 0; i++)
        ;
    if (i == ELEMENTSOF(modes))
        return wrong(&place, NULL, "interactiveMode", reterr, "expected Never, IfAvailable or Always");
    exec->interactive = mode ? (enum jmp_kube_interactive)i : JMP_KUBE_IF_AVAILABLE;
    JMP_NODE_EACH(variable, exec->env)
        if (!jmp_node_string(jmp_node_get(variable, "name")) || !jmp_node_string(jmp_node_get(variable, "value")))
            return wrong(&place, variable, "env", reterr, "expected a name and a value, both strings");

    if (strchr(exec->command, '/'))
        exec->command = relative(access->tree, place.source, exec->command);
    if (!exec->command)
        return set_memory(reterr);
    access->exec = exec;
    return 0;
}

static int read_user(struct jmp_kube_access *access, const struct place *place, struct jmp_error *reterr)
{
    int r;

    r = get_string(place, "token", &access->token, reterr);
    if (r == 0)
        r = get_string(place, "tokenFile", &access->token_file, reterr);
    if (r == 0)
        r = get_string(place, "username", &access->username, reterr);
    if (r == 0)
        r = get_string(place, "password", &access->password, reterr);
    if (r == 0)
        r = get_pem(place, access->tree, "client-certificate", &access->certificate, reterr);
    if (r == 0)
        r = get_pem(place, access->tree, "client-key", &access->key, reterr);
    if (r == 0)
        r = get_string(place, "as", &access->as, reterr);
    if (r == 0)
        r = get_string(place, "as-uid", &access->as_uid, reterr);
    if (r == 0)
        r = get_list(place, "as-groups", JMP_NODE_STRING, "expected a list of strings", &access->as_groups, reterr);
    if (r == 0)
        r = read_exec(access, place, reterr);
    if (r < 0)
        return r;

    if (!jmp_node_is_null(jmp_node_get(place->map, "auth-provider"))) {
        wrong(place, NULL, "auth-provider", reterr, "no longer supported by Kubernetes");
        jmp_error_hint(reterr, "use an exec plug-in instead");
        return -EINVAL;
    }
    if ((access->token || access->token_file) && access->username)
        return wrong(place, NULL, "username", reterr, "not together with a token");
    if (!access->certificate != !access->key)
        return wrong(place, NULL, access->key ? "client-certificate" : "client-key", reterr,
                     "a certificate and its key go together");
    if (access->token_file) {
        access->token_file = relative(access->tree, place->source, access->token_file);
        if (!access->token_file)
            return set_memory(reterr);
    }
    return 0;
}

static int current_context(const struct sources *sources, const char **ret, struct jmp_error *reterr)
{
    for (unsigned i = 0; i < sources->count && !*ret; i++) {
        struct place place = { .source = &sources->items[i], .map = sources->items[i].root };
        int r = get_string(&place, "current-context", ret, reterr);

        if (r < 0)
            return r;
    }
    if (*ret)
        return 0;
    jmp_error_set(reterr, -ENOENT, "no current-context is set");
    jmp_error_at(reterr, sources->items[0].file, 0, 0, NULL);
    jmp_error_hint(reterr, "name one with --context");
    return -ENOENT;
}

static int resolve(struct jmp_kube_access *access, const struct sources *sources, const char *name,
                   struct jmp_error *reterr)
{
    const char *cluster_name = NULL, *user_name = NULL;
    struct place context, place;
    int r;

    r = name ? 0 : current_context(sources, &name, reterr);
    if (r == 0)
        r = find_entry(sources, "context", name, &context, reterr);
    if (r == 0)
        r = get_string(&context, "cluster", &cluster_name, reterr);
    if (r == 0)
        r = get_string(&context, "user", &user_name, reterr);
    if (r == 0)
        r = get_string(&context, "namespace", &access->namespace_, reterr);
    if (r < 0)
        return r;
    if (!cluster_name)
        return wrong(&context, NULL, "cluster", reterr, "not set");

    r = find_entry(sources, "cluster", cluster_name, &place, reterr);
    if (r == 0)
        r = read_cluster(access, &place, reterr);
    /* Without a user requests go out without credentials. */
    if (r == 0 && user_name) {
        r = find_entry(sources, "user", user_name, &place, reterr);
        if (r == 0)
            r = read_user(access, &place, reterr);
    }
    return r;
}

static int add_source(struct sources *sources, const char *file, jmp_kube_parse_fn parse, struct jmp_error *reterr)
{
    struct source *source = &sources->items[sources->count];
    _cleanup_free_ char *text = NULL;
    const char *slash = strrchr(file, '/');
    size_t length;
    int r;

    if (sources->count == FILES_MAX)
        return jmp_error_set(reterr, -E2BIG, "KUBECONFIG names more than %u files", FILES_MAX);
    source->file = jmp_tree_strdup(sources->tree, file, strlen(file));
    source->directory = jmp_tree_strdup(sources->tree, file, slash ? (size_t)(slash - file) : 0);
    if (!source->file || !source->directory)
        return set_memory(reterr);
    r = jmp_file_read(file, JMP_CONFIG_MAX, &text, &length, reterr);
    if (r < 0)
        return r;
    r = parse(text, length, source->file, sources->tree, &source->root, reterr);
    if (r < 0)
        return r;
    if (!jmp_node_is_null(source->root) && source->root->kind != JMP_NODE_MAP) {
        jmp_error_set(reterr, -EINVAL, "not a kubeconfig: expected a map");
        jmp_error_at(reterr, source->file, source->root->line, source->root->column, NULL);
        return -EINVAL;
    }
    sources->count++;
    return 0;
}

/* All that there are; none is no error. */
static int add_sources(struct sources *sources, jmp_kube_parse_fn parse, struct jmp_error *reterr)
{
    const char *list = getenv("KUBECONFIG"), *home = getenv("HOME");
    _cleanup_free_ char *copy = NULL;
    char *rest;

    if (list && *list) {
        copy = strdup(list);
    } else {
        if (!home || !*home)
            return 0;
        if (asprintf(&copy, "%s/.kube/config", home) < 0)
            copy = NULL;
    }
    if (!copy)
        return set_memory(reterr);

    rest = copy;
    for (char *file = strsep(&rest, ":"); file; file = strsep(&rest, ":")) {
        int r;

        if (!*file || access(file, F_OK) < 0)
            continue;
        r = add_source(sources, file, parse, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static const char *format(struct jmp_tree *tree, const char *fmt, ...) JMP_PRINTF(2, 3);

static const char *format(struct jmp_tree *tree, const char *fmt, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        text = NULL;
        return NULL;
    }
    return jmp_tree_strdup(tree, text, (size_t)n);
}

static int resolve_pod(struct jmp_kube_access *access, const char *directory, struct jmp_error *reterr)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    const char *own = getenv("POD_NAMESPACE");
    _cleanup_free_ char *ca = NULL, *namespace_ = NULL;
    const char *path;
    size_t length;
    int r;

    if (!host || !*host || !port || !*port) {
        jmp_error_set(reterr, -ENOENT, "there is no kubeconfig, and this is no pod");
        jmp_error_hint(reterr, "name a file with --kubeconfig or in KUBECONFIG");
        return -ENOENT;
    }
    access->server = format(access->tree, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
    access->token_file = format(access->tree, "%s/token", directory);
    path = format(access->tree, "%s/ca.crt", directory);
    if (!access->server || !access->token_file || !path)
        return set_memory(reterr);
    r = jmp_file_read(path, PEM_MAX, &ca, &length, reterr);
    if (r < 0)
        return r;
    access->ca = jmp_tree_strdup(access->tree, ca, length);
    if (own && *own) {
        access->namespace_ = jmp_tree_strdup(access->tree, own, strlen(own));
        return access->ca && access->namespace_ ? 0 : set_memory(reterr);
    }
    path = format(access->tree, "%s/namespace", directory);
    if (!access->ca || !path)
        return set_memory(reterr);
    r = jmp_file_read(path, JMP_NAME_MAX + 1, &namespace_, &length, reterr);
    if (r < 0)
        return r;
    access->namespace_ = jmp_tree_strdup(access->tree, namespace_, strcspn(namespace_, "\n"));
    return access->namespace_ ? 0 : set_memory(reterr);
}

int jmp_kube_access_load(const char *file, const char *context, const char *pod, jmp_kube_parse_fn parse,
                         struct jmp_kube_access **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_kube_access_freep) struct jmp_kube_access *access = calloc(1, sizeof(*access));
    struct sources sources = { 0 };
    int r;

    if (!access || jmp_tree_new(TREE_MAX, &access->tree) < 0)
        return set_memory(reterr);
    sources.tree = access->tree;
    r = file ? add_source(&sources, file, parse, reterr) : add_sources(&sources, parse, reterr);
    if (r == 0)
        r = sources.count > 0 ? resolve(access, &sources, context, reterr)
                              : resolve_pod(access, pod ?: POD_DIRECTORY, reterr);
    if (r < 0)
        return r;
    if (!access->namespace_)
        access->namespace_ = "default";

    *ret = TAKE_PTR(access);
    return 0;
}

struct jmp_kube_access *jmp_kube_access_free(struct jmp_kube_access *access)
{
    if (!access)
        return NULL;

    jmp_tree_free(access->tree);
    free(access);
    return NULL;
}
