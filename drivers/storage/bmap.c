/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/bmap.h"

#include <ctype.h>
#include <expat.h>
#include <openssl/evp.h>
#include <string.h>

#define TEXT_MAX 256u /* of one element */
#define DEPTH_MAX 8u

/* Since 2.9 the narrow ones are deprecated; before it there are no others. */
#if XML_MAJOR_VERSION > 2 || XML_MINOR_VERSION >= 9
#define LINE_OF(parser) ((unsigned)XML_GetCurrentLineNumber64(parser))
#define BYTE_OF(parser) ((size_t)XML_GetCurrentByteIndex64(parser))
#else
#define LINE_OF(parser) ((unsigned)XML_GetCurrentLineNumber(parser))
#define BYTE_OF(parser) ((size_t)XML_GetCurrentByteIndex(parser))
#endif

enum field { NOTHING, IMAGE_SIZE, BLOCK_SIZE, BLOCKS, MAPPED, SUM_TYPE, MAP_SUM, MAP_SHA1, RANGE };

static const struct {
    const char *name;
    enum field field;
} fields[] = {
    { "ImageSize", IMAGE_SIZE },     { "BlockSize", BLOCK_SIZE },  { "BlocksCount", BLOCKS },
    { "MappedBlocksCount", MAPPED }, { "ChecksumType", SUM_TYPE }, { "BmapFileChecksum", MAP_SUM },
    { "BmapFileSHA1", MAP_SHA1 },    { "Range", RANGE },
};

struct reader {
    XML_Parser parser;
    struct jmp_bmap *map;
    struct jmp_error *reterr;
    int error;
    unsigned depth;
    enum field field;
    char text[TEXT_MAX];
    size_t used, capacity;
    uint64_t blocks, mapped, counted;
    bool root, has[RANGE + 1], sha256;
    struct jmp_bmap_range range;
    char map_sum[2 * JMP_SHA256_SIZE + 1];
    size_t map_sum_at; /* of its text in the file */
};

static void stop(struct reader *reader, int error, const char *words)
{
    if (reader->error < 0)
        return;
    reader->error = jmp_error_set(reader->reterr, error, "the block map cannot be used: %s", words);
    jmp_error_at(reader->reterr, NULL, LINE_OF(reader->parser), 0, NULL);
    XML_StopParser(reader->parser, XML_FALSE);
}

static bool hex_decode(const char *text, uint8_t sum[JMP_SHA256_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    if (strlen(text) != (size_t)2 * JMP_SHA256_SIZE)
        return false;
    for (size_t i = 0; i < (size_t)2 * JMP_SHA256_SIZE; i++) {
        const char *digit = strchr(digits, tolower((unsigned char)text[i]));

        if (!digit || !text[i])
            return false;
        sum[i / 2] = (uint8_t)(i % 2 ? sum[i / 2] | (digit - digits) : (digit - digits) << 4);
    }
    return true;
}

static void XMLCALL on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *reader = user;

    if (++reader->depth > DEPTH_MAX) {
        stop(reader, -EINVAL, "it is nested too deeply");
        return;
    }
    if (reader->depth == 1) {
        reader->root = strcmp(name, "bmap") == 0;
        if (!reader->root)
            stop(reader, -EINVAL, "its root is not <bmap>");
        return;
    }
    reader->field = NOTHING;
    reader->used = 0;
    for (size_t i = 0; i < ELEMENTSOF(fields); i++)
        if (strcmp(fields[i].name, name) == 0)
            reader->field = fields[i].field;
    if (reader->field != RANGE)
        return;
    reader->range = (struct jmp_bmap_range){ 0 };
    for (; attributes[0]; attributes += 2) {
        if (strcmp(attributes[0], "chksum") != 0 || !reader->sha256)
            continue;
        reader->range.summed = hex_decode(attributes[1], reader->range.sum);
        if (!reader->range.summed)
            stop(reader, -EINVAL, "a checksum is no SHA-256");
    }
}

