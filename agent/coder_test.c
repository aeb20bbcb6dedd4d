/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/coder.h"

#include <string.h>

#include "base/test.h"

static const char *const encodings[] = { "gzip", "xz", "bz2", "zstd" };

struct bytes {
    char *data;
    size_t size, room;
};

static void bytes_clear(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){ 0 };
}

#define _cleanup_bytes_ _cleanup_(bytes_clear)

static int append(const void *data, size_t size, void *user)
{
    struct bytes *bytes = user;

    assert_true(size > 0);
    if (bytes->size + size > bytes->room) {
        bytes->room = 2 * (bytes->size + size);
        bytes->data = realloc(bytes->data, bytes->room);
        assert_non_null(bytes->data);
    }
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    return 0;
}

/* In pieces of @piece bytes. */
static int convert(const char *encoding, bool compress, const struct bytes *in, size_t piece, struct bytes *out,
                   struct jmp_error *reterr)
{
    _cleanup_(jmp_coder_freep) struct jmp_coder *coder = NULL;
    int r;

    assert_int_equal(jmp_coder_new(encoding, compress, &coder), 0);
    for (size_t at = 0; at < in->size; at += piece) {
        r = jmp_coder_push(coder, in->data + at, in->size - at < piece ? in->size - at : piece, append, out, reterr);
        if (r < 0)
            return r;
    }
    return jmp_coder_finish(coder, append, out, reterr);
}

static void fill(struct bytes *bytes, size_t size)
{
    uint32_t state = 1;

    for (size_t i = 0; i < size; i++) {
        char byte;

        state = state * 1103515245 + 12345;
        byte = i % 1000 < 500 ? 'a' : (char)(state >> 16);
        append(&byte, 1, bytes);
    }
}

JMP_TEST(what_goes_in_comes_out)
{
    static const size_t sizes[] = { 0, 1, 1000, 300000 }, pieces[] = { 1 << 20, 4096, 7 };

    for (size_t e = 0; e < ELEMENTSOF(encodings); e++) {
        for (size_t s = 0; s < ELEMENTSOF(sizes); s++) {
            for (size_t p = 0; p < ELEMENTSOF(pieces); p++) {
                _cleanup_bytes_ struct bytes plain = { 0 }, packed = { 0 }, again = { 0 };

                fill(&plain, sizes[s]);
                assert_int_equal(convert(encodings[e], true, &plain, pieces[p], &packed, NULL), 0);
                assert_int_equal(convert(encodings[e], false, &packed, pieces[p], &again, NULL), 0);
                assert_int_equal(again.size, plain.size);
                if (plain.size > 0)
                    assert_memory_equal(again.data, plain.data, plain.size);
            }
        }
    }
}

JMP_TEST(members_may_follow_one_another)
{
    for (size_t e = 0; e < ELEMENTSOF(encodings); e++) {
        for (size_t piece = 1; piece < 200; piece += 13) {
            _cleanup_bytes_ struct bytes one = { 0 }, two = { 0 }, packed = { 0 }, again = { 0 };
            bool padded = strcmp(encodings[e], "gzip") == 0 || strcmp(encodings[e], "xz") == 0;

            append("first", 5, &one);
            append("second", 6, &two);
            assert_int_equal(convert(encodings[e], true, &one, 100, &packed, NULL), 0);
            if (padded)
                append("\0\0\0\0", 4, &packed);
            assert_int_equal(convert(encodings[e], true, &two, 100, &packed, NULL), 0);
            if (padded)
                append("\0\0\0\0\0\0\0\0", 8, &packed);
            assert_int_equal(convert(encodings[e], false, &packed, piece, &again, NULL), 0);
            assert_int_equal(again.size, 11);
            assert_memory_equal(again.data, "firstsecond", 11);
        }
    }
}

JMP_TEST(an_early_end_is_an_error_wherever_it_comes)
{
    for (size_t e = 0; e < ELEMENTSOF(encodings); e++) {
        _cleanup_bytes_ struct bytes plain = { 0 }, packed = { 0 };

        fill(&plain, 3000);
        assert_int_equal(convert(encodings[e], true, &plain, 3000, &packed, NULL), 0);
        for (size_t size = 0; size < packed.size; size++) {
            _cleanup_bytes_ struct bytes again = { 0 };
            const struct bytes cut = { .data = packed.data, .size = size };
            struct jmp_error error = JMP_ERROR_INIT;

            assert_int_equal(convert(encodings[e], false, &cut, 100, &again, &error), -EBADMSG);
            assert_non_null(strstr(error.text, "ends too early"));
        }
    }
}

