/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"

static const struct {
    const struct jmp_driver_class *driver;
    const char *write, *read, *args;
} mocks[] = {
    { &jmp_storage_mock_class, "write", "read", "[{}]" },
    { &jmp_storage_mock_flasher_class, "write", "read", "[{}]" },
    { &jmp_flasher_mock_class, "flash", "dump", "[{}]" },
    { &jmp_flasher_mock_class, "flash", "dump", "[{}, null]" },
    { &jmp_flasher_mock_class, "flash", "dump", "[{}, \"boot\"]" },
};

struct image {
    pthread_t thread;
    int fd;
    size_t size;
    char *data;
};

static char *pattern(size_t size)
{
    char *data = malloc(size);
    uint32_t state = 12345;

    assert_non_null(data);
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (char)(state >> 24);
    }
    return data;
}

static void *send_image(void *data)
{
    struct image *image = data;

    fd_write_all(image->fd, image->data, image->size);
    shutdown(image->fd, SHUT_WR);
    return NULL;
}

static void *take_image(void *data)
{
    struct image *image = data;

    fd_read_all(image->fd, image->data, image->size);
    fd_expect_end(image->fd);
    return NULL;
}

static int write_image(struct device *device, size_t row, char *data, size_t size)
{
    struct image image = { .data = data, .size = size };
    int pair[2], r;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    image.fd = pair[0];
    assert_int_equal(pthread_create(&image.thread, NULL, send_image, &image), 0);
    device_lend(device, pair[1]);
    r = device_call(device, mocks[row].write, mocks[row].args);
    pthread_join(image.thread, NULL);
    close(pair[0]);
    close(pair[1]);
    return r;
}

static void expect_image(struct device *device, size_t row, const char *data, size_t size)
{
    struct image image = { .data = malloc(size + 1), .size = size };
    int pair[2];

    assert_non_null(image.data);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    image.fd = pair[0];
    assert_int_equal(pthread_create(&image.thread, NULL, take_image, &image), 0);
    device_lend(device, pair[1]);
    assert_int_equal(device_call(device, mocks[row].read, mocks[row].args), 0);
    close(pair[1]);
    pthread_join(image.thread, NULL);
    assert_memory_equal(image.data, data, size);
    free(image.data);
    close(pair[0]);
}

JMP_TEST(storage_mock_returns_what_was_written)
{
    static const size_t sizes[] = { 0, 1, 4096, 3 * 1024 * 1024 + 17, 5 };   /* the last: shorter than the one before */

    for (size_t row = 0; row < ELEMENTSOF(mocks); row++) {
        _cleanup_(device_freep) struct device *device = device_new(mocks[row].driver, NULL);

        assert_int_equal(device_open(device), 0);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
            _cleanup_free_ char *data = pattern(sizes[i] + 1);

            assert_int_equal(write_image(device, row, data, sizes[i]), 0);
            expect_image(device, row, data, sizes[i]);
            expect_image(device, row, data, sizes[i]);
        }
    }
}

JMP_TEST(storage_mock_refuses_more_than_the_medium_holds)
{
    const size_t limit = 1024 * 1024;
    _cleanup_(device_freep) struct device *device = device_new(&jmp_storage_mock_class, "{\"size_limit\": 1}");
    _cleanup_free_ char *data = pattern(limit + 1);
    int pair[2];

    assert_int_equal(device_open(device), 0);
    assert_int_equal(write_image(device, 0, data, limit), 0);

    /* One byte more, from a file: the sender of a socket would not know why it is stuck. */
    pair[0] = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    assert_true(pair[0] >= 0);
    fd_write_all(pair[0], data, limit + 1);
    lseek(pair[0], 0, SEEK_SET);
    device_lend(device, pair[0]);
    assert_int_equal(device_call(device, "write", "[{}]"), -ENOSPC);
    assert_non_null(strstr(device_error(device), "1 MiB"));
    close(pair[0]);
}

JMP_TEST(storage_mock_can_be_cancelled_while_it_waits)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_storage_mock_class, NULL);
    int pair[2];

    assert_int_equal(device_open(device), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    device_lend(device, pair[1]);
    device_cancel(device);
    assert_int_equal(device_call(device, "write", "[{}]"), -ECANCELED);
    close(pair[0]);
    close(pair[1]);
}

JMP_TEST(storage_mock_survives_a_client_that_stops_reading)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_storage_mock_class, NULL);
    _cleanup_free_ char *data = pattern(1024 * 1024);
    int pair[2];

    assert_int_equal(device_open(device), 0);
    assert_int_equal(write_image(device, 0, data, 1024 * 1024), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[0]);
    device_lend(device, pair[1]);
    assert_int_equal(device_call(device, "read", "[{}]"), -EPIPE);
    close(pair[1]);
}

JMP_TEST(storage_mux_switches_and_says_so)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_storage_mock_class, NULL);

    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_call(device, "host", NULL), 0);
    assert_int_equal(device_call(device, "dut", NULL), 0);
    assert_int_equal(device_call(device, "off", NULL), 0);
    assert_string_equal(device_log(device),
                        "storage connected to the host\nstorage connected to the board\nstorage disconnected\n");
}

JMP_TEST(storage_mock_says_where_its_file_could_not_be_made)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_storage_mock_class,
                                                               "{\"directory\": \"/nowhere/at/all\"}");

    assert_int_equal(device_open(device), -ENOENT);
    assert_non_null(strstr(device_error(device), "/nowhere/at/all"));
}
