/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/test.h"
#include "jumpstarter/v1/router.pb-c.h"
#include "rpc/frame.h"
#include "rpc/internal.h"

static void flatten(struct jmp_buffer *buffer, grpc_slice *ret)
{
    assert_true(jmp_buffer_flatten((grpc_byte_buffer *)buffer, ret));
    jmp_buffer_free(buffer);
}

JMP_TEST(a_frame_is_byte_for_byte_what_protobuf_writes)
{
    static const size_t lengths[] = { 0, 1, 2, 127, 128, 16383, 16384, JMP_FRAME_MAX };
    static const enum jmp_frame_type types[] = { JMP_FRAME_DATA, JMP_FRAME_RST_STREAM, JMP_FRAME_PING,
                                                 JMP_FRAME_GOAWAY };
    static char payload[JMP_FRAME_MAX];

    grpc_init();
    memset(payload, 'x', sizeof(payload));
    for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
        for (size_t t = 0; t < ELEMENTSOF(types); t++) {
            Jumpstarter__V1__StreamRequest *message;
            unsigned type;
            const void *data;
            size_t length;
            grpc_slice slice;

            flatten(jmp_frame_encode(types[t], payload, lengths[i]), &slice);
            message =
                jumpstarter__v1__stream_request__unpack(NULL, GRPC_SLICE_LENGTH(slice), GRPC_SLICE_START_PTR(slice));
            assert_non_null(message);
            assert_int_equal(message->frame_type, types[t]);
            assert_int_equal(message->payload.len, lengths[i]);
            assert_memory_equal(message->payload.data ?: (uint8_t *)"", payload, lengths[i]);
            assert_int_equal(jumpstarter__v1__stream_request__get_packed_size(message), GRPC_SLICE_LENGTH(slice));
            jumpstarter__v1__stream_request__free_unpacked(message, NULL);

            assert_int_equal(
                jmp_frame_decode(GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice), &type, &data, &length), 0);
            assert_int_equal(type, types[t]);
            assert_int_equal(length, lengths[i]);
            grpc_slice_unref(slice);
        }
    }
    grpc_shutdown_blocking();
}

JMP_TEST(frames_from_outside_are_judged_by_their_bytes)
{
    static const struct {
        const char *data;
        size_t length;
        int r;
        unsigned type;
        size_t payload;
    } rows[] = {
        { "", 0, 0, JMP_FRAME_DATA, 0 },
        { "\x0a\x00", 2, 0, JMP_FRAME_DATA, 0 },
        { "\x10\x07", 2, 0, JMP_FRAME_GOAWAY, 0 },
        { "\x10\x63", 2, 0, 99, 0 },
        { "\x10\x00\x0a\x03" "abc", 7, 0, JMP_FRAME_DATA, 3 },
        { "\x0a\x03" "abc\x0a\x01z", 8, 0, JMP_FRAME_DATA, 1 },      /* the last counts */
        { "\x1a\x02hi\x20\x01\x0a\x01z", 9, 0, JMP_FRAME_DATA, 1 },  /* unknown fields */
        { "\x0a\x04" "abc", 5, -EBADMSG, 0, 0 },
        { "\x0a", 1, -EBADMSG, 0, 0 },
        { "\x10", 1, -EBADMSG, 0, 0 },
        { "\x0b\x0c", 2, -EBADMSG, 0, 0 },
        { "\x00", 1, -EBADMSG, 0, 0 },
        { "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, -EBADMSG, 0, 0 },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        unsigned type = 0;
        const void *data;
        size_t length = 0;
        int r = jmp_frame_decode(rows[i].data, rows[i].length, &type, &data, &length);

        if (r != rows[i].r || type != rows[i].type || length != rows[i].payload)
            fail_msg("row %zu: %d, type %u, %zu bytes", i, r, type, length);
    }
}
