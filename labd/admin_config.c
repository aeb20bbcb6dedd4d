/* SPDX-License-Identifier: Apache-2.0 */
/* The files that clients and exporters read, as the stock tools write them. */
#include <string.h>

#include "config/write.h"
#include "labd/admin.h"
#include "labd/ca.h"
#include "labd/serve.h"

static int find_endpoint(struct jmp_lab *lab, const struct jmp_admin_options *options, char **ret,
                         struct jmp_error *reterr)
{
    _cleanup_free_ char *host = NULL;
    unsigned port;
    int r;

    if (options->endpoint) {
        r = jmp_endpoint_split(options->endpoint, &host, &port, reterr);
        if (r < 0)
            return r;
        *ret = strdup(options->endpoint);
        return *ret ? 0 : -ENOMEM;
    }

    r = jmp_store_get_meta(lab->store, "endpoint", ret);
    if (r == -ENOENT)
        r = jmp_endpoint_guess("0.0.0.0", (unsigned)strtoul(JMP_LABD_PORT, NULL, 10), ret);
    if (r < 0)
        return jmp_error_set(reterr, r, "cannot find out where the service listens: %s", jmp_store_reason(lab->store));

    return 0;
}

static int authority(struct jmp_lab *lab, const char *endpoint, char **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_ca_names_freep) char **names = NULL;
    _cleanup_(jmp_ca_clear) struct jmp_ca ca = { 0 };
    _cleanup_free_ char *host = NULL;
    const char *extra[2] = { NULL };
    unsigned port;
    int r;

    if ((r = jmp_endpoint_split(endpoint, &host, &port, reterr)) < 0)
        return r;
    extra[0] = host;
    if ((r = jmp_ca_local_names(extra, &names)) < 0 ||
        (r = jmp_ca_open(lab->directory, (const char *const *)names, &ca, NULL, reterr)) < 0)
        return r;

    *ret = strdup(ca.ca);
    return *ret ? 0 : -ENOMEM;
}

/* One list of patterns, whether they were given one by one or with commas between. */
static int read_allow(const struct jmp_node *given, struct jmp_tree *tree, const struct jmp_node **ret)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    FILE *stream;

    if (!given)
        return 0;
    stream = open_memstream(&text, &size);
    if (!stream)
        return -ENOMEM;
    JMP_NODE_EACH(item, given)
        fprintf(stream, "%s,", item->string);
    return fclose(stream) == 0 ? jmp_config_split(text, tree, ret) : -ENOMEM;
}

int jmp_admin_config(struct jmp_lab *lab, const struct jmp_admin_options *options, bool is_client, const char *name,
                     const char *uid, char **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *endpoint = NULL, *ca = NULL, *token = NULL;
    struct jmp_new_config config = {
        .is_client = is_client, .namespace_ = lab->namespace_, .name = name, .insecure = options->insecure,
        .unsafe = options->unsafe,
    };
    int r;

    if ((r = find_endpoint(lab, options, &endpoint, reterr)) < 0 || (r = authority(lab, endpoint, &ca, reterr)) < 0 ||
        (r = jmp_lab_sign(lab, is_client ? "client" : "exporter", name, uid, NULL, &token)) < 0)
        return r;
    if ((r = jmp_tree_new(0, &tree)) < 0 || (r = read_allow(options->allow, tree, &config.allow)) < 0)
        return r;
    config.endpoint = endpoint;
    config.ca = ca;
    config.token = token;
    return jmp_config_print(&config, ret);
}