static void XMLCALL on_text(void *user, const XML_Char *text, int length)
{
    struct reader *reader = user;

    if (reader->field == NOTHING)
        return;
    if (reader->field == MAP_SUM && reader->used == 0)
        reader->map_sum_at = BYTE_OF(reader->parser);
    if (reader->used + (size_t)length >= TEXT_MAX) {
        stop(reader, -EINVAL, "an element is too long");
        return;
    }
    memcpy(reader->text + reader->used, text, (size_t)length);
    reader->used += (size_t)length;
}

/* A whole number; *@text is behind it afterwards. */
static bool number(const char **text, uint64_t *ret)
{
    char *end;

    if (!isdigit((unsigned char)**text))
        return false;
    errno = 0;
    *ret = strtoull(*text, &end, 10);
    *text = end;
    return errno == 0;
}

static void add_range(struct reader *reader, const char *text)
{
    struct jmp_bmap *map = reader->map;
    uint64_t first = 0, last;
    bool good = number(&text, &first);

    last = first;
    if (good && *text == '-') {
        text++;
        good = number(&text, &last);
    }
    if (!good || *text || last < first) {
        stop(reader, -EINVAL, "a range is not of the form FIRST-LAST");
        return;
    }
    if (!map->block_size || !reader->has[BLOCKS] || last >= reader->blocks) {
        stop(reader, -EINVAL, "a range is outside the image");
        return;
    }
    if (map->count >= JMP_BMAP_RANGES_MAX) {
        stop(reader, -E2BIG, "it has too many ranges");
        return;
    }
    if (map->count == reader->capacity) {
        size_t capacity = reader->capacity ? 2 * reader->capacity : 64;
        struct jmp_bmap_range *ranges = reallocarray(map->ranges, capacity, sizeof(*ranges));

        if (!ranges) {
            stop(reader, -ENOMEM, "no memory");
            return;
        }
        map->ranges = ranges;
        reader->capacity = capacity;
    }
    reader->range.start = first * map->block_size;
    reader->range.end = (last + 1) * map->block_size;
    if (map->count > 0 && reader->range.start < map->ranges[map->count - 1].end) {
        stop(reader, -EINVAL, "its ranges are not in order");
        return;
    }
    reader->counted += last - first + 1;
    map->ranges[map->count++] = reader->range;
}

static void set_number(struct reader *reader, const char *text)
{
    uint64_t value;

    if (!number(&text, &value) || *text) {
        stop(reader, -EINVAL, "a size or a count is no whole number");
        return;
    }
    switch (reader->field) {
    case IMAGE_SIZE:
        reader->map->image_size = value;
        break;
    case BLOCK_SIZE:
        if (value < 512 || value > 1024 * 1024 || (value & (value - 1)))
            stop(reader, -EINVAL, "the block size is not a power of two from 512 to 1048576");
        else
            reader->map->block_size = (uint32_t)value;
        break;
    case BLOCKS:
        /* So that no block has a byte beyond what a file can have. */
        if (!reader->map->block_size || value > (uint64_t)INT64_MAX / reader->map->block_size)
            stop(reader, -EINVAL, "the number of blocks is missing its block size, or is too large");
        else
            reader->blocks = value;
        break;
    default:
        reader->mapped = value;
        break;
    }
}

static void XMLCALL on_end(void *user, const XML_Char *name)
{
    struct reader *reader = user;
    char *text = reader->text, *end = text + reader->used;
    enum field field = reader->field;

    reader->depth--;
    reader->field = NOTHING;
    if (field == NOTHING || reader->error < 0)
        return;
    if (field != RANGE && reader->has[field]) {
        stop(reader, -EINVAL, "an element stands there twice");
        return;
    }
    reader->has[field] = true;
    while (text < end && isspace((unsigned char)*text))
        text++;
    while (text < end && isspace((unsigned char)end[-1]))
        end--;
    *end = '\0';

    reader->field = field;
    if (field == RANGE)
        add_range(reader, text);
    else if (field == SUM_TYPE)
        reader->sha256 = strcmp(text, "sha256") == 0;
    else if (field == MAP_SUM)
        snprintf(reader->map_sum, sizeof(reader->map_sum), "%.*s", (int)sizeof(reader->map_sum) - 1, text);
    else if (field != MAP_SHA1)
        set_number(reader, text);
    reader->field = NOTHING;
}

