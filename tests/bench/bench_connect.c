/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to an exporter: directly, or through a router, with what a controller says. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "jumpstarter/v1/jumpstarter.pb-c.h"

void pluck(grpc_completion_queue *queue, void *tag)
{
    gpr_timespec limit = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(40, GPR_TIMESPAN));

    if (grpc_completion_queue_pluck(queue, tag, limit, NULL).type != GRPC_OP_COMPLETE)
        die("gRPC has not given a call back within 40 s");
}

static bool unary_blocking(grpc_channel *channel, const char *path, const struct headers *headers,
                           const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type, double limit,
                           ProtobufCMessage **ret)
{
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_micros((int64_t)(limit * 1e6), GPR_TIMESPAN));
    grpc_call *call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
                                               grpc_slice_from_copied_string(path), NULL, deadline, NULL);
    grpc_byte_buffer *out = pack_message(request), *in = NULL;
    grpc_metadata_array initial, trailing;
    grpc_status_code status = GRPC_STATUS_UNKNOWN;
    grpc_slice details = grpc_empty_slice();
    grpc_op ops[6] = { { 0 } };
    char *text;
    bool ok;

    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (headers) {
        ops[0].data.send_initial_metadata.count = headers->count;
        ops[0].data.send_initial_metadata.metadata = (grpc_metadata *)headers->items;
    }
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = out;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &in;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &trailing;
    ops[5].data.recv_status_on_client.status = &status;
    ops[5].data.recv_status_on_client.status_details = &details;
    if (grpc_call_start_batch(call, ops, 6, ops, NULL) != GRPC_CALL_OK)
        die("%s: the call cannot be started", path);
    pluck(queue, ops);

    ok = status == GRPC_STATUS_OK && in;
    *ret = ok ? unpack_message(type, in) : NULL;
    if (!ok) {
        text = grpc_slice_to_c_string(details);
        fprintf(stderr, "%s: status %d: %s\n", path, status, text);
        gpr_free(text);
    }
    grpc_slice_unref(details);
    grpc_byte_buffer_destroy(in);
    grpc_byte_buffer_destroy(out);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_call_unref(call);
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
    return ok && *ret;
}

/* Asks the controller for a tunnel to the lease's exporter. */
static void dial(char **endpoint, char **token)
{
    Jumpstarter__V1__DialRequest request = JUMPSTARTER__V1__DIAL_REQUEST__INIT;
    static grpc_channel *controller;
    ProtobufCMessage *message;
    Jumpstarter__V1__DialResponse *response;

    if (!controller)
        controller = open_channel(opt.controller, opt.ca);
    request.lease_name = (char *)opt.lease;
    if (!unary_blocking(controller, "/jumpstarter.v1.ControllerService/Dial", &opt.headers, &request.base,
                        &jumpstarter__v1__dial_response__descriptor, 10, &message))
        die("Dial failed");
    response = (Jumpstarter__V1__DialResponse *)message;
    *endpoint = strdup(response->router_endpoint);
    *token = strdup(response->router_token);
    protobuf_c_message_free_unpacked(message, NULL);
}

struct connection connect_peer(unsigned number)
{
    struct connection connection = { 0 };
    char *endpoint = NULL, *token = NULL;
    int pair[2];

    if (opt.target) {
        connection.channel = open_channel(opt.target, NULL);
        return connection;
    }
    if (opt.controller) {
        dial(&endpoint, &token);
    } else {
        endpoint = strdup(opt.router);
        if (asprintf(&token, "%s%u", opt.token, number) < 0)
            die("out of memory");
    }
    socket_pair(pair);
    connection.router = open_channel(endpoint, opt.ca);
    connection.tunnel = tunnel_open(connection.router, token, pair[0]);
    connection.channel = channel_from_fd(pair[1]);
    free(endpoint);
    free(token);
    return connection;
}

void disconnect_peer(struct connection *connection, bool abruptly)
{
    if (connection->tunnel && abruptly)
        tunnel_cancel(connection->tunnel);
    grpc_channel_destroy(connection->channel);
    if (connection->router)
        grpc_channel_destroy(connection->router);
}

bool find_driver(grpc_channel *channel, const char *name, char *uuid)
{
    Google__Protobuf__Empty request = GOOGLE__PROTOBUF__EMPTY__INIT;
    Jumpstarter__V1__GetReportResponse *response;
    ProtobufCMessage *message;
    bool found = false;

    if (!unary_blocking(channel, EXPORTER_PATH("GetReport"), NULL, &request.base,
                        &jumpstarter__v1__get_report_response__descriptor, 20, &message))
        return false;
    response = (Jumpstarter__V1__GetReportResponse *)message;
    for (size_t i = 0; i < response->n_reports && !found; i++) {
        const Jumpstarter__V1__DriverInstanceReport *report = response->reports[i];

        for (size_t l = 0; l < report->n_labels; l++)
            if (!strcmp(report->labels[l]->key, "jumpstarter.dev/name") && !strcmp(report->labels[l]->value, name)) {
                snprintf(uuid, 64, "%s", report->uuid);
                found = true;
            }
    }
    protobuf_c_message_free_unpacked(message, NULL);
    if (!found)
        die("the exporter has no driver \"%s\"", name);
    return true;
}
