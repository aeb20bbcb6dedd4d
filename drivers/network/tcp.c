/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP port that the exporter can reach: every stream is a connection of its own. */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "drivers/families.h"
#include "drivers/network/resolve.h"

struct tcp {
    const char *host;
    unsigned port;
    bool enable_address;
    double connect_timeout;   /* seconds */
};

static const struct jmp_option tcp_options[] = {
    { JMP_FIELD(struct tcp, host), .required = true, .value_name = "HOST", .help = "name or address of the host" },
    { JMP_FIELD(struct tcp, port), .required = true, .min = 1, .max = 65535, .value_name = "PORT",
      .help = "its TCP port" },
    { JMP_FIELD(struct tcp, enable_address), .preset = "true",
      .help = "let clients ask for the address, to connect directly" },
    { JMP_FIELD(struct tcp, connect_timeout), .preset = "10", .min = 0.1, .max = 600, .value_name = "SECONDS",
      .help = "longest time for a connection, all addresses of the host together" },
    {}
};

static int tcp_connect(void *self, struct jmp_call *call, int *ret)
{
    /* A board that loses its power sends no FIN: ask after a minute of silence, give up two minutes later. */
    static const struct { int level, option, value; } settings[] = {
        { IPPROTO_TCP, TCP_NODELAY, 1 },
        { SOL_SOCKET, SO_KEEPALIVE, 1 },
        { IPPROTO_TCP, TCP_KEEPIDLE, 60 },
        { IPPROTO_TCP, TCP_KEEPINTVL, 20 },
        { IPPROTO_TCP, TCP_KEEPCNT, 6 },
    };
    const struct tcp *tcp = self;
    _cleanup_close_ int fd = -EBADF;
    int r;

    r = jmp_network_connect(call, tcp->host, tcp->port, SOCK_STREAM, tcp->connect_timeout, &fd);
    if (r < 0)
        return r;

    for (size_t i = 0; i < ELEMENTSOF(settings); i++)
        if (setsockopt(fd, settings[i].level, settings[i].option, &settings[i].value, sizeof(settings[i].value)) < 0)
            return jmp_call_fail(call, -errno, "the connection to %s port %u cannot be set up: %m", tcp->host,
                                 tcp->port);

    *ret = TAKE_FD(fd);
    return 0;
}

static int tcp_address(void *self, struct jmp_call *call)
{
    const struct tcp *tcp = self;

    return jmp_network_reply_address(call, "tcp", tcp->host, tcp->port, SOCK_STREAM, tcp->enable_address,
                                     tcp->connect_timeout);
}

static const struct jmp_method tcp_methods[] = {
    { .name = "connect", .open = tcp_connect },
    { .name = "address", .call = tcp_address },
    {}
};

const struct jmp_driver_class jmp_network_tcp_class = {
    JMP_DRIVER_HEAD, .name = "tcp", .kind = "network", .size = sizeof(struct tcp),
    .python_type = "jumpstarter_driver_network.driver.TcpNetwork",
    .client = "jumpstarter_driver_network.client.NetworkClient",
    .help = "a TCP port that the exporter can reach",
    .options = tcp_options, .methods = tcp_methods,
};
