/* SPDX-License-Identifier: Apache-2.0 */
/* The guard against the attacks that protobuf-c would fall for. */
#include <string.h>

#include "base/test.h"
#include "base/limits.h"
#include "google/protobuf/struct.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/codec.h"

#define REPORT (&jumpstarter__v1__get_report_response__descriptor)
#define CALL (&jumpstarter__v1__driver_call_request__descriptor)
#define RESPONSE (&jumpstarter__v1__driver_call_response__descriptor)
#define STATUS (&jumpstarter__v1__get_status_response__descriptor)

#define BYTES(text) text, sizeof(text) - 1

static int unpack(const ProtobufCMessageDescriptor *descriptor, const void *data, size_t length)
{
    struct jmp_error error = JMP_ERROR_INIT;
    ProtobufCMessage *message = NULL;
    int r = jmp_codec_unpack(descriptor, data, length, &message, &error);

    assert_true(r == 0 ? message != NULL : message == NULL && error.text[0]);
    jmp_codec_free(message);
    return r;
}

JMP_TEST(small_messages_are_judged_by_their_bytes)
{
    static const struct {
        const char *what;
        const ProtobufCMessageDescriptor *descriptor;
        const char *data;
        size_t length;
        int r;
    } rows[] = {
        { "nothing", CALL, BYTES(""), 0 },
        { "a method", CALL, BYTES("\x12\x02on"), 0 },
        { "an unknown field", CALL, BYTES("\x78\x01"), 0 },
        { "an unknown field with bytes that are no text", CALL, BYTES("\x7a\x01\xff"), 0 },
        { "a method given twice: the last counts", CALL, BYTES("\x12\x02on\x12\x03off"), 0 },
        { "field number 0", CALL, BYTES("\x02\x00"), -EBADMSG },
        { "a group", CALL, BYTES("\x0b\x0c"), -EBADMSG },
        { "wire type 7", CALL, BYTES("\x0f"), -EBADMSG },
        { "a length beyond the end", CALL, BYTES("\x12\x05on"), -EBADMSG },
        { "a length of 2^63", CALL, BYTES("\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), -EBADMSG },
        { "a number without an end", CALL, BYTES("\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), -EBADMSG },
        { "a truncated fixed64", CALL, BYTES("\x79\x01\x02"), -EBADMSG },
        { "a NUL in a string", CALL, BYTES("\x12\x03" "a\0b"), -EBADMSG },
        { "half a character", CALL, BYTES("\x12\x01\xc3"), -EBADMSG },
        { "an overlong slash", CALL, BYTES("\x12\x02\xc0\xaf"), -EBADMSG },
        { "a surrogate", CALL, BYTES("\x12\x03\xed\xa0\x80"), -EBADMSG },
        { "beyond U+10FFFF", CALL, BYTES("\x12\x04\xf4\x90\x80\x80"), -EBADMSG },
        { "the last character of Unicode", CALL, BYTES("\x12\x04\xf4\x8f\xbf\xbf"), 0 },
        { "a result", RESPONSE, BYTES("\x12\x02\x08\x00"), 0 },
        { "a result given twice", RESPONSE, BYTES("\x12\x02\x08\x00\x12\x02\x08\x00"), -EBADMSG },
        { "an optional text that is empty", STATUS, BYTES("\x12\x00"), 0 },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        int r = unpack(rows[i].descriptor, rows[i].data, rows[i].length);

        if (r != rows[i].r)
            fail_msg("%s: %d instead of %d", rows[i].what, r, rows[i].r);
    }
}

JMP_TEST(presence_of_optional_fields_survives)
{
    ProtobufCMessage *message = NULL;
    Jumpstarter__V1__GetStatusResponse *status;

    assert_int_equal(jmp_codec_unpack(STATUS, (const uint8_t *)"\x12\x00", 2, &message, NULL), 0);
    status = (Jumpstarter__V1__GetStatusResponse *)message;
    assert_int_equal(status->_message_case, JUMPSTARTER__V1__GET_STATUS_RESPONSE___MESSAGE_MESSAGE);
    assert_string_equal(status->message, "");
    assert_int_equal(status->_previous_status_case, JUMPSTARTER__V1__GET_STATUS_RESPONSE___PREVIOUS_STATUS__NOT_SET);
    jmp_codec_free(message);
}

/* A Value inside a list inside a Value...: built from the inside out, at the end of a buffer. */
static size_t nested(uint8_t *end, unsigned levels, uint8_t **ret)
{
    uint8_t *p = end;
    size_t length = 0;

    for (unsigned i = 0; i < levels; i++) {
        /* ListValue { 1 values }, Value { 6 list_value } */
        for (unsigned field = 0; field < 2; field++) {
            uint8_t head[12];
            size_t n = 0;

            head[n++] = field == 0 ? 1 << 3 | 2 : 6 << 3 | 2;
            for (size_t rest = length; ; rest >>= 7) {
                head[n++] = (uint8_t)(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
                if (rest <= 0x7f)
                    break;
            }
            p -= n;
            memcpy(p, head, n);
            length += n;
        }
    }
    *ret = p;
    return length;
}

JMP_TEST(nesting_ends_before_the_stack_does)
{
    size_t size = 2 << 20;
    _cleanup_free_ uint8_t *buffer = malloc(size);
    uint8_t *data;
    size_t length;

    assert_non_null(buffer);
    length = nested(buffer + size, 40, &data);
    assert_int_equal(unpack(&google__protobuf__value__descriptor, data, length), 0);
    length = nested(buffer + size, 60, &data);
    assert_int_equal(unpack(&google__protobuf__value__descriptor, data, length), -EBADMSG);
    length = nested(buffer + size, 100000, &data);
    assert_int_equal(unpack(&google__protobuf__value__descriptor, data, length), -EBADMSG);
}

JMP_TEST(four_megabytes_of_empty_fields_are_refused_without_taking_memory)
{
    static const uint8_t empty_argument[] = { 0x1a, 0x00 }, unknown[] = { 0x78, 0x01 };
    size_t size = JMP_MESSAGE_MAX;
    _cleanup_free_ uint8_t *data = malloc(size);

    assert_non_null(data);
    for (size_t i = 0; i < size; i += 2)
        memcpy(data + i, empty_argument, 2);
    assert_int_equal(unpack(CALL, data, size), -EBADMSG);
    for (size_t i = 0; i < size; i += 2)
        memcpy(data + i, unknown, 2);
    assert_int_equal(unpack(CALL, data, size), -EBADMSG);
    /* Within the limit of fields it is the arena's budget that holds. */
    for (size_t i = 0; i < 100000; i += 2)
        memcpy(data + i, empty_argument, 2);
    assert_int_equal(unpack(CALL, data, 100000), -ENOMEM);
}

JMP_TEST(a_message_given_twice_is_refused_before_it_is_merged)
{
    /* result: Value { struct_value: many fields }, twice: protobuf-c would merge them in quadratic time. */
    size_t inner = 100000, size = 2 * (inner + 16), n = 0;
    _cleanup_free_ uint8_t *data = malloc(size);

    assert_non_null(data);
    for (unsigned twice = 0; twice < 2; twice++) {
        data[n++] = 2 << 3 | 2;
        data[n++] = (uint8_t)((inner & 0x7f) | 0x80);
        data[n++] = (uint8_t)(((inner >> 7) & 0x7f) | 0x80);
        data[n++] = (uint8_t)(inner >> 14);
        for (size_t i = 0; i < inner; i += 2) {
            data[n++] = 0x78;
            data[n++] = 0x01;
        }
    }
    assert_int_equal(unpack(RESPONSE, data, n), -EBADMSG);
}

JMP_TEST(unpacking_survives_any_failed_allocation)
{
    static const char data[] = "\x0a\x03"
                               "abc"
                               "\x12\x02on\x1a\x09\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\x1a\x05\x1a\x03xyz";

    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        ProtobufCMessage *message = NULL;
        int r = jmp_codec_unpack(CALL, (const uint8_t *)data, sizeof(data) - 1, &message, NULL);

        assert_true(r == 0 ? message != NULL : r == -ENOMEM && !message);
        jmp_codec_free(message);
    }
    jmp_fault_disarm();
}
