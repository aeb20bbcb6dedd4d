/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/stream.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/limits.h"

static uint64_t deadline_in(uint64_t usec)
{
    return usec == JMP_USEC_INFINITY ? JMP_USEC_INFINITY : jmp_now() + usec;
}

int jmp_stream_read(struct jmp_call *call, int fd, void *data, size_t size, uint64_t stall)
{
    uint64_t deadline = deadline_in(stall);

    for (;;) {
        ssize_t n;
        int r;

        /* First the wait: the descriptor may be a blocking one. */
        r = jmp_call_wait(call, fd, POLLIN, deadline);
        if (r < 0)
            return r;

        n = read(fd, data, size);
        if (n >= 0)
            return (int)n;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
}

/* One write that returns at once whatever the mode of the descriptor, as far as that can be had: pipes and terminals
 * have no MSG_DONTWAIT, but after POLLOUT they take at least something. */
static ssize_t write_some(int fd, const void *data, size_t size)
{
    ssize_t n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno == ENOTSOCK)
        n = write(fd, data, size);
    return n;
}

int jmp_stream_write(struct jmp_call *call, int fd, const void *data, size_t size, uint64_t stall)
{
    uint64_t deadline = deadline_in(stall);
    const char *bytes = data;

    while (size > 0) {
        ssize_t n;
        int r;

        r = jmp_call_wait(call, fd, POLLOUT, deadline);
        if (r < 0)
            return r;

        n = write_some(fd, bytes, size);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n < 0)
            return -errno;

        bytes += n;
        size -= (size_t)n;
        deadline = deadline_in(stall);
    }

    return 0;
}
