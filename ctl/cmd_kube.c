/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl kube lease list, get, release, apply; kube heartbeat, monitor, identity */
#include <limits.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "config/yaml.h"
#include "ctl/cmd_kube.h"
#include "kube/collect.h"
#include "kube/heartbeat.h"
#include "kube/monitor.h"
#include "kube/name.h"

const struct jmp_option jmp_kube_lease_options[] = { { JMP_FIELD(struct jmp_kube_lease_command, selector),
                                                       .letter = 'l', .value_name = "LABELS",
                                                       .help = "only Leases with these labels" },
                                                     JMP_OUTPUT_OPTION(struct jmp_kube_lease_command),
                                                     JMP_KUBE_ACCESS_OPTIONS,
                                                     {} };

const struct jmp_option jmp_kube_release_options[] = { JMP_KUBE_ACCESS_OPTIONS, {} };

const struct jmp_option jmp_kube_apply_options[] = {
    { JMP_FIELD(struct jmp_kube_apply, file), .letter = 'f', .value_name = "FILE", .required = true,
      .help = "YAML of one Lease" },
    { JMP_FIELD(struct jmp_kube_apply, field_manager), .value_name = "NAME", .preset = "jmpctl",
      .help = "who owns the fields" },
    { JMP_FIELD(struct jmp_kube_apply, force), .help = "take fields over that others own" },
    JMP_OUTPUT_OPTION(struct jmp_kube_apply),
    JMP_KUBE_ACCESS_OPTIONS,
    {}
};

const struct jmp_option jmp_kube_heartbeat_options[] = { { JMP_FIELD(struct jmp_kube_heartbeat, name),
                                                           .value_name = "NAME", .required = true,
                                                           .help = "name of the Lease, and its holder" },
                                                         JMP_KUBE_ACCESS_OPTIONS,
                                                         {} };

const struct jmp_option jmp_kube_monitor_options[] = { { JMP_FIELD(struct jmp_kube_monitor, selector), .letter = 'l',
                                                         .value_name = "LABELS",
                                                         .help = "only Leases with these labels" },
                                                       JMP_KUBE_ACCESS_OPTIONS,
                                                       {} };

const struct jmp_option jmp_kube_identity_options[] = {
    { JMP_FIELD(struct jmp_kube_identity_command, component), .value_name = "NAME", .required = true,
      .help = "what this process is one of" },
    { JMP_FIELD(struct jmp_kube_identity_command, prefix), .value_name = "NAME", .preset = "jumpstarter",
      .help = "what the Lease's name begins with" },
    { JMP_FIELD(struct jmp_kube_identity_command, list), .help = "list the live ones instead of being one" },
    JMP_OUTPUT_OPTION(struct jmp_kube_identity_command),
    JMP_KUBE_ACCESS_OPTIONS,
    {}
};

static int ask_lease(struct jmp_ctl_kube *kube, const char *method, const struct jmp_kube_options *options,
                     const char *name, const char *query, json_t **ret, struct jmp_error *reterr)
{
    return jmp_ctl_ask_object(kube, method, JMP_KUBE_COORDINATION_GROUP, JMP_KUBE_COORDINATION_VERSION,
                              options->namespace_, JMP_KUBE_COORDINATION_PLURAL, name, query, ret, reterr);
}

static struct jmp_kube_view view_of(const char *output, const struct jmp_kube_options *options)
{
    return (struct jmp_kube_view){ .kind = JMP_KUBE_COORDINATION_LEASE, .output = jmp_output_parse(output),
                                   .namespace_ = options->namespace_, .now = time(NULL) };
}

static int get_leases(struct jmp_ctl_kube *kube, const struct jmp_kube_lease_command *options, const char *name,
                      struct jmp_error *reterr)
{
    const struct jmp_kube_view view = view_of(options->output, &options->kube);
    _cleanup_free_ char *query = jmp_kube_query(options->selector, NULL);
    json_t *answer = NULL;
    int r;

    if (!query)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    r = ask_lease(kube, "GET", &options->kube, name, query, &answer, reterr);
    if (r == 0)
        r = name ? jmp_kube_print_object(stdout, &view, answer, reterr)
                 : jmp_kube_print_list(stdout, &view, answer, reterr);
    json_decref(answer);
    return r;
}

int jmp_cmd_kube_lease_get(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_kube_lease_command *options = object;
    struct jmp_ctl_kube kube = { 0 };
    int r;

    r = jmp_ctl_kube_open(&kube, &options->kube, reterr);
    if (r == 0)
        r = get_leases(&kube, options, words[0], reterr);
    jmp_ctl_kube_close(&kube);
    return r;
}