JMP_TEST(damage_is_an_error)
{
    for (size_t e = 0; e < ELEMENTSOF(encodings); e++) {
        _cleanup_bytes_ struct bytes plain = { 0 }, packed = { 0 };
        unsigned found = 0;

        fill(&plain, 3000);
        assert_int_equal(convert(encodings[e], true, &plain, 3000, &packed, NULL), 0);
        for (size_t at = 0; at < packed.size; at++) {
            _cleanup_bytes_ struct bytes again = { 0 };
            int r;

            packed.data[at] ^= 0x55;
            r = convert(encodings[e], false, &packed, 1000, &again, NULL);
            packed.data[at] ^= 0x55;
            assert_true(r == 0 || r == -EBADMSG || r == -E2BIG || r == -ENOMEM);
            found += r != 0;
            /* Header bits that carry nothing (a time, a name) may change; the content may not. */
            if (r == 0)
                assert_true(again.size == plain.size && memcmp(again.data, plain.data, plain.size) == 0);
        }
        assert_true(found > packed.size - 16);
    }
}

JMP_TEST(other_data_and_trailing_garbage_are_errors)
{
    for (size_t e = 0; e < ELEMENTSOF(encodings); e++) {
        _cleanup_bytes_ struct bytes text = { 0 }, out = { 0 }, plain = { 0 }, packed = { 0 };
        struct jmp_error error = JMP_ERROR_INIT;

        append("this is no archive at all, is it?", 33, &text);
        assert_int_equal(convert(encodings[e], false, &text, 33, &out, &error), -EBADMSG);
        assert_non_null(strstr(error.text, encodings[e]));
        append("x", 1, &plain);
        assert_int_equal(convert(encodings[e], true, &plain, 1, &packed, NULL), 0);
        append("garbage after the end", 21, &packed);
        assert_int_equal(convert(encodings[e], false, &packed, 1000, &out, NULL), -EBADMSG);
    }
}

/* Frames of zstd without its checksum, as libraries make them unless they are asked for one: their form is all there is
 * to be wrong. One block of five bytes as they are, in a frame that says how much it holds ("sized") or not. */
#define ZSTD_SIZED "\x28\xb5\x2f\xfd\x20\x05"
#define ZSTD_UNSIZED "\x28\xb5\x2f\xfd\x00\x00"
#define ZSTD_LAST "\x29\0\0"

JMP_TEST(zstd_without_a_checksum_is_refused_when_its_form_is_wrong)
{
#define FRAME(text) text, sizeof(text) - 1
    static const struct {
        const char *what, *data;
        size_t size;
        int r;
        const char *words;
    } cases[] = {
        { "sized", FRAME(ZSTD_SIZED ZSTD_LAST "hello"), 0, NULL },
        { "unsized", FRAME(ZSTD_UNSIZED ZSTD_LAST "hello"), 0, NULL },
        { "two, and one to be skipped between",
          FRAME(ZSTD_SIZED ZSTD_LAST "hello"
                                     "\x50\x2a\x4d\x18\x02\0\0\0xy" ZSTD_UNSIZED ZSTD_LAST "hello"),
          0, NULL },
        { "more promised", FRAME("\x28\xb5\x2f\xfd\x20\x06" ZSTD_LAST "hello"), -EBADMSG, "damaged" },
        { "less promised", FRAME("\x28\xb5\x2f\xfd\x20\x04" ZSTD_LAST "hello"), -EBADMSG, "damaged" },
        { "promised, in two blocks", FRAME(ZSTD_SIZED "\x28\0\0hello" ZSTD_LAST "hello"), -EBADMSG, "damaged" },
        { "no last block", FRAME(ZSTD_UNSIZED "\x28\0\0hello"), -EBADMSG, "ends too early" },
        { "cut in a block", FRAME(ZSTD_UNSIZED ZSTD_LAST "hell"), -EBADMSG, "ends too early" },
        { "cut in a header", FRAME(ZSTD_UNSIZED "\x29"), -EBADMSG, "ends too early" },
        { "cut in the second",
          FRAME(ZSTD_SIZED ZSTD_LAST "hello"
                                     "\x28\xb5"),
          -EBADMSG, "ends too early" },
        { "garbage behind",
          FRAME(ZSTD_SIZED ZSTD_LAST "hello"
                                     "garbage"),
          -EBADMSG, "damaged" },
        { "zeros behind",
          FRAME(ZSTD_SIZED ZSTD_LAST "hello"
                                     "\0\0\0\0\0\0\0\0"),
          -EBADMSG, "damaged" },
        { "a block of no kind", FRAME(ZSTD_UNSIZED "\x2f\0\0hello"), -EBADMSG, "damaged" },
        { "a block larger than the window", FRAME(ZSTD_UNSIZED "\x29\xff\xff"), -EBADMSG, "damaged" },
        { "a reserved bit", FRAME("\x28\xb5\x2f\xfd\x08\x00" ZSTD_LAST "hello"), -EBADMSG, "damaged" },
        { "a dictionary that nobody has", FRAME("\x28\xb5\x2f\xfd\x01\x00\x07" ZSTD_LAST "hello"), -EBADMSG,
          "damaged" },
        /* What nothing in the frame contradicts is taken: docs/storage.md says so. */
        { "another letter", FRAME(ZSTD_SIZED ZSTD_LAST "hallo"), 0, NULL },
    };
#undef FRAME

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        for (size_t piece = 1; piece < 50; piece += 12) {
            const struct bytes in = { .data = (char *)cases[i].data, .size = cases[i].size };
            _cleanup_bytes_ struct bytes out = { 0 };
            struct jmp_error error = JMP_ERROR_INIT;
            int r = convert("zstd", false, &in, piece, &out, &error);

            if (r != cases[i].r || (r < 0 && !strstr(error.text, cases[i].words)))
                fail_msg("%s, in pieces of %zu: %d %s", cases[i].what, piece, r, error.text);
        }
    }
}

