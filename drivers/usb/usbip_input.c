/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/usbip_input.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

void jmp_usbip_input_news(struct jmp_usbip_input *input) { input->drained = false; }
size_t jmp_usbip_input_waiting(const struct jmp_usbip_input *input) { return input->to - input->from; }

/* A stream socket gives all it has, so less than was asked for is the last of it; the end of the stream is news. */
static ssize_t read_socket(struct jmp_usbip_input *input, uint8_t *ret, size_t size)
{
    ssize_t n;

    if (input->drained)
        return -EAGAIN;
    n = recv(input->fd, ret, size, MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    input->drained = n > 0 && (size_t)n < size;
    return n;
}

ssize_t jmp_usbip_input_take(struct jmp_usbip_input *input, uint8_t *ret, size_t size)
{
    size_t waiting = jmp_usbip_input_waiting(input);
    ssize_t n;

    if (waiting == 0) {
        /* Straight to where it belongs: data of a transfer. */
        if (size >= sizeof(input->ahead))
            return read_socket(input, ret, size);
        n = read_socket(input, input->ahead, sizeof(input->ahead));
        if (n <= 0)
            return n;
        input->from = 0;
        input->to = waiting = (size_t)n;
    }
    if (size > waiting)
        size = waiting;
    memcpy(ret, input->ahead + input->from, size);
    input->from += size;
    return (ssize_t)size;
}
