/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/io.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/limits.h"

#define END_LIMIT 5u /* seconds */

struct jmp_disk_io {
    int fd;
    size_t align;
    bool block;
    pthread_t thread;
    int done_fd; /* eventfd: a request has been done */
    struct jmp_io_buffer buffers[JMP_IO_BUFFERS];

    /* the thread's */
    bool direct;      /* O_DIRECT is on just now */
    bool no_zero;     /* the device has to be sent its zeros */
    uint64_t flushed; /* through the page cache: what is being written back */
    size_t flushed_size;

    /* lock */
    pthread_mutex_t lock;
    pthread_cond_t wake; /* the thread: there is work */
    pthread_cond_t idle; /* the owner, at the end: the thread is gone */
    unsigned refs;
    unsigned issued, done, taken; /* counted for ever; modulo the ring they are places in it */
    bool ending;
    int error;
    uint64_t failed_at;
};

static void io_unref(struct jmp_disk_io *io)
{
    bool last;

    pthread_mutex_lock(&io->lock);
    last = --io->refs == 0;
    pthread_cond_signal(&io->idle);
    pthread_mutex_unlock(&io->lock);
    if (!last)
        return;
    jmp_close(io->fd);
    jmp_close(io->done_fd);
    for (unsigned i = 0; i < JMP_IO_BUFFERS; i++)
        free(io->buffers[i].data);
    pthread_mutex_destroy(&io->lock);
    pthread_cond_destroy(&io->wake);
    pthread_cond_destroy(&io->idle);
    free(io);
}

/* Direct access where offset and size allow it; the odd end of an image goes through the page cache. */
static int set_direct(struct jmp_disk_io *io, uint64_t offset, size_t size)
{
    bool direct = io->align > 0 && offset % io->align == 0 && size % io->align == 0;
    int flags;

    if (direct == io->direct)
        return 0;
    flags = fcntl(io->fd, F_GETFL);
    if (flags < 0 || fcntl(io->fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) < 0)
        return -errno;
    io->direct = direct;
    return 0;
}

/* Some file systems take the flag and refuse the access: from now on through the page cache. Return: whether to try
 * again. */
static bool give_up_direct(struct jmp_disk_io *io)
{
    if (!io->direct || errno != EINVAL)
        return false;
    io->align = 0;
    return set_direct(io, 0, 0) == 0;
}

/* Starts writing back what was just written, and waits for what came before it: so that little is dirty at any time,
 * and the rest of the machine does not wait for our card. */
static int write_back(struct jmp_disk_io *io, uint64_t offset, size_t size)
{
    int r = 0;

    if (sync_file_range(io->fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE) < 0 && errno != ESPIPE)
        return -errno;
    if (io->flushed_size > 0) {
        if (sync_file_range(io->fd, (off_t)io->flushed, (off_t)io->flushed_size,
                            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) < 0)
            r = -errno;
        posix_fadvise(io->fd, (off_t)io->flushed, (off_t)io->flushed_size, POSIX_FADV_DONTNEED);
    }
    io->flushed = offset;
    io->flushed_size = size;
    return r;
}

static int do_write(struct jmp_disk_io *io, const struct jmp_io_buffer *buffer)
{
    size_t sent = 0;
    int r;

    r = set_direct(io, buffer->offset, buffer->size);
    if (r < 0)
        return r;
    while (sent < buffer->size) {
        ssize_t n = pwrite(io->fd, buffer->data + sent, buffer->size - sent, (off_t)(buffer->offset + sent));

        if (n < 0 && (errno == EINTR || give_up_direct(io)))
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        sent += (size_t)n;
        if (sent < buffer->size && io->direct && sent % io->align)
            sent -= sent % io->align;
    }
    return io->direct ? 0 : write_back(io, buffer->offset, buffer->size);
}

/* A range of zeros without sending them, where the device can. */
static int do_zero(struct jmp_disk_io *io, const struct jmp_io_buffer *buffer)
{
    uint64_t range[2] = { buffer->offset, buffer->size };
    int r = 0;

    if (io->no_zero)
        return do_write(io, buffer);
    if (io->block)
        r = ioctl(io->fd, BLKZEROOUT, range) < 0 ? -errno : 0;
    else if (fallocate(io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)range[0], (off_t)range[1]) < 0)
        r = -errno;
    if (r != -EOPNOTSUPP && r != -EINVAL && r != -ENOTTY)
        return r;
    io->no_zero = true;
    return do_write(io, buffer);
}

static int do_read(struct jmp_disk_io *io, struct jmp_io_buffer *buffer)
{
    size_t wanted = buffer->size;
    int r;

    r = set_direct(io, buffer->offset, wanted);
    if (r < 0)
        return r;
    for (buffer->size = 0; buffer->size < wanted;) {
        ssize_t n =
            pread(io->fd, buffer->data + buffer->size, wanted - buffer->size, (off_t)(buffer->offset + buffer->size));

        if (n < 0 && (errno == EINTR || give_up_direct(io)))
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        buffer->size += (size_t)n;
    }
    if (!io->direct)
        posix_fadvise(io->fd, (off_t)buffer->offset, (off_t)wanted, POSIX_FADV_DONTNEED);
    return 0;
}

