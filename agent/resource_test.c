/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/resource.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/coder.h"
#include "agent/device_bench.h"

#define FLASHER "{\"flasher\":{\"type\":\"flasher\"},\"other\":{\"type\":\"flasher\"}}"
#define IMAGE (600u * 1024)
#define ENDLESS (256u * 1024 * 1024)   /* more than fits into any buffers on the way */

static const char *const encodings[] = { NULL, "gzip", "xz", "bz2", "zstd" };

struct bytes {
    char data[2 * IMAGE];
    size_t size;
};

static int append(const void *data, size_t size, void *user)
{
    struct bytes *bytes = user;

    assert_true(bytes->size + size <= sizeof(bytes->data));
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    return 0;
}

static struct bytes *bytes_new(void)
{
    struct bytes *bytes = calloc(1, sizeof(*bytes));

    assert_non_null(bytes);
    return bytes;
}

/* An image that does not compress well, so that several socket buffers are needed. */
static void make_image(struct bytes *image)
{
    uint32_t state = 42;

    image->size = IMAGE;
    for (size_t i = 0; i < image->size; i++) {
        state = state * 1103515245 + 12345;
        image->data[i] = (char)(state >> 20);
    }
}

static void convert(const char *encoding, bool compress, const struct bytes *in, struct bytes *out)
{
    _cleanup_(jmp_coder_freep) struct jmp_coder *coder = NULL;
    struct jmp_error error = JMP_ERROR_INIT;

    out->size = 0;
    if (!encoding) {
        append(in->data, in->size, out);
        return;
    }
    assert_int_equal(jmp_coder_new(encoding, compress, &coder), 0);
    if (jmp_coder_push(coder, in->data, in->size, append, out, &error) < 0 ||
        jmp_coder_finish(coder, append, out, &error) < 0)
        fail_msg("%s", error.text);
}

static int open_resource(struct bench *bench, const char *encoding, char *args, size_t args_size, const char *more)
{
    struct jmp_error error = JMP_ERROR_INIT;
    char uuid[37];
    int fd;

    if (jmp_resource_open(jmp_devices_find_path(bench->devices, "flasher"), encoding, uuid, &fd, &error) < 0)
        fail_msg("%s", error.text);
    snprintf(args, args_size, "[{\"kind\":\"client_stream\",\"uuid\":\"%s\",\"x_jmp_content_encoding\":null}%s]", uuid,
             more);
    return fd;
}

JMP_TEST(an_upload_reaches_the_driver_in_every_encoding)
{
    _cleanup_free_ struct bytes *image = bytes_new(), *packed = bytes_new();

    make_image(image);
    for (size_t e = 0; e < ELEMENTSOF(encodings); e++) {
        _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
        _cleanup_outcome_ struct outcome outcome = OUTCOME;
        char args[256], rest[16];
        int fd;

        bench_start(bench);
        convert(encodings[e], true, image, packed);
        fd = open_resource(bench, encodings[e], args, sizeof(args), "");
        bench_call(bench, "flasher", "flash", JMP_CALL_UNARY, args, &outcome);
        bench_write(bench, fd, packed->data, packed->size);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        bench_until(bench, &outcome.done);
        if (outcome.error < 0)
            fail_msg("%s: %s", encodings[e] ? encodings[e] : "plain", outcome.text);
        assert_int_equal(atomic_load(&bench_world.image_size), image->size);
        assert_memory_equal(bench_world.image, image->data, image->size);
        assert_int_equal(atomic_load(&bench_world.image_complete), 0);
        /* The client waits for this before it leaves. */
        assert_int_equal(bench_read_end(bench, fd, rest, sizeof(rest)), 0);
        jmp_close(fd);
    }
}

