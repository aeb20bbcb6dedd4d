/* SPDX-License-Identifier: Apache-2.0 */
/* Writing where there is no direct access: little of an image may be in the page cache at any time. */
#include "drivers/storage/io.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "base/limits.h"
#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"

#define MIB (1024u * 1024u)
#define SIZE (48u * MIB)
#define CACHED_MAX \
    (4 * JMP_IO_BUFFER) /* two buffers are written back at a time; pages come in larger pieces than one */
#define STALL (300 * JMP_USEC_PER_SEC)

/* Bytes of the file that are in the page cache; no more than these can be dirty. */
static size_t cached(int fd)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), count = 0;
    _cleanup_free_ unsigned char *resident = calloc(SIZE / page, 1);
    void *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);

    assert_non_null(resident);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mincore(map, SIZE, resident), 0);
    munmap(map, SIZE);
    for (size_t i = 0; i < SIZE / page; i++)
        count += resident[i] & 1;
    return count * page;
}

static void put(struct jmp_disk_io *io, struct jmp_call *call, uint64_t offset, size_t size)
{
    struct jmp_io_buffer *buffer;

    assert_int_equal(jmp_disk_io_get(io, call, STALL, &buffer), 0);
    buffer->op = JMP_IO_WRITE;
    buffer->offset = offset;
    buffer->size = size;
    memset(buffer->data, (int)(1 + offset / size), size);
    jmp_disk_io_submit(io);
}

/* Calls of the core are made from a call: this driver's only method is the test. */
struct writer {
    int fd;
    size_t align, piece;
};
static struct writer given;

static int write_all(void *self, struct jmp_call *call)
{
    _cleanup_(jmp_disk_io_freep) struct jmp_disk_io *io = NULL;
    struct jmp_io_buffer *buffer;
    size_t most = 0;

    assert_int_equal(jmp_disk_io_new(fcntl(given.fd, F_DUPFD_CLOEXEC, 3), given.align, false, &io), 0);
    for (uint64_t at = 0; at + given.piece <= SIZE; at += given.piece) {
        size_t now;

        put(io, call, at, given.piece);
        assert_int_equal(jmp_disk_io_drain(io, call, STALL), 0);
        now = cached(given.fd);
        most = now > most ? now : most;
    }
    if (most > CACHED_MAX)
        fail_msg("%zu MiB were in the page cache", most / MIB);

    assert_int_equal(jmp_disk_io_get(io, call, STALL, &buffer), 0);
    buffer->op = JMP_IO_SYNC;
    buffer->size = 0;
    jmp_disk_io_submit(io);
    assert_int_equal(jmp_disk_io_drain(io, call, STALL), 0);
    if (cached(given.fd) > MIB)
        fail_msg("after all %zu bytes are still in the page cache, and would be read back from there",
                 cached(given.fd));
    return 0;
}

static const struct jmp_method writer_methods[] = { { .name = "write", .call = write_all }, {} };
static const struct jmp_driver_class writer_class = {
    JMP_DRIVER_HEAD, .name = "writer", .kind = "storage", .client = "x", .size = 1, .methods = writer_methods,
};

static void check(int flags, size_t align, size_t piece)
{
    _cleanup_(device_freep) struct device *device = device_new(&writer_class, NULL);
    char path[] = "/var/tmp/jmp-io-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    struct statfs where;
    uint8_t byte;

    assert_true(fd >= 0);
    given = (struct writer){ open(path, O_RDWR | O_CLOEXEC | flags), align, piece };
    unlink(path);
    assert_int_equal(fstatfs(fd, &where), 0);
    /* tmpfs is page cache and nothing else; overlayfs, a container's, writes no parts back; and not every file
     * system takes the flag. */
    if (where.f_type == TMPFS_MAGIC || where.f_type == OVERLAYFS_SUPER_MAGIC || given.fd < 0) {
        jmp_close(given.fd);
        jmp_close(fd);
        skip();
    }
    assert_int_equal(ftruncate(fd, SIZE), 0);
    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_call(device, "write", NULL), 0);
    for (uint64_t at = 0; at + piece <= SIZE; at += piece) {
        assert_int_equal(pread(fd, &byte, 1, (off_t)(at + piece - 1)), 1);
        assert_int_equal(byte, 1 + at / piece);
    }
    jmp_close(given.fd);
    jmp_close(fd);
}

JMP_TEST(without_direct_access_little_is_dirty_at_a_time)
{
    check(0, 0, JMP_IO_BUFFER);
}

JMP_TEST(with_direct_access_nothing_stays_in_memory)
{
    check(O_DIRECT, 4096, JMP_IO_BUFFER);
}

/* A device that wants larger units than it says. */
JMP_TEST(where_direct_access_is_refused_later_it_goes_on_without)
{
    check(O_DIRECT, 1, JMP_IO_BUFFER - 1);
}
