/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/frame.h"

#include <string.h>

#include "rpc/internal.h"

/* Keys on the wire: field number times eight, plus the wire type. */
enum { KEY_PAYLOAD = 1 << 3 | 2, KEY_TYPE = 2 << 3 | 0 };

static size_t put_varint(uint8_t *p, uint64_t value)
{
    size_t n = 0;

    for (; value > 0x7f; value >>= 7)
        p[n++] = (uint8_t)(value | 0x80);
    p[n++] = (uint8_t)value;
    return n;
}

struct jmp_buffer *jmp_frame_encode(enum jmp_frame_type type, const void *payload, size_t length)
{
    uint8_t head[16];
    size_t n = 0;
    grpc_byte_buffer *buffer;
    grpc_slice slice;

    /* Protobuf leaves out what is zero or empty. */
    if (type != JMP_FRAME_DATA) {
        head[n++] = KEY_TYPE;
        head[n++] = (uint8_t)type;
    }
    if (length > 0) {
        head[n++] = KEY_PAYLOAD;
        n += put_varint(head + n, length);
    }
    slice = grpc_slice_malloc(n + length);
    memcpy(GRPC_SLICE_START_PTR(slice), head, n);
    if (length > 0)
        memcpy(GRPC_SLICE_START_PTR(slice) + n, payload, length);
    buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return (struct jmp_buffer *)buffer;
}

static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t byte = *(*p)++;

        *ret |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

int jmp_frame_decode(const void *data, size_t length, unsigned *rettype, const void **retpayload, size_t *retlength)
{
    const uint8_t *p = data, *end = p + length, *payload = NULL;
    size_t payload_length = 0;
    unsigned type = JMP_FRAME_DATA;

    while (p < end) {
        uint64_t key, value;

        if (!varint(&p, end, &key) || key >> 3 == 0)
            return -EBADMSG;
        switch (key & 7) {
        case 0:
            if (!varint(&p, end, &value))
                return -EBADMSG;
            if (key == KEY_TYPE)
                type = (unsigned)value;
            break;
        case 2:
            if (!varint(&p, end, &value) || value > (uint64_t)(end - p))
                return -EBADMSG;
            if (key == KEY_PAYLOAD) {
                payload = p;
                payload_length = (size_t)value;
            }
            p += value;
            break;
        case 1:
        case 5:
            value = (key & 7) == 1 ? 8 : 4;
            if (value > (uint64_t)(end - p))
                return -EBADMSG;
            p += value;
            break;
        default:
            return -EBADMSG;
        }
    }
    *rettype = type;
    *retpayload = payload;
    *retlength = payload_length;
    return 0;
}
