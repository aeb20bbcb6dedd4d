/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/describe.h"

static void put_string(struct jmp_writer *writer, const char *key, const char *value)
{
    jmp_writer_key(writer, key);
    jmp_writer_string(writer, value && *value ? value : NULL);
}

static void put_number(struct jmp_writer *writer, const char *key, uint64_t value)
{
    jmp_writer_key(writer, key);
    jmp_writer_integer(writer, (int64_t)value);
}

static void put_age(struct jmp_writer *writer, uint64_t since)
{
    jmp_writer_key(writer, "seconds");
    jmp_writer_number(writer, (double)((jmp_now() - since) / JMP_USEC_PER_MSEC) / 1000);
}

static void put_lease(struct jmp_writer *writer, const struct jmp_agent_view *view)
{
    jmp_writer_key(writer, "lease");
    if (!*view->lease) {
        jmp_writer_null(writer);
        return;
    }
    jmp_writer_begin_map(writer);
    put_string(writer, "name", view->lease);
    put_string(writer, "client", view->client);
    put_age(writer, view->lease_began);
    jmp_writer_end_map(writer);
}

static void put_controller(struct jmp_writer *writer, const struct jmp_controller *controller)
{
    struct jmp_controller_stats stats;

    jmp_writer_key(writer, "controller");
    if (!controller) {
        jmp_writer_null(writer);
        return;
    }
    jmp_controller_stats(controller, &stats);
    jmp_writer_begin_map(writer);
    put_string(writer, "endpoint", stats.endpoint);
    jmp_writer_key(writer, "connected");
    jmp_writer_bool(writer, stats.connected);
    put_age(writer, stats.since);
    put_number(writer, "reconnects", stats.reconnects);
    put_string(writer, "error", stats.error);
    jmp_writer_end_map(writer);
}

static void put_tunnel(const struct jmp_tunnel_stats *stats, void *user)
{
    struct jmp_writer *writer = user;

    jmp_writer_begin_map(writer);
    put_string(writer, "router", stats->router);
    put_age(writer, stats->opened);
    put_number(writer, "bytes_in", stats->bytes_in);
    put_number(writer, "bytes_out", stats->bytes_out);
    jmp_writer_end_map(writer);
}

static void put_device(const struct jmp_device *device, void *user)
{
    const char *missing = jmp_device_missing(device);
    struct jmp_writer *writer = user;

    jmp_writer_begin_map(writer);
    put_string(writer, "path", jmp_device_path(device));
    put_string(writer, "type", jmp_device_kind(device));
    put_string(writer, "health", missing ? "missing" : "open");
    put_string(writer, "error", missing);
    jmp_writer_end_map(writer);
}

void jmp_agent_describe(const struct jmp_agent_view *view, struct jmp_writer *writer)
{
    put_string(writer, "name", view->name);
    put_string(writer, "namespace", view->namespace_);
    put_string(writer, "version", JMP_VERSION);
    put_number(writer, "pid", (uint64_t)getpid());
    put_age(writer, view->started);
    put_string(writer, "state", jmp_lease_state_name(view->state));
    if (view->session) {
        const struct jmp_status_line *status = jmp_session_status(view->session);

        put_string(writer, "status", jmp_exporter_status_name(status->value));
        put_string(writer, "message", status->message);
    }
    jmp_writer_key(writer, "draining");
    jmp_writer_bool(writer, view->draining);
    put_lease(writer, view);
    jmp_writer_key(writer, "listener");
    if (view->port)
        jmp_writer_integer(writer, view->port);
    else
        jmp_writer_null(writer);
    put_controller(writer, view->controller);
    jmp_writer_key(writer, "tunnels");
    jmp_writer_begin_list(writer);
    if (view->tunnels)
        jmp_tunnels_each(view->tunnels, put_tunnel, writer);
    jmp_writer_end_list(writer);
    jmp_writer_key(writer, "drivers");
    jmp_writer_begin_list(writer);
    jmp_devices_each(view->devices, put_device, writer);
    jmp_writer_end_list(writer);
    put_number(writer, "leases", view->leases);
}
