/* SPDX-License-Identifier: Apache-2.0 */
/* A network end that returns every byte, for trying out the way there and back. */
#include "base/limits.h"
#include "drivers/families.h"
#include "drivers/stream.h"

static int echo_connect(void *self, struct jmp_call *call, int fd)
{
    _cleanup_free_ char *buffer = malloc(JMP_FRAME_MAX);
    int n, r;

    if (!buffer)
        return -ENOMEM;

    for (;;) {
        n = jmp_stream_read(call, fd, buffer, JMP_FRAME_MAX, JMP_USEC_INFINITY);
        if (n == -ECONNRESET)
            return 0;
        if (n <= 0)
            return n;

        r = jmp_stream_write(call, fd, buffer, (size_t)n, JMP_USEC_INFINITY);
        if (r == -EPIPE || r == -ECONNRESET)
            return 0;
        if (r < 0)
            return r;
    }
}

static const struct jmp_method echo_methods[] = {
    { .name = "connect", .serve = echo_connect },
    {}
};

const struct jmp_driver_class jmp_network_echo_class = {
    JMP_DRIVER_HEAD, .name = "echo", .kind = "network",
    .python_type = "jumpstarter_driver_network.driver.EchoNetwork",
    .client = "jumpstarter_driver_network.client.NetworkClient",
    .help = "returns every byte it is sent",
    .methods = echo_methods,
};
