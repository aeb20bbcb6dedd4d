/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/config.h"

#include <errno.h>
#include <libusb.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIGURATIONS_MAX 8u /* as many as Linux takes */
#define HEAD_SIZE 2u          /* length and kind, of every descriptor */
#define ENDPOINT_MASK 0x0fu

/* Where Linux knows less than the configuration says there is, reading gives less, or zeros. */
int jmp_usb_config_read(int fd, unsigned value, struct jmp_usb_config *ret)
{
    off_t at = LIBUSB_DT_DEVICE_SIZE;

    *ret = (struct jmp_usb_config){ 0 };
    for (unsigned i = 0; value > 0 && i < CONFIGURATIONS_MAX; i++) {
        _cleanup_free_ uint8_t *data = NULL;
        uint8_t head[LIBUSB_DT_CONFIG_SIZE];
        ssize_t n = pread(fd, head, sizeof(head), at);
        size_t size;

        if (n < 0)
            return -errno;
        if (n < (ssize_t)sizeof(head) || head[1] != LIBUSB_DT_CONFIG)
            return -ENOENT;
        size = head[2] | (size_t)head[3] << 8;
        if (head[5] != value) {
            at += (off_t)size;
            continue;
        }
        data = malloc(size > 0 ? size : 1);
        if (!data)
            return -ENOMEM;
        n = pread(fd, data, size, at);
        if (n < 0)
            return -errno;
        *ret = (struct jmp_usb_config){ .data = TAKE_PTR(data), .size = (size_t)n };
        return 0;
    }
    return value > 0 ? -ENOENT : 0;
}

void jmp_usb_config_clear(struct jmp_usb_config *config)
{
    free(config->data);
    *config = (struct jmp_usb_config){ 0 };
}

static void take_setting(const uint8_t *descriptor, struct jmp_usb_part *part)
{
    uint32_t bit = UINT32_C(1) << descriptor[2] % 32, *seen = &part->seen[descriptor[2] / 32];

    part->inside = true;
    part->interface = descriptor[2];
    part->alternate = descriptor[3];
    part->class = descriptor[5];
    part->subclass = descriptor[6];
    part->protocol = descriptor[7];
    part->endpoint = part->type = 0;
    part->first = !(*seen & bit);
    *seen |= bit;
}

bool jmp_usb_config_next(const struct jmp_usb_config *config, struct jmp_usb_part *part)
{
    while (config->size - part->at >= HEAD_SIZE) {
        const uint8_t *descriptor = config->data + part->at;
        uint8_t length = descriptor[0], kind = descriptor[1];

        if (length < HEAD_SIZE || length > config->size - part->at)
            return false; /* where the next one would begin is not known */
        part->at += length;
        if (kind == LIBUSB_DT_INTERFACE && length >= LIBUSB_DT_INTERFACE_SIZE) {
            take_setting(descriptor, part);
            return true;
        }
        if (kind == LIBUSB_DT_ENDPOINT && length >= LIBUSB_DT_ENDPOINT_SIZE && part->inside &&
            (descriptor[2] & ENDPOINT_MASK)) {
            part->endpoint = descriptor[2];
            part->type = descriptor[3] & LIBUSB_TRANSFER_TYPE_MASK;
            part->first = false;
            return true;
        }
    }
    return false;
}

int jmp_usb_config_above(const struct jmp_usb_config *config, unsigned limit)
{
    struct jmp_usb_part part = { 0 };

    while (jmp_usb_config_next(config, &part))
        if (part.interface >= limit)
            return part.interface;
    return -1;
}
