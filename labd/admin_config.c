/* SPDX-License-Identifier: Apache-2.0 */
/* The files that clients and exporters read, as the stock tools write them. */
#include <string.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/writer.h"
#include "config/paths.h"
#include "config/yaml.h"
#include "labd/admin.h"
#include "labd/ca.h"
#include "labd/serve.h"

static const char *const usual_drivers[] = { "jumpstarter_driver_*", "jumpstarter.client.*" };

static const char exporter_hint[] =
    "# What hangs on the board. An entry has a type and its options, for instance:\n"
    "#   power:\n"
    "#     type: jumpstarter_driver_power.driver.MockPower\n"
    "# \"jmp-agent check FILE\" says whether it is right.\n"
    "export: {}\n";

static int find_endpoint(struct jmp_lab *lab, const struct jmp_admin_options *options, char **ret, struct jmp_error *reterr)
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

    *ret = jmp_base64_encode(ca.ca, strlen(ca.ca));
    return *ret ? 0 : -ENOMEM;
}

static void put(struct jmp_writer *writer, const char *key, const char *value)
{
    jmp_writer_key(writer, key);
    jmp_writer_string(writer, value);
}

static void put_drivers(struct jmp_writer *writer, const struct jmp_admin_options *options)
{
    jmp_writer_key(writer, "drivers");
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "allow");
    jmp_writer_begin_list(writer);
    if (options->allow) {
        JMP_NODE_EACH(item, options->allow)
            jmp_writer_string(writer, item->string);
    } else if (!options->unsafe) {
        for (size_t i = 0; i < ELEMENTSOF(usual_drivers); i++)
            jmp_writer_string(writer, usual_drivers[i]);
    }
    jmp_writer_end_list(writer);
    jmp_writer_key(writer, "unsafe");
    jmp_writer_bool(writer, options->unsafe);
    jmp_writer_end_map(writer);
}

int jmp_admin_config(struct jmp_lab *lab, const struct jmp_admin_options *options, bool is_client, const char *name, const char *uid,
                     char **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    _cleanup_free_ char *endpoint = NULL, *ca = NULL, *token = NULL, *text = NULL;
    const struct jmp_node *node;
    int r;

    if ((r = find_endpoint(lab, options, &endpoint, reterr)) < 0 || (r = authority(lab, endpoint, &ca, reterr)) < 0 ||
        (r = jmp_lab_sign(lab, is_client ? "client" : "exporter", name, uid, NULL, &token)) < 0 ||
        (r = jmp_tree_new(0, &tree)) < 0 || (r = jmp_writer_new(tree, &writer)) < 0)
        return r;

    jmp_writer_begin_map(writer);
    put(writer, "apiVersion", "jumpstarter.dev/v1alpha1");
    put(writer, "kind", is_client ? "ClientConfig" : "ExporterConfig");
    jmp_writer_key(writer, "metadata");
    jmp_writer_begin_map(writer);
    put(writer, "namespace", lab->namespace_);
    put(writer, "name", name);
    jmp_writer_end_map(writer);
    put(writer, "endpoint", endpoint);
    jmp_writer_key(writer, "tls");
    jmp_writer_begin_map(writer);
    put(writer, "ca", ca);
    jmp_writer_key(writer, "insecure");
    jmp_writer_bool(writer, false);
    jmp_writer_end_map(writer);
    put(writer, "token", token);
    jmp_writer_key(writer, "grpcOptions");
    jmp_writer_begin_map(writer);
    jmp_writer_end_map(writer);
    if (is_client)
        put_drivers(writer, options);
    jmp_writer_end_map(writer);

    if ((r = jmp_writer_finish(writer, &node)) < 0 || (r = jmp_yaml_print(node, &text)) < 0)
        return r;
    if (asprintf(ret, "%s%s", text, is_client ? "" : exporter_hint) < 0)
        return -ENOMEM;
    return 0;
}

int jmp_admin_save_current(const char *alias, struct jmp_error *reterr)
{
    _cleanup_free_ char *directory = NULL, *path = NULL, *text = NULL;
    int r;

    r = jmp_paths_user(&directory, reterr);
    if (r < 0)
        return r;
    if (asprintf(&path, "%s/config.yaml", directory) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (access(path, F_OK) == 0)
        return 0;
    if (asprintf(&text, "apiVersion: jumpstarter.dev/v1alpha1\nkind: UserConfig\nconfig:\n  current-client: %s\n", alias) < 0) {
        text = NULL;
        return -ENOMEM;
    }

    return jmp_file_write(path, text, strlen(text), 0600, reterr);
}
