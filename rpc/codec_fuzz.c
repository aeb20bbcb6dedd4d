/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever comes, the guard and protobuf-c agree that it is safe. The first byte picks the message. */
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "jumpstarter/client/v1/client.pb-c.h"
#include "rpc/codec.h"
#include "rpc/frame.h"
#include "rpc/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const descriptors[] = {
        &jumpstarter__v1__driver_call_request__descriptor, &jumpstarter__v1__register_request__descriptor,
        &jumpstarter__v1__get_report_response__descriptor, &jumpstarter__client__v1__create_lease_request__descriptor,
        &jumpstarter__v1__log_stream_response__descriptor, &jumpstarter__v1__get_lease_response__descriptor,
    };
    ProtobufCMessage *message = NULL;
    const void *payload;
    unsigned type;
    size_t length;

    if (size == 0)
        return 0;
    jmp_frame_decode(data + 1, size - 1, &type, &payload, &length);
    if (jmp_codec_unpack(descriptors[data[0] % ELEMENTSOF(descriptors)], data + 1, size - 1, &message, NULL) < 0)
        return 0;
    if (data[0] % ELEMENTSOF(descriptors) == 0) {
        const Jumpstarter__V1__DriverCallRequest *call = (const Jumpstarter__V1__DriverCallRequest *)message;
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        struct jmp_node *node;

        if (jmp_tree_new(1 << 20, &tree) == 0) {
            for (size_t i = 0; i < call->n_args; i++)
                jmp_value_to_node(call->args[i], tree, &node);
        }
    }
    jmp_codec_free(message);
    return 0;
}