static int release_lease(struct jmp_ctl_kube *kube, const struct jmp_kube_options *options, const char *name,
                         struct jmp_error *reterr)
{
    _cleanup_free_ char *path = jmp_kube_path(JMP_KUBE_COORDINATION_GROUP, JMP_KUBE_COORDINATION_VERSION,
                                              options->namespace_, JMP_KUBE_COORDINATION_PLURAL, name);
    struct jmp_kube_call call = { .method = "PUT", .path = path };
    struct jmp_kube_record record;
    json_t *lease = NULL;
    struct timespec now;
    int r;

    if (!path)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    r = ask_lease(kube, "GET", options, name, NULL, &lease, reterr);
    if (r == 0)
        r = jmp_kube_record_read(lease, &record, reterr);
    if (r == 0) {
        clock_gettime(CLOCK_REALTIME, &now);
        *record.holder = '\0';
        record.duration = 1;
        record.acquired = record.renewed = (int64_t)now.tv_sec * (int64_t)JMP_USEC_PER_SEC + now.tv_nsec / 1000;
        r = jmp_kube_record_write(lease, &record);
        call.body = lease;
        r = r < 0 ? jmp_error_set(reterr, r, "%m") : jmp_ctl_ask(kube, &call, NULL, reterr);
    }
    json_decref(lease);
    return r;
}

int jmp_cmd_kube_lease_release(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_kube_options *options = object;
    struct jmp_ctl_kube kube = { 0 };
    int r;

    r = jmp_ctl_kube_open(&kube, options, reterr);
    if (r == 0)
        r = release_lease(&kube, options, words[0], reterr);
    jmp_ctl_kube_close(&kube);
    return r;
}

