/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/usbip_proto.h"

#include <errno.h>
#include <string.h>

#include "base/test.h"

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define BUSID_1_1 '1', '-', '1', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define BUSID_ENDLESS \
    '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', \
        '1', '1', '1', '1', '1', '1', '1', '1', '1'

JMP_TEST(requests_are_read_or_refused)
{
    const struct {
        const uint8_t *data;
        size_t size;
        ssize_t result;
        enum jmp_usbip_code code;
    } rows[] = {
        { BYTES(1, 0x11, 0x80, 5, 0, 0, 0, 0), 8, JMP_USBIP_DEVLIST },
        { BYTES(1, 0x11, 0x80, 5, 0, 0, 0, 0, 99), 8, JMP_USBIP_DEVLIST },
        { BYTES(1, 0x11, 0x80, 5, 0, 0, 0), 0, 0 },
        { BYTES(1, 0x11, 0x80, 3, 0, 0, 0, 0, BUSID_1_1), 40, JMP_USBIP_IMPORT },
        { BYTES(1, 0x11, 0x80, 3, 0, 0, 0, 0, '1', '-', '1'), 0, 0 },
        { BYTES(1, 0x11, 0x80, 3, 0, 0, 0, 0, BUSID_ENDLESS), -EPROTO, 0 },
        { BYTES(1, 0x06, 0x80, 5, 0, 0, 0, 0), -EPROTO, 0 }, /* a version of 2011 */
        { BYTES(1, 0x11, 0x00, 5, 0, 0, 0, 0), -EPROTO, 0 }, /* a reply */
        { BYTES('G', 'E', 'T', ' ', '/', ' ', 'H', 'T'), -EPROTO, 0 },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_usbip_request request = { 0 };

        if (jmp_usbip_request_read(rows[i].data, rows[i].size, &request) != rows[i].result ||
            request.code != rows[i].code)
            fail_msg("row %zu", i);
        if (rows[i].code == JMP_USBIP_IMPORT)
            assert_string_equal(request.busid, "1-1");
    }
}

JMP_TEST(a_request_comes_back_as_it_was_written)
{
    static const struct jmp_usbip_request requests[] = { { JMP_USBIP_DEVLIST, "" }, { JMP_USBIP_IMPORT, "1-1.2" } };

    for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
        uint8_t data[JMP_USBIP_REQUEST_SIZE + JMP_USBIP_BUSID_SIZE];
        struct jmp_usbip_request request;
        size_t size = jmp_usbip_request_write(&requests[i], data);

        assert_int_equal(jmp_usbip_request_read(data, size, &request), size);
        assert_memory_equal(&request, &requests[i], sizeof(request));
    }
}

JMP_TEST(a_reply_belongs_to_its_request)
{
    uint8_t data[JMP_USBIP_REQUEST_SIZE];
    uint32_t result = 99;

    jmp_usbip_reply_write(JMP_USBIP_IMPORT_REPLY, JMP_USBIP_BUSY, data);
    assert_memory_equal(data, "\x01\x11\x00\x03\x00\x00\x00\x02", 8);
    assert_int_equal(jmp_usbip_reply_read(data, JMP_USBIP_DEVLIST, &result), -EPROTO);
    assert_int_equal(jmp_usbip_reply_read(data, JMP_USBIP_IMPORT, &result), 0);
    assert_int_equal(result, JMP_USBIP_BUSY);
}

JMP_TEST(a_device_comes_back_as_it_was_written)
{
    const struct jmp_usbip_device device = {
        .path = "/sys/devices/x",
        .busid = "1-1.2",
        .bus = 1,
        .address = 7,
        .speed = 3,
        .vendor = 0x0403,
        .product = 0x6001,
        .release = 0x600,
        .class = 1,
        .subclass = 2,
        .protocol = 3,
        .configuration = 1,
        .configurations = 2,
        .interfaces = 4,
    };
    uint8_t data[JMP_USBIP_DEVICE_SIZE];
    struct jmp_usbip_device back;

    jmp_usbip_device_write(&device, data);
    jmp_usbip_device_read(data, &back);
    assert_memory_equal(&back, &device, sizeof(back));
    assert_memory_equal(data + 288, "\0\0\0\x01\0\0\0\x07\0\0\0\x03\x04\x03\x60\x01\x06\x00\x01\x02\x03\x01\x02\x04",
                        24);

    memset(data, 'x', sizeof(data));
    jmp_usbip_device_read(data, &back);
    assert_int_equal(strlen(back.busid), JMP_USBIP_BUSID_SIZE - 1);
    assert_int_equal(strlen(back.path), 255);
}

