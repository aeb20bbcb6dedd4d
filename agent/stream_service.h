/* SPDX-License-Identifier: Apache-2.0 */
/* RouterService.Stream of a session: bytes to and from drivers, and files lent to them. (docs/protocol.md,
 * "Streams") */
#pragma once

#include "rpc/rpc.h"

/** jmp_service_stream() - handler of a server whose user is a struct jmp_door */
void jmp_service_stream(struct jmp_rpc *rpc, const ProtobufCMessage *request, void *user);
