/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/image.h"

#include <string.h>

#include "base/test.h"

#define MEDIUM 65536u

struct medium {
    uint8_t bytes[MEDIUM]; /* 0xee where nothing was written */
    uint64_t end;          /* pieces come in ascending order */
    int error;
};

static int on_data(uint64_t offset, const void *data, size_t size, void *user)
{
    struct medium *medium = user;

    assert_true(offset >= medium->end && offset + size <= MEDIUM && size > 0);
    memcpy(medium->bytes + offset, data, size);
    medium->end = offset + size;
    return medium->error;
}

static int on_fill(uint64_t offset, uint64_t size, uint32_t pattern, void *user)
{
    struct medium *medium = user;

    assert_true(offset >= medium->end && offset + size <= MEDIUM && size > 0);
    for (uint64_t i = 0; i < size; i++)
        medium->bytes[offset + i] = (uint8_t)(pattern >> (i % 4 * 8));
    medium->end = offset + size;
    return medium->error;
}

/* The whole of @data in pieces of @cut bytes. */
static int feed(enum jmp_image_kind kind, const struct jmp_bmap *map, const void *data, size_t size, size_t cut,
                struct medium *medium, struct jmp_error *reterr)
{
    _cleanup_(jmp_image_freep) struct jmp_image *image = NULL;
    const struct jmp_image_sink sink = { .data = on_data, .fill = on_fill, .user = medium };

    memset(medium, 0xee, sizeof(medium->bytes));
    medium->end = 0;
    memset(reterr, 0, sizeof(*reterr));
    assert_int_equal(jmp_image_new(kind, map, MEDIUM, &sink, &image), 0);
    for (size_t at = 0; at < size; at += cut) {
        int r = jmp_image_push(image, (const uint8_t *)data + at, size - at < cut ? size - at : cut, reterr);

        if (r < 0)
            return r;
    }
    return jmp_image_finish(image, reterr);
}

static void expect(const struct medium *medium, size_t from, size_t to, uint8_t byte)
{
    for (size_t i = from; i < to; i++)
        if (medium->bytes[i] != byte)
            fail_msg("byte %zu is 0x%02x, not 0x%02x", i, medium->bytes[i], byte);
}

