/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage without hardware: a medium that is one unlinked file. As a mux it can be switched between host and board, as
 * a flasher it takes one image whatever the target is called. What was written stays until the agent ends.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/log.h"
#include "drivers/families.h"
#include "drivers/stream.h"

#define STALL_LIMIT (300 * JMP_USEC_PER_SEC)   /* an image that does not move for so long is given up */
#define CHUNK (256u * 1024)

struct storage_mock {
    const char *directory;
    unsigned size_limit;    /* MiB */
    int fd;                 /* the medium; -EBADF while closed */
};

static const struct jmp_option storage_mock_options[] = {
    { JMP_FIELD(struct storage_mock, directory), .nullable = true, .value_name = "DIR",
      .help = "where the file with the image is kept; without it $TMPDIR, else /var/tmp" },
    { JMP_FIELD(struct storage_mock, size_limit), .preset = "1024", .min = 1, .max = 1024 * 1024, .value_name = "MIB",
      .help = "size of the medium in MiB: a longer image is refused" },
    {}
};

static int unlinked_file(const char *directory)
{
    _cleanup_free_ char *name = NULL;
    int fd;

    fd = open(directory, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    /* Some file systems cannot make nameless files. */
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
        return -errno;

    if (asprintf(&name, "%s/jmp-storage-XXXXXX", directory) < 0) {
        name = NULL;
        return -ENOMEM;
    }

    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (unlink(name) < 0) {
        int r = -errno;

        jmp_close(fd);
        return r;
    }

    return fd;
}

static int storage_mock_open(void *self, struct jmp_call *call)
{
    struct storage_mock *mock = self;
    const char *directory = mock->directory;

    if (!directory)
        directory = getenv("TMPDIR");
    if (!directory || !*directory)
        directory = "/var/tmp";

    mock->fd = unlinked_file(directory);
    if (mock->fd < 0)
        return jmp_call_fail(call, mock->fd,
                             "no file can be made in %s: %m; set \"directory\" to one that can be written", directory);

    return 0;
}

static void storage_mock_close(void *self)
{
    struct storage_mock *mock = self;

    mock->fd = jmp_close(mock->fd);
}

/* All of @size bytes to a regular file. */
static int file_write(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        size -= (size_t)n;
    }

    return 0;
}

/* The image named by @arg becomes the content of the medium. A medium that was half written stays so, as a card
 * would. */
static int medium_write(struct storage_mock *mock, struct jmp_call *call, const char *arg)
{
    const uint64_t limit = (uint64_t)mock->size_limit * 1024 * 1024;
    _cleanup_free_ char *chunk = malloc(CHUNK);
    uint64_t total = 0;
    int from, n, r;

    if (!chunk)
        return -ENOMEM;

    from = jmp_call_fd(call, arg, false);
    if (from < 0)
        return from;

    if (ftruncate(mock->fd, 0) < 0 || lseek(mock->fd, 0, SEEK_SET) < 0)
        return jmp_call_fail(call, -errno, "the medium cannot be cleared: %m");

    for (;;) {
        n = jmp_stream_read(call, from, chunk, CHUNK, STALL_LIMIT);
        if (n == -ETIMEDOUT)
            return jmp_call_fail(call, n, "no more of the image came for 300 seconds, after %" PRIu64 " bytes", total);
        if (n < 0)
            return jmp_call_fail(call, n, "the image cannot be read after %" PRIu64 " bytes: %m", total);
        if (n == 0)
            break;

        total += (unsigned)n;
        if (total > limit)
            return jmp_call_fail(call, -ENOSPC, "the image is larger than the medium of %u MiB (option \"size_limit\")",
                                 mock->size_limit);

        r = file_write(mock->fd, chunk, (size_t)n);
        if (r < 0)
            return jmp_call_fail(call, r, "the medium cannot be written at byte %" PRIu64 ": %m", total - (unsigned)n);
    }

    r = jmp_call_complete(call);
    if (r == 0)
        jmp_call_log(call, JMP_LOG_INFO, "%" PRIu64 " bytes written", total);
    return r;
}

