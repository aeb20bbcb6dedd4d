/* SPDX-License-Identifier: Apache-2.0 */
/* ExporterService, as handlers of a server whose user is a struct jmp_door. (docs/protocol.md, "Session") */
#pragma once

#include "agent/session.h"

void jmp_service_get_report(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user);
void jmp_service_driver_call(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user);
void jmp_service_streaming_driver_call(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user);
void jmp_service_log_stream(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user);
void jmp_service_get_status(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user);
void jmp_service_end_session(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user);
void jmp_service_reset(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user);

/*
 * For the stream service too.
 */

/** jmp_service_find() - the device a client names. NULL: the call was ended with UNKNOWN and a text. */
struct jmp_device *jmp_service_find(struct jmp_session *session, struct jmp_rpc *rpc, const char *uuid);
/** jmp_service_call_failed() - end a call with the code for a negative errno, also of jmp_call_start() */
void jmp_service_call_failed(struct jmp_rpc *rpc, int error, const char *text);

enum jmp_operation_step { JMP_OPERATION_STARTED, JMP_OPERATION_COMPLETED, JMP_OPERATION_FAILED };

/** jmp_service_log_operation() - the record that LogStream readers get around each driver call; it is counted, too
 * @began: jmp_now() of STARTED, which returns it; 0: it did not come so far
 * @error: of FAILED, negative errno; @text: its words, for the exporter's own log */
uint64_t jmp_service_log_operation(struct jmp_logstream *logs, const struct jmp_device *device, const char *method,
                                   enum jmp_operation_step step, uint64_t began, int error, const char *text);