JMP_TEST(an_image_says_what_it_is)
{
    static const struct {
        const char *data;
        size_t size;
        enum jmp_image_kind kind;
        const char *format;
    } cases[] = {
        { "", 0, JMP_IMAGE_RAW, NULL },
        { "\x3a\xff\x26\xed and more", 12, JMP_IMAGE_ANDROID, NULL },
        { "\x3a\xff\x26", 3, JMP_IMAGE_RAW, NULL },
        { "\x1f\x8b\x08", 3, JMP_IMAGE_PACKED, "gzip" },
        { "\xfd\x37zXZ\0", 6, JMP_IMAGE_PACKED, "xz" },
        { "BZh9", 4, JMP_IMAGE_PACKED, "bz2" },
        { "\x28\xb5\x2f\xfd", 4, JMP_IMAGE_PACKED, "zstd" },
        { "PK\x03\x04", 4, JMP_IMAGE_FOREIGN, "a zip archive" },
        { "PK\x03", 3, JMP_IMAGE_RAW, NULL },
        { "7z\xbc\xaf\x27\x1c", 6, JMP_IMAGE_FOREIGN, "a 7z archive" },
        { "QFI\xfb", 4, JMP_IMAGE_FOREIGN, "a virtual disk (qcow2)" },
        { "UF2\n\x57\x51\x5d\x9e", 8, JMP_IMAGE_FOREIGN, "firmware for a microcontroller (UF2)" },
        { "version https://git-lfs", 23, JMP_IMAGE_FOREIGN, "a pointer of Git LFS, not the file itself" },
        { " \n<!DOCTYPE HTML>", 17, JMP_IMAGE_FOREIGN, "a web page; does its address need a login?" },
        { "<html", 5, JMP_IMAGE_FOREIGN, "a web page; does its address need a login?" },
        { "<htm", 4, JMP_IMAGE_RAW, NULL },
        { "   ", 3, JMP_IMAGE_RAW, NULL },
        { "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">", 44, JMP_IMAGE_BMAP, NULL },
        { "<?xml version=\"1.0\" ?>\n<svg>", 29, JMP_IMAGE_RAW, NULL },
        { "\xeb\x63\x90 boot", 8, JMP_IMAGE_RAW, NULL },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *format = NULL;

        assert_int_equal(jmp_image_kind_of(cases[i].data, cases[i].size, &format), cases[i].kind);
        if (cases[i].format)
            assert_string_equal(format, cases[i].format);
    }
}

JMP_TEST(a_plain_image_is_written_as_it_is_and_not_beyond_the_medium)
{
    static uint8_t data[MEDIUM + 1];
    struct medium medium = { .error = 0 };
    struct jmp_error error;

    memset(data, 7, sizeof(data));
    assert_int_equal(feed(JMP_IMAGE_RAW, NULL, data, MEDIUM, 1000, &medium, &error), 0);
    expect(&medium, 0, MEDIUM, 7);
    assert_int_equal(feed(JMP_IMAGE_RAW, NULL, data, MEDIUM + 1, 1000, &medium, &error), -ENOSPC);
    assert_non_null(strstr(error.text, "65536 bytes"));
    medium.error = -EIO;
    assert_int_equal(feed(JMP_IMAGE_RAW, NULL, data, 10, 10, &medium, &error), -EIO);
}

/* Android sparse, written by hand. */
#define LE16(n) (n) & 0xff, (n) >> 8 & 0xff
#define LE32(n) LE16(n), (n) >> 16 & 0xff, (n) >> 24 & 0xff
#define FILE_HEADER(version, size, chunk, block, blocks, chunks) \
    0x3a, 0xff, 0x26, 0xed, LE16(version), LE16(0), LE16(size), LE16(chunk), LE32(block), LE32(blocks), LE32(chunks), \
        LE32(0)
#define CHUNK(type, blocks, total) LE16(type), LE16(0), LE32(blocks), LE32(total)
#define RAW 0xcac1
#define FILL 0xcac2
#define SKIP 0xcac3
#define CRC 0xcac4

JMP_TEST(a_sparse_image_is_unfolded)
{
    static const uint8_t head[] = { FILE_HEADER(1, 28, 12, 512, 7, 4), CHUNK(RAW, 1, 524) };
    static const uint8_t tail[] = { CHUNK(SKIP, 2, 12), CHUNK(FILL, 4, 16), 1, 2, 3, 4, CHUNK(CRC, 0, 16), 9, 9, 9, 9 };
    uint8_t data[sizeof(head) + 512 + sizeof(tail)];
    struct medium medium = { .error = 0 };
    struct jmp_error error;

    memcpy(data, head, sizeof(head));
    memset(data + sizeof(head), 0x55, 512);
    memcpy(data + sizeof(head) + 512, tail, sizeof(tail));
    for (size_t cut = 1; cut < sizeof(data); cut = cut * 3 + 1) {
        assert_int_equal(feed(JMP_IMAGE_ANDROID, NULL, data, sizeof(data), cut, &medium, &error), 0);
        expect(&medium, 0, 512, 0x55);
        expect(&medium, 512, 1536, 0xee);
        assert_memory_equal(medium.bytes + 1536, "\1\2\3\4\1\2\3\4", 8);
        assert_int_equal(medium.bytes[3583], 4);
        expect(&medium, 3584, MEDIUM, 0xee);
    }
    for (size_t size = 1; size < sizeof(data); size++)
        assert_int_equal(feed(JMP_IMAGE_ANDROID, NULL, data, size, 100, &medium, &error), -EBADMSG);
}

JMP_TEST(malformed_sparse_images_are_refused)
{
    static const struct {
        const char *what;
        int error;
        uint8_t data[60];
    } cases[] = {
        { "version", -EBADMSG, { FILE_HEADER(2, 28, 12, 512, 1, 1) } },
        { "short header", -EBADMSG, { FILE_HEADER(1, 27, 12, 512, 1, 1) } },
        { "huge header", -EBADMSG, { FILE_HEADER(1, 257, 12, 512, 1, 1) } },
        { "short chunk header", -EBADMSG, { FILE_HEADER(1, 28, 11, 512, 1, 1) } },
        { "block of 0", -EBADMSG, { FILE_HEADER(1, 28, 12, 0, 1, 1) } },
        { "odd block", -EBADMSG, { FILE_HEADER(1, 28, 12, 514 + 1, 1, 1) } },
        { "too large at once", -ENOSPC, { FILE_HEADER(1, 28, 12, 4096, 17, 1) } },
        { "product overflows 32 bits", -ENOSPC, { FILE_HEADER(1, 28, 12, 16777216, 0x7fffffffL, 1) } },
        { "chunk without header", -EBADMSG, { FILE_HEADER(1, 28, 12, 512, 1, 1), CHUNK(SKIP, 1, 11) } },
        { "more blocks than there are", -EBADMSG, { FILE_HEADER(1, 28, 12, 512, 1, 1), CHUNK(SKIP, 2, 12) } },
        { "data of another size", -EBADMSG, { FILE_HEADER(1, 28, 12, 512, 1, 1), CHUNK(RAW, 1, 513) } },
        { "pattern of five bytes", -EBADMSG, { FILE_HEADER(1, 28, 12, 512, 1, 1), CHUNK(FILL, 1, 17) } },
        { "skipped data", -EBADMSG, { FILE_HEADER(1, 28, 12, 512, 1, 1), CHUNK(SKIP, 1, 13) } },
        { "checksum of blocks", -EBADMSG, { FILE_HEADER(1, 28, 12, 512, 1, 1), CHUNK(CRC, 1, 16) } },
        { "unknown chunk", -EBADMSG, { FILE_HEADER(1, 28, 12, 512, 1, 1), CHUNK(0xcac5, 1, 12) } },
        { "something behind the end", -EBADMSG, { FILE_HEADER(1, 28, 12, 512, 1, 1), CHUNK(SKIP, 1, 12), 1 } },
        { "blocks missing", -EBADMSG, { FILE_HEADER(1, 28, 12, 512, 2, 1), CHUNK(SKIP, 1, 12) } },
    };
    struct medium medium = { .error = 0 };
    struct jmp_error error;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        size_t size = sizeof(cases[i].data);
        int r;

        if (strcmp(cases[i].what, "blocks missing") == 0)
            size = 40; /* else the zeros behind it are what is wrong */
        r = feed(JMP_IMAGE_ANDROID, NULL, cases[i].data, size, 7, &medium, &error);
        if (r != cases[i].error || !error.text[0])
            fail_msg("%s: %d %s", cases[i].what, r, error.text);
    }
}