/* The map's own checksum is that of the file with zeros in its place. */
static int check_sum(const struct reader *reader, const char *text, size_t size, struct jmp_error *reterr)
{
    static const char zeros[2 * JMP_SHA256_SIZE + 1] =
        "0000000000000000000000000000000000000000000000000000000000000000";
    uint8_t wanted[JMP_SHA256_SIZE], found[JMP_SHA256_SIZE];
    const size_t length = sizeof(zeros) - 1;
    size_t at = reader->map_sum_at;
    EVP_MD_CTX *md;
    bool good;

    if (!reader->sha256 || !reader->has[MAP_SUM])
        return 0;
    while (at < size && isspace((unsigned char)text[at]))
        at++;
    if (!hex_decode(reader->map_sum, wanted) || size - at < length || memcmp(text + at, reader->map_sum, length) != 0)
        return jmp_error_set(reterr, -EINVAL, "the block map's own checksum is no SHA-256");
    md = EVP_MD_CTX_new();
    good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) && EVP_DigestUpdate(md, text, at) &&
           EVP_DigestUpdate(md, zeros, length) && EVP_DigestUpdate(md, text + at + length, size - at - length) &&
           EVP_DigestFinal_ex(md, found, NULL);
    EVP_MD_CTX_free(md);
    if (!good)
        return -ENOMEM;
    if (memcmp(found, wanted, sizeof(found)) != 0)
        return jmp_error_set(reterr, -EINVAL, "the block map is damaged: its own checksum is another one");
    return 0;
}

static int check(const struct reader *reader, struct jmp_error *reterr)
{
    const struct jmp_bmap *map = reader->map;

    if (!reader->has[IMAGE_SIZE] || !reader->has[BLOCK_SIZE] || !reader->has[BLOCKS])
        return jmp_error_set(reterr, -EINVAL, "the block map lacks a size or a count");
    if (reader->blocks != map->image_size / map->block_size + (map->image_size % map->block_size ? 1 : 0))
        return jmp_error_set(reterr, -EINVAL, "the block map is wrong: its blocks are not its image");
    if (reader->has[MAPPED] && reader->mapped != reader->counted)
        return jmp_error_set(reterr, -EINVAL,
                             "the block map is incomplete: its ranges have %llu blocks, and should have %llu",
                             (unsigned long long)reader->counted, (unsigned long long)reader->mapped);
    return 0;
}

static int parse(struct reader *reader, const char *text, size_t size, struct jmp_error *reterr)
{
    enum XML_Status status;

    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader->parser, on_text);
    status = XML_Parse(reader->parser, text, (int)size, XML_TRUE);
    if (reader->error < 0)
        return reader->error;
    if (status != XML_STATUS_OK) {
        jmp_error_set(reterr, -EINVAL, "the block map cannot be read: %s",
                      XML_ErrorString(XML_GetErrorCode(reader->parser)));
        jmp_error_at(reterr, NULL, LINE_OF(reader->parser), 0, NULL);
        return -EINVAL;
    }
    return check(reader, reterr);
}

bool jmp_bmap_is(const void *data, size_t size)
{
    return size >= 5 && memcmp(data, "<?xml", 5) == 0 && memmem(data, size, "<bmap", 5);
}

int jmp_bmap_parse(const char *text, size_t size, struct jmp_bmap **ret, struct jmp_error *reterr)
{
    struct reader reader = { .reterr = reterr };
    _cleanup_(jmp_bmap_freep) struct jmp_bmap *map = calloc(1, sizeof(*map));
    int r;

    if (!map)
        return -ENOMEM;
    if (size > JMP_BMAP_MAX)
        return jmp_error_set(reterr, -E2BIG, "the block map is larger than %u MiB", JMP_BMAP_MAX / (1024 * 1024));
    reader.map = map;
    reader.parser = XML_ParserCreate("UTF-8");
    if (!reader.parser)
        return -ENOMEM;
    r = parse(&reader, text, size, reterr);
    XML_ParserFree(reader.parser);
    if (r == 0)
        r = check_sum(&reader, text, size, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(map);
    return 0;
}

struct jmp_bmap *jmp_bmap_free(struct jmp_bmap *map)
{
    if (!map)
        return NULL;
    free(map->ranges);
    free(map);
    return NULL;
}
