/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC gives a listening socket up for ever when accept4() fails once for want of descriptors, so that whoever opens
 * enough connections would have cut the server off from everybody, also after he has left. What gRPC calls is therefore
 * this accept4(), which sends such a connection away with the help of a descriptor that was kept back.
 */
#include "rpc/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"

#define LOG_PAUSE (10 * JMP_USEC_PER_SEC)

static atomic_uint holders;
static atomic_int spare = -EBADF;
static _Atomic uint64_t logged;

static int refill(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), none = -EBADF;

    if (fd < 0)
        return -errno;
    if (!atomic_compare_exchange_strong(&spare, &none, fd))
        close(fd);
    return 0;
}

int jmp_accept_hold(void)
{
    int r = spare < 0 ? refill() : 0;

    if (r == 0)
        holders++;
    return r;
}

void jmp_accept_drop(void)
{
    if (--holders == 0)
        jmp_close(atomic_exchange(&spare, -EBADF));
}

static void tell(void)
{
    uint64_t now = jmp_now(), last = logged;

    if ((last == 0 || now - last >= LOG_PAUSE) && atomic_compare_exchange_strong(&logged, &last, now))
        jmp_log(JMP_LOG_WARNING, NULL, "no descriptor is left: connections are refused");
}

/* Return: whether one was. */
static bool send_away(int listener)
{
    int held;

    jmp_close(atomic_exchange(&spare, -EBADF));
    held = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
    if (held >= 0)
        close(held);
    (void)refill(); /* or the next time that a connection is taken */
    tell();
    return held >= 0;
}

/* Only of gRPC: it alone asks for the peer's address. Our own callers let connections wait. */
__attribute__((visibility("default"))) int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    int taken = (int)syscall(SYS_accept4, fd, address, length, flags);

    if (!address || holders == 0)
        return taken;
    if (taken >= 0) {
        if (spare < 0)
            (void)refill();
        return taken;
    }
    switch (errno) {
    case EMFILE:
    case ENFILE:
        errno = send_away(fd) ? EINTR : EAGAIN; /* EINTR: gRPC looks for the next one */
        break;
    case ENOBUFS:
    case ENOMEM:
        errno = EAGAIN; /* it looks when another one comes */
        break;
    case ENETDOWN:
    case EPROTO:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EPERM:
        errno = EINTR; /* of this connection, not of the listener: accept(2) */
        break;
    }
    return -1;
}
