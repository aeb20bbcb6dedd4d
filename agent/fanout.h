/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One descriptor, many viewers: a console is opened once and read for as long as its device is open; each viewer has a
 * socketpair and its own position in one ring. A viewer too slow is moved forward and told what it lost; what viewers
 * write is merged in order of arrival. When the port vanishes the viewers stay and wait for the next one. On the loop.
 */
#pragma once

#include "base/loop.h"

#define JMP_VIEWERS_MAX 64u       /* viewers of one console */

struct jmp_call;
struct jmp_device;
struct jmp_fanout;
struct jmp_viewer;

/* The leading-edge gate that all consoles share: the first bytes go out at once, then the tty is left alone until the
 * next tick, because what costs is the message and not the byte. */
struct jmp_gate {
    struct jmp_loop *loop;
    struct jmp_timer timer;
    uint64_t period;              /* microseconds */
    struct jmp_fanout *waiting, *due;    /* due: while the gate opens */
};

int jmp_fanout_new(struct jmp_device *device, struct jmp_gate *gate, struct jmp_fanout **ret);
struct jmp_fanout *jmp_fanout_free(struct jmp_fanout *fanout);

/** jmp_fanout_attach() - the port is there (again); @fd is the fanout's from now on, also on failure
 * @pace:  bytes a second towards it, 0: no limit */
int jmp_fanout_attach(struct jmp_fanout *fanout, int fd, double pace);
/** jmp_fanout_detach() - the port has gone; closes it, viewers stay */
void jmp_fanout_detach(struct jmp_fanout *fanout);

/** jmp_fanout_replay() - whether the next viewer, that one alone, begins with the oldest byte: for a port that stayed
 * open while the agent was started anew, in the same lease */
void jmp_fanout_replay(struct jmp_fanout *fanout, bool on);

/** jmp_fanout_view() - one more viewer, from the newest byte on, unless jmp_fanout_replay() was called
 * @call:   whose stream it is; ended by jmp_call_finish_viewer()
 * @retfd:  the viewer's end, the caller's
 * Return: 0, -EBUSY when there are too many, -EMFILE, -ENOMEM. */
int jmp_fanout_view(struct jmp_fanout *fanout, struct jmp_call *call, struct jmp_viewer **ret, int *retfd);
/** jmp_viewer_free() - at once, whatever is on its way */
struct jmp_viewer *jmp_viewer_free(struct jmp_viewer *viewer);
/** jmp_fanout_hangup() - end the @newest viewers, 0: all, each after what it has been sent so far */
void jmp_fanout_hangup(struct jmp_fanout *fanout, unsigned newest);

/** jmp_socket_end() - close one end of a socketpair so that the other reads to the end and never sees a reset; returns
 * -EBADF */
int jmp_socket_end(int fd);
