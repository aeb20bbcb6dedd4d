/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every storage mux does, whatever switches it: the medium is at the host, at the board, or nowhere. Images are written and read
 * at the host; a transfer that does not come to its end leaves the medium where it was before.
 */
#pragma once

#include "drivers/storage/disk.h"

enum jmp_mux_position { JMP_MUX_UNKNOWN, JMP_MUX_HOST, JMP_MUX_DUT, JMP_MUX_OFF };

struct jmp_mux {
    struct jmp_disk disk;
    enum jmp_mux_position position; /* now */
    enum jmp_mux_position before;   /* before the client took it to the host */
    bool busy;                      /* a transfer is under way */
    /* Switches; only to HOST, DUT and OFF. Return: 0 or with a sentence. */
    int (*select)(void *self, struct jmp_call *call, enum jmp_mux_position position);
    /* The path of the medium at the host, for muxes that look for it; NULL: disk.device. Called while it may not be there yet:
     * -ENOENT is asked again. */
    int (*find)(void *self, struct jmp_call *call, char *path, size_t size);
};

/** jmp_mux_switch() - a method host, dut or off. Return: 0, -EBUSY (an image is being transferred), what select says. */
int jmp_mux_switch(struct jmp_mux *mux, void *self, struct jmp_call *call, enum jmp_mux_position position);
/** jmp_mux_write() - the method write, its argument called "source" */
int jmp_mux_write(struct jmp_mux *mux, void *self, struct jmp_call *call);
/** jmp_mux_read() - the method read, its argument called "sink" */
int jmp_mux_read(struct jmp_mux *mux, void *self, struct jmp_call *call);
