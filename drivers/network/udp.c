/* SPDX-License-Identifier: Apache-2.0 */
/* A UDP port that the exporter can reach: a datagram is a frame of the stream. */
#include "drivers/families.h"
#include "drivers/network/resolve.h"

struct udp {
    const char *host;
    unsigned port;
    bool enable_address;
    double connect_timeout;   /* seconds */
};

static const struct jmp_option udp_options[] = {
    { JMP_FIELD(struct udp, host), .required = true, .value_name = "HOST", .help = "name or address of the host" },
    { JMP_FIELD(struct udp, port), .required = true, .min = 1, .max = 65535, .value_name = "PORT",
      .help = "its UDP port" },
    { JMP_FIELD(struct udp, enable_address), .preset = "true",
      .help = "let clients ask for the address, to send to it directly" },
    { JMP_FIELD(struct udp, connect_timeout), .preset = "10", .min = 0.1, .max = 600, .value_name = "SECONDS",
      .help = "longest time for finding the host's address" },
    {}
};

static int udp_connect(void *self, struct jmp_call *call, int *ret)
{
    const struct udp *udp = self;

    return jmp_network_connect(call, udp->host, udp->port, SOCK_DGRAM, udp->connect_timeout, ret);
}

static int udp_address(void *self, struct jmp_call *call)
{
    const struct udp *udp = self;

    return jmp_network_reply_address(call, "udp", udp->host, udp->port, SOCK_DGRAM, udp->enable_address,
                                     udp->connect_timeout);
}

static const struct jmp_method udp_methods[] = {
    { .name = "connect", .open = udp_connect },
    { .name = "address", .call = udp_address },
    {}
};

const struct jmp_driver_class jmp_network_udp_class = {
    JMP_DRIVER_HEAD, .name = "udp", .kind = "network", .size = sizeof(struct udp),
    .python_type = "jumpstarter_driver_network.driver.UdpNetwork",
    .client = "jumpstarter_driver_network.client.NetworkClient",
    .help = "a UDP port that the exporter can reach",
    .options = udp_options, .methods = udp_methods,
};