static void header(uint8_t data[JMP_USBIP_URB_SIZE], uint32_t command, uint32_t direction, uint32_t endpoint,
                   uint32_t length, uint32_t packets)
{
    const uint32_t words[] = { command, 7, 0x10002, direction, endpoint, 0, length, 0, packets, 0 };

    memset(data, 0, JMP_USBIP_URB_SIZE);
    for (size_t i = 0; i < ELEMENTSOF(words); i++)
        for (unsigned byte = 0; byte < 4; byte++)
            data[i * 4 + byte] = (uint8_t)(words[i] >> (24 - 8 * byte));
}

JMP_TEST(transfers_are_read_or_refused)
{
    static const struct {
        uint32_t command, direction, endpoint, length, packets;
        int result;
        size_t payload;
    } rows[] = {
        { 1, 0, 2, 512, 0, 0, 512 },
        { 1, 0, 2, 512, UINT32_MAX, 0, 512 },
        { 1, 1, 1, 512, 0, 0, 0 },
        { 1, 1, 15, 3072, 3, 0, 48 },
        { 1, 0, 3, 3072, 3, 0, 3072 + 48 },
        { 1, 0, 0, JMP_USBIP_TRANSFER_MAX, 0, 0, JMP_USBIP_TRANSFER_MAX },
        { 1, 0, 0, JMP_USBIP_TRANSFER_MAX + 1, 0, -EMSGSIZE, 0 },
        { 1, 1, 0, UINT32_MAX, 0, -EMSGSIZE, 0 },
        { 1, 1, 1, 1024, JMP_USBIP_PACKETS_MAX + 1, -EMSGSIZE, 0 },
        { 1, 2, 1, 0, 0, -EPROTO, 0 },
        { 1, 0, 16, 0, 0, -EPROTO, 0 },
        { 2, 0, 0, 0, 0, 0, 0 },
        { 3, 0, 0, 0, 0, -EPROTO, 0 },
        { 4, 0, 0, 0, 0, -EPROTO, 0 },
        { 0, 0, 0, 0, 0, -EPROTO, 0 },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        uint8_t data[JMP_USBIP_URB_SIZE];
        struct jmp_usbip_urb urb = { 0 };

        header(data, rows[i].command, rows[i].direction, rows[i].endpoint, rows[i].length, rows[i].packets);
        if (jmp_usbip_urb_read(data, &urb) != rows[i].result)
            fail_msg("row %zu", i);
        if (rows[i].result < 0)
            continue;
        assert_int_equal(jmp_usbip_urb_payload(&urb), rows[i].payload);
        assert_int_equal(urb.sequence, 7);
        assert_int_equal(urb.device, 0x10002);
    }
}

JMP_TEST(transfers_are_written_as_on_the_wire)
{
    static const struct {
        struct jmp_usbip_urb urb;
        uint8_t begin[40];
    } rows[] = {
        { { .command = JMP_USBIP_SUBMITTED, .sequence = 5, .status = -EPIPE, .actual = 16 },
          { 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xe0, 0, 0, 0, 16 } },
        { { .command = JMP_USBIP_UNLINKED, .sequence = 6, .status = -ECONNRESET },
          { 0, 0, 0, 4, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x98 } },
        { { .command = JMP_USBIP_UNLINK, .sequence = 6, .device = 1, .victim = 5 },
          { 0, 0, 0, 2, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5 } },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        uint8_t data[JMP_USBIP_URB_SIZE];

        jmp_usbip_urb_write(&rows[i].urb, data);
        assert_memory_equal(data, rows[i].begin, sizeof(rows[i].begin));
    }
}

JMP_TEST(packets_lie_in_the_buffer_one_after_the_other)
{
    static const struct {
        uint32_t offset[2], length[2], size;
        int result;
    } rows[] = {
        { { 0, 100 }, { 100, 100 }, 200, 0 },
        { { 0, 150 }, { 100, 50 }, 200, 0 },
        { { 0, 0 }, { 0, 200 }, 200, 0 },
        { { 0, 99 }, { 100, 50 }, 200, -EPROTO },
        { { 0, 100 }, { 100, 101 }, 200, -EPROTO },
        { { 0, 0xffffffff }, { 100, 2 }, 200, -EPROTO },
        { { 0, 100 }, { 100, 0xffffffff }, 200, -EPROTO },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_usbip_packet packets[2] = { { rows[i].offset[0], rows[i].length[0], 0, 0 },
                                               { rows[i].offset[1], rows[i].length[1], 0, 0 } };
        struct jmp_usbip_packet back[2];
        uint8_t data[2 * JMP_USBIP_PACKET_SIZE];

        jmp_usbip_packets_write(packets, 2, data);
        if (jmp_usbip_packets_read(data, 2, rows[i].size, back) != rows[i].result)
            fail_msg("row %zu", i);
        if (rows[i].result == 0)
            assert_memory_equal(packets, back, sizeof(back));
    }
}