static const uint8_t sum_of_ones[JMP_SHA256_SIZE] = { /* 1024 bytes 0x01 */
                                                      0x5a, 0x64, 0x8d, 0x80, 0x15, 0x90, 0x0d, 0x89, 0x66, 0x4e, 0x00,
                                                      0xe1, 0x25, 0xdf, 0x17, 0x96, 0x36, 0x30, 0x1a, 0x2d, 0x8f, 0xa1,
                                                      0x91, 0xc1, 0xaa, 0x2b, 0xd9, 0x35, 0x8e, 0xa5, 0x3a, 0x69
};

JMP_TEST(a_mapped_image_leaves_out_what_is_not_mapped)
{
    struct jmp_bmap_range ranges[] = { { .start = 1024, .end = 2048, .summed = true }, { .start = 4096, .end = 6144 } };
    const struct jmp_bmap map = { .image_size = 5000, .block_size = 1024, .count = 2, .ranges = ranges };
    struct medium medium = { .error = 0 };
    struct jmp_error error;
    uint8_t data[5001];

    memset(data, 1, sizeof(data));
    memcpy(ranges[0].sum, sum_of_ones, sizeof(sum_of_ones));
    for (size_t cut = 1; cut < sizeof(data); cut = cut * 7 + 1) {
        int r = feed(JMP_IMAGE_RAW, &map, data, 5000, cut, &medium, &error);

        if (r < 0)
            fail_msg("%zu: %s", cut, error.text);
        expect(&medium, 0, 1024, 0xee);
        expect(&medium, 1024, 2048, 1);
        expect(&medium, 2048, 4096, 0xee);
        expect(&medium, 4096, 5000, 1);
        expect(&medium, 5000, MEDIUM, 0xee);
    }
    assert_int_equal(feed(JMP_IMAGE_RAW, &map, data, 5001, 100, &medium, &error), -EBADMSG);
    assert_int_equal(feed(JMP_IMAGE_RAW, &map, data, 4999, 100, &medium, &error), -EBADMSG);
    data[1500] = 2;
    assert_int_equal(feed(JMP_IMAGE_RAW, &map, data, 5000, 100, &medium, &error), -EBADMSG);
    assert_non_null(strstr(error.text, "bytes 1024 to 2047 have another checksum"));
}