JMP_TEST(a_download_reaches_the_client_in_every_encoding)
{
    _cleanup_free_ struct bytes *image = bytes_new(), *packed = bytes_new(), *plain = bytes_new();

    make_image(image);
    for (size_t e = 0; e < ELEMENTSOF(encodings); e++) {
        _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
        _cleanup_outcome_ struct outcome outcome = OUTCOME;
        char args[256];
        int fd;

        bench_start(bench);
        memcpy(bench_world.image, image->data, image->size);
        atomic_store(&bench_world.image_size, image->size);
        fd = open_resource(bench, encodings[e], args, sizeof(args), "");
        assert_int_equal(shutdown(fd, SHUT_WR), 0);   /* it has nothing to send */
        bench_call(bench, "flasher", "dump", JMP_CALL_UNARY, args, &outcome);
        packed->size = bench_read_end(bench, fd, packed->data, sizeof(packed->data));
        bench_until(bench, &outcome.done);
        assert_int_equal(outcome.error, 0);
        convert(encodings[e], false, packed, plain);
        assert_int_equal(plain->size, image->size);
        assert_memory_equal(plain->data, image->data, image->size);
        jmp_close(fd);
    }
}

JMP_TEST(a_failed_download_has_no_proper_end)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;
    _cleanup_free_ struct bytes *packed = bytes_new(), *plain = bytes_new();
    _cleanup_(jmp_coder_freep) struct jmp_coder *coder = NULL;
    char args[256];
    int fd;

    bench_start(bench);
    atomic_store(&bench_world.image_size, 1000);
    fd = open_resource(bench, "gzip", args, sizeof(args), ",true");
    bench_call(bench, "flasher", "dump", JMP_CALL_UNARY, args, &outcome);
    packed->size = bench_read_end(bench, fd, packed->data, sizeof(packed->data));
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, -EIO);
    assert_string_equal(outcome.text, "the card is broken");
    assert_int_equal(jmp_coder_new("gzip", false, &coder), 0);
    assert_int_equal(jmp_coder_push(coder, packed->data, packed->size, append, plain, NULL), 0);
    assert_int_equal(jmp_coder_finish(coder, append, plain, NULL), -EBADMSG);
    jmp_close(fd);
}

/* The driver says 0, since all it saw was an end of file. */
JMP_TEST(an_upload_cut_short_fails_the_call)
{
    _cleanup_free_ struct bytes *image = bytes_new(), *packed = bytes_new();

    make_image(image);
    for (size_t e = 0; e < ELEMENTSOF(encodings); e++) {
        for (unsigned orderly = 0; orderly < 2; orderly++) {
            _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
            _cleanup_outcome_ struct outcome outcome = OUTCOME;
            char args[256];
            int fd;

            if (orderly && !encodings[e])
                continue;   /* plain bytes do not say how many they are */
            bench_start(bench);
            convert(encodings[e], true, image, packed);
            fd = open_resource(bench, encodings[e], args, sizeof(args), "");
            bench_call(bench, "flasher", "flash", JMP_CALL_UNARY, args, &outcome);
            bench_write(bench, fd, packed->data, packed->size / 2);
            if (orderly)
                shutdown(fd, SHUT_WR);
            else
                fd = jmp_close(fd);
            bench_until(bench, &outcome.done);
            assert_int_equal(outcome.error, orderly ? -EBADMSG : -ECONNRESET);
            assert_int_equal(atomic_load(&bench_world.image_complete), outcome.error);   /* and it could know */
            if (orderly)
                assert_non_null(strstr(outcome.text, "ends too early"));
            else
                assert_string_equal(outcome.text, "the client broke its upload off");
            jmp_close(fd);
        }
    }
}

JMP_TEST(damaged_uploads_fail_with_words)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;
    char args[256];
    int fd;

    bench_start(bench);
    fd = open_resource(bench, "xz", args, sizeof(args), "");
    bench_call(bench, "flasher", "flash", JMP_CALL_UNARY, args, &outcome);
    bench_write(bench, fd, "this is no archive at all, is it?", 33);
    bench_until(bench, &outcome.done);
    assert_int_equal(outcome.error, -EBADMSG);
    assert_non_null(strstr(outcome.text, "is not xz at all"));
    jmp_close(fd);
}