JMP_TEST(a_window_that_eats_all_memory_is_refused)
{
    /* Headers only: an xz block that wants a dictionary of 1.5 GiB, a zstd frame with a window of 2 GiB. */
    static const char xz[] = "\xfd" "7zXZ\0\0\0\xff\x12\xd9\x41\x02\0\x21\x01\x25\0\0\0";
    static const char zstd[] = "\x28\xb5\x2f\xfd\x00\xa8";
    _cleanup_bytes_ struct bytes in = { 0 }, out = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;

    append(zstd, sizeof(zstd) - 1, &in);
    assert_int_equal(convert("zstd", false, &in, 100, &out, &error), -E2BIG);
    assert_non_null(strstr(error.text, "128 MiB"));
    bytes_clear(&in);

    /* The header of the block needs its own checksum to be believed. */
    append(xz, sizeof(xz) - 1, &in);
    {
        uint32_t crc = 0xffffffff;

        for (size_t i = 12; i < in.size; i++) {
            crc ^= (uint8_t)in.data[i];
            for (unsigned bit = 0; bit < 8; bit++)
                crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
        }
        crc = ~crc;
        append(&(char[]){ (char)crc, (char)(crc >> 8), (char)(crc >> 16), (char)(crc >> 24) }, 4, &in);
    }
    assert_int_equal(convert("xz", false, &in, 100, &out, &error), -E2BIG);
}

JMP_TEST(names_are_known_or_not)
{
    struct jmp_coder *coder = NULL;

    for (size_t e = 0; e < ELEMENTSOF(encodings); e++)
        assert_true(jmp_coder_known(encodings[e]));
    assert_false(jmp_coder_known("lz4"));
    assert_false(jmp_coder_known(""));
    assert_int_equal(jmp_coder_new("lz4", true, &coder), -EINVAL);
}

static int refuse(const void *data, size_t size, void *user) { return -EPIPE; }

JMP_TEST(a_sink_that_fails_ends_the_work)
{
    for (size_t e = 0; e < ELEMENTSOF(encodings); e++) {
        _cleanup_bytes_ struct bytes plain = { 0 }, packed = { 0 };
        _cleanup_(jmp_coder_freep) struct jmp_coder *coder = NULL;

        fill(&plain, 1000);
        assert_int_equal(convert(encodings[e], true, &plain, 1000, &packed, NULL), 0);
        assert_int_equal(jmp_coder_new(encodings[e], false, &coder), 0);
        assert_int_equal(jmp_coder_push(coder, packed.data, packed.size, refuse, NULL, NULL), -EPIPE);
    }
}
