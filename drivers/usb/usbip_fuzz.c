/* SPDX-License-Identifier: Apache-2.0 */
/* What a client of the USB/IP server may send: a request, then transfers with their payload. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/usb/usbip_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_packets(const uint8_t *data, const struct jmp_usbip_urb *urb)
{
    struct jmp_usbip_packet packets[JMP_USBIP_PACKETS_MAX];
    uint64_t sum = 0;

    if (jmp_usbip_packets_read(data, urb->packets, urb->length, packets) < 0)
        return;
    for (uint32_t i = 0; i < urb->packets; i++)
        sum += packets[i].length;
    assert(sum <= urb->length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t written[JMP_USBIP_REQUEST_SIZE + JMP_USBIP_BUSID_SIZE], header[JMP_USBIP_URB_SIZE];
    struct jmp_usbip_request request;
    struct jmp_usbip_urb urb, again;
    ssize_t n;

    if (size >= JMP_USBIP_DEVICE_SIZE) {
        struct jmp_usbip_device device;

        jmp_usbip_device_read(data, &device);
        assert(strlen(device.busid) < JMP_USBIP_BUSID_SIZE);
    }

    n = jmp_usbip_request_read(data, size, &request);
    if (n > 0) {
        assert((size_t)n <= size && jmp_usbip_request_write(&request, written) == (size_t)n);
        data += n;
        size -= (size_t)n;
    }
    while (size >= JMP_USBIP_URB_SIZE && jmp_usbip_urb_read(data, &urb) == 0) {
        size_t payload = jmp_usbip_urb_payload(&urb);

        jmp_usbip_urb_write(&urb, header);
        assert(jmp_usbip_urb_read(header, &again) == 0 && memcmp(&urb, &again, sizeof(urb)) == 0);
        data += JMP_USBIP_URB_SIZE;
        size -= JMP_USBIP_URB_SIZE;
        if (payload > size)
            break;
        read_packets(data + payload - (size_t)urb.packets * JMP_USBIP_PACKET_SIZE, &urb);
        data += payload;
        size -= payload;
    }
    return 0;
}
