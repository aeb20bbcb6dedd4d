/* SPDX-License-Identifier: Apache-2.0 */
/*
 * USB/IP 1.1.1 in bytes, as Documentation/usb/usbip_protocol.rst of Linux has it: first one request and its answer,
 * then, after an import, transfers (URBs) and their results in any order. No sockets, no devices; all numbers of the
 * wire are big-endian.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define JMP_USBIP_REQUEST_SIZE 8u /* version, code, status */
#define JMP_USBIP_BUSID_SIZE 32u
#define JMP_USBIP_DEVICE_SIZE 312u
#define JMP_USBIP_INTERFACE_SIZE 4u
#define JMP_USBIP_URB_SIZE 48u
#define JMP_USBIP_PACKET_SIZE 16u                 /* descriptor of one isochronous packet */
#define JMP_USBIP_TRANSFER_MAX (4u * 1024 * 1024) /* data of one transfer; kernels ask for 1 MiB at most */
#define JMP_USBIP_PACKETS_MAX 1024u               /* of one isochronous transfer, as in Linux */
#define JMP_USBIP_DEVICES_MAX 64u                 /* in a list that we are told */

enum jmp_usbip_code {
    JMP_USBIP_DEVLIST = 0x8005,
    JMP_USBIP_DEVLIST_REPLY = 0x0005,
    JMP_USBIP_IMPORT = 0x8003,
    JMP_USBIP_IMPORT_REPLY = 0x0003,
};

enum jmp_usbip_result { JMP_USBIP_OK, JMP_USBIP_NOT_AVAILABLE, JMP_USBIP_BUSY, JMP_USBIP_FAULTY, JMP_USBIP_NO_DEVICE };

struct jmp_usbip_request {
    enum jmp_usbip_code code;
    char busid[JMP_USBIP_BUSID_SIZE]; /* of an import; ends with NUL */
};

/** jmp_usbip_request_read() - the request at the beginning of @data
 * Return: its size, 0: more than @size bytes are needed, -EPROTO: it is none that a server is asked. */
ssize_t jmp_usbip_request_read(const uint8_t *data, size_t size, struct jmp_usbip_request *ret);
/** jmp_usbip_request_write() - the other way round. Return: its size. */
size_t jmp_usbip_request_write(const struct jmp_usbip_request *request,
                               uint8_t ret[JMP_USBIP_REQUEST_SIZE + JMP_USBIP_BUSID_SIZE]);
/** jmp_usbip_reply_write() - the 8 bytes that a reply begins with */
void jmp_usbip_reply_write(enum jmp_usbip_code code, enum jmp_usbip_result result, uint8_t ret[JMP_USBIP_REQUEST_SIZE]);
/** jmp_usbip_reply_read() - those 8 bytes. Return: 0, -EPROTO: not a reply to @code. */
int jmp_usbip_reply_read(const uint8_t data[JMP_USBIP_REQUEST_SIZE], enum jmp_usbip_code code, uint32_t *retresult);

struct jmp_usbip_device {
    char path[256], busid[JMP_USBIP_BUSID_SIZE];
    uint32_t bus, address;
    uint32_t speed; /* as Linux counts: 1 low, 2 full, 3 high, 5 super, 6 super plus */
    uint16_t vendor, product, release;
    uint8_t class, subclass, protocol, configuration, configurations, interfaces;
};

void jmp_usbip_device_write(const struct jmp_usbip_device *device, uint8_t ret[JMP_USBIP_DEVICE_SIZE]);
/** jmp_usbip_device_read() - both texts end with NUL whatever was sent */
void jmp_usbip_device_read(const uint8_t data[JMP_USBIP_DEVICE_SIZE], struct jmp_usbip_device *ret);

enum jmp_usbip_command { JMP_USBIP_SUBMIT = 1, JMP_USBIP_UNLINK, JMP_USBIP_SUBMITTED, JMP_USBIP_UNLINKED };

/* Flags of a transfer, as in Linux. */
#define JMP_USBIP_SHORT_NOT_OK 0x0001u
#define JMP_USBIP_ZERO_PACKET 0x0040u

struct jmp_usbip_urb {
    enum jmp_usbip_command command;
    uint32_t sequence;
    uint32_t device; /* bus << 16 | address; 0 in answers */
    bool in;
    uint8_t endpoint; /* 0 to 15 */
    /* Submit */
    uint32_t flags, length, start_frame, packets, interval;
    uint8_t setup[8];
    /* Unlink */
    uint32_t victim; /* sequence of the transfer to be called back */
    /* Answers; also @start_frame, and @packets, of which @errors failed */
    int32_t status; /* negative errno as Linux numbers them */
    uint32_t actual, errors;
};

/** jmp_usbip_urb_read() - a header. Return: 0, -EPROTO: not one that a server is sent, -EMSGSIZE: larger than allowed.
 * */
int jmp_usbip_urb_read(const uint8_t data[JMP_USBIP_URB_SIZE], struct jmp_usbip_urb *ret);
/** jmp_usbip_urb_write() - a header, in either direction */
void jmp_usbip_urb_write(const struct jmp_usbip_urb *urb, uint8_t ret[JMP_USBIP_URB_SIZE]);
/** jmp_usbip_urb_payload() - how many bytes follow the header of a request: data, then packet descriptors */
size_t jmp_usbip_urb_payload(const struct jmp_usbip_urb *urb);

struct jmp_usbip_packet {
    uint32_t offset, length, actual;
    int32_t status;
};

/** jmp_usbip_packets_read() - the descriptors behind the data of a submit
 * @data:  @count descriptors
 * @size:  of the transfer's buffer, in which all packets have to lie, in order and apart
 * Return: 0 or -EPROTO. */
int jmp_usbip_packets_read(const uint8_t *data, uint32_t count, uint32_t size, struct jmp_usbip_packet *ret);
void jmp_usbip_packets_write(const struct jmp_usbip_packet *packets, uint32_t count, uint8_t *ret);
