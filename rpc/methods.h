/* SPDX-License-Identifier: Apache-2.0 */
/* Every method of the protocol, with its message types. (docs/protocol.md) */
#pragma once

#include "rpc/rpc.h"

/* X(variable, service, method, request, response, request_stream, response_stream); types as protoc-c spells them */
#define JMP_METHODS(X) \
    X(controller_register, "jumpstarter.v1.ControllerService", "Register", jumpstarter__v1__register_request, \
      jumpstarter__v1__register_response, 0, 0) \
    X(controller_unregister, "jumpstarter.v1.ControllerService", "Unregister", jumpstarter__v1__unregister_request, \
      jumpstarter__v1__unregister_response, 0, 0) \
    X(controller_report_status, "jumpstarter.v1.ControllerService", "ReportStatus", \
      jumpstarter__v1__report_status_request, jumpstarter__v1__report_status_response, 0, 0) \
    X(controller_listen, "jumpstarter.v1.ControllerService", "Listen", jumpstarter__v1__listen_request, \
      jumpstarter__v1__listen_response, 0, 1) \
    X(controller_status, "jumpstarter.v1.ControllerService", "Status", jumpstarter__v1__status_request, \
      jumpstarter__v1__status_response, 0, 1) \
    X(controller_dial, "jumpstarter.v1.ControllerService", "Dial", jumpstarter__v1__dial_request, \
      jumpstarter__v1__dial_response, 0, 0) \
    X(controller_get_lease, "jumpstarter.v1.ControllerService", "GetLease", jumpstarter__v1__get_lease_request, \
      jumpstarter__v1__get_lease_response, 0, 0) \
    X(controller_request_lease, "jumpstarter.v1.ControllerService", "RequestLease", \
      jumpstarter__v1__request_lease_request, jumpstarter__v1__request_lease_response, 0, 0) \
    X(controller_release_lease, "jumpstarter.v1.ControllerService", "ReleaseLease", \
      jumpstarter__v1__release_lease_request, jumpstarter__v1__release_lease_response, 0, 0) \
    X(controller_list_leases, "jumpstarter.v1.ControllerService", "ListLeases", jumpstarter__v1__list_leases_request, \
      jumpstarter__v1__list_leases_response, 0, 0) \
    X(controller_get_service_endpoints, "jumpstarter.v1.ControllerService", "GetServiceEndpoints", \
      jumpstarter__v1__get_service_endpoints_request, jumpstarter__v1__get_service_endpoints_response, 0, 0) \
    X(exporter_get_report, "jumpstarter.v1.ExporterService", "GetReport", google__protobuf__empty, \
      jumpstarter__v1__get_report_response, 0, 0) \
    X(exporter_driver_call, "jumpstarter.v1.ExporterService", "DriverCall", jumpstarter__v1__driver_call_request, \
      jumpstarter__v1__driver_call_response, 0, 0) \
    X(exporter_streaming_driver_call, "jumpstarter.v1.ExporterService", "StreamingDriverCall", \
      jumpstarter__v1__streaming_driver_call_request, jumpstarter__v1__streaming_driver_call_response, 0, 1) \
    X(exporter_log_stream, "jumpstarter.v1.ExporterService", "LogStream", google__protobuf__empty, \
      jumpstarter__v1__log_stream_response, 0, 1) \
    X(exporter_reset, "jumpstarter.v1.ExporterService", "Reset", jumpstarter__v1__reset_request, \
      jumpstarter__v1__reset_response, 0, 0) \
    X(exporter_get_status, "jumpstarter.v1.ExporterService", "GetStatus", jumpstarter__v1__get_status_request, \
      jumpstarter__v1__get_status_response, 0, 0) \
    X(exporter_end_session, "jumpstarter.v1.ExporterService", "EndSession", jumpstarter__v1__end_session_request, \
      jumpstarter__v1__end_session_response, 0, 0) \
    X(telemetry_push_logs, "jumpstarter.v1.TelemetryService", "PushLogs", jumpstarter__v1__push_logs_request, \
      jumpstarter__v1__push_logs_response, 0, 0) \
    X(client_get_exporter, "jumpstarter.client.v1.ClientService", "GetExporter", \
      jumpstarter__client__v1__get_exporter_request, jumpstarter__client__v1__exporter, 0, 0) \
    X(client_list_exporters, "jumpstarter.client.v1.ClientService", "ListExporters", \
      jumpstarter__client__v1__list_exporters_request, jumpstarter__client__v1__list_exporters_response, 0, 0) \
    X(client_get_lease, "jumpstarter.client.v1.ClientService", "GetLease", jumpstarter__client__v1__get_lease_request, \
      jumpstarter__client__v1__lease, 0, 0) \
    X(client_list_leases, "jumpstarter.client.v1.ClientService", "ListLeases", \
      jumpstarter__client__v1__list_leases_request, jumpstarter__client__v1__list_leases_response, 0, 0) \
    X(client_create_lease, "jumpstarter.client.v1.ClientService", "CreateLease", \
      jumpstarter__client__v1__create_lease_request, jumpstarter__client__v1__lease, 0, 0) \
    X(client_update_lease, "jumpstarter.client.v1.ClientService", "UpdateLease", \
      jumpstarter__client__v1__update_lease_request, jumpstarter__client__v1__lease, 0, 0) \
    X(client_delete_lease, "jumpstarter.client.v1.ClientService", "DeleteLease", \
      jumpstarter__client__v1__delete_lease_request, google__protobuf__empty, 0, 0) \
    X(client_rotate_token, "jumpstarter.client.v1.ClientService", "RotateToken", \
      jumpstarter__client__v1__rotate_token_request, jumpstarter__client__v1__rotate_token_response, 0, 0)

#define JMP_DECLARE_METHOD(variable, ...) extern const struct jmp_method_info jmp_##variable;
JMP_METHODS(JMP_DECLARE_METHOD)

/* Both ends of every byte stream; raw messages, see rpc/frame.h. */
extern const struct jmp_method_info jmp_router_stream;   /* "/jumpstarter.v1.RouterService/Stream" */