#define HEAD "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\"><!-- c -->\n"
#define SIZES "<ImageSize> 5000 </ImageSize><BlockSize>1024</BlockSize><BlocksCount> 5 </BlocksCount>"
#define SUM64 "5a648d8015900d89664e00e125df179636301a2d8fa191c1aa2bd9358ea53a69"
#define FILE_SUM "cd30e64e5b8262ca30babf0241e6c8e0361876c246652827df7dbf6d1e202e82"

JMP_TEST(block_maps_are_read_or_refused)
{
    static const struct {
        const char *text;
        size_t ranges;     /* of a good one */
        const char *words; /* of a bad one */
    } cases[] = {
        { HEAD SIZES "<MappedBlocksCount> 3 </MappedBlocksCount><ChecksumType>sha256</ChecksumType><BlockMap>"
                     "<Range chksum=\"" SUM64 "\"> 1 </Range><Range>3-4</Range></BlockMap></bmap>",
          2, NULL },
        { HEAD SIZES "<BlockMap/></bmap>", 0, NULL },
        { HEAD SIZES "<ChecksumType>sha1</ChecksumType><Range chksum=\"abc\">0</Range></bmap>", 1, NULL },
        { HEAD SIZES "<Range sha1=\"abc\">0</Range></bmap>", 1, NULL },
        { "<svg/>", 0, "root is not" },
        { HEAD SIZES, 0, "cannot be read" },
        { HEAD "</bmap>", 0, "lacks a size" },
        { HEAD SIZES "<Range>1-0</Range></bmap>", 0, "FIRST-LAST" },
        { HEAD SIZES "<Range>-1</Range></bmap>", 0, "FIRST-LAST" },
        { HEAD SIZES "<Range>1 2</Range></bmap>", 0, "FIRST-LAST" },
        { HEAD SIZES "<Range></Range></bmap>", 0, "FIRST-LAST" },
        { HEAD SIZES "<Range>5</Range></bmap>", 0, "outside" },
        { HEAD SIZES "<Range>99999999999999999999999</Range></bmap>", 0, "FIRST-LAST" },
        { HEAD SIZES "<Range>2-3</Range><Range>3</Range></bmap>", 0, "in order" },
        { HEAD "<Range>0</Range>" SIZES "</bmap>", 0, "outside" },
        { HEAD SIZES SIZES "</bmap>", 0, "twice" },
        { HEAD "<BlockSize>1000</BlockSize></bmap>", 0, "power of two" },
        { HEAD "<ImageSize>x</ImageSize></bmap>", 0, "whole number" },
        { HEAD "<BlocksCount>5</BlocksCount></bmap>", 0, "number of blocks" },
        { HEAD "<BlockSize>1024</BlockSize><BlocksCount>18446744073709551615</BlocksCount></bmap>", 0, "too large" },
        { HEAD "<ImageSize>5000</ImageSize><BlockSize>1024</BlockSize><BlocksCount>4</BlocksCount></bmap>", 0,
          "not its image" },
        { HEAD SIZES "<MappedBlocksCount>2</MappedBlocksCount><Range>0</Range></bmap>", 0, "incomplete" },
        { HEAD SIZES "<ChecksumType>sha256</ChecksumType><Range chksum=\"abc\">0</Range></bmap>", 0, "no SHA-256" },
        { HEAD SIZES "<ChecksumType>sha256</ChecksumType><BmapFileChecksum> " SUM64 " </BmapFileChecksum></bmap>", 0,
          "damaged" },
        { HEAD SIZES "<ChecksumType>sha256</ChecksumType><BmapFileChecksum>abc</BmapFileChecksum></bmap>", 0,
          "no SHA-256" },
        { "<?xml version=\"1.0\"?><!DOCTYPE b [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY c \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">"
          "<!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;\">]><bmap><ImageSize>&d;&d;</ImageSize></bmap>",
          0, "too long" },
        { HEAD "<a><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></a></bmap>", 0, "too deeply" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_bmap_freep) struct jmp_bmap *map = NULL;
        struct jmp_error error = JMP_ERROR_INIT;
        int r = jmp_bmap_parse(cases[i].text, strlen(cases[i].text), &map, &error);

        if (cases[i].words) {
            if (r >= 0 || map || !strstr(error.text, cases[i].words))
                fail_msg("%zu: %d %s", i, r, error.text);
            continue;
        }
        if (r < 0)
            fail_msg("%zu: %s", i, error.text);
        assert_int_equal(map->count, cases[i].ranges);
        assert_int_equal(map->image_size, 5000);
    }
}

