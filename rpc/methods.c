/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/methods.h"

#include "jumpstarter/client/v1/client.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "jumpstarter/v1/router.pb-c.h"
#include "jumpstarter/v1/telemetry.pb-c.h"

#define DEFINE_METHOD(variable, service, method, in, out, in_stream, out_stream) \
    const struct jmp_method_info jmp_##variable = { \
        .path = "/" service "/" method, .request = &in##__descriptor, .response = &out##__descriptor, \
        .request_stream = in_stream, .response_stream = out_stream, \
    };
JMP_METHODS(DEFINE_METHOD)

const struct jmp_method_info jmp_router_stream = {
    .path = "/jumpstarter.v1.RouterService/Stream", .request_stream = true, .response_stream = true,
};
