/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct piece {
    const uint8_t *data;
    size_t size;
};

struct jmp_hash {
    EVP_MD_CTX *md; /* the thread's */
    pthread_t thread;
    bool started;
    struct piece pieces[JMP_HASH_PIECES];
    uint8_t *room[JMP_HASH_PIECES]; /* of each, for owners that have no memory of their own */

    /* lock */
    pthread_mutex_t lock;
    pthread_cond_t more, less; /* the thread: a piece; its owner: one fewer */
    unsigned added, done;      /* counted for ever; modulo the ring they are places in it */
    bool ending, failed;
};

static void *hash_thread(void *user)
{
    struct jmp_hash *hash = user;

    pthread_mutex_lock(&hash->lock);
    while (!hash->ending) {
        struct piece *piece = &hash->pieces[hash->done % JMP_HASH_PIECES];
        bool good;

        if (hash->done == hash->added) {
            pthread_cond_wait(&hash->more, &hash->lock);
            continue;
        }
        pthread_mutex_unlock(&hash->lock);
        good = EVP_DigestUpdate(hash->md, piece->data, piece->size);
        pthread_mutex_lock(&hash->lock);
        hash->failed |= !good;
        hash->done++;
        pthread_cond_signal(&hash->less);
    }
    pthread_mutex_unlock(&hash->lock);
    return NULL;
}

struct jmp_hash *jmp_hash_free(struct jmp_hash *hash)
{
    if (!hash)
        return NULL;
    if (hash->started) {
        pthread_mutex_lock(&hash->lock);
        hash->ending = true;
        pthread_cond_signal(&hash->more);
        pthread_mutex_unlock(&hash->lock);
        pthread_join(hash->thread, NULL);
    }
    for (unsigned i = 0; i < JMP_HASH_PIECES; i++)
        free(hash->room[i]);
    EVP_MD_CTX_free(hash->md);
    pthread_mutex_destroy(&hash->lock);
    pthread_cond_destroy(&hash->more);
    pthread_cond_destroy(&hash->less);
    free(hash);
    return NULL;
}

int jmp_hash_new(struct jmp_hash **ret)
{
    _cleanup_(jmp_hash_freep) struct jmp_hash *hash = calloc(1, sizeof(*hash));
    int r;

    if (!hash)
        return -ENOMEM;
    pthread_mutex_init(&hash->lock, NULL);
    pthread_cond_init(&hash->more, NULL);
    pthread_cond_init(&hash->less, NULL);
    for (unsigned i = 0; i < JMP_HASH_PIECES; i++) {
        hash->room[i] = malloc(JMP_HASH_PIECE);
        if (!hash->room[i])
            return -ENOMEM;
    }
    hash->md = EVP_MD_CTX_new();
    if (!hash->md || !EVP_DigestInit_ex(hash->md, EVP_sha256(), NULL))
        return -ENOMEM;
    r = -pthread_create(&hash->thread, NULL, hash_thread, hash);
    if (r < 0)
        return r;
    hash->started = true;
    *ret = TAKE_PTR(hash);
    return 0;
}

/* Until at most @left pieces have still to be looked at. */
static void wait_for(struct jmp_hash *hash, unsigned left)
{
    pthread_mutex_lock(&hash->lock);
    while (hash->added - hash->done > left)
        pthread_cond_wait(&hash->less, &hash->lock);
    pthread_mutex_unlock(&hash->lock);
}

uint8_t *jmp_hash_room(struct jmp_hash *hash)
{
    wait_for(hash, JMP_HASH_PIECES - 1);
    return hash->room[hash->added % JMP_HASH_PIECES];
}

void jmp_hash_add(struct jmp_hash *hash, const uint8_t *data, size_t size)
{
    wait_for(hash, JMP_HASH_PIECES - 1);
    hash->pieces[hash->added % JMP_HASH_PIECES] = (struct piece){ data, size };
    pthread_mutex_lock(&hash->lock);
    hash->added++;
    pthread_cond_signal(&hash->more);
    pthread_mutex_unlock(&hash->lock);
}

int jmp_hash_finish(struct jmp_hash *hash, uint8_t sum[32])
{
    wait_for(hash, 0);
    return !hash->failed && EVP_DigestFinal_ex(hash->md, sum, NULL) ? 0 : -ENOMEM;
}
