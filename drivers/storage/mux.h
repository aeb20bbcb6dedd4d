/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every storage mux does, whatever switches it: the medium is at the host, at the board, or nowhere. Images are
 * written and read at the host; a transfer that does not come to its end leaves the medium where it was before.
 */
#pragma once

#include "drivers/storage/disk.h"

enum jmp_mux_position { JMP_MUX_UNKNOWN, JMP_MUX_HOST, JMP_MUX_DUT, JMP_MUX_OFF };

/* The first member of a mux's self. */
struct jmp_mux {
    struct jmp_disk disk;
    enum jmp_mux_position position; /* now */
    enum jmp_mux_position before;   /* before the client took it to the host */
    bool busy;                      /* a transfer, or switching, is under way */
    int idle;                       /* eventfd: it is not */
    /* Switches; only to HOST, DUT and OFF. Return: 0 or with a sentence. */
    int (*select)(void *self, struct jmp_call *call, enum jmp_mux_position position);
    /* The path of the medium at the host, for muxes that look for it; NULL: disk.device. Called while it may not be
     * there yet: -ENOENT is asked again. */
    int (*find)(void *self, struct jmp_call *call, char *path, size_t size);
};

/** jmp_mux_open() - the first thing in the open of a mux. Return: 0, or with a sentence: -EMFILE and the like. */
int jmp_mux_open(struct jmp_mux *mux, struct jmp_call *call);
/* Methods, reset and close are the same for each. */
extern const struct jmp_method jmp_mux_methods[];
int jmp_mux_reset(void *self, struct jmp_call *call);
void jmp_mux_close(void *self);
