/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ring.h"

#include <string.h>

#define SIZE_MIN (4u * 1024)
#define SIZE_LIMIT (64u * 1024 * 1024)

struct jmp_ring {
    unsigned char *data;   /* NULL until the first push */
    size_t size;           /* a power of two */
    uint64_t head, tail;   /* positions since the beginning; head - tail <= size */
};

int jmp_ring_new(size_t size, struct jmp_ring **ret)
{
    struct jmp_ring *ring = calloc(1, sizeof(*ring));

    if (!ring)
        return -ENOMEM;

    ring->size = SIZE_MIN;
    while (ring->size < size && ring->size < SIZE_LIMIT)
        ring->size *= 2;

    *ret = ring;
    return 0;
}

struct jmp_ring *jmp_ring_free(struct jmp_ring *ring)
{
    if (ring) {
        free(ring->data);
        free(ring);
    }
    return NULL;
}

void jmp_ring_push(struct jmp_ring *ring, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    size_t at, part;

    if (length == 0)
        return;

    if (!ring->data) {
        ring->data = malloc(ring->size);
        if (!ring->data) {
            /* Readers learn of it as of any other loss; the next push tries again. */
            ring->head += length;
            ring->tail = ring->head;
            return;
        }
    }

    if (length > ring->size) {
        ring->head += length - ring->size;
        bytes += length - ring->size;
        length = ring->size;
    }

    at = (size_t)(ring->head & (ring->size - 1));
    part = ring->size - at;
    if (part > length)
        part = length;
    memcpy(ring->data + at, bytes, part);
    if (length > part)
        memcpy(ring->data, bytes + part, length - part);

    ring->head += length;
    if (ring->head - ring->tail > ring->size)
        ring->tail = ring->head - ring->size;
}

uint64_t jmp_ring_head(const struct jmp_ring *ring)
{
    return ring->head;
}

uint64_t jmp_ring_tail(const struct jmp_ring *ring)
{
    return ring->tail;
}

size_t jmp_ring_peek(const struct jmp_ring *ring, uint64_t *position, const void **retdata, uint64_t *retlost)
{
    uint64_t available;
    size_t at, part;

    *retlost = 0;
    *retdata = NULL;

    if (*position < ring->tail) {
        *retlost = ring->tail - *position;
        *position = ring->tail;
    }
    if (*position >= ring->head)
        return 0;

    available = ring->head - *position;
    at = (size_t)(*position & (ring->size - 1));
    part = ring->size - at;
    *retdata = ring->data + at;
    return available < part ? (size_t)available : part;
}