static int do_sync(struct jmp_disk_io *io)
{
    if (fsync(io->fd) < 0)
        return -errno;
    /* What is read next is to come from the medium. The order for that is root's; advice is taken from everybody, for
     * pages that nobody else uses. */
    if (io->block && ioctl(io->fd, BLKFLSBUF, 0) < 0 && errno != EACCES && errno != ENOTTY)
        return -errno;
    posix_fadvise(io->fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

static int perform(struct jmp_disk_io *io, struct jmp_io_buffer *buffer)
{
    switch (buffer->op) {
    case JMP_IO_WRITE:
        return do_write(io, buffer);
    case JMP_IO_ZERO:
        return do_zero(io, buffer);
    case JMP_IO_READ:
        return do_read(io, buffer);
    case JMP_IO_SYNC:
        return do_sync(io);
    }
    return -EINVAL;
}

static void *io_thread(void *user)
{
    struct jmp_disk_io *io = user;
    const uint64_t one = 1;

    pthread_mutex_lock(&io->lock);
    while (!io->ending) {
        struct jmp_io_buffer *buffer = &io->buffers[io->done % JMP_IO_BUFFERS];
        int r;

        if (io->done == io->issued) {
            pthread_cond_wait(&io->wake, &io->lock);
            continue;
        }
        r = io->error;
        pthread_mutex_unlock(&io->lock);
        if (r == 0)
            r = perform(io, buffer);
        pthread_mutex_lock(&io->lock);
        if (r < 0 && io->error == 0) {
            io->error = r;
            io->failed_at = buffer->offset;
        }
        io->done++;
        if (write(io->done_fd, &one, sizeof(one)) < 0 && io->error == 0)
            io->error = -errno;
    }
    pthread_mutex_unlock(&io->lock);
    io_unref(io);
    return NULL;
}

static int start_thread(struct jmp_disk_io *io)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int r;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&io->thread, &attributes, io_thread, io);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return r;
}

int jmp_disk_io_new(int fd, size_t align, bool block, struct jmp_disk_io **ret)
{
    struct jmp_disk_io *io = calloc(1, sizeof(*io));
    pthread_condattr_t clock;
    int r = 0;

    if (!io) {
        jmp_close(fd);
        return -ENOMEM;
    }
    io->fd = fd;
    io->align = align;
    io->direct = align > 0;
    io->block = block;
    io->refs = 1;
    pthread_mutex_init(&io->lock, NULL);
    pthread_cond_init(&io->wake, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&io->idle, &clock);
    pthread_condattr_destroy(&clock);
    io->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (io->done_fd < 0)
        r = -errno;
    for (unsigned i = 0; r == 0 && i < JMP_IO_BUFFERS; i++) {
        io->buffers[i].data = aligned_alloc(4096, JMP_IO_BUFFER);
        if (!io->buffers[i].data)
            r = -ENOMEM;
    }
    if (r == 0) {
        io->refs = 2;
        r = start_thread(io);
        if (r < 0)
            io->refs = 1;
    }
    if (r < 0) {
        io_unref(io);
        return r;
    }
    *ret = io;
    return 0;
}

struct jmp_disk_io *jmp_disk_io_free(struct jmp_disk_io *io)
{
    struct timespec limit;
    bool ended;

    if (!io)
        return NULL;
    clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_sec += END_LIMIT;
    pthread_mutex_lock(&io->lock);
    io->ending = true;
    pthread_cond_signal(&io->wake);
    while (io->refs > 1 && pthread_cond_timedwait(&io->idle, &io->lock, &limit) == 0)
        continue;
    ended = io->refs == 1;
    pthread_mutex_unlock(&io->lock);
    if (ended)
        pthread_join(io->thread, NULL);
    else
        pthread_detach(io->thread);
    io_unref(io);
    return NULL;
}

static int wait_done(struct jmp_disk_io *io, struct jmp_call *call, uint64_t deadline)
{
    uint64_t count;
    int r;

    r = jmp_call_wait(call, io->done_fd, POLLIN, deadline);
    if (r < 0)
        return r;
    if (read(io->done_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return -errno;
    return 0;
}

/* Until @count requests are done. */
static int wait_for(struct jmp_disk_io *io, struct jmp_call *call, unsigned count, uint64_t stall)
{
    uint64_t deadline = jmp_now() + stall;

    for (;;) {
        int error, r;
        unsigned done;

        pthread_mutex_lock(&io->lock);
        done = io->done;
        error = io->error;
        pthread_mutex_unlock(&io->lock);
        if (error < 0)
            return error;
        if ((int)(done - count) >= 0)
            return 0;
        r = wait_done(io, call, deadline);
        if (r < 0)
            return r;
    }
}

int jmp_disk_io_get(struct jmp_disk_io *io, struct jmp_call *call, uint64_t stall, struct jmp_io_buffer **ret)
{
    int r = wait_for(io, call, io->issued - JMP_IO_BUFFERS + 1, stall);

    if (r < 0)
        return r;
    *ret = &io->buffers[io->issued % JMP_IO_BUFFERS];
    return 0;
}

void jmp_disk_io_submit(struct jmp_disk_io *io)
{
    pthread_mutex_lock(&io->lock);
    io->issued++;
    pthread_cond_signal(&io->wake);
    pthread_mutex_unlock(&io->lock);
}

int jmp_disk_io_take(struct jmp_disk_io *io, struct jmp_call *call, uint64_t stall, const struct jmp_io_buffer **ret)
{
    int r;

    if (io->taken == io->issued)
        return 0;
    r = wait_for(io, call, io->taken + 1, stall);
    if (r < 0)
        return r;
    *ret = &io->buffers[io->taken++ % JMP_IO_BUFFERS];
    return 1;
}

int jmp_disk_io_drain(struct jmp_disk_io *io, struct jmp_call *call, uint64_t stall)
{
    int r = 0;

    /* Each in turn, so that the limit is for one of them. */
    while (r == 0 && io->taken != io->issued)
        r = wait_for(io, call, ++io->taken, stall);
    return r;
}

uint64_t jmp_disk_io_failed_at(struct jmp_disk_io *io)
{
    uint64_t at;

    pthread_mutex_lock(&io->lock);
    at = io->failed_at;
    pthread_mutex_unlock(&io->lock);
    return at;
}
