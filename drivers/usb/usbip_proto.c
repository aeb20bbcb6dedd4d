/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/usbip_proto.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VERSION 0x0111u

static uint32_t get32(const uint8_t *data)
{
    uint32_t value;

    memcpy(&value, data, sizeof(value));
    return be32toh(value);
}

static uint16_t get16(const uint8_t *data)
{
    uint16_t value;

    memcpy(&value, data, sizeof(value));
    return be16toh(value);
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
    value = htobe32(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static uint8_t *put16(uint8_t *at, uint16_t value)
{
    value = htobe16(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

ssize_t jmp_usbip_request_read(const uint8_t *data, size_t size, struct jmp_usbip_request *ret)
{
    struct jmp_usbip_request request = { 0 };

    if (size < JMP_USBIP_REQUEST_SIZE)
        return 0;
    /* The version is told, not asked: all that are about speak this one. */
    if (get16(data) != VERSION)
        return -EPROTO;

    switch (get16(data + 2)) {
    case JMP_USBIP_DEVLIST:
        request.code = JMP_USBIP_DEVLIST;
        *ret = request;
        return JMP_USBIP_REQUEST_SIZE;
    case JMP_USBIP_IMPORT:
        if (size < JMP_USBIP_REQUEST_SIZE + JMP_USBIP_BUSID_SIZE)
            return 0;
        request.code = JMP_USBIP_IMPORT;
        memcpy(request.busid, data + JMP_USBIP_REQUEST_SIZE, JMP_USBIP_BUSID_SIZE);
        if (request.busid[JMP_USBIP_BUSID_SIZE - 1])
            return -EPROTO;
        *ret = request;
        return JMP_USBIP_REQUEST_SIZE + JMP_USBIP_BUSID_SIZE;
    default:
        return -EPROTO;
    }
}

void jmp_usbip_reply_write(enum jmp_usbip_code code, enum jmp_usbip_result result, uint8_t ret[JMP_USBIP_REQUEST_SIZE])
{
    put32(put16(put16(ret, VERSION), (uint16_t)code), result);
}

size_t jmp_usbip_request_write(const struct jmp_usbip_request *request,
                               uint8_t ret[JMP_USBIP_REQUEST_SIZE + JMP_USBIP_BUSID_SIZE])
{
    jmp_usbip_reply_write(request->code, JMP_USBIP_OK, ret);
    if (request->code != JMP_USBIP_IMPORT)
        return JMP_USBIP_REQUEST_SIZE;
    memcpy(ret + JMP_USBIP_REQUEST_SIZE, request->busid, JMP_USBIP_BUSID_SIZE);
    return JMP_USBIP_REQUEST_SIZE + JMP_USBIP_BUSID_SIZE;
}

int jmp_usbip_reply_read(const uint8_t data[JMP_USBIP_REQUEST_SIZE], enum jmp_usbip_code code, uint32_t *retresult)
{
    if (get16(data) != VERSION || get16(data + 2) != (code & 0x7fff))
        return -EPROTO;
    *retresult = get32(data + 4);
    return 0;
}

void jmp_usbip_device_write(const struct jmp_usbip_device *device, uint8_t ret[JMP_USBIP_DEVICE_SIZE])
{
    uint8_t *at = ret + sizeof(device->path) + sizeof(device->busid);

    memcpy(ret, device->path, sizeof(device->path));
    memcpy(ret + sizeof(device->path), device->busid, sizeof(device->busid));
    at = put32(put32(put32(at, device->bus), device->address), device->speed);
    at = put16(put16(put16(at, device->vendor), device->product), device->release);
    *at++ = device->class;
    *at++ = device->subclass;
    *at++ = device->protocol;
    *at++ = device->configuration;
    *at++ = device->configurations;
    *at++ = device->interfaces;
}

void jmp_usbip_device_read(const uint8_t data[JMP_USBIP_DEVICE_SIZE], struct jmp_usbip_device *ret)
{
    const uint8_t *at = data + sizeof(ret->path) + sizeof(ret->busid);

    memcpy(ret->path, data, sizeof(ret->path));
    memcpy(ret->busid, data + sizeof(ret->path), sizeof(ret->busid));
    ret->path[sizeof(ret->path) - 1] = '\0';
    ret->busid[sizeof(ret->busid) - 1] = '\0';
    ret->bus = get32(at);
    ret->address = get32(at + 4);
    ret->speed = get32(at + 8);
    ret->vendor = get16(at + 12);
    ret->product = get16(at + 14);
    ret->release = get16(at + 16);
    ret->class = at[18];
    ret->subclass = at[19];
    ret->protocol = at[20];
    ret->configuration = at[21];
    ret->configurations = at[22];
    ret->interfaces = at[23];
}

int jmp_usbip_urb_read(const uint8_t data[JMP_USBIP_URB_SIZE], struct jmp_usbip_urb *ret)
{
    uint32_t command = get32(data), direction = get32(data + 12), endpoint = get32(data + 16);
    struct jmp_usbip_urb urb = { .sequence = get32(data + 4), .device = get32(data + 8) };

    if (direction > 1 || endpoint > 15)
        return -EPROTO;
    urb.in = direction == 1;
    urb.endpoint = (uint8_t)endpoint;

    switch (command) {
    case JMP_USBIP_SUBMIT:
        urb.command = JMP_USBIP_SUBMIT;
        urb.flags = get32(data + 20);
        urb.length = get32(data + 24);
        urb.start_frame = get32(data + 28);
        urb.packets = get32(data + 32);
        urb.interval = get32(data + 36);
        memcpy(urb.setup, data + 40, sizeof(urb.setup));
        /* Of transfers that are not isochronous some say no packets, some -1. */
        if (urb.packets == UINT32_MAX)
            urb.packets = 0;
        if (urb.length > JMP_USBIP_TRANSFER_MAX || urb.packets > JMP_USBIP_PACKETS_MAX)
            return -EMSGSIZE;
        break;
    case JMP_USBIP_UNLINK:
        urb.command = JMP_USBIP_UNLINK;
        urb.victim = get32(data + 20);
        break;
    default:
        return -EPROTO;
    }
    *ret = urb;
    return 0;
}

void jmp_usbip_urb_write(const struct jmp_usbip_urb *urb, uint8_t ret[JMP_USBIP_URB_SIZE])
{
    uint8_t *at = ret;

    memset(ret, 0, JMP_USBIP_URB_SIZE);
    at = put32(put32(put32(at, urb->command), urb->sequence), urb->device);
    at = put32(put32(at, urb->in), urb->endpoint);
    switch (urb->command) {
    case JMP_USBIP_SUBMIT:
        at = put32(put32(put32(at, urb->flags), urb->length), urb->start_frame);
        at = put32(put32(at, urb->packets), urb->interval);
        memcpy(at, urb->setup, sizeof(urb->setup));
        break;
    case JMP_USBIP_UNLINK:
        put32(at, urb->victim);
        break;
    case JMP_USBIP_SUBMITTED:
        at = put32(put32(put32(at, (uint32_t)urb->status), urb->actual), urb->start_frame);
        put32(put32(at, urb->packets), urb->errors);
        break;
    case JMP_USBIP_UNLINKED:
        put32(at, (uint32_t)urb->status);
        break;
    }
}

size_t jmp_usbip_urb_payload(const struct jmp_usbip_urb *urb)
{
    if (urb->command != JMP_USBIP_SUBMIT)
        return 0;
    return (urb->in ? 0 : (size_t)urb->length) + (size_t)urb->packets * JMP_USBIP_PACKET_SIZE;
}

int jmp_usbip_packets_read(const uint8_t *data, uint32_t count, uint32_t size, struct jmp_usbip_packet *ret)
{
    uint32_t end = 0;

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *at = data + (size_t)i * JMP_USBIP_PACKET_SIZE;
        struct jmp_usbip_packet packet = { .offset = get32(at), .length = get32(at + 4) };

        if (packet.offset < end || packet.offset > size || packet.length > size - packet.offset)
            return -EPROTO;
        end = packet.offset + packet.length;
        ret[i] = packet;
    }
    return 0;
}

void jmp_usbip_packets_write(const struct jmp_usbip_packet *packets, uint32_t count, uint8_t *ret)
{
    for (uint32_t i = 0; i < count; i++)
        ret = put32(put32(put32(put32(ret, packets[i].offset), packets[i].length), packets[i].actual),
                    (uint32_t)packets[i].status);
}