JMP_TEST(a_block_map_holds_what_stood_in_it)
{
    static const char text[] =
        HEAD SIZES "<ChecksumType>sha256</ChecksumType><Range chksum=\"" SUM64 "\">1</Range><Range>3-4</Range></bmap>";
    _cleanup_(jmp_bmap_freep) struct jmp_bmap *map = NULL;

    assert_int_equal(jmp_bmap_parse(text, sizeof(text) - 1, &map, NULL), 0);
    assert_int_equal(map->block_size, 1024);
    assert_int_equal(map->ranges[0].start, 1024);
    assert_int_equal(map->ranges[0].end, 2048);
    assert_true(map->ranges[0].summed);
    assert_memory_equal(map->ranges[0].sum, sum_of_ones, sizeof(sum_of_ones));
    assert_int_equal(map->ranges[1].start, 3072);
    assert_int_equal(map->ranges[1].end, 5120);
    assert_false(map->ranges[1].summed);
}

/* As bmaptool does it: the file's checksum is taken with zeros where it will stand. */
JMP_TEST(the_checksum_of_the_map_itself_is_right)
{
    static const char text[] = HEAD SIZES
        "<ChecksumType> sha256 </ChecksumType><BmapFileChecksum> "
        "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@ </BmapFileChecksum><Range>0</Range></bmap>\n";
    _cleanup_(jmp_bmap_freep) struct jmp_bmap *map = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    char with[sizeof(text)];

    memcpy(with, text, sizeof(text));
    memcpy(strchr(with, '@'), FILE_SUM, 64);
    if (jmp_bmap_parse(with, sizeof(text) - 1, &map, &error) < 0)
        fail_msg("%s", error.text);
}
