/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/codec.h"

#include <stddef.h>
#include <string.h>

#include "base/limits.h"

/* Wire types of protobuf. */
enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };

struct scan {
    const ProtobufCMessageDescriptor *descriptor;
    unsigned fields;
    struct jmp_error *reterr;
};

static int bad(struct scan *scan, const char *what)
{
    return jmp_error_set(scan->reterr, -EBADMSG, "%s: %s", scan->descriptor->short_name, what);
}

static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte;

        if (*p == end)
            return false;
        byte = *(*p)++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF; and no NUL, which would end a C string. */
static bool is_text(const uint8_t *p, size_t n)
{
    while (n > 0) {
        unsigned more;
        uint32_t c;

        if (*p < 0x80) {
            if (*p == 0)
                return false;
            p++;
            n--;
            continue;
        }
        if (*p >= 0xc2 && *p <= 0xdf) {
            more = 1;
            c = *p & 0x1f;
        } else if (*p >= 0xe0 && *p <= 0xef) {
            more = 2;
            c = *p & 0x0f;
        } else if (*p >= 0xf0 && *p <= 0xf4) {
            more = 3;
            c = *p & 0x07;
        } else {
            return false;
        }
        if (n <= more)
            return false;
        for (unsigned i = 1; i <= more; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return false;
            c = c << 6 | (p[i] & 0x3f);
        }
        if ((more == 2 && c < 0x800) || (more == 3 && c < 0x10000) || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
            return false;
        p += more + 1;
        n -= more + 1;
    }
    return true;
}

/* One bit for each of the first 64 fields of a message: no message of the protocol has as many. */
static int scan_message(struct scan *scan, const ProtobufCMessageDescriptor *descriptor, const uint8_t *p,
                        const uint8_t *end, unsigned depth)
{
    uint64_t seen = 0;

    if (depth > JMP_NESTING_MAX)
        return bad(scan, "messages nested too deeply");

    while (p < end) {
        const ProtobufCFieldDescriptor *field;
        uint64_t key, length;

        if (++scan->fields > JMP_FIELDS_MAX)
            return bad(scan, "too many fields");
        if (!read_varint(&p, end, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX >> 3)
            return bad(scan, "not a field");
        field = protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(key >> 3));

        switch (key & 7) {
        case VARINT:
            if (!read_varint(&p, end, &length))
                return bad(scan, "a truncated number");
            break;
        case FIXED64:
        case FIXED32:
            length = (key & 7) == FIXED64 ? 8 : 4;
            if ((uint64_t)(end - p) < length)
                return bad(scan, "a truncated number");
            p += length;
            break;
        case LENGTH:
            if (!read_varint(&p, end, &length) || (uint64_t)(end - p) < length)
                return bad(scan, "a truncated field");
            if (field && field->type == PROTOBUF_C_TYPE_STRING && !is_text(p, length))
                return bad(scan, "a string that is not UTF-8 text");
            if (field && field->type == PROTOBUF_C_TYPE_MESSAGE) {
                unsigned index = (unsigned)(field - descriptor->fields);
                int r;

                if (field->label != PROTOBUF_C_LABEL_REPEATED) {
                    if (index >= 64 || seen & UINT64_C(1) << index)
                        return bad(scan, "a message given twice");
                    seen |= UINT64_C(1) << index;
                }
                r = scan_message(scan, field->descriptor, p, p + length, depth + 1);
                if (r < 0)
                    return r;
            }
            p += length;
            break;
        default:
            return bad(scan, "a wire type that is not in use");
        }
    }
    return 0;
}

int jmp_codec_scan(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t length,
                   struct jmp_error *reterr)
{
    struct scan scan = { .descriptor = descriptor, .reterr = reterr };

    return scan_message(&scan, descriptor, data, data + length, 1);
}

/*
 * The arena: chunks that are freed together. Sizes are those of protobuf-c's structs, so the budget bounds what a small
 * message can blow up to. protobuf-c allocates the message itself before anything else, so it stands at the beginning
 * of the first chunk; that is how jmp_codec_free() finds the arena again.
 */
struct chunk {
    struct chunk *next;
    size_t used, size;
    max_align_t data[];
};

struct arena {
    struct chunk *first, *current;
    size_t budget;
    bool spent;
};

static void *arena_alloc(void *user, size_t size)
{
    struct arena *arena = user;
    struct chunk *chunk = arena->current;
    void *p;

    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!chunk || chunk->size - chunk->used < size) {
        size_t want = size > 1024 ? size : 1024;

        if (want > arena->budget || !(chunk = malloc(sizeof(*chunk) + want))) {
            arena->spent = true;
            return NULL;
        }
        arena->budget -= want;
        *chunk = (struct chunk){ .size = want };
        if (arena->first) {
            chunk->next = arena->first->next;
            arena->first->next = chunk;
        } else {
            arena->first = chunk;
        }
        arena->current = chunk;
    }
    p = (char *)chunk->data + chunk->used;
    chunk->used += size;
    return p;
}

static void arena_nothing(void *user, void *p)
{
}

static void arena_free(struct chunk *chunk)
{
    while (chunk) {
        struct chunk *next = chunk->next;

        free(chunk);
        chunk = next;
    }
}

int jmp_codec_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t length,
                     ProtobufCMessage **ret, struct jmp_error *reterr)
{
    struct arena arena = { .budget = length * 16 + 64 * 1024 };
    ProtobufCAllocator allocator = { .alloc = arena_alloc, .free = arena_nothing, .allocator_data = &arena };
    ProtobufCMessage *message;
    int r;

    r = jmp_codec_scan(descriptor, data, length, reterr);
    if (r < 0)
        return r;
    message = protobuf_c_message_unpack(descriptor, &allocator, length, data);
    if (!message || (void *)message != arena.first->data) {
        r = arena.spent ? -ENOMEM : -EBADMSG;
        arena_free(arena.first);
        return jmp_error_set(reterr, r, "%s: %s", descriptor->short_name,
                             r == -ENOMEM ? "needs too much memory" : "cannot be read");
    }
    *ret = message;
    return 0;
}

void jmp_codec_free(ProtobufCMessage *message)
{
    if (message)
        arena_free(CONTAINER_OF((max_align_t *)message, struct chunk, data[0]));
}
