/* SPDX-License-Identifier: Apache-2.0 */
/*
 * StreamRequest and StreamResponse by hand: { 1 payload: bytes; 2 frame_type: enum }, the same for both. No copy on the
 * way out but the payload itself. (docs/protocol.md, "Streams")
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "rpc/rpc.h"

enum jmp_frame_type {
    JMP_FRAME_DATA = 0,
    JMP_FRAME_RST_STREAM = 3,
    JMP_FRAME_PING = 6,
    JMP_FRAME_GOAWAY = 7,
};

/** jmp_frame_encode() - one frame as a wire message; NULL: -ENOMEM */
struct jmp_buffer *jmp_frame_encode(enum jmp_frame_type type, const void *payload, size_t length);

/** jmp_frame_decode() - look into a wire message
 * @data:       the message, flat
 * @retpayload: points into @data
 *
 * Unknown fields are skipped, the last of a doubled field counts. Return: 0 or -EBADMSG. */
int jmp_frame_decode(const void *data, size_t length, unsigned *rettype, const void **retpayload, size_t *retlength);