static int apply_lease(struct jmp_ctl_kube *kube, const struct jmp_kube_apply *options, struct jmp_error *reterr)
{
    const struct jmp_kube_view view = view_of(options->output, &options->kube);
    _cleanup_free_ char *path = NULL, *object_path = NULL, *text = NULL, *json_text = NULL;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_kube_call call = { .method = "PATCH", .content_type = "application/apply-patch+yaml" };
    const struct jmp_node *node = NULL;
    json_t *lease = NULL, *answer = NULL;
    const char *name, *version;
    size_t length;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_file_read(options->file, JMP_CONFIG_MAX, &text, &length, reterr);
    if (r == 0)
        r = jmp_yaml_parse(text, length, options->file, tree, &node, reterr);
    if (r < 0)
        return r;
    version = jmp_node_string(jmp_node_get(node, "apiVersion"));
    name = jmp_node_string(jmp_node_get(jmp_node_get(node, "metadata"), "name"));
    if (!version || strcmp(version, JMP_KUBE_COORDINATION_GROUP "/" JMP_KUBE_COORDINATION_VERSION) != 0 || !name) {
        jmp_error_set(reterr, -EINVAL, "not a Lease of " JMP_KUBE_COORDINATION_GROUP "/" JMP_KUBE_COORDINATION_VERSION
                                       " with a name");
        jmp_error_at(reterr, options->file, 0, 0, NULL);
        return -EINVAL;
    }
    r = jmp_json_print(node, 0, &json_text);
    lease = r == 0 ? json_loads(json_text, 0, NULL) : NULL;
    object_path = jmp_kube_path(JMP_KUBE_COORDINATION_GROUP, JMP_KUBE_COORDINATION_VERSION, options->kube.namespace_,
                                JMP_KUBE_COORDINATION_PLURAL, name);
    if (!lease || !object_path || asprintf(&path, "%s?fieldManager=%s&fieldValidation=Strict%s", object_path,
                                           options->field_manager, options->force ? "&force=true" : "") < 0) {
        path = NULL;
        json_decref(lease);
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    call.path = path;
    call.body = lease;
    r = jmp_ctl_ask(kube, &call, &answer, reterr);
    if (r == 0)
        r = jmp_kube_print_object(stdout, &view, answer, reterr);
    json_decref(lease);
    json_decref(answer);
    return r;
}

int jmp_cmd_kube_apply(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_kube_apply *options = object;
    struct jmp_ctl_kube kube = { 0 };
    int r;

    r = jmp_ctl_kube_open(&kube, &options->kube, reterr);
    if (r == 0)
        r = apply_lease(&kube, options, reterr);
    jmp_ctl_kube_close(&kube);
    return r;
}

static void on_failing(const struct jmp_kube_status *status, unsigned failures, void *user)
{
    struct jmp_error error = JMP_ERROR_INIT;

    jmp_kube_status_error(status, &error);
    jmp_log(JMP_LOG_WARNING, FIELDS(.error = error.error), "%u beats in a row have failed: %s", failures, error.text);
}

int jmp_cmd_kube_heartbeat(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_kube_heartbeat *options = object;
    const struct jmp_heartbeat_options beat = {
        .namespace_ = options->kube.namespace_, .name = options->name, .holder = options->name,
        .duration = JMP_HEARTBEAT_DURATION, .interval = JMP_HEARTBEAT_INTERVAL, .failing = on_failing,
    };
    _cleanup_(jmp_heartbeat_freep) struct jmp_heartbeat *heartbeat = NULL;
    struct jmp_ctl_kube kube = { 0 };
    int r;

    if (!jmp_kube_name_is_valid(options->name))
        return jmp_ctl_usage(ctl, reterr, "--name: \"%s\" is no name of an object", options->name);
    r = jmp_ctl_kube_open(&kube, &options->kube, reterr);
    if (r == 0) {
        r = jmp_heartbeat_new(kube.kube, &beat, &heartbeat);
        r = r < 0 ? jmp_error_set(reterr, r, "%m") : jmp_ctl_wait(&kube);
    }
    heartbeat = jmp_heartbeat_free(heartbeat);
    jmp_ctl_kube_close(&kube);
    /* A signal is how this ends. */
    return r == -ECANCELED ? 0 : r;
}

static void on_liveness(const char *name, bool live, void *user)
{
    jmp_text_put(stdout, name);
    fputs(live ? " is live\n" : " is stale\n", stdout);
    jmp_ctl_flush(user);
}

int jmp_cmd_kube_monitor(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_kube_monitor *options = object;
    struct jmp_monitor *monitor = NULL;
    struct jmp_ctl_kube kube = { 0 };
    int r;

    r = jmp_ctl_kube_open(&kube, &options->kube, reterr);
    if (r == 0) {
        r = jmp_monitor_new(kube.kube, options->kube.namespace_, options->selector, on_liveness, ctl, &monitor);
        r = r < 0 ? jmp_error_set(reterr, r, "%m") : jmp_ctl_wait(&kube);
    }
    jmp_monitor_free(monitor);
    jmp_ctl_kube_close(&kube);
    return r == -ECANCELED ? 0 : r;
}

#define IDENTITY_LABEL "jumpstarter.dev/identity"

static int be_identity(struct jmp_ctl_kube *kube, const struct jmp_kube_identity_command *options,
                       struct jmp_error *reterr)
{
    char host[HOST_NAME_MAX + 1] = "", name[JMP_NAME_MAX + 1], uuid[JMP_UUID_SIZE],
                              holder[JMP_NAME_MAX + JMP_UUID_SIZE + 2];
    struct jmp_heartbeat_options beat = {
        .namespace_ = options->kube.namespace_, .name = name, .holder = holder, .duration = JMP_IDENTITY_DURATION,
        .interval = JMP_HEARTBEAT_INTERVAL, .failing = on_failing,
    };
    struct jmp_heartbeat *heartbeat = NULL;
    struct jmp_collector *collector = NULL;
    json_t *labels;
    int r;

    if (gethostname(host, sizeof(host) - 1) < 0)
        return jmp_error_set(reterr, -errno, "the host has no name: %m");
    r = jmp_kube_identity_name(options->prefix, host, options->component, name);
    if (r < 0)
        return jmp_error_set(reterr, r, "\"%s\" is no beginning of an object's name", options->prefix);
    jmp_uuid_random(uuid);
    snprintf(holder, sizeof(holder), "%s_%s", name, uuid);
    labels = json_pack("{s:s, s:s}", IDENTITY_LABEL, options->component, "kubernetes.io/hostname", host);
    beat.labels = labels;
    r = labels ? jmp_heartbeat_new(kube->kube, &beat, &heartbeat) : -ENOMEM;
    if (r == 0)
        r = jmp_collector_new(kube->kube, options->kube.namespace_, IDENTITY_LABEL, &collector);
    r = r < 0 ? jmp_error_set(reterr, r, "%m") : jmp_ctl_wait(kube);
    jmp_collector_free(collector);
    jmp_heartbeat_free(heartbeat);
    json_decref(labels);
    return r == -ECANCELED ? 0 : r;
}

static int list_identities(struct jmp_ctl_kube *kube, const struct jmp_kube_identity_command *options,
                           struct jmp_error *reterr)
{
    struct jmp_kube_lease_command leases = { .kube = options->kube, .output = options->output };
    _cleanup_free_ char *selector = NULL;

    if (asprintf(&selector, IDENTITY_LABEL "=%s", options->component) < 0) {
        selector = NULL;
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    leases.selector = selector;
    return get_leases(kube, &leases, NULL, reterr);
}

int jmp_cmd_kube_identity(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_kube_identity_command *options = object;
    struct jmp_ctl_kube kube = { 0 };
    int r;

    r = jmp_ctl_kube_open(&kube, &options->kube, reterr);
    if (r == 0)
        r = options->list ? list_identities(&kube, options, reterr) : be_identity(&kube, options, reterr);
    jmp_ctl_kube_close(&kube);
    return r;
}
