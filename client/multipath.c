/* SPDX-License-Identifier: Apache-2.0 */
#include "client/multipath.h"

#include <stdio.h>
#include <string.h>

struct jmp_multipath {
    size_t count;
    struct jmp_channel *channels[JMP_PATHS_MAX];
};

bool jmp_path_is_tcp(const char *host)
{
    const char *colon = strrchr(host, ':');
    unsigned long port;
    char *end;

    if (!colon || colon == host || colon[1] < '0' || colon[1] > '9')
        return false;
    port = strtoul(colon + 1, &end, 10);
    return !*end && port >= 1 && port <= 65535;
}

static int open_path(struct jmp_client *client, const struct jmp_path *path, struct jmp_channel **ret,
                     struct jmp_error *reterr)
{
    bool tcp = jmp_path_is_tcp(path->host);
    struct jmp_channel_options options = { .ca = path->ca,
                                           .insecure = path->insecure,
                                           .plaintext = !tcp || path->plaintext,
                                           .grpc_options = path->grpc_options };
    _cleanup_free_ char *endpoint = NULL;

    if (asprintf(&endpoint, "%s%s", tcp ? "" : "unix:", path->host) < 0) {
        endpoint = NULL;
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    options.endpoint = endpoint;
    return jmp_channel_new(jmp_client_queue(client), &options, ret, reterr);
}

int jmp_multipath_new(struct jmp_client *client, const struct jmp_path *paths, size_t count, struct jmp_multipath **ret,
                      struct jmp_error *reterr)
{
    _cleanup_(jmp_multipath_freep) struct jmp_multipath *multipath = NULL;

    if (count < 1 || count > JMP_PATHS_MAX)
        return jmp_error_set(reterr, -EINVAL, "%zu ways to the exporter were given; one is needed, %u are the most",
                             count, JMP_PATHS_MAX);
    multipath = calloc(1, sizeof(*multipath));
    if (!multipath)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    for (; multipath->count < count; multipath->count++) {
        int r = open_path(client, &paths[multipath->count], &multipath->channels[multipath->count], reterr);

        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(multipath);
    return 0;
}

struct jmp_multipath *jmp_multipath_free(struct jmp_multipath *multipath)
{
    if (!multipath)
        return NULL;
    for (size_t i = 0; i < multipath->count; i++)
        jmp_channel_free(multipath->channels[i]);
    free(multipath);
    return NULL;
}

struct jmp_channel *jmp_multipath_channel(struct jmp_multipath *multipath)
{
    for (size_t i = 0; i < multipath->count; i++) {
        if (jmp_channel_probe(multipath->channels[i]))
            return multipath->channels[i];
    }
    return multipath->channels[multipath->count - 1];
}