static int medium_read(struct storage_mock *mock, struct jmp_call *call, const char *arg)
{
    _cleanup_free_ char *chunk = malloc(CHUNK);
    uint64_t total = 0;
    int to, r;

    if (!chunk)
        return -ENOMEM;

    to = jmp_call_fd(call, arg, true);
    if (to < 0)
        return to;

    for (;;) {
        ssize_t n = pread(mock->fd, chunk, CHUNK, (off_t)total);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return jmp_call_fail(call, -errno, "the medium cannot be read at byte %" PRIu64 ": %m", total);
        if (n == 0)
            break;

        r = jmp_stream_write(call, to, chunk, (size_t)n, STALL_LIMIT);
        if (r == -ETIMEDOUT)
            return jmp_call_fail(call, r, "nobody took the image for 300 seconds, after %" PRIu64 " bytes", total);
        if (r < 0)
            return jmp_call_fail(call, r, "the image cannot be handed over after %" PRIu64 " bytes: %m", total);
        total += (size_t)n;
    }

    jmp_call_log(call, JMP_LOG_INFO, "%" PRIu64 " bytes read", total);
    return 0;
}

static int mux_host(void *self, struct jmp_call *call)
{
    jmp_call_log(call, JMP_LOG_INFO, "storage connected to the host");
    return 0;
}

static int mux_dut(void *self, struct jmp_call *call)
{
    jmp_call_log(call, JMP_LOG_INFO, "storage connected to the board");
    return 0;
}

static int mux_off(void *self, struct jmp_call *call)
{
    jmp_call_log(call, JMP_LOG_INFO, "storage disconnected");
    return 0;
}

static int mux_write(void *self, struct jmp_call *call) { return medium_write(self, call, "source"); }
static int mux_read(void *self, struct jmp_call *call) { return medium_read(self, call, "sink"); }

static const struct jmp_method mux_methods[] = {
    { .name = "host", .call = mux_host, .quick = true },
    { .name = "dut", .call = mux_dut, .quick = true },
    { .name = "off", .call = mux_off, .quick = true },
    { .name = "write", .args = { { "source", JMP_NODE } }, .call = mux_write },
    { .name = "read", .args = { { "sink", JMP_NODE } }, .call = mux_read },
    {}
};

const struct jmp_driver_class jmp_storage_mock_class = {
    JMP_DRIVER_HEAD, .name = "storage-mock", .kind = "storage", .size = sizeof(struct storage_mock),
    .python_type = "jumpstarter_driver_opendal.driver.MockStorageMux",
    .client = "jumpstarter_driver_opendal.client.StorageMuxClient",
    .help = "a storage multiplexer for tests, whose medium is a file",
    .options = storage_mock_options, .methods = mux_methods, .open = storage_mock_open, .close = storage_mock_close,
};

const struct jmp_driver_class jmp_storage_mock_flasher_class = {
    JMP_DRIVER_HEAD, .name = "storage-mock-flasher", .kind = "storage", .size = sizeof(struct storage_mock),
    .python_type = "jumpstarter_driver_opendal.driver.MockStorageMuxFlasher",
    .client = "jumpstarter_driver_opendal.client.StorageMuxFlasherClient",
    .help = "storage-mock with the client that flashes and dumps whole images",
    .options = storage_mock_options, .methods = mux_methods, .open = storage_mock_open, .close = storage_mock_close,
};

static int flasher_flash(void *self, struct jmp_call *call)
{
    if (jmp_call_has(call, "target"))
        jmp_call_log(call, JMP_LOG_INFO, "flash to \"%s\"", jmp_call_string(call, "target"));
    return medium_write(self, call, "source");
}

static int flasher_dump(void *self, struct jmp_call *call)
{
    if (jmp_call_has(call, "partition"))
        jmp_call_log(call, JMP_LOG_INFO, "dump of \"%s\"", jmp_call_string(call, "partition"));
    return medium_read(self, call, "sink");
}

static const struct jmp_method flasher_methods[] = {
    { .name = "flash", .args = { { "source", JMP_NODE }, { "target", JMP_STRING, true } }, .call = flasher_flash },
    { .name = "dump", .args = { { "sink", JMP_NODE }, { "partition", JMP_STRING, true } }, .call = flasher_dump },
    {}
};

const struct jmp_driver_class jmp_flasher_mock_class = {
    JMP_DRIVER_HEAD, .name = "flasher-mock", .kind = "storage", .size = sizeof(struct storage_mock),
    .python_type = "jumpstarter_driver_opendal.driver.MockFlasher",
    .client = "jumpstarter_driver_opendal.client.FlasherClient",
    .help = "a flasher for tests, which keeps the last image in a file",
    .options = storage_mock_options, .methods = flasher_methods, .open = storage_mock_open, .close = storage_mock_close,
};
