/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's file lent to a driver (exporter side of a resource stream): opened by a RouterService stream of kind
 * "resource", used once as an argument of a call on the same device, (de)compressed on the way. On the loop.
 */
#pragma once

#include "agent/device.h"

/**
 * jmp_resource_open() - make a resource on a device
 * @encoding:  "gzip", "xz", "bz2", "zstd", or NULL for plain bytes
 * @retuuid:   its handle's uuid, single use
 * @retfd:     the client's end, O_NONBLOCK: what the client sends is written to it (shutdown(SHUT_WR) at the client's
 *             GOAWAY), what it is to get is read from it until end of file. The callee's.
 *             The core closes its end when the driver's call has returned, so that the stream ends with GOAWAY in both
 *             directions.
 *
 * An upload whose fd is closed before it was shut down counts as broken: the call fails whatever the driver says.
 * Resources that no call has used are dropped when the lease ends, or when their stream is closed.
 *
 * Return: 0, -EINVAL (unknown encoding, with words), -ENOMEM, -EMFILE.
 */
int jmp_resource_open(struct jmp_device *device, const char *encoding, char retuuid[37], int *retfd,
                      struct jmp_error *reterr);
