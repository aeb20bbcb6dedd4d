/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership in the text: what a block owns is declared with _cleanup_ and given away with TAKE_*.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define JMP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Gives a pointer away: the variable is NULL afterwards, so its cleanup does nothing. */
#define TAKE_PTR(ptr) ({ __typeof__(ptr) *_take = &(ptr); __typeof__(ptr) _taken = *_take; *_take = NULL; _taken; })
/* The same for a descriptor. */
#define TAKE_FD(fd) ({ int *_take = &(fd); int _taken = *_take; *_take = -EBADF; _taken; })

/* Defines NAMEp() for _cleanup_(NAMEp) from a NAME() that takes a pointer and accepts NULL. */
#define JMP_DEFINE_CLEANUP(type, name) \
    static inline void name##p(type *ptr) { if (*ptr) name(*ptr); }

/* Closes and forgets a descriptor; negative ones are ignored. Returns -EBADF; errno is kept. */
static inline int jmp_close(int fd)
{
    if (fd >= 0) {
        int saved = errno;

        close(fd);
        errno = saved;
    }
    return -EBADF;
}

static inline void jmp_closep(int *fd) { *fd = jmp_close(*fd); }
static inline void jmp_close_pairp(int (*pair)[2]) { jmp_closep(&(*pair)[0]); jmp_closep(&(*pair)[1]); }
static inline void jmp_freep(void *ptr) { free(*(void **)ptr); }
static inline void jmp_fclosep(FILE **file) { if (*file) fclose(*file); }

#define _cleanup_free_ _cleanup_(jmp_freep)
#define _cleanup_close_ _cleanup_(jmp_closep)
#define _cleanup_close_pair_ _cleanup_(jmp_close_pairp)
#define _cleanup_fclose_ _cleanup_(jmp_fclosep)