JMP_TEST(a_driver_may_stop_before_the_end)
{
    for (size_t e = 0; e < 2; e++) {
        _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
        _cleanup_outcome_ struct outcome outcome = OUTCOME;
        _cleanup_free_ struct bytes *image = bytes_new(), *packed = bytes_new();
        char args[256], rest[16];
        ssize_t n = 1;
        size_t sent = 0;
        int fd;

        make_image(image);
        convert(encodings[e], true, image, packed);
        bench_start(bench);
        fd = open_resource(bench, encodings[e], args, sizeof(args), ",1000");
        bench_call(bench, "flasher", "flash", JMP_CALL_UNARY, args, &outcome);
        while (!outcome.done) {
            if (n > 0 && sent < packed->size)
                n = send(fd, packed->data + sent, packed->size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            sent += n > 0 ? (size_t)n : 0;
            n = n < 0 && errno == EAGAIN ? 1 : n;
            jmp_loop_dispatch(bench->loop, true);
        }
        assert_int_equal(outcome.error, 0);
        /* An end, not a reset. */
        assert_int_equal(bench_read_end(bench, fd, rest, sizeof(rest)), 0);
        jmp_close(fd);
    }
}

JMP_TEST(a_handle_is_good_once_and_for_its_device)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;
    char args[256], expected[64];
    int fd;

    bench_start(bench);
    fd = open_resource(bench, NULL, args, sizeof(args), "");
    snprintf(expected, sizeof(expected), "'%.36s'", strstr(args, "\"uuid\":") + 8);
    shutdown(fd, SHUT_WR);
    bench_answer(bench, "other", "flash", args, &outcome);
    assert_int_equal(outcome.error, -ENOKEY);
    assert_string_equal(outcome.text, expected);
    bench_answer(bench, "flasher", "flash", args, &outcome);
    assert_int_equal(outcome.error, 0);
    bench_answer(bench, "flasher", "flash", args, &outcome);
    assert_int_equal(outcome.error, -ENOKEY);
    assert_string_equal(outcome.text, expected);
    jmp_close(fd);
}

JMP_TEST(wrong_handles_are_refused)
{
    static const struct {
        const char *args;
        int error;
    } cases[] = {
        { "[null]", -EINVAL }, { "[3]", -EINVAL }, { "[{}]", -EINVAL }, { "[{\"kind\":\"carrier_pigeon\"}]", -EINVAL },
        { "[{\"kind\":\"client_stream\"}]", -EINVAL }, { "[{\"kind\":\"client_stream\",\"uuid\":5}]", -EINVAL },
        { "[{\"kind\":\"client_stream\",\"uuid\":\"x\"}]", -EINVAL },
        { "[{\"kind\":\"client_stream\",\"uuid\":\"01234567-89ab-cdef-0123-456789abcdef\"}]", -ENOKEY },
        { "[{\"kind\":\"presigned_request\",\"url\":\"http://x/\",\"method\":\"POST\",\"headers\":{}}]", -EINVAL },
        { "[{\"kind\":\"presigned_request\",\"url\":\"http://x/\",\"method\":\"GET\",\"headers\":[]}]", -EINVAL },
        { "[{\"kind\":\"presigned_request\",\"url\":\"http://x/\",\"method\":\"PUT\",\"headers\":{}}]", -EINVAL },
        { "[{\"kind\":\"presigned_request\",\"url\":\"file:///x\",\"method\":\"GET\",\"headers\":{}}]", -EINVAL },
    };
    _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;
    struct jmp_error error = JMP_ERROR_INIT;
    char uuid[37];
    int fd = -1;

    bench_start(bench);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        bench_answer(bench, "flasher", "flash", cases[i].args, &outcome);
        assert_int_equal(outcome.error, cases[i].error);
    }
    assert_int_equal(jmp_resource_open(jmp_devices_find_path(bench->devices, "flasher"), "lz4", uuid, &fd, &error),
                     -EINVAL);
    assert_string_equal(error.text, "content encoding 'lz4' is not supported");
    assert_int_equal(fd, -1);
}

