/* SPDX-License-Identifier: Apache-2.0 */
/* A Unix stream socket on the exporter's machine: every stream is a connection of its own. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/limits.h"
#include "drivers/families.h"

#define RETRY_EVERY (50 * JMP_USEC_PER_MSEC)

struct unix_network {
    const char *path;
    double connect_timeout;   /* seconds */
};

static const struct jmp_option unix_options[] = {
    { JMP_FIELD(struct unix_network, path), .required = true, .value_name = "PATH", .help = "path of the socket" },
    { JMP_FIELD(struct unix_network, connect_timeout), .preset = "10", .min = 0.1, .max = 600, .value_name = "SECONDS",
      .help = "longest time for a connection while the server is busy" },
    {}
};

static int unix_check(const void *self, struct jmp_error *reterr)
{
    const struct unix_network *network = self;
    size_t length = strlen(network->path), limit = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

    if (length == 0)
        return jmp_error_set(reterr, -EINVAL, "the path of the socket is empty");
    if (length > limit)
        return jmp_error_set(reterr, -EINVAL, "the path of a socket can have %zu bytes, this one has %zu", limit,
                             length);

    return 0;
}

static int unix_connect(void *self, struct jmp_call *call, int *ret)
{
    const struct unix_network *network = self;
    uint64_t deadline = jmp_now() + (uint64_t)(network->connect_timeout * (double)JMP_USEC_PER_SEC);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length = strlen(network->path);
    _cleanup_close_ int fd = -EBADF;
    int r;

    if (length >= sizeof(address.sun_path))
        return jmp_call_fail(call, -ENAMETOOLONG, "%s is too long for a socket", network->path);
    memcpy(address.sun_path, network->path, length);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return jmp_call_fail(call, -errno, "no socket: %m");

    while (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        uint64_t now = jmp_now();

        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return jmp_call_fail(call, -errno, "no connection to %s: %m", network->path);
        /* The server's queue is full, and nothing tells when it no longer is. */
        if (now >= deadline)
            return jmp_call_fail(call, -ETIMEDOUT, "the server at %s has accepted nobody for %g seconds", network->path,
                                 network->connect_timeout);
        r = jmp_call_wait(call, -1, 0, now + RETRY_EVERY);
        if (r < 0)
            return r;
    }

    *ret = TAKE_FD(fd);
    return 0;
}

static const struct jmp_method unix_methods[] = {
    { .name = "connect", .open = unix_connect },
    {}
};

const struct jmp_driver_class jmp_network_unix_class = {
    JMP_DRIVER_HEAD, .name = "unix", .kind = "network", .size = sizeof(struct unix_network),
    .python_type = "jumpstarter_driver_network.driver.UnixNetwork",
    .client = "jumpstarter_driver_network.client.NetworkClient",
    .help = "a Unix socket on the exporter's machine",
    .options = unix_options, .methods = unix_methods, .check = unix_check,
};
