/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ring.h"

#include <string.h>

#include "base/test.h"

/* The byte that stands at @position of every stream pushed here. */
static unsigned char byte_at(uint64_t position)
{
    return (unsigned char)(position * 7 + position / 251);
}

static void push(struct jmp_ring *ring, size_t length)
{
    static unsigned char data[64 * 1024];
    uint64_t head = jmp_ring_head(ring);

    assert_true(length <= sizeof(data));
    for (size_t i = 0; i < length; i++)
        data[i] = byte_at(head + i);
    jmp_ring_push(ring, data, length);
    assert_true(jmp_ring_head(ring) == head + length);
}

/* Reads all there is and compares each byte; returns how many, and the losses. */
static uint64_t drain(const struct jmp_ring *ring, uint64_t *position, uint64_t *retlost)
{
    uint64_t total = 0, lost;
    const void *data;
    size_t n;

    *retlost = 0;
    while ((n = jmp_ring_peek(ring, position, &data, &lost)) > 0) {
        *retlost += lost;
        for (size_t i = 0; i < n; i++)
            assert_int_equal(((const unsigned char *)data)[i], byte_at(*position + i));
        *position += n;
        total += n;
    }
    *retlost += lost;
    return total;
}

JMP_TEST(every_reader_gets_every_byte_while_it_keeps_up)
{
    _cleanup_(jmp_ring_freep) struct jmp_ring *ring = NULL;
    uint64_t quick = 0, slow = 0, lost;
    size_t pushed = 0;

    assert_int_equal(jmp_ring_new(1, &ring), 0);
    for (size_t round = 0; round < 500; round++) {
        size_t length = round * 13 % 2000;

        push(ring, length);
        pushed += length;
        assert_true(drain(ring, &quick, &lost) == length && lost == 0);
        if (round % 2) {
            drain(ring, &slow, &lost);
            assert_true(lost == 0 && slow == pushed);
        }
    }
}

JMP_TEST(a_slow_reader_is_moved_forward_and_told_how_much_it_lost)
{
    static const struct {
        size_t pushes, length;
        uint64_t lost;
    } cases[] = {
        { 1, 4096, 0 },  { 1, 4097, 1 },       { 2, 4096, 4096 },   { 4097, 1, 1 },
        { 1, 60000, 60000 - 4096 }, { 3, 5000, 15000 - 4096 }, { 4095, 1, 0 },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_ring_freep) struct jmp_ring *ring = NULL;
        uint64_t position = 0, lost, total = cases[i].pushes * cases[i].length;

        assert_int_equal(jmp_ring_new(4096, &ring), 0);
        for (size_t n = 0; n < cases[i].pushes; n++)
            push(ring, cases[i].length);

        assert_true(jmp_ring_tail(ring) == cases[i].lost);
        assert_true(drain(ring, &position, &lost) == total - cases[i].lost);
        assert_true(lost == cases[i].lost);
        assert_true(position == total);
    }
}

JMP_TEST(an_empty_ring_has_nothing_to_read)
{
    _cleanup_(jmp_ring_freep) struct jmp_ring *ring = NULL;
    uint64_t position = 0, lost;
    const void *data;

    assert_int_equal(jmp_ring_new(4096, &ring), 0);
    assert_true(jmp_ring_peek(ring, &position, &data, &lost) == 0 && lost == 0);
    jmp_ring_push(ring, "", 0);
    assert_true(jmp_ring_head(ring) == 0);

    push(ring, 10);
    position = 1000;   /* ahead of the writer: nothing, and no loss */
    assert_true(jmp_ring_peek(ring, &position, &data, &lost) == 0 && lost == 0 && position == 1000);
}

JMP_TEST(sizes_are_rounded_up_within_their_limits)
{
    static const struct {
        size_t asked, kept;
    } cases[] = { { 0, 4096 }, { 4096, 4096 }, { 4097, 8192 }, { 60000, 65536 } };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(jmp_ring_freep) struct jmp_ring *ring = NULL;

        assert_int_equal(jmp_ring_new(cases[i].asked, &ring), 0);
        for (unsigned n = 0; n < 3; n++)
            push(ring, 60000);
        assert_true(jmp_ring_head(ring) - jmp_ring_tail(ring) == cases[i].kept);
    }
}

JMP_TEST(without_memory_bytes_are_lost_and_counted)
{
    _cleanup_(jmp_ring_freep) struct jmp_ring *ring = NULL, *none = NULL;
    uint64_t position = 0, lost;
    const void *data;

    jmp_fault_arm(JMP_FAULT_ALLOC, 1);
    assert_int_equal(jmp_ring_new(4096, &none), -ENOMEM);
    assert_null(none);
    jmp_fault_disarm();

    assert_int_equal(jmp_ring_new(4096, &ring), 0);
    jmp_fault_arm(JMP_FAULT_ALLOC, 1);
    jmp_ring_push(ring, "gone", 4);
    jmp_fault_disarm();

    assert_true(jmp_ring_peek(ring, &position, &data, &lost) == 0);
    assert_true(lost == 4 && position == 4);
    push(ring, 5);
    assert_true(drain(ring, &position, &lost) == 5 && lost == 0);
}