JMP_TEST(a_call_that_ignores_its_file_ends_the_stream)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;
    char args[256], rest[16];
    int fd;

    bench_start(bench);
    fd = open_resource(bench, "gzip", args, sizeof(args), "");
    bench_write(bench, fd, "unread", 6);
    bench_answer(bench, "flasher", "ignore", args, &outcome);
    assert_int_equal(outcome.error, 0);
    assert_int_equal(bench_read_end(bench, fd, rest, sizeof(rest)), 0);
    jmp_close(fd);
}

JMP_TEST(unclaimed_files_go_with_their_stream)
{
    _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;
    struct jmp_device *device;
    struct jmp_error error = JMP_ERROR_INIT;
    char args[256], uuid[37];
    int fds[64], fd;

    bench_start(bench);
    device = jmp_devices_find_path(bench->devices, "flasher");
    for (size_t i = 0; i < ELEMENTSOF(fds); i++)
        fds[i] = open_resource(bench, NULL, args, sizeof(args), "");
    assert_int_equal(jmp_resource_open(device, NULL, uuid, &fd, &error), -EBUSY);
    for (size_t i = 0; i < ELEMENTSOF(fds); i++)
        jmp_close(fds[i]);
    while (device->n_resources > 0)
        jmp_loop_dispatch(bench->loop, true);
    bench_answer(bench, "flasher", "flash", args, &outcome);
    assert_int_equal(outcome.error, -ENOKEY);
}

/* Neither a driver blocked in read() nor a coder blocked in send() keeps a cancelled call. */
JMP_TEST(cancelling_ends_transfers_that_block)
{
    for (size_t e = 0; e < 2; e++) {
        for (unsigned dump = 0; dump < 2; dump++) {
            _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
            _cleanup_outcome_ struct outcome outcome = OUTCOME;
            _cleanup_free_ struct bytes *image = bytes_new();
            struct pollfd readable;
            char args[256];
            int fd;

            make_image(image);
            memcpy(bench_world.image, image->data, image->size);
            bench_start(bench);
            atomic_store(&bench_world.image_size, dump ? ENDLESS : 0);
            fd = open_resource(bench, encodings[e], args, sizeof(args), "");
            bench_call(bench, "flasher", dump ? "dump" : "flash", JMP_CALL_UNARY, args, &outcome);
            if (dump) {
                readable = (struct pollfd){ .fd = fd, .events = POLLIN };
                assert_int_equal(poll(&readable, 1, 10000), 1);
            } else {
                bench_write(bench, fd, "\x1f\x8b", 2);
            }
            jmp_call_cancel(outcome.call);
            bench_until(bench, &outcome.done);
            assert_int_equal(outcome.error, -ECANCELED);
            jmp_close(fd);
        }
    }
}

JMP_TEST(the_size_of_an_image_is_what_the_client_says_if_that_makes_sense)
{
    static const struct {
        const char *said, *known;
    } cases[] = {
        { "4294967297", "4294967297" }, { "0", "0" }, { "-1", "0" }, { "1e300", "0" }, { "\"7\"", "0" },
        { "null", "0" },
    };
    _cleanup_(bench_freep) struct bench *bench = bench_new(FLASHER);
    _cleanup_outcome_ struct outcome outcome = OUTCOME;
    char args[128];

    bench_start(bench);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        snprintf(args, sizeof(args), "[{\"kind\":\"client_stream\",\"x_jmp_content_length\":%s}]", cases[i].said);
        bench_answer(bench, "flasher", "size", args, &outcome);
        assert_string_equal(outcome.result, cases[i].known);
    }
    bench_answer(bench, "flasher", "size", "[{\"kind\":\"client_stream\"}]", &outcome);
    assert_string_equal(outcome.result, "0");
}
