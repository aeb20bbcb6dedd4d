/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"

JMP_TEST(pieces_of_any_size_have_the_sum_of_the_whole)
{
    static const size_t sizes[] = { 1, 63, 64, JMP_HASH_PIECE, 0, 5, JMP_HASH_PIECE - 1, JMP_HASH_PIECE, 4096, 7 };
    _cleanup_(jmp_hash_freep) struct jmp_hash *hash = NULL;
    uint8_t expected[EVP_MAX_MD_SIZE], found[32], *whole = malloc(ELEMENTSOF(sizes) * JMP_HASH_PIECE);
    size_t total = 0;

    assert_non_null(whole);
    assert_int_equal(jmp_hash_new(&hash), 0);
    for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
        uint8_t *piece = jmp_hash_room(hash);

        for (size_t j = 0; j < sizes[i]; j++)
            piece[j] = (uint8_t)(j * 31 + i);
        memcpy(whole + total, piece, sizes[i]);
        total += sizes[i];
        jmp_hash_add(hash, piece, sizes[i]);
    }
    assert_int_equal(jmp_hash_finish(hash, found), 0);
    assert_int_equal(EVP_Digest(whole, total, expected, NULL, EVP_sha256(), NULL), 1);
    assert_memory_equal(found, expected, sizeof(found));
    free(whole);
}

/* Memory that is lent is its owner's again after as many pieces as the header says. */
JMP_TEST(lent_memory_can_be_used_again)
{
    enum { N = 64, RING = JMP_HASH_PIECES + 1 };
    _cleanup_(jmp_hash_freep) struct jmp_hash *hash = NULL;
    static uint8_t ring[RING][JMP_HASH_PIECE], whole[N * JMP_HASH_PIECE];
    uint8_t expected[EVP_MAX_MD_SIZE], found[32];

    assert_int_equal(jmp_hash_new(&hash), 0);
    for (unsigned i = 0; i < N; i++) {
        memset(ring[i % RING], (int)i, JMP_HASH_PIECE);
        memset(whole + (size_t)i * JMP_HASH_PIECE, (int)i, JMP_HASH_PIECE);
        jmp_hash_add(hash, ring[i % RING], JMP_HASH_PIECE);
    }
    assert_int_equal(jmp_hash_finish(hash, found), 0);
    assert_int_equal(EVP_Digest(whole, sizeof(whole), expected, NULL, EVP_sha256(), NULL), 1);
    assert_memory_equal(found, expected, sizeof(found));
}

/* An image that fails is dropped with pieces under way. */
JMP_TEST(it_may_be_dropped_at_any_time)
{
    for (unsigned pieces = 0; pieces < 8; pieces++) {
        _cleanup_(jmp_hash_freep) struct jmp_hash *hash = NULL;

        assert_int_equal(jmp_hash_new(&hash), 0);
        for (unsigned i = 0; i < pieces; i++) {
            uint8_t *piece = jmp_hash_room(hash);

            memset(piece, (int)i, JMP_HASH_PIECE);
            jmp_hash_add(hash, piece, JMP_HASH_PIECE);
        }
    }
}
